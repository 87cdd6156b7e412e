package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/script"
	"github.com/tocsin-io/tocsin/web"
	"github.com/tocsin-io/tocsin/web/wire"
)

// The web knows rules, modules, the engine and saving by small interfaces of
// its own; here each is given what it asks for.
var (
	_ web.Saver   = (*plan.Service)(nil)
	_ web.Rules   = ruleDesk{}
	_ web.Judge   = judge{}
	_ web.Modules = moduleDesk{}
	_ web.Engine  = engineDesk{}
)

// ruleDesk is web.Rules over the compiler and the runner.
type ruleDesk struct {
	compiler *rules.Compiler
	runner   *rules.Runner
	planner  *plan.Planner
}

// Validate implements web.Rules.
func (d ruleDesk) Validate(r core.Rule, systems []core.System) core.Problems {
	return d.compiler.Validate(r, systems)
}

// Expr implements web.Rules.
func (d ruleDesk) Expr(_ context.Context, c wire.ExprCheck, systems []core.System) wire.ExprReport {
	if c.Where == "assert" {
		return d.assertion(c)
	}
	r := d.compiler.CheckExpr(c.Where, c.As, c.Expr, systems)
	return wire.ExprReport{
		OK: r.OK, Type: r.Type, Refs: r.Refs, Timed: r.Timed, Diagnostics: r.Problems, Matches: r.Matches,
		Systems: len(systems), TookMicros: r.Took.Microseconds(),
	}
}

// assertion looks at an expression of a collect step.
func (d ruleDesk) assertion(c wire.ExprCheck) wire.ExprReport {
	begin := time.Now()
	report := wire.ExprReport{Diagnostics: core.Problems{}, Refs: []string{}}
	var step core.Collect
	if err := json.Unmarshal(c.Check, &step); err != nil {
		report.Diagnostics = core.Problems{{Path: "check", Code: "step", Message: "the collect step cannot be read: " + err.Error()}}
		return report
	}
	scope, err := d.planner.AssertScope(step.Use)
	if err != nil {
		report.Diagnostics = core.Problems{{Path: "check.use", Code: "collector", Message: err.Error()}}
		return report
	}
	program, problems := lang.Compile(scope, c.Expr, lang.Bool)
	report.TookMicros = time.Since(begin).Microseconds()
	if len(problems) > 0 {
		report.Diagnostics = problems
		return report
	}
	report.OK, report.Type, report.Refs, report.Timed = true, program.Type(), program.Refs(), program.Timed()
	return report
}

// Env implements web.Rules.
func (d ruleDesk) Env(where, collector string) (core.ExprEnv, error) {
	switch where {
	case "assert":
		scope, err := d.planner.AssertScope(collector)
		if err != nil {
			return core.ExprEnv{}, err
		}
		return scope.Describe(), nil
	case "match":
		return d.planner.SelectorEnv(), nil
	case "with":
		return d.planner.ConfigEnv(), nil
	case "when", "while", "unless", "by", "trigger", "step", "text", "silence":
		return d.compiler.Env(where), nil
	}
	return core.ExprEnv{}, fmt.Errorf("%q is not a place where expressions stand", where)
}

// PreviewSilence implements web.Rules.
func (d ruleDesk) PreviewSilence(s core.Silence, systems []core.System, checks []core.Check, all []core.Rule) core.SilencePreview {
	return d.compiler.PreviewSilence(s, systems, checks, all)
}

// Describe implements web.Rules.
func (ruleDesk) Describe(g core.Gate) (string, core.Gate) {
	return rules.Describe(g), rules.WriteOut(g)
}

// States implements web.Rules.
func (d ruleDesk) States(rule string) []wire.RuleState {
	var out []wire.RuleState
	for _, s := range d.runner.State(rule) {
		out = append(out, wire.RuleState(s))
	}
	return out
}

// judge is web.Judge over the runner and what is stored.
type judge struct {
	compiler *rules.Compiler
	runner   *rules.Runner
	db       database
	room     chan struct{} // for one backtest at a time: they take a processor each
}

func newJudge(c *rules.Compiler, r *rules.Runner, db database) judge {
	return judge{c, r, db, make(chan struct{}, 1)}
}

// Backtest implements web.Judge.
func (j judge) Backtest(ctx context.Context, ask wire.BacktestAsk, saved *core.Rule) (core.Backtest, error) {
	select {
	case j.room <- struct{}{}:
		defer func() { <-j.room }()
	case <-ctx.Done():
		return core.Backtest{}, ctx.Err()
	}
	in := rules.BacktestInput{Rule: ask.Rule, Saved: saved, Span: ask.Span.Std(), About: ask.About}
	if ask.Until != nil {
		in.Until = *ask.Until
	}
	return j.compiler.Backtest(ctx, rules.Past{Log: j.db, Runs: j.db, Catalog: j.db, Health: j.db}, in)
}

// Explain implements web.Judge.
func (j judge) Explain(ctx context.Context, rule string, subject core.Subject) (core.Explanation, error) {
	return j.runner.Explain(ctx, j.db, rule, subject)
}

// planTime is how long planning may lag behind a save before run now gives up.
const planTime = 2 * time.Second

// engineDesk is web.Engine over the engine.
type engineDesk struct {
	engine *engine.Engine
	syncer *syncer
	crew   *crew
}

// RunNow implements web.Engine. Who holds the assignment runs it.
func (d engineDesk) RunNow(ctx context.Context, assignment string) error {
	if !d.crew.holds()(assignment) {
		return d.crew.askRun(ctx, assignment)
	}
	return d.runHere(ctx, assignment)
}

func (d engineDesk) runHere(ctx context.Context, assignment string) error {
	err := d.engine.RunNow(ctx, assignment)
	// What was saved a moment ago may not be planned yet; the web asks for
	// nothing but assignments that are enabled.
	for wait := 10 * time.Millisecond; errors.Is(err, engine.ErrUnknown) && wait < planTime; wait *= 2 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		err = d.engine.RunNow(ctx, assignment)
	}
	switch {
	case errors.Is(err, engine.ErrUnknown):
		return store.ErrNotFound
	case errors.Is(err, engine.ErrRunning):
		return web.ErrBusy
	}
	return err
}

// Next implements web.Engine.
func (d engineDesk) Next(assignment string) time.Time { return d.syncer.next(assignment) }

// Stats implements web.Engine.
func (d engineDesk) Stats() wire.EngineStats {
	s := d.engine.Stats()
	return wire.EngineStats{
		Runs: s.Runs, Skipped: s.Skipped, Inflight: s.Inflight, Waiting: s.Waiting, Unstored: s.Unstored,
		Buffer: s.Buffer, Dropped: s.Dropped, Foreign: s.Foreign, LateP99: s.LateP99, Error: s.Error,
	}
}

// moduleDesk is web.Modules over the host and what is loaded.
type moduleDesk struct {
	host       *wasm.Host
	collectors *collectors
}

// State implements web.Modules.
func (d moduleDesk) State(name, version string) wire.ModuleState {
	return d.collectors.report(name, version)
}

// Trials implements web.Modules.
func (d moduleDesk) Trials(name string) (canary, active core.Trial) { return d.collectors.trials(name) }

// Replay implements web.Modules.
func (d moduleDesk) Replay(ctx context.Context, m core.Module, file []byte, rec core.Recording) (wire.ReplayReport, error) {
	return replayRun(ctx, d.host, m.Name+"@"+m.Version, file, rec)
}

// Inspect implements web.Modules.
func (d moduleDesk) Inspect(ctx context.Context, file []byte) (core.Manifest, error) {
	return inspect(ctx, d.host, file)
}

// Script implements web.Modules.
func (moduleDesk) Script(s wire.ScriptSource) ([]byte, error) {
	form, err := json.Marshal(struct {
		Name    string            `json:"name,omitempty"`
		Version string            `json:"version,omitempty"`
		Doc     string            `json:"doc,omitempty"`
		Schema  json.RawMessage   `json:"config_schema,omitempty"`
		Samples []core.SampleDecl `json:"samples,omitempty"`
		Wants   *core.Grant       `json:"wants,omitempty"`
	}{s.Name, s.Version, s.Doc, s.Schema, s.Samples, s.Wants})
	if err != nil {
		return nil, fmt.Errorf("write the manifest of the script: %w", err)
	}
	return script.Join(form, s.Source), nil
}

// ScriptHelp implements web.Modules.
func (moduleDesk) ScriptHelp() wire.ScriptHelp {
	return wire.ScriptHelp{Names: scriptNames(script.API()), Template: script.Template}
}

func scriptNames(names []script.Name) []wire.ScriptName {
	var out []wire.ScriptName
	for _, n := range names {
		out = append(out, wire.ScriptName{Name: n.Name, Type: n.Type, Doc: n.Doc, Call: n.Call, Members: scriptNames(n.Members)})
	}
	return out
}

// Test implements web.Modules.
func (d moduleDesk) Test(ctx context.Context, m core.Module, file []byte, t wire.TestRun, rc core.RunContext) (wire.TestReport, error) {
	return testModule(ctx, d.host, m, file, t, rc)
}

// testModule runs a module once and reports everything about it.
func testModule(ctx context.Context, host *wasm.Host, m core.Module, file []byte, t wire.TestRun, rc core.RunContext) (wire.TestReport, error) {
	config := map[string]any{}
	if len(t.Config) > 0 {
		if err := json.Unmarshal(t.Config, &config); err != nil {
			return wire.TestReport{}, fmt.Errorf("read the configuration: %w", err)
		}
	}
	loaded, err := host.Load(ctx, m, file)
	if err != nil {
		return wire.TestReport{}, err
	}
	defer loaded.Close(ctx) //nolint:errcheck // the report is made; what is left ends with the host
	limit := t.Timeout
	if limit <= 0 {
		limit = core.DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit.Std())
	defer cancel()
	r := loaded.TestRun(ctx, rc, config)
	report := wire.TestReport{
		Version: m.Version, Grant: m.Grant,
		Outcome: r.Outcome, Why: r.Why, Summary: r.Summary, Samples: r.Samples, Logs: r.Logs, Limits: loaded.Limits(), Wall: limit,
	}
	if r.Usage != nil {
		report.Usage = *r.Usage
	}
	return report, nil
}
