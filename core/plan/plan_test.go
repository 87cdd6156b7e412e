package plan_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect"
	"github.com/tocsin-io/tocsin/core/collect/dial"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/plan"
)

// known is the built-in collectors, and modules that tests make up.
type known struct {
	builtin *collect.Registry
	modules map[string]module
}

// module is a collector that is not built in.
type module struct {
	info    core.CollectorInfo
	collect func(ctx context.Context, config map[string]any) core.Result
}

func collectors() *known {
	d := dial.New(dial.Policy{Loopback: true, Private: true}, dial.Options{})
	return &known{builtin: collect.Builtin(d.DialContext), modules: map[string]module{}}
}

func (k *known) Info(use string) (core.CollectorInfo, error) {
	name, ok := strings.CutPrefix(use, "wasm:")
	if !ok {
		return k.builtin.Info(use)
	}
	if m, ok := k.modules[name]; ok {
		return m.info, nil
	}
	return core.CollectorInfo{}, fmt.Errorf("no module named %s is uploaded; upload it first", name)
}

type moduleCollector struct {
	module
	config map[string]any
}

func (c moduleCollector) Collect(ctx context.Context, _ core.RunContext) core.Result {
	return c.collect(ctx, c.config)
}

func (k *known) Prepare(use, _ string, config map[string]any) (plan.Collector, error) {
	name, ok := strings.CutPrefix(use, "wasm:")
	if !ok {
		return k.builtin.Prepare(use, config)
	}
	if m, ok := k.modules[name]; ok {
		return moduleCollector{m, config}, nil
	}
	return nil, fmt.Errorf("no module named %s is uploaded; upload it first", name)
}

// lag is a module that reports what it is told to.
func lag(samples core.Samples, outcome core.Outcome) module {
	return module{
		info: core.CollectorInfo{
			Name:   "pg-lag",
			Schema: json.RawMessage(`{"type":"object","additionalProperties":false,"required":["database"],"properties":{"database":{"type":"string"},"token":{"type":"string"},"port":{"type":"integer","maximum":65535},"mode":{"enum":["fast","full"]}}}`),
			Samples: []core.SampleDecl{
				{Name: "lag_seconds", Type: core.NumberSample, Unit: "s"},
				{Name: "role", Type: core.StringSample},
			},
		},
		collect: func(context.Context, map[string]any) core.Result {
			return core.Result{Outcome: outcome, Summary: "asked", Samples: samples, Latency: 3 * time.Millisecond}
		},
	}
}

func systems() []core.System {
	return []core.System{
		{ID: "db", Name: "Orders database", Tags: map[string]string{"env": "prod", "host": "127.0.0.1:1"}, Groups: []string{"core"}},
		{ID: "web-1", Tags: map[string]string{"env": "prod"}, DependsOn: []string{"db"}},
		{ID: "web-2", Tags: map[string]string{"env": "test"}},
	}
}

func httpCheck(url string, asserts ...string) core.Check {
	return core.Check{
		ID: "api", Systems: core.Selector{Names: []string{"web-1"}}, Every: core.Duration(30 * time.Second),
		Collect: []core.Collect{{Use: "http", With: map[string]any{"url": url}, Assert: asserts}},
	}
}

// runOne runs the only task of a check once.
func runOne(t *testing.T, p *plan.Planner, c core.Check, timeout time.Duration) core.Run {
	t.Helper()
	tasks := p.Tasks([]core.Check{c}, systems())
	if len(tasks) != 1 {
		t.Fatalf("tasks of check %s: got %d, want 1", c.ID, len(tasks))
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	var run core.Run
	tasks[0].Collect(ctx, &run)
	return run
}

func target(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/down":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/secret":
			fmt.Fprintf(w, "you sent %s", r.Header.Get("Authorization"))
		default:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintln(w, `{"version":"1.2","count":3,"gone":null}`)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

// refused is an address that nothing listens on.
func refused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return address
}

// TestOutcomes has one run of each kind of end: one Outcome and one reason.
// acceptance 3.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	server := target(t)
	k := collectors()
	k.modules["pg-lag"] = lag(core.Samples{"lag_seconds": 4.0, "role": "primary"}, core.Pass)
	fault := lag(nil, core.Error)
	fault.collect = func(context.Context, map[string]any) core.Result {
		return core.Result{Outcome: core.Error, Why: core.Because("limit", "the module used more than {limit} of memory", "limit", "16 MiB")}
	}
	k.modules["hungry"] = fault
	crash := lag(nil, core.Pass)
	crash.collect = func(context.Context, map[string]any) core.Result { panic("out of cheese") }
	k.modules["crash"] = crash
	p := plan.New(k, plan.Options{})
	module := func(name string, with map[string]any, asserts, warns []string) core.Check {
		c := httpCheck("")
		c.Collect = []core.Collect{{Use: "wasm:" + name, With: with, Assert: asserts, Warn: warns}}
		return c
	}
	db := map[string]any{"database": "orders"}
	for _, tt := range []struct {
		name    string
		check   core.Check
		outcome core.Outcome
		code    string
		text    string
	}{
		{"pass", httpCheck(server.URL, `status == 200`, `json.version != ""`, `latency < duration("5s")`), core.Pass, "", ""},
		{"timeout", httpCheck(server.URL + "/slow"), core.Fail, "timeout", "timed out after"},
		{"connect", httpCheck("http://" + refused(t)), core.Fail, "connect", "connection refused on :"},
		{"status", httpCheck(server.URL + "/down"), core.Fail, "implied", "503"},
		{"status asserted otherwise", httpCheck(server.URL+"/down", `status == 503`), core.Pass, "", ""},
		{"assertion", httpCheck(server.URL+"/down", `status == 200`), core.Fail, "assertion", `status == 200: status is 503`},
		{"assertion of many", httpCheck(server.URL, `status == 200 && json.count > 5`), core.Fail, "assertion", `status == 200 && json.count > 5: json.count is 3`},
		{"warn", module("pg-lag", db, []string{"lag_seconds < 10"}, []string{"lag_seconds < 2"}), core.Warn, "warning", "lag_seconds < 2: lag_seconds is 4"},
		{"missing collector", module("gone", db, nil, nil), core.Error, "collector", "no module named gone is uploaded; upload it first"},
		{"missing secret", secretive(), core.Error, "secret", `there is no secret "dsn"`},
		{"platform fault", module("hungry", db, []string{"lag_seconds < 10"}, nil), core.Error, "limit", "the module used more than 16 MiB of memory"},
		{"crash", module("crash", db, nil, nil), core.Error, "panic", "the collector wasm:crash crashed: out of cheese"},
		{"too much work", httpCheck(server.URL, `any(1..9999, none(1..9999, # > 0))`), core.Error, "assertion_limit", "takes too much work"},
		{"mistake in the check", httpCheck(server.URL, `statuss == 200`), core.Error, "config", `did you mean "status"?`},
		{"mistake in the configuration", httpCheck("https://${system.tags.host}/"), core.Error, "config", "names no host"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			timeout := 5 * time.Second
			if tt.name == "timeout" {
				timeout = 100 * time.Millisecond
			}
			run := runOne(t, p, tt.check, timeout)
			if run.Outcome != tt.outcome || run.Why.Code != tt.code || !strings.Contains(run.Why.Text, tt.text) {
				t.Errorf("got %s, %s: %q; want %s, %s: %q", run.Outcome, run.Why.Code, run.Why.Text, tt.outcome, tt.code, tt.text)
			}
			if len(run.Steps) != 1 || run.Steps[0].Outcome != tt.outcome {
				t.Errorf("steps: got %+v, want one with outcome %s", run.Steps, tt.outcome)
			}
		})
	}
}

// secretive is a check that is built in and sends a secret that is not there.
func secretive() core.Check {
	c := httpCheck("http://127.0.0.1:1/", "true")
	c.Collect[0].With["headers"] = map[string]any{"Authorization": map[string]any{"secret": "dsn"}}
	return c
}

// TestAssertionsDoNotCoerce has assertions over what is missing, null or of
// another type. acceptance 9.
func TestAssertionsDoNotCoerce(t *testing.T) {
	t.Parallel()
	server := target(t)
	k := collectors()
	for name, samples := range map[string]core.Samples{
		"none": {}, "null": {"lag_seconds": nil}, "text": {"lag_seconds": "7"},
	} {
		k.modules[name] = lag(samples, core.Pass)
	}
	p := plan.New(k, plan.Options{})
	of := func(name, assert string) core.Check {
		c := httpCheck("")
		c.Collect = []core.Collect{{Use: "wasm:" + name, With: map[string]any{"database": "x"}, Assert: []string{assert}}}
		return c
	}
	for _, tt := range []struct {
		check core.Check
		text  string
	}{
		{of("none", "lag_seconds < 10"), "lag_seconds < 10: lag_seconds is missing"},
		{of("none", "lag_seconds != 10"), "lag_seconds != 10: lag_seconds is missing"},
		{of("none", "!(lag_seconds > 10)"), "!(lag_seconds > 10): lag_seconds is missing"},
		{of("none", `role == "" || true`), `role == "" || true: role is missing`},
		{of("null", "lag_seconds < 10"), "lag_seconds < 10: lag_seconds is null"},
		{of("text", "lag_seconds < 10"), `lag_seconds < 10: lag_seconds is text ("7"), not a number`},
		{httpCheck(server.URL, `json.version > 1`), `json.version > 1: json.version > 1 cannot be compared: json.version is text ("1.2"), 1 is a number (1)`},
		{httpCheck(server.URL, `json.version != 1`), `json.version != 1: json.version != 1 cannot be compared: json.version is text ("1.2"), 1 is a number (1)`},
		{httpCheck(server.URL, `json.gone == ""`), `json.gone == "": json.gone is null`},
		{httpCheck(server.URL, `json.gone != ""`), `json.gone != "": json.gone is null`},
		{httpCheck(server.URL, `json.lost.deep == ""`), `json.lost.deep == "": json.lost is missing`},
		{httpCheck(server.URL, `!(json.gone contains "x")`), `!(json.gone contains "x"): json.gone is null`},
		{httpCheck(server.URL, `json.gone`), `json.gone: json.gone is null`},
		{httpCheck(server.URL, `json.count`), `json.count: json.count is a number (3), not true or false`},
	} {
		run := runOne(t, p, tt.check, 5*time.Second)
		if run.Outcome != core.Fail || run.Why.Text != tt.text {
			t.Errorf("assert %q: got %s %q, want fail %q", tt.check.Collect[0].Assert[0], run.Outcome, run.Why.Text, tt.text)
		}
	}
}

func TestSeveralSteps(t *testing.T) {
	t.Parallel()
	server := target(t)
	k := collectors()
	k.modules["pg-lag"] = lag(core.Samples{"lag_seconds": 40.0, "role": "primary"}, core.Pass)
	c := httpCheck(server.URL, "status == 200")
	c.Collect[0].ID = "front"
	c.Collect = append(c.Collect, core.Collect{ID: "lag", Use: "wasm:pg-lag", With: map[string]any{"database": "x"}, Assert: []string{"lag_seconds < 10"}})
	run := runOne(t, plan.New(k, plan.Options{}), c, 5*time.Second)
	if want := "lag: lag_seconds < 10: lag_seconds is 40"; run.Outcome != core.Fail || run.Why.Text != want {
		t.Errorf("run: got %s %q, want fail %q", run.Outcome, run.Why.Text, want)
	}
	if got := slices.Sorted(maps.Keys(run.Samples)); !slices.Contains(got, "front.status") || !slices.Contains(got, "lag.lag_seconds") {
		t.Errorf("samples: got %v, want names with their step before them", got)
	}
	if run.Steps[0].Outcome != core.Pass || run.Steps[1].Outcome != core.Fail || !strings.HasPrefix(run.Summary, "front: ") {
		t.Errorf("steps: got %+v, summary %q", run.Steps, run.Summary)
	}
}

// withModule is a check of the module pg-lag.
func withModule(with map[string]any) core.Check {
	c := httpCheck("http://127.0.0.1:1/")
	c.Collect = []core.Collect{{Use: "wasm:pg-lag", With: with}}
	return c
}

// TestModulesGetNoValues shows that a module is handed references, of which
// the sandbox makes handles.
// acceptance 37.
func TestModulesGetNoValues(t *testing.T) {
	t.Parallel()
	m := lag(core.Samples{"lag_seconds": 1.0}, core.Pass)
	var got map[string]any
	m.collect = func(_ context.Context, config map[string]any) core.Result {
		got = config
		return core.Result{Outcome: core.Pass}
	}
	p := plan.New(&known{modules: map[string]module{"pg-lag": m}}, plan.Options{Secret: func(string) (string, error) { return "s3cr3t-value", nil }})
	reference := map[string]any{"secret": "dsn"}
	c := withModule(map[string]any{"database": reference})
	runOne(t, p, c, 5*time.Second)
	if !reflect.DeepEqual(got["database"], any(reference)) {
		t.Errorf("the module was handed %v, want %v", got["database"], reference)
	}
}

// TestSecrets shows that a value is used, and is in nothing that is stored.
// acceptance 37.
func TestSecrets(t *testing.T) {
	t.Parallel()
	server := target(t)
	const value = "s3cr3t-value"
	p := plan.New(collectors(), plan.Options{
		Secret: func(name string) (string, error) {
			if name == "api-token" {
				return value, nil
			}
			return "", errors.New("no such secret")
		},
		Mask: func(text string) string { return strings.ReplaceAll(text, value, "••••••") },
	})
	c := httpCheck(server.URL+"/secret", `body == "you sent nothing"`)
	c.Collect[0].With["headers"] = map[string]any{"Authorization": map[string]any{"secret": "api-token"}}
	if bad := p.ValidateCheck(c, systems()); len(bad) > 0 {
		t.Fatalf("validate: %v", bad)
	}
	run := runOne(t, p, c, 5*time.Second)
	text, err := json.Marshal(run)
	if err != nil {
		t.Fatal(err)
	}
	if want := `body == "you sent nothing": body is "you sent ••••••"`; run.Why.Text != want {
		t.Errorf("reason: got %q, want %q: the secret was not sent", run.Why.Text, want)
	}
	if strings.Contains(string(text), value) {
		t.Errorf("the run holds the value of the secret: %s", text)
	}
	if stored, err := json.Marshal(c); err != nil || strings.Contains(string(stored), value) {
		t.Errorf("the check holds the value of the secret: %s, %v", stored, err)
	}
}

func TestExpand(t *testing.T) {
	t.Parallel()
	p := plan.New(collectors(), plan.Options{})
	c := httpCheck("http://127.0.0.1/")
	c.Systems = core.Selector{Match: `system.tags.env == "prod" || "core" in system.groups`, Names: []string{"web-2"}}
	c.Overrides = map[string]core.Override{
		"db":    {Every: core.Duration(5 * time.Second), Policy: &core.Policy{Unhealthy: 9}},
		"web-2": {Disabled: true},
	}
	got, bad := p.Expand([]core.Check{c}, systems())
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	var ids []string
	for _, a := range got {
		ids = append(ids, a.ID)
	}
	if want := []string{"db:api", "web-1:api", "web-2:api"}; !slices.Equal(ids, want) {
		t.Fatalf("assignments: got %v, want %v", ids, want)
	}
	db, web1, web2 := got[0], got[1], got[2]
	if db.Interval != core.Duration(5*time.Second) || db.Policy.Unhealthy != 9 || db.Policy.Degraded != 2 || db.StaleAfter != core.Duration(15*time.Second) {
		t.Errorf("with its override db:api is %+v", db)
	}
	if web1.Interval != core.Duration(30*time.Second) || web1.Policy.Unhealthy != 5 || web1.StaleAfter != core.Duration(90*time.Second) || !web1.Enabled || web2.Enabled {
		t.Errorf("web-1:api is %+v, web-2:api is %+v", web1, web2)
	}
}

// TestRevisions holds that a task keeps its revision until something about it
// changes.
func TestRevisions(t *testing.T) {
	t.Parallel()
	edition := "1"
	p := plan.New(collectors(), plan.Options{Revision: func(string, string) string { return edition }})
	c := httpCheck("http://127.0.0.1/")
	c.Systems = core.Selector{Names: []string{"web-1", "db"}}
	all := systems()
	revisions := func() map[string]string {
		out := map[string]string{}
		for _, task := range p.Tasks([]core.Check{c}, all) {
			out[task.ID] = task.Revision
		}
		return out
	}
	before := revisions()
	if again := revisions(); !maps.Equal(before, again) {
		t.Errorf("the same tasks have other revisions: %v and %v", before, again)
	}
	all[0].Tags = map[string]string{"env": "test"}
	if after := revisions(); after["db:api"] == before["db:api"] || after["web-1:api"] != before["web-1:api"] {
		t.Errorf("after an edit of db: got %v, before %v", after, before)
	}
	before = revisions()
	edition = "2"
	if after := revisions(); after["web-1:api"] == before["web-1:api"] {
		t.Error("a new edition of the collector left the revision as it was")
	}
}

func TestTaskOfBrokenStepRuns(t *testing.T) {
	t.Parallel()
	var tasks []engine.Task
	p := plan.New(collectors(), plan.Options{})
	c := httpCheck("http://127.0.0.1/")
	c.Collect[0].Use = "htttp"
	tasks = p.Tasks([]core.Check{c}, systems())
	if len(tasks) != 1 {
		t.Fatalf("got %d tasks, want 1 that says what is wrong", len(tasks))
	}
	var run core.Run
	tasks[0].Collect(t.Context(), &run)
	if run.Outcome != core.Error || !strings.Contains(run.Why.Text, `there is no collector "htttp"`) {
		t.Errorf("run: got %s %q", run.Outcome, run.Why.Text)
	}
}
