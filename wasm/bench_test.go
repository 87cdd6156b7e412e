package wasm_test

import (
	"context"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/wasm"
)

// BenchmarkRun measures full runs, each beginning where the initialisation
// ended, beside the same runs without metering, limits and isolation, and
// prints how many times as long a full run takes. Both do the same besides:
// they write the request, read the response and keep the recording.
func BenchmarkRun(b *testing.B) {
	goModule, err := examples.QueueDepth()
	if err != nil {
		b.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"tiny": readFile(b, "testdata/modules/tiny.wasm"),
		"c":    readFile(b, "../cmd/tocsin/bench/c.wasm"),
		"rust": readFile(b, "../cmd/tocsin/bench/rust.wasm"),
		"go":   goModule,
	} {
		b.Run(name, func(b *testing.B) {
			runs := map[wasm.Isolation]func(){}
			for _, isolation := range []wasm.Isolation{wasm.Restored, wasm.Bare} {
				h, err := wasm.NewForBench(wasm.Options{}, isolation)
				if err != nil {
					b.Fatal(err)
				}
				defer h.Close(context.Background()) //nolint:errcheck // of no use any more
				m, err := h.Load(b.Context(), stored(file, core.Grant{}, number()), file)
				if err != nil {
					b.Fatal(err)
				}
				defer m.Close(context.Background())                                            //nolint:errcheck // closing does not fail
				config := map[string]any{"url": "http://127.0.0.1:1/", "used": 3, "most": 5.5} // the url is not granted: no network in the measurement
				runs[isolation] = func() { m.Collect(b.Context(), someone, config) }
				runs[isolation]()
			}
			var ours, bare time.Duration
			for b.Loop() {
				began := time.Now()
				runs[wasm.Restored]()
				between := time.Now()
				runs[wasm.Bare]()
				ours, bare = ours+between.Sub(began), bare+time.Since(between)
			}
			b.ReportMetric(0, "ns/op") // of both together: it says nothing
			b.ReportMetric(float64(ours.Nanoseconds())/float64(b.N), "ns/run")
			b.ReportMetric(float64(ours)/float64(bare), "x_bare")
		})
	}
}
