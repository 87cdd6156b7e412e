package postgres_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/storetest"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
)

// socketVariable tells a process that a test starts where the server is.
const socketVariable = "TOCSIN_TEST_POSTGRES"

// server is the one of all tests, started by the first that needs it.
var server = sync.OnceValues(func() (*pgtest.Server, error) {
	s, err := pgtest.Start(pgtest.Options{})
	if err == nil {
		err = os.Setenv(socketVariable, s.Dir())
	}
	started = s
	return s, err
})

var started *pgtest.Server

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if started != nil {
		if err := started.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code) //nolint:forbidigo // the end of the tests
}

// database is the URL of the database that belongs to dir.
func database(tb testing.TB, dir string) string {
	tb.Helper()
	socket, given := os.LookupEnv(socketVariable) //nolint:forbidigo // a test talks to its own child
	if !given {
		s, err := server()
		if err != nil {
			pgtest.Skip(tb, err)
		}
		socket = s.Dir()
	}
	name := fmt.Sprintf("t%x", sha256.Sum256([]byte(dir)))[:32]
	if err := pgtest.Create(socket, name); err != nil {
		tb.Fatal(err)
	}
	return pgtest.URL(socket, name)
}

func open(tb testing.TB, url string) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(context.Background(), url, postgres.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) storetest.Backend {
		t.Helper()
		s, err := postgres.Open(t.Context(), database(t, dir), postgres.Options{Connections: 4})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func apply(tb testing.TB, s *postgres.Store, e store.Edit) {
	tb.Helper()
	if _, err := s.Apply(context.Background(), e); err != nil {
		tb.Fatal(err)
	}
}

func failing() *core.Run {
	return &core.Run{Assignment: "system-00000:http", Ended: benchStart, Outcome: core.Fail}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	url := database(t, t.TempDir())
	s := open(t, url)
	if _, err := postgres.Open(t.Context(), url, postgres.Options{TakeOver: 200 * time.Millisecond}); !errors.Is(err, postgres.ErrInUse) {
		t.Errorf("a second process: error is %v, want that the database is in use", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	execute(t, conn, "INSERT INTO migrations (version, name) VALUES (1000, 'later')")
	if _, err := postgres.Open(t.Context(), url, postgres.Options{}); !errors.Is(err, postgres.ErrNewer) || !strings.Contains(err.Error(), "version 1000") {
		t.Errorf("error is %v, want that a newer release has written version 1000", err)
	}
	execute(t, conn, "DELETE FROM migrations WHERE version = 1000")
	open(t, url) // free again
	for _, bad := range []string{"mysql://x", strings.Replace(url, "host=", "host=/nowhere", 1)} {
		_, err := postgres.Open(t.Context(), bad, postgres.Options{})
		if err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: error is %v, want that it cannot be opened", bad, err)
		}
	}
}

// A process that lost the database writes nothing more to the ledger nor to the
// journal, and one that lost only its connections goes on.
func TestFence(t *testing.T) {
	t.Parallel()
	url := database(t, t.TempDir())
	s := open(t, url)
	apply(t, s, fleet(1))
	conn := connect(t, url)
	execute(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	run := failing()
	for try := 0; run.ID == 0; try++ {
		if err := s.Record(t.Context(), []*core.Run{run}); err != nil && (try > 50 || errors.Is(err, postgres.ErrTakenOver)) {
			t.Fatalf("after its connections were lost: %v", err)
		}
	}
	if run.ID != 1 {
		t.Errorf("the run has id %d, want 1: it is stored once", run.ID)
	}
	// Somebody else who takes everything, and is there for ever.
	execute(t, conn, `WITH thief AS (INSERT INTO nodes (name, started, since, expires) VALUES ('thief', now(), clock_timestamp(), 'infinity') RETURNING id)
		UPDATE leases SET owner = thief.id, epoch = epoch + 1 FROM thief`)
	run = failing()
	if err := s.Record(t.Context(), []*core.Run{run}); err != nil || run.ID != 0 {
		t.Errorf("record: error is %v, id %d; want that a run of another's shard is dropped", err, run.ID)
	}
	if err := s.Expire(t.Context(), []string{run.Assignment}, benchStart.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	err := s.Commit(t.Context(), store.Turn{Cursor: 9})
	for try := 0; try < 20 && err != nil && !errors.Is(err, store.ErrFenced); try++ {
		err = s.Commit(t.Context(), store.Turn{Cursor: 9}) // a connection of the pool may be a lost one
	}
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("commit: error is %v, want that it is fenced", err)
	}
	runs, newest, err := s.RunsAfter(t.Context(), 0, 10)
	if err != nil || len(runs) != 1 || newest != 1 {
		t.Errorf("there are %d runs up to %d (%v), want 1", len(runs), newest, err)
	}
}

// The server crashes under load and comes back: an error is one of storage,
// what was acknowledged is there once, and no restart of ours is needed. Others
// use the server too: after a crash they are given the numbers of transactions
// of which nothing was stored, so that these seem to be committed.
func TestServerCrash(t *testing.T) {
	t.Parallel()
	pg, err := pgtest.Start(pgtest.Options{Fsync: true})
	if err != nil {
		pgtest.Skip(t, err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := pg.Create("crash"); err != nil {
		t.Fatal(err)
	}
	s := open(t, pg.URL("crash"))
	apply(t, s, fleet(10))
	names := fleet(10).Systems.PutAssignments
	stop := make(chan struct{})
	var others sync.WaitGroup
	t.Cleanup(others.Wait)
	others.Go(func() {
		for t.Context().Err() == nil {
			conn, err := pgx.Connect(t.Context(), pg.URL("crash"))
			for err == nil {
				_, err = conn.Exec(t.Context(), "SELECT pg_current_xact_id()") // until the server goes
			}
		}
	})
	done := make(chan map[int64]bool)
	go func() {
		ids := map[int64]bool{}
		for n, over := 0, false; !over; n++ {
			runs := make([]*core.Run, 20)
			batch(runs, names, n*len(runs), 3)
			for s.Record(context.Background(), runs) != nil {
				time.Sleep(5 * time.Millisecond)
			}
			for _, r := range runs {
				if ids[r.ID] || r.ID == 0 {
					t.Errorf("a run has id %d, want one of its own", r.ID)
				}
				ids[r.ID] = true
			}
			select {
			case <-stop:
				over = true
			default:
			}
		}
		done <- ids
	}()
	for range 3 {
		time.Sleep(100 * time.Millisecond)
		if err := pg.Halt(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Standing(t.Context(), "nobody:http"); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("while the server is away: error is %v, want one of storage", err)
		}
		if err := pg.Start(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	close(stop)
	ids := <-done
	runs, newest, err := s.RunsAfter(t.Context(), 0, 1_000_000)
	if err != nil || len(runs) != len(ids) || newest != int64(len(ids)) {
		t.Errorf("stored are %d runs up to %d (%v), acknowledged were %d", len(runs), newest, err, len(ids))
	}
	want := map[string]core.Standing{}
	for i := range runs {
		want[runs[i].Assignment] = core.Advance(want[runs[i].Assignment], core.Policy{}, &runs[i])
	}
	got, err := s.Standings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range names {
		if fmt.Sprint(got[a.ID]) != fmt.Sprint(want[a.ID]) {
			t.Errorf("standing of %s is %+v, want %+v", a.ID, got[a.ID], want[a.ID])
		}
	}
}

// A hint of the server wakes a waiter at once; without one it looks for itself.
func TestHints(t *testing.T) {
	t.Parallel()
	url := database(t, t.TempDir())
	s := open(t, url)
	conn := connect(t, url)
	for _, hint := range []bool{true, false} {
		_, version, err := s.Objects(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		woken := make(chan error, 1)
		go func() { woken <- s.Changed(t.Context(), version) }()
		began := time.Now()
		execute(t, conn, "UPDATE counters SET value = value + 1 WHERE name = 'catalog'")
		if hint {
			for over := false; !over; { // it may not listen yet
				execute(t, conn, "NOTIFY tocsin, 'catalog'")
				select {
				case err := <-woken:
					woken <- err
					over = true
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
		t.Logf("with a hint %t: told after %v", hint, time.Since(began))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("with a hint %t: told after %v", hint, took)
		}
	}
}

// Partitions are made ahead, and dropped when all of their runs are deleted.
func TestPartitions(t *testing.T) {
	t.Parallel()
	url := database(t, t.TempDir())
	s := open(t, url)
	e := fleet(100)
	apply(t, s, e)
	runs := make([]*core.Run, 10_000)
	for n := range 26 {
		batch(runs, e.Systems.PutAssignments, n*len(runs), 0)
		// On a machine that is slow enough the server takes us for dead.
		for late := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			err := s.Record(t.Context(), runs)
			if err == nil {
				break
			}
			if time.Now().After(late) {
				t.Fatal(err)
			}
		}
	}
	conn := connect(t, url)
	count := func() (tables int, ahead bool) {
		t.Helper()
		err := conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM pg_inherits WHERE inhparent = 'runs'::regclass), (SELECT max(past) FROM run_partitions) > 260001").Scan(&tables, &ahead)
		if err != nil {
			t.Fatal(err)
		}
		return tables, ahead
	}
	before, ahead := count()
	if before < 2 || !ahead {
		t.Errorf("there are %d partitions, ahead: %t; want one for what comes", before, ahead)
	}
	gone, err := s.Prune(t.Context(), store.Keep{Now: time.Now(), Runs: store.Bound{Before: runs[0].Ended}})
	if err != nil || gone != 250_000 {
		t.Errorf("prune: %d rows went (%v), want 250,000", gone, err)
	}
	if after, _ := count(); after >= before {
		t.Errorf("there are %d partitions after pruning, want less than %d", after, before)
	}
	left, newest, err := s.RunsAfter(t.Context(), 0, 1_000_000)
	if err != nil || len(left) != 10_000 || newest != 260_000 {
		t.Errorf("left are %d runs up to %d (%v), want 10,000 up to 260,000", len(left), newest, err)
	}
	of, err := s.Runs(t.Context(), store.RunQuery{Assignment: e.Systems.PutAssignments[0].ID, Limit: 1000})
	if err != nil || len(of) != 50 {
		t.Errorf("an assignment has %d runs (%v), want 50", len(of), err)
	}
}

// atOnce is a flow that begins every step of a firing.
func atOnce(f core.Firing, steps []core.Delivery) store.Next {
	out := store.Next{Status: core.FiringRunning}
	for i := len(steps); i < len(f.Steps); i++ {
		out.Begin = append(out.Begin, core.Delivery{Place: strconv.Itoa(i), Kind: "log", Step: f.Steps[i], Key: f.ID + "/" + strconv.Itoa(i)})
	}
	return out
}

// What the tables promise holds against bugs of this package too.
func TestConstraints(t *testing.T) {
	t.Parallel()
	url := database(t, t.TempDir())
	s := open(t, url)
	apply(t, s, fleet(1))
	for range 2 {
		if err := s.Record(t.Context(), []*core.Run{failing()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(t.Context(), store.Turn{Cursor: 5, Firings: []core.Firing{{ID: "f", Steps: []core.Step{{Action: "log"}, {Action: "log"}}}}, Flow: atOnce}); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, url)
	for _, test := range []struct{ statement, want string }{
		{"INSERT INTO transitions SELECT seq + 2, at, kind, scope, part, was, now, cause, run, body FROM transitions ORDER BY seq DESC LIMIT 1", "one more than the greatest"},
		{"INSERT INTO transitions SELECT 0, at, kind, scope, part, was, now, cause, run, body FROM transitions LIMIT 1", "one more than the greatest"},
		{"DELETE FROM transitions", "newest transition is never deleted"},
		{"UPDATE counters SET value = 4 WHERE name = 'cursor'", "never goes back"},
		{"UPDATE ledger SET run = 1", "never goes back"},
		{"UPDATE ledger SET floor = 99", "ledger_check"},
		{"INSERT INTO ledger VALUES (false, 0, 0, 0, 0, 0, 0, 0)", "ledger_one_check"},
		{"UPDATE leases SET owner = (SELECT max(id) + 1 FROM nodes), epoch = epoch + 1 WHERE share = 7", "leases_owner_fkey"},
		{"UPDATE leases SET epoch = epoch - 1 WHERE share = 7", "an epoch of its own"},
		{"INSERT INTO leases VALUES (257, NULL, 0)", "leases_share_check"},
		{"UPDATE runs SET prev = id", "check"},
		{"UPDATE runs SET outcome = 4", "check"},
		{"INSERT INTO firings (id, rule, created, status, updated, body) VALUES ('f', 'r', 0, 'queued', 0, '{}')", "firings_id_key"},
		{"UPDATE deliveries SET place = '0'", "deliveries_firing_place_key"},
		{"UPDATE deliveries SET due = NULL", "check"},
		{"UPDATE deliveries SET place = ''", "check"},
		{"UPDATE deliveries SET status = 'running'", "check"},
		{"UPDATE deliveries SET firing = 'none'", "deliveries_firing_fkey"},
		{"INSERT INTO objects VALUES ('rule', 'a', 1, 'no json', 0, 0, '')", "json"},
		{"INSERT INTO release_versions VALUES ('lag', '9')", "fkey"},
	} {
		if _, err := conn.Exec(t.Context(), test.statement); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want %q", test.statement, err, test.want)
		}
	}
}

// Text that Postgres cannot hold is no fault of storage.
func TestAnyText(t *testing.T) {
	t.Parallel()
	s := open(t, database(t, t.TempDir()))
	apply(t, s, fleet(1))
	run := failing()
	run.Summary, run.Samples = "a\x00\xff", core.Samples{"n\x00\xff": "v\x00\xff"}
	run.Why = core.Because("x", "why\x00\xff")
	if err := s.Record(t.Context(), []*core.Run{run}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Run(t.Context(), run.ID)
	if err != nil || got.Summary != run.Summary || got.Samples["n\x00\xff"] != "v\x00\xff" {
		t.Errorf("the run is %+v (%v), want its bytes kept", got, err)
	}
	if _, err := s.Secret(t.Context(), "a\x00\xff"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error is %v, want not found", err)
	}
	if err := s.Commit(t.Context(), store.Turn{Firings: []core.Firing{{ID: "f", Steps: []core.Step{{Action: "log"}}}}, Flow: atOnce}); err != nil {
		t.Fatal(err)
	}
	claimed, err := s.Claim(t.Context(), benchStart, time.Minute, 1)
	if err != nil || len(claimed) != 1 {
		t.Fatal(claimed, err)
	}
	d := claimed[0].Delivery
	d.Status, d.Error = core.DeliveryDead, "answer \x00\xff"
	if err := s.Finish(t.Context(), d, claimed[0].Token, benchStart, atOnce); err != nil {
		t.Error(err)
	}
}
