package rules

import (
	"cmp"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

// Catalog is what people wrote, as far as rules look at it.
type Catalog struct {
	Systems      []core.System
	Checks       []core.Check
	Maintenances []core.Maintenance
	Silences     []core.Silence

	Acknowledgements []core.Acknowledgement
}

// world is what a Machine knows of the subjects.
type world struct {
	systems map[string]*system
	checks  map[string]string         // names
	health  [3]map[string]fact        // by kind of subject and id
	last    map[core.Subject]*runFact // of the newest run, as far as runs were looked at
	plans   []span
	mutes   []mute
	acks    map[string]core.Acknowledgement // by episode
}

// fact is the health of a subject.
type fact struct {
	health core.Health
	since  time.Time
}

// system is what rules know of a system.
type system struct {
	seen      SystemVar // but for its health
	dependsOn []string
}

// lazy is a part of an Env that costs something to find out, and that few
// conditions read.
type lazy uint8

const (
	causes lazy = 1 << iota // caused_by
	spells                  // in_maintenance and silenced

	everything = causes | spells
)

// span is a maintenance or a silence.
type span struct {
	starts, ends time.Time
	systems      map[string]bool
}

func newWorld() *world {
	w := &world{systems: map[string]*system{}, checks: map[string]string{}, last: map[core.Subject]*runFact{}}
	for i := range w.health {
		w.health[i] = map[string]fact{}
	}
	return w
}

// row is the number of a kind of subject.
func row(k core.SubjectKind) int {
	switch k {
	case core.OfSystem:
		return 0
	case core.OfAssignment:
		return 1
	case core.OfGroup:
	}
	return 2
}

// of is the health of a subject, zero when nothing is known of it.
func (w *world) of(s core.Subject) fact { return w.health[row(s.Kind)][s.ID] }

func (w *world) set(s core.Subject, f fact) { w.health[row(s.Kind)][s.ID] = f }

// learn takes over a catalog and returns the instants at which a maintenance
// or a silence begins or ends.
func (w *world) learn(c Catalog, selects, mutes *lang.Scope) []time.Time {
	clear(w.systems)
	clear(w.checks)
	for _, s := range c.Systems {
		if s.Tags == nil {
			s.Tags = map[string]string{}
		}
		w.systems[s.ID] = &system{dependsOn: s.DependsOn, seen: SystemVar{ID: s.ID, Name: cmp.Or(s.Name, s.ID), Tags: s.Tags, Groups: s.Groups}}
	}
	for _, k := range c.Checks {
		w.checks[k.ID] = k.Label()
	}
	w.acks = make(map[string]core.Acknowledgement, len(c.Acknowledgements))
	for _, a := range c.Acknowledgements {
		w.acks[a.Episode] = a
	}
	w.plans, w.mutes = nil, make([]mute, 0, len(c.Silences))
	var edges []time.Time
	for _, m := range c.Maintenances {
		w.plans = append(w.plans, span{m.Starts, m.Ends, selected(m.Systems, c.Systems, selects)})
		edges = append(edges, m.Starts, m.Ends)
	}
	for _, s := range c.Silences {
		w.mutes = append(w.mutes, newMute(s, c.Systems, selects, mutes))
		edges = append(edges, s.Starts, s.Ends)
	}
	slices.SortFunc(edges, time.Time.Compare)
	return slices.CompactFunc(edges, time.Time.Equal)
}

// selected are the systems that a selector picks. One whose expression does
// not compile or fails picks by name alone: it was checked when it was saved.
func selected(s core.Selector, systems []core.System, scope *lang.Scope) map[string]bool {
	out := make(map[string]bool, len(s.Names))
	for _, id := range s.Names {
		out[id] = true
	}
	if s.Match == "" {
		return out
	}
	program, problems := lang.Compile(scope, s.Match, lang.Bool)
	if len(problems) > 0 {
		return out
	}
	for _, system := range systems {
		if ok, err := program.Bool(selectOf(system)); err == nil && ok {
			out[system.ID] = true
		}
	}
	return out
}

// on reports whether it is on at an instant.
func (s *span) on(at time.Time) bool { return !at.Before(s.starts) && at.Before(s.ends) }

func within(spans []span, system string, at time.Time) bool {
	for i := range spans {
		if s := &spans[i]; s.on(at) && s.systems[system] {
			return true
		}
	}
	return false
}

// apply moves the health of a subject.
func (w *world) apply(t *core.Transition) {
	if t.Removed {
		delete(w.last, t.Subject)
		delete(w.health[row(t.Subject.Kind)], t.Subject.ID)
		return
	}
	w.set(t.Subject, fact{health: t.To, since: t.At})
}

// systemOf is the id of the system that a subject is or belongs to.
func systemOf(s core.Subject) string {
	switch s.Kind {
	case core.OfSystem:
		return s.ID
	case core.OfAssignment:
		system, _ := core.SplitAssignmentID(s.ID)
		return system
	case core.OfGroup:
	}
	return ""
}

// fill makes env what expressions see of an event at an instant, but for what
// is lazy.
func (w *world) fill(env *Env, t *event, kind core.Kind, at time.Time) {
	now, known := w.health[row(t.Subject.Kind)][t.Subject.ID]
	*env = Env{
		Kind: string(kind), From: t.From.String(), To: t.To.String(), Health: now.health.String(), Cause: string(t.Cause),
		Subject: SubjectVar{string(t.Subject.Kind), t.Subject.ID}, Why: t.Why.Text,
		HealthyChecks: t.HealthyChecks, TotalChecks: t.TotalChecks, At: t.At, Now: at, Seq: t.Seq, Run: t.Run,
	}
	if of := t.Of; of != nil {
		if newest := w.last[t.Subject]; newest != nil {
			of = newest
		}
		env.Outcome, env.Summary, env.Latency, env.Samples = of.Outcome.String(), of.Summary, of.Latency, of.Samples
	}
	if known {
		env.HealthFor = max(0, at.Sub(now.since))
	}
	id, whole := t.Subject.ID, now.health
	switch t.Subject.Kind {
	case core.OfGroup:
		env.Group.ID = id
		return
	case core.OfAssignment:
		system, check := core.SplitAssignmentID(id)
		env.Check = CheckVar{ID: check, Name: check}
		if name, ok := w.checks[check]; ok {
			env.Check.Name = name
		}
		id, whole = system, w.health[row(core.OfSystem)][system].health
	case core.OfSystem:
	}
	if system, ok := w.systems[id]; ok {
		env.System = system.seen
	} else {
		env.System = SystemVar{ID: id, Name: id}
	}
	env.System.Health = whole.String()
}

// fetch adds lazy parts to an env that was filled for a rule, of a world that
// is as it was then.
func (w *world) fetch(env *Env, parts lazy, rule *core.MutedRule) {
	id := env.System.ID
	if parts&spells != 0 {
		env.InMaintenance = id != "" && len(w.plans) > 0 && within(w.plans, id, env.Now)
		env.Silenced = w.silenced(env, rule)
	}
	if id == "" {
		return
	}
	if parts&causes == 0 {
		return
	}
	now := w.of(core.Subject{Kind: core.SubjectKind(env.Subject.Kind), ID: env.Subject.ID})
	if system, ok := w.systems[id]; ok && len(system.dependsOn) > 0 && now.health.Bad() {
		env.CausedBy = w.causes(system)
	}
}

// causes names the systems upstream that are unhealthy and have no such cause
// themselves. It agrees with the roll-up of core.Board, and is asked anew
// because a cause can come and go without a transition of the system.
func (w *world) causes(s *system) []string {
	var out []string
	seen := map[string]bool{s.seen.ID: true}
	var walk func(ids []string) bool
	walk = func(ids []string) bool {
		found := false
		for _, id := range ids {
			up, ok := w.systems[id]
			if !ok || seen[id] {
				continue
			}
			seen[id] = true
			above := walk(up.dependsOn)
			sick := w.health[row(core.OfSystem)][id].health == core.Unhealthy
			if sick && !above {
				out = append(out, id)
			}
			found = found || above || sick
		}
		return found
	}
	walk(s.dependsOn)
	slices.Sort(out)
	return out
}

// kindOf is the most telling kind of a transition.
func kindOf(t core.Transition) core.Kind {
	for _, k := range []core.Kind{core.KindRecovered, core.KindEscalated, core.KindDeescalated, core.KindDegraded, core.KindUnhealthy} {
		if t.Is(k) {
			return k
		}
	}
	return core.KindChanged
}
