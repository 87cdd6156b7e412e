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

func (s suite) catalog() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"catalog/objects":            s.testObjects,
		"catalog/conflict":           s.testConflict,
		"catalog/racing editors":     s.testRacingEditors,
		"catalog/config transitions": s.testConfigTransitions,
		"catalog/failed edit":        s.testFailedEdit,
		"catalog/changed":            s.testChanged,
		"catalog/comes back":         s.testComesBack,
	}
}

func object(kind store.Kind, id, body string) store.Object {
	return store.Object{Kind: kind, ID: id, Body: []byte(body)}
}

func (s suite) testObjects(t *testing.T) {
	b := s.fresh(t)
	none, version, err := b.Objects(t.Context())
	if err != nil || len(none) != 0 || version != 0 {
		t.Errorf("an empty catalog is %v at %d (%v), want nothing at 0", none, version, err)
	}
	version, err = b.Apply(t.Context(), store.Edit{
		Put: []store.Object{object(store.Rules, "b", `{"b":1}`), object(store.Checks, "z", `{}`), object(store.Rules, "a", `{"a":1}`)},
		By:  "ann", Now: minute(1),
	})
	if err != nil || version != 1 {
		t.Fatalf("the first edit makes version %d (%v), want 1", version, err)
	}
	version, err = b.Apply(t.Context(), store.Edit{
		Base: 1, Put: []store.Object{object(store.Rules, "b", `{"b":2}`), object(store.Rules, "a", `{"a":1}`)},
		Delete: []store.Object{{Kind: store.Checks, ID: "z"}}, By: "bob", Now: minute(2),
	})
	if err != nil || version != 2 {
		t.Fatalf("the second edit makes version %d (%v), want 2", version, err)
	}
	all, version, err := b.Objects(t.Context())
	must(t, "objects", err)
	want := []store.Object{
		{Kind: store.Rules, ID: "a", Version: 1, Body: []byte(`{"a":1}`), Created: minute(1), Updated: minute(1), By: "ann"}, // nothing changed
		{Kind: store.Rules, ID: "b", Version: 2, Body: []byte(`{"b":2}`), Created: minute(1), Updated: minute(2), By: "bob"},
	}
	equal(t, "all objects", all, want)
	if version != 2 {
		t.Errorf("the version is %d, want 2", version)
	}
	some, _, err := b.Objects(t.Context(), store.Checks, store.Systems)
	if err != nil || len(some) != 0 {
		t.Errorf("checks and systems are %v (%v), want none", some, err)
	}
	one, err := b.Object(t.Context(), store.Rules, "b")
	must(t, "object", err)
	equal(t, "object", one, want[1])
	_, err = b.Object(t.Context(), store.Checks, "b")
	wantError(t, "object of another kind", err, store.ErrNotFound)
}

func (s suite) testConflict(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web") // version 1
	for _, base := range []int64{0, 2} {
		_, err := b.Apply(t.Context(), store.Edit{
			Base: base, Put: []store.Object{object(store.Rules, "a", `{}`)},
			Systems: core.Change{DeleteSystems: []string{"web"}}, Now: minute(1),
		})
		wantError(t, fmt.Sprintf("edit of version %d", base), err, store.ErrConflict)
	}
	_, err := b.Object(t.Context(), store.Rules, "a")
	wantError(t, "object of a refused edit", err, store.ErrNotFound)
	if a, err := b.Assignments(t.Context()); err != nil || len(a) != 2 {
		t.Errorf("there are %d assignments (%v), want 2", len(a), err)
	}
	if id := record(t, b, "web:http", minute(2), core.Fail); id == 0 {
		t.Error("a refused edit has removed the assignment")
	}
}

func (s suite) testRacingEditors(t *testing.T) {
	b := s.fresh(t)
	const editors, edits = 8, 5
	var refused atomic.Int32
	var group sync.WaitGroup
	for e := range editors {
		group.Go(func() {
			for done := 0; done < edits; {
				_, base, err := b.Objects(t.Context())
				if err != nil {
					t.Errorf("objects: %v", err)
					return
				}
				if _, err = b.Apply(t.Context(), store.Edit{Base: base, Put: []store.Object{object(store.Rules, fmt.Sprintf("r%d-%d", e, done), `{}`)}, Now: minute(1)}); err == nil {
					done++
					continue
				}
				refused.Add(1)
				wantError(t, "racing edit", err, store.ErrConflict)
			}
		})
	}
	group.Wait()
	all, version, err := b.Objects(t.Context())
	must(t, "objects", err)
	if len(all) != editors*edits || version != editors*edits {
		t.Errorf("%d objects at version %d (%d edits were refused), want %d at %d", len(all), version, refused.Load(), editors*edits, editors*edits)
	}
}

// acceptance 7.
func (s suite) testConfigTransitions(t *testing.T) {
	off := assign("web", "http")
	off.Enabled = false
	lenient := assign("web", "http")
	lenient.Policy = core.Policy{Degraded: 1, Unhealthy: 9}
	for name, test := range map[string]struct {
		change      core.Change
		want        []string
		rolled      int // subjects left
		assignments int
	}{
		"disable": {core.Change{PutAssignments: []core.Assignment{off}}, []string{
			"assignment/web:http unhealthy>unknown", "system/web unhealthy>healthy", "group/prod unhealthy>healthy",
		}, 2, 2},
		"unassign": {core.Change{DeleteAssignments: []string{"web:http"}}, []string{
			"assignment/web:http unhealthy>unknown", "system/web unhealthy>healthy", "group/prod unhealthy>healthy",
		}, 2, 1},
		"delete": {core.Change{DeleteSystems: []string{"web"}}, []string{
			"assignment/web:http unhealthy>unknown", "assignment/web:tcp healthy>unknown", "system/web unhealthy>unknown", "group/prod unhealthy>unknown",
		}, 0, 0},
		"policy": {core.Change{PutAssignments: []core.Assignment{lenient}}, []string{
			"assignment/web:http unhealthy>degraded", "system/web unhealthy>degraded", "group/prod unhealthy>degraded",
		}, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b, dir := s.freshIn(t)
			watch(t, b, "web")
			record(t, b, "web:tcp", minute(1), core.Pass)
			record(t, b, "web:http", minute(1), core.Fail)
			record(t, b, "web:http", minute(2), core.Fail)
			head, err := b.Head(t.Context())
			must(t, "head", err)
			configure(t, b, test.change, minute(10))
			changes := log(t, b)[head:]
			equal(t, "the log", brief(changes), test.want)
			for _, c := range changes {
				if c.Cause != core.CauseConfig || !c.At.Equal(minute(10)) {
					t.Errorf("entry is %+v, want cause config at the time of the edit", c)
				}
			}
			must(t, "close", b.Close())
			b = s.reopen(t, dir)
			rolled := rolledBySubject(t, b)
			assignments, err := b.Assignments(t.Context())
			must(t, "assignments", err)
			standings, err := b.Standings(t.Context())
			must(t, "standings", err)
			if len(rolled) != test.rolled || len(assignments) != test.assignments || len(standings) != test.assignments {
				t.Errorf("left are %d roll-ups, %d assignments, %d standings, want %d, %d, %d",
					len(rolled), len(assignments), len(standings), test.rolled, test.assignments, test.assignments)
			}
			if test.assignments < 2 {
				if id := record(t, b, "web:http", minute(11), core.Fail); id != 0 {
					t.Errorf("a run of a removed assignment has id %d, want it dropped", id)
				}
			}
			last := core.Healthy
			for _, c := range log(t, b) {
				if c.Subject.Kind == core.OfSystem {
					last = c.To
				}
			}
			if r, ok := rolled["system/web"]; ok && r.Health != last {
				t.Errorf("web is %v and in the log %v", r.Health, last)
			}
		})
	}
}

// An edit of which a part cannot be stored changes nothing, neither in tables
// nor in what the backend remembers.
func (s suite) testFailedEdit(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web") // version 1
	record(t, b, "web:http", minute(1), core.Fail)
	before := log(t, b)
	_, err := b.Apply(t.Context(), store.Edit{
		Base: 1, Delete: []store.Object{{Kind: store.Rules, ID: "nobody"}}, Now: minute(2),
		Systems: core.Change{
			DeleteSystems: []string{"web"}, PutSystems: []core.System{{ID: "db"}}, PutAssignments: []core.Assignment{assign("db", "http")},
		},
	})
	wantError(t, "delete of nothing", err, store.ErrNotFound)
	equal(t, "the log", log(t, b), before)
	runs := []*core.Run{run("db:http", minute(3), core.Fail), run("web:http", minute(3), core.Fail)}
	must(t, "record", b.Record(t.Context(), runs))
	if runs[0].ID != 0 || runs[1].ID != 2 {
		t.Errorf("ids are %d and %d, want 0 of what was never made and 2 of what was never deleted", runs[0].ID, runs[1].ID)
	}
	checkReplay(t, b)
	configure(t, b, core.Change{PutSystems: []core.System{{ID: "db"}}, PutAssignments: []core.Assignment{assign("db", "http")}}, minute(4))
	if id := record(t, b, "db:http", minute(5), core.Pass); id != 3 {
		t.Errorf("the first run of db has id %d, want 3", id)
	}
}

func (s suite) testChanged(t *testing.T) {
	b := s.fresh(t)
	wantError(t, "nothing changed", b.Changed(within(t, 30*time.Millisecond), 0), context.DeadlineExceeded)
	done := make(chan error, 1)
	ctx := within(t, 20*time.Second)
	go func() { done <- b.Changed(ctx, 0) }()
	watch(t, b, "web")
	must(t, "changed", <-done)
	must(t, "changed before", b.Changed(ctx, 0))
}

// A removed assignment that comes back begins anew and keeps its history.
func (s suite) testComesBack(t *testing.T) {
	b, dir := s.freshIn(t)
	watch(t, b, "web")
	record(t, b, "web:http", minute(1), core.Fail)
	record(t, b, "web:http", minute(2), core.Fail)
	configure(t, b, core.Change{DeleteSystems: []string{"web"}}, minute(3))
	old, err := b.Runs(t.Context(), store.RunQuery{System: "web"})
	if err != nil || len(old) != 2 {
		t.Errorf("a deleted system has %d runs (%v), want 2: they are history", len(old), err)
	}
	_, err = b.Standing(t.Context(), "web:http")
	wantError(t, "standing of a removed assignment", err, store.ErrNotFound)
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	watch(t, b, "web")
	st, err := b.Standing(t.Context(), "web:http")
	must(t, "standing", err)
	if st.Health != core.Unknown || st.Tally != (core.Tally{}) {
		t.Errorf("standing after coming back is %+v, want unknown and nothing counted", st)
	}
	if id := record(t, b, "web:http", minute(5), core.Pass); id != 3 {
		t.Errorf("the next run has id %d, want 3: ids are never used twice", id)
	}
	all, err := b.Runs(t.Context(), store.RunQuery{Assignment: "web:http"})
	if err != nil || len(all) != 3 {
		t.Errorf("there are %d runs (%v), want those of before and the new one", len(all), err)
	}
}
