package plan_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
)

// BenchmarkTasks makes the tasks of one check over 10,000 systems, and tells
// how much memory each keeps.
func BenchmarkTasks(b *testing.B) {
	p := plan.New(collectors(), plan.Options{})
	c := httpCheck("https://${system.id}.example/healthz", "status == 200", `json.version != ""`)
	c.Systems = core.Selector{Match: `system.tags.env == "prod"`}
	all := make([]core.System, 10_000)
	for i := range all {
		all[i] = core.System{ID: fmt.Sprintf("web-%05d", i), Tags: map[string]string{"env": "prod"}}
	}
	checks := []core.Check{c}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	kept := p.Tasks(checks, all)
	memory := float64(heap()-before) / float64(len(kept))
	for b.Loop() {
		if tasks := p.Tasks(checks, all); len(tasks) != len(all) {
			b.Fatalf("got %d tasks", len(tasks))
		}
	}
	b.ReportMetric(memory, "B/task")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(all)), "ns/task")
	runtime.KeepAlive(kept)
}

// BenchmarkRun measures what a run costs besides its collector: one assertion
// of each kind over the samples of a module.
func BenchmarkRun(b *testing.B) {
	k := collectors()
	k.modules["pg-lag"] = lag(core.Samples{"lag_seconds": 4.0, "role": "primary"}, core.Pass)
	c := httpCheck("")
	c.Collect = []core.Collect{{Use: "wasm:pg-lag", With: map[string]any{"database": "x"}, Assert: []string{"lag_seconds < 10", `role == "primary"`}}}
	task := plan.New(k, plan.Options{}).Tasks([]core.Check{c}, systems())[0]
	b.ReportAllocs()
	for b.Loop() {
		var run core.Run
		if task.Collect(b.Context(), &run); run.Outcome != core.Pass {
			b.Fatal(run.Why)
		}
	}
}
