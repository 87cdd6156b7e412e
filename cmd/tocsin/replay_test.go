package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// monday is when the runs of replays begin.
var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// results writes one result a minute.
func results(n int, outcome func(i int) string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"at\": %q, \"system\": \"web-01\", \"outcome\": %q}\n", monday.Add(time.Duration(i)*time.Minute).Format(time.RFC3339), outcome(i))
	}
	return b.String()
}

// failing fails from a minute on, and passes again from another.
func failing(from, to int) func(int) string {
	return func(i int) string {
		if i >= from && i < to {
			return "fail"
		}
		return "pass"
	}
}

// played is a line of what replay writes.
type played struct {
	Kind    string       `json:"kind"`
	At      time.Time    `json:"at"`
	Subject core.Subject `json:"subject"`
	To      string       `json:"to"`
	Verdict string       `json:"verdict"`
	Stage   string       `json:"stage"`
	Episode string       `json:"episode"`
}

// brief is a replay in one line for each, by minute.
func brief(t *testing.T, out string) string {
	t.Helper()
	var b strings.Builder
	for _, l := range lines(t, out) {
		if l.Subject.Kind == core.OfAssignment {
			continue // the same as its system
		}
		text := fmt.Sprint(l.At.Sub(monday), " ", l.Kind)
		for _, more := range []string{l.To, l.Verdict, l.Stage} {
			if more != "" && l.Kind != "firing" && l.Kind != "recover" {
				text += " " + more
			}
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

func lines(t *testing.T, out string) []played {
	t.Helper()
	var all []played
	for d := json.NewDecoder(strings.NewReader(out)); d.More(); {
		var l played
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%v in\n%s", err, out)
		}
		all = append(all, l)
	}
	return all
}

const replayCheck = `apiVersion: tocsin/v1
kind: Check
metadata: {name: up}
spec:
  systems: [web-01]
  every: 1m
  collect: [{use: tcp, with: {address: "web-01:80"}}]
  policy: {degraded: 1, unhealthy: 1}
`

const replayRule = `apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.changed
  when: to != "healthy"
  gate: {for: 5m}
  do:
    - log: {message: "${system.name} is ${to}"}
`

// TestReplay plays one outage of ten minutes.
func TestReplay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "check.yaml", replayCheck)
	write(t, dir, "rule.yaml", replayRule)
	write(t, dir, "both.yaml", replayCheck+"---\n"+replayRule)
	write(t, dir, "runs.jsonl", results(30, failing(10, 20)))
	const policyOnly = "0s transition healthy\n10m0s transition unhealthy\n20m0s transition healthy\n"
	const untilDeadline = "0s transition healthy\n0s decision healthy drop when\n10m0s transition unhealthy\n10m0s decision unhealthy hold dwell\n"
	const withRule = untilDeadline + "15m0s decision unhealthy fire firing\n15m0s firing\n" +
		"20m0s transition healthy\n20m0s decision healthy recover firing\n20m0s recover\n20m0s decision healthy drop when\n"
	for _, tt := range []struct{ name, args, want string }{
		{"neither", "", "0s transition healthy\n11m0s transition degraded\n14m0s transition unhealthy\n20m0s transition healthy\n"},
		{"check", "--check check.yaml", policyOnly},
		{"check and rule", "--check check.yaml --rule rule.yaml", withRule},
		{"both in one file", "--rule both.yaml", withRule},
		{"until before the deadline", "--rule both.yaml --until 2026-01-05T00:14:59Z", untilDeadline},
		{"until long after the last", "--check check.yaml --until 2026-01-05T01:00:00Z", policyOnly + "32m1s transition stale\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := command{args: append([]string{"replay", "--runs", "runs.jsonl"}, strings.Fields(tt.args)...), dir: dir}.run(t)
			if text := brief(t, got.out); got.code != 0 || got.err != "" || text != tt.want {
				t.Errorf("exit code %d, errors %q, played\n%s\nwant\n%s", got.code, got.err, text, tt.want)
			}
		})
	}
	in := command{args: []string{"replay", "--runs", "-"}, in: results(3, failing(0, 3))}.run(t)
	if text := brief(t, in.out); in.code != 0 || text != "1m0s transition degraded\n" {
		t.Errorf("from standard input: %+v", in)
	}
}

// TestReplayRefuses gives input that cannot be played.
func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "check.yaml", replayCheck)
	write(t, dir, "wrong.yaml", strings.Replace(replayRule, "health.changed", "health.chnaged", 1))
	write(t, dir, "policy.yaml", strings.Replace(replayCheck, "degraded: 1", "degraded: 3", 1))
	write(t, dir, "other.yaml", strings.Replace(replayCheck, "name: up", "name: other", 1))
	write(t, dir, "maintenance.yaml", "apiVersion: tocsin/v1\nkind: Maintenance\nmetadata: {name: m}\nspec: {systems: [a], starts: 2026-01-05T00:00:00Z, ends: 2026-01-05T01:00:00Z}\n")
	good := results(2, failing(0, 0))
	for _, tt := range []struct{ name, args, in, want string }{
		{"not JSON", "", good + "pass\n", "tocsin: replay: runs line 3: invalid character 'p' looking for beginning of value\n"},
		{"cut off", "", good + `{"at": `, "tocsin: replay: runs line 3: not a JSON object: it ends too early\n"},
		{
			"unknown outcome", "", good + `{"at": "2026-01-05T00:02:00Z", "system": "web-01", "outcome": "ok"}`,
			`tocsin: replay: runs line 3: "ok" is not an outcome; one of pass, warn, fail, error` + "\n",
		},
		{
			"unknown field", "", good + `{"at": "2026-01-05T00:02:00Z", "system": "web-01", "result": "pass"}`,
			`tocsin: replay: runs line 3: unknown field "result"; there are at, system, outcome, samples and summary` + "\n",
		},
		{
			"time goes back", "", good + good,
			"tocsin: replay: runs line 3: at 2026-01-05T00:00:00Z is before the line above, 2026-01-05T00:01:00Z\n",
		},
		{"no time", "", `{"system": "web-01", "outcome": "pass"}`, `tocsin: replay: runs line 1: "at" is missing; write an RFC 3339 time` + "\n"},
		{
			"wrong rule", "--rule wrong.yaml", good,
			`wrong.yaml:5:7: spec.on[0].event: "health.chnaged" is not a trigger; did you mean "health.changed"?` + "\n",
		},
		{
			"wrong policy", "--check policy.yaml", good,
			"policy.yaml:8:22: spec.policy.degraded: degraded (3) is more than unhealthy (1), so degraded could not be reached; lower degraded or raise unhealthy\n",
		},
		{"two checks", "--check check.yaml --check other.yaml", good, "other.yaml:3:18: metadata.name: a replay has one check, this is another; keep the one that made the results\n"},
		{"maintenance", "--rule maintenance.yaml", good, "maintenance.yaml:1:1: a Maintenance has no place in a replay; remove it\n"},
		{"no file", "--check none.yaml", good, "tocsin: stat none.yaml: no such file or directory\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := command{args: append([]string{"replay", "--runs", "-"}, strings.Fields(tt.args)...), dir: dir, in: tt.in}.run(t)
			if got.code != 1 || got.err != tt.want {
				t.Errorf("exit code %d, want 1; errors\n%s\nwant\n%s", got.code, got.err, tt.want)
			}
		})
	}
	run(t, "replay", "--runs", "none.jsonl").wants(t, "no runs", 1, "", "tocsin: open none.jsonl: no such file or directory\n")
}

// TestReplayDeterministic plays the same thing twice: every byte is the same.
func TestReplayDeterministic(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "both.yaml", replayCheck+"---\n"+replayRule)
	write(t, dir, "runs.jsonl", results(300, func(i int) string { return []string{"pass", "fail"}[i/7%2] }))
	c := command{args: []string{"replay", "--runs", "runs.jsonl", "--rule", "both.yaml"}, dir: dir}
	one, two := c.run(t), c.run(t)
	if one.code != 0 || len(one.out) == 0 || !bytes.Equal([]byte(one.out), []byte(two.out)) {
		t.Errorf("played twice: %d and %d bytes, exit code %d", len(one.out), len(two.out), one.code)
	}
}

// The documented flap gate, for every change for the worse.
const flapGate = `apiVersion: tocsin/v1
kind: Rule
metadata: {name: flapping}
spec:
  on: health.changed
  when: to != "healthy"
  gate: {window: {count: 3, within: 10m, quiet: 30m}}
  do:
    - log: {message: "${system.name} is ${to}"}
  recover:
    - log: {message: "${system.name} is ${health}"}
`

// steadyMix is the mix of policy and gate that docs/rules.md names for this.
func steadyMix(t *testing.T) string {
	t.Helper()
	for _, d := range documents(t) {
		for _, b := range d.of("yaml") {
			if d.name == "rules.md" && strings.Contains(b.text, "metadata: {name: steady}") {
				return b.text
			}
		}
	}
	t.Fatal("rules.md has no rule named steady")
	return ""
}

// traces are the seven of the noise benchmark: which of 1,440 results, one a
// minute, fail.
func traces() []trace {
	random := rand.New(rand.NewPCG(1, 2))
	coin := make([]bool, 1440)
	for i := range coin {
		coin[i] = random.IntN(2) == 0
	}
	return []trace{
		{"alternating", func(i int) bool { return i%2 == 1 }},
		{"1 fail in 3", func(i int) bool { return i%3 == 2 }},
		{"2 fails, 2 passes", func(i int) bool { return i%4 >= 2 }},
		{"one blip an hour", func(i int) bool { return i%60 == 30 }},
		{"random 50 %", func(i int) bool { return coin[i] }},
		{"one 30-minute outage", func(i int) bool { return i >= 600 && i < 630 }},
		{"10 min down, 10 min up", func(i int) bool { return i%20 >= 10 }},
	}
}

type trace struct {
	name string
	fail func(i int) bool
}

// TestNoise plays the noise benchmark through the real binary: how many
// messages a day people get.
func TestNoise(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	flap, steady := write(t, dir, "flap.yaml", flapGate), write(t, dir, "steady.yaml", steadyMix(t))
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	table := string(page)
	mostFlap := []int{0, 0, 1, 0, 29, 0, 0} // the gate by itself is blind to what the default policy does not see
	for i, tr := range traces() {
		began := 0
		for !tr.fail(began) {
			began++
		}
		runs := write(t, dir, fmt.Sprintf("%d.jsonl", i), results(1440, func(i int) string {
			if tr.fail(i) {
				return "fail"
			}
			return "pass"
		}))
		loud, _ := messages(t, runs, flap)
		quiet, first := messages(t, runs, steady)
		after, told := first-began+1, fmt.Sprintf("%d results", first-began+1)
		if quiet == 0 {
			after, told = 0, "never"
		}
		t.Logf("%-24s flap gate %3d messages a day; steady %d, first told after: %s", tr.name, loud, quiet, told)
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %s \| %d( \([^|]+\))? \| %d \| %s \|$`, regexp.QuoteMeta(tr.name), loud, quiet, told))
		if !row.MatchString(table) {
			t.Errorf("rules.md has no row %s", row)
		}
		if loud > mostFlap[i] {
			t.Errorf("%s, flap gate: %d messages, want at most %d", tr.name, loud, mostFlap[i])
		}
		if quiet > 5 {
			t.Errorf("%s, steady: %d messages, want at most 5", tr.name, quiet)
		}
		if blip := tr.name == "one blip an hour"; blip != (quiet == 0) {
			t.Errorf("%s, steady: %d messages, want none for a blip and some for anything else", tr.name, quiet)
		}
		if after > 12 {
			t.Errorf("%s, steady: reported after %d results, want within 12", tr.name, after)
		}
	}
}

// messages plays a day and counts firings and recoveries, and says at which
// result the first came. It checks that every episode that fired and closed
// recovered once, and that one which did not is still open at the end.
func messages(t *testing.T, runs, rule string) (n, first int) {
	t.Helper()
	got := run(t, "replay", "--runs", runs, "--rule", rule, "--until", monday.Add(1440*time.Minute).Format(time.RFC3339))
	if got.code != 0 {
		t.Fatalf("replay: %s", got.err)
	}
	fired, recovered, order := map[string]int{}, map[string]int{}, []string{}
	for _, l := range lines(t, got.out) {
		switch l.Kind {
		case "firing":
			if n == 0 {
				first = int(l.At.Sub(monday) / time.Minute)
			}
			fired[l.Episode]++
			order = append(order, l.Episode)
			n++
		case "recover":
			if recovered[l.Episode]++; recovered[l.Episode] > fired[l.Episode] {
				t.Errorf("episode %s recovered without having fired", l.Episode)
			}
			n++
		}
	}
	for i, episode := range order {
		if fired[episode] != 1 || recovered[episode] > 1 || recovered[episode] == 0 && i < len(order)-1 {
			t.Errorf("episode %s fired %d times and recovered %d times", episode, fired[episode], recovered[episode])
		}
	}
	return n, first
}
