package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
	"github.com/tocsin-io/tocsin/web/wire"
)

func newRule(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rule",
		Short: "Ask why rules decide as they do, and what they would have done",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRuleExplain(s), newRuleBacktest(s), newRuleTest(s), newRuleTemplate(s))
	return cmd
}

// ruleURL is the address of a rule in the API.
func ruleURL(id string, more ...string) string {
	return "/api/v1/rules/" + strings.Join(append([]string{url.PathEscape(id)}, more...), "/")
}

func newRuleExplain(s streams) *cobra.Command {
	var f serverFlags
	var system, check, group string
	cmd := &cobra.Command{
		Use:   "explain RULE [--system SYSTEM [--check CHECK] | --group GROUP]",
		Short: "Say why a rule does, or does not, fire for a system, and when it could",
		Long: `Says how a rule stands to a system now: what each stage says of its newest change,
with the value of every part of a condition, which stage stands in the way, what
must happen for the rule to fire, and the earliest it could if nothing changes.

With RULE alone it lists what the rule waits for.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if check != "" && system == "" || group != "" && system != "" {
				return usageError{errors.New("explain: name --system, --system and --check, or --group")}
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			if system == "" && group == "" {
				var states wire.Page[wire.RuleState]
				if err := c.do(cmd.Context(), http.MethodGet, ruleURL(args[0], "state"), "", nil, &states); err != nil {
					return err
				}
				return printStates(s.out, args[0], states.Items)
			}
			query := url.Values{}
			for name, value := range map[string]string{"system": system, "check": check, "group": group} {
				if value != "" {
					query.Set(name, value)
				}
			}
			var x core.Explanation
			if err := c.do(cmd.Context(), http.MethodGet, ruleURL(args[0], "explain")+"?"+query.Encode(), "", nil, &x); err != nil {
				return err
			}
			return printExplanation(s.out, x)
		},
	}
	cmd.Flags().StringVar(&system, "system", "", "of this system")
	cmd.Flags().StringVar(&check, "check", "", "of the assignment of this check to the system")
	cmd.Flags().StringVar(&group, "group", "", "of this group")
	f.add(cmd)
	return cmd
}

func printStates(out io.Writer, rule string, states []wire.RuleState) error {
	if len(states) == 0 {
		fmt.Fprintf(out, "%s waits for nothing\n", rule)
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PARTITION\tSTATE\tFIRED\tNEXT")
	for _, state := range states {
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\n", printable(state.Partition), printable(state.Text), state.Fired, instant(state.NextAt))
	}
	return table.Flush()
}

// instant is a time for people, a dash when there is none.
func instant(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

func printExplanation(out io.Writer, x core.Explanation) error {
	fmt.Fprintln(out, printable(x.Text))
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if x.Need != "" {
		fmt.Fprintf(table, "needs\t%s\n", printable(x.Need))
	}
	if x.NextAt != nil {
		fmt.Fprintf(table, "next\t%s, if nothing changes\n", instant(x.NextAt))
	}
	health := x.Health.String()
	if x.Since != nil {
		health += " since " + instant(x.Since)
	}
	fmt.Fprintf(table, "health\t%s\n", health)
	if x.Demands != "" {
		fmt.Fprintf(table, "gate\t%s\n", printable(x.Demands))
	}
	if x.Episode != "" {
		fmt.Fprintf(table, "episode\t%s, fired %d\n", printable(x.Episode), x.Fired)
	}
	for _, p := range x.Problems {
		fmt.Fprintf(table, "problem\t%s\n", printable(p.Error()))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	printStages(out, x.Stages)
	if len(x.Decisions) > 0 {
		fmt.Fprintln(out, "\nbefore:")
	}
	for _, d := range x.Decisions {
		text := ""
		for _, r := range d.Stages {
			if r.Stage == d.Stage {
				text = r.Text
			}
		}
		fmt.Fprintf(out, "  %s  %s at %s: %s\n", d.At.UTC().Format(time.RFC3339), d.Verdict, d.Stage, printable(text))
	}
	return nil
}

// printStages writes stages in order, each with the values of its condition.
func printStages(out io.Writer, stages []core.StageResult) {
	if len(stages) > 0 {
		fmt.Fprintln(out)
	}
	for _, r := range stages {
		mark := "✓"
		if !r.OK {
			mark = "✗"
		}
		fmt.Fprintf(out, "%s %s: %s\n", mark, r.Stage, printable(r.Text))
		for _, n := range r.Nodes {
			value := "= " + n.Value
			switch {
			case n.Skipped:
				value = "was not evaluated: what stands before it decided"
			case n.Error != "":
				value = "failed: " + n.Error
			}
			fmt.Fprintf(out, "    %s%s  %s\n", strings.Repeat("  ", n.Depth), printable(n.Expr), printable(value))
		}
	}
}

//nolint:gocognit // flags, and what they mean together
func newRuleBacktest(s streams) *cobra.Command {
	var f serverFlags
	var file, until string
	span := core.Duration(7 * 24 * time.Hour)
	cmd := &cobra.Command{
		Use:   "backtest [RULE | -f FILE]",
		Short: "Say when a rule would have fired, from the changes that the server has stored",
		Long: `Plays the changes of health that are stored through a rule, with the code that
runs live, and sends nothing. With a file it compares with the rule of that name
that is saved. What is not stored is not made up: the answer says what is not
known of the past and what was left out for that.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) == (file == "") {
				return usageError{errors.New("backtest: name a rule that is saved, or a file with -f")}
			}
			ask := wire.BacktestAsk{Span: span}
			if until != "" {
				t, err := time.Parse(time.RFC3339Nano, until)
				if err != nil {
					return usageError{fmt.Errorf("--until %q is not an instant such as 2026-11-23T10:00:00Z", until)}
				}
				ask.Until = &t
			}
			var locate func(core.Problem) core.Problem
			if file != "" {
				item, err := oneRule(file, s.in)
				if err != nil {
					return err
				}
				rule, _ := item.Object.(*core.Rule)
				ask.Rule, locate = *rule, item.Locate
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			if file == "" {
				var saved wire.Stored[core.Rule]
				if err := c.do(cmd.Context(), http.MethodGet, ruleURL(args[0]), "", nil, &saved); err != nil {
					return err
				}
				ask.Rule = saved.Object
			}
			out, err := c.backtest(cmd.Context(), ask, locate)
			if err != nil {
				return err
			}
			return printBacktest(s.out, ask.Rule.ID, out)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "manifest with the Rule; - for standard input")
	cmd.Flags().Var(durationFlag{&span}, "since", "how far back")
	cmd.Flags().StringVar(&until, "until", "", "end at this instant (RFC 3339); default now")
	f.add(cmd)
	return cmd
}

// oneRule reads a manifest that holds one Rule.
func oneRule(file string, stdin io.Reader) (manifest.Item, error) {
	items, problems, err := decodeFiles([]string{file}, stdin)
	if err != nil {
		return manifest.Item{}, err
	}
	if len(problems) > 0 {
		return manifest.Item{}, problems
	}
	var found []manifest.Item
	for _, it := range items {
		if _, ok := it.Object.(*core.Rule); ok {
			found = append(found, it)
		}
	}
	if len(found) != 1 {
		return manifest.Item{}, fmt.Errorf("%s holds %d rules; a backtest is of one", file, len(found))
	}
	return found[0], nil
}

// backtest asks the server. Problems are moved to where the author wrote what
// they are about.
func (c *client) backtest(ctx context.Context, ask wire.BacktestAsk, locate func(core.Problem) core.Problem) (core.Backtest, error) {
	var out core.Backtest
	err := c.send(ctx, http.MethodPost, "/api/v1/rules/backtest", ask, &out)
	if problems, ok := errors.AsType[core.Problems](err); ok && locate != nil {
		for i, p := range problems {
			p.Path = strings.TrimPrefix(p.Path, "rule.")
			problems[i] = locate(p)
		}
		return out, problems
	}
	return out, err
}

func printBacktest(out io.Writer, rule string, b core.Backtest) error {
	fmt.Fprintf(out, "%s would have fired %s from %s to %s, in %s\n", rule, times(b.Rule.Fired),
		b.From.UTC().Format(time.RFC3339), b.To.UTC().Format(time.RFC3339), counted(b.Changes, "change"))
	if b.Saved != nil {
		fmt.Fprintf(out, "as it is saved: %s\n", times(b.Saved.Fired))
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(mark string, f core.BacktestFiring) {
		what := "fire"
		if f.Recovery {
			what = "recover"
		}
		text := printable(f.Text)
		if f.Was != nil {
			text = "was at " + instant(f.Was) + ": " + text
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", mark, f.At.UTC().Format(time.RFC3339), what, f.Subject.ID, text)
	}
	if d := b.Diff; d != nil {
		fmt.Fprintf(out, "%d the same, %d at another time, %d more, %d fewer\n", d.Same, len(d.Moved), len(d.Added), len(d.Removed))
		for _, part := range []struct {
			mark string
			list []core.BacktestFiring
		}{{"+", d.Added}, {"-", d.Removed}, {"~", d.Moved}} {
			for _, f := range part.list {
				row(part.mark, f)
			}
		}
	} else {
		for _, f := range b.Rule.Firings {
			row("", f)
		}
		if b.Rule.Omitted > 0 {
			fmt.Fprintf(table, "\tand %d more\n", b.Rule.Omitted)
		}
	}
	for _, stage := range b.Rule.Stages {
		fmt.Fprintf(table, "\t%s at %s\t%d\n", stage.Verdict, stage.Stage, stage.Count)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, note := range b.Notes {
		fmt.Fprintln(out, "note: "+printable(note))
	}
	return nil
}

func counted(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func times(n int) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
