package rules

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules/action"
)

// Changes is what conditions of steps know the present health from; a
// [store.History] is one.
type Changes interface {
	Transitions(ctx context.Context, q store.TransitionQuery) ([]core.Transition, error)
}

// control decides a step of flow. What it decides is the output of its
// delivery; what follows from that is the business of [Advance].
func (d *Deliveries) control(ctx context.Context, c store.Claimed, s *core.Step, env *StepEnv) result {
	switch s.Kind() {
	case "if":
		return d.branch(ctx, c, env, []core.Choice{{When: s.If}}, "then")
	case "choose":
		return d.branch(ctx, c, env, s.Choose, "")
	case "repeat":
		return d.again(ctx, c, s.Repeat, env)
	case "delay":
		return delay(c, s.Delay.Std(), d.o.Now())
	case "wait":
		return d.wait(ctx, c, s.Wait, env)
	case "let":
		return d.let(s.Let, env)
	case "stop":
		return d.stop(s.Stop, env)
	}
	return result{output: map[string]any{}} // parallel
}

// branch takes the first of choices that is true; its name is name, or its
// number.
func (d *Deliveries) branch(ctx context.Context, c store.Claimed, env *StepEnv, choices []core.Choice, name string) result {
	for i, choice := range choices {
		ok, err := d.condition(ctx, c, env, choice.When)
		if err != nil {
			return result{err: err}
		}
		if ok {
			return result{output: map[string]any{"taken": cmp.Or(name, strconv.Itoa(i))}}
		}
	}
	return result{output: map[string]any{"taken": "else"}}
}

// condition evaluates a condition of a step. It sees health, health_for, now
// and system.health as they are at present.
func (d *Deliveries) condition(ctx context.Context, c store.Claimed, env *StepEnv, source string) (bool, error) {
	p, err := d.compile(source)
	if err != nil {
		return false, err
	}
	seen := *env
	if d.o.Health != nil && readsPresent(p.Refs()) {
		now, err := d.present(ctx, c.Firing.Subject)
		if err != nil {
			return false, err
		}
		now.show(&seen, c.Firing.Subject, d.o.Now())
	}
	ok, err := p.Bool(&seen)
	if err != nil {
		return false, &action.RefusedError{Reason: err.Error()}
	}
	return ok, nil
}

func (d *Deliveries) compile(source string) (*lang.Program, error) {
	p, problems := lang.Compile(d.compiler.scopes().step, source, lang.Bool)
	if err := problems.Err(); err != nil {
		return nil, &action.RefusedError{Reason: err.Error()}
	}
	return p, nil
}

// readsPresent reports whether an expression reads what conditions see as it is
// at present.
func readsPresent(refs []string) bool {
	return slices.ContainsFunc(refs, func(ref string) bool {
		head, _, _ := strings.Cut(ref, ".")
		return head == "health" || head == "health_for" || head == "now" || ref == "system" || ref == "system.health"
	})
}

// moment is the health of the subject of a firing, and of its system.
type moment struct{ subject, system fact } //nolint:recvcheck // learn changes it

// present is the moment now.
func (d *Deliveries) present(ctx context.Context, s core.Subject) (moment, error) {
	var out moment
	var err error
	if out.subject, err = d.newest(ctx, s); err != nil {
		return out, err
	}
	out.system = out.subject
	if s.Kind == core.OfAssignment {
		out.system, err = d.newest(ctx, core.Subject{Kind: core.OfSystem, ID: systemOf(s)})
	}
	return out, err
}

func (d *Deliveries) newest(ctx context.Context, s core.Subject) (fact, error) {
	list, err := d.o.Health.Transitions(ctx, store.TransitionQuery{Subject: s, Limit: 1})
	if err != nil {
		return fact{}, fmt.Errorf("read the health of %s: %w", s, err)
	}
	if len(list) == 0 || list[0].Removed {
		return fact{}, nil
	}
	return fact{health: list[0].To, since: list[0].At}, nil
}

// show makes env what a condition sees at an instant.
func (m moment) show(env *StepEnv, s core.Subject, at time.Time) {
	env.Health, env.Now, env.HealthFor = m.subject.health.String(), at, 0
	if !m.subject.since.IsZero() {
		env.HealthFor = max(0, at.Sub(m.subject.since))
	}
	if s.Kind != core.OfGroup {
		env.System.Health = m.system.health.String()
	}
}

// learn takes over a transition of the subject or its system.
func (m *moment) learn(t core.Transition, s core.Subject) {
	now := fact{health: t.To, since: t.At}
	if t.Removed {
		now = fact{}
	}
	if t.Subject == s {
		m.subject = now
	}
	if t.Subject == (core.Subject{Kind: core.OfSystem, ID: systemOf(s)}) {
		m.system = now
	}
}

// again decides how often a repeat is done or, of a delivery for one time of
// it, whether it is done once more.
func (d *Deliveries) again(ctx context.Context, c store.Claimed, r *core.Repeat, env *StepEnv) result {
	if at, isTime := strings.CutSuffix(c.Place, "]"); isTime {
		k := at[strings.LastIndexByte(at, '[')+1:]
		source, want := r.While, true
		if r.Until != "" {
			if k == "0" {
				return result{output: map[string]any{"again": true}}
			}
			source, want = r.Until, false
			env.Repeat.Index-- // it is about the time that was
		}
		ok, err := d.condition(ctx, c, env, source)
		if err != nil {
			return result{err: err}
		}
		return result{output: map[string]any{"again": ok == want}}
	}
	switch {
	case r.Times > 0:
		return result{output: map[string]any{"count": r.Times}}
	case r.ForEach == "":
		return result{output: map[string]any{}}
	}
	p, problems := lang.Compile(d.compiler.scopes().step, r.ForEach, lang.Any)
	if err := problems.Err(); err != nil {
		return result{err: &action.RefusedError{Reason: "for_each: " + err.Error()}}
	}
	v, err := p.Eval(env)
	if err != nil {
		return result{err: &action.RefusedError{Reason: "for_each: " + err.Error()}}
	}
	var items []any
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &items)
	}
	switch {
	case err != nil:
		return result{err: &action.RefusedError{Reason: "for_each: is not a list"}}
	case len(items) > most(r):
		return result{err: &action.RefusedError{Reason: fmt.Sprintf("for_each: the list has %d, more than max, which is %d", len(items), most(r))}}
	}
	return result{output: map[string]any{"count": len(items), "items": items}}
}

// delay waits once. Until when is stored, so that a restart does not begin
// anew.
func delay(c store.Claimed, length time.Duration, now time.Time) result {
	var state struct {
		Until time.Time `json:"until"`
	}
	if json.Unmarshal(c.Output, &state) != nil || state.Until.IsZero() {
		state.Until = now.Add(length)
	}
	if now.Before(state.Until) {
		return result{again: state.Until, output: map[string]any{"until": state.Until}}
	}
	return result{output: map[string]any{"until": state.Until}}
}

// let evaluates names. Their types are stored beside them, because JSON has
// fewer.
func (d *Deliveries) let(names map[string]string, env *StepEnv) result {
	values, types := map[string]any{}, map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		p, problems := lang.Compile(d.compiler.scopes().step, names[name], lang.Any)
		if err := problems.Err(); err != nil {
			return result{err: &action.RefusedError{Reason: name + ": " + err.Error()}}
		}
		v, err := p.Eval(env)
		if err != nil {
			return result{err: &action.RefusedError{Reason: name + ": " + err.Error()}}
		}
		values[name] = plainSamples(map[string]any{"v": v})["v"]
		if t := valueType(v); t != core.AnySample {
			types[name] = string(t)
		}
	}
	return result{output: map[string]any{"values": values, "types": types}}
}

// valueType is the type of a value that JSON does not keep.
func valueType(v any) core.SampleType {
	switch v.(type) {
	case int64, int:
		return core.IntegerSample
	case time.Duration:
		return core.DurationSample
	case time.Time:
		return core.TimeSample
	}
	return core.AnySample
}

func (d *Deliveries) stop(s *core.Stop, env *StepEnv) result {
	text, problems := lang.CompileText(d.compiler.scopes().step, s.Reason)
	if err := problems.Err(); err != nil {
		return result{err: &action.RefusedError{Reason: "reason: " + err.Error()}}
	}
	reason, err := text.Render(env)
	if err != nil {
		return result{err: &action.RefusedError{Reason: "reason: " + err.Error()}}
	}
	return result{output: map[string]any{"reason": reason, "failed": s.Failed}}
}

// waiting is where a wait stands between two looks.
type waiting struct {
	Began time.Time `json:"began"`
	Since time.Time `json:"since,omitzero"` // it has held since then
	Seen  int64     `json:"seen"`           // the newest transition looked at
	Look  time.Time `json:"look"`           // when it was looked at last
}

// wait looks at what a wait waits for.
func (d *Deliveries) wait(ctx context.Context, c store.Claimed, w *core.Wait, env *StepEnv) result {
	p, err := d.compile(w.Until)
	if err != nil {
		return result{err: err}
	}
	var state waiting
	if json.Unmarshal(c.Output, &state) != nil {
		state = waiting{}
	}
	now := d.o.Now()
	first := state.Began.IsZero()
	if first {
		state = waiting{Began: now, Look: now}
	}
	var at moment
	var list []core.Transition
	if d.o.Health != nil {
		if list, err = d.moved(ctx, c.Firing.Subject, state); err == nil {
			at, err = d.present(ctx, c.Firing.Subject)
		}
		if err != nil {
			return result{err: err}
		}
	}
	if first { // what was before is not waited for
		for _, t := range list {
			state.Seen = max(state.Seen, t.Seq)
		}
		list = nil
	}
	cond := &condition{Program: p, spans: spans(w.Until)}
	for _, ref := range p.Refs() {
		cond.since, cond.now = cond.since || ref == "health_for", cond.now || ref == "now"
	}
	l := look{wait: w, cond: cond, subject: c.Firing.Subject, holds: func(m moment, now time.Time) (bool, error) {
		seen := *env
		if d.o.Health != nil {
			m.show(&seen, c.Firing.Subject, now)
		}
		return p.Bool(&seen)
	}}
	outcome, next, err := l.at(&state, at, list, now)
	switch {
	case err != nil:
		return result{err: &action.RefusedError{Reason: "until: " + err.Error()}}
	case outcome == "":
		return result{again: next, output: map[string]any{"began": state.Began, "since": state.Since, "seen": state.Seen, "look": state.Look}}
	}
	return result{output: map[string]any{"outcome": outcome, "waited": core.Duration(next.Sub(state.Began)).String()}}
}

// moved are the transitions of a subject and its system since a wait was looked
// at last, oldest first.
func (d *Deliveries) moved(ctx context.Context, s core.Subject, state waiting) ([]core.Transition, error) {
	q := store.TransitionQuery{Subject: s, Limit: 1000, Since: state.Look.Add(-time.Minute)}
	if id := systemOf(s); id != "" {
		q.Subject, q.System = core.Subject{}, id
	}
	list, err := d.o.Health.Transitions(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read what happened to %s: %w", s, err)
	}
	system := core.Subject{Kind: core.OfSystem, ID: systemOf(s)}
	list = slices.DeleteFunc(list, func(t core.Transition) bool { return t.Seq <= state.Seen || t.Subject != s && t.Subject != system })
	slices.SortFunc(list, func(a, b core.Transition) int { return cmp.Compare(a.Seq, b.Seq) })
	return list, nil
}

// look is one look at what a wait waits for. It is pure.
type look struct {
	wait    *core.Wait
	cond    *condition
	subject core.Subject
	holds   func(moment, time.Time) (bool, error)
}

// at takes in what happened since the last look, in order, and says what came
// of the wait and when: met, timeout, or nothing yet and when to look again.
// What happened while nobody looked counts at its own time.
func (l look) at(state *waiting, now moment, list []core.Transition, at time.Time) (outcome string, when time.Time, err error) {
	deadline := state.Began.Add(l.wait.Timeout.Std())
	for i := range list {
		t := &list[i]
		state.Seen = max(state.Seen, t.Seq)
		if outcome, when := l.over(state, deadline, t.At); outcome != "" {
			return outcome, when, nil
		}
		if t.At.Before(state.Began) {
			continue
		}
		then := now // of the other subject the health at present is near enough
		then.learn(*t, l.subject)
		if err := l.judge(state, then, t.At); err != nil {
			return "", when, err
		}
	}
	if outcome, when := l.over(state, deadline, at.Add(-1)); outcome != "" {
		return outcome, when, nil
	}
	if err := l.judge(state, now, at); err != nil {
		return "", when, err
	}
	state.Look = at
	if outcome, when := l.over(state, deadline, at); outcome != "" {
		return outcome, when, nil
	}
	next := deadline
	if !state.Since.IsZero() {
		if met := state.Since.Add(l.wait.For.Std()); met.Before(next) {
			next = met
		}
	}
	if timed := l.cond.changes(now.subject.since, at); !timed.IsZero() && timed.Before(next) {
		next = timed
	}
	return "", next, nil
}

// judge notes whether it holds at an instant.
func (l look) judge(state *waiting, m moment, at time.Time) error {
	ok, err := l.holds(m, at)
	switch {
	case err != nil:
		return err
	case !ok:
		state.Since = time.Time{}
	case state.Since.IsZero():
		state.Since = at
	}
	return nil
}

// over is what came of the wait up to an instant, and when.
func (l look) over(state *waiting, deadline, until time.Time) (string, time.Time) {
	if !state.Since.IsZero() {
		if met := state.Since.Add(l.wait.For.Std()); !met.After(until) && !met.After(deadline) {
			return "met", met
		}
	}
	if !deadline.After(until) {
		return "timeout", deadline
	}
	return "", time.Time{}
}
