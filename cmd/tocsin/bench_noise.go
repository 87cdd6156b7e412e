package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// pattern is a family of traces: a day of results of one check, one a minute,
// of a target that is in trouble in one way.
type pattern struct {
	Name  string
	Quiet bool              // it is not worth a message
	Known map[string]string // messages a day of others on the trace as named
	// fails says whether each minute fails. Without a random source it is the
	// trace as named, with one another of the family.
	fails func(r *rand.Rand) func(minute int) bool
}

// between is a number from low to high, or usual without a random source.
func between(r *rand.Rand, low, high, usual int) int {
	if r == nil {
		return usual
	}
	return low + r.IntN(high-low+1)
}

// patterns are the families of the noise benchmark. The figures of others are
// messages a day of the trace as named: 3 failures and 2 passes as Gatus has
// them, 2 retries (Kuma), 3 of 5 (Cloudprober), for: 5m (Prometheus) and 2/5/1
// in a row (Checkstack).
func patterns() []pattern {
	known := func(gatus, kuma, cloudprober, prometheus, checkstack string) map[string]string {
		return map[string]string{"gatus": gatus, "kuma": kuma, "cloudprober": cloudprober, "prometheus": prometheus, "checkstack": checkstack}
	}
	cycle := func(down, up int, r *rand.Rand) func(int) bool {
		phase := between(r, 0, down+up-1, 0)
		return func(i int) bool { return (i+phase)%(down+up) < down }
	}
	return []pattern{
		{Name: "alternating", Known: known("0", "0", "1435", "0", "0"), fails: func(r *rand.Rand) func(int) bool { return cycle(1, 1, r) }},
		{Name: "1 fail in 3", Known: known("0", "0", "0", "0", "0"), fails: func(r *rand.Rand) func(int) bool { return cycle(1, 2, r) }},
		{Name: "2 fails, 2 passes", Known: known("0", "0", "717", "0", "719"), fails: func(r *rand.Rand) func(int) bool { return cycle(2, 2, r) }},
		{Name: "one blip an hour", Quiet: true, Known: known("0", "0", "0", "0", "0"), fails: func(r *rand.Rand) func(int) bool {
			at := make([]int, 24)
			for i := range at {
				at[i] = between(r, 0, 59, 30)
			}
			return func(i int) bool { return at[i/60%24] == i%60 }
		}},
		{Name: "random 50 %", Known: known("134", "170", "270", "22", "379"), fails: func(r *rand.Rand) func(int) bool {
			if r == nil {
				r = rand.New(rand.NewPCG(1, 1)) //nolint:gosec // a trace, and the same each time
			}
			return func(int) bool { return r.IntN(2) == 0 }
		}},
		{Name: "one 30-minute outage", Known: known("2", "2", "2", "2", "3"), fails: func(r *rand.Rand) func(int) bool {
			begin, long := between(r, 1, 1300, 600), between(r, 15, 60, 30)
			return func(i int) bool { return i >= begin && i < begin+long }
		}},
		{Name: "10 min down, 10 min up", Known: known("143", "143", "143", "143", "215"), fails: func(r *rand.Rand) func(int) bool {
			return cycle(between(r, 6, 15, 10), between(r, 6, 15, 10), r)
		}},
	}
}

// What a preset must do on every pattern.
const (
	mostMessages = 5  // a day
	mostResults  = 12 // from the beginning of a trouble until it is told of
	dayResults   = 1440
	restResults  = 120 // good ones after the day, in which every problem recovers
)

// heard is what came of one trace.
type heard struct {
	Messages int  `json:"messages"`    // within the day
	After    int  `json:"after"`       // results from the first failure to the first message; 0 when there was none
	Open     int  `json:"unrecovered"` // problems that were told of and whose end was not
	OK       bool `json:"ok"`
}

// hearTrace plays one trace through a rule with the default health policy.
func hearTrace(ctx context.Context, rule core.Rule, fails func(int) bool, quiet bool) (heard, error) {
	begin := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	var runs bytes.Buffer
	first := -1
	for i := range dayResults + restResults {
		outcome := core.Pass
		if i < dayResults && fails(i) {
			outcome = core.Fail
			if first < 0 {
				first = i
			}
		}
		fmt.Fprintf(&runs, "{\"at\": %q, \"system\": \"web\", \"outcome\": %q}\n", begin.Add(time.Duration(i)*time.Minute).Format(time.RFC3339), outcome)
	}
	var out bytes.Buffer
	in := rules.ReplayInput{Check: core.Check{ID: "http", Every: core.Duration(time.Minute)}, Rules: []core.Rule{rule}, Runs: &runs}
	if err := rules.Replay(ctx, in, &out); err != nil {
		return heard{}, err
	}
	var got heard
	for scan := bufio.NewScanner(&out); scan.Scan(); {
		var line struct {
			Kind string    `json:"kind"`
			At   time.Time `json:"at"`
		}
		if err := json.Unmarshal(scan.Bytes(), &line); err != nil {
			return heard{}, fmt.Errorf("read what was replayed: %w", err)
		}
		minute := int(line.At.Sub(begin) / time.Minute)
		switch line.Kind {
		case "firing":
			got.Open++
			if got.After == 0 {
				got.After = minute - first + 1
			}
		case "recover":
			got.Open--
		default:
			continue
		}
		if minute < dayResults {
			got.Messages++
		}
	}
	got.OK = got.Open == 0 && got.Messages <= mostMessages && (got.After > 0 && got.After <= mostResults) != quiet
	return got, nil
}

// noise is a line of the noise benchmark: a pattern, and what came of its
// traces with one preset.
type noise struct {
	Pattern  string            `json:"pattern"`
	Traces   int               `json:"traces"` // the one as named, and random ones of its family
	Named    heard             `json:"named"`
	Messages int               `json:"most_messages"`
	After    int               `json:"latest_after"`
	Missed   []uint64          `json:"missed_seeds"` // of the traces that missed the goal; 0 is the one as named
	Known    map[string]string `json:"others"`
}

// measureNoise plays every pattern as named and with random seeds from 1.
func measureNoise(ctx context.Context, preset string, seeds int) ([]noise, error) {
	rule := core.Rule{ID: "noise", On: []core.Trigger{{Event: "run.failed"}}, Gate: core.Gate{Preset: preset}, Do: []core.Step{}}
	out := make([]noise, 0, 7)
	for _, p := range patterns() {
		n := noise{Pattern: p.Name, Known: p.Known, Missed: []uint64{}}
		for seed := range uint64(seeds) + 1 { //nolint:gosec // it is not negative
			var r *rand.Rand
			if seed > 0 {
				r = rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // traces, and the same each time
			}
			got, err := hearTrace(ctx, rule, p.fails(r), p.Quiet)
			if err != nil {
				return nil, err
			}
			if seed == 0 {
				n.Named = got
			}
			n.Traces++
			n.Messages, n.After = max(n.Messages, got.Messages), max(n.After, got.After)
			if !got.OK {
				n.Missed = append(n.Missed, seed)
			}
		}
		out = append(out, n)
	}
	return out, nil
}

func newBenchNoise(s streams) *cobra.Command {
	var preset, output string
	seeds := 20
	cmd := &cobra.Command{
		Use:   "noise",
		Short: "Count the messages that a gate makes of targets in trouble",
		Long: fmt.Sprintf(`Plays a day of one-minute results of targets in trouble through the default policy
and a rule on run.failed with a preset, with the code of tocsin replay, and counts
the messages: firings and recoveries. Besides each trace as it is named, it plays
others of its family with random seeds. The figures of others are for the traces
as named.

The goal: every pattern but the blip is told of within %d results of its
beginning, with at most %d messages a day, and each problem is followed by its
recovery. Exits with 1 when a trace as named misses it.`, mostResults, mostMessages),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usageError{fmt.Errorf("-o %q: write table or json", output)}
			}
			if seeds < 0 || seeds > 10_000 {
				return usageError{fmt.Errorf("--seeds %d: write 0 to 10000", seeds)}
			}
			got, err := measureNoise(cmd.Context(), preset, seeds)
			if err != nil {
				return err
			}
			if err := printNoise(s.out, preset, output, got); err != nil {
				return err
			}
			for _, n := range got {
				if !n.Named.OK {
					return fmt.Errorf("preset %s misses the goal on %s", preset, n.Pattern)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&preset, "preset", "steady", "preset of the gate")
	cmd.Flags().IntVar(&seeds, "seeds", seeds, "random traces of each family")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func printNoise(out io.Writer, preset, output string, all []noise) error {
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"version": build(), "preset": preset, "patterns": all})
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "MESSAGES A DAY\tTHIS\tTOLD AFTER\tOF ITS FAMILY: MOST\tLATEST\tMISSED\tGATUS\tKUMA\tCLOUDPROBER\tPROMETHEUS\tCHECKSTACK")
	after := func(results int) string {
		if results == 0 {
			return "never"
		}
		return fmt.Sprintf("%d results", results)
	}
	for _, n := range all {
		fmt.Fprintf(table, "%s\t%d\t%s\t%d\t%s\t%d of %d", n.Pattern, n.Named.Messages, after(n.Named.After), n.Messages, after(n.After), len(n.Missed), n.Traces)
		for _, other := range []string{"gatus", "kuma", "cloudprober", "prometheus", "checkstack"} {
			fmt.Fprintf(table, "\t%s", n.Known[other])
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
