package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/series"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// What one call of RollUp does at most.
const (
	rollAssignments = 64
	rollRuns        = 10_000 // of all, and a fifth of one assignment
	rollBuckets     = 1000
	rollChanges     = 5000 // of one assignment
)

// bucketOverhead is about what a row of buckets takes beside its body.
const bucketOverhead = 24

// roller adds up. Only one call at a time does, or deletes buckets.
type roller struct {
	mu    sync.Mutex
	after int64 // assignment up to which this round has come; guarded by mu
}

// seat is one assignment and how far it is added up.
type seat struct {
	key    int64
	id     string
	newest int64
	series.Progress
}

func scanSeat(row scan) (seat, error) {
	var e seat
	var since, until int64
	err := row(&e.key, &e.id, &e.newest, &e.Low, &e.Next, &e.Top, &e.Seq, &e.Health, &since, &until)
	e.Since, e.Until = pack.Instant(since), pack.Instant(until)
	return e, err
}

// snapshot reads several queries as of one moment.
type snapshot struct {
	s   *Store
	ctx context.Context //nolint:containedctx // lives as long as one call of snap
	tx  *sql.Tx
}

// snap calls read, which sees the store as of one moment.
func (s *Store) snap(ctx context.Context, read func(*snapshot) error) error {
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	tx, err := s.readers.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	return errors.Join(read(&snapshot{s, ctx, tx}), tx.Rollback())
}

func (v *snapshot) rows(name string, args []any, each func(scan) error) error {
	stmt, err := v.s.prepared(v.ctx, name)
	if err != nil {
		return err
	}
	here := v.tx.StmtContext(v.ctx, stmt)
	defer here.Close() //nolint:errcheck // its rows are closed
	rows, err := here.QueryContext(v.ctx, args...)
	return drain(name, rows, err, each)
}

// addition is what one assignment adds to its buckets.
type addition struct {
	seat
	buckets []sum
}

// sum is a bucket after it.
type sum struct {
	series.Place
	body []byte
	more int // bytes than before
}

// RollUp implements [store.Series]. It reads beside the writer, who only has to
// take the result.
func (s *Store) RollUp(ctx context.Context, now time.Time) (more bool, err error) {
	s.roller.mu.Lock()
	defer s.roller.mu.Unlock()
	if more, err = s.rollUp(ctx, now); err != nil {
		return false, fmt.Errorf("add up: %w", err)
	}
	return more, nil
}

func (s *Store) rollUp(ctx context.Context, now time.Time) (more bool, err error) {
	var done []addition
	after := s.roller.after
	err = s.snap(ctx, func(v *snapshot) error {
		done, after, more = nil, s.roller.after, true
		var waiting []seat
		if err := v.rows("to_add_up", []any{after, rollAssignments}, func(row scan) error {
			e, err := scanSeat(row)
			waiting = append(waiting, e)
			return err
		}); err != nil {
			return err
		}
		floors, err := v.floors()
		if err != nil {
			return err
		}
		runs, buckets := 0, 0
		for _, e := range waiting {
			if runs >= rollRuns || buckets >= rollBuckets {
				return nil
			}
			a, n, err := v.addUp(e, now, floors)
			if err != nil {
				return fmt.Errorf("%s: %w", e.id, err)
			}
			done = append(done, a)
			runs, buckets = runs+n, buckets+len(a.buckets)
			if a.Next > 0 { // goes on with the same
				return nil
			}
			after = e.key
		}
		more = len(waiting) == rollAssignments
		return nil
	})
	if err == nil && len(done) > 0 {
		err = s.write(ctx, "store buckets", func(t *tx) error { return t.addUp(done) }, nil)
	}
	if err != nil {
		return false, err
	}
	if s.roller.after = after; !more {
		s.roller.after = 0
	}
	return more, nil
}

// floors is from where on the buckets of each tier are kept.
func (v *snapshot) floors() (map[series.Tier]time.Time, error) {
	floors := map[series.Tier]time.Time{}
	err := v.rows("tiers", nil, func(row scan) error {
		var tier series.Tier
		var floor, bytes int64
		err := row(&tier, &floor, &bytes)
		floors[tier] = pack.Instant(floor)
		return err
	})
	return floors, err
}

// addUp reads what e has not added up and merges it into its buckets. It
// returns how many runs it has read.
func (v *snapshot) addUp(e seat, now time.Time, floors map[series.Tier]time.Time) (addition, int, error) {
	d := series.NewDelta(series.Tiers()...)
	begin := e.newest
	if e.Next > 0 {
		begin = e.Next
	}
	next, n, err := v.chain(d, begin, e.Low, rollRuns/5)
	if err != nil {
		return addition{}, 0, err
	}
	e.Progress = e.Came(begin, next)
	changes, err := v.changes(e, rollChanges)
	if err != nil {
		return addition{}, 0, err
	}
	if len(changes) == rollChanges && changes[len(changes)-1].At.Before(now) {
		now = changes[len(changes)-1].At // the others another time
	}
	e.Progress = d.Walk(e.Progress, changes, now)
	a := addition{seat: e}
	for place, b := range d.Buckets {
		if floor := floors[place.Tier]; !floor.IsZero() && place.At < pack.Nanos(floor) {
			continue // deleted already
		}
		was := 0
		if err := v.rows("bucket", []any{place.Tier, e.key, place.At}, func(row scan) error {
			var body sql.RawBytes
			if err := row(&body); err != nil {
				return err
			}
			was = len(body) + bucketOverhead
			stored, err := pack.UnpackBucket(body, &v.s.words)
			if err == nil {
				stored.Merge(b)
				*b = stored
			}
			return err
		}); err != nil {
			return a, n, fmt.Errorf("bucket of %s at %d: %w", place.Tier, place.At, err)
		}
		body := pack.Bucket(nil, b, &v.s.words)
		a.buckets = append(a.buckets, sum{place, body, len(body) + bucketOverhead - was})
	}
	return a, n, nil
}

// chain adds the runs from begin down to low, most of them at most, and returns
// where it goes on, 0 at the end.
func (v *snapshot) chain(d *series.Delta, begin, low int64, most int) (next int64, n int, err error) {
	err = v.rows("chain_to_add_up", []any{begin, low, most}, func(row scan) error {
		var run core.Run
		var ended int64
		var body sql.RawBytes
		if err := row(&run.ID, &ended, &run.Outcome, &next, &body); err != nil {
			return err
		}
		n++
		run.Ended = pack.Instant(ended)
		if err := pack.UnpackRun(body, &run, true, &v.s.words); err != nil {
			run.Samples, run.Latency = nil, 0 // a damaged run still counts
		}
		d.Run(&run)
		return nil
	})
	if n < most || next <= low {
		next = 0
	}
	return next, n, err
}

// changes are those of the health of e that are not added up.
func (v *snapshot) changes(e seat, most int) ([]core.Transition, error) {
	system, check := core.SplitAssignmentID(e.id)
	var out []core.Transition
	err := v.rows("changes_to_add_up", []any{system, check, e.Seq, most}, func(row scan) error {
		c, err := scanTransition(row)
		out = append(out, c)
		return err
	})
	return out, err
}

func (t *tx) addUp(done []addition) error {
	more := map[series.Tier]int{}
	for _, a := range done {
		for _, b := range a.buckets {
			if _, err := t.exec("put_bucket", b.Tier, a.key, b.At, b.body); err != nil {
				return err
			}
			more[b.Tier] += b.more
		}
		if _, err := t.exec("put_added_up", a.key, a.Low, a.Next, a.Top, a.Seq, a.Health, pack.Nanos(a.Since), pack.Nanos(a.Until)); err != nil {
			return err
		}
	}
	for tier, bytes := range more {
		if _, err := t.exec("grow_tier", bytes, tier); err != nil {
			return err
		}
	}
	return nil
}

// chartRuns is how many runs that are not added up a chart reads at most: it is
// many only after an upgrade, until all are.
const chartRuns = 60_000

// Chart implements [store.Series].
func (s *Store) Chart(ctx context.Context, q store.ChartQuery) (*series.Chart, error) {
	var chart *series.Chart
	err := s.snap(ctx, func(v *snapshot) error {
		var err error
		chart, err = v.chart(q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("chart of %s: %w", q.Assignment, err)
	}
	return chart, nil
}

func (v *snapshot) chart(q store.ChartQuery) (*series.Chart, error) {
	var e seat
	if err := v.rows("added_up", []any{q.Assignment}, func(row scan) error {
		var err error
		e, err = scanSeat(row)
		return err
	}); err != nil {
		return nil, err
	}
	if e.key == 0 {
		return nil, store.ErrNotFound
	}
	floors, err := v.floors()
	if err != nil {
		return nil, err
	}
	chart := series.NewChart(q.From, q.To, pack.Points(q.Points), floors)
	first, past := chart.Bounds()
	if err := v.rows("buckets", []any{chart.Tier, e.key, first, past}, func(row scan) error {
		var at int64
		var body sql.RawBytes
		if err := row(&at, &body); err != nil {
			return err
		}
		b, err := pack.UnpackBucket(body, &v.s.words)
		chart.Add(at, &b)
		return err
	}); err != nil {
		return nil, err
	}
	return chart, v.pending(chart, e, q.To)
}

// pending adds to chart what of e is not added up.
func (v *snapshot) pending(chart *series.Chart, e seat, now time.Time) error {
	var old int64 // runs up to here are older than the chart
	if err := v.rows("mark_before", []any{"runs", pack.Nanos(chart.From)}, func(row scan) error { return row(&old) }); err != nil {
		return err
	}
	d := series.NewDelta(chart.Tier)
	for _, part := range e.Remaining(e.newest) {
		if _, _, err := v.chain(d, part.Newest, max(part.Oldest, old), chartRuns); err != nil {
			return err
		}
	}
	if chart.WantsChanges() {
		before, err := v.changeBefore(e, chart.From)
		if err != nil {
			return err
		}
		e.Seq = before.Seq
		changes, err := v.changes(e, chartRuns)
		if err != nil {
			return err
		}
		chart.Changes(before.To, before.Seq > 0, changes)
	} else {
		changes, err := v.changes(e, chartRuns)
		if err != nil {
			return err
		}
		if e.Until.After(now) {
			now = e.Until
		}
		d.Walk(e.Progress, changes, now)
	}
	chart.AddDelta(d)
	return nil
}

// changeBefore is the newest change of e before an instant, zero when there is
// none.
func (v *snapshot) changeBefore(e seat, at time.Time) (c core.Transition, err error) {
	system, check := core.SplitAssignmentID(e.id)
	err = v.rows("change_before", []any{system, check, pack.Nanos(at)}, func(row scan) error {
		var err error
		c, err = scanTransition(row)
		return err
	})
	return c, err
}

// Sizes implements [store.Series].
func (s *Store) Sizes(ctx context.Context) (store.Sizes, error) {
	var sizes store.Sizes
	var first, last int64
	var each float64
	err := errors.Join(
		s.readRow(ctx, "size", nil, &sizes.Database),
		s.readRow(ctx, "size_of_runs", []any{pruneChunk}, &first, &last, &each),
		s.read(ctx, "tiers", nil, func(row scan) error {
			var tier series.Tier
			var floor, bytes int64
			err := row(&tier, &floor, &bytes)
			*sizes.Tier(tier) = bytes
			return err
		}),
	)
	if err != nil {
		return store.Sizes{}, fmt.Errorf("measure history: %w", err)
	}
	if each > 0 {
		sizes.Runs = int64(float64(last-first+1) * each)
	}
	return sizes, nil
}
