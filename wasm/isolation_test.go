package wasm_test

import (
	"context"
	"os"
	"runtime"
	"sync"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
)

// Nothing is left either by programs as compilers make them: they write all
// over their statics, heap, stack and grown memory, and each run says what it
// found of another. It holds in each way in which instances are made ready,
// whichever is chosen for the size of the program.
// acceptance 38.
func TestNothingIsLeftByRealPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	modes := []string{"fresh", "copied", "mapped"}
	if runtime.GOOS != "linux" {
		modes = modes[:2]
	}
	for language, makes := range map[string]func(t *testing.T) []byte{
		"Go": func(t *testing.T) []byte {
			t.Helper()
			return build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "the Go distribution", "go", "build", "-buildmode=c-shared", "-ldflags=-checklinkname=0", "-o", "OUT", "./testdata/isolation/stain")
		},
		"C": func(t *testing.T) []byte {
			t.Helper()
			if _, err := os.Stat("/usr/lib/wasm32-wasi/libc.a"); err != nil {
				missing(t, "the C library for WASI is not installed: it is in the package wasi-libc")
			}
			return build(t, nil, "the packages clang and lld, with libclang-rt-dev-wasm32", "clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-o", "OUT", "testdata/isolation/stain.c")
		},
		"Rust": func(t *testing.T) []byte {
			t.Helper()
			compiler, target := rustc(t)
			return build(t, nil, "rustc", compiler, "--target", target, "-O", "--crate-type", "cdylib", "-o", "OUT", "testdata/isolation/stain.rs")
		},
	} {
		t.Run(language, func(t *testing.T) {
			file := makes(t)
			h := newHost(t, wasm.Options{})
			for _, mode := range modes {
				t.Run(mode, func(t *testing.T) {
					m, err := h.Load(t.Context(), stored(file, core.Grant{}), file)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = m.Close(context.Background()) }()
					t.Logf("chosen is %s", wasm.Restores(m))
					if err := wasm.RestoreAs(m, mode); err != nil || wasm.Restores(m) != mode {
						t.Fatalf("RestoreAs %s: %s, %v", mode, wasm.Restores(m), err)
					}
					first := m.Collect(t.Context(), someone, nil)
					var runs sync.WaitGroup
					for range 3 {
						runs.Go(func() {
							for range 10 {
								if got := m.Collect(context.Background(), someone, nil); got.Outcome != core.Pass || got.Summary != first.Summary {
									t.Errorf("Collect = %s %q %v, the first run %q", got.Outcome, got.Summary, got.Why, first.Summary)
									return
								}
							}
						})
					}
					runs.Wait()
				})
			}
		})
	}
}

// The programs of [TestNothingIsLeftByRealPrograms] would find what is left:
// they do when it is not taken away.
func TestStainIsSeen(t *testing.T) {
	file := buildC(t, "../isolation/stain.c", "-mexec-model=reactor")
	h := newHost(t, wasm.Options{})
	m, err := h.Load(t.Context(), stored(file, core.Grant{}), file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Close(context.Background()) }()
	got := wasm.CollectTwice(t.Context(), m)
	if got.Outcome != core.Fail || len(got.Summary) < 20 {
		t.Errorf("a second run in an instance that was not restored = %s %q %v", got.Outcome, got.Summary, got.Why)
	}
}
