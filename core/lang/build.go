package lang

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/tocsin-io/tocsin/core"
)

// build turns a checked tree into functions that evaluate it. Where types are
// known it makes functions of plain Go types, which do not allocate.
type build struct {
	scope  *Scope
	src    *source
	locals map[string]int // slots of let
	loops  int            // how many loops are around
	tracer *tracer        // nil unless it builds for Explain
}

// link makes a Program of a checked tree.
func link(s *Scope, src *source, root ast.Node, want Want) *Program {
	p := &Program{scope: s, src: src, root: root, kind: typeKind(deref(root.Type())), want: want}
	b := &build{scope: s, src: src, locals: map[string]int{}}
	b.slots(root)
	p.locals = len(b.locals)
	p.any = b.any(root)
	if want == Bool {
		p.bool = b.bool(root)
	}
	paths := map[string]bool{}
	b.collect(root, paths)
	p.refs = slices.Sorted(maps.Keys(paths))
	called := map[string]bool{}
	s.calls(root, called)
	p.funcs = slices.Sorted(maps.Keys(called))
	for _, path := range p.refs {
		for name := path; name != ""; name = parent(name) {
			p.timed = p.timed || s.infos[name].timed
		}
	}
	return p
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	return path[:i]
}

func (b *build) slots(n ast.Node) {
	if let, ok := n.(*ast.VariableDeclaratorNode); ok {
		if _, taken := b.locals[let.Name]; !taken {
			b.locals[let.Name] = len(b.locals)
		}
	}
	for _, child := range children(n) {
		b.slots(child)
	}
}

// collect notes the longest paths that are read.
func (b *build) collect(n ast.Node, paths map[string]bool) {
	if path, ok := pathOf(n); ok {
		if name, _, _ := strings.Cut(path, "."); !b.isLocal(name) {
			paths[path] = true
		}
		return
	}
	for _, child := range children(n) {
		if call, ok := n.(*ast.CallNode); ok && child == call.Callee {
			continue
		}
		b.collect(child, paths)
	}
}

func (b *build) isLocal(name string) bool {
	_, ok := b.locals[name]
	return ok
}

// place is a field of a struct scope, reached through fields alone.
type place struct {
	steps []int
	typ   reflect.Type
}

func (b *build) place(n ast.Node) (place, bool) {
	switch x := n.(type) {
	case *ast.IdentifierNode:
		if b.scope.structure == nil || b.isLocal(x.Value) {
			return place{}, false
		}
		i, ok := fieldNamed(b.scope.structure, x.Value)
		if !ok {
			return place{}, false
		}
		return place{steps: []int{i}, typ: b.scope.structure.Field(i).Type}, true
	case *ast.MemberNode:
		base, ok := b.place(x.Node)
		name, constant := x.Property.(*ast.StringNode)
		if !ok || !constant || x.Optional || base.typ.Kind() != reflect.Struct || base.typ == timeType {
			return place{}, false
		}
		i, ok := fieldNamed(base.typ, name.Value)
		if !ok {
			return place{}, false
		}
		return place{steps: append(slices.Clone(base.steps), i), typ: base.typ.Field(i).Type}, true
	}
	return place{}, false
}

func fieldNamed(t reflect.Type, name string) (int, bool) {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() && f.Tag.Get("expr") == name {
			return i, true
		}
	}
	return 0, false
}

func (p place) load() func(*frame) reflect.Value {
	if len(p.steps) == 1 {
		i := p.steps[0]
		return func(f *frame) reflect.Value { return f.env.Field(i) }
	}
	steps := p.steps
	return func(f *frame) reflect.Value {
		v := f.env
		for _, i := range steps {
			v = v.Field(i)
		}
		return v
	}
}

// bool builds a node that is true or false.
func (b *build) bool(n ast.Node) func(*frame) bool {
	inner := b.rawBool(n)
	if id, ok := b.traced(n); ok {
		return func(f *frame) bool {
			f.trace.enter(id)
			v := inner(f)
			f.trace.leave(id, v)
			return v
		}
	}
	return inner
}

func (b *build) rawBool(n ast.Node) func(*frame) bool {
	switch x := n.(type) {
	case *ast.BoolNode:
		v := x.Value
		return func(*frame) bool { return v }
	case *ast.UnaryNode:
		if x.Operator == "!" || x.Operator == "not" {
			inner := b.bool(x.Node)
			return func(f *frame) bool { return !inner(f) }
		}
	case *ast.BinaryNode:
		if fn := b.condition(x); fn != nil {
			return fn
		}
	default:
		if p, ok := b.place(n); ok && p.typ.Kind() == reflect.Bool {
			load := p.load()
			return func(f *frame) bool { return load(f).Bool() }
		}
	}
	inner, at := b.rawAny(n), b.src.site(n)
	return func(f *frame) bool { return at.bool(inner(f)) }
}

func (s site) bool(v any) bool {
	x, ok := v.(bool)
	if !ok {
		s.fail("%s is %s, not true or false", s.text, describe(v))
	}
	return x
}

// describe says what a value is, with the value where it is short.
func describe(v any) string {
	switch k := valueKind(v); k {
	case kNil:
		return "null"
	case kBool, kInt, kFloat, kString, kDuration, kTime:
		return fmt.Sprintf("%s (%s)", k.people(), brief(format(v)))
	case kAny, kList, kMap, kStruct:
		return k.people()
	}
	return "unknown"
}

// condition builds the operators that give true or false, nil for others.
func (b *build) condition(x *ast.BinaryNode) func(*frame) bool {
	switch x.Operator {
	case "&&", "and":
		l, r := b.bool(x.Left), b.bool(x.Right)
		return func(f *frame) bool { return l(f) && r(f) }
	case "||", "or":
		l, r := b.bool(x.Left), b.bool(x.Right)
		return func(f *frame) bool { return l(f) || r(f) }
	case "==":
		return b.equal(x, true)
	case "!=":
		return b.equal(x, false)
	case "<", ">", "<=", ">=":
		return b.order(x)
	case "in":
		return b.in(x)
	case "matches":
		return b.matches(x)
	case "contains", "startsWith", "endsWith":
		return b.texts(x)
	}
	return nil
}

func kindOf(n ast.Node) kind {
	if _, ok := n.(*ast.NilNode); ok {
		return kNil
	}
	t := n.Type()
	if t.Kind() == reflect.Pointer { // may be null
		return kAny
	}
	return typeKind(t)
}

func (b *build) equal(x *ast.BinaryNode, want bool) func(*frame) bool {
	lk, rk := kindOf(x.Left), kindOf(x.Right)
	switch {
	case lk == kNil || rk == kNil:
		other := x.Left
		if lk == kNil {
			other = x.Right
		}
		inner := b.maybe(other)
		return func(f *frame) bool { return isNil(inner(f)) == want }
	case lk == kString && rk == kString:
		l, r := b.str(x.Left), b.str(x.Right)
		return func(f *frame) bool { return (l(f) == r(f)) == want }
	case lk == rk && (lk == kInt || lk == kDuration):
		l, r := b.int(x.Left), b.int(x.Right)
		return func(f *frame) bool { return (l(f) == r(f)) == want }
	}
	l, r := b.any(x.Left), b.any(x.Right)
	left, right := b.src.site(x.Left), b.src.site(x.Right)
	at := b.src.site(x)
	return func(f *frame) bool {
		lv, rv := l(f), r(f)
		return equal(f, at, left, right, lv, rv) == want
	}
}

func (b *build) order(x *ast.BinaryNode) func(*frame) bool {
	lk, rk := kindOf(x.Left), kindOf(x.Right)
	op := x.Operator
	if lk == rk && (lk == kInt || lk == kDuration) {
		l, r := b.int(x.Left), b.int(x.Right)
		switch op {
		case "<":
			return func(f *frame) bool { return l(f) < r(f) }
		case ">":
			return func(f *frame) bool { return l(f) > r(f) }
		case "<=":
			return func(f *frame) bool { return l(f) <= r(f) }
		default:
			return func(f *frame) bool { return l(f) >= r(f) }
		}
	}
	l, r := b.any(x.Left), b.any(x.Right)
	left, right, at := b.src.site(x.Left), b.src.site(x.Right), b.src.site(x)
	return func(f *frame) bool {
		lv, rv := l(f), r(f)
		left.present(lv)
		right.present(rv)
		c, ok := compare(lv, rv)
		if !ok {
			if isNaN(lv) || isNaN(rv) {
				return false
			}
			at.fail("%s cannot be compared: %s is %s, %s is %s", at.text, left.text, describe(lv), right.text, describe(rv))
		}
		switch op {
		case "<":
			return c < 0
		case ">":
			return c > 0
		case "<=":
			return c <= 0
		default:
			return c >= 0
		}
	}
}

func (b *build) in(x *ast.BinaryNode) func(*frame) bool {
	at, left, right := b.src.site(x), b.src.site(x.Left), b.src.site(x.Right)
	if list, ok := x.Right.(*ast.ArrayNode); ok && kindOf(x.Left) == kString {
		if words, ok := constants(list); ok && b.tracer == nil {
			l := b.str(x.Left)
			return func(f *frame) bool { return slices.Contains(words, l(f)) }
		}
	}
	l, r := b.any(x.Left), b.any(x.Right)
	return func(f *frame) bool {
		lv, rv := l(f), r(f)
		left.present(lv)
		right.present(rv)
		return contains(f, at, left, right, lv, rv)
	}
}

func constants(list *ast.ArrayNode) ([]string, bool) {
	words := make([]string, 0, len(list.Nodes))
	for _, n := range list.Nodes {
		s, ok := n.(*ast.StringNode)
		if !ok {
			return nil, false
		}
		words = append(words, s.Value)
	}
	return words, true
}

func (b *build) matches(x *ast.BinaryNode) func(*frame) bool {
	literal, _ := x.Right.(*ast.StringNode)
	re, size, err := compilePattern(literal.Value)
	if err != nil {
		panic(err) // the check refused it
	}
	l, at := b.str(x.Left), b.src.site(x)
	return func(f *frame) bool {
		s := l(f)
		each := 32 // of a pattern's instructions times bytes: a long text, once, is what people do
		if len(f.items) > 0 {
			each = 8 // in a loop it is the worst case
		}
		f.spend(len(s)*size/each+1, at)
		return re.MatchString(s)
	}
}

func (b *build) texts(x *ast.BinaryNode) func(*frame) bool {
	l, r, at := b.str(x.Left), b.str(x.Right), b.src.site(x)
	test := map[string]func(s, t string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[x.Operator]
	return func(f *frame) bool {
		s, t := l(f), r(f)
		f.spend(len(s)/64+1, at)
		return test(s, t)
	}
}

// str builds a node that is text.
func (b *build) str(n ast.Node) func(*frame) string {
	inner := b.rawStr(n)
	if id, ok := b.traced(n); ok {
		return func(f *frame) string {
			f.trace.enter(id)
			v := inner(f)
			f.trace.leave(id, v)
			return v
		}
	}
	return inner
}

func (b *build) rawStr(n ast.Node) func(*frame) string {
	if s, ok := n.(*ast.StringNode); ok {
		v := s.Value
		return func(*frame) string { return v }
	}
	if p, ok := b.place(n); ok && p.typ.Kind() == reflect.String {
		load := p.load()
		return func(f *frame) string { return load(f).String() }
	}
	if m, ok := n.(*ast.MemberNode); ok {
		if fn := b.tag(m); fn != nil {
			return fn
		}
	}
	inner, at := b.rawAny(n), b.src.site(n)
	return func(f *frame) string {
		v := inner(f)
		s, ok := v.(string)
		if !ok {
			at.fail("%s is %s, not text", at.text, describe(v))
		}
		return s
	}
}

// tag builds the lookup of a constant key in a map of texts that is a place.
func (b *build) tag(m *ast.MemberNode) func(*frame) string {
	key, ok := m.Property.(*ast.StringNode)
	p, isPlace := b.place(m.Node)
	if !ok || !isPlace || p.typ != reflect.TypeFor[map[string]string]() {
		return nil
	}
	load, name := p.load(), key.Value
	return func(f *frame) string {
		tags, _ := reflect.TypeAssert[map[string]string](load(f))
		return tags[name]
	}
}

// int builds a node that is an integer or a duration.
func (b *build) int(n ast.Node) func(*frame) int64 {
	inner := b.rawInt(n)
	if id, ok := b.traced(n); ok {
		duration := kindOf(n) == kDuration
		return func(f *frame) int64 {
			f.trace.enter(id)
			v := inner(f)
			if duration {
				f.trace.leave(id, time.Duration(v))
			} else {
				f.trace.leave(id, v)
			}
			return v
		}
	}
	return inner
}

func (b *build) rawInt(n ast.Node) func(*frame) int64 {
	if i, ok := n.(*ast.IntegerNode); ok {
		v := int64(i.Value)
		return func(*frame) int64 { return v }
	}
	if d, ok := constantDuration(n); ok {
		v := int64(d)
		return func(*frame) int64 { return v }
	}
	if p, ok := b.place(n); ok && typeKind(p.typ) != kFloat {
		load := p.load()
		if p.typ.Kind() <= reflect.Int64 && p.typ.Kind() >= reflect.Int {
			return func(f *frame) int64 { return load(f).Int() }
		}
	}
	inner, at := b.rawAny(n), b.src.site(n)
	return func(f *frame) int64 {
		switch v := inner(f).(type) {
		case int64:
			return v
		case time.Duration:
			return int64(v)
		default:
			at.fail("%s is %s, not a number", at.text, describe(v))
			return 0
		}
	}
}

// constantDuration is the value of duration("...").
func constantDuration(n ast.Node) (time.Duration, bool) {
	call, ok := n.(*ast.CallNode)
	if !ok || len(call.Arguments) != 1 {
		return 0, false
	}
	id, named := call.Callee.(*ast.IdentifierNode)
	literal, constant := call.Arguments[0].(*ast.StringNode)
	if !named || !constant || id.Value != "duration" {
		return 0, false
	}
	d, err := core.ParseDuration(literal.Value)
	return d.Std(), err == nil
}
