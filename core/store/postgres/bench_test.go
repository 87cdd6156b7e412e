package postgres_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
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
// COPY of as many rows into a partitioned table with one secondary index. It
// reports runs/s, the ratio of the two speeds (more is better; goal 0.35), and
// bytes of growth a run (goal 120).
func BenchmarkRecord(b *testing.B) {
	for _, systems := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("assignments=%d", 2*systems), func(b *testing.B) { benchmarkRecord(b, systems) })
	}
}

func benchmarkRecord(b *testing.B, systems int) { //nolint:thelper // a benchmark
	url := database(b, b.TempDir())
	s := open(b, url)
	e := fleet(systems)
	apply(b, s, e)
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(b.Context(), `CREATE TABLE bare (id bigint GENERATED ALWAYS AS IDENTITY, assignment integer, at bigint, outcome smallint, latency bigint) PARTITION BY RANGE (at);
		CREATE TABLE bare_1 PARTITION OF bare FOR VALUES FROM (MINVALUE) TO (MAXVALUE); CREATE INDEX ON bare (at)`); err != nil {
		b.Fatal(err)
	}
	bare := func(runs []*core.Run) time.Duration {
		began := time.Now()
		_, err := conn.CopyFrom(b.Context(), pgx.Identifier{"bare"}, []string{"assignment", "at", "outcome", "latency"}, pgx.CopyFromSlice(len(runs), func(i int) ([]any, error) {
			return []any{int32(i), runs[i].Ended.UnixNano(), int16(runs[i].Outcome), int64(runs[i].Latency)}, nil
		}))
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
	runs := make([]*core.Run, batchSize)
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
	for range 2*systems/batchSize + 1 { // every assignment has been healthy before
		record(0)
	}
	var ours, theirs time.Duration
	rows := 0
	b.ResetTimer()
	for b.Loop() {
		ours += record(10)
		theirs += bare(runs)
		rows += len(runs)
	}
	b.StopTimer()
	b.ReportMetric(float64(rows)/ours.Seconds(), "runs/s")
	b.ReportMetric(float64(rows)/theirs.Seconds(), "bare_rows/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
	size := func() (n int64) {
		b.Helper()
		err := conn.QueryRow(b.Context(), "SELECT sum(pg_relation_size(indexrelid))::bigint + (SELECT sum(pg_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent = 'runs'::regclass) FROM pg_index WHERE indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'runs'::regclass)").Scan(&n)
		if err != nil {
			b.Fatal(err)
		}
		return n
	}
	before := size()
	const growth = 50
	for range growth {
		record(0)
	}
	b.ReportMetric(float64(size()-before)/(growth*batchSize), "bytes/pass")
}

// BenchmarkHistory reads the last 100 runs of one system of many (goal 10 ms):
// the cost must not grow with what is stored.
func BenchmarkHistory(b *testing.B) {
	for _, stored := range []int{100_000, 1_000_000} {
		s := open(b, database(b, b.TempDir()))
		e := fleet(1000)
		apply(b, s, e)
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
			"system": {}, "details": {WithDetails: true}, "failed": {Outcomes: failed}, "since": {Since: since}, "everywhere": {Outcomes: failed, Since: since},
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
	}
}
