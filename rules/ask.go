package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
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

var _ facts = asker{}

// holds implements facts. While that is not given is about health alone.
func (a asker) holds(b *member, at time.Time) (bool, core.StageResult) {
	if a.r == nil || a.r.while == nil {
		healthy := a.m.world.health[b.Subject].health == core.Healthy
		text := "released: it is " + a.m.world.health[b.Subject].health.String()
		return healthy == b.Good, core.StageResult{Stage: core.StageDwell, OK: healthy == b.Good, Text: text}
	}
	a.m.world.fill(&a.m.env, &b.Event, b.Kind, at)
	v := a.m.judge(a.r.while, core.StageDwell, "while", verdict{})
	r := v.stages[0]
	if v.failed {
		r.Text += "; it keeps what it was"
		return true, r
	}
	if !v.ok {
		r.Text = "released: " + r.Text
	}
	return v.ok, r
}

// unless implements facts. A condition that fails does not hold back.
func (a asker) unless(b *member, at time.Time) (bool, core.StageResult) {
	if a.r == nil || a.r.unless == nil {
		return false, core.StageResult{}
	}
	a.m.world.fill(&a.m.env, &b.Event, b.Kind, at)
	v := a.m.judge(a.r.unless, core.StageUnless, "unless", verdict{})
	r := v.stages[0]
	r.OK = !v.ok
	switch {
	case v.failed:
		r.Text += "; it does not hold back"
	case v.ok:
		r.Text = "held back: unless is true (" + a.because() + ")"
	}
	return v.ok, r
}

// because names the usual reasons in m.env for which a rule holds back.
func (a asker) because() string {
	var out []string
	if a.m.env.InMaintenance {
		out = append(out, "in maintenance")
	}
	if a.m.env.Silenced {
		out = append(out, "silenced")
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
func (a asker) admit(*part) admission {
	mode := modeSingle
	if a.r != nil && a.r.Rule.Mode != "" {
		mode = a.r.Rule.Mode
	}
	running := a.m.running(a.id)
	out := admission{result: core.StageResult{Stage: core.StageMode, OK: true, Text: fmt.Sprintf("%s, %d running", mode, running)}}
	out.ok = a.r == nil || a.m.room(a.r)
	switch mode {
	case modeQueued:
		if out.ok && (running > 0 || len(a.r.queue) > 0) {
			out.queue = true
			out.result.Text += fmt.Sprintf(", %d before it in the queue", len(a.r.queue))
		}
	case modeRestart:
		if !out.ok {
			out.cancel = a.cancel()
			out.result.Text += ", cancelled; waits until they have ended"
		}
	}
	if !out.ok {
		out.result.OK = false
		out.result.Text += "; offered again when there is room"
	}
	return out
}

// cancel marks the running firings and names those not marked before.
func (a asker) cancel() []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(a.m.active[a.id])) {
		f := a.m.active[a.id][id]
		if !f.recovery && !f.cancelled {
			f.cancelled = true
			a.m.active[a.id][id] = f
			out = append(out, id)
		}
	}
	return out
}

// busy implements facts.
func (a asker) busy(episode string) bool {
	for _, f := range a.m.active[a.id] {
		if f.episode == episode {
			return true
		}
	}
	return false
}

// compose implements facts.
func (a asker) compose(f core.Firing, b *member, at time.Time) core.Firing {
	env := &a.m.env
	a.m.world.fill(env, &b.Event, b.Kind, at)
	rule := RuleVar{ID: a.id, Name: a.id}
	if a.r != nil {
		rule.Name = a.r.Rule.Label()
		if !f.Recovery {
			f.Steps = named(a.r.Rule.Do)
		}
	}
	code, sentence := "fired", "{subject} is {health}: {reason}"
	if f.Recovery {
		code, sentence = "recovered", "closed; {subject} is {health}: {reason}"
	}
	f.Why = core.Because(code, sentence, "subject", b.Subject.ID, "health", env.Health, "reason", env.Why)
	text, err := json.Marshal(env.stepEnv(f, rule))
	if err != nil {
		panic(fmt.Sprintf("encode the facts of %s: %v", f.ID, err)) // plain data always encodes
	}
	f.Env = text
	return f
}
