package main_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
)

// TestSilence silences a rule before an outage, asks why it is quiet, and ends
// the silence: what was held back is told then.
func TestSilence(t *testing.T) {
	t.Parallel()
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	server.Apply(`apiVersion: tocsin/v1
kind: System
metadata: {name: web}
spec: {tags: {env: prod}}
---
apiVersion: tocsin/v1
kind: System
metadata: {name: lab}
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  unless: silenced
  do: [{log: {message: "${system.name}"}}]
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: mail}
spec:
  on: health.unhealthy
  do: [{log: {message: "${system.name}"}}]
`)
	silence := func(args ...string) ran {
		t.Helper()
		return run(t, append([]string{"silence"}, append(args, "--data", server.Data)...)...)
	}
	silence("list").wants(t, "no silences", 0, "ID  STATE  ENDS  BY  MATCHES  COMMENT\n", "")
	silence("add", "--system", "web", "--for", "1h").wants(t, "no comment", 2, "", "tocsin: silence add: say why with --comment\nRun 'tocsin --help' for usage.\n")
	silence("add", "--comment", "x", "--for", "1h").wants(t, "nothing", 2, "", "tocsin: silence add: name what to silence: an expression, --system, --tag, --group, --check or --rule\nRun 'tocsin --help' for usage.\n")
	silence("add", "system.tags.env = 1", "--comment", "x", "--for", "1h").wants(t, "a mistake", 1, "", "1:17: match: \"=\" is not expected here; write == to compare\nsystem.tags.env = 1\n                ^\n")
	silence("add", `rule.id != "mail"`, "--tag", "env=prod", "--for", "1h", "--comment", "x", "--dry-run").wants(t, "a preview", 0, "matches     1 of 2 systems: web\nholds back  page\n", "")
	got := silence("add", `system.tags.env == "prod"`, "--id", "deploy", "--for", "1h", "--comment", "new kernel")
	if want := "matches     1 of 2 systems: web\nholds back  page\ngoes on     mail: write"; got.code != 0 || !strings.HasPrefix(got.out, "deploy until 20") || !strings.Contains(got.out, want) {
		t.Fatalf("add: %+v, want %s", got, want)
	}
	if got := silence("list"); got.code != 0 || !strings.Contains(got.out, "deploy  on") || !strings.Contains(got.out, `system.tags.env == "prod"`) || !strings.Contains(got.out, "new kernel") {
		t.Errorf("list: %+v", got)
	}
	server.Apply(`apiVersion: tocsin/v1
kind: Check
metadata: {name: port}
spec:
  systems: [web]
  every: 1s
  collect: [{use: tcp, with: {address: "127.0.0.1:1"}}]
  policy: {degraded: 1, unhealthy: 1}
`)
	explain := func(want string) {
		t.Helper()
		tocsintest.Until(t, 30*time.Second, "page: "+want, func() bool {
			return strings.Contains(run(t, "rule", "explain", "page", "--system", "web", "--data", server.Data).out, want)
		})
	}
	explain("unless: held back: unless is true (silence deploy until 20")
	explain("UTC: new kernel)")
	if got := silence("expire", "deploy"); got.code != 0 || !strings.HasPrefix(got.out, "deploy ended 20") {
		t.Errorf("expire: %+v", got)
	}
	explain("It fired for web at ")
	episode := func(args ...string) ran {
		t.Helper()
		return run(t, append([]string{"episode"}, append(args, "--data", server.Data)...)...)
	}
	var id string
	for line := range strings.Lines(episode("list").out) {
		if strings.HasPrefix(line, "page~") {
			id, _, _ = strings.Cut(line, " ")
		}
	}
	if id == "" {
		t.Fatalf("no episode of page is listed: %+v", episode("list"))
	}
	episode("ack", id, "--comment", "on it").wants(t, "acknowledge", 0, id+" acknowledged by local: on it\n", "")
	explain("acknowledged by local: on it")
	if got := episode("list"); !strings.Contains(got.out, "by local: on it") {
		t.Errorf("the list does not say who takes care: %+v", got)
	}
	episode("unack", id).wants(t, "take it back", 0, id+" is not acknowledged any more\n", "")
	episode("unack", id).wants(t, "take it back twice", 1, "", "tocsin: acknowledgement of \""+id+"\": read acknowledgement "+id+": not found\n")
	episode("ack", "none").wants(t, "one that is not open", 1, "", "tocsin: no episode \"none\" is open: it has closed, or never fired\n")
	silence("list").wants(t, "it has ended", 0, "ID  STATE  ENDS  BY  MATCHES  COMMENT\n", "")
	if got := silence("list", "--all"); !strings.Contains(got.out, "deploy  ended") {
		t.Errorf("list --all: %+v", got)
	}
	silence("expire", "none").wants(t, "one that is not there", 1, "", "tocsin: silence \"none\": read silence none: not found\n")
}
