package manifest

import (
	"errors"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/tocsin-io/tocsin/core"
)

type nodeKind int

const (
	nullKind nodeKind = iota
	textKind
	boolKind
	intKind
	floatKind
	listKind
	mapKind
)

// node is one value of a document and where it stands.
type node struct {
	kind         nodeKind
	line, column int
	text         string // as written; of a string its value
	value        any    // of a bool, an integer (int64 or uint64) or a float
	keys         []*node
	values       []*node // of a map and of a list
}

func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	for i, k := range n.keys {
		if k.text == key {
			return n.values[i]
		}
	}
	return nil
}

func (n *node) describe() string {
	switch n.kind {
	case nullKind:
		return "nothing"
	case textKind:
		return fmt.Sprintf("the text %.40q", n.text)
	case boolKind, intKind, floatKind:
		return n.text
	case listKind:
		return "a list"
	case mapKind:
		return "a mapping"
	}
	return "something else"
}

// grower turns the syntax tree into nodes and counts them.
type grower struct {
	file     string
	anchors  map[string]ast.Node
	open     map[string]bool // anchors being followed
	count    int
	problems core.Problems
	full     bool
}

// parse reads all documents of src. Empty documents are passed over.
func parse(file string, src []byte) ([]*node, core.Problems) {
	if len(src) > maxSource {
		return nil, core.Problems{{File: file, Code: "size", Message: fmt.Sprintf("has %d bytes, the most is %d", len(src), maxSource)}}
	}
	tree, problems := safely(file, src)
	if len(problems) > 0 {
		return nil, problems
	}
	g := &grower{file: file, open: map[string]bool{}}
	var docs []*node
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType {
			continue
		}
		g.anchors = map[string]ast.Node{}
		if n := g.grow(doc.Body, 0); n != nil && !g.full {
			docs = append(docs, n)
		}
	}
	return docs, g.problems
}

// safely parses; a parser that panics on hostile input has found it invalid.
func safely(file string, src []byte) (tree *ast.File, problems core.Problems) {
	defer func() {
		if r := recover(); r != nil {
			problems = core.Problems{{File: file, Code: "syntax", Message: "this is not valid YAML"}}
		}
	}()
	tree, err := parser.ParseBytes(src, 0)
	if err == nil {
		return tree, nil
	}
	p := core.Problem{File: file, Code: "syntax", Message: err.Error()}
	if e, ok := errors.AsType[yaml.Error](err); ok {
		p.Message = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			p.Line, p.Column = t.Position.Line, t.Position.Column
		}
	}
	return nil, core.Problems{p}
}

func (g *grower) wrong(t *token.Token, code, message, fix string) {
	p := core.Problem{File: g.file, Code: code, Message: message, Fix: fix}
	if t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	g.problems = append(g.problems, p)
}

func (g *grower) grow(from ast.Node, depth int) *node {
	if g.full || from == nil {
		return &node{}
	}
	g.count++
	if g.count > maxNodes || depth > maxDepth {
		g.full = true
		g.wrong(from.GetToken(), "size", fmt.Sprintf("is too large or too deep: at most %d values, %d levels", maxNodes, maxDepth), "check its aliases")
		return nil
	}
	n := &node{}
	if t := from.GetToken(); t != nil && t.Position != nil {
		n.line, n.column, n.text = t.Position.Line, t.Position.Column, t.Value
	}
	switch v := from.(type) {
	case *ast.NullNode:
	case *ast.StringNode:
		n.kind, n.text = textKind, v.Value
	case *ast.LiteralNode:
		n.kind, n.text = textKind, v.Value.Value
	case *ast.BoolNode:
		n.kind, n.value = boolKind, v.Value
	case *ast.IntegerNode:
		n.kind, n.value = intKind, v.Value
	case *ast.FloatNode:
		n.kind, n.value = floatKind, v.Value
	case *ast.SequenceNode:
		n.kind = listKind
		for _, item := range v.Values {
			n.values = append(n.values, g.grow(item, depth+1))
		}
	case *ast.MappingNode:
		n.kind = mapKind
		for _, pair := range v.Values {
			g.pair(n, pair, depth)
		}
		n.begin()
	case *ast.MappingValueNode:
		n.kind = mapKind
		g.pair(n, v, depth)
		n.begin()
	case *ast.AnchorNode:
		g.anchors[v.Name.GetToken().Value] = v.Value
		return g.grow(v.Value, depth+1)
	case *ast.AliasNode:
		return g.follow(v, n, depth)
	default:
		g.wrong(from.GetToken(), "syntax", fmt.Sprintf("%q is not supported here", n.text), "write a plain value")
		return n
	}
	return n
}

// begin places a mapping at its first key, which is where people look.
func (n *node) begin() {
	if len(n.keys) > 0 {
		n.line, n.column = n.keys[0].line, n.keys[0].column
	}
}

func (g *grower) follow(alias *ast.AliasNode, at *node, depth int) *node {
	name := alias.Value.GetToken().Value
	target, ok := g.anchors[name]
	if !ok {
		g.wrong(alias.GetToken(), "alias", fmt.Sprintf("there is no anchor &%s before this alias", name), "")
		return at
	}
	if g.open[name] {
		g.wrong(alias.GetToken(), "alias", fmt.Sprintf("the alias *%s contains itself", name), "")
		return at
	}
	g.open[name] = true
	defer delete(g.open, name)
	return g.grow(target, depth+1)
}

func (g *grower) pair(into *node, pair *ast.MappingValueNode, depth int) {
	if _, merge := pair.Key.(*ast.MergeKeyNode); merge {
		g.merge(into, g.grow(pair.Value, depth+1), pair.Key.GetToken())
		return
	}
	t := pair.Key.GetToken()
	key := &node{kind: textKind, line: t.Position.Line, column: t.Position.Column, text: t.Value}
	if into.child(key.text) != nil {
		g.wrong(t, "duplicate", fmt.Sprintf("the key %q stands twice", key.text), "remove one")
		return
	}
	into.keys = append(into.keys, key)
	into.values = append(into.values, g.grow(pair.Value, depth+1))
}

// merge adds the pairs of a merge key (<<) that are not there yet.
func (g *grower) merge(into, from *node, t *token.Token) {
	if from == nil || from.kind != mapKind {
		g.wrong(t, "merge", "<< must name a mapping", "")
		return
	}
	for i, key := range from.keys {
		if into.child(key.text) == nil {
			into.keys, into.values = append(into.keys, key), append(into.values, from.values[i])
		}
	}
}
