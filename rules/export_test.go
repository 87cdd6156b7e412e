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

func (quiet) holds(*member, time.Time) (bool, remark)  { return true, remark{} }
func (quiet) unless(*member, time.Time) (bool, remark) { return false, remark{} }
func (quiet) admit(*part) admission                    { return admission{ok: true} }
func (quiet) busy(string) bool                         { return false }
func (quiet) compose(f core.Firing, _ *member, _ time.Time) core.Firing {
	return f
}

// Event gives the gate an event, which matches or only has its place among the
// newest, after the timers that are due before it, and returns the ids of what
// fired and recovered.
func (f *Flap) Event(seq int64, at time.Time, matches bool) []string {
	out := f.until(at, false)
	t := event{Transition: core.Transition{Seq: seq, At: at, Subject: core.Subject{Kind: core.OfSystem, ID: "s"}}}
	v := &turn{}
	v.reset(quiet{}, at, &t)
	if ev := (&member{Subject: t.Subject, Event: t, First: seq}); matches {
		f.p.match(v, ev)
	} else {
		f.p.miss(v, ev)
	}
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
	for _, s := range v.said {
		if s.fire != nil {
			out = append(out, s.fire.At.Format("15:04:05")+" "+s.fire.ID)
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

// Show makes the environment of an event ready.
func (m *Machine) Show(t *core.Transition) {
	m.show(&event{Transition: *t}, core.KindChanged, t.At)
}

// EvalWhen evaluates the condition of a rule over the environment that is ready,
// as the rule does, what it says included.
func (m *Machine) EvalWhen(rule string) bool {
	v, _ := m.judge(m.rules[rule].when, core.StageWhen, false)
	return v.ok
}

// Gate is what a rule makes of a matching event, but for writing its decisions
// out.
func (m *Machine) Gate(rule string, t *core.Transition) {
	r := m.rules[rule]
	m.event = event{Transition: *t}
	m.world.apply(t)
	m.ev = member{Subject: t.Subject, Event: m.event, Kind: core.KindChanged, First: t.Seq}
	p := m.part(r, t.Subject.ID, t.At, t.At)
	m.turn.reset(r.ask, t.At, &m.event)
	p.recheck(&m.turn, func(b *member) bool { return b.Subject == t.Subject })
	p.match(&m.turn, &m.ev)
	m.keep(p, t.At)
}

// Looks plays a wait for health == "healthy" that began at minute 0: at each
// minute of looks it sees what health did until then, and how it is. It returns
// what came of it and in which minute, and else when it would look again.
func Looks(w core.Wait, health map[int]core.Health, looks ...int) (outcome string, minute float64) {
	zero := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(minute int) time.Time { return zero.Add(time.Duration(minute) * time.Minute) }
	subject := core.Subject{Kind: core.OfSystem, ID: "web"}
	state := waiting{Began: zero, Look: zero}
	l := look{wait: &w, cond: nil, subject: subject, holds: func(m moment, _ time.Time) (bool, error) {
		return m.subject.health == core.Healthy, nil
	}}
	var when time.Time
	for _, now := range looks {
		var list []core.Transition
		seen := moment{subject: fact{health: core.Unhealthy}}
		for m := range now + 1 {
			if h, moved := health[m]; moved {
				t := core.Transition{Seq: int64(m) + 1, At: at(m), Subject: subject, To: h}
				seen.learn(t, subject)
				if t.Seq > state.Seen {
					list = append(list, t)
				}
			}
		}
		var err error
		if outcome, when, err = l.at(&state, seen, list, at(now)); err != nil {
			panic(err)
		}
		if outcome != "" {
			break
		}
	}
	return outcome, when.Sub(zero).Minutes()
}
