//nolint:thelper,gocognit // tests, not helpers: a failure is told at its own line, a story in one piece
package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) ledger() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"ledger/record":               s.testRecord,
		"ledger/round trip":           s.testRunRoundTrip,
		"ledger/dropped and disabled": s.testDroppedAndDisabled,
		"ledger/batch is atomic":      s.testBatchIsAtomic,
		"ledger/parallel writers":     s.testParallelWriters,
		"ledger/one change":           s.testOneChange,
		"ledger/expire":               s.testExpire,
		"ledger/ended context":        s.testEndedContext,
		"ledger/reopen":               s.testReopen,
		"log/wait":                    s.testWait,
		"log/after":                   s.testAfter,
	}
}

// acceptance 1, 2, 6.
func (s suite) testRecord(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	runs := []*core.Run{
		run("web:http", minute(1), core.Pass), run("web:tcp", minute(1), core.Pass),
		run("web:http", minute(2), core.Fail), run("web:http", minute(3), core.Fail), run("web:http", minute(4), core.Error),
	}
	must(t, "record", b.Record(t.Context(), runs))
	for i, r := range runs {
		if r.ID != int64(i+1) {
			t.Errorf("run %d has id %d, want ids in order from 1", i, r.ID)
		}
	}
	changes := log(t, b)
	equal(t, "the log", brief(changes), []string{
		"assignment/web:http unknown>healthy", "assignment/web:tcp unknown>healthy", "system/web unknown>healthy", "group/prod unknown>healthy",
		"assignment/web:http healthy>degraded", "system/web healthy>degraded", "group/prod healthy>degraded",
		"assignment/web:http degraded>unhealthy", "system/web degraded>unhealthy", "group/prod degraded>unhealthy",
	})
	last := changes[len(changes)-1]
	if !last.At.Equal(minute(3)) || last.Run != 4 || last.Cause != core.CauseRun || last.TotalChecks != 2 || last.HealthyChecks != 1 || last.Why.Text == "" {
		t.Errorf("the last entry is %+v, want the end of run 4, 1 of 2 checks healthy, and why", last)
	}
	want := core.Standing{}
	for _, i := range []int{0, 2, 3, 4} {
		want = core.Advance(want, assign("web", "http").Policy, runs[i])
	}
	got, err := b.Standing(t.Context(), "web:http")
	must(t, "standing", err)
	equal(t, "standing", got, want)
	all, err := b.Standings(t.Context())
	must(t, "standings", err)
	if len(all) != 2 {
		t.Errorf("there are %d standings, want 2", len(all))
	}
	equal(t, "standing among all", all["web:http"], want)
	_, err = b.Standing(t.Context(), "web:dns")
	wantError(t, "standing of nothing", err, store.ErrNotFound)
	rolled := rolledBySubject(t, b)
	if web := rolled["system/web"]; web.Health != core.Unhealthy || web.HealthyChecks != 1 || web.TotalChecks != 2 || !web.Since.Equal(minute(3)) {
		t.Errorf("web is %+v, want unhealthy since minute 3, 1 of 2 healthy", web)
	}
	if prod := rolled["group/prod"]; prod.Health != core.Unhealthy || len(rolled) != 2 {
		t.Errorf("prod is %+v of %d, want unhealthy, and 2 in all", prod, len(rolled))
	}
}

func rolledBySubject(t *testing.T, b Backend) map[string]core.Rolled {
	t.Helper()
	list, err := b.Rolled(t.Context())
	must(t, "rolled", err)
	out := map[string]core.Rolled{}
	for _, r := range list {
		out[r.Subject.String()] = r
	}
	return out
}

func (s suite) testRunRoundTrip(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	at := minute(1).Add(123456789)
	samples := core.Samples{
		"int": int64(-5), "big": int64(1) << 62, "float": 0.25, "whole": 200.0, "negative": -1e300, "text": "ünï\x00", "empty": "",
		"yes": true, "no": false, "took": 12 * time.Millisecond, "expires": at.Add(time.Hour), "none": nil,
	}
	steps := []core.StepResult{{
		ID: "front", Use: "http", Outcome: core.Fail, Why: core.Because("assert", "no"), Summary: "503",
		Asserts: []core.Verdict{{Expr: "status == 200", Why: "status is 503"}},
		Phases:  []core.Phase{{Name: "dns", Took: 5}}, Logs: []core.LogLine{{Level: "info", Text: "hello"}}, Usage: &core.Usage{Memory: 7},
	}}
	runs := []*core.Run{
		{Assignment: "web:http", Due: at.Add(-3), Started: at.Add(-2), Ended: at, Outcome: core.Pass, Summary: "200", Latency: 77, Samples: samples, Steps: steps},
		{
			Assignment: "web:http", Due: at, Started: at, Ended: at.Add(time.Minute), Manual: true, Outcome: core.Fail,
			Why: core.Because("assert", "status is {status}", "status", "503"), Summary: "503", Samples: samples, Steps: steps,
		},
		{Assignment: "web:tcp", Due: at.Add(time.Minute), Started: at, Ended: at, Outcome: core.Error, Why: core.Because("secret", "missing")},
	}
	must(t, "record", b.Record(t.Context(), runs))
	for i, r := range runs {
		want := *r
		if i == 0 {
			want.Steps = nil // of passing runs it is not kept
		}
		got, err := b.Run(t.Context(), r.ID)
		must(t, "run", err)
		equal(t, "run", got, want)
	}
	_, err := b.Run(t.Context(), 99)
	wantError(t, "run 99", err, store.ErrNotFound)
	brief, err := b.Runs(t.Context(), store.RunQuery{Assignment: "web:http"})
	must(t, "runs", err)
	want := *runs[1]
	want.Steps, want.Samples = nil, nil
	equal(t, "run without details", brief[0], want)
	full, err := b.Runs(t.Context(), store.RunQuery{Assignment: "web:http", WithDetails: true})
	must(t, "runs", err)
	equal(t, "run with details", full[0], *runs[1])
}

func (s suite) testDroppedAndDisabled(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	off := assign("web", "http")
	off.Enabled = false
	configure(t, b, core.Change{PutAssignments: []core.Assignment{off}, DeleteAssignments: []string{"web:tcp"}}, minute(0))
	runs := []*core.Run{run("web:tcp", minute(1), core.Fail), run("web:http", minute(1), core.Fail), run("nobody:http", minute(1), core.Fail)}
	runs[0].ID = 5
	must(t, "record", b.Record(t.Context(), runs))
	if runs[0].ID != 0 || runs[1].ID != 1 || runs[2].ID != 0 {
		t.Errorf("ids are %d, %d, %d, want 0 of the removed, 1 of the disabled, 0 of the unknown", runs[0].ID, runs[1].ID, runs[2].ID)
	}
	if changes := log(t, b); len(changes) != 0 {
		t.Errorf("the log is %v, want nothing moved", brief(changes))
	}
	stored, newest, err := b.RunsAfter(t.Context(), 0, 10)
	must(t, "runs after", err)
	if len(stored) != 1 || newest != 1 {
		t.Errorf("stored are %d runs up to %d, want the one of the disabled assignment", len(stored), newest)
	}
	must(t, "record nothing", b.Record(t.Context(), nil))
}

// A reader never sees a part of a batch.
func (s suite) testBatchIsAtomic(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	const size, batches = 40, 30
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				runs, _, err := b.RunsAfter(ctx, 0, 1_000_000)
				if ctx.Err() != nil {
					return // the end of the test may have interrupted it
				}
				if err != nil || len(runs)%size != 0 {
					t.Errorf("a reader sees %d runs (%v), want whole batches of %d", len(runs), err, size)
					return
				}
			}
		})
	}
	for i := range batches {
		runs := make([]*core.Run, size)
		for j := range runs {
			runs[j] = run("web:http", minute(i), core.Outcome(j%4))
		}
		must(t, "record", b.Record(t.Context(), runs))
		head, err := b.Head(t.Context())
		must(t, "head", err)
		last, err := b.Standing(t.Context(), "web:http")
		must(t, "standing", err)
		if last.LastRun != runs[size-1].ID || head == 0 {
			t.Fatalf("after batch %d the standing is of run %d, want %d: a read must see a write that returned", i, last.LastRun, runs[size-1].ID)
		}
	}
	cancel()
	readers.Wait()
}

// acceptance 4, of one node.
func (s suite) testParallelWriters(t *testing.T) {
	b := s.fresh(t)
	var systems []string
	for i := range 10 {
		systems = append(systems, fmt.Sprintf("s%d", i))
	}
	watch(t, b, systems...)
	const writers, batches, size = 50, 4, 5
	var group sync.WaitGroup
	var mu sync.Mutex
	seen := map[int64]bool{}
	for w := range writers {
		group.Go(func() {
			for i := range batches {
				runs := make([]*core.Run, size)
				for j := range runs {
					outcome := core.Pass
					if i >= batches/2 {
						outcome = core.Fail
					}
					runs[j] = run(core.AssignmentID(systems[(w+j)%len(systems)], "http"), minute(i), outcome)
				}
				if err := b.Record(t.Context(), runs); err != nil {
					t.Errorf("record: %v", err)
					return
				}
				mu.Lock()
				for _, r := range runs {
					if r.ID == 0 || seen[r.ID] {
						t.Errorf("run has id %d, want one of its own", r.ID)
					}
					seen[r.ID] = true
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if t.Failed() {
		return
	}
	checkReplay(t, b)
	stored, newest, err := b.RunsAfter(t.Context(), 0, 1_000_000)
	must(t, "runs", err)
	if len(stored) != writers*batches*size || newest != int64(len(stored)) {
		t.Errorf("stored are %d runs up to id %d, want %d without gaps", len(stored), newest, writers*batches*size)
	}
}

// checkReplay proves that standings, roll-ups and log are what the stored runs
// give when they are replayed. It holds while nothing was pruned and no
// assignment was edited after its first run.
func checkReplay(t *testing.T, b Backend) {
	t.Helper()
	assignments, err := b.Assignments(t.Context())
	must(t, "assignments", err)
	policies, standings := map[string]core.Policy{}, map[string]core.Standing{}
	for _, a := range assignments {
		policies[a.ID], standings[a.ID] = a.Policy, core.Standing{}
	}
	var moves []string
	for after := int64(0); ; {
		runs, _, err := b.RunsAfter(t.Context(), after, 1000)
		must(t, "runs", err)
		if len(runs) == 0 {
			break
		}
		for i := range runs {
			r := &runs[i]
			if after++; r.ID != after {
				t.Fatalf("run %d follows %d, want no gap", r.ID, after-1)
			}
			was := standings[r.Assignment]
			now := core.Advance(was, policies[r.Assignment], r)
			if now.Health != was.Health {
				moves = append(moves, fmt.Sprintf("assignment/%s %v>%v run %d", r.Assignment, was.Health, now.Health, r.ID))
			}
			standings[r.Assignment] = now
		}
	}
	got, err := b.Standings(t.Context())
	must(t, "standings", err)
	equal(t, "standings", got, standings)
	health := map[core.Subject]core.Health{}
	var logged []string
	for _, c := range log(t, b) {
		if health[c.Subject] != c.From {
			t.Errorf("seq %d takes %v from %v, which was %v", c.Seq, c.Subject, c.From, health[c.Subject])
		}
		health[c.Subject] = c.To
		if c.Subject.Kind == core.OfAssignment {
			logged = append(logged, fmt.Sprintf("%s %v>%v run %d", c.Subject, c.From, c.To, c.Run))
		}
	}
	equal(t, "moves of assignments in the log", logged, moves)
	rolled, err := b.Rolled(t.Context())
	must(t, "rolled", err)
	for _, r := range rolled {
		if health[r.Subject] != r.Health {
			t.Errorf("%v is rolled up as %v and in the log it is %v", r.Subject, r.Health, health[r.Subject])
		}
	}
}

// acceptance 4: 50 concurrent runs that say the same are one logical change.
func (s suite) testOneChange(t *testing.T) {
	b := s.fresh(t)
	a := assign("web", "http")
	a.Policy = core.Policy{Degraded: 1, Unhealthy: 1}
	configure(t, b, core.Change{PutSystems: []core.System{{ID: "web"}}, PutAssignments: []core.Assignment{a}}, minute(0))
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if err := b.Record(t.Context(), []*core.Run{run("web:http", minute(1), core.Fail)}); err != nil {
				t.Errorf("record: %v", err)
			}
		})
	}
	group.Wait()
	equal(t, "the log", brief(log(t, b)), []string{"assignment/web:http unknown>unhealthy", "system/web unknown>unhealthy"})
}

// acceptance 8.
func (s suite) testExpire(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	// Staleness is counted from when the backend was opened, if that is later.
	at := time.Now().UTC().Add(time.Hour).Truncate(time.Second)
	record(t, b, "web:http", at, core.Pass)
	record(t, b, "web:tcp", at.Add(2*time.Minute), core.Pass)
	both := []string{"web:http", "web:tcp", "nobody:http"}
	must(t, "expire", b.Expire(t.Context(), both, at.Add(3*time.Minute)))
	if n := len(log(t, b)); n != 4 {
		t.Fatalf("the log has %d entries when nothing has expired, want 4", n)
	}
	must(t, "expire", b.Expire(t.Context(), both, at.Add(4*time.Minute)))
	must(t, "expire again", b.Expire(t.Context(), both, at.Add(4*time.Minute)))
	must(t, "expire nothing", b.Expire(t.Context(), nil, at.Add(time.Hour)))
	record(t, b, "web:http", at.Add(5*time.Minute), core.Pass)
	changes := log(t, b)[4:]
	equal(t, "the log", brief(changes), []string{
		"assignment/web:http healthy>stale", "system/web healthy>stale", "group/prod healthy>stale",
		"assignment/web:http stale>healthy", "system/web stale>healthy", "group/prod stale>healthy",
	})
	if c := changes[0]; c.Cause != core.CauseStale || !c.At.Equal(at.Add(4*time.Minute)) || c.Run != 0 {
		t.Errorf("the entry is %+v, want cause stale, the time of expiry, no run", c)
	}
}

func (s suite) testEndedContext(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := run("web:http", minute(1), core.Fail)
	wantError(t, "record", b.Record(ctx, []*core.Run{r}), context.Canceled)
	_, newest, err := b.RunsAfter(t.Context(), -1, 10)
	must(t, "runs after", err)
	if r.ID != 0 || newest != 0 || len(log(t, b)) != 0 {
		t.Errorf("run has id %d, newest is %d: want nothing stored", r.ID, newest)
	}
	if id := record(t, b, "web:http", minute(1), core.Fail); id != 1 {
		t.Errorf("the next run has id %d, want 1", id)
	}
}

func (s suite) testReopen(t *testing.T) {
	b, dir := s.freshIn(t)
	watch(t, b, "web", "db")
	for i := range 40 {
		record(t, b, []string{"web:http", "web:tcp", "db:http"}[i%3], minute(i), core.Outcome(i/5%4))
	}
	type all struct {
		standings   map[string]core.Standing
		rolled      map[string]core.Rolled
		log         []core.Transition
		assignments []core.Assignment
		runs        []core.Run
	}
	read := func(b Backend) (a all) {
		var err error
		a.standings, err = b.Standings(t.Context())
		must(t, "standings", err)
		a.assignments, err = b.Assignments(t.Context())
		must(t, "assignments", err)
		a.runs, _, err = b.RunsAfter(t.Context(), 0, 1000)
		must(t, "runs", err)
		a.rolled, a.log = rolledBySubject(t, b), log(t, b)
		return a
	}
	before := read(b)
	must(t, "close", b.Close())
	must(t, "close twice", b.Close())
	if err := b.Record(t.Context(), []*core.Run{run("web:http", minute(50), core.Pass)}); err == nil {
		t.Error("a closed backend records, want an error")
	}
	b = s.reopen(t, dir)
	equal(t, "what is stored", read(b), before)
	if id := record(t, b, "web:http", minute(41), core.Fail); id != 41 {
		t.Errorf("the next run has id %d, want 41", id)
	}
	record(t, b, "web:http", minute(42), core.Fail)
	checkReplay(t, b)
}

func (s suite) testWait(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	wantError(t, "wait for nothing", b.Wait(within(t, 30*time.Millisecond), 0), context.DeadlineExceeded)
	var woken atomic.Int32
	var group sync.WaitGroup
	began := time.Now()
	for range 10 {
		group.Go(func() {
			if err := b.Wait(within(t, 20*time.Second), 0); err != nil {
				t.Errorf("wait: %v", err)
			}
			if head, err := b.Head(t.Context()); err != nil || head < 1 {
				t.Errorf("head after waiting is %d (%v), want at least 1: commit, then tell", head, err)
			}
			woken.Add(1)
		})
	}
	time.Sleep(20 * time.Millisecond) // so that most really wait; correct without
	if n := woken.Load(); n != 0 {
		t.Errorf("%d woke before anything happened", n)
	}
	record(t, b, "web:http", minute(1), core.Pass)
	group.Wait()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("waiters were told after %v, want at most about a second", took)
	}
	must(t, "wait for the past", b.Wait(within(t, time.Second), 0))
}

func (s suite) testAfter(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	if head, err := b.Head(t.Context()); err != nil || head != 0 {
		t.Errorf("head of an empty log is %d (%v), want 0", head, err)
	}
	record(t, b, "web:http", minute(1), core.Fail)
	some, err := b.After(t.Context(), 1, 1)
	must(t, "after", err)
	head, err := b.Head(t.Context())
	must(t, "head", err)
	if len(some) != 1 || some[0].Seq != 2 || head != 3 {
		t.Errorf("after 1, at most 1, is %v with head %d, want seq 2 with head 3", brief(some), head)
	}
	none, err := b.After(t.Context(), head, 10)
	if err != nil || len(none) != 0 {
		t.Errorf("after the head is %v (%v), want nothing", brief(none), err)
	}
}
