package lang

import (
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/tocsin-io/tocsin/core"
)

// Func is a function that a scope has besides those of the language: one that
// a module offers. It must be pure: the same arguments at the same time give the
// same value or the same error.
type Func struct {
	core.FunctionDecl
	From string // who offers it, for messages and documentation: "module score"
	// Call evaluates it. The arguments are of the types of the parameters:
	// plain values of this language. Now is the variable now of the scope, zero
	// when it has none. It must return soon.
	Call func(now time.Time, args []any) Called
}

// Called is what came of a [Func].
type Called struct {
	Value any // of the declared type
	Err   error
	// Unknown tells that Err says nothing about the arguments: the function
	// could not be asked.
	Unknown bool
	Steps   int // of the budget of the evaluation, besides 2,500 of any call
}

// callSteps is what any call of a Func takes of the budget: it bounds how many
// an evaluation can make to 200.
const callSteps = 2500

// WithFuncs is s with more functions. One that the language has already is
// left out.
func (s *Scope) WithFuncs(list []Func) *Scope {
	c := *s
	c.funcs = maps.Clone(s.funcs)
	c.extra = maps.Clone(s.extra)
	if c.extra == nil {
		c.extra = map[string]bool{}
	}
	for _, f := range list {
		if Builtin(f.Name) {
			continue
		}
		c.funcs[f.Name], c.extra[f.Name] = f.function(), true
	}
	return &c
}

// kindsOf are the kinds that a parameter of a type takes. An integer does for a
// number.
func kindsOf(t core.SampleType) []kind {
	switch t {
	case core.NumberSample:
		return []kind{kInt, kFloat}
	case core.IntegerSample:
		return []kind{kInt}
	case core.StringSample:
		return []kind{kString}
	case core.BoolSample:
		return []kind{kBool}
	case core.DurationSample:
		return []kind{kDuration}
	case core.TimeSample:
		return []kind{kTime}
	case core.MapSample:
		return []kind{kMap, kStruct}
	case core.ListSample:
		return []kind{kList}
	case core.AnySample:
	}
	return []kind{kAny, kBool, kInt, kFloat, kString, kDuration, kTime, kList, kMap, kStruct}
}

// typeOf is the type of a value.
func typeOf(t core.SampleType) reflect.Type {
	if t == core.ListSample {
		return reflect.TypeFor[[]any]()
	}
	return Var{Type: t}.typ()
}

func (f Func) function() function {
	args := make([]arg, len(f.Params))
	for i, p := range f.Params {
		args[i] = arg{name: p.Name, kinds: kindsOf(p.Type)}
	}
	doc := f.Doc
	if f.From != "" {
		if doc != "" {
			doc += " "
		}
		doc += "From " + f.From + "."
	}
	return function{args: args, returns: typeOf(f.Returns), doc: doc, call: f.call}
}

func (f Func) call(fr *frame, at site, args []any) any {
	fr.spend(callSteps, at)
	now := fr.now()
	for i := range args {
		args[i] = bare(args[i])
	}
	out := f.Call(now, args)
	if out.Err != nil {
		panic(&Error{Message: fmt.Sprintf("%s failed: %v", brief(at.text), out.Err), From: at.from, To: at.to, Limit: out.Unknown})
	}
	fr.spend(out.Steps, at)
	v := plain(out.Value)
	if want := typeKind(typeOf(f.Returns)); want != kAny && valueKind(v) != want {
		if i, ok := v.(int64); ok && want == kFloat {
			return float64(i)
		}
		at.fail("%s gave %s, not %s", brief(at.text), describe(v), want.people())
	}
	return v
}

// bare is a struct of the environment as a map, for who does not know its type.
func bare(v any) any {
	if valueKind(v) != kStruct {
		return v
	}
	rv := reflect.ValueOf(v)
	out := map[string]any{}
	for i := range rv.NumField() {
		if name := rv.Type().Field(i).Tag.Get("expr"); name != "" && name != "-" {
			out[name] = bare(plainValue(rv.Field(i)))
		}
	}
	return out
}

// now is the time that an evaluation takes place at, zero when its scope does
// not say.
func (f *frame) now() time.Time {
	if f.vars != nil {
		now, _ := f.vars["now"].(time.Time)
		return now
	}
	if !f.env.IsValid() {
		return time.Time{}
	}
	i, ok := fieldNamed(f.env.Type(), "now")
	if !ok {
		return time.Time{}
	}
	now, _ := reflect.TypeAssert[time.Time](f.env.Field(i))
	return now
}

// Funcs lists the functions that p calls and that the language itself does not
// have, sorted.
func (p *Program) Funcs() []string { return p.funcs }

// calls notes the functions that a node calls and that are not the language's.
func (s *Scope) calls(n ast.Node, found map[string]bool) {
	if call, ok := n.(*ast.CallNode); ok {
		if id, ok := call.Callee.(*ast.IdentifierNode); ok && s.extra[id.Value] {
			found[id.Value] = true
		}
	}
	for _, child := range children(n) {
		s.calls(child, found)
	}
}

// WithTypes is s with the types of what is below maps of any values, by dotted
// path. What is compared with another type is refused then.
func (s *Scope) WithTypes(types map[string]core.SampleType) *Scope {
	if len(types) == 0 {
		return s
	}
	c := *s
	c.below = make(map[string]kind, len(types))
	for path, t := range types {
		c.below[path] = typeKind(typeOf(t))
	}
	return &c
}

// kind of a node: what its type says, or else its path.
func (c *check) kind(n ast.Node) kind {
	if k := kindOf(n); k != kAny {
		return k
	}
	if path, ok := pathOf(n); ok {
		return c.scope.below[path]
	}
	return kAny
}

// below refuses a comparison or a sum of what expr takes as any value, and of
// which the scope knows more.
func (c *check) below(x *ast.BinaryNode) {
	if len(c.scope.below) == 0 {
		return
	}
	l, r := c.kind(x.Left), c.kind(x.Right)
	if kindOf(x.Left) != kAny && kindOf(x.Right) != kAny || l == kAny || r == kAny || l == kNil || r == kNil {
		return
	}
	ok := true
	switch x.Operator {
	case "==", "!=", "<", ">", "<=", ">=":
		ok = l.same(r)
	case "contains", "startsWith", "endsWith":
		ok = l == kString && r == kString
	case "&&", "||", "and", "or":
		ok = l == kBool && r == kBool
	}
	if !ok {
		side := func(n ast.Node, k kind) string { return fmt.Sprintf("%s is %s", brief(c.src.site(n).text), k.people()) }
		c.report(x, "type", fmt.Sprintf("%s does not work on %s and %s: %s, %s", x.Operator, l.people(), r.people(), side(x.Left, l), side(x.Right, r)),
			mismatchFix(x.Operator, l, r))
	}
}
