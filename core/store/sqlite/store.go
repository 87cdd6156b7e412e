// Package sqlite keeps the storage contract of core/store in one SQLite file.
//
// One process at a time owns a data directory. All writing goes through one
// connection, one transaction after another; reading goes through a pool of
// connections that never wait for the writer. The journal is a write-ahead log
// (WAL). With the default, synchronous=NORMAL, whatever was acknowledged
// survives the death of the process at any instant; a power failure or a crash
// of the operating system may take the newest transactions with it, but never
// leaves a part of one. [Options.FullSync] closes that gap at the price of one
// disk flush for each transaction.
//
// Waiters ([Store.Wait], [Store.Changed]) are woken after a commit, never
// before, and look for themselves each second besides.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	// The driver registers itself as "sqlite".
	_ "modernc.org/sqlite"

	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// File is the name of the database in its data directory.
const File = "tocsin.db"

// Options of a [Store]. Zero is ready for use.
type Options struct {
	// FullSync flushes the disk with every transaction, so that a power failure
	// loses nothing that was acknowledged. Default false.
	FullSync bool
	// Readers is how many connections read at the same time. Default 4.
	Readers int
	// BusyTimeout is how long to wait for a lock that another program holds on
	// the database, for example a backup tool. Default 5 s.
	BusyTimeout time.Duration
	// KeepDecisions is how many decisions of a rule that are neither fire nor
	// recover are kept at least; up to a quarter more are before they are
	// trimmed. Default 2,000.
	KeepDecisions int
	// KeepRecordings is how many recordings of an assignment are kept, the
	// newest. Default 50.
	KeepRecordings int
}

func (o Options) withDefaults() Options {
	if o.Readers <= 0 {
		o.Readers = 4
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = 5 * time.Second
	}
	if o.KeepDecisions <= 0 {
		o.KeepDecisions = 2000
	}
	if o.KeepRecordings <= 0 {
		o.KeepRecordings = 50
	}
	return o
}

// Store is a database that satisfies every role of core/store. It is safe for
// concurrent use. Make one with [Open].
type Store struct {
	options Options
	path    string
	lock    *os.File
	readers *sql.DB
	texts   map[string]string // queries by name
	reads   sync.Map          // prepared on readers: name -> *sql.Stmt
	words   pack.Words        // names of samples
	roller  roller

	closed  chan struct{}
	closing sync.Once
	head    signal // greatest Seq
	version signal // of the catalog

	// turn is held by whoever writes; everything below belongs to its holder.
	turn   chan struct{}
	db     *sql.DB
	conn   *sql.Conn
	writes map[string]*sql.Stmt
	ledger ledger
	counts decisionCounts
}

var (
	_ store.Ledger   = (*Store)(nil)
	_ store.Log      = (*Store)(nil)
	_ store.Catalog  = (*Store)(nil)
	_ store.History  = (*Store)(nil)
	_ store.Series   = (*Store)(nil)
	_ store.Journal  = (*Store)(nil)
	_ store.Trace    = (*Store)(nil)
	_ store.Queue    = (*Store)(nil)
	_ store.Modules  = (*Store)(nil)
	_ store.Releases = (*Store)(nil)
	_ store.Values   = (*Store)(nil)
	_ store.Sessions = (*Store)(nil)
	_ store.Secrets  = (*Store)(nil)

	_ store.Recordings = (*Store)(nil)
)

// Open opens the database in dir, creating both when they do not exist, and
// brings it up to this release. It fails when another process has it open, and
// when a newer release has written it. Close it when done.
func Open(ctx context.Context, dir string, options Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make data directory: %w", err)
	}
	lock, err := acquire(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	s := &Store{
		options: options.withDefaults(), path: filepath.Join(dir, File), lock: lock, closed: make(chan struct{}),
		turn: make(chan struct{}, 1), writes: map[string]*sql.Stmt{},
		counts: decisionCounts{of: map[string]int{}},
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open database in %s: %w", dir, err), s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	var err error
	if s.texts, err = loadQueries(); err != nil {
		return err
	}
	durable := "synchronous(normal)"
	if s.options.FullSync {
		durable = "synchronous(full)"
	}
	if s.db, err = sql.Open("sqlite", s.source("journal_mode(wal)", durable, "foreign_keys(1)", "cache_size(-32000)", "journal_size_limit(67108864)")); err != nil {
		return err
	}
	s.db.SetMaxOpenConns(1)
	if s.conn, err = s.db.Conn(ctx); err != nil {
		return err
	}
	if err = migrate(ctx, s.conn); err != nil {
		return err
	}
	if s.readers, err = sql.Open("sqlite", s.source("query_only(1)", "cache_size(-4000)")); err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(s.options.Readers)
	s.readers.SetMaxIdleConns(s.options.Readers)
	return s.load(ctx)
}

// source is the name by which the driver opens the database, for connections
// with these pragmas.
func (s *Store) source(pragmas ...string) string {
	pragmas = append(pragmas, "busy_timeout("+strconv.FormatInt(s.options.BusyTimeout.Milliseconds(), 10)+")", "temp_store(memory)")
	name := url.URL{Scheme: "file", Path: s.path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	if !filepath.IsAbs(s.path) {
		name.Opaque, name.Path = url.PathEscape(s.path), ""
	}
	return name.String()
}

// Close waits for the writer, closes the database and lets go of the data
// directory. Waiters return. A second Close does nothing.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.closed)
		s.turn <- struct{}{} // never given back: there is no writing after this
		err = s.close()
	})
	return err
}

func (s *Store) close() error {
	var errs []error
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.conn != nil {
		for _, stmt := range s.writes {
			errs = append(errs, stmt.Close())
		}
		errs = append(errs, s.conn.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	errs = append(errs, release(s.lock))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// errClosed is the cause of every call after Close.
var errClosed = errors.New("the database is closed")

// signal is a number that only grows, and on which one can wait.
type signal struct {
	value atomic.Int64
	mu    sync.Mutex
	woken chan struct{} // closed and replaced when value grows; guarded by mu
}

func (g *signal) set(value int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
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
