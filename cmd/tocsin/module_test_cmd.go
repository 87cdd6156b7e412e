package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

func newModuleTest(s streams) *cobra.Command {
	o := caseOptions{}
	cmd := &cobra.Command{
		Use:   "test [DIR|FILE]",
		Short: "Run the test cases of a module in the sandbox, with recorded or live answers",
		Long: `Builds the project in a directory, or takes a module as it is, and runs each case
in testdata beside it, in the sandbox that servers run modules in. A case is a
JSON file: a configuration, what the host answers, and what is expected. With
--live the hosts are really asked and only the outcome is compared. Exits with 1
when a case fails, so that it fits into the CI of the module.

A case, testdata/slow.json:

  {
    "config": {"url": "https://example.org/", "max_ms": 100},
    "calls": [{"call": "http", "answer": {"status": 200, "duration_ms": 350}}],
    "expect": {"outcome": "fail", "summary": "350 ms, the most is 100 ms"}
  }

--record NAME runs the module once for real and writes what it met as a case.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.source = "."
			if len(args) == 1 {
				o.source = args[0]
			}
			return o.run(cmd.Context(), s, cmd.Flags().Changed("input"))
		},
	}
	o.secrets.add(cmd)
	cmd.Flags().BoolVar(&o.live, "live", false, "ask the hosts instead of giving recorded answers")
	cmd.Flags().StringVar(&o.record, "record", "", "write testdata/NAME.json of a live run")
	cmd.Flags().StringVar(&o.input, "input", "{}", "configuration as JSON, or @FILE, for --record")
	cmd.Flags().StringVar(&o.only, "run", "", "run only the cases whose name matches this regular expression")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 10*time.Second, "deadline of each run")
	return cmd
}

// caseOptions are the flags of module test.
type caseOptions struct {
	source, record, input, only string
	live                        bool
	timeout                     time.Duration
	secrets                     secretFlags
}

// testCase is a file in testdata.
type testCase struct {
	About    string          `json:"about,omitempty"`
	Kind     string          `json:"kind,omitempty"` // collect, act or call; default collect
	Config   json.RawMessage `json:"config,omitempty"`
	System   *abi.System     `json:"system,omitempty"`
	Step     *abi.Step       `json:"step,omitempty"`     // of act
	Function string          `json:"function,omitempty"` // of call
	Args     []any           `json:"args,omitempty"`     // of call
	Now      string          `json:"now,omitempty"`
	Seed     uint64          `json:"seed,omitempty"`
	Calls    []givenAnswer   `json:"calls,omitempty"`
	Offline  bool            `json:"offline,omitempty"` // left out with --live
	Expect   expectation     `json:"expect"`

	name, path string
}

// givenAnswer is what the host answers to one call.
type givenAnswer struct {
	Call    string          `json:"call"`
	Request json.RawMessage `json:"request,omitempty"` // the fields that it must have; default any
	Answer  json.RawMessage `json:"answer"`
}

// expectation is what must come of a case. What is left out may be anything.
type expectation struct {
	Outcome *core.Outcome  `json:"outcome,omitempty"` // needed but for call
	Summary *string        `json:"summary,omitempty"`
	Error   string         `json:"error,omitempty"` // is part of the reason
	Samples map[string]any `json:"samples,omitempty"`
	Output  map[string]any `json:"output,omitempty"` // of act
	Value   any            `json:"value,omitempty"`  // of call
}

// observation is what came of a case, in the words of the file.
type observation struct {
	outcome  core.Outcome
	summary  string
	why      string
	samples  map[string]any
	output   map[string]any
	value    any
	logs     []core.LogLine
	problems []string // besides what was expected
}

func (o *caseOptions) run(ctx context.Context, s streams, hasInput bool) error {
	if o.timeout <= 0 {
		return usageError{fmt.Errorf("--timeout %v: write more than 0", o.timeout)}
	}
	if hasInput && o.record == "" {
		return usageError{errors.New("--input belongs to --record; cases hold their configuration")}
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return usageError{fmt.Errorf("--run: %w", err)}
	}
	secrets, err := o.secrets.values()
	if err != nil {
		return err
	}
	dir, err := o.folder()
	if err != nil {
		return err
	}
	// What is wrong with the cases is said before anything is built.
	var cases []testCase
	var record string
	var config json.RawMessage
	if o.record == "" {
		cases, err = readCases(dir, only)
	} else {
		record, config, err = o.recording(dir)
	}
	if err != nil {
		return err
	}
	if !o.live && o.record == "" { // they never leave
		secrets = func(name string) (string, error) { return "the secret " + name, nil }
	}
	host, err := localHostWith(s, secrets) //nolint:contextcheck // it waits for nothing
	if err != nil {
		return err
	}
	defer host.Close(ctx) //nolint:errcheck // the process ends
	m, err := buildModule(ctx, s, host, o.source, "", "")
	if err != nil {
		return err
	}
	loaded, err := host.Load(ctx, core.Module{
		Name: m.manifest.Name, Version: m.manifest.Version, Digest: digest(m.file), Manifest: m.manifest, Grant: m.manifest.Wants,
	}, m.file)
	if err != nil {
		return err
	}
	defer loaded.Close(ctx) //nolint:errcheck // the process ends
	if o.record != "" {
		return o.recordCase(ctx, s, loaded, record, config)
	}
	return o.judge(ctx, s, loaded, cases)
}

// folder is where the cases are: beside the module.
func (o *caseOptions) folder() (string, error) {
	info, err := os.Stat(o.source)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return filepath.Join(o.source, "testdata"), nil
	}
	return filepath.Join(filepath.Dir(o.source), "testdata"), nil
}

// readCases reads the test cases in a directory, in order of their names.
func readCases(dir string, only *regexp.Regexp) ([]testCase, error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var cases []testCase
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !only.MatchString(name) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(path) //nolint:gosec // of the user's project
		if err != nil {
			return nil, err
		}
		c := testCase{name: name, path: path}
		if err := c.read(text); err != nil {
			return nil, err
		}
		if err := c.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		cases = append(cases, c)
	}
	if len(cases) == 0 {
		return nil, fmt.Errorf("there are no test cases: write %s, or let --record NAME write one", filepath.Join(dir, "NAME.json"))
	}
	return cases, nil
}

// read fills c from its file. The error names the line where that is known.
func (c *testCase) read(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err := dec.Decode(c)
	if _, more := dec.Token(); err == nil && !errors.Is(more, io.EOF) {
		return fmt.Errorf("%s:%d: something follows the test case", c.path, lineAt(text, dec.InputOffset()))
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("%s:%d: not JSON: %w", c.path, lineAt(text, syntax.Offset), err)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s:%d: %s: here must stand a value of another type than %s", c.path, lineAt(text, wrong.Offset), cmp.Or(wrong.Field, "the file"), wrong.Value)
	}
	if err != nil {
		return fmt.Errorf("%s is not a test case: %w", c.path, err)
	}
	return nil
}

// lineAt is the line of a byte, from 1.
func lineAt(text []byte, offset int64) int {
	return 1 + bytes.Count(text[:min(max(int(offset), 0), len(text))], []byte("\n"))
}

func (c *testCase) check() error {
	switch c.Kind {
	case "", abi.KindCollect, abi.KindAct:
		if c.Expect.Outcome == nil {
			return errors.New("expect.outcome is missing: write pass, warn, fail or error")
		}
	case abi.KindCall:
		if c.Function == "" {
			return errors.New("function is missing: name the function that is called")
		}
		if c.Expect.Value == nil && c.Expect.Error == "" {
			return errors.New("expect.value is missing, or expect.error")
		}
	default:
		return fmt.Errorf("kind %q: write collect, act or call", c.Kind)
	}
	for i, given := range c.Calls {
		if given.Call == "" || len(given.Answer) == 0 {
			return fmt.Errorf("calls[%d]: call and answer are needed", i)
		}
	}
	return nil
}

// judge runs the cases and prints what came of them.
func (o *caseOptions) judge(ctx context.Context, s streams, m *wasm.Module, cases []testCase) error {
	table := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	ran, failed := 0, 0
	var logs []string
	for _, c := range cases {
		if o.live && c.Offline {
			fmt.Fprintf(table, "skip\t%s\tit is offline\n", c.name)
			continue
		}
		got, err := o.observe(ctx, m, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.path, err)
		}
		ran++
		problems := append(got.problems, c.Expect.missed(got, o.live)...)
		word, text := "pass", got.summary
		if len(problems) > 0 {
			failed++
			word, text = "FAIL", strings.Join(problems, "; ")
			for _, l := range got.logs {
				logs = append(logs, fmt.Sprintf("%s: %s: %s", c.name, l.Level, l.Text))
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", word, c.name, printable(text))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, line := range logs {
		fmt.Fprintln(s.out, "log of "+printable(line))
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases failed", failed, ran)
	}
	fmt.Fprintf(s.out, "%d cases passed\n", ran)
	return nil
}

// observe runs one case.
func (o *caseOptions) observe(ctx context.Context, m *wasm.Module, c testCase) (observation, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	if c.Kind == "" || c.Kind == abi.KindCollect {
		if err := c.checkConfig(m.Manifest()); err != nil {
			return observation{}, err
		}
	}
	switch {
	case c.Kind == abi.KindCall:
		value, _, err := m.Call(ctx, c.Function, wasm.Call{Args: c.Args, Now: time.Time{}})
		if err != nil {
			return observation{why: err.Error(), summary: err.Error()}, nil
		}
		text, err := json.Marshal(value)
		return observation{value: plain(value), summary: string(text)}, err
	case c.Kind == abi.KindAct && o.live:
		config, err := object(c.Config)
		if err != nil {
			return observation{}, err
		}
		return acted(m.Act(ctx, c.step(), config)), nil
	case o.live:
		config, err := object(c.Config)
		if err != nil {
			return observation{}, err
		}
		return collected(m.TestRun(ctx, c.context(), config)), nil
	}
	r := wasm.Rehearsal{Request: abi.Request{
		Kind: c.Kind, Config: c.Config, Now: c.Now, Seed: c.Seed, Check: abi.Check{ID: "test", Name: "test"}, System: c.system(),
	}}
	if r.Request.Kind == "" {
		r.Request.Kind = abi.KindCollect
	}
	if c.Kind == abi.KindAct {
		step := c.step()
		r.Request.Step = &step
	}
	for _, given := range c.Calls {
		r.Calls = append(r.Calls, core.RecordedCall{Name: given.Call, Input: given.Request, Answer: given.Answer})
	}
	done, err := m.Rehearse(ctx, r)
	if err != nil {
		return observation{}, err
	}
	out := collected(done.Result)
	if c.Kind == abi.KindAct {
		out = acted(done.Acted)
	}
	if done.Diverged != "" {
		out.problems = append(out.problems, done.Diverged)
		return out, nil
	}
	for _, call := range done.Unused {
		out.problems = append(out.problems, fmt.Sprintf("it did not ask %s, which the case answers", call.Name))
	}
	return out, nil
}

// checkConfig holds the configuration of c to what the module says of it, and
// names the file and the field of what is wrong.
func (c *testCase) checkConfig(m core.Manifest) error {
	err := checkConfig(m, orEmpty(c.Config))
	problems, ok := errors.AsType[core.Problems](err)
	if !ok {
		return err
	}
	for i := range problems {
		problems[i].File = c.path
	}
	return problems.Under("config")
}

func orEmpty(config json.RawMessage) json.RawMessage {
	if len(config) == 0 {
		return json.RawMessage("{}")
	}
	return config
}

// object is a configuration as a server has it.
func object(config json.RawMessage) (map[string]any, error) {
	out := map[string]any{}
	if err := json.Unmarshal(orEmpty(config), &out); err != nil {
		return nil, fmt.Errorf("config: it must be a JSON object: %w", err)
	}
	return out, nil
}

func (c *testCase) system() abi.System {
	if c.System != nil {
		return *c.System
	}
	return abi.System{ID: "test", Name: "test"}
}

func (c *testCase) step() abi.Step {
	if c.Step != nil {
		return *c.Step
	}
	return abi.Step{Rule: "test", Firing: "test", ID: "test", Key: "test/test", Attempt: 1}
}

func (c *testCase) context() core.RunContext {
	s := c.system()
	return core.RunContext{Check: core.CheckRef{ID: "test", Name: "test"}, System: core.System{ID: s.ID, Name: s.Name, Tags: s.Tags}.Ref()}
}

func collected(r core.Result) observation {
	return observation{outcome: r.Outcome, summary: r.Summary, why: r.Why.Text, samples: plainSamples(r.Samples), logs: r.Logs}
}

func acted(a wasm.Acted) observation {
	out := observation{outcome: a.Outcome, summary: a.Summary, why: a.Why, output: plainSamples(a.Output), logs: a.Logs}
	if out.summary == "" {
		out.summary = a.Why
	}
	return out
}

// plain is a value as JSON has it.
func plain(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return v
	}
	var out any
	if json.Unmarshal(text, &out) != nil {
		return v
	}
	return out
}

func plainSamples(samples core.Samples) map[string]any {
	out := make(map[string]any, len(samples))
	for name, v := range samples {
		out[name] = plain(v)
	}
	return out
}

// missed lists what is expected and did not come.
func (e expectation) missed(got observation, live bool) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if e.Outcome != nil && got.outcome != *e.Outcome {
		say("the outcome is %s (%s), expected is %s", got.outcome, got.summary, *e.Outcome)
	}
	if live {
		return out // what a real host answers differs each time
	}
	if e.Summary != nil && got.summary != *e.Summary {
		say("the summary is %q, expected is %q", got.summary, *e.Summary)
	}
	if e.Error != "" && !strings.Contains(got.why, e.Error) {
		say("the reason is %q, expected is %q in it", got.why, e.Error)
	}
	if e.Value != nil && !reflect.DeepEqual(got.value, e.Value) {
		say("the value is %v, expected is %v", got.summary, e.Value)
	}
	for _, part := range []struct {
		what      string
		got, want map[string]any
	}{{"sample", got.samples, e.Samples}, {"output", got.output, e.Output}} {
		for _, name := range slices.Sorted(maps.Keys(part.want)) {
			value, there := part.got[name]
			switch {
			case !there:
				say("the %s %s is missing, expected is %v", part.what, name, part.want[name])
			case !reflect.DeepEqual(value, part.want[name]):
				say("the %s %s is %v, expected is %v", part.what, name, value, part.want[name])
			}
		}
	}
	return out
}

// recording is the file that --record is to write, and its configuration.
func (o *caseOptions) recording(dir string) (path string, config json.RawMessage, err error) {
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`).MatchString(o.record) {
		return "", nil, usageError{fmt.Errorf("--record %q: write a name of letters, digits, '.', '_' and '-'", o.record)}
	}
	path = filepath.Join(dir, o.record+".json")
	if exists(path) {
		return "", nil, fmt.Errorf("%s exists: give another name, or delete it first", path)
	}
	config, err = readInput(o.input)
	return path, config, err
}

// recordCase writes what a real run met as a case.
func (o *caseOptions) recordCase(ctx context.Context, s streams, m *wasm.Module, path string, config json.RawMessage) error {
	if err := checkConfig(m.Manifest(), config); err != nil {
		return usageError{fmt.Errorf("--input: %w", err)}
	}
	c := testCase{Config: config}
	with, err := object(config)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	result := m.TestRun(ctx, c.context(), with)
	rec := result.Recording
	switch {
	case rec == nil:
		return fmt.Errorf("there was no run to record: %s", printable(result.Why.Text))
	case rec.Cut:
		return errors.New("the run met more than a recording holds")
	case rec.End == "limit_time":
		return errors.New("the run took longer than its time, which a case cannot repeat: raise --timeout")
	}
	var asked abi.Request
	if err := json.Unmarshal(rec.Request, &asked); err != nil {
		return fmt.Errorf("read the recording: %w", err)
	}
	c.Now, c.Seed = asked.Now, rec.Seed
	for _, call := range rec.Calls {
		if json.Valid(call.Input) && json.Valid(call.Answer) && len(call.Input) > 0 {
			c.Calls = append(c.Calls, givenAnswer{Call: call.Name, Request: call.Input, Answer: call.Answer})
		}
	}
	got := collected(result)
	c.Expect = expectation{Outcome: &got.outcome, Summary: &got.summary, Samples: got.samples}
	if got.outcome != core.Pass && got.why != got.summary {
		c.Expect.Error = got.why
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("write the case: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // of the user's project
		return err
	}
	if err := os.WriteFile(path, append(text, '\n'), 0o644); err != nil { //nolint:gosec // the same
		return err
	}
	fmt.Fprintf(s.out, "%s: %s, %s; %d calls to the host\n", path, got.outcome, printable(got.summary), len(c.Calls))
	return nil
}
