package main_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
)

// example builds a module of examples/modules as its comment says.
func example(t *testing.T, name string, flags ...string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds Wasm modules")
	}
	out := filepath.Join(t.TempDir(), name+".wasm")
	build := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, flags...), "-o", out, ".")...)
	build.Dir, build.Env = filepath.Join("..", "..", "examples", "modules", name), append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", name, err, text)
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// until asks again until it is so.
func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !so(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s still not: %s", what)
		}
	}
}

// TestActionsAndFunctions uploads modules that offer an action and a function,
// and uses both through the API.
func TestActionsAndFunctions(t *testing.T) {
	t.Parallel()
	chat, score := example(t, "chat-action", "-buildmode=c-shared"), example(t, "score")
	var asked atomic.Int64
	heard := make(chan *http.Request, 10)
	said := make(chan string, 10)
	room := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 1 {
			http.Error(w, "not now", http.StatusBadGateway)
			return
		}
		body, _ := io.ReadAll(r.Body)
		heard <- r
		said <- string(body)
		_, _ = io.WriteString(w, "m-1")
	}))
	t.Cleanup(room.Close)
	var broken atomic.Bool
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if broken.Load() {
			_, _ = io.WriteString(w, `{"errors": 9}`)
			return
		}
		_, _ = io.WriteString(w, `{"errors": 0}`)
	}))
	t.Cleanup(shop.Close)
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	do := func(want int, method, path string, body, into any) string {
		t.Helper()
		status, text := server.Do(method, path, body, into)
		if status != want {
			t.Fatalf("%s %s: %d %s, want %d", method, path, status, text, want)
		}
		return text
	}
	check := func(assert string) map[string]any {
		return map[string]any{
			"id": "web", "systems": map[string]any{"names": []string{"shop"}}, "every": "1s",
			"collect": []any{map[string]any{"use": "http", "with": map[string]any{"url": shop.URL}, "assert": []string{assert}}},
		}
	}
	rule := func(step string, with map[string]any, when string) map[string]any {
		return map[string]any{
			"id": "tell", "on": []any{map[string]any{"event": "health.unhealthy"}}, "when": when,
			"do": []any{
				map[string]any{"id": "chat", "action": step, "with": with, "retry": map[string]any{"backoff": "100ms"}},
				map[string]any{"action": "log", "with": map[string]any{"message": "message ${steps.chat.message}"}},
			},
		}
	}
	with := map[string]any{"url": room.URL, "room": "ops", "text": "${system.id} is ${to}"}
	do(200, http.MethodPut, "/api/v1/systems/shop", map[string]any{"id": "shop"}, nil)

	// Before the modules are there.
	if text := do(422, http.MethodPut, "/api/v1/checks/web", check("score(json.errors, latency) > 50"), nil); !strings.Contains(text, `there is no function \"score\"`) {
		t.Errorf("a check with an unknown function: %s", text)
	}
	if text := do(422, http.MethodPut, "/api/v1/rules/tell", rule("wasm:chat", with, ""), nil); !strings.Contains(text, `no module named \"chat\" is uploaded`) {
		t.Errorf("a rule with an unknown module: %s", text)
	}
	for _, file := range [][]byte{chat, score} {
		var review struct{ Manifest core.Manifest }
		do(200, http.MethodPost, "/api/v1/modules", file, &review)
		grant := map[string]any{}
		if review.Manifest.Name == "chat" {
			grant = map[string]any{"http": []string{room.URL}, "private": true}
		}
		do(200, http.MethodPost, "/api/v1/modules/"+review.Manifest.Name+"/versions/1.0.0/activate", map[string]any{"grant": grant}, nil)
	}

	// Mistakes are found when they are saved, with the place and what may have been meant.
	for assert, want := range map[string]string{
		"scor(json.errors, latency) > 50": `did you mean \"score\"?`,
		"score(1) > 50":                   "score(errors, latency) does not take 1 arguments",
		"score(status, 5) > 50":           "score(errors, latency) does not take a number",
		`score(0, latency) == "fine"`:     "a number and text",
		"statsu == 200":                   `did you mean \"status\"?`,
	} {
		if text := do(422, http.MethodPut, "/api/v1/checks/web", check(assert), nil); !strings.Contains(text, want) || !strings.Contains(text, "collect[0].assert[0]") {
			t.Errorf("a check that asserts %s: %s, want %s", assert, text, want)
		}
	}
	for _, c := range []struct {
		step string
		with map[string]any
		when string
		want string
	}{
		{"wasm:chta", with, "", `no module named \"chta\"`},
		{"wasm:score", with, "", "offers no action; it offers function"},
		{"wasm:chat", map[string]any{"url": room.URL, "room": "ops"}, "", "text is missing"},
		{"wasm:chat", map[string]any{"url": "a b", "room": "ops", "text": "x"}, "", "is not a valid uri"},
		{"wasm:chat", map[string]any{"url": room.URL, "room": "ops", "text": "x", "colour": "red"}, "", `did you mean \"color\"?`},
		{"wasm:chat", with, "score(1, 2) > 3", "does not take a number"},
	} {
		if text := do(422, http.MethodPut, "/api/v1/rules/tell", rule(c.step, c.with, c.when), nil); !strings.Contains(text, c.want) {
			t.Errorf("a rule with %s %v when %q: %s, want %s", c.step, c.with, c.when, text, c.want)
		}
	}
	bad := rule("wasm:chat", with, "")
	bad["do"].([]any)[1].(map[string]any)["if"] = `steps.chat.status == "200"`
	if text := do(422, http.MethodPut, "/api/v1/rules/tell", bad, nil); !strings.Contains(text, "== does not work on a number and text") {
		t.Errorf("a rule that compares the output of a module wrongly: %s", text)
	}

	// And then it works.
	do(200, http.MethodPut, "/api/v1/rules/tell", rule("wasm:chat", with, `score(50.5, duration("1s")) == 0 && to == "unhealthy"`), nil)
	do(200, http.MethodPut, "/api/v1/checks/web", check("score(json.errors, latency) > 50"), nil)
	runs := func() string { return do(200, http.MethodGet, "/api/v1/runs?assignment=shop:web", nil, nil) }
	until(t, "a run passes", func() bool { return strings.Contains(runs(), `"outcome":"pass"`) })
	broken.Store(true)
	until(t, "a run fails, and says with which values", func() bool { return strings.Contains(runs(), "score(json.errors, latency) is ") })
	select {
	case r := <-heard:
		if body := <-said; body != `{"color":"red","room":"ops","text":"shop is unhealthy"}` || !strings.HasSuffix(r.Header.Get("Idempotency-Key"), "/chat") {
			t.Errorf("the chat got %s with the key %q", body, r.Header.Get("Idempotency-Key"))
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the chat heard nothing")
	}
	type delivery struct {
		Status   string
		Attempts int
		Output   json.RawMessage
		Error    string
		Trace    *core.StepTrace
	}
	var page struct{ Items []delivery }
	until(t, "both steps are done", func() bool {
		page.Items = nil
		do(200, http.MethodGet, "/api/v1/deliveries", nil, &page)
		return len(page.Items) == 2 && page.Items[0].Status == "done" && page.Items[1].Status == "done"
	})
	for _, d := range page.Items {
		if d.Trace == nil {
			if !strings.Contains(string(d.Output), "message m-1") {
				t.Errorf("the step after the chat: %+v", d)
			}
			continue
		}
		if d.Attempts != 2 || string(d.Output) != `{"message":"m-1","status":200}` || d.Trace.Module != "chat@1.0.0" || d.Trace.Usage == nil || d.Trace.Usage.HTTP != 1 ||
			len(d.Trace.Logs) != 1 || d.Trace.Logs[0].Text != "attempt 2 for room ops" || d.Trace.Summary != "written to ops" {
			t.Errorf("the step of the chat: %+v, trace %+v", d, d.Trace)
		}
	}

	// What is in use as a function or as an action stays, and so does the version that offers it.
	plain, err := os.ReadFile(filepath.Join("..", "..", "wasm", "testdata", "modules", "tiny.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ version, users, offers string }{
		"score": {"2.10", "in use by check web, rule tell", "score() is called by check web, rule tell"},
		"chat":  {"2.1.0", "in use by rule tell", "its action is a step of rule tell"},
	} {
		if text := do(409, http.MethodDelete, "/api/v1/modules/"+name+"/versions/1.0.0", nil, nil); !strings.Contains(text, c.users) {
			t.Errorf("deleting %s: %s, want %q", name, text, c.users)
		}
		file := bytes.Replace(plain, []byte(`"name":"tiny","version":"1.0.0"`), []byte(`"name":"`+name+`","version":"`+c.version+`"`), 1)
		if len(file) != len(plain) {
			t.Fatal("the manifest of tiny is not as expected")
		}
		do(200, http.MethodPost, "/api/v1/modules", file, nil)
		text := do(409, http.MethodPost, "/api/v1/modules/"+name+"/versions/"+c.version+"/activate", map[string]any{"grant": map[string]any{}}, nil)
		if want := name + " " + c.version + " does not offer what is in use: " + c.offers; !strings.Contains(text, want) {
			t.Errorf("activating a version of %s that offers nothing of it: %s, want %q", name, text, want)
		}
	}
}
