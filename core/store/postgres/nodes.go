package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// rulesShare is the share that is the rules; those before it are the shards.
const rulesShare = core.Shards

// membership is this process among those that share the database. The
// connection and what follows it belong to whoever beats: Open at first, then
// one goroutine, Close at last.
type membership struct {
	id     atomic.Int64 // of its row; another one when it had to join anew
	term   atomic.Int64 // epoch of the rules when the journal was loaded, 0: not ours
	clock  atomic.Int64 // nanoseconds that our clock is behind that of the server
	beaten atomic.Int64 // nanoseconds since 1970 when leases were renewed last
	taken  atomic.Int64 // shares taken from others that were not heard of
	kick   chan struct{}
	conn   *pgx.Conn
	giving map[int]bool // what it lets go of at the next beat

	mu    sync.Mutex // guards what follows
	share store.Share
	moved chan struct{} // closed and replaced when share changes
	lost  error
	left  bool
}

// member is a process as the others see it.
type member struct {
	id    int64
	name  string
	alive bool
}

// lease is who owns a share, 0 is nobody, and for the how manieth time it was
// given to somebody.
type lease struct {
	share int
	owner int64
	epoch int64
}

// deal says which shares the process me should take, and which it should let
// go of. Each share wants to be with the member whose name, hashed with it, is
// greatest: whoever comes or goes moves no share that it does not hold or get.
// The rules stay where they are as long as that one lives.
func deal(me int64, members []member, leases []lease) (take, give []int) {
	alive := map[int64]bool{}
	for _, m := range members {
		alive[m.id] = m.alive || m.id == me
	}
	for _, l := range leases {
		if l.share == rulesShare && alive[l.owner] {
			continue
		}
		best, with := uint64(0), int64(0)
		for _, m := range members {
			if !alive[m.id] {
				continue
			}
			sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", l.share, m.name))
			if rank := binary.BigEndian.Uint64(sum[:]); with == 0 || rank > best {
				best, with = rank, m.id
			}
		}
		switch {
		case with == me && !alive[l.owner]:
			take = append(take, l.share)
		case with != me && l.owner == me:
			give = append(give, l.share)
		}
	}
	return take, give
}

// sessionName is what the sessions of a process are called, so that those of a
// dead one can be ended.
func (s *Store) sessionName(id int64) string { return fmt.Sprintf("tocsin/%s/%d", s.space, id) }

// lockName takes the name of this process, for as long as the connection lives.
func (s *Store) lockName(ctx context.Context, conn *pgx.Conn) (ok bool, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(7407108, hashtext(current_schema() || '/' || $1::text))", s.options.Node).Scan(&ok)
	return ok, err
}

// enter takes the name of this process and joins the others. A server may need
// a moment to see that the one before has ended.
func (s *Store) enter(ctx context.Context) error {
	for late := time.Now().Add(s.options.TakeOver); ; {
		ok, err := s.lockName(ctx, s.member.conn)
		if err != nil {
			return err
		}
		if ok {
			return s.join(ctx)
		}
		if time.Now().After(late) {
			return fmt.Errorf("%q: %w", s.options.Node, ErrInUse)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// join makes a row for this process. What others of its name held is its own:
// the lock proves that they have ended.
func (s *Store) join(ctx context.Context) error {
	before, err := s.ids(ctx, "namesakes", s.options.Node)
	if err != nil {
		return err
	}
	if err := s.endSessions(ctx, before); err != nil {
		return err
	}
	var id int64
	err = s.leased(ctx, func(t *tx) error {
		if err := t.row("insert_node", []any{s.options.Node, s.options.Lease, s.member.leaving()}, &id); err != nil {
			return err
		}
		if _, err := t.exec("inherit_leases", id, before); err != nil {
			return err
		}
		if _, err := t.exec("delete_nodes", before); err != nil {
			return err
		}
		_, err := t.exec("forget_nodes")
		return err
	})
	if err != nil {
		return fmt.Errorf("join the other nodes: %w", err)
	}
	s.member.id.Store(id)
	return nil
}

// leased runs do in a transaction in which no share gets another owner and
// nothing is recorded.
func (s *Store) leased(ctx context.Context, do func(*tx) error) error {
	return pgx.BeginFunc(ctx, s.member.conn, func(p pgx.Tx) error {
		t := &tx{s, ctx, p}
		if _, err := t.exec("lock_ledger"); err != nil {
			return err
		}
		return do(t)
	})
}

// ids is what the named query lists.
func (s *Store) ids(ctx context.Context, name string, args ...any) (out []int64, err error) {
	err = query(ctx, s, s.member.conn, name, args, func(row scan) error {
		var id int64
		err := row(&id)
		out = append(out, id)
		return err
	})
	return out, err
}

// endSessions ends what processes have begun that are dead, or taken for dead.
func (s *Store) endSessions(ctx context.Context, of []int64) error {
	if len(of) == 0 {
		return nil
	}
	names := make([]string, len(of))
	for i, id := range of {
		names[i] = s.sessionName(id)
	}
	if err := query(ctx, s, s.member.conn, "end_sessions", []any{names}, func(scan) error { return nil }); err != nil {
		return fmt.Errorf("end the sessions of dead nodes: %w", err)
	}
	return nil
}

// beatOften renews the leases until Close, and takes and gives shares. While
// the server is away the share stays what it is: checks go on, and what has
// become another's meanwhile is refused when it is recorded.
func (s *Store) beatOften() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	ticker := time.NewTicker(s.options.Lease / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-s.member.kick:
		}
		bound, end := context.WithTimeout(ctx, s.options.Lease/2)
		err := s.beat(bound)
		end()
		if errors.Is(err, ErrTakenOver) {
			s.member.lose(err)
			return
		}
	}
}

// beat renews the leases of this process and moves shares.
func (s *Store) beat(ctx context.Context) error {
	m := &s.member
	if err := s.rejoin(ctx); err != nil {
		return err
	}
	known, err := s.renew(ctx)
	if err == nil && !known { // forgotten, after a long absence
		if err = s.join(ctx); err == nil {
			_, err = s.renew(ctx)
		}
	}
	if err != nil {
		return err
	}
	members, leases, err := s.census(ctx)
	if err != nil {
		return err
	}
	me := m.id.Load()
	take, give := deal(me, members, leases)
	if m.leaving() {
		take, give = nil, nil
	}
	if err := s.giveBack(ctx, give); err != nil {
		return err
	}
	taken, err := s.takeShares(ctx, take, members, leases)
	if err != nil {
		return err
	}
	var now store.Share
	hold := func(l lease) {
		if l.share == rulesShare {
			now.Rules = true
		} else {
			now.Shards[l.share] = l.epoch
		}
	}
	for _, l := range taken {
		hold(l)
	}
	for _, l := range leases {
		if l.owner == me && !m.giving[l.share] {
			hold(l)
		}
	}
	if m.leaving() {
		now = store.Share{}
	}
	m.publish(now)
	return nil
}

// rejoin connects again when the connection was lost, with the name.
func (s *Store) rejoin(ctx context.Context) error {
	m := &s.member
	if m.conn != nil && !m.conn.IsClosed() {
		return nil
	}
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return fmt.Errorf("connect again: %w", err)
	}
	ok, err := s.lockName(ctx, conn)
	if err == nil && !ok {
		err = errors.New("the server still holds the lost connection")
		var there bool
		if conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM nodes WHERE id = $1)", m.id.Load()).Scan(&there) == nil && !there {
			err = fmt.Errorf("%q: %w", s.options.Node, ErrTakenOver)
		}
	}
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	m.conn = conn
	return nil
}

// renew moves the end of the leases, and finds out what time it is there. It
// reports whether this process is known.
func (s *Store) renew(ctx context.Context) (known bool, err error) {
	m := &s.member
	var there time.Time
	asked := time.Now()
	err = query(ctx, s, m.conn, "beat", []any{m.id.Load(), s.options.Lease}, func(row scan) error {
		known = true
		return row(&there)
	})
	if err != nil || !known {
		return false, err
	}
	m.beaten.Store(asked.UnixNano())
	took := time.Since(asked)
	ahead := there.Sub(asked.Add(took / 2).Round(0))
	// Only what is outside the error of the measurement is news, so that due
	// times do not tremble.
	if known := time.Duration(m.clock.Load()); (ahead - known).Abs() > took/2 {
		m.clock.Store(int64(ahead))
	}
	return true, nil
}

// census is who is there and who owns what.
func (s *Store) census(ctx context.Context) (members []member, leases []lease, err error) {
	err = query(ctx, s, s.member.conn, "nodes", nil, func(row scan) error {
		var m member
		var started, expires time.Time
		var report []byte
		var leaving bool
		err := row(&m.id, &m.name, &started, &expires, &m.alive, &leaving, &report)
		m.alive = m.alive && !leaving
		members = append(members, m)
		return err
	})
	if err == nil {
		err = query(ctx, s, s.member.conn, "leases", nil, func(row scan) error {
			var l lease
			err := row(&l.share, &l.owner, &l.epoch)
			leases = append(leases, l)
			return err
		})
	}
	return members, leases, err
}

// giveBack lets go of shares in two steps: at first they are only taken out of
// what this process runs, so that what is under way can be recorded, and at the
// next beat they are free.
func (s *Store) giveBack(ctx context.Context, give []int) error {
	m := &s.member
	var free []int32
	next := map[int]bool{}
	for _, share := range give {
		next[share] = true
		if m.giving[share] {
			free = append(free, int32(share)) //nolint:gosec // up to 256
		}
	}
	if len(free) > 0 {
		if err := s.tellNodes(ctx, "give_leases", m.id.Load(), free); err != nil {
			return err
		}
	}
	m.giving = next
	return nil
}

// tellNodes runs the named query and wakes the other processes.
func (s *Store) tellNodes(ctx context.Context, name string, args ...any) error {
	return pgx.BeginFunc(ctx, s.member.conn, func(p pgx.Tx) error {
		t := &tx{s, ctx, p}
		if _, err := t.exec(name, args...); err != nil {
			return err
		}
		_, err := t.exec("notify", "nodes")
		return err
	})
}

// takeShares takes those of the shares that may be taken.
func (s *Store) takeShares(ctx context.Context, take []int, members []member, leases []lease) (taken []lease, err error) {
	if len(take) == 0 {
		return nil, nil
	}
	wanted := map[int]bool{}
	shares := make([]int32, len(take))
	for i, share := range take {
		wanted[share], shares[i] = true, int32(share) //nolint:gosec // up to 256
	}
	alive, dead := map[int64]bool{0: true}, []int64{}
	for _, m := range members {
		alive[m.id] = m.alive
	}
	owned := map[int]bool{} // by one that is not heard of
	for _, l := range leases {
		owned[l.share] = l.owner != 0
	}
	for _, l := range leases {
		if wanted[l.share] && !alive[l.owner] {
			alive[l.owner] = true // once
			dead = append(dead, l.owner)
		}
	}
	if len(dead) > 0 {
		ready, err := s.ids(ctx, "ready_to_inherit", s.member.id.Load(), s.options.Lease)
		if err != nil {
			return nil, err
		}
		if len(ready) > 0 {
			if err := s.endSessions(ctx, dead); err != nil {
				return nil, err
			}
		}
	}
	err = s.leased(ctx, func(t *tx) error {
		taken = taken[:0]
		return t.rows("take_leases", []any{s.member.id.Load(), shares, s.options.Lease}, func(row scan) error {
			l := lease{owner: s.member.id.Load()}
			err := row(&l.share, &l.epoch)
			taken = append(taken, l)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("take shares: %w", err)
	}
	for _, l := range taken {
		if owned[l.share] {
			s.member.taken.Add(1)
		}
	}
	return taken, nil
}

// publish tells whoever waits for another share.
func (m *membership) publish(now store.Share) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now.Version = m.share.Version
	if now == m.share && now.Version > 0 {
		return
	}
	now.Version++
	m.share = now
	m.wake()
}

func (m *membership) lose(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.lost = err
	m.wake()
}

func (m *membership) leaving() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left
}

// wake tells waiters; mu is held.
func (m *membership) wake() {
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}

// Share implements [store.Nodes].
func (s *Store) Share(ctx context.Context, after int64) (store.Share, error) {
	m := &s.member
	for {
		m.mu.Lock()
		if m.moved == nil {
			m.moved = make(chan struct{})
		}
		share, moved, lost := m.share, m.moved, m.lost
		m.mu.Unlock()
		if lost != nil {
			return store.Share{}, fmt.Errorf("share the work with other nodes: %w", lost)
		}
		if share.Version != after {
			return share, nil
		}
		select {
		case <-moved:
		case <-s.closed:
			return store.Share{}, errClosed
		case <-ctx.Done():
			return store.Share{}, ctx.Err()
		}
	}
}

// Leave implements [store.Nodes].
func (s *Store) Leave(ctx context.Context) error {
	s.member.mu.Lock()
	s.member.left = true
	s.member.mu.Unlock()
	err := s.write(ctx, "give back all shares", func(t *tx) error {
		if _, err := t.exec("leave", s.member.id.Load()); err != nil {
			return err
		}
		if _, err := t.exec("give_all_leases", s.member.id.Load()); err != nil {
			return err
		}
		_, err := t.exec("notify", "nodes")
		return err
	})
	if err == nil {
		s.member.publish(store.Share{})
	}
	return err
}

// depart removes the row of this process, at Close.
func (s *Store) depart(ctx context.Context) {
	m := &s.member
	if m.conn == nil {
		return
	}
	id := m.id.Load()
	if id != 0 && m.conn.IsClosed() { // the last beat was interrupted
		if conn, err := pgx.ConnectConfig(ctx, s.config); err == nil {
			m.conn = conn
		}
	}
	if id != 0 && !m.conn.IsClosed() {
		// When this fails the leases run out.
		if s.tellNodes(ctx, "give_all_leases", id) == nil {
			_ = s.tellNodes(ctx, "delete_nodes", []int64{id})
		}
	}
	_ = m.conn.Close(ctx) // nothing is lost with it
}

// Report implements [store.Nodes].
func (s *Store) Report(ctx context.Context, r core.NodeReport) error {
	r.Clock = float64(s.member.clock.Load()) / float64(time.Millisecond)
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.write(ctx, "report to other nodes", func(t *tx) error {
		_, err := t.exec("report_node", s.member.id.Load(), string(body))
		return err
	})
}

// Nodes implements [store.Nodes].
func (s *Store) Nodes(ctx context.Context) ([]core.Node, error) {
	var out []core.Node
	at := map[int64]int{}
	err := s.read(ctx, "nodes", nil, func(row scan) error {
		var id int64
		n := core.Node{Shards: []int{}}
		var report []byte
		var leaving bool
		if err := row(&id, &n.Name, &n.Started, &n.Expires, &n.Alive, &leaving, &report); err != nil {
			return err
		}
		n.Here = id == s.member.id.Load()
		n.Started, n.Expires = n.Started.UTC(), n.Expires.UTC()
		at[id] = len(out)
		out = append(out, n)
		return json.Unmarshal(report, &out[at[id]].Report)
	})
	if err == nil {
		err = s.read(ctx, "leases", nil, func(row scan) error {
			var l lease
			if err := row(&l.share, &l.owner, &l.epoch); err != nil {
				return err
			}
			i, ok := at[l.owner]
			switch {
			case !ok: // nobody, or somebody who came between the two reads
			case l.share == rulesShare:
				out[i].Rules = true
			default:
				out[i].Shards = append(out[i].Shards, l.share)
			}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read nodes: %w", err)
	}
	return out, nil
}

// Tenure implements [store.Nodes].
func (s *Store) Tenure() store.Tenure {
	return store.Tenure{Renewed: time.Unix(0, s.member.beaten.Load()), TakeOver: s.member.taken.Load()}
}

// Now implements [store.Nodes].
func (s *Store) Now() time.Time {
	return time.Now().Round(0).Add(time.Duration(s.member.clock.Load()))
}
