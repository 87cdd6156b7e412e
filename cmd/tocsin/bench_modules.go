package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/wasm"
)

// collectorFiles are the collectors of the bench, built, and the source of the
// one that is built for this machine too. A test builds them anew.
//
//go:embed bench/tiny.wasm bench/c.wasm bench/rust.wasm bench/collector.c bench/collector.js
var collectorFiles embed.FS

// way is one way to run a collector. It says what processor time the run took
// in another process.
type way struct {
	what string
	run  func() (elsewhere time.Duration, err error)
}

// benchWasm runs collectors one after the other, with size bytes of padding in
// their configuration: isolated, and in other ways.
func benchWasm(b *bencher) error {
	scripts, err := b.programs()
	if err != nil {
		return err
	}
	goModule, err := examples.QueueDepth()
	if err != nil {
		return err
	}
	for _, size := range b.sizes {
		config := map[string]any{"used": 3, "most": 5.5, "url": "http://127.0.0.1:1/", "padding": strings.Repeat("x", size)}
		for _, c := range []struct {
			name string
			goal string // of the time of an isolated run in that of a bare one
		}{{"tiny", "ratio <= 1.3"}, {"c", ""}, {"rust", "ratio <= 3"}, {"go", "ratio <= 6"}} {
			file := goModule
			if c.name != "go" {
				if file, err = collectorFiles.ReadFile("bench/" + c.name + ".wasm"); err != nil {
					return err
				}
			}
			if err := b.isolations(c.name, c.goal, size, file, config); err != nil {
				return err
			}
		}
		if err := b.against(scripts, size, config); err != nil {
			return err
		}
	}
	return nil
}

// trusting is a Host with nothing but the module of file, ready to run with
// config. The module is granted no network: one that asks is refused at once.
func (b *bencher) trusting(file []byte, isolation wasm.Isolation, config map[string]any) (run func() (time.Duration, error), end func(), err error) {
	h, err := wasm.NewForBench(wasm.Options{}, isolation)
	if err != nil {
		return nil, nil, err
	}
	end = func() { _ = h.Close(context.WithoutCancel(b.ctx)) } // nothing is kept
	manifest, err := h.Inspect(b.ctx, file)
	if err != nil {
		end()
		return nil, nil, err
	}
	sum := sha256.Sum256(file)
	facts := core.Module{Name: manifest.Name, Version: manifest.Version, Digest: hex.EncodeToString(sum[:]), Manifest: manifest}
	facts.Grant.Limits = manifest.Wants.Limits
	m, err := h.Load(b.ctx, facts, file)
	if err != nil {
		end()
		return nil, nil, err
	}
	collector := m.Prepare(config)
	who := core.RunContext{Check: core.CheckRef{ID: "disk", Name: "Disk", IntervalSeconds: 30}, System: core.SystemRef{ID: "web-01", Name: "Web"}}
	wants := core.Pass
	if len(manifest.Wants.HTTP) > 0 {
		wants = core.Error
	}
	return func() (time.Duration, error) {
		if got := collector.Collect(b.ctx, who); got.Outcome != wants {
			return 0, fmt.Errorf("%s: %s %v", manifest.Name, got.Outcome, got.Why)
		}
		return 0, nil
	}, end, nil
}

// Ways to run a module.
const (
	isolated = "isolated, restored"
	fresh    = "isolated, a new instance each"
	bareRuns = "not isolated: one instance, no limits"
)

// isolations measures one module in each way.
func (b *bencher) isolations(name, goal string, size int, file []byte, config map[string]any) error {
	var ways []way
	for _, w := range []struct {
		what      string
		isolation wasm.Isolation
	}{{bareRuns, wasm.Bare}, {isolated, wasm.Restored}, {fresh, wasm.Fresh}} {
		run, end, err := b.trusting(file, w.isolation, config)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer end()
		ways = append(ways, way{w.what, run})
	}
	times, err := b.compare(ways)
	if err != nil {
		return err
	}
	for i, w := range ways {
		f := figure{Bench: "wasm/" + name, Size: size, What: w.what, Value: times[i], Unit: perRun}
		if i > 0 {
			f.Baseline, f.Ratio = times[0], times[i]/times[0]
		}
		if w.what == isolated {
			f.Goal = goal
		}
		b.report(f)
	}
	return nil
}

const perRun = "us/run" // of processor time

// against measures programs that do the same, one process each run, beside the
// tiny module.
func (b *bencher) against(programs []program, size int, config map[string]any) error {
	file, err := collectorFiles.ReadFile("bench/tiny.wasm")
	if err != nil {
		return err
	}
	run, end, err := b.trusting(file, wasm.Restored, config)
	if err != nil {
		return err
	}
	defer end()
	request, err := json.Marshal(map[string]any{"kind": "collect", "config": config})
	if err != nil {
		return err
	}
	ways := []way{{isolated, run}}
	for _, p := range programs {
		ways = append(ways, way{p.what, func() (time.Duration, error) { return p.run(b.ctx, request) }})
	}
	times, err := b.compare(ways)
	if err != nil {
		return err
	}
	for i, p := range programs {
		f := figure{Bench: "wasm/" + p.column, Size: size, What: p.what, Value: times[i+1], Unit: perRun, Baseline: times[0], Ratio: times[i+1] / times[0]}
		if p.what == "bun -e" {
			f.Goal = "ratio >= 1000"
		}
		b.report(f)
	}
	return nil
}

// program is a command that reads a request and writes a response.
type program struct {
	what, column string
	args         []string
}

// programs are those that this machine can run.
func (b *bencher) programs() ([]program, error) {
	var out []program
	source, err := collectorFiles.ReadFile("bench/collector.c")
	if err != nil {
		return nil, err
	}
	const static = "process: static C"
	from, to := filepath.Join(b.dir, "collector.c"), filepath.Join(b.dir, "collector")
	if err := os.WriteFile(from, source, 0o600); err != nil {
		return nil, err
	}
	if cc, err := exec.LookPath("cc"); err != nil {
		b.leaveOut(static, "no C compiler is installed: it is in the package gcc, or clang")
	} else if text, err := exec.CommandContext(b.ctx, cc, "-static", "-O2", "-o", to, from).CombinedOutput(); err != nil { //nolint:gosec // the compiler of this machine
		b.leaveOut(static, fmt.Sprintf("%s failed: %v %s", cc, err, bytes.TrimSpace(text)))
	} else {
		out = append(out, program{static, "c", []string{to}})
	}
	script, err := collectorFiles.ReadFile("bench/collector.js")
	if err != nil {
		return nil, err
	}
	for _, engine := range []string{"bun", "node"} {
		what := engine + " -e"
		path, err := exec.LookPath(engine)
		if err != nil {
			b.leaveOut(what, engine+" is not installed")
			continue
		}
		out = append(out, program{what, "tiny", []string{path, "-e", string(script)}})
	}
	return out, nil
}

func (p program) run(ctx context.Context, request []byte) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, p.args[0], p.args[1:]...) //nolint:gosec // an interpreter of this machine, or what its compiler made
	cmd.Stdin = bytes.NewReader(request)
	text, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", p.what, err)
	}
	var response struct {
		Outcome string `json:"outcome"`
	}
	if err := json.Unmarshal(text, &response); err != nil || response.Outcome != "pass" {
		return 0, fmt.Errorf("%s answered %q: %w", p.what, text, errors.Join(err, errors.New("it did not pass")))
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// compare says what processor time a run takes in each way, in microseconds.
// The ways take turns of some milliseconds, so that whatever else the machine
// does meets all of them.
func (b *bencher) compare(ways []way) ([]float64, error) {
	const (
		turn   = 10 * time.Millisecond
		parts  = 5 // comparisons that share the time of a size
		rounds = 3 // at least
	)
	runs, used := make([]int, len(ways)), make([]time.Duration, len(ways))
	span := time.Duration(b.seconds) * time.Second / parts
	for begin, round := time.Now(), 0; round <= rounds || time.Since(begin) < span; round++ {
		for i, w := range ways {
			cpu, began := cpuTime(), time.Now()
			for first := true; first || time.Since(began) < turn; first = false {
				elsewhere, err := w.run()
				if err != nil {
					return nil, err
				}
				runs[i]++
				used[i] += elsewhere
			}
			used[i] += cpuTime() - cpu
		}
		if round == 0 { // it made what all others use again
			clear(runs)
			clear(used)
		}
	}
	out := make([]float64, len(ways))
	for i := range ways {
		out[i] = float64(used[i].Nanoseconds()) / 1000 / float64(runs[i])
	}
	return out, nil
}

// printRates prints how many runs a second each way makes of each module on one
// core, at the smallest size.
func printRates(out io.Writer, figures []figure) error {
	type cell struct{ what, column string }
	rates := map[cell]string{}
	var rows, columns []string
	size := 0
	for _, f := range figures {
		column, ok := strings.CutPrefix(f.Bench, "wasm/")
		if !ok || f.Unit != perRun || f.Size != cmp.Or(size, f.Size) {
			continue
		}
		size = f.Size
		if !slices.Contains(rows, f.What) {
			rows = append(rows, f.What)
		}
		if !slices.Contains(columns, column) {
			columns = append(columns, column)
		}
		rates[cell{f.What, column}] = fmt.Sprintf("%.0f", 1e6/f.Value)
	}
	if len(rows) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\nRUNS A SECOND ON ONE CORE\t%s\n", strings.ToUpper(strings.Join(columns, "\t")))
	for _, row := range rows {
		_, _ = fmt.Fprint(table, row)
		for _, column := range columns {
			_, _ = fmt.Fprint(table, "\t"+cmp.Or(rates[cell{row, column}], "-"))
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}
