package core

import (
	"fmt"
	"math/bits"
	"strconv"
	"time"
)

// Mode is how a Policy counts.
type Mode string

// The values of Mode.
const (
	Consecutive Mode = "consecutive" // so many in a row
	Windowed    Mode = "window"      // so many among the newest Size
)

// Policy holds the thresholds that turn outcomes into Health, in both
// directions: health stays what it was until the threshold of another state is
// met. Zero fields are the defaults of [Policy.WithDefaults].
type Policy struct {
	Mode          Mode `json:"mode,omitempty" doc:"consecutive or window; default consecutive"`
	Healthy       int  `json:"healthy,omitempty" doc:"consecutive: passes in a row to be healthy; default 1"`
	Degraded      int  `json:"degraded,omitempty" doc:"fails (or warns) to be degraded; default 2, of a window 3"`
	Unhealthy     int  `json:"unhealthy,omitempty" doc:"fails to be unhealthy; default 5, of a window 7"`
	Size          int  `json:"size,omitempty" doc:"window: how many of the newest runs count; default 10, at most 64"`
	ExitDegraded  *int `json:"exit_degraded,omitempty" doc:"window: at most this many fails to be healthy again; default one less than degraded"`
	ExitUnhealthy *int `json:"exit_unhealthy,omitempty" doc:"window: at most this many fails to be unhealthy no longer; default one less than unhealthy"`
	StaleAfter    *int `json:"stale_after,omitempty" doc:"intervals without a recorded run until stale; default 3, 0 never"`
}

// MaxWindow is the greatest Size of a Policy: the runs whose outcome a
// Standing remembers.
const MaxWindow = 64

// WithDefaults is p with every zero field filled in.
func (p Policy) WithDefaults() Policy {
	or := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	if p.Mode == "" {
		p.Mode = Consecutive
	}
	or(&p.Healthy, 1)
	if p.Mode == Windowed {
		or(&p.Size, 10)
		or(&p.Degraded, 3)
		or(&p.Unhealthy, 7)
	} else {
		or(&p.Degraded, 2)
		or(&p.Unhealthy, 5)
	}
	if p.ExitDegraded == nil {
		p.ExitDegraded = new(p.Degraded - 1)
	}
	if p.ExitUnhealthy == nil {
		p.ExitUnhealthy = new(p.Unhealthy - 1)
	}
	if p.StaleAfter == nil {
		p.StaleAfter = new(3)
	}
	return p
}

// same reports whether p and q mean the same.
func (p Policy) same(q Policy) bool {
	p, q = p.WithDefaults(), q.WithDefaults()
	return p.Mode == q.Mode && p.Healthy == q.Healthy && p.Degraded == q.Degraded && p.Unhealthy == q.Unhealthy && p.Size == q.Size &&
		*p.ExitDegraded == *q.ExitDegraded && *p.ExitUnhealthy == *q.ExitUnhealthy && *p.StaleAfter == *q.StaleAfter
}

// Validate reports what is wrong with p, with paths relative to it.
func (p Policy) Validate() Problems {
	var out Problems
	bad := func(path, message, fix string) {
		out = append(out, Problem{Path: path, Code: "policy", Message: message, Fix: fix})
	}
	if p.Mode != "" && p.Mode != Consecutive && p.Mode != Windowed {
		bad("mode", fmt.Sprintf("%q is not a mode", p.Mode), `write "consecutive" or "window"`)
		return out
	}
	for _, field := range []struct {
		path  string
		value int
	}{{"healthy", p.Healthy}, {"degraded", p.Degraded}, {"unhealthy", p.Unhealthy}, {"size", p.Size}} {
		if field.value < 0 {
			bad(field.path, fmt.Sprintf("%d is negative", field.value), "write a count of runs, 1 or more")
		}
	}
	if p.StaleAfter != nil && *p.StaleAfter < 0 {
		bad("stale_after", fmt.Sprintf("%d is negative", *p.StaleAfter), "write a count of intervals, 0 for never")
	}
	if len(out) == 0 {
		p.checkThresholds(bad)
	}
	return out
}

// checkThresholds reports through bad which thresholds contradict each other.
func (p Policy) checkThresholds(bad func(path, message, fix string)) {
	full := p.WithDefaults()
	if full.Degraded > full.Unhealthy {
		bad("degraded", fmt.Sprintf("degraded (%d) is more than unhealthy (%d), so degraded could not be reached", full.Degraded, full.Unhealthy),
			"lower degraded or raise unhealthy")
	}
	if full.Mode == Consecutive {
		for _, f := range []struct {
			path string
			set  bool
		}{{"size", p.Size != 0}, {"exit_degraded", p.ExitDegraded != nil}, {"exit_unhealthy", p.ExitUnhealthy != nil}} {
			if f.set {
				bad(f.path, "has no meaning in mode consecutive", "write mode: window, or remove it")
			}
		}
		return
	}
	if full.Size > MaxWindow {
		bad("size", fmt.Sprintf("%d is more than %d runs", full.Size, MaxWindow), "")
	}
	if full.Unhealthy > full.Size {
		bad("unhealthy", fmt.Sprintf("unhealthy (%d) is more than size (%d), so it could not be reached", full.Unhealthy, full.Size), "")
	}
	if *full.ExitDegraded < 0 || *full.ExitDegraded >= full.Degraded {
		bad("exit_degraded", fmt.Sprintf("%d must be from 0 to degraded - 1 (%d)", *full.ExitDegraded, full.Degraded-1), "")
	}
	if *full.ExitUnhealthy < 0 || *full.ExitUnhealthy >= full.Unhealthy {
		bad("exit_unhealthy", fmt.Sprintf("%d must be from 0 to unhealthy - 1 (%d)", *full.ExitUnhealthy, full.Unhealthy-1), "")
	}
}

// Tally counts the outcomes that health is derived from. It is kept whatever
// the mode, so that an edit of the Policy can be re-evaluated from it.
type Tally struct {
	Fails   uint32 `json:"fails"`   // fails in a row
	Bad     uint32 `json:"bad"`     // fails and warns in a row
	Passes  uint32 `json:"passes"`  // passes in a row
	NotFail uint32 `json:"notfail"` // passes and warns in a row
	Seen    uint8  `json:"seen"`    // runs in the bits, at most MaxWindow
	FailBit uint64 `json:"failbit"` // newest run in bit 0
	WarnBit uint64 `json:"warnbit"`
}

// Add is t after one more outcome. Error changes nothing.
func (t Tally) Add(o Outcome) Tally {
	if o == Error {
		return t
	}
	t.FailBit <<= 1
	t.WarnBit <<= 1
	t.Seen = min(t.Seen+1, MaxWindow)
	switch o {
	case Pass:
		t.Fails, t.Bad = 0, 0
		t.Passes, t.NotFail = inc(t.Passes), inc(t.NotFail)
	case Warn:
		t.Fails, t.Passes = 0, 0
		t.Bad, t.NotFail = inc(t.Bad), inc(t.NotFail)
		t.WarnBit |= 1
	case Fail:
		t.Passes, t.NotFail = 0, 0
		t.Fails, t.Bad = inc(t.Fails), inc(t.Bad)
		t.FailBit |= 1
	case Error:
	}
	return t
}

func inc(n uint32) uint32 {
	if n == 1<<32-1 {
		return n
	}
	return n + 1
}

// Window counts among the newest size runs the fails, and the fails and warns.
func (t Tally) Window(size int) (fails, bad int) {
	mask := ^uint64(0)
	if size < MaxWindow {
		mask = 1<<uint(max(size, 0)) - 1
	}
	return bits.OnesCount64(t.FailBit & mask), bits.OnesCount64((t.FailBit | t.WarnBit) & mask)
}

// Standing is what is known of one Assignment.
type Standing struct {
	Health  Health    `json:"health"`
	Since   time.Time `json:"since" doc:"in this health since"`
	Before  Health    `json:"before" doc:"while stale: what it was"`
	Tally   Tally     `json:"tally"`
	LastRun int64     `json:"last_run,omitempty"`
	LastAt  time.Time `json:"last_at" doc:"end of the newest recorded run"`
	LastWas Outcome   `json:"last_was"`
	Why     Why       `json:"why,omitzero" doc:"reason of the newest run that did not pass, while it matters"`
	Problem Why       `json:"problem,omitzero" doc:"why we could not ask; empty when the newest run had a verdict"`
}

// Advance is standing after run, under policy. It is the only function by
// which a Run moves the Health of an Assignment.
//
// A Run older than the newest one recorded counts all the same: runs of one
// Assignment never overlap, so the order of recording is the order of ending.
// The caller gives the Run its ID.
func Advance(s Standing, p Policy, run *Run) Standing {
	if s.Since.IsZero() {
		s.Since = run.Ended
	}
	s.LastRun, s.LastAt, s.LastWas = run.ID, run.Ended, run.Outcome
	if run.Outcome == Error {
		s.Problem = run.Why
		return s
	}
	s.Problem = Why{}
	s.Tally = s.Tally.Add(run.Outcome)
	if run.Outcome != Pass {
		s.Why = run.Why
	}
	was := s.Health
	if was == Stale {
		was = s.Before
	}
	s = s.become(derive(was, s.Tally, p.WithDefaults(), run.Outcome), run.Ended)
	if s.Health == Healthy && run.Outcome == Pass {
		s.Why = Why{} // a blip that moved nothing
	}
	return s
}

// Reconsider is standing after an edit of its policy: the health that it would
// have if the policy had been in force during the runs that the tally
// remembers, the newest [MaxWindow] with a verdict. When it remembers all runs
// there were, that is exact; else health is taken to have been what it is now
// before the oldest of them.
func Reconsider(s Standing, p Policy, now time.Time) Standing {
	if s.Health == Stale || s.Tally.Seen == 0 {
		return s // the next run decides by the new policy
	}
	p = p.WithDefaults()
	h := Unknown
	if s.Tally.Seen == MaxWindow {
		h = s.Health
	}
	var t Tally
	for i := int(s.Tally.Seen) - 1; i >= 0; i-- {
		o := s.Tally.outcome(i)
		if t = t.Add(o); i == 0 {
			t = s.Tally // counts further back
		}
		h = derive(h, t, p, o)
	}
	return s.become(h, now)
}

// outcome of the run that came i before the newest; i is less than t.Seen.
func (t Tally) outcome(i int) Outcome {
	switch {
	case t.FailBit>>i&1 == 1:
		return Fail
	case t.WarnBit>>i&1 == 1:
		return Warn
	}
	return Pass
}

// Expire is standing after silence: Stale.
func Expire(s Standing, now time.Time) Standing {
	if s.Health == Stale {
		return s
	}
	s.Before = s.Health
	return s.become(Stale, now)
}

// Forget is standing of an Assignment that is watched no longer: Unknown, with
// nothing counted, so that it begins anew when it is enabled again.
func Forget(s Standing, now time.Time) Standing {
	return Standing{Since: s.Since, LastRun: s.LastRun, LastAt: s.LastAt, LastWas: s.LastWas, Health: s.Health}.become(Unknown, now)
}

func (s Standing) become(h Health, at time.Time) Standing {
	if h == s.Health {
		return s
	}
	s.Health, s.Since = h, at
	if h != Stale {
		s.Before = Unknown
	}
	if h == Healthy {
		s.Why = Why{}
	}
	return s
}

// derive finds the state whose threshold is met.
func derive(was Health, t Tally, p Policy, newest Outcome) Health {
	to := deriveRow
	if p.Mode == Windowed {
		to = deriveWindow
	}
	return guard(was, to(was, t, p), newest)
}

// guard is to, unless the newest outcome speaks against it. A failing run never
// improves health and a passing one never worsens it: the tally may hold older
// runs that count towards another state.
func guard(was, to Health, newest Outcome) Health {
	worse := to.Severity() > was.Severity()
	switch {
	case was == Unknown && to == Healthy && newest != Pass:
		return was // green must be earned
	case was != Unknown && newest == Fail && !worse:
		return was
	case newest == Pass && worse && was != Unknown:
		return was
	}
	return to
}

func deriveRow(was Health, t Tally, p Policy) Health {
	switch {
	case reached(t.Fails, p.Unhealthy):
		return Unhealthy
	case reached(t.Passes, p.Healthy):
		return Healthy
	case reached(t.Bad, p.Degraded):
		if was == Unhealthy && !reached(t.NotFail, p.Healthy) {
			return was
		}
		return Degraded
	}
	return was
}

func deriveWindow(was Health, t Tally, p Policy) Health {
	fails, bad := t.Window(p.Size)
	switch {
	case fails >= p.Unhealthy, was == Unhealthy && fails > *p.ExitUnhealthy:
		return Unhealthy
	case bad >= p.Degraded, (was == Unhealthy || was == Degraded) && bad > *p.ExitDegraded:
		return Degraded
	case was == Unknown && !reached(t.Passes, p.Healthy):
		return was
	}
	return Healthy
}

func reached(count uint32, threshold int) bool { return int64(count) >= int64(threshold) }

// Progress says in words how far the tally is from the next state, for people
// who ask why health did not move.
func (s Standing) Progress(p Policy) string {
	p = p.WithDefaults()
	if p.Mode == Windowed {
		fails, bad := s.Tally.Window(p.Size)
		return fmt.Sprintf("%d of the newest %d runs failed, %d warned; degraded at %d, unhealthy at %d",
			fails, min(int(s.Tally.Seen), p.Size), bad-fails, p.Degraded, p.Unhealthy)
	}
	switch {
	case s.Tally.Fails > 0:
		return runs(s.Tally.Fails) + " failed in a row; degraded at " + strconv.Itoa(p.Degraded) + ", unhealthy at " + strconv.Itoa(p.Unhealthy)
	case s.Tally.Bad > 0:
		return runs(s.Tally.Bad) + " failed or warned in a row; degraded at " + strconv.Itoa(p.Degraded)
	case s.Tally.Passes > 0:
		return runs(s.Tally.Passes) + " passed in a row; healthy at " + strconv.Itoa(p.Healthy)
	}
	return "no run yet"
}

func runs(n uint32) string {
	if n == 1 {
		return "1 run"
	}
	return strconv.FormatUint(uint64(n), 10) + " runs"
}
