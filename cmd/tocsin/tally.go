package main

import (
	"slices"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

const (
	tallyRing    = 512 // newest runs that percentiles are of
	tallyMinutes = 60  // of the series
)

// tally counts what the runs of one version of a module come to. It is safe
// for concurrent use; adding takes well under a microsecond.
type tally struct {
	mu        sync.Mutex
	total     core.Trial // without P99
	last      time.Time
	memoryMax int64
	ring      [tallyRing]spent
	minutes   [tallyMinutes]minute
}

// spent is what one run took.
type spent struct {
	wall   time.Duration
	memory int64
	fuel   int64
}

// minute is what happened in one.
type minute struct {
	number             int64 // of minutes since 1970
	runs, errors, bads int
	wall               time.Duration // of all
}

// add counts a run that ended now.
func (t *tally) add(r *core.Result, now time.Time) {
	var s spent
	if r.Usage != nil {
		s = spent{r.Usage.Wall, r.Usage.Memory, r.Usage.Fuel}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	number := now.Unix() / 60
	m := &t.minutes[number%tallyMinutes]
	if m.number != number {
		*m = minute{number: number}
	}
	t.ring[t.total.Runs%tallyRing] = s
	t.total.Runs++
	m.runs++
	m.wall += s.wall
	switch r.Outcome {
	case core.Error:
		t.total.Errors++
		m.errors++
	case core.Fail:
		t.total.Fails++
		m.bads++
	case core.Pass, core.Warn:
	}
	t.memoryMax = max(t.memoryMax, s.memory)
	t.last = now
}

// trial is what there was since start, with the newest percentile.
func (t *tally) trial() core.Trial {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.total
	out.P99 = time.Duration(quantile(t.newest(func(s spent) int64 { return int64(s.wall) }), 0.99))
	return out
}

// since is t without what there was at a trial before.
func (t *tally) since(before core.Trial) core.Trial {
	now := t.trial()
	now.Runs -= before.Runs
	now.Errors -= before.Errors
	now.Fails -= before.Fails
	return now
}

// newest are values of the ring in ascending order. t.mu is held.
func (t *tally) newest(of func(spent) int64) []int64 {
	out := make([]int64, min(t.total.Runs, tallyRing))
	for i := range out {
		out[i] = of(t.ring[i])
	}
	slices.Sort(out)
	return out
}

// quantile of ascending values, by nearest rank.
func quantile(sorted []int64, q float64) int64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// stats is t as the API shows it.
func (t *tally) stats(now time.Time) wire.ModuleStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	wall := t.newest(func(s spent) int64 { return int64(s.wall) })
	ms := func(q float64) float64 {
		return float64(quantile(wall, q)/1000) / 1000
	}
	out := wire.ModuleStats{
		Runs: t.total.Runs, Errors: t.total.Errors, Fails: t.total.Fails, Last: t.last, WallP50: ms(0.5), WallP99: ms(0.99),
		MemoryP99: quantile(t.newest(func(s spent) int64 { return s.memory }), 0.99), MemoryMax: t.memoryMax,
		FuelP99: quantile(t.newest(func(s spent) int64 { return s.fuel }), 0.99), Series: []wire.ModulePoint{},
	}
	newest := now.Unix() / 60
	if t.last.Unix()/60 <= newest-tallyMinutes {
		return out
	}
	for number := newest - tallyMinutes + 1; number <= newest; number++ {
		var p wire.ModulePoint
		if m := t.minutes[number%tallyMinutes]; m.number == number && m.runs > 0 {
			p = wire.ModulePoint{Runs: m.runs, Errors: m.errors, Fails: m.bads, Wall: float64((m.wall / time.Duration(m.runs)).Microseconds()) / 1000}
		}
		out.Series = append(out.Series, p)
	}
	return out
}
