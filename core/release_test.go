package core_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

func edit(minute int) core.ReleaseEdit {
	return core.ReleaseEdit{By: "ann", At: time.Date(2026, 3, 1, 12, minute, 0, 0, time.UTC)}
}

// TestReleaseStory moves a release through everything that can be done to it;
// each step says what the release is then.
func TestReleaseStory(t *testing.T) {
	t.Parallel()
	r := core.Release{Name: "lag"}
	n := 0
	step := func(what, want string, next core.Release, err error) {
		t.Helper()
		n++
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		r = next
		got := fmt.Sprintf("stable %s, previous %v, aliases %v", r.Stable, r.Previous, r.Aliases)
		if c := r.Canary; c != nil {
			got += fmt.Sprintf(", canary %s on %s", c.Version, c.Share())
			if !c.Held.IsZero() {
				got += " held"
			}
		}
		if got != want {
			t.Errorf("%d, %s:\n%s\nwant\n%s", n, what, got, want)
		}
	}
	pure := func(next core.Release) (core.Release, error) { return next, nil }
	do := func(what, want string, f func() (core.Release, error)) {
		t.Helper()
		next, err := f()
		step(what, want, next, err)
	}
	do("activate 1", "stable 1, previous [], aliases map[]", func() (core.Release, error) { return pure(r.Activate("1", edit(1))) })
	do("activate 2", "stable 2, previous [1], aliases map[]", func() (core.Release, error) { return pure(r.Activate("2", edit(2))) })
	do("activate 2 again", "stable 2, previous [1], aliases map[]", func() (core.Release, error) { return pure(r.Activate("2", edit(3))) })
	do("activate 1 again", "stable 1, previous [2], aliases map[]", func() (core.Release, error) { return pure(r.Activate("1", edit(4))) })
	do("alias", "stable 1, previous [2], aliases map[next:2]", func() (core.Release, error) { return r.Point("next", "2", edit(5)) })
	do("canary", "stable 1, previous [2], aliases map[next:2], canary 3 on 10 % of the assignments and system web", func() (core.Release, error) {
		return r.Try(core.Canary{Version: "3", Percent: 10, Systems: []string{"web", "web"}}, edit(6))
	})
	do("wider", "stable 1, previous [2], aliases map[next:2], canary 3 on 50 % of the assignments", func() (core.Release, error) {
		return r.Try(core.Canary{Version: "3", Percent: 50}, edit(7))
	})
	if !r.Canary.Started.Equal(edit(6).At) {
		t.Errorf("a wider canary began at %s, want it to be the trial that began before", r.Canary.Started)
	}
	do("hold", "stable 1, previous [2], aliases map[next:2], canary 3 on 50 % of the assignments held", func() (core.Release, error) {
		return pure(r.Hold(core.Because("canary_errors", "5 of 5"), edit(8)))
	})
	do("try again", "stable 1, previous [2], aliases map[next:2], canary 3 on 50 % of the assignments", func() (core.Release, error) {
		return r.Try(core.Canary{Version: "3", Percent: 50}, edit(9))
	})
	if !r.Canary.Started.Equal(edit(9).At) {
		t.Errorf("a canary that was held begins anew at %s, want %s", r.Canary.Started, edit(9).At)
	}
	do("promote", "stable 3, previous [1 2], aliases map[next:2]", func() (core.Release, error) { return r.Promote(edit(10)) })
	do("roll back", "stable 1, previous [2], aliases map[next:2]", func() (core.Release, error) { return r.Rollback(edit(11)) })
	do("roll back further", "stable 2, previous [], aliases map[next:2]", func() (core.Release, error) { return r.Rollback(edit(12)) })
	if _, err := r.Rollback(edit(13)); err == nil || !strings.Contains(err.Error(), "no version of lag was stable before 2") {
		t.Errorf("roll back to nothing: %v", err)
	}
	do("canary of systems", "stable 2, previous [], aliases map[next:2], canary 1 on 2 systems", func() (core.Release, error) {
		return r.Try(core.Canary{Version: "1", Systems: []string{"a", "b"}}, edit(14))
	})
	do("abort", "stable 2, previous [], aliases map[next:2]", func() (core.Release, error) { return r.Abort(edit(15)) })
	next, ok := r.Forget("next", edit(16))
	if _, again := next.Forget("next", edit(16)); !ok || again {
		t.Errorf("forget an alias: %t, again: %t", ok, again)
	}
	var did []string
	for _, c := range next.Changes {
		did = append(did, c.Action)
	}
	want := "unalias abort canary rollback rollback promote canary hold canary canary alias activate activate activate" //nolint:dupword // what was done
	if got := strings.Join(did, " "); got != want {
		t.Errorf("changes are %s, want %s", got, want)
	}
}

func TestReleaseRefuses(t *testing.T) {
	t.Parallel()
	active := core.Release{Name: "lag", Stable: "1"}
	full := active
	for i := range core.MaxAliases {
		full, _ = full.Point(fmt.Sprintf("a%d", i), "1", edit(1))
	}
	second := func(_ core.Release, err error) error { return err }
	for _, tt := range []struct {
		name string
		err  error
		want string
	}{
		{"alias stable", second(active.Point("stable", "1", edit(1))), "the alias stable is the active version"},
		{"alias of digits", second(active.Point("3", "1", edit(1))), `the alias "3" is a number`},
		{"alias with blanks", second(active.Point("a b", "1", edit(1))), "may hold letters"},
		{"too many aliases", second(full.Point("one-more", "1", edit(1))), "lag has 20 aliases"},
		{"canary without stable", second(core.Release{Name: "lag"}.Try(core.Canary{Version: "1", Percent: 5}, edit(1))), "no active version to compare with"},
		{"canary of stable", second(active.Try(core.Canary{Version: "1", Percent: 5}, edit(1))), "lag 1 is the active version"},
		{"canary of nothing", second(active.Try(core.Canary{Version: "2"}, edit(1))), "the canary runs nowhere"},
		{"canary of too much", second(active.Try(core.Canary{Version: "2", Percent: 101}, edit(1))), "write 1 to 100"},
		{"promote nothing", second(active.Promote(edit(1))), "lag has no canary to promote"},
		{"abort nothing", second(active.Abort(edit(1))), "lag has no canary to abort"},
	} {
		if tt.err == nil || !strings.Contains(tt.err.Error(), tt.want) {
			t.Errorf("%s: error is %v, want %q", tt.name, tt.err, tt.want)
		}
	}
}

func TestReleaseResolve(t *testing.T) {
	t.Parallel()
	versions := []core.Module{{Version: "1.2.0", Number: 3}, {Version: "1.1.0", Number: 2}, {Version: "3", Number: 1}}
	r := core.Release{
		Name: "lag", Stable: "1.1.0", Aliases: map[string]string{"next": "1.2.0"},
		Canary: &core.Canary{Version: "1.2.0", Systems: []string{"web"}},
	}
	for _, tt := range []struct {
		use, assignment, version string
		canary                   bool
	}{
		{"wasm:lag", "", "1.1.0", false},
		{"wasm:lag", "db:lag", "1.1.0", false},
		{"wasm:lag", "web:lag", "1.2.0", true},
		{"wasm:lag@stable", "web:lag", "1.2.0", true},
		{"wasm:lag@1.1.0", "web:lag", "1.1.0", false},
		{"script:lag@next", "db:lag", "1.2.0", false},
		{"wasm:lag@2", "", "1.1.0", false},
		{"wasm:lag@3", "", "3", false}, // a version before a number
	} {
		use, ok := core.ParseModuleUse(tt.use)
		if !ok || use.Name != "lag" {
			t.Errorf("%s is read as %+v, %t", tt.use, use, ok)
		}
		version, canary, err := r.Resolve(use.Pin, tt.assignment, versions)
		if err != nil || version != tt.version || canary != tt.canary {
			t.Errorf("%s for %q is %s, canary %t (%v), want %s, %t", tt.use, tt.assignment, version, canary, err, tt.version, tt.canary)
		}
	}
	for pin, want := range map[string]string{"9": `no version, number or alias "9"; there are stable, next, 1.2.0, 1.1.0, 3`, "latest": `"latest"`} {
		if _, _, err := r.Resolve(pin, "", versions); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("@%s: error is %v, want %q", pin, err, want)
		}
	}
	if _, _, err := (core.Release{Name: "lag"}).Resolve("", "", versions); err == nil || !strings.Contains(err.Error(), "no version of lag is active") {
		t.Errorf("nothing active: error is %v", err)
	}
	for _, use := range []string{"http", "wasm", "script", ""} {
		if _, ok := core.ParseModuleUse(use); ok {
			t.Errorf("%q is read as a module", use)
		}
	}
}

// TestCanaryTakes holds that the share is about what was asked for, that a
// wider one keeps the assignments of a narrower one, and that a held canary
// takes none.
func TestCanaryTakes(t *testing.T) {
	t.Parallel()
	const n = 10_000
	taken := map[string]bool{}
	for _, percent := range []int{0, 1, 10, 50, 90, 100} {
		c := core.Canary{Version: "1.2.0", Percent: percent}
		count := 0
		for i := range n {
			id := core.AssignmentID(fmt.Sprintf("system-%d", i/2), []string{"http", "tcp"}[i%2])
			takes := c.Takes(id)
			if taken[id] && !takes {
				t.Fatalf("%s is taken by a narrower canary and not by %d %%", id, percent)
			}
			taken[id] = takes
			if takes {
				count++
			}
		}
		if want := n * percent / 100; count < want-n*15/1000 || count > want+n*15/1000 {
			t.Errorf("%d %% takes %d of %d assignments, want about %d", percent, count, n, want)
		}
	}
	a, b := core.Canary{Version: "1", Percent: 50}, core.Canary{Version: "2", Percent: 50}
	both := 0
	for i := range n {
		if id := fmt.Sprintf("s%d:c", i); a.Takes(id) && b.Takes(id) {
			both++
		}
	}
	if both < n/4-n/50 || both > n/4+n/50 {
		t.Errorf("canaries of two versions share %d of %d assignments, want a quarter: it must not always hit the same ones", both, n)
	}
	held := core.Canary{Version: "1", Percent: 100, Systems: []string{"web"}, Held: edit(1).At}
	if held.Takes("web:http") {
		t.Error("a held canary takes an assignment")
	}
}

func TestJudgeCanary(t *testing.T) {
	t.Parallel()
	trial := func(errors, runs int64) core.Trial { return core.Trial{Runs: runs, Errors: errors} }
	for _, tt := range []struct {
		canary, stable core.Trial
		hold           bool
	}{
		{trial(0, 0), trial(0, 0), false},
		{trial(4, 4), trial(0, 1000), false}, // too few to tell
		{trial(5, 5), trial(0, 1000), true},
		{trial(5, 5), trial(0, 0), true},
		{trial(5, 100), trial(0, 1000), true},
		{trial(5, 1000), trial(0, 1000), false},  // 0.5 % may be chance
		{trial(100, 1000), trial(0, 1000), true}, // 10 %
		{trial(50, 100), trial(50, 100), false},  // as bad as stable
		{trial(50, 100), trial(20, 100), false},  // the lower end is 40.4 %, the threshold 41 %
		{trial(60, 100), trial(20, 100), true},
		{trial(100, 100), trial(90, 100), true}, // half-way to 100 % is 95 %
		{trial(20, 20), trial(90, 100), false},
		{trial(1000, 1000), trial(1000, 1000), false},
		{core.Trial{Runs: 100, Fails: 100}, trial(0, 100), false}, // it may be the truth
	} {
		why := core.JudgeCanary(tt.canary, tt.stable)
		if hold := !why.IsZero(); hold != tt.hold {
			t.Errorf("%d of %d against %d of %d: hold is %t (%s), want %t", tt.canary.Errors, tt.canary.Runs, tt.stable.Errors, tt.stable.Runs, hold, why.Text, tt.hold)
		}
	}
	why := core.JudgeCanary(trial(6, 40), trial(1, 200))
	if want := "6 of 40 runs ended with Error (15.0 %), of the active version 1 of 200 (0.5 %)"; why.Text != want {
		t.Errorf("why is %q, want %q", why.Text, want)
	}
}
