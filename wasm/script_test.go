package wasm_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/script"
)

// loadScript makes a source ready to run, with all that it wants.
func loadScript(tb testing.TB, h *wasm.Host, source string) *wasm.Module {
	tb.Helper()
	file := []byte(source)
	manifest, err := h.Inspect(tb.Context(), file)
	if err != nil {
		tb.Fatalf("Inspect: %v", err)
	}
	m := stored(file, manifest.Wants)
	m.Kind, m.Name, m.Manifest = core.ScriptModule, manifest.Name, manifest
	loaded, err := h.Load(tb.Context(), m, file)
	if err != nil {
		tb.Fatalf("Load: %v", err)
	}
	tb.Cleanup(func() { _ = loaded.Close(tb.Context()) })
	return loaded
}

const head = "export const manifest = { name: 's', version: '1', samples: [{ name: 'n', type: 'number' }, { name: 'value', type: 'number' }, { name: 't', type: 'string' }], wants: { http: ['http://*:*'], private: true } };\n"

// What a script returns is taken as it is meant.
func TestScriptAnswers(t *testing.T) {
	h := newHost(t, wasm.Options{})
	for name, c := range map[string]struct {
		body    string
		outcome core.Outcome
		summary string
		samples core.Samples
	}{
		"nothing":  {"", core.Pass, "", core.Samples{}},
		"true":     {"return true", core.Pass, "", core.Samples{}},
		"false":    {"return false", core.Fail, "it does not hold", core.Samples{}},
		"number":   {"return 42.5", core.Pass, "42.5", core.Samples{"value": 42.5}},
		"bigint":   {"return 7n", core.Pass, "7", core.Samples{"value": 7.0}},
		"text":     {"return 'ok'", core.Pass, "ok", core.Samples{}},
		"samples":  {"return { n: 1, t: 'x' }", core.Pass, "", core.Samples{"n": 1.0, "t": "x"}},
		"response": {"return { outcome: 'warn', summary: 'slow', samples: { n: 2 } }", core.Warn, "slow", core.Samples{"n": 2.0}},
		"error":    {"return { error: new Error('no') }", core.Fail, "Error: no", core.Samples{}},
		"throw":    {"throw new RangeError('bad')", core.Error, "module s: RangeError: bad (line 2, column ", nil},
		"thrown":   {"throw 'text'", core.Error, "module s: it threw text", nil},
		"list":     {"return []", core.Error, "module s: TypeError: the script returned a list", nil},
		"stray":    {"return { samples: {}, lag: 1 }", core.Error, "module s: TypeError: the script returned lag beside samples; put values into samples", nil},
		"request":  {"return request.system.tags.env + request.check.interval + request.config.a", core.Pass, "prod303", core.Samples{}},
		"never":    {"await new Promise(() => {})", core.Error, "module s: the script awaits what never comes", nil},
		"promises": {"return (await Promise.all([1, 2, Promise.resolve(3)])).join()", core.Pass, "1,2,3", core.Samples{}},
		"typed":    {"const a: number = 1; type B = { c: string }; return (a as unknown as string) + ''", core.Pass, "1", core.Samples{}},
	} {
		t.Run(name, func(t *testing.T) {
			m := loadScript(t, h, head+"export default async (request: any) => { "+c.body+" };\n")
			got := m.Collect(within(t, 10*time.Second), someone, map[string]any{"a": 3})
			if got.Outcome != c.outcome || !strings.HasPrefix(got.Summary, c.summary) || (c.summary == "" && got.Summary != "") {
				t.Errorf("Collect = %s %q %v, want %s %q", got.Outcome, got.Summary, got.Why, c.outcome, c.summary)
			}
			if c.samples != nil {
				g, _ := json.Marshal(got.Samples)
				if w, _ := json.Marshal(c.samples); string(g) != string(w) {
					t.Errorf("samples %s, want %s", g, w)
				}
			}
		})
	}
}

// A script reaches what is granted, and what it does not reach is told as it
// is for every module.
func TestScriptReaches(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"method": r.Method, "query": r.URL.RawQuery, "body": string(body), "type": r.Header.Get("Content-Type"), "depth": 12})
	}))
	defer s.Close()
	h := newHost(t, wasm.Options{})
	m := loadScript(t, h, head+`export default async ({ config, http, log }) => {
  const got = await http.post(config.url, { a: [1, "zwei ü"] }, { query: { q: "x y", none: undefined }, headers: { "X-A": 1 } });
  log.info("answered", got.status, got.json());
  console.warn("careful");
  const { depth, ...said } = got.json();
  return { summary: JSON.stringify(said), samples: { n: depth } };
};`)
	got := m.Collect(within(t, 10*time.Second), someone, map[string]any{"url": s.URL + "/depth"})
	if want := `{"body":"{\"a\":[1,\"zwei ü\"]}","method":"POST","query":"q=x%20y","type":"application/json"}`; got.Outcome != core.Pass || got.Summary != want || got.Samples["n"] != 12.0 {
		t.Fatalf("Collect = %s %q %v %v, want %s", got.Outcome, got.Summary, got.Samples, got.Why, want)
	}
	if len(got.Logs) != 2 || !strings.HasPrefix(got.Logs[0].Text, "answered 200 {") || got.Logs[1].Level != "warn" {
		t.Errorf("logs %+v", got.Logs)
	}
	if got.Usage.HTTP != 1 || got.Usage.Fuel < 10_000 {
		t.Errorf("usage %+v", got.Usage)
	}
	s.Close()
	if got := m.Collect(within(t, 10*time.Second), someone, map[string]any{"url": s.URL}); got.Outcome != core.Fail || !strings.Contains(got.Summary, "refused") {
		t.Errorf("Collect of a stopped server = %s %q, want fail", got.Outcome, got.Summary)
	}
	if got := m.Collect(within(t, 10*time.Second), someone, map[string]any{"url": "https://10.0.0.1/"}); got.Outcome != core.Error || !strings.Contains(got.Summary, "not granted") || !strings.Contains(got.Summary, "line 3") {
		t.Errorf("Collect of what is not granted = %s %q, want error and its line", got.Outcome, got.Summary)
	}
}

// Nothing of one run of a script is there in the next, and a run that is
// replayed is the same bit for bit.
func TestScriptIsolated(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := loadScript(t, h, head+`let runs = 0;
const kept = [];
export default async () => {
  runs++;
  kept.push("x".repeat(100000));
  globalThis.left = (globalThis.left ?? 0) + 1;
  Array.prototype.left = (Array.prototype.left ?? 0) + 1;
  return [runs, kept.length, globalThis.left, [].left, Math.random() < 1, Date.now() > 1.7e12].join();
};`)
	for i := range 20 {
		got := m.Collect(within(t, 10*time.Second), someone, nil)
		if got.Summary != "1,1,1,1,true,true" {
			t.Fatalf("run %d = %q %v, want 1,1,1,1,true,true", i, got.Summary, got.Why)
		}
	}
	if way := wasm.Restores(m); way == "fresh" {
		t.Errorf("instances of the interpreter are made anew for each run")
	}
}

func TestScriptReplay(t *testing.T) {
	h := newHost(t, wasm.Options{})
	source := head + "export default async ({ sleep }) => { await sleep(3); return [Math.random(), Math.random(), Date.now(), new Date().toISOString()].join() }"
	m := loadScript(t, h, source)
	first := m.Collect(within(t, 10*time.Second), someone, nil)
	if again := m.Collect(within(t, 10*time.Second), someone, nil); again.Summary == first.Summary {
		t.Errorf("two runs drew the same: %s", again.Summary)
	}
	if first.Recording == nil || first.Recording.Engine == "" {
		t.Fatalf("recording %+v", first.Recording)
	}
	other := newHost(t, wasm.Options{})
	got, report, err := other.Replay(within(t, 10*time.Second), []byte(source), *first.Recording)
	if err != nil || !report.Same || !report.Original || got.Summary != first.Summary {
		t.Errorf("Replay = %q %+v %v, want %q", got.Summary, report, err, first.Summary)
	}
}

// What ends a script is named, and ends nothing else.
func TestScriptLimits(t *testing.T) {
	h := newHost(t, wasm.Options{})
	for name, c := range map[string]struct{ body, code, want string }{
		"loop":       {"for (;;);", "limit_fuel", "limit of 1000000000 instructions"},
		"memory":     {"const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))", "limit_memory", "limit of 16 MiB"},
		"recursion":  {"const f = () => f() + 1; f()", "script", "RangeError: Maximum call stack size exceeded"},
		"regexp":     {"/(a+)+$/.test('a'.repeat(50) + 'b')", "limit_fuel", "instructions"},
		"promises":   {"const f = () => Promise.resolve().then(f); f(); await new Promise(() => {})", "limit_fuel", "instructions"},
		"output":     {"return 'x'.repeat(300000)", "limit_output", "its output is over its limit of 256 KiB"},
		"logs":       {"for (;;) console.log('x'.repeat(1000))", "limit_fuel", "instructions"},
		"interrupt":  {"try { for (;;); } catch {} finally { return 1 }", "limit_fuel", "instructions"},
		"long sleep": {"await sleep(1e7)", "limit_time", "did not end in the time of the run"},
		"import":     {"const c = 'imp' + 'ort(\"x\")'; await eval(c)", "script", "could not load module"},
	} {
		t.Run(name, func(t *testing.T) {
			m := loadScript(t, h, head+"export default async ({ sleep }) => { "+c.body+" };\n")
			timeout := 60 * time.Second
			if c.code == "limit_time" {
				timeout = time.Second
			}
			got := m.Collect(within(t, timeout), someone, nil)
			if got.Outcome != core.Error || got.Why.Code != c.code || !strings.Contains(got.Why.Text, c.want) {
				t.Errorf("Collect = %s %s %q, want %s %q", got.Outcome, got.Why.Code, got.Why.Text, c.code, c.want)
			}
		})
	}
}

// What is wrong with a script is told when it is saved, with its place.
func TestScriptRefused(t *testing.T) {
	h := newHost(t, wasm.Options{})
	for name, c := range map[string]struct {
		source string
		line   int
		want   string
	}{
		"syntax":     {head + "export default async () => {\n  retrun {}\n}", 3, `Expected ";"`},
		"no default": {head + "export const collect = () => 1", 0, "exports no default function"},
		"a value":    {head + "export default 3", 0, "is no function but number"},
		"throws":     {head + "const a = undefined;\na.b;\nexport default () => 1", 3, "TypeError: cannot read property 'b' of undefined"},
		"asks":       {head + "export default () => 1\nfetch('http://x')", 3, "ReferenceError: fetch is not defined"},
		"no name":    {"export const manifest = { version: '1' }\nexport default () => 1", 0, "the script has no name"},
		"a typo":     {"export const manifest = { name: 'a', version: '1', sample: [] }\nexport default () => 1", 0, `unknown field "sample"`},
		"a type":     {"export const manifest = { name: 'a', version: '1', samples: [{ name: 'x', type: 'int' }] }\nexport default () => 1", 0, "int"},
		"a loop":     {head + "for (;;);\nexport default () => 1", 0, "instructions"},
		"two names":  {`// tocsin/1 {"name":"b"}` + "\n" + head + "export default () => 1", 0, `the manifest in the source says "s", and the form says "b"`},
		"an action":  {"export const manifest = { name: 'a', version: '1', offers: ['action'] }\nexport default () => 1", 0, "a script offers a collector"},
		"no object":  {"export const manifest = 3\nexport default () => 1", 0, "not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.Inspect(within(t, 30*time.Second), []byte(c.source))
			problems, ok := err.(core.Problems) //nolint:errorlint // it is documented
			if !ok || len(problems) == 0 {
				t.Fatalf("Inspect: %v, want problems", err)
			}
			if p := problems[0]; p.Line != c.line || !strings.Contains(p.Message, c.want) {
				t.Errorf("Inspect: line %d %s, want line %d %s", p.Line, p.Message, c.line, c.want)
			}
		})
	}
}

// What is described to people is what a script gets, and nothing else.
func TestScriptAPI(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := loadScript(t, h, head+`export default async (api) => {
  const names = (o) => Object.entries(o).flatMap(([k, v]) => (v && typeof v === "object" && !(v instanceof Date) && !["config", "tags"].includes(k) ? names(v).map((n) => k + "." + n) : [k]));
  return names(api).sort().join(" ");
};`)
	var want []string
	for _, n := range script.API() {
		for _, member := range n.Members {
			want = append(want, n.Name+"."+member.Name)
		}
		if n.Members == nil {
			want = append(want, n.Name)
		}
	}
	slices.Sort(want)
	if got := m.Collect(within(t, 10*time.Second), someone, nil); got.Summary != strings.Join(want, " ") {
		t.Errorf("a script gets  %s\ndescribed are %s %v", got.Summary, strings.Join(want, " "), got.Why)
	}
	if _, err := h.Inspect(t.Context(), script.Join([]byte(`{"name": "new", "version": "1"}`), script.Template)); err != nil {
		t.Errorf("the template: %v", err)
	}
}

func BenchmarkScript(b *testing.B) {
	h := newHost(b, wasm.Options{})
	m := loadScript(b, h, head+"export default async ({ config }) => ({ samples: { n: config.n + 1 } })")
	config := map[string]any{"n": 1}
	b.ReportAllocs()
	for b.Loop() {
		if got := m.Collect(b.Context(), someone, config); got.Outcome != core.Pass {
			b.Fatal(got.Why)
		}
	}
}
