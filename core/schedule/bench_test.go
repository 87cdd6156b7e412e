//nolint:forbidigo // a benchmark measures by the clock
package schedule_test

import (
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/schedule"
)

// BenchmarkSchedule100k holds 100,000 entries, measures what adding and
// removing one costs and how much memory one takes, then fires 10,000 a second
// for two seconds and reports how late the latest percent was.
func BenchmarkSchedule100k(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		entries := make([]schedule.Entry[int], n)
		var q schedule.Queue[int]
		every := parse(b, schedule.Spec{Every: core.Duration(10 * time.Second)})
		schedules := make([]*schedule.Schedule, n)
		for i := range n {
			schedules[i] = every.For(fmt.Sprintf("system-%d:check", i))
		}
		now := time.Now()
		dues := make([]time.Time, n)
		for i := range n {
			dues[i] = schedules[i].Next(now)
		}
		began := time.Now()
		for i := range n {
			entries[i].Key = i
			q.Add(&entries[i], dues[i])
		}
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/n, "ns/add")
		runtime.KeepAlive(dues)
		runtime.GC()
		runtime.ReadMemStats(&after)
		runtime.KeepAlive(schedules)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/entry+schedule")
		began = time.Now()
		const some = n / 10
		for i := range some {
			q.Remove(&entries[i*10])
		}
		b.ReportMetric(float64(time.Since(began).Nanoseconds())/some, "ns/remove")
		for i := range some {
			q.Add(&entries[i*10], schedules[i*10].Next(time.Now()))
		}
		lates := drive(&q, schedules, 2*time.Second)
		b.ReportMetric(float64(lates[len(lates)*99/100].Microseconds())/1000, "ms-late-p99")
		b.ReportMetric(float64(len(lates))/2, "fires/s")
	}
}

func drive(q *schedule.Queue[int], schedules []*schedule.Schedule, span time.Duration) []time.Duration {
	for now := time.Now(); ; { // what fell due while the queue was filled is not the queue's doing
		e, _ := q.Pop(now)
		if e == nil {
			break
		}
		q.Add(e, schedules[e.Key].Next(now))
	}
	lates := make([]time.Duration, 0, 100_000)
	for end := time.Now().Add(span); ; {
		now := time.Now()
		if now.After(end) {
			break
		}
		for {
			e, at := q.Pop(now)
			if e == nil {
				break
			}
			lates = append(lates, time.Since(at))
			q.Add(e, schedules[e.Key].Next(at))
		}
		if _, at := q.Peek(); time.Until(at) > 0 {
			time.Sleep(time.Until(at))
		}
	}
	slices.Sort(lates)
	return lates
}

func BenchmarkNext(b *testing.B) {
	for name, spec := range map[string]schedule.Spec{
		"every":        {Every: seconds(30), Key: "k"},
		"every/active": {Every: seconds(30), Key: "k", Active: []core.ActiveWindow{{Days: "mon-fri", From: "09:00", To: "17:00"}}},
		"cron":         {Cron: "*/5 * * * *", Zone: "Europe/Berlin"},
		"cron/daily":   {Cron: "30 2 * * *", Zone: "Europe/Berlin"},
	} {
		b.Run(name, func(b *testing.B) {
			s := parse(b, spec)
			at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			for b.Loop() {
				at = s.Next(at)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for _, text := range []string{"*/5 * * * *", "30 2 * * *"} {
		b.Run(text, func(b *testing.B) {
			for b.Loop() {
				parse(b, schedule.Spec{Cron: text, Zone: "Europe/Berlin"})
			}
		})
	}
}
