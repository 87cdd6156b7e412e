// Package postgres keeps the storage contract of core/store in a Postgres
// database, version 15 or later.
//
// One process at a time uses a database. It holds an advisory lock while it
// lives, and its epoch fences what it writes: once another process has taken
// the database over, a transaction of the ledger or of the rules fails with
// [ErrTakenOver], however late it comes. Health is decided in memory, so all
// transactions of the ledger go one after another over one connection of their
// own; everything else goes through a pool. What was acknowledged is as durable
// as the server's synchronous_commit makes it, which by default survives a
// crash of the machine.
//
// When the answer to a commit is lost with the connection, the store connects
// again and finds out whether it took place: no run is stored twice.
//
// Waiters ([Store.Wait], [Store.Changed]) are woken after a commit, by NOTIFY
// when another process made it, and look for themselves each second besides.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// Options of a [Store]. Zero is ready for use.
type Options struct {
	// Connections is how many connections the pool has at most, beside one for
	// the ledger and one that listens. Default 8.
	Connections int
	// StatementTimeout is how long one statement may take. Default 30 s.
	StatementTimeout time.Duration
	// TakeOver is how long Open waits for another process to let go of the
	// database. Default 10 s.
	TakeOver time.Duration
	// KeepDecisions is how many decisions of a rule that are neither fire nor
	// recover are kept at least; up to a quarter more are before they are
	// trimmed. Default 2,000.
	KeepDecisions int
	// KeepRecordings is how many recordings of an assignment are kept, the
	// newest. Default 50.
	KeepRecordings int
}

func (o Options) withDefaults() Options {
	if o.Connections <= 0 {
		o.Connections = 8
	}
	if o.StatementTimeout <= 0 {
		o.StatementTimeout = 30 * time.Second
	}
	if o.TakeOver <= 0 {
		o.TakeOver = 10 * time.Second
	}
	if o.KeepDecisions <= 0 {
		o.KeepDecisions = 2000
	}
	if o.KeepRecordings <= 0 {
		o.KeepRecordings = 50
	}
	return o
}

var (
	// ErrInUse is returned by [Open] when another process uses the database.
	ErrInUse = errors.New("another tocsin uses it; stop that one, or give this one a database of its own")
	// ErrTakenOver is returned when another process has taken the database
	// over. It does not go away.
	ErrTakenOver = errors.New("another tocsin has taken the database over; restart this one when that one has ended")

	errClosed = errors.New("the database is closed")
)

// Store is a database that satisfies every role of core/store. It is safe for
// concurrent use. Make one with [Open].
type Store struct {
	options Options
	config  *pgx.ConnConfig // of the connections that are not in the pool
	pool    *pgxpool.Pool
	texts   map[string]string // queries by name
	words   pack.Words        // names of samples

	closed    chan struct{}
	closing   sync.Once
	listening sync.WaitGroup
	head      signal // greatest Seq
	version   signal // of the catalog

	// turn is held by whoever writes to the ledger; what follows belongs to its
	// holder, but for epoch, which never changes.
	turn   chan struct{}
	conn   *pgx.Conn
	epoch  int64
	ledger ledger
	counts decisionCounts
}

var (
	_ store.Ledger     = (*Store)(nil)
	_ store.Log        = (*Store)(nil)
	_ store.Catalog    = (*Store)(nil)
	_ store.History    = (*Store)(nil)
	_ store.Journal    = (*Store)(nil)
	_ store.Trace      = (*Store)(nil)
	_ store.Queue      = (*Store)(nil)
	_ store.Modules    = (*Store)(nil)
	_ store.Releases   = (*Store)(nil)
	_ store.Values     = (*Store)(nil)
	_ store.Sessions   = (*Store)(nil)
	_ store.Secrets    = (*Store)(nil)
	_ store.Recordings = (*Store)(nil)
)

// Open opens the database that url names (postgres://user@host/database) and
// brings it up to this release. What url leaves out is taken from the usual
// PG... variables and files of Postgres. It fails when another process uses the
// database, and when a newer release has written it. Close it when done.
func Open(ctx context.Context, url string, options Options) (*Store, error) {
	s := &Store{options: options.withDefaults(), closed: make(chan struct{}), turn: make(chan struct{}, 1)}
	s.counts.of = map[string]int{}
	if err := s.open(ctx, url); err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), s.Close()) //nolint:contextcheck // closing must take place although ctx has ended
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, url string) error {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return err
	}
	ms := func(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
	for name, value := range map[string]string{
		"application_name": "tocsin", "statement_timeout": ms(s.options.StatementTimeout), "lock_timeout": ms(s.options.StatementTimeout),
		"idle_in_transaction_session_timeout": ms(2 * s.options.StatementTimeout),
		// So that the server lets go soon of a process whose machine is gone.
		"tcp_keepalives_idle": "5", "tcp_keepalives_interval": "2", "tcp_keepalives_count": "3",
	} {
		if config.ConnConfig.RuntimeParams[name] == "" {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = patience
	}
	config.MaxConns = int32(min(s.options.Connections, 1000)) //nolint:gosec // bounded
	s.config = config.ConnConfig.Copy()
	if s.texts, err = loadQueries(); err != nil {
		return err
	}
	if s.conn, err = pgx.ConnectConfig(ctx, s.config); err != nil {
		return err
	}
	var version int
	if err := s.conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::integer").Scan(&version); err != nil {
		return fmt.Errorf("read the version of the server: %w", err)
	}
	if version < 150000 {
		return fmt.Errorf("the server is Postgres %d; version 15 or later is needed", version/10000)
	}
	if err := s.own(ctx); err != nil {
		return err
	}
	if err := migrate(ctx, s.conn); err != nil {
		return err
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if err := s.takeOver(ctx); err != nil {
		return err
	}
	s.listening.Go(s.listen)
	return nil
}

// own takes the lock of the process that uses the database. A server may need
// a moment to see that the one before has ended.
func (s *Store) own(ctx context.Context) error {
	for late := time.Now().Add(s.options.TakeOver); ; {
		ok, err := tryLock(ctx, s.conn)
		if ok || err != nil {
			return err
		}
		if time.Now().After(late) {
			return ErrInUse
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// tryLock takes the lock of the schema behind conn, for as long as it is
// connected.
func tryLock(ctx context.Context, conn *pgx.Conn) (ok bool, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock(7407108, hashtext(current_schema()))").Scan(&ok)
	return ok, err
}

// takeOver makes this process the one whose transactions count, and reads what
// the writer keeps in memory.
func (s *Store) takeOver(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.conn, func(t pgx.Tx) error {
		if _, err := t.Exec(ctx, s.texts["lock_ledger"]); err != nil {
			return err
		}
		return t.QueryRow(ctx, s.texts["take_over"]).Scan(&s.epoch)
	})
	if err != nil {
		return fmt.Errorf("take the database over: %w", err)
	}
	return s.load(ctx)
}

// Close waits for the writer and closes all connections. Waiters return. A
// second Close does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.turn <- struct{}{} // never given back: there is no writing after this
		s.listening.Wait()
		if s.pool != nil {
			s.pool.Close()
		}
		if s.conn != nil {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			_ = s.conn.Close(ctx) // nothing is lost with it
		}
	})
	return nil
}

// signal is a number that only grows, and on which one can wait.
type signal struct {
	value atomic.Int64
	mu    sync.Mutex
	woken chan struct{} // closed and replaced when value grows; guarded by mu
}

func (g *signal) set(value int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if value <= g.value.Load() {
		return
	}
	g.value.Store(value)
	if g.woken != nil {
		close(g.woken)
		g.woken = nil
	}
}

func (g *signal) changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.woken == nil {
		g.woken = make(chan struct{})
	}
	return g.woken
}

// await returns when g is greater than value. It is woken by set; each second
// it asks look besides, so that a lost wake-up costs latency and no more.
func (s *Store) await(ctx context.Context, g *signal, value int64, look func(context.Context) (int64, error)) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		changed := g.changed() // before the look, so that no change falls between
		if g.value.Load() > value {
			return nil
		}
		select {
		case <-changed:
		case <-s.closed:
			return errClosed
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
			if now, err := look(ctx); err != nil || now > value {
				return err
			}
		}
	}
}

// listen takes the hints of the server until Close. A hint says where to look,
// not what is there.
func (s *Store) listen() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-s.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	for ctx.Err() == nil {
		s.hear(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// hear listens as long as there is a connection. A fault of it is no news:
// waiters look for themselves.
func (s *Store) hear(ctx context.Context) {
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, "LISTEN tocsin"); err != nil {
		return
	}
	for {
		hint, err := conn.WaitForNotification(ctx)
		if err != nil {
			return
		}
		if hint.Payload == "catalog" {
			if now, err := s.catalogVersion(ctx); err == nil {
				s.version.set(now)
			}
		} else if now, err := s.Head(ctx); err == nil {
			s.head.set(now)
		}
	}
}
