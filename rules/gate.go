package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// gate is what a rule demands before it may act; immutable.
type gate struct {
	rule, revision string
	runs           bool // it looks at runs
	dwell          time.Duration
	window         *core.Window // defaults filled in, or nil
	cooldown       time.Duration
	recover        []core.Step

	counted string // what follows a count of events: " of 3 in 10m"
	closes  string // and when the window is open
	lasts   string // how long a dwell takes
}

// word writes the sentences that are the same each time.
func (g *gate) word() {
	g.lasts = core.Duration(g.dwell).String()
	if w := g.window; w != nil {
		g.counted = fmt.Sprintf(" of %d %s", w.Count, scope(w, g.runs))
		g.closes = g.counted + "; " + ends(w)
	}
}

// every reports whether each matching change passes: nothing is demanded.
func (g *gate) every() bool {
	if g.window != nil {
		return g.window.Refire.EveryEvent
	}
	return g.dwell == 0 && g.cooldown == 0
}

// member is a subject that takes part in a partition.
type member struct {
	Subject core.Subject `json:"s"`
	Event   event        `json:"e"` // the newest that matched
	Kind    core.Kind    `json:"k"`
	Good    bool         `json:"g,omitempty"` // what matched is a recovery
	First   int64        `json:"f"`           // the event that made it a member
	From    time.Time    `json:"a"`           // what the dwell counts from
	Due     time.Time    `json:"d,omitzero"`  // end of the dwell, zero when none runs
	Held    bool         `json:"h,omitempty"` // passed the dwell
	Back    bool         `json:"c,omitempty"` // of a metric: it is back, and the window alone keeps it here
}

// state is what is kept of one partition. It is stored as JSON.
type state struct {
	Version int `json:"v"`
	tally
	Members []member              `json:"b,omitempty"`
	Watches []member              `json:"w,omitempty"` // matched but for a condition that time can make true
	Episode string                `json:"i,omitempty"`
	Fired   int                   `json:"n,omitempty"` // firings of the episode
	LastAt  time.Time             `json:"r,omitzero"`  // of the newest firing
	Pending core.Stage            `json:"q,omitempty"` // the stage that holds an offer back
	Offer   core.Subject          `json:"u,omitzero"`  // whose offer it is
	Since   time.Time             `json:"z,omitzero"`  // offered since
	Asked   time.Time             `json:"t,omitzero"`  // offered last; what happened before cannot let it through
	Ack     *core.Acknowledgement `json:"k,omitempty"` // of the episode
	Cool    time.Time             `json:"c,omitzero"`  // no episode fires before
	Recover []core.Step           `json:"y,omitempty"` // pinned when it fired
	Queued  []core.Firing         `json:"j,omitempty"` // let through, waiting for their turn
	Closing *core.Firing          `json:"x,omitempty"` // a recovery, waiting for the firings before it
}

// idle reports whether nothing is worth keeping.
func (s *state) idle() bool {
	return len(s.Members) == 0 && len(s.Watches) == 0 && len(s.Marks) == 0 && len(s.Spent) == 0 && s.Episode == "" &&
		s.Cool.IsZero() && len(s.Queued) == 0 && s.Closing == nil
}

// facts answers what a gate asks of the world.
type facts interface {
	// holds reports whether the rule's while is true of the member.
	holds(m *member, at time.Time) (bool, remark)
	// unless reports whether the rule must hold back now.
	unless(m *member, at time.Time) (bool, remark)
	// admit says what the rule's mode makes of one more firing.
	admit(p *part) admission
	// busy reports whether a firing of the episode is not final.
	busy(episode string) bool
	// compose completes a firing: facts, steps and reason.
	compose(f core.Firing, m *member, at time.Time) core.Firing
}

// admission is the verdict of the mode stage.
type admission struct {
	ok     bool
	queue  bool     // let through, in its turn
	cancel []string // firings to cancel first
	result remark
}

// part is one partition of one rule.
type part struct {
	state
	rule  *live // nil when it is there no longer
	gate  *gate
	key   string
	name  string // the partition
	dirty bool   // changed in this turn
	moved bool   // changed since the state was asked for last
	held  bool   // unless holds its offer back

	next    time.Time // when its timer is due; zero when none
	inHeap  time.Time // where the heap has it: at next or before
	handled int64     // the event whose offer was made already
	seen    time.Time // when it last changed or made its offer, for eviction
	index   []core.Subject
}

// match takes an event that the rule looks at and whose condition is true.
func (p *part) match(t *turn, ev *member) {
	p.dirty = true
	w := p.gate.window
	if w != nil {
		switch p.insert(w, mark{Seq: ev.First, At: t.at}) {
		case duplicate:
			return
		case tooLate:
			t.note(remark{stage: core.StageWindow, text: "older than " + w.Within.String() + " before the newest event; not counted"})
			t.say(p, ev, core.Drop, core.StageWindow, time.Time{})
			t.clear()
			p.drain(t, w)
			return
		case counted:
		}
	}
	m := p.join(ev)
	if w != nil && !p.count(t, w, m) {
		return
	}
	if p.Episode == "" {
		p.Episode = episodeID(p.gate, p.name, ev.First, t)
	}
	p.handled = t.seq
	p.approach(t, m)
}

// miss takes an event that has its place in a window over the newest events and
// does not match. It is said only when it closes the window.
func (p *part) miss(t *turn, ev *member) {
	w := p.gate.window
	if p.insert(w, mark{Seq: ev.First, At: t.at, Miss: true}) == duplicate {
		return
	}
	p.dirty = true
	for i := range p.Members {
		if m := &p.Members[i]; m.Subject == ev.Subject {
			m.Event = ev.Event // how it is now
		}
	}
	p.drain(t, w)
}

// drain closes a window over the newest events when an event left too few in
// it, and forgets it when none is left.
func (p *part) drain(t *turn, w *core.Window) {
	n := p.matches()
	switch {
	case w.Of == 0:
	case p.Latch && n <= w.Exit:
		t.note(remark{stage: core.StageWindow, n: n, need: w.Count, text: fmt.Sprintf("closes with %d left %s", n, scope(w, p.gate.runs))})
		p.shutdown(t, p.last(), "the window closed")
	case !p.Latch && n == 0 && p.Episode == "":
		p.Members = nil
	}
}

// join makes the subject a member, or renews what it is a member for.
func (p *part) join(ev *member) *member {
	for i := range p.Members {
		m := &p.Members[i]
		if m.Subject == ev.Subject {
			m.Event, m.Kind, m.Good, m.Back = ev.Event, ev.Kind, ev.Good, false
			return m
		}
	}
	p.Members = append(p.Members, *ev)
	return &p.Members[len(p.Members)-1]
}

// count is the window stage; it reports whether the event goes on.
func (p *part) count(t *turn, w *core.Window, m *member) bool {
	r := remark{stage: core.StageWindow, n: p.matches(), need: w.Count, say: opened, gate: p.gate}
	if !p.Latch && r.n < w.Count {
		r.say = counting
		t.note(r)
		t.say(p, m, core.Hold, core.StageWindow, time.Time{})
		return false
	}
	r.ok, p.Latch = true, true
	t.note(r)
	return true
}

// approach is the dwell stage and what comes after it, for an event.
func (p *part) approach(t *turn, m *member) {
	if p.gate.dwell > 0 && !m.Held {
		if m.Due.IsZero() {
			m.From, m.Due = t.at, t.at.Add(p.gate.dwell)
		}
		t.note(remark{stage: core.StageDwell, until: m.Due, say: dwelling, gate: p.gate, at: t.at})
		t.say(p, m, core.Hold, core.StageDwell, m.Due)
		return
	}
	if p.gate.dwell > 0 {
		t.note(remark{stage: core.StageDwell, ok: true, say: dwelt, span: t.at.Sub(m.From)})
	}
	p.again(t, m)
}

// again offers unless the episode fired and does not fire again for this.
func (p *part) again(t *turn, m *member) {
	if p.Fired > 0 && p.Pending == "" && !p.gate.every() {
		t.note(remark{stage: core.StageFiring, text: "the episode fired already"})
		t.say(p, m, core.Hold, core.StageFiring, p.refireAt())
		return
	}
	p.offer(t, m)
}

// offer asks the late stages and fires when they agree.
func (p *part) offer(t *turn, m *member) {
	p.seen = t.at
	if p.Ack != nil {
		p.dirty = p.dirty || p.Pending != ""
		p.Pending = ""
		t.note(remark{stage: core.StageFiring, text: p.Ack.String()})
		t.say(p, m, core.Hold, core.StageFiring, time.Time{})
		return
	}
	held, why := t.facts.unless(m, t.at)
	if why.stage != "" {
		t.note(why)
	}
	if held {
		p.suppress(t, m, core.StageUnless, time.Time{})
		return
	}
	if p.Fired == 0 && t.at.Before(p.Cool) {
		t.note(remark{stage: core.StageCooldown, until: p.Cool, text: "cooling down"})
		p.suppress(t, m, core.StageCooldown, p.Cool)
		return
	}
	if p.gate.cooldown > 0 {
		t.note(remark{stage: core.StageCooldown, ok: true, text: "not cooling down"})
	}
	if p.Closing != nil {
		t.note(remark{stage: core.StageMode, text: "waits until the recovery of the episode before it is sent"})
		p.suppress(t, m, core.StageMode, time.Time{})
		return
	}
	verdict := t.facts.admit(p)
	t.note(verdict.result)
	for _, id := range verdict.cancel {
		t.said = append(t.said, saying{cancel: id})
	}
	if !verdict.ok {
		p.suppress(t, m, core.StageMode, time.Time{})
		return
	}
	p.fire(t, m, verdict.queue)
}

// suppress keeps an offer for when the reason lifts. A timer that finds the
// same reason again says nothing.
func (p *part) suppress(t *turn, m *member, stage core.Stage, next time.Time) {
	known := p.Pending == stage && (t.event == nil || t.event.Subject != m.Subject)
	if p.Pending == "" {
		p.Since = t.at
	}
	p.dirty = p.dirty || p.Pending != stage || p.Offer != m.Subject
	p.Pending, p.Offer, p.Asked = stage, m.Subject, t.at
	if !known {
		t.say(p, m, core.Suppress, stage, next)
	}
}

func (p *part) fire(t *turn, m *member, queue bool) {
	p.dirty = true
	p.Fired++
	p.LastAt, p.Pending, p.Since, p.Asked = t.at, "", time.Time{}, time.Time{}
	p.Recover = p.gate.recover
	f := t.facts.compose(core.Firing{
		ID: p.Episode + "~" + strconv.Itoa(p.Fired), Rule: p.gate.rule, Revision: p.gate.revision, Partition: p.name,
		Episode: p.Episode, N: p.Fired, Subject: m.Subject, At: t.at, Status: core.FiringQueued,
	}, m, t.at)
	if queue {
		p.Queued = append(p.Queued, f)
		t.say(p, m, core.Hold, core.StageMode, time.Time{}).firing = f.ID
		return
	}
	t.note(remark{stage: core.StageFiring, ok: true, text: "fires as " + f.ID})
	t.say(p, m, core.Fire, core.StageFiring, p.refireAt()).firing = f.ID
	t.said = append(t.said, saying{fire: &f})
}

// release lets the oldest queued firing go.
func (p *part) release(t *turn) {
	f := p.Queued[0]
	p.Queued = slices.Delete(p.Queued, 0, 1)
	p.dirty = true
	m := &member{Subject: f.Subject}
	if i := slices.IndexFunc(p.Members, func(m member) bool { return m.Subject == f.Subject }); i >= 0 {
		m = &p.Members[i]
	}
	t.note(remark{stage: core.StageMode, ok: true, text: "its turn has come"})
	t.note(remark{stage: core.StageFiring, ok: true, text: "fires as " + f.ID})
	d := t.say(p, m, core.Fire, core.StageFiring, time.Time{})
	d.firing, d.episode = f.ID, f.Episode
	t.said = append(t.said, saying{fire: &f})
}

// recheck evaluates while of members that an event or the time may concern.
// A removed subject is released whatever while says.
func (p *part) recheck(t *turn, concerns func(*member) bool) {
	var last *member // of those that are gone
	n := 0
	for i := range p.Members {
		m := &p.Members[i]
		if concerns(m) && p.leaves(t, m) {
			last = new(*m)
			continue
		}
		if n < i {
			p.Members[n] = *m
		}
		n++
	}
	clear(p.Members[n:])
	p.Members = p.Members[:n]
	if last == nil || n > 0 {
		return
	}
	if p.Episode == "" {
		if w := p.gate.window; w != nil && w.Of > 0 {
			p.Marks, p.dirty = nil, true // nothing that would push them out will happen
		}
		return
	}
	if t.event != nil && t.event.Subject == last.Subject {
		last.Event = *t.event
		if t.event.Of == nil {
			last.Kind = kindOf(t.event.Transition)
		}
	}
	p.shutdown(t, last, "what it waited for no longer holds")
}

// leaves reports whether m is a member no longer, having ended its dwell when
// while is false. Of a window without a dwell, the window alone decides.
func (p *part) leaves(t *turn, m *member) bool {
	if t.event != nil && t.event.Removed && t.event.Subject == m.Subject {
		p.dirty = true
		p.letGo(t, m, remark{stage: core.StageDwell, text: "released: nothing watches it any more"})
		return true
	}
	if p.gate.window != nil && p.gate.dwell == 0 {
		return false
	}
	holds, why := t.facts.holds(m, t.at)
	if holds {
		return false
	}
	p.dirty = true
	p.letGo(t, m, why)
	return p.gate.window == nil
}

// letGo ends the dwell of m.
func (p *part) letGo(t *turn, m *member, why remark) {
	if !m.Due.IsZero() && !m.Held {
		t.note(why)
		t.say(p, m, core.Drop, core.StageDwell, time.Time{})
		t.clear()
	}
	m.Due, m.Held, m.From = time.Time{}, false, time.Time{}
	if p.gate.window != nil && p.Offer == m.Subject {
		p.Pending = "" // it is offered anew when the dwell has passed again
	}
}

// shutdown closes the episode; when it fired, its recovery goes out as soon as
// its firings are final.
func (p *part) shutdown(t *turn, m *member, text string) {
	p.dirty = true
	switch {
	case p.Fired > 0:
		p.conclude(t, m, text)
	case p.Pending != "":
		t.note(remark{stage: p.Pending, text: "closed before it could fire: " + text})
		t.say(p, m, core.Drop, p.Pending, time.Time{})
	}
	if p.gate.window != nil {
		p.shut(p.gate.window)
	}
	t.clear()
	p.Members, p.Episode, p.Fired, p.LastAt = nil, "", 0, time.Time{}
	p.Pending, p.Offer, p.Since, p.Asked, p.Recover, p.Ack = "", core.Subject{}, time.Time{}, time.Time{}, nil, nil
}

func (p *part) conclude(t *turn, m *member, text string) {
	if p.gate.cooldown > 0 {
		p.Cool = t.at.Add(p.gate.cooldown)
	}
	f := t.facts.compose(core.Firing{
		ID: p.Episode + "~0", Rule: p.gate.rule, Revision: p.gate.revision, Partition: p.name, Episode: p.Episode,
		Recovery: true, Subject: m.Subject, At: t.at, Status: core.FiringQueued, Steps: p.Recover,
	}, m, t.at)
	wait := len(p.Queued) > 0 || t.facts.busy(p.Episode)
	t.note(remark{stage: core.StageFiring, ok: true, text: "recovers: " + text})
	if wait {
		t.note(remark{stage: core.StageMode, text: "waits until the firings before it are done"})
	}
	t.say(p, m, core.Recover, core.StageFiring, time.Time{}).firing = f.ID
	if wait {
		p.Closing = &f
		return
	}
	t.said = append(t.said, saying{fire: &f})
}

// settle sends the waiting recovery when the firings before it are final.
func (p *part) settle(t *turn) {
	if p.Closing == nil || len(p.Queued) > 0 || t.facts.busy(p.Closing.Episode) {
		return
	}
	p.dirty = true
	t.said = append(t.said, saying{fire: p.Closing})
	p.Closing = nil
}

// reoffer makes the offer that is held back again.
func (p *part) reoffer(t *turn) {
	if p.Pending == "" {
		return
	}
	for i := range p.Members {
		if p.Members[i].Subject == p.Offer {
			p.offer(t, &p.Members[i])
			return
		}
	}
	for i := range p.Members {
		if p.gate.dwell == 0 || p.Members[i].Held {
			p.offer(t, &p.Members[i])
			return
		}
	}
}

// refireAt is when an open gate fires again by itself, zero for never.
func (p *part) refireAt() time.Time {
	if w := p.gate.window; w != nil && w.Refire.Each > 0 && p.Fired > 0 && p.Pending == "" && p.Ack == nil {
		return p.LastAt.Add(w.Refire.Each.Std())
	}
	return time.Time{}
}

// tick does what is due at t.at. Now bounds how often a gate that missed its
// times fires again: once.
func (p *part) tick(t *turn, now time.Time) {
	due := func(at time.Time) bool { return !at.IsZero() && !at.After(t.at) }
	p.ripen(t)
	if due(p.refireAt()) && len(p.Members) > 0 {
		each := p.gate.window.Refire.Each.Std()
		t.note(remark{stage: core.StageWindow, ok: true, n: p.matches(), need: p.gate.window.Count, text: "open; fires again each " + p.gate.window.Refire.Each.String()})
		p.offer(t, &p.Members[0])
		if missed := now.Sub(p.LastAt).Truncate(each); p.Pending == "" && missed > 0 {
			p.LastAt, p.dirty = p.LastAt.Add(missed), true
		}
		t.clear()
	}
	if p.Pending == core.StageCooldown && due(p.Cool) {
		p.reoffer(t)
		t.clear()
	}
	if w := p.gate.window; w != nil {
		if p.Latch && due(p.closes(w)) {
			n := p.matches()
			p.prune(w, t.at)
			left := p.matches()
			t.note(remark{stage: core.StageWindow, n: left, need: w.Count, text: fmt.Sprintf("closes with %d left of %d", left, n)})
			p.shutdown(t, p.last(), "the window closed")
		}
		p.dryOut(w, t.at)
	}
	if due(p.Cool) {
		p.Cool, p.dirty = time.Time{}, true
	}
}

// ripen fires the dwells that are over.
func (p *part) ripen(t *turn) {
	for i := range p.Members {
		m := &p.Members[i]
		if m.Held || m.Due.IsZero() || m.Due.After(t.at) {
			continue
		}
		p.dirty = true
		m.Held = true
		if holds, why := t.facts.holds(m, t.at); !holds {
			m.Held = false
			p.letGo(t, m, why)
			continue
		}
		t.note(remark{stage: core.StageDwell, ok: true, until: m.Due, text: "held for " + p.gate.lasts})
		p.again(t, m)
		t.clear()
	}
}

// dryOut forgets what is out of the window.
func (p *part) dryOut(w *core.Window, at time.Time) {
	if over := p.forgets(w); p.Latch || over.IsZero() || over.After(at) {
		return
	}
	p.dirty = true
	p.Marks, p.Spent = nil, nil
	if p.Episode == "" {
		p.Members = nil
	}
}

// last is the member that a decision about the whole partition names.
func (p *part) last() *member {
	if n := len(p.Members); n > 0 {
		return &p.Members[n-1]
	}
	return &member{}
}

// wakes is when tick is next needed, zero for never.
func (p *part) wakes() time.Time {
	var next time.Time
	soonest := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for i := range p.Members {
		if !p.Members[i].Held {
			soonest(p.Members[i].Due)
		}
	}
	soonest(p.refireAt())
	soonest(p.Cool)
	if w := p.gate.window; w != nil {
		if p.Latch {
			soonest(p.closes(w))
		} else {
			soonest(p.forgets(w))
		}
	}
	return next
}

// episodeID names an episode after what opened it, so that replaying the Log
// gives the same name. A condition that time made true may open more than one
// for the same event; then the instant is part of the name.
func episodeID(g *gate, partition string, seq int64, t *turn) string {
	opened := strconv.FormatInt(seq, 10)
	if seq < 0 {
		opened = "r" + opened[1:] // a run
	}
	if t.event == nil {
		opened += "t" + strconv.FormatInt(t.at.UnixMilli(), 36)
	}
	return strings.Join([]string{g.rule, g.revision, partName(partition), opened}, "~")
}

// partName is a partition as a part of an id and of an HTTP header.
func partName(partition string) string {
	system, check := core.SplitAssignmentID(partition)
	if len(partition) <= 80 && core.CheckName(system) == nil && (partition == system || core.CheckName(check) == nil) {
		return partition
	}
	sum := sha256.Sum256([]byte(partition))
	return "x" + hex.EncodeToString(sum[:8])
}

// clock names its zone: who reads it may be in another.
func clock(t time.Time) string { return t.UTC().Format("15:04:05 UTC") }
