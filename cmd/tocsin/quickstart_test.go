package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/cmd/toolchain"
	"github.com/tocsin-io/tocsin/core"
)

// TestFiveCommandsToARunningCheck types the commands of docs/collectors.md, for
// each language, and looks whether the check passes.
func TestFiveCommandsToARunningCheck(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds modules")
	}
	var script string
	for _, d := range documents(t) {
		for _, b := range d.of("sh") {
			if d.name == "collectors.md" && strings.HasPrefix(b.text, "tocsin module init ") {
				script = b.text
			}
		}
	}
	lines := strings.Split(strings.TrimSpace(script), "\n")
	if len(lines) != 5 {
		t.Fatalf("docs/collectors.md has %d commands, want five: %q", len(lines), script)
	}
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	for _, language := range toolchain.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			name := "depth-" + string(language)
			typeScript(t, server, name, regexp.MustCompile(`--lang \w+`).ReplaceAllString(strings.ReplaceAll(script, "depth", name), "--lang "+string(language)))
			var run core.Run
			tocsintest.Until(t, 20*time.Second, "the check runs", func() bool {
				status, _ := server.Do(http.MethodPost, "/api/v1/assignments/"+name+"-target:"+name+"/run", nil, &run)
				return status == http.StatusOK
			})
			if run.Outcome != core.Pass || !strings.HasPrefix(run.Summary, "200 in ") {
				t.Errorf("the run is %s: %q %+v", run.Outcome, run.Summary, run.Why)
			}
		})
	}
}

// typeScript runs the commands as a person would, in an empty directory.
func typeScript(t *testing.T, server *tocsintest.Server, name, script string) {
	t.Helper()
	dir := t.TempDir()
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		if strings.Contains(line, " apply ") { // the check asks the server of the documentation
			path := filepath.Join(dir, name, "check.yaml")
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			mended := bytes.ReplaceAll(text, []byte("http://127.0.0.1:8420"), []byte(server.URL))
			if bytes.Equal(mended, text) {
				t.Fatalf("check.yaml asks nobody:\n%s", text)
			}
			write(t, dir, filepath.Join(name, "check.yaml"), string(mended))
		}
		args := strings.Fields(line)
		cmd := exec.CommandContext(t.Context(), tocsin(t), args[1:]...)
		cmd.Dir, cmd.Env = dir, append(withoutServer(), "TOCSIN_SERVER="+server.URL, "TOCSIN_TOKEN="+server.Token())
		out, err := cmd.CombinedOutput()
		if err != nil && strings.Contains(string(out), "is not installed, and a module in ") {
			missing(t, string(out))
		}
		if err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
		t.Logf("%s\n%s", line, out)
	}
}

// missing skips a test that needs a compiler; where everything must be there it
// fails.
func missing(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// TestModuleInit writes projects, and never over what is there.
func TestModuleInit(t *testing.T) {
	t.Parallel()
	for language, files := range map[string][]string{
		"go":             {"main.go", "go.mod", "tocsin/go.mod", "tocsin/wasm/abi/abi.go", "tocsin/wasm/guest/guest.go"},
		"rust":           {"Cargo.toml", "Cargo.lock", "src/lib.rs", "tocsin/Cargo.toml", "tocsin/src/lib.rs"},
		"assemblyscript": {"package.json", "package-lock.json", "asconfig.json", "assembly/index.ts", "tocsin/assembly/index.ts"},
		"c":              {"my-check.c", "tocsin.h", "compile_flags.txt"},
	} {
		dir := filepath.Join(t.TempDir(), "my-check")
		got := run(t, "module", "init", dir, "--lang", language)
		if got.code != 0 || !strings.Contains(got.out, "tocsin module push "+filepath.ToSlash(dir)+"/my-check.wasm --grant as-wanted --activate") {
			t.Fatalf("init --lang %s: %+v", language, got)
		}
		for _, file := range append(files, "README.md", ".gitignore", "check.yaml", "testdata/answers.json") {
			text, err := os.ReadFile(filepath.Join(dir, file))
			if err != nil {
				t.Errorf("--lang %s: %v", language, err)
			}
			if strings.Contains(string(text), "{{") {
				t.Errorf("--lang %s: %s has a hole:\n%s", language, file, text)
			}
		}
		if err := os.Remove(filepath.Join(dir, "README.md")); err != nil {
			t.Fatal(err)
		}
		again := run(t, "module", "init", dir, "--lang", language)
		if again.code != 1 || !strings.Contains(again.err, ".gitignore") || !strings.Contains(again.err, "already, and nothing was written") {
			t.Errorf("init again: %+v", again)
		}
		if _, err := os.Stat(filepath.Join(dir, "README.md")); err == nil {
			t.Errorf("--lang %s: a refused init wrote a file", language)
		}
	}
	for args, want := range map[string]string{
		"x1":                         `--lang "": write go, rust, assemblyscript or c`,
		"x1 --lang cobol":            `--lang "cobol": write go, rust, assemblyscript or c`,
		"x1 --lang c --name A":       `the name "A": write 2 to 50 lower-case letters`,
		"x1 --lang c --name tocsin":  "the name tocsin is that of the SDK",
		"x1 --lang c --name a/../b":  `the name "a/../b": write`,
		"x1 --lang rust --name a-":   `the name "a-": write`,
		"x1 x2 --lang c --name fine": "accepts at most 1 arg",
	} {
		if got := run(t, append([]string{"module", "init"}, strings.Fields(args)...)...); got.code != 2 || !strings.Contains(got.err, want) {
			t.Errorf("init %s: %+v, want %s", args, got, want)
		}
	}
}

// TestModuleBuildSaysWhatIsMissing builds with nothing on the path.
func TestModuleBuildSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	for language, want := range map[string]string{
		"go":             "go is not installed, and a module in go needs it: install Go 1.26 or newer",
		"assemblyscript": "node is not installed, and a module in assemblyscript needs it: install Node 20 or newer",
		"c":              "clang is not installed, and a module in c needs it: apt-get install clang lld wasi-libc libclang-rt-dev-wasm32",
	} {
		dir := t.TempDir()
		if got := run(t, "module", "init", dir, "--lang", language, "--name", "my-check"); got.code != 0 {
			t.Fatalf("%+v", got)
		}
		got := command{args: []string{"module", "build", dir}, env: []string{"PATH=/nowhere"}}.run(t)
		if got.code != 1 || got.out != "" || !strings.Contains(got.err, want) {
			t.Errorf("build in %s: %+v, want %s", language, got, want)
		}
	}
	if got := run(t, "module", "build", t.TempDir()); got.code != 1 || !strings.Contains(got.err, "holds no project: no go.mod, Cargo.toml, asconfig.json, *.go or *.c") {
		t.Errorf("build of nothing: %+v", got)
	}
}

// TestModuleBuildFile takes a program without an SDK, which says nothing of
// itself, and gives it a manifest.
func TestModuleBuildFile(t *testing.T) {
	t.Parallel()
	stored := func(path string) []byte {
		file, err := os.ReadFile(filepath.Join("..", "..", "wasm", "testdata", filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	dir := t.TempDir()
	tiny := stored("modules/tiny.wasm")
	whole := write(t, dir, "whole.wasm", string(tiny))
	if got := run(t, "module", "build", whole); got.code != 0 || !strings.HasSuffix(got.out, "\n"+whole+"\n") {
		t.Errorf("build of a module: %+v", got)
	}
	if now, err := os.ReadFile(whole); err != nil || !bytes.Equal(now, tiny) {
		t.Errorf("a file that is a module was changed: %v", err)
	}
	program := write(t, dir, "program.wasm", string(stored("commands/answer.wasm")))
	if got := run(t, "module", "build", program); got.code != 1 || !strings.Contains(got.err, "its manifest names no abi") {
		t.Errorf("build of a program: %+v", got)
	}
	manifest := write(t, dir, "manifest.json", `{"abi": "tocsin/1", "name": "given", "version": "2.0.0", "offers": ["collector"], "wants": {}}`)
	got := run(t, "module", "build", program, "--manifest", manifest)
	if got.code != 0 || !strings.Contains(got.out, "name            given\nversion         2.0.0\n") || !strings.Contains(got.out, filepath.Join(dir, "given.wasm")) {
		t.Errorf("build with a manifest: %+v", got)
	}
	if got := run(t, "module", "inspect", filepath.Join(dir, "given.wasm")); got.code != 0 || !strings.Contains(got.out, "given") {
		t.Errorf("inspect what was built: %+v", got)
	}
	for name, c := range map[string]struct{ file, manifest, want string }{
		"no JSON":     {program, write(t, dir, "text", "hello"), "the manifest is not JSON"},
		"no module":   {manifest, manifest, "this is not a WebAssembly module"},
		"no name":     {program, write(t, dir, "nameless", `{"abi": "tocsin/1", "offers": ["collector"]}`), "its manifest: a name is missing"},
		"no manifest": {program, filepath.Join(dir, "none"), "no such file"},
	} {
		if got := run(t, "module", "build", c.file, "--manifest", c.manifest); got.code != 1 || !strings.Contains(got.err, c.want) {
			t.Errorf("build with %s: %+v, want %s", name, got, c.want)
		}
	}
}

// TestModuleTest runs cases that pass and cases that do not.
func TestModuleTest(t *testing.T) {
	t.Parallel()
	path, _ := queueDepth(t)
	dir := filepath.Dir(path)
	const answer = `"calls": [{"call": "http", "request": {"url": "http://queue/"}, "answer": {"status": 200, "body": "{\"depth\": 70, \"consumers\": 2}"}}]`
	one := func(name, text string) {
		write(t, dir, filepath.Join("testdata", name+".json"), `{"config": {"url": "http://queue/"}, `+text+`}`)
	}
	if got := run(t, "module", "test", path); got.code != 1 || !strings.Contains(got.err, "there are no test cases: write "+filepath.Join(dir, "testdata", "NAME.json")) {
		t.Errorf("test without cases: %+v", got)
	}
	one("a-good", answer+`, "expect": {"outcome": "pass", "summary": "70 messages wait for 2 consumers", "samples": {"depth": 70}}`)
	one("b-unreached", `"calls": [{"call": "http", "answer": {"error": {"code": "connect", "message": "refused"}}}], "expect": {"outcome": "fail", "error": "refused"}`)
	run(t, "module", "test", path).wants(t, "test", 0, "pass  a-good       70 messages wait for 2 consumers\npass  b-unreached  refused (connect)\n2 cases passed\n", "")

	bad := map[string]struct{ text, want string }{
		"outcome": {answer + `, "expect": {"outcome": "fail"}`, "the outcome is pass (70 messages wait for 2 consumers), expected is fail"},
		"summary": {answer + `, "expect": {"outcome": "pass", "summary": "all is well"}`, `the summary is "70 messages wait for 2 consumers", expected is "all is well"`},
		"sample":  {answer + `, "expect": {"outcome": "pass", "samples": {"depth": 71, "none": 1}}`, "the sample depth is 70, expected is 71; the sample none is missing, expected is 1"},
		"unused":  {answer[:len(answer)-1] + `, {"call": "dns", "answer": {}}], "expect": {"outcome": "pass"}`, "it did not ask dns, which the case answers"},
		"missing": {`"expect": {"outcome": "pass"}`, "it asked http GET http://queue/, and no more calls were recorded; the outcome is error"},
		"other":   {strings.Replace(answer, "http://queue/", "http://other/", 1) + `, "expect": {"outcome": "pass"}`, "it asked http GET http://queue/, recorded was http GET http://other/"},
		"reason":  {`"calls": [{"call": "http", "answer": {"status": 500}}], "expect": {"outcome": "fail", "error": "502"}`, `the reason is "http://queue/ answered 500", expected is "502" in it`},
	}
	for name, c := range bad {
		one("c-"+name, c.text)
	}
	got := run(t, "module", "test", path)
	if got.code != 1 || got.err != fmt.Sprintf("tocsin: %d of %d cases failed\n", len(bad), len(bad)+2) {
		t.Errorf("cases that fail: %+v", got)
	}
	for name, c := range bad {
		if line := regexp.MustCompile(`(?m)^FAIL  c-` + name + ` +(.*)$`).FindStringSubmatch(got.out); line == nil || !strings.HasPrefix(line[1], c.want) {
			t.Errorf("a case with a wrong %s: %q of\n%s\nwant %s", name, line, got.out, c.want)
		}
	}
	if got := run(t, "module", "test", path, "--run", "^[ab]-"); got.code != 0 || !strings.HasSuffix(got.out, "2 cases passed\n") {
		t.Errorf("the cases that pass: %+v", got)
	}
	for text, want := range map[string]string{
		`"expect": {}`:                                  "expect.outcome is missing: write pass, warn, fail or error",
		`"expect": {"outcome": "pass"}} {"a": 1`:        "c-broken.json:1: something follows the test case",
		`"expect": {"outcome": "passed"}`:               `"passed" is not an outcome; one of pass, warn, fail, error`,
		`"expect": {"outcome": "pass", "samples": [1]}`: "c-broken.json:1: expect.samples: here must stand a value of another type than array",
		`"now": 7`:       "c-broken.json:1: now: here must stand a value of another type than number",
		"\n\n\"now\" 7":  "c-broken.json:3: not JSON: invalid character '7' after object key",
		`"expected": {}`: `is not a test case: json: unknown field "expected"`,
		`"kind": "describe", "expect": {"outcome":"pass"}`:           `kind "describe": write collect, act or call`,
		`"kind": "call", "expect": {"value": 1}`:                     "function is missing",
		`"calls": [{"call": "http"}], "expect": {"outcome": "pass"}`: "calls[0]: call and answer are needed",
		`"now": "noon", "expect": {"outcome": "pass"}`:               `now is "noon", not a time`,
	} {
		one("c-broken", text)
		if got := run(t, "module", "test", path); got.code != 1 || !strings.Contains(got.err, want) {
			t.Errorf("a case that is %s: %+v, want %s", text, got, want)
		}
	}
	write(t, dir, "testdata/c-broken.json", `{"config": {"url": "http://queue/", "fail_depht": 3}, "expect": {"outcome": "pass"}}`)
	if got := run(t, "module", "test", path); got.code != 1 || !strings.Contains(got.err, filepath.Join("testdata", "c-broken.json")+`: config.fail_depht: unknown field "fail_depht"; did you mean "fail_depth"?`) {
		t.Errorf("a case with a wrong configuration: %+v", got)
	}
}

// TestModuleTestRecord makes a case of a real run, and runs live.
func TestModuleTestRecord(t *testing.T) {
	t.Parallel()
	path, _ := queueDepth(t)
	depth := 70
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintf(w, `{"depth": %d, "consumers": 2}`, depth) }))
	t.Cleanup(server.Close)
	input := fmt.Sprintf(`{"url": %q}`, server.URL)
	if got := run(t, "module", "test", path, "--record", "met", "--input", input); got.code != 0 || !strings.Contains(got.out, "met.json: pass, 70 messages wait for 2 consumers; 1 calls to the host\n") {
		t.Fatalf("record: %+v", got)
	}
	depth = 5000 // which a recorded case does not see
	run(t, "module", "test", path).wants(t, "test", 0, "pass  met  70 messages wait for 2 consumers\n1 cases passed\n", "")
	got := run(t, "module", "test", path, "--live")
	if got.code != 1 || !strings.Contains(got.out, "FAIL  met  the outcome is fail (5000 messages wait, the most is 1000), expected is pass\n") {
		t.Errorf("test --live: %+v", got)
	}
	depth = 71 // the outcome is the same, the rest may differ
	run(t, "module", "test", path, "--live").wants(t, "test --live", 0, "pass  met  71 messages wait for 2 consumers\n1 cases passed\n", "")
	for args, want := range map[string]string{
		"--record met":                 "met.json exists: give another name, or delete it first",
		"--record ../x":                `--record "../x": write a name of letters`,
		"--record y --input []":        "--input must be a JSON object",
		`--record y --input {"url":3}`: "--input: ",
		"--input {}":                   "--input belongs to --record",
		"--run [":                      "--run: error parsing regexp",
		"--timeout 0s":                 "--timeout 0s: write more than 0",
		"--secret x":                   "--secret x: write NAME=@FILE or NAME=VALUE",
	} {
		if got := run(t, append([]string{"module", "test", path}, strings.Fields(args)...)...); got.code == 0 || !strings.Contains(got.err, want) {
			t.Errorf("test %s: %+v, want %s", args, got, want)
		}
	}
}
