package manifest

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/tocsin-io/tocsin/core"
)

// maxTokens bounds one document. The parser needs time in proportion to the
// square of the number of tokens and of the depth, and stack in proportion to
// the depth; the lexer needs time in proportion to the length. So the tokens
// are counted before they are parsed, each document by itself.
const maxTokens = 30_000

// syntax is the syntax trees of the documents of src, up to the first one that
// is not valid.
func syntax(file string, src []byte) ([]*ast.File, core.Problems) {
	if len(src) > maxSource {
		return nil, core.Problems{{File: file, Code: "size", Message: fmt.Sprintf("has %d bytes, the most is %d", len(src), maxSource)}}
	}
	tokens, problems := lex(file, src)
	if len(problems) > 0 {
		return nil, problems
	}
	var trees []*ast.File
	for _, doc := range split(tokens) {
		at, message := tooMuch(doc)
		if at != nil {
			return trees, core.Problems{positioned(core.Problem{File: file, Code: "size", Message: message}, at)}
		}
		tree, problems := safely(file, doc)
		if len(problems) > 0 {
			return trees, problems
		}
		trees = append(trees, tree)
	}
	return trees, nil
}

func lex(file string, src []byte) (tokens token.Tokens, problems core.Problems) {
	defer invalid(file, &problems)
	return lexer.Tokenize(string(src)), nil
}

// invalid recovers: a parser that panics on hostile input has found it invalid.
func invalid(file string, problems *core.Problems) {
	if r := recover(); r != nil {
		*problems = core.Problems{{File: file, Code: "syntax", Message: "this is not valid YAML"}}
	}
}

// split cuts tokens before each --- and after each ..., so that every document
// is parsed by itself. Directives go with the document that follows them.
func split(tokens token.Tokens) []token.Tokens {
	var docs []token.Tokens
	begin, body := 0, false
	cut := func(at int) {
		if at > begin {
			docs = append(docs, tokens[begin:at:at])
		}
		begin, body = at, false
	}
	directive := false
	for i, t := range tokens {
		switch t.Type { //nolint:exhaustive // only what bounds documents matters
		case token.DocumentHeaderType:
			if body && !directive {
				cut(i)
			}
			body, directive = true, false
		case token.DocumentEndType:
			cut(i + 1)
		case token.DirectiveType:
			if body && !directive {
				cut(i)
			}
			directive = true
		case token.CommentType:
		default:
			body = true
		}
	}
	cut(len(tokens))
	return docs
}

// tooMuch is the token at which a document becomes too long or too deep, nil
// when it does not.
func tooMuch(doc token.Tokens) (at *token.Token, message string) {
	if len(doc) > maxTokens {
		return doc[maxTokens], fmt.Sprintf("is too large: one document has at most %d tokens", maxTokens)
	}
	flow := 0       // open brackets and braces
	var block []int // columns of open sequences and mappings
	for i, t := range doc {
		column := t.Position.Column
		switch t.Type { //nolint:exhaustive // only what opens and closes a level matters
		case token.SequenceStartType, token.MappingStartType:
			flow++
		case token.SequenceEndType, token.MappingEndType:
			flow = max(0, flow-1)
			continue
		case token.SequenceEntryType, token.MappingKeyType:
			block = nest(block, column, flow)
		case token.MappingValueType:
			if i > 0 {
				column = doc[i-1].Position.Column // the mapping begins at its key
			}
			block = nest(block, column, flow)
		default:
			continue
		}
		if len(block)+flow > maxDepth {
			return t, fmt.Sprintf("is too deep: at most %d levels", maxDepth)
		}
	}
	return nil, ""
}

// nest opens a level at column in block, and closes those that begin there or
// to the right of it. Within brackets columns mean nothing.
func nest(block []int, column, flow int) []int {
	if flow > 0 {
		return block
	}
	for len(block) > 0 && block[len(block)-1] >= column {
		block = block[:len(block)-1]
	}
	return append(block, column)
}

// definedTwice is what the parser says of a key that stands twice.
var definedTwice = regexp.MustCompile(`^mapping key "(.*)" already defined at \[(\d+):\d+\]$`)

// plainly says what the parser found in words for people, and how to mend it.
func plainly(message string) (text, fix string) {
	if m := definedTwice.FindStringSubmatch(message); m != nil {
		return fmt.Sprintf("%q stands twice, first on line %s", m[1], m[2]), "remove one"
	}
	if strings.Contains(message, "'\t'") || strings.Contains(message, "\t") {
		return "there is a tab where the text is indented", "indent with spaces"
	}
	return "this is not valid YAML: " + message, "look at its indentation, quotes and brackets"
}

// safely parses one document.
func safely(file string, doc token.Tokens) (tree *ast.File, problems core.Problems) {
	defer invalid(file, &problems)
	tree, err := parser.Parse(doc, 0)
	if err == nil {
		return tree, nil
	}
	p := core.Problem{File: file, Code: "syntax", Message: err.Error()}
	if e, ok := errors.AsType[yaml.Error](err); ok {
		p.Message, p.Fix = plainly(e.GetMessage())
		p = positioned(p, e.GetToken())
	}
	return nil, core.Problems{p}
}

// positioned is p at t.
func positioned(p core.Problem, t *token.Token) core.Problem {
	if t != nil && t.Position != nil {
		p.Line, p.Column = t.Position.Line, t.Position.Column
	}
	return p
}
