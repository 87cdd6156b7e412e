package action_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules/action"
)

func serve(t *testing.T, h http.HandlerFunc) (hook *action.Webhook, url string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return action.NewWebhook((&net.Dialer{}).DialContext), server.URL
}

func TestWebhookSendsWhatItIsGiven(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		with       map[string]any
		body, kind string
		method     string
	}{
		{"json", map[string]any{"body": map[string]any{"a": 1, "b": []any{"x", nil}}}, `{"a":1,"b":["x",null]}`, "application/json", "POST"},
		{"text", map[string]any{"body": "hello", "method": "PUT"}, "hello", "text/plain; charset=utf-8", "PUT"},
		{"nothing", map[string]any{"method": "GET"}, "", "", "GET"},
		{"own type", map[string]any{"body": "<x/>", "headers": map[string]any{"content-type": "text/xml", "Idempotency-Key": "mine"}}, "<x/>", "text/xml", "POST"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan *http.Request, 1)
			bodies := make(chan string, 1)
			hook, url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				got <- r
				bodies <- string(body)
			})
			test.with["url"] = url + "/path"
			out, err := hook.Do(t.Context(), action.Call{With: test.with, Key: "the-key"})
			if err != nil || out["status"] != 200 || out["json"] != nil {
				t.Fatalf("do: %v, %v", out, err)
			}
			r, body := <-got, <-bodies
			if body != test.body || r.Header.Get("Content-Type") != test.kind || r.Method != test.method || r.URL.Path != "/path" {
				t.Errorf("got %s %s %q of %q", r.Method, r.URL.Path, body, r.Header.Get("Content-Type"))
			}
			if r.Header.Get("Idempotency-Key") != "the-key" || r.Header.Get("User-Agent") != "tocsin" {
				t.Errorf("headers %v", r.Header)
			}
		})
	}
}

func TestWebhookJudgesTheAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code    int
		headers map[string]string
		refused bool
		later   time.Duration
	}{
		{code: 200},
		{code: 204},
		{code: 302, headers: map[string]string{"Location": "http://127.0.0.1:1/"}, refused: true},
		{code: 400, refused: true},
		{code: 404, refused: true},
		{code: 408},
		{code: 425},
		{code: 429, headers: map[string]string{"Retry-After": "7"}, later: 7 * time.Second},
		{code: 503, headers: map[string]string{"Retry-After": "Mon, 05 Jan 2026 00:01:00 GMT", "Date": "Mon, 05 Jan 2026 00:00:00 GMT"}, later: time.Minute},
		{code: 500, headers: map[string]string{"Retry-After": "soon"}},
	} {
		hook, url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			for k, v := range test.headers {
				w.Header().Set(k, v)
			}
			w.WriteHeader(test.code)
		})
		_, err := hook.Do(t.Context(), action.Call{With: map[string]any{"url": url}})
		if (err == nil) != (test.code < 300) {
			t.Errorf("%d: error %v", test.code, err)
		}
		if _, refused := errors.AsType[*action.RefusedError](err); refused != test.refused {
			t.Errorf("%d: refused %v, want %v: %v", test.code, refused, test.refused, err)
		}
		var after time.Duration
		if later, ok := errors.AsType[*action.LaterError](err); ok {
			after = later.After
		}
		if after != test.later {
			t.Errorf("%d: come back after %s, want %s", test.code, after, test.later)
		}
	}
}

func TestWebhookReadsABoundedAnswer(t *testing.T) {
	t.Parallel()
	hook, url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte("x"), 1<<20)
		for range 64 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	})
	out, err := hook.Do(t.Context(), action.Call{With: map[string]any{"url": url}})
	if body, ok := out["body"].(string); err != nil || !ok || len(body) != 64<<10 {
		t.Errorf("read %d bytes, %v; want 65536", len(body), err)
	}
}

func TestWebhookEndsAtTheDeadlineAndHidesTheURL(t *testing.T) {
	t.Parallel()
	gone := make(chan struct{})
	hook, url := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := hook.Do(ctx, action.Call{With: map[string]any{"url": url + "/secret-token"}})
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("got %v", err)
	}
	select {
	case <-gone:
	case <-time.After(5 * time.Second):
		t.Error("the request was not ended")
	}
}

func TestWithoutADialerNothingIsSent(t *testing.T) {
	t.Parallel()
	_, err := action.Known()["webhook"].Do(t.Context(), action.Call{With: map[string]any{"url": "http://127.0.0.1:1/"}})
	if err == nil || !strings.Contains(err.Error(), "closed to webhooks") {
		t.Errorf("got %v", err)
	}
}

func TestChannelIsTheHost(t *testing.T) {
	t.Parallel()
	hook := action.NewWebhook(nil)
	for url, want := range map[string]string{"https://a.example:8443/x?y": "a.example:8443", "nonsense": "", "": ""} {
		if got := hook.Channel(map[string]any{"url": url}); got != want {
			t.Errorf("channel of %q is %q, want %q", url, got, want)
		}
	}
}

func TestLogWritesALine(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := action.NewLog(slog.New(slog.NewTextHandler(&b, nil)))
	out, err := l.Do(t.Context(), action.Call{With: map[string]any{"message": "web is down", "level": "warn"}, Rule: "page", Firing: "f"})
	if err != nil || out["message"] != "web is down" {
		t.Fatalf("do: %v, %v", out, err)
	}
	for _, want := range []string{"level=WARN", "rule=page", "firing=f", `message="web is down"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("log %q lacks %s", b.String(), want)
		}
	}
	if problems := l.Check(map[string]any{"level": "loud"}); len(problems) != 2 {
		t.Errorf("check: %v, want a missing message and a bad level", problems)
	}
}

// desk is action.Assignments over a list of those that are enabled.
type desk map[string]bool

func (d desk) Run(_ context.Context, id string) (core.Run, error) {
	if !d[id] {
		return core.Run{}, store.ErrNotFound
	}
	return core.Run{ID: 7, Outcome: core.Fail, Summary: "503"}, nil
}

func (d desk) Able(_ context.Context, id string, enable bool, _ string) (bool, error) {
	was, found := d[id]
	if !found {
		return false, store.ErrNotFound
	}
	d[id] = enable
	return was != enable, nil
}

func TestAssignmentActions(t *testing.T) {
	t.Parallel()
	actions := action.New(action.Needs{Assignments: desk{"web:http": true}})
	for _, test := range []struct {
		name, id string
		want     map[string]any
		refused  bool
	}{
		{"run_now", "web:http", map[string]any{"run": int64(7), "outcome": "fail", "summary": "503"}, false},
		{"run_now", "web:tcp", nil, true},
		{"disable", "web:http", map[string]any{"changed": true}, false},
		{"disable", "web:http", map[string]any{"changed": false}, false},
		{"run_now", "web:http", nil, true},
		{"enable", "web:http", map[string]any{"changed": true}, false},
		{"enable", "none", nil, true},
	} {
		a := actions["assignment."+test.name]
		got, err := a.Do(t.Context(), action.Call{With: map[string]any{"assignment": test.id}, Rule: "r"})
		if _, refused := errors.AsType[*action.RefusedError](err); refused != test.refused || !maps.Equal(got, test.want) {
			t.Errorf("%s of %s gives %v, %v; want %v, refused %v", test.name, test.id, got, err, test.want, test.refused)
		}
		for field := range got {
			if !slices.Contains(a.Outputs(), field) {
				t.Errorf("%s returns %s, which is not among its outputs %q", test.name, field, a.Outputs())
			}
		}
	}
	for _, with := range []map[string]any{nil, {"assignment": 1}, {"system": "web"}} {
		if problems := actions["assignment.enable"].Check(with); len(problems) == 0 {
			t.Errorf("%v is taken for a configuration", with)
		}
	}
	if _, err := action.Known()["assignment.enable"].Do(t.Context(), action.Call{}); err == nil {
		t.Error("an action without what it needs does something")
	}
}
