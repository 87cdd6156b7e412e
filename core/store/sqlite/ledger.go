package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// ledger is what the writer keeps in memory beside the tables. Whatever a
// transaction changes in it is undone when the transaction fails.
type ledger struct {
	board *core.Board
	desks map[string]*desk
	mark

	// Of the transaction that goes on.
	touched  []*desk
	created  []*desk
	before   mark // as it was
	words    int  // as many there were
	restored []func()
	buffer   []byte // bodies of rows that wait to be written
	runs     bulkWriter
	seats    bulkWriter
}

func newLedger() ledger {
	return ledger{
		board: core.NewBoard(), desks: map[string]*desk{},
		runs:  bulkWriter{name: "insert_runs", columns: 8},
		seats: bulkWriter{name: "put_standings", columns: 4},
	}
}

// mark is how far the ledger is.
type mark struct {
	lastKey int64
	lastRun int64
	lastSeq int64
	// The latest instants of all runs and of all transitions.
	latestRun int64
	latestSeq int64
}

// markEvery is how many runs or transitions there are to a row of marks.
const markEvery = 1000

// desk is where the runs of one assignment are written.
type desk struct {
	key       int64
	id        string
	removed   bool
	newest    int64 // heads of the chains of runs
	newestBad int64
	was       *[2]int64 // the heads as they were, while a transaction goes on
}

// load reads everything the writer keeps in memory.
func (s *Store) load(ctx context.Context) error {
	t := &tx{s: s, ctx: context.WithoutCancel(ctx)} // it takes well under a second
	s.ledger = newLedger()
	var names []string
	if err := t.rows("sample_names", nil, func(row scan) error {
		var key int
		var name string
		if err := row(&key, &name); err != nil {
			return err
		}
		for len(names) < key {
			names = append(names, "")
		}
		names[key-1] = name
		return nil
	}); err != nil {
		return err
	}
	s.words.Reset(names)
	if err := s.loadBoard(t); err != nil {
		return err
	}
	var version int64
	if err := errors.Join(
		t.row("newest_run", nil, &s.ledger.lastRun),
		t.row("head", nil, &s.ledger.lastSeq),
		t.row("latest_run", nil, &s.ledger.latestRun),
		t.row("latest_transition", nil, &s.ledger.latestSeq),
		t.row("counter", []any{"catalog"}, &version),
		t.row("newest_decision", nil, &s.counts.last),
	); err != nil {
		return err
	}
	s.head.set(s.ledger.lastSeq)
	s.version.set(version)
	return nil
}

func (s *Store) loadBoard(t *tx) error {
	var systems []core.System
	var rolled []core.Rolled
	others := make(chan error, 1)
	go func() { // half of the work, on another connection
		others <- errors.Join(t.s.read(t.ctx, "systems", nil, jsonInto(&systems)), t.s.read(t.ctx, "rollups", nil, jsonInto(&rolled)))
	}()
	assignments, standings, err := s.loadDesks(t)
	if err := errors.Join(err, <-others); err != nil {
		return err
	}
	s.ledger.board.Load(systems, assignments, standings, rolled, time.Now())
	return nil
}

func (s *Store) loadDesks(t *tx) ([]core.Assignment, map[string]core.Standing, error) {
	var assignments []core.Assignment
	standings := map[string]core.Standing{}
	err := t.rows("desks", nil, func(row scan) error {
		var d desk
		var body, standing sql.RawBytes
		if err := row(&d.key, &d.id, &d.removed, &body, &d.newest, &d.newestBad, &standing); err != nil {
			return err
		}
		s.ledger.desks[d.id] = &d
		s.ledger.lastKey = max(s.ledger.lastKey, d.key)
		if d.removed {
			return nil
		}
		var a core.Assignment
		if err := json.Unmarshal(body, &a); err != nil {
			return fmt.Errorf("assignment %s: %w", d.id, err)
		}
		assignments = append(assignments, a)
		var err error
		if standings[d.id], err = pack.UnpackStanding(standing); err != nil {
			return fmt.Errorf("standing of %s: %w", d.id, err)
		}
		return nil
	})
	return assignments, standings, err
}

// jsonInto appends each row, one column of JSON, to list.
func jsonInto[T any](list *[]T) func(scan) error {
	return func(row scan) error {
		var body sql.RawBytes
		if err := row(&body); err != nil {
			return err
		}
		var value T
		if err := json.Unmarshal(body, &value); err != nil {
			return err
		}
		*list = append(*list, value)
		return nil
	}
}

// move runs do, which may use the board, in one transaction, writes what it
// changed on the board, and tells waiters after the commit.
func (s *Store) move(ctx context.Context, what string, do func(*tx) error) error {
	if err := s.take(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer s.give()
	l := &s.ledger
	l.before, l.words = l.mark, s.words.Len()
	t := &tx{s: s, ctx: context.WithoutCancel(ctx)}
	err := t.run(func(t *tx) error {
		if err := do(t); err != nil {
			return err
		}
		return t.settle()
	})
	if err != nil {
		l.rollback()
		s.words.Shrink(l.words)
		return fmt.Errorf("%s: %w", what, err)
	}
	l.commit()
	if l.lastSeq > l.before.lastSeq {
		s.head.set(l.lastSeq)
	}
	return nil
}

// settle writes the standings and roll-ups that the board says have changed.
func (t *tx) settle() error {
	l := &t.s.ledger
	var fault error
	l.board.Dirty(func(a core.Assignment, _ core.Standing) {
		l.touch(l.desks[a.ID])
	}, func(r core.Rolled) {
		if fault != nil {
			return
		}
		var body []byte
		if body, fault = json.Marshal(r); fault == nil {
			_, fault = t.exec("put_rollup", pack.Kind(r.Subject.Kind), r.Subject.ID, string(body))
		}
	}, func(gone core.Subject) {
		if fault == nil {
			_, fault = t.exec("delete_rollup", pack.Kind(gone.Kind), gone.ID)
		}
	})
	if fault != nil {
		return fault
	}
	return t.writeStandings()
}

func (t *tx) writeStandings() error {
	l := &t.s.ledger
	for _, d := range l.touched {
		standing, _ := l.board.Standing(d.id) // zero for a removed one, which begins anew if it comes back
		from := len(l.buffer)
		l.buffer = pack.Standing(l.buffer, standing)
		if err := l.seats.add(t, d.key, d.newest, d.newestBad, l.buffer[from:]); err != nil {
			return err
		}
	}
	return l.seats.flush(t)
}

// touch notes that the standing of d must be written.
func (l *ledger) touch(d *desk) {
	if d.was == nil {
		d.was = &[2]int64{d.newest, d.newestBad}
		l.touched = append(l.touched, d)
	}
}

func (l *ledger) commit() {
	l.board.Commit()
	l.forget()
}

func (l *ledger) rollback() {
	l.board.Rollback()
	for _, d := range l.touched {
		d.newest, d.newestBad = d.was[0], d.was[1]
	}
	for _, d := range l.created {
		delete(l.desks, d.id)
	}
	for _, restore := range l.restored {
		restore()
	}
	l.mark = l.before
	l.forget()
}

func (l *ledger) forget() {
	for _, d := range l.touched {
		d.was = nil
	}
	l.touched, l.created, l.restored = l.touched[:0], l.created[:0], l.restored[:0]
	l.buffer, l.runs.args, l.seats.args = l.buffer[:0], l.runs.args[:0], l.seats.args[:0]
}

// Record implements [store.Ledger].
func (s *Store) Record(ctx context.Context, runs []*core.Run) error {
	if len(runs) == 0 {
		return nil
	}
	recordings, err := pack.Recordings(runs)
	if err != nil {
		return fmt.Errorf("record runs: %w", err)
	}
	err = s.move(ctx, "record runs", func(t *tx) error {
		for _, run := range runs {
			if err := t.record(run); err != nil {
				return err
			}
		}
		if err := s.ledger.runs.flush(t); err != nil || len(recordings) == 0 {
			return err
		}
		return t.writeRecordings(recordings)
	})
	if err != nil {
		for _, run := range runs {
			run.ID = 0
		}
	}
	return err
}

// record stores one run and what it moves.
func (t *tx) record(run *core.Run) error {
	l := &t.s.ledger
	run.ID = 0
	d := l.desks[run.Assignment]
	if d == nil || d.removed {
		return nil
	}
	l.touch(d)
	l.lastRun++
	run.ID = l.lastRun
	if err := t.insertRun(d, run); err != nil {
		return fmt.Errorf("run of %s: %w", run.Assignment, err)
	}
	if l.latestRun = max(l.latestRun, pack.Nanos(run.Ended)); run.ID%markEvery == 0 {
		if _, err := t.exec("insert_mark", "runs", run.ID, l.latestRun); err != nil {
			return err
		}
	}
	d.newest = run.ID
	if run.Outcome != core.Pass {
		d.newestBad = run.ID
	}
	return t.append(l.board.Record(run))
}

func (t *tx) insertRun(d *desk, run *core.Run) error {
	l := &t.s.ledger
	known, from := t.s.words.Len(), len(l.buffer)
	l.buffer = pack.Run(l.buffer, run, &t.s.words)
	for key := known + 1; key <= t.s.words.Len(); key++ {
		name, _ := t.s.words.Name(uint64(key)) //nolint:gosec // positive
		if _, err := t.exec("insert_sample_name", key, name); err != nil {
			return err
		}
	}
	var bad, detail any
	if run.Outcome != core.Pass {
		bad = d.newestBad
	}
	steps, err := pack.Steps(run)
	if err != nil {
		return err
	}
	if steps != nil {
		detail = steps
	}
	return l.runs.add(t, run.ID, d.key, pack.Nanos(run.Ended), d.newest, int64(run.Outcome), bad, l.buffer[from:], detail)
}

// append gives the transitions their Seq and writes them.
func (t *tx) append(changes []core.Transition) error {
	l := &t.s.ledger
	for i := range changes {
		c := &changes[i]
		l.lastSeq++
		c.Seq = l.lastSeq
		e, err := pack.Transition(*c)
		if err != nil {
			return err
		}
		if _, err := t.exec("insert_transition", e.Seq, e.At, e.Kind, e.Scope, e.Part, e.From, e.To, e.Cause, e.Run, string(e.Body)); err != nil {
			return fmt.Errorf("transition of %s: %w", c.Subject, err)
		}
		if l.latestSeq = max(l.latestSeq, pack.Nanos(c.At)); c.Seq%markEvery != 0 {
			continue
		}
		if _, err := t.exec("insert_mark", "transitions", c.Seq, l.latestSeq); err != nil {
			return err
		}
	}
	return nil
}

// Expire implements [store.Ledger].
func (s *Store) Expire(ctx context.Context, assignments []string, now time.Time) error {
	if len(assignments) == 0 {
		return nil
	}
	return s.move(ctx, "expire assignments", func(t *tx) error {
		return t.append(s.ledger.board.Expire(assignments, now))
	})
}

// Standings implements [store.Ledger].
func (s *Store) Standings(ctx context.Context) (map[string]core.Standing, error) {
	out := map[string]core.Standing{}
	err := s.read(ctx, "standings", nil, func(row scan) error {
		var id string
		var body sql.RawBytes
		if err := row(&id, &body); err != nil {
			return err
		}
		standing, err := pack.UnpackStanding(body)
		if err != nil {
			return fmt.Errorf("standing of %s: %w", id, err)
		}
		out[id] = standing
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read standings: %w", err)
	}
	return out, nil
}

// Standing implements [store.Ledger].
func (s *Store) Standing(ctx context.Context, assignment string) (core.Standing, error) {
	var body []byte
	err := s.readRow(ctx, "standing", []any{assignment}, &body)
	if err != nil {
		return core.Standing{}, fmt.Errorf("read standing of %s: %w", assignment, missing(err))
	}
	standing, err := pack.UnpackStanding(body)
	if err != nil {
		return core.Standing{}, fmt.Errorf("read standing of %s: %w", assignment, err)
	}
	return standing, nil
}

// Rolled implements [store.Ledger].
func (s *Store) Rolled(ctx context.Context) ([]core.Rolled, error) {
	var out []core.Rolled
	if err := s.read(ctx, "rollups", nil, jsonInto(&out)); err != nil {
		return nil, fmt.Errorf("read roll-ups: %w", err)
	}
	return out, nil
}

// missing is err, as store.ErrNotFound when it says that there is no row.
func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}

func scanTransition(row scan) (core.Transition, error) {
	var e pack.Entry
	var raw sql.RawBytes
	if err := row(&e.Seq, &e.At, &e.Kind, &e.Scope, &e.Part, &e.From, &e.To, &e.Cause, &e.Run, &raw); err != nil {
		return core.Transition{}, err
	}
	e.Body = raw
	return e.Unpack()
}

// After implements [store.Log].
func (s *Store) After(ctx context.Context, seq int64, limit int) ([]core.Transition, error) {
	var out []core.Transition
	err := s.read(ctx, "transitions_after", []any{seq, limit}, func(row scan) error {
		c, err := scanTransition(row)
		out = append(out, c)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read log after %d: %w", seq, err)
	}
	return out, nil
}

// Head implements [store.Log].
func (s *Store) Head(ctx context.Context) (int64, error) {
	var head int64
	if err := s.readRow(ctx, "head", nil, &head); err != nil {
		return 0, fmt.Errorf("read head of log: %w", err)
	}
	return head, nil
}

// Wait implements [store.Log].
func (s *Store) Wait(ctx context.Context, seq int64) error {
	if err := s.await(ctx, &s.head, seq, s.Head); err != nil {
		return fmt.Errorf("wait for log after %d: %w", seq, err)
	}
	return nil
}
