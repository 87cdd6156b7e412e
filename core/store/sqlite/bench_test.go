package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
)

// batchSize is how many runs the benchmarks commit together.
const batchSize = 1000

// fleet is n systems in groups of a hundred, each with two assignments.
func fleet(n int) store.Edit {
	e := store.Edit{By: "bench", Now: benchStart}
	for i := range n {
		id := fmt.Sprintf("system-%05d", i)
		e.Systems.PutSystems = append(e.Systems.PutSystems, core.System{ID: id, Groups: []string{fmt.Sprintf("group-%d", i/100)}})
		for _, check := range []string{"http", "tcp"} {
			e.Systems.PutAssignments = append(e.Systems.PutAssignments, core.Assignment{
				ID: core.AssignmentID(id, check), System: id, Check: check, Enabled: true,
				Interval: core.Duration(30 * time.Second), StaleAfter: core.Duration(90 * time.Second),
			})
		}
	}
	return e
}

var benchStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// batch makes runs that pass, but for every failEach-th.
func batch(into []*core.Run, assignments []core.Assignment, from, failEach int) {
	for i := range into {
		n := from + i
		at := benchStart.Add(time.Duration(n) * 500 * time.Microsecond)
		run := &core.Run{
			Assignment: assignments[n%len(assignments)].ID, Due: at, Started: at.Add(731 * time.Microsecond), Ended: at.Add(13*time.Millisecond + 417),
			Outcome: core.Pass, Summary: "200 in 12 ms", Latency: 12*time.Millisecond + 345,
			Samples: core.Samples{"status": int64(200), "bytes": int64(5123), "latency": 12*time.Millisecond + 345, "connect": 412 * time.Microsecond, "tls_days": 61.25},
		}
		if failEach > 0 && n/len(assignments)%failEach < 2 && n%50 == 0 {
			run.Outcome, run.Why = core.Fail, core.Because("assert", "status == 200 is false: status is {status}", "status", "503")
			run.Steps = []core.StepResult{{ID: "http", Use: "http", Outcome: core.Fail, Summary: run.Summary}}
		}
		into[i] = run
	}
}

// BenchmarkRecord persists runs with health moved, and in the same run a bare
// insert of as many rows, as SQLite alone can do it. It reports runs/s, the
// ratio of the two speeds (more is better; goal 0.35), and bytes of growth a
// run (goal 120).
func BenchmarkRecord(b *testing.B) {
	for _, systems := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("assignments=%d", 2*systems), func(b *testing.B) { benchmarkRecord(b, systems) })
	}
}

func benchmarkRecord(b *testing.B, systems int) { //nolint:thelper // a benchmark
	dir := b.TempDir()
	s := open(b, dir)
	e := fleet(systems)
	if _, err := s.Apply(b.Context(), e); err != nil {
		b.Fatal(err)
	}
	runs := make([]*core.Run, batchSize)
	insert := bare(b)
	n := 0
	record := func(failEach int) time.Duration {
		batch(runs, e.Systems.PutAssignments, n, failEach)
		n += len(runs)
		began := time.Now()
		if err := s.Record(b.Context(), runs); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	for range 40 * systems / 10000 { // every assignment has been healthy before
		record(0)
	}
	var ours, theirs time.Duration
	rows := 0
	b.ResetTimer()
	for b.Loop() {
		ours += record(10)
		b.StopTimer()
		theirs += insert(runs)
		b.StartTimer()
		rows += len(runs)
	}
	b.StopTimer()
	b.ReportMetric(float64(rows)/ours.Seconds(), "runs/s")
	b.ReportMetric(float64(rows)/theirs.Seconds(), "bare_rows/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")

	before := size(b, s, dir)
	const growth = 50
	for range growth {
		record(0)
	}
	b.ReportMetric(float64(size(b, s, dir)-before)/(growth*batchSize), "bytes/pass")
}

// bare returns what inserts runs into a table with one secondary index, in
// one transaction, with nothing else.
func bare(b *testing.B) func([]*core.Run) time.Duration {
	b.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "bare.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)&_pragma=cache_size(-32000)")
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { _ = db.Close() })
	if _, err := db.Exec(`CREATE TABLE runs (id INTEGER PRIMARY KEY, assignment INTEGER, at INTEGER, outcome INTEGER, latency INTEGER);
		CREATE INDEX runs_by_at ON runs (at)`); err != nil {
		b.Fatal(err)
	}
	conn, err := db.Conn(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	ctx := context.Background()
	stmt, err := conn.PrepareContext(ctx, "INSERT INTO runs (assignment, at, outcome, latency) VALUES (?, ?, ?, ?)")
	if err != nil {
		b.Fatal(err)
	}
	return func(runs []*core.Run) time.Duration {
		began := time.Now()
		if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
			b.Fatal(err)
		}
		for i, run := range runs {
			if _, err := stmt.ExecContext(ctx, i, run.Ended.UnixNano(), int64(run.Outcome), int64(run.Latency)); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := conn.ExecContext(ctx, "COMMIT"); err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
}

// size is how many bytes the database takes, with the log merged into it.
func size(b *testing.B, s *sqlite.Store, dir string) int64 {
	b.Helper()
	if err := s.Checkpoint(); err != nil {
		b.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, sqlite.File))
	if err != nil {
		b.Fatal(err)
	}
	return info.Size()
}

// BenchmarkOpen opens the database of 10,000 systems with 20,000 assignments
// and reads what the engine reads at a start (goal 300 ms).
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := open(b, dir)
	e := fleet(10000)
	if _, err := s.Apply(b.Context(), e); err != nil {
		b.Fatal(err)
	}
	runs := make([]*core.Run, 20000)
	batch(runs, e.Systems.PutAssignments, 0, 10)
	if err := s.Record(b.Context(), runs); err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for b.Loop() {
		s, err := sqlite.Open(b.Context(), dir, sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		standings, err := s.Standings(b.Context())
		if err != nil || len(standings) != 20000 {
			b.Fatal(len(standings), err)
		}
		b.StopTimer()
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func open(tb testing.TB, dir string) *sqlite.Store {
	tb.Helper()
	s, err := sqlite.Open(context.Background(), dir, sqlite.Options{})
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

// BenchmarkHistory reads the last 100 runs of one system of many (goal 10 ms
// when 10,000,000 are stored): the cost must not grow with what is stored.
func BenchmarkHistory(b *testing.B) {
	for _, stored := range []int{100_000, 1_000_000} {
		s := open(b, b.TempDir())
		e := fleet(1000)
		if _, err := s.Apply(b.Context(), e); err != nil {
			b.Fatal(err)
		}
		runs := make([]*core.Run, 10_000)
		for from := 0; from < stored; from += len(runs) {
			batch(runs, e.Systems.PutAssignments, from, 10)
			if err := s.Record(b.Context(), runs); err != nil {
				b.Fatal(err)
			}
		}
		failed := []core.Outcome{core.Fail}
		since := runs[len(runs)-1].Ended.Add(-time.Minute)
		for name, q := range map[string]store.RunQuery{
			"system":     {},
			"details":    {WithDetails: true},
			"failed":     {Outcomes: failed},
			"since":      {Since: since},
			"everywhere": {Outcomes: failed, Since: since},
		} {
			b.Run(fmt.Sprintf("stored=%d/%s", stored, name), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if name != "everywhere" {
						q.System = fmt.Sprintf("system-%05d", i*37%1000)
					}
					if _, err := s.Runs(b.Context(), q); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
