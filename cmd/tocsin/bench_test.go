package main_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
)

// benchFiles says what makes each collector of the bench of its source, as the
// source says.
func benchFiles(t *testing.T) map[string][]string {
	t.Helper()
	return map[string][]string{
		"tiny.wat":     {"wat2wasm", "-o", "tiny.wasm", "tiny.wat"},
		"collector.c":  {"clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-s", "-o", "c.wasm", "collector.c"},
		"collector.rs": {rustc(t), "--target", "wasm32-wasi", "--crate-type", "cdylib", "-O", "-C", "lto", "-C", "panic=abort", "-C", "strip=symbols", "-o", "rust.wasm", "collector.rs"},
	}
}

// rustc is the compiler that has the standard library for WASI.
func rustc(t *testing.T) string {
	t.Helper()
	if exists("/usr/lib/rustlib/wasm32-wasi") {
		return "/usr/bin/rustc"
	}
	return "rustc"
}

// TestBenchFiles holds the built collectors of the bench to their sources;
// with -update it builds them.
func TestBenchFiles(t *testing.T) {
	t.Parallel()
	const dir, sums = "bench", "bench/built.sum"
	files, got := benchFiles(t), ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		source, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(source)
		got += fmt.Sprintln(hex.EncodeToString(sum[:]), name)
		if *update {
			build := exec.CommandContext(t.Context(), files[name][0], files[name][1:]...)
			build.Dir = dir
			if text, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", strings.Join(files[name], " "), err, text)
			}
		}
	}
	if *update {
		if err := os.WriteFile(sums, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(sums); err != nil || string(want) != got {
		t.Errorf("a collector of the bench is older than its source (%v); run: go test ./cmd/tocsin -run BenchFiles -update", err)
	}
}

// figure is one line of a bench.
type figure struct {
	Bench, What, Unit, Goal string
	Value, Ratio            float64
}

// benched runs a bench at a small size.
func benched(t *testing.T, args ...string) (figures []figure, leftOut []string) {
	t.Helper()
	got := run(t, append([]string{"bench", "-o", "json", "--seconds", "1"}, args...)...)
	if got.code != 0 {
		t.Fatalf("bench %v: exit code %d\n%s", args, got.code, got.err)
	}
	var out struct {
		Figures []figure `json:"figures"`
		LeftOut []string `json:"left_out"`
	}
	if err := json.Unmarshal([]byte(got.out), &out); err != nil { //nolint:musttag // names of a figure are those of its fields
		t.Fatalf("bench %v: %v\n%s", args, err, got.out)
	}
	return out.Figures, out.LeftOut
}

// TestBenchStores runs the benches of storage, each at a small size.
func TestBenchStores(t *testing.T) {
	t.Parallel()
	figures, leftOut := benched(t, "record", "record/postgres", "checks/http/postgres", "--sizes", "20")
	if len(leftOut) > 0 {
		pgtest.Skip(t, pgtest.ErrMissing)
	}
	have := map[string]bool{}
	for _, f := range figures {
		have[f.Bench+" "+f.What] = f.Value > 0
	}
	for _, want := range []string{"record runs/s", "record growth per run", "record/postgres runs/s", "checks/http/postgres checks/s", "checks/http/postgres CPU per check"} {
		if !have[want] {
			t.Errorf("%s was not measured: %+v", want, figures)
		}
	}
}

// TestBenchWasm runs the bench of modules: every way of every module is there,
// or the reason why it is not.
func TestBenchWasm(t *testing.T) {
	t.Parallel()
	figures, leftOut := benched(t, "wasm", "--sizes", "100")
	have := map[string]bool{}
	for _, f := range figures {
		have[f.Bench+" "+f.What] = f.Value > 0 && f.Unit == "us/run" && (f.Ratio > 0 || strings.HasPrefix(f.What, "not isolated"))
	}
	for _, module := range []string{"tiny", "c", "rust", "go"} {
		for _, way := range []string{"isolated, restored", "isolated, a new instance each", "not isolated: one instance, no limits"} {
			if !have["wasm/"+module+" "+way] {
				t.Errorf("bench wasm did not measure %s, %s: %+v", module, way, figures)
			}
		}
	}
	for _, process := range []string{"wasm/c process: static C", "wasm/tiny node -e", "wasm/tiny bun -e"} {
		_, what, _ := strings.Cut(process, " ")
		if said := strings.Contains(strings.Join(leftOut, "\n"), what); said == have[process] {
			t.Errorf("bench wasm: %s: measured %v, left out %v", what, have[process], said)
		}
	}
}

// TestBenchHistory runs the bench of what is stored, small: the runs and the
// chart of a system are read from both databases.
func TestBenchHistory(t *testing.T) {
	t.Parallel()
	figures, leftOut := benched(t, "query/history", "--sizes", "3000")
	have := map[string]float64{}
	for _, f := range figures {
		have[f.Bench+" "+f.What] = f.Value
	}
	for _, backend := range []string{"sqlite", "postgres"} {
		if strings.Contains(strings.Join(leftOut, "\n"), backend) {
			pgtest.Skip(t, pgtest.ErrMissing)
		}
		for _, what := range []string{
			"last 100 runs, median", "last 100 runs, p95", "chart of 30 days, median", "chart of 30 days, p95",
			"growth per run", "size of a run", "size of a minute", "size of an hour", "size of a day",
		} {
			if have["query/history/"+backend+" "+what] <= 0 {
				t.Errorf("bench query/history did not measure %s of %s: %v", what, backend, have)
			}
		}
	}
}

// TestBenchHostile runs the bench of attacks: each hostile module is refused
// or ended, and healthy checks pass meanwhile.
func TestBenchHostile(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it lets hostile modules use up their limits")
	}
	files, err := filepath.Glob("../../wasm/testdata/hostile/*.wasm")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d hostile modules, %v", len(files), err)
	}
	figures, _ := benched(t, "hostile", "--sizes", "8")
	fates := map[string]string{}
	for _, f := range figures {
		if name, ok := strings.CutPrefix(f.Bench, "hostile/"); ok {
			fates[strings.ReplaceAll(name, "-", "_")] = f.What
		}
		if strings.HasSuffix(f.What, ": healthy runs that passed") && f.Value == 0 {
			t.Errorf("bench hostile: %s: none", f.What)
		}
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".wasm")
		if fate := fates[name]; fate != "refused at upload" && !strings.HasPrefix(fate, "ended by ") {
			t.Errorf("bench hostile: %s was %q", name, fate)
		}
	}
}
