package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// anyOutcome is the set of all outcomes, as bits.
const anyOutcome = 1<<core.Pass | 1<<core.Warn | 1<<core.Fail | 1<<core.Error

// Runs implements [store.History].
func (s *Store) Runs(ctx context.Context, q store.RunQuery) ([]core.Run, error) {
	ids, err := s.runIDs(ctx, q)
	if err == nil && len(ids) == 0 {
		return nil, nil
	}
	var out []core.Run
	if err == nil {
		err = s.withNames(ctx, func() error {
			out = out[:0]
			return s.read(ctx, "runs_by_id", []any{ids, q.WithDetails}, func(row scan) error {
				run, err := s.scanRun(row, q.WithDetails)
				out = append(out, run)
				return err
			})
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	return out, nil
}

// runIDs is the runs that q selects, newest first.
func (s *Store) runIDs(ctx context.Context, q store.RunQuery) ([]int64, error) {
	outcomes := 0
	for _, o := range q.Outcomes {
		outcomes |= 1 << o
	}
	if outcomes == 0 {
		outcomes = anyOutcome
	}
	var ids []int64
	collect := func(row scan) error {
		var id int64
		err := row(&id)
		ids = append(ids, id)
		return err
	}
	var err error
	if q.System != "" || q.Assignment != "" {
		err = s.chains(ctx, q, outcomes, collect)
	} else {
		err = s.newest(ctx, q, outcomes, collect)
	}
	slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) })
	return ids[:min(len(ids), pack.Limit(q.Limit))], err
}

// newest finds runs of whatever assignment: by the index when only some that
// did not pass are asked for, which may be rare.
func (s *Store) newest(ctx context.Context, q store.RunQuery, outcomes int, collect func(scan) error) error {
	after, err := s.before(ctx, "runs", q.Since)
	if err != nil {
		return err
	}
	before := q.Before
	if before == 0 {
		before = 1<<63 - 1
	}
	args := []any{before, pack.Nanos(q.Since), outcomes, pack.Limit(q.Limit), after}
	if outcomes&(1<<core.Pass) != 0 {
		return s.read(ctx, "newest_runs", args, collect)
	}
	for o := core.Warn; o <= core.Error; o++ {
		if outcomes&(1<<o) == 0 {
			continue
		}
		args[2] = int64(o)
		if err := s.read(ctx, "newest_runs_of_outcome", args, collect); err != nil {
			return err
		}
	}
	return nil
}

// before is a number up to which all runs or transitions are older than since,
// so that a query need not read further back.
func (s *Store) before(ctx context.Context, log string, since time.Time) (id int64, err error) {
	if since.IsZero() {
		return 0, nil
	}
	return id, s.readRow(ctx, "mark_before", []any{log, pack.Nanos(since)}, &id)
}

// chain is where the runs of one assignment begin.
type chain struct{ key, newest, newestBad int64 }

// chains finds runs of one assignment, or of all of one system, each by its
// chain.
func (s *Store) chains(ctx context.Context, q store.RunQuery, outcomes int, collect func(scan) error) error {
	if system, _ := core.SplitAssignmentID(q.Assignment); q.System != "" && q.Assignment != "" && system != q.System {
		return nil
	}
	desk, of := "desk", q.Assignment
	if q.Assignment == "" {
		desk, of = "desks_of_system", q.System
	}
	var found []chain
	err := s.read(ctx, desk, []any{of}, func(row scan) error {
		var c chain
		err := row(&c.key, &c.newest, &c.newestBad)
		found = append(found, c)
		return err
	})
	if err != nil {
		return err
	}
	after, err := s.before(ctx, "runs", q.Since)
	if err != nil {
		return err
	}
	query := "chain"
	if outcomes&(1<<core.Pass) == 0 {
		query = "chain_bad"
	}
	for _, c := range found {
		if c, err = s.skip(ctx, c, q.Before); err != nil {
			return err
		}
		from := c.newest
		if query == "chain_bad" {
			from = c.newestBad
		}
		if err := s.read(ctx, query, []any{from, q.Before, pack.Nanos(q.Since), outcomes, pack.Limit(q.Limit), after}, collect); err != nil {
			return err
		}
	}
	return nil
}

// skip lets c begin before a run, if that is one of its own: a page begins
// where the last one ended, so it need not go there again link by link.
func (s *Store) skip(ctx context.Context, c chain, before int64) (chain, error) {
	if before == 0 {
		return c, nil
	}
	var prev int64
	var bad *int64
	err := s.readRow(ctx, "link", []any{before, c.key}, &prev, &bad)
	if errors.Is(err, pgx.ErrNoRows) {
		return c, nil
	}
	c.newest = prev
	if bad != nil {
		c.newestBad = *bad
	}
	return c, err
}

// withNames reads runs, and once more when they have names of samples that
// another process has numbered.
func (s *Store) withNames(ctx context.Context, read func() error) error {
	err := read()
	if !errors.Is(err, pack.ErrDamaged) {
		return err
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	known := errors.New("it waits for what became of a transaction")
	if s.ledger.unsure == nil {
		known = s.loadNames(ctx, s.pool)
	}
	s.give()
	if known != nil {
		return fmt.Errorf("read names of samples: %w", known)
	}
	return read()
}

func (s *Store) scanRun(row scan, samples bool) (core.Run, error) {
	var run core.Run
	var ended int64
	var body, detail []byte
	var outcome int16
	if err := row(&run.ID, &run.Assignment, &ended, &outcome, &body, &detail); err != nil {
		return run, err
	}
	run.Outcome = core.Outcome(outcome) //nolint:gosec // 0 to 3
	run.Ended = pack.Instant(ended)
	if err := pack.UnpackRun(body, &run, samples, &s.words); err != nil {
		return run, fmt.Errorf("run %d: %w", run.ID, err)
	}
	if len(detail) > 0 {
		if err := json.Unmarshal(detail, &run.Steps); err != nil {
			return run, fmt.Errorf("steps of run %d: %w", run.ID, err)
		}
	}
	return run, nil
}

// Run implements [store.History].
func (s *Store) Run(ctx context.Context, id int64) (core.Run, error) {
	var run core.Run
	err := s.withNames(ctx, func() error {
		return s.read(ctx, "run", []any{id}, func(row scan) error {
			var err error
			run, err = s.scanRun(row, true)
			return err
		})
	})
	if err == nil && run.ID == 0 {
		err = store.ErrNotFound
	}
	if err == nil {
		err = s.recorded(ctx, &run)
	}
	if err != nil {
		return core.Run{}, fmt.Errorf("read run %d: %w", id, err)
	}
	return run, nil
}

// RunsAfter implements [store.History].
func (s *Store) RunsAfter(ctx context.Context, id int64, limit int) (runs []core.Run, newest int64, err error) {
	if id >= 0 {
		err = s.read(ctx, "runs_after", []any{id, limit}, func(row scan) error {
			run, err := s.scanRun(row, false)
			runs = append(runs, run)
			return err
		})
	}
	if err == nil {
		err = s.readRow(ctx, "newest_run", nil, &newest)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read runs after %d: %w", id, err)
	}
	return runs, newest, nil
}

// RunsOf implements [store.RunLog]. The newest id is read first: what is recorded
// between the two questions is left for the next.
func (s *Store) RunsOf(ctx context.Context, id int64, outcomes []core.Outcome, limit int) (runs []core.Run, newest int64, err error) {
	if err := s.readRow(ctx, "newest_run", nil, &newest); err != nil {
		return nil, 0, fmt.Errorf("read the newest run: %w", err)
	}
	if id < 0 || newest <= id {
		return nil, newest, nil
	}
	mask, name := 0, "runs_of"
	for _, o := range outcomes {
		mask |= 1 << o
	}
	switch {
	case mask == 0:
		mask = anyOutcome
	case mask&(1<<core.Pass) == 0:
		name = "runs_of_bad"
	}
	err = s.read(ctx, name, []any{id, newest, mask, limit}, func(row scan) error {
		run, err := s.scanRun(row, true)
		runs = append(runs, run)
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read runs of outcomes after %d: %w", id, err)
	}
	return runs, newest, nil
}

// Transitions implements [store.History].
func (s *Store) Transitions(ctx context.Context, q store.TransitionQuery) ([]core.Transition, error) {
	kind := -1
	if q.Subject.Kind != "" {
		kind = pack.Kind(q.Subject.Kind)
	}
	after, err := s.before(ctx, "transitions", q.Since)
	if err != nil {
		return nil, fmt.Errorf("read transitions: %w", err)
	}
	name, args := "transitions", []any{q.Before, pack.Nanos(q.Since), kind, pack.Limit(q.Limit), after}
	switch {
	case q.Subject.ID != "":
		key, part := pack.Scope(q.Subject)
		if q.System != "" && key != q.System {
			return nil, nil
		}
		name, args = "transitions_of", append(args, key, part)
	case q.System != "":
		name, args = "transitions_of", append(args, q.System, nil)
	}
	var out []core.Transition
	err = s.read(ctx, name, args, func(row scan) error {
		c, err := scanTransition(row)
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read transitions: %w", err)
	}
	return out, nil
}

// pruneChunk is how many rows one transaction of Prune looks at, so that
// recording never waits long for it.
const pruneChunk = 5000

// Prune implements [store.History]. It works in small transactions, so that
// recording goes on meanwhile; what one has deleted stays deleted when a later
// one fails. Runs go in the order in which they were recorded, up to where the
// old ones end and the newer ones begin: nobody finds them from then on, and
// their place on disk is free when all of their partition are deleted. Firings
// that have ended go with the decisions.
func (s *Store) Prune(ctx context.Context, keep store.Keep) (int64, error) {
	var gone int64
	for _, prune := range []struct {
		what string
		on   bool
		do   func() error
	}{
		{"runs", keep.Runs != store.Bound{}, func() error { return s.pruneRuns(ctx, keep, &gone) }},
		{"buckets", true, func() error { return s.pruneBuckets(ctx, keep) }},
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
	var newest, was int64 // what is recorded from now on stays
	if err := errors.Join(s.readRow(ctx, "newest_run", nil, &newest), s.readRow(ctx, "floor", nil, &was)); err != nil {
		return err
	}
	for more := true; more; {
		var err error
		if more, err = s.RollUp(ctx, keep.Now); err != nil {
			return err
		}
	}
	if err := s.readRow(ctx, "added_up_to", []any{newest}, &newest); err != nil {
		return err
	}
	last, err := s.lastToGo(ctx, keep.Runs, was)
	if err != nil {
		return err
	}
	if last = min(last, newest); last > was {
		if err := s.write(ctx, "move the floor", func(t *tx) error {
			_, err := t.exec("raise_floor", last)
			if err == nil {
				_, err = t.exec("prune_marks", last)
			}
			if err == nil {
				_, err = t.exec("prune_recordings", last)
			}
			return err
		}); err != nil {
			return err
		}
		*gone += last - was // ids have no gaps
	}
	return s.dropPartitions(ctx, max(last, was))
}

// lastToGo is the newest run that is old or too much, was when there is none.
func (s *Store) lastToGo(ctx context.Context, keep store.Bound, was int64) (last int64, err error) {
	last = was
	for !keep.Before.IsZero() {
		next, err := s.lastOld(ctx, pack.Nanos(keep.Before), last+1)
		if err != nil {
			return 0, err
		}
		if next == 0 {
			break
		}
		last = next
	}
	if keep.Bytes <= 0 {
		return last, nil
	}
	fits, err := s.lastThatFits(ctx, keep.Bytes)
	return max(last, fits), err
}

// lastThatFits is the run up to which partitions must go so that the others
// take no more than bytes. The newest one that is in use stays.
func (s *Store) lastThatFits(ctx context.Context, bytes int64) (last int64, err error) {
	var parts []partition
	var newest, sum int64
	err = errors.Join(s.readRow(ctx, "newest_run", nil, &newest), s.read(ctx, "run_partitions", nil, func(row scan) error {
		var p partition
		err := row(&p.first, &p.past, &p.began)
		parts = append(parts, p)
		return err
	}))
	for _, p := range slices.Backward(parts) {
		var size int64
		err = errors.Join(err, s.readRow(ctx, "size_of_table", []any{p.table()}, &size))
		if sum += size; sum > bytes && p.past <= newest {
			last = max(last, p.past-1)
		}
	}
	return last, err
}

// lastOld is the newest run of a chunk that goes, 0 when none does.
func (s *Store) lastOld(ctx context.Context, before, from int64) (last int64, err error) {
	score, best := 0, 0
	err = s.read(ctx, "old_runs", []any{before, from, pruneChunk}, func(row scan) error {
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
		})
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
			n, err = t.exec("prune_decisions", pruneChunk, before)
			*gone += n
			return err
		})
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
		})
		if err != nil || n < pruneChunk {
			return err
		}
	}
}
