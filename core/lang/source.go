package lang

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"

	"github.com/tocsin-io/tocsin/core"
)

// source is the text of an expression, which may be a hole of a larger text.
type source struct {
	whole     string
	base, end int   // the expression within whole, in bytes
	offsets   []int // by character of the expression: its byte; nil when all is ASCII
	quoted    []bool
	brackets  []int               // how many stand before each byte
	spans     map[ast.Node][2]int // of tokens, while a program is made
}

func newSource(text string) *source { return newHole(text, 0, len(text)) }

func newHole(whole string, base, end int) *source {
	s := &source{whole: whole, base: base, end: end}
	expr := s.expr()
	if strings.IndexFunc(expr, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		for i := range expr {
			s.offsets = append(s.offsets, i)
		}
		s.offsets = append(s.offsets, len(expr))
	}
	s.quoted = quoted(expr)
	s.brackets = make([]int, len(expr)+1)
	for i := range len(expr) {
		s.brackets[i+1] = s.brackets[i] + s.bracket(i)*s.bracket(i)
	}
	return s
}

func (s *source) expr() string { return s.whole[s.base:s.end] }

// byteAt is the byte, within the expression, of a character.
func (s *source) byteAt(char int) int {
	if s.offsets == nil {
		return min(max(char, 0), s.end-s.base)
	}
	return s.offsets[min(max(char, 0), len(s.offsets)-1)]
}

// quoted marks the bytes that belong to literals of text.
func quoted(expr string) []bool {
	out := make([]bool, len(expr))
	var quote byte
	for i := 0; i < len(expr); i++ {
		c := expr[i]
		switch {
		case quote == 0 && (c == '"' || c == '\'' || c == '`'):
			quote = c
			out[i] = true
		case quote != 0:
			out[i] = true
			if c == '\\' && quote != '`' {
				i++
				if i < len(expr) {
					out[i] = true
				}
			} else if c == quote {
				quote = 0
			}
		}
	}
	return out
}

// span is the byte range of a node within the expression. expr notes the token
// that made a node; the range is that of all tokens below it, made to balance.
func (s *source) span(n ast.Node) (from, to int) {
	from, to = s.tokens(n)
	return s.balance(from, to)
}

func (s *source) tokens(n ast.Node) (from, to int) {
	if known, ok := s.spans[n]; ok {
		return known[0], known[1]
	}
	from, to = s.union(n)
	if s.spans == nil {
		s.spans = map[ast.Node][2]int{}
	}
	s.spans[n] = [2]int{from, to}
	return from, to
}

func (s *source) union(n ast.Node) (from, to int) {
	loc := n.Location()
	from, to = s.byteAt(loc.From), s.byteAt(loc.To)
	first := loc == file.Location{}
	for _, child := range children(n) {
		f, t := s.tokens(child)
		if f == t {
			continue
		}
		if first {
			from, to, first = f, t, false
			continue
		}
		from, to = min(from, f), max(to, t)
	}
	return from, to
}

// balance widens a range until each bracket in it has its other half.
func (s *source) balance(from, to int) (first, last int) {
	expr := s.expr()
	if to <= from || s.brackets[from] == s.brackets[to] {
		return from, to
	}
	opened, closed := 0, 0 // brackets in the range whose other half is not
	for i := from; i < to; i++ {
		switch s.bracket(i) {
		case 1:
			opened++
		case -1:
			if opened > 0 {
				opened--
			} else {
				closed++
			}
		}
	}
	for i := from - 1; i >= 0 && closed > 0; i-- {
		closed -= s.bracket(i)
		if s.bracket(i) == 1 {
			from = i
		}
	}
	for i := to; i < len(expr) && opened > 0; i++ {
		opened += s.bracket(i)
		if s.bracket(i) == -1 {
			to = i + 1
		}
	}
	return from, to
}

// bracket is 1 for an opening bracket, -1 for a closing one, else 0.
func (s *source) bracket(i int) int {
	if s.quoted[i] {
		return 0
	}
	switch s.expr()[i] {
	case '(', '[', '{':
		return 1
	case ')', ']', '}':
		return -1
	}
	return 0
}

// site of a node.
func (s *source) site(n ast.Node) site {
	from, to := s.span(n)
	return site{text: s.expr()[from:to], from: s.base + from, to: s.base + to}
}

// problem at a byte range of the expression.
func (s *source) problem(code string, from, to int, message, fix string) core.Problem {
	from, to = min(from, s.end-s.base), min(max(to, from), s.end-s.base)
	p := core.Problem{Code: code, Message: message, Fix: fix, From: s.base + from, To: s.base + to}
	start := strings.LastIndexByte(s.whole[:p.From], '\n') + 1
	line := s.whole[start:]
	if end := strings.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	p.Line = strings.Count(s.whole[:start], "\n") + 1
	p.Column = utf8.RuneCountInString(s.whole[start:p.From]) + 1
	p.Snippet = snippet(line, p.Column-1)
	return p
}

// snippet is the line, or the part of a long one around the column, with a
// caret below it.
func snippet(line string, column int) string {
	const width = 100
	runes := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, line))
	if len(runes) > width {
		cut := min(max(0, column-width/2), max(0, len(runes)-width))
		runes, column = runes[cut:min(len(runes), cut+width)], column-cut
	}
	return string(runes) + "\n" + strings.Repeat(" ", column) + "^"
}

// children of a node, in no particular order.
func children(n ast.Node) []ast.Node {
	var out []ast.Node
	add := func(nodes ...ast.Node) {
		for _, c := range nodes {
			if c != nil {
				out = append(out, c)
			}
		}
	}
	switch x := n.(type) {
	case *ast.UnaryNode:
		add(x.Node)
	case *ast.BinaryNode:
		add(x.Left, x.Right)
	case *ast.ChainNode:
		add(x.Node)
	case *ast.MemberNode:
		add(x.Node, x.Property)
	case *ast.SliceNode:
		add(x.Node, x.From, x.To)
	case *ast.CallNode:
		add(x.Callee)
		add(x.Arguments...)
	case *ast.BuiltinNode:
		add(x.Arguments...)
	case *ast.PredicateNode:
		add(x.Node)
	case *ast.VariableDeclaratorNode:
		add(x.Value, x.Expr)
	case *ast.SequenceNode:
		add(x.Nodes...)
	case *ast.ConditionalNode:
		add(x.Cond, x.Exp1, x.Exp2)
	case *ast.ArrayNode:
		add(x.Nodes...)
	case *ast.MapNode:
		add(x.Pairs...)
	case *ast.PairNode:
		add(x.Key, x.Value)
	}
	return out
}

// suggest is a fix that names the candidate nearest to what was written, or
// else lists some of what there is.
func suggest(written string, candidates []string) string {
	slices.Sort(candidates)
	if near := Nearest(written, candidates); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	const some = 12
	switch {
	case len(candidates) == 0:
		return ""
	case len(candidates) > some:
		return "there are " + strings.Join(candidates[:some], ", ") + " and more"
	}
	return "there are " + strings.Join(candidates, ", ")
}

// edits counts insertions, deletions, replacements and swaps of neighbours
// between two words.
func edits(a, b string) int {
	x, y := []rune(strings.ToLower(a)), []rune(strings.ToLower(b))
	if len(x) > 64 || len(y) > 64 {
		return 64
	}
	before, prev, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(y)]
}

// Nearest is the candidate that differs least from what was written, "" when
// none is near enough to have been meant.
func Nearest(written string, candidates []string) string {
	best, distance := "", max(1, len(written)/3)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := edits(written, c); d < distance {
			best, distance = c, d
		}
	}
	return best
}
