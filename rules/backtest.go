package rules

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Past is what a backtest reads.
type Past struct {
	Log     store.Log
	Runs    store.RunLog // nil when no rule looks at runs
	Catalog store.Catalog
	Health  Health
}

// BacktestInput says what to play.
type BacktestInput struct {
	Rule  core.Rule
	Saved *core.Rule    // to compare with; nil: nothing
	Span  time.Duration // that ends at Until; default 7 days
	Until time.Time     // default now
	About *core.Subject // list what is decided about it; nil: about nobody
}

const (
	defaultSpan  = 7 * 24 * time.Hour
	maxFirings   = 1000
	maxDecisions = 500
	backtestPage = 2000
	disorder     = time.Hour // how far the times of the log may be out of order
)

// Backtest plays the stored log through a rule with the code that runs live,
// as if the rule had been saved when the span began, and sends nothing.
//
// What is not stored is not made up. Changes that retention deleted end the
// past: playing begins behind them. Tags, groups, dependencies, maintenances
// and silences are known as they are now only; where the rule reads them the
// answer says so, and changes of systems that are there no longer are left out.
// Steps count as done at once.
func (c *Compiler) Backtest(ctx context.Context, past Past, in BacktestInput) (core.Backtest, error) {
	until := in.Until
	if now := time.Now(); until.IsZero() || until.After(now) {
		until = now
	}
	span := in.Span
	if span <= 0 {
		span = defaultSpan
	}
	list := []core.Rule{in.Rule}
	if in.Saved != nil && !reflect.DeepEqual(*in.Saved, in.Rule) {
		list = append(list, *in.Saved)
	}
	catalog, _, _, err := readCatalog(ctx, past.Catalog, slog.New(slog.DiscardHandler))
	if err != nil {
		return core.Backtest{}, err
	}
	b := &backtest{past: past, since: until.Add(-span), until: until, catalog: catalog, about: in.About, systems: map[string]bool{}}
	b.out = core.Backtest{From: b.since, To: until, Notes: []string{}}
	for _, s := range catalog.Systems {
		b.systems[s.ID] = true
	}
	for i, r := range list {
		r.Disabled = false // what it would do is the question
		p, problems := c.Compile(r)
		if len(problems) > 0 && i == 0 {
			return core.Backtest{}, problems
		}
		if len(problems) > 0 {
			b.note("The saved rule does not compile, so there is nothing to compare with.")
			continue
		}
		b.add(c, p)
	}
	if err := b.play(ctx); err != nil {
		return core.Backtest{}, err
	}
	return b.done(), nil
}

// backtest is a backtest in progress.
type backtest struct {
	past         Past
	since, until time.Time
	catalog      Catalog
	about        *core.Subject
	systems      map[string]bool
	lanes        []*lane
	facts        bool // a rule reads facts of systems
	out          core.Backtest

	seen    map[core.Subject]bool // whose health the machines know
	last    int64                 // Seq of the entry before
	gone    int                   // changes of systems that are not there
	missing int64                 // changes that were deleted, up to From
}

// lane is one rule and what came of it.
type lane struct {
	program *Program
	m       *Machine
	fired   []laneFiring
	counts  map[core.BacktestStage]int // of which Count is not set
	about   *core.Subject
	decided []core.Decision // about it, the newest maxDecisions and up to as many before
}

// laneFiring is a firing and what opened its episode.
type laneFiring struct {
	core.BacktestFiring
	opened string
}

func (b *backtest) note(format string, args ...any) {
	b.out.Notes = append(b.out.Notes, fmt.Sprintf(format, args...))
}

func (b *backtest) add(c *Compiler, p *Program) {
	m := NewMachine(c, MachineOptions{Instant: true, Forget: true})
	m.SetCatalog(b.catalog, time.Time{})
	m.SetRules([]Saved{{Rule: p.Rule, At: b.since}}, b.since)
	b.lanes = append(b.lanes, &lane{program: p, m: m, counts: map[core.BacktestStage]int{}, about: b.about})
	b.facts = b.facts || p.readsFacts()
}

// conditions are those that p has.
func (p *Program) conditions() []*condition {
	all := []*condition{p.when, p.while, p.unless}
	for i := range p.triggers {
		all = append(all, p.triggers[i].when)
	}
	return slices.DeleteFunc(all, func(c *condition) bool { return c == nil })
}

// refs are what the conditions of p and its partition read.
func (p *Program) refs() []string {
	var out []string
	for _, c := range p.conditions() {
		out = append(out, c.Refs()...)
	}
	if p.by != nil {
		out = append(out, p.by.Refs()...)
	}
	return out
}

// reads reports whether p reads one of some names, or a part of it.
func (p *Program) readsAny(names ...string) bool {
	return slices.ContainsFunc(p.refs(), func(ref string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return ref == name || strings.HasPrefix(ref, name+".") })
	})
}

// readsFacts reports whether p reads what people wrote about systems.
func (p *Program) readsFacts() bool {
	return p.readsAny("system.tags", "system.name", "system.groups", "caused_by") || slices.Contains(p.refs(), "system")
}

// play feeds the log.
func (b *backtest) play(ctx context.Context) error {
	after, err := b.begin(ctx)
	if err != nil {
		return err
	}
	if err := b.health(ctx, after); err != nil {
		return err
	}
	b.last = after
	runs, err := b.runs(ctx)
	if err != nil {
		return err
	}
	err = b.pages(ctx, after, func(entries []core.Transition) bool {
		for i := range entries {
			t := &entries[i]
			if t.At.After(b.until.Add(disorder)) {
				return false
			}
			if t.At.After(b.until) {
				continue
			}
			runs.play(ctx, func(r *core.Run) bool { return t.Run > 0 && r.ID <= t.Run || t.Run == 0 && !r.Ended.After(t.At) })
			b.feed(t)
		}
		return runs.err == nil
	})
	if err != nil {
		return err
	}
	runs.play(ctx, func(r *core.Run) bool { return !r.Ended.After(b.until) })
	return runs.err
}

// runReel gives a backtest its runs, in order.
type runReel struct {
	b     *backtest
	lanes []*lane // that look at runs; without any it is empty
	list  []core.Run
	after int64
	ended bool
	err   error
}

// runs finds the first run of the span. Runs that retention deleted end the
// past of rules that look at them.
func (b *backtest) runs(ctx context.Context) (*runReel, error) {
	out := &runReel{b: b}
	for _, l := range b.lanes {
		if l.program.runs {
			out.lanes = append(out.lanes, l)
		}
	}
	if len(out.lanes) == 0 {
		return out, nil
	}
	first, newest, err := b.past.Runs.RunsOf(ctx, 0, nil, 1)
	if err != nil {
		return nil, fmt.Errorf("read the oldest run: %w", err)
	}
	if len(first) > 0 && first[0].ID > 1 && first[0].Ended.After(b.since) {
		b.startOver(first[0].Ended)
		b.note("Runs before %s are not stored any more, so nothing before it was played.", full(b.out.From))
	}
	out.after, err = before(ctx, b.past.Runs, newest, b.since.Add(-disorder))
	return out, err
}

// play plays the runs that come next, as long as they are wanted.
//
//nolint:gocognit // pages of runs within pages of changes
func (r *runReel) play(ctx context.Context, ok func(*core.Run) bool) {
	for len(r.lanes) > 0 && r.err == nil {
		if len(r.list) == 0 && !r.ended {
			if r.list, _, r.err = r.b.past.Runs.RunsOf(ctx, r.after, nil, backtestPage); r.err != nil {
				r.err = fmt.Errorf("read runs: %w", r.err)
				return
			}
			r.ended = len(r.list) < backtestPage
			if n := len(r.list); n > 0 {
				r.after = r.list[n-1].ID
			}
		}
		if len(r.list) == 0 || !ok(&r.list[0]) {
			return
		}
		run := &r.list[0]
		r.list = r.list[1:]
		if run.Ended.After(r.b.until) || r.b.facts && !r.b.systems[systemOf(core.Subject{Kind: core.OfAssignment, ID: run.Assignment})] {
			continue
		}
		if !run.Ended.Before(r.b.out.From) {
			r.b.out.Runs++
		}
		for _, l := range r.lanes {
			now := run.Ended
			if l.m.clock.After(now) {
				now = l.m.clock
			}
			l.explain(core.Subject{Kind: core.OfAssignment, ID: run.Assignment})
			l.take(l.m.FeedRun(run, now))
		}
	}
}

// begin is the Seq of the last entry that cannot be of the span.
func (b *backtest) begin(ctx context.Context) (int64, error) {
	head, err := b.past.Log.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("read the head of the log: %w", err)
	}
	low, high := int64(0), head
	for low < high {
		middle := low + (high-low)/2
		got, err := b.past.Log.After(ctx, middle, 1)
		if err != nil {
			return 0, fmt.Errorf("read the log: %w", err)
		}
		if len(got) == 0 || !got[0].At.Before(b.since.Add(-disorder)) {
			high = middle
			continue
		}
		low = got[0].Seq
	}
	return low, nil
}

// health tells the machines how everything was when the span began, as far as
// the rules can ask for the health of others than the subject: as it is now,
// but for what the log moves.
func (b *backtest) health(ctx context.Context, after int64) error {
	b.seen = map[core.Subject]bool{}
	others := slices.ContainsFunc(b.lanes, func(l *lane) bool { return l.program.readsAny("system.health", "caused_by", "system") })
	if !others {
		return nil // of a subject it is told when it first moves
	}
	rolled, err := b.past.Health.Rolled(ctx)
	if err != nil {
		return fmt.Errorf("read roll-ups: %w", err)
	}
	for _, h := range rolled {
		b.know(h.Subject, h.Health, h.Since)
	}
	clear(b.seen)
	return b.pages(ctx, after, func(entries []core.Transition) bool {
		for i := range entries {
			if t := &entries[i]; !b.seen[t.Subject] {
				b.know(t.Subject, t.From, b.since)
			}
		}
		return true
	})
}

func (b *backtest) know(s core.Subject, h core.Health, since time.Time) {
	b.seen[s] = true
	for _, l := range b.lanes {
		l.m.SetHealth(s, h, since)
	}
}

// pages calls f with the log after an entry, in order, until f says that it is
// enough. The next page is read while f is at work.
func (b *backtest) pages(ctx context.Context, after int64, f func([]core.Transition) bool) error {
	type page struct {
		entries []core.Transition
		err     error
	}
	ctx, cancel := context.WithCancel(ctx)
	read := make(chan page, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(read)
		for {
			entries, err := b.past.Log.After(ctx, after, backtestPage)
			if err != nil {
				err = fmt.Errorf("read the log: %w", err)
			}
			select {
			case read <- page{entries, err}:
			case <-ctx.Done():
				return
			}
			if err != nil || len(entries) < backtestPage {
				return
			}
			after = entries[len(entries)-1].Seq
		}
	}()
	defer func() { cancel(); <-ended }()
	for p := range read {
		if p.err != nil {
			return p.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !f(p.entries) {
			return nil
		}
	}
	return ctx.Err()
}

// feed plays one entry.
func (b *backtest) feed(t *core.Transition) {
	if gap := t.Seq - b.last - 1; gap > 0 && !t.At.Before(b.since.Add(-disorder)) {
		b.missing += gap
		b.startOver(t.At)
	}
	b.last = t.Seq
	if b.facts && t.Subject.Kind != core.OfGroup && !b.systems[systemOf(t.Subject)] {
		b.gone++
		return
	}
	if !b.seen[t.Subject] {
		b.know(t.Subject, t.From, b.since)
	}
	if !t.At.Before(b.out.From) {
		b.out.Changes++
	}
	for _, l := range b.lanes {
		now := t.At
		if l.m.clock.After(now) {
			now = l.m.clock
		}
		l.feed(t, now)
	}
}

// feed plays one entry. One that the index kept from the rule is one that its
// condition is false of.
func (l *lane) feed(t *core.Transition, now time.Time) {
	before := l.m.stats.Evaluated
	l.explain(t.Subject)
	l.take(l.m.Feed(*t, now))
	if l.m.stats.Evaluated != before {
		return
	}
	for _, r := range l.m.rules {
		if _, sees := r.sees(t.Subject.Kind, l.m.index.of(&event{Transition: *t})); sees && !t.At.Before(r.begin) {
			l.counts[core.BacktestStage{Stage: core.StageWhen, Verdict: core.Drop}]++
		}
	}
}

// startOver forgets what came of the entries so far: some behind them were
// deleted, so that nobody knows what the gates would have seen.
func (b *backtest) startOver(at time.Time) {
	if at.Before(b.out.From) {
		at = b.out.From
	}
	b.out.From, b.out.Changes, b.out.Runs, b.gone = at, 0, 0, 0
	for _, l := range b.lanes {
		l.m.startOver(at)
		l.fired, l.decided = l.fired[:0], l.decided[:0]
		clear(l.counts)
	}
}

// startOver makes rules begin anew at an instant, with nothing counted and
// nothing open.
func (m *Machine) startOver(at time.Time) {
	for _, r := range m.rules {
		for _, p := range r.parts {
			m.forget(p)
		}
		r.begin = at
		r.waiting, r.queue = nil, nil
		clear(r.parts)
		clear(r.closing)
	}
	clear(m.waits)
}

// take counts what came of an entry or a timer.
func (l *lane) take(outputs []Output) {
	for _, o := range outputs {
		switch {
		case o.Decision != nil:
			l.counts[core.BacktestStage{Stage: o.Decision.Stage, Verdict: o.Decision.Verdict}]++
			l.keep(o.Decision)
		case o.Firing != nil:
			f := o.Firing
			l.fired = append(l.fired, laneFiring{
				core.BacktestFiring{At: f.At, Subject: f.Subject, Partition: f.Partition, Recovery: f.Recovery, N: f.N, Text: f.Why.String()},
				f.Partition + "\x00" + f.Episode[strings.LastIndexByte(f.Episode, '~'):] + "\x00" + fmt.Sprint(f.N),
			})
		}
	}
}

// explain has the values of conditions noted of events of the subject that was
// asked for, and of no others.
func (l *lane) explain(s core.Subject) { l.m.o.Explain = l.about != nil && s == *l.about }

// keep notes a decision about the subject that was asked for.
func (l *lane) keep(d *core.Decision) {
	if l.about == nil || d.Subject != *l.about {
		return
	}
	if len(l.decided) == 2*maxDecisions {
		l.decided = append(l.decided[:0], l.decided[maxDecisions:]...)
	}
	l.decided = append(l.decided, *d)
}

// done lets the rest of the time pass and sums up.
func (b *backtest) done() core.Backtest {
	var sums []core.BacktestRule
	for _, l := range b.lanes {
		l.take(l.m.Wake(b.until))
		sums = append(sums, l.sum())
	}
	b.out.Rule = sums[0]
	if len(sums) > 1 {
		b.out.Saved, b.out.Diff = &sums[1], difference(b.lanes[1].fired, b.lanes[0].fired)
	}
	b.caveats()
	return b.out
}

// caveats says what is not known of the past.
func (b *backtest) caveats() {
	if b.missing > 0 {
		b.note("Changes before %s are not stored any more, so nothing before it was played.", full(b.out.From))
	}
	reads := func(names ...string) bool {
		return slices.ContainsFunc(b.lanes, func(l *lane) bool { return l.program.readsAny(names...) })
	}
	if reads("system.tags", "system.name", "system.groups", "system") {
		b.note("Tags, names and groups of systems are those of today: what they were is not stored.")
	}
	if reads("caused_by") {
		b.note("Dependencies of systems are those of today: what they were is not stored.")
	}
	if reads("in_maintenance", "silenced") {
		b.note("Maintenances and silences are those that are there today: deleted ones are not stored.")
	}
	if b.gone > 0 {
		b.note("%d changes of systems that are deleted were left out: their tags are not stored.", b.gone)
	}
	if slices.ContainsFunc(b.lanes, func(l *lane) bool { return l.program.Rule.Mode != modeParallel }) {
		b.note("Steps count as done at once, so that the mode holds nothing back.")
	}
}

// sum is what a lane came to.
func (l *lane) sum() core.BacktestRule {
	out := core.BacktestRule{Revision: l.program.Revision, Stages: []core.BacktestStage{}, Firings: []core.BacktestFiring{}}
	for key, n := range l.counts {
		key.Count = n
		out.Stages = append(out.Stages, key)
	}
	order := []core.Stage{
		core.StageTrigger, core.StageWhen, core.StageBy, core.StageWindow, core.StageDwell, core.StageUnless, core.StageCooldown,
		core.StageMode, core.StageFiring,
	}
	slices.SortFunc(out.Stages, func(a, b core.BacktestStage) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Stage), slices.Index(order, b.Stage)), cmp.Compare(a.Verdict, b.Verdict))
	})
	for _, f := range l.fired {
		if f.Recovery {
			out.Recovered++
		} else {
			out.Fired++
		}
		if len(out.Firings) == maxFirings {
			out.Omitted++
			continue
		}
		out.Firings = append(out.Firings, f.BacktestFiring)
	}
	out.Decisions = l.decided[max(0, len(l.decided)-maxDecisions):]
	for _, r := range l.m.rules {
		for _, p := range r.parts {
			if p.Fired > 0 {
				out.Open++
			}
		}
	}
	return out
}

// difference compares the firings of two rules.
func difference(before, after []laneFiring) *core.BacktestDiff {
	out := &core.BacktestDiff{Added: []core.BacktestFiring{}, Removed: []core.BacktestFiring{}, Moved: []core.BacktestFiring{}}
	was := make(map[string]core.BacktestFiring, len(before))
	for _, f := range before {
		was[f.opened] = f.BacktestFiring
	}
	short := func(list *[]core.BacktestFiring, f core.BacktestFiring) {
		if len(*list) < maxFirings {
			*list = append(*list, f)
		}
	}
	for _, f := range after {
		old, ok := was[f.opened]
		delete(was, f.opened)
		switch {
		case !ok:
			short(&out.Added, f.BacktestFiring)
		case old.At.Equal(f.At):
			out.Same++
		default:
			f.Was = new(old.At)
			short(&out.Moved, f.BacktestFiring)
		}
	}
	for _, f := range before {
		if _, left := was[f.opened]; left {
			short(&out.Removed, f.BacktestFiring)
		}
	}
	return out
}
