package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// lateAfter is how long after its time a decision is called late.
const lateAfter = time.Minute

// Output is one thing that a Machine decided; one of its fields is set.
type Output struct {
	Decision *core.Decision
	Firing   *core.Firing // to be carried out
	Cancel   string       // a firing to be cancelled
}

// MachineOptions bound a Machine.
type MachineOptions struct {
	// Explain adds the value of each sub-expression to decisions. Default false.
	Explain bool
	// Instant takes every firing as done at once, so that modes hold nothing
	// back: for replay, where nothing is carried out. Default false.
	Instant bool
	// Forget keeps nothing that would have to be stored, and leaves out the facts
	// and steps of firings: for backtests. [Machine.Changes] is empty then.
	// Default false.
	Forget bool
	// Partitions is how many partitions a rule may have; the one that changed
	// least lately is given up for a new one. Default 10,000.
	Partitions int
}

// Stats counts what a Machine met.
type Stats struct {
	Evaluated int64 `json:"evaluated" doc:"pairs of an event and a candidate rule"`
	Late      int64 `json:"late" doc:"decisions made more than a minute after their time"`
	Evicted   int64 `json:"evicted" doc:"partitions given up because a rule had too many"`
}

// Saved is a Rule and the instant it was saved at.
type Saved struct {
	Rule core.Rule
	At   time.Time
}

// Machine decides what rules make of transitions and of the passing of time.
// It is pure: it has no clock, does no I/O and starts no goroutine, and the same
// inputs give the same outputs. It is not safe for concurrent use.
//
// Whoever owns it feeds it the Log in order, wakes it when [Machine.NextWake]
// has come, tells it which firings are not final, and stores
// [Machine.Changes] together with the outputs.
type Machine struct {
	c     *Compiler
	o     MachineOptions
	world *world
	stats Stats

	cursor int64     // newest event dealt with
	runs   int64     // newest run dealt with
	clock  time.Time // newest instant dealt with

	rules  map[string]*live
	sick   map[string]core.Problems // rules that do not compile
	stored map[string][]byte        // gate state of rules that are not live
	index  index
	spread []*live                  // whose windows count the newest events of several subjects, in order of id
	parts  map[core.Subject][]*part // that have the subject or one of its assignments as a member, in order of key
	held   map[*part]bool           // whose offer unless holds back
	blamed map[*part]bool           // of these, where unless reads causes
	waits  map[*live]bool           // that may have something that waits for firings
	timers timers
	edges  []time.Time // when a maintenance or a silence begins or ends

	acked  int               // partitions whose episode is acknowledged
	active map[string]*doing // by rule: firings that are not final
	moved  []*part           // whose state is to be stored, oldest first
	marks  map[string][]byte // other state to be stored

	// What follows is used again and again, so that an event that comes to
	// nothing leaves nothing to collect.
	env   Env    // what expressions see; evaluation does not keep it
	shown bool   // env is of event
	lacks lazy   // what is not in env yet
	event event  // the one that is dealt with
	ev    member // made of it
	turn  turn
	notes []remark // of conditions
	found []*live  // candidates
	near  []*part  // that an event touches
	out   []Output
}

// doing are the firings of a rule that are not final.
type doing struct {
	firings  map[string]activity
	running  int            // recoveries apart
	episodes map[string]int // how many firings each has
}

// activity is a firing that is not final.
type activity struct {
	recovery  bool
	cancelled bool
}

// live is a rule in use.
type live struct {
	*Program
	stamp   int64 // the event it was considered for last
	ask     *asker
	begin   time.Time // events before are not its business
	parts   map[string]*part
	waiting []*part // offers that the mode holds back, oldest first
	queue   []*part // owners of queued firings, oldest first
	closing map[*part]bool
	unknown int64     // the event whose condition could not be evaluated
	told    time.Time // when it said last that an expression failed of a run
}

// NewMachine makes a Machine without rules that knows of no system.
func NewMachine(c *Compiler, o MachineOptions) *Machine {
	if o.Partitions <= 0 {
		o.Partitions = 10_000
	}
	return &Machine{
		c: c, o: o, world: newWorld(), rules: map[string]*live{}, sick: map[string]core.Problems{}, stored: map[string][]byte{},
		index: newIndex(), parts: map[core.Subject][]*part{}, held: map[*part]bool{}, blamed: map[*part]bool{}, waits: map[*live]bool{},
		active: map[string]*doing{}, marks: map[string][]byte{},
	}
}

// Stats counts since the Machine was made.
func (m *Machine) Stats() Stats { return m.stats }

// Cursor is the Seq of the newest event that was dealt with.
func (m *Machine) Cursor() int64 { return m.cursor }

// Quarantined are the rules that do not compile, and why. Their gate state is
// kept until they compile again or are edited.
func (m *Machine) Quarantined() map[string]core.Problems { return maps.Clone(m.sick) }

// Restore gives the Machine what was stored: it must come before
// [Machine.SetRules].
func (m *Machine) Restore(cursor int64, state map[string][]byte) {
	m.cursor = cursor
	maps.Copy(m.stored, state)
	m.takeMark()
}

// SetHealth tells how a subject was when the events to come began.
func (m *Machine) SetHealth(s core.Subject, h core.Health, since time.Time) {
	m.world.set(s, fact{health: h, since: since})
}

// SetCatalog tells what people wrote. What a maintenance or a silence held back
// and holds back no longer is offered again.
func (m *Machine) SetCatalog(c Catalog, now time.Time) []Output {
	edges := m.world.learn(c, m.c.selects, m.c.mutes)
	m.edges = slices.DeleteFunc(edges, func(at time.Time) bool { return !at.After(m.clock) })
	out := m.lift(now, now)
	m.acknowledge(&out, now)
	return out
}

// Feed deals with one transition: first with the timers before it, then with
// the event itself. One that was dealt with already is ignored. The time of the
// event is taken as now when it is in the future.
func (m *Machine) Feed(t core.Transition, now time.Time) []Output {
	if t.Seq <= m.cursor {
		return nil
	}
	m.cursor = t.Seq
	at := t.At
	if at.After(now) {
		at = now
	}
	m.out = m.out[:0]
	m.advance(&m.out, at, false, now)
	m.world.apply(&t)
	if at.After(m.clock) {
		m.clock = at
	}
	m.event, m.shown = event{Transition: t}, false
	return m.handle(at, now)
}

// handle deals with m.event.
func (m *Machine) handle(at, now time.Time) []Output {
	m.recheck(at, now)
	of := m.index.of(&m.event)
	for _, r := range m.candidates(&m.event, of) {
		m.consider(r, of, at, now)
	}
	m.misses(at, now)
	for _, p := range m.retry(&m.event) {
		if p.handled != m.event.Seq {
			m.run(&m.out, p, at, now, &m.event, func(v *turn) { p.reoffer(v) })
		}
	}
	if len(m.out) == 0 {
		return nil
	}
	out := slices.Clone(m.out)
	clear(m.out)
	return out
}

// recheck looks again, in order of their keys, at the partitions that the event
// may concern.
func (m *Machine) recheck(at, now time.Time) {
	s := m.event.Subject
	m.near = append(m.near[:0], m.parts[s]...)
	for _, p := range m.near {
		if m.event.Of != nil && !p.rule.runs {
			continue // it looks at health alone
		}
		all := p.rule.while != nil
		m.run(&m.out, p, at, now, &m.event, func(v *turn) {
			p.Watches = slices.DeleteFunc(p.Watches, func(w member) bool { return w.Subject == s && (w.Event.Of == nil) == (m.event.Of == nil) })
			p.recheck(v, func(b *member) bool { return all || b.Subject == s })
		})
	}
}

// misses gives the event to the windows that count it among the newest and that
// it did not match.
func (m *Machine) misses(at, now time.Time) {
	t := &m.event
	if t.Removed {
		return
	}
	m.near = m.near[:0]
	for _, p := range m.parts[t.Subject] {
		if p.rule.by == nil && p.rule.numbers(t) {
			m.near = append(m.near, p)
		}
	}
	for _, r := range m.spread {
		if len(r.parts) == 0 || !r.numbers(t) {
			continue
		}
		m.show(t, core.KindChanged, at)
		name, _ := m.partition(r, t)
		if p := r.parts[name]; p != nil {
			m.near = append(m.near, p)
		}
	}
	m.ev = member{Subject: t.Subject, Event: *t, First: t.Seq}
	for _, p := range m.near {
		if place(t.Seq) > p.Top {
			m.run(&m.out, p, at, now, t, func(v *turn) { p.miss(v, &m.ev) })
		}
	}
}

// numbers reports whether a window of the rule counts the event among the
// newest, whether or not it matches: it is of a subject that a trigger looks at,
// and says something of it. A run that could not be asked does so only for rules
// that look at those; an event whose condition could not be evaluated does not.
func (r *live) numbers(t *event) bool {
	if w := r.gate.window; w == nil || w.Of == 0 || (t.Of != nil) != r.runs || r.unknown == t.Seq || t.At.Before(r.begin) {
		return false
	}
	unasked := t.Of != nil && t.Of.Outcome == core.Error
	for i := range r.triggers {
		g := &r.triggers[i]
		if g.subject == t.Subject.Kind && (!unasked || g.kind == core.KindError || g.kind == core.KindCompleted) {
			return true
		}
	}
	return false
}

// good reports whether it is good news.
func (t *event) good() bool {
	if t.Of != nil {
		return t.Of.Outcome == core.Pass
	}
	return t.To == core.Healthy
}

func sorted(set map[*part]bool) []*part {
	if len(set) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(set), byKey)
}

func byKey(a, b *part) int { return cmp.Compare(a.key, b.key) }

// retry are the partitions whose offer unless holds back and for which this
// event is reason to offer again: it is of one of their subjects, or of a
// system that may be the cause.
func (m *Machine) retry(t *event) []*part {
	if len(m.held) == 0 {
		return nil
	}
	m.near = m.near[:0]
	for _, p := range m.parts[t.Subject] {
		if p.held {
			m.near = append(m.near, p)
		}
	}
	if t.Subject.Kind == core.OfSystem && len(m.blamed) > 0 {
		for p := range m.blamed {
			m.near = append(m.near, p)
		}
		slices.SortFunc(m.near, byKey)
		m.near = slices.Compact(m.near)
	}
	return m.near
}

// Wake deals with all timers that are due.
func (m *Machine) Wake(now time.Time) []Output { return m.wake(now, now) }

// wake deals with the timers that are due until an instant in the past.
func (m *Machine) wake(until, now time.Time) []Output {
	var out []Output
	m.advance(&out, until, true, now)
	if until.After(m.clock) {
		m.clock = until
	}
	return out
}

// NextWake is when [Machine.Wake] is next needed, zero for never.
func (m *Machine) NextWake() time.Time {
	m.timers.clean()
	var next time.Time
	if len(m.timers) > 0 {
		next = m.timers[0].at
	}
	if len(m.edges) > 0 && (next.IsZero() || m.edges[0].Before(next)) {
		next = m.edges[0]
	}
	return next
}

// advance runs the timers that are due before an instant, or at it too, each at
// its own.
func (m *Machine) advance(out *[]Output, until time.Time, inclusive bool, now time.Time) {
	for at := m.NextWake(); !at.IsZero() && (at.Before(until) || inclusive && at.Equal(until)); at = m.NextWake() {
		if at.After(m.clock) {
			m.clock = at
		}
		if len(m.edges) > 0 && m.edges[0].Equal(at) {
			m.edges = m.edges[1:]
			*out = append(*out, m.lift(at, now)...)
			continue
		}
		p := m.timers.take()
		m.run(out, p, at, now, nil, func(v *turn) { m.ring(v, p, now) })
	}
}

// ring is a timer of a partition.
func (m *Machine) ring(v *turn, p *part, now time.Time) {
	r := p.rule
	if r.while != nil && r.while.Timed() {
		p.recheck(v, func(*member) bool { return true })
		v.clear()
	}
	p.tick(v, now)
	v.clear()
	if p.Pending == core.StageUnless && r.unless != nil && r.unless.Timed() {
		p.reoffer(v)
		v.clear()
	}
	for _, w := range slices.Clone(p.Watches) {
		m.show(&w.Event, w.Kind, v.at)
		verdict := m.condition(r, w.Kind, w.Subject.Kind, m.index.of(&w.Event))
		if !verdict.ok {
			continue
		}
		p.Watches = slices.DeleteFunc(p.Watches, func(o member) bool { return o.Subject == w.Subject })
		v.notes = append(v.notes, m.notes...)
		p.match(v, &w)
		v.clear()
	}
}

// lift offers again what was held back, and looks again at what depends on
// facts that came from people.
func (m *Machine) lift(at, now time.Time) []Output {
	var out []Output
	for _, p := range sorted(m.held) {
		if at.Before(p.Asked) {
			continue // after a restart the past comes by again
		}
		m.run(&out, p, at, now, nil, func(v *turn) { p.reoffer(v) })
	}
	for _, r := range m.sortedRules() {
		if r.while == nil || !r.while.facts {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(r.parts)) {
			p := r.parts[name]
			m.run(&out, p, at, now, nil, func(v *turn) { p.recheck(v, func(*member) bool { return true }) })
		}
	}
	return out
}

func (m *Machine) sortedRules() []*live {
	return slices.SortedFunc(maps.Values(m.rules), byID)
}

// consider is one rule's view of the event.
func (m *Machine) consider(r *live, of kinds, at, now time.Time) {
	t := &m.event
	if t.At.Before(r.begin) {
		return
	}
	kind, ok := r.sees(t.Subject.Kind, of)
	if !ok {
		return
	}
	m.stats.Evaluated++
	if t.Removed {
		m.notes = append(m.notes[:0], remark{stage: core.StageTrigger, text: "nothing watches it any more"})
		m.reject(r, at, now)
		return
	}
	if g := r.triggers[0].metric; g != nil {
		begins, err := m.crosses(r, g, at)
		if err != nil {
			m.notes = append(m.notes[:0], remark{stage: core.StageTrigger, failed: true, text: g.text + " cannot be told: " + err.Error()})
			m.reject(r, at, now)
		}
		if !begins {
			return
		}
	}
	m.show(t, kind, at)
	verdict := m.condition(r, kind, t.Subject.Kind, of)
	if verdict.failed {
		r.unknown = t.Seq
	}
	if !verdict.ok && (verdict.failed || !verdict.timed) {
		m.reject(r, at, now)
		return
	}
	m.ev = member{Subject: t.Subject, Event: *t, Kind: kind, Good: t.good(), First: t.Seq}
	name, by := m.partition(r, t)
	p := m.part(r, name, at, now)
	m.run(&m.out, p, at, now, t, func(v *turn) {
		v.notes = append(v.notes, m.notes...)
		if by.stage != "" {
			v.note(by)
		}
		if verdict.ok {
			p.match(v, &m.ev)
			return
		}
		p.Watches = append(p.Watches, m.ev)
		p.dirty = true
		v.say(p, &m.ev, core.Drop, core.StageWhen, m.timed(p, r, v.at))
	})
}

// reject decides against the event, by the last of m.notes, before it reaches
// any partition.
//
// Of runs there are many: of those nothing is said but that an expression could
// not be evaluated, and that once a minute.
func (m *Machine) reject(r *live, at, now time.Time) {
	v, t := &m.turn, &m.event
	if t.Of != nil {
		if !m.notes[len(m.notes)-1].failed || at.Before(r.told.Add(time.Minute)) {
			return
		}
		r.told = at
	}
	v.reset(r.ask, at, t)
	v.notes = append(v.notes, m.notes...)
	v.said = append(v.said, saying{
		verdict: core.Drop, stage: v.notes[len(v.notes)-1].stage, subject: t.Subject, from: t.From, to: t.To, end: len(v.notes),
	})
	m.emit(&m.out, &r.gate, "", now)
}

// sees finds the first trigger that looks at an event of kinds of a subject.
func (r *live) sees(subject core.SubjectKind, of kinds) (core.Kind, bool) {
	for i := range r.triggers {
		if g := &r.triggers[i]; g.subject == subject && g.bit&of != 0 {
			return g.kind, true
		}
	}
	return "", false
}

// show makes m.env what expressions see of an event at an instant. What is lazy
// is fetched when it is needed.
func (m *Machine) show(t *event, kind core.Kind, at time.Time) {
	if own := t == &m.event; !own || !m.shown || m.env.Now != at {
		m.world.fill(&m.env, t, kind, at)
		m.shown, m.lacks = own, everything
		return
	}
	m.env.Kind = string(kind)
}

// fetch adds lazy parts to m.env, as a rule sees them.
func (m *Machine) fetch(parts lazy, rule *core.MutedRule) {
	lacks := m.lacks
	if len(m.world.mutes) > 0 {
		lacks |= spells // a silence may be about some rules only
	}
	if parts &= lacks; parts != 0 {
		m.world.fetch(&m.env, parts, rule)
		m.lacks &^= parts
	}
}

// verdict is what the conditions of a rule said.
type verdict struct {
	ok     bool
	failed bool
	timed  bool // could be another at another time
}

// condition evaluates the conditions of the triggers that look at kinds of
// events, of which one must be true, and that of the rule, over m.env. It
// leaves what they said in m.notes.
func (m *Machine) condition(r *live, kind core.Kind, subject core.SubjectKind, of kinds) verdict {
	m.notes = append(m.notes[:0], remark{stage: core.StageTrigger, ok: true})
	for i := range r.triggers {
		if g := &r.triggers[i]; g.kind == kind && g.subject == subject {
			m.notes[0].text = g.text
			break
		}
	}
	out := m.triggered(r, subject, of)
	if !out.ok || r.when == nil {
		return out
	}
	v, note := m.judge(r.when, core.StageWhen, m.o.Explain)
	m.notes = append(m.notes, note)
	v.timed = v.timed || out.timed
	return v
}

// triggered evaluates the conditions of the triggers of a subject that look at
// kinds of events: the event is let through when one of them is true.
func (m *Machine) triggered(r *live, subject core.SubjectKind, of kinds) verdict {
	var out verdict
	for i := range r.triggers {
		g := &r.triggers[i]
		if g.subject != subject || g.bit&of == 0 {
			continue
		}
		if g.when == nil {
			m.notes = m.notes[:1]
			return verdict{ok: true}
		}
		v, note := m.judge(g.when, core.StageTrigger, m.o.Explain)
		m.notes = append(m.notes[:1], note)
		if v.ok {
			return v
		}
		v.timed = v.timed || out.timed
		out = v
	}
	return out
}

// judge evaluates a condition over m.env.
func (m *Machine) judge(c *condition, stage core.Stage, explain bool) (verdict, remark) {
	m.fetch(c.reads, c.rule)
	ok, err := c.Bool(&m.env)
	r := remark{stage: stage, ok: ok && err == nil, text: c.isFalse}
	switch {
	case err != nil:
		r.failed, r.text = true, c.name+" cannot be evaluated: "+err.Error()
	case ok:
		r.text = c.isTrue
	}
	if explain {
		r.nodes = c.Explain(&m.env)
	}
	return verdict{ok: r.ok, failed: err != nil, timed: c.Timed()}, r
}

// partition evaluates by. What is null, empty or an error gives the subject a
// partition of its own, with a stage that says so.
func (m *Machine) partition(r *live, t *event) (string, remark) {
	if r.by == nil {
		if r.mixed {
			return t.Subject.String(), remark{}
		}
		return t.Subject.ID, remark{}
	}
	m.fetch(r.reads, r.muted)
	value, err := r.by.Eval(&m.env)
	var reason string
	switch {
	case err != nil:
		reason = "cannot be evaluated: " + err.Error()
	case value == nil:
		reason = "is null"
	default:
		name := fmt.Sprint(value)
		if name != "" && len(name) <= 512 {
			return name, remark{stage: core.StageBy, ok: true, text: name}
		}
		reason = "is empty or longer than 512 bytes"
	}
	return "(no partition) " + t.Subject.String(), remark{stage: core.StageBy, failed: true, text: "by " + reason + "; the subject is on its own"}
}

// part finds or makes a partition of a rule.
func (m *Machine) part(r *live, name string, at, now time.Time) *part {
	if p, ok := r.parts[name]; ok {
		return p
	}
	if len(r.parts) >= m.o.Partitions {
		m.evict(r, at, now)
	}
	p := &part{rule: r, gate: &r.gate, name: name, key: stateKey(r.Rule.ID, r.Revision, name)}
	r.parts[name] = p
	return p
}

// evict gives up the partition that changed least lately, one that never fired
// if there is any.
func (m *Machine) evict(r *live, at, now time.Time) {
	var victim *part
	for _, p := range r.parts {
		switch {
		case victim == nil, p.Fired == 0 && victim.Fired > 0:
			victim = p
		case (p.Fired == 0) == (victim.Fired == 0) && cmp.Or(p.seen.Compare(victim.seen), cmp.Compare(p.key, victim.key)) < 0:
			victim = p
		}
	}
	m.stats.Evicted++
	m.end(&m.out, victim, at, now, fmt.Sprintf("given up: the rule has more than %d partitions", m.o.Partitions))
}

// end closes whatever a partition has open and forgets it. A recovery that
// waits is sent now.
func (m *Machine) end(out *[]Output, p *part, at, now time.Time, text string) {
	m.run(out, p, at, now, nil, func(v *turn) {
		waits := p.Pending == "" && p.Fired == 0 && len(p.Members) > 0
		if waits {
			stage := core.StageDwell
			if p.gate.window != nil {
				stage = core.StageWindow
			}
			v.note(remark{stage: stage, text: text})
			v.say(p, p.last(), core.Drop, stage, time.Time{})
			v.clear()
		}
		for len(p.Queued) > 0 {
			p.release(v)
			v.clear()
		}
		p.shutdown(v, p.last(), text)
		if p.Closing != nil {
			v.said = append(v.said, saying{fire: p.Closing})
		}
		p.state = state{}
		p.dirty = true
	})
}

// run evaluates one partition and takes over what came of it.
func (m *Machine) run(out *[]Output, p *part, at, now time.Time, event *event, f func(*turn)) {
	v, ask := &m.turn, &asker{m, nil, p.gate.rule}
	if p.rule != nil {
		ask = p.rule.ask
	}
	v.reset(ask, at, event)
	f(v)
	m.emit(out, p.gate, p.name, now)
	m.keep(p, at)
}

// begin notes a firing that is not final.
func (m *Machine) begin(f *core.Firing) {
	if m.o.Instant || len(f.Steps) == 0 {
		return
	}
	d := m.active[f.Rule]
	if d == nil {
		d = &doing{firings: map[string]activity{}, episodes: map[string]int{}}
		m.active[f.Rule] = d
	}
	if _, known := d.firings[f.ID]; known {
		return
	}
	d.firings[f.ID] = activity{recovery: f.Recovery}
	d.episodes[f.Episode]++
	if !f.Recovery {
		d.running++
	}
}

// keep brings the Machine's indexes up to date with a partition.
func (m *Machine) keep(p *part, at time.Time) {
	if p.dirty {
		p.seen, p.dirty = at, false
		if !p.moved && !m.o.Forget {
			p.moved = true
			m.moved = append(m.moved, p)
		}
	}
	m.reindex(p)
	if held := p.Pending == core.StageUnless; held != p.held {
		m.hold(p, held)
	}
	r := p.rule
	if r == nil {
		return
	}
	m.queue(r, p)
	if p.idle() {
		p.next = time.Time{}
		delete(r.parts, p.name)
		return
	}
	m.timers.set(p, m.timed(p, r, at))
}

// hold notes whether unless holds back the offer of a partition.
func (m *Machine) hold(p *part, held bool) {
	p.held = held
	if !held {
		delete(m.held, p)
		delete(m.blamed, p)
		return
	}
	m.held[p] = true
	if p.rule != nil && p.rule.unless != nil && p.rule.unless.causes {
		m.blamed[p] = true
	}
}

// queue notes what of a partition waits for firings of its rule.
func (m *Machine) queue(r *live, p *part) {
	if p.Pending == core.StageMode && !slices.Contains(r.waiting, p) {
		r.waiting = append(r.waiting, p)
	}
	if len(p.Queued) > 0 {
		for n := count(r.queue, p); n < len(p.Queued); n++ {
			r.queue = append(r.queue, p)
		}
	}
	if p.Closing != nil {
		r.closing[p] = true
	} else if len(r.closing) > 0 {
		delete(r.closing, p)
	}
	if len(r.waiting)+len(r.queue)+len(r.closing) > 0 {
		m.waits[r] = true
	}
}

func count(list []*part, p *part) int {
	n := 0
	for _, o := range list {
		if o == p {
			n++
		}
	}
	return n
}

// timed is when a partition next needs its timer: for its gate or for a
// condition that time can change.
func (m *Machine) timed(p *part, r *live, at time.Time) time.Time {
	next := p.wakes()
	if !r.timed {
		return next
	}
	soonest := func(due time.Time) {
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	for i := range p.Members {
		since := m.world.of(p.Members[i].Subject).since
		soonest(r.while.changes(since, at))
		if p.Pending == core.StageUnless {
			soonest(r.unless.changes(since, at))
		}
	}
	for i := range p.Watches {
		since := m.world.of(p.Watches[i].Subject).since
		soonest(r.when.changes(since, at))
		for _, g := range r.triggers {
			soonest(g.when.changes(since, at))
		}
	}
	return next
}

// reindex notes which subjects a partition has to do with.
func (m *Machine) reindex(p *part) {
	if p.indexed() {
		return
	}
	for _, s := range p.index {
		list := slices.DeleteFunc(m.parts[s], func(o *part) bool { return o == p })
		if m.parts[s] = list; len(list) == 0 {
			delete(m.parts, s)
		}
	}
	p.index = p.index[:0]
	add := func(s core.Subject) {
		p.index = append(p.index, s)
		i, _ := slices.BinarySearchFunc(m.parts[s], p, byKey)
		if list := m.parts[s]; i == len(list) || list[i] != p {
			m.parts[s] = slices.Insert(list, i, p)
		}
	}
	for _, list := range [2][]member{p.Members, p.Watches} {
		for i := range list {
			s := list[i].Subject
			if s.Kind == core.OfAssignment {
				add(core.Subject{Kind: core.OfSystem, ID: systemOf(s)})
			}
			add(s)
		}
	}
}

// indexed reports whether the index has the partition as it is.
func (p *part) indexed() bool {
	rest := p.index
	for _, list := range [2][]member{p.Members, p.Watches} {
		for i := range list {
			s := list[i].Subject
			n := 1
			if s.Kind == core.OfAssignment {
				n = 2 // its system is before it
			}
			if len(rest) < n || rest[n-1] != s {
				return false
			}
			rest = rest[n:]
		}
	}
	return len(rest) == 0
}

// Active tells which firings are not final. What waited for those that are
// now is offered again or sent.
func (m *Machine) Active(firings []core.Firing, now time.Time) []Output {
	before := m.active
	m.active = map[string]*doing{}
	for i := range firings {
		f := &firings[i]
		m.begin(f)
		if was := before[f.Rule]; was != nil && was.firings[f.ID].cancelled {
			m.active[f.Rule].firings[f.ID] = activity{cancelled: true}
		}
	}
	var out []Output
	m.settleAll(&out, now)
	return out
}

// settleAll lets go what waits for firings and need not any longer.
func (m *Machine) settleAll(out *[]Output, now time.Time) {
	for _, r := range slices.SortedFunc(maps.Keys(m.waits), byID) {
		m.settle(out, r, now)
		if len(r.waiting)+len(r.queue)+len(r.closing) == 0 {
			delete(m.waits, r)
		}
	}
}

// settle lets go what the firings of a rule no longer hold back.
func (m *Machine) settle(out *[]Output, r *live, now time.Time) {
	for _, p := range sorted(r.closing) {
		m.run(out, p, now, now, nil, func(v *turn) { p.settle(v) })
	}
	for len(r.queue) > 0 && m.running(r.Rule.ID) == 0 {
		p := r.queue[0]
		r.queue = r.queue[1:]
		if len(p.Queued) > 0 {
			m.run(out, p, now, now, nil, func(v *turn) { p.release(v) })
		}
	}
	for n := len(r.waiting); n > 0 && m.room(r); n-- {
		p := r.waiting[0]
		r.waiting = r.waiting[1:]
		if p.Pending == core.StageMode {
			m.run(out, p, now, now, nil, func(v *turn) { p.reoffer(v) })
		}
	}
}

// running counts the firings of a rule that are not final, recoveries apart.
func (m *Machine) running(rule string) int {
	if d := m.active[rule]; d != nil {
		return d.running
	}
	return 0
}

// room reports whether the mode of a rule lets one more firing through.
func (m *Machine) room(r *live) bool {
	n := m.running(r.Rule.ID)
	switch r.Rule.Mode {
	case modeParallel:
		return n < limit(r.Rule)
	case modeQueued:
		return n == 0 && len(r.queue) == 0 || len(r.queue) < limit(r.Rule)
	}
	return n == 0
}

func limit(r core.Rule) int {
	if r.Max > 0 {
		return r.Max
	}
	return 10
}

// stateKey names the gate state of a partition: rule/revision/partition.
func stateKey(rule, revision, partition string) string {
	return rule + "/" + revision + "/" + partition
}

func splitKey(key string) (rule, revision, partition string) {
	rule, rest, _ := strings.Cut(key, "/")
	revision, partition, _ = strings.Cut(rest, "/")
	return rule, revision, partition
}

// Changes is the gate state that changed since it was asked last, by key, to
// be stored with the outputs; nil deletes.
func (m *Machine) Changes() map[string][]byte {
	out := make(map[string][]byte, len(m.moved)+len(m.marks))
	for _, p := range m.moved {
		switch {
		case !p.moved: // it was taken back
		case p.idle():
			out[p.key] = nil
		default:
			out[p.key] = p.encode()
		}
		p.moved = false
	}
	maps.Copy(out, m.marks)
	clear(m.moved)
	m.moved = m.moved[:0]
	clear(m.marks)
	return out
}

func (p *part) encode() []byte {
	p.Version = 1
	text, err := json.Marshal(&p.state)
	if err != nil {
		panic(fmt.Sprintf("encode gate state %s: %v", p.key, err)) // plain data always encodes
	}
	return text
}

// busy reports whether a firing is known that is not final.
func (m *Machine) busy() bool { return len(m.active) > 0 }
