package wasm_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/wasm"
)

// The test binary is its own worker, and what a worker may turn into.
const (
	workerArgument = "run-compile-worker"
	hungryArgument = "take-memory"
	busyArgument   = "take-time"
	tellArgument   = "tell-limits"
)

const (
	hungryMemory = 64 << 20
	busyTime     = time.Second
)

func TestMain(m *testing.M) {
	if len(os.Args) != 2 || !worker(os.Args[1]) {
		m.Run()
	}
}

// worker is what this binary does as a worker.
func worker(does string) bool {
	switch does {
	case workerArgument:
		_ = wasm.CompileWorker(os.Stdin, os.Stdout) // the answer says what went wrong
		return true
	case hungryArgument, busyArgument, tellArgument:
		_, _ = io.Copy(io.Discard, os.Stdin)
		if err := wasm.Restrain(hungryMemory, busyTime); err != nil {
			panic(err)
		}
	default:
		return false
	}
	var kept [][]byte
	for does == hungryArgument {
		kept = append(kept, make([]byte, 16<<20))
	}
	if does == busyArgument {
		for {
			runtime.Gosched()
		}
	}
	runtime.KeepAlive(kept)
	tell()
	return true
}

// damage changes the only file of compiled code below dir, and returns what it
// was.
func damage(t *testing.T, dir string, change func(file []byte)) (path string, was []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files of compiled code: %v, %v", files, err)
	}
	was = readFile(t, files[0])
	is := bytes.Clone(was)
	change(is)
	if bytes.Equal(is, was) {
		t.Fatal("nothing was damaged")
	}
	if err := os.WriteFile(files[0], is, 0o600); err != nil {
		t.Fatal(err)
	}
	return files[0], was
}

// code is where the native code lies in a file of the runtime, before its
// checksum: see serializeCompiledModule there.
func code(t *testing.T, file []byte) (begin, end int) {
	t.Helper()
	functions := 7 + int(file[6]) // after the version
	length := functions + 4 + 8*int(binary.LittleEndian.Uint32(file[functions:]))
	begin = length + 8
	end = begin + int(binary.LittleEndian.Uint64(file[length:]))
	sum := crc32.Checksum(file[begin:end], crc32.MakeTable(crc32.Castagnoli))
	if end <= begin || sum != binary.LittleEndian.Uint32(file[end:]) {
		t.Fatal("the file of compiled code is not laid out as expected")
	}
	return begin, end
}

// Compiled code is kept, and used when it is what the compiler wrote: whatever
// else is found in its place is never run, and compiled anew.
// acceptance 38.
func TestCache(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(file []byte){
		"one byte": func(file []byte) { file[len(file)/2] ^= 1 },
		"all":      func(file []byte) { copy(file, bytes.Repeat([]byte("damaged"), len(file))) },
		"code with the right checksum": func(file []byte) { // which no processor survives
			begin, end := code(t, file)
			clear(file[begin:end])
			binary.LittleEndian.PutUint32(file[end:], crc32.Checksum(file[begin:end], crc32.MakeTable(crc32.Castagnoli)))
		},
	} {
		dir := filepath.Join(t.TempDir(), "cache")
		load(t, newHost(t, wasm.Options{CacheDir: dir}), "modules/tiny", core.Grant{})
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the cache is %v, %v; it must be for the owner only", info, err)
		}
		path, was := damage(t, dir, change)
		m := load(t, newHost(t, wasm.Options{CacheDir: dir}), "modules/tiny", core.Grant{}, number())
		if got := m.Collect(t.Context(), someone, nil); got.Outcome != core.Pass {
			t.Errorf("Collect after damage of %s = %s %v", what, got.Outcome, got.Why)
		}
		if is := readFile(t, path); !bytes.Equal(is, was) {
			t.Errorf("after damage of %s the cache was not made anew", what)
		}
	}
}

// What the list of the cache does not name is not used, and goes: a file that
// somebody put there, and what another compiler made. What is not of the
// runtime stays. Only a worker compiles where there is one.
func TestCacheKeepsItsList(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cache")
	load(t, newHost(t, wasm.Options{CacheDir: dir}), "modules/tiny", core.Grant{})
	idle := wasm.Options{CacheDir: dir, Worker: []string{os.Args[0], "-test.run=^$"}} // it compiles nothing
	load(t, newHost(t, idle), "modules/tiny", core.Grant{})                           // from the cache

	files, err := filepath.Glob(filepath.Join(dir, "wazero-*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	stranger, other := filepath.Join(filepath.Dir(files[0]), "stranger"), filepath.Join(dir, "notes")
	for _, path := range []string{stranger, other} {
		if err := os.WriteFile(path, readFile(t, files[0]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load(t, newHost(t, idle), "modules/tiny", core.Grant{})
	if _, err := os.Stat(stranger); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not in the list is still there: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Errorf("a file that is not of the runtime has gone: %v", err)
	}

	list := filepath.Join(dir, "entries.json")
	text := strings.Replace(string(readFile(t, list)), `"engine": "`, `"engine": "older `, 1)
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tiny := readFile(t, "testdata/modules/tiny.wasm")
	if _, err := newHost(t, idle).Inspect(t.Context(), tiny); err == nil || !strings.Contains(err.Error(), "without an answer") {
		t.Errorf("Inspect of what another compiler compiled: %v, want that the worker was asked", err)
	}
}

func TestWorker(t *testing.T) {
	t.Parallel()
	self := []string{os.Args[0], workerArgument}
	tiny := readFile(t, "testdata/modules/tiny.wasm")
	large, err := examples.QueueDepth()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    wasm.Options
		file []byte
		text []string // one of them
	}{
		"that does nothing":           {wasm.Options{Worker: []string{os.Args[0], "-test.run=^$"}}, tiny, []string{"without an answer"}},
		"that hangs":                  {wasm.Options{Worker: []string{"sleep", "60"}, CompileTime: 200 * time.Millisecond}, tiny, []string{"its compilation took longer than 2.4s"}},
		"with a file that takes long": {wasm.Options{Worker: self, CompileTime: 50 * time.Millisecond}, large, []string{"its compilation needs more than 50ms of processor time", "longer than 600ms"}},
		"with nothing to worry about": {wasm.Options{Worker: self}, tiny, nil},
	} {
		h := newHost(t, c.o)
		if _, err := h.Inspect(t.Context(), c.file); !oneOf(err, c.text) {
			t.Errorf("Inspect with a worker %s: %v, want %q", name, err, c.text)
		}
	}
	stuck := newHost(t, wasm.Options{Worker: []string{"sleep", "60"}})
	gone, leave := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer leave()
	if _, err := stuck.Inspect(gone, tiny); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "took longer") {
		t.Errorf("Inspect for a caller who has gone: %v, want that it was given up", err)
	}
}

// oneOf reports whether err says one of texts, or is nil when there are none.
func oneOf(err error, texts []string) bool {
	if err == nil || len(texts) == 0 {
		return err == nil && len(texts) == 0
	}
	for _, text := range texts {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// A compilation that was ended leaves the host as it was.
// acceptance 38.
func TestWorkerEndsAlone(t *testing.T) {
	t.Parallel()
	large, err := examples.QueueDepth()
	if err != nil {
		t.Fatal(err)
	}
	h := newHost(t, wasm.Options{Worker: []string{os.Args[0], workerArgument}, CompileMemory: 4 << 20})
	m := load(t, h, "modules/tiny", core.Grant{}, number())
	if _, err := h.Inspect(t.Context(), large); err == nil || !strings.Contains(err.Error(), "its compilation needs more than 4 MiB of memory") {
		t.Errorf("Inspect of what needs too much to compile: %v", err)
	}
	if got := m.Collect(t.Context(), someone, nil); got.Outcome != core.Pass {
		t.Errorf("Collect afterwards = %s %v", got.Outcome, got.Why)
	}
	again := load(t, h, "modules/said", core.Grant{})
	if got := again.Collect(t.Context(), someone, nil); got.Why.Code != "gave_up" {
		t.Errorf("Collect of a module compiled afterwards = %s %v", got.Outcome, got.Why)
	}
}
