package lang

import (
	"fmt"
	"reflect"

	"github.com/expr-lang/expr/ast"

	"github.com/tocsin-io/tocsin/core"
)

// thunk evaluates a node to a plain value.
type thunk = func(*frame) any

// any builds a node whose value must be there: neither missing nor null.
func (b *build) any(n ast.Node) thunk { return b.wrap(n, b.rawAny(n)) }

// maybe builds a node whose value may be missing or null; it is nil then.
func (b *build) maybe(n ast.Node) thunk {
	switch x := n.(type) {
	case *ast.IdentifierNode:
		return b.wrap(n, b.name(x, true))
	case *ast.MemberNode:
		return b.wrap(n, b.member(x, true))
	}
	return b.any(n)
}

func (b *build) wrap(n ast.Node, inner thunk) thunk {
	id, ok := b.traced(n)
	if !ok {
		return inner
	}
	return func(f *frame) any {
		f.trace.enter(id)
		v := inner(f)
		f.trace.leave(id, v)
		return v
	}
}

func (b *build) rawAny(n ast.Node) thunk {
	switch x := n.(type) {
	case *ast.NilNode:
		return func(*frame) any { return nil }
	case *ast.IntegerNode:
		return constant(int64(x.Value))
	case *ast.FloatNode:
		return constant(x.Value)
	case *ast.BoolNode:
		return constant(x.Value)
	case *ast.StringNode:
		return constant(x.Value)
	case *ast.IdentifierNode:
		return b.name(x, false)
	case *ast.MemberNode:
		return b.member(x, false)
	case *ast.ChainNode:
		inner := b.maybe(x.Node)
		return func(f *frame) any {
			v := inner(f)
			if v == (broken{}) {
				return nil
			}
			return v
		}
	case *ast.UnaryNode:
		return b.unary(x)
	case *ast.BinaryNode:
		return b.binary(x)
	case *ast.SliceNode:
		return b.slice(x)
	case *ast.CallNode:
		return b.call(x)
	case *ast.BuiltinNode:
		return b.loop(x)
	}
	return b.compound(n)
}

func constant(v any) thunk { return func(*frame) any { return v } }

func (b *build) compound(n ast.Node) thunk {
	switch x := n.(type) {
	case *ast.PointerNode:
		if x.Name == "index" {
			return func(f *frame) any { return int64(f.items[len(f.items)-1].index) }
		}
		return func(f *frame) any { return f.items[len(f.items)-1].value }
	case *ast.VariableDeclaratorNode:
		value, rest, slot := b.any(x.Value), b.any(x.Expr), b.locals[x.Name]
		return func(f *frame) any {
			f.locals[slot] = value(f)
			return rest(f)
		}
	case *ast.ConditionalNode:
		cond, yes, no := b.bool(x.Cond), b.any(x.Exp1), b.any(x.Exp2)
		return func(f *frame) any {
			if cond(f) {
				return yes(f)
			}
			return no(f)
		}
	case *ast.ArrayNode:
		return b.array(x)
	case *ast.MapNode:
		return b.object(x)
	}
	panic(fmt.Sprintf("%T is not part of the language", n))
}

func (b *build) array(x *ast.ArrayNode) thunk {
	at := b.src.site(x)
	elements := make([]thunk, len(x.Nodes))
	for i, n := range x.Nodes {
		elements[i] = b.any(n)
	}
	return func(f *frame) any {
		f.spend(len(elements), at)
		list := make([]any, len(elements))
		for i, element := range elements {
			list[i] = at.scalar(element(f))
		}
		return list
	}
}

// scalar refuses a list or map as an element of a list.
func (s site) scalar(v any) any {
	switch k := valueKind(v); k {
	case kList, kMap, kStruct:
		s.fail("%s: an element of a list must not be %s", brief(s.text), k.people())
	case kAny, kNil, kBool, kInt, kFloat, kString, kDuration, kTime:
	}
	return v
}

func (b *build) object(x *ast.MapNode) thunk {
	at := b.src.site(x)
	type pair struct {
		key   func(*frame) string
		value thunk
	}
	var pairs []pair
	for _, n := range x.Pairs {
		if p, ok := n.(*ast.PairNode); ok {
			pairs = append(pairs, pair{b.str(p.Key), b.any(p.Value)})
		}
	}
	return func(f *frame) any {
		f.spend(len(pairs), at)
		m := make(map[string]any, len(pairs))
		for _, p := range pairs {
			m[p.key(f)] = at.scalar(p.value(f))
		}
		return m
	}
}

// name builds the value of a variable.
func (b *build) name(x *ast.IdentifierNode, allowNil bool) thunk {
	at := b.src.site(x)
	if slot, ok := b.locals[x.Value]; ok {
		return func(f *frame) any { return f.locals[slot] }
	}
	if p, ok := b.place(x); ok {
		return at.load(p, allowNil)
	}
	name, declared := x.Value, typeKind(b.scope.infos[x.Value].typ)
	return func(f *frame) any {
		v, ok := f.vars[name]
		if !ok && !allowNil {
			at.fail("%s is missing", name)
		}
		v = plain(v)
		if v == nil {
			if !allowNil {
				at.fail("%s is null", name)
			}
			return nil
		}
		return at.declared(declared, v)
	}
}

func (s site) load(p place, allowNil bool) thunk {
	load := p.load()
	return func(f *frame) any {
		v := plainValue(load(f))
		if v == nil && !allowNil {
			s.fail("%s is null", s.text)
		}
		return v
	}
}

// declared holds a value to the type that its variable was declared with. An
// integer will do for a number, and a whole number for an integer.
func (s site) declared(want kind, v any) any {
	got := valueKind(v)
	switch {
	case want == got, want == kAny, want == kFloat && got == kInt:
		return v
	case want == kInt && got == kFloat:
		if x, ok := v.(float64); ok && x == float64(int64(x)) {
			return int64(x)
		}
		s.fail("%s is %s, not an integer", s.text, format(v))
	}
	s.fail("%s is %s, not %s", s.text, describe(v), want.people())
	return nil
}

// broken is the value of a chain of members from the ?. on whose left side
// was null.
type broken struct{}

// member builds x.name, x["name"] and x[0].
func (b *build) member(x *ast.MemberNode, allowNil bool) thunk {
	at, on := b.src.site(x), b.src.site(x.Node)
	if p, ok := b.place(x); ok {
		return at.load(p, allowNil)
	}
	if tag := b.tag(x); tag != nil {
		return func(f *frame) any { return tag(f) }
	}
	base := b.under(x)
	var key thunk
	if name, ok := x.Property.(*ast.StringNode); ok {
		key = constant(name.Value)
	} else {
		key = b.any(x.Property)
	}
	optional := x.Optional
	return func(f *frame) any {
		from := base(f)
		if from == (broken{}) || from == nil && optional {
			return broken{}
		}
		on.present(from)
		v, found := on.element(from, key(f))
		if v == nil && !allowNil {
			if found {
				at.fail("%s is null", at.text)
			}
			at.fail("%s is missing", at.text)
		}
		return v
	}
}

// under builds what a member is taken of. Parts of a path are not traced: the
// whole of it is.
func (b *build) under(x *ast.MemberNode) thunk {
	switch base := x.Node.(type) {
	case *ast.IdentifierNode:
		return b.name(base, x.Optional)
	case *ast.MemberNode:
		return b.member(base, x.Optional)
	}
	return b.any(x.Node)
}

// element is a member of a value; found is false when there is none. It fails
// when the value has no members.
func (s site) element(from, key any) (v any, found bool) {
	switch x := from.(type) {
	case map[string]any:
		v, found = x[s.key(key)]
		return plain(v), found
	case map[string]string:
		return x[s.key(key)], true // an absent key of a map of texts is ""
	case core.Samples:
		v, found = x[s.key(key)]
		return plain(v), found
	}
	rv := reflect.ValueOf(from)
	switch valueKind(from) {
	case kList:
		i, ok := key.(int64)
		if !ok {
			s.fail("%s is a list; its elements have numbers, not %s", s.text, describe(key))
		}
		if i < 0 {
			i += int64(rv.Len())
		}
		if i < 0 || i >= int64(rv.Len()) {
			s.fail("%s has %d elements, there is no [%v]", s.text, rv.Len(), key)
		}
		return plainValue(rv.Index(int(i))), true
	case kMap:
		e := rv.MapIndex(reflect.ValueOf(s.key(key)).Convert(rv.Type().Key()))
		if !e.IsValid() {
			if rv.Type().Elem().Kind() == reflect.String {
				return "", true
			}
			return nil, false
		}
		return plainValue(e), true
	case kStruct:
		name := s.key(key)
		i, ok := fieldNamed(rv.Type(), name)
		if !ok {
			s.fail("%s has no %q", s.text, name)
		}
		return plainValue(rv.Field(i)), true
	case kAny, kNil, kBool, kInt, kFloat, kString, kDuration, kTime:
	}
	s.fail("%s is %s and has no %v", s.text, describe(from), key)
	return nil, false
}

func (s site) key(key any) string {
	name, ok := key.(string)
	if !ok {
		s.fail("%s has members with names, not %s", s.text, describe(key))
	}
	return name
}

// present fails when a value is null.
func (s site) present(v any) {
	if v == nil || v == (broken{}) {
		s.fail("%s is null", s.text)
	}
}

func isNil(v any) bool {
	switch x := v.(type) {
	case nil, broken:
		return true
	case []string:
		return x == nil
	case []any:
		return x == nil
	case bool, int64, float64, string:
		return false
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer:
		return rv.IsNil()
	default:
		return false
	}
}

func (b *build) slice(x *ast.SliceNode) thunk {
	base, at := b.any(x.Node), b.src.site(x)
	var from, to thunk
	if x.From != nil {
		from = b.any(x.From)
	}
	if x.To != nil {
		to = b.any(x.To)
	}
	return func(f *frame) any {
		v := base(f)
		var length int
		s, isText := v.(string)
		runes := []rune(s)
		if isText {
			f.spend(len(s)/16+1, at)
			length = len(runes)
		} else if valueKind(v) == kList {
			length = reflect.ValueOf(v).Len()
		} else {
			at.fail("%s is %s and cannot be cut", at.text, describe(v))
		}
		lo, hi := at.index(f, from, length, 0), at.index(f, to, length, length)
		lo = min(lo, hi)
		if isText {
			return string(runes[lo:hi])
		}
		return reflect.ValueOf(v).Slice(lo, hi).Interface()
	}
}

// index is a place in a list; one below zero counts from the end.
func (s site) index(f *frame, fn thunk, length, without int) int {
	if fn == nil {
		return without
	}
	i, ok := fn(f).(int64)
	if !ok {
		s.fail("%s: a place in a list is a whole number", s.text)
	}
	if i < 0 {
		i += int64(length)
	}
	return int(min(max(i, 0), int64(length)))
}
