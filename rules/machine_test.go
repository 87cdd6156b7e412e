package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// mixed are rules of all kinds of gates.
func mixed() []core.Rule {
	on := []core.Trigger{{Event: "health.changed", When: `to != "healthy"`}}
	flaps := &core.Window{Count: 3, Within: core.Duration(10 * time.Minute), Refire: core.Refire{Each: core.Duration(4 * time.Minute)}}
	return []core.Rule{
		{ID: "all", On: []core.Trigger{{Event: "health.changed"}}},
		{ID: "cool", On: on, Gate: core.Gate{Cooldown: core.Duration(5 * time.Minute)}, Unless: "in_maintenance || caused_by != nil"},
		{ID: "dwell", On: on, Gate: core.Gate{For: core.Duration(2 * time.Minute)}, Mode: "parallel"},
		{ID: "flap", On: on, Gate: core.Gate{By: "system.tags.team", Window: flaps}},
		{ID: "timed", On: []core.Trigger{{Event: "health.changed"}}, When: `health == "healthy" && health_for >= duration("3m")`},
	}
}

// story feeds random changes of five systems, with a restart now and then, and
// with explanations of everything in between, when asked for, and returns the ids of all firings with their times.
func story(t *testing.T, seed uint64, restarts, asked bool) []string {
	t.Helper()
	r, coin := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	c := compiler(t)
	catalog := rules.Catalog{Maintenances: []core.Maintenance{{Systems: core.Selector{Names: []string{"s1"}}, Starts: day.Add(10 * time.Minute), Ends: day.Add(30 * time.Minute)}}}
	for i := range 5 {
		catalog.Systems = append(catalog.Systems, core.System{ID: fmt.Sprintf("s%d", i), Tags: map[string]string{"team": fmt.Sprint(i % 2)}})
	}
	catalog.Systems[4].DependsOn = []string{"s0"}
	var saved []rules.Saved
	for _, rule := range mixed() {
		saved = append(saved, rules.Saved{Rule: rule})
	}
	state := map[string][]byte{}
	health := map[core.Subject]core.Transition{}
	var out []string
	take := func(m *rules.Machine, outputs []rules.Output) {
		for _, o := range outputs {
			if o.Firing != nil {
				out = append(out, o.Firing.At.Format("15:04:05.999")+" "+o.Firing.ID)
			}
		}
		for key, text := range m.Changes() {
			if state[key] = text; text == nil {
				delete(state, key)
			}
		}
	}
	boot := func(cursor int64) *rules.Machine {
		m := rules.NewMachine(c, rules.MachineOptions{Instant: true})
		m.Restore(cursor, state)
		for s, h := range health {
			m.SetHealth(s, h.To, h.At)
		}
		take(m, m.SetCatalog(catalog, time.Time{}))
		take(m, m.SetRules(saved, day))
		return m
	}
	m := boot(0)
	now := day
	for seq := range int64(120) {
		now = now.Add(time.Duration(r.IntN(90)) * time.Second)
		s := core.Subject{Kind: core.OfSystem, ID: fmt.Sprintf("s%d", r.IntN(5))}
		tr := core.Transition{Seq: seq + 1, At: now, Subject: s, From: health[s].To, To: core.Health(1 + r.IntN(3))}
		if tr.To == tr.From {
			tr.To = core.Stale
		}
		health[s] = tr
		take(m, m.Feed(tr, now))
		take(m, m.Feed(tr, now)) // delivered twice
		for _, rule := range saved {
			if x, ok := m.Explain(rule.Rule.ID, s, rules.Newest{Change: tr}, now); asked && (!ok || len(x.Stages) == 0 || x.Text == "") {
				t.Fatalf("seed %d: explain %s: %v, %+v", seed, rule.Rule.ID, ok, x)
			}
		}
		if restarts && coin.IntN(3) == 0 {
			m = boot(seq + 1)
		}
	}
	take(m, m.Wake(now.Add(time.Hour)))
	return out
}

// acceptance 20 and 24, and the invariant that replaying the Log gives the
// same firings: whatever the restarts,
// and whatever is explained meanwhile.
func TestReplayingTheLogGivesTheSameFirings(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		want := story(t, seed, false, false)
		got := story(t, seed, true, true)
		if len(want) < 20 {
			t.Fatalf("seed %d: only %d firings, the story is too tame", seed, len(want))
		}
		if !slices.Equal(got, want) {
			for i := range want {
				if i >= len(got) || got[i] != want[i] {
					t.Fatalf("seed %d: firing %d differs with restarts: got %q, want %q", seed, i, got[min(i, len(got)-1)], want[i])
				}
			}
			t.Fatalf("seed %d: %d firings more with restarts", seed, len(got)-len(want))
		}
		seen := map[string]bool{}
		for _, f := range want {
			id := f[len("15:04:05 "):]
			if seen[id] {
				t.Fatalf("seed %d: %s twice", seed, id)
			}
			seen[id] = true
		}
	}
}

func TestPartitionsAreBoundedAndEvictionIsVisible(t *testing.T) {
	t.Parallel()
	m := rules.NewMachine(compiler(t), rules.MachineOptions{Instant: true, Partitions: 3})
	rule := core.Rule{ID: "flap", On: []core.Trigger{{Event: "health.unhealthy"}}, Gate: core.Gate{Window: &core.Window{Count: 2, Within: core.Duration(time.Hour)}}}
	m.SetRules([]rules.Saved{{Rule: rule}}, day)
	gone := 0
	for i := range 10 {
		tr := core.Transition{Seq: int64(i + 1), At: day.Add(time.Duration(i) * time.Second), Subject: core.Subject{Kind: core.OfSystem, ID: fmt.Sprint("s", i)}, From: core.Healthy, To: core.Unhealthy}
		for _, o := range m.Feed(tr, tr.At) {
			if d := o.Decision; d != nil && d.Verdict == core.Drop {
				gone++
			}
		}
	}
	if got := m.Stats().Evicted; got != 7 || gone != 7 {
		t.Errorf("%d evicted with %d decisions, want 7", got, gone)
	}
	kept := 0
	for _, text := range m.Changes() {
		if text != nil {
			kept++
		}
	}
	if kept != 4 { // three partitions, and where the rule began
		t.Errorf("%d states kept, want 4", kept)
	}
}

func event(seq int64, system int, to core.Health) core.Transition {
	return core.Transition{
		Seq: seq, At: day.Add(time.Duration(seq) * time.Second), Subject: core.Subject{Kind: core.OfSystem, ID: fmt.Sprint("s", system)},
		From: core.Healthy, To: to, HealthyChecks: 1, TotalChecks: 2,
	}
}

// bench is a machine with rules and systems, which have a team each or share n.
func bench(b *testing.B, n, systems int, rule func(i int) core.Rule) *rules.Machine {
	b.Helper()
	m := rules.NewMachine(compiler(b), rules.MachineOptions{Instant: true, Partitions: 1 << 20})
	var catalog rules.Catalog
	var saved []rules.Saved
	for i := range systems {
		catalog.Systems = append(catalog.Systems, core.System{ID: fmt.Sprint("s", i), Tags: map[string]string{"env": "prod", "team": fmt.Sprint("t", i%n)}})
	}
	for i := range n {
		saved = append(saved, rules.Saved{Rule: rule(i)})
	}
	m.SetCatalog(catalog, day)
	m.SetRules(saved, time.Time{})
	if sick := m.Quarantined(); len(sick) > 0 {
		b.Fatal(sick)
	}
	return m
}

func predicate(int) core.Rule {
	return core.Rule{ID: "r", On: []core.Trigger{{Event: "health.changed"}}, When: `to == "unhealthy" && system.tags.env == "prod" && healthy_checks < total_checks`}
}

// BenchmarkEval is a predicate of a compiled rule over the environment of an
// event, which is ready.
func BenchmarkEval(b *testing.B) {
	m := bench(b, 1, 1, predicate)
	t := event(1, 0, core.Unhealthy)
	m.Show(&t)
	b.ReportAllocs()
	for b.Loop() {
		if !m.EvalWhen("r") {
			b.Fatal("the predicate is false")
		}
	}
}

// BenchmarkEnv makes the environment of an event ready, which all rules share.
func BenchmarkEnv(b *testing.B) {
	m := bench(b, 1, 1, predicate)
	t := event(1, 0, core.Unhealthy)
	b.ReportAllocs()
	for b.Loop() {
		m.Show(&t)
	}
}

// gated holds what matches in a window and in a dwell.
func gated(int) core.Rule {
	rule := predicate(0)
	rule.Gate = core.Gate{Window: &core.Window{Count: 3, Within: core.Duration(10 * time.Second)}, For: core.Duration(365 * 24 * time.Hour)}
	return rule
}

// BenchmarkGate is a matching event through the bookkeeping of a window that is
// open and of a dwell that runs, with no decision made of it.
func BenchmarkGate(b *testing.B) {
	m := bench(b, 1, 1, gated)
	b.ReportAllocs()
	t := event(1, 0, core.Unhealthy)
	for b.Loop() {
		t.Seq++
		t.At = t.At.Add(time.Second)
		m.Gate("r", &t)
	}
}

// BenchmarkState writes out the state of that gate.
func BenchmarkState(b *testing.B) {
	m := bench(b, 1, 1, gated)
	t, size := event(1, 0, core.Unhealthy), 0
	for b.Loop() {
		t.Seq++
		t.At = t.At.Add(time.Second)
		m.Gate("r", &t)
		for _, text := range m.Changes() {
			size = len(text)
		}
	}
	b.ReportAllocs()
	b.ReportMetric(float64(size), "bytes")
}

// BenchmarkFeed is an event from its arrival to a decision with its reasons,
// not yet stored.
func BenchmarkFeed(b *testing.B) {
	for _, c := range []struct {
		name string
		rule func(int) core.Rule
		to   core.Health
	}{{"when is false", predicate, core.Degraded}, {"gate holds", gated, core.Unhealthy}} {
		b.Run(c.name, func(b *testing.B) {
			m := bench(b, 1, 1, c.rule)
			b.ReportAllocs()
			t := event(1, 0, c.to)
			for b.Loop() {
				t.Seq++
				t.At = t.At.Add(time.Second)
				m.Feed(t, t.At)
			}
		})
	}
}

// BenchmarkIndex is one change among 10,000 systems that one of many rules looks
// at.
func BenchmarkIndex(b *testing.B) {
	const systems = 10_000
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			m := bench(b, n, systems, func(i int) core.Rule {
				return core.Rule{ID: fmt.Sprint("r", i), On: []core.Trigger{{Event: "health.changed"}}, When: fmt.Sprintf(`system.tags.team == "t%d" && to == "unhealthy"`, i)}
			})
			b.ReportAllocs()
			seq := int64(0)
			for b.Loop() {
				seq++
				t := event(seq, int(seq)%systems, core.Degraded)
				m.Feed(t, t.At)
			}
			if got := m.Stats().Evaluated; got != seq {
				b.Fatalf("%d evaluations of %d events, want one each", got, seq)
			}
		})
	}
}
