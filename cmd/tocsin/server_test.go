package main_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/cookiejar"
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

// catalog is what TestCatalog applies; nothing in it answers.
const catalog = `# Everything in one file.
apiVersion: tocsin/v1
kind: System
metadata: {name: web-01, title: Shop front}
spec:
  tags: {env: prod, tier: "1"}
  groups: [shop]
---
apiVersion: tocsin/v1
kind: System
metadata: {name: db-01}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: port, title: Port is open}
spec:
  systems: [db-01, web-01]
  every: 1h
  collect:
    - use: tcp
      with: {address: "127.0.0.1:1"}
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page, title: Page on an outage}
spec:
  on: health.changed
  when: to == "unhealthy"
  do:
    - log: {message: "${system.name} is ${to}"}
---
apiVersion: tocsin/v1
kind: Maintenance
metadata: {name: kernel}
spec:
  systems: [web-01]
  starts: 2026-12-01T22:00:00Z
  ends: 2026-12-01T23:30:00Z
---
apiVersion: tocsin/v1
kind: Silence
metadata: {name: noisy}
spec:
  systems: {match: 'system.tags.env == "test"'}
  starts: 2026-12-01T22:00:00Z
  ends: 2026-12-01T23:30:00Z
`

// TestCatalog takes manifests through a server and back with the commands that
// people use.
func TestCatalog(t *testing.T) {
	t.Parallel()
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	dir := t.TempDir()
	write(t, dir, "all.yaml", catalog)
	at := func(args ...string) ran {
		t.Helper()
		return command{args: append(args, "--data", server.Data), dir: dir}.run(t)
	}
	names := []string{"system/web-01", "system/db-01", "check/port", "rule/page", "maintenance/kernel", "silence/noisy"}
	at("apply", "-f", "all.yaml").wants(t, "apply", 0, strings.Join(names, " created\n")+" created\n", "")
	at("apply", "-f", "all.yaml").wants(t, "apply again", 0, strings.Join(names, " unchanged\n")+" unchanged\n", "")
	write(t, dir, "change.yaml", "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: db-01, title: Orders}\n")
	at("apply", "-f", "change.yaml").wants(t, "apply a change", 0, "system/db-01 updated\n", "")

	at("get", "systems").wants(t, "systems", 0, "ID      NAME        TAGS             GROUPS\ndb-01   Orders                       \nweb-01  Shop front  env=prod,tier=1  shop\n", "")
	at("get", "checks").wants(t, "checks", 0, "ID    NAME          SCHEDULE  COLLECTS  SYSTEMS\nport  Port is open  every 1h  tcp       db-01,web-01\n", "")
	at("get", "rules").wants(t, "rules", 0, "ID    NAME               ON              ENABLED\npage  Page on an outage  health.changed  true\n", "")
	if got := at("get", "maintenances"); got.code != 0 || !strings.HasPrefix(got.out, "ID      NAME  STARTS") || !strings.Contains(got.out, "\nkernel  ") {
		t.Errorf("maintenances: %+v", got)
	}
	if got := at("get", "silence", "noisy"); got.code != 0 || !strings.Contains(got.out, "\nnoisy  ") {
		t.Errorf("one silence: %+v", got)
	}
	at("get", "system", "web-01", "-o", "yaml").wants(t, "one system as YAML", 0, `apiVersion: tocsin/v1
kind: System
metadata:
  name: web-01
  title: Shop front
spec:
  tags:
    env: prod
    tier: "1"
  groups:
    - shop
`, "")
	var systems []core.System
	if got := at("get", "systems", "-o", "json"); got.code != 0 || json.Unmarshal([]byte(got.out), &systems) != nil || len(systems) != 2 || systems[1].Tags["tier"] != "1" {
		t.Errorf("systems as JSON: %+v", got)
	}
	// What get writes, apply takes as it is.
	for _, kind := range []string{"systems", "checks", "rules", "maintenances", "silences"} {
		got := command{args: []string{"apply", "-f", "-", "--data", server.Data}, in: at("get", kind, "-o", "yaml").out}.run(t)
		if got.code != 0 || got.out == "" || strings.Count(got.out, " unchanged\n") != strings.Count(got.out, "\n") {
			t.Errorf("apply what get wrote of %s: %+v", kind, got)
		}
	}
	at("get", "system", "none").wants(t, "a system that is not there", 1, "", "tocsin: system \"none\": read system none: not found\n")
	at("delete", "rule", "page").wants(t, "delete", 0, "rule/page deleted\n", "")
	at("delete", "rule", "page").wants(t, "delete again", 1, "", "tocsin: rule \"page\": read rule page: not found\n")
	at("get", "rules").wants(t, "no rules", 0, "there are no rules\n", "")
	at("get", "systems", "--server", server.URL, "--token", "WRONG").wants(t, "a wrong token", 1, "", "tocsin: the server does not know this token: "+
		"nobody is signed in; open the link that the server printed when it started, or one from 'tocsin login-link'\n")
	if got := at("get", "systems", "--server", server.URL, "--token", server.Token()); got.code != 0 {
		t.Errorf("with an address and a token: %+v", got)
	}
}

// TestServerMistakes applies manifests whose mistakes only a server can see:
// they are told of where the author wrote them.
//
// acceptance 36.
func TestServerMistakes(t *testing.T) {
	t.Parallel()
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	server.Apply(catalog)
	dir := t.TempDir()
	write(t, dir, "first.yaml", "# One.\n\n---\napiVersion: tocsin/v1\nkind: System\nmetadata: {name: web-02}\n")
	write(t, dir, "second.yaml", `# Two.

apiVersion: tocsin/v1
kind: System
metadata: {name: web-03}
spec: {tags: {env: test}}
---
# The systems are on the server only.
apiVersion: tocsin/v1
kind: Check
metadata:
  name: second
spec:
  every: 30s
  systems:
    - web-01
  collect:
    # In a module that nobody uploaded.
    - id: queue
      use: wasm:nobody
`)
	write(t, dir, "third.yaml", `apiVersion: tocsin/v1
kind: System
metadata: {name: db-01}
spec: {depends_on: [db-02]}
---
kind: System
apiVersion: tocsin/v1
metadata: {name: db-02}
spec:
  depends_on:
    - db-01
`)
	at := func(args ...string) ran {
		t.Helper()
		return command{args: append(args, "--data", server.Data), dir: dir}.run(t)
	}
	at("apply", "-f", "first.yaml", "-f", "second.yaml").wants(t, "a module that is not there", 1, "",
		`second.yaml:20:12: spec.collect[0].use: no module named "nobody" is uploaded; upload it on the Collectors page`+"\n")
	if got := at("apply", "-f", "third.yaml"); got.code != 1 || !regexp.MustCompile(
		`^third\.yaml:(4:21: spec\.depends_on\[0\]|11:7: spec\.depends_on\[0\]): systems depend on each other in a circle: .*; remove one of the dependencies\n$`).MatchString(got.err) {
		t.Errorf("a circle: %+v", got)
	}
	write(t, dir, "gone.yaml", strings.Replace(catalog, "[db-01, web-01]", "[db-01, web-09]", 1))
	at("apply", "-f", "gone.yaml").wants(t, "a system that is not there", 1, "",
		`gone.yaml:17:20: spec.systems[1]: there is no system "web-09"; did you mean "web-01"?`+"\n")
	if got := at("get", "systems"); strings.Contains(got.out, "web-02") || strings.Contains(got.out, "web-03") {
		t.Errorf("something was stored although there were mistakes:\n%s", got.out)
	}
}

// TestSecret sets a secret, uses it in a header of a check whose target sends
// it back, and looks for its value everywhere.
//
// acceptance 37.
func TestSecret(t *testing.T) {
	t.Parallel()
	const value = "hunter2-hunter2-hunter2"
	seen := make(chan string, 100)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case seen <- r.Header.Get("Authorization"):
		default:
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		fmt.Fprintf(w, `{"you_sent": %q}`, r.Header.Get("Authorization"))
	}))
	t.Cleanup(target.Close)
	server := tocsintest.Start(t, tocsin(t), t.TempDir(), "--log-level", "debug")
	at := func(in string, args ...string) ran {
		t.Helper()
		return command{args: append(args, "--data", server.Data), in: in}.run(t)
	}
	at(value+"\n", "secret", "set", "token").wants(t, "set", 0, "secret token set\n", "")
	at("other-value", "secret", "set", "spare").wants(t, "set another", 0, "secret spare set\n", "")
	at("", "secret", "list").wants(t, "list", 0, "spare\ntoken\n", "")
	at("", "secret", "delete", "spare").wants(t, "delete", 0, "secret spare deleted\n", "")
	at("", "secret", "list").wants(t, "list after delete", 0, "token\n", "")
	if got := at("", "secret", "delete", "spare"); got.code != 1 || got.out != "" {
		t.Errorf("delete again: %+v", got)
	}
	if got := at("x", "secret", "set", "a b"); got.code != 1 || !strings.Contains(got.err, `the name "a b" may hold letters, digits`) {
		t.Errorf("set under a bad name: %+v", got)
	}
	if got := at("", "secret", "set", "empty"); got.code != 1 {
		t.Errorf("set nothing: %+v", got)
	}

	server.Apply(fmt.Sprintf(`apiVersion: tocsin/v1
kind: System
metadata: {name: web}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: echo}
spec:
  systems: [web]
  every: 1s
  collect:
    - use: http
      with: {url: %q, headers: {Authorization: {secret: token}}}
      assert: ['json.you_sent == "somebody else"', 'headers["x-echo"] == "nobody"', 'body contains "nothing"']
  policy: {degraded: 1, unhealthy: 1}
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: tell}
spec:
  on: health.changed
  do:
    - log: {message: "${why}", level: warn}
`, target.URL))
	tocsintest.Until(t, 20*time.Second, "the target is asked", func() bool { return len(seen) > 1 })
	if got := <-seen; got != value {
		t.Fatalf("the target got %q, want the value", got)
	}
	var firings string
	tocsintest.Until(t, 20*time.Second, "the rule fires", func() bool {
		_, firings = server.Do(http.MethodGet, "/api/v1/firings", nil, nil)
		return strings.Contains(firings, `"done"`)
	})
	masked := false
	for _, path := range []string{"/api/v1/runs?details=true", "/api/v1/runs", "/api/v1/transitions", "/api/v1/systems/web/detail", "/api/v1/rules/tell/decisions", "/api/v1/firings", "/api/v1/checks/echo", "/api/v1/secrets", "/metrics"} {
		status, body := server.Do(http.MethodGet, path, nil, nil)
		if status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
		if strings.Contains(body, value) {
			t.Errorf("GET %s shows the value: %s", path, body)
		}
		masked = masked || strings.Contains(path, "runs") && strings.Contains(body, "••••••")
	}
	if !masked {
		t.Error("no run shows that something was masked, although the target sends the value back")
	}
	if err := server.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if strings.Contains(server.Output(), value) {
		t.Error("the log shows the value")
	}
	err := filepath.WalkDir(server.Data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), value) {
			t.Errorf("%s holds the value", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLoginLink signs in with the link that the server printed, and with one
// that a command made; each works once.
func TestLoginLink(t *testing.T) {
	t.Parallel()
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	made := run(t, "login-link", "--data", server.Data)
	if made.code != 0 || !regexp.MustCompile(`^http://127\.0\.0\.1:\d+/login\?link=[A-Z2-7]+\n$`).MatchString(made.out) {
		t.Fatalf("login-link: %+v", made)
	}
	for what, link := range map[string]string{"printed": server.Link, "made": strings.TrimSpace(made.out)} {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		person := &http.Client{Jar: jar, Timeout: time.Minute}
		if status := ask(t, person, link); status != http.StatusOK {
			t.Errorf("the %s link: %d, want that it leads to the interface", what, status)
		}
		if status := ask(t, person, server.URL+"/api/v1/systems"); status != http.StatusOK {
			t.Errorf("the API after the %s link: %d", what, status)
		}
		stranger := &http.Client{Timeout: time.Minute}
		if status := ask(t, stranger, link); status != http.StatusForbidden {
			t.Errorf("the %s link a second time: %d, want that it is refused", what, status)
		}
		if status := ask(t, stranger, server.URL+"/api/v1/systems"); status != http.StatusUnauthorized {
			t.Errorf("the API for a stranger: %d", status)
		}
	}
}

func ask(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// TestModulePush uploads a module, and files that must not be stored.
//
// acceptance 38.
func TestModulePush(t *testing.T) {
	t.Parallel()
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	at := func(args ...string) ran {
		t.Helper()
		return command{args: append(args, "--data", server.Data)}.run(t)
	}
	const heading = "NAME         VERSION  ACTIVE  CHECKS  SYSTEMS\n"
	at("module", "list").wants(t, "list of none", 0, strings.ReplaceAll(heading, "       ", ""), "")
	path, _ := queueDepth(t)
	at("module", "push", path).wants(t, "push", 0, `queue-depth 1.0.0 wants to reach (nothing is granted yet):
  + http http://*:*
      It may reach every host on the internet and send it whatever it reads. The connection is not encrypted: others on the way can read and change it. On every port.
  + http https://*:*
      It may reach every host on the internet and send it whatever it reads. On every port.
  + private yes
      The hosts that it names may turn out to be loopback or private addresses (127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7): services that only the inner network can reach.
`+"queue-depth 1.0.0 uploaded; review what it wants and activate it on the Collectors page: "+server.URL+"/collectors/queue-depth\n", "")
	const listed = heading + "queue-depth  1.0.0    false   0       0\n"
	at("module", "list").wants(t, "list", 0, listed, "")

	grant := map[string]any{"grant": map[string]any{"http": []string{"http://127.0.0.1:*"}, "private": true}}
	if status, body := server.Do(http.MethodPost, "/api/v1/modules/queue-depth/versions/1.0.0/activate", grant, nil); status != http.StatusOK {
		t.Fatalf("activate: %d %s", status, body)
	}
	at("module", "push", path).wants(t, "push again", 0, "queue-depth 1.0.0 is active already\n", "")

	// The samples that it declares are the names that assertions know.
	if status, body := server.Do(http.MethodPut, "/api/v1/systems/mq", map[string]any{"id": "mq"}, nil); status != http.StatusOK {
		t.Fatalf("put a system: %d %s", status, body)
	}
	for assert, want := range map[string]string{"dept < 5": `did you mean \"depth\"?`, `depth < "5"`: "a number and text", "depth < 5": ""} {
		check := map[string]any{
			"id": "depth", "systems": map[string]any{"names": []string{"mq"}}, "every": "1m",
			"collect": []any{map[string]any{"use": "wasm:queue-depth", "with": map[string]any{"url": "http://127.0.0.1:1/"}, "assert": []string{assert}}},
		}
		status, body := server.Do(http.MethodPut, "/api/v1/checks/depth", check, nil)
		if (status == http.StatusOK) != (want == "") || !strings.Contains(body, want) || want != "" && !strings.Contains(body, "collect[0].assert[0]") {
			t.Errorf("a check that asserts %s: %d %s, want %s", assert, status, body, want)
		}
	}
	if status, body := server.Do(http.MethodDelete, "/api/v1/checks/depth", nil, nil); status != http.StatusNoContent {
		t.Fatalf("delete the check: %d %s", status, body)
	}

	for name, want := range map[string]string{
		"no_marker":  "it does not export tocsin_abi_v1, the mark of a module for Tocsin",
		"bad_import": "it imports env.system, which is not offered",
		"start_loop": "it computed longer than its limit of 2000000000 instructions allows",
		"data_bomb":  "it failed to describe itself: it accessed memory that it does not have",
	} {
		if got := at("module", "push", hostile(t, name)); got.code != 1 || got.out != "" || !strings.Contains(got.err, want) {
			t.Errorf("push %s: %+v, want that it is refused: %s", name, got, want)
		}
	}
	if status, body := server.Do(http.MethodPost, "/api/v1/modules", []byte("not a module"), nil); status != http.StatusUnprocessableEntity {
		t.Errorf("upload text: %d %s", status, body)
	}
	at("module", "list").wants(t, "list after what was refused", 0, strings.Replace(listed, "false ", "true  ", 1), "")
}

// TestOversize sends more than is read.
func TestOversize(t *testing.T) {
	t.Parallel()
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	for _, tt := range []struct {
		method, path string
		body         any
	}{
		{http.MethodPost, "/api/v1/apply", "#" + strings.Repeat(" ", 4<<20)},
		{http.MethodPost, "/api/v1/modules", append([]byte("\x00asm\x01\x00\x00\x00"), make([]byte, 20<<20)...)},
		{http.MethodPut, "/api/v1/systems/web", map[string]any{"id": "web", "name": strings.Repeat("x", 1<<20)}},
	} {
		status, body := server.Do(tt.method, tt.path, tt.body, nil)
		if status != http.StatusRequestEntityTooLarge || !strings.Contains(body, `"status":413`) {
			t.Errorf("%s %s: %d %.300s, want 413", tt.method, tt.path, status, body)
		}
	}
	if status, body := server.Do(http.MethodGet, "/api/v1/systems", nil, nil); status != http.StatusOK || strings.Contains(body, "xxx") {
		t.Errorf("systems afterwards: %d %.300s", status, body)
	}
}

// TestDataDirectory starts a second server on the same data, and looks at who
// may read it.
func TestDataDirectory(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	server := tocsintest.Start(t, tocsin(t), data)
	for name, most := range map[string]fs.FileMode{"": 0o700, "endpoint.json": 0o600, "secret.key": 0o600} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != most {
			t.Errorf("%s of the data directory has the mode %v, want %v", name, mode, most)
		}
	}
	before, err := os.ReadFile(filepath.Join(data, "endpoint.json"))
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, "serve", "--listen", "127.0.0.1:0", "--data", data)
	if want := regexp.MustCompile(`^tocsin: open data directory \S+: another process has it open: tocsin with process id \d+; stop it, or give this one a directory of its own\n$`); got.code != 1 || got.out != "" || !want.MatchString(got.err) {
		t.Errorf("a second server: %+v, want that it is refused: %s", got, want)
	}
	after, err := os.ReadFile(filepath.Join(data, "endpoint.json"))
	if err != nil || string(after) != string(before) {
		t.Errorf("the second server changed the endpoint: %v, %s, was %s", err, after, before)
	}
	if status, _ := server.Do(http.MethodGet, "/readyz", nil, nil); status != http.StatusOK {
		t.Errorf("the first server afterwards: %d", status)
	}
	run(t, "serve", "--listen", strings.TrimPrefix(server.URL, "http://"), "--data", t.TempDir()).wants(t, "an address in use", 1, "",
		fmt.Sprintf("tocsin: listen on %[1]s: listen tcp %[1]s: bind: address already in use\n", strings.TrimPrefix(server.URL, "http://")))
}

// TestRunNowAfterSave proves that what was saved a moment ago can be run.
func TestRunNowAfterSave(t *testing.T) {
	t.Parallel()
	target := httptest.NewServer(&tocsintest.Target{})
	t.Cleanup(target.Close)
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	for i := range 20 {
		id := fmt.Sprintf("new-%d", i)
		server.Apply(fmt.Sprintf("apiVersion: tocsin/v1\nkind: System\nmetadata: {name: %[1]s}\n---\napiVersion: tocsin/v1\nkind: Check\nmetadata: {name: %[1]s}\n"+
			"spec: {systems: [%[1]s], every: 1h, collect: [{use: http, with: {url: %[2]q}}]}\n", id, target.URL))
		if status, body := server.Do(http.MethodPost, "/api/v1/assignments/"+id+":"+id+"/run", nil, nil); status != http.StatusOK {
			t.Errorf("run %s at once: %d %s", id, status, body)
		}
	}
}

// TestSignal ends a server with SIGTERM while a run and a browser are under
// way: it ends well, soon, and takes its data up again.
func TestSignal(t *testing.T) {
	t.Parallel()
	asked, release := make(chan struct{}, 100), make(chan struct{})
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-release
	}))
	t.Cleanup(target.Close)
	t.Cleanup(func() { close(release) })
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	server.Apply(fmt.Sprintf(`apiVersion: tocsin/v1
kind: System
metadata: {name: slow}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: slow}
spec:
  systems: [slow]
  every: 1m
  timeout: 1m
  collect: [{use: http, with: {url: %q}}]
`, target.URL))
	now, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/api/v1/assignments/slow:slow/run", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	now.Header.Set("Authorization", "Bearer "+server.Token())
	go func() {
		if resp, err := http.DefaultClient.Do(now); err == nil { // it waits for the run
			_ = resp.Body.Close()
		}
	}()
	select {
	case <-asked:
	case <-time.After(20 * time.Second):
		t.Fatal("the target is not asked")
	}
	idle, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = idle.Close() })
	begin := time.Now()
	if err := server.Stop(); err != nil { // a second signal would end it at once
		t.Errorf("the server ended with %v\n%s", err, server.Output())
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("it took %v to end", took)
	} else {
		t.Logf("it took %v to end with a run under way", took)
	}
	again := tocsintest.Start(t, tocsin(t), server.Data)
	var page wire.Page[wire.Stored[core.Check]]
	if status, _ := again.Do(http.MethodGet, "/api/v1/checks", nil, &page); status != http.StatusOK || len(page.Items) != 1 {
		t.Errorf("checks after the restart: %d, %s", status, strconv.Itoa(len(page.Items)))
	}
}
