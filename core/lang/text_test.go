package lang_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

func TestText(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"":                               "",
		"plain":                          "plain",
		"${system.id} is ${to}":          "web-1 is unhealthy",
		`\${system.id} costs $5 {x}`:     "${system.id} costs $5 {x}",
		"${health_for}, ${load}, ${now}": "31m, 0.5, 2026-01-31T12:00:00Z",
		"${system.groups}":               `["core", "eu-west"]`,
		"${json.items[0]}":               `{"id": 1, "ok": true}`,
		`${"}" + to + '{'}`:              "}unhealthy{",
		`${{"a": 1}.a}`:                  "",
		`${ {"a": 1}["a"] }`:             "1",
		"[${json?.lost}]":                "[]",
		`${json.gone ?? "none"}`:         "none",
		"日${to[0:1]}本":                   "日u本",
	} {
		if strings.HasPrefix(source, "${{") {
			continue // refused: braces are below
		}
		text, bad := lang.CompileText(scope(t), source)
		if len(bad) > 0 {
			t.Errorf("compile %s: %v", source, bad)
			continue
		}
		if got, err := text.Render(example()); err != nil || got != want {
			t.Errorf("%s: got %q, %v; want %q", source, got, err, want)
		}
		constant, ok := text.Constant()
		if ok != !strings.Contains(strings.ReplaceAll(source, `\${`, ""), "${") || ok && constant != want {
			t.Errorf("%s: constant is %q, %v", source, constant, ok)
		}
	}
}

func TestTextProblems(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"one\ntwo ${systm.id}":       "2:7: there is no \"systm\"; did you mean \"system\"?\ntwo ${systm.id}\n      ^",
		"${to":                       "1:1: ${ is not closed; end the expression with }, or write \\${ for the characters themselves\n${to\n^",
		"${}":                        "1:3: the expression is empty\n${}\n  ^",
		"hello {{ system.name }}":    "1:7: {{ }} has no meaning here; write ${system.name}\nhello {{ system.name }}\n      ^",
		"hello {{.Name}}":            "1:7: {{ }} has no meaning here; write ${Name}\nhello {{.Name}}\n      ^",
		`x ${{"a": 1}} ${{{"a":1}}}`: "1:17: {{ }} is not part of an expression; write the name alone, for example system.name\nx ${{\"a\": 1}} ${{{\"a\":1}}}\n                ^",
	} {
		_, bad := lang.CompileText(scope(t), source)
		if len(bad) == 0 || bad[0].Error() != want {
			t.Errorf("%s:\ngot  %v\nwant %s", source, bad, want)
		}
	}
	text, bad := lang.CompileText(scope(t), "now ${json.lost.deep}")
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	if _, err := text.Render(example()); err == nil || err.Error() != "${json.lost.deep}: json.lost is missing" {
		t.Errorf("render what is missing: got %v", err)
	}
	if got := text.Refs(); !slices.Equal(got, []string{"json.lost.deep"}) {
		t.Errorf("refs: got %v", got)
	}
}

// TestValue holds that references to secrets pass through as they are.
// acceptance 37.
func TestValue(t *testing.T) {
	t.Parallel()
	in := map[string]any{
		"url": "https://${system.id}/", "port": "${total_checks + 80}", "plain": 3, "wait": "${health_for}", "list": []any{"${silenced}", true, nil},
		"headers": map[string]any{"Authorization": map[string]any{"secret": "token"}, "X": map[string]any{"secret": "${to}", "more": 1}},
	}
	v, bad := lang.CompileValue(scope(t), in)
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	got, err := v.Render(example())
	want := map[string]any{
		"url": "https://web-1/", "port": int64(83), "plain": 3, "wait": "31m", "list": []any{false, true, nil},
		"headers": map[string]any{"Authorization": map[string]any{"secret": "token"}, "X": map[string]any{"secret": "unhealthy", "more": 1}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v, %v\nwant %v", got, err, want)
	}
	if !slices.Equal(v.Secrets(), []string{"token"}) || v.Constant() || !slices.Equal(v.Refs(), []string{"health_for", "silenced", "system.id", "to", "total_checks"}) {
		t.Errorf("secrets %v, constant %v, refs %v", v.Secrets(), v.Constant(), v.Refs())
	}
	_, bad = lang.CompileValue(scope(t), map[string]any{"a": []any{"x", map[string]any{"b": "${tu}"}}, "c": "${"})
	if len(bad) != 2 || bad[0].Path != "a[1].b" || bad[1].Path != "c" {
		t.Errorf("paths of problems: got %+v", bad)
	}
	deep := any("x")
	for range 100 {
		deep = []any{deep}
	}
	if _, bad := lang.CompileValue(scope(t), deep); len(bad) == 0 || bad[0].Code != "too_complex" {
		t.Errorf("a value of 100 levels: got %v", bad)
	}
}

func ExampleCompile() {
	s := lang.MapScope(map[string]lang.Var{"status": {Type: core.IntegerSample}, "latency": {Type: core.DurationSample}})
	_, problems := lang.Compile(s, `statsu == 200`, lang.Bool)
	fmt.Println(problems)

	p, _ := lang.Compile(s, `status == 200 && latency < duration("500ms")`, lang.Bool)
	env := map[string]any{"status": 503}
	ok, err := p.Bool(env)
	fmt.Println(ok, err)
	fmt.Println(p.Decided(env))

	_, err = p.Bool(map[string]any{"status": 200})
	fmt.Println(err)
	// Output:
	// 1:1: there is no "statsu"; did you mean "status"?
	// statsu == 200
	// ^
	// false <nil>
	// status is 503
	// latency is missing
}
