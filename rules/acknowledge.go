package rules

import (
	"maps"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// acknowledge tells the partitions of rules who has acknowledged their episode,
// and that nobody has any longer.
func (m *Machine) acknowledge(out *[]Output, now time.Time) {
	if len(m.world.acks) == 0 && m.acked == 0 {
		return
	}
	m.acked = 0
	for _, r := range m.sortedRules() {
		for _, name := range slices.Sorted(maps.Keys(r.parts)) {
			p := r.parts[name]
			a, ok := m.world.acks[p.Episode]
			if ok = ok && p.Fired > 0; ok {
				m.acked++
			}
			if ok != (p.Ack != nil) || ok && *p.Ack != a {
				m.run(out, p, now, now, nil, func(v *turn) { p.acknowledge(v, a, ok) })
			}
		}
	}
}

// acknowledge takes over who has acknowledged the episode.
func (p *part) acknowledge(t *turn, a core.Acknowledgement, on bool) {
	p.dirty = true
	if on {
		p.Ack = &a
		t.note(remark{stage: core.StageFiring, text: a.String()})
		t.say(p, p.last(), core.Hold, core.StageFiring, time.Time{})
		return
	}
	p.Ack = nil
	if w := p.gate.window; w != nil && w.Refire.Each > 0 && t.at.After(p.LastAt) {
		each := w.Refire.Each.Std() // the next one is at its own time, and not those that were left out
		p.LastAt = p.LastAt.Add(t.at.Sub(p.LastAt).Truncate(each))
	}
	t.note(remark{stage: core.StageFiring, text: "no longer acknowledged"})
	t.say(p, p.last(), core.Hold, core.StageFiring, p.refireAt())
}
