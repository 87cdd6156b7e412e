package lang

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"

	"github.com/tocsin-io/tocsin/core"
)

// function is one that expressions can call. It is pure.
type function struct {
	args     []arg
	variadic bool // the last argument may come more often
	returns  reflect.Type
	doc      string
	example  string
	call     func(f *frame, at site, args []any) any
}

// arg is a parameter of a function and the kinds it takes.
type arg struct {
	name     string
	kinds    []kind
	optional bool
}

func (a arg) String() string {
	words := make([]string, 0, len(a.kinds))
	for _, k := range a.kinds {
		if w := k.word(); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	text := a.name + ": " + strings.Join(words, " or ")
	if a.optional {
		text += " (optional)"
	}
	return text
}

func (a arg) takes(k kind) bool { return k == kAny || slices.Contains(a.kinds, k) }

func (a arg) people() string {
	words := make([]string, 0, len(a.kinds))
	for _, k := range a.kinds {
		if w := k.people(); !slices.Contains(words, w) {
			words = append(words, w)
		}
	}
	return strings.Join(words, " or ")
}

// declare tells expr's checker of a function. Each has one signature: expr's
// checker takes exponential time over nested calls of functions with several.
func (fn function) declare(name string) *builtin.Function {
	return &builtin.Function{
		Name: name,
		Func: func(...any) (any, error) { return nil, errors.New("not run by expr") },
		Validate: func(types []reflect.Type) (reflect.Type, error) {
			need := 0
			for _, a := range fn.args {
				if !a.optional {
					need++
				}
			}
			if len(types) < need || len(types) > len(fn.args) && !fn.variadic {
				return anyType, fmt.Errorf("%s(%s) does not take %d arguments", name, fn.signature(), len(types))
			}
			for i, t := range types {
				a := fn.args[min(i, len(fn.args)-1)]
				k := kAny
				if t != nil {
					k = typeKind(deref(t))
				}
				if !a.takes(k) {
					return anyType, fmt.Errorf("%s(%s) does not take %s", name, fn.signature(), k.people())
				}
			}
			return fn.returns, nil
		},
	}
}

func (fn function) signature() string {
	names := make([]string, len(fn.args))
	for i, a := range fn.args {
		names[i] = a.name
	}
	text := strings.Join(names, ", ")
	if fn.variadic {
		text += ", ..."
	}
	return text
}

// call builds a call of a function.
func (b *build) call(x *ast.CallNode) thunk {
	id, _ := x.Callee.(*ast.IdentifierNode)
	fn, ok := b.scope.funcs[id.Value]
	if !ok {
		panic(fmt.Sprintf("there is no function %q", id.Value)) // the check refused it
	}
	if d, ok := constantDuration(x); ok {
		return constant(d)
	}
	at := b.src.site(x)
	args := make([]thunk, len(x.Arguments))
	sites := make([]site, len(x.Arguments))
	for i, n := range x.Arguments {
		args[i], sites[i] = b.any(n), b.src.site(n)
	}
	return func(f *frame) any {
		f.spend(1, at)
		values := make([]any, len(args))
		for i, a := range args {
			values[i] = a(f)
			sites[i].present(values[i])
			if p := fn.args[min(i, len(fn.args)-1)]; !p.takes(valueKind(values[i])) {
				sites[i].fail("%s is %s; %s() takes %s", sites[i].text, describe(values[i]), id.Value, p.people())
			}
		}
		return plain(fn.call(f, at, values))
	}
}

// Builtin reports whether the language itself has a function of that name.
func Builtin(name string) bool {
	_, ok := functions()[name]
	return ok || loops(name)
}

func (s *Scope) functionNames() []string {
	names := slices.Collect(maps.Keys(s.funcs))
	return append(names, "all", "none", "any", "one", "filter", "map", "find", "findIndex", "count", "sum")
}

func describeFuncs(funcs map[string]function) map[string]core.ExprFunc {
	out := map[string]core.ExprFunc{}
	for name, fn := range funcs {
		args := make([]string, len(fn.args))
		for i, a := range fn.args {
			args[i] = a.String()
		}
		out[name] = core.ExprFunc{Args: args, Returns: typeKind(fn.returns).word(), Doc: fn.doc, Example: fn.example}
	}
	for name, l := range map[string][3]string{
		"all":       {"bool", "True when the condition holds of every element.", `all(groups, # != "test")`},
		"none":      {"bool", "True when the condition holds of no element.", `none(groups, # == "test")`},
		"any":       {"bool", "True when the condition holds of an element.", `any(groups, # startsWith "eu-")`},
		"one":       {"bool", "True when the condition holds of exactly one element.", `one(groups, # == "core")`},
		"filter":    {"array", "The elements that the condition holds of.", `filter(groups, # contains "eu")`},
		"map":       {"array", "What the expression gives for each element.", `map(groups, upper(#))`},
		"find":      {"any", "The first element that the condition holds of, else nil.", `find(json.items, #.id == 3)`},
		"findIndex": {"int", "The place of the first element that the condition holds of, else -1.", `findIndex(groups, # == "core")`},
		"count":     {"int", "How many elements the condition holds of.", `count(json.items, #.ok)`},
		"sum":       {"any", "The sum of what the expression gives for each element.", `sum(json.items, #.size)`},
	} {
		out[name] = core.ExprFunc{Args: []string{"list: array", "each: expression over # and #index"}, Returns: l[0], Doc: l[1], Example: l[2]}
	}
	return out
}

func takesText(name string) arg   { return arg{name: name, kinds: []kind{kString}} }
func takesNumber(name string) arg { return arg{name: name, kinds: []kind{kInt, kFloat}} }

// functions is the table of all functions but the loops.
func functions() map[string]function {
	table := map[string]function{
		"len": {
			args: []arg{{name: "of", kinds: []kind{kString, kList, kMap}}}, returns: reflect.TypeFor[int64](),
			doc: "Characters of a text, elements of a list or keys of a map.", example: "len(caused_by) > 0", call: length,
		},
		"string": {
			args: []arg{{name: "value", kinds: []kind{kBool, kInt, kFloat, kString, kDuration, kTime}}}, returns: stringType,
			doc: "The value as text.", example: "string(status)",
			call: func(_ *frame, _ site, args []any) any { return text(args[0], maxText) },
		},
		"join": {
			args:    []arg{{name: "list", kinds: []kind{kList}}, {name: "between", kinds: []kind{kString}, optional: true}},
			returns: stringType, doc: "The texts of a list as one.", example: `join(caused_by, ", ")`, call: join,
		},
		"keys": {
			args: []arg{{name: "map", kinds: []kind{kMap}}}, returns: reflect.TypeFor[[]string](),
			doc: "The keys of a map, sorted.", example: "keys(json)", call: keys,
		},
		"first": {
			args: []arg{{name: "list", kinds: []kind{kList}}}, returns: anyType, doc: "The first element.", example: "first(groups)",
			call: func(_ *frame, at site, args []any) any { v, _ := at.element(args[0], int64(0)); return v },
		},
		"last": {
			args: []arg{{name: "list", kinds: []kind{kList}}}, returns: anyType, doc: "The last element.", example: "last(groups)",
			call: func(_ *frame, at site, args []any) any { v, _ := at.element(args[0], int64(-1)); return v },
		},
	}
	maps.Copy(table, numberFunctions())
	maps.Copy(table, textFunctions())
	maps.Copy(table, timeFunctions())
	return table
}

func length(_ *frame, _ site, args []any) any {
	if s, ok := args[0].(string); ok {
		return int64(utf8.RuneCountInString(s))
	}
	return int64(reflect.ValueOf(args[0]).Len())
}

func join(f *frame, at site, args []any) any {
	between := ""
	if len(args) > 1 {
		between = args[1].(string) //nolint:errcheck // checked against the signature
	}
	var b strings.Builder
	each(f, at, args[0], func(i int, v any) bool {
		at.scalar(v)
		if i > 0 {
			b.WriteString(between)
		}
		b.WriteString(text(v, maxText))
		f.spend(len(between)/16, at)
		if b.Len() > maxText {
			at.fail("%s makes a text of more than %d bytes", brief(at.text), maxText)
		}
		return true
	})
	f.spend(b.Len()/16, at)
	return b.String()
}

func keys(f *frame, at site, args []any) any {
	m := reflect.ValueOf(args[0])
	f.spend(m.Len()*4, at)
	out := make([]string, 0, m.Len())
	for _, k := range m.MapKeys() {
		out = append(out, k.String())
	}
	slices.Sort(out)
	return out
}

func numberFunctions() map[string]function {
	float := func(name, doc string, fn func(float64) float64) function {
		return function{
			args: []arg{takesNumber("number")}, returns: reflect.TypeFor[float64](), doc: doc, example: name + "(1.5)",
			call: func(_ *frame, _ site, args []any) any { return fn(number(args[0])) },
		}
	}
	best := func(doc string, better func(c int) bool) function {
		return function{
			args: []arg{{name: "values", kinds: []kind{kInt, kFloat, kDuration, kTime, kList}}}, variadic: true, returns: anyType, doc: doc,
			call: func(f *frame, at site, args []any) any { return extreme(f, at, args, better) },
		}
	}
	least, most := best("The least of the values or of a list.", func(c int) bool { return c < 0 }), best("The greatest of the values or of a list.", func(c int) bool { return c > 0 })
	least.example, most.example = "min(used, limit)", "max(used, limit)"
	return map[string]function{
		"abs":   float("abs", "The number without its sign.", math.Abs),
		"ceil":  float("ceil", "The next whole number.", math.Ceil),
		"floor": float("floor", "The whole number before it.", math.Floor),
		"round": float("round", "The nearest whole number.", math.Round),
		"min":   least,
		"max":   most,
		"mean": {
			args: []arg{{name: "list", kinds: []kind{kList}}}, returns: reflect.TypeFor[float64](), doc: "The mean of a list of numbers.",
			example: "mean([1, 2, 3])", call: mean,
		},
		"int": {
			args: []arg{{name: "value", kinds: []kind{kInt, kFloat, kString}}}, returns: reflect.TypeFor[int64](),
			doc: "A text or number as an integer; what is behind the point is cut off.", example: `int(json.count)`, call: toInt,
		},
		"float": {
			args: []arg{{name: "value", kinds: []kind{kInt, kFloat, kString}}}, returns: reflect.TypeFor[float64](),
			doc: "A text or number as a number.", example: `float(headers["X-Load"])`, call: toFloat,
		},
	}
}

func number(v any) float64 {
	switch x := v.(type) {
	case int64:
		return float64(x)
	case float64:
		return x
	}
	return math.NaN()
}

func extreme(f *frame, at site, args []any, better func(int) bool) any {
	var list any = args
	if len(args) == 1 && valueKind(args[0]) == kList {
		list = args[0]
	}
	var best any
	each(f, at, list, func(_ int, v any) bool {
		if best == nil {
			best = v
			return true
		}
		c, ok := compare(v, best)
		if !ok {
			at.fail("%s: %s and %s cannot be compared", at.text, describe(v), describe(best))
		}
		if better(c) {
			best = v
		}
		return true
	})
	if best == nil {
		at.fail("%s: the list is empty", at.text)
	}
	return best
}

func mean(f *frame, at site, args []any) any {
	sum, n := 0.0, 0
	each(f, at, args[0], func(_ int, v any) bool {
		if !valueKind(v).number() {
			at.fail("%s: %s is not a number", at.text, describe(v))
		}
		sum += number(v)
		n++
		return true
	})
	if n == 0 {
		at.fail("%s: the list is empty", at.text)
	}
	return sum / float64(n)
}

func toInt(_ *frame, at site, args []any) any {
	v := args[0]
	if s, ok := v.(string); ok {
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			at.fail("%s: %s is not an integer", at.text, brief(format(s)))
		}
		return n
	}
	if x, ok := v.(float64); ok {
		if math.IsNaN(x) || math.Abs(x) >= math.MaxInt64 {
			at.fail("%s: %s is not an integer", at.text, format(v))
		}
		return int64(x)
	}
	return v
}

func toFloat(_ *frame, at site, args []any) any {
	if s, ok := args[0].(string); ok {
		x, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			at.fail("%s: %s is not a number", at.text, brief(format(s)))
		}
		return x
	}
	return number(args[0])
}

func textFunctions() map[string]function {
	texts := func(doc, example string, fn func(s []string) any, returns reflect.Type, names ...string) function {
		args := make([]arg, len(names))
		for i, name := range names {
			args[i] = takesText(name)
		}
		return function{args: args, returns: returns, doc: doc, example: example, call: func(f *frame, at site, values []any) any {
			s := make([]string, len(values))
			for i, v := range values {
				s[i], _ = v.(string)
				f.spend(len(s[i])/8+1, at)
			}
			return fn(s)
		}}
	}
	text := stringType
	return map[string]function{
		"trim":       texts("The text without blanks around it.", "trim(body)", func(s []string) any { return strings.TrimSpace(s[0]) }, text, "text"),
		"trimPrefix": texts("The text without that beginning.", `trimPrefix(name, "v")`, func(s []string) any { return strings.TrimPrefix(s[0], s[1]) }, text, "text", "prefix"),
		"trimSuffix": texts("The text without that end.", `trimSuffix(name, ".local")`, func(s []string) any { return strings.TrimSuffix(s[0], s[1]) }, text, "text", "suffix"),
		"upper":      texts("The text in upper case.", "upper(system.id)", func(s []string) any { return strings.ToUpper(s[0]) }, text, "text"),
		"lower":      texts("The text in lower case.", "lower(system.id)", func(s []string) any { return strings.ToLower(s[0]) }, text, "text"),
		"hasPrefix":  texts("The text begins so.", `hasPrefix(system.id, "web-")`, func(s []string) any { return strings.HasPrefix(s[0], s[1]) }, reflect.TypeFor[bool](), "text", "prefix"),
		"hasSuffix":  texts("The text ends so.", `hasSuffix(system.id, "-eu")`, func(s []string) any { return strings.HasSuffix(s[0], s[1]) }, reflect.TypeFor[bool](), "text", "suffix"),
		"indexOf":    texts("Where a text begins within another, in bytes, -1 when nowhere.", `indexOf(body, "ok")`, func(s []string) any { return int64(strings.Index(s[0], s[1])) }, reflect.TypeFor[int64](), "text", "part"),
		"split":      texts("The parts of a text between separators.", `split(system.id, "-")`, func(s []string) any { return strings.Split(s[0], s[1]) }, reflect.TypeFor[[]string](), "text", "separator"),
		"replace": {
			args: []arg{takesText("text"), takesText("old"), takesText("new")}, returns: text,
			doc: "The text with each old replaced by new.", example: `replace(system.id, "-", "_")`, call: replace,
		},
	}
}

func replace(f *frame, at site, args []any) any {
	s, _ := args[0].(string)
	old, _ := args[1].(string)
	with, _ := args[2].(string)
	f.spend(len(s)/8+1, at)
	if grown := len(s) + strings.Count(s, old)*max(0, len(with)-len(old)); grown > maxText {
		at.fail("%s makes a text of more than %d bytes", brief(at.text), maxText)
	} else {
		f.spend(grown/16+1, at)
	}
	return strings.ReplaceAll(s, old, with)
}

func timeFunctions() map[string]function {
	zoned := []arg{{name: "time", kinds: []kind{kTime}}, {name: "zone", kinds: []kind{kString}, optional: true}}
	return map[string]function{
		"duration": {
			args: []arg{takesText("text")}, returns: durationType, doc: "A length of time.", example: `duration("500ms")`,
			call: func(_ *frame, at site, args []any) any {
				d, err := core.ParseDuration(args[0].(string)) //nolint:errcheck // checked against the signature
				if err != nil {
					at.fail("%s: %v", at.text, err)
				}
				return d.Std()
			},
		},
		"seconds": {
			args: []arg{{name: "duration", kinds: []kind{kDuration}}}, returns: reflect.TypeFor[float64](), doc: "A duration as a number of seconds.",
			example: "seconds(latency) < 0.5",
			call: func(_ *frame, _ site, args []any) any {
				d, _ := args[0].(time.Duration)
				return d.Seconds()
			},
		},
		"date": {
			args: []arg{takesText("text")}, returns: timeType, doc: "An instant, written as RFC 3339 or as a day.", example: `date("2026-01-31")`,
			call: func(_ *frame, at site, args []any) any {
				t, err := parseDate(args[0].(string)) //nolint:errcheck // checked against the signature
				if err != nil {
					at.fail("%s: %v", at.text, err)
				}
				return t
			},
		},
		"hour": {
			args: zoned, returns: reflect.TypeFor[int64](), doc: "The hour of the day, 0 to 23, in a time zone, UTC by default.", example: `hour(now, "Europe/Berlin") >= 8`,
			call: func(_ *frame, at site, args []any) any { return int64(at.zoned(args).Hour()) },
		},
		"weekday": {
			args: zoned, returns: stringType, doc: "The day of the week, mon to sun, in a time zone, UTC by default.", example: `weekday(now, "Europe/Berlin") in ["sat", "sun"]`,
			call: func(_ *frame, at site, args []any) any {
				return strings.ToLower(at.zoned(args).Weekday().String()[:3])
			},
		},
	}
}

func (s site) zoned(args []any) time.Time {
	t, _ := args[0].(time.Time)
	if len(args) == 1 {
		return t.UTC()
	}
	name, _ := args[1].(string)
	zone, err := time.LoadLocation(name)
	if err != nil {
		s.fail("%q is not a time zone", name)
	}
	return t.In(zone)
}

func parseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01-02 15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a date; write for example 2026-01-31 or 2026-01-31T12:00:00Z", strconv.Quote(brief(text)))
}
