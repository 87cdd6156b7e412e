package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/web"
	"github.com/tocsin-io/tocsin/web/live"
	"github.com/tocsin-io/tocsin/web/wire"
)

// instance is the whole web over a real database, behind a real server.
type instance struct {
	t      *testing.T
	db     *sqlite.Store
	hub    *live.Hub
	server *httptest.Server
	engine *fakeEngine
	log    *bytes.Buffer
	tokens map[string]string // by role
}

func newInstance(t *testing.T, o web.Options) *instance {
	t.Helper()
	return newInstanceWith(t, o, nil)
}

// noSteps is a flow that ends every firing.
func noSteps(core.Firing, []core.Delivery) store.Next { return store.Next{Status: core.FiringDone} }

// queue is web.Deliveries over a store.
type queue struct{ store.Queue }

func (q queue) Resend(ctx context.Context, id int64) error {
	return q.Queue.Resend(ctx, id, time.Now(), noSteps)
}

func newInstanceWith(t *testing.T, o web.Options, ui func(func(*http.Request) any) http.Handler) *instance {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	in := &instance{t: t, db: db, engine: &fakeEngine{db: db}, log: &bytes.Buffer{}, tokens: map[string]string{}}
	in.hub = live.New(live.Deps{Log: db, Catalog: db, Ledger: db, History: db, Trace: db}, live.Options{Tick: 5 * time.Millisecond, Sessions: 100 * time.Millisecond})
	log := slog.New(slog.NewTextHandler(in.log, nil))
	handler, err := web.New(web.Deps{
		Catalog: db, Ledger: db, Log: db, History: db, Series: db, Trace: db, Sessions: db, Stored: db, Releases: db, Values: db, Recordings: db, Firings: db, Deliveries: queue{db},
		Saver: plan.NewService(plan.New(pings{}, plan.Options{}), db, ruleProblems),
		Rules: fakeRules{}, Judge: fakeJudge{}, Modules: fakeModules{}, Engine: in.engine, Hub: in.hub, Logger: log, Secrets: fakeSecrets{}, UI: ui,
		Node: func() web.NodeStats {
			return web.NodeStats{Shards: 85, Rules: true, LeaseAge: 1500 * time.Millisecond, TakenOver: 4}
		},
		Collectors: func() []core.CollectorInfo { return []core.CollectorInfo{pingInfo()} },
		Examples:   map[string]func() ([]byte, error){"queue": func() ([]byte, error) { return []byte("queue 1.0"), nil }},
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	in.server = httptest.NewServer(handler)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		in.server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, role := range []string{"viewer", "operator", "editor", "admin"} {
		if in.tokens[role], err = web.NewToken(t.Context(), db, role+"-bot", role, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	<-in.hub.Loaded()
	return in
}

// pings is a collector that takes a host and reports a number.
type pings struct{}

func pingInfo() core.CollectorInfo {
	return core.CollectorInfo{
		Name: "ping", Schema: json.RawMessage(`{"type":"object","properties":{"host":{"type":"string"}},"required":["host"],"additionalProperties":false}`),
		Samples: []core.SampleDecl{{Name: "ms", Type: core.NumberSample, Unit: "ms"}},
	}
}

func (pings) Info(use string) (core.CollectorInfo, error) {
	if use != "ping" {
		return core.CollectorInfo{}, fmt.Errorf("there is no collector %q; there is ping", use)
	}
	return pingInfo(), nil
}

func (pings) Prepare(string, string, map[string]any) (plan.Collector, error) { return pings{}, nil }

func (pings) Collect(context.Context, core.RunContext) core.Result {
	return core.Result{Samples: core.Samples{"ms": 1.0}}
}

// fakeSecrets holds none.
type fakeSecrets struct{}

func (fakeSecrets) Names(context.Context) ([]string, error)                      { return nil, nil }
func (fakeSecrets) Put(context.Context, string, string, string, time.Time) error { return nil }
func (fakeSecrets) Delete(context.Context, string) error                         { return store.ErrNotFound }

// fakeEngine records a passing run when it is asked to run, unless storage
// fails: then it waits.
type fakeEngine struct {
	db    *sqlite.Store
	fault atomic.Pointer[string]
}

func (e *fakeEngine) RunNow(ctx context.Context, id string) error {
	if e.fault.Load() != nil {
		<-ctx.Done()
		return ctx.Err()
	}
	now := time.Now()
	return e.db.Record(ctx, []*core.Run{{Assignment: id, Due: now, Started: now, Ended: now, Manual: true, Latency: 12 * time.Millisecond}})
}

func (*fakeEngine) Next(string) time.Time { return time.Now().Add(time.Minute) }

func (e *fakeEngine) Stats() wire.EngineStats {
	if fault := e.fault.Load(); fault != nil {
		return wire.EngineStats{Runs: 7, Unstored: 3, Buffer: 10, Dropped: 2, Foreign: 1, Error: *fault}
	}
	return wire.EngineStats{Runs: 7}
}

func ruleProblems(r core.Rule, _ []core.System) core.Problems {
	if r.When == "bad" {
		return core.Problems{{Path: "when", Code: "unknown", Message: "bad is not known"}}
	}
	return nil
}

type fakeRules struct{}

func (fakeRules) Validate(r core.Rule, s []core.System) core.Problems { return ruleProblems(r, s) }
func (fakeRules) Expr(_ context.Context, c wire.ExprCheck, systems []core.System) wire.ExprReport {
	return wire.ExprReport{OK: c.Expr != "bad", Type: "bool", Systems: len(systems)}
}

func (fakeRules) Env(string, string) (core.ExprEnv, error) { return core.ExprEnv{Version: "1"}, nil }
func (fakeRules) Describe(g core.Gate) (string, core.Gate) { return "for " + g.For.String(), g }
func (fakeRules) PreviewSilence(s core.Silence, systems []core.System, _ []core.Check, _ []core.Rule) core.SilencePreview {
	return core.SilencePreview{Systems: s.Systems.Names, Total: len(systems)}
}

func (fakeRules) States(string) []wire.RuleState { return nil }

type fakeJudge struct{}

func (fakeJudge) Explain(_ context.Context, rule string, s core.Subject) (core.Explanation, error) {
	return core.Explanation{Rule: rule, Subject: s, Text: "It does not fire for " + s.ID, Blocked: core.StageWhen, Stages: []core.StageResult{}}, nil
}

func (fakeJudge) Backtest(_ context.Context, ask wire.BacktestAsk, saved *core.Rule) (core.Backtest, error) {
	out := core.Backtest{Notes: []string{}, Rule: core.BacktestRule{Fired: int(ask.Span.Std().Hours())}}
	if saved != nil {
		out.Saved = &core.BacktestRule{Fired: len(saved.On)}
	}
	if problems := ruleProblems(ask.Rule, nil); len(problems) > 0 {
		return out, problems
	}
	return out, nil
}

type fakeModules struct{}

func (fakeModules) Script(s wire.ScriptSource) ([]byte, error) { return []byte(s.Source), nil }

func (fakeModules) ScriptHelp() wire.ScriptHelp { return wire.ScriptHelp{} }

func (fakeModules) Inspect(_ context.Context, file []byte) (core.Manifest, error) {
	name, version, ok := strings.Cut(string(file), " ")
	if !ok {
		return core.Manifest{}, errors.New("this is not a module")
	}
	return core.Manifest{ABI: "tocsin/1", Name: name, Version: version, Offers: []string{"collector"}, Wants: core.Grant{HTTP: []string{"https://*.example.com:443"}}}, nil
}

func (fakeModules) Test(_ context.Context, m core.Module, _ []byte, t wire.TestRun, rc core.RunContext) (wire.TestReport, error) {
	return wire.TestReport{Summary: m.Name + " on " + rc.System.ID, Wall: t.Timeout}, nil
}

func (fakeModules) State(_, version string) wire.ModuleState {
	if version == "3.0" {
		return wire.ModuleState{Error: "the file is damaged"}
	}
	return wire.ModuleState{Loaded: true, Stats: wire.ModuleStats{Runs: 7}}
}

func (fakeModules) Replay(_ context.Context, m core.Module, _ []byte, rec core.Recording) (wire.ReplayReport, error) {
	return wire.ReplayReport{Module: m.Name + "@" + m.Version, Recorded: rec.Module + "@" + rec.Version, Identical: true}, nil
}

func (fakeModules) Trials(string) (canary, active core.Trial) {
	return core.Trial{Runs: 3, Errors: 1}, core.Trial{Runs: 9}
}

// reply is what an answer said besides its body.
type reply struct {
	StatusCode int
	Header     http.Header
	path       string // that was answered, after redirects
}

// ask makes a request with the token of a role, or none.
func (in *instance) ask(method, path, role, body string, headers ...string) (reply, string) {
	in.t.Helper()
	req, err := http.NewRequestWithContext(in.t.Context(), method, in.server.URL+path, strings.NewReader(body))
	if err != nil {
		in.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+in.tokens[role])
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		in.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		in.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, path}, string(text)
}

const (
	systemA = `{"id":"a","name":"Shop","tags":{"env":"prod"}}`
	checkC  = `{"id":"c","systems":{"names":["a"]},"every":"30s","collect":[{"use":"ping","with":{"host":"x"},"assert":["ms < 5"]}]}`
	ruleR   = `{"id":"r","on":[{"event":"health.unhealthy"}],"gate":{"for":"2m"},"do":[{"action":"log"}]}`
	modules = "/api/v1/modules/lag/versions/1.0"
)

// TestScenarios is one story of an instance: each step is a request and what
// must and must not be in its answer.
func TestScenarios(t *testing.T) {
	in := newInstance(t, web.Options{})
	for _, tc := range []struct {
		do, path, role, body string
		headers              []string
		status               int
		want                 []string
		not                  []string
	}{
		{do: "GET", path: "/api/v1/me", role: "editor", status: 200, want: []string{`"user":"editor-bot"`, `"role":"editor"`}, not: []string{"$schema"}},
		{do: "GET", path: "/api/v1/systems", role: "viewer", status: 200, want: []string{`"items":[]`}},
		{do: "POST", path: "/api/v1/systems", role: "viewer", body: systemA, status: 403, want: []string{"needs the role editor"}},
		{do: "POST", path: "/api/v1/systems", role: "editor", body: `{"id":"a","color":"red"}`, status: 422, want: []string{`"path":"color"`}},
		{do: "POST", path: "/api/v1/systems", role: "editor", body: `{"id":"a b"}`, status: 422, want: []string{`"errors":[{`, "may hold letters"}},
		{do: "POST", path: "/api/v1/systems", role: "editor", body: `{"id":`, status: 400, want: []string{`"status":400`}},
		{do: "POST", path: "/api/v1/systems", role: "editor", body: systemA, headers: []string{"Content-Type", "text/plain"}, status: 415},
		{do: "POST", path: "/api/v1/systems", role: "editor", body: `{"id":"` + strings.Repeat("a", web.MaxBody) + `"}`, status: 413},
		{do: "POST", path: "/api/v1/systems", role: "editor", body: systemA, status: 201, want: []string{`"version":1`, `"by":"editor-bot"`}},
		{do: "POST", path: "/api/v1/systems", role: "editor", body: systemA, status: 409, want: []string{"already"}},
		{do: "GET", path: "/api/v1/systems/a", role: "viewer", status: 200, want: []string{`"name":"Shop"`}},
		{do: "GET", path: "/api/v1/systems/b", role: "viewer", status: 404, want: []string{"not found"}},
		{do: "PUT", path: "/api/v1/systems/b", role: "editor", body: systemA, status: 422, want: []string{"cannot be renamed"}},
		{do: "PUT", path: "/api/v1/systems/a", role: "editor", body: `{"id":"a","name":"Till"}`, headers: []string{"If-Match", `"1"`}, status: 200, want: []string{`"version":2`}},
		{do: "PUT", path: "/api/v1/systems/a", role: "editor", body: `{"id":"a","name":"Other"}`, headers: []string{"If-Match", `"1"`}, status: 412, want: []string{`"version":2`, "editor-bot"}},
		{do: "PUT", path: "/api/v1/systems/a", role: "editor", body: `{"id":"a","name":"Till"}`, headers: []string{"If-Match", "x"}, status: 422, want: []string{"is not a version"}},

		{do: "GET", path: "/api/v1/collectors", role: "viewer", status: 200, want: []string{`"name":"ping"`}},
		{do: "POST", path: "/api/v1/checks/validate", role: "viewer", body: strings.Replace(checkC, "ms < 5", "mz < 5", 1), status: 200, want: []string{`"ok":false`, "mz"}},
		{do: "POST", path: "/api/v1/checks/validate", role: "viewer", body: checkC, status: 200, want: []string{`"ok":true`, `"problems":[]`}},
		{do: "POST", path: "/api/v1/checks", role: "editor", body: checkC, status: 201},
		{do: "DELETE", path: "/api/v1/systems/a", role: "editor", status: 422, want: []string{`"errors"`}},
		{do: "POST", path: "/api/v1/assignments/a:c/run", role: "editor", status: 200, want: []string{`"outcome":"pass"`, `"manual":true`}},
		{do: "POST", path: "/api/v1/assignments/a:x/run", role: "editor", status: 404, want: []string{"system:check"}},
		{do: "GET", path: "/api/v1/systems/a/detail", role: "viewer", status: 200, want: []string{`"progress":"1 run passed in a row; healthy at 1"`, `"ring":"p"`, `"rules":[]`, `"collectors":["ping"]`}},
		{do: "GET", path: "/api/v1/systems/a/timeline?range=1h", role: "viewer", status: 200, want: []string{`"health":"unknown"`, `"health":"healthy"`}},
		{do: "GET", path: "/api/v1/systems/a/timeline?range=1y", role: "viewer", status: 422, want: []string{"not a duration"}},
		{do: "GET", path: "/api/v1/assignments/a:c/latency?range=1h", role: "viewer", status: 200, want: []string{"12", `"step":60000`, `"tier":"minutes"`, `"whole":{"p50":12`, `"up":1`}},
		{do: "GET", path: "/api/v1/assignments/a:c/latency?range=365d", role: "viewer", status: 200, want: []string{`"tier":"days"`, `"step":259200000`, `"runs":1`}},
		{do: "GET", path: "/api/v1/assignments/a:c/latency?range=400d", role: "viewer", status: 422, want: []string{"is not from 1m to 366d"}},
		{do: "POST", path: "/api/v1/assignments/a:c/disable", role: "editor", status: 204},
		{do: "POST", path: "/api/v1/assignments/a:c/run", role: "editor", status: 409, want: []string{"enable it first"}},
		{do: "GET", path: "/api/v1/checks/c", role: "viewer", status: 200, want: []string{`"overrides":{"a":{"disabled":true}}`}},
		{do: "POST", path: "/api/v1/assignments/a:c/enable", role: "editor", status: 204},
		{do: "GET", path: "/api/v1/runs?system=a", role: "viewer", status: 200, want: []string{`"assignment":"a:c"`}},
		{do: "GET", path: "/api/v1/runs?outcome=nope", role: "viewer", status: 422, want: []string{"is not an outcome"}},
		{do: "GET", path: "/api/v1/runs?colour=red", role: "viewer", status: 422, want: []string{"unknown query parameter"}},
		{do: "GET", path: "/api/v1/runs/1", role: "viewer", status: 200},
		{do: "GET", path: "/api/v1/runs/99", role: "viewer", status: 404},
		{do: "GET", path: "/api/v1/transitions?system=a&limit=1", role: "viewer", status: 200, want: []string{`"next":`}},
		{do: "GET", path: "/api/v1/transitions?subject=a", role: "viewer", status: 422, want: []string{"needs its kind"}},

		{do: "POST", path: "/api/v1/rules", role: "editor", body: strings.Replace(ruleR, `"on"`, `"when":"bad","on"`, 1), status: 422, want: []string{"bad is not known", `"path":"when"`}},
		{do: "POST", path: "/api/v1/rules", role: "editor", body: ruleR, status: 201},
		{do: "GET", path: "/api/v1/rules", role: "viewer", status: 200, want: []string{`"gate":"for 2m"`, `"fired":0`}},
		{do: "POST", path: "/api/v1/rules/validate", role: "viewer", body: ruleR, status: 200, want: []string{`"ok":true`}},
		{do: "POST", path: "/api/v1/rules/expr", role: "viewer", body: `{"expr":"true","as":"bool","where":"when"}`, status: 200, want: []string{`"ok":true`, `"refs":[]`, `"systems":1`}},
		{do: "POST", path: "/api/v1/rules/expr", role: "viewer", body: `{"expr":"true","as":"bool","where":"there"}`, status: 422, want: []string{`"path":"where"`}},
		{do: "GET", path: "/api/v1/rules/env?where=when", role: "viewer", status: 200, want: []string{`"vars":{}`}},
		{do: "GET", path: "/api/v1/rules/r/state", role: "viewer", status: 200},
		{do: "GET", path: "/api/v1/rules/q/state", role: "viewer", status: 404},
		{do: "POST", path: "/api/v1/rules/backtest", role: "viewer", body: `{"span":"3h","rule":` + ruleR + `}`, status: 200, want: []string{`"fired":3`, `"saved":{`}},
		{do: "POST", path: "/api/v1/rules/backtest", role: "viewer", body: `{"rule":` + strings.Replace(ruleR, `"r"`, `"new"`, 1) + `}`, status: 200, want: []string{`"fired":0`}, not: []string{`"saved"`}},
		{do: "POST", path: "/api/v1/rules/backtest", role: "viewer", body: `{"rule":` + strings.Replace(ruleR, `"on"`, `"when":"bad","on"`, 1) + `}`, status: 422, want: []string{`"path":"rule.when"`}},
		{do: "POST", path: "/api/v1/rules/backtest", role: "viewer", body: `{"span":"400d","rule":` + ruleR + `}`, status: 422, want: []string{`"path":"span"`}},
		{do: "GET", path: "/api/v1/rules/r/explain?system=a", role: "viewer", status: 200, want: []string{`"text":"It does not fire for a"`, `"kind":"system"`, `"decisions":[]`, `"blocked":"when"`}},
		{do: "GET", path: "/api/v1/rules/r/explain?system=a&check=c", role: "viewer", status: 200, want: []string{`"subject":{"kind":"assignment","id":"a:c"}`}},
		{do: "GET", path: "/api/v1/rules/r/explain?group=g", role: "viewer", status: 200, want: []string{`"kind":"group"`}},
		{do: "GET", path: "/api/v1/rules/r/explain?group=g&system=a", role: "viewer", status: 422, want: []string{`"path":"group"`}},
		{do: "GET", path: "/api/v1/rules/r/explain", role: "viewer", status: 422, want: []string{"name a system"}},
		{do: "GET", path: "/api/v1/rules/r/explain?system=q", role: "viewer", status: 404},
		{do: "GET", path: "/api/v1/rules/q/explain?system=a", role: "viewer", status: 404},
		{do: "GET", path: "/api/v1/rules/r/decisions?verdict=fire,hold", role: "viewer", status: 200, want: []string{`"items":[]`}},
		{do: "GET", path: "/api/v1/rules/r/decisions?verdict=maybe", role: "viewer", status: 422, want: []string{"is not a verdict"}},
		{do: "GET", path: "/api/v1/decisions/1", role: "viewer", status: 404},
		{do: "GET", path: "/api/v1/firings?status=done", role: "viewer", status: 200},
		{do: "GET", path: "/api/v1/firings/none", role: "viewer", status: 404},
		{do: "POST", path: "/api/v1/firings/none/cancel", role: "editor", status: 404},
		{do: "GET", path: "/api/v1/deliveries?status=dead", role: "viewer", status: 200},
		{do: "POST", path: "/api/v1/deliveries/1/resend", role: "editor", status: 404},

		{do: "POST", path: "/api/v1/modules", role: "editor", body: "junk", headers: []string{"Content-Type", "application/octet-stream"}, status: 422, want: []string{"this is not a module"}},
		{do: "POST", path: "/api/v1/modules", role: "editor", body: "lag 1.0", status: 415},
		{do: "POST", path: "/api/v1/modules?inspect=true", role: "editor", body: "lag 1.0", headers: []string{"Content-Type", "application/octet-stream"}, status: 200, want: []string{`"stored":false`}},
		{do: "POST", path: "/api/v1/modules?inspect=true", role: "editor", body: "new 1.0", headers: []string{"Content-Type", "application/octet-stream"}, status: 422, want: []string{"its page would be /collectors/new"}},
		{do: "POST", path: "/api/v1/modules?inspect=true", role: "editor", body: "ping 1.0", headers: []string{"Content-Type", "application/octet-stream"}, status: 422, want: []string{"a built-in collector has it"}},
		{do: "GET", path: "/api/v1/modules/lag", role: "viewer", status: 404},
		{do: "POST", path: "/api/v1/modules", role: "editor", body: "lag 1.0", headers: []string{"Content-Type", "application/octet-stream"}, status: 200, want: []string{`"stored":true`}},
		{do: "POST", path: modules + "/activate", role: "editor", body: `{"grant":{"http":["https://evil.example:443"]}}`, status: 422, want: []string{"does not want https://evil.example:443"}},
		{do: "POST", path: modules + "/activate", role: "editor", body: `{"grant":{"http":["https://api.example.com:443"]}}`, status: 200, want: []string{`"active":true`}},
		// The very same file again keeps what was activated.
		{do: "POST", path: "/api/v1/modules", role: "editor", body: "lag 1.0", headers: []string{"Content-Type", "application/octet-stream"}, status: 200, want: []string{`"stored":true`, `"active":{`}},
		{do: "GET", path: "/api/v1/modules/lag", role: "viewer", status: 200, want: []string{`"active":true`, "https://api.example.com:443"}},
		{do: "POST", path: modules + "/activate", role: "editor", body: `{"grant":{"private":true}}`, status: 422, want: []string{`"path":"grant.private"`}},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"system":"a"}`, status: 200, want: []string{"lag on a", `"wall_limit":"10s"`, `"logs":[]`}},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"timeout":"1h"}`, status: 422},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"as":{"id":"made-up"},"version":"@nine"}`, status: 404, want: []string{"no version, number or alias"}},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"as":{"id":"made-up"},"version":"1"}`, status: 200, want: []string{"lag on made-up", `"version":"1.0"`}},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"as":{"id":"b"},"system":"a"}`, status: 422, want: []string{`"path":"as"`}},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"grant":{"http":["https://evil.example:443"]}}`, status: 422, want: []string{"does not want"}},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"compare":true}`, status: 422, want: []string{`"path":"compare"`}},

		// A second version: reviewed without being used, tried, promoted, rolled back.
		{do: "POST", path: "/api/v1/modules", role: "editor", body: "lag 2.0", headers: []string{"Content-Type", "application/octet-stream"}, status: 200, want: []string{`"number":2`, `"granted":false`, `"against":"1.0"`, `"path":"http","change":"widened","value":"https://*.example.com:443","before":"https://api.example.com:443","wider":true,"danger":"It may reach every host under example.com`}},
		{do: "PUT", path: "/api/v1/modules/lag/canary", role: "editor", body: `{"version":"2.0","percent":10}`, status: 409, want: []string{"grant it first"}},
		{do: "PUT", path: "/api/v1/modules/lag/aliases/next", role: "editor", body: `{"version":"2"}`, status: 409, want: []string{"grant it first"}},
		{do: "POST", path: "/api/v1/modules/lag/versions/2.0/grant", role: "viewer", body: `{"grant":{}}`, status: 403},
		{do: "POST", path: "/api/v1/modules/lag/versions/9.0/grant", role: "editor", body: `{"grant":{}}`, status: 404},
		{do: "POST", path: "/api/v1/modules/lag/versions/2.0/grant", role: "editor", body: `{"grant":{}}`, status: 200, want: []string{`"stable":"1.0"`, `"granted_by":"editor-bot"`}},
		{do: "POST", path: "/api/v1/modules/lag/test", role: "editor", body: `{"version":"2.0","compare":true}`, status: 200, want: []string{`"active":{"version":"1.0"`}},
		{do: "PUT", path: "/api/v1/modules/lag/aliases/3", role: "editor", body: `{"version":"2"}`, status: 422, want: []string{"is a number"}},
		{do: "PUT", path: "/api/v1/modules/lag/aliases/1.0", role: "editor", body: `{"version":"2"}`, status: 422, want: []string{"is a version of lag"}},
		{do: "PUT", path: "/api/v1/modules/lag/aliases/next", role: "editor", body: `{"version":"2"}`, status: 200, want: []string{`"aliases":{"next":"2.0"}`, "no assignment runs another version"}},
		{do: "POST", path: "/api/v1/modules", role: "editor", body: "lag next", headers: []string{"Content-Type", "application/octet-stream"}, status: 409, want: []string{"next is an alias of lag"}},
		{do: "PUT", path: "/api/v1/modules/lag/canary", role: "editor", body: `{"version":"next"}`, status: 409, want: []string{"runs nowhere"}},
		{do: "PUT", path: "/api/v1/modules/lag/canary", role: "editor", body: `{"version":"next","systems":["nowhere"]}`, status: 422, want: []string{`"path":"systems[0]"`}},
		{do: "PUT", path: "/api/v1/modules/lag/canary", role: "editor", body: `{"version":"next","percent":10}`, status: 200, want: []string{`"canary":{"version":"2.0","percent":10`, `"trial":{"runs":3,"errors":1`, `"against":{"runs":9`}},
		{do: "DELETE", path: "/api/v1/modules/lag/versions/2.0", role: "editor", status: 409, want: []string{"the alias next means it; it is the canary"}},
		{do: "DELETE", path: "/api/v1/modules/lag/aliases/next", role: "editor", status: 200},
		{do: "DELETE", path: "/api/v1/modules/lag/aliases/next", role: "editor", status: 404},
		{do: "DELETE", path: "/api/v1/modules/lag/canary", role: "editor", status: 200},
		{do: "DELETE", path: "/api/v1/modules/lag/canary", role: "editor", status: 409, want: []string{"no canary to abort"}},
		{do: "POST", path: "/api/v1/modules/lag/canary/promote", role: "editor", status: 409, want: []string{"no canary to promote"}},
		{do: "POST", path: "/api/v1/modules/lag/rollback", role: "editor", status: 409, want: []string{"was stable before"}},
		{do: "POST", path: "/api/v1/modules/lag/versions/2.0/activate", role: "editor", body: `{"grant":{}}`, status: 200, want: []string{`"stable":"2.0","rollback":"1.0"`}},
		{do: "DELETE", path: modules, role: "editor", status: 409, want: []string{"a rollback would go back to it"}},
		{do: "POST", path: "/api/v1/modules/lag/rollback", role: "editor", status: 200, want: []string{`"stable":"1.0"`, `"action":"rollback","from":"2.0","to":"1.0"`}},
		{do: "DELETE", path: "/api/v1/modules/lag/versions/2.0", role: "editor", status: 204},
		{do: "GET", path: "/api/v1/runs/1/recordings/ping", role: "viewer", status: 403},
		{do: "GET", path: "/api/v1/runs/1/recordings/ping", role: "editor", status: 404, want: []string{"there is no recording of step"}},
		{do: "POST", path: "/api/v1/runs/1/replay", body: `{}`, role: "viewer", status: 403},
		{do: "POST", path: "/api/v1/runs/1/replay", body: `{"step": "ping"}`, role: "editor", status: 404, want: []string{"there is no recording of step"}},
		{do: "POST", path: "/api/v1/runs/1/replay", body: `{}`, role: "editor", status: 404, want: []string{"run 1 has no recording"}},
		{do: "GET", path: modules + "/file", role: "viewer", status: 200, want: []string{"lag 1.0"}},
		{do: "DELETE", path: modules, role: "editor", status: 204},
		{do: "GET", path: "/api/v1/modules", role: "viewer", status: 200, want: []string{`"items":[]`}},

		{do: "PUT", path: "/api/v1/silences/s", role: "editor", body: `{"id":"s","systems":{"names":["a"]},"starts":"2026-01-01T00:00:00Z","ends":"2036-01-01T00:00:00Z"}`, status: 200},
		{do: "DELETE", path: "/api/v1/silences/s", role: "editor", headers: []string{"If-Match", "7"}, status: 412},
		{do: "DELETE", path: "/api/v1/silences/s", role: "editor", headers: []string{"If-Match", "1"}, status: 204},
		{do: "DELETE", path: "/api/v1/silences/s", role: "editor", status: 404},
		{do: "POST", path: "/api/v1/silences", role: "viewer", body: `{"systems":{"names":["a"]},"ends":"2036-01-01T00:00:00Z"}`, status: 403},
		{do: "POST", path: "/api/v1/silences", role: "operator", body: `{"id":"now","systems":{"names":["a"]},"ends":"2036-01-01T00:00:00Z"}`, status: 201, want: []string{`"by":"operator-bot"`, `"starts":"20`}},
		{do: "POST", path: "/api/v1/silences", role: "operator", body: `{"match":"true","ends":"2036-01-01T00:00:00Z"}`, status: 201, want: []string{`"id":"silence-20`}},
		{do: "POST", path: "/api/v1/silences", role: "operator", body: `{"ends":"2036-01-01T00:00:00Z"}`, status: 422, want: []string{"it applies to no system"}},
		{do: "POST", path: "/api/v1/silences/preview", role: "viewer", body: `{"systems":{"names":["a"]},"ends":"2036-01-01T00:00:00Z"}`, status: 200, want: []string{`"systems":["a"]`}},
		{do: "POST", path: "/api/v1/silences/preview", role: "viewer", body: `{"match":"rule.idd == 1","ends":"2036-01-01T00:00:00Z"}`, status: 422, want: []string{`"path":"match"`, `"column":6`}},
		{do: "POST", path: "/api/v1/silences/now/expire", role: "viewer", status: 403},
		{do: "POST", path: "/api/v1/silences/none/expire", role: "operator", status: 404},
		{do: "PUT", path: "/api/v1/silences/later", role: "operator", body: `{"id":"later","systems":{"names":["a"]},"starts":"2035-01-01T00:00:00Z","ends":"2036-01-01T00:00:00Z"}`, status: 200},
		{do: "POST", path: "/api/v1/silences/later/expire", role: "operator", status: 200, want: []string{`"ends":"2035-01-01T00:00:00Z"`}},
		{do: "GET", path: "/api/v1/silences/later", role: "viewer", status: 404},
		{do: "GET", path: "/api/v1/episodes", role: "viewer", status: 200, want: []string{`"items":[]`}},
		{do: "PUT", path: "/api/v1/episodes/none/acknowledgement", role: "operator", body: `{}`, status: 404, want: []string{"no episode"}},
		{do: "PUT", path: "/api/v1/channels/c", role: "editor", body: `{"id":"c","use":"slack","with":{"url":{"secret":"s"}}}`, status: 200},
		{do: "GET", path: "/api/v1/channels", role: "viewer", status: 403},
		{do: "GET", path: "/api/v1/channels/c", role: "editor", status: 200, want: []string{`"url":{"secret":"s"}`}},
		{do: "POST", path: "/api/v1/channels/none/test", role: "editor", status: 404},
		{do: "POST", path: "/api/v1/channels/c/test", role: "editor", status: 502, want: []string{"nothing that sends"}},
		{do: "DELETE", path: "/api/v1/channels/c", role: "editor", status: 204},
		{do: "GET", path: "/api/v1/maintenances", role: "viewer", status: 200},
		{do: "GET", path: "/api/v1/instance", role: "viewer", status: 200, want: []string{`"assignments":1`, `"runs":7`}},
		{do: "GET", path: "/api/v1/limits", role: "viewer", status: 200, want: []string{`"module_bytes":20971520`, `"sockets":500`, `"module_kv_calls":200`, `"tcp_calls":200`}},

		{do: "GET", path: "/api/v1/nothing", role: "viewer", status: 404, want: []string{"there is nothing at"}},
		{do: "PATCH", path: "/api/v1/systems/a", role: "editor", status: 405, want: []string{"takes GET and PUT and DELETE"}},
		{do: "GET", path: "/api/v1/nothing", status: 401},
		{do: "GET", path: "/metrics", role: "editor", status: 403},
		{do: "GET", path: "/metrics", role: "admin", status: 200, want: []string{"tocsin_runs_total 7", `tocsin_systems{health="healthy"} 0`}},
		{do: "GET", path: "/healthz", status: 200, want: []string{"ok"}},
		{do: "GET", path: "/readyz", status: 200, want: []string{"ready"}},
		{do: "GET", path: "/api/live", role: "viewer", status: 426},
		{do: "GET", path: "/", status: 200, want: []string{"This build has no pages"}},
	} {
		resp, text := in.ask(tc.do, tc.path, tc.role, tc.body, tc.headers...)
		name := fmt.Sprintf("%s %s as %q with %.80q", tc.do, tc.path, tc.role, tc.body)
		if resp.StatusCode != tc.status {
			t.Errorf("%s: status %d, want %d: %s", name, resp.StatusCode, tc.status, text)
			continue
		}
		for _, want := range tc.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: lacks %s: %s", name, want, text)
			}
		}
		for _, not := range tc.not {
			if strings.Contains(text, not) {
				t.Errorf("%s: has %s: %s", name, not, text)
			}
		}
		checkFailure(t, name, resp, text)
	}
	if log := in.log.String(); !strings.Contains(log, "what=created user=editor-bot") || !strings.Contains(log, "id=a") {
		t.Errorf("the log does not say who created a:\n%s", log)
	}
}

// checkFailure holds every error to the form of problems.
func checkFailure(t *testing.T, name string, resp reply, text string) {
	t.Helper()
	if resp.StatusCode < 400 {
		return
	}
	var f wire.Failure
	if err := json.Unmarshal([]byte(text), &f); err != nil || f.Status != resp.StatusCode || f.Title == "" || f.Detail == "" || f.Request == "" {
		t.Errorf("%s: %q is not a whole problem (%v)", name, text, err)
	}
	if got := resp.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s: content type %q", name, got)
	}
}

// TestFleet gets the snapshot, compressed and not, and by its entity tag.
func TestFleet(t *testing.T) {
	in := newInstance(t, web.Options{})
	in.ask("POST", "/api/v1/systems", "editor", systemA)
	var f wire.Fleet
	var resp reply
	for end := time.Now().Add(5 * time.Second); len(f.ID) == 0 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		var text string
		resp, text = in.ask("GET", "/api/v1/fleet", "viewer", "")
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(f.ID, []string{"a"}) || f.Health != "0" || f.Tags[0]["env"] != "prod" || f.Why[0].Text != "no check watches it" {
		t.Errorf("the fleet is %+v", f)
	}
	tag := resp.Header.Get("ETag")
	if tag != fmt.Sprintf("%q", fmt.Sprintf("%s:%d", f.Epoch, f.Seq)) {
		t.Errorf("the entity tag is %s", tag)
	}
	if resp, text := in.ask("GET", "/api/v1/fleet", "viewer", "", "If-None-Match", tag); resp.StatusCode != http.StatusNotModified || text != "" {
		t.Errorf("by its tag: %d %q", resp.StatusCode, text)
	}
	resp, text := in.ask("GET", "/api/v1/fleet", "viewer", "", "Accept-Encoding", "br, gzip;q=0.5")
	if resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("not compressed: %v", resp.Header)
	}
	z, err := gzip.NewReader(strings.NewReader(text))
	if err == nil {
		err = json.NewDecoder(z).Decode(&f)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestApply sends manifests, wrong ones and right ones.
func TestApply(t *testing.T) {
	in := newInstance(t, web.Options{})
	const good = `apiVersion: tocsin/v1
kind: System
metadata: {name: a}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: c}
spec:
  systems: {names: [a]}
  every: 30s
  collect:
    - use: ping
      with: {host: x}
      assert:
        - ms < 5
`
	yaml := []string{"Content-Type", "application/yaml"}
	apply := func(query, body string) (reply, string, wire.Failure) {
		resp, text := in.ask("POST", "/api/v1/apply"+query, "editor", body, yaml...)
		var f wire.Failure
		_ = json.Unmarshal([]byte(text), &f)
		return resp, text, f
	}
	if resp, text, f := apply("", strings.Replace(good, "every:", "evry:", 1)); resp.StatusCode != http.StatusUnprocessableEntity || len(f.Errors) == 0 || f.Errors[0].Line != 10 {
		t.Errorf("an unknown field: %d %s", resp.StatusCode, text)
	}
	if resp, text, f := apply("", strings.Replace(good, "ms < 5", "mz < 5", 1)); resp.StatusCode != http.StatusUnprocessableEntity || len(f.Errors) == 0 || f.Errors[0].Line != 15 {
		t.Errorf("an unknown name in an assertion: %d %s", resp.StatusCode, text)
	}
	if resp, text, _ := apply("?dry_run=true", good); resp.StatusCode != http.StatusOK || !strings.Contains(text, `"action":"created"`) || !strings.Contains(text, `"dry_run":true`) {
		t.Errorf("dry run: %d %s", resp.StatusCode, text)
	}
	if resp, _ := in.ask("GET", "/api/v1/systems/a", "viewer", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a dry run stored something")
	}
	if resp, text, _ := apply("", good); resp.StatusCode != http.StatusOK || strings.Count(text, "created") != 2 {
		t.Errorf("apply: %d %s", resp.StatusCode, text)
	}
	if resp, text, _ := apply("", good); resp.StatusCode != http.StatusOK || strings.Count(text, "unchanged") != 2 {
		t.Errorf("apply again: %d %s", resp.StatusCode, text)
	}
	if resp, _ := in.ask("POST", "/api/v1/apply", "editor", good, "Content-Type", "text/html"); resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("text/html: %d, want 415", resp.StatusCode)
	}
}

// TestUploadForm sends a module as the file of a form.
func TestUploadForm(t *testing.T) {
	in := newInstance(t, web.Options{})
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	part, err := form.CreateFormFile("file", "lag.bin")
	if err == nil {
		_, err = io.WriteString(part, "lag 2.0")
	}
	if err = errors.Join(err, form.Close()); err != nil {
		t.Fatal(err)
	}
	if resp, text := in.ask("POST", "/api/v1/modules", "editor", b.String(), "Content-Type", form.FormDataContentType()); resp.StatusCode != http.StatusOK || !strings.Contains(text, `"version":"2.0"`) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
}

// TestExamples stores a module that comes with Tocsin as an upload would.
func TestExamples(t *testing.T) {
	in := newInstance(t, web.Options{})
	if _, text := in.ask("GET", "/api/v1/examples", "viewer", ""); !strings.Contains(text, `["queue"]`) {
		t.Errorf("the examples are %s", text)
	}
	if resp, text := in.ask("POST", "/api/v1/examples/queue", "editor", ""); resp.StatusCode != http.StatusOK || !strings.Contains(text, `"stored":true`) {
		t.Errorf("%d %s", resp.StatusCode, text)
	}
	if resp, text := in.ask("GET", "/api/v1/modules/queue", "viewer", ""); resp.StatusCode != http.StatusOK || !strings.Contains(text, `"version":"1.0"`) {
		t.Errorf("the module is %d %s", resp.StatusCode, text)
	}
	if resp, text := in.ask("POST", "/api/v1/examples/nothing", "editor", ""); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an example that is not there: %d %s", resp.StatusCode, text)
	}
}

// TestEveryRoute asks every route of the table as nobody, as a viewer and as
// an editor: strangers get nothing but the public routes, and nobody gets more
// than the role allows. acceptance 43.
func TestEveryRoute(t *testing.T) {
	in := newInstance(t, web.Options{SignIns: 1 << 20})
	public := []string{"/", "GET /login", "GET /healthz", "GET /readyz"}
	roles := map[string]web.Right{"viewer": web.Viewer, "operator": web.Operator, "editor": web.Editor, "admin": web.Admin}
	for _, route := range slices.Sorted(maps.Keys(web.Routes())) {
		right := web.Routes()[route]
		if (right == web.Public) != slices.Contains(public, route) {
			t.Errorf("%s has the right %s", route, right)
		}
		method, path, ok := strings.Cut(route, " ")
		if !ok {
			method, path = "GET", route
		}
		mutates := method != "GET" && !slices.Contains([]string{"/validate", "/expr", "/backtest", "/preview", "/logout"}, path[strings.LastIndex(path, "/"):])
		if strings.HasPrefix(path, "/api/v1/demo/") {
			mutates = false // it changes the demo's own targets, and nothing that is stored
		}
		if (strings.HasPrefix(path, "/api/v1/silences") || strings.HasSuffix(path, "/acknowledgement")) && right == web.Operator {
			mutates = false // it changes what is told, and nothing of what is checked or decided
		}
		if mutates && right < web.Editor {
			t.Errorf("%s changes something and needs only %s", route, right)
		}
		path = strings.NewReplacer("{id}", "1", "{name}", "x", "{version}", "1").Replace(path)
		resp, text := in.ask(method, path, "", "")
		if right > web.Public && resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s as nobody: %d %s", route, resp.StatusCode, text)
		}
		resp, _ = in.ask(method, path, "", "", "Authorization", "Bearer wrong")
		if right > web.Public && resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s with a wrong token: %d", route, resp.StatusCode)
		}
		for role, has := range roles {
			if path == "/api/v1/logout" {
				continue // would end the session of the test
			}
			resp, text := in.ask(method, path, role, "")
			if refused := resp.StatusCode == http.StatusForbidden; refused != (has < right) || resp.StatusCode == http.StatusUnauthorized {
				t.Errorf("%s as %s: %d %s", route, role, resp.StatusCode, text)
			}
			if resp.StatusCode >= 500 {
				t.Errorf("%s as %s: %d %s", route, role, resp.StatusCode, text)
			}
		}
	}
}

// TestOpenAPI holds the description to the routes that are served.
func TestOpenAPI(t *testing.T) {
	in := newInstance(t, web.Options{})
	_, text := in.ask("GET", "/api/openapi.json", "viewer", "")
	type operation struct {
		OperationID string `json:"operationId"`
		Summary     string `json:"summary"`
		Responses   map[string]struct {
			Content map[string]any `json:"content"`
		} `json:"responses"`
	}
	var doc struct {
		OpenAPI    string                          `json:"openapi"`
		Paths      map[string]map[string]operation `json:"paths"`
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI is %q", doc.OpenAPI)
	}
	ids := map[string]bool{}
	for route := range web.Routes() {
		method, path, _ := strings.Cut(route, " ")
		if !strings.HasPrefix(path, "/api/v1/") {
			continue
		}
		op, ok := doc.Paths[path][strings.ToLower(method)]
		if !ok || op.OperationID == "" || op.Summary == "" || ids[op.OperationID] {
			t.Errorf("%s is described as %+v", route, op)
		}
		ids[op.OperationID] = true
		if op.Responses["401"].Content["application/problem+json"] == nil || op.Responses["403"].Content == nil {
			t.Errorf("%s does not describe its errors", route)
		}
	}
	for _, name := range []string{"System", "Check", "Rule", "Fleet", "Failure", "SystemDetail"} {
		if doc.Components.Schemas[name] == nil {
			t.Errorf("there is no schema %s", name)
		}
	}
	if strings.Contains(text, "ErrorModel") {
		t.Error("the description speaks of errors of another form")
	}
}

// TestSignIn opens a link, once, and signs out, which ends the socket.
func TestSignIn(t *testing.T) {
	in := newInstance(t, web.Options{})
	link, err := web.NewLink(t.Context(), in.db, "ann", "editor")
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Jar: jar}
	ask := func(method, path string, headers ...string) (reply, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, in.server.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		for pair := range slices.Chunk(headers, 2) {
			req.Header.Set(pair[0], pair[1])
		}
		resp, err := browser.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply{resp.StatusCode, resp.Header, resp.Request.URL.Path}, string(text)
	}
	ask("HEAD", "/login?link="+link)                               // a program that looks
	ask("GET", "/login?link="+link, "Sec-Purpose", "prefetch;x=y") // a browser that looks ahead
	if resp, text := ask("GET", "/login?link="+link); resp.StatusCode != http.StatusOK || resp.path != "/" {
		t.Fatalf("the link led to %s: %d %s", resp.path, resp.StatusCode, text)
	}
	site, _ := url.Parse(in.server.URL)
	cookies := jar.Cookies(site)
	if len(cookies) != 1 {
		t.Fatalf("cookies are %v", cookies)
	}
	if resp, text := ask("GET", "/api/v1/me"); resp.StatusCode != http.StatusOK || !strings.Contains(text, `"user":"ann"`) {
		t.Errorf("me: %d %s", resp.StatusCode, text)
	}
	if resp, text := ask("GET", "/login?link="+link); resp.StatusCode != http.StatusForbidden || !strings.Contains(text, "tocsin login-link") {
		t.Errorf("the link again: %d %s", resp.StatusCode, text)
	}
	if resp, _ := in.ask("GET", "/api/v1/me", "", "", "Authorization", "Bearer "+cookies[0].Value); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a cookie's secret as a token: %d, want 401", resp.StatusCode)
	}

	dialer := websocket.Dialer{Subprotocols: []string{live.Protocol}, Jar: jar}
	if conn, resp, err := dialer.Dial("ws"+strings.TrimPrefix(in.server.URL, "http")+"/api/live", http.Header{"Origin": {"https://evil.example"}}); err == nil {
		_ = conn.Close()
		t.Error("a page of another site opened a socket")
	} else {
		_ = resp.Body.Close()
	}
	conn, resp, err := dialer.Dial("ws"+strings.TrimPrefix(in.server.URL, "http")+"/api/live", http.Header{"Origin": {in.server.URL}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	defer func() { _ = conn.Close() }()
	if err := conn.WriteJSON(wire.Frame{T: "hello", V: 1}); err != nil {
		t.Fatal(err)
	}

	if resp, text := ask("POST", "/api/v1/logout", "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a form of another site signed out: %d %s", resp.StatusCode, text)
	}
	began := time.Now()
	if resp, text := ask("POST", "/api/v1/logout", "Sec-Fetch-Site", "same-origin"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("sign out: %d %s", resp.StatusCode, text)
	}
	for err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, _, err = conn.ReadMessage()
	}
	if !websocket.IsCloseError(err, wire.CloseSession) || time.Since(began) > time.Second {
		t.Errorf("after %s the socket ended with %v, want %d within 1 s", time.Since(began), err, wire.CloseSession)
	}
	jar.SetCookies(site, cookies)
	if resp, _ := ask("GET", "/api/v1/me"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("the ended session still works: %d", resp.StatusCode)
	}
}

// TestCookie looks at the cookie's flags, behind TLS and not.
func TestCookie(t *testing.T) {
	for _, secure := range []bool{false, true} {
		in := newInstance(t, web.Options{Secure: secure})
		link, err := web.NewLink(t.Context(), in.db, "ann", "viewer")
		if err != nil {
			t.Fatal(err)
		}
		resp, _ := in.ask("GET", "/login?link="+link, "", "")
		got := resp.Header.Get("Set-Cookie")
		for _, want := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(got, want) {
				t.Errorf("the cookie %q lacks %s", got, want)
			}
		}
		if strings.Contains(got, "Secure") != secure {
			t.Errorf("the cookie %q, secure is %v", got, secure)
		}
		if loc := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || loc != "/" {
			t.Errorf("redirect %d to %q", resp.StatusCode, loc)
		}
	}
}

// TestSignInsAreLimited tries many links from one address.
func TestSignInsAreLimited(t *testing.T) {
	in := newInstance(t, web.Options{SignIns: 5})
	last := 0
	for range 8 {
		resp, _ := in.ask("GET", "/login?link=guess", "", "", "X-Forwarded-For", "192.0.2."+fmt.Sprint(last))
		last = resp.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("the eighth guess was answered with %d, want 429", last)
	}
}

// TestProxy counts sign-ins by the address that a believed proxy tells, and a
// made-up one in front of it changes nothing.
func TestProxy(t *testing.T) {
	in := newInstance(t, web.Options{SignIns: 2, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	ask := func(forwarded string) int {
		resp, _ := in.ask("GET", "/login?link=guess", "", "", "X-Forwarded-For", forwarded)
		return resp.StatusCode
	}
	for i := range 6 {
		if got := ask(fmt.Sprintf("192.0.2.%d", i)); got != http.StatusForbidden {
			t.Errorf("address %d: %d, want 403", i, got)
		}
	}
	last := 0
	for i := range 4 {
		last = ask(fmt.Sprintf("203.0.113.%d, 198.51.100.1", i))
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("with made-up addresses in front: %d, want 429", last)
	}
}

// TestPanic ends a request alone, with a problem that tells nothing.
func TestPanic(t *testing.T) {
	in := newInstanceWith(t, web.Options{}, func(func(*http.Request) any) http.Handler {
		return http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the secret is 42") })
	})
	resp, text := in.ask("GET", "/x", "", "")
	checkFailure(t, "a panic", resp, text)
	if resp.StatusCode != http.StatusInternalServerError || strings.Contains(text, "the secret") {
		t.Errorf("a panic: %d %s", resp.StatusCode, text)
	}
	if resp, _ := in.ask("GET", "/healthz", "", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("after a panic: %d", resp.StatusCode)
	}
}

// TestBoot tells a page who looks at it, and a stranger nothing.
func TestBoot(t *testing.T) {
	in := newInstanceWith(t, web.Options{Version: "1.2.3"}, func(boot func(*http.Request) any) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(boot(r)) })
	})
	if _, text := in.ask("GET", "/systems/a", "", ""); !strings.Contains(text, `"me":null`) || strings.Contains(text, "1.2.3") {
		t.Errorf("a stranger is told %s", text)
	}
	if _, text := in.ask("GET", "/systems/a", "viewer", ""); !strings.Contains(text, `"user":"viewer-bot"`) || !strings.Contains(text, "1.2.3") {
		t.Errorf("a viewer is told %s", text)
	}
}

// TestEndedElsewhere revokes a session in the storage alone: its socket ends.
func TestEndedElsewhere(t *testing.T) {
	in := newInstance(t, web.Options{})
	h := http.Header{"Authorization": {"Bearer " + in.tokens["viewer"]}}
	dialer := websocket.Dialer{Subprotocols: []string{live.Protocol}}
	conn, resp, err := dialer.Dial("ws"+strings.TrimPrefix(in.server.URL, "http")+"/api/live", h)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	defer func() { _ = conn.Close() }()
	if err := conn.WriteJSON(wire.Frame{T: "hello", V: 1, Subs: []wire.Frame{{ID: 1, Topic: "fleet"}}}); err != nil {
		t.Fatal(err)
	}
	if err := in.db.EndSession(t.Context(), hashOf(in.tokens["viewer"])); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
		_, _, err = conn.ReadMessage()
	}
	if !websocket.IsCloseError(err, wire.CloseSession) {
		t.Errorf("the socket ended with %v, want %d", err, wire.CloseSession)
	}
}

func hashOf(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}
