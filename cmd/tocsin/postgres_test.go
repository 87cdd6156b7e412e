package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
	"github.com/tocsin-io/tocsin/web/wire"
)

// TestPostgres serves on a Postgres, is killed, and finds everything again. It is
// killed once more while it waits for the answer to a webhook, which is sent
// again with the same key. Then the failing check is switched off: that is a
// recovery of which the cause is the edit, and a rule that waited waits no more.
//
// acceptance 5, 7, 28.
func TestPostgres(t *testing.T) {
	t.Parallel()
	pg, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		pgtest.Skip(t, err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := pg.Create("tocsin"); err != nil {
		t.Fatal(err)
	}
	front, side := &tocsintest.Target{}, httptest.NewServer(&tocsintest.Target{})
	target := httptest.NewServer(front)
	t.Cleanup(target.Close)
	t.Cleanup(side.Close)
	server := tocsintest.Start(t, tocsin(t), t.TempDir(), "--database", pg.URL("tocsin"))
	server.Apply(fmt.Sprintf(`apiVersion: tocsin/v1
kind: System
metadata: {name: web}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: front}
spec: {systems: [web], every: 1s, policy: {degraded: 1, unhealthy: 2}, collect: [{use: http, with: {url: %q}}]}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: side}
spec: {systems: [web], every: 1s, collect: [{use: http, with: {url: %q}}]}
`, target.URL, side.URL))
	var before wire.Page[core.Run]
	tocsintest.Until(t, time.Minute, "runs of web", func() bool {
		status, _ := server.Do(http.MethodGet, "/api/v1/runs?system=web", nil, &before)
		return status == http.StatusOK && len(before.Items) >= 2
	})
	server.Kill()
	again := server.Again()
	tocsintest.Until(t, time.Minute, "all runs of before and a new one", func() bool {
		var page wire.Page[core.Run]
		status, _ := again.Do(http.MethodGet, "/api/v1/runs?system=web", nil, &page)
		found := map[int64]bool{}
		for _, run := range page.Items {
			found[run.ID] = true
		}
		for _, run := range before.Items {
			if status == http.StatusOK && !found[run.ID] {
				t.Fatalf("run %d is gone after the restart", run.ID)
			}
		}
		return len(page.Items) > len(before.Items)+1
	})
	killedInDelivery(t, again, front)
	if _, err := os.Stat(filepath.Join(server.Data, "tocsin.db")); err == nil {
		t.Error("there is a SQLite database too")
	}
	for database, want := range map[string]string{
		"mysql://u:geheim@h/d":                       "--database: write postgres://user@host/database",
		"postgres://u:geheim@127.0.0.1:1/d?a=b=c%zz": "cannot parse",
		"postgres://u:geheim@127.0.0.1:1/d":          "connection refused",
	} {
		got := run(t, "serve", "--listen", "127.0.0.1:0", "--data", t.TempDir(), "--database", database)
		if got.code == 0 || !strings.Contains(got.err, want) || strings.Contains(got.err, "geheim") {
			t.Errorf("serve on %s: %+v, want %q and no password", database, got, want)
		}
	}
}

// killedInDelivery kills a server that watches web while a webhook is under way,
// and goes on with the next one.
func killedInDelivery(t *testing.T, server *tocsintest.Server, front *tocsintest.Target) {
	t.Helper()
	hooks, answer := tocsintest.NewReceiver(), make(chan struct{})
	hooks.Answer(func(n int) int {
		if n == 0 {
			<-answer
		}
		return http.StatusNoContent
	})
	receiver := httptest.NewServer(hooks)
	t.Cleanup(receiver.Close)
	server.Apply(fmt.Sprintf(`apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  do: [{webhook: {url: %q, body: {say: down}}}]
  recover: [{webhook: {url: %q, body: {say: "over, by ${cause}"}}}]
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: late}
spec:
  on: health.unhealthy
  gate: {for: 1h}
  do: [{webhook: {url: %q, body: {say: late}}}]
`, receiver.URL, receiver.URL, receiver.URL))
	front.Set(false)
	tocsintest.Until(t, time.Minute, "a webhook tells of the outage", func() bool { return len(hooks.Hooks()) == 1 })
	server.Kill()
	close(answer)
	server = server.Again()
	tocsintest.Until(t, 2*time.Minute, "the webhook comes again", func() bool { return len(hooks.Hooks()) == 2 })
	waiting := func() int {
		t.Helper()
		var states wire.Page[wire.RuleState]
		if status, body := server.Do(http.MethodGet, "/api/v1/rules/late/state", nil, &states); status != http.StatusOK {
			t.Fatalf("where late stands: %d %s", status, body)
		}
		n := 0
		for _, s := range states.Items {
			if s.NextAt != nil {
				n++
			}
		}
		return n
	}
	tocsintest.Until(t, time.Minute, "the rule with a dwell waits", func() bool { return waiting() == 1 })
	server.Apply(`apiVersion: tocsin/v1
kind: Check
metadata: {name: front}
spec: {systems: [web], disabled: true, every: 1s, collect: [{use: http, with: {url: "http://127.0.0.1:1/"}}]}
`)
	tocsintest.Until(t, time.Minute, "a webhook tells of the recovery", func() bool { return len(hooks.Hooks()) == 3 })
	tocsintest.Until(t, time.Minute, "the rule with a dwell waits no more", func() bool { return waiting() == 0 })
	got := hooks.Hooks()
	if got[0].Key != got[1].Key || got[1].Key == got[2].Key || !strings.Contains(got[1].Body, "down") || !strings.Contains(got[2].Body, "over, by config") {
		t.Errorf("got webhooks %+v, want the first one twice with one key, and one of the recovery by the edit", got)
	}
	var firings wire.Page[core.Firing]
	if status, body := server.Do(http.MethodGet, "/api/v1/firings?rule=page", nil, &firings); status != http.StatusOK || len(firings.Items) != 2 {
		t.Errorf("there are firings %+v (%d %s), want one of the outage and one of the recovery", firings.Items, status, body)
	}
}
