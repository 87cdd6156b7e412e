package lang_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

// extra is a scope with two functions of modules: twice, and bad, which fails.
func extra(t *testing.T, seen *time.Time) *lang.Scope {
	t.Helper()
	call := func(f func(args []any) lang.Called) func(time.Time, []any) lang.Called {
		return func(now time.Time, args []any) lang.Called { *seen = now; return f(args) }
	}
	s := lang.MapScope(map[string]lang.Var{"n": {Type: core.NumberSample}, "now": {Type: core.TimeSample}, "steps": {Type: core.AnySample}})
	return s.WithFuncs([]lang.Func{
		{
			FunctionDecl: core.FunctionDecl{Name: "twice", Doc: "Two of it.", Params: []core.SampleDecl{{Name: "of", Type: core.NumberSample}}, Returns: core.NumberSample},
			From:         "module m",
			Call: call(func(args []any) lang.Called {
				if i, ok := args[0].(int64); ok {
					return lang.Called{Value: 2 * i}
				}
				return lang.Called{Value: 2 * args[0].(float64), Steps: 10}
			}),
		},
		{FunctionDecl: core.FunctionDecl{Name: "bad", Returns: core.BoolSample}, Call: call(func([]any) lang.Called { return lang.Called{Err: errors.New("module m: it aborted")} })},
		{FunctionDecl: core.FunctionDecl{Name: "gone", Returns: core.BoolSample}, Call: call(func([]any) lang.Called { return lang.Called{Err: errors.New("module m is not there"), Unknown: true} })},
		{FunctionDecl: core.FunctionDecl{Name: "liar", Returns: core.BoolSample}, Call: call(func([]any) lang.Called { return lang.Called{Value: "yes"} })},
		{FunctionDecl: core.FunctionDecl{Name: "len", Returns: core.BoolSample}, Call: call(func([]any) lang.Called { return lang.Called{Value: true} })},
	})
}

func TestExtraFunctions(t *testing.T) {
	t.Parallel()
	var seen time.Time
	s := extra(t, &seen)
	now := time.Unix(1_700_000_000, 0)
	env := map[string]any{"n": 4.0, "now": now}
	for text, want := range map[string]string{
		"twice(n) == 8":              "",
		"twice(2) < 5":               "",
		`len("abc") == 3`:            "", // the language's own
		"bad()":                      "bad failed: module m: it aborted",
		"gone()":                     "gone failed: module m is not there",
		"liar()":                     "liar gave text (\"yes\"), not true or false",
		"all(1..1000, twice(#) > 0)": "takes too much work",
	} {
		p, problems := lang.Compile(s, text, lang.Bool)
		if len(problems) > 0 {
			t.Errorf("%s: %v", text, problems)
			continue
		}
		ok, err := p.Bool(env)
		if ok != (want == "") || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s = %v, %v; want %q", text, ok, err, want)
		}
		if e, isLang := errors.AsType[*lang.Error](err); isLang && e.Limit != (text == "gone()" || strings.HasPrefix(text, "all")) {
			t.Errorf("%s: limit %v", text, e.Limit)
		}
	}
	if !seen.Equal(now) {
		t.Errorf("a function saw the time %s, want %s", seen, now)
	}
	p, _ := lang.Compile(s, "twice(n) > 100", lang.Bool)
	if got := p.Decided(env); got != "twice(n) is 8" && !strings.Contains(got, "twice(n) > 100 is false") {
		t.Errorf("Decided = %q", got)
	}
	found := false
	for _, n := range p.Explain(env) {
		found = found || n.Expr == "twice(n)" && n.Value == "8"
	}
	if !found || len(p.Funcs()) != 1 || p.Funcs()[0] != "twice" {
		t.Errorf("Explain = %+v of %v", p.Explain(env), p.Funcs())
	}
	if f := s.Describe().Funcs["twice"]; f.Returns != "float" || len(f.Args) != 1 || f.Doc != "Two of it. From module m." {
		t.Errorf("Describe = %+v", f)
	}
	for text, want := range map[string]string{
		"twise(n) > 1":    `there is no function "twise"; did you mean "twice"?`,
		`twice("a") > 1`:  "twice(of) does not take text",
		"twice() > 1":     "twice(of) does not take 0 arguments",
		`twice(1) == "a"`: "== does not work on a number and text",
	} {
		if _, problems := lang.Compile(s, text, lang.Bool); len(problems) == 0 || !strings.Contains(problems.Error(), want) || problems[0].Line != 1 {
			t.Errorf("%s: %v, want %s", text, problems, want)
		}
	}
}

// What is known below a map of any values is held to what it is compared with.
func TestWithTypes(t *testing.T) {
	t.Parallel()
	var seen time.Time
	s := extra(t, &seen).WithTypes(map[string]core.SampleType{"steps.a.count": core.IntegerSample, "steps.a.took": core.DurationSample})
	for text, ok := range map[string]bool{
		"steps.a.count > 3": true, "steps.a.count == n": true, `steps.a.took > duration("1s")`: true, `steps.a.other == "x"`: true, "steps.a.count == nil": true,
		`steps.a.count == "3"`: false, "steps.a.took > 3": false, "steps.a.count && true": false,
	} {
		if _, problems := lang.Compile(s, text, lang.Bool); (len(problems) == 0) != ok {
			t.Errorf("%s: %v, want ok %v", text, problems, ok)
		}
	}
}
