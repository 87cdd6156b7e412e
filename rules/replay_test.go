package rules_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// line is what the tests read of a line of replay.
type line struct {
	Kind    string       `json:"kind"`
	At      time.Time    `json:"at"`
	ID      any          `json:"id"`
	To      core.Health  `json:"to"`
	Subject core.Subject `json:"subject"`
	Verdict string       `json:"verdict"`
	Episode string       `json:"episode"`
}

func replay(t *testing.T, in rules.ReplayInput) []line {
	t.Helper()
	var out bytes.Buffer
	if err := rules.Replay(t.Context(), in, &out); err != nil {
		t.Fatalf("replay: %v", err)
	}
	var lines []line
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("line %s: %v", text, err)
		}
		lines = append(lines, l)
	}
	if !slices.IsSortedFunc(lines, func(a, b line) int { return a.At.Compare(b.At) }) {
		t.Errorf("the output is not in order of time:\n%s", out.String())
	}
	return lines
}

func brief(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		if l.Kind == "transition" && l.Subject.Kind != core.OfSystem || l.Kind == "decision" {
			continue
		}
		fmt.Fprintf(&b, "%s %s", l.At.Format("15:04:05"), l.Kind)
		if l.Kind == "transition" {
			fmt.Fprintf(&b, " %s", l.To)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func outages() core.Check {
	return core.Check{ID: "api", Every: core.Duration(time.Minute)}
}

func runLine(at time.Time, outcome string) string {
	return fmt.Sprintf(`{"at": %q, "system": "web-01", "outcome": %q}`+"\n", at.Format(time.RFC3339Nano), outcome)
}

func TestReplayFiresTimersBetweenAndAfterTheInputs(t *testing.T) {
	t.Parallel()
	var runs strings.Builder
	for i, o := range "pfffffppfffff" {
		outcome := map[rune]string{'p': "pass", 'f': "fail"}[o]
		runs.WriteString(runLine(day.Add(time.Duration(i)*time.Minute), outcome))
	}
	rule := core.Rule{ID: "page", On: []core.Trigger{{Event: "health.changed", When: `to != "healthy"`}}, Gate: core.Gate{For: core.Duration(90 * time.Second)}}
	in := rules.ReplayInput{Check: outages(), Rules: []core.Rule{rule}, Runs: strings.NewReader(runs.String())}
	got := brief(replay(t, in))
	want := `00:00:00 transition healthy
00:02:00 transition degraded
00:03:30 firing
00:05:00 transition unhealthy
00:06:00 transition healthy
00:06:00 recover
00:09:00 transition degraded
00:10:30 firing
00:12:00 transition unhealthy
`
	if got != want {
		t.Errorf("replay:\n%s\nwant:\n%s", got, want)
	}
	in.Runs, in.Until = strings.NewReader(runs.String()), day.Add(20*time.Minute)
	if got, want := brief(replay(t, in)), want+"00:15:01 transition stale\n"; got != want {
		t.Errorf("replay until 00:20: silence after the last run is staleness:\n%s\nwant:\n%s", got, want)
	}
}

func TestReplayTakesAGapForStaleness(t *testing.T) {
	t.Parallel()
	runs := runLine(day, "pass") + runLine(day.Add(10*time.Minute), "pass")
	got := brief(replay(t, rules.ReplayInput{Check: outages(), Runs: strings.NewReader(runs)}))
	if want := "00:00:00 transition healthy\n00:03:01 transition stale\n00:10:00 transition healthy\n"; got != want {
		t.Errorf("replay with a gap:\n%s\nwant:\n%s", got, want)
	}
}

func TestReplayNamesTheLineThatIsWrong(t *testing.T) {
	t.Parallel()
	good := runLine(day, "pass")
	for _, c := range []struct{ bad, want string }{
		{`{"at": "2026-01-05T00:01:00Z", "system": "web-01", "outcome": "ok"}`, `runs line 2: "ok" is not an outcome`},
		{`{"system": "web-01", "outcome": "pass"}`, `runs line 2: "at" is missing`},
		{`{"at": "2026-01-05T00:01:00Z", "outcome": "pass"}`, `runs line 2: "system" is missing`},
		{`{"at": "2026-01-05T00:01:00Z", "system": "web-01"}`, `runs line 2: "outcome" is missing`},
		{`{"at": "2026-01-05T00:01:00Z", "system": "web-01", "outcome": "pass", "extra": 1}`, `runs line 2: unknown field "extra"`},
		{`{"at": "2026-01-04T00:01:00Z", "system": "web-01", "outcome": "pass"}`, `runs line 2: at 2026-01-04T00:01:00Z is before the line above`},
		{`{"at": "yesterday", "system": "web-01", "outcome": "pass"}`, `runs line 2: `},
		{`{"at": "2026-01-05T00:01:00Z", "system": "a:b", "outcome": "pass"}`, `runs line 2: system: `},
		{`{"at": `, `runs line 2: not a JSON object`},
	} {
		err := rules.Replay(t.Context(), rules.ReplayInput{Check: outages(), Runs: strings.NewReader(good + c.bad + "\n")}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("replay of %s: got %v, want %s", c.bad, err, c.want)
		}
	}
}

// TestNoise plays the seven traces of the noise benchmark through the default
// policy and the flap gate, and through a policy over a window with a dwell,
// and holds both to bounds. Each problem that fires must recover.
func TestNoise(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	traces := []struct {
		name string
		fail func(i int) bool
	}{
		{"alternating", func(i int) bool { return i%2 == 1 }},
		{"1 fail in 3", func(i int) bool { return i%3 == 2 }},
		{"2 fails, 2 passes", func(i int) bool { return i%4 >= 2 }},
		{"one blip an hour", func(i int) bool { return i%60 == 30 }},
		{"random 50 %", func(int) bool { return random.IntN(2) == 0 }},
		{"one 30-minute outage", func(i int) bool { return i >= 600 && i < 630 }},
		{"10 min down, 10 min up", func(i int) bool { return i%20 >= 10 }},
	}
	steady := core.Policy{Mode: core.Windowed, Size: 12, Degraded: 3, Unhealthy: 9, ExitDegraded: new(0), ExitUnhealthy: new(6)}
	setups := []struct {
		name   string
		policy core.Policy
		rules  []core.Rule
		most   []int // messages by trace
	}{
		{"default policy, flap gate", core.Policy{}, []core.Rule{{
			ID: "flap", On: []core.Trigger{{Event: "health.changed"}}, When: `to != "healthy"`,
			Gate: core.Gate{Window: &core.Window{Count: 3, Within: core.Duration(10 * time.Minute), Quiet: core.Duration(30 * time.Minute)}},
		}}, []int{0, 0, 2, 0, 120, 0, 2}},
		{"default policy, page after 5m", core.Policy{}, []core.Rule{{
			ID: "page", On: []core.Trigger{{Event: "health.changed"}}, When: `to != "healthy"`, Gate: core.Gate{For: core.Duration(5 * time.Minute)},
		}}, []int{0, 0, 1, 0, 60, 2, 144}},
		{"steady: window policy, degraded at 3 of 12", steady, []core.Rule{{
			ID: "page", On: []core.Trigger{{Event: "health.changed"}}, When: `to != "healthy"`, Gate: core.Gate{Cooldown: core.Duration(time.Hour)},
		}}, []int{1, 1, 1, 0, 5, 2, 1}},
	}
	for _, s := range setups {
		for i, trace := range traces {
			fired, recovered, first := noise(t, s.policy, s.rules, trace.fail)
			t.Logf("%-44s %-24s %3d messages, first after %d results", s.name, trace.name, fired+recovered, first)
			if n := fired + recovered; n > s.most[i] {
				t.Errorf("%s, %s: %d messages, want at most %d", s.name, trace.name, n, s.most[i])
			}
			if fired-recovered < 0 || fired-recovered > 1 {
				t.Errorf("%s, %s: %d fired and %d recovered", s.name, trace.name, fired, recovered)
			}
		}
	}
}

// noise plays a day of one-minute results and counts messages. First is how
// many results after the first failure it was reported, -1 for never.
func noise(t *testing.T, policy core.Policy, list []core.Rule, fail func(int) bool) (fired, recovered, first int) {
	t.Helper()
	check := outages()
	check.Policy = policy
	var runs strings.Builder
	began, first := -1, -1
	for i := range 1440 {
		outcome := "pass"
		if fail(i) {
			outcome = "fail"
			if began < 0 {
				began = i
			}
		}
		runs.WriteString(runLine(day.Add(time.Duration(i)*time.Minute), outcome))
	}
	for _, l := range replay(t, rules.ReplayInput{Check: check, Rules: list, Runs: strings.NewReader(runs.String())}) {
		switch l.Kind {
		case "firing":
			fired++
			if first < 0 {
				first = int(l.At.Sub(day)/time.Minute) - began + 1
			}
		case "recover":
			recovered++
		}
	}
	return fired, recovered, first
}
