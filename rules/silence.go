package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

// mute is a silence in use.
type mute struct {
	span
	id, comment string
	all         bool          // systems picks none: it is about every system
	match       *lang.Program // nil when span says it all
	reads       muteReads
	known       map[muteKey]bool // what match said
}

// muteReads is what the match of a silence looks at besides systems.
type muteReads struct{ check, group, rule, system bool }

// muteKey is what a mute was asked about.
type muteKey struct{ system, check, group, rule string }

// maxKnown is how many answers a mute remembers; then it begins anew.
const maxKnown = 20_000

// newMute makes a mute of a silence. A match that no longer compiles silences
// nothing: it was checked when it was saved.
func newMute(s core.Silence, systems []core.System, selects, mutes *lang.Scope) mute {
	m := mute{span: span{starts: s.Starts, ends: s.Ends}, id: s.ID, comment: s.Comment, all: s.Systems.IsZero() && strings.TrimSpace(s.Match) != "", known: map[muteKey]bool{}}
	if !m.all {
		m.systems = selected(s.Systems, systems, selects)
	}
	if strings.TrimSpace(s.Match) == "" {
		return m
	}
	program, problems := lang.Compile(mutes, s.Match, lang.Bool)
	if len(problems) > 0 {
		m.all, m.systems = false, nil
		return m
	}
	m.reads = muteReadsOf(program)
	if m.match = program; m.reads.wide() {
		return m
	}
	picked := map[string]bool{}
	for _, system := range systems {
		if m.all || m.systems[system.ID] {
			if ok, err := program.Bool(&core.Muted{System: mutedSystem(system)}); err == nil && ok {
				picked[system.ID] = true
			}
		}
	}
	m.all, m.match, m.systems = false, nil, picked
	return m
}

func muteReadsOf(p *lang.Program) muteReads {
	var out muteReads
	for _, ref := range p.Refs() {
		switch head, _, _ := strings.Cut(ref, "."); head {
		case "check":
			out.check = true
		case "group":
			out.group = true
		case "rule":
			out.rule = true
		case "system":
			out.system = true
		}
	}
	return out
}

// wide reports whether systems alone do not decide.
func (r muteReads) wide() bool { return r.check || r.group || r.rule }

func mutedSystem(s core.System) core.MutedSystem {
	if s.Tags == nil {
		s.Tags = map[string]string{}
	}
	return core.MutedSystem{ID: s.ID, Name: s.Label(), Tags: s.Tags, Groups: s.Groups}
}

// of reports whether the mute is about what a rule would act on. Of a group
// one is that does not look at systems or checks.
func (m *mute) of(env *Env, rule *core.MutedRule) bool {
	id := env.System.ID
	switch {
	case id == "" && (!m.all || m.reads.system || m.reads.check):
		return false
	case id != "" && !m.all && !m.systems[id]:
		return false
	case m.match == nil:
		return true
	}
	key := muteKey{id, env.Check.ID, env.Group.ID, rule.ID}
	ok, known := m.known[key]
	if !known {
		see := core.Muted{
			System: core.MutedSystem{ID: id, Name: env.System.Name, Tags: env.System.Tags, Groups: env.System.Groups},
			Check:  core.MutedCheck{ID: env.Check.ID, Name: env.Check.Name}, Group: core.MutedGroup{ID: env.Group.ID}, Rule: *rule,
		}
		if see.System.Tags == nil {
			see.System.Tags = map[string]string{}
		}
		v, err := m.match.Bool(&see)
		ok = err == nil && v
		if len(m.known) >= maxKnown {
			clear(m.known)
		}
		m.known[key] = ok
	}
	return ok
}

// muting are the silences that are on for what a rule would act on, those that
// last longest first.
func (w *world) muting(env *Env, rule *core.MutedRule, at time.Time) []*mute {
	var out []*mute
	for i := range w.mutes {
		if m := &w.mutes[i]; m.on(at) && m.of(env, rule) {
			out = append(out, m)
		}
	}
	slices.SortStableFunc(out, func(a, b *mute) int { return b.ends.Compare(a.ends) })
	return out
}

// silenced reports whether a silence is on for what a rule would act on.
func (w *world) silenced(env *Env, rule *core.MutedRule) bool {
	for i := range w.mutes {
		if m := &w.mutes[i]; m.on(env.Now) && m.of(env, rule) {
			return true
		}
	}
	return false
}

// String names a mute for people.
func (m *mute) String() string {
	text := fmt.Sprintf("silence %s until %s", m.id, full(m.ends))
	if m.comment != "" {
		text += ": " + m.comment
	}
	return text
}

// SilencedSystems are the systems that a silence is about whatever the rule or
// the check.
func (c *Compiler) SilencedSystems(s core.Silence, systems []core.System) []string {
	m := newMute(s, systems, c.selects, c.mutes)
	if m.match != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(m.systems))
}

// maxPreview is how often a preview evaluates a match.
const maxPreview = 200_000

// PreviewSilence says what a silence would come to if it were on: which
// systems it is about, which rules it holds back, and which it does not
// because they do not look at silences. The silence was checked before.
func (c *Compiler) PreviewSilence(s core.Silence, systems []core.System, checks []core.Check, rules []core.Rule) core.SilencePreview {
	out := core.SilencePreview{Systems: []string{}, Total: len(systems), Rules: []string{}, Deaf: []string{}}
	m := newMute(s, systems, c.selects, c.mutes)
	p := preview{mute: &m, left: maxPreview, rules: map[string]bool{}, systems: map[string]bool{}}
	ids := []core.MutedCheck{{}}
	if m.reads.check {
		for _, k := range checks {
			ids = append(ids, core.MutedCheck{ID: k.ID, Name: k.Label()})
		}
	}
	muted := []core.MutedRule{{}}
	if m.reads.rule {
		muted = muted[:0]
		for _, r := range rules {
			muted = append(muted, r.Muted())
		}
	}
	for _, system := range systems {
		for _, check := range ids {
			for i := range muted {
				p.ask(system, check, &muted[i])
			}
		}
	}
	p.tell(c, rules, &out)
	return out
}

// preview is a preview in the making.
type preview struct {
	mute    *mute
	left    int // evaluations
	rules   map[string]bool
	systems map[string]bool
}

func (p *preview) ask(s core.System, check core.MutedCheck, rule *core.MutedRule) {
	if p.left <= 0 {
		return
	}
	p.left--
	seen := mutedSystem(s)
	env := Env{System: SystemVar{ID: seen.ID, Name: seen.Name, Tags: seen.Tags, Groups: seen.Groups}, Check: CheckVar(check)}
	if p.mute.of(&env, rule) {
		p.systems[s.ID], p.rules[rule.ID] = true, true
	}
}

func (p *preview) tell(c *Compiler, rules []core.Rule, out *core.SilencePreview) {
	out.Partly = p.left <= 0
	for id := range p.systems {
		out.Systems = append(out.Systems, id)
	}
	slices.Sort(out.Systems)
	const most = 1000
	if len(out.Systems) > most {
		out.Systems, out.Partly = out.Systems[:most], true
	}
	for _, r := range rules {
		if r.Disabled || len(p.systems) == 0 || p.mute.reads.rule && !p.rules[r.ID] {
			continue
		}
		if c.hears(r) {
			out.Rules = append(out.Rules, r.ID)
		} else {
			out.Deaf = append(out.Deaf, r.ID)
		}
	}
}

// hears reports whether a rule looks at silences.
func (c *Compiler) hears(r core.Rule) bool {
	p, problems := lang.Compile(c.scopes().event, r.Unless, lang.Bool)
	return len(problems) == 0 && slices.Contains(p.Refs(), "silenced")
}
