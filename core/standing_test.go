package core_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// outcomes reads p, w, f and e as outcomes.
func outcomes(letters string) []core.Outcome {
	out := make([]core.Outcome, 0, len(letters))
	for _, letter := range letters {
		out = append(out, core.Outcome(strings.IndexRune("pwfe", letter)))
	}
	return out
}

func runOf(i int, o core.Outcome) *core.Run {
	run := &core.Run{ID: int64(i + 1), Assignment: "web:http", Outcome: o, Ended: start.Add(time.Duration(i) * time.Minute)}
	switch o {
	case core.Error:
		run.Why = core.Because("secret", "the secret db is missing")
	case core.Fail, core.Warn:
		run.Why = core.Because("assert", "status == 200 is false")
	case core.Pass:
	}
	return run
}

// walk is the health after each of the outcomes, as first letters: u(nknown),
// h(ealthy), d(egraded), x for unhealthy.
func walk(p core.Policy, letters string) (path string, last core.Standing) {
	for i, o := range outcomes(letters) {
		last = core.Advance(last, p, runOf(i, o))
		path += string("uhdxs"[last.Health])
	}
	return path, last
}

// acceptance 1, 2.
func TestAdvance(t *testing.T) {
	t.Parallel()
	window := core.Policy{Mode: core.Windowed, Size: 5, Degraded: 2, Unhealthy: 4}
	wide := core.Policy{Mode: core.Windowed, Size: 5, Degraded: 2, Unhealthy: 4, ExitDegraded: new(0), ExitUnhealthy: new(2)}
	for _, test := range []struct {
		name    string
		policy  core.Policy
		letters string
		want    string
	}{
		{"first run fails, threshold 1", core.Policy{Unhealthy: 1, Degraded: 1}, "f", "x"},
		{"default policy", core.Policy{}, "pffffffp", "hhdddxxh"},
		{"one fail moves nothing", core.Policy{}, "pfpfp", "hhhhh"},
		{"green must be earned", core.Policy{Healthy: 3}, "ppp", "uuh"},
		{"one pass of three does not recover", core.Policy{Healthy: 3, Degraded: 2, Unhealthy: 5}, "pppfffffpppp", "uuhhdddxxxhh"},
		{"a fail starts the count of passes anew", core.Policy{Healthy: 2, Degraded: 1, Unhealthy: 2}, "ppffpfpp", "uhdxxxxh"},
		{"unhealthy does not improve on a fail", core.Policy{Healthy: 3, Degraded: 2, Unhealthy: 3}, "fffpff", "udxxxx"},
		{"a warn counts as a fail for degraded only", core.Policy{Degraded: 2, Unhealthy: 3}, "pwwwwwp", "hhddddh"},
		{"warns and fails together degrade", core.Policy{Degraded: 2, Unhealthy: 3}, "pwf", "hhd"},
		{"a warn does not make unknown healthy", core.Policy{Degraded: 3}, "wwp", "uuh"},
		{"warns after an outage are better than unhealthy", core.Policy{Degraded: 2, Unhealthy: 3}, "pfffw", "hhdxd"},
		{"errors move nothing and break no row", core.Policy{}, "pefefeeepe", "hhhhddddhh"},
		{"errors alone stay unknown", core.Policy{}, "eee", "uuu"},
		{"window goes up by enter and down by exit", window, "pppfppfpppppp", "hhhhhhddhhhhh"},
		{"window exits later than it enters", wide, "pffffppppp", "hhddxxxddh"},
		{"window holds between exit and enter", wide, "pffpfpfppppp", "hhdddddddddh"},
		{"window is unknown until a pass", window, "fpfp", "uhdd"},
		{"window counts warns for degraded", window, "pwwwww", "hhdddd"},
		{"window ignores errors", window, "pfefef", "hhhddd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got, _ := walk(test.policy, test.letters); got != test.want {
				t.Errorf("health after each of %s is %s, want %s", test.letters, got, test.want)
			}
		})
	}
}

func TestAdvanceTellsProblemAndReason(t *testing.T) {
	t.Parallel()
	_, s := walk(core.Policy{}, "pffe")
	if s.Problem.Code != "secret" || s.Why.Code != "assert" || s.Health != core.Degraded || s.LastWas != core.Error {
		t.Errorf("after two fails and an error standing is %+v, want the problem and the reason of the fail", s)
	}
	_, s = walk(core.Policy{}, "pffep")
	if !s.Problem.IsZero() || !s.Why.IsZero() || s.LastRun != 5 {
		t.Errorf("after a pass standing is %+v, want neither problem nor reason", s)
	}
	_, s = walk(core.Policy{}, "pfp")
	if !s.Why.IsZero() {
		t.Errorf("after a blip and a pass the reason is %v, want none", s.Why)
	}
}

// naive derives health from the whole history of outcomes, each time counting
// anew, without bits or rows kept in between.
func naive(p core.Policy, history []core.Outcome) core.Health {
	p = p.WithDefaults()
	h := core.Unknown
	var seen []core.Outcome
	row := func(of ...core.Outcome) (n int) {
		for _, o := range slices.Backward(seen) {
			if !slices.Contains(of, o) {
				break
			}
			n++
		}
		return n
	}
	for _, o := range history {
		if o == core.Error {
			continue
		}
		seen = append(seen, o)
		if p.Mode == core.Windowed {
			h = naiveWindow(p, h, seen, row(core.Pass))
			continue
		}
		switch {
		case o == core.Pass && row(core.Pass) >= p.Healthy:
			h = core.Healthy
		case o == core.Pass:
		case o == core.Fail && row(core.Fail) >= p.Unhealthy:
			h = core.Unhealthy
		case row(core.Fail, core.Warn) < p.Degraded, o == core.Fail && h == core.Unhealthy:
		case o == core.Warn && h == core.Unhealthy && row(core.Pass, core.Warn) < p.Healthy:
		default:
			h = core.Degraded
		}
	}
	return h
}

func naiveWindow(p core.Policy, h core.Health, seen []core.Outcome, passes int) core.Health {
	newest := seen[len(seen)-1]
	fails, bad := 0, 0
	for _, o := range seen[max(0, len(seen)-p.Size):] {
		if o == core.Fail {
			fails++
		}
		if o != core.Pass {
			bad++
		}
	}
	enter := core.Healthy
	if bad >= p.Degraded {
		enter = core.Degraded
	}
	if fails >= p.Unhealthy {
		enter = core.Unhealthy
	}
	to := enter
	if h == core.Unhealthy && fails > *p.ExitUnhealthy {
		to = core.Unhealthy
	} else if (h == core.Unhealthy || h == core.Degraded) && bad > *p.ExitDegraded && enter == core.Healthy {
		to = core.Degraded
	}
	switch {
	case h == core.Unknown && to == core.Healthy && (newest != core.Pass || passes < p.Healthy):
		return h
	case h == core.Unknown:
		return to
	case newest == core.Fail && to.Severity() < h.Severity(), newest == core.Pass && to.Severity() > h.Severity():
		return h
	}
	return to
}

func randomPolicy(r *rand.Rand) core.Policy {
	if r.IntN(2) == 0 {
		unhealthy := 1 + r.IntN(5)
		return core.Policy{Healthy: 1 + r.IntN(4), Degraded: 1 + r.IntN(unhealthy), Unhealthy: unhealthy}
	}
	size := 1 + r.IntN(core.MaxWindow)
	unhealthy := 1 + r.IntN(size)
	degraded := 1 + r.IntN(unhealthy)
	return core.Policy{
		Mode: core.Windowed, Size: size, Healthy: 1 + r.IntN(3), Degraded: degraded, Unhealthy: unhealthy,
		ExitDegraded: new(r.IntN(degraded)), ExitUnhealthy: new(r.IntN(unhealthy)),
	}
}

// randomHistory favours runs of the same outcome, so that thresholds are met.
func randomHistory(r *rand.Rand, n int) []core.Outcome {
	out := make([]core.Outcome, n)
	for i := range out {
		if i > 0 && r.IntN(3) > 0 {
			out[i] = out[i-1]
		} else {
			out[i] = core.Outcome(r.IntN(4))
		}
	}
	return out
}

func TestAdvanceEqualsNaiveModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		p := randomPolicy(r)
		if err := p.Validate().Err(); err != nil {
			t.Fatalf("seed %d: policy %+v: %v", seed, p, err)
		}
		history := randomHistory(r, 1+r.IntN(150))
		var s core.Standing
		for i, o := range history {
			before := s
			s = core.Advance(s, p, runOf(i, o))
			if o == core.Error && s.Health != before.Health {
				t.Fatalf("seed %d, run %d: an error moved health from %v to %v", seed, i, before.Health, s.Health)
			}
			if want := naive(p, history[:i+1]); s.Health != want {
				t.Fatalf("seed %d: health after %v under %+v is %v, want %v", seed, history[:i+1], p, s.Health, want)
			}
			if moved := s.Health != before.Health; moved != s.Since.Equal(runOf(i, o).Ended) && i > 0 {
				t.Fatalf("seed %d, run %d: moved is %v and since is %v", seed, i, moved, s.Since)
			}
		}
	}
}

// An edit of the policy gives the health that the new policy would have given
// from the beginning, as long as the tally remembers the beginning.
func TestReconsiderEqualsHavingHadThePolicy(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 2))
		was, now := randomPolicy(r), randomPolicy(r)
		history := randomHistory(r, 1+r.IntN(core.MaxWindow-1))
		var s core.Standing
		for i, o := range history {
			s = core.Advance(s, was, runOf(i, o))
		}
		got := core.Reconsider(s, now, start.Add(time.Hour))
		if want := naive(now, history); got.Health != want {
			t.Fatalf("seed %d: health after %v, edited from %+v to %+v, is %v, want %v", seed, history, was, now, got.Health, want)
		}
		if same := core.Reconsider(s, was, start.Add(time.Hour)); same.Health != s.Health {
			t.Fatalf("seed %d: the same policy %+v moved health after %v from %v to %v", seed, was, history, s.Health, same.Health)
		}
	}
}

func TestReconsider(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		was, now core.Policy
		letters  string
		want     core.Health
	}{
		{"stricter", core.Policy{}, core.Policy{Degraded: 1, Unhealthy: 2}, "pff", core.Unhealthy},
		{"more lenient", core.Policy{Degraded: 1, Unhealthy: 2}, core.Policy{Degraded: 2, Unhealthy: 5}, "pfff", core.Degraded},
		{"to window", core.Policy{}, core.Policy{Mode: core.Windowed, Size: 6, Degraded: 2, Unhealthy: 3}, "pfpfpf", core.Unhealthy},
		{"nothing seen", core.Policy{}, core.Policy{Degraded: 1}, "", core.Unknown},
		{"long outage stays", core.Policy{}, core.Policy{Unhealthy: 100, Degraded: 1}, strings.Repeat("f", 120), core.Unhealthy},
		{"in the middle of hysteresis", core.Policy{Healthy: 3, Unhealthy: 3}, core.Policy{Healthy: 3, Unhealthy: 3, StaleAfter: new(9)}, "fffpff", core.Unhealthy},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, s := walk(test.was, test.letters)
			if got := core.Reconsider(s, test.now, start).Health; got != test.want {
				t.Errorf("health after %s, %v before the edit, is %v, want %v", test.letters, s.Health, got, test.want)
			}
		})
	}
}

// acceptance 8.
func TestExpireAndResume(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		letters, then string
		want          string
	}{
		{"p", "p", "h"},
		{"p", "f", "h"},
		{"pffffff", "f", "x"},
		{"pffffff", "p", "h"},
		{"pff", "w", "d"},
		{"p", "e", "s"}, // could not ask: still no news
		{"e", "w", "u"},
	} {
		t.Run(test.letters+" stale "+test.then, func(t *testing.T) {
			t.Parallel()
			_, s := walk(core.Policy{}, test.letters)
			before := s.Health
			late := start.Add(24 * time.Hour)
			s = core.Expire(s, late)
			if s.Health != core.Stale || s.Before != before || !s.Since.Equal(late) {
				t.Fatalf("after silence standing is %+v, want stale since %v and before that %v", s, late, before)
			}
			if again := core.Expire(s, late.Add(time.Hour)); !again.Since.Equal(late) || again.Before != before {
				t.Errorf("stale twice is %+v, want as it was", again)
			}
			s = core.Advance(s, core.Policy{}, runOf(10000, outcomes(test.then)[0]))
			if got := string("uhdxs"[s.Health]); got != test.want {
				t.Errorf("health after the next run is %s, want %s", got, test.want)
			}
		})
	}
}

func TestForget(t *testing.T) {
	t.Parallel()
	_, s := walk(core.Policy{}, "pffffff")
	s = core.Forget(s, start.Add(time.Hour))
	if s.Health != core.Unknown || s.Tally != (core.Tally{}) || !s.Why.IsZero() || s.LastRun != 7 {
		t.Errorf("forgotten standing is %+v, want unknown, nothing counted, and the last run", s)
	}
}

func TestPolicyValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		policy core.Policy
		path   string // of the only problem; none when empty
	}{
		{core.Policy{}, ""},
		{core.Policy{Mode: core.Windowed}, ""},
		{core.Policy{Mode: "often"}, "mode"},
		{core.Policy{Healthy: -1}, "healthy"},
		{core.Policy{StaleAfter: new(-1)}, "stale_after"},
		{core.Policy{StaleAfter: new(0)}, ""},
		{core.Policy{Degraded: 6}, "degraded"},
		{core.Policy{Size: 10}, "size"},
		{core.Policy{Mode: core.Windowed, Size: 65}, "size"},
		{core.Policy{Mode: core.Windowed, Size: 5}, "unhealthy"},
		{core.Policy{Mode: core.Windowed, ExitDegraded: new(3)}, "exit_degraded"},
		{core.Policy{Mode: core.Windowed, ExitUnhealthy: new(-1)}, "exit_unhealthy"},
	} {
		t.Run(fmt.Sprintf("%+v", test.policy), func(t *testing.T) {
			t.Parallel()
			var path string
			problems := test.policy.Validate()
			if len(problems) > 0 {
				path = problems[0].Path
			}
			if path != test.path || len(problems) > 1 {
				t.Errorf("problems are %v, want one of %q", problems, test.path)
			}
		})
	}
}
