package main_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// update makes tests write what they would otherwise compare with.
var update = flag.Bool("update", false, "write the files of expected output")

// ran is what a command did.
type ran struct {
	code     int
	out, err string
}

// run executes the binary in a directory without a server, with nothing on
// standard input.
func run(t *testing.T, args ...string) ran {
	t.Helper()
	return command{args: args}.run(t)
}

// command is one call of the binary.
type command struct {
	args []string
	in   string // standard input
	dir  string // default: one of the test's own
	env  []string
}

func (c command) run(t *testing.T) ran {
	t.Helper()
	if c.dir == "" {
		c.dir = t.TempDir()
	}
	cmd := exec.CommandContext(t.Context(), tocsin(t), c.args...)
	cmd.Dir, cmd.Env = c.dir, append(withoutServer(), c.env...)
	var out, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(c.in), &out, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("tocsin %s: %v", strings.Join(c.args, " "), err)
	}
	return ran{code: cmd.ProcessState.ExitCode(), out: out.String(), err: stderr.String()}
}

// withoutServer is the environment without what names a server.
func withoutServer() []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "TOCSIN_") {
			env = append(env, pair)
		}
	}
	return env
}

// wants compares what a command did with the code, output and errors that it
// should have.
func (r ran) wants(t *testing.T, what string, code int, out, err string) {
	t.Helper()
	if r.code != code || r.out != out || r.err != err {
		t.Errorf("%s: exit code %d, want %d\noutput:\n%s\nwant:\n%s\nerrors:\n%s\nwant:\n%s", what, r.code, code, r.out, out, r.err, err)
	}
}

// write puts text into a file of a directory.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestVersion(t *testing.T) {
	t.Parallel()
	got := run(t, "version")
	want := regexp.MustCompile(`^tocsin 0\.1\.0(\+[0-9a-f]{8})?(\.dirty)? go1\.\S+ ` + runtime.GOOS + "/" + runtime.GOARCH + "\n$")
	if got.code != 0 || got.err != "" || !want.MatchString(got.out) {
		t.Errorf("version: %+v, want %s", got, want)
	}
}

// TestHelp asks every command for help: it must be there, and the token of the
// environment must not.
func TestHelp(t *testing.T) {
	t.Parallel()
	const token = "NOBODY-MAY-SEE-THIS"
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		if got := run(t); got.code != 0 || !strings.Contains(got.out, "Available Commands:") {
			t.Errorf("tocsin alone: %+v, want help", got)
		}
	})
	for _, name := range []string{
		"serve", "apply", "get", "delete", "replay", "module", "module init", "module build", "module test", "module inspect", "module run", "module push", "module list", "module show", "module grant", "module activate", "module alias", "module canary",
		"module rollback", "module delete",
		"secret", "secret set", "secret list", "secret delete", "login-link", "bench", "version",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := command{args: append(strings.Fields(name), "--help"), env: []string{"TOCSIN_TOKEN=" + token}}.run(t)
			if got.code != 0 || got.err != "" || !strings.Contains(got.out, "Usage:\n  tocsin "+name) || strings.Contains(got.out, token) {
				t.Errorf("%+v, want its usage, without the token", got)
			}
		})
	}
}

// TestUsage gives command lines that cannot be meant: they end with 2.
func TestUsage(t *testing.T) {
	t.Parallel()
	const see = "\nRun 'tocsin --help' for usage.\n"
	dir := t.TempDir()
	write(t, dir, "runs.jsonl", "")
	write(t, dir, "tiny.wasm", "\x00asm\x01\x00\x00\x00")
	for _, tt := range []struct{ args, want string }{
		{"sing", `unknown command "sing" for "tocsin"`},
		{"serve now", `serve: unknown command "now" for "tocsin serve"`},
		{"serve --port 80", "unknown flag: --port"},
		{"-x", "unknown shorthand flag: 'x' in -x"},
		{"serve --listen localhost", `--listen "localhost": write host:port, for example 127.0.0.1:8420`},
		{"serve --listen 127.0.0.1:99999", `--listen "127.0.0.1:99999": write host:port, for example 127.0.0.1:8420`},
		{"serve --log-level loud", `--log-level "loud": write debug, info, warn or error`},
		{"serve --buffer 0", "--buffer 0: write more than 0"},
		{"serve --keep-runs soon", `invalid argument "soon" for "--keep-runs" flag: "soon" is not a duration; write for example 30s, 5m, 1h30m or 7d`},
		{"serve --keep-runs -1d", `invalid argument "-1d" for "--keep-runs" flag: it must be more than nothing; 0 alone is no bound`},
		{"serve --keep-runs 0GB", `invalid argument "0GB" for "--keep-runs" flag: "0GB" is not a size; write for example 500MB or 20GB`},
		{"serve --keep-runs 1d,2d", `invalid argument "1d,2d" for "--keep-runs" flag: write one age and one size at most, for example 30d,20GB`},
		{"serve --keep-minutes 1h", "--keep-minutes 1h: keep minutes of 2h at least, or charts of recent hours are too coarse"},
		{"serve --keep-minutes 200d", "--keep-minutes 200d is longer than --keep-hours 100d: what is coarser must be kept as long at least"},
		{"serve --keep-hours 0", "--keep-hours 0 is longer than --keep-days 1100d: what is coarser must be kept as long at least"},
		{"serve --keep-decisions 1GB", "--keep-decisions 1GB: only an age can bound them, for example 90d"},
		{"serve --public-url tocsin.example", `--public-url "tocsin.example": write http:// or https:// and a host, without a path`},
		{"serve --proxy 10.0.0.1 --public-url https://tocsin.example", `--proxy "10.0.0.1": write a network such as 10.0.0.0/8, or one address such as 192.0.2.1/32`},
		{"serve --proxy 10.0.0.0/8", "--proxy: name the address that people use with --public-url too"},
		{"export --database mysql://x -", "--database: write postgres://user@host/database"},
		{"migrate tocsin-data", "migrate: accepts 2 arg(s), received 1"},
		{"serve --public-url https://tocsin.example/a", `--public-url "https://tocsin.example/a": write http:// or https:// and a host, without a path`},
		{"apply", "apply: name a file with -f, or - for standard input"},
		{"get", "get: accepts between 1 and 2 arg(s), received 0"},
		{"get monitors", `"monitors" is not a kind; write systems, checks, rules, maintenances, silences or channels`},
		{"get systems -o xml", `-o "xml": write table, yaml or json`},
		{"get systems --server nowhere", `--server "nowhere" is not an address such as http://127.0.0.1:8420`},
		{"delete system", "delete: accepts 2 arg(s), received 1"},
		{"replay", "replay: name the results with --runs, or - for standard input"},
		{"replay --runs runs.jsonl --until soon", `--until "soon" is not an instant such as 2026-11-23T10:00:00Z`},
		{"replay --runs - --rule -", "replay: standard input can be one of --runs, --check and --rule only"},
		{"module", "module: write init, build, test, inspect, run, push, list, show, grant, activate, alias, canary, rollback or delete"},
		{"module sing", `module: unknown command "sing" for "tocsin module"`},
		{"module inspect", "module inspect: accepts 1 arg(s), received 0"},
		{"module inspect tiny.wasm -o xml", `-o "xml": write text or json`},
		{"module run tiny.wasm --input [1]", "--input must be a JSON object: json: cannot unmarshal array into Go value of type map[string]interface {}"},
		{"module run tiny.wasm --timeout soon", `invalid argument "soon" for "--timeout" flag: time: invalid duration "soon"`},
		{"module run tiny.wasm --timeout 0s", "--timeout 0s: write more than 0"},
		{"secret", "secret: write set, list or delete"},
		{"secret set", "secret set: accepts 1 arg(s), received 0"},
		{"bench sing", `there is no bench "sing"; there are checks/http/postgres, checks/http/sqlite, failover, hostile, outage/disk, outage/postgres, query/history, record, record/postgres, rules/eval, rules/index, schedule/100k, wasm`},
		{"bench record --seconds 0", "--seconds 0: write 1 to 300"},
		{"bench record --sizes 0", "--sizes 0: write more than 0"},
		{"bench record -o xml", `-o "xml": write table or json`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			command{args: strings.Fields(tt.args), dir: dir}.run(t).wants(t, "tocsin "+tt.args, 2, "", "tocsin: "+tt.want+see)
		})
	}
}

// TestNoServer asks for a server where none is.
func TestNoServer(t *testing.T) {
	t.Parallel()
	run(t, "get", "systems").wants(t, "without a server", 1, "",
		"tocsin: no server has run with the data directory tocsin-data; start one with 'tocsin serve', or name one with --data or --server\n")
	got := run(t, "get", "systems", "--server", "http://127.0.0.1:1")
	if named := (command{args: []string{"get", "systems"}, env: []string{"TOCSIN_SERVER=http://127.0.0.1:1"}}).run(t); named != got {
		t.Errorf("a server of the environment: %+v, want the same as of a flag: %+v", named, got)
	}
	if got.code != 1 || !strings.HasPrefix(got.err, "tocsin: ask the server at http://127.0.0.1:1: ") || !strings.Contains(got.err, "refused") {
		t.Errorf("a server that is not there: %+v, want that it refused", got)
	}
	dir := t.TempDir()
	write(t, dir, "data/endpoint.json", "{")
	command{args: []string{"get", "systems", "--data", "data"}, dir: dir}.run(t).wants(t, "a broken endpoint", 1, "",
		"tocsin: find the server in data/endpoint.json: unexpected end of JSON input\n")
}
