//go:build race

package lang_test

// slack is how much slower the race detector makes us.
const slack = 20
