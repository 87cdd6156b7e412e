package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// figure is one line of a bench: what was measured at which size, and what it
// is compared with, measured in the same run.
type figure struct {
	Bench    string  `json:"bench"`
	Size     int     `json:"size"`
	What     string  `json:"what"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Goal     string  `json:"goal,omitempty"`
	Baseline float64 `json:"baseline,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`
}

// bencher is what a bench needs.
type bencher struct {
	ctx      context.Context //nolint:containedctx // it lives as long as the call that made it
	name     string
	dir      string
	database string // to measure on; none: one is started
	seconds  int
	sizes    []int
	made     measured
}

// measured is what benches found.
type measured struct {
	Figures []figure `json:"figures"`
	LeftOut []string `json:"left_out"` // with the reason
	Found   []string `json:"found"`    // that is wrong, in words
}

func (b *bencher) report(f figure) {
	f.Bench = cmp.Or(f.Bench, b.name)
	b.made.Figures = append(b.made.Figures, f)
}

// leaveOut notes what was not measured, and why.
func (b *bencher) leaveOut(what, why string) {
	b.made.LeftOut = append(b.made.LeftOut, b.name+": "+what+": "+why)
}

// takesMinutes is of a bench that is run only when it is named.
func takesMinutes(name string) bool {
	return name == "failover" || name == "query/history" || strings.HasPrefix(name, "outage/")
}

// usualSeconds is how long a bench measures each size, unless it is told.
func usualSeconds(name string) int {
	if strings.HasPrefix(name, "outage/") {
		return 60
	}
	return 5
}

// benches lists every bench by name, with what it does.
func benches() map[string]struct {
	about string
	sizes []int
	run   func(*bencher) error
} {
	type b = struct {
		about string
		sizes []int
		run   func(*bencher) error
	}
	return map[string]b{
		"checks/http/sqlite":   {"HTTP checks a second, each stored, health computed, rules evaluated; against a bare net/http loop at the same rate", []int{50, 500, 5000}, onSQLite().at((*bencher).checks)},
		"checks/http/postgres": {"the same on a Postgres; its own work is not counted", []int{50, 500, 5000}, onPostgres().at((*bencher).checks)},
		"record/postgres":      {"the same on a Postgres", []int{1_000, 10_000}, onPostgres().at((*bencher).record)},
		"record":               {"runs a second that the ledger stores with health moved, without a network", []int{1_000, 10_000, 100_000}, onSQLite().at((*bencher).record)},
		"schedule/100k":        {"lateness of the scheduler itself, and what an assignment costs in it", []int{1_000, 10_000, 100_000}, benchSchedule},
		"rules/eval":           {"what one change costs a rule that looks at it", []int{1, 10, 100}, benchRules},
		"hostile":              {"what healthy checks notice of size modules that attack the sandbox at once, and how long each lives", []int{1, 10, 100}, benchHostile},
		"wasm":                 {"what a run of a module costs, with size bytes of padding in its configuration; against runs without isolation, and processes", []int{100, 1_000, 10_000}, benchWasm},
		"failover":             {"three nodes on a Postgres, of which one is killed, or stopped past its lease, in each of size rounds: how long until others do its work, and what was lost or done twice", []int{20}, benchFailover},
		"outage/postgres":      {"size checks a second, a tenth of which fail, while the database is away for --seconds: what is lost, and whether it is counted", []int{1_000}, benchOutagePostgres},
		"outage/disk":          {"the same while the disk under the database file is full", []int{1_000}, benchOutageDisk},
		"rules/index":          {"what one change costs when few of many rules look at it", []int{10, 100, 1_000, 10_000}, benchIndex},
		"query/history":        {"the last 100 runs and the chart of 30 days of one system, when size runs are stored, in SQLite and in Postgres", []int{10_000, 100_000, 1_000_000}, benchHistory},
	}
}

func newBench(s streams) *cobra.Command {
	var output, cpuProfile, database string
	var seconds int
	var sizes []int
	names := slices.Sorted(maps.Keys(benches()))
	usual := slices.DeleteFunc(slices.Clone(names), takesMinutes)
	long := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !takesMinutes(name) })
	cmd := &cobra.Command{
		Use:   "bench [NAME...]",
		Short: "Measure this build on this machine",
		Long: `Starts its own targets on loopback, measures for a bounded time at several sizes,
and prints a table with how cost grows (the exponent of size: 1 is in proportion,
0 is not at all). Figures of shared machines drift: trust the ratios, which are
measured in one run. Names: ` + strings.Join(names, ", ") + `.
Without a name all are run but those that take minutes: ` + strings.Join(long, ", ") + ".",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkBench(output, seconds, sizes); err != nil {
				return err
			}
			if len(args) == 0 {
				args = usual
			}
			stop, err := profile(cpuProfile)
			if err != nil {
				return err
			}
			defer stop()
			all := measured{LeftOut: []string{}, Found: []string{}}
			for _, name := range args {
				b, ok := benches()[name]
				if !ok {
					return usageError{fmt.Errorf("there is no bench %q; there are %s", name, strings.Join(names, ", "))}
				}
				if len(sizes) > 0 {
					b.sizes = sizes
				}
				if !cmd.Flags().Changed("seconds") {
					seconds = usualSeconds(name)
				}
				fmt.Fprintf(s.err, "%s: %s\n", name, b.about)
				got, err := measure(bencher{ctx: cmd.Context(), name: name, database: database, seconds: seconds, sizes: b.sizes}, b.run)
				if err != nil {
					return fmt.Errorf("bench %s: %w", name, err)
				}
				all.Figures = append(all.Figures, got.Figures...)
				all.LeftOut = append(all.LeftOut, got.LeftOut...)
				all.Found = append(all.Found, got.Found...)
			}
			return all.print(s.out, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	cmd.Flags().StringVar(&database, "database", "", "empty Postgres for the benches that need one; without it they start one of installed binaries")
	cmd.Flags().IntVar(&seconds, "seconds", 5, "how long each size is measured, or storage is away; 60 of an outage")
	cmd.Flags().StringVar(&cpuProfile, "cpu-profile", "", "write a CPU profile of this process to a file, for go tool pprof")
	cmd.Flags().IntSliceVar(&sizes, "sizes", nil, "sizes to measure instead of the usual ones")
	cmd.AddCommand(newBenchNoise(s))
	return cmd
}

// checkBench refuses flags that cannot be meant.
func checkBench(output string, seconds int, sizes []int) error {
	if output != "table" && output != "json" {
		return usageError{fmt.Errorf("-o %q: write table or json", output)}
	}
	if seconds < 1 || seconds > 300 {
		return usageError{fmt.Errorf("--seconds %d: write 1 to 300", seconds)}
	}
	for _, size := range sizes {
		if size < 1 {
			return usageError{fmt.Errorf("--sizes %d: write more than 0", size)}
		}
	}
	return nil
}

// profile begins a CPU profile, unless path is empty, and returns what ends it.
func profile(path string) (func(), error) {
	if path == "" {
		return func() {}, nil
	}
	file, err := os.Create(path) //nolint:gosec // the file that the user named
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("begin the profile: %w", err), file.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close() // what could not be written shows when it is read
	}, nil
}

// measure runs one bench in a directory of its own.
func measure(b bencher, run func(*bencher) error) (measured, error) {
	dir, err := os.MkdirTemp("", "tocsin-bench-")
	if err != nil {
		return measured{}, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a directory for temporary files
	b.dir = dir
	err = run(&b)
	return b.made, err
}

func (m measured) print(out io.Writer, output string) error {
	figures := m.Figures
	if output == "json" {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(map[string]any{"version": build(), "figures": figures, "growth": growth(figures), "left_out": m.LeftOut, "found": m.Found})
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "BENCH\tSIZE\tWHAT\tVALUE\tUNIT\tBASELINE\tRATIO\tGOAL")
	for _, f := range figures {
		found := "0" // which is news, and a dash is not
		if f.Value != 0 {
			found = number(f.Value)
		}
		fmt.Fprintf(table, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Bench, f.Size, f.What, found, f.Unit, number(f.Baseline), number(f.Ratio), f.Goal)
	}
	fmt.Fprintln(table, "\t\t\t\t\t\t\t")
	for _, g := range growth(figures) {
		fmt.Fprintf(table, "%s\t%s\t%s grows as size^%.2f\t\t\t\t\t\n", g.Bench, "", g.What, g.Exponent)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := printRates(out, figures); err != nil {
		return err
	}
	for _, text := range m.Found {
		fmt.Fprintln(out, "found: "+text)
	}
	for _, text := range m.LeftOut {
		fmt.Fprintln(out, "left out: "+text)
	}
	return nil
}

func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case math.Abs(v) >= 1000:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.3f", v)
}

// exponent is how a figure grows with size.
type exponent struct {
	Bench    string  `json:"bench"`
	What     string  `json:"what"`
	Exponent float64 `json:"exponent"`
}

// growth fits value = c * size^e through the figures of each kind that have
// several sizes, by least squares of the logarithms.
func growth(figures []figure) []exponent {
	type key struct{ bench, what string }
	points := map[key][]figure{}
	var order []key
	for _, f := range figures {
		k := key{f.Bench, f.What}
		if len(points[k]) == 0 {
			order = append(order, k)
		}
		if f.Value > 0 {
			points[k] = append(points[k], f)
		}
	}
	var out []exponent
	for _, k := range order {
		n, sx, sy, sxx, sxy := 0.0, 0.0, 0.0, 0.0, 0.0
		for _, f := range points[k] {
			x, y := math.Log(float64(f.Size)), math.Log(f.Value)
			n, sx, sy, sxx, sxy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y
		}
		if d := n*sxx - sx*sx; n >= 2 && d > 0 {
			out = append(out, exponent{k.bench, k.what, (n*sxy - sx*sy) / d})
		}
	}
	return out
}
