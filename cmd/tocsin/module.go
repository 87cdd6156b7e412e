package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"reflect"
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
	cmd := &cobra.Command{Use: "module", Short: "Write, look at, try and upload WebAssembly modules", Args: cobra.NoArgs}
	cmd.RunE = func(*cobra.Command, []string) error {
		return usageError{fmt.Errorf("module: write init, build, test, inspect, run, push, list, show, grant, activate, alias, canary, rollback or delete")}
	}
	cmd.AddCommand(newModuleInit(s), newModuleBuild(s), newModuleTest(s), newModuleInspect(s), newModuleRun(s))
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
	if strings.HasSuffix(name, ".wasm") && core.KindOf(text) == core.ScriptModule {
		return nil, fmt.Errorf(`%s: this is not a WebAssembly module: it does not begin with \0asm; name a script .js or .ts`, name)
	}
	return text, nil
}

// localHost is a sandbox for one command, without secrets.
func localHost(s streams) (*wasm.Host, error) { return localHostWith(s, nil) }

// localHostWith is a sandbox for one command, which compiles in a process of
// its own as servers do. What it compiled is kept until it is closed.
func localHostWith(s streams, secrets wasm.SecretFunc) (*wasm.Host, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	n := newNetworks()
	return wasm.New(wasm.Options{
		Log:  slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Dial: n.public.DialContext, DialPrivate: n.trusted.DialContext, Secret: secrets, Worker: []string{self, compileCommand},
	})
}

// secretFlags are the values of secrets for a run on this machine.
type secretFlags struct{ given []string }

func (f *secretFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.given, "secret", nil, "NAME=@FILE, or NAME=VALUE: a secret that it may use; may be repeated")
}

// values are the secrets that were given.
func (f *secretFlags) values() (wasm.SecretFunc, error) {
	known := map[string]string{}
	for _, pair := range f.given {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--secret %s: write NAME=@FILE or NAME=VALUE", name)}
		}
		if file, named := strings.CutPrefix(value, "@"); named {
			text, err := os.ReadFile(file) //nolint:gosec // the file that the user named
			if err != nil {
				return nil, err
			}
			value = strings.TrimRight(string(text), "\r\n")
		}
		known[name] = value
	}
	return func(name string) (string, error) {
		if value, ok := known[name]; ok {
			return value, nil
		}
		return "", fmt.Errorf("there is no secret %q here: give it with --secret %s=@FILE", name, name)
	}, nil
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
	for _, line := range describeWants(m.Wants) {
		row(line[0], line[1])
	}
	return table.Flush()
}

// describeWants says what a module asks for, by topic.
func describeWants(w core.Grant) [][2]string {
	if reflect.DeepEqual(w, core.Grant{}) {
		return [][2]string{{"wants to reach", "nothing"}}
	}
	private := ""
	if w.Private {
		private = ", also on private and loopback addresses"
	}
	var out [][2]string
	list := func(what string, names []string, suffix string) {
		if len(names) > 0 {
			out = append(out, [2]string{what, strings.Join(names, ", ") + suffix})
		}
	}
	list("wants to reach", w.HTTP, private)
	list("wants to connect to", w.TCP, private)
	list("wants to look up", w.DNS, "")
	if w.KV != "" {
		out = append(out, [2]string{"wants to keep values", "of the " + w.KV})
	}
	list("wants to send secrets", w.Secrets, "")
	list("wants to read secrets", w.Reveal, "")
	limits, err := json.Marshal(w.Limits)
	if w.Limits != (core.Limits{}) && err == nil {
		out = append(out, [2]string{"wants limits", strings.NewReplacer(`"`, "", "{", "", "}", "", ",", ", ", ":", " ").Replace(string(limits))})
	}
	return out
}

func newModuleRun(s streams) *cobra.Command {
	var input, system string
	var timeout time.Duration
	var hosts []string
	var public bool
	var secrets secretFlags
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
			values, err := secrets.values()
			if err != nil {
				return err
			}
			host, err := localHostWith(s, values)
			if err != nil {
				return err
			}
			defer host.Close(cmd.Context()) //nolint:errcheck // the process ends
			return moduleRun(cmd.Context(), s, host, file, config, system, timeout, hosts, !public)
		},
	}
	secrets.add(cmd)
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

func moduleRun(ctx context.Context, s streams, host *wasm.Host, file []byte, config json.RawMessage, system string, timeout time.Duration, hosts []string, private bool) error {
	m, err := inspect(ctx, host, file)
	if err != nil {
		return err
	}
	if err := checkConfig(m, config); err != nil {
		return usageError{fmt.Errorf("--input: %w", err)}
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
		return fmt.Errorf("it must be a JSON object: %w", err)
	}
	system := core.System{ID: "local"}
	check := core.Check{ID: "local", Systems: core.Selector{Names: []string{system.ID}}, Every: core.Duration(time.Hour), Collect: []core.Collect{step}}
	problems := plan.New(one{m}, plan.Options{}).ValidateCheck(check, []core.System{system})
	for i, p := range problems {
		p.Path = strings.TrimPrefix(strings.TrimPrefix(p.Path, "collect[0].with"), ".")
		problems[i] = p
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}
