// Package e2e tests Tocsin as a person uses it: the real binary, a real
// browser, real targets. It is a module of its own so that the browser driver
// stays out of the main one.
package e2e
