package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// move is one transaction of the ledger. It begins with what others did; the
// rest is put together first and then sent at once, so that few answers of the
// server are waited for.
type move struct {
	s        *Store
	ctx      context.Context //nolint:containedctx // lives as long as one call of move
	xact     string          // number of the transaction
	leases   [core.Shards]int64
	edited   bool // the catalog
	laidOut  bool // partitions and names of samples
	batch    pgx.Batch
	rows     copyRows // of runs
	entries  []pack.Entry
	recorded []*core.Run
	err      error
}

// commit is a transaction that was asked to commit and whose answer was lost.
type commit struct {
	xact     string
	turn     int64 // of the ledger
	recorded []*core.Run
	ids      []int64
	did      bool // it is known to have taken place
}

// queue adds the named query.
func (m *move) queue(name string, args ...any) *pgx.QueuedQuery {
	text, err := m.s.text(name)
	m.err = errors.Join(m.err, err)
	return m.batch.Queue(text, storable(args)...)
}

// check adds the named query, which must change something lest none do.
func (m *move) check(name string, otherwise error, args ...any) {
	m.queue(name, args...).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() == 0 {
			return otherwise
		}
		return nil
	})
}

// move runs do, which may use the board, in one transaction of the ledger,
// writes what it changed on the board, and tells waiters after the commit. The
// end of ctx does not interrupt it once it has begun.
func (s *Store) move(ctx context.Context, what string, do func(*move) error) error {
	if err := s.take(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer s.give()
	ctx, cancel := s.started(ctx)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	m := &move{s: s, ctx: ctx}
	if err := m.begin(); err != nil {
		m.abandon(ctx)
		return fmt.Errorf("%s: %w", what, err)
	}
	l := &s.ledger
	l.before, l.words = l.mark, s.words.Len()
	l.turn++
	err := do(m)
	if err == nil {
		err = m.settle()
	}
	answered := true
	if err == nil {
		answered, err = m.send(ctx)
	} else {
		m.abandon(ctx)
	}
	switch {
	case err == nil:
		l.commit()
		s.tell()
	case answered:
		s.undo()
	default:
		c := &commit{xact: m.xact, turn: l.turn, recorded: m.recorded}
		for _, run := range m.recorded {
			c.ids = append(c.ids, run.ID)
		}
		if l.unsure = c; s.ready(ctx) == nil && c.did {
			err = nil
			clear(l.stored)
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (s *Store) tell() { s.head.set(s.ledger.lastSeq) }

func (s *Store) undo() {
	s.words.Shrink(s.ledger.words)
	s.ledger.rollback()
}

// take waits for the turn to write.
func (s *Store) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	select {
	case s.turn <- struct{}{}:
	case <-s.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (s *Store) give() { <-s.turn }

// ready connects again when the connection was lost, and finds out what became
// of a commit that was not answered.
func (s *Store) ready(ctx context.Context) error {
	if !s.conn.IsClosed() && s.ledger.unsure == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return fmt.Errorf("connect again: %w", err)
	}
	err = s.resume(ctx, conn)
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	s.conn = conn
	return nil
}

func (s *Store) resume(ctx context.Context, conn *pgx.Conn) error {
	l := &s.ledger
	c := l.unsure
	if c == nil {
		return nil
	}
	outcome, err := s.outcome(ctx, conn, c)
	if err != nil {
		return fmt.Errorf("ask what became of a transaction: %w", err)
	}
	if outcome == "in progress" {
		return errors.New("the server still holds the lost connection")
	}
	l.unsure = nil
	if outcome != "committed" {
		s.undo()
		return nil
	}
	c.did = true
	l.commit()
	s.tell()
	l.stored = map[*core.Run]int64{}
	for i, run := range c.recorded {
		if c.ids[i] != 0 {
			l.stored[run] = c.ids[i]
		}
	}
	return nil
}

// outcome is what became of c. A server that crashed gives the numbers of
// transactions that left no trace to others, so that a number that was committed
// does not tell whose it was: the ledger must have had the turn of c as well,
// and the newest run of c must be there.
func (s *Store) outcome(ctx context.Context, conn *pgx.Conn, c *commit) (outcome string, err error) {
	var turn int64
	if err := conn.QueryRow(ctx, s.texts["outcome"], c.xact).Scan(&outcome, &turn); err != nil || outcome != "committed" {
		return outcome, err
	}
	if turn < c.turn {
		return "lost", nil
	}
	for i, id := range slices.Backward(c.ids) {
		if id == 0 {
			continue
		}
		var there bool
		err := conn.QueryRow(ctx, s.texts["is_recorded"], id, c.recorded[i].Assignment, pack.Nanos(c.recorded[i].Ended)).Scan(&there)
		if err == nil && !there {
			outcome = "lost"
		}
		return outcome, err
	}
	return outcome, nil
}

// settle adds the standings, roll-ups and transitions that have changed, and
// room for the runs.
func (m *move) settle() error {
	l := &m.s.ledger
	var kinds []int32
	var ids, bodies []string
	l.board.Dirty(func(a core.Assignment, _ core.Standing) {
		l.touch(l.desks[a.ID])
	}, func(r core.Rolled) {
		body, err := json.Marshal(r)
		m.err = errors.Join(m.err, err)
		kinds, ids, bodies = append(kinds, int32(pack.Kind(r.Subject.Kind))), append(ids, r.Subject.ID), append(bodies, string(body)) //nolint:gosec // 0 to 2
	}, func(gone core.Subject) {
		m.queue("delete_rollup", pack.Kind(gone.Kind), gone.ID)
	})
	if len(kinds) > 0 {
		m.queue("put_rollups", kinds, ids, bodies, l.turn)
	}
	m.writeStandings()
	m.writeEntries()
	if l.lastRun > l.before.lastRun {
		m.makeRoom(time.Now())
	}
	if m.edited {
		l.edited = l.turn
	}
	if m.laidOut {
		l.layout = l.turn
	}
	m.queue("advance_ledger", l.turn, l.lastRun, l.latestRun, l.lastSeq, l.latestSeq, l.edited, l.layout)
	return m.err
}

func (m *move) writeStandings() {
	l := &m.s.ledger
	n := len(l.touched)
	if n == 0 {
		return
	}
	keys, newest, bad, bodies := make([]int32, n), make([]int64, n), make([]int64, n), make([][]byte, n)
	var buffer []byte
	for i, d := range l.touched {
		standing, _ := l.board.Standing(d.id) // zero for a removed one, which begins anew if it comes back
		from := len(buffer)
		buffer = pack.Standing(buffer, standing)
		keys[i], newest[i], bad[i], bodies[i] = int32(d.key), d.newest, d.newestBad, buffer[from:len(buffer):len(buffer)] //nolint:gosec // counted from 1
	}
	m.queue("put_standings", keys, newest, bad, bodies)
}

func (m *move) writeEntries() {
	n := len(m.entries)
	if n == 0 {
		return
	}
	seq, at, run := make([]int64, n), make([]int64, n), make([]int64, n)
	kind, was, now := make([]int32, n), make([]int32, n), make([]int32, n)
	scope, part, cause, body := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, e := range m.entries {
		seq[i], at[i], run[i] = e.Seq, e.At, e.Run
		kind[i], was[i], now[i] = int32(e.Kind), int32(e.From), int32(e.To) //nolint:gosec // small
		scope[i], part[i], cause[i], body[i] = e.Scope, e.Part, e.Cause, string(e.Body)
	}
	m.queue("insert_transitions", seq, at, kind, scope, part, was, now, cause, run, body)
	m.queue("notify", "log")
}

// send carries the transaction out. answered is false when it may have been
// committed all the same.
func (m *move) send(ctx context.Context) (answered bool, err error) {
	if err := m.write(ctx); err != nil {
		m.abandon(ctx)
		return true, err
	}
	_, err = m.s.conn.Exec(ctx, "COMMIT")
	if err == nil {
		return true, nil
	}
	err = fmt.Errorf("commit: %w", err)
	if m.s.conn.IsClosed() {
		return false, err
	}
	m.abandon(ctx)
	return true, err
}

func (m *move) write(ctx context.Context) error {
	s := m.s
	if err := s.conn.SendBatch(ctx, &m.batch).Close(); err != nil {
		return err
	}
	if len(m.rows.data) == 0 {
		return nil
	}
	const into = "COPY runs (id, ended, prev, prev_bad, assignment, outcome, body, detail) FROM STDIN (FORMAT binary)"
	if _, err := s.conn.PgConn().CopyFrom(ctx, bytes.NewReader(m.rows.end()), into); err != nil {
		return fmt.Errorf("copy runs: %w", err)
	}
	return nil
}

// abandon ends the transaction, or the connection when that fails.
func (m *move) abandon(ctx context.Context) {
	if m.s.conn == nil || m.s.conn.IsClosed() {
		return
	}
	if _, err := m.s.conn.Exec(ctx, "ROLLBACK"); err != nil {
		_ = m.s.conn.Close(ctx) // a new one is made when it is needed
	}
}

// copyRows are rows in the binary format of COPY.
type copyRows struct{ data []byte }

func (r *copyRows) row(columns uint16) {
	if len(r.data) == 0 {
		r.data = append(r.data, "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	}
	r.data = binary.BigEndian.AppendUint16(r.data, columns)
}

func (r *copyRows) end() []byte { return append(r.data, 0xff, 0xff) }

func (r *copyRows) null() { r.data = append(r.data, 0xff, 0xff, 0xff, 0xff) }

func (r *copyRows) int64(v int64) {
	r.data = binary.BigEndian.AppendUint64(append(r.data, 0, 0, 0, 8), uint64(v)) //nolint:gosec // the same bits
}

func (r *copyRows) int32(v int32) {
	r.data = binary.BigEndian.AppendUint32(append(r.data, 0, 0, 0, 4), uint32(v)) //nolint:gosec // the same bits
}

func (r *copyRows) int16(v int16) {
	r.data = binary.BigEndian.AppendUint16(append(r.data, 0, 0, 0, 2), uint16(v)) //nolint:gosec // the same bits
}

func (r *copyRows) bytes(write func([]byte) []byte) {
	at := len(r.data)
	r.data = write(append(r.data, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(r.data[at:], uint32(len(r.data)-at-4)) //nolint:gosec // of one run
}
