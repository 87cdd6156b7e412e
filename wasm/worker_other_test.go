//go:build !linux

package wasm_test

// tell has nothing to tell: only Linux restrains workers.
func tell() {}
