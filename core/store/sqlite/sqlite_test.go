package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/core/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string) storetest.Backend {
		t.Helper()
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// With a disk flush for each transaction everything holds as well.
func TestFullSync(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{FullSync: true})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, fleet(2))
	record(t, s, "system-00000:http")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if newest := newestRun(t, open(t, dir)); newest != 1 {
		t.Errorf("the newest run is %d, want 1", newest)
	}
}

func TestOpenRefusesASecondProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	_, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if !errors.Is(err, sqlite.ErrInUse) || !strings.Contains(err.Error(), "process id "+strconv.Itoa(os.Getpid())) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error is %v, want the directory and the id of the process that has it open", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // free again
}

// change runs a statement on the database file, with nobody else using it.
func change(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestOpenRefusesANewerDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	change(t, dir, "PRAGMA user_version = 1000")
	_, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if !errors.Is(err, sqlite.ErrNewer) || !strings.Contains(err.Error(), "version 1000") {
		t.Errorf("error is %v, want that a newer release has written version 1000", err)
	}
}

// A database of before modules had releases keeps what was active, granted and
// reachable by rollback of nothing.
func TestMigrateModules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i, name := range []string{"0001_ledger", "0002_catalog", "0003_rules", "0004_access"} {
		text, err := os.ReadFile(filepath.Join("migrations", name+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		change(t, dir, fmt.Sprintf("%s; PRAGMA user_version = %d", text, i+1))
	}
	change(t, dir, `
		INSERT INTO module_files VALUES ('aa', x'00'), ('bb', x'01');
		INSERT INTO modules VALUES
			('lag', '2', 'bb', 0, 2000000000000000000, '{"name":"lag","version":"2","digest":"bb","grant":{},"created":"2033-05-18T03:33:20Z"}'),
			('lag', '1', 'aa', 1, 1000000000000000000, '{"name":"lag","version":"1","digest":"aa","grant":{"private":true},"created":"2001-09-09T01:46:40Z"}'),
			('idle', '1', 'aa', 0, 1000000000000000000, '{"name":"idle","version":"1","digest":"aa","grant":{},"created":"2001-09-09T01:46:40Z"}');`)
	s := open(t, dir)
	modules, err := s.Modules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range modules {
		got = append(got, fmt.Sprintf("%s %s %d %s %t %t %t", m.Name, m.Version, m.Number, m.Kind, m.Active, m.Grant.Private, m.Granted.Equal(m.Created)))
	}
	want := []string{"idle 1 1 wasm false false false", "lag 2 2 wasm false false false", "lag 1 1 wasm true true true"} //nolint:dupword // facts of the rows
	if !slices.Equal(got, want) {
		t.Errorf("modules are %q, want %q", got, want)
	}
	for name, stable := range map[string]string{"lag": "1", "idle": ""} {
		r, err := s.Release(t.Context(), name)
		if err != nil || r.Stable != stable || r.Name != name || r.Revision != 1 {
			t.Errorf("release of %s is %+v (%v), want stable %q", name, r, err, stable)
		}
		if err := s.PutRelease(t.Context(), r); err != nil {
			t.Errorf("change the release of %s: %v", name, err)
		}
	}
}

func TestOpenRefusesWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, sqlite.File), []byte(strings.Repeat("no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(t.Context(), dir, sqlite.Options{}); err == nil || !strings.Contains(err.Error(), "not a database") {
		t.Errorf("error is %v, want that the file is not a database", err)
	}
	if err := os.Remove(filepath.Join(dir, sqlite.File)); err != nil {
		t.Fatal(err)
	}
	open(t, dir) // the refused Open has let go of the lock
}

// The names in the path of a data directory are taken as they are.
func TestOpenTakesAnyDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a b?c#d%20é", "data")
	open(t, dir)
	if _, err := os.Stat(filepath.Join(dir, sqlite.File)); err != nil {
		t.Errorf("the database is elsewhere: %v", err)
	}
}

func TestOpenTakesARelativeDirectory(t *testing.T) { //nolint:paralleltest // changes the working directory
	t.Chdir(t.TempDir())
	open(t, "data")
	if _, err := os.Stat(filepath.Join("data", sqlite.File)); err != nil {
		t.Errorf("the database is elsewhere: %v", err)
	}
}

func apply(t *testing.T, s *sqlite.Store, e store.Edit) {
	t.Helper()
	if _, err := s.Apply(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func record(t *testing.T, s *sqlite.Store, assignment string) {
	t.Helper()
	if err := s.Record(t.Context(), []*core.Run{{Assignment: assignment, Ended: benchStart, Outcome: core.Fail}}); err != nil {
		t.Fatal(err)
	}
}

func newestRun(t *testing.T, s *sqlite.Store) int64 {
	t.Helper()
	_, newest, err := s.RunsAfter(t.Context(), -1, 1)
	if err != nil {
		t.Fatal(err)
	}
	return newest
}

// A full disk refuses whole batches, says so, and is forgotten when there is
// room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := fleet(50)
	apply(t, s, e)
	pages, err := s.Pages()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.LimitPages(pages + 20); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 2000)
	stored, refused := int64(0), 0
	for i := 0; refused < 3; i++ {
		if i > 1000 {
			t.Fatal("the disk is never full")
		}
		runs := make([]*core.Run, 50)
		batch(runs, e.Systems.PutAssignments, i*50, 2)
		for _, run := range runs {
			run.Summary = long
		}
		err := s.Record(t.Context(), runs)
		if err == nil {
			stored += int64(len(runs))
			continue
		}
		refused++
		if !strings.Contains(err.Error(), "record runs") || !strings.Contains(err.Error(), "full") {
			t.Errorf("error is %v, want what we were doing and that the disk is full", err)
		}
		for _, run := range runs {
			if run.ID != 0 {
				t.Fatalf("a run that was not stored has id %d", run.ID)
			}
		}
		if newest := newestRun(t, s); newest != stored {
			t.Fatalf("the newest run is %d, want %d: nothing of a refused batch", newest, stored)
		}
	}
	if _, err := s.Apply(t.Context(), store.Edit{Base: 1, Put: []store.Object{{Kind: store.Rules, ID: "a", Body: []byte(`{"x":"` + strings.Repeat(long, 100) + `"}`)}}}); err == nil {
		t.Error("an edit fits on a full disk")
	}
	if err := s.LimitPages(0); err != nil {
		t.Fatal(err)
	}
	record(t, s, "system-00001:http")
	if newest := newestRun(t, s); newest != stored+1 {
		t.Errorf("after the fault the newest run is %d, want %d", newest, stored+1)
	}
	checkBoard(t, s, e)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	checkBoard(t, open(t, dir), e)
}

// checkBoard proves that the standings are what the stored runs give.
func checkBoard(t *testing.T, s *sqlite.Store, e store.Edit) {
	t.Helper()
	want := map[string]core.Standing{}
	runs, _, err := s.RunsAfter(t.Context(), 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	for i := range runs {
		want[runs[i].Assignment] = core.Advance(want[runs[i].Assignment], core.Policy{}, &runs[i])
	}
	got, err := s.Standings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range e.Systems.PutAssignments {
		if fmt.Sprint(got[a.ID]) != fmt.Sprint(want[a.ID]) {
			t.Errorf("standing of %s is %+v, want %+v", a.ID, got[a.ID], want[a.ID])
		}
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
	dir := t.TempDir()
	s := open(t, dir)
	apply(t, s, fleet(1))
	record(t, s, "system-00000:http")
	record(t, s, "system-00000:http")
	if err := s.Commit(t.Context(), store.Turn{Cursor: 5, Firings: []core.Firing{{ID: "f", Steps: []core.Step{{Action: "log"}, {Action: "log"}}}}, Flow: atOnce}); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"1", "2"} {
		m := core.Module{Name: "lag", Version: version, Kind: core.WasmModule, Digest: "d" + version}
		if _, err := s.PutModule(t.Context(), m, []byte("f")); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.PutRelease(t.Context(), core.Release{Name: "lag"}.Activate("1", core.ReleaseEdit{})); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.File)+"?_pragma=foreign_keys(1)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for _, test := range []struct{ statement, want string }{
		{"INSERT INTO transitions SELECT seq + 2, at, kind, scope, part, was, now, cause, run, body FROM transitions ORDER BY seq DESC LIMIT 1", "one more than the greatest"},
		{"INSERT INTO transitions SELECT 1, at, kind, scope, part, was, now, cause, run, body FROM transitions LIMIT 1", "one more than the greatest"},
		{"DELETE FROM transitions", "newest transition is never deleted"},
		{"UPDATE counters SET value = 4 WHERE name = 'cursor'", "never goes back"},
		{"UPDATE runs SET prev = id", "CHECK"},
		{"UPDATE runs SET outcome = 4", "CHECK"},
		{"INSERT INTO firings (id, rule, created, status, updated, body) VALUES ('f', 'r', 0, 'queued', 0, '{}')", "UNIQUE"},
		{"UPDATE deliveries SET place = '0'", "UNIQUE"},
		{"UPDATE deliveries SET due = NULL", "CHECK"},
		{"UPDATE deliveries SET place = ''", "CHECK"},
		{"UPDATE deliveries SET status = 'running'", "CHECK"},
		{"UPDATE deliveries SET status = 'gone'", "CHECK"},
		{"UPDATE deliveries SET firing = 'none'", "FOREIGN KEY"},
		{"UPDATE objects SET body = 'no json'", ""},
		{"INSERT INTO objects VALUES ('rule', 'a', 1, 'no json', 0, 0, '')", "CHECK"},
		{"DELETE FROM modules WHERE version = '1'", "FOREIGN KEY"},
		{"INSERT INTO release_versions VALUES ('lag', '9')", "FOREIGN KEY"},
		{"UPDATE modules SET active = 1", "UNIQUE"},
		{"UPDATE modules SET number = 1", "UNIQUE"},
		{"UPDATE releases SET kind = 'plugin'", "CHECK"},
	} {
		_, err := db.Exec(test.statement)
		if test.want == "" && err == nil {
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error is %v, want %q", test.statement, err, test.want)
		}
	}
}

// Fires are kept; of the others the newest of each rule.
func TestDecisionsAreBounded(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 { // the second time what is stored must be counted
		s, err := sqlite.Open(t.Context(), dir, sqlite.Options{KeepDecisions: 20})
		if err != nil {
			t.Fatal(err)
		}
		for range 60 {
			err := s.Commit(t.Context(), store.Turn{Decisions: []core.Decision{
				{Rule: "noisy", Verdict: core.Hold}, {Rule: "noisy", Verdict: core.Drop}, {Rule: "noisy", Verdict: core.Fire}, {Rule: "noisy", Verdict: core.Recover},
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Commit(t.Context(), store.Turn{Decisions: []core.Decision{{Rule: "calm", Verdict: core.Drop}}}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	s := open(t, dir)
	for _, test := range []struct {
		query    store.DecisionQuery
		min, max int
	}{
		{store.DecisionQuery{Rule: "noisy", Verdicts: []core.DecisionVerdict{core.Hold, core.Drop}}, 20, 25},
		{store.DecisionQuery{Rule: "noisy", Verdicts: []core.DecisionVerdict{core.Fire}}, 120, 120},
		{store.DecisionQuery{Rule: "noisy", Verdicts: []core.DecisionVerdict{core.Recover}}, 120, 120},
		{store.DecisionQuery{Rule: "calm"}, 2, 2},
	} {
		test.query.Limit = 1000
		got, err := s.Decisions(t.Context(), test.query)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) < test.min || len(got) > test.max {
			t.Errorf("%+v are %d, want %d to %d", test.query, len(got), test.min, test.max)
		}
		if len(got) > 0 && test.query.Rule == "noisy" && got[0].ID < 460 {
			t.Errorf("the newest of %+v has id %d, want the newest kept", test.query, got[0].ID)
		}
	}
}

// A copy made while somebody writes is whole.
func TestBackup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	e := fleet(20)
	apply(t, s, e)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int64)
	go func() {
		var last int64
		for i := 0; ctx.Err() == nil; i++ {
			runs := make([]*core.Run, 20)
			batch(runs, e.Systems.PutAssignments, i*20, 3)
			if err := s.Record(context.WithoutCancel(ctx), runs); err != nil {
				t.Errorf("record: %v", err)
				break
			}
			last = runs[len(runs)-1].ID
		}
		done <- last
	}()
	for newestRun(t, s) < 400 {
		time.Sleep(time.Millisecond)
	}
	copied := t.TempDir()
	if err := sqlite.Backup(t.Context(), dir, filepath.Join(copied, sqlite.File)); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Backup(t.Context(), dir, filepath.Join(copied, sqlite.File)); err == nil {
		t.Error("a backup overwrites what is there")
	}
	cancel()
	last := <-done
	restored := open(t, copied)
	if newest := newestRun(t, restored); newest < 400 || newest > last || newest%20 != 0 {
		t.Errorf("the newest run of the copy is %d, want a whole batch from 400 to %d", newest, last)
	}
	checkBoard(t, restored, e)
}

// A module that makes up names of samples fills neither memory nor the table
// of names, and loses none.
func TestManySampleNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	apply(t, s, fleet(1))
	const runs, each = 10, 1000
	for i := range runs {
		run := &core.Run{Assignment: "system-00000:http", Ended: benchStart, Samples: core.Samples{strings.Repeat("long", 100): 1.5}}
		for j := range each {
			run.Samples[fmt.Sprintf("made.up.%d.%d", i, j)] = int64(j)
		}
		if err := s.Record(t.Context(), []*core.Run{run}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		for i := range runs {
			run, err := s.Run(t.Context(), int64(i+1))
			if err != nil {
				t.Fatal(err)
			}
			if name := fmt.Sprintf("made.up.%d.%d", i, each-1); len(run.Samples) != each+1 || run.Samples[name] != int64(each-1) {
				t.Errorf("run %d has %d samples, %s is %v, want %d and %d", i+1, len(run.Samples), name, run.Samples[name], each+1, each-1)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, dir)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	var names int
	if err := db.QueryRow("SELECT count(*) FROM sample_names").Scan(&names); err != nil || names > 4096 {
		t.Errorf("%d names are numbered (%v), want at most 4096", names, err)
	}
}

// Every query can be prepared and finds what it reads by key or index.
func TestQueriesUseIndexes(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	whole := map[string]bool{ // meant to read all of a small or once-read table
		"sample_names": true, "standings": true, "rollups": true, "desks": true, "systems": true, "assignments": true, "objects": true,
		"modules": true, "releases": true, "values_by_module": true, "gate_states": true, "secret_names": true, "newest_run": true, "tiers": true, "size": true,
	}
	plans, err := s.Plans()
	if err != nil {
		t.Fatal(err)
	}
	for name, plan := range plans {
		for _, step := range plan {
			byOrder := strings.Contains(step, "USING INDEX") || strings.HasPrefix(name, "newest_") || name == "transitions" ||
				name == "decisions" || name == "firings" || name == "deliveries" || name == "prune_firings" || name == "size_of_runs" || name == "old_buckets"
			if table, ok := strings.CutPrefix(step, "SCAN "); ok && !whole[name] && !byOrder && !strings.HasPrefix(table, "json_each") &&
				table != "wanted" && // of runs_of_bad: as many rows as its limit, which the indexes gave
				!strings.HasPrefix(table, "c") && !strings.HasPrefix(table, "CONSTANT") && !strings.HasSuffix(table, "VALUES CLAUSE") {
				t.Errorf("query %s: %s; the plan is %v", name, step, plan)
			}
			if strings.Contains(step, "TEMP B-TREE") && name != "modules" && name != "objects" && name != "assignments" && name != "active_firings" && name != "runs_of_bad" {
				t.Errorf("query %s sorts: the plan is %v", name, plan)
			}
		}
	}
}
