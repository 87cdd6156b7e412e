package wasm_test

import (
	"context"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/wasm"
)

// BenchmarkRun measures full runs, each in an instance of its own, beside the
// same file called again and again in one instance without limits or
// isolation, and prints how many times as long a full run takes.
func BenchmarkRun(b *testing.B) {
	goModule, err := examples.QueueDepth()
	if err != nil {
		b.Fatal(err)
	}
	for name, file := range map[string][]byte{"tiny": readFile(b, "testdata/modules/tiny.wasm"), "go": goModule} {
		b.Run(name, func(b *testing.B) {
			h := newHost(b, wasm.Options{})
			m, err := h.Load(b.Context(), stored(file, core.Grant{}, number()), file)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = m.Close(context.Background()) }()
			config := map[string]any{"url": "http://127.0.0.1:1/"} // not granted: no network in the measurement
			b.ReportAllocs()
			for b.Loop() {
				m.Collect(b.Context(), someone, config)
			}
			ours := float64(b.Elapsed()) / float64(b.N)
			b.ReportMetric(ours/float64(unsafeReuse(b, file)), "x_unsafe")
			b.ReportMetric(1e9/ours, "runs/s")
		})
	}
}

// unsafeReuse is the time of one call in an instance that is used again, with
// a host that answers at once.
func unsafeReuse(b *testing.B, file []byte) time.Duration {
	b.Helper()
	ctx := context.Background()
	rt := wazero.NewRuntime(ctx)
	defer func() { _ = rt.Close(ctx) }()
	request := []byte(`{"abi":"tocsin/1","kind":"collect","config":{"url":"http://127.0.0.1:1/"},"check":{"id":"c"},"system":{"id":"s"}}`)
	denied := []byte(`{"error":{"code":"denied","message":"no"},"duration_ms":0}`)
	var input []byte
	modules := map[string]wazero.HostModuleBuilder{}
	for _, o := range wasm.Functions() {
		if modules[o.Module] == nil {
			modules[o.Module] = rt.NewHostModuleBuilder(o.Module)
		}
		modules[o.Module].NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(_ context.Context, m api.Module, stack []uint64) {
			switch o.Name {
			case "input_length":
				stack[0] = uint64(len(input))
			case "input_read":
				n := min(uint32(stack[1]), uint32(len(input)))
				m.Memory().Write(uint32(stack[0]), input[:n])
				input = input[n:]
				stack[0] = uint64(n)
			case "http":
				input = denied
				stack[0] = uint64(len(denied))
			case "clock_time_get":
				m.Memory().WriteUint64Le(uint32(stack[2]), 1)
				stack[0] = 0
			case "args_sizes_get", "environ_sizes_get":
				m.Memory().WriteUint32Le(uint32(stack[0]), 0)
				m.Memory().WriteUint32Le(uint32(stack[1]), 0)
				stack[0] = 0
			case "random_get", "sched_yield", "args_get", "environ_get":
				stack[0] = 0
			default:
				if len(stack) > 0 && len(o.Type.Results) > 0 {
					stack[0] = 8
				}
			}
		}), o.Type.Params, o.Type.Results).Export(o.Name)
	}
	for _, m := range modules {
		if _, err := m.Instantiate(ctx); err != nil {
			b.Fatal(err)
		}
	}
	m, err := rt.InstantiateWithConfig(ctx, file, wazero.NewModuleConfig().WithStartFunctions("_initialize"))
	if err != nil {
		b.Fatal(err)
	}
	collect := m.ExportedFunction("tocsin_collect")
	const calls = 2000
	began := time.Now()
	for range calls {
		input = request
		if got, err := collect.Call(ctx); err != nil || got[0] != 0 {
			b.Fatalf("the unsafe instance: %v %v", got, err)
		}
	}
	return time.Since(began) / calls
}
