package rules

import (
	"cmp"
	"container/heap"
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
	clock  time.Time // newest instant dealt with

	rules  map[string]*live
	sick   map[string]core.Problems // rules that do not compile
	stored map[string][]byte        // gate state of rules that are not live
	index  index
	parts  map[core.Subject]map[*part]bool // that have the subject or one of its assignments as a member
	held   map[*part]bool                  // whose offer unless holds back
	timers timers
	edges  []time.Time // when a maintenance or a silence begins or ends

	active map[string]map[string]activity // by rule and firing: not final
	dirty  map[string]*part               // by key; nil: deleted
	marks  map[string][]byte              // other state to be stored

	env Env // reused; evaluation does not keep it
}

// activity is a firing that is not final.
type activity struct {
	episode   string
	recovery  bool
	cancelled bool
}

// live is a rule in use.
type live struct {
	*Program
	begin   time.Time // events before are not its business
	parts   map[string]*part
	waiting []*part // offers that the mode holds back, oldest first
	queue   []*part // owners of queued firings, oldest first
	closing map[*part]bool
	stamp   int64 // the event it was considered for last
}

// NewMachine makes a Machine without rules that knows of no system.
func NewMachine(c *Compiler, o MachineOptions) *Machine {
	if o.Partitions <= 0 {
		o.Partitions = 10_000
	}
	return &Machine{
		c: c, o: o, world: newWorld(), rules: map[string]*live{}, sick: map[string]core.Problems{}, stored: map[string][]byte{},
		index: newIndex(), parts: map[core.Subject]map[*part]bool{}, held: map[*part]bool{},
		active: map[string]map[string]activity{}, dirty: map[string]*part{}, marks: map[string][]byte{},
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
}

// SetHealth tells how a subject was when the events to come began.
func (m *Machine) SetHealth(s core.Subject, h core.Health, since time.Time) {
	m.world.health[s] = fact{health: h, since: since}
}

// SetCatalog tells what people wrote. What a maintenance or a silence held back
// and holds back no longer is offered again.
func (m *Machine) SetCatalog(c Catalog, now time.Time) []Output {
	edges := m.world.learn(c, m.c.selects)
	m.edges = slices.DeleteFunc(edges, func(at time.Time) bool { return !at.After(m.clock) })
	return m.lift(now, now)
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
	out := m.advance(func(due time.Time) bool { return due.Before(at) }, now)
	m.world.apply(t)
	if at.After(m.clock) {
		m.clock = at
	}
	for _, p := range m.touched(t.Subject) {
		m.run(&out, p, at, now, &t, func(v *turn) {
			p.Watches = slices.DeleteFunc(p.Watches, func(w member) bool { return w.Subject == t.Subject })
			p.recheck(v, func(b *member) bool { return b.Subject == t.Subject || m.rules[p.gate.rule].while != nil })
		})
	}
	for _, r := range m.index.candidates(m, &t) {
		m.consider(&out, r, &t, at, now)
	}
	for _, p := range m.retry(&t) {
		if p.handled != t.Seq {
			m.run(&out, p, at, now, &t, func(v *turn) { p.reoffer(v) })
		}
	}
	return out
}

// touched are the partitions that a change of the subject may concern, in
// order of their keys.
func (m *Machine) touched(s core.Subject) []*part {
	return sorted(m.parts[s])
}

func sorted(set map[*part]bool) []*part {
	if len(set) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b *part) int { return cmp.Compare(a.key, b.key) })
}

// retry are the partitions whose offer unless holds back and for which this
// event is reason to offer again: it is of one of their subjects, or of a
// system that may be the cause.
func (m *Machine) retry(t *core.Transition) []*part {
	if len(m.held) == 0 {
		return nil
	}
	mine := m.parts[t.Subject]
	again := map[*part]bool{}
	for p := range m.held {
		r := m.rules[p.gate.rule]
		if mine[p] || r != nil && r.unless != nil && r.unless.causes && t.Subject.Kind == core.OfSystem {
			again[p] = true
		}
	}
	return sorted(again)
}

// Wake deals with all timers that are due.
func (m *Machine) Wake(now time.Time) []Output { return m.wake(now, now) }

// wake deals with the timers that are due until an instant in the past.
func (m *Machine) wake(until, now time.Time) []Output {
	out := m.advance(func(due time.Time) bool { return !due.After(until) }, now)
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

// advance runs the timers that are due, each at its own instant.
func (m *Machine) advance(due func(time.Time) bool, now time.Time) []Output {
	var out []Output
	for at := m.NextWake(); !at.IsZero() && due(at); at = m.NextWake() {
		if at.After(m.clock) {
			m.clock = at
		}
		if len(m.edges) > 0 && m.edges[0].Equal(at) {
			m.edges = m.edges[1:]
			out = append(out, m.lift(at, now)...)
			continue
		}
		p := m.timers.take()
		m.run(&out, p, at, now, nil, func(v *turn) { m.ring(v, p, now) })
	}
	return out
}

// ring is a timer of a partition.
func (m *Machine) ring(v *turn, p *part, now time.Time) {
	r := m.rules[p.gate.rule]
	if r.while != nil && r.while.Timed() {
		p.recheck(v, func(*member) bool { return true })
		v.stages = nil
	}
	p.tick(v, now)
	v.stages = nil
	if p.Pending == core.StageUnless && r.unless != nil && r.unless.Timed() {
		p.reoffer(v)
		v.stages = nil
	}
	for _, w := range slices.Clone(p.Watches) {
		m.world.fill(&m.env, &w.Event, w.Kind, v.at)
		verdict := m.condition(r, w.Kind, w.Subject.Kind)
		if !verdict.ok {
			continue
		}
		p.Watches = slices.DeleteFunc(p.Watches, func(o member) bool { return o.Subject == w.Subject })
		v.stages = verdict.stages
		p.match(v, w)
		v.stages = nil
	}
}

// lift offers again what was held back, and looks again at what depends on
// facts that came from people.
func (m *Machine) lift(at, now time.Time) []Output {
	var out []Output
	for _, p := range sorted(m.held) {
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
	return slices.SortedFunc(maps.Values(m.rules), func(a, b *live) int { return cmp.Compare(a.Rule.ID, b.Rule.ID) })
}

// consider is one rule's view of one event.
func (m *Machine) consider(out *[]Output, r *live, t *core.Transition, at, now time.Time) {
	if t.At.Before(r.begin) {
		return
	}
	kind, ok := r.sees(t)
	if !ok {
		return
	}
	m.stats.Evaluated++
	ev := member{Subject: t.Subject, Event: *t, Kind: kind, Good: t.To == core.Healthy, First: t.Seq}
	if t.Removed {
		m.reject(out, r, &ev, at, now, core.Drop, core.StageResult{Stage: core.StageTrigger, Text: "nothing watches it any more"})
		return
	}
	m.world.fill(&m.env, t, kind, at)
	verdict := m.condition(r, kind, t.Subject.Kind)
	if !verdict.ok && (verdict.failed || !verdict.timed) {
		m.reject(out, r, &ev, at, now, core.Drop, verdict.stages...)
		return
	}
	name, by := m.partition(r, t)
	p := m.part(out, r, name, at, now)
	m.run(out, p, at, now, t, func(v *turn) {
		v.stages = append(v.stages, verdict.stages...)
		if by.Stage != "" {
			v.note(by)
		}
		if verdict.ok {
			p.match(v, ev)
			return
		}
		p.Watches = append(p.Watches, ev)
		p.dirty = true
		v.say(p, &ev, core.Drop, core.StageWhen, m.timed(p, r, v.at))
	})
}

// reject decides against an event before it reaches any partition.
func (m *Machine) reject(out *[]Output, r *live, ev *member, at, now time.Time, v core.DecisionVerdict, stages ...core.StageResult) {
	p := &part{gate: &r.gate}
	t := &turn{at: at, seq: ev.Event.Seq, event: &ev.Event, stages: stages}
	t.say(p, ev, v, stages[len(stages)-1].Stage, time.Time{})
	m.emit(out, t, now)
}

// sees finds the first trigger that looks at the event.
func (r *live) sees(t *core.Transition) (core.Kind, bool) {
	for _, g := range r.triggers {
		if g.subject == t.Subject.Kind && t.Is(g.kind) {
			return g.kind, true
		}
	}
	return "", false
}

// verdict is what the conditions of a rule said.
type verdict struct {
	ok     bool
	failed bool
	timed  bool // could be another at another time
	stages []core.StageResult
}

// condition evaluates the conditions of the triggers that are of the kind, of
// which one must be true, and that of the rule, over m.env.
func (m *Machine) condition(r *live, kind core.Kind, of core.SubjectKind) verdict {
	out := verdict{stages: make([]core.StageResult, 1, 8)}
	out.stages[0] = core.StageResult{Stage: core.StageTrigger, OK: true, Text: "health." + string(kind) + " of " + string(of)}
	if !m.triggered(r, of, &out) {
		return out
	}
	if r.when == nil {
		out.ok = true
		return out
	}
	return m.judge(r.when, core.StageWhen, "when", out)
}

// triggered evaluates the conditions of the triggers of a subject kind that
// the event in m.env is for: the event is let through when one of them is.
func (m *Machine) triggered(r *live, of core.SubjectKind, out *verdict) bool {
	var failed *verdict
	for i, g := range r.triggers {
		if g.subject != of || !m.isKind(g.kind) {
			continue
		}
		if g.when == nil {
			return true
		}
		v := m.judge(g.when, core.StageTrigger, fmt.Sprintf("on[%d].when", i), verdict{stages: out.stages[:1:1]})
		if v.ok {
			*out = v
			return true
		}
		v.timed = v.timed || failed != nil && failed.timed
		failed = &v
	}
	if failed != nil {
		*out = *failed
	}
	return false
}

// isKind reports whether the event in m.env is of a kind.
func (m *Machine) isKind(k core.Kind) bool {
	var from, to core.Health
	if from.UnmarshalText([]byte(m.env.From)) != nil || to.UnmarshalText([]byte(m.env.To)) != nil {
		return false
	}
	return core.Transition{From: from, To: to}.Is(k)
}

func (m *Machine) judge(c *condition, stage core.Stage, what string, v verdict) verdict {
	ok, err := c.Bool(&m.env)
	r := core.StageResult{Stage: stage, OK: ok && err == nil, Text: what + " is false"}
	switch {
	case err != nil:
		r.Failed, r.Text = true, what+" cannot be evaluated: "+err.Error()
	case ok:
		r.Text = what + " is true"
	}
	if m.o.Explain {
		r.Nodes = c.Explain(&m.env)
	}
	v.ok, v.failed, v.timed = r.OK, err != nil, v.timed || c.Timed()
	v.stages = append(v.stages, r)
	return v
}

// partition evaluates by. What is null, empty or an error gives the subject a
// partition of its own, with a stage that says so.
func (m *Machine) partition(r *live, t *core.Transition) (string, core.StageResult) {
	if r.by == nil {
		if r.mixed {
			return t.Subject.String(), core.StageResult{}
		}
		return t.Subject.ID, core.StageResult{}
	}
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
			return name, core.StageResult{Stage: core.StageBy, OK: true, Text: name}
		}
		reason = "is empty or longer than 512 bytes"
	}
	return "(no partition) " + t.Subject.String(), core.StageResult{Stage: core.StageBy, Failed: true, Text: "by " + reason + "; the subject is on its own"}
}

// part finds or makes a partition of a rule.
func (m *Machine) part(out *[]Output, r *live, name string, at, now time.Time) *part {
	if p, ok := r.parts[name]; ok {
		return p
	}
	if len(r.parts) >= m.o.Partitions {
		m.evict(out, r, at, now)
	}
	p := &part{gate: &r.gate, name: name, key: stateKey(r.Rule.ID, r.Revision, name)}
	r.parts[name] = p
	return p
}

// evict gives up the partition that changed least lately, one that never fired
// if there is any.
func (m *Machine) evict(out *[]Output, r *live, at, now time.Time) {
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
	m.end(out, victim, at, now, fmt.Sprintf("given up: the rule has more than %d partitions", m.o.Partitions))
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
			v.note(core.StageResult{Stage: stage, Text: text})
			v.say(p, p.last(), core.Drop, stage, time.Time{})
			v.stages = nil
		}
		for len(p.Queued) > 0 {
			p.release(v)
			v.stages = nil
		}
		p.shutdown(v, p.last(), text)
		if p.Closing != nil {
			v.out = append(v.out, Output{Firing: p.Closing})
		}
		p.state = state{}
		p.dirty = true
	})
}

// run evaluates one partition and takes over what came of it.
func (m *Machine) run(out *[]Output, p *part, at, now time.Time, event *core.Transition, f func(*turn)) {
	r := m.rules[p.gate.rule]
	v := &turn{facts: asker{m, r, p.gate.rule}, at: at, event: event}
	if event != nil {
		v.seq = event.Seq
	}
	f(v)
	m.emit(out, v, now)
	m.keep(r, p, at)
}

// emit completes the outputs of a turn and notes firings as active.
func (m *Machine) emit(out *[]Output, v *turn, now time.Time) {
	late := now.Sub(v.at) > lateAfter
	for _, o := range v.out {
		if d := o.Decision; d != nil {
			d.Decided, d.Late = now, late
			if late {
				m.stats.Late++
			}
		}
		if f := o.Firing; f != nil {
			f.Created, f.Late = now, now.Sub(f.At) > lateAfter
			m.begin(f)
		}
		*out = append(*out, o)
	}
}

func (m *Machine) begin(f *core.Firing) {
	if m.o.Instant || len(f.Steps) == 0 {
		return
	}
	if m.active[f.Rule] == nil {
		m.active[f.Rule] = map[string]activity{}
	}
	m.active[f.Rule][f.ID] = activity{episode: f.Episode, recovery: f.Recovery}
}

// keep brings the Machine's indexes up to date with a partition.
func (m *Machine) keep(r *live, p *part, at time.Time) {
	if p.dirty {
		p.seen = at
		m.dirty[p.key] = p
		p.dirty = false
	}
	m.reindex(p)
	if p.Pending == core.StageUnless {
		m.held[p] = true
	} else {
		delete(m.held, p)
	}
	if r == nil {
		return
	}
	if p.Pending == core.StageMode && !slices.Contains(r.waiting, p) {
		r.waiting = append(r.waiting, p)
	}
	for n := count(r.queue, p); n < len(p.Queued); n++ {
		r.queue = append(r.queue, p)
	}
	if p.Closing != nil {
		r.closing[p] = true
	} else {
		delete(r.closing, p)
	}
	if p.idle() {
		if _, stored := m.dirty[p.key]; stored {
			m.dirty[p.key] = nil
		}
		p.next = time.Time{}
		delete(r.parts, p.name)
		return
	}
	m.timers.set(p, m.timed(p, r, at))
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
	soonest := func(due time.Time) {
		if !due.IsZero() && (next.IsZero() || due.Before(next)) {
			next = due
		}
	}
	for i := range p.Members {
		since := m.world.health[p.Members[i].Subject].since
		soonest(r.while.changes(since, at))
		if p.Pending == core.StageUnless {
			soonest(r.unless.changes(since, at))
		}
	}
	for i := range p.Watches {
		since := m.world.health[p.Watches[i].Subject].since
		soonest(r.when.changes(since, at))
		for _, g := range r.triggers {
			soonest(g.when.changes(since, at))
		}
	}
	return next
}

// reindex notes which subjects a partition has to do with.
func (m *Machine) reindex(p *part) {
	var subjects []core.Subject
	add := func(s core.Subject) {
		if s.Kind == core.OfAssignment {
			subjects = append(subjects, core.Subject{Kind: core.OfSystem, ID: systemOf(s)})
		}
		subjects = append(subjects, s)
	}
	for i := range p.Members {
		add(p.Members[i].Subject)
	}
	for i := range p.Watches {
		add(p.Watches[i].Subject)
	}
	if slices.Equal(subjects, p.index) {
		return
	}
	for _, s := range p.index {
		delete(m.parts[s], p)
		if len(m.parts[s]) == 0 {
			delete(m.parts, s)
		}
	}
	for _, s := range subjects {
		if m.parts[s] == nil {
			m.parts[s] = map[*part]bool{}
		}
		m.parts[s][p] = true
	}
	p.index = subjects
}

// Active tells which firings are not final. What waited for those that are
// now is offered again or sent.
func (m *Machine) Active(firings []core.Firing, now time.Time) []Output {
	before := m.active
	m.active = map[string]map[string]activity{}
	for i := range firings {
		f := &firings[i]
		m.begin(f)
		if was := before[f.Rule][f.ID]; was.cancelled {
			was.episode = f.Episode
			m.active[f.Rule][f.ID] = was
		}
	}
	var out []Output
	for _, r := range m.sortedRules() {
		m.settle(&out, r, now)
	}
	return out
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
	n := 0
	for _, a := range m.active[rule] {
		if !a.recovery {
			n++
		}
	}
	return n
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
	out := make(map[string][]byte, len(m.dirty)+len(m.marks))
	for key, p := range m.dirty {
		out[key] = nil
		if p != nil && !p.idle() {
			p.Version = 1
			text, err := json.Marshal(&p.state)
			if err != nil {
				panic(fmt.Sprintf("encode gate state %s: %v", key, err)) // plain data always encodes
			}
			out[key] = text
		}
	}
	maps.Copy(out, m.marks)
	clear(m.dirty)
	clear(m.marks)
	return out
}

// timers is a heap of partitions by when they are due.
type timers []timer

type timer struct {
	at time.Time
	p  *part
}

// Len implements [heap.Interface].
func (h *timers) Len() int { return len(*h) }

// Less implements [heap.Interface].
func (h *timers) Less(i, j int) bool {
	a, b := (*h)[i], (*h)[j]
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.p.key, b.p.key)) < 0
}

// Swap implements [heap.Interface].
func (h *timers) Swap(i, j int) { (*h)[i], (*h)[j] = (*h)[j], (*h)[i] }

// Push implements [heap.Interface].
func (h *timers) Push(x any) {
	if t, ok := x.(timer); ok {
		*h = append(*h, t)
	}
}

// Pop implements [heap.Interface].
func (h *timers) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// set gives p a timer. One that was due before stays in the heap and is moved
// when it comes up, so that the heap does not grow with every event.
func (h *timers) set(p *part, at time.Time) {
	p.next = at
	if !at.IsZero() && (p.inHeap.IsZero() || at.Before(p.inHeap)) {
		p.inHeap = at
		heap.Push(h, timer{at, p})
	}
}

// clean drops and moves timers at the top that are not due when they say.
func (h *timers) clean() {
	for len(*h) > 0 {
		first := (*h)[0]
		p := first.p
		if first.at.Equal(p.inHeap) && p.inHeap.Equal(p.next) {
			return
		}
		heap.Pop(h)
		if first.at.Equal(p.inHeap) {
			p.inHeap = time.Time{}
			h.set(p, p.next)
		}
	}
}

// take removes the first timer and returns its partition.
func (h *timers) take() *part {
	p := (*h)[0].p
	heap.Pop(h)
	p.next, p.inHeap = time.Time{}, time.Time{}
	return p
}

// busy reports whether a firing is known that is not final.
func (m *Machine) busy() bool {
	for _, list := range m.active {
		if len(list) > 0 {
			return true
		}
	}
	return false
}
