package manifest_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
)

const whole = `# A comment.
apiVersion: tocsin/v1
kind: System
metadata: {name: web-01, title: Web one}
spec:
  tags: {env: prod, tier: "1"}
  groups: [shop]
  depends_on: db-01
---
apiVersion: tocsin/v1
kind: Check
metadata:
  name: api-health
  labels: {team: core}
spec:
  systems: {match: 'system.tags.tier == "1"'}
  every: 30s
  timeout: 10s
  collect:
    - id: front
      use: http
      with: {url: "https://${system.tags.host}/healthz", follow: 3}
      assert: ['status == 200', 'latency < duration("500ms")']
      warn: [latency < duration("100ms")]
  policy: {mode: consecutive, healthy: 1, degraded: 2, unhealthy: 5, stale_after: 0}
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page-on-outage, labels: {team: core}}
spec:
  on: health.changed
  when: |
    to == "unhealthy"
      && system.tags.env == "prod"
  gate:
    by: system.id
    for: 2m
    window: {count: 3, within: 10m, quiet: 30m, refire: 15m}
    cooldown: 1d12h
  unless: in_maintenance || silenced
  do:
    - id: inc
      webhook: {url: "https://hook.example", body: {system: "${system.id}", n: 3, list: [1, two, null]}}
      timeout: 5s
      retry: {max: 3, backoff: 2s}
    - if: system.tags.tier == "1"
      log: {message: "${why}"}
  recover:
    - log:
  mode: queued
  max: 5
---
apiVersion: tocsin/v1
kind: Maintenance
metadata: {name: tuesday}
spec:
  systems: [web-01, web-02]
  starts: 2026-11-24T22:00:00Z
  ends: 2026-11-24T23:00:00Z
  comment: kernel
`

func objects(t *testing.T, src string) []any {
	t.Helper()
	items, problems := manifest.Decode("all.yaml", []byte(src))
	if len(problems) > 0 {
		t.Fatalf("decode:\n%v\n%s", problems.Error(), src)
	}
	var out []any
	for _, it := range items {
		out = append(out, it.Object)
	}
	return out
}

func TestDecode(t *testing.T) {
	got := objects(t, whole)
	zero := 0
	want := []any{
		&core.System{ID: "web-01", Name: "Web one", Tags: map[string]string{"env": "prod", "tier": "1"}, Groups: []string{"shop"}, DependsOn: []string{"db-01"}},
		&core.Check{
			ID: "api-health", Labels: map[string]string{"team": "core"}, Systems: core.Selector{Match: `system.tags.tier == "1"`},
			Every: core.Duration(30 * time.Second), Timeout: core.Duration(10 * time.Second),
			Collect: []core.Collect{{
				ID: "front", Use: "http", With: map[string]any{"url": "https://${system.tags.host}/healthz", "follow": int64(3)},
				Assert: []string{"status == 200", `latency < duration("500ms")`}, Warn: []string{`latency < duration("100ms")`},
			}},
			Policy: core.Policy{Mode: core.Consecutive, Healthy: 1, Degraded: 2, Unhealthy: 5, StaleAfter: &zero},
		},
		&core.Rule{
			ID: "page-on-outage", Labels: map[string]string{"team": "core"}, On: []core.Trigger{{Event: "health.changed"}},
			When: "to == \"unhealthy\"\n  && system.tags.env == \"prod\"\n",
			Gate: core.Gate{
				By: "system.id", For: core.Duration(2 * time.Minute), Cooldown: core.Duration(36 * time.Hour),
				Window: &core.Window{Count: 3, Within: core.Duration(10 * time.Minute), Quiet: core.Duration(30 * time.Minute), Refire: core.Refire{Each: core.Duration(15 * time.Minute)}},
			},
			Unless: "in_maintenance || silenced",
			Do: []core.Step{
				{
					ID: "inc", Action: "webhook", Timeout: core.Duration(5 * time.Second), Retry: core.Retry{Max: 3, Backoff: core.Duration(2 * time.Second)},
					With: map[string]any{"url": "https://hook.example", "body": map[string]any{"system": "${system.id}", "n": int64(3), "list": []any{int64(1), "two", nil}}},
				},
				{If: `system.tags.tier == "1"`, Action: "log", With: map[string]any{"message": "${why}"}},
			},
			Recover: []core.Step{{Action: "log"}},
			Mode:    "queued", Max: 5,
		},
		&core.Maintenance{
			ID: "tuesday", Systems: core.Selector{Names: []string{"web-01", "web-02"}}, Comment: "kernel",
			Starts: time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC), Ends: time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC),
		},
	}
	for i := range want {
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("document %d is\n%#v, want\n%#v", i, got[i], want[i])
		}
	}
}

func TestRoundTrip(t *testing.T) {
	want := objects(t, whole)
	text, err := manifest.Encode(want...)
	if err != nil {
		t.Fatal(err)
	}
	if got := objects(t, string(text)); !reflect.DeepEqual(got, want) {
		t.Errorf("what was written reads back differently:\n%s", text)
	}
}

func TestJSONIsYAML(t *testing.T) {
	got := objects(t, `{"apiVersion":"tocsin/v1","kind":"System","metadata":{"name":"a"},"spec":{"tags":{"k":"v"}}}`)
	if !reflect.DeepEqual(got[0], &core.System{ID: "a", Tags: map[string]string{"k": "v"}}) {
		t.Errorf("got %#v", got[0])
	}
}

// TestProblems gives one mistake at a time and asks for its exact text.
func TestProblems(t *testing.T) {
	check := func(spec string) string {
		return "apiVersion: tocsin/v1\nkind: Check\nmetadata: {name: c}\nspec:\n" + spec
	}
	rule := func(spec string) string {
		return "apiVersion: tocsin/v1\nkind: Rule\nmetadata: {name: r}\nspec:\n" + spec
	}
	for _, tt := range []struct{ name, src, want string }{
		{"nothing", "", "f.yaml: there is no document in it; begin with apiVersion: tocsin/v1 and kind: System, Check or Rule"},
		{"a list", "- a\n", "f.yaml:1:1: a document must be a mapping with apiVersion, kind, metadata and spec, not a list"},
		{"kind", "apiVersion: tocsin/v1\nkind: Chekc\nmetadata: {name: c}\n", `f.yaml:2:7: kind: "Chekc" is not a kind; there are System, Check, Rule, Maintenance, Silence, Channel; did you mean Check?`},
		{"version", "apiVersion: v1\nkind: Check\nmetadata: {name: c}\n", `f.yaml:1:13: apiVersion: "v1" is not a version that is known here; write tocsin/v1`},
		{"metadata", "apiVersion: tocsin/v1\nkind: Check\n", "f.yaml:1:1: metadata: metadata is missing; write metadata: {name: ...}"},
		{"name", "apiVersion: tocsin/v1\nkind: System\nmetadata:\n  name: a b\n", `f.yaml:4:9: metadata.name: the name "a b" may hold letters, digits, '.', '_' and '-' only, not ' '`},
		{"top field", "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: a}\nspecs: {}\n", `f.yaml:4:1: specs: unknown field "specs"; a document has apiVersion, kind, metadata, spec; did you mean spec?`},
		{"field", check("  evry: 30s\n"), `f.yaml:5:3: spec.evry: unknown field "evry"; there are systems, every, cron, zone, active, timeout, collect, policy, disabled, overrides; did you mean every?`},
		{"duration", check("  every: soon\n"), `f.yaml:5:10: spec.every: "soon" is not a duration; write for example 30s, 5m, 1h30m or 7d`},
		{"unit", check("  every: 30\n"), `f.yaml:5:10: spec.every: "30" is not a duration; write for example 30s, 5m, 1h30m or 7d; write a unit, for example 30s`},
		{"type", check("  collect: [{use: [http]}]\n"), "f.yaml:5:19: spec.collect[0].use: must be text, not a list"},
		{"quotes", "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: a}\nspec:\n  tags: {tier: 1}\n", `f.yaml:5:16: spec.tags.tier: must be text, not 1; put it in quotes: "1"`},
		{"number", check("  policy: {unhealthy: many}\n"), `f.yaml:5:23: spec.policy.unhealthy: must be a whole number, not the text "many"`},
		{"twice", check("  every: 1m\n  every: 2m\n"), `f.yaml:6:3: "every" stands twice, first on line 5; remove one`},
		{"two steps", rule("  do:\n  - log: {}\n    webhook: {}\n"), `f.yaml:7:5: spec.do[0]: a step does one thing, this one does "log" and "webhook"; make two steps, or see whether one is a field spelled wrongly: id, if, else, timeout, retry, continue_on_error, then, choose, parallel, repeat, delay, wait, let, stop`},
		{"two kinds of step", rule("  do:\n  - delay: 1m\n    log: {}\n"), `f.yaml:7:5: spec.do[0]: a step does one thing, this one has "delay" and "log"; make two steps of it`},
		{"flow misspelt", rule("  do:\n  - wait: {untill: x}\n"), `f.yaml:6:12: spec.do[0].wait.untill: unknown field "untill"; there are until, for, timeout; did you mean until?`}, //nolint:misspell // it must be seen
		{"no step", rule("  do:\n  - id: x\n"), "f.yaml:6:5: spec.do[0]: a step must say what to do; for example log: {message: ...} or webhook: {url: ...}, or then: and steps beside if"},
		{"refire", rule("  gate: {window: {refire: sometimes}}\n"), `f.yaml:5:27: spec.gate.window.refire: "sometimes" is not a refire; write never, every or a duration such as 15m`},
		{"health", "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: a, labels: {x: y}}\n", "f.yaml:3:30: metadata.labels: a System has no labels; a System has tags, in its spec"},
		{"duplicate", "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: a}\n---\napiVersion: tocsin/v1\nkind: System\nmetadata: {name: a}\n", `f.yaml:5:1: System "a" stands twice, first on line 1; rename or remove one`},
		{"selector", check("  systems: web\n"), `f.yaml:5:12: spec.systems: must be a list of names or {match: ...}, not the text "web"`},
		{"alias as a key", check("  zone: &z every\n  *z : 1m\n"), "f.yaml:6:3: a key must be plain text; write the key out, without ?, tag, anchor or alias"},
		{"tag", check("  zone: !!str 5\n"), `f.yaml:5:9: "!!str" is not supported here; write a plain value`},
		{"merge of text", check("  <<: text\n"), "f.yaml:5:3: << must name a mapping, or a list of mappings"},
		{"after wide letters", "apiVersion: tocsin/v1\nkind: System\nmetadata: {title: Größe 日本 😀, nam: a}\n", `f.yaml:3:31: metadata.nam: unknown field "nam"; there are name, title, labels; did you mean name?`},
		{"syntax in the second", "apiVersion: tocsin/v1\nkind: Sistem\nmetadata: {name: a}\n---\na: [\n", `f.yaml:2:7: kind: "Sistem" is not a kind; there are System, Check, Rule, Maintenance, Silence, Channel; did you mean System?` + "\nf.yaml:5:4: this is not valid YAML: sequence end token ']' not found; look at its indentation, quotes and brackets"},
		{"alias", "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: a}\nspec: *nowhere\n", "f.yaml:4:7: there is no anchor &nowhere before this alias; put &nowhere before the value that it stands for"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := manifest.Decode("f.yaml", []byte(tt.src))
			if got := problems.Error(); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestBomb proves that aliases cannot multiply without end.
func TestBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: tocsin/v1\nkind: System\nmetadata: {name: a}\nspec:\n  a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]\n")
	for i := 1; i < 10; i++ {
		b.WriteString("  a" + string(rune('0'+i)) + ": &a" + string(rune('0'+i)) + " [")
		b.WriteString(strings.TrimSuffix(strings.Repeat("*a"+string(rune('0'+i-1))+", ", 10), ", "))
		b.WriteString("]\n")
	}
	begin := time.Now()
	_, problems := manifest.Decode("bomb.yaml", []byte(b.String()))
	if len(problems) == 0 || !strings.Contains(problems.Error(), "too large or too deep") {
		t.Errorf("got %v, want too large", problems)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	_, problems = manifest.Decode("deep.yaml", []byte(strings.Repeat("[", 5000)))
	if len(problems) == 0 {
		t.Error("5,000 open brackets were accepted")
	}
	_, problems = manifest.Decode("long.yaml", make([]byte, 5<<20))
	if len(problems) == 0 || !strings.Contains(problems.Error(), "the most is") {
		t.Errorf("a long file: %v", problems)
	}
}

// TestHostile proves that what would keep the parser busy for hours, or
// overflow its stack, is refused in good time.
func TestHostile(t *testing.T) {
	many := func(format string) string {
		var b strings.Builder
		for i := range 30_000 {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, tt := range []struct{ name, src, want string }{
		{"brackets", strings.Repeat("[", 1000), "1:65: is too deep"},
		{"braces", strings.Repeat("{a: ", 1000), "is too deep"},
		{"brackets in a list", "- " + strings.Repeat("[", 64), "is too deep"},
		{"dashes", strings.Repeat("- ", 1000), "is too deep"},
		{"questions", strings.Repeat("? ", 1000), "is too deep"},
		{"colons", strings.Repeat("a: ", 1000), "is too deep"},
		{"brackets without end", strings.Repeat("[", 1<<20), "too large"},
		{"tags", strings.Repeat("!!a ", 1<<18), "too large"},
		{"anchors", strings.Repeat("&a ", 1<<18), "too large"},
		{"keys", many("k%d: v\n"), "too large"},
		{"keys in braces", "{" + many("k%d: v,") + "}", "too large"},
		{"items", strings.Repeat("- a\n", 1<<17), "too large"},
		{"documents", many("---\na%d: b\n"), "more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			begin := time.Now()
			_, problems := manifest.Decode("f", []byte(tt.src))
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
			if !strings.Contains(problems.Error(), tt.want) || len(problems) > 101 {
				t.Errorf("%d problems, the first %.200q, want %q", len(problems), problems.Error(), tt.want)
			}
		})
	}
	flat := "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: a}\nspec:\n  tags:\n"
	for i := range 200 { // longer and longer keys are no deeper
		flat += "    " + strings.Repeat("k", i+1) + ": v\n"
	}
	if got := objects(t, flat); len(got[0].(*core.System).Tags) != 200 {
		t.Errorf("got %d tags, want 200", len(got[0].(*core.System).Tags))
	}
}

// TestMerge proves that merge keys bring in what is not written out, wherever
// they stand, and that a list of mappings is taken in its order.
func TestMerge(t *testing.T) {
	got := objects(t, `apiVersion: tocsin/v1
kind: Check
metadata: {name: c}
spec:
  collect:
    - &one {use: http, with: &with {url: "https://a", follow: 1}}
    - {<<: *one, use: tcp}
    - use: tcp
      with:
        <<: [{follow: 2}, *with]
        method: HEAD
`)
	want := []core.Collect{
		{Use: "http", With: map[string]any{"url": "https://a", "follow": int64(1)}},
		{Use: "tcp", With: map[string]any{"url": "https://a", "follow": int64(1)}},
		{Use: "tcp", With: map[string]any{"url": "https://a", "follow": int64(2), "method": "HEAD"}},
	}
	if steps := got[0].(*core.Check).Collect; !reflect.DeepEqual(steps, want) {
		t.Errorf("got\n%#v, want\n%#v", steps, want)
	}
}

// TestDocuments proves that documents are told apart however they are written.
func TestDocuments(t *testing.T) {
	const doc = "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: NAME}\n"
	a, b := strings.Replace(doc, "NAME", "a", 1), strings.Replace(doc, "NAME", "b", 1)
	for _, src := range []string{
		a + "---\n" + b,
		"---\n" + a + "---\n" + b + "---\n",
		"# one\n---\n# two\n" + a + "...\n---\n" + b + "...\n",
		"%YAML 1.2\n---\n" + a + "...\n%YAML 1.2\n---\n" + b,
		"---\n---\n" + a + "--- # next\n" + b + "\n---\n# nothing\n",
		strings.ReplaceAll(a+"---\n"+b, "\n", "\r\n"),
	} {
		items, problems := manifest.Decode("f", []byte(src))
		if len(problems) > 0 || len(items) != 2 || items[0].ID != "a" || items[1].ID != "b" {
			t.Errorf("got %d items and %v of\n%s", len(items), problems, src)
		}
	}
}

// TestExact proves that any text, as a value and as a key, and any number is
// written so that it reads back as it was.
func TestExact(t *testing.T) {
	values := []any{
		1.0, 1e20, 1e300, 1e-9, -0.5, 0.1, 1e8, int64(-1), int64(1) << 62, true, nil,
		[]any{},
		map[string]any{},
		[]any{[]any{int64(1), []any{"x", "y"}}, []any{}},
		[]any{map[string]any{"a": int64(1), "b": []any{"x"}}, map[string]any{}},
	}
	texts := []string{
		"", " ", "1", "true", "Yes", "null", "~", "0x10", "1e3", ".inf", "2026-01-01", ": ", "a: b", "a:", "- a", "-", "? a", "\t", "\ta", "a\t",
		" a", "a ", "a\nb", "a\nb\n", "a\n\nb\n\n\n", "\na", "\n", " a\nb", "a \nb", "a\r\nb", "PING\r\n", "#x", "a #x", "a\n#x\nb", "'", "\"",
		"a'b\"c", "[a", "{a", "*a", "&a", "!a", "|", "%a", "@a", "a\n---\nb", "---\na", "\u2028", "\ufeff", "\u0085", "日本語: x", "\x00", "\x1b[31m",
		"\\", "\\n", "<<", "${x}", "010", "1_000", "a:\n  b", "  a\n b", "x\n\ty", "a\n ", "=", "\x7f", "\u00a0", "😀", "\U000e0001",
	}
	for _, s := range texts {
		values = append(values, s, map[string]any{s: map[string]any{"in": s}, "other": []any{s, s}})
	}
	for _, x := range values {
		want := &core.Check{ID: "c", Collect: []core.Collect{{With: map[string]any{"x": x}}}}
		text, err := manifest.Encode(want)
		if err != nil {
			t.Errorf("encode %#v: %v", x, err)
			continue
		}
		items, problems := manifest.Decode("f", text)
		if len(problems) > 0 || !reflect.DeepEqual(items[0].Object, want) {
			t.Errorf("%#v was written as\n%s which reads back with these problems: %v", x, text, problems)
		}
	}
}

func TestLocate(t *testing.T) {
	items, problems := manifest.Decode("all.yaml", []byte(whole))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, tt := range []struct {
		item         int
		path         string
		line, column int
	}{
		{1, "collect[0].assert[1]", 23, 33},
		{1, "policy.unhealthy", 25, 67},
		{1, "cron", 15, 1}, // not written: where its parent begins
		{2, "gate.window.count", 38, 21},
		{2, "do[0].with.body.system", 43, 61},
		{0, "id", 4, 18},
		{1, "labels.team", 14, 18},
		{1, "labels", 14, 12},
		{1, "metadata.labels.team", 14, 18},
		{1, "spec", 15, 1},
		{3, "systems.names[1]", 57, 21}, // the short form of a selector
		{3, "systems[1]", 57, 21},
	} {
		got := items[tt.item].Locate(core.Problem{Path: tt.path})
		if got.File != "all.yaml" || got.Line != tt.line || got.Column != tt.column {
			t.Errorf("%s of %s is at %d:%d, want %d:%d", tt.path, items[tt.item].ID, got.Line, got.Column, tt.line, tt.column)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(whole))
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("{\"kind\": 1}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		items, problems := manifest.Decode("f", src)
		if len(problems) > 0 {
			return
		}
		var list []any
		for _, it := range items {
			list = append(list, it.Object)
		}
		text, err := manifest.Encode(list...)
		if err != nil {
			t.Fatalf("encode what was decoded: %v", err)
		}
		again, problems := manifest.Decode("again", text)
		if len(problems) > 0 || len(again) != len(items) {
			t.Fatalf("decode what was encoded: %v\n%s", problems, text)
		}
		for i := range items {
			if !reflect.DeepEqual(again[i].Object, items[i].Object) {
				t.Fatalf("what was encoded reads back differently:\n%#v\n%#v\n%s", items[i].Object, again[i].Object, text)
			}
		}
	})
}

// Steps of flow are written as people write them, and read back as they were.
func TestFlowRoundTrip(t *testing.T) {
	const text = `apiVersion: tocsin/v1
kind: Rule
metadata: {name: r}
spec:
  on: health.changed
  do:
    - let: {who: system.name}
    - if: vars.who == "a"
      then:
        - log: {message: one}
      else:
        - stop: {}
    - choose:
        - when: "true"
          then: [{delay: 5m}]
      else:
        - wait: {until: health == "healthy", for: 2m, timeout: 1h}
          id: quiet
    - parallel:
        - log: {message: alone}
        - - log: {message: first}
          - log: {message: second}
      continue_on_error: true
    - repeat: {times: 3, do: [{log: {message: "${repeat.index}"}}]}
    - stop: {reason: enough, failed: true}
`
	say := func(text string) core.Step { return core.Step{Action: "log", With: map[string]any{"message": text}} }
	want := []core.Step{
		{Let: map[string]string{"who": "system.name"}},
		{If: `vars.who == "a"`, Then: []core.Step{say("one")}, Else: []core.Step{{Stop: &core.Stop{}}}},
		{
			Choose: []core.Choice{{When: "true", Then: []core.Step{{Delay: core.Duration(5 * time.Minute)}}}},
			Else:   []core.Step{{ID: "quiet", Wait: &core.Wait{Until: `health == "healthy"`, For: core.Duration(2 * time.Minute), Timeout: core.Duration(time.Hour)}}},
		},
		{Parallel: [][]core.Step{{say("alone")}, {say("first"), say("second")}}, ContinueOnError: true},
		{Repeat: &core.Repeat{Times: 3, Do: []core.Step{say("${repeat.index}")}}},
		{Stop: &core.Stop{Reason: "enough", Failed: true}},
	}
	for range 2 {
		got := objects(t, text)
		rule, ok := got[0].(*core.Rule)
		if !ok || !reflect.DeepEqual(rule.Do, want) {
			t.Fatalf("read %+v, want %+v", got[0], want)
		}
		written, err := manifest.Encode(got...)
		if err != nil {
			t.Fatal(err)
		}
		if again := objects(t, string(written)); !reflect.DeepEqual(again, got) {
			t.Fatalf("what was written reads back differently:\n%s", written)
		}
	}
}
