package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

func newSilence(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "silence",
		Short: "Keep rules quiet for a while about what you name",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSilenceAdd(s), newSilenceList(s), newSilenceExpire(s))
	return cmd
}

// silenceURL is an address in the API.
func silenceURL(more ...string) string {
	return strings.Join(append([]string{"/api/v1/silences"}, more...), "/")
}

// silenceFlags say what a silence is about and for how long.
type silenceFlags struct {
	id, name, comment, until           string
	systems, tags, groups, checks, rls []string
	span                               core.Duration
	dryRun                             bool
}

func newSilenceAdd(s streams) *cobra.Command {
	var f serverFlags
	var o silenceFlags
	cmd := &cobra.Command{
		Use:   "add [EXPR]... --comment TEXT [--for 2h | --until TIME]",
		Short: "Silence what is named, and say what that is now",
		Long: `Silences rules that say "unless: silenced" about everything that all of the
expressions and flags are true of. Expressions see system, check, group and rule:

  tocsin silence add 'system.tags.env == "prod"' 'rule.id matches "^page-"' \
      --for 2h --comment "new switch in rack 4"
  tocsin silence add --system web-01 --check disk --for 1d --comment "disk is on order"

Values of one flag are alternatives. It prints which systems it matches now, which
rules it holds back, and which go on because they do not look at silences.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			silence, err := o.silence(args, time.Now())
			if err != nil {
				return usageError{fmt.Errorf("silence add: %w", err)}
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			text, err := json.Marshal(silence)
			if err != nil {
				return fmt.Errorf("write the silence: %w", err)
			}
			var preview core.SilencePreview
			if err := c.do(cmd.Context(), http.MethodPost, silenceURL("preview"), "application/json", bytes.NewReader(text), &preview); err != nil {
				return err
			}
			if !o.dryRun {
				var stored wire.Stored[core.Silence]
				if err := c.do(cmd.Context(), http.MethodPost, silenceURL(), "application/json", bytes.NewReader(text), &stored); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "%s until %s\n", stored.Object.ID, instant(&stored.Object.Ends))
			}
			return printPreview(s.out, preview)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.id, "id", "", "identity; default one that is made up")
	flags.StringVar(&o.name, "name", "", "what people call it")
	flags.StringVar(&o.comment, "comment", "", "why, for everybody who wonders")
	flags.StringSliceVar(&o.systems, "system", nil, "ids of systems")
	flags.StringSliceVar(&o.tags, "tag", nil, "tags of systems, KEY=VALUE; all must be there")
	flags.StringSliceVar(&o.groups, "group", nil, "groups that systems are part of")
	flags.StringSliceVar(&o.checks, "check", nil, "ids of checks: rules on assignments and runs only")
	flags.StringSliceVar(&o.rls, "rule", nil, "ids of rules")
	flags.Var(durationFlag{&o.span}, "for", "how long, from now")
	flags.StringVar(&o.until, "until", "", "until this instant, RFC 3339")
	flags.BoolVar(&o.dryRun, "dry-run", false, "only say what it would match")
	f.add(cmd)
	return cmd
}

// silence is what the flags and expressions ask for.
func (o *silenceFlags) silence(exprs []string, now time.Time) (core.Silence, error) {
	out := core.Silence{ID: o.id, Name: o.name, Comment: o.comment, Systems: core.Selector{Names: o.systems}}
	switch {
	case strings.TrimSpace(o.comment) == "":
		return out, errors.New("say why with --comment")
	case (o.span > 0) == (o.until != ""):
		return out, errors.New("say how long with either --for or --until")
	case o.span > 0:
		out.Ends = now.Add(o.span.Std()).UTC().Truncate(time.Second)
	default:
		at, err := time.Parse(time.RFC3339, o.until)
		if err != nil {
			return out, fmt.Errorf("--until %q: write an instant, for example %s", o.until, now.UTC().Add(2*time.Hour).Format(time.RFC3339))
		}
		out.Ends = at
	}
	match := slices.Clone(exprs)
	if len(exprs) > 1 {
		for i := range match {
			match[i] = "(" + match[i] + ")"
		}
	}
	for _, tag := range o.tags {
		key, value, ok := strings.Cut(tag, "=")
		if !ok || key == "" {
			return out, fmt.Errorf("--tag %q: write KEY=VALUE", tag)
		}
		match = append(match, "system.tags["+strconv.Quote(key)+"] == "+strconv.Quote(value))
	}
	if len(o.groups) > 0 {
		match = append(match, "any(system.groups, # in "+list(o.groups)+")")
	}
	if len(o.checks) > 0 {
		match = append(match, "check.id in "+list(o.checks))
	}
	if len(o.rls) > 0 {
		match = append(match, "rule.id in "+list(o.rls))
	}
	out.Match = strings.Join(match, " && ")
	if out.Match == "" && len(o.systems) == 0 {
		return out, errors.New("name what to silence: an expression, --system, --tag, --group, --check or --rule")
	}
	return out, nil
}

// list is texts as expr writes them.
func list(texts []string) string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = strconv.Quote(text)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

func printPreview(out io.Writer, p core.SilencePreview) error {
	some := func(ids []string) string {
		const most = 8
		if len(ids) == 0 {
			return "none"
		}
		if len(ids) > most {
			return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ", "), len(ids)-most)
		}
		return strings.Join(ids, ", ")
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	least := ""
	if p.Partly {
		least = "at least "
	}
	matches := fmt.Sprintf("%s%d of %d systems", least, len(p.Systems), p.Total)
	if len(p.Systems) > 0 {
		matches += ": " + some(p.Systems)
	}
	fmt.Fprintf(table, "matches\t%s\n", printable(matches))
	fmt.Fprintf(table, "holds back\t%s\n", printable(some(p.Rules)))
	if len(p.Deaf) > 0 {
		fmt.Fprintf(table, "goes on\t%s: write \"unless: silenced\" into these rules to hold them back too\n", printable(some(p.Deaf)))
	}
	return table.Flush()
}

func newSilenceList(s streams) *cobra.Command {
	var f serverFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the silences that have not ended",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var page wire.Page[wire.Stored[core.Silence]]
			if err := c.do(cmd.Context(), http.MethodGet, silenceURL(), "", nil, &page); err != nil {
				return err
			}
			return printSilences(s.out, page.Items, all, time.Now())
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "those that have ended too")
	f.add(cmd)
	return cmd
}

func printSilences(out io.Writer, items []wire.Stored[core.Silence], all bool, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSTATE\tENDS\tBY\tMATCHES\tCOMMENT")
	for _, it := range items {
		silence := it.Object
		state := "on"
		switch {
		case !silence.Ends.After(now):
			state = "ended"
		case silence.Starts.After(now):
			state = "from " + instant(&silence.Starts)
		}
		if state == "ended" && !all {
			continue
		}
		var what []string
		for _, part := range []string{strings.Join(silence.Systems.Names, ","), silence.Systems.Match, silence.Match} {
			if part != "" {
				what = append(what, part)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", silence.ID, state, instant(&silence.Ends), cell(it.By), cell(strings.Join(what, " && ")), cell(silence.Comment))
	}
	return table.Flush()
}

// cell is a text that fits into a table.
func cell(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		return r
	}, printable(strings.ReplaceAll(text, "\n", " ")))
}

func newSilenceExpire(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "expire ID",
		Short: "End a silence now: what it held back is offered again",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var stored wire.Stored[core.Silence]
			if err := c.do(cmd.Context(), http.MethodPost, silenceURL(url.PathEscape(args[0]), "expire"), "", nil, &stored); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s ended %s\n", stored.Object.ID, instant(&stored.Object.Ends))
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// keepSilences is how long a silence is kept after it ended.
const keepSilences = 30 * 24 * time.Hour

// quiet is what keeps rules quiet: silences and acknowledgements.
type quiet struct {
	catalog store.Catalog
	service *plan.Service
	open    func() map[string]bool // episodes
}

// forget deletes the silences that ended long ago, and the acknowledgements of
// episodes that have closed.
func (q quiet) forget(ctx context.Context, now time.Time) error {
	objects, _, err := q.catalog.Objects(ctx, store.Silences, store.Acknowledgements)
	if err != nil {
		return fmt.Errorf("list silences: %w", err)
	}
	var old []plan.Ref
	open := q.open()
	for _, o := range objects {
		var s core.Silence
		switch {
		case o.Kind == store.Acknowledgements && !open[o.ID] && now.Sub(o.Updated) > time.Hour,
			o.Kind == store.Silences && json.Unmarshal(o.Body, &s) == nil && s.Ends.Before(now.Add(-keepSilences)):
			old = append(old, plan.Ref{Kind: o.Kind, ID: o.ID})
		}
	}
	if len(old) == 0 {
		return nil
	}
	_, problems, err := q.service.Apply(ctx, plan.Changes{Delete: old}, plan.ApplyOptions{By: "retention", Now: now})
	if err == nil {
		err = problems.Err()
	}
	return err
}
