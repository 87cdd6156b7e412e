package meter_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-io/tocsin/wasm/meter"
)

func read(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// newRuntime is a runtime whose host grants slice instructions at each tick
// and counts the ticks.
func newRuntime(tb testing.TB, slice int64, ticks *int) wazero.Runtime {
	tb.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(4096).WithCloseOnContextDone(true))
	tb.Cleanup(func() { _ = rt.Close(ctx) })
	_, err := rt.NewHostModuleBuilder("host").NewFunctionBuilder().WithFunc(func(left int64) int64 {
		if left >= 0 {
			panic("a tick with fuel left")
		}
		*ticks++
		return slice
	}).Export("tick").Instantiate(ctx)
	if err != nil {
		tb.Fatal(err)
	}
	return rt
}

func rewrite(tb testing.TB, file []byte) []byte {
	tb.Helper()
	m, err := meter.Parse(file, meter.DefaultLimits())
	if err != nil {
		tb.Fatalf("Parse: %v", err)
	}
	out, err := m.Rewrite("host", "tick")
	if err != nil {
		tb.Fatalf("Rewrite: %v", err)
	}
	return out
}

// A rewritten module computes what the plain one does, however often it ticks.
func TestRewriteComputesTheSame(t *testing.T) {
	file := read(t, "testdata/compute.wasm")
	ctx := t.Context()
	for _, slice := range []int64{0, 1, 100, 1_000_000} {
		var ticks int
		rt := newRuntime(t, slice, &ticks)
		for _, name := range []string{"fib", "indirect", "switch", "values", "bulk", "tables", "vector", "select", "leave", "trap"} {
			for arg := range uint64(20) {
				call := func(b []byte) (uint64, string) {
					m, err := rt.InstantiateWithConfig(ctx, b, wazero.NewModuleConfig().WithName(""))
					if err != nil {
						t.Fatalf("instantiate: %v", err)
					}
					defer func() { _ = m.Close(ctx) }()
					got, err := m.ExportedFunction(name).Call(ctx, arg)
					if err != nil {
						return 0, strings.SplitN(err.Error(), "\n", 2)[0]
					}
					return uint64(api.DecodeU32(got[0])), ""
				}
				want, wantErr := call(file)
				got, gotErr := call(rewrite(t, file))
				if got != want || gotErr != wantErr {
					t.Errorf("%s(%d), slice %d: rewritten %d %q, plain %d %q", name, arg, slice, got, gotErr, want, wantErr)
				}
			}
		}
		if ticks == 0 {
			t.Errorf("slice %d: it never ticked", slice)
		}
	}
}

// The counter says about how much was computed.
func TestFuelIsProportional(t *testing.T) {
	var ticks int
	rt := newRuntime(t, 1<<40, &ticks)
	m, err := rt.Instantiate(t.Context(), rewrite(t, read(t, "testdata/compute.wasm")))
	if err != nil {
		t.Fatal(err)
	}
	cost := func(n uint64) uint64 {
		before := m.ExportedGlobal(meter.FuelGlobal).Get()
		if _, err := m.ExportedFunction("fib").Call(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		return before - m.ExportedGlobal(meter.FuelGlobal).Get()
	}
	small, large := cost(10), cost(20) // 177 and 21,891 calls of about 14 instructions
	if small < 177*8 || small > 177*20 || large < 21891*8 || large > 21891*20 {
		t.Errorf("fib(10) costs %d, fib(20) costs %d", small, large)
	}
}

// module assembles a module of one function from parts: locals and code.
func module(sections ...[]byte) []byte {
	return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
}

func section(id byte, body ...byte) []byte {
	return append(leb([]byte{id}, len(body)), body...)
}

func leb(b []byte, n int) []byte {
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// withBody is a module with one function () and that body.
func withBody(body ...byte) []byte {
	code := append(leb([]byte{1}, len(body)), body...)
	return module(section(1, 1, 0x60, 0, 0), section(3, 1, 0), section(10, code...))
}

func TestParseRefuses(t *testing.T) {
	many := func(n int, b ...byte) []byte { return bytes.Repeat(b, n) }
	for text, file := range map[string][]byte{
		"6001 nested blocks, the limit is 5000":                                  withBody(append(append([]byte{0}, many(6000, 2, 0x40)...), many(6001, 0x0b)...)...),
		"a function has 4294967295 locals, the limit is 5000":                    withBody(1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 0x0b),
		"blocks times locals in one function":                                    withBody(append(append([]byte{1, 0x88, 0x27, 0x7f}, many(3000, 2, 0x40, 0x0b)...), 0x0b)...),
		"bytes in one function, the limit is 524288":                             withBody(append(append([]byte{0}, many(600<<10, 1)...), 0x0b)...),
		"a function goes on after its end":                                       withBody(0, 0x0b, 0x0b),
		"a function has no end":                                                  withBody(0, 0x01),
		"it branches out of a function":                                          withBody(0, 0x0c, 1, 0x0b),
		"it refers to the global 0 of 0":                                         withBody(0, 0x23, 0, 0x1a, 0x0b), // it would be the counter
		"it refers to the local 0 of 0":                                          withBody(0, 0x20, 0, 0x1a, 0x0b), // it would be one that is added
		"it refers to the function 1 of 1":                                       withBody(0, 0x10, 1, 0x0b),
		"it uses the instruction 0x6 (exceptions":                                withBody(0, 6, 0x40, 0x0b, 0x0b),
		"it uses the instruction 0x12 (exceptions, tail calls":                   withBody(0, 0x12, 0, 0x0b),
		"it uses the instruction 0xfe (exceptions, tail calls, threads":          withBody(0, 0xfe, 3, 0, 0x0b),
		"relaxed vector instruction":                                             withBody(0, 0xfd, 0x80, 0x02, 0x0b),
		"a number has more than 32 bits":                                         withBody(0, 0x10, 0xff, 0xff, 0xff, 0xff, 0x1f, 0x0b),
		"its section 1 is out of order":                                          module(section(3, 0), section(1, 0)),
		"it has a section 13":                                                    module(section(13, 0)),
		"it uses shared memory":                                                  module(section(5, 1, 3, 1, 1)),
		"it uses 64-bit memory":                                                  module(section(5, 1, 4, 1)),
		"the module has 2 memories":                                              module(section(5, 2, 0, 1, 0, 1)),
		"its tables have 4294967295 elements, the limit is 100000":               module(section(4, 1, 0x70, 0, 0xff, 0xff, 0xff, 0xff, 0x0f)),
		"it declares 1 functions and defines none":                               module(section(1, 1, 0x60, 0, 0), section(3, 1, 0)),
		"it ends in the middle of something":                                     module([]byte{10, 0xff, 0xff, 0x7f}),
		`it exports "tocsin.fuel"; names that begin with "tocsin." are reserved`: module(section(6, 1, 0x7f, 0, 0x41, 0, 0x0b), section(7, append([]byte{1, 11}, "tocsin.fuel\x03\x00"...)...)),
	} {
		began := time.Now()
		if _, err := meter.Parse(file, meter.DefaultLimits()); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Parse = %v, want %q", err, text)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("Parse took %s to find %q", took, text)
		}
	}
}

// What is just within the limits compiles in bounded time.
func TestLimitsBoundCompilation(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the worst there is")
	}
	var ticks int
	rt := newRuntime(t, 0, &ticks)
	many := func(n int, b ...byte) []byte { return bytes.Repeat(b, n) }
	for name, file := range map[string][]byte{
		"wide":   withBody(append(append([]byte{1, 0x84, 0x27, 0x7f}, many(1650, 3, 0x40, 0x20, 0, 0x21, 1, 0x0b)...), 0x0b)...),
		"nested": withBody(append(append([]byte{0}, many(4990, 2, 0x40)...), many(4991, 0x0b)...)...),
		"long":   withBody(append(append([]byte{1, 1, 0x7f}, many(70_000, 0x20, 0, 0x41, 1, 0x6a, 0x21, 0)...), 0x0b)...),
	} {
		began := time.Now()
		m, err := rt.CompileModule(t.Context(), rewrite(t, file))
		if err != nil {
			t.Errorf("compile %s: %v", name, err)
			continue
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("compiling %s took %s", name, took)
		} else {
			t.Logf("%s: %s", name, took)
		}
		_ = m.Close(t.Context())
	}
}

// Parse never panics; and whatever the runtime refuses, it refuses rewritten
// as well: rewriting makes nothing valid.
func FuzzParse(f *testing.F) {
	paths, err := filepath.Glob("../testdata/*/*.wasm")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	f.Add(read(f, "testdata/compute.wasm"))
	for _, path := range paths {
		f.Add(read(f, path))
	}
	var ticks int
	rt := newRuntime(f, 1, &ticks)
	limits := meter.DefaultLimits()
	limits.Size, limits.Width, limits.Body = 64<<10, 1<<16, 16<<10
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := meter.Parse(file, limits)
		if err != nil {
			return
		}
		out, err := m.Rewrite("host", "tick")
		if err != nil {
			return
		}
		plain, plainErr := rt.CompileModule(t.Context(), file)
		after, afterErr := rt.CompileModule(t.Context(), out)
		if plainErr != nil && afterErr == nil && !strings.Contains(plainErr.Error(), "section custom") { // those are dropped
			t.Errorf("rewriting made a module valid that is not: %v", plainErr)
		}
		for _, m := range []wazero.CompiledModule{plain, after} {
			if m != nil {
				_ = m.Close(t.Context())
			}
		}
	})
}
