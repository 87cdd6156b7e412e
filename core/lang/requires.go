package lang

import (
	"reflect"
	"slices"
	"time"

	"github.com/expr-lang/expr/ast"
)

// Requirement is a path that must have one of some texts for a condition to
// be true.
type Requirement struct {
	Path string   // "system.tags.env"
	Any  []string // sorted
}

// Requires lists what must hold for p to be true, as far as the text says it
// plainly: path == "text" and path in ["text", ...], joined by &&. It is what
// an index selects by; a condition of another form requires nothing.
func (p *Program) Requires() []Requirement {
	var out []Requirement
	var walk func(n ast.Node)
	walk = func(n ast.Node) {
		x, ok := n.(*ast.BinaryNode)
		if !ok {
			return
		}
		switch x.Operator {
		case "&&", "and":
			walk(x.Left)
			walk(x.Right)
		case "==":
			for _, pair := range [][2]ast.Node{{x.Left, x.Right}, {x.Right, x.Left}} {
				path, isPath := p.reads(pair[0])
				literal, isText := pair[1].(*ast.StringNode)
				if isPath && isText {
					out = append(out, Requirement{Path: path, Any: []string{literal.Value}})
				}
			}
		case "in":
			path, isPath := p.reads(x.Left)
			list, isList := x.Right.(*ast.ArrayNode)
			if !isPath || !isList {
				return
			}
			if words, ok := constants(list); ok {
				out = append(out, Requirement{Path: path, Any: slices.Sorted(slices.Values(words))})
			}
		}
	}
	walk(p.root)
	return out
}

// reads is the path of a node that reads the environment.
func (p *Program) reads(n ast.Node) (string, bool) {
	path, ok := pathOf(n)
	return path, ok && slices.Contains(p.refs, path)
}

// Wake is when a timed condition can change by itself: when the timed duration
// at Path reaches For, or, of a path that is a time, at the instant At.
type Wake struct {
	Path string
	For  time.Duration
	At   time.Time
}

// Wakes lists when a timed p can change its value with no event, from the
// comparisons of timed names in it: health_for >= duration("30m") and
// now > at + duration("5m"), now - at > duration("5m"). Exact is false when p
// uses time in another way, such as hour(now): it must then be evaluated again
// from time to time. A comparison whose other side cannot be evaluated is left
// out.
func (p *Program) Wakes(env any) (wakes []Wake, exact bool) {
	if !p.timed {
		return nil, true
	}
	f := &frame{locals: make([]any, p.locals), steps: budget}
	if err := f.enter(p.scope, env); err != nil {
		return nil, false
	}
	exact = true
	b := &build{scope: p.scope, src: p.src, locals: map[string]int{}}
	b.slots(p.root)
	var walk func(n ast.Node)
	walk = func(n ast.Node) {
		if x, ok := n.(*ast.BinaryNode); ok && isOrder(x) {
			switch left, right := b.timedIn(x.Left), b.timedIn(x.Right); {
			case left && !right:
				exact = solve(b, f, x.Left, x.Right, &wakes) && exact
				return
			case right && !left:
				exact = solve(b, f, x.Right, x.Left, &wakes) && exact
				return
			}
		}
		if path, ok := pathOf(n); ok {
			exact = exact && !p.scope.infos[path].timed
			return
		}
		for _, child := range children(n) {
			walk(child)
		}
	}
	walk(p.root)
	return wakes, exact
}

func isOrder(x *ast.BinaryNode) bool {
	switch x.Operator {
	case "<", ">", "<=", ">=", "==", "!=":
		return true
	}
	return false
}

func (b *build) timedIn(n ast.Node) bool {
	if path, ok := pathOf(n); ok {
		return b.scope.infos[path].timed
	}
	return slices.ContainsFunc(children(n), b.timedIn)
}

// solve finds when timed meets other.
func solve(b *build, f *frame, timed, other ast.Node, wakes *[]Wake) bool {
	value, ok := try(b.any(other), f)
	if !ok {
		return true
	}
	if path, ok := pathOf(timed); ok {
		switch v := value.(type) {
		case time.Duration:
			*wakes = append(*wakes, Wake{Path: path, For: v})
			return true
		case time.Time:
			*wakes = append(*wakes, Wake{Path: path, At: v})
			return true
		}
		return false
	}
	x, ok := timed.(*ast.BinaryNode)
	if !ok || x.Operator != "-" && x.Operator != "+" || b.timedIn(x.Right) {
		return false
	}
	path, ok := pathOf(x.Left)
	shift, known := try(b.any(x.Right), f)
	if !ok || !known {
		return ok
	}
	return moved(path, x.Operator == "-", shift, value, wakes)
}

// moved solves path - shift = value or path + shift = value for the path.
func moved(path string, minus bool, shift, value any, wakes *[]Wake) bool {
	switch s := shift.(type) {
	case time.Time: // now - at > duration
		if v, ok := value.(time.Duration); ok && minus {
			*wakes = append(*wakes, Wake{Path: path, At: s.Add(v)})
			return true
		}
	case time.Duration:
		if !minus {
			s = -s
		}
		switch v := value.(type) {
		case time.Time: // now - duration > at
			*wakes = append(*wakes, Wake{Path: path, At: v.Add(s)})
			return true
		case time.Duration:
			*wakes = append(*wakes, Wake{Path: path, For: v + s})
			return true
		}
	}
	return false
}

// try evaluates a part of p on its own.
func try(fn thunk, f *frame) (v any, ok bool) {
	defer func() {
		if recover() != nil {
			v, ok = nil, false
		}
	}()
	v = fn(f)
	return v, v != nil && reflect.TypeOf(v) != nil
}
