package rules

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/store"
)

// event is what rules look at: a transition, or a run of an assignment, which
// is a transition from its health to the same. The Seq of a run is the negative
// of its id, so that events of both kinds have names of their own.
type event struct {
	core.Transition
	Of *runFact `json:"of,omitempty"`
}

// runFact is what rules see of a run.
type runFact struct {
	Outcome core.Outcome   `json:"o"`
	Summary string         `json:"s,omitempty"`
	Latency time.Duration  `json:"l,omitempty"`
	Samples map[string]any `json:"m,omitempty"`
}

// metric is a number that is watched for crossing a threshold.
type metric struct {
	*lang.Program
	reads lazy
	rule  *core.MutedRule
	low   bool    // below, not above
	limit float64 // it begins beyond this
	clear float64 // it ends when it is back at this
	text  string  // "samples.queue above 100"
}

// begins and holds say whether a value is beyond the threshold, and whether it
// still is.
func (g *metric) begins(v float64) bool { return g.low && v < g.limit || !g.low && v > g.limit }

func (g *metric) holds(v float64) bool {
	return g.low && v < g.clear || !g.low && v > g.clear || g.begins(v)
}

// metric checks what a trigger says of a number.
func (b *builder) metric(path string, on core.Trigger, t *trigger) {
	if t.kind != core.KindMetric {
		for _, field := range []struct {
			name  string
			given bool
		}{{"value", on.Value != ""}, {"above", on.Above != nil}, {"below", on.Below != nil}, {"clear", on.Clear != nil}} {
			if field.given {
				b.bad(path+"."+field.name, "trigger", "remove it, or write event: metric", "has a meaning for metric only")
			}
		}
		return
	}
	if len(b.program.Rule.On) > 1 {
		b.bad(path+".event", "trigger", "write a rule of its own for it", "metric must be the only trigger of its rule")
	}
	if strings.TrimSpace(on.Value) == "" {
		b.bad(path+".value", "trigger", "write for example value: samples.queue_depth", "says which number is watched, and is missing")
	}
	if (on.Above == nil) == (on.Below == nil) {
		b.bad(path+".above", "trigger", "write for example above: 100, and clear: 80", "a metric needs either above or below")
		return
	}
	g := &metric{low: on.Below != nil, rule: b.program.muted}
	word := "above"
	if g.limit = 0; g.low {
		g.limit, word = *on.Below, "below"
	} else {
		g.limit = *on.Above
	}
	g.clear = g.limit
	if on.Clear != nil {
		g.clear = *on.Clear
	}
	if g.low && g.clear < g.limit || !g.low && g.clear > g.limit {
		b.bad(path+".clear", "trigger", fmt.Sprintf("write a number that is not %s %v", word, g.limit), "%v would end it before it began", g.clear)
	}
	if on.Value == "" {
		return
	}
	p, problems := lang.Compile(b.scopes.event, on.Value, lang.Any)
	b.problems = append(b.problems, problems.Under(path+".value")...)
	if p == nil {
		return
	}
	if slices.Contains([]string{"bool", "string", "time"}, p.Type()) {
		b.bad(path+".value", "trigger", "write an expression that gives a number", "is %s and not a number", p.Type())
	}
	g.Program, g.reads = p, reads(p)
	g.text = fmt.Sprintf("%s %s %s", strings.TrimSpace(on.Value), word, strconv.FormatFloat(g.limit, 'g', -1, 64))
	t.metric, t.text = g, "metric "+g.text
}

// ofRuns refuses what only runs have in rules that look at none.
func (b *builder) ofRuns() {
	if b.program.runs {
		return
	}
	told := map[string]bool{}
	for _, ref := range b.program.refs() {
		head, _, _ := strings.Cut(ref, ".")
		if slices.Contains([]string{"outcome", "summary", "latency", "samples"}, head) && !told[head] {
			told[head] = true
			b.bad("on", "trigger", "look at runs, for example on: run.failed", "%s is of runs, and the rule looks at health alone", head)
		}
	}
}

// number is the value of a metric of m.env; false when there is none.
func (m *Machine) number(g *metric) (float64, error) {
	m.fetch(g.reads, g.rule)
	v, err := g.Eval(&m.env)
	if err != nil {
		return 0, err
	}
	switch x := v.(type) {
	case int:
		return float64(x), nil
	case int64:
		return float64(x), nil
	case float64:
		return x, nil
	case time.Duration:
		return x.Seconds(), nil
	case nil:
		return 0, errors.New("the value is missing")
	}
	return 0, fmt.Errorf("it is %T and not a number", v)
}

// crosses reports whether the run makes the metric of a rule begin: it is
// beyond the threshold, and was not before. What it says is in m.notes.
func (m *Machine) crosses(r *live, g *metric, at time.Time) (begins bool, err error) {
	m.show(&m.event, core.KindMetric, at)
	v, err := m.number(g)
	if err != nil {
		return false, err
	}
	for _, p := range m.parts[m.event.Subject] {
		if p.rule != r {
			continue
		}
		for i := range p.Members {
			b := &p.Members[i]
			if b.Subject != m.event.Subject {
				continue
			}
			if b.Back && g.begins(v) {
				return true, nil
			}
			if back := b.Back || !g.holds(v); back != b.Back {
				b.Back, p.dirty = back, true
				m.keep(p, at)
			}
			return false, nil
		}
	}
	return g.begins(v), nil
}

// goesOn reports whether what a run made a member is still so after the newest
// run of the subject.
func (a *asker) goesOn(b *member, at time.Time) (bool, remark) {
	last := a.m.world.last[b.Subject]
	if last == nil || a.r == nil {
		return true, remark{}
	}
	var ok bool
	switch b.Kind { //nolint:exhaustive // the others are of health
	case core.KindMetric:
		g := a.r.triggers[0].metric
		if g == nil {
			return true, remark{}
		}
		a.m.show(&b.Event, b.Kind, at)
		v, err := a.m.number(g)
		if ok = err != nil || g.holds(v); !ok { // what is not known keeps what it was
			return false, remark{stage: core.StageDwell, text: fmt.Sprintf("released: it is %s", strconv.FormatFloat(v, 'g', -1, 64))}
		}
		return true, remark{}
	case core.KindFailed:
		ok = last.Outcome == core.Fail
	case core.KindError:
		ok = last.Outcome == core.Error
	default:
		ok = (last.Outcome == core.Pass) == b.Good
	}
	if ok {
		return true, remark{}
	}
	return false, remark{stage: core.StageDwell, text: "released: the newest run was " + last.Outcome.String()}
}

// FeedRun deals with one run: first with the timers before it, then with the
// run itself. One that was dealt with already is ignored.
func (m *Machine) FeedRun(run *core.Run, now time.Time) []Output {
	if run.ID <= m.runs {
		return nil
	}
	m.runs = run.ID
	at := run.Ended
	if at.After(now) {
		at = now
	}
	m.out = m.out[:0]
	m.advance(&m.out, at, false, now)
	if at.After(m.clock) {
		m.clock = at
	}
	m.event, m.shown = m.world.run(run), false
	return m.handle(at, now)
}

// run takes over what rules see of a run, and is the event of it.
func (w *world) run(run *core.Run) event {
	t := w.event(run)
	w.last[t.Subject] = t.Of
	return t
}

// event is what rules see of a run.
func (w *world) event(run *core.Run) event {
	s := core.Subject{Kind: core.OfAssignment, ID: run.Assignment}
	h := w.of(s).health
	return event{
		Of: &runFact{Outcome: run.Outcome, Summary: run.Summary, Latency: run.Latency, Samples: run.Samples},
		Transition: core.Transition{
			Seq: -run.ID, At: run.Ended, Subject: s, From: h, To: h, Cause: core.CauseRun, Run: run.ID, Why: run.Why,
		},
	}
}

// RunCursor is the id of the newest run that was dealt with.
func (m *Machine) RunCursor() int64 { return m.runs }

// SkipRuns passes over runs up to an id, of which no rule wants any.
func (m *Machine) SkipRuns(id int64) { m.runs = max(m.runs, id) }

// Wanted are the outcomes of the runs that rules look at, empty for all; false
// when no rule looks at runs. While something that a run began is open, all are
// wanted, because any may end it.
func (m *Machine) Wanted() (outcomes []core.Outcome, some bool) {
	all := false
	for _, r := range m.rules {
		if !r.runs {
			continue
		}
		some = true
		for i := range r.triggers {
			switch r.triggers[i].kind { //nolint:exhaustive // the others are of health
			case core.KindCompleted, core.KindMetric:
				all = true
			case core.KindFailed:
				outcomes = append(outcomes, core.Fail)
			case core.KindError:
				outcomes = append(outcomes, core.Error)
			}
		}
		all = all || len(r.parts) > 0 && (r.gate.window == nil || r.gate.window.Of > 0 || r.gate.dwell > 0)
	}
	if all {
		return nil, true
	}
	slices.Sort(outcomes)
	return slices.Compact(outcomes), some
}

// runMark is the key of the run cursor beside the gate state; no rule has such
// an id.
const runMark = "*runs"

// takeMark takes the run cursor out of what was stored.
func (m *Machine) takeMark() {
	text, ok := m.stored[runMark]
	if !ok {
		return
	}
	delete(m.stored, runMark)
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		m.SkipRuns(n)
	}
}

// recorded is a batch of runs that rules want.
type recorded struct {
	list   []core.Run
	newest int64 // of all runs, when they were read
	wanted bool  // a rule looked at runs then
	partly bool  // of some outcomes only
	full   bool  // there may be more
}

// feed deals with entries of the log and with runs, which were read after them,
// in the order in which they happened: a transition comes after the run that
// caused it. It reports false when some of them are left, which are to be read
// again.
//
//nolint:gocognit // runs and changes merged in the order of their times
func (m *Machine) feed(entries []core.Transition, runs recorded, caughtUp bool, now time.Time) ([]Output, bool) {
	var out []Output
	list := runs.list
	// A run may begin something that a run of another outcome ends, and those
	// were not asked for.
	stop := false
	until := func(ok func(*core.Run) bool) {
		for !stop && len(list) > 0 && ok(&list[0]) {
			out = append(out, m.FeedRun(&list[0], now)...)
			list = list[1:]
			if runs.partly {
				outcomes, _ := m.Wanted()
				stop = len(outcomes) == 0
			}
		}
	}
	for i := range entries {
		t := &entries[i]
		if until(func(r *core.Run) bool { return t.Run > 0 && r.ID <= t.Run || t.Run == 0 && !r.Ended.After(t.At) }); stop {
			return out, false
		}
		if runs.full && len(list) == 0 && t.Run > m.runs {
			return out, false // the runs before it are not here
		}
		out = append(out, m.Feed(*t, now)...)
	}
	if caughtUp {
		until(func(*core.Run) bool { return true })
	}
	if stop || len(list) > 0 || runs.full {
		return out, false
	}
	if caughtUp {
		if _, wanted := m.Wanted(); runs.wanted || !wanted {
			m.SkipRuns(runs.newest)
		}
	}
	return out, true
}

// before is the id of the last run up to newest that ended before an instant,
// as far as the ends of runs are in order.
func before(ctx context.Context, runs store.RunLog, newest int64, at time.Time) (int64, error) {
	low, high := int64(0), newest
	for low < high {
		middle := low + (high-low)/2
		got, _, err := runs.RunsOf(ctx, middle, nil, 1)
		if err != nil {
			return 0, fmt.Errorf("look for the run at an instant: %w", err)
		}
		if len(got) == 0 || !got[0].Ended.Before(at) {
			high = middle
			continue
		}
		low = got[0].ID
	}
	return low, nil
}

// findRuns places the run cursor of a Machine that has none: before the runs
// that the oldest of the rules that look at runs may want.
func (r *Runner) findRuns(ctx context.Context, m *Machine) error {
	if m.RunCursor() > 0 {
		return nil
	}
	_, newest, err := r.store.Runs.RunsOf(ctx, -1, nil, 1)
	if err != nil {
		return fmt.Errorf("read the newest run: %w", err)
	}
	var oldest time.Time
	for _, rule := range m.rules {
		if rule.runs && (oldest.IsZero() || rule.begin.Before(oldest)) {
			oldest = rule.begin
		}
	}
	if oldest.IsZero() {
		m.SkipRuns(newest)
		return nil
	}
	last, err := before(ctx, r.store.Runs, newest, oldest)
	m.SkipRuns(last)
	return err
}
