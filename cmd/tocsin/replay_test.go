package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
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
