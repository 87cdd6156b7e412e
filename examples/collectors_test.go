package examples_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/cmd/toolchain"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
)

// made builds a project, or skips the test where its compiler is absent.
func made(t *testing.T, dir string) []byte {
	t.Helper()
	if testing.Short() {
		t.Skip("builds a module")
	}
	var said bytes.Buffer
	out := filepath.Join(t.TempDir(), "module.wasm")
	if err := toolchain.Build(t.Context(), dir, out, &said); err != nil {
		absent(t, err)
		t.Fatalf("build %s: %v\n%s", dir, err, &said)
	}
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// tocsin is the binary, built once.
var tocsin = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tocsin-examples-")
	if err != nil {
		return "", err
	}
	built = dir
	return tocsintest.Build(dir)
})

var built string // where tocsin was built, removed by TestMain

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// rehearses runs the test cases of an example as its author would.
func rehearses(t *testing.T, dir string, file []byte) {
	t.Helper()
	binary, err := tocsin()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := os.CopyFS(filepath.Join(home, "testdata"), os.DirFS(filepath.Join(dir, "testdata"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(home, "module.wasm")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), binary, "module", "test", path).CombinedOutput(); err != nil || !bytes.Contains(out, []byte(" cases passed\n")) {
		t.Errorf("tocsin module test of %s: %v\n%s", dir, err, out)
	}
}

// absent skips a test when err says that a compiler is not installed; where
// everything must be installed the test fails.
func absent(t *testing.T, err error) {
	t.Helper()
	if _, missing := errors.AsType[*toolchain.MissingError](err); !missing {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// kept is wasm.Values in memory.
type kept map[string]string

func (k kept) Value(_ context.Context, scope, key string) (string, bool, error) {
	v, ok := k[scope+" "+key]
	return v, ok, nil
}

func (k kept) SetValue(_ context.Context, scope, key string, value *string, _ int64) (int64, bool, error) {
	if value == nil {
		delete(k, scope+" "+key)
		return 0, true, nil
	}
	k[scope+" "+key] = *value
	return int64(len(*value)), true, nil
}

// load inspects a module, grants what it wants and loads it.
func load(t *testing.T, file []byte) (*wasm.Module, core.Manifest) {
	t.Helper()
	host, err := wasm.New(wasm.Options{
		DialPrivate: (&net.Dialer{}).DialContext, Values: kept{},
		Secret: func(name string) (string, error) { return "the value of " + name, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = host.Close(context.Background()) })
	manifest, err := host.Inspect(t.Context(), file)
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	module, err := host.Load(t.Context(), core.Module{Name: manifest.Name, Version: manifest.Version, Manifest: manifest, Grant: manifest.Wants}, file)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	t.Cleanup(func() { _ = module.Close(context.Background()) })
	return module, manifest
}

// web is whom the runs of the tests are for.
var web = core.RunContext{Check: core.CheckRef{ID: "test", Name: "Test"}, System: core.System{ID: "web"}.Ref()}

// gets compares what a run gave with what it should have.
func gets(t *testing.T, m *wasm.Module, config map[string]any, outcome core.Outcome, summary string) core.Result {
	t.Helper()
	got := m.Collect(t.Context(), web, config)
	if got.Outcome != outcome || !strings.Contains(got.Summary, summary) {
		t.Errorf("Collect of %v = %s %q, %+v\nwant %s %q; log %+v", config, got.Outcome, got.Summary, got.Why, outcome, summary, got.Logs)
	}
	return got
}

// serve answers with a certificate that is valid for a while, by nobody known.
func serve(t *testing.T, valid time.Duration) (address string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(valid),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "https://")
}

func TestCertificateExpiry(t *testing.T) {
	t.Parallel()
	file := made(t, "collectors/certificate-expiry")
	rehearses(t, "collectors/certificate-expiry", file)
	m, manifest := load(t, file)
	if manifest.Name != "certificate-expiry" || len(manifest.Samples) != 5 || !strings.Contains(string(manifest.Schema), `"minLength":1`) {
		t.Errorf("manifest %+v, schema %s", manifest, manifest.Schema)
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		valid   time.Duration
		verify  bool
		outcome core.Outcome
		summary string
	}{
		{100*day + time.Hour, false, core.Pass, "the certificate is valid for 100 days"},
		{10*day + time.Hour, false, core.Warn, "the certificate ends in 10 days, the warning is at 21"},
		{2*day + time.Hour, false, core.Fail, "the certificate ends in 2 days, 7 are needed"},
		{-day, false, core.Fail, "the certificate ended 1 days ago"},
		{100 * day, true, core.Fail, "the certificate cannot be verified: "},
	} {
		got := gets(t, m, map[string]any{"host": serve(t, c.valid), "verify": c.verify}, c.outcome, c.summary)
		days, ok := got.Samples["days_left"].(float64)
		if !ok || days < c.valid.Hours()/24-0.1 || days > c.valid.Hours()/24 || got.Samples["verified"] != false || got.Samples["tls_version"] != "TLS 1.3" {
			t.Errorf("samples of a certificate valid for %v: %v", c.valid, got.Samples)
		}
	}
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	gets(t, m, map[string]any{"host": strings.TrimPrefix(closed.URL, "http://")}, core.Fail, "(connect)")
	gets(t, m, map[string]any{"host": ""}, core.Error, "")
	gets(t, m, nil, core.Error, "configuration: host is missing")
}

func TestDiskFree(t *testing.T) {
	t.Parallel()
	file := made(t, "collectors/disk-free")
	rehearses(t, "collectors/disk-free", file)
	m, manifest := load(t, file)
	if manifest.Name != "disk-free" || len(manifest.Samples) != 4 {
		t.Errorf("manifest %+v", manifest)
	}
	report := `{"disks": [{"mount": "/", "total_bytes": 1000, "free_bytes": 500}, {"mount": "/data", "total_bytes": 4e12, "free_bytes": 4e11}, {"mount": "/odd"}]}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/text":
			_, _ = io.WriteString(w, "no report")
		case r.URL.Path == "/none":
			_, _ = io.WriteString(w, `{"disks": []}`)
		case r.URL.Path == "/locked" && r.Header.Get("Authorization") != "Bearer the value of disk-token":
			http.Error(w, "who are you?", http.StatusUnauthorized)
		default:
			_, _ = io.WriteString(w, report)
		}
	}))
	t.Cleanup(server.Close)
	at := func(path string, more ...any) map[string]any {
		config := map[string]any{"url": server.URL + path}
		for i := 0; i < len(more); i += 2 {
			config[more[i].(string)] = more[i+1]
		}
		return config
	}
	got := gets(t, m, at("/"), core.Warn, "10.0 % of /data are free, the warning is at 15 %")
	if got.Samples["free_percent"] != 10.0 || got.Samples["free_bytes"] != int64(4e11) || got.Samples["mount"] != "/data" || got.Samples["disks"] != int64(3) {
		t.Errorf("samples %v", got.Samples)
	}
	if len(got.Logs) != 1 || got.Logs[0].Text != "disk 3 has no size and is left out" {
		t.Errorf("log %+v", got.Logs)
	}
	gets(t, m, at("/", "mount", "/"), core.Pass, "50.0 % of / are free")
	gets(t, m, at("/", "fail_percent", 20), core.Fail, "10.0 % of /data are free, 20 % are needed")
	gets(t, m, at("/", "mount", "/home"), core.Fail, "reports no disk at /home")
	gets(t, m, at("/none"), core.Fail, "reports no disks")
	gets(t, m, at("/text"), core.Fail, "answered something else than JSON: JSON, byte 1")
	gets(t, m, at("/locked"), core.Fail, "/locked answered 401")
	gets(t, m, at("/locked", "token", map[string]any{"secret": "disk-token"}), core.Warn, "10.0 % of /data are free")
}

func TestLatencyPercentile(t *testing.T) {
	t.Parallel()
	file := made(t, "collectors/latency-percentile")
	rehearses(t, "collectors/latency-percentile", file)
	m, manifest := load(t, file)
	if manifest.Name != "latency-percentile" || manifest.Wants.KV != core.KVAssignment {
		t.Errorf("manifest %+v", manifest)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/broken" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(server.Close)
	config := map[string]any{"url": server.URL, "percentile": 75, "window": 6, "least": 3, "warn_ms": 1e6, "fail_ms": 1e6}
	var all []float64
	ask := func(outcome core.Outcome, summary string) {
		t.Helper()
		got := gets(t, m, config, outcome, summary)
		latest, ok := got.Samples["latest_ms"].(float64)
		if !ok || latest <= 0 {
			t.Fatalf("samples %v", got.Samples)
		}
		all = append(all, latest)
		all = all[max(len(all)-6, 0):]
		sorted := slices.Sorted(slices.Values(all))
		if want := sorted[(len(all)*3+3)/4-1]; got.Samples["requests"] != int64(len(all)) || got.Samples["percentile_ms"] != want {
			t.Errorf("p75 of %v is %v of %v, want %v", all, got.Samples["percentile_ms"], got.Samples["requests"], want)
		}
	}
	ask(core.Pass, "p75 of the last 1 requests is")
	ask(core.Pass, "too few to judge")
	for n := 3; n <= 6; n++ {
		ask(core.Pass, fmt.Sprintf("p75 of the last %d requests is", n))
	}
	ask(core.Pass, "p75 of the last 6 requests is")
	config["warn_ms"] = 0
	ask(core.Warn, "the warning is at 0 ms")
	config["fail_ms"] = 0.001
	ask(core.Fail, "the most is 0.001 ms")
	config["least"] = 7
	ask(core.Pass, "too few to judge")
	config["url"] = server.URL + "/broken"
	gets(t, m, config, core.Fail, "/broken answered 502")
}

// TestAssemblyScriptSuite runs the tests of the package for AssemblyScript,
// which are a module.
func TestAssemblyScriptSuite(t *testing.T) {
	t.Parallel()
	m, manifest := load(t, made(t, "../wasm/guest/assemblyscript"))
	if strings.Join(manifest.Offers, " ") != "collector action function" || len(manifest.Functions) != 1 || manifest.Wants.Limits.Fuel != 2e9 ||
		!strings.Contains(string(manifest.Schema), `"mode":{"type":"string","enum":["test","throw","wrong"],"default":"test"}`) {
		t.Errorf("manifest %+v, schema %s", manifest, manifest.Schema)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/page":
			_, _ = io.WriteString(w, `{"n": 3}`)
		case "/echo":
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-A", r.Header.Get("X-A"))
			fmt.Fprintf(w, "%s %s", r.Method, body)
		default:
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(server.Close)
	got := gets(t, m, map[string]any{"url": server.URL}, core.Pass, "all of it")
	for _, line := range got.Logs {
		if line.Level == "error" {
			t.Error(line.Text)
		}
	}
	gets(t, m, map[string]any{"url": server.URL, "mode": "throw"}, core.Error, "panic: on purpose at test/suite.ts:")
	gets(t, m, map[string]any{"url": server.URL, "mode": "wrong"}, core.Error, "panic: the manifest declares no field none at ")
	gets(t, m, map[string]any{"url": 3}, core.Error, "panic: configuration: url: text is expected, it is 3 at ")
	if v, _, err := m.Call(t.Context(), "half_of", wasm.Call{Args: []any{3.0}}); v != 1.5 || err != nil {
		t.Errorf("half_of(3) = %v, %v", v, err)
	}
}

// TestRustCrate runs the tests of the crate with the compiler that modules are
// built with, and with the one on the path when that is another.
func TestRustCrate(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("builds a crate")
	}
	cargo, err := toolchain.FindCargo(t.Context(), "wasm32-unknown-unknown", "wasm32-wasip1", "wasm32-wasi")
	if err != nil {
		absent(t, err)
		t.Fatal(err)
	}
	runs := []toolchain.Cargo{cargo}
	if filepath.Dir(cargo.Cargo) != "." {
		if _, err := exec.LookPath("cargo"); err == nil {
			runs = append(runs, toolchain.Cargo{Cargo: "cargo", Rustc: "rustc"})
		}
	}
	for _, c := range runs {
		cmd := exec.CommandContext(t.Context(), c.Cargo, "test", "--offline", "--quiet", "--target-dir", t.TempDir())
		cmd.Dir, cmd.Env = "../wasm/guest/rust", append(os.Environ(), c.Env()...)
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "test result: ok. 16 passed") {
			t.Errorf("%s test: %v\n%s", c.Cargo, err, out)
		}
	}
}

// TestHeaderForC builds the header natively and runs its tests.
func TestHeaderForC(t *testing.T) {
	t.Parallel()
	compiler := ""
	for _, name := range []string{"clang", "gcc", "cc"} {
		if path, err := exec.LookPath(name); err == nil {
			compiler = path
			break
		}
	}
	if compiler == "" {
		absent(t, &toolchain.MissingError{Language: toolchain.C, What: "a C compiler", Install: "apt-get install clang libc6-dev"})
	}
	program := filepath.Join(t.TempDir(), "tocsin_test")
	build := exec.CommandContext(t.Context(), compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-o", program, "tocsin_test.c", "-lm")
	build.Dir = "../wasm/guest/c"
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), program).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
