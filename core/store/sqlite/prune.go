package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core/series"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// pruneChunk is how many rows one transaction of Prune looks at, so that
// recording never waits long for it.
const pruneChunk = 5000

// Prune implements [store.History]. It works in small transactions, so that
// recording goes on meanwhile; what one has deleted stays deleted when a later
// one fails. Runs go in the order in which they were recorded: one that is
// older than runs recorded before it may stay until those go.
func (s *Store) Prune(ctx context.Context, keep store.Keep) (int64, error) {
	s.roller.mu.Lock()
	defer s.roller.mu.Unlock()
	var gone int64
	for _, prune := range []struct {
		what string
		on   bool
		do   func() error
	}{
		{"runs", keep.Runs != store.Bound{}, func() error { return s.pruneRuns(ctx, keep, &gone) }},
		{"buckets", true, func() error { return s.pruneBuckets(ctx, keep, &gone) }},
		{"transitions", !keep.Transitions.IsZero(), func() error { return s.pruneTransitions(ctx, pack.Nanos(keep.Transitions), &gone) }},
		{"decisions", !keep.Decisions.IsZero(), func() error { return s.pruneDecisions(ctx, pack.Nanos(keep.Decisions), &gone) }},
		{"firings", !keep.Decisions.IsZero(), func() error { return s.pruneFirings(ctx, pack.Nanos(keep.Decisions), &gone) }},
	} {
		if !prune.on {
			continue
		}
		if err := prune.do(); err != nil {
			return gone, fmt.Errorf("prune %s: %w", prune.what, err)
		}
	}
	return gone, nil
}

// pruneRuns deletes what is old, or too much, of what is added up.
func (s *Store) pruneRuns(ctx context.Context, keep store.Keep, gone *int64) error {
	var newest int64 // what is recorded from now on stays
	if err := s.readRow(ctx, "newest_run", nil, &newest); err != nil {
		return err
	}
	s.roller.after = 0
	for more := true; more; {
		var err error
		if more, err = s.rollUp(ctx, keep.Now); err != nil {
			return fmt.Errorf("add up first: %w", err)
		}
	}
	if !keep.Runs.Before.IsZero() {
		if err := s.pruneOldRuns(ctx, pack.Nanos(keep.Runs.Before), newest, gone); err != nil {
			return err
		}
	}
	if keep.Runs.Bytes > 0 {
		return s.pruneManyRuns(ctx, keep.Runs.Bytes, newest, gone)
	}
	return nil
}

// pruneOldRuns deletes what is old from the oldest on, a chunk at a time, up to
// where the old runs end and the newer ones begin: the place that has most old
// ones before it and most newer ones after it. So a few runs with a wrong clock
// neither stop retention nor cut the chain of their assignment.
func (s *Store) pruneOldRuns(ctx context.Context, before, newest int64, gone *int64) error {
	for from, more := int64(0), true; more; {
		err := s.write(ctx, "delete a chunk", func(t *tx) error {
			last, err := t.lastOld(before, from)
			last = min(last, newest)
			if more = err == nil && last >= from && last > 0; !more {
				return err
			}
			err = t.pruneRuns(from, last, before, gone)
			from = last + 1
			return err
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// pruneManyRuns deletes from the oldest on until about bytes are left. What a
// run takes is measured of the oldest and of the newest.
func (s *Store) pruneManyRuns(ctx context.Context, bytes, newest int64, gone *int64) error {
	var first, last int64
	var each float64
	if err := s.readRow(ctx, "size_of_runs", []any{pruneChunk}, &first, &last, &each); err != nil {
		return err
	}
	if each <= 0 {
		return nil
	}
	cut := min(last-int64(float64(bytes)/each), newest)
	for ; first <= cut; first += pruneChunk {
		err := s.write(ctx, "delete a chunk", func(t *tx) error {
			return t.pruneRuns(first, min(first+pruneChunk-1, cut), 1<<63-1, gone)
		}, nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// pruneRuns deletes those from first to last that ended before an instant, with
// what belongs to them.
func (t *tx) pruneRuns(first, last, before int64, gone *int64) error {
	n, err := t.exec("prune_runs", first, last, before)
	if err == nil {
		_, err = t.exec("prune_recordings", first, last)
	}
	if err == nil {
		_, err = t.exec("prune_marks", last)
	}
	*gone += n
	return err
}

// lastOld is the newest run of a chunk that goes, 0 when none does.
func (t *tx) lastOld(before, from int64) (last int64, err error) {
	score, best := 0, 0
	err = t.rows("old_runs", []any{before, from, pruneChunk}, func(row scan) error {
		var id int64
		var old bool
		if err := row(&id, &old); err != nil {
			return err
		}
		if score--; old {
			score += 2
		}
		if score > best {
			best, last = score, id
		}
		return nil
	})
	return last, err
}

// pruneBuckets deletes of each tier what is old or too much.
func (s *Store) pruneBuckets(ctx context.Context, keep store.Keep, gone *int64) error {
	for _, tier := range series.Tiers() {
		bound := keep.Tier(tier)
		if !bound.Before.IsZero() {
			if err := s.raiseFloor(ctx, tier, bound.Before, gone); err != nil {
				return err
			}
		}
		if bound.Bytes > 0 {
			if err := s.shrinkTier(ctx, tier, bound.Bytes, keep.Now, gone); err != nil {
				return err
			}
		}
	}
	return nil
}

// shrinkTier deletes the oldest buckets of a tier until about most bytes are
// left. It takes a part of what is too much each time; most goes the first time.
func (s *Store) shrinkTier(ctx context.Context, tier series.Tier, most int64, now time.Time, gone *int64) error {
	for range 20 {
		cut, err := s.tooMuch(ctx, tier, most, now)
		if err != nil || cut.IsZero() {
			return err
		}
		if err := s.raiseFloor(ctx, tier, cut, gone); err != nil {
			return err
		}
	}
	return nil
}

// tooMuch is before what instant buckets should go so that about most bytes are
// left; zero when there are no more.
func (s *Store) tooMuch(ctx context.Context, tier series.Tier, most int64, now time.Time) (time.Time, error) {
	var bytes, oldest int64
	if err := s.readRow(ctx, "size_of_tier", []any{tier}, &bytes, &oldest); err != nil {
		return time.Time{}, err
	}
	if bytes <= most || oldest == 0 {
		return time.Time{}, nil
	}
	begin := pack.Instant(oldest)
	part := 1 - float64(most)/float64(bytes)
	return begin.Add(time.Duration(float64(now.Sub(begin))*part) + tier.Width()), nil
}

// raiseFloor deletes the buckets of a tier that begin before an instant, a few
// assignments at a time.
func (s *Store) raiseFloor(ctx context.Context, tier series.Tier, before time.Time, gone *int64) error {
	floor := pack.Nanos(before.Truncate(tier.Width()))
	if err := s.write(ctx, "raise the floor", func(t *tx) error {
		_, err := t.exec("raise_floor", floor, tier)
		return err
	}, nil); err != nil {
		return err
	}
	for after := int64(0); ; {
		var keys []int64
		if err := s.read(ctx, "with_old_buckets", []any{tier, floor, after, rollAssignments}, func(row scan) error {
			var key int64
			err := row(&key)
			keys = append(keys, key)
			return err
		}); err != nil || len(keys) == 0 {
			return err
		}
		err := s.write(ctx, "delete a chunk", func(t *tx) error {
			rows := 0
			for _, key := range keys {
				n, err := t.pruneBuckets(tier, key, floor)
				if err != nil {
					return err
				}
				*gone += int64(n)
				if rows += n; n == pruneChunk || rows > pruneChunk {
					after = key - 1 // the others another time
					return nil
				}
				after = key
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
}

// pruneBuckets deletes a chunk of the buckets of one assignment that begin
// before floor, and returns how many.
func (t *tx) pruneBuckets(tier series.Tier, key, floor int64) (n int, err error) {
	var bytes int
	var last int64
	if err := t.row("old_buckets", []any{tier, key, floor, pruneChunk}, &n, &bytes, &last); err != nil || n == 0 {
		return 0, err
	}
	if _, err := t.exec("prune_buckets", tier, key, last); err != nil {
		return 0, err
	}
	_, err = t.exec("grow_tier", -bytes-n*bucketOverhead, tier)
	return n, err
}

func (s *Store) pruneTransitions(ctx context.Context, before int64, gone *int64) error {
	from := int64(0)
	for {
		var last int64
		rows := 0
		err := s.write(ctx, "delete a chunk", func(t *tx) error {
			if err := t.rows("old_transitions", []any{from, before, pruneChunk}, func(row scan) error {
				rows++
				return row(&last)
			}); err != nil || rows == 0 {
				return err
			}
			n, err := t.exec("prune_transitions", from, last, before)
			*gone += n
			return err
		}, nil)
		if err != nil || rows < pruneChunk {
			return err
		}
		from = last + 1
	}
}

// pruneDecisions deletes from the oldest on until a chunk has nothing old.
func (s *Store) pruneDecisions(ctx context.Context, before int64, gone *int64) error {
	for {
		var n int64
		err := s.write(ctx, "delete a chunk", func(t *tx) error {
			var err error
			n, err = t.exec("prune_decisions", 0, pruneChunk, before)
			*gone += n
			clear(s.counts.of) // counted again when needed
			return err
		}, nil)
		if err != nil || n == 0 {
			return err
		}
	}
}

func (s *Store) pruneFirings(ctx context.Context, before int64, gone *int64) error {
	for {
		var n int64
		err := s.write(ctx, "delete a chunk", func(t *tx) error {
			var err error
			n, err = t.exec("prune_firings", before, pruneChunk)
			*gone += n
			return err
		}, nil)
		if err != nil || n < pruneChunk {
			return err
		}
	}
}
