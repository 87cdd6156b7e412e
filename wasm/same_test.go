package wasm_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/wasm"
)

func observer(tb testing.TB) *wasm.Observer {
	tb.Helper()
	o, err := wasm.NewObserver(newHost(tb, wasm.Options{}))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = o.Close() })
	return o
}

// same fails unless a program computes the same in every way in which it can
// run: as it was written, metered, metered with a tick at every charge, and in
// instances that other runs have used. It returns how the program ended and in
// what way it is restored, or why it is refused.
func same(t *testing.T, o *wasm.Observer, file []byte, exports ...string) (ended, mode string, err error) {
	t.Helper()
	p, err := o.Open(file)
	if err != nil {
		return "", "", err
	}
	defer p.Close()
	ended, mode = sameEverywhere(t, p, exports...)
	return ended, mode, nil
}

// sameEverywhere is same for a program that is open.
func sameEverywhere(t *testing.T, p *wasm.Observed, exports ...string) (ended, mode string) {
	t.Helper()
	fresh := p.Fresh(exports...)
	if fresh.Limited() { // nothing would end it as it was written
		return fresh.Ended, ""
	}
	plain := p.Plain(exports...)
	agree := func(what string, got wasm.Seen) {
		t.Helper()
		if !got.Limited() && !plain.Limited() && !reflect.DeepEqual(got, plain) {
			t.Errorf("%s it computes\n%+v, as it was written\n%+v", what, got, plain)
		}
	}
	agree("metered,", fresh)
	agree("with a tick at every charge,", p.Ticking(exports...))
	turned := slices.Clone(exports)
	slices.Reverse(turned)
	all, mode, err := p.Restored(turned, 2, exports...)
	if err != nil {
		t.Fatalf("Restored: %v", err)
	}
	for _, restored := range all {
		if mode == "" { // its initialisation fails, which says no more than how
			if !strings.HasPrefix(fresh.Ended, restored.Ended) {
				t.Errorf("its initialisation ends with %q, that of a new instance with %q", restored.Ended, fresh.Ended)
			}
			continue
		}
		if !restored.Limited() && !reflect.DeepEqual(restored, fresh) {
			t.Errorf("in an instance that is used again it computes\n%+v, in a new one\n%+v", restored, fresh)
		}
	}
	return fresh.Ended, mode
}

// seed is a stretch of random bytes, always the same.
func seed(i uint64) []byte {
	r := rand.New(rand.NewPCG(i, 2026))
	b := make([]byte, 200+r.IntN(1500))
	for k := range b {
		b[k] = byte(r.Uint32())
	}
	return b
}

// FuzzSame holds metering and restoring to what the guest may notice of them,
// which is nothing, on programs that it makes up.
// acceptance 38.
func FuzzSame(f *testing.F) {
	for i := range uint64(50) {
		f.Add(seed(i))
	}
	o := observer(f)
	f.Fuzz(func(t *testing.T, in []byte) {
		file := generate(in[:min(len(in), 4000)])
		if _, _, err := same(t, o, file, entries()...); err != nil {
			t.Errorf("a program that was made to be valid is refused: %v", err)
		}
	})
}

// What FuzzSame makes up is worth running: most of it ends well, some traps,
// and all ways of restoring are met.
func TestGenerated(t *testing.T) {
	o := observer(t)
	ends, modes := map[string]int{}, map[string]int{}
	const tried = 300
	for i := range uint64(tried) {
		ended, mode, err := same(t, o, generate(seed(1000+i)), entries()...)
		if err != nil {
			t.Errorf("seed %d: %v", 1000+i, err)
		}
		ends[ended]++
		modes[mode]++
	}
	t.Logf("ended %v, restored %v", ends, modes)
	if ends[""] < tried/3 || len(ends) < 4 || modes["fresh"] < tried/20 || modes["copied"] < tried/5 || modes["mapped"] < tried/5 && runtime.GOOS == "linux" {
		t.Errorf("of %d programs: ended %v, restored %v", tried, ends, modes)
	}
}

// mutate changes single instructions of the code of a file: a number for
// another, a comparison for another, and so on. Three bytes of edits name one.
func mutate(file, edits []byte) []byte {
	out := slices.Clone(file)
	begin, end := codeOf(file)
	for ; len(edits) >= 3 && end > begin; edits = edits[3:] {
		at := begin + (int(edits[0])<<8|int(edits[1]))%(end-begin)
		for _, class := range [][2]byte{{0x46, 0x4f}, {0x51, 0x5a}, {0x5b, 0x60}, {0x61, 0x66}, {0x67, 0x69}, {0x6a, 0x78}, {0x79, 0x7b}, {0x7c, 0x8a}, {0x8b, 0x91}, {0x92, 0x98}, {0xa0, 0xa6}} {
			if b := out[at]; b >= class[0] && b <= class[1] {
				out[at] = class[0] + edits[2]%(class[1]-class[0]+1)
			}
		}
		if out[at] == file[at] {
			out[at] = out[at]&0x80 | edits[2]&0x7f
		}
	}
	return out
}

// codeOf is where the code section of a module is.
func codeOf(file []byte) (begin, end int) {
	for i := 8; i < len(file); {
		id, n, shift := file[i], 0, 0
		for i++; ; i++ {
			n |= int(file[i]&0x7f) << shift
			shift += 7
			if file[i]&0x80 == 0 {
				break
			}
		}
		i++
		if id == 10 {
			return i, i + n
		}
		i += n
	}
	return 0, 0
}

// asked are the exports that a fixture is asked for.
func asked(file []byte) []string {
	if strings.Contains(string(file), "_start") {
		return []string{"_start"}
	}
	return []string{"tocsin_describe", "tocsin_collect", "tocsin_collect"}
}

// fixtures are the small modules of the tests.
func fixtures(tb testing.TB) map[string][]byte {
	tb.Helper()
	out := map[string][]byte{}
	for _, pattern := range []string{"testdata/*/*.wasm", "meter/testdata/*.wasm"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			tb.Fatal(pattern, paths, err)
		}
		for _, path := range paths {
			out[path] = readFile(tb, path)
		}
	}
	return out
}

// FuzzSameMutated is FuzzSame on the modules of the tests, changed here and
// there.
func FuzzSameMutated(f *testing.F) {
	all := fixtures(f)
	paths := make([]string, 0, len(all))
	for path := range all {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	for i := range paths {
		f.Add(uint8(i), []byte{})
		f.Add(uint8(i), seed(uint64(i))[:30])
	}
	o := observer(f)
	f.Fuzz(func(t *testing.T, which uint8, edits []byte) {
		file := all[paths[int(which)%len(paths)]]
		_, _, _ = same(t, o, mutate(file, edits[:min(len(edits), 60)]), asked(file)...) // most are refused
	})
}

// Real programs compute the same metered and restored: those of the examples,
// and one of each language.
// acceptance 38.
func TestSameInRealPrograms(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs large programs")
	}
	o := observer(t)
	o.Fuel, o.Most = 1e9, 20*time.Second
	for name, makes := range map[string]func(t *testing.T) []byte{
		"Go reactor": func(t *testing.T) []byte {
			t.Helper()
			file, err := examples.QueueDepth()
			if err != nil {
				t.Fatal(err)
			}
			return file
		},
		"Go command": func(t *testing.T) []byte {
			t.Helper()
			return build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "the Go distribution", "go", "build", "-o", "OUT", "./testdata/commands/score")
		},
		"C command": func(t *testing.T) []byte { t.Helper(); return buildC(t, "disk.c") },
		"Rust command": func(t *testing.T) []byte {
			t.Helper()
			compiler, target := rustc(t)
			return build(t, nil, "rustc", compiler, "--target", target, "-O", "-o", "OUT", "testdata/commands/uptime.rs")
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := o.Open(makes(t))
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			for _, request := range []string{
				`{"abi":"tocsin/1","kind":"collect","config":{"used":41.5,"url":"http://127.0.0.1:1"},"check":{"id":"c"},"system":{"id":"s","tags":{}},"seed":1,"now":"2026-01-01T00:00:00Z"}`,
				fmt.Sprintf(`{"kind":"collect","config":{"url":"http://127.0.0.1:1","filler":%q}}`, strings.Repeat("x", 50_000)),
			} {
				o.Request = []byte(request)
				exports := []string{"tocsin_collect"}
				if strings.Contains(name, "command") {
					exports = []string{"_start"}
				}
				ended, mode := sameEverywhere(t, p, exports...)
				if strings.HasPrefix(ended, "limit") || strings.HasPrefix(ended, "fault") {
					t.Errorf("asked %.60s: ended %q, restored %q", request, ended, mode)
				}
			}
		})
	}
}
