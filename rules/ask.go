package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// asker answers a gate's questions for one rule. The rule is nil when it is
// there no longer.
type asker struct {
	m  *Machine
	r  *live
	id string
}

var _ facts = (*asker)(nil)

// holds implements facts. While that is not given is about health alone. A
// reason is given only when it is false.
func (a *asker) holds(b *member, at time.Time) (bool, remark) {
	if b.Event.Of != nil && (a.r == nil || a.r.while == nil) {
		return a.goesOn(b, at)
	}
	if a.r == nil || a.r.while == nil {
		health := a.m.world.of(b.Subject).health
		if (health == core.Healthy) == b.Good {
			return true, remark{}
		}
		return false, remark{stage: core.StageDwell, text: "released: it is " + health.String()}
	}
	a.m.show(&b.Event, b.Kind, at)
	v, r := a.m.judge(a.r.while, core.StageDwell, false)
	if v.ok || v.failed { // what cannot be evaluated keeps what it was
		return true, remark{}
	}
	if a.m.o.Explain {
		r.nodes = a.r.while.Explain(&a.m.env)
	}
	r.text = "released: " + r.text
	return false, r
}

// unless implements facts. A condition that fails does not hold back.
func (a *asker) unless(b *member, at time.Time) (bool, remark) {
	if a.r == nil || a.r.unless == nil {
		return false, remark{}
	}
	a.m.show(&b.Event, b.Kind, at)
	v, r := a.m.judge(a.r.unless, core.StageUnless, a.m.o.Explain)
	r.ok = !v.ok
	switch {
	case v.failed:
		r.text += "; it does not hold back"
	case v.ok:
		r.text = "held back: unless is true (" + a.because() + ")"
	}
	return v.ok, r
}

// because names the usual reasons in m.env for which a rule holds back.
func (a *asker) because() string {
	a.m.fetch(everything, a.r.muted)
	var out []string
	if a.m.env.InMaintenance {
		out = append(out, "in maintenance")
	}
	for i, mute := range a.m.world.muting(&a.m.env, a.r.muted, a.m.env.Now) {
		if i == 3 {
			out = append(out, "and more silences")
			break
		}
		out = append(out, mute.String())
	}
	if len(a.m.env.CausedBy) > 0 {
		out = append(out, "caused by "+strings.Join(a.m.env.CausedBy, ", "))
	}
	if len(out) == 0 {
		return a.r.Rule.Unless
	}
	return strings.Join(out, ", ")
}

// admit implements facts.
func (a *asker) admit(*part) admission {
	mode := modeSingle
	if a.r != nil && a.r.Rule.Mode != "" {
		mode = a.r.Rule.Mode
	}
	running := a.m.running(a.id)
	out := admission{result: remark{stage: core.StageMode, ok: true, text: mode + ", " + strconv.Itoa(running) + " running"}}
	out.ok = a.r == nil || a.m.room(a.r)
	switch mode {
	case modeQueued:
		if out.ok && (running > 0 || len(a.r.queue) > 0) {
			out.queue = true
			out.result.text += fmt.Sprintf(", %d before it in the queue", len(a.r.queue))
		}
	case modeRestart:
		if !out.ok {
			out.cancel = a.cancel()
			out.result.text += ", cancelled; waits until they have ended"
		}
	}
	if !out.ok {
		out.result.ok = false
		out.result.text += "; offered again when there is room"
	}
	return out
}

// cancel marks the running firings and names those not marked before.
func (a *asker) cancel() []string {
	var out []string
	d := a.m.active[a.id]
	if d == nil {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(d.firings)) {
		if f := d.firings[id]; !f.recovery && !f.cancelled {
			f.cancelled = true
			d.firings[id] = f
			out = append(out, id)
		}
	}
	return out
}

// busy implements facts.
func (a *asker) busy(episode string) bool {
	d := a.m.active[a.id]
	return d != nil && d.episodes[episode] > 0
}

// compose implements facts.
func (a *asker) compose(f core.Firing, b *member, at time.Time) core.Firing {
	env := &a.m.env
	a.m.show(&b.Event, b.Kind, at)
	rule, muted := RuleVar{ID: a.id, Name: a.id}, &core.MutedRule{ID: a.id, Name: a.id, Labels: map[string]string{}}
	if a.r != nil {
		muted = a.r.muted
	}
	a.m.fetch(everything, muted)
	if a.r != nil {
		rule.Name = a.r.Rule.Label()
		if !f.Recovery {
			f.Steps = core.Named(a.r.Rule.Do)
		}
	}
	code, sentence := "fired", "{subject} is {health}: {reason}"
	if f.Recovery {
		code, sentence = "recovered", "closed; {subject} is {health}: {reason}"
	}
	f.Why = core.Because(code, sentence, "subject", b.Subject.ID, "health", env.Health, "reason", env.Why)
	if a.m.o.Forget {
		return f
	}
	text, err := json.Marshal(env.stepEnv(f, rule))
	if err != nil {
		panic(fmt.Sprintf("encode the facts of %s: %v", f.ID, err)) // plain data always encodes
	}
	f.Env = text
	return f
}
