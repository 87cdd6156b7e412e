package main

import (
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
	"github.com/tocsin-io/tocsin/web/wire"
)

func newRule(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rule",
		Short: "Ask why rules decide as they do",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRuleExplain(s))
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
