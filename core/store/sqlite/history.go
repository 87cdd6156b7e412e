package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

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
		err = s.read(ctx, "runs_by_id", []any{list(ids), q.WithDetails}, func(row scan) error {
			run, err := s.scanRun(row, q.WithDetails)
			out = append(out, run)
			return err
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
	var bad sql.NullInt64
	err := s.readRow(ctx, "link", []any{before, c.key}, &prev, &bad)
	if errors.Is(err, sql.ErrNoRows) {
		return c, nil
	}
	c.newest = prev
	if bad.Valid {
		c.newestBad = bad.Int64
	}
	return c, err
}

func (s *Store) scanRun(row scan, samples bool) (core.Run, error) {
	var run core.Run
	var ended int64
	var body, detail sql.RawBytes
	if err := row(&run.ID, &run.Assignment, &ended, &run.Outcome, &body, &detail); err != nil {
		return run, err
	}
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
	err := s.read(ctx, "run", []any{id}, func(row scan) error {
		var err error
		run, err = s.scanRun(row, true)
		return err
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
