package lang

import (
	"github.com/expr-lang/expr/ast"
)

// loops reports whether a name is one of the functions that take a condition
// on elements.
func loops(name string) bool {
	switch name {
	case "all", "none", "any", "one", "filter", "map", "find", "findIndex", "count", "sum":
		return true
	}
	return false
}

// loop builds all, none, any, one, filter, map, find, findIndex, count and sum.
func (b *build) loop(x *ast.BuiltinNode) thunk {
	list, on, at := b.any(x.Arguments[0]), b.src.site(x.Arguments[0]), b.src.site(x)
	var body thunk
	var where site
	cost := 1
	if len(x.Arguments) > 1 {
		inner := x.Arguments[1]
		if p, ok := inner.(*ast.PredicateNode); ok {
			inner = p.Node
		}
		b.loops++
		body, where = b.any(inner), b.src.site(inner)
		b.loops--
		cost = size(inner)
	}
	// step evaluates the body for one element.
	step := func(f *frame, i int, v any) any {
		if body == nil {
			return v
		}
		f.spend(cost, at)
		f.items = append(f.items, item{value: v, index: i})
		out := body(f)
		f.items = f.items[:len(f.items)-1]
		return out
	}
	walk := func(f *frame, fn func(i int, v, out any) bool) {
		v := list(f)
		on.present(v)
		each(f, on, v, func(i int, v any) bool { return fn(i, v, step(f, i, v)) })
	}
	switch x.Name {
	case "filter", "map":
		return gather(x.Name, at, where, walk)
	case "find", "findIndex":
		return search(x.Name, where, walk)
	case "sum":
		return func(f *frame) any {
			var total any = int64(0)
			first := true
			walk(f, func(_ int, _, out any) bool {
				if first && valueKind(out) == kDuration {
					total, first = out, false
					return true
				}
				first = false
				v, ok := arithmetic(f, at, "+", total, out)
				if !ok || valueKind(v) == kString {
					at.fail("%s: %s cannot be added", at.text, describe(out))
				}
				total = v
				return true
			})
			return total
		}
	}
	return tally(x.Name, where, on, walk)
}

type walker = func(f *frame, fn func(i int, v, out any) bool)

func gather(name string, at, where site, walk walker) thunk {
	if name == "map" {
		return func(f *frame) any {
			out := []any{}
			walk(f, func(_ int, _, v any) bool {
				out = append(out, at.scalar(v))
				return true
			})
			return out
		}
	}
	return func(f *frame) any {
		out := []any{}
		walk(f, func(_ int, v, ok any) bool {
			if where.bool(ok) {
				out = append(out, v)
			}
			return true
		})
		return out
	}
}

func search(name string, where site, walk walker) thunk {
	index := name == "findIndex"
	return func(f *frame) any {
		var found any
		if index {
			found = int64(-1)
		}
		walk(f, func(i int, v, ok any) bool {
			if !where.bool(ok) {
				return true
			}
			found = v
			if index {
				found = int64(i)
			}
			return false
		})
		return found
	}
}

// tally builds the functions that count how often something holds.
func tally(name string, where, on site, walk walker) thunk {
	if where.text == "" {
		where = on
	}
	count := func(f *frame, enough func(held, seen int) bool) (held, seen int) {
		walk(f, func(_ int, _, ok any) bool {
			seen++
			if where.bool(ok) {
				held++
			}
			return !enough(held, seen)
		})
		return held, seen
	}
	switch name {
	case "all":
		return func(f *frame) any {
			held, seen := count(f, func(held, seen int) bool { return held < seen })
			return held == seen
		}
	case "none":
		return func(f *frame) any {
			held, _ := count(f, func(held, _ int) bool { return held > 0 })
			return held == 0
		}
	case "any":
		return func(f *frame) any {
			held, _ := count(f, func(held, _ int) bool { return held > 0 })
			return held > 0
		}
	case "one":
		return func(f *frame) any {
			held, _ := count(f, func(held, _ int) bool { return held > 1 })
			return held == 1
		}
	default:
		return func(f *frame) any {
			held, _ := count(f, func(int, int) bool { return false })
			return int64(held)
		}
	}
}

// size counts the parts of a node.
func size(n ast.Node) int {
	total := 1
	for _, child := range children(n) {
		total += size(child)
	}
	return total
}
