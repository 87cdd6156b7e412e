//go:build !race

package lang_test

// slack is how much slower than a user's this build is.
const slack = 1
