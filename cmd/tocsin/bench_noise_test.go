package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNoiseBenchmark holds the preset steady to its goal, on the traces as they
// are named and on others of their families: every pattern but the blip is told
// of within 12 results, in at most 5 messages a day, and each problem recovers.
func TestNoiseBenchmark(t *testing.T) {
	t.Parallel()
	got := run(t, "bench", "noise", "--seeds", "3", "-o", "json")
	if got.code != 0 {
		t.Fatalf("bench noise: exit code %d, %s", got.code, got.err)
	}
	var report struct {
		Patterns []struct {
			Pattern      string
			Traces       int
			Named        struct{ Messages, After int }
			Others       map[string]string
			MostMessages int      `json:"most_messages"`
			LatestAfter  int      `json:"latest_after"`
			MissedSeeds  []uint64 `json:"missed_seeds"`
		}
	}
	if err := json.Unmarshal([]byte(got.out), &report); err != nil { //nolint:musttag // names of a figure are those of its fields
		t.Fatal(err)
	}
	if len(report.Patterns) != 7 {
		t.Errorf("%d patterns, want 7", len(report.Patterns))
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Patterns {
		told := fmt.Sprintf("%d results", p.Named.After)
		if p.Named.After == 0 {
			told = "never"
		}
		row := fmt.Sprintf("| %s | %d | %s |", p.Pattern, p.Named.Messages, told)
		for _, other := range []string{"gatus", "kuma", "cloudprober", "prometheus", "checkstack"} {
			row += " " + p.Others[other] + " |"
		}
		if !strings.Contains(strings.ReplaceAll(string(page), " (blind)", ""), row) {
			t.Errorf("rules.md has no row %s", row)
		}
		if p.Traces != 4 || len(p.MissedSeeds) > 0 || p.MostMessages > 5 || p.LatestAfter > 12 {
			t.Errorf("%s: %+v, want 4 traces that all meet the goal", p.Pattern, p)
		}
		if blip := p.Pattern == "one blip an hour"; blip != (p.Named.Messages == 0) || blip != (p.Named.After == 0) {
			t.Errorf("%s: %d messages, the first after %d results", p.Pattern, p.Named.Messages, p.Named.After)
		}
	}
	// A preset that cannot meet it says so.
	if got := run(t, "bench", "noise", "--seeds", "0", "--preset", "prometheus"); got.code != 1 || got.err != "tocsin: preset prometheus misses the goal on alternating\n" {
		t.Errorf("bench noise --preset prometheus: exit code %d, %q", got.code, got.err)
	}
	if got := run(t, "bench", "noise", "--seeds", "0", "--preset", "stedy"); got.code != 1 || !strings.Contains(got.err, `did you mean "steady"?`) {
		t.Errorf("bench noise --preset stedy: exit code %d, %q", got.code, got.err)
	}
}
