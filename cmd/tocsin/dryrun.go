package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect"
	"github.com/tocsin-io/tocsin/core/manifest"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/rules"
)

// digest is the identity of a module's file.
func digest(file []byte) string {
	sum := sha256.Sum256(file)
	return hex.EncodeToString(sum[:])
}

// offline knows the built-in collectors, and takes every module to be there
// and to report whatever is asked of it.
type offline struct{ builtin *collect.Registry }

// Info implements plan.Collectors.
func (o offline) Info(use string) (core.CollectorInfo, error) {
	if u, ok := core.ParseModuleUse(use); ok {
		if err := core.CheckName(u.Name); err != nil {
			return core.CollectorInfo{}, fmt.Errorf("%s: %w", use, err)
		}
		return core.CollectorInfo{Name: use, Schema: json.RawMessage(`{"type": "object"}`)}, nil
	}
	return o.builtin.Info(use)
}

// Prepare implements plan.Collectors.
func (o offline) Prepare(use, _ string, config map[string]any) (plan.Collector, error) {
	if _, ok := core.ParseModuleUse(use); ok {
		return absent(use), nil
	}
	return o.builtin.Prepare(use, config)
}

// absent is a module that is only on a server, in a check that is examined.
type absent string

// Collect implements plan.Collector. Nothing that is only examined comes here.
func (a absent) Collect(context.Context, core.RunContext) core.Result {
	return core.Result{Outcome: core.Error, Why: core.Because("module", "{module} runs on a server only", "module", string(a))}
}

// examine checks objects by themselves. Systems that they name and that are
// not among them are taken to be there.
func examine(items []manifest.Item) core.Problems {
	compiler, err := rules.NewCompiler(nil)
	if err != nil {
		return core.Problems{{Code: "internal", Message: err.Error()}}
	}
	compiler = compiler.Lenient()
	planner := plan.New(offline{collect.Builtin(newNetworks().trusted.DialContext)}, plan.Options{
		Secret: func(string) (string, error) { return "", nil },
	})
	channels, err := rules.NewChannels(nil, nil)
	if err != nil {
		return core.Problems{{Code: "internal", Message: err.Error()}}
	}
	systems := namedSystems(items)
	var out core.Problems
	for _, it := range items {
		var problems core.Problems
		switch o := it.Object.(type) {
		case *core.System:
			problems = planner.ValidateSystems(systems)
			problems = slices.DeleteFunc(problems, func(p core.Problem) bool { return p.Object != "system:"+o.ID })
		case *core.Check:
			if problems = unknowable(*o, planner.ValidateCheck(*o, systems)); len(problems) == 0 {
				problems = planner.ValidateCheck(withoutUnknowable(*o), systems) // what comes after all names are known
			}
		case *core.Rule:
			problems = compiler.Validate(*o, systems)
		case *core.Maintenance:
			problems = planner.ValidateMaintenance(*o, systems)
		case *core.Silence:
			problems = planner.ValidateSilence(*o, systems)
		case *core.Channel:
			problems = channels.Validate(*o)
		}
		for _, p := range problems {
			out = append(out, it.Locate(p))
		}
	}
	return out
}

// consequent leaves out of problems those that follow from a part of the same
// object that could not even be read: one mistake is told once.
func consequent(items []manifest.Item, problems, unread core.Problems) core.Problems {
	owner := func(p core.Problem) int {
		at := -1
		for i, it := range items {
			if it.File == p.File && it.Line <= p.Line {
				at = i
			}
		}
		return at
	}
	return slices.DeleteFunc(problems, func(p core.Problem) bool {
		return slices.ContainsFunc(unread, func(u core.Problem) bool {
			rest, below := strings.CutPrefix(p.Path, u.Path)
			return u.Path != "" && below && (rest == "" || rest[0] == '.' || rest[0] == '[') && owner(p) == owner(u)
		})
	})
}

// unknowable leaves out of the problems of a check those that only say that a
// module does not declare a sample: what it declares is not known here.
func unknowable(c core.Check, problems core.Problems) core.Problems {
	return slices.DeleteFunc(problems, func(p core.Problem) bool {
		for i, step := range c.Collect {
			path := fmt.Sprintf("collect[%d].", i)
			if _, module := core.ParseModuleUse(step.Use); module && p.Code == "unknown_name" &&
				(strings.HasPrefix(p.Path, path+"assert") || strings.HasPrefix(p.Path, path+"warn")) {
				return true
			}
		}
		return false
	})
}

// withoutUnknowable is a check without the assertions on what modules report.
func withoutUnknowable(c core.Check) core.Check {
	c.Collect = slices.Clone(c.Collect)
	for i, step := range c.Collect {
		if _, module := core.ParseModuleUse(step.Use); module {
			c.Collect[i].Assert, c.Collect[i].Warn = nil, nil
		}
	}
	return c
}

// namedSystems are the systems among items and, without any facts, those that
// items name.
func namedSystems(items []manifest.Item) []core.System {
	var systems []core.System
	have := map[string]bool{}
	for _, it := range items {
		if s, ok := it.Object.(*core.System); ok {
			systems, have[s.ID] = append(systems, *s), true
		}
	}
	add := func(names ...string) {
		for _, name := range names {
			if !have[name] && core.CheckName(name) == nil {
				systems, have[name] = append(systems, core.System{ID: name}), true
			}
		}
	}
	for _, it := range items {
		switch o := it.Object.(type) {
		case *core.System:
			add(o.DependsOn...)
		case *core.Check:
			add(o.Systems.Names...)
			for name := range o.Overrides {
				add(name)
			}
		case *core.Maintenance:
			add(o.Systems.Names...)
		case *core.Silence:
			add(o.Systems.Names...)
		}
	}
	return systems
}
