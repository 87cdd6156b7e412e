package archive_test

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/archive"
	columns "github.com/tocsin-io/tocsin/core/store/pack"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
)

var made = time.Date(2026, 3, 29, 1, 30, 0, 0, time.UTC)

// samples are rows of every table, in order of their keys, with the values that
// are easily lost.
func samples() map[string][][]any {
	return map[string][][]any{
		"systems":      {{"db", `{"id":"db", "tags": {"a":"\u0000\/"}}`}, {"web", `{"id" : "web"}`}, {"wéb", `{"id":"wéb","id":"wéb"}`}},
		"assignments":  {{int64(1), "web:front", "web", `{}`, int64(0)}, {int64(7), "db:ping", "db", `{}`, int64(1)}},
		"standings":    {{int64(1), int64(250_000), int64(4), columns.Standing(nil, core.Standing{})}, {int64(7), int64(0), int64(0), columns.Standing(nil, core.Standing{})}},
		"rollups":      {{int64(1), "web", `{}`}, {int64(2), "all", `{}`}},
		"sample_names": {{int64(1), []byte("latency")}, {int64(2), []byte("\xff\x00\xfe")}},
		"runs": {
			{int64(3), int64(1), made.UnixNano(), int64(2), int64(0), nil, []byte{1}, nil},
			{int64(4), int64(1), made.UnixNano() + 1, int64(3), int64(2), int64(0), []byte{}, []byte(`[{}]`)},
			{int64(150_000), int64(1), made.Add(30 * time.Hour).UnixNano(), int64(4), int64(0), nil, []byte{1}, nil},
			{int64(250_000), int64(1), made.Add(31 * time.Hour).UnixNano(), int64(150_000), int64(0), nil, []byte{1}, nil},
		},
		"transitions": {
			{int64(2), made.UnixNano(), int64(0), "web", "front", int64(1), int64(3), "run", int64(4), `{}`},
			{int64(9), made.UnixNano() - 5, int64(2), "@all", "", int64(1), int64(3), "member", int64(0), `{"why":"<&>\u2028"}`},
		},
		"marks": {{"runs", int64(1000), int64(1)}, {"transitions", int64(1000), int64(-1)}},
		"buckets": {
			{int64(1), int64(1), made.UnixNano(), []byte{1}},
			{int64(1), int64(1), made.Add(24 * time.Hour).UnixNano(), []byte{}},
			{int64(1), int64(7), made.Add(time.Hour).UnixNano(), []byte{2}},
			{int64(3), int64(1), made.UnixNano(), []byte{3}},
		},
		"tiers":            {{int64(1), int64(0)}, {int64(2), made.UnixNano()}, {int64(3), int64(-1)}},
		"added_up":         {{int64(1), int64(2), int64(0), int64(0), int64(9), int64(3), int64(-1), int64(4)}},
		"objects":          {{"check", "front", int64(3), `{"a": 1, "a": 2}`, int64(1), int64(2), "ann"}},
		"counters":         {{"catalog", int64(17)}, {"cursor", int64(9)}},
		"module_files":     {{"sha256:1", bytes.Repeat([]byte{0, 'a', 's', 'm'}, 100_000)}},
		"releases":         {{"queue", "wasm", int64(2), int64(5), `{}`}},
		"modules":          {{"queue", "1.0.0", "sha256:1", int64(1), int64(0), int64(5), `{}`}, {"queue", "1.1.0", "sha256:1", int64(2), int64(1), int64(6), `{}`}},
		"release_versions": {{"queue", "1.1.0"}},
		"kept_values":      {{"queue", "", []byte{}, []byte{}}, {"queue", "web:front", []byte("k\x00"), []byte{0}}},
		"recordings":       {{int64(4), "", int64(1), []byte{9}}},
		"gate_states":      {{"page\tweb", []byte{1, 2}}, {"page/wéb", []byte{}}},
		"decisions":        {{int64(5), "page", "web", "fire", int64(1), int64(7), `{}`}, {int64(9), "page", "web", "hold", int64(0), int64(8), `{}`}},
		"firings":          {{int64(3), "f1", "page", int64(1), "running", int64(2), `{}`}},
		"deliveries": {
			{int64(2), "f1", "page", "0", "webhook", "k0", `{}`, "running", int64(1), int64(0), int64(99), "token", nil, int64(0), "", nil, int64(5), nil},
			{int64(4), "f1", "page", "1.then.0", "wait", "k1", `{}`, "waiting", int64(0), int64(3), int64(77), nil, "web", int64(1), "\xfe no \x00", []byte("out"), int64(5), `{}`},
		},
		"sessions": {{[]byte{1, 2}, "token", "ann", "admin", int64(1), int64(0), int64(2)}},
		"secrets":  {{"key", []byte{0, 1}, "ann", int64(4)}},
	}
}

// file is an export of the samples.
func file(t *testing.T) []byte {
	t.Helper()
	of := samples()
	var out bytes.Buffer
	w, err := archive.NewWriter(&out, "v1", made)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range archive.Tables() {
		if len(of[table.Name]) == 0 {
			t.Errorf("there are no samples of %s", table.Name)
		}
		err := w.Table(&table)
		for _, row := range of[table.Name] {
			err = errors.Join(err, w.Row(row))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// export is what a database gives.
func export(t *testing.T, dump func(archive.Rows) error) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := archive.NewWriter(&out, "v1", made)
	if err == nil {
		err = errors.Join(dump(w), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func lines(t *testing.T, file []byte) []string {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(string(text), "\n")
}

func pack(t *testing.T, lines []string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	if _, err := io.WriteString(zip, strings.Join(lines, "")); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func same(t *testing.T, what string, got, want []byte) {
	t.Helper()
	is, must := lines(t, got), lines(t, want)
	for i := range max(len(is), len(must)) {
		if i >= len(is) || i >= len(must) || is[i] != must[i] {
			t.Fatalf("%s: line %d is\n%.300swant\n%.300s", what, i+1, strings.Join(is[min(i, len(is)):], ""), strings.Join(must[min(i, len(must)):], ""))
		}
	}
}

func reader(t *testing.T, file []byte) *archive.Reader {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What goes into a database of either kind comes out of it to the letter.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	want := file(t)
	dir := filepath.Join(t.TempDir(), "data")
	if err := sqlite.Fill(t.Context(), dir, reader(t, want)); err != nil {
		t.Fatal(err)
	}
	fromSQLite := func() []byte {
		return export(t, func(into archive.Rows) error { return sqlite.Dump(t.Context(), dir, into) })
	}
	same(t, "out of SQLite", fromSQLite(), want)
	if err := sqlite.Fill(t.Context(), dir, reader(t, want)); !errors.Is(err, sqlite.ErrNotEmpty) {
		t.Errorf("fill what is not empty: %v, want %v", err, sqlite.ErrNotEmpty)
	}

	url := database(t)
	r := reader(t, want)
	if err := postgres.Fill(t.Context(), url, r); err != nil {
		t.Fatal(err)
	}
	if r.Changed() != 1 {
		t.Errorf("%d texts were changed, want the one that Postgres cannot store", r.Changed())
	}
	got := export(t, func(into archive.Rows) error { return postgres.Dump(t.Context(), url, into) })
	stored := lines(t, want)
	clean := lines(t, got)
	differ := 0
	for i := range stored {
		if stored[i] != clean[i] {
			differ++
		}
	}
	if differ != 2 || len(stored) != len(clean) || !strings.Contains(strings.Join(clean, ""), "� no �") { // the row and its checksum
		t.Errorf("%d lines of what came out of Postgres differ, want 2", differ)
		same(t, "out of Postgres", got, want)
	}
	if err := postgres.Fill(t.Context(), url, reader(t, want)); !errors.Is(err, postgres.ErrNotEmpty) {
		t.Errorf("fill what is not empty: %v, want %v", err, postgres.ErrNotEmpty)
	}
	back := filepath.Join(t.TempDir(), "data")
	if err := sqlite.Fill(t.Context(), back, reader(t, got)); err != nil {
		t.Fatal(err)
	}
	same(t, "back in SQLite", export(t, func(into archive.Rows) error { return sqlite.Dump(t.Context(), back, into) }), got)
	opens(t, dir, url)

	// Another schema of the same database is another database.
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // only read
	if _, err := conn.Exec(t.Context(), "CREATE SCHEMA team_a"); err != nil {
		t.Fatal(err)
	}
	team := url + "&search_path=team_a"
	if err := postgres.Fill(t.Context(), team, reader(t, got)); err != nil {
		t.Fatal(err)
	}
	same(t, "out of a schema", export(t, func(into archive.Rows) error { return postgres.Dump(t.Context(), team, into) }), got)
	opens(t, back, team)
}

// opens proves that what was filled can be used: the next run and the next
// change have the next numbers.
func opens(t *testing.T, dir, url string) {
	t.Helper()
	lite, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer lite.Close() //nolint:errcheck // only read
	pg, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer pg.Close() //nolint:errcheck // only read
	type ledger interface {
		store.History
		store.Log
		store.Journal
	}
	for name, db := range map[string]ledger{"SQLite": lite, "Postgres": pg} {
		_, run, err := db.RunsAfter(t.Context(), -1, 1)
		head, err2 := db.Head(t.Context())
		cursor, gates, err3 := db.Load(t.Context())
		if err := errors.Join(err, err2, err3); err != nil || run != 250_000 || head != 9 || cursor != 9 || len(gates) != 2 {
			t.Errorf("%s: run %d, head %d, cursor %d, %d gates, %v; want 250000, 9, 9, 2", name, run, head, cursor, len(gates), err)
		}
	}
}

// running is the server of these tests, once it is asked for.
var running = sync.OnceValues(func() (*pgtest.Server, error) { return pgtest.Start(pgtest.Options{}) })

var asked atomic.Bool

func TestMain(m *testing.M) {
	code := m.Run()
	if asked.Load() {
		if pg, err := running(); err == nil {
			if err := pg.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code) //nolint:forbidigo // the end of the tests
}

// database is an empty database.
func database(t *testing.T) string {
	t.Helper()
	asked.Store(true)
	pg, err := running()
	if err != nil {
		pgtest.Skip(t, err)
	}
	name := "t" + strings.ToLower(strings.TrimPrefix(t.Name(), "Test"))
	if err := pg.Create(name); err != nil {
		t.Fatal(err)
	}
	return pg.URL(name)
}

// A file that was cut, changed or written by something else is refused, and
// nothing of it stays.
func TestDamaged(t *testing.T) {
	t.Parallel()
	whole := file(t)
	text := lines(t, whole)
	change := func(from, to string) []byte {
		joined := strings.Join(text, "")
		if !strings.Contains(joined, from) {
			t.Fatalf("there is no %q", from)
		}
		return pack(t, []string{strings.Replace(joined, from, to, 1)})
	}
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		"no export":        {[]byte("hello"), "this is not a file that 'tocsin export' wrote"},
		"another gzip":     {pack(t, []string{"{}\n"}), "this is not a file that 'tocsin export' wrote"},
		"a later format":   {change(`"format":1`, `"format":2`), "it is an export of format 2, written by tocsin v1, and this release reads up to 1: import it with that release or a later one"},
		"cut off":          {whole[:len(whole)/2], "the file ends here, before the end of the export: it was cut off"},
		"lines missing":    {pack(t, text[:12]), "line 13: the file ends here, before the end of the export: it was cut off"},
		"a table missing":  {pack(t, append(slices.Clone(text[:1]), text[len(text)-2:]...)), "line 2: the export says that it has 25 tables, and 0 were there"},
		"a row missing":    {pack(t, slices.Delete(slices.Clone(text), 2, 3)), "table systems was changed since it was written: 2 rows"},
		"a row changed":    {change(`"db:ping"`, `"db:pong"`), "table assignments was changed since it was written: 2 rows"},
		"an unknown table": {change(`{"table":"systems"`, `{"table":"sistems"`), `line 2: there is no table "sistems" in this release; the file is of tocsin v1`},
		"a later column":   {change(`{"name":"id","kind":"text"}`, `{"name":"new","kind":"text"}`), "line 2: table systems has columns that this release does not know; the file is of tocsin v1"},
		"a bad number":     {change(`[7,"db:ping"`, `[7.5,"db:ping"`), `a row of assignments: key: "7.5" is not a whole number`},
		"a short row":      {change(`[1,"bGF0ZW5jeQ=="]`, `[1]`), "a row of sample_names: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			r, err := archive.NewReader(bytes.NewReader(c.file))
			if err == nil {
				err = sqlite.Fill(t.Context(), dir, r)
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("fill: %v, want %s", err, c.want)
			}
			if r == nil {
				return
			}
			if err := sqlite.Fill(t.Context(), dir, reader(t, whole)); err != nil {
				t.Errorf("fill it afterwards with the whole file: %v", err)
			}
		})
	}
}

// A file of a release that had fewer tables and columns can be read.
func TestEarlierFile(t *testing.T) {
	t.Parallel()
	text := strings.Join(lines(t, file(t)), "")
	from, to := strings.Index(text, `{"table":"deliveries"`), strings.Index(text, `{"table":"sessions"`)
	text = text[:from] + text[to:]
	text = strings.Replace(text, `{"end":"export","rows":25}`, `{"end":"export","rows":24}`, 1)
	dir := filepath.Join(t.TempDir(), "data")
	r := reader(t, pack(t, []string{text}))
	if err := sqlite.Fill(t.Context(), dir, r); err != nil {
		t.Fatal(err)
	}
	if got, want := len(lines(t, export(t, func(into archive.Rows) error { return sqlite.Dump(t.Context(), dir, into) }))), len(lines(t, file(t)))-2; got != want {
		t.Errorf("%d lines come out, want %d: all but the two deliveries", got, want)
	}
}

// derived are tables and columns that are no part of an archive, and why.
func derived() map[string]string {
	return map[string]string{
		"postgres migrations":        "says of which version the schema is",
		"postgres ledger":            "is found from runs, standings, marks and transitions",
		"postgres run_partitions":    "says where runs are in this database",
		"postgres bucket_partitions": "says where buckets are in this database",
		"sqlite tiers.bytes":         "is found from buckets",
		"postgres nodes":             "the processes that use this database",
		"postgres leases":            "what they hold",
		"postgres asks":              "what they ask each other",
		"postgres systems.turn":      "when it was changed, for processes that follow",
		"postgres assignments.turn":  "when it was changed, for processes that follow",
		"postgres rollups.turn":      "when it was changed, for processes that follow",
	}
}

// Every table and every column of both schemas is archived, or derived.
func TestNothingIsForgotten(t *testing.T) {
	t.Parallel()
	dir, url := filepath.Join(t.TempDir(), "data"), database(t)
	schemas := map[string]map[string]map[string]bool{"sqlite": sqliteSchema(t, dir), "postgres": postgresSchema(t, url)}
	unused := derived()
	for backend, schema := range schemas {
		known := map[string]map[string]bool{}
		for _, table := range archive.Tables() {
			known[table.Name] = map[string]bool{}
			for _, c := range table.Columns {
				name := c.Name
				if backend == "postgres" && table.Name == "sessions" && name == "user" {
					name = "username" // a word that Postgres keeps for itself
				}
				known[table.Name][name] = true
				if !schema[table.Name][name] {
					t.Errorf("%s has no column %s.%s, which is archived", backend, table.Name, name)
				}
			}
		}
		for table, found := range schema {
			if _, ok := derived()[backend+" "+table]; ok {
				delete(unused, backend+" "+table)
				continue
			}
			for column := range found {
				name := backend + " " + table + "." + column
				if _, ok := derived()[name]; !ok && !known[table][column] {
					t.Errorf("%s is not archived: add it to archive.Tables, with samples, or say here why it is derived", name)
				}
				delete(unused, name)
			}
		}
	}
	for name, why := range unused {
		t.Errorf("%s is derived (%s), and not there", name, why)
	}
}

func sqliteSchema(t *testing.T, dir string) map[string]map[string]bool {
	t.Helper()
	s, err := sqlite.Open(t.Context(), dir, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // only read
	rows, err := db.QueryContext(t.Context(), `SELECT t.name, c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\_%' ESCAPE '\'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close() //nolint:errcheck // only read
	out := map[string]map[string]bool{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		note(out, table, column)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func note(schema map[string]map[string]bool, table, column string) {
	if schema[table] == nil {
		schema[table] = map[string]bool{}
	}
	schema[table][column] = true
}

func postgresSchema(t *testing.T, url string) map[string]map[string]bool {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // only read
	rows, err := conn.Query(t.Context(), `SELECT c.relname, a.attname FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped`)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]bool{}
	for rows.Next() {
		var table, column string
		if err := rows.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		note(out, table, column)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Whatever is read to its end can be written again, and is the same then.
func FuzzReader(f *testing.F) {
	f.Add("[]\n")
	f.Add(`{"table":"secrets","columns":[{"name":"name","kind":"text"},{"name":"updated","kind":"int"}]}` + "\n" + `["a",1]` + "\n" + `{"end":"secrets","rows":1}` + "\n")
	f.Add(`{"table":"marks","columns":[]}` + "\n" + `{"end":"marks","rows":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}` + "\n" + `{"end":"export","rows":1}` + "\n")
	f.Fuzz(func(t *testing.T, body string) {
		r, err := archive.NewReader(bytes.NewReader(pack(t, []string{`{"tocsin":"export","format":1}` + "\n", body})))
		if err != nil {
			t.Fatal(err)
		}
		again := archive.NewChecker()
		for {
			table, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return
			}
			if err := again.Table(table); err != nil {
				t.Fatal(err)
			}
			for {
				row, err := r.Row()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					return
				}
				if err := again.Row(row); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := r.Verify(again); err != nil {
			t.Error(err)
		}
	})
}
