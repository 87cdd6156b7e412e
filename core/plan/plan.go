// Package plan makes what people wrote runnable: it checks Checks and Systems
// when they are saved, expands Checks over Systems into Assignments, and
// prepares the tasks that the engine runs.
//
// What can be known when an object is saved is an error then, with the place
// and how to mend it. What can only be known later, such as a module that was
// deleted or a secret that is missing, makes a run with Outcome Error and that
// reason; it never makes an Assignment disappear.
package plan

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/store"
)

// Collectors is what a Planner knows collectors by. Methods are safe for
// concurrent use.
type Collectors interface {
	// Info describes the collector called use: "http", "wasm:NAME". The text
	// of the error says what to do.
	Info(use string) (core.CollectorInfo, error)
	// Prepare makes a collector of its configuration, for one Assignment: it
	// may be another version of a module there. The configuration is the
	// caller's no more.
	Prepare(use, assignment string, config map[string]any) (Collector, error)
}

// Collector gathers one Result. It may be called again and again, also while
// an earlier call has not returned.
type Collector interface {
	Collect(ctx context.Context, rc core.RunContext) core.Result
}

// Options of a Planner. Zero works.
type Options struct {
	// Secret is the value of a secret, for references {secret: NAME} in
	// configurations; the text of the error says how to make one. It is asked
	// at each run and must not wait. Default: there are no secrets.
	Secret func(name string) (string, error)
	// Mask hides the values of secrets in a text. Everything textual of a run
	// passes through it. Default: texts stay as they are.
	Mask func(text string) string
	// Revision says in which edition a collector is there for an Assignment,
	// for example the digest of a module: when it changes, the task is
	// prepared anew. Default: always the same.
	Revision func(use, assignment string) string
	// Functions are what assertions can call besides the functions of the
	// language, and an edition of them: when it changes, tasks are prepared
	// anew. Default: none.
	Functions func() (functions []lang.Func, edition string)
}

// Planner checks and expands Checks. It is safe for concurrent use.
type Planner struct {
	collectors Collectors
	o          Options
	selects    *lang.Scope // of selectors
	mutes      *lang.Scope // of the match of silences
	configures *lang.Scope // of texts in configurations

	mu      sync.Mutex
	schemas map[string]*schema // guarded by mu: compiled, by their text
}

// New is a Planner over collectors.
func New(collectors Collectors, o Options) *Planner {
	if o.Secret == nil {
		o.Secret = func(name string) (string, error) { return "", fmt.Errorf("there is no secret %q", name) }
	}
	if o.Mask == nil {
		o.Mask = func(text string) string { return text }
	}
	if o.Functions == nil {
		o.Functions = func() ([]lang.Func, string) { return nil, "" }
	}
	if o.Revision == nil {
		o.Revision = func(string, string) string { return "" }
	}
	return &Planner{collectors: collectors, o: o, selects: mustScope(selectEnv{}), mutes: mustScope(core.Muted{}), configures: mustScope(configEnv{}), schemas: map[string]*schema{}}
}

// mustScope makes a scope of one of our own types, whose tags are right.
func mustScope(example any) *lang.Scope {
	s, err := lang.StructScope(example)
	if err != nil {
		panic(err)
	}
	return s
}

// selectEnv is what selectors see.
type selectEnv struct {
	System systemEnv `doc:"the system in question" expr:"system"`
}

// configEnv is what texts in configurations see.
type configEnv struct {
	System systemEnv `doc:"the system it is run for" expr:"system"`
	Check  checkEnv  `doc:"the check" expr:"check"`
}

// systemEnv is a System as expressions see it.
type systemEnv struct {
	ID     string            `doc:"its identity"                        expr:"id"`
	Name   string            `doc:"what people call it"                 expr:"name"`
	Tags   map[string]string `doc:"its tags; one that is absent is \"\"" expr:"tags"`
	Groups []string          `doc:"groups it is part of"                expr:"groups"`
}

// checkEnv is a Check as expressions see it.
type checkEnv struct {
	ID              string            `doc:"its identity"            expr:"id"`
	Name            string            `doc:"what people call it"     expr:"name"`
	Labels          map[string]string `doc:"its labels"              expr:"labels"`
	IntervalSeconds float64           `doc:"time between runs" expr:"interval_seconds" unit:"s"`
}

func systemEnvOf(s core.System) systemEnv {
	return systemEnv{ID: s.ID, Name: s.Label(), Tags: s.Tags, Groups: s.Groups}
}

// SelectorEnv describes the environment of selectors, for editors.
func (p *Planner) SelectorEnv() core.ExprEnv { return p.selects.Describe() }

// ConfigEnv describes the environment of texts in configurations, for editors.
func (p *Planner) ConfigEnv() core.ExprEnv { return p.configures.Describe() }

// AssertScope is what assertions of a collect step see: the samples and facts
// that its collector declares, latency, system and check.
func (p *Planner) AssertScope(use string) (*lang.Scope, error) {
	info, err := p.collectors.Info(use)
	if err != nil {
		return nil, fmt.Errorf("describe collector %s: %w", use, err)
	}
	return p.assertScope(info), nil
}

// Matches lists the Systems that a selector picks, in the order given. The
// problems are those of its expression.
func (p *Planner) Matches(sel core.Selector, systems []core.System) ([]core.System, core.Problems) {
	match, problems := p.selector(sel)
	if len(problems) > 0 {
		return nil, problems
	}
	var out []core.System
	for _, s := range systems {
		if picks(sel, match, &selectEnv{System: systemEnvOf(s)}) {
			out = append(out, s)
		}
	}
	return out, nil
}

// Expand makes the Assignments of checks, in order of id, with everything that
// an Override says. A check with a problem has none in the result; the problems
// say which.
func (p *Planner) Expand(checks []core.Check, systems []core.System) ([]core.Assignment, core.Problems) {
	var out []core.Assignment
	var problems core.Problems
	for _, c := range checks {
		assigned, bad := p.expand(c, systems)
		problems = append(problems, bad.In(string(store.Checks), c.ID)...)
		if len(bad) > 0 {
			continue
		}
		for _, a := range assigned {
			out = append(out, a.Assignment)
		}
	}
	slices.SortFunc(out, func(a, b core.Assignment) int { return strings.Compare(a.ID, b.ID) })
	return out, problems
}

// Validate reports everything that is wrong with checks and systems, each
// problem with the object it is in.
func (p *Planner) Validate(checks []core.Check, systems []core.System) core.Problems {
	problems := p.ValidateSystems(systems)
	seen := map[string]bool{}
	for _, c := range checks {
		bad := p.ValidateCheck(c, systems)
		if seen[c.ID] {
			bad = append(bad, core.Problem{Path: "id", Code: "duplicate", Message: fmt.Sprintf("there are two checks %q", c.ID), Fix: "rename or remove one"})
		}
		seen[c.ID] = true
		problems = append(problems, bad.In(string(store.Checks), c.ID)...)
	}
	return problems
}
