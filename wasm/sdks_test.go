package wasm_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/wasm"
)

// Every source file of an SDK is in the binary: a new one cannot be forgotten.
func TestSDKsAreWhole(t *testing.T) {
	found := 0
	for _, pattern := range []string{"abi/*.go", "guest/*.go", "guest/rust/Cargo.toml", "guest/rust/src/*", "guest/assemblyscript/assembly/*", "guest/c/*.h"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			found++
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := fs.ReadFile(wasm.SDKs(), filepath.ToSlash(path)); err != nil || string(got) != string(want) {
				t.Errorf("%s is not in the binary: %v", path, err)
			}
		}
	}
	if found < 20 {
		t.Errorf("%d files, want more", found)
	}
}
