package main_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// exported is what is in a file but for its first line, which says when it was
// made.
func exported(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // only read
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	header, rest, _ := strings.Cut(string(text), "\n")
	if !strings.Contains(header, `"tocsin":"export"`) {
		t.Fatalf("%s begins with %s", file, header)
	}
	return rest
}

// outage is a server with something of everything: a check that fails and rules
// that look at it, a module, a secret and history.
type outage struct {
	t      *testing.T
	goal   *tocsintest.Target
	hooks  *tocsintest.Receiver
	target string
	hook   string
}

func newOutage(t *testing.T) *outage {
	t.Helper()
	s := &outage{t: t, goal: &tocsintest.Target{}, hooks: tocsintest.NewReceiver()}
	target, hook := httptest.NewServer(s.goal), httptest.NewServer(s.hooks)
	t.Cleanup(target.Close)
	t.Cleanup(hook.Close)
	s.target, s.hook = target.URL, hook.URL
	return s
}

// tell lets things happen until a firing is delivered whose episode goes on.
func (s *outage) tell(server *tocsintest.Server) {
	s.t.Helper()
	module, err := os.ReadFile(filepath.Join("bench", "c.wasm"))
	if err != nil {
		s.t.Fatal(err)
	}
	if status, body := server.Do(http.MethodPost, "/api/v1/modules", module, nil); status >= 300 {
		s.t.Fatalf("upload: %d %s", status, body)
	}
	if status, body := server.Do(http.MethodPut, "/api/v1/secrets/key", map[string]string{"value": "geheim-1234"}, nil); status >= 300 {
		s.t.Fatalf("secret: %d %s", status, body)
	}
	server.Apply(fmt.Sprintf(`apiVersion: tocsin/v1
kind: System
metadata: {name: web}
spec: {groups: [shop]}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: front}
spec:
  systems: [web]
  every: 1s
  policy: {degraded: 1, unhealthy: 2, healthy: 2}
  collect: [{use: http, with: {url: %q, headers: {x-key: {secret: key}}}}]
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  do: [{webhook: {url: %q, body: {is: down}}}]
  recover: [{webhook: {url: %q, body: {is: up}}}]
`, s.target, s.hook, s.hook))
	s.health(server, core.Healthy)
	s.goal.Set(false)
	s.health(server, core.Unhealthy)
	s.delivered("down")
}

func (s *outage) health(server *tocsintest.Server, want core.Health) {
	s.t.Helper()
	tocsintest.Until(s.t, time.Minute, "web is "+want.String(), func() bool {
		var fleet wire.Fleet
		status, _ := server.Do(http.MethodGet, "/api/v1/fleet", nil, &fleet)
		return status == http.StatusOK && fleet.Health == strconv.Itoa(int(want))
	})
}

// delivered waits for the one webhook that says so.
func (s *outage) delivered(is string) {
	s.t.Helper()
	tocsintest.Until(s.t, time.Minute, "a webhook says "+is, func() bool { return s.said(is) > 0 })
}

// said counts the firings whose webhook said so.
func (s *outage) said(is string) int {
	keys := map[string]bool{}
	for _, h := range s.hooks.Hooks() {
		if strings.Contains(h.Body, `"`+is+`"`) {
			keys[h.Key] = true
		}
	}
	return len(keys)
}

// A server goes on where another one, over a database of the other kind, has
// stopped: the file between the two holds everything, and moving back and forth
// changes nothing.
//
// acceptance 5.
func TestExport(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	s := newOutage(t)
	lite := t.TempDir()
	server := tocsintest.Start(t, tocsin(t), lite)
	s.tell(server)

	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	// Of a server that serves, as it is at an instant.
	got := run(t, "export", "--data", lite, file("served"))
	if got.code != 0 || !regexp.MustCompile(`^exported [1-9]\d* rows of \S+\n$`).MatchString(got.err) {
		t.Fatalf("export of a server that serves: %+v", got)
	}
	run(t, "export", "--data", lite, file("served")).wants(t, "export over a file", 1, "", "tocsin: "+file("served")+": it is there already and is not overwritten\n")
	if got := run(t, "migrate", lite, f.url); got.code != 1 || !strings.Contains(got.err, "another process has it open") {
		t.Errorf("migrate from a server that serves: %+v, want that it is refused", got)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}

	// To Postgres and back, by file and without.
	first := run(t, "export", "--data", lite, file("first"))
	if first.code != 0 {
		t.Fatalf("export: %+v", first)
	}
	want := exported(t, file("first"))
	if got := run(t, "import", "--database", f.url, file("first")); got.code != 0 || !strings.Contains(got.out, "and compared them\nput the secret.key") {
		t.Fatalf("import: %+v", got)
	}
	if got := run(t, "import", "--database", f.url, file("first")); got.code != 1 || !strings.Contains(got.err, "the database is not empty: systems has 1 rows; name a new one") {
		t.Errorf("import again: %+v", got)
	}
	if got := (command{args: []string{"export", file("second")}, env: []string{"TOCSIN_DATABASE=" + f.url}}).run(t); got.code != 0 {
		t.Fatalf("export: %+v", got)
	}
	if exported(t, file("second")) != want {
		t.Error("what comes out of Postgres is not what went in")
	}
	back := file("back")
	if got := run(t, "migrate", f.url, back); got.code != 0 || !strings.Contains(got.out, "put the secret.key of the old server into "+back) {
		t.Fatalf("migrate: %+v", got)
	}
	if got := run(t, "export", "--data", back, file("third")); got.code != 0 || exported(t, file("third")) != want {
		t.Errorf("what comes back from Postgres is not what went there: %+v", got)
	}

	// The server over Postgres goes on from there, and so does one that was
	// moved from it to SQLite again.
	key, err := os.ReadFile(filepath.Join(lite, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	var before, after wire.Page[core.Transition]
	moved := s.goOn(f.url, key, &before)
	if got := run(t, "migrate", f.url, file("again")); got.code != 1 || !strings.Contains(got.err, "nodes use the database: ") {
		t.Errorf("migrate from a database that is in use: %+v", got)
	}
	if err := moved.Stop(); err != nil {
		t.Fatal(err)
	}
	if n := s.said("down"); n != 1 {
		t.Errorf("%d firings said that it is down, want the one of before", n)
	}
	s.goal.Set(true)
	last := file("last")
	if got := run(t, "migrate", f.url, last); got.code != 0 {
		t.Fatalf("migrate: %+v", got)
	}
	if err := os.WriteFile(filepath.Join(last, "secret.key"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	again := tocsintest.Start(t, tocsin(t), last)
	s.health(again, core.Healthy)
	s.delivered("up")
	if down, up := s.said("down"), s.said("up"); down != 1 || up != 1 {
		t.Errorf("%d firings said down and %d up, want one of each: the episode goes on", down, up)
	}
	if status, body := again.Do(http.MethodGet, "/api/v1/transitions?limit=1000", nil, &after); status != http.StatusOK {
		t.Fatalf("transitions: %d %s", status, body)
	}
	for i := range after.Items { // newest first
		if want := int64(len(after.Items) - i); after.Items[i].Seq != want {
			t.Fatalf("transition %d has the seq %d, want %d", i, after.Items[i].Seq, want)
		}
	}
	if len(after.Items) <= len(before.Items) {
		t.Errorf("%d transitions, and %d before it was moved", len(after.Items), len(before.Items))
	}
}

// goOn serves from a Postgres that was filled: what was down stays down, runs go
// on, and nobody is told again.
func (s *outage) goOn(url string, key []byte, log *wire.Page[core.Transition]) *tocsintest.Server {
	s.t.Helper()
	data := s.t.TempDir()
	keyFile := filepath.Join(s.t.TempDir(), "key")
	if err := os.WriteFile(keyFile, key, 0o600); err != nil {
		s.t.Fatal(err)
	}
	server := tocsintest.Start(s.t, tocsin(s.t), data, "--database", url, "--node", "moved", "--secret-key", keyFile)
	var first, page wire.Page[core.Run]
	if status, body := server.Do(http.MethodGet, "/api/v1/runs?system=web", nil, &first); status != http.StatusOK || len(first.Items) == 0 {
		s.t.Fatalf("runs: %d %s", status, body)
	}
	tocsintest.Until(s.t, time.Minute, "three runs after those that were moved", func() bool {
		server.Do(http.MethodGet, "/api/v1/runs?system=web", nil, &page)
		return len(page.Items) > 0 && page.Items[0].ID >= first.Items[0].ID+3
	})
	s.health(server, core.Unhealthy)
	if status, body := server.Do(http.MethodGet, "/api/v1/transitions?limit=1000", nil, log); status != http.StatusOK {
		s.t.Fatalf("transitions: %d %s", status, body)
	}
	var modules wire.Page[wire.ModuleItem]
	if status, _ := server.Do(http.MethodGet, "/api/v1/modules", nil, &modules); status != http.StatusOK || len(modules.Items) != 1 || modules.Items[0].Name != "bench-c" {
		s.t.Errorf("modules: %d %+v", status, modules.Items)
	}
	if _, err := os.Stat(filepath.Join(data, "secret.key")); err == nil {
		s.t.Error("there is a key in the data directory although another one was named")
	}
	return server
}
