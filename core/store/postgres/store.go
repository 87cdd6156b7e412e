// Package postgres keeps the storage contract of core/store in a Postgres
// database, version 15 or later.
//
// Several processes share a database, see [store.Nodes]: each holds leases on
// shards of the Systems, which it renews over a connection of its own, and the
// clock of the server says when they have run out. Health is decided in
// memory. Transactions of the ledger go one after another: the first thing each
// does is to lock the one row of the ledger, to read what other processes have
// decided since, and whose the shards are now. What a process keeps in memory
// of a shard counts for one epoch of its lease; in another it is read anew. So
// whatever comes late is dropped, and Seq has no gaps. Everything else goes
// through a pool. What was acknowledged is as durable as the server's
// synchronous_commit makes it, which by default survives a crash of the machine.
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
	"os"
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
	// Node is the name of this process among those that share the database.
	// Default the name of the machine.
	Node string
	// Aside makes this process take no part in the work: it reads and edits,
	// and holds no lease. Default false.
	Aside bool
	// Lease is how long other processes wait for one that is not heard of until
	// they take its work over. Default 8 s.
	Lease time.Duration
	// Connections is how many connections the pool has at most, beside one each
	// for the ledger, for leases and to listen. Default 8.
	Connections int
	// StatementTimeout is how long one statement may take. Default 30 s.
	StatementTimeout time.Duration
	// TakeOver is how long Open waits for another process to let go of the
	// name. Default 10 s.
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
	if o.Node == "" {
		o.Node, _ = os.Hostname() // a machine without a name has this one
	}
	if o.Lease <= 0 {
		o.Lease = 8 * time.Second
	}
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
	// ErrInUse is returned by [Open] when another process has the name.
	ErrInUse = errors.New("another tocsin of this name uses the database; stop that one, or give this one a name of its own with --node")
	// ErrTakenOver is returned when another process has come in the place of
	// this one, under its name. It does not go away.
	ErrTakenOver = errors.New("another tocsin has taken the name of this node; restart this one when that one has ended, or with a name of its own")

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
	roller  roller

	space string // names the schema among those of the server

	closed    chan struct{}
	closing   sync.Once
	listening sync.WaitGroup // and beating
	member    membership
	head      signal // greatest Seq
	version   signal // of the catalog
	shelf     signal // version of modules and secrets
	asks      signal // counts hints

	// turn is held by whoever writes to the ledger; what follows belongs to its
	// holder.
	turn   chan struct{}
	conn   *pgx.Conn
	ledger ledger
	counts decisionCounts
}

var (
	_ store.Ledger     = (*Store)(nil)
	_ store.Log        = (*Store)(nil)
	_ store.Catalog    = (*Store)(nil)
	_ store.History    = (*Store)(nil)
	_ store.Series     = (*Store)(nil)
	_ store.Journal    = (*Store)(nil)
	_ store.Trace      = (*Store)(nil)
	_ store.Queue      = (*Store)(nil)
	_ store.Modules    = (*Store)(nil)
	_ store.Releases   = (*Store)(nil)
	_ store.Values     = (*Store)(nil)
	_ store.Sessions   = (*Store)(nil)
	_ store.Secrets    = (*Store)(nil)
	_ store.Recordings = (*Store)(nil)
	_ store.Nodes      = (*Store)(nil)
	_ store.Peers      = (*Store)(nil)
)

// Open opens the database that url names (postgres://user@host/database) and
// brings it up to this release. What url leaves out is taken from the usual
// PG... variables and files of Postgres. It fails when another process has the
// name, and when a newer release has written it. Close it when done.
func Open(ctx context.Context, url string, options Options) (*Store, error) {
	s := &Store{options: options.withDefaults(), closed: make(chan struct{}), turn: make(chan struct{}, 1)}
	s.counts.of = map[string]int{}
	s.member.kick = make(chan struct{}, 1)
	s.member.left = options.Aside
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
		"idle_in_transaction_session_timeout": ms(max(s.options.Lease, patience)),
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
	if s.member.conn, err = pgx.ConnectConfig(ctx, s.config); err != nil {
		return err
	}
	var version int
	const about = "SELECT current_setting('server_version_num')::integer, hashtext(current_schema())::text"
	if err := s.member.conn.QueryRow(ctx, about).Scan(&version, &s.space); err != nil {
		return fmt.Errorf("read the version of the server: %w", err)
	}
	if version < 150000 {
		return fmt.Errorf("the server is Postgres %d; version 15 or later is needed", version/10000)
	}
	if err := migrate(ctx, s.member.conn); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	// All but the leases is ended by others when this process is taken for dead.
	s.config = s.config.Copy()
	s.config.RuntimeParams["application_name"] = s.sessionName(s.member.id.Load())
	config.ConnConfig = s.config.Copy()
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	if err := s.beat(ctx); err != nil {
		return err
	}
	if s.conn, err = pgx.ConnectConfig(ctx, s.config); err != nil {
		return err
	}
	if err := s.load(ctx); err != nil {
		return err
	}
	if err := s.beginTerm(ctx); err != nil {
		return err
	}
	s.listening.Go(s.listen)
	s.listening.Go(s.beatOften)
	return nil
}

// Close waits for the writer and closes all connections. Waiters return. A
// second Close does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		close(s.closed)
		s.turn <- struct{}{} // never given back: there is no writing after this
		s.listening.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		s.depart(ctx)
		if s.pool != nil {
			s.pool.Close()
		}
		if s.conn != nil {
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
		switch hint.Payload {
		case "catalog":
			if now, err := s.catalogVersion(ctx); err == nil {
				s.version.set(now)
			}
		case "shelf":
			if now, err := s.shelfVersion(ctx); err == nil {
				s.shelf.set(now)
			}
		case "asks":
			s.asks.set(s.asks.value.Load() + 1)
		case "nodes":
			select {
			case s.member.kick <- struct{}{}:
			default:
			}
		default:
			if now, err := s.Head(ctx); err == nil {
				s.head.set(now)
			}
		}
	}
}
