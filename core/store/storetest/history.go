//nolint:thelper,gocognit // tests, not helpers: a failure is told at its own line, a story in one piece
package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) history() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"history/runs":        s.testRuns,
		"history/runs after":  s.testRunsAfter,
		"history/runs of":     s.testRunsOf,
		"history/transitions": s.testTransitions,
		"history/prune":       s.testPrune,
		"history/prune order": s.testPruneOrder,
		"history/late news":   s.testLateNews,
	}
}

// past records 120 runs, one a minute: of web:http, web:tcp, db:http and
// db:tcp in turn; every tenth fails and every fifteenth warns.
func past(t *testing.T, b Backend) []core.Run {
	t.Helper()
	watch(t, b, "web", "db")
	runs := make([]*core.Run, 120)
	for i := range runs {
		outcome := core.Pass
		switch {
		case i%10 == 9:
			outcome = core.Fail
		case i%15 == 14:
			outcome = core.Warn
		}
		runs[i] = run([]string{"web:http", "web:tcp", "db:http", "db:tcp"}[i%4], minute(i), outcome)
	}
	must(t, "record", b.Record(t.Context(), runs))
	out := make([]core.Run, len(runs))
	for i, r := range runs {
		out[i] = *r
	}
	return out
}

func (s suite) testRuns(t *testing.T) {
	b := s.fresh(t)
	all := past(t, b)
	for name, test := range map[string]struct {
		query store.RunQuery
		keep  func(core.Run) bool
	}{
		"all":                   {store.RunQuery{}, func(core.Run) bool { return true }},
		"of an assignment":      {store.RunQuery{Assignment: "web:tcp"}, func(r core.Run) bool { return r.Assignment == "web:tcp" }},
		"of a system":           {store.RunQuery{System: "db"}, func(r core.Run) bool { return strings.HasPrefix(r.Assignment, "db:") }},
		"of both":               {store.RunQuery{System: "db", Assignment: "db:tcp"}, func(r core.Run) bool { return r.Assignment == "db:tcp" }},
		"of a contradiction":    {store.RunQuery{System: "db", Assignment: "web:tcp"}, func(core.Run) bool { return false }},
		"of nothing":            {store.RunQuery{System: "nobody"}, func(core.Run) bool { return false }},
		"that failed":           {store.RunQuery{Outcomes: []core.Outcome{core.Fail}}, func(r core.Run) bool { return r.Outcome == core.Fail }},
		"that did not pass":     {store.RunQuery{Outcomes: []core.Outcome{core.Warn, core.Fail, core.Error}}, func(r core.Run) bool { return r.Outcome != core.Pass }},
		"that passed":           {store.RunQuery{Outcomes: []core.Outcome{core.Pass}, Limit: 7}, func(r core.Run) bool { return r.Outcome == core.Pass }},
		"passed or warned, tcp": {store.RunQuery{Assignment: "db:tcp", Outcomes: []core.Outcome{core.Pass, core.Warn}}, func(r core.Run) bool { return r.Assignment == "db:tcp" && r.Outcome <= core.Warn }},
		"failed, of a system":   {store.RunQuery{System: "web", Outcomes: []core.Outcome{core.Fail}}, func(r core.Run) bool { return strings.HasPrefix(r.Assignment, "web:") && r.Outcome == core.Fail }},
		"since":                 {store.RunQuery{System: "web", Since: minute(100)}, func(r core.Run) bool { return strings.HasPrefix(r.Assignment, "web:") && !r.Ended.Before(minute(100)) }},
		"failed since":          {store.RunQuery{Outcomes: []core.Outcome{core.Fail}, Since: minute(59)}, func(r core.Run) bool { return r.Outcome == core.Fail && !r.Ended.Before(minute(59)) }},
		"before":                {store.RunQuery{System: "web", Before: 50}, func(r core.Run) bool { return strings.HasPrefix(r.Assignment, "web:") && r.ID < 50 }},
		"failed before":         {store.RunQuery{Outcomes: []core.Outcome{core.Fail, core.Warn}, Before: 50}, func(r core.Run) bool { return r.Outcome != core.Pass && r.ID < 50 }},
		"failed, tcp, before":   {store.RunQuery{Assignment: "web:tcp", Outcomes: []core.Outcome{core.Fail}, Before: 90}, func(r core.Run) bool { return r.Assignment == "web:tcp" && r.Outcome == core.Fail && r.ID < 90 }},
		"few":                   {store.RunQuery{System: "web", Limit: 3}, func(r core.Run) bool { return strings.HasPrefix(r.Assignment, "web:") }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []int64
			most := test.query.Limit
			if most == 0 {
				most = 100
			}
			for i := len(all) - 1; i >= 0 && len(want) < most; i-- {
				if test.keep(all[i]) {
					want = append(want, all[i].ID)
				}
			}
			runs, err := b.Runs(t.Context(), test.query)
			must(t, "runs", err)
			equal(t, fmt.Sprintf("runs of %+v", test.query), ids(runs), want)
		})
	}
	// Page through all of a system.
	var paged []int64
	for q := (store.RunQuery{System: "web", Limit: 7}); ; q.Before = paged[len(paged)-1] {
		runs, err := b.Runs(t.Context(), q)
		must(t, "page", err)
		if len(runs) == 0 {
			break
		}
		paged = append(paged, ids(runs)...)
	}
	if len(paged) != 60 {
		t.Errorf("paging gives %d runs, want each of 60 once: %v", len(paged), paged)
	}
}

func ids(runs []core.Run) []int64 {
	var out []int64
	for _, r := range runs {
		out = append(out, r.ID)
	}
	return out
}

func (s suite) testRunsAfter(t *testing.T) {
	b := s.fresh(t)
	past(t, b)
	runs, newest, err := b.RunsAfter(t.Context(), 100, 7)
	must(t, "runs after", err)
	equal(t, "runs after 100", ids(runs), []int64{101, 102, 103, 104, 105, 106, 107})
	if newest != 120 || runs[0].Samples != nil || runs[0].Steps != nil {
		t.Errorf("the newest is %d, want 120, without detail", newest)
	}
	runs, newest, err = b.RunsAfter(t.Context(), -1, 7)
	if err != nil || len(runs) != 0 || newest != 120 {
		t.Errorf("runs after -1 are %v up to %d (%v), want none up to 120", ids(runs), newest, err)
	}
}

// testRunsOf follows the runs of some outcomes, page by page.
func (s suite) testRunsOf(t *testing.T) {
	b := s.fresh(t)
	all := past(t, b)
	last := run("web:http", minute(200), core.Error)
	last.Samples = core.Samples{"queue": 7.5, "took": 3 * time.Second}
	must(t, "record", b.Record(t.Context(), []*core.Run{last}))
	all = append(all, *last)
	for name, outcomes := range map[string][]core.Outcome{
		"all": nil, "fails": {core.Fail}, "fails and errors": {core.Fail, core.Error}, "all but passes": {core.Warn, core.Fail, core.Error},
		"passes": {core.Pass}, "passes and errors": {core.Error, core.Pass},
	} {
		var want, got []int64
		for _, r := range all {
			if len(outcomes) == 0 || slices.Contains(outcomes, r.Outcome) {
				want = append(want, r.ID)
			}
		}
		after := int64(0)
		for {
			runs, newest, err := b.RunsOf(t.Context(), after, outcomes, 7)
			must(t, "runs of", err)
			if newest != 121 {
				t.Fatalf("%s: the newest is %d, want 121", name, newest)
			}
			got = append(got, ids(runs)...)
			if len(runs) < 7 {
				break
			}
			after = runs[len(runs)-1].ID
		}
		equal(t, "runs of "+name, got, want)
	}
	runs, newest, err := b.RunsOf(t.Context(), 120, []core.Outcome{core.Error}, 7)
	must(t, "the newest run", err)
	if len(runs) != 1 || newest != 121 || runs[0].Samples["queue"] != 7.5 || runs[0].Samples["took"] != 3*time.Second || runs[0].Steps != nil {
		t.Errorf("the newest run is %+v, want it with its samples", runs)
	}
	runs, newest, err = b.RunsOf(t.Context(), -1, nil, 7)
	if err != nil || len(runs) != 0 || newest != 121 {
		t.Errorf("runs after -1 are %v up to %d (%v), want none up to 121", ids(runs), newest, err)
	}
}

func (s suite) testTransitions(t *testing.T) {
	b := s.fresh(t)
	past(t, b)
	all := log(t, b)
	sub := func(kind core.SubjectKind, id string) core.Subject { return core.Subject{Kind: kind, ID: id} }
	for name, test := range map[string]struct {
		query store.TransitionQuery
		keep  func(core.Transition) bool
	}{
		"all":              {store.TransitionQuery{Limit: 1000}, func(core.Transition) bool { return true }},
		"few":              {store.TransitionQuery{Limit: 2}, func(core.Transition) bool { return true }},
		"of a kind":        {store.TransitionQuery{Subject: sub(core.OfSystem, "")}, func(c core.Transition) bool { return c.Subject.Kind == core.OfSystem }},
		"of a subject":     {store.TransitionQuery{Subject: sub(core.OfAssignment, "db:tcp")}, func(c core.Transition) bool { return c.Subject.ID == "db:tcp" }},
		"of a group":       {store.TransitionQuery{Subject: sub(core.OfGroup, "prod")}, func(c core.Transition) bool { return c.Subject.Kind == core.OfGroup }},
		"of a system":      {store.TransitionQuery{System: "web"}, func(c core.Transition) bool { return c.Subject.ID == "web" || strings.HasPrefix(c.Subject.ID, "web:") }},
		"kind of a system": {store.TransitionQuery{System: "web", Subject: sub(core.OfAssignment, "")}, func(c core.Transition) bool { return strings.HasPrefix(c.Subject.ID, "web:") }},
		"contradiction":    {store.TransitionQuery{System: "web", Subject: sub(core.OfSystem, "db")}, func(core.Transition) bool { return false }},
		"since and before": {store.TransitionQuery{Since: minute(30), Before: 30}, func(c core.Transition) bool { return !c.At.Before(minute(30)) && c.Seq < 30 }},
		"no such group":    {store.TransitionQuery{Subject: sub(core.OfGroup, "web")}, func(core.Transition) bool { return false }},
	} {
		t.Run(name, func(t *testing.T) {
			var want []core.Transition
			most := test.query.Limit
			if most == 0 {
				most = 100
			}
			for i := len(all) - 1; i >= 0 && len(want) < most; i-- {
				if test.keep(all[i]) {
					want = append(want, all[i])
				}
			}
			got, err := b.Transitions(t.Context(), test.query)
			must(t, "transitions", err)
			equal(t, fmt.Sprintf("transitions of %+v", test.query), got, want)
		})
	}
}

func (s suite) testPrune(t *testing.T) {
	b, dir := s.freshIn(t)
	past(t, b)
	newest := map[core.Subject]int64{}
	keep := map[int64]bool{}
	before := log(t, b)
	for _, c := range before {
		newest[c.Subject] = c.Seq
	}
	for _, c := range before {
		keep[c.Seq] = !c.At.Before(minute(80)) || newest[c.Subject] == c.Seq
	}
	for i := range 4 {
		must(t, "commit", b.Commit(t.Context(), store.Turn{Cursor: 1, Decisions: []core.Decision{
			{Rule: "r", Subject: core.Subject{Kind: core.OfSystem, ID: "web"}, Verdict: core.Drop, Decided: minute(i)},
		}}))
	}
	standings, err := b.Standings(t.Context())
	must(t, "standings", err)
	gone, err := b.Prune(t.Context(), store.Keep{Now: minute(200), Runs: store.Bound{Before: minute(60)}, Transitions: minute(80), Decisions: minute(2)})
	must(t, "prune", err)
	runs, top, err := b.RunsAfter(t.Context(), 0, 1000)
	must(t, "runs", err)
	if len(runs) != 60 || top != 120 || !runs[0].Ended.Equal(minute(60)) {
		t.Errorf("left are %d runs up to %d, want the 60 from minute 60 on", len(runs), top)
	}
	left, err := b.After(t.Context(), 0, 1000)
	must(t, "log", err)
	for _, c := range left {
		if !keep[c.Seq] {
			t.Errorf("%+v is left, want it gone", c)
		}
		delete(keep, c.Seq)
	}
	for seq, kept := range keep {
		if kept {
			t.Errorf("seq %d is gone, want it kept", seq)
		}
	}
	decisions, err := b.Decisions(t.Context(), store.DecisionQuery{})
	must(t, "decisions", err)
	if len(decisions) != 2 {
		t.Errorf("left are %d decisions, want the 2 from minute 2 on", len(decisions))
	}
	if want := int64(60 + len(before) - len(left) + 2); gone != want {
		t.Errorf("prune says %d rows went, want %d", gone, want)
	}
	of, err := b.Runs(t.Context(), store.RunQuery{System: "web"})
	if err != nil || len(of) != 30 {
		t.Errorf("web has %d runs (%v), want 30", len(of), err)
	}

	// Even when everything goes, the newest transitions, the numbers and "in
	// this health since" stay.
	_, err = b.Prune(t.Context(), store.Keep{Now: minute(1000), Runs: store.Bound{Before: minute(1000)}, Transitions: minute(1000), Decisions: minute(1000)})
	must(t, "prune all", err)
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	left, err = b.After(t.Context(), 0, 1000)
	must(t, "log", err)
	if len(left) != len(newest) {
		t.Errorf("left are %d transitions, want the newest of each of %d subjects", len(left), len(newest))
	}
	after, err := b.Standings(t.Context())
	must(t, "standings", err)
	equal(t, "standings", after, standings)
	if id := record(t, b, "web:http", minute(1001), core.Pass); id != 121 {
		t.Errorf("the next run has id %d, want 121: ids are never used twice", id)
	}
	if gone, err = b.Prune(t.Context(), store.Keep{Now: minute(1002)}); err != nil || gone != 0 {
		t.Errorf("prune of nothing took %d rows (%v), want 0", gone, err)
	}
	if head, err := b.Head(t.Context()); err != nil || head < before[len(before)-1].Seq {
		t.Errorf("head is %d (%v), want at least %d", head, err, before[len(before)-1].Seq)
	}
}

// A run with a clock that is wrong neither stops retention nor hides others.
func (s suite) testPruneOrder(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	for i := range 20 {
		at := minute(i)
		switch i {
		case 3:
			at = at.Add(50 * 365 * 24 * time.Hour)
		case 18:
			at = minute(-1000)
		}
		record(t, b, "web:http", at, core.Pass)
	}
	_, err := b.Prune(t.Context(), store.Keep{Now: minute(20), Runs: store.Bound{Before: minute(10)}})
	must(t, "prune", err)
	runs, err := b.Runs(t.Context(), store.RunQuery{Assignment: "web:http"})
	must(t, "runs", err)
	found := map[int64]bool{}
	for _, r := range runs {
		found[r.ID] = true
	}
	for i := range 20 {
		if id := int64(i + 1); i >= 10 && i != 18 && !found[id] {
			t.Errorf("run %d of minute %d is not found, want it kept", id, i)
		} else if i < 10 && i != 3 && found[id] {
			t.Errorf("run %d of minute %d is found, want it pruned", id, i)
		}
	}
}

// Runs may be recorded long after they ended, between others: asking for what
// is newer than an instant must neither miss one nor hide another.
func (s suite) testLateNews(t *testing.T) {
	b, dir := s.freshIn(t)
	watch(t, b, "web", "db")
	const n, since = 6000, 4000
	runs := make([]*core.Run, n)
	want := map[string]int{}
	for i := range runs {
		at := i
		switch {
		case i > 2000 && i < 2100: // from the future
			at += n
		case i > 5000 && i < 5500: // a backlog
			at -= 4500
		}
		outcome := core.Pass
		if i%7 == 0 {
			outcome = core.Fail
		}
		r := run([]string{"web:http", "web:tcp", "db:http", "db:tcp"}[i%4], minute(at), outcome)
		runs[i] = r
		if at >= since {
			want["all"]++
			want[r.Assignment]++
			if outcome == core.Fail {
				want["fail"]++
				want["fail "+r.Assignment]++
			}
		}
	}
	for from := 0; from < n; from += 1500 {
		must(t, "record", b.Record(t.Context(), runs[from:from+1500]))
		must(t, "close", b.Close())
		b = s.reopen(t, dir)
	}
	count := func(q store.RunQuery) (n int) {
		q.Since, q.Limit = minute(since), 1000
		for {
			page, err := b.Runs(t.Context(), q)
			must(t, "runs", err)
			if len(page) == 0 {
				return n
			}
			n += len(page)
			q.Before = page[len(page)-1].ID
		}
	}
	failed := []core.Outcome{core.Fail}
	for what, q := range map[string]store.RunQuery{
		"all": {}, "fail": {Outcomes: failed}, "web:tcp": {Assignment: "web:tcp"}, "fail web:tcp": {Assignment: "web:tcp", Outcomes: failed},
	} {
		if got := count(q); got != want[what] {
			t.Errorf("of %s since minute %d there are %d, want %d", what, since, got, want[what])
		}
	}
	all, changed := log(t, b), 0
	for _, c := range all {
		if !c.At.Before(minute(since)) {
			changed++
		}
	}
	found := 0
	for q := (store.TransitionQuery{Since: minute(since), Limit: 1000}); ; {
		page, err := b.Transitions(t.Context(), q)
		must(t, "transitions", err)
		if len(page) == 0 {
			break
		}
		found += len(page)
		q.Before = page[len(page)-1].Seq
	}
	if found != changed || changed == len(all) {
		t.Errorf("transitions since minute %d are %d of %d, want %d", since, found, len(all), changed)
	}
}
