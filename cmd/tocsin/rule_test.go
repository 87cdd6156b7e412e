package main_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
)

// TestRuleExplain asks a server why a rule is silent, before it could fire and
// while its system is down.
func TestRuleExplain(t *testing.T) {
	t.Parallel()
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	server.Apply(`apiVersion: tocsin/v1
kind: System
metadata: {name: web}
spec: {tags: {env: test}}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: port}
spec:
  systems: [web]
  every: 1s
  collect: [{use: tcp, with: {address: "127.0.0.1:1"}}]
  policy: {degraded: 1, unhealthy: 1}
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  when: system.tags.env == "prod"
  do: [{log: {message: "${system.name}"}}]
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: later}
spec:
  on: health.unhealthy
  gate: {for: 1h}
  do: [{log: {message: "${system.name}"}}]
`)
	ask := func(args ...string) ran {
		t.Helper()
		return run(t, append([]string{"rule", "explain", "--data", server.Data}, args...)...)
	}
	ask("page").wants(t, "a rule that waits for nothing", 0, "page waits for nothing\n", "")
	var got ran
	tocsintest.Until(t, 30*time.Second, "the rules have seen the outage", func() bool {
		got = ask("later", "--system", "web")
		return strings.Contains(got.out, "must hold until")
	})
	for _, want := range []string{"It does not fire for web: dwell: must hold for 1h, ", "\nnext     ", "health   unhealthy since ", "✗ dwell: must hold for 1h", "before:\n", "hold at dwell"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("explain a dwell: lacks %q:\n%s", want, got.out)
		}
	}
	got = ask("page", "--system", "web")
	for _, want := range []string{`It does not fire for web: when: when is false: system.tags.env is "test"`, "✓ trigger: health.unhealthy of system", `system.tags.env  = "test"`} {
		if !strings.Contains(got.out, want) {
			t.Errorf("explain a condition: lacks %q:\n%s", want, got.out)
		}
	}
	if got := ask("later"); got.code != 0 || !strings.Contains(got.out, "PARTITION  STATE") || !strings.Contains(got.out, "web        waiting") {
		t.Errorf("what a rule waits for: %+v", got)
	}
	dir := t.TempDir()
	write(t, dir, "page.yaml", `apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  do: [{log: {message: "${system.name}"}}]
`)
	play := func(args ...string) ran {
		t.Helper()
		return command{args: append([]string{"rule", "backtest", "--data", server.Data}, args...), dir: dir}.run(t)
	}
	got = play("-f", "page.yaml", "--since", "1h")
	for _, want := range []string{"page would have fired once from ", "as it is saved: never\n0 the same, 0 at another time, 1 more, 0 fewer\n+", "fire  web  web is unhealthy", "note: Tags, names and groups"} { //nolint:dupword // columns
		if !strings.Contains(got.out, want) {
			t.Errorf("backtest an edit: lacks %q:\n%s%s", want, got.out, got.err)
		}
	}
	if got = play("page"); got.code != 0 || !strings.Contains(got.out, "page would have fired never") || !strings.Contains(got.out, "drop at when") {
		t.Errorf("backtest a saved rule: %+v", got)
	}
	write(t, dir, "page.yaml", "apiVersion: tocsin/v1\nkind: Rule\nmetadata: {name: page}\nspec:\n  on: health.unhealthy\n  when: too == 1\n  do: []\n")
	if got = play("-f", "page.yaml"); got.code != 1 || !strings.HasPrefix(got.err, "page.yaml:6:9: spec.when: ") {
		t.Errorf("backtest a rule that does not compile: %+v", got)
	}
	play().wants(t, "nothing to play", 2, "", "tocsin: backtest: name a rule that is saved, or a file with -f\nRun 'tocsin --help' for usage.\n")
	ask("later", "--system", "none").wants(t, "a system that is not there", 1, "", "tocsin: system \"none\": read system none: not found\n")
	ask("later", "--check", "port").wants(t, "a check alone", 2, "", "tocsin: explain: name --system, --system and --check, or --group\nRun 'tocsin --help' for usage.\n")
}
