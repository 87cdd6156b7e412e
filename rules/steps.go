package rules

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/rules/action"
)

var stepID = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,63}$`)

// said is what is known of the outputs of a step, or of a name of let.
type said struct {
	fields []string // nil: not known
	types  map[string]core.SampleType
	maybe  bool // it may not have been done
}

// sight is what a step sees of those before it.
type sight struct {
	steps map[string]said
	vars  map[string]said            // of which only maybe means something
	types map[string]core.SampleType // by dotted path
	loop  bool                       // it is in a repeat
}

func (k *sight) clone() *sight {
	return &sight{steps: maps.Clone(k.steps), vars: maps.Clone(k.vars), types: maps.Clone(k.types), loop: k.loop}
}

// join adds what is seen at the end of steps that are within: surely, or maybe.
func (k *sight) join(in *sight, maybe bool) {
	add := func(to, from map[string]said) {
		for id, s := range from {
			if _, known := to[id]; !known {
				s.maybe = s.maybe || maybe
				to[id] = s
			}
		}
	}
	add(k.steps, in.steps)
	add(k.vars, in.vars)
	maps.Copy(k.types, in.types)
}

// census bounds the steps of a rule.
type census struct {
	ids   map[string]bool
	names map[string]bool // of let
	steps int
}

// all checks a whole list of steps, do or recover.
func (b *builder) all(list string, steps []core.Step) {
	t := &census{ids: map[string]bool{}, names: map[string]bool{}}
	for range core.Steps(list, steps) {
		t.steps++
	}
	if t.steps > maxSteps {
		b.bad(list, "step", "make two rules of it", "%d steps are more than %d", t.steps, maxSteps)
		return
	}
	k := &sight{steps: map[string]said{}, vars: map[string]said{}, types: map[string]core.SampleType{}}
	if n := b.list(list, core.Named(steps), k, t, 0); n > maxDone {
		b.bad(list, "step", "let repeats have fewer times", "it can come to %d steps, more than %d", n, maxDone)
	}
}

// list checks steps that are done in order, adds what they say to k, and
// returns how many steps they can come to.
func (b *builder) list(path string, steps []core.Step, k *sight, t *census, depth int) int {
	if depth > maxNested {
		b.bad(path, "step", "", "steps are nested more than %d levels deep", maxNested)
		return 0
	}
	n := 0
	for i := range steps {
		s, at := &steps[i], fmt.Sprintf("%s[%d]", path, i)
		switch {
		case !stepID.MatchString(s.ID):
			b.bad(at+".id", "step", "write letters, digits and '_', not beginning with a digit", "%q is not the id of a step", s.ID)
		case t.ids[s.ID]:
			b.bad(at+".id", "step", "give it another id", "another step before it has the id %q", s.ID)
		}
		t.ids[s.ID] = true
		b.bounds(at, s)
		before := len(b.problems)
		n += b.step(at, s, k, t, depth)
		if len(b.problems) > before && s.Action == "" { // what it would have said is seen nonetheless
			for _, in := range core.Steps(at, []core.Step{*s}) {
				if _, known := k.steps[in.ID]; !known {
					k.steps[in.ID] = said{}
				}
			}
		}
	}
	return n
}

func (b *builder) bounds(path string, s *core.Step) {
	if s.Timeout < 0 || s.Timeout.Std() > maxStep {
		b.bad(path+".timeout", "step", "write at most 5m", "%s is out of range", s.Timeout)
	}
	if s.Retry.Max < 0 || s.Retry.Max > 100 {
		b.bad(path+".retry.max", "step", "write 1 to 100", "%d is out of range", s.Retry.Max)
	}
	if s.Retry.Backoff < 0 || s.Retry.Backoff.Std() > time.Hour {
		b.bad(path+".retry.backoff", "step", "write at most 1h", "%s is out of range", s.Retry.Backoff)
	}
}

// step checks one step and adds what it says to k.
func (b *builder) step(path string, s *core.Step, k *sight, t *census, depth int) int {
	if !b.single(path, s) {
		return 1
	}
	if s.If != "" {
		b.expr(path+".if", s.If, lang.Bool, k)
	}
	maybe := s.If != "" && s.Then == nil || s.ContinueOnError
	if s.Action != "" {
		b.acts(path, s, k, maybe)
		return 1
	}
	if s.Timeout != 0 || s.Retry != (core.Retry{}) {
		b.bad(path, "step", "give it to the steps that send something", "timeout and retry have no meaning for %s", s.Kind())
	}
	in := k.clone()
	n := 1 + b.flow(path, s, in, t, depth)
	k.join(in, maybe)
	fields, types := flowOutput(s)
	k.say(s.ID, said{fields: fields, types: types, maybe: maybe})
	return n
}

func (k *sight) say(id string, s said) {
	k.steps[id] = s
	for field, t := range s.types {
		k.types["steps."+id+"."+field] = t
	}
}

// flowOutput is what a step of flow says.
func flowOutput(s *core.Step) ([]string, map[string]core.SampleType) {
	switch s.Kind() {
	case "if", "choose":
		return []string{"taken"}, map[string]core.SampleType{"taken": core.StringSample}
	case "repeat":
		if s.Repeat.While == "" && s.Repeat.Until == "" {
			return []string{"count"}, map[string]core.SampleType{"count": core.IntegerSample}
		}
	case "wait":
		return []string{"outcome", "waited"}, map[string]core.SampleType{"outcome": core.StringSample, "waited": core.DurationSample}
	}
	return []string{}, nil
}

// single checks that a step does one thing.
func (b *builder) single(path string, s *core.Step) bool {
	var does []string
	for _, one := range []struct {
		kind string
		is   bool
	}{
		{s.Action, s.Action != ""},
		{"then", s.Then != nil},
		{"choose", s.Choose != nil},
		{"parallel", s.Parallel != nil},
		{"repeat", s.Repeat != nil},
		{"delay", s.Delay != 0},
		{"wait", s.Wait != nil},
		{"let", s.Let != nil},
		{"stop", s.Stop != nil},
	} {
		if one.is {
			does = append(does, one.kind)
		}
	}
	switch {
	case len(does) == 0 && s.If != "":
		b.bad(path, "step", "write then: and steps, or an action beside if", "it says what must be true and not what to do then")
	case len(does) == 0:
		b.bad(path, "step", "for example log: {message: ...}, or wait: {until: ..., timeout: 1h}", "a step must say what to do")
	case len(does) > 1:
		b.bad(path, "step", "make two steps of it", "a step does one thing, this one has %s", strings.Join(does, " and "))
	case s.Else != nil && s.Then == nil && s.Choose == nil:
		b.bad(path+".else", "step", "write if: with then:, or choose:", "stands beside neither then nor choose")
	case s.Then != nil && strings.TrimSpace(s.If) == "":
		b.bad(path, "step", "write if: and a condition", "then has no if")
	case s.Action == "" && s.With != nil:
		b.bad(path+".with", "step", "remove it", "belongs to an action")
	default:
		return true
	}
	return false
}

// acts checks a step that carries out an action.
func (b *builder) acts(path string, s *core.Step, k *sight, maybe bool) {
	a, problem := b.c.action(s.Action)
	if problem != nil {
		if near := lang.Nearest(s.Action, flowWords()); near != "" {
			problem.Fix = fmt.Sprintf("did you mean %q?", near)
		}
		b.problems = append(b.problems, core.Problems{*problem}.Under(path+".action")...)
		k.say(s.ID, said{maybe: maybe})
		return
	}
	b.problems = append(b.problems, a.Check(s.With).Under(path+".with")...)
	if s.With != nil {
		v, problems := lang.CompileValue(b.scopes.step.WithTypes(k.types), s.With)
		b.problems = append(b.problems, problems.Under(path+".with")...)
		if v != nil {
			b.seen(path+".with", v.Refs(), texts(s.With, nil), k)
		}
	}
	k.say(s.ID, saidBy(a, maybe))
}

func flowWords() []string {
	return []string{"if", "then", "choose", "parallel", "repeat", "delay", "wait", "let", "stop"}
}

// saidBy is what is known of the outputs of an action.
func saidBy(a action.Action, maybe bool) said {
	out := said{fields: a.Outputs(), maybe: maybe}
	if typed, ok := a.(action.Typed); ok {
		out.types = typed.Types()
	}
	return out
}

// texts are the texts in a configuration.
func texts(v any, out []string) []string {
	switch x := v.(type) {
	case string:
		out = append(out, x)
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(x)) {
			out = texts(x[key], out)
		}
	case []any:
		for _, item := range x {
			out = texts(item, out)
		}
	}
	return out
}

// expr checks an expression of a step; nil when it has problems.
func (b *builder) expr(path, source string, want lang.Want, k *sight) *lang.Program {
	p, problems := lang.Compile(b.scopes.step.WithTypes(k.types), source, want)
	b.problems = append(b.problems, problems.Under(path)...)
	if p == nil || !b.seen(path, p.Refs(), []string{source}, k) {
		return nil
	}
	return p
}

// seen checks that references to steps, vars and repeat name what is before
// them. What may not have been done must be asked for with "?.".
func (b *builder) seen(path string, refs, sources []string, k *sight) bool {
	before := len(b.problems)
	for _, ref := range refs {
		parts := strings.Split(ref, ".")
		switch {
		case parts[0] == "repeat" && !k.loop:
			b.bad(path, "step", "it is known in the steps of a repeat", "%s: no repeat is around this step", ref)
		case len(parts) < 2:
		case parts[0] == "vars":
			b.named(path, ref, parts, sources, k)
		case parts[0] == "steps":
			b.output(path, ref, parts, sources, k)
		}
	}
	return len(b.problems) == before
}

// named checks a reference to a name of a let.
func (b *builder) named(path, ref string, parts, sources []string, k *sight) {
	v, ok := k.vars[parts[1]]
	if !ok {
		b.bad(path, "step", among(parts[1], slices.Sorted(maps.Keys(k.vars)), "no let is before it", "the names before it are "), "%s: no let before this step names %q", ref, parts[1])
		return
	}
	if v.maybe && !slices.ContainsFunc(sources, func(s string) bool { return asked(s, "vars", parts[1]) }) {
		b.bad(path, "step", fmt.Sprintf("write for example vars.%s ?? \"\"", parts[1]), "%s may not have been named: its let is not always done", ref)
	}
}

// output checks a reference to the output of a step.
func (b *builder) output(path, ref string, parts, sources []string, k *sight) {
	s, ok := k.steps[parts[1]]
	if !ok {
		b.bad(path, "step", among(parts[1], slices.Sorted(maps.Keys(k.steps)), "no step is before it", "the steps before it are "), "%s: no step before this one has the id %q", ref, parts[1])
		return
	}
	if len(parts) < 3 {
		return
	}
	if s.fields != nil && !slices.Contains(s.fields, parts[2]) {
		b.bad(path, "step", among(parts[2], s.fields, "it has none", "there are "), "%s: the output of the step has no field %q", ref, parts[2])
		return
	}
	if s.maybe && slices.ContainsFunc(sources, func(s string) bool { return careless(s, parts[1]) }) {
		b.bad(path, "step", fmt.Sprintf("write steps.%s?.%s, which is null then", parts[1], strings.Join(parts[2:], ".")), "%s may not have been done, or have failed", "steps."+parts[1])
	}
}

// among is what to suggest for a name that is none of those known.
func among(name string, known []string, none, some string) string {
	if near := lang.Nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return none
	}
	return some + strings.Join(known, ", ")
}

// careless reports whether a source reads a field of a step as if the step had
// surely been done.
func careless(source, id string) bool {
	return regexp.MustCompile(`\bsteps\??\.` + regexp.QuoteMeta(id) + `\s*(\.|\[)`).MatchString(source)
}

// asked reports whether a source reads a name and says what it is without.
func asked(source, of, name string) bool {
	return regexp.MustCompile(`\b` + of + `\??\.` + regexp.QuoteMeta(name) + `\b\s*(\?\?|\?\.|==\s*nil|!=\s*nil)`).MatchString(source)
}

// flow checks a step of flow, adds what is said in it to k, and returns how
// many steps are in it at most.
func (b *builder) flow(path string, s *core.Step, k *sight, t *census, depth int) int {
	switch s.Kind() {
	case "if":
		return b.ways(path, [][]core.Step{s.Then, s.Else}, []string{".then", ".else"}, k, t, depth)
	case "choose":
		return b.choose(path, s, k, t, depth)
	case "parallel":
		return b.parallel(path, s, k, t, depth)
	case "repeat":
		return b.repeat(path, s.Repeat, k, t, depth)
	case "delay":
		b.pause(path+".delay", s.Delay)
	case "wait":
		b.wait(path+".wait", s.Wait, k)
	case "let":
		b.let(path+".let", s.Let, k, t)
	case "stop":
		text, problems := lang.CompileText(b.scopes.step.WithTypes(k.types), s.Stop.Reason)
		b.problems = append(b.problems, problems.Under(path+".stop.reason")...)
		if text != nil {
			b.seen(path+".stop.reason", text.Refs(), []string{s.Stop.Reason}, k)
		}
	}
	return 0
}

// ways checks lists of steps of which one is done.
func (b *builder) ways(path string, lists [][]core.Step, names []string, k *sight, t *census, depth int) int {
	most := 0
	before := k.clone()
	for i, list := range lists {
		in := before.clone()
		most = max(most, b.list(path+names[i], list, in, t, depth+1))
		k.join(in, true)
	}
	return most
}

func (b *builder) choose(path string, s *core.Step, k *sight, t *census, depth int) int {
	if len(s.Choose) == 0 || len(s.Choose) > maxWays {
		b.bad(path+".choose", "step", fmt.Sprintf("write 1 to %d", maxWays), "%d choices are out of range", len(s.Choose))
	}
	var lists [][]core.Step
	var names []string
	for i, c := range s.Choose {
		at := fmt.Sprintf("%s.choose[%d]", path, i)
		if strings.TrimSpace(c.When) == "" {
			b.bad(at+".when", "step", "write a condition; what is done otherwise is written as else:", "is missing")
		} else {
			b.expr(at+".when", c.When, lang.Bool, k)
		}
		lists, names = append(lists, c.Then), append(names, fmt.Sprintf(".choose[%d].then", i))
	}
	return b.ways(path, append(lists, s.Else), append(names, ".else"), k, t, depth)
}

func (b *builder) parallel(path string, s *core.Step, k *sight, t *census, depth int) int {
	if len(s.Parallel) == 0 || len(s.Parallel) > maxWays {
		b.bad(path+".parallel", "step", fmt.Sprintf("write 1 to %d", maxWays), "%d branches are out of range", len(s.Parallel))
	}
	n := 0
	before := k.clone()
	for i, list := range s.Parallel {
		in := before.clone()
		n += b.list(fmt.Sprintf("%s.parallel[%d]", path, i), list, in, t, depth+1)
		k.join(in, false)
	}
	return n
}

func (b *builder) repeat(path string, r *core.Repeat, k *sight, t *census, depth int) int {
	path += ".repeat"
	var how []string
	for _, one := range []struct {
		name string
		is   bool
	}{{"times", r.Times != 0}, {"for_each", r.ForEach != ""}, {"while", r.While != ""}, {"until", r.Until != ""}} {
		if one.is {
			how = append(how, one.name)
		}
	}
	if len(how) != 1 {
		b.bad(path, "step", "write one of times, for_each, while and until", "how often it is to be done is said %d times", len(how))
	}
	switch {
	case r.Times < 0 || r.Times > maxTimes:
		b.bad(path+".times", "step", fmt.Sprintf("write 1 to %d", maxTimes), "%d is out of range", r.Times)
	case r.Max < 0 || r.Max > maxTimes:
		b.bad(path+".max", "step", fmt.Sprintf("write 1 to %d", maxTimes), "%d is out of range", r.Max)
	case r.Times > 0 && r.Max > 0:
		b.bad(path+".max", "step", "remove it", "has no meaning beside times")
	}
	if len(r.Do) == 0 {
		b.bad(path+".do", "step", "write do: and steps", "there is nothing to repeat")
	}
	if r.ForEach != "" {
		if p := b.expr(path+".for_each", r.ForEach, lang.Any, k); p != nil && p.Type() != "array" && p.Type() != "any" {
			b.bad(path+".for_each", "step", "", "is not a list: it is of type %s", p.Type())
		}
	}
	in := k.clone()
	in.loop = true
	n := b.list(path+".do", r.Do, in, t, depth+1)
	if r.While != "" {
		after := k.clone()
		after.loop = true
		after.join(in, true)
		b.expr(path+".while", r.While, lang.Bool, after)
	}
	if r.Until != "" {
		b.expr(path+".until", r.Until, lang.Bool, in)
	}
	k.join(in, r.Times == 0 && r.Until == "")
	return min(most(r), maxTimes) * (n + 1)
}

func (b *builder) pause(path string, d core.Duration) {
	if d <= 0 || d.Std() > maxPause {
		b.bad(path, "step", "write a duration of at most 30d, for example 5m", "%s is out of range", d)
	}
}

func (b *builder) wait(path string, w *core.Wait, k *sight) {
	if strings.TrimSpace(w.Until) == "" {
		b.bad(path+".until", "step", `write for example until: 'health == "healthy"'`, "is missing")
	} else {
		b.expr(path+".until", w.Until, lang.Bool, k)
	}
	if w.Timeout == 0 {
		b.bad(path+".timeout", "step", "write for example timeout: 4h", "is missing: a wait ends at some time")
	} else {
		b.pause(path+".timeout", w.Timeout)
	}
	if w.For < 0 || w.For > w.Timeout && w.Timeout > 0 {
		b.bad(path+".for", "step", "write at most what timeout says", "%s is out of range", w.For)
	}
}

// sampleOf is the type of an expression as types of samples have it.
func sampleOf(kind string) core.SampleType {
	switch kind {
	case "bool":
		return core.BoolSample
	case "int":
		return core.IntegerSample
	case "float":
		return core.NumberSample
	case "string":
		return core.StringSample
	case "duration":
		return core.DurationSample
	case "time":
		return core.TimeSample
	}
	return core.AnySample
}

func (b *builder) let(path string, names map[string]string, k *sight, t *census) {
	if len(names) == 0 {
		b.bad(path, "step", "write for example let: {count: len(caused_by)}", "names nothing")
	}
	before := k.clone() // the names of one let do not see each other
	for _, name := range slices.Sorted(maps.Keys(names)) {
		at := path + "." + name
		switch {
		case !stepID.MatchString(name):
			b.bad(at, "step", "write letters, digits and '_', not beginning with a digit", "%q is not a name", name)
		case t.names[name]:
			b.bad(at, "step", "give it another name", "another let before it has the name %q", name)
		}
		t.names[name] = true
		k.vars[name] = said{}
		if p := b.expr(at, names[name], lang.Any, before); p != nil {
			k.types["vars."+name] = sampleOf(p.Type())
		}
	}
}
