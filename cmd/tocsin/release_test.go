package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// tiny is the smallest module, in a version of the test's choice; one that is
// broken answers with an outcome that does not exist.
func tiny(t *testing.T, version string, broken bool) string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("..", "..", "wasm", "testdata", "modules", "tiny.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(file), `"version":"1.0.0"`, `"version":"`+version+`"`, 1)
	if broken {
		text = strings.Replace(text, `"outcome":"pass"`, `"outcome":"boom"`, 1)
	}
	return write(t, t.TempDir(), "tiny-"+version+".wasm", text)
}

const tinySystems = 20

// tinyChecks is a check of stable on all systems and one that pins 1.0.0.
func tinyChecks() string {
	var b strings.Builder
	for i := range tinySystems {
		fmt.Fprintf(&b, "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: s%d}\n---\n", i)
	}
	return b.String() + `apiVersion: tocsin/v1
kind: Check
metadata: {name: tiny}
spec:
  systems: {match: 'system.id != ""'}
  every: 1h
  collect: [{use: "wasm:tiny"}]
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: pinned}
spec:
  systems: [s0]
  every: 1h
  collect: [{use: "wasm:tiny@1"}]
`
}

// TestModuleReleases is the life of a module on the real binary: upload, pin,
// canary that is held by itself, promotion, rollback, refusals, and a file that
// was damaged.
// replays repeats a run of tiny 1.1.0 that failed: on the server and on this
// machine, with what ran, with what works, and without the server.
func replays(t *testing.T, server *tocsintest.Server, tocsin func(code int, want string, args ...string), failed core.Run) {
	t.Helper()
	var report wire.ReplayReport
	path := fmt.Sprintf("/api/v1/runs/%d/replay", failed.ID)
	status, body := server.Do(http.MethodPost, path, wire.ReplayRequest{}, &report)
	if status != http.StatusOK || !report.Identical || report.Module != "tiny@1.1.0" || report.Outcome != core.Error || report.Fuel == 0 || report.Fuel != report.FuelWas {
		t.Errorf("replay on the server: %d %s", status, body)
	}
	status, body = server.Do(http.MethodPost, path, wire.ReplayRequest{Version: "1.0.0"}, &report)
	if status != http.StatusOK || report.Identical || report.SameOutput || report.Outcome != core.Pass || report.Was != core.Error {
		t.Errorf("replay with 1.0.0: %d %s", status, body)
	}
	id, kept := strconv.FormatInt(failed.ID, 10), filepath.Join(t.TempDir(), "recording.json")
	tocsin(0, "identical", "replay-run", id, "--save", kept)
	tocsin(1, "differs: it wrote something else", "replay-run", id, "--file", tiny(t, "1.0.0", false))
	tocsin(0, "identical", "replay-run", "--recording", kept, "--file", tiny(t, "1.1.0", true))
	tocsin(1, "has no recording", "replay-run", "1")
	tocsin(2, "needs --file", "replay-run", "--recording", kept)
}

func TestModuleReleases(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	server := tocsintest.Start(t, tocsin(t), data)
	tocsin := func(code int, want string, args ...string) {
		t.Helper()
		got := run(t, append(args, "--server", server.URL, "--token", server.Token())...)
		if got.code != code || !strings.Contains(got.out+got.err, want) {
			t.Fatalf("%v: exit code %d, want %d; said\n%s%s\nwant %q", args, got.code, code, got.out, got.err, want)
		}
	}
	// ran is the version that an assignment runs now, and the run.
	ran := func(assignment string) (string, core.Run) {
		t.Helper()
		var r core.Run
		status, body := server.Do(http.MethodPost, "/api/v1/assignments/"+assignment+"/run", nil, &r)
		if status != http.StatusOK {
			t.Fatalf("run %s: %d %s", assignment, status, body)
		}
		if r.Outcome == core.Pass { // passing runs keep no steps
			return "", r
		}
		var whole core.Run
		if status, body := server.Do(http.MethodGet, fmt.Sprintf("/api/v1/runs/%d", r.ID), nil, &whole); status != http.StatusOK || len(whole.Steps) != 1 {
			t.Fatalf("read run %d: %d %s", r.ID, status, body)
		}
		return whole.Steps[0].Module, whole
	}
	item := func() (it wire.ModuleItem) {
		t.Helper()
		if status, body := server.Do(http.MethodGet, "/api/v1/modules/tiny", nil, &it); status != http.StatusOK {
			t.Fatalf("module: %d %s", status, body)
		}
		return it
	}
	on := func(version string) int {
		t.Helper()
		for _, v := range item().Versions {
			if v.Version == version {
				return v.Assignments
			}
		}
		return -1
	}

	tocsin(0, "tiny 1.0.0 (@1) is active", "module", "push", tiny(t, "1.0.0", false), "--grant", "as-wanted", "--activate")
	server.Apply(tinyChecks())
	if _, r := ran("s1:tiny"); r.Outcome != core.Pass {
		t.Fatalf("1.0.0: %+v", r)
	}

	// An upload changes nothing that runs, and neither does a grant.
	tocsin(0, "tiny 1.1.0 uploaded as @2, with a grant", "module", "push", tiny(t, "1.1.0", true), "--grant", "as-wanted")
	if on("1.0.0") != tinySystems+1 || on("1.1.0") != 0 {
		t.Errorf("after an upload %d assignments run 1.0.0 and %d run 1.1.0, want %d and 0", on("1.0.0"), on("1.1.0"), tinySystems+1)
	}
	if _, r := ran("s1:tiny"); r.Outcome != core.Pass {
		t.Errorf("after an upload: %+v", r)
	}

	// A canary that is broken is held by itself.
	tocsin(0, "is tried", "module", "canary", "tiny", "@2", "--percent", "50")
	share := item().Canary.Assignments
	if share < 3 || share > tinySystems-3 {
		t.Fatalf("a canary of 50 %% runs on %d of %d assignments", share, tinySystems)
	}
	tocsin(1, "it is the canary", "module", "delete", "tiny", "1.1.0")
	deadline := time.Now().Add(time.Minute)
	var failed core.Run // of the canary
	for i := 0; item().Canary.Held.IsZero(); i++ {
		if time.Now().After(deadline) {
			t.Fatalf("the canary is not held: %+v", item().Canary)
		}
		module, r := ran(fmt.Sprintf("s%d:tiny", i%tinySystems))
		if r.Outcome == core.Error && module != "tiny@1.1.0" {
			t.Fatalf("an error of %q: %+v, want it to be of the canary", module, r)
		}
		if r.Outcome == core.Error {
			failed = r
		}
	}
	replays(t, server, tocsin, failed)
	if why := item().Canary.Why; why.Code != "canary_errors" {
		t.Errorf("the canary is held because of %+v", why)
	}
	for i := range tinySystems {
		id := fmt.Sprintf("s%d:tiny", i)
		tocsintest.Until(t, 20*time.Second, id+" is back on the active version", func() bool { _, r := ran(id); return r.Outcome == core.Pass })
	}
	tocsin(0, "the canary of tiny has ended", "module", "canary", "tiny", "--abort")

	// One that is well is promoted, and rolled back.
	tocsin(0, "with a grant", "module", "push", tiny(t, "1.2.0", false), "--grant", "as-wanted")
	tocsin(0, "1 assignment, next run", "module", "canary", "tiny", "1.2.0", "--system", "s3")
	tocsin(0, fmt.Sprintf("tiny 1.2.0 is active: %d assignments, next run", tinySystems-1), "module", "canary", "tiny", "--promote")
	if on("1.2.0") != tinySystems || on("1.0.0") != 1 {
		t.Errorf("after the promotion %d run 1.2.0 and %d run 1.0.0, want %d and the pinned one", on("1.2.0"), on("1.0.0"), tinySystems)
	}
	tocsin(1, "a rollback would go back to it; it is pinned by check pinned", "module", "delete", "tiny", "1.0.0")
	tocsin(0, fmt.Sprintf("tiny 1.0.0 is active again: %d assignments, next run", tinySystems), "module", "rollback", "tiny")
	tocsin(1, "no version of tiny was stable before 1.0.0", "module", "rollback", "tiny")
	tocsin(1, "it is the active version; it is pinned by check pinned", "module", "delete", "tiny", "1.0.0")
	tocsin(0, "tiny@next is 1.2.0", "module", "alias", "tiny", "next", "1.2.0")
	tocsin(1, "the alias next means it", "module", "delete", "tiny", "1.2.0")
	tocsin(0, "is forgotten", "module", "alias", "tiny", "next", "--delete")
	tocsin(0, "tiny 1.2.0 is deleted", "module", "delete", "tiny", "1.2.0")
	tocsin(0, "rollback from 1.2.0 to 1.0.0", "module", "show", "tiny")

	// A file that was damaged makes runs Errors that say so.
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(data, "tocsin.db")
	text, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.ReplaceAll(text, []byte(`"summary":"ok"`), []byte(`"summary":"KO"`))
	if bytes.Equal(damaged, text) {
		t.Fatal("the database does not hold the module as it was uploaded")
	}
	if err := os.WriteFile(db, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	server = server.Again()
	module, r := ran("s1:tiny")
	if r.Outcome != core.Error || module != "tiny@1.0.0" || !strings.Contains(r.Why.Text, "the file is damaged") {
		t.Errorf("a run of a damaged module is of %q: %+v", module, r)
	}
	if it := item(); !strings.Contains(it.Error, "the file is damaged") {
		t.Errorf("the module says %q, want that its file is damaged", it.Error)
	}
	var standing wire.SystemDetail
	if status, body := server.Do(http.MethodGet, "/api/v1/systems/s1/detail", nil, &standing); status != http.StatusOK ||
		len(standing.Checks) != 1 || !strings.Contains(standing.Checks[0].Standing.Problem.Text, "the file is damaged") {
		t.Errorf("the standing does not tell the problem: %d %s", status, body)
	}
}
