package lang

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/expr-lang/expr/ast"

	"github.com/tocsin-io/tocsin/core"
)

// Want is the type that an expression must have. A part whose type is known
// only when it is evaluated, such as JSON, is let through at compilation and
// checked then.
type Want int

// The values of Want.
const (
	Any    Want = iota // whatever it gives
	Bool               // true or false
	Number             // an integer or a float
	String             // text
)

// Program is a compiled expression.
type Program struct {
	scope  *Scope
	src    *source
	root   ast.Node
	kind   kind
	want   Want
	any    func(*frame) any
	bool   func(*frame) bool // when want is Bool
	refs   []string
	funcs  []string // that the language itself does not have
	timed  bool
	locals int
	frames sync.Pool

	traceOnce sync.Once
	trace     *tracer
}

// Compile checks an expression against a scope and makes it ready to run. The
// problems have line, column, byte range and a snippet with a caret; Path is
// left to the caller. The Program is nil when there is any problem.
func Compile(s *Scope, text string, want Want) (*Program, core.Problems) {
	src := newSource(text)
	return compile(s, src, want)
}

// Source is the text that p was compiled from.
func (p *Program) Source() string { return p.src.expr() }

// Type is the type of its value: bool, int, float, string, duration, time,
// array, map, struct or any.
func (p *Program) Type() string { return p.kind.word() }

// Refs lists the dotted paths of the environment that p reads, sorted:
// "system.tags.env". A member that is computed ends its path.
func (p *Program) Refs() []string { return p.refs }

// Timed reports whether p reads a name that changes by itself as time goes
// by, so that its value can change without any event.
func (p *Program) Timed() bool { return p.timed }

// Error is why an evaluation gave no value.
type Error struct {
	Message string // names the part of the expression that is at fault
	From    int    // first byte of that part in the source
	To      int    // byte after its last
	Limit   bool   // it took too much work: nothing is known of its value
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Eval evaluates p over an environment: a value of the struct of its scope or
// a pointer to one, or a map[string]any. Integers are int64, other numbers
// float64. The error is an [*Error] unless the environment is of a wrong type.
func (p *Program) Eval(env any) (value any, err error) {
	f, err := p.frame(env)
	if err != nil {
		return nil, err
	}
	defer p.done(f, &err)
	v := p.any(f)
	if !p.fits(v) {
		return nil, &Error{Message: fmt.Sprintf("%s is %s, not %s", p.src.expr(), valueKind(v).people(), p.want.people()), From: p.src.base, To: p.src.end}
	}
	return v, nil
}

// Bool evaluates p, which must give true or false, over an environment; see
// [Program.Eval].
func (p *Program) Bool(env any) (value bool, err error) {
	f, err := p.frame(env)
	if err != nil {
		return false, err
	}
	defer p.done(f, &err)
	if p.bool != nil {
		return p.bool(f), nil
	}
	v := p.any(f)
	b, ok := v.(bool)
	if !ok {
		return false, &Error{Message: fmt.Sprintf("%s is %s, not true or false", p.src.expr(), valueKind(v).people()), From: p.src.base, To: p.src.end}
	}
	return b, nil
}

func (w Want) people() string {
	switch w {
	case Bool:
		return "true or false"
	case Number:
		return "a number"
	case String:
		return "text"
	case Any:
	}
	return "a value"
}

func (p *Program) fits(v any) bool {
	switch p.want {
	case Bool:
		return valueKind(v) == kBool
	case Number:
		return valueKind(v).number()
	case String:
		return valueKind(v) == kString
	case Any:
	}
	return true
}

// budget is how many steps one evaluation may take. A step is about ten
// nanoseconds, so that the worst expression ends within tens of milliseconds.
const budget = 500_000

// frame is the state of one evaluation.
type frame struct {
	env    reflect.Value  // of a struct scope
	vars   map[string]any // of a map scope
	locals []any          // of let, by slot
	items  []item         // of the loops around, innermost last
	steps  int            // left
	trace  *trace         // nil unless it is to be explained
}

// item is where a loop is.
type item struct {
	value any
	index int
}

// spend takes n steps, and gives up when there are none left.
func (f *frame) spend(n int, at site) {
	f.steps -= n
	if f.steps < 0 {
		panic(&Error{Message: fmt.Sprintf("%s takes too much work: more than %d steps", brief(at.text), budget), From: at.from, To: at.to, Limit: true})
	}
}

func (p *Program) frame(env any) (*frame, error) {
	f, ok := p.frames.Get().(*frame)
	if !ok {
		f = &frame{locals: make([]any, p.locals)}
	}
	if err := f.enter(p.scope, env); err != nil {
		return nil, err
	}
	f.steps = budget
	return f, nil
}

func (f *frame) enter(s *Scope, env any) error {
	if s.structure == nil {
		switch m := env.(type) {
		case map[string]any:
			f.vars = m
		case core.Samples:
			f.vars = m
		default:
			return fmt.Errorf("evaluate: the environment is a %T, not a map[string]any", env)
		}
		return nil
	}
	v := reflect.ValueOf(env)
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	if !v.IsValid() || v.Type() != s.structure {
		return fmt.Errorf("evaluate: the environment is a %T, not a %s", env, s.structure)
	}
	f.env = v
	return nil
}

// done gives the frame back and turns a fault into an error.
func (p *Program) done(f *frame, err *error) {
	if r := recover(); r != nil {
		*err = p.fault(r)
		return // a frame that was left in the middle is not used again
	}
	f.env, f.vars = reflect.Value{}, nil
	clear(f.locals)
	p.frames.Put(f)
}

func (p *Program) fault(r any) error {
	if e, ok := r.(*Error); ok {
		return e
	}
	return &Error{Message: fmt.Sprintf("%s cannot be evaluated: %v", p.src.expr(), r), From: p.src.base, To: p.src.end}
}

// site is a part of the source, for messages.
type site struct {
	text     string
	from, to int
}

// fail ends the evaluation. The sentence is about the site.
func (s site) fail(format string, args ...any) {
	panic(&Error{Message: fmt.Sprintf(format, args...), From: s.from, To: s.to})
}

// format writes a value for people, as expr would write it but for durations
// and times, which are bare.
func format(v any) string {
	var b strings.Builder
	write(&b, v, 200, true)
	return b.String()
}

// text writes a value into a text: strings are not quoted.
func text(v any, limit int) string {
	if s, ok := v.(string); ok {
		return s
	}
	var b strings.Builder
	write(&b, v, limit, false)
	return b.String()
}

func duration(d time.Duration) string { return core.Duration(d).String() }
