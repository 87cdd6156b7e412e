package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
)

// counter is a Recorder that only counts, and notes how late runs began that
// were due after from.
type counter struct {
	runs, batches atomic.Int64
	from          time.Time
	mu            sync.Mutex
	lates         []time.Duration
}

func (c *counter) Record(_ context.Context, runs []*core.Run) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range runs {
		r.ID = int64(i + 1)
		if r.Due.After(c.from) {
			c.lates = append(c.lates, r.Started.Sub(r.Due))
		}
	}
	c.runs.Add(int64(len(runs)))
	c.batches.Add(1)
	return nil
}

// p99 is the lateness in milliseconds that one in a hundred exceeds.
func (c *counter) p99() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lates) == 0 {
		return 0
	}
	slices.Sort(c.lates)
	return float64(c.lates[len(c.lates)*99/100].Microseconds()) / 1000
}

func (*counter) Expire(context.Context, []string, time.Time) error { return nil }

// BenchmarkEngine drives ticks through the whole engine, with a collector and
// storage that do nothing, faster than it can: what it skips it could not do.
func BenchmarkEngine(b *testing.B) {
	for _, n := range []int{5_000, 50_000, 300_000} {
		b.Run(fmt.Sprintf("due-a-second-%d", n), func(b *testing.B) {
			for b.Loop() {
				c := counter{from: time.Now().Add(time.Second)}
				e := engine.New(&c, quiet(), engine.Options{})
				e.Sync(tasks(b, n, time.Second), nil)
				stop := run(b, e)
				const span = 3 * time.Second
				time.Sleep(span)
				s, runs := e.Stats(), float64(c.runs.Load())
				if err := stop(); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(runs/span.Seconds(), "runs/s")
				b.ReportMetric(float64(c.runs.Load())/float64(c.batches.Load()), "runs/batch")
				b.ReportMetric(c.p99(), "ms-late-p99")
				b.ReportMetric(float64(s.Skipped), "skipped")
			}
		})
	}
}

// BenchmarkTasks100k is memory per task, and what it costs to add all, to find
// that nothing changed, and to edit one among them.
func BenchmarkTasks100k(b *testing.B) {
	const n = 100_000
	all := tasks(b, n, time.Minute)
	for b.Loop() {
		c := counter{from: time.Now().Add(time.Second)}
		e := engine.New(&c, quiet(), engine.Options{})
		stop := run(b, e)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		began := time.Now()
		e.Sync(all, nil)
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/n, "ns/add")
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/task")
		began = time.Now()
		e.Sync(all, nil)
		b.ReportMetric(float64(time.Since(began).Microseconds())/1000, "ms/sync-unchanged")
		time.Sleep(3 * time.Second)
		b.ReportMetric(c.p99(), "ms-late-p99")
		if err := stop(); err != nil {
			b.Fatal(err)
		}
	}
}

func tasks(b *testing.B, n int, interval time.Duration) []engine.Task {
	b.Helper()
	s := every(b, interval, "")
	out := make([]engine.Task, n)
	for i := range out {
		id := fmt.Sprintf("system-%d:check", i)
		out[i] = engine.Task{ID: id, Revision: "1", Schedule: s.For(id), Timeout: interval / 2, StaleAfter: 3 * interval, Collect: pass}
	}
	return out
}
