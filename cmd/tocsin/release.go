package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// releaseCommands are those about the modules of a server.
func releaseCommands(s streams) []*cobra.Command {
	return []*cobra.Command{
		newModulePush(s), newModuleList(s), newModuleShow(s), newModuleGrant(s), newModuleActivate(s), newModuleAlias(s), newModuleCanary(s),
		newModuleRollback(s), newModuleDelete(s),
	}
}

// moduleURL is the address of a module in the API.
func moduleURL(name string, more ...string) string {
	var path strings.Builder
	path.WriteString("/api/v1/modules/" + url.PathEscape(name))
	for _, part := range more {
		path.WriteString("/" + url.PathEscape(part))
	}
	return path.String()
}

// send sends v as JSON and decodes the answer.
func (c *client) send(ctx context.Context, method, path string, v, out any) error {
	if v == nil {
		return c.do(ctx, method, path, "", nil, out)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the request: %w", err)
	}
	return c.do(ctx, method, path, "application/json", bytes.NewReader(text), out)
}

// move changes a release and prints what follows.
func (c *client) move(ctx context.Context, out io.Writer, did, method, path string, v any) error {
	var effect wire.ReleaseEffect
	if err := c.send(ctx, method, path, v, &effect); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %s\n", strings.ReplaceAll(did, "{stable}", effect.Module.Stable), effect.Text)
	return nil
}

// grantFlags say what a version may reach.
type grantFlags struct{ grant, file string }

func (f *grantFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.grant, "grant", "", "as-wanted: everything that the module asks for")
	cmd.Flags().StringVar(&f.file, "grant-file", "", "JSON file with the grant, at most what the module asks for")
}

func (f *grantFlags) given() bool { return f.grant != "" || f.file != "" }

// of is the grant that the flags name for a module that wants something.
func (f *grantFlags) of(wants core.Grant) (core.Grant, error) {
	switch {
	case f.grant != "" && f.file != "":
		return core.Grant{}, usageError{errors.New("--grant and --grant-file: give one of them")}
	case f.grant != "" && f.grant != "as-wanted":
		return core.Grant{}, usageError{fmt.Errorf("--grant %q: write as-wanted, or name a file with --grant-file", f.grant)}
	case f.file == "":
		return wants, nil
	}
	text, err := os.ReadFile(f.file)
	if err != nil {
		return core.Grant{}, err
	}
	var grant core.Grant
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&grant); err != nil {
		return core.Grant{}, fmt.Errorf("%s is not a grant: %w", f.file, err)
	}
	return grant, nil
}

func newModulePush(s streams) *cobra.Command {
	var f serverFlags
	var g grantFlags
	var activate bool
	cmd := &cobra.Command{
		Use:   "push FILE",
		Short: "Upload a module to a server",
		Long: `Uploads a module and says what it wants to reach, against what the active
version may. Nothing that runs changes: a version runs when somebody has
reviewed its grant and a check names it, or --activate makes it the one that
wasm:NAME means. On a terminal it asks; elsewhere --grant or --grant-file says
what is granted.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := g.of(core.Grant{}); g.given() && err != nil {
				return err
			}
			file, err := readModule(args[0], s.in)
			if err != nil {
				return err
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			return c.push(cmd.Context(), s, file, g, activate)
		},
	}
	g.add(cmd)
	cmd.Flags().BoolVar(&activate, "activate", false, "make it the active version, with the grant")
	f.add(cmd)
	return cmd
}

// push uploads a module, and grants and activates it when it is told to.
//
//nolint:gocognit // one step after another
func (c *client) push(ctx context.Context, s streams, file []byte, g grantFlags, activate bool) error {
	var review wire.ModuleReview
	kind := "application/wasm"
	if core.KindOf(file) == core.ScriptModule {
		kind = "text/javascript"
	}
	if err := c.do(ctx, http.MethodPost, "/api/v1/modules", kind, bytes.NewReader(file), &review); err != nil {
		return err
	}
	m := review.Manifest
	if review.Active != nil && review.Active.Version == m.Version && !g.given() {
		fmt.Fprintf(s.out, "%s %s is active already\n", m.Name, m.Version)
		return nil
	}
	if g.given() || activate || !review.Granted {
		printWants(s.out, m, review.GrantDiff)
	}
	if !g.given() && (!review.Granted || activate) {
		yes, err := ask(s, "Grant what it wants"+map[bool]string{true: " and activate it"}[activate]+"?")
		if err != nil {
			return err
		}
		if !yes {
			fmt.Fprintf(s.out, "%s %s uploaded; review what it wants and activate it on the Collectors page: %s/collectors/%s\n", m.Name, m.Version, c.base, m.Name)
			if activate {
				return usageError{errors.New("it is not activated: say what is granted with --grant as-wanted or --grant-file")}
			}
			return nil
		}
	}
	if !g.given() && !activate {
		fmt.Fprintf(s.out, "%s %s is uploaded as @%d, with a grant; activate it with: tocsin module activate %s %s\n", m.Name, m.Version, review.Number, m.Name, m.Version)
		return nil
	}
	grant, err := g.of(m.Wants)
	if err != nil {
		return err
	}
	body := wire.GrantReview{Grant: grant}
	if activate {
		return c.move(ctx, s.out, fmt.Sprintf("%s %s (@%d) is active", m.Name, m.Version, review.Number), http.MethodPost, moduleURL(m.Name, "versions", m.Version, "activate"), body)
	}
	if err := c.send(ctx, http.MethodPost, moduleURL(m.Name, "versions", m.Version, "grant"), body, nil); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s %s uploaded as @%d, with a grant; activate it with: tocsin module activate %s %s\n", m.Name, m.Version, review.Number, m.Name, m.Version)
	return nil
}

// printWants says what a module wants, against what was granted before.
func printWants(out io.Writer, m core.Manifest, diff wire.GrantDiff) {
	against := "nothing is granted yet"
	if diff.Against != "" {
		against = "against version " + diff.Against
	}
	if len(diff.Changes) == 0 {
		fmt.Fprintf(out, "%s %s wants nothing more (%s)\n", m.Name, m.Version, against)
		return
	}
	fmt.Fprintf(out, "%s %s wants to reach (%s):\n", m.Name, m.Version, against)
	for _, change := range diff.Changes {
		fmt.Fprintln(out, "  "+printable(change.String()))
		if change.Danger != "" {
			fmt.Fprintln(out, "      "+printable(change.Danger))
		}
	}
}

// ask asks whoever sits at a terminal; elsewhere the answer is no.
func ask(s streams, question string) (bool, error) {
	in, ok := s.in.(*os.File)
	if !ok {
		return false, nil
	}
	if info, err := in.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 || info.Name() == "null" {
		return false, nil //nolint:nilerr // what cannot be looked at is no terminal
	}
	fmt.Fprintf(s.out, "%s [y/N] ", question)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

func newModuleList(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the modules of a server",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var page wire.Page[wire.ModuleItem]
			if err := c.do(cmd.Context(), http.MethodGet, "/api/v1/modules", "", nil, &page); err != nil {
				return err
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "NAME\tVERSION\tACTIVE\tCHECKS\tSYSTEMS")
			for _, item := range page.Items {
				for _, m := range item.Versions {
					fmt.Fprintf(table, "%s\t%s\t%t\t%d\t%d\n", m.Name, m.Version, m.Active, len(item.Checks), item.Systems)
				}
			}
			return table.Flush()
		},
	}
	f.add(cmd)
	return cmd
}

func newModuleShow(s streams) *cobra.Command {
	var f serverFlags
	var output string
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show the versions of a module: what uses them, how they do, and what changed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("-o %q: write text or json", output)}
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			var item wire.ModuleItem
			if err := c.do(cmd.Context(), http.MethodGet, moduleURL(args[0]), "", nil, &item); err != nil {
				return err
			}
			if output == "json" {
				enc := json.NewEncoder(s.out)
				enc.SetIndent("", "  ")
				return enc.Encode(item)
			}
			return printModule(s.out, item)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	f.add(cmd)
	return cmd
}

func printModule(out io.Writer, item wire.ModuleItem) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NUMBER\tVERSION\tALIASES\tGRANTED\tASSIGNMENTS\tRUNS\tERRORS\tFAILS\tP99\tPROBLEM")
	for _, v := range item.Versions {
		granted := "no"
		if !v.Granted.IsZero() {
			granted = "yes"
			if v.GrantBy != "" {
				granted = "by " + v.GrantBy
			}
		}
		names := v.Aliases
		if item.Canary != nil && item.Canary.Version == v.Version {
			names = append(names, "(canary)")
		}
		fmt.Fprintf(table, "@%d\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s ms\t%s\n", v.Number, v.Version, strings.Join(names, " "), granted, v.Assignments,
			v.Stats.Runs, v.Stats.Errors, v.Stats.Fails, strconv.FormatFloat(v.Stats.WallP99, 'g', 3, 64), printable(v.Error))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if c := item.Canary; c != nil {
		state := "runs on " + c.Share()
		if !c.Held.IsZero() {
			state = "is held: " + c.Why.Text
		}
		fmt.Fprintf(out, "canary %s %s\n", c.Version, printable(state))
	}
	for _, change := range item.Changes[:min(len(item.Changes), 5)] {
		var text strings.Builder
		fmt.Fprintf(&text, "%s %s %s", change.At.Format("2006-01-02 15:04:05"), change.By, change.Action)
		for _, part := range []struct{ word, value string }{{"from", change.From}, {"to", change.To}, {"", change.Note}} {
			if part.value != "" {
				text.WriteString(" " + strings.TrimSpace(part.word+" "+part.value))
			}
		}
		fmt.Fprintln(out, printable(text.String()))
	}
	return nil
}

// find is a version of a module by its version, number or alias.
func (c *client) find(ctx context.Context, name, version string) (wire.ModuleVersion, error) {
	var item wire.ModuleItem
	if err := c.do(ctx, http.MethodGet, moduleURL(name), "", nil, &item); err != nil {
		return wire.ModuleVersion{}, err
	}
	r := core.Release{Name: name, Stable: item.Stable, Aliases: item.Aliases}
	modules := make([]core.Module, len(item.Versions))
	for i, v := range item.Versions {
		modules[i] = v.Module
	}
	version = strings.TrimPrefix(version, "@")
	if version == core.Stable {
		version = ""
	}
	resolved, _, err := r.Resolve(version, "", modules)
	if err != nil {
		return wire.ModuleVersion{}, err
	}
	i := slices.IndexFunc(item.Versions, func(v wire.ModuleVersion) bool { return v.Version == resolved })
	if i < 0 {
		return wire.ModuleVersion{}, fmt.Errorf("%s has no version %q", name, resolved)
	}
	return item.Versions[i], nil
}

func newModuleGrant(s streams) *cobra.Command {
	var f serverFlags
	var g grantFlags
	cmd := &cobra.Command{
		Use:   "grant NAME VERSION",
		Short: "Say what a version may reach, without activating it",
		Long: `Reviews a version, so that a check can pin it, an alias can mean it or a canary
can try it. VERSION is a version, a number or an alias.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return reviewCommand(cmd.Context(), s, f, g, args, "grant", func(c *client, v wire.ModuleVersion, body wire.GrantReview) error {
				if err := c.send(cmd.Context(), http.MethodPost, moduleURL(v.Name, "versions", v.Version, "grant"), body, nil); err != nil {
					return err
				}
				fmt.Fprintf(s.out, "%s %s may run\n", v.Name, v.Version)
				return nil
			})
		},
	}
	g.add(cmd)
	f.add(cmd)
	return cmd
}

func newModuleActivate(s streams) *cobra.Command {
	var f serverFlags
	var g grantFlags
	cmd := &cobra.Command{
		Use:   "activate NAME VERSION",
		Short: "Make a version the one that wasm:NAME means",
		Long: `Activates a version, with the grant that it has or the one that is given.
VERSION is a version, a number or an alias.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return reviewCommand(cmd.Context(), s, f, g, args, "activate", func(c *client, v wire.ModuleVersion, body wire.GrantReview) error {
				return c.move(cmd.Context(), s.out, v.Name+" "+v.Version+" is active", http.MethodPost, moduleURL(v.Name, "versions", v.Version, "activate"), body)
			})
		},
	}
	g.add(cmd)
	f.add(cmd)
	return cmd
}

// reviewCommand finds a version and what it is granted: what the flags say, or
// what it has, or what somebody at a terminal agrees to.
func reviewCommand(ctx context.Context, s streams, f serverFlags, g grantFlags, args []string, what string, do func(*client, wire.ModuleVersion, wire.GrantReview) error) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	v, err := c.find(ctx, args[0], args[1])
	if err != nil {
		return err
	}
	grant, err := g.of(v.Manifest.Wants)
	if err != nil {
		return err
	}
	if what == "grant" || g.given() || v.Granted.IsZero() {
		printWants(s.out, v.Manifest, v.GrantDiff)
	}
	switch {
	case g.given():
	case what == "activate" && !v.Granted.IsZero():
		grant = v.Grant
	default:
		yes, err := ask(s, "Grant what it wants?")
		if err != nil {
			return err
		}
		if !yes {
			return usageError{fmt.Errorf("%s: say what is granted with --grant as-wanted or --grant-file", what)}
		}
	}
	return do(c, v, wire.GrantReview{Grant: grant})
}

func newModuleAlias(s streams) *cobra.Command {
	var f serverFlags
	var remove bool
	cmd := &cobra.Command{
		Use:   "alias NAME [ALIAS [VERSION]]",
		Short: "List, set or remove the aliases of a module",
		Long: `With NAME alone it lists the aliases. With a version it makes ALIAS mean it, so
that checks can use wasm:NAME@ALIAS; --delete forgets it.`,
		Args: cobra.RangeArgs(1, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			if remove && len(args) != 2 {
				return usageError{errors.New("alias --delete: write NAME and ALIAS")}
			}
			if !remove && len(args) == 2 {
				return usageError{errors.New("alias: write the version that it means, or --delete")}
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			switch {
			case remove:
				return c.move(cmd.Context(), s.out, args[0]+"@"+args[1]+" is forgotten", http.MethodDelete, moduleURL(args[0], "aliases", args[1]), nil)
			case len(args) == 3:
				body := wire.AliasPoint{Version: strings.TrimPrefix(args[2], "@")}
				return c.move(cmd.Context(), s.out, args[0]+"@"+args[1]+" is "+args[2], http.MethodPut, moduleURL(args[0], "aliases", args[1]), body)
			}
			var item wire.ModuleItem
			if err := c.do(cmd.Context(), http.MethodGet, moduleURL(args[0]), "", nil, &item); err != nil {
				return err
			}
			table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(table, "ALIAS\tVERSION")
			if item.Stable != "" {
				fmt.Fprintf(table, "%s\t%s\n", core.Stable, item.Stable)
			}
			for _, alias := range slices.Sorted(maps.Keys(item.Aliases)) {
				fmt.Fprintf(table, "%s\t%s\n", alias, item.Aliases[alias])
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&remove, "delete", false, "forget the alias")
	f.add(cmd)
	return cmd
}

func newModuleCanary(s streams) *cobra.Command {
	var f serverFlags
	var share int
	var systems []string
	var promote, abort bool
	cmd := &cobra.Command{
		Use:   "canary NAME [VERSION --percent N | --promote | --abort]",
		Short: "Try a version on a share of the assignments",
		Long: `Runs a version instead of the active one for a share of the assignments, always
the same ones, or on some systems. It is held by itself when its runs end with
Error clearly more often than those of the active version. With NAME alone it
says how the canary does.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if promote && abort || (promote || abort) && len(args) == 2 {
				return usageError{errors.New("canary: write a version, --promote or --abort")}
			}
			if len(args) == 2 && share == 0 && len(systems) == 0 {
				return usageError{errors.New("canary: say where it runs, with --percent or --system")}
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			switch {
			case promote:
				return c.move(cmd.Context(), s.out, name+" {stable} is active", http.MethodPost, moduleURL(name, "canary", "promote"), nil)
			case abort:
				return c.move(cmd.Context(), s.out, "the canary of "+name+" has ended", http.MethodDelete, moduleURL(name, "canary"), nil)
			case len(args) == 2:
				body := wire.CanaryStart{Version: strings.TrimPrefix(args[1], "@"), Percent: share, Systems: systems}
				return c.move(cmd.Context(), s.out, name+" "+args[1]+" is tried", http.MethodPut, moduleURL(name, "canary"), body)
			}
			var item wire.ModuleItem
			if err := c.do(cmd.Context(), http.MethodGet, moduleURL(name), "", nil, &item); err != nil {
				return err
			}
			return printCanary(s.out, item)
		},
	}
	cmd.Flags().IntVar(&share, "percent", 0, "share of the assignments")
	cmd.Flags().StringArrayVar(&systems, "system", nil, "a system that runs it; may be repeated")
	cmd.Flags().BoolVar(&promote, "promote", false, "make its version the active one")
	cmd.Flags().BoolVar(&abort, "abort", false, "end it; the active version runs everywhere")
	f.add(cmd)
	return cmd
}

func printCanary(out io.Writer, item wire.ModuleItem) error {
	c := item.Canary
	if c == nil {
		fmt.Fprintf(out, "%s has no canary\n", item.Name)
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "VERSION\tASSIGNMENTS\tRUNS\tERRORS\tFAILS\tP99")
	row := func(version string, assignments int, t core.Trial) {
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\n", version, assignments, t.Runs, t.Errors, t.Fails, t.P99)
	}
	row(c.Version, c.Assignments, c.Trial)
	for _, v := range item.Versions {
		if v.Active {
			row(v.Version, v.Assignments, c.Against)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !c.Held.IsZero() {
		fmt.Fprintf(out, "held: %s\n", printable(c.Why.Text))
	}
	return nil
}

func newModuleRollback(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "rollback NAME",
		Short: "Go back to the version that was active before",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			return c.move(cmd.Context(), s.out, args[0]+" {stable} is active again", http.MethodPost, moduleURL(args[0], "rollback"), nil)
		},
	}
	f.add(cmd)
	return cmd
}

func newModuleDelete(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "delete NAME VERSION",
		Short: "Delete a version that nothing uses",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.send(cmd.Context(), http.MethodDelete, moduleURL(args[0], "versions", args[1]), nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s %s is deleted\n", args[0], args[1])
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
