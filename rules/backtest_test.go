package rules_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules"
)

// past is a stored past that is held in memory.
type past struct {
	store.Catalog
	log     []core.Transition
	runs    []core.Run
	objects []store.Object
}

func (p *past) After(_ context.Context, seq int64, limit int) ([]core.Transition, error) {
	i := sort.Search(len(p.log), func(i int) bool { return p.log[i].Seq > seq })
	return p.log[i:min(i+limit, len(p.log))], nil
}

func (p *past) Head(context.Context) (int64, error) {
	if len(p.log) == 0 {
		return 0, nil
	}
	return p.log[len(p.log)-1].Seq, nil
}

func (*past) Wait(context.Context, int64) error                           { return nil }
func (*past) Standings(context.Context) (map[string]core.Standing, error) { return nil, nil }
func (*past) Rolled(context.Context) ([]core.Rolled, error)               { return nil, nil }
func (p *past) Objects(context.Context, ...store.Kind) ([]store.Object, int64, error) {
	return p.objects, 1, nil
}

func (p *past) RunsOf(_ context.Context, id int64, outcomes []core.Outcome, limit int) (runs []core.Run, newest int64, err error) {
	for _, r := range p.runs {
		if newest = r.ID; r.ID > id && id >= 0 && len(runs) < limit && (len(outcomes) == 0 || slices.Contains(outcomes, r.Outcome)) {
			runs = append(runs, r)
		}
	}
	return runs, newest, nil
}

func (p *past) put(t testing.TB, kind store.Kind, id string, v any) { //nolint:thelper // most callers are tests
	t.Helper()
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	p.objects = append(p.objects, store.Object{Kind: kind, ID: id, Body: body})
}

// wander is a past of five systems that change at random from day on, for n
// changes, and what is written about them.
func wander(t testing.TB, seed uint64, n int) (*past, rules.Catalog) { //nolint:thelper // most callers are tests
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	c := rules.Catalog{Maintenances: []core.Maintenance{{ID: "m", Systems: core.Selector{Names: []string{"s1"}}, Starts: day.Add(10 * time.Minute), Ends: day.Add(30 * time.Minute)}}}
	p := &past{}
	p.put(t, store.Maintenances, "m", c.Maintenances[0])
	for i := range 5 {
		s := core.System{ID: fmt.Sprintf("s%d", i), Tags: map[string]string{"team": fmt.Sprint(i % 2)}}
		if i == 4 {
			s.DependsOn = []string{"s0"}
		}
		c.Systems = append(c.Systems, s)
		p.put(t, store.Systems, s.ID, s)
	}
	health := map[core.Subject]core.Health{}
	now := day
	for seq := range int64(n) {
		now = now.Add(time.Duration(1+r.IntN(90)) * time.Second)
		s := core.Subject{Kind: core.OfSystem, ID: fmt.Sprintf("s%d", r.IntN(5))}
		to := core.Health(1 + r.IntN(3))
		if to == health[s] {
			to = core.Stale
		}
		p.log = append(p.log, core.Transition{Seq: seq + 1, At: now, Subject: s, From: health[s], To: to})
		health[s] = to
	}
	return p, c
}

func told(at time.Time, s core.Subject, recovery bool) string {
	return fmt.Sprintf("%s %s %t", at.Format("15:04:05.999"), s, recovery)
}

func lines(list []core.BacktestFiring) []string {
	var out []string
	for _, f := range list {
		out = append(out, told(f.At, f.Subject, f.Recovery))
	}
	return out
}

func (p *past) backtest(t testing.TB, in rules.BacktestInput) core.Backtest { //nolint:thelper // most callers are tests
	t.Helper()
	got, err := compiler(t).Backtest(t.Context(), rules.Past{Log: p, Runs: p, Catalog: p, Health: p}, in)
	if err != nil {
		t.Fatalf("backtest %s: %v", in.Rule.ID, err)
	}
	return got
}

// A backtest finds the firings that the rule made live, neither more nor less.
func TestABacktestFindsWhatFiredLive(t *testing.T) {
	t.Parallel()
	found := 0
	for seed := range uint64(30) {
		p, catalog := wander(t, seed, 200)
		until := p.log[len(p.log)-1].At.Add(time.Hour)
		for _, rule := range mixed() {
			m := rules.NewMachine(compiler(t), rules.MachineOptions{Instant: true})
			m.SetCatalog(catalog, time.Time{})
			m.SetRules([]rules.Saved{{Rule: rule, At: day}}, day)
			var want []string
			take := func(outputs []rules.Output) {
				for _, o := range outputs {
					if o.Firing != nil {
						want = append(want, told(o.Firing.At, o.Firing.Subject, o.Firing.Recovery))
					}
				}
			}
			for _, tr := range p.log {
				take(m.Feed(tr, tr.At))
			}
			take(m.Wake(until))
			got := p.backtest(t, rules.BacktestInput{Rule: rule, Span: until.Sub(day), Until: until})
			if !slices.Equal(lines(got.Rule.Firings), want) {
				t.Fatalf("seed %d, rule %s: backtest\n%s\nlive\n%s", seed, rule.ID, strings.Join(lines(got.Rule.Firings), "\n"), strings.Join(want, "\n"))
			}
			if got.Changes != len(p.log) || got.Rule.Fired+got.Rule.Recovered != len(want) {
				t.Errorf("seed %d, rule %s: %d changes, %d firings and %d recoveries, want %d and %d in all", seed, rule.ID, got.Changes, got.Rule.Fired, got.Rule.Recovered, len(p.log), len(want))
			}
			found += len(want)
		}
	}
	if found < 1000 {
		t.Errorf("%d firings, the past is too tame", found)
	}
}

func TestABacktestDoesNotMakeUpWhatWasDeleted(t *testing.T) {
	t.Parallel()
	p, _ := wander(t, 3, 300)
	until := p.log[len(p.log)-1].At
	rule := core.Rule{ID: "all", On: []core.Trigger{{Event: "health.changed"}}, Mode: "parallel"}
	whole := p.backtest(t, rules.BacktestInput{Rule: rule, Span: until.Sub(day), Until: until})
	if len(whole.Notes) != 0 || !whole.From.Equal(day) {
		t.Fatalf("of a whole past: notes %q, from %s", whole.Notes, whole.From)
	}
	// Retention leaves the newest change of each subject, so that what is left
	// of old times looks like a quiet past.
	first := p.log[120]
	p.log = append(slices.Clone(p.log[3:5]), p.log[120:]...)
	got := p.backtest(t, rules.BacktestInput{Rule: rule, Span: until.Sub(day), Until: until})
	if !got.From.Equal(first.At) || got.Changes != 180 {
		t.Errorf("plays %d changes from %s, want 180 from %s", got.Changes, got.From, first.At)
	}
	if len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "are not stored any more") {
		t.Errorf("notes %q", got.Notes)
	}
	if n := len(got.Rule.Firings); n == 0 || got.Rule.Firings[0].At.Before(first.At) {
		t.Errorf("%d firings, the first before %s", n, first.At)
	}
}

func TestABacktestSaysWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	p, _ := wander(t, 3, 300)
	p.objects = slices.DeleteFunc(p.objects, func(o store.Object) bool { return o.ID == "s2" })
	gone, others := 0, 0
	for _, tr := range p.log {
		switch {
		case tr.Subject.ID == "s2":
			gone++
		case tr.To == core.Unhealthy && (tr.Subject.ID == "s1" || tr.Subject.ID == "s3"): // of the other team
			others++
		}
	}
	until := p.log[len(p.log)-1].At
	rule := core.Rule{
		ID: "r", On: []core.Trigger{{Event: "health.unhealthy"}}, When: `system.tags.team == "0"`, Unless: "in_maintenance || caused_by != nil",
	}
	got := p.backtest(t, rules.BacktestInput{Rule: rule, Span: until.Sub(day), Until: until})
	for _, f := range got.Rule.Firings {
		if f.Subject.ID == "s2" {
			t.Errorf("a firing of a system whose tags are not known: %+v", f)
		}
	}
	stopped := 0
	for _, stage := range got.Rule.Stages {
		if stage.Stage == core.StageWhen {
			stopped += stage.Count
		}
	}
	if stopped != others {
		t.Errorf("when stopped %d changes, want %d: those that the index kept away count", stopped, others)
	}
	if got.Changes != len(p.log)-gone {
		t.Errorf("plays %d changes, want %d", got.Changes, len(p.log)-gone)
	}
	for i, want := range []string{"Tags,", "Dependencies", "Maintenances", fmt.Sprintf("%d changes of systems that are deleted", gone), "Steps count as done"} {
		if i >= len(got.Notes) || !strings.HasPrefix(got.Notes[i], want) {
			t.Errorf("notes %q, want %q in place %d", got.Notes, want, i)
		}
	}
}

func TestABacktestPlaysRuns(t *testing.T) {
	t.Parallel()
	p := &past{}
	for i := range 40 { // every ten minutes: two fails after eight passes
		outcome := core.Pass
		if i%10 >= 8 {
			outcome = core.Fail
		}
		p.runs = append(p.runs, core.Run{ID: int64(i + 1), Assignment: "a:http", Ended: day.Add(time.Duration(i) * time.Minute), Outcome: outcome})
	}
	rule := core.Rule{ID: "r", On: []core.Trigger{{Event: "run.failed"}}, Gate: core.Gate{For: core.Duration(time.Minute)}, Mode: "parallel"}
	in := rules.BacktestInput{Rule: rule, Span: 40 * time.Minute, Until: day.Add(40 * time.Minute)}
	got := p.backtest(t, in)
	if got.Runs != 40 || got.Rule.Fired != 4 || got.Rule.Recovered != 3 || got.Rule.Open != 1 || len(got.Notes) != 0 {
		t.Errorf("%+v, want 4 outages told of, the last of them open, in 40 runs", got)
	}
	p.runs = p.runs[15:] // deleted by retention
	got = p.backtest(t, in)
	if !got.From.Equal(day.Add(15*time.Minute)) || got.Runs != 25 || got.Rule.Fired != 3 || len(got.Notes) != 1 || !strings.HasPrefix(got.Notes[0], "Runs before") {
		t.Errorf("%+v, want what happened from 15 minutes on, and a note", got)
	}
}

func TestABacktestComparesTwoRules(t *testing.T) {
	t.Parallel()
	p := &past{}
	p.put(t, store.Systems, "a", core.System{ID: "a"})
	change := func(minute int, from, to core.Health) {
		p.log = append(p.log, core.Transition{Seq: int64(len(p.log) + 1), At: day.Add(time.Duration(minute) * time.Minute), Subject: core.Subject{Kind: core.OfSystem, ID: "a"}, From: from, To: to})
	}
	for _, m := range []int{10, 30, 60} { // outages of 3, 10 and 3 minutes
		change(m, core.Healthy, core.Unhealthy)
		change(m+3+7*(m%60/30), core.Unhealthy, core.Healthy)
	}
	rule := func(dwell time.Duration) core.Rule {
		return core.Rule{ID: "r", On: []core.Trigger{{Event: "health.unhealthy"}}, Gate: core.Gate{For: core.Duration(dwell)}}
	}
	saved := rule(2 * time.Minute)
	got := p.backtest(t, rules.BacktestInput{Rule: rule(5 * time.Minute), Saved: &saved, Span: 2 * time.Hour, Until: day.Add(2 * time.Hour)})
	if got.Saved == nil || got.Saved.Fired != 3 || got.Saved.Recovered != 3 || got.Rule.Fired != 1 || got.Rule.Recovered != 1 {
		t.Fatalf("saved %+v, edited %+v, want 3 and 1 outages told of", got.Saved, got.Rule)
	}
	d := got.Diff
	if len(d.Removed) != 4 || len(d.Added) != 0 || len(d.Moved) != 1 || d.Same != 1 {
		t.Fatalf("difference %+v", d)
	}
	if m := d.Moved[0]; !m.At.Equal(day.Add(35*time.Minute)) || !m.Was.Equal(day.Add(32*time.Minute)) {
		t.Errorf("moved from %s to %s", m.Was, m.At)
	}
	if got := p.backtest(t, rules.BacktestInput{Rule: saved, Saved: &saved, Span: 2 * time.Hour, Until: day.Add(2 * time.Hour)}); got.Diff != nil {
		t.Errorf("a rule differs from itself: %+v", got.Diff)
	}
}

// Of the subject that is asked for a backtest lists what the rule decides, the
// same live as played, and of no other.
func TestABacktestListsWhatIsDecidedAboutASubject(t *testing.T) {
	t.Parallel()
	p, catalog := wander(t, 5, 300)
	until := p.log[len(p.log)-1].At.Add(time.Hour)
	about := core.Subject{Kind: core.OfSystem, ID: "s1"}
	rule := core.Rule{
		ID: "often", On: []core.Trigger{{Event: "health.changed"}}, When: `to == "unhealthy" || from == "unhealthy"`,
		Gate:   core.Gate{Window: &core.Window{Count: 2, Within: core.Duration(10 * time.Minute)}, For: core.Duration(20 * time.Second)},
		Unless: "in_maintenance",
	}
	m := rules.NewMachine(compiler(t), rules.MachineOptions{Instant: true, Explain: true})
	m.SetCatalog(catalog, time.Time{})
	m.SetRules([]rules.Saved{{Rule: rule, At: day}}, day)
	var want []string
	line := func(d core.Decision) string {
		values := 0
		for _, s := range d.Stages {
			if s.Stage == core.StageWhen {
				values += len(s.Nodes)
			}
		}
		return fmt.Sprintf("%s %s at %s, %d values: %+v", d.At.Format("15:04:05"), d.Verdict, d.Stage, values, d.Stages[len(d.Stages)-1].Text)
	}
	take := func(outputs []rules.Output) {
		for _, o := range outputs {
			if o.Decision != nil && o.Decision.Subject == about {
				want = append(want, line(*o.Decision))
			}
		}
	}
	for _, tr := range p.log {
		take(m.Feed(tr, tr.At))
	}
	take(m.Wake(until))
	if len(want) < 30 {
		t.Fatalf("%d decisions, the past is too tame", len(want))
	}
	b := p.backtest(t, rules.BacktestInput{Rule: rule, Span: until.Sub(day), Until: until, About: &about})
	var got []string
	for _, d := range b.Rule.Decisions {
		got = append(got, line(d))
	}
	if !slices.Equal(got, want) {
		t.Errorf("a backtest about %s decided\n%s\nlive it was\n%s", about, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if b := p.backtest(t, rules.BacktestInput{Rule: rule, Span: until.Sub(day), Until: until}); b.Rule.Decisions != nil {
		t.Errorf("about nobody it lists %d decisions", len(b.Rule.Decisions))
	}
}

func TestABacktestOfARuleThatDoesNotCompileSaysWhy(t *testing.T) {
	t.Parallel()
	p := &past{}
	rule := core.Rule{ID: "r", On: []core.Trigger{{Event: "health.unhealthy"}}, When: "too == 1"}
	_, err := compiler(t).Backtest(t.Context(), rules.Past{Log: p, Runs: p, Catalog: p, Health: p}, rules.BacktestInput{Rule: rule})
	if problems, ok := errors.AsType[core.Problems](err); !ok || problems[0].Path != "when" {
		t.Errorf("error %v, want the problem of when", err)
	}
}

// BenchmarkBacktest plays a million changes of 10,000 systems in 30 days.
func BenchmarkBacktest(b *testing.B) {
	p := &past{}
	for i := range 10_000 {
		p.put(b, store.Systems, fmt.Sprintf("s%d", i), core.System{ID: fmt.Sprintf("s%d", i), Tags: map[string]string{"env": []string{"prod", "test"}[min(i%20, 1)]}})
	}
	step := 30 * 24 * time.Hour / 1_000_000
	for i := range 1_000_000 {
		from, to := core.Healthy, core.Unhealthy
		if i/10_000%2 == 1 {
			from, to = to, from
		}
		p.log = append(p.log, core.Transition{Seq: int64(i + 1), At: day.Add(time.Duration(i) * step), Subject: core.Subject{Kind: core.OfSystem, ID: fmt.Sprintf("s%d", i%10_000)}, From: from, To: to, Cause: core.CauseRun})
	}
	rule := core.Rule{ID: "r", On: []core.Trigger{{Event: "health.unhealthy"}}, When: `to == "unhealthy" && system.tags.env == "prod"`, Gate: core.Gate{For: core.Duration(2 * time.Minute), Cooldown: core.Duration(30 * time.Minute)}}
	c := compiler(b)
	for b.Loop() {
		got, err := c.Backtest(b.Context(), rules.Past{Log: p, Runs: p, Catalog: p, Health: p}, rules.BacktestInput{Rule: rule, Span: 30 * 24 * time.Hour, Until: day.Add(30 * 24 * time.Hour)})
		if err != nil || got.Changes != 1_000_000 {
			b.Fatalf("%d changes, %v", got.Changes, err)
		}
	}
}
