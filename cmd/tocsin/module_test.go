package main_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/web/wire"
)

// queueDepth puts the example module into a directory of the test.
func queueDepth(t *testing.T) (path string, file []byte) {
	t.Helper()
	file, err := examples.QueueDepth()
	if err != nil {
		t.Fatal(err)
	}
	return write(t, t.TempDir(), "queue-depth.wasm", string(file)), file
}

// hostile is the path of a module that means harm.
func hostile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "wasm", "testdata", "hostile", name+".wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestModuleInspect(t *testing.T) {
	t.Parallel()
	path, file := queueDepth(t)
	sum := sha256.Sum256(file)
	//nolint:dupword // a unit and what it is about
	run(t, "module", "inspect", path).wants(t, "inspect", 0, fmt.Sprintf(`name            queue-depth
version         1.0.0
about           How many messages wait in a queue, how many consumers take them, and how long the oldest has waited.
author          Tocsin
abi             tocsin/1
offers          collector
size            %d bytes
sha256          %s
reports         depth integer messages messages that wait
reports         consumers integer  consumers that are connected
reports         oldest_seconds number s how long the oldest message has waited
wants to reach  http://*:*, https://*:*, also on private and loopback addresses
`, len(file), hex.EncodeToString(sum[:])), "")

	got := command{args: []string{"module", "inspect", "-", "-o", "json"}, in: string(file)}.run(t)
	var m core.Manifest
	if err := json.Unmarshal([]byte(got.out), &m); err != nil || got.code != 0 {
		t.Fatalf("inspect as JSON: %v, %+v", err, got)
	}
	if m.Name != "queue-depth" || m.Version != "1.0.0" || len(m.Samples) != 3 || !m.Wants.Private || !json.Valid(m.Schema) {
		t.Errorf("manifest: %+v", m)
	}
}

// TestModuleInspectRefuses gives files that are no modules, or that mean harm.
//
// acceptance 38.
func TestModuleInspectRefuses(t *testing.T) {
	t.Parallel()
	_, file := queueDepth(t)
	dir := t.TempDir()
	const offered = ", which is not offered; offered are tocsin_v1 (input_length, input_read, output_write, log, http, tcp, tls_info, dns, kv_get, kv_set, secret, reveal, now, random) and wasi_snapshot_preview1"
	const endless = "it failed to describe itself: it computed longer than its limit of 2000000000 instructions allows"
	for _, tt := range []struct{ name, path, want string }{
		{"no file", "none.wasm", "open none.wasm: no such file or directory"},
		{"empty", write(t, dir, "empty.wasm", ""), `this is not a WebAssembly module: it does not begin with \0asm`},
		{"text", write(t, dir, "text.wasm", "hello"), `this is not a WebAssembly module: it does not begin with \0asm`},
		{"component", write(t, dir, "component.wasm", "\x00asm\x0d\x00\x01\x00"), "this is a WebAssembly component, a core module is needed: build for wasm32-wasip1 instead of wasm32-wasip2"},
		{"truncated", write(t, dir, "truncated.wasm", string(file[:len(file)/2])), "it ends in the middle of something"},
		{"too large", write(t, dir, "large.wasm", "\x00asm\x01\x00\x00\x00"+strings.Repeat("\x00", 20<<20)), "more than 20 MiB"},
		{"no marker", hostile(t, "no_marker"), "it does not export tocsin_abi_v1, the mark of a module for Tocsin"},
		{"no memory", hostile(t, "no_memory"), "it has no memory"},
		{"no collector", hostile(t, "no_collect"), "it does not export the function tocsin_collect"},
		{"wrong signature", hostile(t, "bad_sig"), "it exports tocsin_collect as (f64) -> f64; it must be () -> i32"},
		{"wrong import", hostile(t, "bad_import"), "it imports env.system" + offered},
		{"import of the meter", hostile(t, "bad_import_tick"), "it imports tocsin_meter.tick" + offered},
		{"import of another type", hostile(t, "bad_import_type"), "it imports tocsin_v1.log as (f64); it is (i32, i32, i32)"},
		{"import of memory", hostile(t, "bad_import_memory"), "it imports env.memory, which is not a function: memories, tables and globals must be its own"},
		{"huge memory", hostile(t, "mem_max"), "its memory has 4294967296 bytes, the limit is 268435456"},
		{"huge table", hostile(t, "table_huge"), "its tables have 100000000 elements, the limit is 100000"},
		{"data bomb", hostile(t, "data_bomb"), "it failed to describe itself: it accessed memory that it does not have (an index or a pointer is wrong)"},
		{"endless start", hostile(t, "start_loop"), endless},
		{"endless description", hostile(t, "describe_loop"), endless},
		{"flood of output", hostile(t, "start_flood"), "it failed to describe itself: its output is over its limit of 256 KiB"},
		{"false name", hostile(t, "describe_liar"), `its manifest: the name "../etc" must begin and end with a letter or a digit`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := run(t, "module", "inspect", tt.path)
			if got.code != 1 || got.out != "" || !strings.HasPrefix(got.err, "tocsin: ") || !strings.Contains(got.err, tt.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("exit code %d, want 1; output %q, want none; errors\n%s\nwant one line with\n%s", got.code, got.out, got.err, tt.want)
			}
			if took := time.Since(begin); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestModuleRun runs the example against a real server, with each outcome.
func TestModuleRun(t *testing.T) {
	t.Parallel()
	path, _ := queueDepth(t)
	queue := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, `{"depth": 70, "consumers": 2, "oldest_seconds": 1.5}`)
	}))
	t.Cleanup(queue.Close)
	denied := strings.TrimPrefix(queue.URL, "http://")
	for _, tt := range []struct {
		name, input string
		args        []string
		code        int
		outcome     core.Outcome
		summary     string
	}{
		{"pass", `{"url": %q}`, nil, 0, core.Pass, "70 messages wait for 2 consumers"},
		{"warn", `{"url": %q, "warn_depth": 50}`, nil, 0, core.Warn, "70 messages wait, the warning is at 50"},
		{"fail", `{"url": %q, "fail_depth": 60}`, nil, 1, core.Fail, "70 messages wait, the most is 60"},
		{"not granted", `{"url": %q}`, []string{"--allow", "https://queue.example:443"}, 1, core.Error, "http://" + denied + " is not granted; granted is https://queue.example:443 (denied)"},
		{"public only", `{"url": %q}`, []string{"--public-only"}, 1, core.Error, "127.0.0.1 is a loopback address, which may not be reached from here (denied)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := run(t, append([]string{"module", "run", path, "--input", fmt.Sprintf(tt.input, queue.URL)}, tt.args...)...)
			var report wire.TestReport
			if err := json.Unmarshal([]byte(got.out), &report); err != nil {
				t.Fatalf("%v: %+v", err, got)
			}
			if got.code != tt.code || report.Outcome != tt.outcome || report.Summary != tt.summary || report.Usage.HTTP != 1 || report.Version != "1.0.0" || len(report.Grant.HTTP) == 0 {
				t.Errorf("exit code %d, want %d: %+v, want %s: %s", got.code, tt.code, report, tt.outcome, tt.summary)
			}
			if wants := fmt.Sprintf("tocsin: the outcome is %s: %s\n", tt.outcome, tt.summary); tt.code != 0 && got.err != wants || tt.code == 0 && got.err != "" {
				t.Errorf("errors %q, want %q", got.err, wants)
			}
		})
	}
	input := write(t, t.TempDir(), "config.json", fmt.Sprintf(`{"url": %q}`, queue.URL))
	if got := run(t, "module", "run", path, "--input", "@"+input, "--system", "orders"); got.code != 0 || !strings.Contains(got.out, `"depth": 70`) {
		t.Errorf("configuration of a file: %+v", got)
	}
}

// TestModuleRunRefuses gives configurations that cannot be meant.
func TestModuleRunRefuses(t *testing.T) {
	t.Parallel()
	path, _ := queueDepth(t)
	for _, tt := range []struct {
		name, input string
		code        int
		want        string
	}{
		{"not JSON", "{", 2, "--input must be a JSON object: unexpected end of JSON input"},
		{"a list", "[]", 2, "--input must be a JSON object: json: cannot unmarshal array into Go value of type map[string]interface {}"},
		{"null", "null", 2, "--input must be a JSON object, not null"},
		{"unknown field", `{"url": "http://127.0.0.1/", "warn_dept": 3}`, 2, `--input: warn_dept: unknown field "warn_dept"; did you mean "warn_depth"?`},
		{"missing field", "{}", 2, "--input: url: url is missing; write url: and its value"},
		{"no file", "@none.json", 1, "open none.json: no such file or directory"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := "tocsin: " + tt.want + "\n"
			if tt.code == 2 {
				want += "Run 'tocsin --help' for usage.\n"
			}
			run(t, "module", "run", path, "--input", tt.input).wants(t, tt.name, tt.code, "", want)
		})
	}
}

// TestModuleRunHostile runs modules that mean harm: each ends within its
// limits and names the one that it hit.
//
// acceptance 38.
func TestModuleRunHostile(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, timeout, code, want string }{
		{"inf_loop", "100ms", "limit_time", "it did not end in the time of the run"},
		{"inf_loop", "1m", "limit_fuel", "it computed longer than its limit of 1000000000 instructions allows"},
		{"sleep_1h", "300ms", "limit_time", "it did not end in the time of the run"},
		{"out_flood", "10s", "limit_output", "its output is over its limit of 256 KiB"},
		{"trap_oob", "10s", "trap", "it accessed memory that it does not have"},
	} {
		t.Run(tt.name+" "+tt.timeout, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			got := run(t, "module", "run", hostile(t, tt.name), "--timeout", tt.timeout)
			var report wire.TestReport
			if err := json.Unmarshal([]byte(got.out), &report); err != nil {
				t.Fatalf("%v: %+v", err, got)
			}
			if got.code != 1 || report.Outcome != core.Error || report.Why.Code != tt.code || !strings.Contains(got.err, tt.want) {
				t.Errorf("exit code %d, %s: %+v; want an error %s: %s", got.code, report.Outcome, report.Why, tt.code, tt.want)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestModuleChangeOutlivesCaller activates versions of a module for callers who
// do not wait for the answer, many at once: whatever they do, the module that
// is active at the end runs.
func TestModuleChangeOutlivesCaller(t *testing.T) {
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	file, err := os.ReadFile(filepath.Join("..", "..", "wasm", "testdata", "modules", "tiny.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	versions := []string{"1.0.0", "1.0.1"}
	for _, v := range versions {
		other := []byte(strings.Replace(string(file), `"version":"1.0.0"`, `"version":"`+v+`"`, 1))
		if status, body := server.Do(http.MethodPost, "/api/v1/modules", other, nil); status != http.StatusOK {
			t.Fatalf("upload %s: %d %s", v, status, body)
		}
	}
	activate := func(version string, patience time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/api/v1/modules/tiny/versions/"+version+"/activate", strings.NewReader(`{"grant":{}}`))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", "Bearer "+server.Token())
		req.Header.Set("Content-Type", "application/json")
		if resp, err := http.DefaultClient.Do(req); err == nil { // else it has gone
			_ = resp.Body.Close()
		}
	}
	activate(versions[0], time.Minute)
	server.Apply(`
apiVersion: tocsin/v1
kind: System
metadata: {name: web}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: tiny}
spec:
  systems: [web]
  every: 1h
  collect: [{use: "wasm:tiny"}]
`)
	var callers sync.WaitGroup
	for i := range 40 {
		callers.Go(func() { activate(versions[i%2], time.Duration(i%8)*time.Millisecond/2+time.Millisecond) })
		time.Sleep(5 * time.Millisecond)
	}
	callers.Wait()
	tocsintest.Until(t, 20*time.Second, "the module that is active runs", func() bool {
		var run core.Run
		status, _ := server.Do(http.MethodPost, "/api/v1/assignments/web:tiny/run", nil, &run)
		return status == http.StatusOK && run.Outcome == core.Pass
	})
}
