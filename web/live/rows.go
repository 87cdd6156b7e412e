package live

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

// What a row is made of.
const (
	ringLength = 30
	latencies  = 64             // newest runs that p95 is of
	uptimeOver = 24 * time.Hour // that uptime is of
	keepRows   = 2000           // details kept of rows that nobody looks at any more
)

// rowSet holds the detail of the Systems that somebody looks at, or did
// lately. It is valid only while runs are followed.
type rowSet struct {
	following bool
	cursor    int64 // newest run dealt with
	details   map[int]*detail
	touched   []int
}

// detail is what the row of one System is made of.
type detail struct {
	handle  int
	users   int // subscriptions that list it
	ready   bool
	changed int64
	runs    []shortRun // newest last
	spans   []core.Transition
	before  core.Health // ahead of the spans
	waiting []shortRun  // recorded while the detail was being read
	row     wire.Row
}

// shortRun is what a row needs of a Run.
type shortRun struct {
	id      int64
	ended   time.Time
	outcome core.Outcome
	latency time.Duration
}

func newRowSet() rowSet { return rowSet{details: map[int]*detail{}} }

func short(r *core.Run) shortRun {
	return shortRun{r.ID, r.Ended, r.Outcome, r.Latency}
}

// stop forgets everything: runs are not followed any longer.
func (r *rowSet) stop() { *r = newRowSet() }

// use takes a detail into use, making it when it is missing. It reports
// whether the caller must read it.
func (r *rowSet) use(handle int) (read bool) {
	d, ok := r.details[handle]
	if !ok {
		d = &detail{handle: handle, before: core.Unknown}
		r.details[handle] = d
	}
	d.users++
	return !ok
}

// release ends a use; unused details are kept up to a bound.
func (r *rowSet) release(handle int) {
	d := r.details[handle]
	if d == nil {
		return
	}
	d.users--
	if d.users <= 0 && (len(r.details) > keepRows || !d.ready) {
		delete(r.details, handle)
	}
}

// add applies a run of the System.
func (d *detail) add(run shortRun) bool {
	if !d.ready {
		d.waiting = append(d.waiting, run)
		return false
	}
	if n := len(d.runs); n > 0 && run.id <= d.runs[n-1].id {
		return false
	}
	d.runs = append(d.runs, run)
	if over := len(d.runs) - latencies; over > latencies {
		d.runs = slices.Delete(d.runs, 0, over)
	}
	return true
}

// compute makes the row anew and reports whether it changed.
func (d *detail) compute(now, next time.Time) bool {
	row := wire.Row{H: d.handle, P95: -1, Uptime: d.uptime(now), Next: milli(next)}
	ring := make([]byte, 0, ringLength)
	for _, r := range d.runs[max(0, len(d.runs)-ringLength):] {
		ring = append(ring, r.outcome.String()[0])
	}
	row.Ring = string(ring)
	var took []time.Duration
	for _, r := range d.runs[max(0, len(d.runs)-latencies):] {
		row.Last = max(row.Last, milli(r.ended))
		if r.latency > 0 && r.outcome != core.Error {
			took = append(took, r.latency)
		}
	}
	if p := percentile(took, 0.95); p >= 0 {
		row.P95 = float64(p.Microseconds()) / 1000
	}
	if row == d.row {
		return false
	}
	d.row = row
	return true
}

// percentile is the nearest-rank percentile, -1 of nothing. It sorts its
// argument.
func percentile(took []time.Duration, share float64) time.Duration {
	if len(took) == 0 {
		return -1
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(share*float64(len(took))))]
}

// uptime is rounded to a hundredth of a percent, lest a row changes with each
// millisecond.
func (d *detail) uptime(now time.Time) float64 {
	from := now.Add(-uptimeOver)
	keep := 0
	for keep < len(d.spans) && d.spans[keep].At.Before(from) {
		d.before = d.spans[keep].To
		keep++
	}
	d.spans = d.spans[keep:]
	share := Share(Spans(d.spans, d.before, from, now))
	return float64(int64(share*10000)) / 10000
}

// readRows reads the details that are missing, outside of the lock. What is
// recorded meanwhile waits in the details.
func (h *Hub) readRows(ctx context.Context, missing []int) error {
	for _, handle := range missing {
		h.mu.Lock()
		s := h.fleet.systems[handle]
		h.mu.Unlock()
		if s.gone {
			continue
		}
		runs, err := h.d.History.Runs(ctx, store.RunQuery{System: s.ID, Limit: latencies})
		if err != nil {
			return fmt.Errorf("read the runs of %s: %w", s.ID, err)
		}
		now := time.Now()
		moves, before, err := Since(ctx, h.d.History, core.Subject{Kind: core.OfSystem, ID: s.ID}, now.Add(-uptimeOver))
		if err != nil {
			return fmt.Errorf("read the transitions of %s: %w", s.ID, err)
		}
		h.mu.Lock()
		h.rowRead(handle, runs, moves, before, now)
		h.mu.Unlock()
	}
	return nil
}

// rowRead puts what was read into a detail, with h.mu held.
func (h *Hub) rowRead(handle int, runs []core.Run, moves []core.Transition, before core.Health, now time.Time) {
	d := h.rows.details[handle]
	if d == nil || d.ready {
		return
	}
	d.ready, d.spans, d.before = true, moves, before
	for _, r := range slices.Backward(runs) {
		d.add(short(&r))
	}
	for _, r := range d.waiting {
		d.add(r)
	}
	d.waiting = nil
	d.compute(now, h.nextOf(handle))
	h.rows.touched = append(h.rows.touched, handle)
}

// nextOf is when an Assignment of a System is due next, with h.mu held.
func (h *Hub) nextOf(handle int) time.Time {
	var next time.Time
	if h.d.Next == nil {
		return next
	}
	for _, id := range h.fleet.assignments[h.fleet.systems[handle].ID] {
		if t := h.d.Next(id); !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// Since reads the transitions of a subject since from, oldest first, and what
// its health was before them. At most 10,000 are read; of more, the newest.
func Since(ctx context.Context, history store.History, subject core.Subject, from time.Time) ([]core.Transition, core.Health, error) {
	const page, most = 1000, 10_000
	var out []core.Transition
	before := int64(0)
	for len(out) < most {
		got, err := history.Transitions(ctx, store.TransitionQuery{Subject: subject, Before: before, Since: from, Limit: page})
		if err != nil {
			return nil, core.Unknown, fmt.Errorf("read the transitions of %s: %w", subject, err)
		}
		out = append(out, got...)
		if len(got) < page {
			break
		}
		before = got[len(got)-1].Seq
	}
	slices.Reverse(out)
	if len(out) > 0 {
		return out, out[0].From, nil
	}
	last, err := history.Transitions(ctx, store.TransitionQuery{Subject: subject, Limit: 1})
	if err != nil {
		return nil, core.Unknown, fmt.Errorf("read the newest transition of %s: %w", subject, err)
	}
	if len(last) == 0 {
		return nil, core.Unknown, nil
	}
	return nil, last[0].To, nil
}
