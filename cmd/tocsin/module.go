package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/web"
	"github.com/tocsin-io/tocsin/web/wire"
)

// compileCommand is the hidden command that the sandbox compiles modules with,
// in a process that can be ended.
const compileCommand = "compile-module"

func newModule(s streams) *cobra.Command {
	cmd := &cobra.Command{Use: "module", Short: "Look at, try and upload WebAssembly modules", Args: cobra.NoArgs}
	cmd.RunE = func(*cobra.Command, []string) error {
		return usageError{fmt.Errorf("module: write inspect, run, push, list, show, grant, activate, alias, canary, rollback or delete")}
	}
	cmd.AddCommand(newModuleInspect(s), newModuleRun(s))
	cmd.AddCommand(releaseCommands(s)...)
	return cmd
}

func newCompile(s streams) *cobra.Command {
	return &cobra.Command{
		Use: compileCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return wasm.CompileWorker(s.in, s.out) },
	}
}

// readModule reads a module, and refuses what is too large for one.
func readModule(name string, in io.Reader) ([]byte, error) {
	r := in
	if name != "-" {
		file, err := os.Open(name) //nolint:gosec // the file that the user named
		if err != nil {
			return nil, err
		}
		defer file.Close() //nolint:errcheck // it was only read
		r = file
	}
	text, err := io.ReadAll(io.LimitReader(r, web.MaxModule+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(text) > web.MaxModule {
		return nil, fmt.Errorf("%s has more than %d MiB, the most for a module", name, web.MaxModule>>20)
	}
	return text, nil
}

// localHost is a sandbox for one command.
func localHost(s streams) (*wasm.Host, error) {
	n := newNetworks()
	return wasm.New(wasm.Options{
		Log: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})), Dial: n.public.DialContext, DialPrivate: n.trusted.DialContext,
	})
}

func newModuleInspect(s streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Say what a module is, offers and wants; runs nothing but its own description",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return usageError{fmt.Errorf("-o %q: write text or json", output)}
			}
			file, err := readModule(args[0], s.in)
			if err != nil {
				return err
			}
			host, err := localHost(s)
			if err != nil {
				return err
			}
			defer host.Close(cmd.Context()) //nolint:errcheck // the process ends
			m, err := inspect(cmd.Context(), host, file)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			if output == "json" {
				enc := json.NewEncoder(s.out)
				enc.SetIndent("", "  ")
				return enc.Encode(m)
			}
			return printManifest(s.out, m, file)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func printManifest(out io.Writer, m core.Manifest, file []byte) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, printable(value))
		}
	}
	row("name", m.Name)
	row("version", m.Version)
	row("about", m.Doc)
	row("author", m.Author)
	row("abi", m.ABI)
	row("offers", strings.Join(m.Offers, ", "))
	row("size", fmt.Sprintf("%d bytes", len(file)))
	row("sha256", digest(file))
	for _, sample := range m.Samples {
		row("reports", strings.TrimSpace(sample.Name+" "+string(sample.Type)+" "+sample.Unit+" "+sample.Doc))
	}
	wants := strings.Join(m.Wants.HTTP, ", ")
	if wants == "" {
		wants = "nothing"
	}
	if m.Wants.Private {
		wants += ", also on private and loopback addresses"
	}
	row("wants to reach", wants)
	if m.Wants.Limits.Memory > 0 {
		row("wants memory", fmt.Sprintf("%d MiB", m.Wants.Limits.Memory>>20))
	}
	return table.Flush()
}

func newModuleRun(s streams) *cobra.Command {
	var input, system string
	var timeout time.Duration
	var hosts []string
	var public bool
	cmd := &cobra.Command{
		Use:   "run FILE --input JSON",
		Short: "Run a module once in the sandbox, without a server",
		Long: `Runs the module's collector with a configuration and prints the result, its logs
and what it used of its limits, as JSON. It may reach the hosts that it asks
for, or those that --allow names. Exits with 1 when the outcome is fail or error.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usageError{fmt.Errorf("--timeout %v: write more than 0", timeout)}
			}
			config, err := readInput(input)
			if err != nil {
				return err
			}
			file, err := readModule(args[0], s.in)
			if err != nil {
				return err
			}
			return moduleRun(cmd.Context(), s, file, config, system, timeout, hosts, !public)
		},
	}
	cmd.Flags().StringVar(&input, "input", "{}", "configuration as JSON, or @FILE")
	cmd.Flags().StringVar(&system, "system", "local", "id of the system that it is run for")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "deadline")
	cmd.Flags().StringArrayVar(&hosts, "allow", nil, "scheme://host:port that it may reach, instead of what it asks for; may be repeated")
	cmd.Flags().BoolVar(&public, "public-only", false, "refuse loopback and private addresses")
	return cmd
}

// readInput reads a JSON object, given or in @FILE.
func readInput(input string) (json.RawMessage, error) {
	text := []byte(input)
	if name, ok := strings.CutPrefix(input, "@"); ok {
		var err error
		if text, err = os.ReadFile(name); err != nil { //nolint:gosec // the file that the user named
			return nil, err
		}
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		return nil, usageError{fmt.Errorf("--input must be a JSON object: %w", err)}
	}
	if object == nil {
		return nil, usageError{errors.New("--input must be a JSON object, not null")}
	}
	return text, nil
}

func moduleRun(ctx context.Context, s streams, file []byte, config json.RawMessage, system string, timeout time.Duration, hosts []string, private bool) error {
	host, err := localHost(s) //nolint:contextcheck // it waits for nothing
	if err != nil {
		return err
	}
	defer host.Close(ctx) //nolint:errcheck // the process ends
	m, err := inspect(ctx, host, file)
	if err != nil {
		return err
	}
	if err := checkConfig(m, config); err != nil {
		return err
	}
	module := core.Module{Name: m.Name, Version: m.Version, Digest: digest(file), Size: int64(len(file)), Manifest: m, Grant: m.Wants}
	if len(hosts) > 0 {
		module.Manifest.Wants.HTTP, module.Grant.HTTP = hosts, hosts
	}
	module.Manifest.Wants.Private, module.Grant.Private = private, private
	rc := core.RunContext{Check: core.CheckRef{ID: m.Name, Name: m.Name}, System: core.System{ID: system}.Ref()}
	report, err := testModule(ctx, host, module, file, wire.TestRun{Config: config, Timeout: core.Duration(timeout)}, rc)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(s.out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(report); err != nil {
		return err
	}
	if report.Outcome == core.Fail || report.Outcome == core.Error {
		return fmt.Errorf("the outcome is %s: %s", report.Outcome, printable(report.Why.Text))
	}
	return nil
}

// one is plan.Collectors with one module that is not loaded.
type one struct{ manifest core.Manifest }

// Info implements plan.Collectors.
func (o one) Info(use string) (core.CollectorInfo, error) {
	info := core.CollectorInfo{Name: use, Schema: o.manifest.Schema}
	if len(info.Schema) == 0 {
		info.Schema = json.RawMessage(`{"type": "object"}`)
	}
	return info, nil
}

// Prepare implements plan.Collectors.
func (one) Prepare(use, _ string, _ map[string]any) (plan.Collector, error) { return absent(use), nil }

// checkConfig holds a configuration to what a module says of it, as saving a
// check does.
func checkConfig(m core.Manifest, config json.RawMessage) error {
	step := core.Collect{Use: core.WasmPrefix + m.Name}
	if err := json.Unmarshal(config, &step.With); err != nil {
		return usageError{fmt.Errorf("--input must be a JSON object: %w", err)}
	}
	system := core.System{ID: "local"}
	check := core.Check{ID: "local", Systems: core.Selector{Names: []string{system.ID}}, Every: core.Duration(time.Hour), Collect: []core.Collect{step}}
	problems := plan.New(one{m}, plan.Options{}).ValidateCheck(check, []core.System{system})
	for i, p := range problems {
		p.Path = strings.TrimPrefix(strings.TrimPrefix(p.Path, "collect[0].with"), ".")
		problems[i] = p
	}
	if len(problems) > 0 {
		return usageError{fmt.Errorf("--input: %w", problems)}
	}
	return nil
}
