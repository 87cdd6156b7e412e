package wasm_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
)

// newHost is a Host that may dial this machine for private modules.
func newHost(tb testing.TB, o wasm.Options) *wasm.Host {
	tb.Helper()
	if o.DialPrivate == nil {
		o.DialPrivate = (&net.Dialer{}).DialContext
	}
	h, err := wasm.New(o)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	tb.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return h
}

func readFile(tb testing.TB, path ...string) []byte {
	tb.Helper()
	file, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

// stored is what the catalog would hold of file.
func stored(file []byte, grant core.Grant, samples ...core.SampleDecl) core.Module {
	sum := sha256.Sum256(file)
	return core.Module{
		Name: "m", Version: "1", Digest: hex.EncodeToString(sum[:]), Grant: grant,
		Manifest: core.Manifest{
			ABI: "tocsin/1", Name: "m", Version: "1", Offers: []string{"collector"}, Samples: samples,
			Wants: core.Grant{HTTP: []string{"http://*:*", "https://*:*"}, Private: true},
		},
	}
}

// load makes testdata/modules/name.wasm ready to run.
func load(tb testing.TB, h *wasm.Host, name string, grant core.Grant, samples ...core.SampleDecl) *wasm.Module {
	tb.Helper()
	file := readFile(tb, "testdata", name+".wasm")
	m, err := h.Load(tb.Context(), stored(file, grant, samples...), file)
	if err != nil {
		tb.Fatalf("Load %s: %v", name, err)
	}
	tb.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

func number() core.SampleDecl {
	return core.SampleDecl{Name: "n", Type: core.NumberSample}
}

var someone = core.RunContext{
	Check:  core.CheckRef{ID: "depth", Name: "Queue depth", IntervalSeconds: 30},
	System: core.SystemRef{ID: "web-01", Name: "Web", Tags: map[string]string{"env": "prod"}},
}

func within(tb testing.TB, d time.Duration) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), d)
	tb.Cleanup(cancel)
	return ctx
}

func TestCollect(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := load(t, h, "modules/tiny", core.Grant{}, number())
	got := m.Collect(t.Context(), someone, nil)
	if got.Outcome != core.Pass || got.Summary != "ok" || got.Samples["n"] != 1.0 {
		t.Errorf("Collect of tiny = %+v, want pass, ok, n = 1", got)
	}
	if u := got.Usage; u == nil || u.Memory != 128<<10 || u.Fuel < 5 || u.Fuel > 5000 || u.HostCall != 1 || u.Output != 51 || u.Wall <= 0 {
		t.Errorf("Usage of tiny = %+v", u)
	}
}

func TestInspect(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m, err := h.Inspect(t.Context(), readFile(t, "testdata/modules/tiny.wasm"))
	if err != nil {
		t.Fatalf("Inspect tiny: %v", err)
	}
	want := core.Manifest{
		ABI: "tocsin/1", Name: "tiny", Version: "1.0.0", Offers: []string{"collector"},
		Samples: []core.SampleDecl{{Name: "n", Type: core.NumberSample}}, Wants: core.Grant{HTTP: []string{"http://*:*"}, Private: true},
	}
	got, _ := json.Marshal(m)
	if w, _ := json.Marshal(want); string(got) != string(w) {
		t.Errorf("Inspect tiny = %s\nwant %s", got, w)
	}
}

// What a guest is told.
func TestRequest(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := load(t, h, "modules/echo", core.Grant{})
	got := m.Collect(within(t, 5*time.Second), someone, map[string]any{"url": "x"})
	// The echo of a request is no response: it has no outcome.
	if got.Outcome != core.Error || got.Why.Code != "response" || got.Usage.Output < 200 {
		t.Errorf("Collect of echo = %s %v", got.Outcome, got.Why)
	}
}

// Nothing that one run leaves in memory, globals or tables reaches another,
// also when runs overlap and memories are used again.
// A run finds nothing of another run, whatever that wrote: in all of its
// memory, in what it grew, in every variable and table, and in the segments
// that it dropped. It holds in each of the ways in which instances are made
// ready for the next run, also when runs overlap.
// acceptance 38.
func TestNothingIsLeft(t *testing.T) {
	h := newHost(t, wasm.Options{})
	ways := map[string]string{"stain": "fresh", "stain_dropped": "fresh", "stain_copied": "copied", "stain_mapped": "mapped"}
	if runtime.GOOS != "linux" {
		ways["stain_mapped"] = "copied"
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			m := load(t, h, "modules/"+name, core.Grant{})
			if got := wasm.Restores(m); got != way {
				t.Fatalf("instances of %s are %s, want %s", name, got, way)
			}
			var runs sync.WaitGroup
			for range 4 {
				runs.Go(func() {
					for range 100 {
						if got := m.Collect(context.Background(), someone, nil); got.Outcome != core.Pass {
							t.Errorf("Collect of %s = %s %v: it found another run's traces", name, got.Outcome, got.Why)
							return
						}
					}
				})
			}
			runs.Wait()
		})
	}
}

func TestLogsAndGivingUp(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := load(t, h, "modules/said", core.Grant{})
	got := m.Collect(t.Context(), someone, nil)
	if got.Outcome != core.Error || got.Why.Code != "gave_up" || got.Why.Text != "module m: tocsin_collect returned 7: no pump" {
		t.Errorf("Collect of said = %s %+v", got.Outcome, got.Why)
	}
	var texts []string
	for _, l := range got.Logs {
		texts = append(texts, l.Level+" "+l.Text)
	}
	if want := []string{"warn red line", "warn to standard error", "warn and half"}; !slices.Equal(texts, want) {
		t.Errorf("logs of said = %q, want %q", texts, want)
	}
}

// Responses are held to the manifest, and their text is made safe.
func TestResponse(t *testing.T) {
	h := newHost(t, wasm.Options{})
	var declared []core.SampleDecl
	for _, kind := range []core.SampleType{"number", "integer", "string", "bool", "duration", "time", "map", "any"} {
		declared = append(declared, core.SampleDecl{Name: "a_" + string(kind), Type: kind})
	}
	m := load(t, h, "modules/config", core.Grant{}, declared...)
	for _, c := range []struct {
		reply   string
		outcome core.Outcome
		text    string // of why, or of the summary of a pass
		sample  string
		value   any
	}{
		{`{"outcome":"pass","summary":"a\u001b[31mb\u0000c\u202ed\ne"}`, core.Pass, "abcd e", "", nil},
		{`{"outcome":"warn","summary":"slow"}`, core.Warn, "slow", "", nil},
		{`{"outcome":"fail","error":"gone","unknown":[1]}`, core.Fail, "gone", "", nil},
		{`{"outcome":"fail"}`, core.Fail, "the module gave no reason", "", nil},
		{`{"outcome":"error","error":"no key"}`, core.Error, "no key", "", nil},
		{`{"outcome":"great"}`, core.Error, `the outcome "great"`, "", nil},
		{`{}`, core.Error, "no outcome", "", nil},
		{`{"outcome":"pass","samples":{"other":1}}`, core.Error, "the sample other, which its manifest does not declare", "", nil},
		{`{"outcome":"pass","samples":{"a_number":"1"}}`, core.Error, `its sample a_number is "1", declared is number`, "", nil},
		{`{"outcome":"pass","samples":{"a_integer":1.5}}`, core.Error, `its sample a_integer is 1.5, declared is integer`, "", nil},
		{`{"outcome":"pass","samples":{"a_bool":1}}`, core.Error, `its sample a_bool is 1, declared is bool`, "", nil},
		{`{"outcome":"pass","samples":{"a_duration":"soon"}}`, core.Error, `its sample a_duration is "soon", declared is duration`, "", nil},
		{`{"outcome":"pass","samples":{"a_number":1.5}}`, core.Pass, "", "a_number", 1.5},
		{`{"outcome":"pass","samples":{"a_number":null}}`, core.Pass, "", "a_number", nil},
		{`{"outcome":"pass","samples":{"a_integer":3.0}}`, core.Pass, "", "a_integer", int64(3)},
		{`{"outcome":"pass","samples":{"a_string":"x\u001b]0;y\u0007"}}`, core.Pass, "", "a_string", "x"},
		{`{"outcome":"pass","samples":{"a_bool":true}}`, core.Pass, "", "a_bool", true},
		{`{"outcome":"pass","samples":{"a_duration":1.5}}`, core.Pass, "", "a_duration", 1500 * time.Millisecond},
		{`{"outcome":"pass","samples":{"a_duration":"250ms"}}`, core.Pass, "", "a_duration", 250 * time.Millisecond},
		{`{"outcome":"pass","samples":{"a_time":"2026-01-02T03:04:05Z"}}`, core.Pass, "", "a_time", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
	} {
		got := m.Collect(t.Context(), someone, map[string]any{"reply": json.RawMessage(c.reply)})
		text := got.Why.Text
		if got.Outcome == core.Pass {
			text = got.Summary
		}
		if got.Outcome != c.outcome || !strings.Contains(text, c.text) {
			t.Errorf("response %s: %s %q, want %s %q", c.reply, got.Outcome, text, c.outcome, c.text)
		}
		if v, ok := got.Samples[c.sample]; c.sample != "" && (!ok || v != c.value) {
			t.Errorf("response %s: %s = %v, want %v", c.reply, c.sample, v, c.value)
		}
	}
}

func TestUnloaded(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := load(t, h, "modules/tiny", core.Grant{}, number())
	again := load(t, h, "modules/tiny", core.Grant{}, number())
	if err := m.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := m.Collect(t.Context(), someone, nil); got.Outcome != core.Error || got.Why.Code != "closed" {
		t.Errorf("Collect of an unloaded module = %s %v", got.Outcome, got.Why)
	}
	if got := again.Collect(t.Context(), someone, nil); got.Outcome != core.Pass {
		t.Errorf("Collect of a module with the same file = %s %v", got.Outcome, got.Why)
	}
}

// A full sandbox is our fault, not the target's, and waiting ends with the run.
func TestFullSandbox(t *testing.T) {
	for name, o := range map[string]wasm.Options{"instances": {MaxInstances: 1}, "memory": {MaxMemory: 20 << 20}} {
		h := newHost(t, o)
		slow := load(t, h, "hostile/sleep_1h", core.Grant{})
		tiny := load(t, h, "modules/tiny", core.Grant{}, number())
		done := make(chan struct{})
		go func() {
			defer close(done)
			ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
			defer cancel()
			slow.Collect(ctx, someone, nil)
		}()
		time.Sleep(100 * time.Millisecond)
		if got := tiny.Collect(within(t, 50*time.Millisecond), someone, nil); got.Outcome != core.Error || got.Why.Code != "busy" {
			t.Errorf("%s: Collect in a full sandbox = %s %v", name, got.Outcome, got.Why)
		}
		<-done
		if got := tiny.Collect(t.Context(), someone, nil); got.Outcome != core.Pass {
			t.Errorf("%s: Collect afterwards = %s %v", name, got.Outcome, got.Why)
		}
	}
}

// A run leaves no goroutine behind.
// acceptance 10.
func TestNoGoroutineLeft(t *testing.T) {
	h := newHost(t, wasm.Options{})
	sleeper := load(t, h, "hostile/sleep_1h", core.Grant{})
	before := runtime.NumGoroutine()
	for range 20 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		sleeper.Collect(ctx, someone, nil)
		cancel()
	}
	if after := runtime.NumGoroutine(); after > before+1 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

func TestLoadRefuses(t *testing.T) {
	h := newHost(t, wasm.Options{})
	file := readFile(t, "testdata/modules/tiny.wasm")
	narrow := stored(file, core.Grant{})
	narrow.Manifest.Wants = core.Grant{HTTP: []string{"https://*.example.org"}}
	for text, change := range map[string]func(*core.Module){
		"the file is damaged":         func(m *core.Module) { m.Digest = strings.Repeat("0", 64) },
		"the module does not want":    func(m *core.Module) { m.Grant.HTTP = []string{"http://db.example.org"} },
		"does not want private":       func(m *core.Module) { m.Grant.Private = true },
		"the limit memory_bytes is":   func(m *core.Module) { m.Grant.Limits.Memory = 1 << 40 },
		"the limit fuel is negative":  func(m *core.Module) { m.Grant.Limits.Fuel = -1 },
		"must begin with http:// or ": func(m *core.Module) { m.Grant.HTTP = []string{"ftp://db.example.org"} },
	} {
		m := narrow
		change(&m)
		if _, err := h.Load(t.Context(), m, file); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Load = %v, want %q", err, text)
		}
	}
}

func TestCheckGrant(t *testing.T) {
	for _, c := range []struct {
		wants, grant string
		ok           bool
	}{
		{"https://*.example.org", "https://api.example.org", true},
		{"https://*.example.org", "https://*.eu.example.org:443", true},
		{"https://*.example.org", "https://example.org", false},
		{"https://*.example.org", "https://badexample.org", false},
		{"https://*.example.org", "https://api.example.org:8443", false},
		{"https://*:*", "https://api.example.org:8443", true},
		{"https://*:*", "http://api.example.org", false},
		{"http://API.example.org.", "http://api.example.org:80", true},
		{"http://*:*", "http://[::1]:8080", true},
		{"http://*:*", "http://a/b", false},
		{"http://*:*", "http://u@a", false},
		{"http://*:*", "http://a:0", false},
		{"http://*:*", "http://a*b", false},
	} {
		err := wasm.CheckGrant(core.Manifest{Wants: core.Grant{HTTP: []string{c.wants}}}, core.Grant{HTTP: []string{c.grant}})
		if (err == nil) != c.ok {
			t.Errorf("CheckGrant of %s, wanted %s: %v, want ok = %v", c.grant, c.wants, err, c.ok)
		}
	}
}
