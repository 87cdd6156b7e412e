package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/series"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// What one call of RollUp does at most.
const (
	rollAssignments = 64
	rollRuns        = 10_000 // of all, and a fifth of one assignment
	rollBuckets     = 2000
	rollChanges     = 5000 // of one assignment
)

// roller is how far a round of adding up has come.
type roller struct {
	mu    sync.Mutex
	after int32 // assignment; guarded by mu
}

// seat is one assignment and how far it is added up.
type seat struct {
	key    int32
	id     string
	newest int64
	series.Progress
}

func scanSeat(row scan) (seat, error) {
	var e seat
	var since, until int64
	var health int32
	err := row(&e.key, &e.id, &e.newest, &e.Low, &e.Next, &e.Top, &e.Seq, &health, &since, &until)
	e.Health = core.Health(health) //nolint:gosec // 0 to 4
	e.Since, e.Until = pack.Instant(since), pack.Instant(until)
	return e, err
}

// moment is a transaction that reads as of one moment, with the names of samples
// of then: other processes may have added some that this one does not know.
type moment struct {
	*tx
	words pack.Words
}

// snap runs do as of one moment.
func (s *Store) snap(ctx context.Context, o pgx.TxAccessMode, do func(*moment) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: o}, func(t pgx.Tx) error {
		m := &moment{tx: &tx{s, ctx, t}}
		names, err := readNames(ctx, s, t)
		if err != nil {
			return err
		}
		m.words.Reset(names)
		return do(m)
	})
}

// places are buckets of several assignments.
type places map[int32]*series.Delta

// RollUp implements [store.Series]. One process at a time adds up; what it
// reads and writes is not what the ledger waits for.
func (s *Store) RollUp(ctx context.Context, now time.Time) (more bool, err error) {
	s.roller.mu.Lock()
	defer s.roller.mu.Unlock()
	after := s.roller.after
	err = s.snap(ctx, pgx.ReadWrite, func(t *moment) error {
		var mine bool
		if err := t.row("try_lock_series", nil, &mine); err != nil || !mine {
			more = false // somebody else is at it
			return err
		}
		var err error
		after, more, err = t.rollUp(s.roller.after, now)
		return err
	})
	if fault := (*pgconn.PgError)(nil); errors.As(err, &fault) && fault.Code == "40001" {
		return true, nil // somebody else was faster: nothing of this stays
	}
	if err != nil {
		return false, fmt.Errorf("add up: %w", err)
	}
	if s.roller.after = after; !more {
		s.roller.after = 0
	}
	return more, nil
}

// rollUp adds up assignments after one of them, and returns how far it came.
func (t *moment) rollUp(after int32, now time.Time) (last int32, more bool, err error) {
	var waiting []seat
	if err := t.rows("to_add_up", []any{after, rollAssignments}, func(row scan) error {
		e, err := scanSeat(row)
		waiting = append(waiting, e)
		return err
	}); err != nil {
		return after, false, err
	}
	floors, err := t.floors()
	if err != nil {
		return after, false, err
	}
	var done []seat
	deltas := places{}
	more = true
	runs, buckets := 0, 0
	for _, e := range waiting {
		if runs >= rollRuns || buckets >= rollBuckets {
			return after, more, t.storeBuckets(deltas, done, floors, now)
		}
		d, n, err := t.addUp(&e, now)
		if err != nil {
			return after, false, fmt.Errorf("%s: %w", e.id, err)
		}
		done, deltas[e.key] = append(done, e), d
		runs, buckets = runs+n, buckets+len(d.Buckets)
		if e.Next > 0 { // goes on with the same
			return after, more, t.storeBuckets(deltas, done, floors, now)
		}
		after = e.key
	}
	return after, len(waiting) == rollAssignments, t.storeBuckets(deltas, done, floors, now)
}

// floors is from where on the buckets of each tier are kept.
func (t *moment) floors() (map[series.Tier]time.Time, error) {
	floors := map[series.Tier]time.Time{}
	err := t.rows("tiers", nil, func(row scan) error {
		var tier int32
		var floor int64
		err := row(&tier, &floor)
		floors[series.Tier(tier)] = pack.Instant(floor) //nolint:gosec // 1 to 3
		return err
	})
	return floors, err
}

// addUp reads what e has not added up, and moves it there. It returns how many
// runs it has read.
func (t *moment) addUp(e *seat, now time.Time) (*series.Delta, int, error) {
	d := series.NewDelta(series.Tiers()...)
	begin := e.newest
	if e.Next > 0 {
		begin = e.Next
	}
	next, n, err := t.chain(d, begin, e.Low, rollRuns/5)
	if err != nil {
		return nil, 0, err
	}
	e.Progress = e.Came(begin, next)
	changes, err := t.changes(*e, rollChanges)
	if err != nil {
		return nil, 0, err
	}
	if len(changes) == rollChanges && changes[len(changes)-1].At.Before(now) {
		now = changes[len(changes)-1].At // the others another time
	}
	e.Progress = d.Walk(e.Progress, changes, now)
	return d, n, nil
}

// chain adds the runs from begin down to low, most of them at most, and returns
// where it goes on, 0 at the end.
func (t *moment) chain(d *series.Delta, begin, low int64, most int) (next int64, n int, err error) {
	err = t.rows("chain_to_add_up", []any{begin, low, most}, func(row scan) error {
		var run core.Run
		var ended int64
		var outcome int16
		var body []byte
		if err := row(&run.ID, &ended, &outcome, &next, &body); err != nil {
			return err
		}
		n++
		run.Ended, run.Outcome = pack.Instant(ended), core.Outcome(outcome) //nolint:gosec // 0 to 3
		if err := pack.UnpackRun(body, &run, true, &t.words); err != nil {
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
func (t *moment) changes(e seat, most int) ([]core.Transition, error) {
	system, check := core.SplitAssignmentID(e.id)
	var out []core.Transition
	err := t.rows("changes_to_add_up", []any{system, check, e.Seq, most}, func(row scan) error {
		c, err := scanTransition(row)
		out = append(out, c)
		return err
	})
	return out, err
}

// storeBuckets merges what is to be added with what is stored, and notes how
// far the assignments are.
func (t *moment) storeBuckets(deltas places, done []seat, floors map[series.Tier]time.Time, now time.Time) error {
	if len(done) == 0 {
		return nil
	}
	var tiers, keys []int32
	var ats []int64
	for key, d := range deltas {
		for place := range d.Buckets {
			if floor := floors[place.Tier]; !floor.IsZero() && place.At < pack.Nanos(floor) {
				delete(d.Buckets, place) // deleted already
				continue
			}
			tiers, keys, ats = append(tiers, int32(place.Tier)), append(keys, key), append(ats, place.At)
		}
	}
	if err := t.makeBucketRoom(tiers, ats, now); err != nil {
		return err
	}
	if err := t.rows("some_buckets", []any{tiers, keys, ats}, func(row scan) error {
		var tier, key int32
		var at int64
		var body []byte
		if err := row(&tier, &key, &at, &body); err != nil {
			return err
		}
		stored, err := pack.UnpackBucket(body, &t.words)
		if err != nil {
			return fmt.Errorf("bucket of assignment %d at %d: %w", key, at, err)
		}
		b := deltas[key].Buckets[series.Place{Tier: series.Tier(tier), At: at}] //nolint:gosec // 1 to 3
		stored.Merge(b)
		*b = stored
		return nil
	}); err != nil {
		return err
	}
	bodies := make([][]byte, len(ats))
	for i := range ats {
		bodies[i] = pack.Bucket(nil, deltas[keys[i]].Buckets[series.Place{Tier: series.Tier(tiers[i]), At: ats[i]}], &t.words) //nolint:gosec // 1 to 3
	}
	if _, err := t.exec("put_buckets", tiers, keys, ats, bodies); err != nil {
		return err
	}
	return t.putProgress(done)
}

func (t *moment) putProgress(done []seat) error {
	n := len(done)
	keys, health := make([]int32, n), make([]int32, n)
	low, next, top, seq, since, until := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	for i, e := range done {
		keys[i], health[i] = e.key, int32(e.Health)
		low[i], next[i], top[i], seq[i], since[i], until[i] = e.Low, e.Next, e.Top, e.Seq, pack.Nanos(e.Since), pack.Nanos(e.Until)
	}
	_, err := t.exec("put_added_up", keys, low, next, top, seq, health, since, until)
	return err
}

// shelf is a partition of a tier of buckets.
type shelf struct {
	tier        series.Tier
	first, past int64
}

// shelfWidth is how much time a partition of a tier holds.
func shelfWidth(tier series.Tier) time.Duration {
	switch tier {
	case series.Hours:
		return 30 * 24 * time.Hour
	case series.Days:
		return 360 * 24 * time.Hour
	case series.Minutes:
	}
	return 24 * time.Hour
}

// shelfOf is the partition of a tier that holds an instant.
func shelfOf(tier series.Tier, at int64) shelf {
	width := int64(shelfWidth(tier))
	first := at - at%width
	if first > at {
		first -= width
	}
	return shelf{tier, first, first + width}
}

// table is the name of its table, as SQL writes it.
func (p shelf) table() string {
	return pgx.Identifier{fmt.Sprintf("buckets_%s_%d", p.tier, p.first/int64(shelfWidth(p.tier)))}.Sanitize()
}

// make makes the partition.
func (p shelf) make(ctx context.Context, t pgx.Tx) error {
	for _, text := range []string{
		fmt.Sprintf("CREATE TABLE %s (LIKE buckets INCLUDING ALL)", p.table()),
		fmt.Sprintf("ALTER TABLE buckets_%s ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)", p.tier, p.table(), p.first, p.past),
		fmt.Sprintf("INSERT INTO bucket_partitions (tier, first, past) VALUES (%d, %d, %d)", p.tier, p.first, p.past),
	} {
		if _, err := t.Exec(ctx, text); err != nil {
			return fmt.Errorf("make room for %s: %w", p.tier, err)
		}
	}
	return nil
}

// makeBucketRoom makes the partitions that are needed, and those of the time to
// come ahead.
func (t *moment) makeBucketRoom(tiers []int32, ats []int64, now time.Time) error {
	there, err := t.shelves()
	if err != nil {
		return err
	}
	need := func(p shelf) error {
		if slices.Contains(there, p) {
			return nil
		}
		there = append(there, p)
		return p.make(t.ctx, t.tx.tx)
	}
	for _, tier := range series.Tiers() {
		today := shelfOf(tier, now.UnixNano())
		if err := errors.Join(need(today), need(shelfOf(tier, today.past))); err != nil {
			return err
		}
	}
	for i, tier := range tiers {
		if err := need(shelfOf(series.Tier(tier), ats[i])); err != nil { //nolint:gosec // 1 to 3
			return err
		}
	}
	return nil
}

// shelves are the partitions of all tiers, in order of time.
func (t *tx) shelves() ([]shelf, error) {
	var out []shelf
	err := t.rows("bucket_partitions", nil, func(row scan) error {
		var tier int32
		var p shelf
		err := row(&tier, &p.first, &p.past)
		p.tier = series.Tier(tier) //nolint:gosec // 1 to 3
		out = append(out, p)
		return err
	})
	return out, err
}

// chartRuns is how many runs that are not added up a chart reads at most: it is
// many only after an upgrade, until all are.
const chartRuns = 60_000

// Chart implements [store.Series].
func (s *Store) Chart(ctx context.Context, q store.ChartQuery) (*series.Chart, error) {
	var chart *series.Chart
	err := s.snap(ctx, pgx.ReadOnly, func(t *moment) error {
		var err error
		chart, err = t.chart(q)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("chart of %s: %w", q.Assignment, err)
	}
	return chart, nil
}

func (t *moment) chart(q store.ChartQuery) (*series.Chart, error) {
	var e seat
	if err := t.rows("added_up", []any{q.Assignment}, func(row scan) error {
		var err error
		e, err = scanSeat(row)
		return err
	}); err != nil {
		return nil, err
	}
	if e.key == 0 {
		return nil, store.ErrNotFound
	}
	floors, err := t.floors()
	if err != nil {
		return nil, err
	}
	chart := series.NewChart(q.From, q.To, pack.Points(q.Points), floors)
	first, past := chart.Bounds()
	if err := t.rows("buckets", []any{int32(chart.Tier), e.key, first, past}, func(row scan) error {
		var at int64
		var body []byte
		if err := row(&at, &body); err != nil {
			return err
		}
		b, err := pack.UnpackBucket(body, &t.words)
		chart.Add(at, &b)
		return err
	}); err != nil {
		return nil, err
	}
	return chart, t.pending(chart, e, q.To)
}

// pending adds to chart what of e is not added up.
func (t *moment) pending(chart *series.Chart, e seat, now time.Time) error {
	var old int64 // runs up to here are older than the chart
	if err := t.row("mark_before", []any{"runs", pack.Nanos(chart.From)}, &old); err != nil {
		return err
	}
	d := series.NewDelta(chart.Tier)
	for _, part := range e.Remaining(e.newest) {
		if _, _, err := t.chain(d, part.Newest, max(part.Oldest, old), chartRuns); err != nil {
			return err
		}
	}
	if chart.WantsChanges() {
		before, err := t.changeBefore(e, chart.From)
		if err != nil {
			return err
		}
		e.Seq = before.Seq
		changes, err := t.changes(e, chartRuns)
		if err != nil {
			return err
		}
		chart.Changes(before.To, before.Seq > 0, changes)
	} else {
		changes, err := t.changes(e, chartRuns)
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
func (t *moment) changeBefore(e seat, at time.Time) (c core.Transition, err error) {
	system, check := core.SplitAssignmentID(e.id)
	err = t.rows("change_before", []any{system, check, pack.Nanos(at)}, func(row scan) error {
		var err error
		c, err = scanTransition(row)
		return err
	})
	return c, err
}

// pruneBuckets drops partitions of each tier that are old or too much. The
// newest one of a tier that holds anything stays.
func (s *Store) pruneBuckets(ctx context.Context, keep store.Keep) error {
	return s.write(ctx, "drop old buckets", func(t *tx) error {
		if err := t.row("lock_series", nil, nil); err != nil {
			return err
		}
		all, err := t.shelves()
		if err != nil {
			return err
		}
		for _, tier := range series.Tiers() {
			if bound := keep.Tier(tier); bound != (store.Bound{}) {
				if err := t.pruneTier(tier, bound, all, keep.Now); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (t *tx) pruneTier(tier series.Tier, bound store.Bound, all []shelf, now time.Time) error {
	floor := int64(0)
	if !bound.Before.IsZero() {
		floor = pack.Nanos(bound.Before.Truncate(tier.Width()))
	}
	current := shelfOf(tier, now.UnixNano()).first
	var sum int64
	for _, p := range slices.Backward(all) { // from the newest
		if p.tier != tier {
			continue
		}
		var size int64
		if err := t.row("size_of_table", []any{p.table()}, &size); err != nil {
			return err
		}
		if sum += size; bound.Bytes > 0 && sum > bound.Bytes && p.first < current {
			floor = max(floor, p.past)
		}
	}
	if floor == 0 {
		return nil
	}
	if _, err := t.exec("raise_tier_floor", int32(tier), floor); err != nil {
		return err
	}
	for _, p := range all {
		if p.tier != tier || p.past > floor {
			continue
		}
		if err := t.dropShelf(p); err != nil {
			return err
		}
	}
	return nil
}

// dropShelf drops a partition. That stops readers for a moment, so it does not
// wait long for them: what cannot be dropped now can later.
func (t *tx) dropShelf(p shelf) error {
	nested, err := t.tx.Begin(t.ctx)
	if err != nil {
		return err
	}
	if _, err = nested.Exec(t.ctx, "SET LOCAL lock_timeout = '1s'"); err == nil {
		_, err = nested.Exec(t.ctx, "DROP TABLE "+p.table())
	}
	if err != nil {
		if undo := nested.Rollback(t.ctx); undo != nil {
			return errors.Join(err, undo)
		}
		if busy := (*pgconn.PgError)(nil); errors.As(err, &busy) && busy.Code == "55P03" {
			return nil
		}
		return err
	}
	if err := nested.Commit(t.ctx); err != nil {
		return err
	}
	_, err = t.exec("delete_bucket_partition", int32(p.tier), p.first)
	return err
}

// Sizes implements [store.Series].
func (s *Store) Sizes(ctx context.Context) (store.Sizes, error) {
	var z store.Sizes
	if err := s.readRow(ctx, "size", nil, &z.Database, &z.Runs, &z.Minutes, &z.Hours, &z.Days); err != nil {
		return store.Sizes{}, fmt.Errorf("measure history: %w", err)
	}
	return z, nil
}
