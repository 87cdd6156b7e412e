//nolint:thelper // tests, not helpers: a failure is told at its own line
package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) modules() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"modules":               s.testModules,
		"modules/kinds":         s.testModuleKinds,
		"modules/parallel":      s.testModulesParallel,
		"releases":              s.testReleases,
		"releases/in use":       s.testReleaseInUse,
		"releases/parallel":     s.testReleasesParallel,
		"values":                s.testValues,
		"values/go":             s.testValuesGo,
		"values/parallel":       s.testValuesParallel,
		"recordings":            s.testRecordings,
		"recordings/bounds":     s.testRecordingBounds,
		"recordings/prune":      s.testPruneRecordings,
		"recordings/failed run": s.testRecordingOfNothing,
	}
}

func module(version, digest string, at int) core.Module {
	return core.Module{
		Name: "lag", Version: version, Kind: core.WasmModule, Digest: digest, Size: 4, Created: minute(at), By: "ann",
		Manifest: core.Manifest{ABI: "tocsin/1", Name: "lag", Version: version, Offers: []string{"collector"}},
	}
}

// upload stores m and returns it as it is stored.
func upload(t *testing.T, b Backend, m core.Module) core.Module {
	t.Helper()
	stored, err := b.PutModule(t.Context(), m, []byte("file"+m.Digest))
	must(t, "put module "+m.Version, err)
	return stored
}

func listModules(t *testing.T, b Backend) []core.Module {
	t.Helper()
	all, err := b.Modules(t.Context())
	must(t, "modules", err)
	return all
}

// release changes the release of lag.
func release(t *testing.T, b Backend, change func(core.Release) core.Release) core.Release {
	t.Helper()
	r, err := b.Release(t.Context(), "lag")
	must(t, "release", err)
	must(t, "put release", b.PutRelease(t.Context(), change(r)))
	r, err = b.Release(t.Context(), "lag")
	must(t, "release", err)
	return r
}

func activate(version string) func(core.Release) core.Release {
	return func(r core.Release) core.Release {
		return r.Activate(version, core.ReleaseEdit{By: "ann", At: minute(9)})
	}
}

func (s suite) testModules(t *testing.T) {
	b, dir := s.freshIn(t)
	one, two := module("1", "aa", 1), module("2", "bb", 2)
	one, two = upload(t, b, one), upload(t, b, two)
	if one.Number != 1 || two.Number != 2 {
		t.Errorf("numbers are %d and %d, want 1 and 2", one.Number, two.Number)
	}
	grant := core.Grant{Private: true, HTTP: []string{"https://a.example:443"}}
	must(t, "grant", b.GrantModule(t.Context(), "lag", "2", grant, "bob", minute(3)))
	two.Grant, two.Granted, two.GrantBy = grant, minute(3), "bob"
	wantError(t, "grant nothing", b.GrantModule(t.Context(), "lag", "9", core.Grant{}, "bob", minute(3)), store.ErrNotFound)
	again := module("2", "bb", 5)
	again.By = "eve"
	equal(t, "the very same file again", upload(t, b, again), two)
	copied := upload(t, b, module("3", "aa", 3))
	equal(t, "modules", listModules(t, b), []core.Module{copied, two, one})

	_, err := b.PutModule(t.Context(), module("2", "cc", 4), []byte("x"))
	wantError(t, "same version, other file", err, store.ErrConflict)
	_, err = b.ModuleFile(t.Context(), "cc")
	wantError(t, "file of a refused module", err, store.ErrNotFound)
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	equal(t, "modules", listModules(t, b), []core.Module{copied, two, one})

	must(t, "delete", b.DeleteModule(t.Context(), "lag", "1"))
	wantError(t, "delete twice", b.DeleteModule(t.Context(), "lag", "1"), store.ErrNotFound)
	file, err := b.ModuleFile(t.Context(), "aa")
	if err != nil || string(file) != "fileaa" {
		t.Errorf("the file is %q (%v), want it kept: version 3 has the same", file, err)
	}
	must(t, "delete", b.DeleteModule(t.Context(), "lag", "3"))
	_, err = b.ModuleFile(t.Context(), "aa")
	wantError(t, "file of no module", err, store.ErrNotFound)
	if next := upload(t, b, module("4", "dd", 6)); next.Number != 4 {
		t.Errorf("the number of the fourth upload is %d, want 4: a number is not given twice", next.Number)
	}
	must(t, "delete", b.DeleteModule(t.Context(), "lag", "4"))
	must(t, "delete the only one", b.DeleteModule(t.Context(), "lag", "2"))
	if left := listModules(t, b); len(left) != 0 {
		t.Errorf("left are %v, want none", left)
	}
	_, err = b.Release(t.Context(), "lag")
	wantError(t, "release of a name without versions", err, store.ErrNotFound)
	if next := upload(t, b, module("5", "ee", 7)); next.Number != 1 {
		t.Errorf("the name begins anew with number %d, want 1", next.Number)
	}
}

// A name belongs to one kind of module.
func (s suite) testModuleKinds(t *testing.T) {
	b := s.fresh(t)
	upload(t, b, module("1", "aa", 1))
	script := module("2", "bb", 2)
	script.Kind = core.ScriptModule
	_, err := b.PutModule(t.Context(), script, []byte("x"))
	wantError(t, "a script under the name of a wasm module", err, store.ErrConflict)
	if err != nil && !strings.Contains(err.Error(), "lag is a wasm module, not a script module") {
		t.Errorf("error is %v, want it to name both kinds", err)
	}
	script.Name = "paste"
	if stored := upload(t, b, script); stored.Kind != core.ScriptModule || stored.Number != 1 {
		t.Errorf("stored is %+v, want a script with number 1", stored)
	}
}

// Uploads at the same time get numbers without gap, and none twice.
func (s suite) testModulesParallel(t *testing.T) {
	b := s.fresh(t)
	const n = 20
	var seen [n + 1]atomic.Int32
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			m, err := b.PutModule(t.Context(), module(fmt.Sprintf("1.%d", i/2), fmt.Sprintf("d%d", i/2), 1), []byte("f"))
			if err != nil || m.Number < 1 || m.Number > n {
				t.Errorf("put module: %v, number %d", err, m.Number)
				return
			}
			seen[m.Number].Add(1)
		})
	}
	wg.Wait()
	for number := 1; number <= n/2; number++ {
		if got := seen[number].Load(); got != 2 {
			t.Errorf("number %d was given %d times, want 2: each file came twice", number, got)
		}
	}
}

func (s suite) testReleases(t *testing.T) {
	b, dir := s.freshIn(t)
	_, err := b.Release(t.Context(), "lag")
	wantError(t, "release of nothing", err, store.ErrNotFound)
	for i, version := range []string{"1", "2", "3"} {
		upload(t, b, module(version, "d"+version, i))
	}
	r, err := b.Release(t.Context(), "lag")
	must(t, "release", err)
	equal(t, "the release of what was never activated", r, core.Release{Name: "lag"})

	e := core.ReleaseEdit{By: "ann", At: minute(9)}
	stale := r
	release(t, b, activate("1"))
	release(t, b, activate("2"))
	r = release(t, b, func(r core.Release) core.Release {
		r, err := r.Point("next", "3", e)
		must(t, "alias", err)
		r, err = r.Try(core.Canary{Version: "3", Percent: 50}, e)
		must(t, "canary", err)
		return r
	})
	if r.Revision != 3 || r.Stable != "2" || r.Previous[0] != "1" || r.Aliases["next"] != "3" || r.Canary.Version != "3" || len(r.Changes) != 4 {
		t.Errorf("release is %+v", r)
	}
	wantError(t, "a change from an old release", b.PutRelease(t.Context(), stale.Activate("3", e)), store.ErrConflict)
	wantError(t, "a version that is not there", b.PutRelease(t.Context(), r.Activate("9", e)), store.ErrNotFound)
	wantError(t, "a name that is not there", b.PutRelease(t.Context(), core.Release{Name: "lead"}), store.ErrNotFound)
	for _, m := range listModules(t, b) {
		if m.Active != (m.Version == "2") {
			t.Errorf("version %s is active: %t, want 2 alone to be", m.Version, m.Active)
		}
	}
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	all, err := b.Releases(t.Context())
	must(t, "releases", err)
	equal(t, "releases after reopening", all, []core.Release{r})
}

// What a release needs cannot be deleted, whoever tries.
func (s suite) testReleaseInUse(t *testing.T) {
	b := s.fresh(t)
	for i, version := range []string{"1", "2", "3", "4", "5", "6"} {
		upload(t, b, module(version, "d"+version, i))
	}
	e := core.ReleaseEdit{By: "ann", At: minute(9)}
	for _, version := range []string{"6", "1", "2"} {
		release(t, b, activate(version))
	}
	release(t, b, func(r core.Release) core.Release {
		r, err := r.Point("next", "3", e)
		must(t, "alias", err)
		r, err = r.Try(core.Canary{Version: "4", Systems: []string{"web"}}, e)
		must(t, "canary", err)
		return r
	})
	for version, want := range map[string]string{
		"2": "it is the active version", "1": "a rollback would go back to it", "3": "the alias next means it", "4": "it is the canary",
	} {
		err := b.DeleteModule(t.Context(), "lag", version)
		wantError(t, "delete "+version, err, store.ErrConflict)
		if err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("delete %s: error is %q, want it to say %q", version, err, want)
		}
	}
	must(t, "delete what nothing needs", b.DeleteModule(t.Context(), "lag", "5"))
	must(t, "delete what was stable long ago", b.DeleteModule(t.Context(), "lag", "6"))
	r, err := b.Release(t.Context(), "lag")
	must(t, "release", err)
	equal(t, "what a rollback can go back to", r.Previous, []string{"1"})
}

// Of changes made from the same release one wins.
func (s suite) testReleasesParallel(t *testing.T) {
	b := s.fresh(t)
	upload(t, b, module("1", "aa", 1))
	upload(t, b, module("2", "bb", 2))
	base, err := b.Release(t.Context(), "lag")
	must(t, "release", err)
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			err := b.PutRelease(t.Context(), base.Activate([]string{"1", "2"}[i%2], core.ReleaseEdit{By: fmt.Sprint(i), At: minute(3)}))
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrConflict):
				t.Errorf("put release: %v, want a conflict", err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 {
		t.Errorf("%d changes from one release were stored, want 1", won.Load())
	}
}

//go:fix inline

func (s suite) testValues(t *testing.T) {
	b, dir := s.freshIn(t)
	watch(t, b, "web")
	const most = 20
	for _, step := range []struct {
		scope, key string
		value      *string
		used       int64
		ok         bool
	}{
		{"lag", "a", new("1234"), 5, true},
		{"lag", "bb", new("\x00é"), 10, true}, // bytes count, not letters
		{"lag", "a", new("12345678"), 14, true},
		{"lag", "c", new("123456"), 14, false}, // 21 would be too much
		{"lag", "c", new("12345"), 20, true},
		{"lag", "a", new("123456789"), 20, false}, // what is there stays
		{"lag", "none", nil, 20, true},
		{"lag", "c", nil, 14, true},
		{"lag/web:http", "a", new("own"), 4, true},
		{"lead", "a", new(""), 1, true},
	} {
		used, ok, err := b.SetValue(t.Context(), step.scope, step.key, step.value, most)
		if err != nil || ok != step.ok || used != step.used {
			t.Errorf("set %s %s: used %d, ok %t (%v), want %d, %t", step.scope, step.key, used, ok, err, step.used, step.ok)
		}
	}
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	for _, want := range []struct {
		scope, key, value string
		found             bool
	}{
		{"lag", "a", "12345678", true},
		{"lag", "bb", "\x00é", true},
		{"lag", "c", "", false},
		{"lag/web:http", "a", "own", true},
		{"lag/web:tcp", "a", "", false},
		{"lead", "a", "", true},
	} {
		value, found, err := b.Value(t.Context(), want.scope, want.key)
		if err != nil || value != want.value || found != want.found {
			t.Errorf("%s %s is %q, %t (%v), want %q, %t", want.scope, want.key, value, found, err, want.value, want.found)
		}
	}
	size, err := b.ValuesSize(t.Context())
	must(t, "size", err)
	equal(t, "what is kept", size, map[string]int64{"lag": 18, "lead": 1})
}

// Values go with their assignment, and with the last version of their module.
func (s suite) testValuesGo(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web", "db")
	upload(t, b, module("1", "aa", 1))
	upload(t, b, module("2", "bb", 2))
	for _, scope := range []string{"lag", "lag/web:http", "lag/web:tcp", "lag/db:http", "lead/web:http"} {
		_, ok, err := b.SetValue(t.Context(), scope, "k", new("v"), 100)
		if err != nil || !ok {
			t.Fatalf("set in %s: %t, %v", scope, ok, err)
		}
	}
	left := func(what string, want ...string) {
		t.Helper()
		var got []string
		for _, scope := range []string{"lag", "lag/web:http", "lag/web:tcp", "lag/db:http", "lead/web:http"} {
			_, found, err := b.Value(t.Context(), scope, "k")
			must(t, "value", err)
			if found {
				got = append(got, scope)
			}
		}
		equal(t, "what is left after "+what, got, want)
	}
	configure(t, b, core.Change{DeleteAssignments: []string{"web:tcp"}}, minute(1))
	left("deleting an assignment", "lag", "lag/web:http", "lag/db:http", "lead/web:http")
	_, _, err := b.SetValue(t.Context(), "lag/web:tcp", "k", new("late"), 100)
	wantError(t, "a run that ends after its assignment", err, store.ErrNotFound)
	configure(t, b, core.Change{DeleteSystems: []string{"web"}}, minute(2))
	left("deleting a system", "lag", "lag/db:http")
	must(t, "delete", b.DeleteModule(t.Context(), "lag", "1"))
	left("deleting a version", "lag", "lag/db:http")
	must(t, "delete", b.DeleteModule(t.Context(), "lag", "2"))
	left("deleting the last version")
}

// Writers at the same time keep to the quota together.
func (s suite) testValuesParallel(t *testing.T) {
	b := s.fresh(t)
	const most = 50
	var kept atomic.Int32
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			_, ok, err := b.SetValue(t.Context(), "lag", fmt.Sprintf("%02d", i), new("12345678"), most)
			if err != nil {
				t.Errorf("set: %v", err)
			}
			if ok {
				kept.Add(1)
			}
		})
	}
	wg.Wait()
	size, err := b.ValuesSize(t.Context())
	must(t, "size", err)
	if kept.Load() != 5 || size["lag"] != most {
		t.Errorf("%d values were kept, %d bytes; want 5 and %d", kept.Load(), size["lag"], most)
	}
}

// recordedRun is a run with two steps, the second of which is recorded.
func recordedRun(assignment string, at time.Time, o core.Outcome, seed uint64) *core.Run {
	r := run(assignment, at, o)
	r.Steps = []core.StepResult{
		{ID: "plain", Use: "http", Outcome: o},
		{ID: "lag", Use: "wasm:lag", Outcome: o, Module: "lag@1", Recording: &core.Recording{
			Format: 1, Module: "lag", Version: "1", Digest: "aa", Export: "tocsin_collect", Request: json.RawMessage(`{"abi":"tocsin/1"}`),
			Started: at, Seed: seed, Outcome: o, Output: []byte("out\x00"), Fuel: 17,
			Calls: []core.RecordedCall{{Name: "http", Input: []byte("in"), Answer: []byte(strings.Repeat("answer ", 1000))}, {Name: "clock", Value: 5}},
		}},
	}
	return r
}

func (s suite) testRecordings(t *testing.T) {
	b, dir := s.freshIn(t)
	watch(t, b, "web")
	fail, pass := recordedRun("web:http", minute(1), core.Fail, 1), recordedRun("web:tcp", minute(1), core.Pass, 2)
	plain := recordedRun("web:http", minute(2), core.Pass, 3)
	plain.Steps[1].Recording = nil
	must(t, "record", b.Record(t.Context(), []*core.Run{fail, pass, plain}))
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	for _, want := range []*core.Run{fail, pass} {
		got, err := b.Run(t.Context(), want.ID)
		must(t, "run", err)
		if len(got.Steps) != 2 || got.Steps[0].Replay || !got.Steps[1].Replay || got.Steps[1].Module != "lag@1" {
			t.Errorf("steps of a %v run are %+v, want the second alone to be replayable", want.Outcome, got.Steps)
		}
		rec, err := b.Recording(t.Context(), want.ID, "lag")
		must(t, "recording", err)
		equal(t, "recording", rec, *want.Steps[1].Recording)
		_, err = b.Recording(t.Context(), want.ID, "plain")
		wantError(t, "recording of a step without one", err, store.ErrNotFound)
	}
	got, err := b.Run(t.Context(), plain.ID)
	must(t, "run", err)
	if len(got.Steps) != 0 {
		t.Errorf("a passing run without recording has steps %+v, want none kept", got.Steps)
	}
	if plain.Steps[1].Replay {
		t.Error("a step without recording says that it can be replayed")
	}
}

// The newest recordings of an assignment stay, and a run says which do.
func (s suite) testRecordingBounds(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	other := recordedRun("web:tcp", minute(0), core.Fail, 0)
	must(t, "record", b.Record(t.Context(), []*core.Run{other}))
	var runs []*core.Run
	for i := range 500 {
		runs = append(runs, recordedRun("web:http", minute(i), core.Fail, uint64(i)))
	}
	must(t, "record", b.Record(t.Context(), runs[:250]))
	must(t, "record", b.Record(t.Context(), runs[250:]))
	kept := 0
	for i, r := range runs {
		got, err := b.Run(t.Context(), r.ID)
		must(t, "run", err)
		_, err = b.Recording(t.Context(), r.ID, "lag")
		if replay := err == nil; replay != got.Steps[1].Replay {
			t.Errorf("run %d: replay is %t and its recording: %v", i, got.Steps[1].Replay, err)
		}
		if err == nil {
			kept++
		} else if kept > 0 {
			t.Fatalf("the recording of run %d is gone and that of an older one is not", i)
		}
	}
	if kept == 0 || kept > 100 {
		t.Errorf("%d recordings of an assignment are kept, want some and at most 100", kept)
	}
	_, err := b.Recording(t.Context(), other.ID, "lag")
	must(t, "recording of another assignment", err)
}

func (s suite) testPruneRecordings(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	old, young := recordedRun("web:http", minute(1), core.Fail, 1), recordedRun("web:http", minute(100), core.Fail, 2)
	must(t, "record", b.Record(t.Context(), []*core.Run{old, young}))
	_, err := b.Prune(t.Context(), store.Keep{Now: minute(50), Runs: store.Bound{Before: minute(50)}})
	must(t, "prune", err)
	_, err = b.Recording(t.Context(), old.ID, "lag")
	wantError(t, "recording of a deleted run", err, store.ErrNotFound)
	_, err = b.Recording(t.Context(), young.ID, "lag")
	must(t, "recording of a run that stays", err)
}

// A run of an assignment that is gone leaves no recording.
func (s suite) testRecordingOfNothing(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	gone, there := recordedRun("none:http", minute(1), core.Fail, 1), recordedRun("web:http", minute(1), core.Fail, 2)
	must(t, "record", b.Record(t.Context(), []*core.Run{gone, there}))
	_, err := b.Recording(t.Context(), 0, "lag")
	wantError(t, "recording of a dropped run", err, store.ErrNotFound)
	if gone.ID != 0 || there.ID != 1 {
		t.Errorf("ids are %d and %d, want 0 and 1", gone.ID, there.ID)
	}
}
