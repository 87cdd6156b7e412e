package web_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web"
	"github.com/tocsin-io/tocsin/web/wire"
)

// TestStorageFault checks what is said while results cannot be stored although
// the storage can be read, as with a full disk: the process is not ready, the
// metrics are there all the same, and who asks for a run does not wait for
// ever.
func TestStorageFault(t *testing.T) {
	in := newInstance(t, web.Options{RunNowSlack: 10 * time.Millisecond})
	put := func(path, body string) {
		t.Helper()
		if resp, text := in.ask(http.MethodPut, path, "editor", body); resp.StatusCode != http.StatusOK {
			t.Fatalf("PUT %s: %d %s", path, resp.StatusCode, text)
		}
	}
	put("/api/v1/systems/a", `{"id":"a"}`)
	put("/api/v1/checks/up", `{"id":"up","systems":{"names":["a"]},"every":"1m","timeout":"50ms","collect":[{"use":"ping","with":{"host":"h"}}]}`)
	says := func(method, path, role string, status int, want string) {
		t.Helper()
		resp, text := in.ask(method, path, role, "")
		if resp.StatusCode != status || !strings.Contains(text, want) {
			t.Errorf("%s %s: got %d %s, want %d with %q", method, path, resp.StatusCode, text, status, want)
		}
	}
	in.engine.fault.Store(new("record runs: database or disk is full"))
	says(http.MethodGet, "/readyz", "", http.StatusServiceUnavailable, "the storage takes no results")
	says(http.MethodGet, "/metrics", "admin", http.StatusOK, "tocsin_storage_failing 1")
	says(http.MethodPost, "/api/v1/assignments/a:up/run", "editor", http.StatusServiceUnavailable, "was not stored within 60ms")
	for _, want := range []string{
		"tocsin_runs_unstored 3", "tocsin_runs_buffer 10", "tocsin_runs_dropped_total 2", "tocsin_runs_foreign_total 1",
		"tocsin_node_shards 85", "tocsin_node_leads_rules 1", "tocsin_node_lease_age_seconds 1.5", "tocsin_node_takeovers_total 4",
	} {
		says(http.MethodGet, "/metrics", "admin", http.StatusOK, "\n"+want+"\n")
	}
	in.engine.fault.Store(nil)
	says(http.MethodGet, "/readyz", "", http.StatusOK, "ready")
	says(http.MethodGet, "/metrics", "admin", http.StatusOK, "tocsin_storage_failing 0")
	says(http.MethodPost, "/api/v1/assignments/a:up/run", "editor", http.StatusOK, "a:up")
}

// TestFiringPages walks through firings by the cursor as docs/api.md says. Many
// are created at one instant, by one turn of the rules, and none may be missed.
func TestFiringPages(t *testing.T) {
	in := newInstance(t, web.Options{})
	want := []string{}
	for i, ms := range []int64{1, 2, 2, 2, 3, 4, 4} {
		f := core.Firing{ID: fmt.Sprint("f", i), Rule: "r", Status: core.FiringQueued, At: time.UnixMilli(ms), Created: time.UnixMilli(ms).Add(time.Duration(i) * time.Microsecond)}
		if err := in.db.Commit(t.Context(), store.Turn{Firings: []core.Firing{f}, Flow: noSteps}); err != nil {
			t.Fatal(err)
		}
		want = append([]string{f.ID}, want...)
	}
	for limit := 1; limit <= 8; limit++ {
		var got []string
		next := int64(0)
		for range 10 {
			resp, text := in.ask(http.MethodGet, fmt.Sprintf("/api/v1/firings?limit=%d&before=%d", limit, next), "viewer", "")
			var page wire.Page[core.Firing]
			if err := json.Unmarshal([]byte(text), &page); err != nil || resp.StatusCode != http.StatusOK {
				t.Fatalf("limit %d, before %d: %d %s", limit, next, resp.StatusCode, text)
			}
			for _, f := range page.Items {
				got = append(got, f.ID)
			}
			if next = page.Next; next == 0 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: got %q, want %q", limit, got, want)
		}
	}
}

// TestSlowBody checks that whoever never finishes the body of a request loses
// the connection, signed in or not, and that a whole body is worth an answer.
func TestSlowBody(t *testing.T) {
	in := newInstance(t, web.Options{BodyTimeout: 200 * time.Millisecond})
	for _, role := range []string{"", "editor"} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", in.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		token := ""
		if role != "" {
			token = "Authorization: Bearer " + in.tokens[role] + "\r\n"
		}
		fmt.Fprintf(conn, "POST /api/v1/systems HTTP/1.1\r\nHost: x\r\n%sContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{", token)
		if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(conn); err != nil {
			t.Errorf("as %q: the connection was not closed: %v", role, err)
		}
	}
	if resp, text := in.ask(http.MethodPost, "/api/v1/systems", "editor", `{"id":"whole"}`); resp.StatusCode != http.StatusCreated {
		t.Errorf("a whole body: %d %s", resp.StatusCode, text)
	}
}
