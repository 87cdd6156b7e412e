package plan_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
)

func open(t *testing.T) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close the database: %v", err)
		}
	})
	return db
}

var noon = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// save applies changes that must have no problem.
func save(t *testing.T, s *plan.Service, changes plan.Changes) []plan.Item {
	t.Helper()
	items, bad, err := s.Apply(t.Context(), changes, plan.ApplyOptions{By: "ada", Now: noon})
	if err != nil || len(bad) > 0 {
		t.Fatalf("apply: %v %v", bad, err)
	}
	return items
}

func actions(items []plan.Item) string {
	words := make([]string, len(items))
	for i, it := range items {
		words[i] = fmt.Sprintf("%s %s v%d", it.Action, it.ID, it.Version)
	}
	return strings.Join(words, ", ")
}

func objects(list []core.System, more ...any) []any {
	var out []any
	for _, s := range list {
		out = append(out, s)
	}
	return append(out, more...)
}

func TestApply(t *testing.T) {
	t.Parallel()
	db := open(t)
	s := plan.NewService(plan.New(collectors(), plan.Options{}), db, nil)
	check := httpCheck("http://127.0.0.1:1/")
	check.Systems = core.Selector{Match: `system.tags.env == "prod"`}
	put := objects(systems(), &check)

	dry, bad, err := s.Apply(t.Context(), plan.Changes{Put: put}, plan.ApplyOptions{DryRun: true, Now: noon})
	if err != nil || len(bad) > 0 || actions(dry) != "created db v0, created web-1 v0, created web-2 v0, created api v0" {
		t.Fatalf("dry run: %s %v %v", actions(dry), bad, err)
	}
	if stored, _, err := db.Objects(t.Context()); err != nil || len(stored) != 0 {
		t.Fatalf("a dry run stored %v, %v", stored, err)
	}
	if got := actions(save(t, s, plan.Changes{Put: put})); got != "created db v1, created web-1 v1, created web-2 v1, created api v1" {
		t.Errorf("first: %s", got)
	}
	_, before, err := db.Objects(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := actions(save(t, s, plan.Changes{Put: put})); got != "unchanged db v1, unchanged web-1 v1, unchanged web-2 v1, unchanged api v1" {
		t.Errorf("again: %s", got)
	}
	if _, after, err := db.Objects(t.Context()); err != nil || after != before {
		t.Errorf("an apply without a change moved the catalog from %d to %d, %v", before, after, err)
	}
	ids := func() []string {
		all, err := db.Assignments(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, a := range all {
			out = append(out, a.ID)
		}
		return out
	}
	if got := ids(); !slices.Equal(got, []string{"db:api", "web-1:api"}) {
		t.Errorf("assignments: got %v", got)
	}
	// An edit of a system moves the assignments of a check that selects it.
	web2 := systems()[2]
	web2.Tags["env"] = "prod"
	if got := actions(save(t, s, plan.Changes{Put: []any{web2}})); got != "updated web-2 v2" {
		t.Errorf("edit: %s", got)
	}
	if got := ids(); !slices.Equal(got, []string{"db:api", "web-1:api", "web-2:api"}) {
		t.Errorf("assignments after the edit: got %v", got)
	}
	if got := actions(save(t, s, plan.Changes{Delete: []plan.Ref{{Kind: store.Systems, ID: "web-2"}}})); got != "deleted web-2 v2" {
		t.Errorf("delete: %s", got)
	}
	if got := ids(); !slices.Equal(got, []string{"db:api", "web-1:api"}) {
		t.Errorf("assignments after the deletion: got %v", got)
	}
}

// TestApplyRefuses has one edit per reason to refuse it.
func TestApplyRefuses(t *testing.T) {
	t.Parallel()
	db := open(t)
	rule := func(r core.Rule, all []core.System) core.Problems {
		if len(r.Do) == 0 {
			return core.Problems{{Path: "do", Code: "missing", Message: fmt.Sprintf("does nothing about %d systems", len(all))}}
		}
		return nil
	}
	s := plan.NewService(plan.New(collectors(), plan.Options{}), db, rule)
	save(t, s, plan.Changes{Put: objects(systems(), httpCheck("http://127.0.0.1:1/"))})
	system := func(id string) plan.Ref { return plan.Ref{Kind: store.Systems, ID: id} }
	named := httpCheck("http://127.0.0.1:1/")
	named.ID = "validate"
	broken := httpCheck("http://127.0.0.1:1/", "status =")
	for _, tt := range []struct {
		name    string
		changes plan.Changes
		want    string
	}{
		{
			"rule whose address is taken",
			plan.Changes{Put: []any{core.Rule{ID: "env", Do: []core.Step{{}}}}},
			`rule env: id: a rule cannot have the id "env": its address would be /rules/env, which is taken; choose another id; the name for people may be anything`,
		},
		{
			"check whose address is taken",
			plan.Changes{Put: []any{named}},
			`check validate: id: a check cannot have the id "validate": its address would be /checks/validate, which is taken; choose another id; the name for people may be anything`,
		},
		{
			"system that a check lists",
			plan.Changes{Delete: []plan.Ref{system("web-1")}},
			`system web-1: system "web-1" cannot be deleted: check "api" lists it; remove it from systems.names of check "api" first, or in the same edit`,
		},
		{
			"system that another needs",
			plan.Changes{Delete: []plan.Ref{system("db")}},
			`system db: system "db" cannot be deleted: system "web-1" depends on it; remove it from depends_on of system "web-1" first, or in the same edit`,
		},
		{"check with a mistake", plan.Changes{Put: []any{broken}}, `check api: 1:8: collect[0].assert[0]: "=" is not expected here; write == to compare`},
		{"rule with a mistake", plan.Changes{Put: []any{core.Rule{ID: "page"}}}, `rule page: do: does nothing about 3 systems`},
		{"circle", plan.Changes{Put: []any{core.System{ID: "db", DependsOn: []string{"web-1"}}}}, `system web-1: depends_on[0]: systems depend on each other in a circle: db -> web-1 -> db; remove one of the dependencies`},
		{"twice", plan.Changes{Put: []any{core.System{ID: "x"}, core.System{ID: "x"}}}, `system x: id: system "x" stands twice; rename or remove one`},
	} {
		_, bad, err := s.Apply(t.Context(), tt.changes, plan.ApplyOptions{Now: noon})
		if err != nil || len(bad) == 0 {
			t.Errorf("%s: got %v %v, want a problem", tt.name, bad, err)
			continue
		}
		if got, _, _ := strings.Cut(bad[0].Error(), "\n"); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
	if _, _, err := s.Apply(t.Context(), plan.Changes{Delete: []plan.Ref{system("nobody")}}, plan.ApplyOptions{Now: noon}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("delete of what is not there: got %v, want %v", err, store.ErrNotFound)
	}
	// Together with what names it, a system can go.
	free := httpCheck("http://127.0.0.1:1/")
	free.Systems.Names = []string{"db"}
	save(t, s, plan.Changes{Put: []any{free}, Delete: []plan.Ref{system("web-1")}})
}

func TestApplyIfVersion(t *testing.T) {
	t.Parallel()
	db := open(t)
	s := plan.NewService(plan.New(collectors(), plan.Options{}), db, nil)
	apply := func(version int64, note string) error {
		_, bad, err := s.Apply(t.Context(), plan.Changes{Put: []any{core.System{ID: "a", Note: note}}},
			plan.ApplyOptions{Now: noon, IfVersion: map[string]int64{"system:a": version}})
		if len(bad) > 0 {
			t.Fatal(bad)
		}
		return err
	}
	if err := apply(1, "x"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("version 1 of what is not there: got %v", err)
	}
	if err := apply(0, "x"); err != nil {
		t.Errorf("version 0 of what is not there: got %v", err)
	}
	if err := apply(0, "y"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("version 0 of what is there: got %v", err)
	}
	if err := apply(1, "y"); err != nil {
		t.Errorf("version 1 of version 1: got %v", err)
	}
	if err := apply(1, "z"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("version 1 of version 2: got %v", err)
	}
}

// TestApplyTogether holds that edits at once all happen, one after another.
func TestApplyTogether(t *testing.T) {
	t.Parallel()
	db := open(t)
	s := plan.NewService(plan.New(collectors(), plan.Options{}), db, nil)
	const writers = 6
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wg.Go(func() {
			_, _, errs[i] = s.Apply(t.Context(), plan.Changes{Put: []any{core.System{ID: fmt.Sprintf("s%d", i)}}}, plan.ApplyOptions{Now: noon})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	all, _, err := db.Objects(t.Context(), store.Systems)
	if err != nil || len(all) != writers {
		t.Errorf("got %d systems, %v; want %d", len(all), err, writers)
	}
}

// TestApplyKeepsBrokenCheck holds that a stored check whose collector is gone
// does not stand in the way of other edits and keeps its assignments.
func TestApplyKeepsBrokenCheck(t *testing.T) {
	t.Parallel()
	db := open(t)
	k := collectors()
	k.modules["pg-lag"] = lag(nil, core.Pass)
	s := plan.NewService(plan.New(k, plan.Options{}), db, nil)
	c := httpCheck("")
	c.Collect = []core.Collect{{Use: "wasm:pg-lag", With: map[string]any{"database": "x"}}}
	save(t, s, plan.Changes{Put: objects(systems(), c)})
	delete(k.modules, "pg-lag")
	save(t, s, plan.Changes{Put: []any{core.System{ID: "new"}}})
	all, err := db.Assignments(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != "web-1:api" {
		t.Errorf("assignments: got %v, %v; want web-1:api", all, err)
	}
}
