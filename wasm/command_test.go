package wasm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// build runs a compiler that writes a module to the file that it names OUT.
func build(t *testing.T, env []string, packages string, command ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		missing(t, "%s is not installed: it is in %s", command[0], packages)
	}
	out := filepath.Join(t.TempDir(), "out.wasm")
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], "OUT", out)
	}
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, text)
	}
	return readFile(t, out)
}

// missing skips a test that needs what is not installed.
func missing(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" { //nolint:forbidigo // where everything must be there, a test does not skip
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// buildC makes a command of a file in testdata/commands.
func buildC(t *testing.T, source string, flags ...string) []byte {
	t.Helper()
	if _, err := os.Stat("/usr/lib/wasm32-wasi/libc.a"); err != nil {
		missing(t, "the C library for WASI is not installed: it is in the package wasi-libc")
	}
	command := append([]string{"clang", "--target=wasm32-wasi", "-O2", "-Itestdata/commands", "-o", "OUT", filepath.Join("testdata/commands", source)}, flags...)
	return build(t, nil, "the packages clang and lld, with libclang-rt-dev-wasm32", command...)
}

// rustc finds a compiler that has the standard library for WASI.
func rustc(t *testing.T) (compiler, target string) {
	t.Helper()
	for _, compiler := range []string{"rustc", "/usr/bin/rustc"} {
		for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} {
			dir, err := exec.CommandContext(t.Context(), compiler, "--target", target, "--print", "target-libdir").Output()
			if err != nil {
				continue
			}
			if std, _ := filepath.Glob(filepath.Join(strings.TrimSpace(string(dir)), "libstd-*.rlib")); len(std) > 0 {
				return compiler, target
			}
		}
	}
	missing(t, "no Rust for WASI is installed: it is in the packages rustc and libstd-rust-dev-wasm32, or rustup target add wasm32-wasip1")
	return "", ""
}

// loaded inspects a file, grants what it wants and loads it.
func loaded(t *testing.T, h *wasm.Host, file []byte) (*wasm.Module, core.Manifest) {
	t.Helper()
	manifest, err := h.Inspect(t.Context(), file)
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	m, err := h.Load(t.Context(), core.Module{Name: manifest.Name, Version: manifest.Version, Manifest: manifest, Grant: manifest.Wants}, file)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	t.Cleanup(func() { _ = m.Close(t.Context()) })
	return m, manifest
}

func TestCommandInC(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m, manifest := loaded(t, h, buildC(t, "disk.c"))
	if manifest.Name != "disk" || len(manifest.Samples) != 3 || !strings.Contains(string(manifest.Schema), `"required": ["used"]`) {
		t.Errorf("Inspect = %+v", manifest)
	}
	for used, want := range map[float64]core.Outcome{41.5: core.Pass, 97: core.Fail} {
		got := m.Collect(within(t, 5*time.Second), someone, map[string]any{"used": used})
		if got.Outcome != want || got.Samples["used"] != used || !strings.Contains(got.Summary, "% used") {
			t.Errorf("Collect of %v %% = %+v, want %s", used, got, want)
		}
		if got.Samples["env"] != int64(0) || got.Samples["files"] != int64(0) {
			t.Errorf("it found an environment or files: %v", got.Samples)
		}
		if len(got.Logs) != 1 || got.Logs[0].Text != "read a request to collect" {
			t.Errorf("its log is %+v", got.Logs)
		}
	}
	got := m.Collect(within(t, 5*time.Second), someone, nil)
	if got.Outcome != core.Error || got.Why.Code != "exit" || !strings.HasSuffix(got.Why.Text, `it ended itself with exit code 3: the configuration names no "used"`) {
		t.Errorf("Collect that gives up = %s %+v", got.Outcome, got.Why)
	}
}

func TestCommandInGo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a Go program")
	}
	h := newHost(t, wasm.Options{})
	m, manifest := loaded(t, h, build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "the Go distribution", "go", "build", "-o", "OUT", "./testdata/commands/score"))
	if manifest.Name != "score" || len(manifest.Samples) != 1 {
		t.Errorf("Inspect = %+v", manifest)
	}
	got := m.Collect(within(t, 10*time.Second), someone, map[string]any{"weight": 2.5})
	if got.Outcome != core.Pass || got.Samples["weight"] != 2.5 || got.Summary != someone.System.ID {
		t.Errorf("Collect = %+v", got)
	}
	if !slices.ContainsFunc(got.Logs, func(l core.LogLine) bool { return l.Text == "asked to collect" }) {
		t.Errorf("its log is %+v", got.Logs)
	}
	acted := m.Act(within(t, 10*time.Second), abi.Step{Key: "f/a", Attempt: 2}, nil)
	if acted.Outcome != core.Pass || acted.Output["key"] != "f/a" || acted.Output["attempt"] != int64(2) || acted.Usage == nil || len(acted.Logs) != 1 {
		t.Errorf("Act = %+v", acted)
	}
	v, fuel, err := m.Call(t.Context(), "double", wasm.Call{Args: []any{int64(21)}})
	if err != nil || v != 42.0 {
		t.Errorf("Call of double = %v, %v after %d", v, err, fuel)
	}
	t.Logf("a call of a function of a command in Go costs %d instructions", fuel)
}

func TestCommandInRust(t *testing.T) {
	compiler, target := rustc(t)
	h := newHost(t, wasm.Options{})
	m, manifest := loaded(t, h, build(t, nil, "rustc", compiler, "--target", target, "-O", "-o", "OUT", "testdata/commands/uptime.rs"))
	if manifest.Name != "uptime" {
		t.Errorf("Inspect = %+v", manifest)
	}
	got := m.Collect(within(t, 5*time.Second), someone, nil)
	if n, ok := got.Samples["bytes"].(int64); got.Outcome != core.Pass || !ok || n < 100 {
		t.Errorf("Collect = %+v", got)
	}
	got = m.Collect(within(t, 5*time.Second), someone, map[string]any{"panic": true})
	if got.Outcome != core.Error || !strings.Contains(got.Why.Text, "no uptime today") {
		t.Errorf("Collect that panics = %s %+v", got.Outcome, got.Why)
	}
}

// Commands that misbehave end with a reason, within their limits.
// acceptance 38.
func TestHostileCommands(t *testing.T) {
	h := newHost(t, wasm.Options{})
	for i, c := range []struct {
		name    string
		outcome core.Outcome
		code    string
		text    string
	}{
		{"never reads", core.Pass, "", ""},
		{"endless output", core.Error, "limit_output", "its output is over its limit of 256 KiB"},
		{"exit 3", core.Error, "exit", "it ended itself with exit code 3: last words"},
		{"endless loop", core.Error, "limit_fuel", "it computed longer than its limit of 50000000 instructions"},
		{"exit 0 at once", core.Error, "response", "it wrote no response"},
		{"log flood", core.Error, "limit_fuel", "its limit of 50000000 instructions"},
		{"reads past the end", core.Pass, "", ""},
		{"silent exit", core.Error, "exit", "it ended itself with exit code 4"},
		{"abort", core.Error, "trap", "it aborted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := buildC(t, "hostile.c", "-DCASE="+strconv.Itoa(i+1))
			manifest, err := h.Inspect(t.Context(), file)
			if err != nil {
				t.Fatalf("Inspect: %v", err)
			}
			m, err := h.Load(t.Context(), core.Module{Name: "bad", Manifest: manifest, Grant: core.Grant{Limits: core.Limits{Fuel: 50_000_000}}}, file)
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			began := time.Now()
			got := m.Collect(within(t, 5*time.Second), someone, map[string]any{"filler": strings.Repeat("x", 10_000)})
			if got.Outcome != c.outcome || got.Why.Code != c.code || !strings.Contains(got.Why.Text, c.text) || time.Since(began) > 4*time.Second {
				t.Errorf("Collect = %s %+v after %s", got.Outcome, got.Why, time.Since(began))
			}
		})
	}
	for name, c := range map[string]struct {
		flags []string
		text  string
	}{
		"no manifest":       {[]string{"-DCASE=0"}, "it has no custom section tocsin.manifest, and when it was asked to describe itself it wrote nothing; add the section, or answer a request of kind describe"},
		"exit in describe":  {[]string{"-DCASE=3"}, "when it was asked to describe itself it ended itself with exit code 3: last words; add the section"},
		"loops in describe": {[]string{"-DCASE=4"}, "it computed longer than its limit of 2000000000 instructions"},
		"no document":       {[]string{"-DCASE=2"}, "its output is over its limit of 256 KiB"},
		"answers otherwise": {[]string{"-DCASE=1"}, "its manifest names no abi"},
	} {
		_, err := h.Inspect(t.Context(), buildC(t, "hostile.c", append(c.flags, "-DNO_MANIFEST")...))
		if err == nil || !strings.Contains(err.Error(), c.text) {
			t.Errorf("Inspect of a command with %s: %v, want %q", name, err, c.text)
		}
	}
}

// What a command cannot have.
func TestCommandRefused(t *testing.T) {
	h := newHost(t, wasm.Options{})
	for name, text := range map[string]string{
		"command_imports": "it is a WASI command and imports tocsin_v1.log; only a reactor calls the host: export tocsin_abi_v1",
		"command_type":    "it exports _start as () -> i32; it must be ()",
		"command_wants":   "its manifest wants more than limits, and a WASI command cannot call the host",
	} {
		_, err := h.Inspect(t.Context(), readFile(t, "testdata/commands", name+".wasm"))
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("Inspect of %s: %v, want %q", name, err, text)
		}
	}
}
