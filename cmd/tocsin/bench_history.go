package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/series"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
)

const (
	// historySpan is over what time the runs are spread.
	historySpan = 30 * 24 * time.Hour
	// historyBatch is how many runs are recorded together.
	historyBatch = 1000
)

// shelved is a database of which the bench of history asks.
type shelved interface {
	store.Ledger
	store.Catalog
	store.History
	store.Series
	Close() error
}

// past is what a bench of history has stored: systems with two checks that run
// once a minute, or more rarely when there are few runs, over 30 days.
type past struct {
	b       *bencher
	db      shelved
	size    int
	end     time.Time
	systems []string
	ids     []string
	buckets map[series.Tier]int           // that runs are in
	latest  map[series.Tier]map[int]int64 // bucket by assignment
}

// benchHistory stores size runs in each database, adds them up, and reads what
// the page of one system shows.
func benchHistory(b *bencher) error {
	for i, size := range b.sizes {
		db, err := sqlite.Open(b.ctx, filepath.Join(b.dir, fmt.Sprint(i)), sqlite.Options{})
		if err != nil {
			return err
		}
		if err := b.history("sqlite", db, size); err != nil {
			return err
		}
	}
	for _, size := range b.sizes {
		url, _, end, err := b.postgres()
		if errors.Is(err, pgtest.ErrMissing) {
			b.leaveOut("postgres", err.Error())
			return nil
		}
		if err != nil {
			return err
		}
		db, err := postgres.Open(b.ctx, url, postgres.Options{})
		if err == nil {
			err = b.history("postgres", db, size)
		}
		end()
		if err != nil {
			return err
		}
	}
	return nil
}

// history measures db, and closes it.
func (b *bencher) history(backend string, db shelved, size int) (err error) {
	defer func() { err = errors.Join(err, db.Close()) }()
	name := b.name + "/" + backend
	p := &past{b: b, db: db, size: size, end: time.Now().Truncate(time.Minute), buckets: map[series.Tier]int{}, latest: map[series.Tier]map[int]int64{}}
	empty, err := p.found()
	if err != nil {
		return err
	}
	if err := p.fill(); err != nil {
		return err
	}
	full, err := db.Sizes(b.ctx)
	if err != nil {
		return err
	}
	per := func(what string, bytes int64, n int, goal string) {
		b.report(figure{Bench: name, Size: size, What: what, Value: float64(bytes) / float64(n), Unit: "bytes", Goal: goal})
	}
	per("growth per run", full.Database-empty.Database, size, "")
	per("size of a run", full.Runs-empty.Runs, size, "<= 120")
	per("size of a minute", full.Minutes-empty.Minutes, p.buckets[series.Minutes], "")
	per("size of an hour", full.Hours-empty.Hours, p.buckets[series.Hours], "")
	per("size of a day", full.Days-empty.Days, p.buckets[series.Days], "")
	half := time.Duration(b.seconds) * time.Second / 2
	if err := p.ask(name, "last 100 runs", "< 10", half, p.lastRuns); err != nil {
		return err
	}
	return p.ask(name, "chart of 30 days", "< 50", half, p.charts)
}

// found makes the systems and their checks.
func (p *past) found() (store.Sizes, error) {
	perAssignment := int(historySpan / time.Minute)
	e := store.Edit{By: "bench", Now: p.end.Add(-historySpan)}
	for i := range max((p.size+perAssignment)/(2*perAssignment), 1) {
		system := fmt.Sprintf("system-%06d", i)
		p.systems = append(p.systems, system)
		e.Systems.PutSystems = append(e.Systems.PutSystems, core.System{ID: system})
		for _, check := range []string{"http", "tcp"} {
			id := core.AssignmentID(system, check)
			p.ids = append(p.ids, id)
			e.Systems.PutAssignments = append(e.Systems.PutAssignments, core.Assignment{ID: id, System: system, Check: check, Enabled: true, Interval: core.Duration(time.Minute)})
		}
	}
	if _, err := p.db.Apply(p.b.ctx, e); err != nil {
		return store.Sizes{}, err
	}
	return p.db.Sizes(p.b.ctx)
}

// run is the n-th of all in order of time. One in a hundred fails. Latencies
// are of a usual shape: most are near to each other, few are long.
func (p *past) run(n int) *core.Run {
	of := n % len(p.ids)
	at := p.end.Add(-historySpan + time.Duration(float64(historySpan)*float64(n)/float64(p.size)))
	took := time.Duration(8_000+n*7919%6_000) * time.Microsecond
	if n%37 == 0 {
		took *= time.Duration(2 + n%11)
	}
	r := &core.Run{
		Assignment: p.ids[of], Due: at, Started: at.Add(731 * time.Microsecond), Ended: at.Add(took), Latency: took, Summary: "200 in 12 ms",
		Samples: core.Samples{"status": int64(200), "body_bytes": int64(5120)},
	}
	if n%100 == 99 {
		r.Outcome, r.Why = core.Fail, core.Because("assert", "status == 200 is false: status is {status}", "status", "503")
	}
	for _, tier := range series.Tiers() {
		if p.latest[tier] == nil {
			p.latest[tier] = map[int]int64{}
		}
		if bucket := r.Ended.UnixNano() / int64(tier.Width()); p.latest[tier][of] != bucket {
			p.latest[tier][of] = bucket
			p.buckets[tier]++
		}
	}
	return r
}

// fill records the runs, and adds them up as often as once an hour of theirs:
// what was recorded last is not added up, as in a server that goes on.
func (p *past) fill() error {
	hour := max(p.size/int(historySpan/time.Hour), historyBatch)
	added := 0
	for n := 0; n < p.size; {
		runs := make([]*core.Run, min(historyBatch, p.size-n))
		for i := range runs {
			runs[i] = p.run(n + i)
		}
		if n-added >= hour {
			if err := p.addUp(runs[0].Ended); err != nil {
				return err
			}
			added = n
		}
		if err := p.db.Record(p.b.ctx, runs); err != nil {
			return err
		}
		n += len(runs)
	}
	return nil
}

func (p *past) addUp(now time.Time) error {
	for more := true; more; {
		var err error
		if more, err = p.db.RollUp(p.b.ctx, now); err != nil {
			return err
		}
	}
	return nil
}

// ask asks of one system after the other for a time, and at least 10 times.
func (p *past) ask(bench, what, goal string, within time.Duration, of func(system int) error) error {
	var took []float64
	for begin := time.Now(); len(took) < 10 || time.Since(begin) < within; {
		asked := time.Now()
		if err := of(len(took) * 7 % len(p.systems)); err != nil {
			return err
		}
		took = append(took, float64(time.Since(asked).Microseconds())/1000)
	}
	slices.Sort(took)
	p.b.report(figure{Bench: bench, Size: p.size, What: what + ", median", Value: took[len(took)/2], Unit: "ms", Goal: goal})
	p.b.report(figure{Bench: bench, Size: p.size, What: what + ", p95", Value: took[len(took)*95/100], Unit: "ms"})
	return nil
}

func (p *past) lastRuns(system int) error {
	runs, err := p.db.Runs(p.b.ctx, store.RunQuery{System: p.systems[system], Limit: 100})
	if err == nil && len(runs) != min(100, p.size) {
		err = fmt.Errorf("%s has %d of its last 100 runs", p.systems[system], len(runs))
	}
	return err
}

// charts asks for the chart of each check of a system.
func (p *past) charts(system int) error {
	for _, id := range p.ids[2*system : 2*system+2] {
		c, err := p.db.Chart(p.b.ctx, store.ChartQuery{Assignment: id, From: p.end.Add(-historySpan), To: p.end.Add(time.Minute), Points: chartPoints})
		if err != nil {
			return err
		}
		whole := c.Whole()
		if got, want := whole.Asked(), p.size/len(p.ids); got < int64(want)*99/100 {
			return fmt.Errorf("the chart of %s has %d of %d runs", id, got, want)
		}
	}
	return nil
}

// chartPoints is how many points the page of a system asks for.
const chartPoints = 122
