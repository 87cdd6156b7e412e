package rules

import (
	"encoding/json"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Flap is a flap gate on its own, for the property test.
type Flap struct {
	p *part
	w *core.Window
}

// NewFlap makes a flap gate.
func NewFlap(w core.Window) *Flap {
	full := withDefaults(&w)
	return &Flap{p: &part{gate: &gate{rule: "r", revision: "v", window: full}, name: "p"}, w: full}
}

// quiet is a world in which nothing holds back.
type quiet struct{}

func (quiet) holds(*member, time.Time) (bool, core.StageResult)  { return true, core.StageResult{} }
func (quiet) unless(*member, time.Time) (bool, core.StageResult) { return false, core.StageResult{} }
func (quiet) admit(*part) admission                              { return admission{ok: true} }
func (quiet) busy(string) bool                                   { return false }
func (quiet) compose(f core.Firing, _ *member, _ time.Time) core.Firing {
	return f
}

// Event gives the gate an event, after the timers that are due before it, and
// returns the ids of what fired and recovered.
func (f *Flap) Event(seq int64, at time.Time) []string {
	out := f.until(at, false)
	t := core.Transition{Seq: seq, At: at, Subject: core.Subject{Kind: core.OfSystem, ID: "s"}}
	v := &turn{facts: quiet{}, at: at, seq: seq, event: &t}
	f.p.match(v, member{Subject: t.Subject, Event: t, First: seq})
	return append(out, fired(v)...)
}

// Until lets time pass.
func (f *Flap) Until(at time.Time) []string { return f.until(at, true) }

func (f *Flap) until(at time.Time, inclusive bool) []string {
	var out []string
	for {
		due := f.p.wakes()
		if due.IsZero() || due.After(at) || due.Equal(at) && !inclusive {
			return out
		}
		v := &turn{facts: quiet{}, at: due}
		f.p.tick(v, due)
		out = append(out, fired(v)...)
	}
}

// Restart stores the state and reads it again.
func (f *Flap) Restart() error {
	text, err := json.Marshal(&f.p.state)
	if err != nil {
		return err
	}
	f.p = &part{gate: f.p.gate, name: f.p.name}
	return json.Unmarshal(text, &f.p.state)
}

// Size is how many events the gate remembers.
func (f *Flap) Size() int { return len(f.p.Marks) + len(f.p.Spent) }

func fired(v *turn) []string {
	var out []string
	for _, o := range v.out {
		if o.Firing != nil {
			out = append(out, o.Firing.At.Format("15:04:05")+" "+o.Firing.ID)
		}
	}
	return out
}

// Wants is what an expression demands of the system, as tag=value.
func Wants(source string) []string {
	var out []string
	for _, w := range wants(source) {
		out = append(out, w.tag+"="+w.value)
	}
	return out
}

// EvalWhen evaluates the condition of a rule over an event, environment and
// all.
func (m *Machine) EvalWhen(rule string, t *core.Transition) (bool, error) {
	m.world.fill(&m.env, t, core.KindChanged, t.At)
	return m.rules[rule].when.Bool(&m.env)
}
