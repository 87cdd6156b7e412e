package wasm_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
)

// What somebody who wants to do harm can try, and the test of it:
//
//	loops, by branch, br_table or calls            TestHostile inf_loop, br_table_loop, call_tree, fill_loop; TestDeadline
//	recursion without end                          TestHostile deep_rec; TestInspectHostile recursion
//	memory: all there is, again and again          TestHostile mem_bomb, mem_max, mem_shy, grow_loop, grow_storm
//	tables: huge, grown, filled, copied            TestHostile table_huge, table_grow, table_storm, copy_storm
//	data segments: outside, too many               TestHostile data_bomb; TestTooMuchInAFile
//	a file of 100 MB                               TestInspectHostile giant
//	a file that compiles for minutes, or in GBs    TestWorker, TestWorkerEndsAlone, TestWorkerIsRestrained, TestWorkerEndedByKernel;
//	                                               meter.TestLimitsBoundCompilation
//	deep nesting, many locals, wide functions      meter.TestParseRefuses
//	much of anything else, huge and ugly names     TestTooMuchInAFile
//	cut off, changed and random bytes              TestDamagedFiles, FuzzInspect; meter.FuzzParse
//	imports that are not offered, or otherwise     TestHostile bad_import...
//	exports that are missing, or otherwise         TestHostile bad_sig, no_...
//	work at its start, or when it describes itself TestHostile start_...; TestInspectHostile loop, start, sleeper, flood, greedy
//	a manifest that lies                           TestInspectHostile liar; TestResponse
//	calls to the host without end                  TestHostile host_flood, random_flood, poll_flood, http_flood; TestReachHostile
//	sleeping past the deadline                     TestHostile sleep_1h; TestDeadline
//	output and logs without end                    TestHostile out_flood, log_flood, log_empty, big_request; TestHostileCommands
//	pointers and lengths out of range              TestHostile bad_ptr...; TestHostFunctionsWithAwkwardArguments, FuzzHostFunctions
//	documents that are none                        FuzzDocuments
//	targets that answer without end, or slowly     TestEndlessTargets, TestHTTPDeadline, TestReachHostile
//	addresses and redirects around the grant       TestHTTP, TestHTTPGuard, TestReach
//	handles of a connection or secret used later   TestReach, TestHandlesEnd, TestSecrets
//	what other runs left                           TestNothingIsLeft, TestNothingIsLeftByRealPrograms
//	traps in numbers                               TestTrapStorm
//	compiled code that somebody changed or added   TestCache, TestCacheKeepsItsList
//	a rewriting that computes something else       FuzzSame, FuzzSameMutated, TestSameInRealPrograms

type ending struct{ code, text string }

// endings says how each module of testdata/hostile ends. A text without code
// is why the file is refused before it runs.
func endings() map[string]ending {
	const fuel, late = "it computed longer than its limit of 50000000 instructions", "it did not end in the time of the run"
	return map[string]ending{
		"inf_loop":          {"limit_fuel", fuel},
		"br_table_loop":     {"limit_fuel", fuel},
		"call_tree":         {"limit_fuel", fuel},
		"fill_loop":         {"limit_fuel", fuel},
		"grow_loop":         {"limit_fuel", fuel},
		"grow_storm":        {"limit_fuel", fuel},
		"table_storm":       {"limit_fuel", fuel},
		"copy_storm":        {"limit_fuel", fuel},
		"start_loop":        {"", "it failed to initialise: it computed longer than its limit of 2000000000 instructions"},
		"start_flood":       {"", "it failed to initialise: its output is over its limit of 256 KiB"},
		"deep_rec":          {"limit_depth", "its calls nest deeper than its stack of 16 MiB allows"},
		"mem_bomb":          {"limit_memory", "it asked for more memory than its limit of 16 MiB"},
		"mem_max":           {"", "its memory has 4294967296 bytes, the limit is 268435456"},
		"mem_shy":           {"", "it begins with 33554432 bytes of memory, granted are 16777216"},
		"table_grow":        {"limit_table", "it aborted in tocsin_collect (a panic or a failed assertion; its log may say more); it asked for more elements of a table than its limit of 100000"},
		"table_huge":        {"", "its tables have 100000000 elements, the limit is 100000"},
		"data_bomb":         {"", "it failed to initialise: it accessed memory that it does not have"},
		"out_flood":         {"limit_output", "its output is over its limit of 256 KiB"},
		"log_flood":         {"limit_fuel", "calls to the host used up its limit of 50000000 instructions"},
		"log_empty":         {"limit_fuel", "calls to the host used up its limit of 50000000 instructions"},
		"http_flood":        {"limit_fuel", "calls to the host used up its limit of 50000000 instructions"},
		"host_flood":        {"limit_fuel", "calls to the host used up its limit of 50000000 instructions"},
		"random_flood":      {"limit_fuel", "calls to the host used up its limit of 50000000 instructions"},
		"bad_ptr":           {"pointer", "it called output_write with 1000 bytes at 131070, outside of its memory of 131072 bytes"},
		"bad_ptr_negative":  {"pointer", "it called log with 4294967295 bytes at 4294967280, outside of its memory"},
		"bad_ptr_http":      {"pointer", "it called http with 100 bytes at 2147483632, outside of its memory"},
		"big_request":       {"limit_request", "its http request has 2000000 bytes, the limit is 1 MiB"},
		"sleep_1h":          {"limit_time", late},
		"poll_flood":        {"gave_up", "tocsin_collect returned 28"},
		"exit":              {"exit", "it ended itself with exit code 3"},
		"trap_div0":         {"trap", "it divided by zero in divide, called by tocsin_collect"},
		"trap_oob":          {"trap", "it accessed memory that it does not have in tocsin_collect"},
		"garbage":           {"response", "its response is not valid"},
		"silent":            {"response", "it wrote no response"},
		"bad_import":        {"", "it imports env.system, which is not offered; offered are tocsin_v1 (input_length, input_read, output_write, log, http, tcp, tls_info, dns, kv_get, kv_set, secret, reveal, now, random) and wasi_snapshot_preview1"},
		"bad_import_type":   {"", "it imports tocsin_v1.log as (f64); it is (i32, i32, i32)"},
		"bad_import_tick":   {"", "it imports tocsin_meter.tick, which is not offered"},
		"bad_import_memory": {"", "it imports env.memory, which is not a function"},
		"bad_sig":           {"", "it exports tocsin_collect as (f64) -> f64; it must be () -> i32"},
		"no_marker":         {"", "it does not export tocsin_abi_v1"},
		"no_collect":        {"", "it does not export the function tocsin_collect"},
		"no_memory":         {"", "it has no memory"},
	}
}

// Each hostile module ends within its budget, with a reason that names the
// limit, while a healthy module on the same Host keeps answering.
// acceptance 38.
func TestHostile(t *testing.T) {
	h := newHost(t, wasm.Options{})
	healthy := load(t, h, "modules/tiny", core.Grant{}, number())
	files, err := filepath.Glob("testdata/hostile/*.wasm")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d hostile modules, %v", len(files), err)
	}
	want := endings()
	for _, path := range files {
		name := strings.TrimSuffix(filepath.Base(path), ".wasm")
		if strings.HasPrefix(name, "describe_") {
			continue // see TestInspectHostile
		}
		t.Run(name, func(t *testing.T) {
			end, ok := want[name]
			if !ok {
				t.Fatal("how it must end is not said")
			}
			worst := watch(t, healthy)
			took := attack(t, h, name, end)
			if late := worst(); took > 3*time.Second || late > time.Second {
				t.Errorf("it took %s of processor time, and the healthy module up to %s", took, late)
			}
		})
	}
}

// attack runs a hostile module and says how much processor time went by.
func attack(t *testing.T, h *wasm.Host, name string, end ending) time.Duration {
	t.Helper()
	file := readFile(t, "testdata/hostile", name+".wasm")
	grant := core.Grant{HTTP: []string{"http://127.0.0.1:1"}, Private: true, Limits: core.Limits{Fuel: 50_000_000}}
	began := wasm.ProcessTime()
	m, err := h.Load(t.Context(), stored(file, grant, number()), file)
	if err != nil {
		if end.code != "" || !strings.Contains(err.Error(), end.text) {
			t.Errorf("Load: %v, want %+v", err, end)
		}
		return wasm.ProcessTime() - began
	}
	defer func() { _ = m.Close(context.Background()) }()
	deadline := 3 * time.Second // the fuel is used up long before
	if end.code == "limit_time" {
		deadline = 300 * time.Millisecond
	}
	got := m.Collect(within(t, deadline), someone, nil)
	took := wasm.ProcessTime() - began
	if end.code == "" || got.Outcome != core.Error || got.Why.Code != end.code || !strings.Contains(got.Why.Text, end.text) {
		t.Errorf("Collect = %s %s %q, want %+v", got.Outcome, got.Why.Code, got.Why.Text, end)
	}
	for _, leak := range []string{"/root", "/home", "goroutine", ".go:", "wazero"} {
		if strings.Contains(got.Why.Text, leak) {
			t.Errorf("Collect says %q, which names %q", got.Why.Text, leak)
		}
	}
	if n := len(got.Logs); strings.HasPrefix(name, "log_") && (n == 0 || got.Logs[n-1].Text != "the log ends here: its limit is 64 KiB") {
		t.Errorf("the log has %d lines, and its last one does not name its limit", n)
	}
	if u := got.Usage; u.Logs > 64<<10 || u.Output > 256<<10 || u.Memory > 16<<20 || u.HTTP > 20 || u.Fuel > 51_000_000 {
		t.Errorf("Usage %+v is over the limits", *u)
	}
	return took
}

// watch runs m again and again until the function it returns is called, which
// says how long the slowest run took.
func watch(t *testing.T, m *wasm.Module) func() time.Duration {
	t.Helper()
	stop, done := make(chan struct{}), make(chan time.Duration)
	go func() {
		var worst time.Duration
		for {
			select {
			case <-stop:
				done <- worst
				return
			case <-time.After(time.Millisecond):
			}
			began := time.Now()
			if got := m.Collect(context.Background(), someone, nil); got.Outcome != core.Pass {
				t.Errorf("the healthy module: %s %v", got.Outcome, got.Why)
			}
			worst = max(worst, time.Since(began))
		}
	}()
	return func() time.Duration { close(stop); return <-done }
}

// A guest that computes for ever ends at its deadline, whatever its fuel.
// acceptance 10, acceptance 38.
func TestDeadline(t *testing.T) {
	h := newHost(t, wasm.Options{})
	for _, name := range []string{"inf_loop", "call_tree", "br_table_loop", "fill_loop", "host_flood", "sleep_1h", "log_flood", "random_flood"} {
		m := load(t, h, "hostile/"+name, core.Grant{Limits: core.Limits{Fuel: 100_000_000_000}})
		const deadline = 100 * time.Millisecond
		began := time.Now()
		got := m.Collect(within(t, deadline), someone, nil)
		if took := time.Since(began); got.Why.Code != "limit_time" || took > deadline+400*time.Millisecond {
			t.Errorf("%s ended after %s with %s %q", name, took, got.Why.Code, got.Why.Text)
		}
	}
}

func TestCancel(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := load(t, h, "hostile/inf_loop", core.Grant{Limits: core.Limits{Fuel: 100_000_000_000}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if got := m.Collect(ctx, someone, nil); got.Why.Code != "canceled" {
		t.Errorf("Collect of a cancelled run = %s %q", got.Why.Code, got.Why.Text)
	}
}

// Files that are refused, or that fail to describe themselves.
// acceptance 38.
func TestInspectHostile(t *testing.T) {
	h := newHost(t, wasm.Options{})
	tiny := readFile(t, "testdata/modules/tiny.wasm")
	for name, c := range map[string]struct {
		file []byte
		text string
	}{
		"empty":     {nil, "not a WebAssembly module"},
		"text":      {[]byte("#!/bin/sh\nexit 1\n"), "2:6: source: Expected"}, // taken for a script
		"latin-1":   {[]byte("na\xefve"), "not a WebAssembly module"},
		"component": {[]byte("\x00asm\x0d\x00\x01\x00"), "build for wasm32-wasip1"},
		"version":   {[]byte("\x00asm\x02\x00\x00\x00"), "version 2 of WebAssembly"},
		"truncated": {tiny[:len(tiny)/2], "it ends in the middle"},
		"giant":     {make([]byte, 100<<20), "the module has 104857600 bytes, the limit is 20971520"},
		"loop":      {readFile(t, "testdata/hostile/describe_loop.wasm"), "it failed to describe itself: it computed longer than its limit"},
		"sleeper":   {readFile(t, "testdata/hostile/describe_sleep.wasm"), "it failed to describe itself: its "},
		"flood":     {readFile(t, "testdata/hostile/describe_flood.wasm"), "it failed to describe itself: its output is over its limit of 256 KiB"},
		"recursion": {readFile(t, "testdata/hostile/describe_recursion.wasm"), "it failed to describe itself: its calls nest deeper than its stack of 16 MiB allows"},
		"greedy":    {readFile(t, "testdata/hostile/describe_grow.wasm"), "it asked for more memory than its limit of 64 MiB"},
		"liar":      {readFile(t, "testdata/hostile/describe_liar.wasm"), `the name "../etc" must begin and end`},
		"start":     {readFile(t, "testdata/hostile/start_loop.wasm"), "it failed to describe itself: it computed longer than its limit"},
		"shy":       {readFile(t, "testdata/hostile/mem_shy.wasm"), "raise wants.limits.memory_bytes"},
	} {
		began := time.Now()
		m, err := h.Inspect(t.Context(), c.file)
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("Inspect of %s = %+v, %v; want %q", name, m, err, c.text)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("Inspect of %s took %s", name, took)
		}
	}
}

// The assembled files belong to their source.
func TestAssembled(t *testing.T) {
	wat2wasm, err := exec.LookPath("wat2wasm")
	if err != nil {
		if os.Getenv("CI") != "" { //nolint:forbidigo // where everything must be there, a test does not skip
			t.Fatal("wat2wasm is not installed: it is in the package wabt")
		}
		t.Skip("wat2wasm is not installed: it is in the package wabt")
	}
	files, err := filepath.Glob("testdata/*/*.wat")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, wat := range files {
		out := filepath.Join(t.TempDir(), "out.wasm")
		if text, err := exec.CommandContext(t.Context(), wat2wasm, "--debug-names", wat, "-o", out).CombinedOutput(); err != nil {
			t.Fatalf("assemble %s: %v\n%s", wat, err, text)
		}
		got := readFile(t, strings.TrimSuffix(wat, ".wat")+".wasm")
		want, err := os.ReadFile(out)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s is not what wat2wasm --debug-names makes of its source (%v)", wat, err)
		}
	}
}
