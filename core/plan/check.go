package plan

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/schedule"
)

// Limits of a Check.
const (
	MaxSteps   = 20        // collect steps
	MaxAsserts = 50        // assertions and warnings of a step
	MaxTimeout = time.Hour // of one run
	tryConfigs = 100       // systems that configurations are tried for when a check is saved
	maxLabels  = 64        // tags or labels of one object
	maxLabel   = 128       // bytes of the name of a tag or label
	maxValue   = 1024      // bytes of its value
	maxTitle   = 256       // bytes of a name for people
	maxNote    = 16 << 10  // bytes of free text
)

// checkPlan is a compiled Check.
type checkPlan struct {
	check core.Check
	match *lang.Program // nil without Systems.Match
	steps []*step
}

// step is a compiled collect step.
type step struct {
	core.Collect
	path    string // "collect[0]"
	info    core.CollectorInfo
	schema  *schema
	scope   *lang.Scope
	config  *lang.Value
	special map[string]*lang.Value // by id of System: the configuration with its Override
	asserts []assertion
	broken  core.Why // why it cannot be asked; zero when it can
}

// assertion is a compiled assert or warn expression.
type assertion struct {
	*lang.Program
	warn bool
}

// ValidateCheck reports everything that is wrong with a check, given all
// systems there are. Paths are relative to the check: "collect[0].assert[1]".
func (p *Planner) ValidateCheck(c core.Check, systems []core.System) core.Problems {
	problems := identity(c.ID, c.Name, c.Labels, "labels")
	compiled, bad := p.compile(c)
	problems = append(problems, bad...)
	problems = append(problems, targets(c, systems)...)
	assigned, bad := p.expand(c, systems)
	problems = append(problems, bad...)
	if len(problems) > 0 {
		return dedupe(problems)
	}
	return p.configurations(compiled, assigned)
}

func dedupe(ps core.Problems) core.Problems {
	var out core.Problems
	for _, p := range ps {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// identity checks what all objects have.
func identity(id, name string, labels map[string]string, path string) core.Problems {
	var out core.Problems
	if err := core.CheckName(id); err != nil {
		out = append(out, core.Problem{Path: "id", Code: "name", Message: err.Error()})
	}
	out = append(out, plainText("name", name, maxTitle)...)
	if len(labels) > maxLabels {
		out = append(out, core.Problem{Path: path, Code: "too_many", Message: fmt.Sprintf("there are %d, more than %d", len(labels), maxLabels)})
	}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key == "" || len(key) > maxLabel {
			out = append(out, core.Problem{Path: path, Code: "name", Message: fmt.Sprintf("the name %q must have 1 to %d bytes", clip(key), maxLabel)})
			continue
		}
		out = append(out, plainText(path, key, maxLabel)...)
		out = append(out, plainText(path+"."+key, labels[key], maxValue)...)
	}
	return out
}

// plainText refuses text that is too long, no UTF-8, or has control characters.
func plainText(path, text string, most int) core.Problems {
	switch {
	case len(text) > most:
		return core.Problems{{Path: path, Code: "too_long", Message: fmt.Sprintf("it has %d bytes, more than %d", len(text), most)}}
	case !utf8.ValidString(text):
		return core.Problems{{Path: path, Code: "text", Message: "it is not valid UTF-8"}}
	case strings.ContainsFunc(text, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f }):
		return core.Problems{{Path: path, Code: "text", Message: "it has control characters"}}
	}
	return nil
}

func clip(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// compile makes a plan of a check. The plan is of use in spite of problems: a
// step that has one is broken, and says why when it is run.
func (p *Planner) compile(c core.Check) (*checkPlan, core.Problems) {
	out := &checkPlan{check: c}
	match, problems := p.selector(c.Systems)
	out.match = match
	problems = problems.Under("systems")
	switch {
	case len(c.Collect) == 0:
		problems = append(problems, core.Problem{Path: "collect", Code: "missing", Message: "there is nothing to collect", Fix: "name at least one step with use"})
	case len(c.Collect) > MaxSteps:
		problems = append(problems, core.Problem{Path: "collect", Code: "too_many", Message: fmt.Sprintf("there are %d steps, more than %d", len(c.Collect), MaxSteps)})
	}
	seen := map[string]int{}
	for i, collect := range c.Collect {
		s, bad := p.step(c, collect, i)
		if first, twice := seen[s.ID]; twice {
			bad = append(bad, core.Problem{
				Path: s.path + ".id", Code: "duplicate",
				Message: fmt.Sprintf("steps %d and %d are both called %q", first+1, i+1, s.ID), Fix: "give each an id of its own",
			})
		}
		seen[s.ID] = i
		if len(bad) > 0 && s.broken.IsZero() {
			s.broken = core.Because("config", "the check has a mistake: {problem}", "problem", firstLine(bad[0].Error()))
		}
		out.steps = append(out.steps, s)
		problems = append(problems, bad...)
	}
	for _, system := range slices.Sorted(maps.Keys(c.Overrides)) {
		for _, id := range slices.Sorted(maps.Keys(c.Overrides[system].With)) {
			if _, ok := seen[id]; !ok {
				problems = append(problems, core.Problem{
					Path: "overrides." + system + ".with." + id, Code: "unknown",
					Message: fmt.Sprintf("there is no step %q", id), Fix: meant(id, slices.Collect(maps.Keys(seen))),
				})
			}
		}
	}
	return out, problems
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// selector compiles a selector.
func (p *Planner) selector(sel core.Selector) (*lang.Program, core.Problems) {
	if sel.Match == "" {
		return nil, nil
	}
	match, problems := lang.Compile(p.selects, sel.Match, lang.Bool)
	return match, problems.Under("match")
}

// step compiles one collect step.
func (p *Planner) step(c core.Check, collect core.Collect, i int) (*step, core.Problems) {
	s := &step{Collect: collect, path: fmt.Sprintf("collect[%d]", i)}
	if s.ID == "" {
		s.ID = stepName(collect.Use)
	}
	var problems core.Problems
	if err := core.CheckName(s.ID); err != nil && collect.ID != "" {
		problems = append(problems, core.Problem{Path: s.path + ".id", Code: "name", Message: err.Error()})
	}
	problems = append(problems, sampling(collect, s.path)...)
	var err error
	if collect.Use == "" {
		err = errors.New("use is missing: name a collector, for example http")
	} else {
		s.info, err = p.collectors.Info(collect.Use)
	}
	if err != nil {
		s.broken = core.Because("collector", "{error}", "error", err.Error())
		return s, append(problems, core.Problem{Path: s.path + ".use", Code: "collector", Message: err.Error()})
	}
	if s.schema, err = p.schema(s.info.Schema); err != nil {
		s.broken = core.Because("collector", "the collector {use} describes itself wrongly: {error}", "use", collect.Use, "error", err.Error())
		return s, append(problems, core.Problem{Path: s.path + ".use", Code: "collector", Message: s.broken.Text})
	}
	s.scope = p.assertScope(s.info)
	problems = append(problems, s.conditions()...)
	return s, append(problems, p.with(c, s)...)
}

// sampling checks of which runs a step keeps recordings.
func sampling(c core.Collect, path string) core.Problems {
	_, module := core.ParseModuleUse(c.Use)
	switch c.Sampling {
	case "":
		return nil
	case core.SampleFailures, core.SampleAll, core.SampleNone:
		if module {
			return nil
		}
		return core.Problems{{Path: path + ".sampling", Code: "sampling", Message: fmt.Sprintf("%s cannot be recorded: only modules and scripts can", c.Use), Fix: "remove it"}}
	}
	return core.Problems{{Path: path + ".sampling", Code: "sampling", Message: fmt.Sprintf("%q is not a sampling", c.Sampling), Fix: "write failures, all or none"}}
}

// stepName is the id of a step that has none: the name of its collector,
// without what pins it.
func stepName(use string) string {
	if module, ok := core.ParseModuleUse(use); ok {
		return module.Name
	}
	return use
}

// conditions compiles the assertions and warnings.
func (s *step) conditions() core.Problems {
	var problems core.Problems
	if n := len(s.Assert) + len(s.Warn); n > MaxAsserts {
		return core.Problems{{Path: s.path + ".assert", Code: "too_many", Message: fmt.Sprintf("there are %d assertions and warnings, more than %d", n, MaxAsserts)}}
	}
	for _, list := range []struct {
		name string
		text []string
		warn bool
	}{{"assert", s.Assert, false}, {"warn", s.Warn, true}} {
		for i, text := range list.text {
			program, bad := lang.Compile(s.scope, text, lang.Bool)
			problems = append(problems, bad.Under(fmt.Sprintf("%s.%s[%d]", s.path, list.name, i))...)
			if program != nil {
				s.asserts = append(s.asserts, assertion{program, list.warn})
			}
		}
	}
	return problems
}

// assertScope is what assertions of a collector see.
func (p *Planner) assertScope(info core.CollectorInfo) *lang.Scope {
	vars := map[string]lang.Var{
		"latency": {Type: core.DurationSample, Doc: "how long the target took"},
		"system":  {Example: systemEnv{}, Doc: "the system that was asked for"},
		"check":   {Example: checkEnv{}, Doc: "the check"},
	}
	for _, d := range slices.Concat(info.Samples, info.Facts) {
		vars[d.Name] = lang.Var{Type: cmp.Or(d.Type, core.AnySample), Doc: d.Doc, Unit: d.Unit}
	}
	functions, _ := p.o.Functions()
	return lang.MapScope(vars).WithFuncs(functions)
}

// with compiles the configuration, and once more for each Override of it.
func (p *Planner) with(c core.Check, s *step) core.Problems {
	config, problems := lang.CompileValue(p.configures, anyMap(s.With))
	problems = problems.Under(s.path + ".with")
	s.config = config
	if config != nil {
		problems = append(problems, s.schema.check(anyMap(s.With), config, s.path+".with")...)
	}
	for _, system := range slices.Sorted(maps.Keys(c.Overrides)) {
		with, ok := c.Overrides[system].With[s.ID]
		if !ok {
			continue
		}
		merged := anyMap(s.With)
		maps.Copy(merged, with)
		path := "overrides." + system + ".with." + s.ID
		value, bad := lang.CompileValue(p.configures, merged)
		problems = append(problems, bad.Under(path)...)
		if value == nil {
			continue
		}
		if len(problems) == 0 {
			problems = append(problems, s.schema.check(merged, value, path)...)
		}
		if s.special == nil {
			s.special = map[string]*lang.Value{}
		}
		s.special[system] = value
	}
	return problems
}

func anyMap(m map[string]any) map[string]any {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]any{}
	}
	return out
}

// targets checks which systems a check names.
func targets(c core.Check, systems []core.System) core.Problems {
	known := map[string]bool{}
	for _, s := range systems {
		known[s.ID] = true
	}
	problems := named(c.Systems, known).Under("systems")
	if c.Systems.IsZero() {
		problems = append(problems, core.Problem{Path: "systems", Code: "missing", Message: "it applies to no system", Fix: `list systems by name, or select them: match: 'system.tags.env == "prod"'`})
	}
	for _, id := range slices.Sorted(maps.Keys(c.Overrides)) {
		if !known[id] {
			problems = append(problems, unknownSystem("overrides."+id, id, known))
		}
	}
	return problems
}

// named reports names of a selector that no system has.
func named(sel core.Selector, known map[string]bool) core.Problems {
	var out core.Problems
	for i, id := range sel.Names {
		if !known[id] {
			out = append(out, unknownSystem(fmt.Sprintf("names[%d]", i), id, known))
		}
	}
	return out
}

func unknownSystem(path, id string, known map[string]bool) core.Problem {
	return core.Problem{Path: path, Code: "unknown_system", Message: fmt.Sprintf("there is no system %q", id), Fix: meant(id, slices.Collect(maps.Keys(known)))}
}

// meant suggests the nearest of some names, nothing when none is near.
func meant(written string, names []string) string {
	if near := lang.Nearest(written, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// assigned is an Assignment with what it was made of.
type assigned struct {
	core.Assignment
	system   *core.System
	schedule *schedule.Schedule
	timeout  time.Duration
}

// expand makes the Assignments of a check.
func (p *Planner) expand(c core.Check, systems []core.System) ([]assigned, core.Problems) {
	match, problems := p.selector(c.Systems)
	problems = problems.Under("systems")
	shared, bad := timing(c, core.Override{}, "")
	problems = append(problems, bad...)
	for _, id := range slices.Sorted(maps.Keys(c.Overrides)) {
		_, bad := timing(c, c.Overrides[id], "overrides."+id)
		problems = append(problems, bad...)
	}
	if len(problems) > 0 {
		return nil, dedupe(problems)
	}
	var out []assigned
	for i := range systems {
		s := &systems[i]
		if !picks(c.Systems, match, &selectEnv{System: systemEnvOf(*s)}) {
			continue
		}
		one := shared
		if o, ok := c.Overrides[s.ID]; ok {
			one, _ = timing(c, o, "")
			one.Enabled = one.Enabled && !o.Disabled
		}
		one.ID, one.System, one.system = core.AssignmentID(s.ID, c.ID), s.ID, s
		one.schedule = one.schedule.For(one.ID)
		out = append(out, one)
	}
	return out, nil
}

// picks reports whether a selector picks a system. A selector that cannot be
// evaluated for a system does not pick it.
func picks(sel core.Selector, match *lang.Program, env *selectEnv) bool {
	if slices.Contains(sel.Names, env.System.ID) {
		return true
	}
	if match == nil {
		return false
	}
	ok, err := match.Bool(env)
	return ok && err == nil
}

// timing is what a check and an override say of schedule, timeout and policy.
func timing(c core.Check, o core.Override, under string) (assigned, core.Problems) {
	spec := schedule.Spec{Every: c.Every, Cron: c.Cron, Zone: c.Zone, Active: c.Active, Key: c.ID}
	if o.Every != 0 || o.Cron != "" {
		spec.Every, spec.Cron = o.Every, o.Cron
	}
	policy := merge(c.Policy, o.Policy)
	problems := policy.Validate().Under("policy")
	parsed, err := schedule.Parse(spec)
	if err != nil {
		problem, ok := errors.AsType[core.Problem](err)
		if !ok {
			problem = core.Problem{Path: "every", Code: "schedule", Message: err.Error()}
		}
		return assigned{}, under1(append(problems, problem), under)
	}
	interval := parsed.Interval()
	timeout, bad := deadline(cmp.Or(o.Timeout, c.Timeout), interval)
	problems = append(problems, bad...)
	policy = policy.WithDefaults()
	a := assigned{schedule: parsed, timeout: timeout, Assignment: core.Assignment{
		Check: c.ID, Enabled: !c.Disabled, Interval: core.Duration(interval), Policy: policy,
	}}
	if n := *policy.StaleAfter; n > 0 && len(problems) == 0 {
		// A run may itself take up to its timeout: silence for that long is
		// no news of anything.
		a.StaleAfter = core.Duration(max(time.Duration(n)*interval, interval+timeout))
	}
	return a, under1(problems, under)
}

func under1(ps core.Problems, path string) core.Problems {
	if path == "" {
		return ps
	}
	return ps.Under(path)
}

// deadline is the timeout of a run.
func deadline(asked core.Duration, interval time.Duration) (time.Duration, core.Problems) {
	most := min(interval, MaxTimeout)
	switch {
	case asked == 0:
		return min(core.DefaultTimeout.Std(), most), nil
	case asked < 0:
		return most, core.Problems{{Path: "timeout", Code: "timeout", Message: fmt.Sprintf("%s is negative", asked), Fix: "write for example 10s"}}
	case asked.Std() > most:
		return most, core.Problems{{
			Path: "timeout", Code: "timeout",
			Message: fmt.Sprintf("%s is more than the time between runs, %s", asked, core.Duration(most)), Fix: "lower the timeout or run it less often",
		}}
	}
	return asked.Std(), nil
}

// merge is a policy with the fields that an override sets.
func merge(p core.Policy, o *core.Policy) core.Policy {
	if o == nil {
		return p
	}
	p.Mode = cmp.Or(o.Mode, p.Mode)
	p.Healthy = cmp.Or(o.Healthy, p.Healthy)
	p.Degraded = cmp.Or(o.Degraded, p.Degraded)
	p.Unhealthy = cmp.Or(o.Unhealthy, p.Unhealthy)
	p.Size = cmp.Or(o.Size, p.Size)
	p.ExitDegraded = cmp.Or(o.ExitDegraded, p.ExitDegraded)
	p.ExitUnhealthy = cmp.Or(o.ExitUnhealthy, p.ExitUnhealthy)
	p.StaleAfter = cmp.Or(o.StaleAfter, p.StaleAfter)
	return p
}

// configurations tries the configuration of every step for the first systems:
// what the schema says of it once its texts are filled in, and what the
// collector says.
func (p *Planner) configurations(c *checkPlan, all []assigned) core.Problems {
	var problems core.Problems
	for _, s := range c.steps {
		if s.config.Constant() && len(s.special) == 0 {
			if len(all) > 0 {
				problems = append(problems, p.try(c, s, all[0], false)...)
			}
			continue
		}
		for i, a := range all {
			if i >= tryConfigs {
				break
			}
			if bad := p.try(c, s, a, true); len(bad) > 0 {
				problems = append(problems, bad...)
				break
			}
		}
	}
	return problems
}

func (p *Planner) try(c *checkPlan, s *step, a assigned, name bool) core.Problems {
	value, path := s.config, s.path+".with"
	if special, ok := s.special[a.System]; ok {
		value, path = special, "overrides."+a.System+".with."+s.ID
	}
	problem := func(message string) core.Problems {
		if name {
			message = fmt.Sprintf("for system %s: %s", a.System, message)
		}
		return core.Problems{{Path: path, Code: "config", Message: message}}
	}
	config, err := render(value, c.env(a))
	if err != nil {
		return problem(err.Error())
	}
	if bad := s.schema.check(config, nil, path); len(bad) > 0 {
		if name {
			for i := range bad {
				bad[i].Message = fmt.Sprintf("for system %s: %s", a.System, bad[i].Message)
			}
		}
		return bad
	}
	if len(value.Secrets()) > 0 {
		return nil // the collector wants the values, and those are for runs alone
	}
	if _, err := p.collectors.Prepare(s.Use, a.ID, config); err != nil {
		return problem(err.Error())
	}
	return nil
}

// env is what texts in configurations see for an Assignment.
func (c *checkPlan) env(a assigned) *configEnv {
	return &configEnv{System: systemEnvOf(*a.system), Check: checkEnv{
		ID: c.check.ID, Name: c.check.Label(), Labels: c.check.Labels, IntervalSeconds: a.Interval.Std().Seconds(),
	}}
}

func render(v *lang.Value, env *configEnv) (map[string]any, error) {
	out, err := v.Render(env)
	if err != nil {
		return nil, fmt.Errorf("fill in the configuration: %w", err)
	}
	config, ok := out.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("the configuration is a %T, not a mapping", out)
	}
	return config, nil
}

// Able is c that is enabled or disabled on one system by an override. The error
// is for one that is disabled on every system and cannot be enabled on one.
func Able(c core.Check, system string, enable bool) (core.Check, error) {
	if enable && c.Disabled {
		return c, fmt.Errorf("the check %s is disabled on every system; enable the check itself", c.ID)
	}
	c.Overrides = maps.Clone(c.Overrides)
	if c.Overrides == nil {
		c.Overrides = map[string]core.Override{}
	}
	override := c.Overrides[system]
	override.Disabled = !enable
	c.Overrides[system] = override
	return c, nil
}
