package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// plan is a made-up rule and what happens to one system, second by second.
type plan struct {
	rule    core.Rule
	changes []change
	plans   [][2]int // maintenances: from and to
	end     int
}

// change is a change of the system to a health.
type change struct {
	at int
	to core.Health
}

// makePlan makes up a rule that looks at health.changed to what is not healthy,
// with any mixture of dwell, window, refire, cooldown and unless.
func makePlan(r *rand.Rand) plan {
	seconds := func(low, high int) core.Duration {
		return core.Duration(time.Duration(low+r.IntN(high-low+1)) * time.Second)
	}
	p := plan{rule: core.Rule{ID: "r", On: []core.Trigger{{Event: "health.changed"}}, When: `to != "healthy"`, Mode: "parallel", Max: 1000}}
	g := &p.rule.Gate
	if r.IntN(2) == 0 {
		g.Window = &core.Window{Count: 1 + r.IntN(3), Within: seconds(5, 40)}
		g.Window.Exit = r.IntN(g.Window.Count)
		g.Window.Quiet = seconds(3, 50)
		switch r.IntN(3) {
		case 0:
			g.Window.Refire = core.Refire{EveryEvent: true}
		case 1:
			g.Window.Refire = core.Refire{Each: seconds(3, 20)}
		}
	} else if r.IntN(3) > 0 {
		g.For = seconds(1, 20)
	}
	if r.IntN(2) == 0 {
		g.Cooldown = seconds(1, 40)
	}
	if r.IntN(2) == 0 {
		p.rule.Unless = "in_maintenance"
		for at := r.IntN(40); len(p.plans) < 3; at += 10 + r.IntN(60) {
			p.plans = append(p.plans, [2]int{at, at + 1 + r.IntN(8)})
		}
	}
	at, now := 0, core.Healthy
	for range 1 + r.IntN(25) {
		at += 1 + r.IntN(12)*r.IntN(3)
		to := []core.Health{core.Healthy, core.Degraded, core.Unhealthy}[r.IntN(3)]
		if to != now {
			p.changes, now = append(p.changes, change{at, to}), to
		}
	}
	p.end = at + 150
	return p
}

// bystander is the gate of one system as one would write it down: each second
// is looked at, first the change that it brings and then what time does, and
// nothing is ever forgotten.
type bystander struct {
	plan
	matched []int // when the system changed to what is not healthy
	first   int   // the first of them that may count: those before it are of windows that closed
	health  core.Health
	member  bool
	due     int // end of the dwell, 0 when none runs
	held    bool
	open    bool // of an episode
	latch   bool
	opener  int // the change that opened it
	fired   int
	lastAt  int
	pending bool
	cool    int // no episode fires before
	out     []string
}

func whole(d core.Duration) int { return int(d.Std() / time.Second) }

func (b *bystander) say(at, n int) {
	b.out = append(b.out, fmt.Sprintf("%s %d~%d", day.Add(time.Duration(at)*time.Second).Format("15:04:05"), b.opener, n))
}

// every reports whether each matching change passes.
func (b *bystander) every() bool {
	g := b.rule.Gate
	if g.Window != nil {
		return g.Window.Refire.EveryEvent
	}
	return g.For == 0 && g.Cooldown == 0
}

// back reports whether planned work holds the rule back.
func (b *bystander) back(at int) bool {
	return slices.ContainsFunc(b.plans, func(p [2]int) bool { return at >= p[0] && at < p[1] })
}

// offer fires, or leaves it pending.
func (b *bystander) offer(at int) {
	if b.back(at) || b.fired == 0 && at < b.cool {
		b.pending = true
		return
	}
	b.pending = false
	b.fired++
	b.lastAt = at
	b.say(at, b.fired)
}

// passed is what comes after window and dwell.
func (b *bystander) passed(at int) {
	if b.fired > 0 && !b.pending && !b.every() {
		return
	}
	b.offer(at)
}

// shut ends the episode.
func (b *bystander) shut(at int) {
	if b.fired > 0 {
		b.say(at, 0)
		if c := whole(b.rule.Gate.Cooldown); c > 0 {
			b.cool = at + c
		}
	}
	b.open, b.latch, b.fired, b.pending, b.member, b.held, b.due = false, false, 0, false, false, false, 0
	b.first = len(b.matched)
}

func (b *bystander) inside(at int) int {
	n := 0
	for _, m := range b.matched[b.first:] {
		if m > at-whole(b.rule.Gate.Window.Within) {
			n++
		}
	}
	return n
}

// event is a change of the system.
func (b *bystander) event(seq, at int, to core.Health) {
	g := b.rule.Gate
	b.health = to
	if to == core.Healthy {
		if b.member && g.Window == nil { // what it waited for no longer holds
			if b.open {
				b.shut(at)
			}
			b.member, b.held, b.due = false, false, 0
		} else if b.pending { // offered again with every change of the system
			b.offer(at)
		}
		return
	}
	b.matched = append(b.matched, at)
	b.member = true
	if g.Window != nil {
		if !b.latch && b.inside(at) < g.Window.Count {
			return
		}
		b.latch = true
	}
	if !b.open {
		b.open, b.opener = true, seq
	}
	if g.For > 0 && !b.held {
		if b.due == 0 {
			b.due = at + whole(g.For)
		}
		return
	}
	b.passed(at)
}

// tick is what a second brings after its change.
func (b *bystander) tick(at int) {
	g := b.rule.Gate
	// Planned work that begins or ends at this second: what is held back is
	// offered again.
	if b.pending && slices.ContainsFunc(b.plans, func(p [2]int) bool { return at == p[0] || at == p[1] }) {
		b.offer(at)
	}
	if b.member && b.due > 0 && !b.held && at >= b.due {
		b.held = true
		b.passed(at)
	}
	if w := g.Window; w != nil && w.Refire.Each > 0 && b.fired > 0 && !b.pending && at >= b.lastAt+whole(w.Refire.Each) {
		b.offer(at)
	}
	if b.pending && b.cool > 0 && at >= b.cool {
		b.offer(at)
	}
	if w := g.Window; w != nil && b.latch {
		if last := b.matched[len(b.matched)-1]; b.inside(at) <= w.Exit || at >= last+whole(w.Quiet) {
			b.shut(at)
		}
	}
	if b.cool > 0 && at >= b.cool {
		b.cool = 0
	}
}

func (b *bystander) watch() []string {
	next := 0
	for at := range b.end + 1 {
		for next < len(b.changes) && b.changes[next].at == at {
			b.event(next+1, at, b.changes[next].to)
			next++
		}
		b.tick(at)
	}
	return b.out
}

// second is a second of the story.
func second(at int) time.Time { return day.Add(time.Duration(at) * time.Second) }

// live is the same through a Machine: every change is delivered, some again,
// late timers and restarts in between.
func (p plan) live(t *testing.T, c *rules.Compiler, r *rand.Rand) []string {
	t.Helper()
	w := &world{t: t, c: c, p: p, state: map[string][]byte{}, health: core.Healthy}
	w.boot(day)
	for i, ch := range p.changes {
		at := second(ch.at)
		w.pass(r, ch.at-1)
		change := core.Transition{
			Seq: int64(i + 1), At: at, Subject: core.Subject{Kind: core.OfSystem, ID: "web"}, From: w.health, To: ch.to, Cause: core.CauseRun, TotalChecks: 1,
		}
		w.health, w.since, w.seq = ch.to, at, change.Seq
		w.past = append(w.past, change)
		w.tell(w.m.Feed(change, at))
		for r.IntN(3) == 0 {
			w.tell(w.m.Feed(w.past[r.IntN(len(w.past))], at))
		}
		if r.IntN(4) == 0 {
			w.boot(at)
		}
	}
	w.pass(r, p.end)
	w.tell(w.m.Wake(second(p.end)))
	return w.out
}

// pass lets time pass until a second, or lets the timers wait for what comes
// next: they run then, each at its own time. Those that fire again and again
// make up for what they missed with one firing, so they must not be late.
func (w *world) pass(r *rand.Rand, until int) {
	g := w.p.rule.Gate.Window
	again := g != nil && g.Refire.Each > 0
	for ; w.now <= until; w.now++ {
		if again || r.IntN(20) == 0 {
			w.tell(w.m.Wake(second(w.now)))
		}
	}
}

// world is a Machine and what is stored of it.
type world struct {
	t      *testing.T
	c      *rules.Compiler
	p      plan
	m      *rules.Machine
	state  map[string][]byte
	seq    int64
	health core.Health
	since  time.Time
	past   []core.Transition
	now    int
	out    []string
}

func (w *world) boot(now time.Time) {
	w.m = rules.NewMachine(w.c, rules.MachineOptions{Instant: true})
	w.m.Restore(w.seq, w.state)
	w.m.SetHealth(core.Subject{Kind: core.OfSystem, ID: "web"}, w.health, w.since)
	catalog := rules.Catalog{Systems: []core.System{{ID: "web"}}}
	for i, p := range w.p.plans {
		catalog.Maintenances = append(catalog.Maintenances, core.Maintenance{
			ID: fmt.Sprintf("m%d", i), Systems: core.Selector{Names: []string{"web"}}, Starts: second(p[0]), Ends: second(p[1]),
		})
	}
	// A restart looks at the catalog before anything else happens: at the
	// instant of the newest change, as that is known already.
	w.tell(w.m.Active(nil, now))
	w.tell(w.m.SetCatalog(catalog, time.Time{}))
	w.tell(w.m.SetRules([]rules.Saved{{Rule: w.p.rule, At: day}}, now))
}

func (w *world) tell(outputs []rules.Output) {
	for key, text := range w.m.Changes() {
		if w.state[key] = text; text == nil {
			delete(w.state, key)
		}
	}
	for _, o := range outputs {
		if f := o.Firing; f != nil {
			parts := strings.Split(f.ID, "~") // rule, revision, partition, opener, n
			w.out = append(w.out, f.At.Format("15:04:05")+" "+strings.Join(parts[3:], "~"))
		}
	}
}

// acceptance 24: any permutation of duplicates, restarts and late timers through
// the whole Machine gives what one gets by looking at each second.
func TestMachineEqualsTheNaiveModel(t *testing.T) {
	t.Parallel()
	c := compiler(t)
	fires := 0
	for n := range *cases {
		r := rand.New(rand.NewPCG(uint64(n), 11))
		p := makePlan(r)
		want := (&bystander{plan: p, health: core.Healthy}).watch()
		got := p.live(t, c, r)
		fires += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("case %d: gate %+v, window %+v, unless %q\nchanges %v, maintenances %v\ngot  %q\nwant %q", n, p.rule.Gate, p.rule.Gate.Window, p.rule.Unless, p.changes, p.plans, got, want)
		}
	}
	t.Logf("%d cases, %d messages", *cases, fires)
}
