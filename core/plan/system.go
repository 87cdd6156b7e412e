package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/store"
)

// maxRefs bounds the groups and dependencies of one System.
const maxRefs = 100

// ValidateSystems reports everything that is wrong with all systems there are,
// each problem with the system it is in.
func (p *Planner) ValidateSystems(systems []core.System) core.Problems {
	known := map[string]bool{}
	for _, s := range systems {
		known[s.ID] = true
	}
	var out core.Problems
	seen := map[string]bool{}
	for _, s := range systems {
		bad := p.validateSystem(s, known)
		if seen[s.ID] {
			bad = append(bad, core.Problem{Path: "id", Code: "duplicate", Message: fmt.Sprintf("there are two systems %q", s.ID), Fix: "rename or remove one"})
		}
		seen[s.ID] = true
		out = append(out, bad.In(string(store.Systems), s.ID)...)
	}
	return append(out, cycles(systems)...)
}

func (*Planner) validateSystem(s core.System, known map[string]bool) core.Problems {
	out := identity(s.ID, s.Name, s.Tags, "tags")
	out = append(out, plainText("note", s.Note, maxNote)...)
	for _, list := range []struct {
		path string
		ids  []string
	}{{"groups", s.Groups}, {"depends_on", s.DependsOn}} {
		if len(list.ids) > maxRefs {
			out = append(out, core.Problem{Path: list.path, Code: "too_many", Message: fmt.Sprintf("there are %d, more than %d", len(list.ids), maxRefs)})
		}
		for i, id := range list.ids {
			path := fmt.Sprintf("%s[%d]", list.path, i)
			if slices.Contains(list.ids[:i], id) {
				out = append(out, core.Problem{Path: path, Code: "duplicate", Message: fmt.Sprintf("%q stands twice", clip(id))})
			}
			if list.path == "depends_on" && !known[id] {
				out = append(out, unknownSystem(path, id, known))
			} else if err := core.CheckName(id); err != nil {
				out = append(out, core.Problem{Path: path, Code: "name", Message: err.Error()})
			}
		}
	}
	if s.Rollup.Quorum < 0 {
		out = append(out, core.Problem{Path: "rollup.quorum", Code: "rollup", Message: fmt.Sprintf("%d is negative", s.Rollup.Quorum), Fix: "write how many parts must be unhealthy, or 0 for the worst of all"})
	}
	return out
}

// cycles finds systems that depend on themselves, each cycle once, with the
// way round.
func cycles(systems []core.System) core.Problems {
	needs := make(map[string][]string, len(systems))
	for _, s := range systems {
		needs[s.ID] = s.DependsOn
	}
	const (
		fresh = iota
		open
		done
	)
	state := make(map[string]int, len(systems))
	var out core.Problems
	var path []string
	var visit func(id string)
	visit = func(id string) {
		state[id] = open
		path = append(path, id)
		for i, next := range needs[id] {
			switch state[next] {
			case fresh:
				if _, ok := needs[next]; ok {
					visit(next)
				}
			case open:
				way := append(slices.Clone(path[slices.Index(path, next):]), next)
				out = append(out, core.Problem{
					Object: string(store.Systems) + ":" + id, Path: fmt.Sprintf("depends_on[%d]", i), Code: "cycle",
					Message: "systems depend on each other in a circle: " + strings.Join(way, " -> "), Fix: "remove one of the dependencies",
				})
			}
		}
		path = path[:len(path)-1]
		state[id] = done
	}
	for _, s := range systems {
		if state[s.ID] == fresh {
			visit(s.ID)
		}
	}
	return out
}

// ValidateMaintenance reports what is wrong with a maintenance, given all
// systems there are.
func (p *Planner) ValidateMaintenance(m core.Maintenance, systems []core.System) core.Problems {
	return p.span(m.ID, m.Name, m.Comment, m.Systems, m.Starts, m.Ends, systems)
}

// ValidateSilence reports what is wrong with a silence, given all systems
// there are.
func (p *Planner) ValidateSilence(s core.Silence, systems []core.System) core.Problems {
	out := p.span(s.ID, s.Name, s.Comment, s.Systems, s.Starts, s.Ends, systems)
	if strings.TrimSpace(s.Match) == "" {
		return out
	}
	out = slices.DeleteFunc(out, func(p core.Problem) bool { return p.Path == "systems" && p.Code == "missing" })
	_, bad := lang.Compile(p.mutes, s.Match, lang.Bool)
	return append(out, bad.Under("match")...)
}

func (p *Planner) span(id, name, comment string, sel core.Selector, starts, ends time.Time, systems []core.System) core.Problems {
	out := identity(id, name, nil, "")
	out = append(out, plainText("comment", comment, maxNote)...)
	_, bad := p.selector(sel)
	out = append(out, bad.Under("systems")...)
	known := map[string]bool{}
	for _, s := range systems {
		known[s.ID] = true
	}
	out = append(out, named(sel, known).Under("systems")...)
	if sel.IsZero() {
		out = append(out, core.Problem{Path: "systems", Code: "missing", Message: "it applies to no system", Fix: "list systems by name, or select them with match"})
	}
	switch {
	case starts.IsZero():
		out = append(out, core.Problem{Path: "starts", Code: "missing", Message: "starts is missing", Fix: "write an instant, for example 2026-01-31T22:00:00Z"})
	case ends.IsZero():
		out = append(out, core.Problem{Path: "ends", Code: "missing", Message: "ends is missing", Fix: "write an instant, for example 2026-01-31T23:00:00Z"})
	case !ends.After(starts):
		out = append(out, core.Problem{Path: "ends", Code: "span", Message: "it ends before it starts", Fix: "write an end after the start"})
	}
	return out
}
