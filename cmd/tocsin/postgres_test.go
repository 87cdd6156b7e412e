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

// TestPostgres serves on a Postgres, is killed, and finds everything again.
//
// acceptance 5.
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
	target := httptest.NewServer(&tocsintest.Target{})
	t.Cleanup(target.Close)
	server := tocsintest.Start(t, tocsin(t), t.TempDir(), "--database", pg.URL("tocsin"))
	server.Apply(fmt.Sprintf(`apiVersion: tocsin/v1
kind: System
metadata: {name: web}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: front}
spec: {systems: [web], every: 1s, collect: [{use: http, with: {url: %q}}]}
`, target.URL))
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
