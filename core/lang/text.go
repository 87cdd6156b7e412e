package lang

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Text is plain text with ${expr} holes, compiled.
type Text struct {
	source string
	pieces []piece
}

// piece is literal text or a hole.
type piece struct {
	literal string
	hole    *Program
}

// MaxRendered bounds what a [Text] may become, in bytes.
const MaxRendered = 1 << 20

var mustache = regexp.MustCompile(`\{\{-?\s*[.$]?[A-Za-z_][\w.]*\s*-?\}\}`)

// CompileText compiles plain text with ${expr} holes; \${ stands for ${ itself.
// Holes may be of any type. Positions in problems are those of the whole text.
func CompileText(s *Scope, source string) (*Text, core.Problems) {
	t := &Text{source: source}
	whole := newHole(source, 0, 0)
	if at := mustache.FindStringIndex(source); at != nil {
		inside := strings.Trim(source[at[0]:at[1]], "{}-. ")
		whole.end = len(source)
		return nil, core.Problems{whole.problem("template_braces", at[0], at[1], "{{ }} has no meaning here", "write ${"+inside+"}")}
	}
	if len(source) > MaxRendered {
		return nil, core.Problems{{Code: "too_long", Message: fmt.Sprintf("the text has %d bytes, more than %d", len(source), MaxRendered)}}
	}
	var problems core.Problems
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t.pieces = append(t.pieces, piece{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(source); {
		switch {
		case strings.HasPrefix(source[i:], `\${`):
			literal.WriteString("${")
			i += 3
		case strings.HasPrefix(source[i:], "${"):
			end := closing(source, i+2)
			if end < 0 {
				whole.end = len(source)
				return nil, append(problems, whole.problem("syntax", i, i+2, "${ is not closed", `end the expression with }, or write \${ for the characters themselves`))
			}
			flush()
			p, bad := compile(s, newHole(source, i+2, end), Any)
			problems = append(problems, bad...)
			t.pieces = append(t.pieces, piece{hole: p})
			i = end + 1
		default:
			literal.WriteByte(source[i])
			i++
		}
	}
	flush()
	if len(problems) > 0 {
		return nil, problems
	}
	return t, nil
}

// closing finds the } of a hole, past braces and literals within it; -1 when
// there is none.
func closing(source string, from int) int {
	depth := 0
	var quote byte
	for i := from; i < len(source); i++ {
		c := source[i]
		switch {
		case quote != 0:
			if c == '\\' && quote != '`' {
				i++
			} else if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'' || c == '`':
			quote = c
		case c == '{':
			depth++
		case c == '}':
			if depth == 0 {
				return i
			}
			depth--
		}
	}
	return -1
}

// Source is the text that t was compiled from.
func (t *Text) Source() string { return t.source }

// Render fills the holes from an environment, as [Program.Eval] takes it.
// Texts stand as they are, durations as 1m30s, times in RFC 3339 and lists and
// maps as JSON. A hole that is null after ?. is empty.
func (t *Text) Render(env any) (string, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		if p.hole == nil {
			b.WriteString(p.literal)
		} else {
			v, err := p.hole.Eval(env)
			if err != nil {
				return "", fmt.Errorf("${%s}: %w", p.hole.Source(), err)
			}
			if !isNil(v) {
				b.WriteString(text(v, MaxRendered))
			}
		}
		if b.Len() > MaxRendered {
			return "", fmt.Errorf("the text becomes longer than %d bytes", MaxRendered)
		}
	}
	return b.String(), nil
}

// Constant is the text of t when it has no hole.
func (t *Text) Constant() (string, bool) {
	switch {
	case len(t.pieces) == 0:
		return "", true
	case len(t.pieces) == 1 && t.pieces[0].hole == nil:
		return t.pieces[0].literal, true
	}
	return "", false
}

// Refs lists the paths that the holes read, sorted; see [Program.Refs].
func (t *Text) Refs() []string {
	paths := map[string]bool{}
	for _, p := range t.pieces {
		if p.hole != nil {
			for _, path := range p.hole.Refs() {
				paths[path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// Timed reports whether a hole is timed; see [Program.Timed].
func (t *Text) Timed() bool {
	return slices.ContainsFunc(t.pieces, func(p piece) bool { return p.hole != nil && p.hole.Timed() })
}

// Value is a configuration with holes in its texts, compiled: what JSON and
// YAML can hold.
type Value struct {
	render  func(env any) (any, error)
	secrets []string
	refs    []string
	fixed   bool
}

// maxValueDepth bounds the nesting of a value.
const maxValueDepth = 64

// CompileValue compiles every text within maps and lists, as [CompileText]
// does. A text that is one hole and nothing else keeps the type of its value.
// A map {secret: name} is a reference to a secret: it is left as it is, never
// rendered, and named by Secrets. The Path of a problem is the place within v.
func CompileValue(s *Scope, v any) (*Value, core.Problems) {
	out := &Value{fixed: true}
	render, problems := out.compile(s, v, 0)
	if len(problems) > 0 {
		return nil, problems
	}
	out.render = render
	slices.Sort(out.secrets)
	out.secrets = slices.Compact(out.secrets)
	slices.Sort(out.refs)
	out.refs = slices.Compact(out.refs)
	return out, nil
}

// SecretRef reports whether a value is a reference to a secret, the map
// {secret: name}, and its name.
func SecretRef(v any) (name string, ok bool) { return core.SecretRef(v) }

// Render fills the holes from an environment, as [Program.Eval] takes it. Maps
// and lists are made anew.
func (v *Value) Render(env any) (any, error) { return v.render(env) }

// Secrets lists the names of the secrets that the value refers to, sorted.
func (v *Value) Secrets() []string { return v.secrets }

// Refs lists the paths that the holes read, sorted; see [Program.Refs].
func (v *Value) Refs() []string { return v.refs }

// Constant reports whether there is no hole.
func (v *Value) Constant() bool { return v.fixed }

func (v *Value) compile(s *Scope, in any, depth int) (func(any) (any, error), core.Problems) {
	if depth > maxValueDepth {
		return nil, core.Problems{{Code: "too_complex", Message: fmt.Sprintf("nested deeper than %d levels", maxValueDepth)}}
	}
	if name, ok := SecretRef(in); ok {
		v.secrets = append(v.secrets, name)
		return func(any) (any, error) { return map[string]any{"secret": name}, nil }, nil
	}
	switch x := in.(type) {
	case string:
		return v.text(s, x)
	case map[string]any:
		return v.object(s, x, depth)
	case []any:
		return v.list(s, x, depth)
	}
	return func(any) (any, error) { return in, nil }, nil
}

func (v *Value) text(s *Scope, source string) (func(any) (any, error), core.Problems) {
	t, problems := CompileText(s, source)
	if len(problems) > 0 {
		return nil, problems
	}
	if constant, ok := t.Constant(); ok {
		return func(any) (any, error) { return constant, nil }, nil
	}
	v.fixed = false
	v.refs = append(v.refs, t.Refs()...)
	if len(t.pieces) == 1 {
		hole := t.pieces[0].hole
		return func(env any) (any, error) {
			out, err := hole.Eval(env)
			if err != nil {
				return nil, fmt.Errorf("${%s}: %w", hole.Source(), err)
			}
			return export(out), nil
		}, nil
	}
	return func(env any) (any, error) { return t.Render(env) }, nil
}

// export writes durations and times as texts, as JSON has no such types.
func export(v any) any {
	switch x := v.(type) {
	case time.Duration:
		return duration(x)
	case time.Time:
		return x.Format(time.RFC3339Nano)
	case broken:
		return nil
	}
	return v
}

func (v *Value) object(s *Scope, in map[string]any, depth int) (func(any) (any, error), core.Problems) {
	var problems core.Problems
	parts := make(map[string]func(any) (any, error), len(in))
	for _, key := range slices.Sorted(maps.Keys(in)) {
		part, bad := v.compile(s, in[key], depth+1)
		problems = append(problems, bad.Under(key)...)
		parts[key] = part
	}
	return func(env any) (any, error) {
		out := make(map[string]any, len(parts))
		for key, part := range parts {
			value, err := part(env)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", key, err)
			}
			out[key] = value
		}
		return out, nil
	}, problems
}

func (v *Value) list(s *Scope, in []any, depth int) (func(any) (any, error), core.Problems) {
	var problems core.Problems
	parts := make([]func(any) (any, error), len(in))
	for i, element := range in {
		part, bad := v.compile(s, element, depth+1)
		problems = append(problems, bad.Under(fmt.Sprintf("[%d]", i))...)
		parts[i] = part
	}
	return func(env any) (any, error) {
		out := make([]any, len(parts))
		for i, part := range parts {
			value, err := part(env)
			if err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
			out[i] = value
		}
		return out, nil
	}, problems
}
