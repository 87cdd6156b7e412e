package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/lang"
)

// Tasks makes the tasks of all enabled Assignments of checks, in no order. A
// step that cannot be prepared makes runs with Outcome Error and the reason. A
// check whose schedule or selector does not compile any more has no tasks; see
// [Planner.Expand] for why.
func (p *Planner) Tasks(checks []core.Check, systems []core.System) []engine.Task {
	var out []engine.Task
	_, edition := p.o.Functions()
	for _, c := range checks {
		all, bad := p.expand(c, systems)
		if len(bad) > 0 {
			continue
		}
		compiled, _ := p.compile(c) // a step with a problem says so when it runs
		revision := revision(c, edition)
		for _, a := range all {
			if a.Enabled {
				out = append(out, p.task(compiled, a, revision))
			}
		}
	}
	return out
}

// revision is a hash of what a check is and, when it has assertions, of the
// functions that they can call.
func revision(c core.Check, edition string) []byte {
	h := sha256.New()
	if slices.ContainsFunc(c.Collect, func(s core.Collect) bool { return len(s.Assert)+len(s.Warn) > 0 }) {
		fmt.Fprintf(h, "%s\n", edition)
	}
	if err := json.NewEncoder(h).Encode(c); err != nil {
		fmt.Fprintf(h, "%v", err) // what came out of JSON goes back into it
	}
	return h.Sum(nil)
}

func (p *Planner) task(c *checkPlan, a assigned, revision []byte) engine.Task {
	t := &task{planner: p, plan: c, id: a.ID, env: c.env(a), steps: make([]prepared, len(c.steps))}
	t.rc = core.RunContext{
		Check:  core.CheckRef{ID: c.check.ID, Name: c.check.Label(), IntervalSeconds: t.env.Check.IntervalSeconds},
		System: a.system.Ref(),
	}
	host := ""
	for i, s := range c.steps {
		t.steps[i] = prepared{step: s, owner: t}
		t.steps[i].render(a.System)
		if host == "" {
			host = hostOf(t.steps[i].config)
		}
	}
	h := sha256.New()
	h.Write(revision)
	for _, s := range c.steps { // what the collectors are
		fmt.Fprintf(h, "%s=%s\n", s.Use, p.o.Revision(s.Use, a.ID))
	}
	if err := json.NewEncoder(h).Encode(struct {
		System  core.SystemRef `json:"system"`
		Groups  []string       `json:"groups"`
		Timeout time.Duration  `json:"timeout"`
	}{t.rc.System, a.system.Groups, a.timeout}); err != nil {
		fmt.Fprintf(h, "%v", err)
	}
	return engine.Task{
		ID: a.ID, Revision: hex.EncodeToString(h.Sum(nil)[:12]), Schedule: a.schedule, Timeout: a.timeout,
		StaleAfter: a.StaleAfter.Std(), Host: host, Collect: t.run,
	}
}

// hostOf is the host that a configuration points at, "" when it names none. The
// port belongs to it: another one is another service, which may be well when
// this one is not.
func hostOf(config map[string]any) string {
	for _, key := range []string{"url", "address", "host"} {
		text, ok := config[key].(string)
		if !ok || text == "" {
			continue
		}
		if u, err := url.Parse(text); err == nil && u.Host != "" {
			return strings.ToLower(u.Host)
		}
		return strings.ToLower(text)
	}
	return ""
}

// task is what makes the runs of one Assignment.
type task struct {
	planner *Planner
	plan    *checkPlan
	id      string // of the Assignment
	env     *configEnv
	rc      core.RunContext
	steps   []prepared
}

// prepared is a collect step of one Assignment.
type prepared struct {
	*step
	owner     *task
	config    map[string]any // with references to secrets as they are
	secrets   bool
	broken    core.Why
	collector atomic.Pointer[Collector] // prepared, unless there are secrets
}

// render fills in the configuration.
func (s *prepared) render(system string) {
	s.broken = s.step.broken
	value := s.step.config
	if special, ok := s.special[system]; ok {
		value = special
	}
	if value == nil || !s.broken.IsZero() {
		return
	}
	config, err := render(value, s.owner.env)
	if err != nil {
		s.broken = core.Because("config", "{error}", "error", err.Error())
		return
	}
	if strings.Contains(s.Use, ":") { // what is built in knows its defaults, and tells them from what was written
		config = s.schema.fill(config)
	}
	s.config, s.secrets = config, len(value.Secrets()) > 0
}

// run makes one run: all steps side by side, then one verdict.
func (t *task) run(ctx context.Context, run *core.Run) {
	results := make([]outcome, len(t.steps))
	if len(t.steps) == 1 {
		results[0] = t.steps[0].collect(ctx)
	} else {
		var wg sync.WaitGroup
		for i := range t.steps {
			wg.Go(func() { results[i] = t.steps[i].collect(ctx) })
		}
		wg.Wait()
	}
	verdict(run, results)
	t.sample(run)
}

// sample drops the recordings that the steps do not ask to keep. The steps
// of run are in the order of those of t.
func (t *task) sample(run *core.Run) {
	for i := range run.Steps {
		rec := run.Steps[i].Recording
		if rec == nil {
			continue
		}
		how := t.steps[i].Sampling
		if rec.Cut || how == core.SampleNone || how != core.SampleAll && run.Outcome == core.Pass {
			run.Steps[i].Recording = nil
			continue
		}
		t.planner.maskRecording(rec)
	}
}

// outcome is what became of one step.
type outcome struct {
	core.StepResult
	latency time.Duration
	samples core.Samples
}

// verdict makes the run of the steps: the worst outcome, with its reason.
func verdict(run *core.Run, results []outcome) {
	several := len(results) > 1
	run.Outcome, run.Why, run.Latency, run.Samples = core.Pass, core.Why{}, 0, nil
	run.Steps = make([]core.StepResult, 0, len(results))
	var summaries []string
	for _, r := range results {
		run.Steps = append(run.Steps, r.StepResult)
		if worse := core.Worse(run.Outcome, r.Outcome); worse != run.Outcome {
			run.Outcome, run.Why = worse, r.Why
			if several {
				run.Why.Text = r.ID + ": " + r.Why.Text
			}
		}
		run.Latency = max(run.Latency, r.latency)
		if several {
			summaries = append(summaries, r.ID+": "+r.Summary)
		} else {
			summaries = append(summaries, r.Summary)
		}
		if run.Samples == nil && len(r.samples) > 0 {
			run.Samples = make(core.Samples, len(r.samples))
		}
		for name, value := range r.samples {
			if several {
				name = r.ID + "." + name
			}
			run.Samples[name] = value
		}
	}
	run.Summary = strings.Join(summaries, "; ")
	if len(results) == 0 {
		run.Outcome, run.Why = core.Error, core.Because("config", "the check collects nothing")
	}
}

// collect gathers the result of one step and judges it. It does not panic.
func (s *prepared) collect(ctx context.Context) (out outcome) {
	defer func() {
		if r := recover(); r != nil {
			out = s.failed(core.Because("panic", "the collector {use} crashed: {panic}", "use", s.Use, "panic", clip200(fmt.Sprint(r))))
		}
		s.owner.planner.mask(&out)
	}()
	if !s.broken.IsZero() {
		return s.failed(s.broken)
	}
	collector, why := s.prepare()
	if !why.IsZero() {
		return s.failed(why)
	}
	result := collector.Collect(ctx, s.owner.rc)
	return s.judge(result)
}

func clip200(text string) string {
	const most = 200
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}

// failed is a step that could not be asked.
func (s *prepared) failed(why core.Why) outcome {
	return outcome{StepResult: core.StepResult{ID: s.ID, Use: s.Use, Outcome: core.Error, Why: why, Summary: why.Text}}
}

// prepare is the collector with its configuration: made at the first run, and
// of what is built in at every run when the configuration refers to secrets,
// whose values are kept nowhere.
func (s *prepared) prepare() (Collector, core.Why) {
	if c := s.collector.Load(); c != nil {
		return *c, core.Why{}
	}
	_, module := core.ParseModuleUse(s.Use)
	var resolved any = s.config // a module never sees values: the sandbox makes handles of the references
	if !module {
		var err error
		if resolved, err = s.owner.planner.resolve(s.config); err != nil { // a copy: the collector may do with it what it likes
			return nil, core.Because("secret", "{error}", "error", err.Error())
		}
	}
	config, ok := resolved.(map[string]any)
	if !ok {
		return nil, core.Because("config", "the configuration is not a mapping")
	}
	c, err := s.owner.planner.collectors.Prepare(s.Use, s.owner.id, config)
	if err != nil {
		return nil, core.Because("config", "{error}", "error", err.Error())
	}
	if module || !s.secrets {
		s.collector.Store(&c)
	}
	return c, core.Why{}
}

// resolve puts the values of secrets in the place of references.
func (p *Planner) resolve(v any) (any, error) {
	if name, ok := lang.SecretRef(v); ok {
		return p.o.Secret(name)
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for key, value := range x {
			resolved, err := p.resolve(value)
			if err != nil {
				return nil, err
			}
			out[key] = resolved
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, value := range x {
			resolved, err := p.resolve(value)
			if err != nil {
				return nil, err
			}
			out[i] = resolved
		}
		return out, nil
	}
	return v, nil
}

// judge evaluates the assertions over a result.
func (s *prepared) judge(r core.Result) outcome {
	out := outcome{StepResult: core.StepResult{
		ID: s.ID, Use: s.Use, Outcome: r.Outcome, Why: r.Why, Summary: r.Summary, Phases: r.Phases, Logs: r.Logs, Usage: r.Usage,
		Module: r.Module, Recording: r.Recording,
	}, latency: r.Latency, samples: r.Samples}
	answered := r.Outcome <= core.Warn || r.Outcome == core.Fail && len(r.Samples)+len(r.Facts) > 0
	if r.Outcome == core.Fail && r.Why.Code == core.CodeImplied && s.speaksOf(r.Why.Args["sample"]) {
		out.Outcome, out.Why = core.Pass, core.Why{}
	}
	if !answered || len(s.asserts) == 0 {
		return out
	}
	env := s.facts(r)
	for _, a := range s.asserts {
		v, limit := evaluate(a, env)
		out.Asserts = append(out.Asserts, v)
		if v.OK {
			continue
		}
		worse, code := core.Fail, "assertion"
		switch {
		case limit:
			worse, code = core.Error, "assertion_limit"
		case a.warn:
			worse, code = core.Warn, "warning"
		}
		if core.Worse(out.Outcome, worse) != out.Outcome {
			out.Outcome = worse
			out.Why = core.Because(code, "{expr}: {values}", "expr", a.Source(), "values", v.Why)
		}
	}
	return out
}

// speaksOf reports whether an assertion is about a sample.
func (s *prepared) speaksOf(sample string) bool {
	return slices.ContainsFunc(s.asserts, func(a assertion) bool { return !a.warn && slices.Contains(a.Refs(), sample) })
}

// facts is what assertions see of a result.
func (s *prepared) facts(r core.Result) map[string]any {
	env := make(map[string]any, len(r.Samples)+len(r.Facts)+3)
	if r.Latency > 0 {
		env["latency"] = r.Latency
	}
	env["system"], env["check"] = s.owner.env.System, s.owner.env.Check
	maps.Copy(env, r.Facts)
	maps.Copy(env, r.Samples)
	return env
}

// evaluate decides one assertion. One that cannot be evaluated does not hold;
// limit tells that it was given up.
func evaluate(a assertion, env map[string]any) (v core.Verdict, limit bool) {
	v = core.Verdict{Expr: a.Source(), Warn: a.warn}
	ok, err := a.Bool(env)
	switch {
	case err != nil:
		v.Why = err.Error()
		if e, isLang := errors.AsType[*lang.Error](err); isLang {
			limit = e.Limit
		}
	case ok:
		v.OK = true
	default:
		v.Why = a.Decided(env)
	}
	return v, limit
}

// mask hides the values of secrets in everything textual of a step.
func (p *Planner) mask(o *outcome) {
	hide := p.o.Mask
	o.Summary = hide(o.Summary)
	o.Why = maskWhy(hide, o.Why)
	for i := range o.Asserts {
		o.Asserts[i].Why = hide(o.Asserts[i].Why)
	}
	for i := range o.Logs {
		o.Logs[i].Text = hide(o.Logs[i].Text)
	}
	for name, value := range o.samples {
		if text, ok := value.(string); ok {
			o.samples[name] = hide(text)
		}
	}
	if o.Usage != nil {
		for i := range o.Usage.Calls {
			o.Usage.Calls[i].Detail = hide(o.Usage.Calls[i].Detail)
		}
	}
}

// maskRecording hides the values of secrets in a recording that is kept. The
// sandbox gives handles of them to modules; this is for what a target echoes.
func (p *Planner) maskRecording(rec *core.Recording) {
	hide := func(b []byte) []byte {
		text := string(b)
		if hidden := p.o.Mask(text); hidden != text {
			return []byte(hidden)
		}
		return b
	}
	rec.Request, rec.Output = hide(rec.Request), hide(rec.Output)
	for i := range rec.Calls {
		rec.Calls[i].Input, rec.Calls[i].Answer = hide(rec.Calls[i].Input), hide(rec.Calls[i].Answer)
	}
}

func maskWhy(hide func(string) string, w core.Why) core.Why {
	w.Text = hide(w.Text)
	if len(w.Args) > 0 {
		args := make(map[string]string, len(w.Args))
		for key, value := range w.Args {
			args[key] = hide(value)
		}
		w.Args = args
	}
	return w
}
