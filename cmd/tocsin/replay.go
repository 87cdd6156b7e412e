package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
	"github.com/tocsin-io/tocsin/rules"
)

func newReplay(s streams) *cobra.Command {
	var checks, ruleFiles []string
	var runs, until string
	cmd := &cobra.Command{
		Use:   "replay --runs FILE [--check FILE] [--rule FILE]",
		Short: "Play recorded results through a check's policy and through rules, without a server",
		Long: `Reads one JSON object a line, {"at": RFC 3339, "system": ID, "outcome":
"pass|warn|fail|error"}, and writes one a line: each transition, decision, firing
and recovery, in order of time. The code is the one that runs live; nothing is
sent. Without --check the default policy applies.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runs == "" {
				return usageError{fmt.Errorf("replay: name the results with --runs, or - for standard input")}
			}
			if runs == "-" && slices.Contains(append(checks, ruleFiles...), "-") {
				return usageError{errors.New("replay: standard input can be one of --runs, --check and --rule only")}
			}
			in, err := replayInput(append(checks, ruleFiles...), until, s.in)
			if err != nil {
				return err
			}
			in.Runs = s.in
			if runs != "-" {
				file, err := os.Open(runs) //nolint:gosec // the file that the user named
				if err != nil {
					return err
				}
				defer file.Close() //nolint:errcheck // it was only read
				in.Runs = file
			}
			return rules.Replay(cmd.Context(), in, s.out)
		},
	}
	cmd.Flags().StringArrayVar(&checks, "check", nil, "manifest with the Check, and Systems if rules look at tags")
	cmd.Flags().StringArrayVar(&ruleFiles, "rule", nil, "manifest with Rules; may be repeated")
	cmd.Flags().StringVar(&runs, "runs", "", "results, one JSON object a line; - for standard input")
	cmd.Flags().StringVar(&until, "until", "", "follow timers until this instant (RFC 3339); default the last result plus the longest timer")
	return cmd
}

// replayInput reads the manifests of a replay.
func replayInput(files []string, until string, stdin io.Reader) (rules.ReplayInput, error) {
	in := rules.ReplayInput{Check: core.Check{ID: "check"}} // unless one is given
	if until != "" {
		t, err := time.Parse(time.RFC3339Nano, until)
		if err != nil {
			return in, usageError{fmt.Errorf("--until %q is not an instant such as 2026-11-23T10:00:00Z", until)}
		}
		in.Until = t
	}
	if len(files) == 0 {
		return in, nil
	}
	items, problems, err := decodeFiles(files, stdin)
	if err != nil {
		return in, err
	}
	found := false
	var kept []manifest.Item
	for _, it := range items {
		kept = append(kept, it)
		switch o := it.Object.(type) {
		case *core.Check:
			if found {
				problems = append(problems, it.Locate(core.Problem{Path: "metadata.name", Code: "replay", Message: "a replay has one check, this is another", Fix: "keep the one that made the results"}))
				continue
			}
			found, in.Check = true, *o
		case *core.Rule:
			in.Rules = append(in.Rules, *o)
		case *core.System:
			in.Systems = append(in.Systems, *o)
		case *core.Channel: // nothing is sent
		default:
			problems = append(problems, it.Locate(core.Problem{Code: "replay", Message: "a " + it.Kind + " has no place in a replay", Fix: "remove it"}))
		}
	}
	return in, append(problems, examineForReplay(kept)...).Err()
}

// examineForReplay leaves out what a replay does not need of a check: who it
// is for, when it runs and what it collects.
func examineForReplay(items []manifest.Item) core.Problems {
	var out core.Problems
	var rest []manifest.Item
	for _, it := range items {
		check, ok := it.Object.(*core.Check)
		if !ok {
			rest = append(rest, it)
			continue
		}
		for _, p := range check.Policy.Validate().Under("policy") {
			out = append(out, it.Locate(p))
		}
	}
	return append(out, examine(rest)...)
}
