package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// ledger is what the writer keeps in memory beside the tables. Whatever a
// transaction changes in it is undone when the transaction fails.
type ledger struct {
	board  *core.Board
	desks  map[string]*desk
	parts  []partition // of runs, in order
	loaded bool        // once
	mark

	// The shards whose standings are those of the tables, by the epoch of the
	// lease for which that is so; 0: none.
	fresh [core.Shards]int64

	// Of the transaction that goes on.
	touched  []*desk
	created  []*desk
	before   mark // as it was
	words    int  // as many there were
	restored []func()

	unsure *commit             // whose outcome is not known
	stored map[*core.Run]int64 // ids of runs that were stored although recording them failed
}

// mark is how far the ledger is.
type mark struct {
	turn    int64
	edited  int64 // turn of the newest edit of the catalog
	layout  int64 // turn of the newest partition or name of a sample
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

// load reads everything the writer keeps in memory, at an instant at which
// nobody writes.
func (s *Store) load(ctx context.Context) error {
	s.ledger = ledger{board: core.NewBoard(), desks: map[string]*desk{}}
	var version int64
	if err := s.readRow(ctx, "counter", []any{"catalog"}, &version); err != nil {
		return err
	}
	m := &move{s: s, ctx: ctx}
	defer m.abandon(ctx)
	if err := m.begin(); err != nil {
		return err
	}
	s.ledger.fresh = m.leases
	s.version.set(version)
	s.tell()
	return nil
}

func (s *Store) loadNames(ctx context.Context, on querier) error {
	names, err := readNames(ctx, s, on)
	if err == nil {
		s.words.Reset(names)
	}
	return err
}

// readNames reads the names of samples, in order of their numbers.
func readNames(ctx context.Context, s *Store, on querier) ([]string, error) {
	var names []string
	err := query(ctx, s, on, "sample_names", nil, func(row scan) error {
		var key int
		var name []byte
		if err := row(&key, &name); err != nil {
			return err
		}
		for len(names) < key {
			names = append(names, "")
		}
		names[key-1] = string(name)
		return nil
	})
	return names, err
}

func (s *Store) loadPartitions(ctx context.Context, on querier) error {
	var parts []partition
	err := query(ctx, s, on, "run_partitions", nil, func(row scan) error {
		var p partition
		err := row(&p.first, &p.past, &p.began)
		parts = append(parts, p)
		return err
	})
	if err == nil {
		s.ledger.parts = parts
	}
	return err
}

// jsonInto appends each row, one column of JSON, to list.
func jsonInto[T any](list *[]T) func(scan) error {
	return func(row scan) error {
		var body []byte
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
}

// Record implements [store.Ledger].
//
//nolint:gocognit // one transaction, from its beginning to its end
func (s *Store) Record(ctx context.Context, runs []*core.Run) error {
	if len(runs) == 0 {
		return nil
	}
	recordings, err := pack.Recordings(runs)
	if err != nil {
		return fmt.Errorf("record runs: %w", err)
	}
	err = s.move(ctx, "record runs", func(m *move) error {
		m.recorded = runs
		names := make([]string, len(runs))
		for i, run := range runs {
			names[i] = run.Assignment
		}
		if err := m.freshen(names); err != nil {
			return err
		}
		known := map[*core.Run]bool{} // stored before
		for _, run := range runs {
			if id, ok := s.ledger.stored[run]; ok {
				run.ID, known[run] = id, true
				delete(s.ledger.stored, run)
				s.ledger.restored = append(s.ledger.restored, func() { s.ledger.stored[run] = id })
				continue
			}
			if err := m.record(run); err != nil {
				return err
			}
		}
		fresh := recordings[:0]
		for _, r := range recordings {
			if !known[r.Run] {
				fresh = append(fresh, r)
			}
		}
		m.writeRecordings(fresh)
		return nil
	})
	if err != nil {
		for _, run := range runs {
			run.ID = 0
		}
	}
	return err
}

// record stores one run and what it moves.
func (m *move) record(run *core.Run) error {
	l := &m.s.ledger
	run.ID = 0
	d := l.desks[run.Assignment]
	if d == nil || d.removed || !m.ours(d.id, run.Epoch) {
		return nil
	}
	l.touch(d)
	l.lastRun++
	run.ID = l.lastRun
	if err := m.insertRun(d, run); err != nil {
		return fmt.Errorf("run of %s: %w", run.Assignment, err)
	}
	if l.latestRun = max(l.latestRun, pack.Nanos(run.Ended)); run.ID%markEvery == 0 {
		m.queue("insert_mark", "runs", run.ID, l.latestRun)
	}
	d.newest = run.ID
	if run.Outcome != core.Pass {
		d.newestBad = run.ID
	}
	return m.append(l.board.Record(run))
}

// insertRun adds run to the rows that COPY takes.
func (m *move) insertRun(d *desk, run *core.Run) error {
	words := &m.s.words
	steps, err := pack.Steps(run)
	if err != nil {
		return err
	}
	known := words.Len()
	r := &m.rows
	r.row(8)
	r.int64(run.ID)
	r.int64(pack.Nanos(run.Ended))
	r.int64(d.newest)
	if run.Outcome == core.Pass {
		r.null()
	} else {
		r.int64(d.newestBad)
	}
	r.int32(int32(d.key)) //nolint:gosec // counted from 1
	r.int16(int16(run.Outcome))
	r.bytes(func(b []byte) []byte { return pack.Run(b, run, words) })
	if steps == nil {
		r.null()
	} else {
		r.bytes(func(b []byte) []byte { return append(b, steps...) })
	}
	for key := known + 1; key <= words.Len(); key++ {
		name, _ := words.Name(uint64(key)) //nolint:gosec // positive
		m.queue("insert_sample_name", key, []byte(name))
		m.laidOut = true
	}
	return nil
}

// append gives the transitions their Seq and notes them to be written.
func (m *move) append(changes []core.Transition) error {
	l := &m.s.ledger
	for i := range changes {
		c := &changes[i]
		l.lastSeq++
		c.Seq = l.lastSeq
		e, err := pack.Transition(*c)
		if err != nil {
			return err
		}
		m.entries = append(m.entries, e)
		if l.latestSeq = max(l.latestSeq, e.At); c.Seq%markEvery == 0 {
			m.queue("insert_mark", "transitions", c.Seq, l.latestSeq)
		}
	}
	return nil
}

// Expire implements [store.Ledger].
func (s *Store) Expire(ctx context.Context, assignments []string, now time.Time) error {
	if len(assignments) == 0 {
		return nil
	}
	return s.move(ctx, "expire assignments", func(m *move) error {
		ours := slices.DeleteFunc(slices.Clone(assignments), func(id string) bool { return !m.ours(id, 0) })
		if err := m.freshen(ours); err != nil {
			return err
		}
		return m.append(s.ledger.board.Expire(ours, now))
	})
}

// Standings implements [store.Ledger].
func (s *Store) Standings(ctx context.Context) (map[string]core.Standing, error) {
	out := map[string]core.Standing{}
	err := s.read(ctx, "standings", nil, func(row scan) error {
		var id string
		var body []byte
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
	err := missing(s.readRow(ctx, "standing", []any{assignment}, &body))
	var standing core.Standing
	if err == nil {
		standing, err = pack.UnpackStanding(body)
	}
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

func scanTransition(row scan) (core.Transition, error) {
	var e pack.Entry
	if err := row(&e.Seq, &e.At, &e.Kind, &e.Scope, &e.Part, &e.From, &e.To, &e.Cause, &e.Run, &e.Body); err != nil {
		return core.Transition{}, err
	}
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
