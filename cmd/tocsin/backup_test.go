package main_test

import (
	"database/sql"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// A backup that is made while a server works holds all that was there when it
// was asked for, and a server that is started over what was restored goes on.
func TestBackup(t *testing.T) {
	t.Parallel()
	s := newOutage(t)
	data := t.TempDir()
	server := tocsintest.Start(t, tocsin(t), data)
	s.tell(server)
	var before, after wire.Page[core.Run]
	if status, body := server.Do(http.MethodGet, "/api/v1/runs", nil, &before); status != http.StatusOK || len(before.Items) == 0 {
		t.Fatalf("runs: %d %s", status, body)
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	got := run(t, "backup", "--data", data, file)
	if want := regexp.MustCompile(`^backed up \S+ to \S+: [1-9]\d+ bytes, examined\nkeep a copy of \S+/secret.key apart from it: without that key the secrets in it cannot be opened\n$`); got.code != 0 || !want.MatchString(got.out) {
		t.Fatalf("backup: %+v, want %s", got, want)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is %v, %v; want that only its owner can read it", info.Mode(), err)
	}
	run(t, "backup", "--data", data, file).wants(t, "a backup over another", 1, "", "tocsin: back up "+data+" to "+file+": "+file+": it is there already and is not overwritten\n")
	run(t, "backup", "--data", t.TempDir(), file+"2").refuses(t, "a backup of nothing", "there is no database in it")

	run(t, "restore", "--data", data, file).refuses(t, "restore while a server runs", "another process has it open: tocsin with process id")
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	run(t, "restore", "--data", data, file).refuses(t, "restore over a database", "tocsin.db: it is there already and is not overwritten; move the tocsin.db* files away, or restore to another directory")
	restored := filepath.Join(t.TempDir(), "restored")
	if got := run(t, "restore", "--data", restored, file); got.code != 0 || !strings.Contains(got.out, "put the key that belongs to it at "+filepath.Join(restored, "secret.key")) {
		t.Fatalf("restore: %+v", got)
	}
	key, err := os.ReadFile(filepath.Join(data, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(restored, "secret.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	again := tocsintest.Start(t, tocsin(t), restored)
	if status, body := again.Do(http.MethodGet, "/api/v1/runs?limit=1000", nil, &after); status != http.StatusOK {
		t.Fatalf("runs: %d %s", status, body)
	}
	found := map[int64]bool{}
	for _, r := range after.Items {
		found[r.ID] = true
	}
	for _, r := range before.Items {
		if !found[r.ID] {
			t.Errorf("run %d is not in the backup", r.ID)
		}
	}
	s.goal.Set(true)
	s.delivered("up")
	if down, up := s.said("down"), s.said("up"); down != 1 || up != 1 {
		t.Errorf("%d firings said down and %d up, want one of each: the episode goes on", down, up)
	}
	refusesCopies(t, file)
}

// refusesCopies proves that what is not whole, or not ours, is not restored.
func refusesCopies(t *testing.T, file string) {
	t.Helper()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(t.TempDir(), "newer.db")
	if err := os.WriteFile(newer, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	execute(t, newer, "PRAGMA user_version = 999")
	other := filepath.Join(t.TempDir(), "other.db")
	execute(t, other, "CREATE TABLE assignments (id)")
	torn := append([]byte(nil), whole...)
	clear(torn[len(torn)/3 : len(torn)/3+4*4096])
	for name, c := range map[string]struct{ file, want string }{
		"cut off":         {write(t, t.TempDir(), "cut.db", string(whole[:len(whole)/2])), "damaged"},
		"torn":            {write(t, t.TempDir(), "torn.db", string(torn)), "damaged"},
		"text":            {write(t, t.TempDir(), "text.db", strings.Repeat("hello ", 1000)), "it is not a database of tocsin, or damaged"},
		"something else":  {other, "it is not a database of tocsin, or damaged"},
		"a later release": {newer, "a newer release of tocsin has written the database: it is of version 999 and this release knows up to "},
		"nothing":         {filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		dir := t.TempDir()
		run(t, "restore", "--data", dir, c.file).refuses(t, "restore "+name, c.want)
		if _, err := os.Stat(filepath.Join(dir, "tocsin.db")); err == nil {
			t.Errorf("restore %s leaves a database", name)
		}
	}
	dir := t.TempDir()
	later, err := os.ReadFile(newer)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "tocsin.db", string(later))
	run(t, "serve", "--listen", "127.0.0.1:0", "--data", dir).refuses(t, "serve a later database", "a newer release of tocsin has written the database")
	run(t, "export", "--data", dir, "-").refuses(t, "export a later database", "a newer release of tocsin has written the database")
}

func execute(t *testing.T, file, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // each statement is committed
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// refuses holds r to an exit code of 1 and an error that says something.
func (r ran) refuses(t *testing.T, what, want string) {
	t.Helper()
	if r.code != 1 || !strings.Contains(r.err, want) {
		t.Errorf("%s: %+v, want exit code 1 and %q", what, r, want)
	}
}

// The commands that operating.md has for a Postgres make a copy of which a
// server goes on.
func TestBackupOfPostgres(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	s := newOutage(t)
	server := tocsintest.Start(t, tocsin(t), t.TempDir(), "--database", f.url, "--node", "n1")
	s.tell(server)
	run(t, "backup", "--database", f.url, "tocsin.dump").refuses(t, "backup of a Postgres", "pg_dump --format=custom --file=tocsin.dump ")
	run(t, "restore", "--database", f.url, "tocsin.dump").refuses(t, "restore of a Postgres", "pg_restore --exit-on-error --no-owner --dbname=")

	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "### Backup of a Postgres")
	script, _, _ := strings.Cut(rest, "\n```\n")
	_, script, fence := strings.Cut(script, "```sh\n")
	if !found || !fence {
		t.Fatal("operating.md has no section with the commands")
	}
	backup, restore, found := strings.Cut(script, "createdb ")
	if !found {
		t.Fatalf("the commands of operating.md make no database:\n%s", script)
	}
	dir := t.TempDir()
	sh := func(script string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-euc", script)
		cmd.Dir = dir
		cmd.Env = append(withoutServer(), "PATH="+f.pg.Bin()+string(os.PathListSeparator)+os.Getenv("PATH"), "PGHOST="+f.pg.Dir(), "PGUSER=tocsin", "TOCSIN_DATABASE="+f.url)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	sh(backup) // while it serves
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	sh("createdb " + restore)
	again := tocsintest.Start(t, tocsin(t), server.Data, "--database", f.pg.URL("restored"), "--node", "n1")
	s.goal.Set(true)
	s.health(again, core.Healthy)
	s.delivered("up")
	if down, up := s.said("down"), s.said("up"); down != 1 || up != 1 {
		t.Errorf("%d firings said down and %d up, want one of each: the episode goes on", down, up)
	}
}
