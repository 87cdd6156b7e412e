//nolint:thelper,gocognit // tests, not helpers: a failure is told at its own line, a story in one piece
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) journal() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"journal/commit and load": s.testJournal,
		"journal/turn is atomic":  s.testTurnIsAtomic,
		"journal/same firing":     s.testSameFiring,
		"journal/cancel":          s.testCancel,
		"trace/decisions":         s.testDecisions,
		"trace/firings":           s.testFirings,
	}
}

func (s suite) queue() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"queue/steps in order":   s.testStepsInOrder,
		"queue/claimers race":    s.testClaimersRace,
		"queue/lease runs out":   s.testLeaseRunsOut,
		"queue/extend":           s.testExtend,
		"queue/retry":            s.testRetry,
		"queue/given back":       s.testGivenBack,
		"queue/death":            s.testDeath,
		"queue/continues":        s.testContinues,
		"queue/cancel":           s.testCancelClaimed,
		"queue/resend":           s.testResend,
		"queue/resend continued": s.testResendContinued,
		"queue/reopen":           s.testQueueReopen,
		"queue/together":         s.testTogether,
		"queue/wakes":            s.testWakes,
		"queue/cancel races":     s.testCancelRaces,
	}
}

// firing of rule r with steps a, b, ...
func firing(id string, steps ...string) core.Firing {
	f := core.Firing{
		ID: id, Rule: "r", Revision: "1", Partition: "web", Episode: "e", N: 1,
		Subject: core.Subject{Kind: core.OfSystem, ID: "web"}, At: minute(0), Created: minute(1), Status: core.FiringQueued,
		Env: json.RawMessage(`{"to":"unhealthy"}`), Why: core.Because("fire", "it fired"),
	}
	for _, id := range steps {
		f.Steps = append(f.Steps, core.Step{ID: id, Action: "log"})
	}
	return f
}

// inOrder is a flow that does one step after another, as far as that is needed
// here, and all those of parallel at once.
func inOrder(f core.Firing, steps []core.Delivery) store.Next {
	at := map[string]core.DeliveryStatus{}
	for _, d := range steps {
		at[d.Place] = d.Status
	}
	var out store.Next
	begin := func(place string, s core.Step) {
		out.Begin = append(out.Begin, core.Delivery{Place: place, Kind: s.Kind(), Step: s, Key: f.ID + "/" + s.ID})
	}
	out.Status = core.FiringDone
	for i, s := range f.Steps {
		place := strconv.Itoa(i)
		switch status, begun := at[place]; {
		case !begun || status == core.DeliveryCancelled:
			begin(place, s)
			out.Status = core.FiringRunning
		case status == core.DeliveryDead && !s.ContinueOnError:
			for other, status := range at {
				if status == core.DeliveryWaiting {
					out.Cancel = append(out.Cancel, other)
				}
			}
			out.Begin, out.Status = nil, core.FiringFailed
			return out
		case status == core.DeliveryWaiting, status == core.DeliveryRunning:
			out.Status = core.FiringRunning
		}
		if out.Status == core.FiringRunning && f.Rule != "together" {
			return out
		}
	}
	return out
}

func commit(t *testing.T, b Backend, firings ...core.Firing) {
	t.Helper()
	must(t, "commit", b.Commit(t.Context(), store.Turn{Firings: firings, Flow: inOrder}))
}

func (s suite) testJournal(t *testing.T) {
	b, dir := s.freshIn(t)
	cursor, state, err := b.Load(t.Context())
	if err != nil || cursor != 0 || len(state) != 0 {
		t.Errorf("an empty journal is %d, %v (%v), want nothing", cursor, state, err)
	}
	must(t, "commit", b.Commit(t.Context(), store.Turn{Cursor: 7, State: map[string][]byte{"a": {1}, "b": {2}, "c": {}}}))
	must(t, "commit", b.Commit(t.Context(), store.Turn{Cursor: 9, State: map[string][]byte{"a": {3, 0}, "b": nil, "never": nil}}))
	for range 2 {
		cursor, state, err = b.Load(t.Context())
		must(t, "load", err)
		if cursor != 9 {
			t.Errorf("the cursor is %d, want 9", cursor)
		}
		equal(t, "state", state, map[string][]byte{"a": {3, 0}, "c": {}})
		must(t, "close", b.Close())
		b = s.reopen(t, dir)
	}
}

// A turn is seen whole: state, decisions and firings together.
func (s suite) testTurnIsAtomic(t *testing.T) {
	b := s.fresh(t)
	const turns = 40
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			_, state, err := b.Load(t.Context())
			if err != nil {
				t.Errorf("load: %v", err)
				return
			}
			if n := len(state["n"]); n > 0 { // as many turns were committed: their firings must be there
				if _, err := b.Firing(t.Context(), fmt.Sprintf("f%d", n)); err != nil {
					t.Errorf("state of turn %d is there and its firing is not: %v", n, err)
					return
				}
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	for i := 1; i <= turns; i++ {
		must(t, "commit", b.Commit(t.Context(), store.Turn{
			Cursor: int64(i), State: map[string][]byte{"n": make([]byte, i)}, Firings: []core.Firing{firing(fmt.Sprintf("f%d", i), "a")}, Flow: inOrder,
			Decisions: []core.Decision{{Rule: "r", Verdict: core.Fire}},
		}))
	}
	close(done)
	group.Wait()
}

// acceptance 16, 20, 35: the firing id is the idempotency key.
func (s suite) testSameFiring(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a", "b"))
	again := firing("f", "a", "b", "c")
	again.Rule = "other"
	commit(t, b, again, again)
	got, err := b.Firing(t.Context(), "f")
	must(t, "firing", err)
	equal(t, "firing", got, firing("f", "a", "b"))
	deliveries, err := b.Deliveries(t.Context(), "f", nil, 10)
	must(t, "deliveries", err)
	if len(deliveries) != 1 || deliveries[0].Key != "f/a" || deliveries[0].Kind != "log" || deliveries[0].Place != "0" {
		t.Errorf("deliveries are %+v, want that of the first commit, a log with key f/a", deliveries)
	}
	commit(t, b, firing("empty"))
	if got, err := b.Firing(t.Context(), "empty"); err != nil || got.Status != core.FiringDone {
		t.Errorf("a firing without steps is %s (%v), want done", got.Status, err)
	}
	_, err = b.Firing(t.Context(), "none")
	wantError(t, "unknown firing", err, store.ErrNotFound)
}

// acceptance 31.
func (s suite) testCancel(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a", "b"), firing("g", "a"), firing("h"))
	did, err := b.Cancel(t.Context(), "f", minute(2))
	if err != nil || !did {
		t.Errorf("cancel is %v (%v), want true", did, err)
	}
	for _, id := range []string{"f", "h"} {
		if did, err := b.Cancel(t.Context(), id, minute(3)); err != nil || did {
			t.Errorf("cancel of the final %s is %v (%v), want false", id, did, err)
		}
	}
	_, err = b.Cancel(t.Context(), "none", minute(3))
	wantError(t, "cancel nothing", err, store.ErrNotFound)
	must(t, "commit", b.Commit(t.Context(), store.Turn{Cancel: []string{"g", "h", "none"}}))
	wantStatus(t, b, "f", core.FiringCancelled, core.DeliveryCancelled)
	wantStatus(t, b, "g", core.FiringCancelled, core.DeliveryCancelled)
	wantStatus(t, b, "h", core.FiringDone)
	active, err := b.Active(t.Context(), "")
	if err != nil || len(active) != 0 {
		t.Errorf("active are %v (%v), want none", active, err)
	}
	if claimed := claim(t, b, minute(9)); len(claimed) != 0 {
		t.Errorf("claimed %d deliveries of cancelled firings", len(claimed))
	}
}

func wantStatus(t *testing.T, b Backend, id string, want core.FiringStatus, steps ...core.DeliveryStatus) {
	t.Helper()
	f, err := b.Firing(t.Context(), id)
	must(t, "firing", err)
	if f.Status != want {
		t.Errorf("firing %s is %s, want %s", id, f.Status, want)
	}
	deliveries, err := b.Deliveries(t.Context(), id, nil, 100)
	must(t, "deliveries", err)
	var got []core.DeliveryStatus
	for _, d := range deliveries {
		got = append(got, d.Status)
	}
	equal(t, "deliveries of "+id, got, steps)
}

func (s suite) testDecisions(t *testing.T) {
	b := s.fresh(t)
	next := minute(9)
	var all []core.Decision
	for i := range 30 {
		d := core.Decision{
			Rule: []string{"r", "s"}[i%2], Revision: "1", Seq: int64(i), At: minute(i), Decided: minute(i + 1), Verdict: core.Hold, Stage: core.StageWindow,
			Subject: core.Subject{Kind: core.OfSystem, ID: "web"}, Stages: []core.StageResult{{Stage: core.StageWhen, OK: true, Text: "yes", Until: &next}},
			From: core.Healthy, To: core.Unhealthy, NextAt: &next,
		}
		switch i % 3 {
		case 1:
			d.Subject, d.Verdict = core.Subject{Kind: core.OfAssignment, ID: "db:http"}, core.Fire
		case 2:
			d.Subject = core.Subject{Kind: core.OfGroup, ID: "web"}
		}
		must(t, "commit", b.Commit(t.Context(), store.Turn{Decisions: []core.Decision{d}}))
		d.ID = int64(i + 1)
		all = append(all, d)
	}
	for name, test := range map[string]struct {
		query store.DecisionQuery
		keep  func(core.Decision) bool
	}{
		"all":               {store.DecisionQuery{}, func(core.Decision) bool { return true }},
		"of a rule":         {store.DecisionQuery{Rule: "s", Limit: 4}, func(d core.Decision) bool { return d.Rule == "s" }},
		"of a system":       {store.DecisionQuery{System: "web"}, func(d core.Decision) bool { return d.Subject.Kind == core.OfSystem }},
		"of its assignment": {store.DecisionQuery{System: "db"}, func(d core.Decision) bool { return d.Subject.ID == "db:http" }},
		"of both":           {store.DecisionQuery{System: "db", Rule: "r"}, func(d core.Decision) bool { return d.Subject.ID == "db:http" && d.Rule == "r" }},
		"fires": {
			store.DecisionQuery{Verdicts: []core.DecisionVerdict{core.Fire, core.Recover}, Before: 20},
			func(d core.Decision) bool { return d.Verdict == core.Fire && d.ID < 20 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			var want []core.Decision
			for i := len(all) - 1; i >= 0 && (test.query.Limit == 0 || len(want) < test.query.Limit); i-- {
				if test.keep(all[i]) {
					want = append(want, all[i])
				}
			}
			got, err := b.Decisions(t.Context(), test.query)
			must(t, "decisions", err)
			equal(t, "decisions", got, want)
		})
	}
}

func (s suite) testFirings(t *testing.T) {
	b := s.fresh(t)
	for i := range 6 {
		f := firing(fmt.Sprintf("f%d", i), "a")
		f.Created = minute(i)
		if i%2 == 1 {
			f.Rule = "s"
		}
		commit(t, b, f)
	}
	_, err := b.Cancel(t.Context(), "f2", minute(9))
	must(t, "cancel", err)
	for name, test := range map[string]struct {
		query store.FiringQuery
		want  []string
	}{
		"all":       {store.FiringQuery{}, []string{"f5", "f4", "f3", "f2", "f1", "f0"}},
		"few":       {store.FiringQuery{Limit: 2}, []string{"f5", "f4"}},
		"before":    {store.FiringQuery{Before: minute(2)}, []string{"f1", "f0"}},
		"of a rule": {store.FiringQuery{Rule: "r"}, []string{"f4", "f2", "f0"}},
		"queued":    {store.FiringQuery{Rule: "r", Status: []core.FiringStatus{core.FiringQueued}}, []string{"f4", "f0"}},
		"cancelled": {store.FiringQuery{Status: []core.FiringStatus{core.FiringCancelled, core.FiringDone}}, []string{"f2"}},
	} {
		t.Run(name, func(t *testing.T) {
			firings, err := b.Firings(t.Context(), test.query)
			must(t, "firings", err)
			equal(t, "firings", names(firings), test.want)
		})
	}
	active, err := b.Active(t.Context(), "r")
	must(t, "active", err)
	equal(t, "active firings of r, oldest first", names(active), []string{"f0", "f4"})
	waiting, err := b.Deliveries(t.Context(), "", []core.DeliveryStatus{core.DeliveryWaiting}, 3)
	must(t, "deliveries", err)
	if len(waiting) != 3 || waiting[0].Firing != "f5" || waiting[0].Rule != "s" || waiting[0].Step.ID != "a" || !waiting[0].Next.Equal(minute(5)) {
		t.Errorf("waiting deliveries are %+v, want 3, newest first", waiting)
	}
}

func names(firings []core.Firing) []string {
	var out []string
	for _, f := range firings {
		out = append(out, f.ID)
	}
	return out
}

// claim claims whatever can be claimed for ten minutes.
func claim(t *testing.T, b Backend, now time.Time) []store.Claimed {
	t.Helper()
	claimed, err := b.Claim(t.Context(), now, 10*time.Minute, 100)
	must(t, "claim", err)
	return claimed
}

// claimOne claims the one delivery there is.
func claimOne(t *testing.T, b Backend, now time.Time, key string) store.Claimed {
	t.Helper()
	claimed := claim(t, b, now)
	if len(claimed) != 1 || claimed[0].Key != key {
		t.Fatalf("claimed %+v, want only %s", claimed, key)
	}
	return claimed[0]
}

func finish(t *testing.T, b Backend, c store.Claimed, status core.DeliveryStatus, now time.Time) {
	t.Helper()
	d := c.Delivery
	d.Status = status
	must(t, "finish "+d.Key, b.Finish(t.Context(), d, c.Token, now, inOrder))
}

func next(t *testing.T, b Backend, want time.Time) {
	t.Helper()
	at, err := b.Next(t.Context())
	must(t, "next", err)
	if !at.Equal(want) {
		t.Errorf("the next delivery can be claimed at %v, want %v", at, want)
	}
}

func (s suite) testStepsInOrder(t *testing.T) {
	b := s.fresh(t)
	next(t, b, time.Time{})
	commit(t, b, firing("f", "a", "b", "c"))
	next(t, b, minute(1))
	if early := claim(t, b, minute(0)); len(early) != 0 {
		t.Errorf("claimed %v before its time", early)
	}
	wantStatus(t, b, "f", core.FiringQueued, core.DeliveryWaiting)
	first := claimOne(t, b, minute(1), "f/a")
	if first.Attempts != 1 || first.Status != core.DeliveryRunning || len(first.Steps) != 1 || first.Firing.Status != core.FiringRunning || first.Token == "" {
		t.Errorf("the claim is %+v, want the first attempt, running, of a running firing", first)
	}
	equal(t, "facts of the firing", string(first.Firing.Env), `{"to":"unhealthy"}`)
	next(t, b, minute(11))
	if more := claim(t, b, minute(2)); len(more) != 0 {
		t.Errorf("claimed %v while the first step runs", more)
	}
	first.Output, first.Error = json.RawMessage(`{"status":200}`), "none"
	first.Trace = &core.StepTrace{Module: "m@1", Logs: []core.LogLine{{Level: "info", Text: "sent"}}, Usage: &core.Usage{Fuel: 7}}
	finish(t, b, first, core.DeliveryDone, minute(2))
	next(t, b, minute(2))
	second := claimOne(t, b, minute(3), "f/b")
	if got := second.Steps; len(got) != 2 || got[0].Key != "f/a" || string(got[0].Output) != `{"status":200}` || got[1].Status != core.DeliveryRunning {
		t.Errorf("the steps so far are %+v, want the output of a, and b that runs", got)
	}
	finish(t, b, second, core.DeliverySkipped, minute(3))
	wantStatus(t, b, "f", core.FiringRunning, core.DeliveryDone, core.DeliverySkipped, core.DeliveryWaiting)
	finish(t, b, claimOne(t, b, minute(4), "f/c"), core.DeliveryDone, minute(4))
	wantStatus(t, b, "f", core.FiringDone, core.DeliveryDone, core.DeliverySkipped, core.DeliveryDone)
	next(t, b, time.Time{})
	stored, err := b.Deliveries(t.Context(), "f", []core.DeliveryStatus{core.DeliveryDone}, 1)
	must(t, "deliveries", err)
	if tr := stored[0].Trace; tr == nil || tr.Module != "m@1" || len(tr.Logs) != 1 || tr.Usage == nil || tr.Usage.Fuel != 7 {
		t.Errorf("the trace is stored as %+v", tr)
	}
	if d := stored[0]; string(d.Output) != `{"status":200}` || d.Error != "none" || !d.Updated.Equal(minute(2)) || d.Attempts != 1 {
		t.Errorf("the delivery is stored as %+v, want its output and error", d)
	}
	d := first.Delivery
	d.Status = core.DeliveryDone
	wantError(t, "finish twice", b.Finish(t.Context(), d, first.Token, minute(5), inOrder), store.ErrConflict)
}

// acceptance 27.
func (s suite) testClaimersRace(t *testing.T) {
	b := s.fresh(t)
	const firings, claimers = 40, 8
	for i := range firings {
		commit(t, b, firing(fmt.Sprintf("f%d", i), "a", "b"))
	}
	var mu sync.Mutex
	taken := map[string]int{}
	var group sync.WaitGroup
	for range claimers {
		group.Go(func() {
			for {
				claimed, err := b.Claim(t.Context(), minute(2), time.Hour, 3)
				if err != nil {
					t.Errorf("claim: %v", err)
					return
				}
				if len(claimed) == 0 {
					return // all others are finishing what is left
				}
				for _, c := range claimed {
					mu.Lock()
					taken[c.Key]++
					mu.Unlock()
					c.Status = core.DeliveryDone
					if err := b.Finish(t.Context(), c.Delivery, c.Token, minute(3), inOrder); err != nil {
						t.Errorf("finish: %v", err)
					}
				}
			}
		})
	}
	group.Wait()
	for _, c := range claim(t, b, minute(4)) { // a claimer may have left a moment early
		taken[c.Key]++
		finish(t, b, c, core.DeliveryDone, minute(4))
	}
	for _, c := range claim(t, b, minute(4)) {
		taken[c.Key]++
	}
	if len(taken) != 2*firings {
		t.Errorf("%d deliveries were claimed, want %d", len(taken), 2*firings)
	}
	for key, n := range taken {
		if n != 1 {
			t.Errorf("%s was claimed %d times, want once", key, n)
		}
	}
}

// acceptance 28, 32: a claim that ran out is taken over, and the first holder
// cannot finish any more.
func (s suite) testLeaseRunsOut(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a"))
	slow := claimOne(t, b, minute(1), "f/a")
	if early := claim(t, b, minute(11).Add(-1)); len(early) != 0 {
		t.Errorf("claimed %v while the claim holds", early)
	}
	quick := claimOne(t, b, minute(11), "f/a")
	if quick.Attempts != 2 || quick.Token == slow.Token {
		t.Errorf("the second claim is %+v, want the second attempt with a token of its own", quick)
	}
	d := slow.Delivery
	d.Status = core.DeliveryDone
	wantError(t, "finish of a lost claim", b.Finish(t.Context(), d, slow.Token, minute(12), inOrder), store.ErrConflict)
	wantError(t, "extend of a lost claim", b.Extend(t.Context(), d.ID, slow.Token, minute(30)), store.ErrConflict)
	finish(t, b, quick, core.DeliveryDone, minute(12))
	wantStatus(t, b, "f", core.FiringDone, core.DeliveryDone)
}

func (s suite) testExtend(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a"))
	c := claimOne(t, b, minute(1), "f/a")
	must(t, "extend", b.Extend(t.Context(), c.ID, c.Token, minute(60)))
	next(t, b, minute(60))
	if early := claim(t, b, minute(59)); len(early) != 0 {
		t.Errorf("claimed %v although the claim was extended", early)
	}
	wantError(t, "extend with a wrong token", b.Extend(t.Context(), c.ID, "x", minute(90)), store.ErrConflict)
	finish(t, b, c, core.DeliveryDone, minute(58))
	wantError(t, "extend after the end", b.Extend(t.Context(), c.ID, c.Token, minute(90)), store.ErrConflict)
}

func (s suite) testRetry(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a", "b"))
	c := claimOne(t, b, minute(1), "f/a")
	c.Next, c.Error = minute(5), "503"
	finish(t, b, c, core.DeliveryWaiting, minute(2))
	next(t, b, minute(5))
	if early := claim(t, b, minute(4)); len(early) != 0 {
		t.Errorf("claimed %v before the next attempt is due", early)
	}
	c = claimOne(t, b, minute(5), "f/a")
	if c.Attempts != 2 || c.Error != "503" {
		t.Errorf("the second claim is %+v, want attempt 2 after 503", c)
	}
	bad := c.Delivery
	bad.Status = core.DeliveryRunning
	if err := b.Finish(t.Context(), bad, c.Token, minute(6), inOrder); err == nil {
		t.Error("a claim ends as running, want an error")
	}
	finish(t, b, c, core.DeliveryDone, minute(6))
	wantStatus(t, b, "f", core.FiringRunning, core.DeliveryDone, core.DeliveryWaiting)
}

// A claim that is given back untried is not an attempt; nobody can add any.
func (s suite) testGivenBack(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a"))
	for i, give := range []int{0, 0, 1, 9, -1} {
		c := claimOne(t, b, minute(i+1), "f/a")
		if want := []int{1, 1, 1, 2, 3}[i]; c.Attempts != want {
			t.Errorf("claim %d is attempt %d, want %d", i, c.Attempts, want)
		}
		c.Attempts, c.Next = give, minute(i+2)
		finish(t, b, c, core.DeliveryWaiting, minute(i+1))
	}
	if c := claimOne(t, b, minute(9), "f/a"); c.Attempts != 1 {
		t.Errorf("after less than none the claim is attempt %d, want 1", c.Attempts)
	}
}

func (s suite) testDeath(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a", "b", "c"))
	finish(t, b, claimOne(t, b, minute(1), "f/a"), core.DeliveryDone, minute(2))
	finish(t, b, claimOne(t, b, minute(2), "f/b"), core.DeliveryDead, minute(3))
	wantStatus(t, b, "f", core.FiringFailed, core.DeliveryDone, core.DeliveryDead)
	next(t, b, time.Time{})
	if did, err := b.Cancel(t.Context(), "f", minute(4)); err != nil || did {
		t.Errorf("cancel of a failed firing is %v (%v), want false", did, err)
	}
}

func (s suite) testContinues(t *testing.T) {
	b := s.fresh(t)
	f := firing("f", "a", "b")
	f.Steps[0].ContinueOnError, f.Steps[1].ContinueOnError = true, true
	commit(t, b, f)
	finish(t, b, claimOne(t, b, minute(1), "f/a"), core.DeliveryDead, minute(2))
	wantStatus(t, b, "f", core.FiringRunning, core.DeliveryDead, core.DeliveryWaiting)
	finish(t, b, claimOne(t, b, minute(2), "f/b"), core.DeliveryDead, minute(3))
	wantStatus(t, b, "f", core.FiringDone, core.DeliveryDead, core.DeliveryDead)
}

// acceptance 31.
func (s suite) testCancelClaimed(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a", "b"))
	c := claimOne(t, b, minute(1), "f/a")
	if did, err := b.Cancel(t.Context(), "f", minute(2)); err != nil || !did {
		t.Fatalf("cancel is %v (%v), want true", did, err)
	}
	wantError(t, "extend of a cancelled claim", b.Extend(t.Context(), c.ID, c.Token, minute(30)), store.ErrConflict)
	d := c.Delivery
	d.Status = core.DeliveryDone
	wantError(t, "finish of a cancelled claim", b.Finish(t.Context(), d, c.Token, minute(3), inOrder), store.ErrConflict)
	wantStatus(t, b, "f", core.FiringCancelled, core.DeliveryCancelled)
	if later := claim(t, b, minute(60)); len(later) != 0 {
		t.Errorf("claimed %v of a cancelled firing", later)
	}
	wantError(t, "resend of a cancelled delivery", b.Resend(t.Context(), c.ID, minute(4), inOrder), store.ErrConflict)
}

func (s suite) testResend(t *testing.T) {
	b := s.fresh(t)
	commit(t, b, firing("f", "a", "b", "c"))
	finish(t, b, claimOne(t, b, minute(1), "f/a"), core.DeliveryDone, minute(2))
	dead := claimOne(t, b, minute(2), "f/b")
	wantError(t, "resend of a running delivery", b.Resend(t.Context(), dead.ID, minute(2), inOrder), store.ErrConflict)
	finish(t, b, dead, core.DeliveryDead, minute(3))
	must(t, "resend", b.Resend(t.Context(), dead.ID, minute(9), inOrder))
	wantError(t, "resend twice", b.Resend(t.Context(), dead.ID, minute(9), inOrder), store.ErrConflict)
	wantError(t, "resend nothing", b.Resend(t.Context(), 999, minute(9), inOrder), store.ErrNotFound)
	wantStatus(t, b, "f", core.FiringRunning, core.DeliveryDone, core.DeliveryWaiting)
	next(t, b, minute(9))
	again := claimOne(t, b, minute(9), "f/b")
	if again.Attempts != 1 || again.Key != dead.Key {
		t.Errorf("the resent delivery is %+v, want its first attempt with the same key", again)
	}
	finish(t, b, again, core.DeliveryDone, minute(10))
	finish(t, b, claimOne(t, b, minute(10), "f/c"), core.DeliveryDone, minute(10))
	wantStatus(t, b, "f", core.FiringDone, core.DeliveryDone, core.DeliveryDone, core.DeliveryDone)
}

// A step that died and was passed over can be sent again at any time; the flow
// waits for it before it goes on.
func (s suite) testResendContinued(t *testing.T) {
	b := s.fresh(t)
	f := firing("f", "a", "b", "c")
	f.Steps[0].ContinueOnError = true
	commit(t, b, f)
	first := claimOne(t, b, minute(1), "f/a")
	finish(t, b, first, core.DeliveryDead, minute(2))
	second := claimOne(t, b, minute(2), "f/b")
	must(t, "resend", b.Resend(t.Context(), first.ID, minute(3), inOrder))
	first = claimOne(t, b, minute(4), "f/a")
	finish(t, b, second, core.DeliveryDone, minute(5))
	wantStatus(t, b, "f", core.FiringRunning, core.DeliveryRunning, core.DeliveryDone)
	finish(t, b, first, core.DeliveryDone, minute(6))
	finish(t, b, claimOne(t, b, minute(7), "f/c"), core.DeliveryDead, minute(8))
	wantStatus(t, b, "f", core.FiringFailed, core.DeliveryDone, core.DeliveryDone, core.DeliveryDead)

	commit(t, b, func() core.Firing { g := f; g.ID = "g"; return g }())
	first = claimOne(t, b, minute(20), "g/a")
	finish(t, b, first, core.DeliveryDead, minute(20))
	finish(t, b, claimOne(t, b, minute(20), "g/b"), core.DeliveryDead, minute(20))
	must(t, "resend", b.Resend(t.Context(), first.ID, minute(21), inOrder))
	wantStatus(t, b, "g", core.FiringRunning, core.DeliveryWaiting, core.DeliveryDead)
	finish(t, b, claimOne(t, b, minute(22), "g/a"), core.DeliveryDone, minute(22))
	wantStatus(t, b, "g", core.FiringFailed, core.DeliveryDone, core.DeliveryDead)
}

// Steps that begin together are claimed together, what is cancelled does not
// come back by itself, and what a resend begins again has its place and key.
func (s suite) testTogether(t *testing.T) {
	b := s.fresh(t)
	f := firing("f", "a", "b", "c")
	f.Rule = "together"
	commit(t, b, f)
	all := claim(t, b, minute(1))
	if len(all) != 3 {
		t.Fatalf("claimed %d deliveries at once, want 3", len(all))
	}
	finish(t, b, all[0], core.DeliveryDone, minute(2))
	all[1].Next = minute(30)
	finish(t, b, all[1], core.DeliveryWaiting, minute(2))
	finish(t, b, all[2], core.DeliveryDead, minute(3))
	wantStatus(t, b, "f", core.FiringFailed, core.DeliveryDone, core.DeliveryCancelled, core.DeliveryDead)
	next(t, b, time.Time{})
	must(t, "resend", b.Resend(t.Context(), all[2].ID, minute(4), inOrder))
	wantStatus(t, b, "f", core.FiringRunning, core.DeliveryDone, core.DeliveryWaiting, core.DeliveryWaiting)
	again := claim(t, b, minute(5))
	if len(again) != 2 || again[0].Attempts != 1 || again[1].Attempts != 1 {
		t.Fatalf("claimed %+v, want first attempts of b and c", again)
	}
	for _, c := range again {
		finish(t, b, c, core.DeliveryDone, minute(6))
	}
	wantStatus(t, b, "f", core.FiringDone, core.DeliveryDone, core.DeliveryDone, core.DeliveryDone)
}

// A step that waits for something of its subject can be claimed when the
// subject moved, also when it moved while the step was being looked at.
func (s suite) testWakes(t *testing.T) {
	b := s.fresh(t)
	f := firing("f", "a")
	f.Steps[0] = core.Step{ID: "a", Wait: &core.Wait{Until: "true"}}
	g := f
	g.ID, g.Subject = "g", core.Subject{Kind: core.OfGroup, ID: "web"}
	commit(t, b, f, g)
	moved := func(kind core.SubjectKind, id string) {
		t.Helper()
		must(t, "commit", b.Commit(t.Context(), store.Turn{Moved: []core.Subject{{Kind: kind, ID: id}, {Kind: core.OfSystem, ID: "other"}}}))
	}
	wait := func(c store.Claimed) {
		t.Helper()
		c.Attempts, c.Next, c.Output = 0, minute(1).AddDate(100, 0, 0), json.RawMessage(`{"seen":1}`)
		finish(t, b, c, core.DeliveryWaiting, minute(2))
	}
	for _, c := range claim(t, b, minute(1)) {
		wait(c)
	}
	later := time.Now().Add(time.Minute) // Commit goes by the clock
	if early := claim(t, b, later); len(early) != 0 {
		t.Errorf("claimed %v that nothing has woken", early)
	}
	moved(core.OfAssignment, "web:http")
	c := claimOne(t, b, later, "f/a")
	if string(c.Output) != `{"seen":1}` || c.Attempts != 1 {
		t.Errorf("the woken delivery is %+v, want its output and no attempt counted", c)
	}
	moved(core.OfSystem, "web")
	wait(c)
	c = claimOne(t, b, later, "f/a")
	wait(c) // once is enough
	if early := claim(t, b, later); len(early) != 0 {
		t.Errorf("claimed %v that was looked at since it was woken", early)
	}
	moved(core.OfGroup, "web")
	finish(t, b, claimOne(t, b, later, "g/a"), core.DeliveryDone, later)
	moved(core.OfGroup, "web")
	wantStatus(t, b, "g", core.FiringDone, core.DeliveryDone)
	if did, err := b.Cancel(t.Context(), "f", later); err != nil || !did {
		t.Errorf("cancel is %v (%v), want true", did, err)
	}
	moved(core.OfSystem, "web")
	wantStatus(t, b, "f", core.FiringCancelled, core.DeliveryCancelled)
}

// acceptance 31: whoever is first, a cancellation or the end of the last steps,
// stays so, and nothing of a cancelled firing is claimed.
func (s suite) testCancelRaces(t *testing.T) {
	b := s.fresh(t)
	const firings, workers = 100, 6
	for i := range firings {
		f := firing(fmt.Sprintf("f%d", i), "a", "b", "c")
		if i%2 == 0 {
			f.Rule = "together"
		}
		commit(t, b, f)
	}
	var left atomic.Int32
	left.Store(firings)
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for left.Load() > 0 {
				claimed, err := b.Claim(t.Context(), minute(2), time.Hour, 8)
				if err != nil {
					t.Errorf("claim: %v", err)
					return
				}
				for _, c := range claimed {
					c.Status = core.DeliveryDone
					if err := b.Finish(t.Context(), c.Delivery, c.Token, minute(3), inOrder); err != nil && !errors.Is(err, store.ErrConflict) {
						t.Errorf("finish: %v", err)
						return
					}
				}
			}
		})
	}
	cancelled := make([]bool, firings)
	for i := range firings {
		var err error
		if cancelled[i], err = b.Cancel(t.Context(), fmt.Sprintf("f%d", i), minute(3)); err != nil {
			t.Errorf("cancel: %v", err)
		}
		left.Add(-1)
	}
	group.Wait()
	for i, cancelled := range cancelled {
		id := fmt.Sprintf("f%d", i)
		f, err := b.Firing(t.Context(), id)
		must(t, "firing", err)
		deliveries, err := b.Deliveries(t.Context(), id, nil, 100)
		must(t, "deliveries", err)
		done := 0
		for _, d := range deliveries {
			switch d.Status { //nolint:exhaustive // no other is expected
			case core.DeliveryDone:
				done++
			case core.DeliveryCancelled:
			default:
				t.Errorf("%s is %s in the end", d.Key, d.Status)
			}
		}
		if want := map[bool]core.FiringStatus{true: core.FiringCancelled, false: core.FiringDone}[cancelled]; f.Status != want || cancelled == (done == 3) {
			t.Errorf("%s is %s with %d steps done, and cancel said %v", id, f.Status, done, cancelled)
		}
	}
	if more := claim(t, b, minute(90)); len(more) != 0 {
		t.Errorf("claimed %d deliveries of firings that have ended", len(more))
	}
}

func (s suite) testQueueReopen(t *testing.T) {
	b, dir := s.freshIn(t)
	commit(t, b, firing("f", "a", "b"), firing("g", "a"))
	claimed := claim(t, b, minute(1))
	if len(claimed) != 2 {
		t.Fatalf("claimed %d, want 2", len(claimed))
	}
	finish(t, b, claimed[0], core.DeliveryDone, minute(2))
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	finish(t, b, claimed[1], core.DeliveryDone, minute(3)) // a claim outlives the process that holds it
	wantStatus(t, b, "g", core.FiringDone, core.DeliveryDone)
	finish(t, b, claimOne(t, b, minute(4), "f/b"), core.DeliveryDone, minute(4))
	wantStatus(t, b, "f", core.FiringDone, core.DeliveryDone, core.DeliveryDone)
}
