package lang

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/tocsin-io/tocsin/core"
)

// tracer knows which nodes are explained.
type tracer struct {
	ids  map[ast.Node]int
	list []core.ExplainNode // as they are before an evaluation
	run  thunk
}

// trace is what became of the nodes in one evaluation.
type trace struct {
	nodes   []core.ExplainNode
	state   []uint8 // 0 not reached, 1 begun, 2 has a value
	current []int   // begun and not ended, innermost last
}

func (t *trace) enter(id int) {
	t.state[id] = 1
	t.current = append(t.current, id)
}

func (t *trace) leave(id int, v any) {
	t.state[id] = 2
	t.nodes[id].Value = format(v)
	t.current = t.current[:len(t.current)-1]
}

func (b *build) traced(n ast.Node) (int, bool) {
	if b.tracer == nil || b.loops > 0 {
		return 0, false
	}
	id, ok := b.tracer.ids[n]
	return id, ok
}

// Explain evaluates p and returns the value of each of its parts, in the order
// of the text, each part before what it is made of. A chain of && or of || is
// one part with its members below it; a path such as system.tags.env is one;
// literals and what is inside a loop are left out. A part that was not
// evaluated because another decided is Skipped; where the evaluation failed
// there is an Error.
func (p *Program) Explain(env any) []core.ExplainNode {
	p.traceOnce.Do(p.prepareTrace)
	t := &trace{nodes: slices.Clone(p.trace.list), state: make([]uint8, len(p.trace.list))}
	f := &frame{locals: make([]any, p.locals), steps: budget, trace: t}
	err := f.enter(p.scope, env)
	if err == nil {
		err = p.follow(f)
	}
	for i := range t.nodes {
		t.nodes[i].Skipped = t.state[i] == 0
	}
	if err == nil {
		return t.nodes
	}
	if len(t.current) == 0 {
		message := err.Error()
		if len(t.nodes) == 0 {
			return []core.ExplainNode{{Expr: p.src.expr(), Error: message, From: p.src.base, To: p.src.end}}
		}
		t.nodes[0].Error, t.nodes[0].Skipped = message, false
		return t.nodes
	}
	for _, id := range t.current {
		t.nodes[id].Error = partFailed
	}
	t.nodes[t.current[len(t.current)-1]].Error = err.Error()
	return t.nodes
}

// Decided says in a few words which values made p what it is: "status is 503"
// of status == 200 && latency < duration("1s"), "json.version is missing" when
// it could not be evaluated.
func (p *Program) Decided(env any) string {
	nodes := p.Explain(env)
	for _, n := range nodes {
		if n.Error != "" && n.Error != partFailed {
			return n.Error
		}
	}
	if len(nodes) == 0 {
		return "it is always so"
	}
	var facts []string
	for _, n := range deciding(nodes, 0) {
		if fact := n.Expr + " is " + n.Value; !slices.Contains(facts, fact) {
			facts = append(facts, fact)
		}
	}
	return strings.Join(facts, ", ")
}

const partFailed = "a part of it failed"

// deciding lists the values below a condition that made it what it is. Of the
// conditions joined by && or || it is those that agree with the whole.
func deciding(nodes []core.ExplainNode, root int) []core.ExplainNode {
	var below, agree []int
	for i := root + 1; i < len(nodes) && nodes[i].Depth > nodes[root].Depth; i++ {
		if nodes[i].Depth != nodes[root].Depth+1 || nodes[i].Skipped {
			continue
		}
		below = append(below, i)
		if condition(nodes[i]) && nodes[i].Value == nodes[root].Value {
			agree = append(agree, i)
		}
	}
	switch {
	case len(below) == 0, !condition(nodes[root]):
		return []core.ExplainNode{nodes[root]}
	case len(agree) > 0:
		below = agree
	}
	var out []core.ExplainNode
	for _, i := range below {
		out = append(out, deciding(nodes, i)...)
	}
	return out
}

func condition(n core.ExplainNode) bool { return n.Value == "true" || n.Value == "false" }

func (p *Program) follow(f *frame) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = p.fault(r)
		}
	}()
	if v := p.trace.run(f); !p.fits(v) {
		return errors.New(p.src.expr() + " is " + describe(v) + ", not " + p.want.people())
	}
	return nil
}

func (p *Program) prepareTrace() {
	t := &tracer{ids: map[ast.Node]int{}}
	b := &build{scope: p.scope, src: p.src, locals: map[string]int{}, tracer: t}
	b.slots(p.root)
	b.number(p.root, 0)
	t.run = b.any(p.root)
	p.src.spans = nil
	p.trace = t
}

// number gives ids to the nodes that are explained, in order of the text.
func (b *build) number(n ast.Node, depth int) {
	if _, isPath := pathOf(n); isPath || interesting(n) {
		at := b.src.site(n)
		b.tracer.ids[n] = len(b.tracer.list)
		b.tracer.list = append(b.tracer.list, core.ExplainNode{Expr: at.text, Depth: depth, From: at.from, To: at.to})
		if isPath {
			return
		}
		depth++
	}
	if x, ok := n.(*ast.BinaryNode); ok && logical(x.Operator) {
		b.chain(x, x.Operator, depth)
		return
	}
	if let, ok := n.(*ast.VariableDeclaratorNode); ok {
		b.number(let.Value, depth)
		b.number(let.Expr, depth)
		return
	}
	for _, child := range children(n) {
		if !partOf(n, child) {
			b.number(child, depth)
		}
	}
}

// partOf reports whether a child is not explained apart from its parent: a
// function's name, what is inside a loop, and the beginning of a path.
func partOf(n, child ast.Node) bool {
	switch x := n.(type) {
	case *ast.CallNode:
		return child == x.Callee
	case *ast.MemberNode:
		_, isName := child.(*ast.IdentifierNode)
		_, isMember := child.(*ast.MemberNode)
		return child == x.Node && (isName || isMember)
	}
	_, isLoop := child.(*ast.PredicateNode)
	return isLoop
}

// chain numbers the members of a && b && c, which expr reads as (a && b) && c.
func (b *build) chain(x *ast.BinaryNode, op string, depth int) {
	for _, side := range []ast.Node{x.Left, x.Right} {
		if inner, ok := side.(*ast.BinaryNode); ok && sameLogic(inner.Operator, op) {
			b.chain(inner, op, depth)
			continue
		}
		b.number(side, depth)
	}
}

func logical(op string) bool { return op == "&&" || op == "and" || op == "||" || op == "or" }

func sameLogic(a, b string) bool {
	and := func(op string) bool { return op == "&&" || op == "and" }
	return logical(a) && logical(b) && and(a) == and(b)
}

func interesting(n ast.Node) bool {
	switch n.(type) {
	case *ast.UnaryNode, *ast.BinaryNode, *ast.ChainNode, *ast.MemberNode, *ast.SliceNode, *ast.CallNode, *ast.BuiltinNode, *ast.ConditionalNode:
		_, constant := constantDuration(n)
		return !constant
	}
	return false
}

// write writes a value, at most limit bytes of it.
func write(b *strings.Builder, v any, limit int, quote bool) {
	writeAt(b, v, limit, quote, 0)
}

func writeAt(b *strings.Builder, v any, limit int, quote bool, depth int) {
	if b.Len() > limit || depth > maxValueDepth {
		b.WriteString("…")
		return
	}
	switch x := plain(v).(type) {
	case nil, broken:
		if quote {
			b.WriteString("nil")
		} else {
			b.WriteString("null")
		}
	case bool:
		b.WriteString(strconv.FormatBool(x))
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case float64:
		b.WriteString(formatFloat(x))
	case time.Duration:
		writeWord(b, duration(x), quote, b.Len() > 0)
	case time.Time:
		writeWord(b, x.Format(time.RFC3339Nano), quote, b.Len() > 0)
	case string:
		if len(x) > limit {
			x = strings.ToValidUTF8(x[:limit], "") + "…"
		}
		b.WriteString(strconv.Quote(x))
	default:
		writeParts(b, x, limit, quote, depth)
	}
}

// writeWord writes a duration or time, in quotes where it is within JSON.
func writeWord(b *strings.Builder, word string, quote, within bool) {
	if within && !quote {
		word = strconv.Quote(word)
	}
	b.WriteString(word)
}

func formatFloat(x float64) string {
	if x == math.Trunc(x) && math.Abs(x) < 1e15 {
		return strconv.FormatFloat(x, 'f', -1, 64)
	}
	return strconv.FormatFloat(x, 'g', -1, 64)
}

func writeParts(b *strings.Builder, v any, limit int, quote bool, depth int) {
	rv := reflect.ValueOf(v)
	switch valueKind(v) {
	case kList:
		b.WriteByte('[')
		for i := range rv.Len() {
			if i > 0 {
				b.WriteString(", ")
			}
			if b.Len() > limit {
				b.WriteString("…")
				break
			}
			writeAt(b, plainValue(rv.Index(i)), limit, quote, depth+1)
		}
		b.WriteByte(']')
	case kMap:
		names := make([]string, 0, rv.Len())
		for _, k := range rv.MapKeys() {
			names = append(names, k.String())
		}
		slices.Sort(names)
		writeObject(b, names, limit, quote, depth, func(name string) any {
			return plainValue(rv.MapIndex(reflect.ValueOf(name).Convert(rv.Type().Key())))
		})
	case kStruct:
		var names []string
		for i := range rv.NumField() {
			if tag := rv.Type().Field(i).Tag.Get("expr"); tag != "" && tag != "-" {
				names = append(names, tag)
			}
		}
		writeObject(b, names, limit, quote, depth, func(name string) any {
			i, _ := fieldNamed(rv.Type(), name)
			return plainValue(rv.Field(i))
		})
	case kAny, kNil, kBool, kInt, kFloat, kString, kDuration, kTime:
		fmt.Fprintf(b, "%T", v)
	}
}

func writeObject(b *strings.Builder, names []string, limit int, quote bool, depth int, value func(string) any) {
	b.WriteByte('{')
	for i, name := range names {
		if i > 0 {
			b.WriteString(", ")
		}
		if b.Len() > limit {
			b.WriteString("…")
			break
		}
		b.WriteString(strconv.Quote(name) + ": ")
		writeAt(b, value(name), limit, quote, depth+1)
	}
	b.WriteByte('}')
}
