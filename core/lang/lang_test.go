package lang_test

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

type system struct {
	ID     string            `expr:"id"`
	Tags   map[string]string `expr:"tags"`
	Groups []string          `expr:"groups"`
}

// facts is a struct environment with a field of each kind.
type facts struct {
	To            string         `doc:"the new health"            enum:"unknown,healthy,degraded,unhealthy,stale" expr:"to"`
	System        system         `expr:"system"`
	HealthyChecks int            `expr:"healthy_checks"`
	TotalChecks   int            `expr:"total_checks"`
	CausedBy      []string       `expr:"caused_by"`
	Now           time.Time      `expr:"now"`
	At            time.Time      `expr:"at"`
	HealthFor     time.Duration  `expr:"health_for"`
	Load          float64        `expr:"load"                      unit:"%"`
	Silenced      bool           `expr:"silenced"`
	Limit         *float64       `expr:"limit"`
	JSON          any            `expr:"json"`
	Steps         map[string]any `expr:"steps"`
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func example() facts {
	return facts{
		To: "unhealthy", System: system{ID: "web-1", Tags: map[string]string{"env": "prod"}, Groups: []string{"core", "eu-west"}},
		HealthyChecks: 1, TotalChecks: 3, Now: noon, At: noon.Add(-10 * time.Minute), HealthFor: 31 * time.Minute, Load: 0.5,
		JSON: map[string]any{
			"version": "1.2", "count": 3.0, "ok": true, "gone": nil,
			"items": []any{map[string]any{"id": 1.0, "ok": true}, map[string]any{"id": 2.0, "ok": false}},
		},
		Steps: map[string]any{"call": map[string]any{"status": int64(200)}},
	}
}

func scope(tb testing.TB) *lang.Scope {
	tb.Helper()
	s, err := lang.StructScope(facts{})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func compile(tb testing.TB, source string, want lang.Want) *lang.Program {
	tb.Helper()
	p, bad := lang.Compile(scope(tb), source, want)
	if len(bad) > 0 {
		tb.Fatalf("compile %s: %v", source, bad)
	}
	return p
}

// TestProblems has the exact text of each mistake that is found when an
// expression is saved. acceptance 36.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ source, want string }{
		{``, `1:1: the expression is empty`},
		{`  `, `1:1: the expression is empty`},
		{`too == "x"`, `1:1: there is no "too"; did you mean "to"?`},
		{`system.tag.env == "x"`, `1:8: system has no "tag"; did you mean "tags"?`},
		{`system.zzz == "x"`, `1:8: system has no "zzz"; there are groups, id, tags`},
		{`to.x == "x"`, `1:4: to is text and has no "x"`},
		{`system["idd"] == "x"`, `1:7: system has no "idd"; did you mean "id"?`},
		{`healthy_checks`, `1:1: the expression is a number, not true or false; compare it with something`},
		{`system.id`, `1:1: the expression is text, not true or false; compare it with something`},
		{`nil`, `1:1: the expression is null, not true or false; compare it with something`},
		{`health_for > 5`, `1:1: > does not work on a duration and a number: health_for is a duration, 5 is a number; write a duration, for example duration("500ms")`},
		{`health_for > "5m"`, `1:1: > does not work on a duration and text: health_for is a duration, "5m" is text; write duration("...") around the text`},
		{`now > "2026-01-01"`, `1:1: > does not work on a time and text: now is a time, "2026-01-01" is text; write date("...") around the text`},
		{`load > "5"`, `1:1: > does not work on a number and text: load is a number, "5" is text; write the number without quotes`},
		{`silenced > 1`, `1:1: > does not work on true or false and a number: silenced is true or false, 1 is a number`},
		{`to == 3`, `1:1: == does not work on text and a number: to is text, 3 is a number; write the number without quotes`},
		{`to && silenced`, `1:1: && does not work on text and true or false: to is text, silenced is true or false; both sides must be true or false`},
		{`!to`, `1:1: ! does not work on text`},
		{`to = "x"`, `1:4: "=" is not expected here; write == to compare`},
		{`to == "stale" silenced`, `1:15: "silenced" is not expected here; join two conditions with && or ||`},
		{`silenced AND silenced`, `1:10: "AND" is not expected here; write and in lower case`},
		{`to is "stale"`, `1:4: "is" is not expected here; write == to compare`},
		{`to contain "st"`, `1:4: "contain" is not expected here; did you mean "contains"?`},
		{`to ==`, `1:6: the expression ends too early`},
		{`(silenced`, `1:10: the expression ends too early`},
		{`silenced)`, `1:9: ")" is not expected here`},
		{`to == 'x`, `1:9: a text is not closed; end it with the quote it began with`},
		{`to == "x" && ${system.id} == "y"`, `1:14: "${" is not expected here; write the name alone; ${...} belongs in texts`},
		{`{{ to }} == "x"`, `1:1: {{ }} is not part of an expression; write the name alone, for example system.name`},
		{`silenced; silenced`, `1:1: there is more than one expression; join two conditions with && or ||`},
		{`to == "unhelthy"`, `1:7: to is never "unhelthy"; did you mean "unhealthy"?`},
		{`"down" != to`, `1:1: to is never "down"; there are degraded, healthy, stale, unhealthy, unknown`},
		{`to in ["healthy", "stalled"]`, `1:19: to is never "stalled"; did you mean "stale"?`},
		{`3 in system.groups`, `1:1: a number cannot be in a list of text`},
		{`now() > at`, `1:1: "now" is not a function; write it without ( )`},
		{`lenn(to) > 1`, `1:1: there is no function "lenn"; did you mean "len"?`},
		{`repeat("a", 1000000) == ""`, `1:1: there is no function "repeat"; there are abs, all, any, ceil, count, date, duration, filter, find, findIndex, first, float and more`},
		{`reduce(1..9, #acc + #, 0) > 1`, `1:1: there is no function "reduce"; there are abs, all, any, ceil, count, date, duration, filter, find, findIndex, first, float and more`},
		{`len(3) > 1`, `1:1: len(of) does not take a number`},
		{`len() > 1`, `1:1: len(of) does not take 0 arguments`},
		{`trim(to, "x") == ""`, `1:1: trim(text) does not take 2 arguments`},
		{`now.Unix() > 3`, `1:1: values have no functions of their own; write f(x) and not x.f()`},
		{`now.Unix == 3`, `1:10: values have no functions of their own, and functions are no values; write f(x)`},
		{`len == 3`, `1:5: values have no functions of their own, and functions are no values; write f(x)`},
		{`duration("5 minutes") < health_for`, `1:10: "5 minutes" is not a duration; write for example 30s, 5m, 1h30m or 7d`},
		{`now > date("tomorrow")`, `1:12: "tomorrow" is not a date; write for example 2026-01-31 or 2026-01-31T12:00:00Z`},
		{`hour(now, "Berlin") > 8`, `1:11: "Berlin" is not a time zone; write for example Europe/Berlin`},
		{`to matches "("`, "1:12: the pattern is not a regular expression: missing closing ): `(`"},
		{`to matches system.id`, `1:12: the pattern of matches must be written out; for example name matches "^web-[0-9]+$"`},
		{`any(system.groups, len(#)) `, `1:20: what must hold of each element is a number, not true or false; compare it with something`},
		{`any(to, # == "x")`, `1:5: any() takes a list, not text`},
		{`to ? silenced : silenced`, `1:1: the condition is text, not true or false; compare it with something`},
		{`let to = 1; to > 0`, `1:5: "to" is taken; choose another name`},
		{`[[1]] == [[1]]`, `1:2: an element of a list must be a number, text, true or false, a duration or a time`},
		{`$env.to == "x"`, `1:1: $env is not part of the language; write the names alone`},
		{"to == \"stale\" &&\n  silencd", `2:3: there is no "silencd"; did you mean "silenced"?`},
		{`"日本語" == tu`, `1:10: there is no "tu"; did you mean "to"?`},
		{strings.Repeat("(", 300) + "silenced" + strings.Repeat(")", 300) + " && " + strings.Repeat("!", 300) + "silenced", `1:812: the expression is nested deeper than 200 levels; split it`},
		{strings.Repeat("silenced && ", 1500) + "silenced", `1:12010: the expression has more than 2000 parts; split it`},
		{strings.Repeat(" ", 20_001) + "silenced", `1:1: the expression has 20009 bytes, more than 20000`},
	} {
		p, bad := lang.Compile(scope(t), tt.source, lang.Bool)
		if p != nil || len(bad) == 0 {
			t.Errorf("%.60s: got no problem, want %s", tt.source, tt.want)
			continue
		}
		if got, _, _ := strings.Cut(bad[0].Error(), "\n"); got != tt.want {
			t.Errorf("%.60s:\ngot  %s\nwant %s", tt.source, got, tt.want)
		}
	}
}

func TestProblemPlace(t *testing.T) {
	t.Parallel()
	_, bad := lang.Compile(scope(t), "silenced &&\n\t\"ä\" == systm.id", lang.Bool)
	want := core.Problem{
		Line: 2, Column: 9, Code: "unknown_name", Message: `there is no "systm"`, Fix: `did you mean "system"?`,
		From: 21, To: 26, Snippet: " \"ä\" == systm.id\n        ^",
	}
	if len(bad) != 1 || bad[0] != want {
		t.Errorf("got  %+v\nwant %+v", bad, want)
	}
	long := strings.Repeat("silenced && ", 50) + "x == 1"
	_, bad = lang.Compile(scope(t), long, lang.Bool)
	line, caret, _ := strings.Cut(bad[0].Snippet, "\n")
	if len(line) > 100 || line[len(caret)-1:] != "x == 1" {
		t.Errorf("the snippet of a long line is %q with the caret at %d", line, len(caret))
	}
}

func TestWant(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		source string
		want   lang.Want
		ok     bool
		typ    string
	}{
		{"load", lang.Number, true, "float"},
		{"total_checks", lang.Number, true, "int"},
		{"to", lang.Number, false, ""},
		{"to", lang.String, true, "string"},
		{"load", lang.String, false, ""},
		{"json.version", lang.String, true, "any"},
		{"health_for", lang.Any, true, "duration"},
		{"now", lang.Any, true, "time"},
		{"caused_by", lang.Any, true, "array"},
		{"system", lang.Any, true, "struct"},
		{"system.tags", lang.Any, true, "map"},
		{"silenced", lang.Bool, true, "bool"},
	} {
		p, bad := lang.Compile(scope(t), tt.source, tt.want)
		if (len(bad) == 0) != tt.ok || p != nil && p.Type() != tt.typ {
			t.Errorf("compile %s, want %d: got %v, problems %v", tt.source, tt.want, p, bad)
		}
	}
	p := compile(t, "json.count", lang.String)
	if _, err := p.Eval(example()); err == nil || err.Error() != "json.count is a number, not text" {
		t.Errorf("a number for text: got %v", err)
	}
}

func TestEval(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]any{
		`to == "unhealthy" && system.tags.env == "prod" && healthy_checks < total_checks`: true,
		`to != "unhealthy" || !(load >= 0.5)`:                                             false,
		`system.tags.tier == ""`:                                                          true, // an absent tag is ""
		`system.tags["env"]`:                                                              "prod",
		`"env" in system.tags and "tier" not in system.tags`:                              true,
		`caused_by == nil`:                                                                true,
		`caused_by != nil`:                                                                false,
		`len(caused_by)`:                                                                  int64(0),
		`"eu-west" in system.groups`:                                                      true,
		`to in ["degraded", "unhealthy"]`:                                                 true,
		`total_checks in 1..3`:                                                            true,
		`any(system.groups, # startsWith "eu-")`:                                          true,
		`all(caused_by, # == "x")`:                                                        true,
		`none(system.groups, # == "core")`:                                                false,
		`one(system.groups, # == "core")`:                                                 true,
		`count(json.items, #.ok)`:                                                         int64(1),
		`sum(json.items, #.id)`:                                                           3.0,
		`sum([duration("1m"), duration("2m")])`:                                           3 * time.Minute,
		`map(json.items, #.id * 2)`:                                                       []any{2.0, 4.0},
		`filter(system.groups, #  contains "r")`:                                          []any{"core"},
		`find(json.items, #.id == 2).ok`:                                                  false,
		`find(json.items, #.id == 9) == nil`:                                              true,
		`findIndex(system.groups, # == "x")`:                                              int64(-1),
		`map(system.groups, #index)`:                                                      []any{int64(0), int64(1)},
		`json.items[0].id`:                                                                1.0,
		`json.items[-1].id`:                                                               2.0,
		`json["version"] + "!"`:                                                           "1.2!",
		`json.gone ?? "none"`:                                                             "none",
		`json.lost ?? json.version`:                                                       "1.2",
		`json?.lost?.deep`:                                                                nil,
		`json?.lost == "x"`:                                                               false,
		`json.gone == nil && json.lost == nil`:                                            true,
		`limit == nil`:                                                                    true,
		`limit ?? 5`:                                                                      int64(5),
		`steps.call.status == 200`:                                                        true,
		`now - at == duration("10m")`:                                                     true,
		`at + duration("10m") == now`:                                                     true,
		`health_for > duration("30m")`:                                                    true,
		`duration("1d12h") == duration("36h")`:                                            true,
		`duration("10s") * 6`:                                                             time.Minute,
		`seconds(health_for)`:                                                             1860.0,
		`now > date("2026-01-01")`:                                                        true,
		`hour(now, "Europe/Berlin")`:                                                      int64(13),
		`weekday(now)`:                                                                    "sat",
		`total_checks * 2 - 1`:                                                            int64(5),
		`total_checks / 2`:                                                                1.5,
		`total_checks % 2`:                                                                int64(1),
		`2 ** 3`:                                                                          8.0,
		`-total_checks + 1.5`:                                                             -1.5,
		`1 == 1.0`:                                                                        true,
		`load < 1 ? "low" : "high"`:                                                       "low",
		`if silenced { 1 } else { 2 }`:                                                    int64(2),
		`let n = total_checks - healthy_checks; n > 1 && n < 3`:                           true,
		`system.id matches "^web-[0-9]+$"`:                                                true,
		`system.id startsWith "web" && system.id endsWith "1"`:                            true,
		`to[0:2] + to[-1:]`:                                                               "uny",
		`system.groups[1:]`:                                                               []string{"eu-west"},
		`upper(system.id) + lower("X") + trim(" y ")`:                                     "WEB-1xy",
		`replace(system.id, "-", "_")`:                                                    "web_1",
		`join(system.groups, ", ")`:                                                       "core, eu-west",
		`split(system.id, "-")[1]`:                                                        "1",
		`trimPrefix(system.id, "web-") + trimSuffix("a.b", ".b")`:                         "1a",
		`hasPrefix(to, "un") && hasSuffix(to, "y") && indexOf(to, "h") == 2`:             true,
		`int("12") + int(2.9) + int(float("1.5"))`:                                       int64(15),
		`string(total_checks) + string(health_for) + string(true)`:                       "331mtrue",
		`abs(-1.5) + ceil(0.5) + floor(0.5) + round(0.6)`:                                3.5,
		`min(3, 1, 2) + max([4, 5])`:                                                     int64(6),
		`mean([1, 2, 3])`:                                                                2.0,
		`keys(json.items[0])`:                                                            []string{"id", "ok"},
		`first(system.groups) + last(system.groups)`:                                     "coreeu-west",
		`len("日本語")`:                                                                     int64(3),
		`{"a": to, "b": 1}`:                                                              map[string]any{"a": "unhealthy", "b": int64(1)},
		`[1, 2] == [1, 2.0]`:                                                             true,
		`json.items[0] == json.items[0]`:                                                 true,
		`system.groups | any(# == "core")`:                                               true,
		`filter(json.items, {#.ok}) | map(#.id)`:                                         []any{1.0},
		`silenced || total_checks > 2 && !silenced`:                                      true,
		`"a" < "b" && date("2026-01-01") < now`:                                          true,
		`(json.ok ? 1 : 2) == 1`:                                                         true,
		`all(system.groups, let g = #; any(system.groups, # == g))`:                      true,
		`silenced && json.lost.deep == 1`:                                                false, // the right side is not looked at
		`total_checks == 3 || json.lost.deep == 1`:                                       true,
		`// what is behind a slash` + "\n" + `/* and between */ total_checks // is left`: int64(3),
	} {
		p, bad := lang.Compile(scope(t), source, lang.Any)
		if len(bad) > 0 {
			t.Errorf("compile %s: %v", source, bad)
			continue
		}
		e := example()
		for _, env := range []any{e, &e} {
			if got, err := p.Eval(env); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s over %T: got %#v, %v; want %#v", source, env, got, err, want)
			}
		}
	}
}

// TestNothingIsSilent has what cannot be evaluated: never a value, always the
// name of what is at fault. acceptance 9.
func TestNothingIsSilent(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`json.gone == "x"`:                    `json.gone is null`,
		`json.gone != "x"`:                    `json.gone is null`,
		`json.gone > 3`:                       `json.gone is null`,
		`!(json.gone > 3)`:                    `json.gone is null`,
		`json.gone + 1 > 0`:                   `json.gone is null`,
		`json.gone`:                           `json.gone is null`,
		`!json.gone`:                          `json.gone is null`,
		`json.gone && true`:                   `json.gone is null`,
		`json.gone in ["x"]`:                  `json.gone is null`,
		`"x" in json.gone`:                    `json.gone is null`,
		`"x" not in json.gone`:                `json.gone is null`,
		`json.gone contains "x"`:              `json.gone is null`,
		`not (json.gone contains "x")`:        `json.gone is null`,
		`json.gone matches "x"`:               `json.gone is null`,
		`json.gone startsWith "x"`:            `json.gone is null`,
		`len(json.gone) == 0`:                 `json.gone is null`,
		`all(json.gone, true)`:                `json.gone is null`,
		`none(json.gone, true)`:               `json.gone is null`,
		`json.gone ? true : false`:            `json.gone is null`,
		`[json.gone] == [1]`:                  `json.gone is null`,
		`string(json.gone) == ""`:             `json.gone is null`,
		`json.lost == "x"`:                    `json.lost is missing`,
		`json.lost.deep == "x"`:               `json.lost is missing`,
		`json.lost.deep == nil`:               `json.lost is missing`,
		`json?.lost.deep == "x"`:              `json?.lost is missing`,
		`(json?.lost ?? json.gone) == 1`:      ``,
		`json?.lost > 3`:                      `json?.lost is null`,
		`!json?.lost`:                         `json?.lost is null, not true or false`,
		`json.count.x == 1`:                   `json.count is a number (3) and has no x`,
		`json.count == "3"`:                   `json.count == "3" cannot be compared: json.count is a number (3), "3" is text ("3")`,
		`json.count != "3"`:                   `json.count != "3" cannot be compared: json.count is a number (3), "3" is text ("3")`,
		`json.version > 1`:                    `json.version > 1 cannot be compared: json.version is text ("1.2"), 1 is a number (1)`,
		`json.version`:                        `json.version is text ("1.2"), not true or false`,
		`json.version + 1 == 2`:               `json.version + 1 cannot be worked out: json.version is text ("1.2"), 1 is a number (1)`,
		`json.count && true`:                  `json.count is a number (3), not true or false`,
		`json.count contains "3"`:             `json.count is a number (3), not text`,
		`upper(json.count) == ""`:             `json.count is a number (3); upper() takes text`,
		`json.items[7].id == 1`:               `json.items has 2 elements, there is no [7]`,
		`json.items.id == 1`:                  `json.items is a list; its elements have numbers, not text ("id")`,
		`find(json.items, false).id == 1`:     `find(json.items, false) is null`,
		`any(json.items, #.id)`:               `#.id is a number (1), not true or false`,
		`first(caused_by) == "x"`:             `first(caused_by) has 0 elements, there is no [0]`,
		`limit > 3`:                           `limit is null`,
		`limit != 3`:                          `limit is null`,
		`1 / 0 > 1`:                           `1 / 0 divides by zero`,
		`1 % 0 > 1`:                           `1 % 0 divides by zero`,
		`9223372036854775807 + 1 > 1`:         `9223372036854775807 + 1 is too large for an integer`,
		`int(json.version) > 1`:               `int(json.version): "1.2" is not an integer`,
		`duration(json.version) > health_for`: `duration(json.version): "1.2" is not a duration; write for example 30s, 5m, 1h30m or 7d`,
		`hour(now, json.version) > 1`:         `"1.2" is not a time zone`,
		`min(json.items) > 1`:                 `min(json.items): a map and a map cannot be compared`,
		`max([]) > 1`:                         `max([]): the list is empty`,
		`map(json.items, #) == []`:            `map(json.items, #): an element of a list must not be a map`,
		`any(1..9999, none(1..9999, # > 0))`:  `… takes too much work: more than 500000 steps`,
		`any(1..99999999999, true)`:           `1..99999999999 has more than 10000 numbers`,
		`len(-9223372036854775807..9000000000000000000) > 1`: `-9223372036854775807..9000000000000000000 has more than 10000 numbers`,
	} {
		p, bad := lang.Compile(scope(t), source, lang.Bool)
		if len(bad) > 0 {
			t.Errorf("compile %s: %v", source, bad)
			continue
		}
		got, err := p.Bool(example())
		if want == "" {
			continue
		}
		if end, ok := strings.CutPrefix(want, "…"); err == nil || err.Error() != want && (!ok || !strings.HasSuffix(err.Error(), end)) {
			t.Errorf("%s: got %v, %v; want %s", source, got, err, want)
		}
		if _, again := p.Eval(example()); again == nil {
			t.Errorf("%s: Bool fails with %v and Eval does not", source, err)
		}
	}
}

func TestMapScope(t *testing.T) {
	t.Parallel()
	s := lang.MapScope(map[string]lang.Var{
		"status": {Type: core.IntegerSample}, "lag": {Type: core.NumberSample}, "role": {Type: core.StringSample, Enum: []string{"primary", "replica"}},
		"latency": {Type: core.DurationSample}, "headers": {Type: core.MapSample}, "json": {Type: core.AnySample}, "up": {Type: core.BoolSample},
		"seen": {Type: core.TimeSample}, "system": {Example: system{}}, "odd": {Example: make(chan int)},
	})
	env := map[string]any{
		"status": int64(200), "lag": int64(4), "role": "primary", "latency": 120 * time.Millisecond, "headers": map[string]string{"server": "x"},
		"up": true, "seen": noon, "system": system{ID: "a", Tags: map[string]string{"env": "prod"}},
	}
	for source, want := range map[string]string{
		`status == 200 && lag < 4.5 && up`:                         "true",
		`latency < duration("500ms") && seen < date("2027-01-01")`: "true",
		`headers.server == "x" && headers["lost"] == ""`:           "true",
		`system.tags.env == "prod" && system.id == "a"`:            "true",
		`json.x == 1`:     "json is missing",
		`role == "main"`:  `role is never "main"; there are primary, replica`,
		`statu == 200`:    `there is no "statu"; did you mean "status"?`,
		`status == "200"`: `== does not work on a number and text: status is a number, "200" is text; write the number without quotes`,
	} {
		var got string
		if p, bad := lang.Compile(s, source, lang.Bool); len(bad) > 0 {
			got = bad[0].Message
			if bad[0].Fix != "" {
				got += "; " + bad[0].Fix
			}
		} else if ok, err := p.Bool(env); err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(ok)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
	for value, want := range map[any]string{
		nil: "status is null", "200": `status is text ("200"), not a number`, 200.5: "status is 200.5, not an integer",
		200.0: "true", 201: "false", true: "status is true or false (true), not a number",
	} {
		p, bad := lang.Compile(s, "status == 200", lang.Bool)
		if len(bad) > 0 {
			t.Fatal(bad)
		}
		ok, err := p.Bool(core.Samples{"status": value})
		got := fmt.Sprint(ok)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("status is %#v: got %s, want %s", value, got, want)
		}
	}
	more := s.With(map[string]lang.Var{"extra": {Type: core.NumberSample}})
	if _, bad := lang.Compile(more, "extra > 1 && status > 1", lang.Bool); len(bad) > 0 {
		t.Errorf("with one more name: %v", bad)
	}
}

func TestWrongEnvironment(t *testing.T) {
	t.Parallel()
	p := compile(t, "silenced", lang.Bool)
	var none *facts
	for _, env := range []any{nil, 3, map[string]any{}, system{}, none} {
		if _, err := p.Bool(env); err == nil {
			t.Errorf("evaluate over %T: got no error", env)
		}
		if nodes := p.Explain(env); len(nodes) != 1 || nodes[0].Error == "" {
			t.Errorf("explain over %T: got %+v", env, nodes)
		}
	}
	for _, bad := range []any{nil, 3, struct{ A int }{}, struct {
		A chan int `expr:"a"`
	}{}, struct {
		A core.Health `expr:"a"`
	}{}, struct {
		A map[int]string `expr:"a"`
	}{}} {
		if _, err := lang.StructScope(bad); err == nil {
			t.Errorf("a scope of %T: got no error", bad)
		}
	}
}

func TestRefs(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`to == "stale" && system.tags.env == "x" && system.tags["tier"] == "1"`: "system.tags.env system.tags.tier to",
		`any(system.groups, # == to)`:                                           "system.groups to",
		`json.items[0].id == steps?.call.x`:                                     "json.items steps.call.x",
		`let a = to; a == "x" && len(a) > 1`:                                    "to",
		`json[system.id] == 1`:                                                  "json system.id",
	} {
		p := compile(t, source, lang.Bool)
		if got := strings.Join(p.Refs(), " "); got != want {
			t.Errorf("%s reads %s, want %s", source, got, want)
		}
	}
}

func TestRequires(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`to == "stale" && "prod" == system.tags.env && load > 1`:    "[{to [stale]} {system.tags.env [prod]}]",
		`system.id in ["b", "a"] and (silenced && to == "healthy")`: "[{system.id [a b]} {to [healthy]}]",
		`to == "stale" || to == "healthy"`:                          "[]",
		`!(to == "stale")`:                                          "[]",
		`let x = "a"; x == "b"`:                                     "[]",
	} {
		if got := fmt.Sprint(compile(t, source, lang.Bool).Requires()); got != want {
			t.Errorf("%s requires %s, want %s", source, got, want)
		}
	}
}

func TestWakes(t *testing.T) {
	t.Parallel()
	e := example()
	for _, tt := range []struct {
		source string
		wakes  []lang.Wake
		exact  bool
	}{
		{`to == "stale"`, nil, true},
		{`health_for >= duration("30m") && silenced`, []lang.Wake{{Path: "health_for", For: 30 * time.Minute}}, true},
		{`duration("5m") < health_for || now > at + duration("1h")`, []lang.Wake{{Path: "health_for", For: 5 * time.Minute}, {Path: "now", At: e.At.Add(time.Hour)}}, true},
		{`now - at > duration("5m")`, []lang.Wake{{Path: "now", At: e.At.Add(5 * time.Minute)}}, true},
		{`now - duration("5m") > at`, []lang.Wake{{Path: "now", At: e.At.Add(5 * time.Minute)}}, true},
		{`health_for + duration("5m") > duration("1h")`, []lang.Wake{{Path: "health_for", For: 55 * time.Minute}}, true},
		{`hour(now) > 8`, nil, false},
		{`!(silenced ? health_for > duration("1m") : false)`, []lang.Wake{{Path: "health_for", For: time.Minute}}, true},
		{`now - at > health_for`, nil, false},
		{`health_for > json.lost`, nil, true},
	} {
		p := compile(t, tt.source, lang.Bool)
		wakes, exact := p.Wakes(e)
		if !slices.Equal(wakes, tt.wakes) || exact != tt.exact || p.Timed() != (strings.Contains(tt.source, "now") || strings.Contains(tt.source, "health_for")) {
			t.Errorf("%s wakes %v, exact %v, timed %v; want %v, exact %v", tt.source, wakes, exact, p.Timed(), tt.wakes, tt.exact)
		}
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`to == "unhealthy" && (system.tags.env == "test" || healthy_checks > 5) && json.lost == 1`: `
0 [to == "unhealthy" && (system.tags.env == "test" || healthy_checks > 5) && json.lost == 1] false
1 [to == "unhealthy"] true
2 [to] "unhealthy"
1 [system.tags.env == "test" || healthy_checks > 5] false
2 [system.tags.env == "test"] false
3 [system.tags.env] "prod"
2 [healthy_checks > 5] false
3 [healthy_checks] 1
1 [json.lost == 1] skipped
2 [json.lost] skipped`,
		`len(json.items[0].tags) > 0 && silenced`: `
0 [len(json.items[0].tags) > 0 && silenced] error: a part of it failed
1 [len(json.items[0].tags) > 0] error: a part of it failed
2 [len(json.items[0].tags)] error: a part of it failed
3 [json.items[0].tags] error: json.items[0].tags is missing
1 [silenced] skipped`,
		`health_for > duration("30m") ? any(system.groups, # == "x") : !silenced`: `
0 [health_for > duration("30m") ? any(system.groups, # == "x") : !silenced] false
1 [health_for > duration("30m")] true
2 [health_for] 31m
1 [any(system.groups, # == "x")] false
2 [system.groups] ["core", "eu-west"]
1 [!silenced] skipped
2 [silenced] skipped`,
		`true`: ``,
	} {
		p := compile(t, source, lang.Bool)
		var b strings.Builder
		for _, n := range p.Explain(example()) {
			text := n.Value
			switch {
			case n.Skipped:
				text = "skipped"
			case n.Error != "":
				text = "error: " + n.Error
			}
			fmt.Fprintf(&b, "\n%d [%s] %s", n.Depth, n.Expr, text)
			if source[n.From:n.To] != n.Expr {
				t.Errorf("%s: the range of %s is %s", source, n.Expr, source[n.From:n.To])
			}
		}
		if b.String() != want {
			t.Errorf("explain %s: got%s\nwant%s", source, b.String(), want)
		}
	}
}

func TestDecided(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		`healthy_checks == 3`:                              "healthy_checks is 1",
		`healthy_checks == 1 && load > 2 && to == "stale"`: "load is 0.5",
		`to == "stale" || load > 2`:                        `to is "unhealthy", load is 0.5`,
		`json.lost == 1`:                                   "json.lost is missing",
		`len(system.groups) > 5`:                           "len(system.groups) is 2",
		`silenced`:                                         "silenced is false",
		`!(load < 1 && total_checks == 3)`:                 "load is 0.5, total_checks is 3",
		`health_for < duration("1m")`:                      "health_for is 31m",
		`any(system.groups, # == "x")`:                     `system.groups is ["core", "eu-west"]`,
		`false`:                                            "it is always so",
		`json.version + "x" == "y" && json.version != "impossible"`: `json.version + "x" is "1.2x"`,
	} {
		if got := compile(t, source, lang.Bool).Decided(example()); got != want {
			t.Errorf("%s: got %s, want %s", source, got, want)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	env := scope(t).WithKeys("system.tags", []string{"tier", "env"}).Describe()
	if v := env.Vars["to"]; v.Kind != "string" || v.Doc != "the new health" || !slices.Contains(env.Enums["to"], "stale") {
		t.Errorf("to: got %+v, enum %v", v, env.Enums["to"])
	}
	tags := env.Vars["system"].Fields["tags"]
	if tags.Kind != "map" || tags.Elem == nil || tags.Elem.Kind != "string" || !slices.Equal(tags.Keys, []string{"env", "tier"}) {
		t.Errorf("system.tags: got %+v", tags)
	}
	if v := env.Vars["load"]; v.Kind != "float" || v.Unit != "%" {
		t.Errorf("load: got %+v", v)
	}
	for name, fn := range env.Funcs {
		if fn.Doc == "" || fn.Example == "" || fn.Returns == "" {
			t.Errorf("function %s is not described: %+v", name, fn)
		}
	}
	if fn := env.Funcs["duration"]; !slices.Equal(fn.Args, []string{"text: string"}) || fn.Returns != "duration" {
		t.Errorf("duration: got %+v", fn)
	}
}

func TestConcurrent(t *testing.T) {
	t.Parallel()
	p := compile(t, `let n = healthy_checks; any(system.groups, # == "core") && n < total_checks && json.items[0].id == 1`, lang.Bool)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			e := example()
			for range 200 {
				if ok, err := p.Bool(&e); !ok || err != nil {
					t.Errorf("got %v, %v", ok, err)
					return
				}
				if nodes := p.Explain(&e); nodes[0].Value != "true" && nodes[1].Value != "true" {
					t.Errorf("explain: got %+v", nodes)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestNaN(t *testing.T) {
	t.Parallel()
	e := example()
	e.Load = math.NaN()
	for _, source := range []string{`load < 1`, `load > 1`, `load == load`, `load <= 1`} {
		if ok, err := compile(t, source, lang.Bool).Bool(e); ok || err != nil {
			t.Errorf("%s of NaN: got %v, %v; want false", source, ok, err)
		}
	}
}
