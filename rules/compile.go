package rules

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/rules/action"
)

// Limits of a rule.
const (
	maxSteps  = 50                   // of do and of recover, with the steps in steps
	maxNested = 5                    // levels of steps in steps
	maxWays   = 16                   // of choose and parallel
	maxTimes  = 100                  // of repeat
	maxDone   = 1_000                // steps that one firing can come to
	maxSpan   = 366 * 24 * time.Hour // of any duration in a gate
	maxStep   = 5 * time.Minute      // of one attempt of a step
	maxPause  = 30 * 24 * time.Hour  // of a delay or a wait
)

// Compiler checks rules and makes them ready to decide. It is safe for
// concurrent use.
type Compiler struct {
	base    *scopes // without modules
	selects *lang.Scope
	mutes   *lang.Scope // of the match of silences
	actions map[string]action.Action
	modules Modules // nil when there are none
	lenient bool    // takes every action of a module to be there
	current *atomic.Pointer[scopes]
}

// Modules is what modules add to rules. It can change at any time. It is safe
// for concurrent use.
type Modules interface {
	// Action is the action of a module, "wasm:NAME". The text of the error
	// says what to do.
	Action(name string) (action.Action, error)
	// Actions lists the names of those there are.
	Actions() []string
	// Functions are what expressions can call besides the language's own.
	Functions() []lang.Func
	// Edition is another text whenever one of the others answers otherwise.
	Edition() string
}

// scopes are what expressions of rules see while modules are what they are.
type scopes struct {
	edition string
	event   *lang.Scope
	step    *lang.Scope
}

// NewCompiler makes a Compiler that knows the actions, by the name that steps
// use. Nil actions are those of [action.Known], for checking alone.
func NewCompiler(actions map[string]action.Action) (*Compiler, error) {
	if actions == nil {
		actions = action.Known()
	}
	event, err := lang.StructScope(Env{})
	if err != nil {
		return nil, fmt.Errorf("make the environment of conditions: %w", err)
	}
	step, err := lang.StructScope(StepEnv{})
	if err != nil {
		return nil, fmt.Errorf("make the environment of steps: %w", err)
	}
	selects, err := lang.StructScope(selectEnv{})
	if err != nil {
		return nil, fmt.Errorf("make the environment of selectors: %w", err)
	}
	mutes, err := lang.StructScope(core.Muted{})
	if err != nil {
		return nil, fmt.Errorf("make the environment of silences: %w", err)
	}
	return &Compiler{base: &scopes{event: event, step: step}, selects: selects, mutes: mutes, actions: actions, current: &atomic.Pointer[scopes]{}}, nil
}

// With is c that knows what modules add.
func (c *Compiler) With(m Modules) *Compiler {
	out := *c
	out.modules, out.current = m, &atomic.Pointer[scopes]{}
	return &out
}

// Lenient is c that takes every module to be there and to answer whatever is
// asked of it: for looking at rules where no modules are.
func (c *Compiler) Lenient() *Compiler {
	out := *c
	out.lenient = true
	return &out
}

// someAction is an action of a module of which nothing is known here.
type someAction struct{}

// Check implements [action.Action].
func (someAction) Check(map[string]any) core.Problems { return nil }

// Outputs implements [action.Action].
func (someAction) Outputs() []string { return nil }

// Channel implements [action.Action].
func (someAction) Channel(map[string]any) string { return "" }

// Do implements [action.Action].
func (someAction) Do(context.Context, action.Call) (map[string]any, error) {
	return nil, errors.New("a module runs on a server only")
}

// edition is that of the modules: rules that were compiled under another one
// are compiled anew.
func (c *Compiler) edition() string {
	if c.modules == nil {
		return ""
	}
	return c.modules.Edition()
}

// scopes are those of the present edition.
func (c *Compiler) scopes() *scopes {
	if c.modules == nil {
		return c.base
	}
	edition := c.modules.Edition()
	if s := c.current.Load(); s != nil && s.edition == edition {
		return s
	}
	functions := c.modules.Functions()
	s := &scopes{edition: edition, event: c.base.event.WithFuncs(functions), step: c.base.step.WithFuncs(functions)}
	c.current.Store(s)
	return s
}

// isModule reports whether an action is one of a module.
func isModule(name string) bool { return strings.Contains(name, ":") }

// action finds an action by the name that steps use. The problem has no path.
func (c *Compiler) action(name string) (action.Action, *core.Problem) {
	if a, ok := c.actions[name]; ok {
		return a, nil
	}
	names := slices.Sorted(maps.Keys(c.actions))
	switch {
	case isModule(name) && c.lenient:
		return someAction{}, nil
	case isModule(name) && c.modules == nil:
		return nil, &core.Problem{Code: "step", Message: fmt.Sprintf("%q is the action of a module, and modules are not available here", name), Fix: "a running server knows its modules"}
	case isModule(name):
		a, err := c.modules.Action(name)
		if err != nil {
			return nil, &core.Problem{Code: "step", Message: err.Error()}
		}
		return a, nil
	case c.modules != nil:
		names = append(names, c.modules.Actions()...)
	}
	fix := "there are " + strings.Join(names, " and ")
	if len(names) > 2 {
		fix = "there are " + strings.Join(names, ", ")
	}
	if near := lang.Nearest(name, names); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, &core.Problem{Code: "step", Message: fmt.Sprintf("%q is not an action", name), Fix: fix}
}

// Program is a compiled Rule; immutable and safe for concurrent use.
type Program struct {
	// What each event needs comes first, so that it is close together.
	triggers []trigger
	when     *condition
	while    *condition
	unless   *condition
	by       *lang.Program
	reads    lazy // of by
	muted    *core.MutedRule
	mixed    bool // looks at more than one kind of subject
	timed    bool // one of its conditions could change by time alone
	runs     bool // looks at runs
	gate     gate
	wanted   []equals // what system must be for when to be true

	Rule     core.Rule
	Revision string

	edition string // of the modules that it was compiled with
}

type trigger struct {
	kind    core.Kind
	subject core.SubjectKind
	when    *condition
	bit     kinds
	text    string  // the verdict of the trigger stage
	metric  *metric // of metric alone
}

// condition is a program that gives true or false, and when it could change by
// time alone.
type condition struct {
	*lang.Program
	rule    *core.MutedRule // whose it is
	reads   lazy            // of what is not in every Env
	isTrue  string          // the verdict in words
	isFalse string
	name    string          // what its verdicts call it
	spans   []time.Duration // lengths of time it compares health_for with
	since   bool            // reads health_for
	now     bool            // reads now
	causes  bool            // reads caused_by
	facts   bool            // reads facts of the system
}

// Revision is a hash of the text of r that matters to its gate. Edits that
// keep it keep counts, deadlines and episodes.
func Revision(r core.Rule) string {
	on := slices.Clone(r.On)
	for i := range on {
		if on[i].Subject == "" {
			on[i].Subject = core.OfSystem
		}
	}
	text, err := json.Marshal(struct { //nolint:musttag // hashed, not kept; its fields have tags or are text
		On     []core.Trigger
		When   string
		Gate   core.Gate
		Unless string
	}{on, strings.TrimSpace(r.When), WriteOut(r.Gate), strings.TrimSpace(r.Unless)})
	if err != nil {
		text = []byte(err.Error()) // strings and numbers always marshal
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:4])
}

// Compile checks everything about r that can be known when it is saved. The
// Program is nil when there is any problem. Paths are relative to the rule:
// "on[0].when", "gate.while", "do[1].with.body".
func (c *Compiler) Compile(r core.Rule) (*Program, core.Problems) {
	s := c.scopes()
	b := &builder{c: c, scopes: s, program: &Program{Rule: r, Revision: Revision(r), muted: new(r.Muted()), edition: s.edition}}
	b.identity()
	b.triggers()
	b.conditions()
	b.gate()
	b.all("do", r.Do)
	b.all("recover", r.Recover)
	b.mode()
	if len(b.problems) > 0 {
		return nil, c.offline(b.problems)
	}
	return b.program, nil
}

// offline adds to functions that are not known that a module may have them,
// where no modules are.
func (c *Compiler) offline(problems core.Problems) core.Problems {
	if c.modules != nil {
		return problems
	}
	for i, p := range problems {
		if p.Code == "function" && strings.HasPrefix(p.Message, "there is no function") {
			problems[i].Fix = strings.TrimPrefix(p.Fix+"; ", "; ") + "a function of a module is known to a running server alone"
		}
	}
	return problems
}

// builder collects the parts of a Program and the problems.
type builder struct {
	c        *Compiler
	scopes   *scopes
	program  *Program
	problems core.Problems
}

func (b *builder) bad(path, code, fix, format string, args ...any) {
	b.problems = append(b.problems, core.Problem{Path: path, Code: code, Message: fmt.Sprintf(format, args...), Fix: fix})
}

func (b *builder) identity() {
	if err := core.CheckName(b.program.Rule.ID); err != nil {
		b.bad("id", "name", "", "%v", err)
	}
}

// How many kinds of events there are; the first are of health.
const (
	healthKinds = 6
	kindCount   = 10
)

func eventKinds() [kindCount]core.Kind {
	return [...]core.Kind{
		core.KindChanged, core.KindDegraded, core.KindUnhealthy, core.KindRecovered, core.KindEscalated, core.KindDeescalated,
		core.KindCompleted, core.KindFailed, core.KindError, core.KindMetric,
	}
}

// eventName is what triggers call a kind of event.
func eventName(k core.Kind) string {
	switch k { //nolint:exhaustive // the others are of health
	case core.KindMetric:
		return "metric"
	case core.KindCompleted, core.KindFailed, core.KindError:
		return "run." + string(k)
	}
	return "health." + string(k)
}

// eventKind finds the kind that a trigger names.
func eventKind(name string) (k core.Kind, run, ok bool) {
	for i, known := range eventKinds() {
		if eventName(known) == name {
			return known, i >= healthKinds, true
		}
	}
	return "", false, false
}

func eventNames() []string {
	var out []string
	for _, k := range eventKinds() {
		out = append(out, eventName(k))
	}
	return out
}

func (b *builder) triggers() {
	r := b.program.Rule
	if len(r.On) == 0 {
		b.bad("on", "trigger", "write for example on: health.unhealthy", "the rule looks at nothing")
	}
	kinds := map[core.SubjectKind]bool{}
	for i, on := range r.On {
		path := fmt.Sprintf("on[%d]", i)
		kind, run, ok := eventKind(on.Event)
		if !ok {
			fix := "there are " + strings.Join(eventNames(), ", ")
			if near := lang.Nearest(on.Event, eventNames()); near != "" {
				fix = fmt.Sprintf("did you mean %q?", near)
			}
			b.bad(path+".event", "trigger", fix, "%q is not a trigger", on.Event)
		}
		t := trigger{kind: kind, subject: on.Subject, bit: bit(kind)}
		switch {
		case run && on.Subject != "" && on.Subject != core.OfAssignment:
			b.bad(path+".subject", "trigger", "remove it: a run is of an assignment", "%q has no runs", on.Subject)
		case run:
			t.subject = core.OfAssignment
		case on.Subject == "":
			t.subject = core.OfSystem
		case on.Subject != core.OfSystem && on.Subject != core.OfAssignment && on.Subject != core.OfGroup:
			b.bad(path+".subject", "trigger", "there are system, assignment and group", "%q is not a subject", on.Subject)
		}
		t.text = eventName(kind) + " of " + string(t.subject)
		t.when = b.condition(path+".when", path+".when", on.When)
		b.metric(path, on, &t)
		kinds[t.subject] = true
		b.program.runs = b.program.runs || run
		b.program.triggers = append(b.program.triggers, t)
	}
	b.program.mixed = len(kinds) > 1
}

func (b *builder) conditions() {
	p, r := b.program, b.program.Rule
	defer b.ofRuns()
	p.when = b.condition("when", "when", r.When)
	p.unless = b.condition("unless", "unless", r.Unless)
	p.while = b.condition("gate.while", "while", r.Gate.While)
	p.wanted = wants(r.When)
	if strings.TrimSpace(r.Gate.By) == "" {
		return
	}
	by, problems := lang.Compile(b.scopes.event, r.Gate.By, lang.Any)
	b.problems = append(b.problems, problems.Under("gate.by")...)
	if p.by = by; by != nil {
		p.reads = reads(by)
	}
}

// condition compiles what is at a path; name is what its verdicts call it.
func (b *builder) condition(path, name, source string) *condition {
	if strings.TrimSpace(source) == "" {
		return nil
	}
	program, problems := lang.Compile(b.scopes.event, source, lang.Bool)
	b.problems = append(b.problems, problems.Under(path)...)
	if len(problems) > 0 {
		return nil
	}
	c := &condition{Program: program, rule: b.program.muted, spans: spans(source), isTrue: name + " is true", isFalse: name + " is false", name: name}
	b.program.timed = b.program.timed || c.Timed()
	for _, ref := range program.Refs() {
		head, _, _ := strings.Cut(ref, ".")
		c.since = c.since || head == "health_for"
		c.now = c.now || head == "now"
		c.causes = c.causes || head == "caused_by"
		c.facts = c.facts || head == "system" || head == "caused_by"
	}
	c.reads = reads(program)
	return c
}

// reads are the lazy parts of an Env that a program reads.
func reads(p *lang.Program) lazy {
	var out lazy
	for _, ref := range p.Refs() {
		switch ref {
		case "caused_by":
			out |= causes
		case "in_maintenance", "silenced":
			out |= spells
		}
	}
	return out
}

var durationLiteral = regexp.MustCompile("duration\\(\\s*[\"'`]([^\"'`]+)[\"'`]\\s*\\)")

// spans are the lengths of time that an expression names.
func spans(source string) []time.Duration {
	var out []time.Duration
	for _, m := range durationLiteral.FindAllStringSubmatch(source, -1) {
		if d, err := core.ParseDuration(m[1]); err == nil && d > 0 {
			out = append(out, d.Std())
		}
	}
	return out
}

// changes is the next instant after now at which c could change by time alone,
// of a subject in its health since since; zero for never. Where the text names
// lengths of time these are exact; else it is each minute.
func (c *condition) changes(since, now time.Time) time.Time {
	if c == nil || !c.Timed() {
		return time.Time{}
	}
	var next time.Time
	soonest := func(at time.Time) {
		if at.After(now) && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	if c.since {
		for _, d := range c.spans {
			soonest(since.Add(d))
			soonest(since.Add(d + 1)) // for > as well as >=
		}
		if len(c.spans) == 0 {
			soonest(since.Add(now.Sub(since).Truncate(time.Minute) + time.Minute))
		}
	}
	if c.now {
		soonest(now.Truncate(time.Minute).Add(time.Minute))
	}
	return next
}

func (b *builder) gate() {
	b.preset(b.program.Rule.Gate.Preset)
	g := WriteOut(b.program.Rule.Gate)
	b.span("gate.for", g.For)
	b.span("gate.cooldown", g.Cooldown)
	if w := g.Window; w != nil {
		b.window(*w)
		if g.While != "" && g.For == 0 {
			b.bad("gate.while", "gate", "add for, or remove while", "has no meaning with a window and no for: the window alone decides when it closes")
		}
	}
	b.program.gate = gate{
		rule: b.program.Rule.ID, revision: b.program.Revision, runs: b.program.runs, dwell: g.For.Std(), cooldown: g.Cooldown.Std(),
		window: withDefaults(g.Window), recover: append(core.Named(b.program.Rule.Recover), recoveries(b.program.Rule.Do)...),
	}
	b.program.gate.word()
}

func (b *builder) window(w core.Window) {
	if w.Count < 1 || w.Count > maxCount {
		b.bad("gate.window.count", "gate", fmt.Sprintf("write 1 to %d", maxCount), "%d is not a count of events", w.Count)
	}
	switch {
	case w.Within == 0 && w.Of == 0:
		b.bad("gate.window.within", "gate", "write for example within: 10m, or of: 10", "says in how long, or among how many, the events must happen, and is missing")
	case w.Of < 0 || w.Of > maxOf:
		b.bad("gate.window.of", "gate", fmt.Sprintf("write count to %d", maxOf), "%d is not a number of events", w.Of)
	case w.Of > 0 && w.Of < w.Count:
		b.bad("gate.window.of", "gate", fmt.Sprintf("write %d or more", w.Count), "%d of %d can never match", w.Count, w.Of)
	}
	b.of(w)
	if w.Exit < 0 || w.Exit >= max(w.Count, 1) {
		b.bad("gate.window.exit", "gate", "write 0, or less than count", "%d must be from 0 to count - 1 (%d)", w.Exit, w.Count-1)
	}
	b.span("gate.window.within", w.Within)
	b.span("gate.window.quiet", w.Quiet)
	b.span("gate.window.refire", w.Refire.Each)
	if w.Refire.Each > 0 && w.Refire.Each < core.Duration(time.Second) {
		b.bad("gate.window.refire", "gate", "write 1s or more", "%s is too often", w.Refire.Each)
	}
}

// of checks that a window over the newest events has events to count.
func (b *builder) of(w core.Window) {
	if w.Of == 0 {
		return
	}
	runs := 0
	timed := b.program.when != nil && b.program.when.Timed()
	for _, t := range b.program.triggers {
		timed = timed || t.when != nil && t.when.Timed()
		if t.kind == core.KindMetric {
			b.bad("gate.window.of", "gate", "write on: run.completed, and the threshold in when", "a metric begins once, and is not counted among runs")
			return
		}
		if t.bit >= 1<<healthKinds {
			runs++
		}
	}
	if timed {
		b.bad("gate.window.of", "gate", "write within, or leave now and health_for out of the condition", "an event cannot be counted among the newest by a condition that time alone can change")
	}
	if runs > 0 && runs < len(b.program.triggers) {
		b.bad("gate.window.of", "gate", "write a rule of its own for the runs", "runs and changes of health are not counted together")
	}
}

func (b *builder) span(path string, d core.Duration) {
	switch {
	case d < 0:
		b.bad(path, "gate", "write for example 2m", "%s is negative", d)
	case d.Std() > maxSpan:
		b.bad(path, "gate", "write at most 366d", "%s is too long", d)
	}
}

func (b *builder) mode() {
	r := b.program.Rule
	switch r.Mode {
	case "", modeSingle, modeRestart:
		if r.Max != 0 {
			b.bad("max", "mode", "remove it, or write mode: queued or parallel", "has a meaning in modes queued and parallel only")
		}
	case modeQueued, modeParallel:
		if r.Max < 0 || r.Max > 1000 {
			b.bad("max", "mode", "write 1 to 1000", "%d is out of range", r.Max)
		}
	default:
		b.bad("mode", "mode", "there are single, queued, restart and parallel", "%q is not a mode", r.Mode)
	}
}

// The modes of a rule.
const (
	modeSingle   = "single"
	modeQueued   = "queued"
	modeRestart  = "restart"
	modeParallel = "parallel"
)
