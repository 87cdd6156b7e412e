package rules

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Newest is the newest that is known of a subject: zero and nil when nothing
// is.
type Newest struct {
	Change core.Transition
	Run    *core.Run // of an assignment, with its samples
}

// Explain says how a rule stands to a subject at an instant. It moves nothing.
// It reports false when the rule is not in use.
func (m *Machine) Explain(rule string, subject core.Subject, newest Newest, now time.Time) (core.Explanation, bool) {
	r, ok := m.rules[rule]
	if !ok {
		return core.Explanation{}, false
	}
	x := &explainer{m: m, r: r, now: now, change: event{Transition: newest.Change}, out: core.Explanation{
		Rule: rule, Revision: r.Revision, At: now, Subject: subject, Stages: []core.StageResult{},
		Gate: WriteOut(r.Rule.Gate), Demands: Describe(r.Rule.Gate),
	}}
	if f, known := m.world.health[row(subject.Kind)][subject.ID]; known {
		x.out.Health, x.out.Since = f.health, new(f.since)
	}
	if r.runs {
		x.change = event{}
		if newest.Run != nil {
			x.change = m.world.event(newest.Run)
		}
	}
	x.find(subject)
	x.stages()
	x.answer()
	return x.out, true
}

// explainer is an explanation in the making.
type explainer struct {
	m      *Machine
	r      *live
	now    time.Time
	change event
	p      *part   // that the subject takes part in; nil when there is none
	b      *member // as which it does; nil when it does not
	kind   core.Kind
	out    core.Explanation
	next   time.Time // the latest of the stages that stand in the way
	never  bool      // one of them says no time
}

// find looks for the partition that the subject takes part in, and for the
// change that it takes part for.
func (x *explainer) find(subject core.Subject) {
	for _, p := range x.m.parts[subject] {
		if p.rule != x.r {
			continue
		}
		for i := range p.Members {
			if b := &p.Members[i]; b.Subject == subject {
				x.p, x.b, x.change, x.kind = p, b, b.Event, b.Kind
				return
			}
		}
	}
}

// say adds the verdict of a stage; the first that is not OK stands in the way.
func (x *explainer) say(r remark, need string, next time.Time) {
	var s core.StageResult
	r.result(&s)
	x.out.Stages = append(x.out.Stages, s)
	if s.OK {
		return
	}
	if x.out.Blocked == "" {
		x.out.Blocked, x.out.Need = s.Stage, need
	}
	x.never = x.never || next.IsZero()
	if next.After(x.next) {
		x.next = next
	}
}

func (x *explainer) stages() {
	x.trigger()
	if x.change.Seq == 0 {
		return
	}
	if x.change.Of == nil {
		x.out.Change = new(x.change.Transition)
	}
	x.when()
	x.partition()
	x.window()
	x.dwell()
	x.unless()
	x.cooldown()
	x.mode()
	x.firing()
}

func (x *explainer) trigger() {
	var names []string
	looks := false
	for _, t := range x.r.triggers {
		names = append(names, t.text)
		looks = looks || t.subject == x.out.Subject.Kind
	}
	all := strings.Join(names, " or ")
	need := all + ", of " + x.out.Subject.ID
	note := func(ok bool, text string) {
		x.say(remark{stage: core.StageTrigger, ok: ok, text: text}, need, time.Time{})
	}
	t := &x.change
	kind, sees := x.r.sees(t.Subject.Kind, x.m.index.of(t))
	switch {
	case !looks:
		note(false, fmt.Sprintf("it looks at %s, and not at any %s", all, x.out.Subject.Kind))
	case t.Seq == 0:
		note(false, fmt.Sprintf("no %s of %s is stored", x.r.word(), x.out.Subject.ID))
	case x.b != nil:
		note(true, all+", "+t.name())
	case t.Seq > x.m.cursor:
		note(false, fmt.Sprintf("the rules have not come to change %d yet", t.Seq))
	case !sees && t.Of != nil:
		note(false, fmt.Sprintf("the newest run, %d, was %s, which is not %s", t.Run, t.Of.Outcome, all))
	case !sees:
		note(false, fmt.Sprintf("the newest change, from %s to %s, is not %s", t.From, t.To, all))
	case t.Removed:
		note(false, "nothing watches it any more")
	case t.At.Before(x.r.begin):
		note(false, fmt.Sprintf("the newest %s was before %s, when the rule was saved, its gate edited or it was enabled", x.r.word(), full(x.r.begin)))
	default:
		note(true, all+", "+t.name())
	}
	if x.kind == "" {
		if x.kind = kind; !sees {
			x.kind = kindOf(t.Transition)
		}
	}
}

// word is what a rule looks at.
func (r *live) word() string {
	if r.runs {
		return "run"
	}
	return "change"
}

// name tells an event from others.
func (t *event) name() string {
	if t.Of != nil {
		return fmt.Sprintf("run %d", t.Run)
	}
	return fmt.Sprintf("change %d", t.Seq)
}

// full is an instant for people.
func full(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// when evaluates the conditions; of a change that was let through they say so,
// because they were true of it at its time.
func (x *explainer) when() {
	if x.b != nil {
		if x.r.when != nil {
			x.say(remark{stage: core.StageWhen, ok: true, text: "when was true of the change"}, "", time.Time{})
		}
		return
	}
	t := &x.change
	since := x.m.world.of(t.Subject).since
	x.metric()
	for i := range x.r.triggers {
		g := &x.r.triggers[i]
		if g.subject != t.Subject.Kind || g.kind != x.kind || g.when == nil {
			continue
		}
		x.m.show(t, x.kind, x.now)
		x.say(x.judge(g.when, core.StageTrigger), "the condition of the trigger must be true", g.when.changes(since, x.now))
	}
	if x.r.when == nil {
		return
	}
	x.m.show(t, x.kind, x.now)
	x.say(x.judge(x.r.when, core.StageWhen), "when must be true of a change", x.r.when.changes(since, x.now))
}

// metric says whether the number is beyond the threshold.
func (x *explainer) metric() {
	g := x.r.triggers[0].metric
	if g == nil {
		return
	}
	x.m.show(&x.change, core.KindMetric, x.now)
	v, err := x.m.number(g)
	r := remark{stage: core.StageTrigger, ok: err == nil && g.begins(v), failed: err != nil}
	if r.text = fmt.Sprintf("%s: it is %v", g.text, v); err != nil {
		r.text = g.text + ": " + err.Error()
	}
	x.say(r, g.text, time.Time{})
}

// judge evaluates a condition and says which values made it what it is.
func (x *explainer) judge(c *condition, stage core.Stage) remark {
	v, r := x.m.judge(c, stage, true)
	if !v.failed {
		r.text += ": " + c.Decided(&x.m.env)
	}
	return r
}

func (x *explainer) partition() {
	t := &x.change
	x.m.show(t, x.kind, x.now)
	name, by := x.m.partition(x.r, t)
	if x.p == nil {
		x.p = x.r.parts[name]
	}
	if x.p != nil {
		name = x.p.name
		x.out.Episode, x.out.Fired = x.p.Episode, x.p.Fired
	}
	x.out.Partition = name
	if by.stage != "" {
		by.ok = true // it does not stand in the way, whatever it is
		x.say(by, "", time.Time{})
	}
}

func (x *explainer) window() {
	w := x.r.gate.window
	if w == nil {
		return
	}
	y := tally{}
	if x.p != nil {
		y = x.p.tally
		y.Marks, y.Spent = append([]mark(nil), y.Marks...), nil
		y.prune(w, x.now)
	}
	n := remark{stage: core.StageWindow, ok: y.Latch, n: y.matches(), need: w.Count, say: opened, gate: &x.r.gate}
	if !y.Latch {
		n.say = counting
	}
	missing := w.Count - n.n
	x.say(n, fmt.Sprintf("%d more matching %s %s", missing, plural(missing, x.r.word()), scope(w, x.r.runs)), time.Time{})
}

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

// dwell says whether it holds and how long yet.
func (x *explainer) dwell() {
	g := &x.r.gate
	if g.dwell == 0 && (g.window != nil || x.r.while == nil) {
		return
	}
	b := x.b
	if b == nil {
		t := &x.change
		b = &member{Subject: t.Subject, Event: *t, Kind: x.kind, Good: t.good(), First: t.Seq}
	}
	explain := x.m.o.Explain
	x.m.o.Explain = true
	holds, why := x.r.ask.holds(b, x.now)
	x.m.o.Explain = explain
	switch {
	case !holds:
		x.say(why, "what must hold must be true", time.Time{})
	case g.dwell == 0 || b.Held:
		x.say(remark{stage: core.StageDwell, ok: true, text: "it holds"}, "", time.Time{})
	case b.Due.IsZero():
		x.say(remark{stage: core.StageDwell, text: "must hold for " + g.lasts + ", and has not begun to"}, "must hold for "+g.lasts, time.Time{})
	case !b.Due.After(x.now):
		x.say(remark{stage: core.StageDwell, ok: true, until: b.Due, text: "has held for " + g.lasts}, "", time.Time{})
	default:
		x.say(remark{stage: core.StageDwell, until: b.Due, say: dwelling, gate: g, at: x.now}, "must hold until "+clock(b.Due), b.Due)
	}
}

func (x *explainer) unless() {
	r := x.r
	if r.unless == nil {
		return
	}
	t := &x.change
	explain := x.m.o.Explain
	x.m.o.Explain = true
	held, why := r.ask.unless(&member{Subject: t.Subject, Event: *t, Kind: x.kind}, x.now)
	x.m.o.Explain = explain
	if !held {
		why.ok = true
		x.say(why, "", time.Time{})
		return
	}
	next := r.unless.changes(x.m.world.of(t.Subject).since, x.now)
	if r.unless.reads&spells != 0 {
		if end := x.m.world.lifts(&x.m.env, r.muted, x.now); !end.IsZero() && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	x.say(why, "unless must turn false", next)
}

// lifts is when the last of the maintenances and silences that are on for what
// a rule would act on ends, zero when none is.
func (w *world) lifts(env *Env, rule *core.MutedRule, now time.Time) time.Time {
	var end time.Time
	for i := range w.plans {
		if s := &w.plans[i]; s.on(now) && s.systems[env.System.ID] && s.ends.After(end) {
			end = s.ends
		}
	}
	for _, m := range w.muting(env, rule, now) {
		if m.ends.After(end) {
			end = m.ends
		}
	}
	return end
}

func (x *explainer) cooldown() {
	if x.r.gate.cooldown == 0 {
		return
	}
	if x.p != nil && x.p.Fired == 0 && x.now.Before(x.p.Cool) {
		x.say(remark{stage: core.StageCooldown, until: x.p.Cool, text: "cooling down until " + clock(x.p.Cool)}, "the cooldown must end", x.p.Cool)
		return
	}
	x.say(remark{stage: core.StageCooldown, ok: true, text: "not cooling down"}, "", time.Time{})
}

// mode says whether the firings before leave room, and cancels none of them.
func (x *explainer) mode() {
	if x.p != nil && x.p.Closing != nil {
		x.say(remark{stage: core.StageMode, text: "the recovery of the episode before is not sent yet"}, "the firings before must end", time.Time{})
		return
	}
	mode, running := x.r.Rule.Mode, x.m.running(x.r.Rule.ID)
	if mode == "" {
		mode = modeSingle
	}
	text := fmt.Sprintf("%s, %d running", mode, running)
	ok := x.m.room(x.r) || mode == modeRestart
	if x.p != nil && x.p.Fired > 0 { // it is through already
		ok = true
	}
	x.say(remark{stage: core.StageMode, ok: ok, text: text}, "a firing before must end", time.Time{})
}

func (x *explainer) firing() {
	p := x.p
	if p == nil || p.Fired == 0 || p.Pending != "" {
		return
	}
	text := fmt.Sprintf("fired %s, %d in this episode", full(p.LastAt), p.Fired)
	switch next := p.refireAt(); {
	case p.Ack != nil:
		x.say(remark{stage: core.StageFiring, text: text + "; " + p.Ack.String()}, "the episode must close, or its acknowledgement be taken back", time.Time{})
	case p.gate.every():
		x.say(remark{stage: core.StageFiring, ok: true, text: text}, "", time.Time{})
	case !next.IsZero():
		x.say(remark{stage: core.StageFiring, text: text}, "it fires again each "+p.gate.window.Refire.Each.String(), next)
	default:
		need := "the episode must close first: when it no longer holds"
		if w := p.gate.window; w != nil {
			need = "the episode must close first: it " + ends(w)
			if at := p.closes(w); !at.IsZero() {
				need += ", at the earliest " + full(at)
			}
		}
		x.say(remark{stage: core.StageFiring, text: text}, need, time.Time{})
	}
}

// answer puts the explanation into a sentence.
func (x *explainer) answer() {
	o := &x.out
	if !x.never && !x.next.IsZero() {
		o.NextAt = new(x.next)
	}
	last := func() string {
		for i := range o.Stages {
			if s := &o.Stages[i]; s.Stage == o.Blocked && !s.OK {
				return s.Text
			}
		}
		return ""
	}
	switch {
	case o.Fired > 0 && o.Blocked == core.StageFiring, o.Fired > 0 && o.Blocked == "":
		o.Text = fmt.Sprintf("It fired for %s at %s and the episode is open", o.Subject.ID, full(x.p.LastAt))
	case o.Fired > 0:
		o.Text = fmt.Sprintf("It fired for %s at %s; now %s stands in the way: %s", o.Subject.ID, full(x.p.LastAt), o.Blocked, last())
	case o.Blocked != "":
		o.Text = fmt.Sprintf("It does not fire for %s: %s: %s", o.Subject.ID, o.Blocked, last())
	default:
		o.Text = "Nothing stands in the way for " + o.Subject.ID + ": it fires at the next matching change"
		o.Need = "a matching change"
	}
}

// Explain says how a rule that is saved stands to a subject now. The Decisions
// are left to the caller, who has the Trace.
func (r *Runner) Explain(ctx context.Context, h store.History, rule string, subject core.Subject) (core.Explanation, error) {
	var newest Newest
	got, err := h.Transitions(ctx, store.TransitionQuery{Subject: subject, Limit: 1})
	if err != nil {
		return core.Explanation{}, fmt.Errorf("read the newest change of %s: %w", subject, err)
	}
	if len(got) > 0 {
		newest.Change = got[0]
	}
	if subject.Kind == core.OfAssignment {
		runs, err := h.Runs(ctx, store.RunQuery{Assignment: subject.ID, Limit: 1, WithDetails: true})
		if err != nil {
			return core.Explanation{}, fmt.Errorf("read the newest run of %s: %w", subject.ID, err)
		}
		if len(runs) > 0 {
			newest.Run = &runs[0]
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.o.Now()
	if x, ok := r.machine.Explain(rule, subject, newest, now); ok {
		return x, nil
	}
	x := core.Explanation{Rule: rule, At: now, Subject: subject, Health: newest.Change.To, Stages: []core.StageResult{}, Text: "The rule is disabled: it decides nothing", Need: "enable the rule"}
	if problems := r.machine.sick[rule]; len(problems) > 0 {
		x.Problems, x.Need = problems, "mend the rule"
		x.Text = "The rule does not compile and is quarantined: it decides nothing"
	}
	return x, nil
}
