package manifest

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
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
	values       []*node        // of a map and of a list
	places       map[string]int // of a map: place of each key
}

func (n *node) child(key string) *node {
	if n == nil {
		return nil
	}
	if i, ok := n.places[key]; ok {
		return n.values[i]
	}
	return nil
}

// add puts a pair into a map.
func (n *node) add(key, value *node) {
	if n.places == nil {
		n.places = map[string]int{}
	}
	n.places[key.text] = len(n.keys)
	n.keys, n.values = append(n.keys, key), append(n.values, value)
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
	trees, problems := syntax(file, src)
	g := &grower{file: file, open: map[string]bool{}}
	var docs []*node
	for _, tree := range trees {
		for _, doc := range tree.Docs {
			if doc.Body == nil || doc.Body.Type() == ast.NullType || doc.Body.Type() == ast.CommentType || doc.Body.Type() == ast.DirectiveType {
				continue
			}
			g.anchors = map[string]ast.Node{}
			if n := g.grow(doc.Body, 0); n != nil && !g.full {
				docs = append(docs, n)
			}
		}
	}
	return docs, append(g.problems, problems...)
}

func (g *grower) wrong(t *token.Token, code, message, fix string) {
	g.problems = append(g.problems, positioned(core.Problem{File: g.file, Code: code, Message: message, Fix: fix}, t))
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
		g.mapping(n, v.Values, depth)
	case *ast.MappingValueNode:
		g.mapping(n, []*ast.MappingValueNode{v}, depth)
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

// mapping fills n with pairs, which it places at the first of them, where
// people look. What merge keys (<<) bring in comes last: a pair that is
// written out wins, wherever it stands.
func (g *grower) mapping(n *node, pairs []*ast.MappingValueNode, depth int) {
	n.kind = mapKind
	if len(pairs) > 0 {
		if t := pairs[0].Key.GetToken(); t != nil && t.Position != nil {
			n.line, n.column = t.Position.Line, t.Position.Column
		}
	}
	for _, pair := range pairs {
		if _, merge := pair.Key.(*ast.MergeKeyNode); !merge {
			g.pair(n, pair, depth)
		}
	}
	for _, pair := range pairs {
		if _, merge := pair.Key.(*ast.MergeKeyNode); merge {
			g.merge(n, g.grow(pair.Value, depth+1), pair.Key.GetToken())
		}
	}
}

func (g *grower) follow(alias *ast.AliasNode, at *node, depth int) *node {
	name := alias.Value.GetToken().Value
	target, ok := g.anchors[name]
	if !ok {
		g.wrong(alias.GetToken(), "alias", fmt.Sprintf("there is no anchor &%s before this alias", name), "put &"+name+" before the value that it stands for")
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
	t := pair.Key.GetToken()
	key := g.key(pair.Key)
	if key == nil {
		g.wrong(t, "key", "a key must be plain text", "write the key out, without ?, tag, anchor or alias")
		return
	}
	if into.child(key.text) != nil {
		g.wrong(t, "duplicate", fmt.Sprintf("the key %q stands twice", key.text), "remove one")
		return
	}
	if value := g.grow(pair.Value, depth+1); value != nil {
		into.add(key, value)
	}
}

// key is the text of a key and its place; nil when it is not plain.
func (*grower) key(from ast.MapKeyNode) *node {
	t := from.GetToken()
	n := &node{kind: textKind, line: t.Position.Line, column: t.Position.Column, text: t.Value}
	switch v := from.(type) {
	case *ast.StringNode:
		n.text = v.Value
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
	default:
		return nil
	}
	return n
}

// merge adds the pairs of what a merge key (<<) names, a mapping or a list of
// them, that are not there yet.
func (g *grower) merge(into, from *node, t *token.Token) {
	if from == nil {
		return // too large, which was said
	}
	sources := []*node{from}
	if from.kind == listKind {
		sources = from.values
	}
	for _, source := range sources {
		if source == nil || source.kind != mapKind {
			g.wrong(t, "merge", "<< must name a mapping, or a list of mappings", "")
			return
		}
		for i, key := range source.keys {
			if into.child(key.text) == nil {
				into.add(key, source.values[i])
			}
		}
	}
}
