package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/rules"
	"github.com/tocsin-io/tocsin/rules/action"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// inspect says what a file is, or everything that is wrong with what it says
// of itself.
func inspect(ctx context.Context, host *wasm.Host, file []byte) (core.Manifest, error) {
	m, err := host.Inspect(ctx, file)
	if err != nil {
		return core.Manifest{}, err
	}
	if problems := plan.CheckManifest(m); len(problems) > 0 {
		return core.Manifest{}, problems
	}
	return m, nil
}

// offers is what modules offer besides collectors: actions and functions. It is
// safe for concurrent use.
type offers struct{ known *collectors }

var _ rules.Modules = offers{}

// stable lists the stable versions of modules that offer something, in order of
// name.
func (o offers) stable(what string) []*moduleVersion {
	s := o.known.shelf.Load()
	var out []*moduleVersion
	for _, name := range slices.Sorted(maps.Keys(s.names)) {
		n := s.names[name]
		if v := n.version[n.release.Stable]; v != nil && slices.Contains(v.module.Manifest.Offers, what) {
			out = append(out, v)
		}
	}
	return out
}

// Edition implements rules.Modules.
func (o offers) Edition() string {
	var b strings.Builder
	for _, what := range []string{abi.OffersAction, abi.OffersFunction} {
		for _, v := range o.stable(what) {
			s := v.state.Load()
			fmt.Fprintf(&b, "%s %s %t\n", v, v.edition, s != nil && s.module != nil)
		}
	}
	return b.String()
}

// Actions implements rules.Modules.
func (o offers) Actions() []string {
	var out []string
	for _, v := range o.stable(abi.OffersAction) {
		out = append(out, string(core.WasmModule)+":"+v.module.Name)
	}
	return out
}

// Action implements rules.Modules.
func (o offers) Action(name string) (action.Action, error) {
	v, _, err := o.known.shelf.Load().find(name, "")
	if err != nil {
		return nil, err
	}
	m := v.module.Manifest
	if m.Action == nil || !slices.Contains(m.Offers, abi.OffersAction) {
		return nil, fmt.Errorf("%s offers no action; it offers %s", v, strings.Join(m.Offers, ", "))
	}
	schema, err := plan.NewSchema(m.Action.Schema)
	if err != nil {
		return nil, fmt.Errorf("module %s: %w", v, err)
	}
	if v.state.Load() == nil { // a version that is pinned, and that nothing else uses
		if err := o.known.use(context.Background(), "action "+name, []string{name}); err != nil {
			return nil, fmt.Errorf("load module %s: %w", v, err)
		}
	}
	if s := v.state.Load(); s != nil && s.err != nil {
		return nil, fmt.Errorf("module %s cannot run: %w", v, s.err)
	}
	return moduleAction{use: name, version: v, decl: *m.Action, schema: schema}, nil
}

// moduleAction is an action of a module, as rules know actions.
type moduleAction struct {
	use     string
	version *moduleVersion
	decl    core.ActionDecl
	schema  *plan.Schema
}

var (
	_ action.Action  = moduleAction{}
	_ action.Typed   = moduleAction{}
	_ action.Trusted = moduleAction{}
)

// Check implements action.Action.
func (a moduleAction) Check(with map[string]any) core.Problems { return a.schema.Check(with) }

// Outputs implements action.Action.
func (a moduleAction) Outputs() []string {
	out := []string{}
	for _, o := range a.decl.Outputs {
		out = append(out, o.Name)
	}
	return out
}

// Types implements action.Typed.
func (a moduleAction) Types() map[string]core.SampleType {
	out := map[string]core.SampleType{}
	for _, o := range a.decl.Outputs {
		out[o.Name] = o.Type
	}
	return out
}

// Trusted implements action.Trusted: a module never sees the value of a secret
// that it does not ask the sandbox for.
func (moduleAction) Trusted() bool { return false }

// Channel implements action.Action.
func (a moduleAction) Channel(map[string]any) string { return a.use }

// Do implements action.Action.
func (a moduleAction) Do(ctx context.Context, call action.Call) (map[string]any, error) {
	s := a.version.state.Load()
	if s == nil || s.module == nil {
		return nil, fmt.Errorf("module %s is not loaded", a.version)
	}
	with := a.schema.Fill(call.With)
	if problems := a.schema.Check(with); len(problems) > 0 {
		return nil, &action.RefusedError{Reason: "with: " + problems.Error()}
	}
	got := s.module.Act(ctx, abi.Step{Rule: call.Rule, Firing: call.Firing, ID: call.Step, Key: call.Key, Attempt: call.Attempt}, with)
	if call.Trace != nil {
		*call.Trace = core.StepTrace{Module: a.version.String(), Summary: got.Summary, Logs: got.Logs, Usage: got.Usage}
	}
	switch {
	case got.Outcome == core.Pass:
		out := make(map[string]any, len(got.Output))
		for name, v := range got.Output {
			out[name] = written(v)
		}
		return out, nil
	case got.Outcome == core.Fail:
		return nil, &action.RefusedError{Reason: got.Why}
	case got.After > 0:
		return nil, &action.LaterError{Reason: got.Why, After: got.After}
	}
	return nil, errors.New(got.Why)
}

// written is a value as it is stored in JSON.
func written(v any) any {
	switch x := v.(type) {
	case time.Duration:
		return core.Duration(x).String()
	case time.Time:
		return x.Format(time.RFC3339Nano)
	}
	return v
}

// Functions implements rules.Modules. Of two modules that offer a function of
// the same name, which refuse keeps apart, the first in order has it.
func (o offers) Functions() []lang.Func {
	var out []lang.Func
	seen := map[string]bool{}
	for _, v := range o.stable(abi.OffersFunction) {
		for _, f := range v.module.Manifest.Functions {
			if !seen[f.Name] {
				seen[f.Name] = true
				out = append(out, o.function(v.module.Name, f))
			}
		}
	}
	return out
}

// functions is what plans see: the functions, and an edition of them.
func (o offers) functions() ([]lang.Func, string) { return o.Functions(), o.Edition() }

// function is a function of the version of a module that is stable whenever it
// is called.
func (o offers) function(module string, f core.FunctionDecl) lang.Func {
	call := func(now time.Time, args []any) lang.Called {
		m, err := o.callable(module, f)
		if err != nil {
			return lang.Called{Err: err, Unknown: true}
		}
		value, fuel, err := m.Call(context.Background(), f.Name, wasm.Call{Args: args, Now: now})
		called := lang.Called{Value: value, Err: err, Steps: int(fuel / 100)} // of ten nanoseconds each
		if bad, ok := errors.AsType[*wasm.CallError](err); ok {
			called.Unknown = bad.Unknown
		}
		return called
	}
	return lang.Func{FunctionDecl: f, From: "module " + module, Call: call}
}

func (o offers) callable(module string, f core.FunctionDecl) (*wasm.Module, error) {
	n := o.known.shelf.Load().names[module]
	if n == nil || n.version[n.release.Stable] == nil {
		return nil, fmt.Errorf("module %s is not there any more", module)
	}
	v := n.version[n.release.Stable]
	i := slices.IndexFunc(v.module.Manifest.Functions, func(g core.FunctionDecl) bool { return g.Name == f.Name })
	switch {
	case i < 0:
		return nil, fmt.Errorf("%s offers no function %s", v, f.Name)
	case !slices.EqualFunc(v.module.Manifest.Functions[i].Params, f.Params, func(a, b core.SampleDecl) bool { return a.Type == b.Type }):
		return nil, fmt.Errorf("%s takes other arguments since %s", f.Name, v)
	}
	s := v.state.Load()
	switch {
	case s == nil:
		return nil, fmt.Errorf("module %s is not loaded", v)
	case s.module == nil:
		return nil, fmt.Errorf("module %s cannot run: %w", v, s.err)
	}
	return s.module, nil
}

// refuse reports why a version must not become stable: it offers a function
// that another module has.
func (o offers) refuse(r core.Release) error {
	n := o.known.shelf.Load().names[r.Name]
	if n == nil || n.version[r.Stable] == nil || n.release.Stable == r.Stable {
		return nil
	}
	var problems core.Problems
	for _, other := range o.stable(abi.OffersFunction) {
		if other.module.Name == r.Name {
			continue
		}
		for i, f := range n.version[r.Stable].module.Manifest.Functions {
			if slices.ContainsFunc(other.module.Manifest.Functions, func(g core.FunctionDecl) bool { return g.Name == f.Name }) {
				problems = append(problems, core.Problem{
					Path: fmt.Sprintf("functions[%d].name", i), Code: "function",
					Message: fmt.Sprintf("%s() is a function of the module %s already", f.Name, other.module.Name), Fix: "give one of the two another name",
				})
			}
		}
	}
	slices.SortFunc(problems, func(a, b core.Problem) int { return cmp.Compare(a.Path, b.Path) })
	return problems.Err()
}
