package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/web/wire"
)

func newReplayRun(s streams) *cobra.Command {
	var f serverFlags
	var o replayRunOptions
	cmd := &cobra.Command{
		Use:   "replay-run [RUN]",
		Short: "Repeat a recorded run of a module on this machine, bit for bit, reaching nothing",
		Long: `Fetches what a run of a module depended on and the file that ran, and repeats the
run here in the sandbox: every answer of a host comes from the recording. Prints
what it logged and computed, and whether it is the same. Exits with 1 when it is
not. With --file another build of the module meets the same answers; then the
first call that differs is named.

--save keeps the recording, so that --recording and --file replay it without a
server.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && o.recording == "":
				return usageError{errors.New("replay-run: name a run, or a recording with --recording")}
			case len(args) == 1 && o.recording != "":
				return usageError{errors.New("replay-run: name a run or --recording, not both")}
			case o.recording != "" && o.file == "":
				return usageError{errors.New("replay-run: --recording needs --file, the module that is to run")}
			}
			if len(args) == 1 {
				id, err := strconv.ParseInt(args[0], 10, 64)
				if err != nil || id < 1 {
					return usageError{fmt.Errorf("replay-run %q: a run is a number, as in the address of its page", args[0])}
				}
				o.run = id
			}
			return o.replay(cmd.Context(), f, s)
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&o.step, "step", "", "id of the step; may be left out when only one has a recording")
	cmd.Flags().StringVar(&o.file, "file", "", "replay with this module instead of the one that ran")
	cmd.Flags().StringVar(&o.recording, "recording", "", "replay this recording instead of one of a server")
	cmd.Flags().StringVar(&o.save, "save", "", "write the recording to this file")
	return cmd
}

// replayRunOptions are the flags of replay-run.
type replayRunOptions struct {
	run                         int64
	step, file, recording, save string
}

func (o replayRunOptions) replay(ctx context.Context, f serverFlags, s streams) error {
	rec, file, err := o.load(ctx, f)
	if err != nil {
		return err
	}
	if o.save != "" {
		text, err := json.MarshalIndent(rec, "", "  ")
		if err != nil {
			return fmt.Errorf("write the recording: %w", err)
		}
		if err := os.WriteFile(o.save, append(text, '\n'), 0o600); err != nil {
			return fmt.Errorf("write the recording: %w", err)
		}
	}
	host, err := localHost(s) //nolint:contextcheck // it waits for nothing
	if err != nil {
		return err
	}
	defer host.Close(ctx) //nolint:errcheck // the process ends
	name := rec.Module + "@" + rec.Version
	if o.file != "" {
		name = o.file
	}
	report, err := replayRun(ctx, host, name, file, rec)
	if err != nil {
		return err
	}
	if err := printReplay(s.out, report); err != nil {
		return err
	}
	if !report.Identical {
		return errors.New("the replay is not what was recorded")
	}
	return nil
}

// load reads the recording and the file to run.
func (o replayRunOptions) load(ctx context.Context, f serverFlags) (rec core.Recording, file []byte, err error) {
	if o.file != "" {
		if file, err = readModule(o.file, nil); err != nil {
			return rec, nil, err
		}
	}
	if o.recording != "" {
		text, err := os.ReadFile(o.recording)
		if err != nil {
			return rec, nil, err
		}
		if err := json.Unmarshal(text, &rec); err != nil {
			return rec, nil, fmt.Errorf("%s is not a recording: %w", o.recording, err)
		}
		return rec, file, nil
	}
	c, err := f.client()
	if err != nil {
		return rec, nil, err
	}
	step, err := o.recorded(ctx, c)
	if err != nil {
		return rec, nil, err
	}
	if err := c.do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/runs/%d/recordings/%s", o.run, url.PathEscape(step)), "", nil, &rec); err != nil {
		return rec, nil, err
	}
	if file != nil {
		return rec, file, nil
	}
	path := fmt.Sprintf("/api/v1/modules/%s/versions/%s/file", url.PathEscape(rec.Module), url.PathEscape(rec.Version))
	err = c.do(ctx, http.MethodGet, path, "", nil, &file)
	return rec, file, err
}

// recorded is the step to replay: the one that is named, or the only one.
func (o replayRunOptions) recorded(ctx context.Context, c *client) (string, error) {
	if o.step != "" {
		return o.step, nil
	}
	var run core.Run
	if err := c.do(ctx, http.MethodGet, fmt.Sprintf("/api/v1/runs/%d", o.run), "", nil, &run); err != nil {
		return "", err
	}
	var ids []string
	for _, step := range run.Steps {
		if step.Replay {
			ids = append(ids, step.ID)
		}
	}
	switch len(ids) {
	case 0:
		return "", fmt.Errorf("run %d has no recording: the newest of an assignment are kept, of the runs that sampling of the check names", o.run)
	case 1:
		return ids[0], nil
	}
	return "", usageError{fmt.Errorf("run %d has recordings of %q: name one with --step", o.run, ids)}
}

// replayRun repeats a run with the module in file, which is called name.
func replayRun(ctx context.Context, host *wasm.Host, name string, file []byte, rec core.Recording) (wire.ReplayReport, error) {
	result, r, err := host.Replay(ctx, file, rec)
	if err != nil {
		return wire.ReplayReport{}, err
	}
	report := wire.ReplayReport{
		Module: name, Recorded: rec.Module + "@" + rec.Version, Identical: r.Same, Outcome: result.Outcome, Was: rec.Outcome,
		Why: result.Why, Summary: result.Summary, Samples: result.Samples, SameOutput: r.Output, Diverged: r.Diverged,
		Logs: result.Logs, Fuel: r.Fuel, FuelWas: r.Recorded,
	}
	if r.Diverged != "" {
		report.DivergedAt = r.Calls + 1
	}
	if result.Usage != nil {
		report.Usage = *result.Usage
	}
	return report, nil
}

func printReplay(out io.Writer, r wire.ReplayReport) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	same := "identical: the same output, the same end and the same instructions"
	switch {
	case r.Diverged != "":
		same = fmt.Sprintf("differs at call %d: %s", r.DivergedAt, r.Diverged)
	case !r.SameOutput:
		same = "differs: it wrote something else"
	case !r.Identical:
		same = "differs in how it ended or in what it computed"
	}
	fmt.Fprintf(table, "replay\t%s\n", printable(same))
	fmt.Fprintf(table, "module\t%s, recorded was %s\n", printable(r.Module), printable(r.Recorded))
	fmt.Fprintf(table, "outcome\t%s, recorded was %s\n", r.Outcome, r.Was)
	if r.Why.Text != "" {
		fmt.Fprintf(table, "why\t%s\n", printable(r.Why.Text))
	}
	fmt.Fprintf(table, "instructions\t%d, recorded were %d\n", r.Fuel, r.FuelWas)
	for _, l := range r.Logs {
		fmt.Fprintf(table, "log\t%s %s\n", l.Level, printable(l.Text))
	}
	return table.Flush()
}
