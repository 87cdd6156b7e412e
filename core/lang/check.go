package lang

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/checker"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/tocsin-io/tocsin/core"
)

func compile(s *Scope, src *source, want Want) (p *Program, problems core.Problems) {
	defer func() {
		src.spans = nil
		if r := recover(); r != nil {
			p, problems = nil, core.Problems{src.problem("syntax", 0, 0, fmt.Sprintf("cannot be understood: %v", r), "")}
		}
	}()
	text := src.expr()
	switch {
	case strings.TrimSpace(text) == "":
		return nil, core.Problems{src.problem("syntax", 0, 0, "the expression is empty", "")}
	case len(text) > MaxSource:
		problem := src.problem("too_long", 0, 0, fmt.Sprintf("the expression has %d bytes, more than %d", len(text), MaxSource), "")
		problem.Snippet = ""
		return nil, core.Problems{problem}
	}
	if at := templateBraces(src); at >= 0 {
		return nil, core.Problems{src.problem("template_braces", at, at+2, "{{ }} is not part of an expression", "write the name alone, for example system.name")}
	}
	if at := tooDeep(src); at >= 0 {
		return nil, core.Problems{src.problem("too_complex", at, at+1, fmt.Sprintf("the expression is nested deeper than %d levels", MaxDepth), "split it")}
	}
	config := s.config()
	tree, err := parser.ParseWithConfig(text, config)
	if err != nil {
		return nil, core.Problems{syntaxProblem(s, src, err)}
	}
	c := &check{scope: s, src: src, config: config}
	if c.inspect(tree.Node, 1); len(c.problems) > 0 {
		return nil, c.problems
	}
	if _, err := checker.Check(tree, config); err != nil {
		return nil, core.Problems{c.typeProblem(tree.Node, err)}
	}
	if c.types(tree.Node); len(c.problems) > 0 {
		return nil, c.problems
	}
	if problem, ok := c.wanted(tree.Node, want); !ok {
		return nil, core.Problems{problem}
	}
	return link(s, src, tree.Node, want), nil
}

// tooDeep finds the bracket that opens one level too many, -1 when there is
// none. It spares the parser the work.
func tooDeep(src *source) int {
	depth := 0
	for i := range len(src.expr()) {
		if depth += src.bracket(i); depth > 2*MaxDepth {
			return i
		}
	}
	return -1
}

// templateBraces finds {{ outside of literals, -1 when there is none.
func templateBraces(src *source) int {
	text := src.expr()
	for i := range len(text) - 1 {
		if !src.quoted[i] && text[i] == '{' && text[i+1] == '{' {
			return i
		}
	}
	return -1
}

var token = regexp.MustCompile(`^unexpected token (\w+)(?:\((.*)\))?$`)

// syntaxProblem puts what expr's parser says into words.
func syntaxProblem(s *Scope, src *source, err error) core.Problem {
	var e *file.Error
	if !errors.As(err, &e) {
		return src.problem("syntax", 0, 0, err.Error(), "")
	}
	from, to := src.byteAt(e.From), src.byteAt(e.To)
	message, fix := e.Message, ""
	m := token.FindStringSubmatch(message)
	switch {
	case strings.Contains(message, "exceeds maximum allowed nodes"):
		return src.problem("too_complex", from, to, fmt.Sprintf("the expression has more than %d parts", MaxNodes), "split it")
	case m != nil && m[1] == "EOF", strings.Contains(message, "unexpected end"):
		from = len(src.expr())
		to = from
		message = "the expression ends too early"
	case m != nil:
		word := strings.Trim(m[2], `"`)
		if word == "{" && strings.HasSuffix(src.expr()[:from], "$") {
			word, from = "${", from-1
		}
		message = fmt.Sprintf("%q is not expected here", word)
		switch word {
		case "=":
			fix = "write == to compare"
		case "$", "${":
			fix = "write the name alone; ${...} belongs in texts"
		case "::", "#", ".":
		default:
			if m[1] == "Identifier" {
				fix = suggestOperator(word)
			}
		}
	case message == "literal not terminated":
		message, fix = "a text is not closed", `end it with the quote it began with`
	case strings.HasPrefix(message, "unrecognized character"):
		message = fmt.Sprintf("%q is not a character of the language", src.expr()[from:max(to, from)])
		if strings.HasPrefix(src.expr()[from:], "$") {
			fix = "write the name alone; ${...} belongs in texts"
		}
	}
	_ = s
	return src.problem("syntax", from, to, message, fix)
}

func suggestOperator(word string) string {
	switch strings.ToLower(word) {
	case "and", "or", "not", "in":
		return fmt.Sprintf("write %s in lower case", strings.ToLower(word))
	case "is", "eq":
		return "write == to compare"
	case "ne":
		return "write != to compare"
	}
	fix := suggest(word, []string{"contains", "startsWith", "endsWith", "matches", "and", "or", "not", "in"})
	if strings.HasPrefix(fix, "did you mean") {
		return fix
	}
	return "join two conditions with && or ||"
}

// check looks for what expr's checker lets through and this language does not.
type check struct {
	scope    *Scope
	src      *source
	config   *conf.Config
	problems core.Problems
	locals   []string
}

func (c *check) report(n ast.Node, code, message, fix string) {
	from, to := c.src.span(n)
	c.problems = append(c.problems, c.src.problem(code, from, to, message, fix))
}

// inspect refuses parts of expr's grammar, before types are known.
func (c *check) inspect(n ast.Node, depth int) {
	if len(c.problems) > 0 {
		return
	}
	if depth > MaxDepth {
		loc := n.Location()
		c.problems = append(c.problems, c.src.problem("too_complex", c.src.byteAt(loc.From), c.src.byteAt(loc.To),
			fmt.Sprintf("the expression is nested deeper than %d levels", MaxDepth), "split it"))
		return
	}
	switch x := n.(type) {
	case *ast.BytesNode:
		c.report(n, "syntax", "bytes are not part of the language", "write text without the b")
	case *ast.SequenceNode:
		c.report(n, "syntax", "there is more than one expression", "join two conditions with && or ||")
	case *ast.IdentifierNode:
		if x.Value == "$env" {
			c.report(n, "unknown_name", "$env is not part of the language", "write the names alone")
		}
	case *ast.VariableDeclaratorNode:
		c.locals = append(c.locals, x.Name)
	case *ast.BuiltinNode:
		if !loops(x.Name) {
			c.report(n, "function", fmt.Sprintf("there is no function %q", x.Name), suggest(x.Name, c.scope.functionNames()))
		}
	case *ast.PointerNode:
		if x.Name != "" && x.Name != "index" {
			c.report(n, "syntax", fmt.Sprintf("#%s is not part of the language", x.Name), "")
		}
	case *ast.CallNode:
		c.callee(x)
	case *ast.BinaryNode:
		if x.Operator == "matches" {
			c.pattern(x.Right)
		}
	}
	for _, child := range children(n) {
		if call, ok := n.(*ast.CallNode); ok && child == call.Callee {
			continue
		}
		below := depth + 1
		if x, ok := n.(*ast.BinaryNode); ok && child == x.Left {
			below = depth // a && b && c is ((a && b) && c) to expr, and one level to people
		}
		c.inspect(child, below)
	}
}

// callee refuses methods and unknown functions.
func (c *check) callee(n *ast.CallNode) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		c.report(n, "function", "values have no functions of their own", "write f(x) and not x.f()")
		return
	}
	if _, ok := c.scope.funcs[id.Value]; ok {
		return
	}
	message, fix := fmt.Sprintf("there is no function %q", id.Value), suggest(id.Value, c.scope.functionNames())
	if slices.Contains(c.scope.names(), id.Value) {
		message, fix = fmt.Sprintf("%q is not a function", id.Value), "write it without ( )"
	}
	c.report(n.Callee, "function", message, fix)
}

var (
	mismatch  = regexp.MustCompile(`^invalid operation: (\S+) \(mismatched types (.+) and (.+)\)$`)
	oneSide   = regexp.MustCompile(`^invalid operation: (\S+) \(mismatched type (.+)\)$`)
	noField   = regexp.MustCompile(`^type (.+) has no (?:field|method) (\S+)$`)
	testType  = regexp.MustCompile(`^non-bool expression \(type (.+)\) used as condition$`)
	predicate = regexp.MustCompile(`^predicate should return boolean \(got (.+)\)$`)
	wantsList = regexp.MustCompile(`^builtin (\w+) takes only array \(got (.+)\)$`)
	inArray   = regexp.MustCompile(`^cannot use (.+) as type (.+) in (?:array|map key)$`)
	redeclare = regexp.MustCompile(`^cannot redeclare (?:\w+ )?(\S+)$`)
)

// typeProblem puts what expr's checker says into words.
func (c *check) typeProblem(root ast.Node, err error) core.Problem {
	var e *file.Error
	if !errors.As(err, &e) {
		return c.src.problem("type", 0, len(c.src.expr()), err.Error(), "")
	}
	from, to := c.src.byteAt(e.From), c.src.byteAt(e.To)
	here := func(code, message, fix string) core.Problem { return c.src.problem(code, from, to, message, fix) }
	if name, ok := strings.CutPrefix(e.Message, "unknown name "); ok {
		return here("unknown_name", fmt.Sprintf("there is no %q", name), suggest(name, append(c.scope.names(), c.locals...)))
	}
	node := c.at(root, e.Location)
	if m := mismatch.FindStringSubmatch(e.Message); m != nil && !strings.Contains(e.Message, "func(") {
		if b, ok := node.(*ast.BinaryNode); ok {
			from, to = c.src.span(b)
			return here("type", c.mismatch(b, m[1], m[2], m[3]), mismatchFix(m[1], kindNamed(m[2]), kindNamed(m[3])))
		}
	}
	if m := oneSide.FindStringSubmatch(e.Message); m != nil {
		return here("type", fmt.Sprintf("%s does not work on %s", m[1], kindNamed(m[2]).people()), "")
	}
	if m := noField.FindStringSubmatch(e.Message); m != nil {
		return c.fieldProblem(node, m, from, to)
	}
	if m := wantsList.FindStringSubmatch(e.Message); m != nil {
		return here("type", fmt.Sprintf("%s() takes a list, not %s", m[1], kindNamed(m[2]).people()), "")
	}
	for pattern, sentence := range map[*regexp.Regexp]string{
		testType:  "the condition is %s, not true or false",
		predicate: "what must hold of each element is %s, not true or false",
	} {
		if m := pattern.FindStringSubmatch(e.Message); m != nil {
			return here("type", fmt.Sprintf(sentence, kindNamed(m[1]).people()), "compare it with something")
		}
	}
	if m := inArray.FindStringSubmatch(e.Message); m != nil {
		if node != nil {
			from, to = c.src.span(node)
		}
		return here("type", fmt.Sprintf("%s cannot be in a list of %s", kindNamed(m[1]).people(), kindNamed(m[2]).people()), "")
	}
	if m := redeclare.FindStringSubmatch(e.Message); m != nil {
		return here("syntax", fmt.Sprintf("%q is taken", m[1]), "choose another name")
	}
	if strings.Contains(e.Message, "func(") {
		return here("function", "values have no functions of their own, and functions are no values", "write f(x)")
	}
	return here("type", e.Message, "")
}

func (c *check) mismatch(b *ast.BinaryNode, op, left, right string) string {
	side := func(n ast.Node, typ string) string {
		return fmt.Sprintf("%s is %s", brief(c.src.site(n).text), kindNamed(typ).people())
	}
	return fmt.Sprintf("%s does not work on %s and %s: %s, %s", op, kindNamed(left).people(), kindNamed(right).people(), side(b.Left, left), side(b.Right, right))
}

func mismatchFix(op string, left, right kind) string {
	switch {
	case left == kDuration && right.number(), right == kDuration && left.number():
		return `write a duration, for example duration("500ms")`
	case left == kDuration && right == kString, right == kDuration && left == kString:
		return `write duration("...") around the text`
	case left == kTime && right == kString, right == kTime && left == kString:
		return `write date("...") around the text`
	case left.number() && right == kString, right.number() && left == kString:
		if op == "+" {
			return "write string(...) around the number"
		}
		return "write the number without quotes"
	case (op == "&&" || op == "||" || op == "and" || op == "or") && (left != kBool || right != kBool):
		return "both sides must be true or false"
	}
	return ""
}

func (c *check) fieldProblem(node ast.Node, m []string, from, to int) core.Problem {
	member, ok := node.(*ast.MemberNode)
	if !ok {
		return c.src.problem("unknown_name", from, to, fmt.Sprintf("there is no %q", m[2]), "")
	}
	base := c.src.site(member.Node).text
	if k := kindNamed(m[1]); k != kStruct && k != kAny {
		return c.src.problem("unknown_name", from, to, fmt.Sprintf("%s is %s and has no %q", base, k.people(), m[2]), "")
	}
	return c.src.problem("unknown_name", from, to, fmt.Sprintf("%s has no %q", base, m[2]), suggest(m[2], c.scope.members(base)))
}

// at finds the deepest node that a location of the checker belongs to.
func (c *check) at(n ast.Node, loc file.Location) ast.Node {
	for _, child := range children(n) {
		if found := c.at(child, loc); found != nil {
			return found
		}
	}
	if n.Location() == loc {
		if _, ok := n.(*ast.StringNode); !ok {
			return n
		}
	}
	return nil
}

// kindNamed is the kind of a type that a message of the checker names.
func kindNamed(typ string) kind {
	switch {
	case typ == "time.Duration":
		return kDuration
	case typ == "time.Time":
		return kTime
	case typ == "bool":
		return kBool
	case typ == "string":
		return kString
	case typ == "unknown" || typ == "interface {}" || typ == "any":
		return kAny
	case typ == "nil":
		return kNil
	case strings.HasPrefix(typ, "int"), strings.HasPrefix(typ, "uint"):
		return kInt
	case strings.HasPrefix(typ, "float"):
		return kFloat
	case strings.HasPrefix(typ, "[]"):
		return kList
	case strings.HasPrefix(typ, "map["):
		return kMap
	}
	return kStruct
}

func brief(text string) string {
	const limit = 60
	if r := []rune(text); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return text
}

// types refuses what can be known to be wrong once types are known.
func (c *check) types(n ast.Node) {
	switch x := n.(type) {
	case *ast.BinaryNode:
		c.binary(x)
	case *ast.MemberNode:
		if k := x.Type(); k != nil && k.Kind().String() == "func" {
			c.report(n, "function", "values have no functions of their own", "write f(x) and not x.f()")
		}
	case *ast.IdentifierNode:
		if typeKind(x.Type()) == kAny && x.Type() != anyType && x.Type().Kind().String() == "func" {
			c.report(n, "function", fmt.Sprintf("%s is a function", x.Value), "write "+x.Value+"(...)")
		}
	case *ast.CallNode:
		c.constant(x)
		for _, arg := range x.Arguments {
			c.types(arg)
		}
		return
	case *ast.ArrayNode:
		c.scalars(x.Nodes)
	case *ast.BuiltinNode:
		if x.Name == "map" && len(x.Arguments) == 2 {
			c.scalars(x.Arguments[1:])
		}
	}
	for _, child := range children(n) {
		c.types(child)
	}
}

// scalars refuses lists within lists: they could be nested until writing one
// out takes for ever.
func (c *check) scalars(nodes []ast.Node) {
	for _, n := range nodes {
		if p, ok := n.(*ast.PredicateNode); ok {
			n = p.Node
		}
		switch typeKind(n.Type()) {
		case kList, kMap, kStruct:
			c.report(n, "type", "an element of a list must be a number, text, true or false, a duration or a time", "")
		case kAny, kNil, kBool, kInt, kFloat, kString, kDuration, kTime:
		}
	}
}

func (c *check) binary(x *ast.BinaryNode) {
	c.below(x)
	switch x.Operator {
	case "==", "!=":
		c.enum(x.Left, x.Right)
		c.enum(x.Right, x.Left)
	case "in":
		if list, ok := x.Right.(*ast.ArrayNode); ok {
			for _, n := range list.Nodes {
				c.enum(x.Left, n)
			}
		}
	}
}

// pattern refuses what cannot be compiled now, and patterns that are computed:
// how long they take would not be known before.
func (c *check) pattern(n ast.Node) {
	literal, ok := n.(*ast.StringNode)
	if !ok {
		c.report(n, "type", "the pattern of matches must be written out", `for example name matches "^web-[0-9]+$"`)
		return
	}
	if _, _, err := compilePattern(literal.Value); err != nil {
		c.report(n, "syntax", err.Error(), "")
	}
}

// maxPattern bounds the instructions of a compiled pattern.
const maxPattern = 500

// compilePattern compiles a pattern and counts its instructions.
func compilePattern(pattern string) (*regexp.Regexp, int, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern is not a regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern is not a regular expression: %w", err)
	}
	if len(prog.Inst) > maxPattern {
		return nil, 0, fmt.Errorf("the pattern is too large: it has %d instructions, more than %d", len(prog.Inst), maxPattern)
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, 0, fmt.Errorf("the pattern is not a regular expression: %w", err)
	}
	return compiled, len(prog.Inst), nil
}

// enum refuses a comparison of a name that has only certain values with
// another text.
func (c *check) enum(name, value ast.Node) {
	literal, ok := value.(*ast.StringNode)
	if !ok {
		return
	}
	path, ok := pathOf(name)
	if !ok {
		return
	}
	if enum := c.scope.infos[path].enum; len(enum) > 0 && !slices.Contains(enum, literal.Value) {
		c.report(value, "enum", fmt.Sprintf("%s is never %q", path, literal.Value), suggest(literal.Value, slices.Clone(enum)))
	}
}

// constant refuses literals that a function would refuse whenever it runs.
func (c *check) constant(n *ast.CallNode) {
	id, ok := n.Callee.(*ast.IdentifierNode)
	if !ok || len(n.Arguments) == 0 {
		return
	}
	literal, ok := n.Arguments[len(n.Arguments)-1].(*ast.StringNode)
	if !ok {
		return
	}
	switch id.Value {
	case "duration":
		if _, err := core.ParseDuration(literal.Value); err != nil {
			c.report(literal, "type", err.Error(), "")
		}
	case "date":
		if _, err := parseDate(literal.Value); err != nil {
			c.report(literal, "type", err.Error(), "")
		}
	case "hour", "weekday":
		if _, err := time.LoadLocation(literal.Value); err != nil {
			c.report(literal, "type", fmt.Sprintf("%q is not a time zone", literal.Value), "write for example Europe/Berlin")
		}
	}
}

func (c *check) wanted(n ast.Node, want Want) (core.Problem, bool) {
	k := typeKind(deref(n.Type()))
	if _, ok := n.(*ast.NilNode); ok {
		k = kNil
	}
	fits := k == kAny || want == Any || want == Bool && k == kBool || want == Number && k.number() || want == String && k == kString
	if fits {
		return core.Problem{}, true
	}
	from, to := c.src.span(n)
	code, fix := "type", ""
	if want == Bool {
		code, fix = "not_bool", "compare it with something"
		if b, ok := n.(*ast.BinaryNode); ok && b.Operator == "=" {
			fix = "write == to compare"
		}
	}
	if want == String && k != kList && k != kMap && k != kStruct && k != kNil {
		fix = "write string(...) around it"
	}
	return c.src.problem(code, from, to, fmt.Sprintf("the expression is %s, not %s", k.people(), want.people()), fix), false
}

// pathOf is the dotted path that a node reads, false when it is not a chain of
// constant members of a name.
func pathOf(n ast.Node) (string, bool) {
	switch x := n.(type) {
	case *ast.IdentifierNode:
		return x.Value, true
	case *ast.ChainNode:
		return pathOf(x.Node)
	case *ast.MemberNode:
		base, ok := pathOf(x.Node)
		property, constant := x.Property.(*ast.StringNode)
		if !ok || !constant {
			return "", false
		}
		return base + "." + property.Value, true
	}
	return "", false
}
