package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document is a page of the documentation and what in it can be run.
type document struct {
	name   string
	text   string
	blocks []block
}

// block is a fenced block.
type block struct {
	language string
	text     string
	line     int // of its first line
}

// documents reads README.md and docs.
func documents(t *testing.T) []document {
	t.Helper()
	root := filepath.Join("..", "..")
	paths, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(paths) < 4 {
		t.Fatalf("%d pages in docs: %v", len(paths), err)
	}
	if readme := filepath.Join(root, "README.md"); exists(readme) {
		paths = append(paths, readme)
	}
	var all []document
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		d := document{name: filepath.Base(path), text: string(text)}
		d.blocks, err = fenced(d.text)
		if err != nil {
			t.Fatalf("%s: %v", d.name, err)
		}
		all = append(all, d)
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// fenced finds the fenced blocks of a page.
func fenced(text string) ([]block, error) {
	var out []block
	open, n := false, 0
	for line := range strings.Lines(text) {
		n++
		fence, found := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case found && open:
			open = false
		case found:
			open = true
			out = append(out, block{language: fence, line: n + 1})
		case open:
			out[len(out)-1].text += line
		}
	}
	if open {
		return nil, fmt.Errorf("the block on line %d does not end", out[len(out)-1].line)
	}
	return out, nil
}

// of lists the blocks in some languages.
func (d document) of(languages ...string) []block {
	var out []block
	for _, b := range d.blocks {
		if slices.Contains(languages, b.language) {
			out = append(out, b)
		}
	}
	return out
}

// TestDocsManifests examines every manifest in the documentation, those of a
// page together.
func TestDocsManifests(t *testing.T) {
	t.Parallel()
	found := 0
	for _, d := range documents(t) {
		args, dir := []string{"apply", "--dry-run"}, t.TempDir()
		for _, b := range d.of("yaml", "json") {
			if b.language == "json" && !strings.Contains(b.text, "apiVersion") {
				continue // of the API
			}
			found++
			name := fmt.Sprintf("line-%d.yaml", b.line)
			write(t, dir, name, b.text)
			args = append(args, "-f", name)
		}
		if len(args) == 2 {
			continue
		}
		if got := (command{args: args, dir: dir}).run(t); got.code != 0 {
			t.Errorf("%s: the manifests in it are refused:\n%s", d.name, got.err)
		}
	}
	if found < 5 {
		t.Errorf("%d manifests in the documentation, want more", found)
	}
}

// TestDocsReplay plays every block of results in the documentation, by itself
// and through the rules of its page.
func TestDocsReplay(t *testing.T) {
	t.Parallel()
	found := 0
	for _, d := range documents(t) {
		dir := t.TempDir()
		var rules []string
		for _, b := range d.of("yaml") {
			if strings.Contains(b.text, "kind: Rule") {
				name := fmt.Sprintf("line-%d.yaml", b.line)
				write(t, dir, name, b.text)
				rules = append(rules, "--rule", name)
			}
		}
		for _, b := range d.of("jsonl") {
			found++
			write(t, dir, "runs.jsonl", b.text)
			for _, args := range [][]string{nil, rules} {
				got := command{args: append([]string{"replay", "--runs", "runs.jsonl"}, args...), dir: dir}.run(t)
				if got.code != 0 || got.out == "" {
					t.Errorf("%s:%d: replay: exit code %d, %s, %d bytes", d.name, b.line, got.code, got.err, len(got.out))
				}
			}
		}
	}
	if found == 0 {
		t.Error("the documentation has no results to play")
	}
}

// TestDocsStories plays the stories in the documentation.
func TestDocsStories(t *testing.T) {
	t.Parallel()
	found := 0
	for _, d := range documents(t) {
		for _, b := range d.of("txtar") {
			found++
			dir := t.TempDir()
			write(t, dir, "story.txtar", b.text)
			if got := (command{args: []string{"rule", "test", "story.txtar"}, dir: dir}).run(t); got.code != 0 {
				t.Errorf("%s:%d: exit code %d, %s\n%s", d.name, b.line, got.code, got.err, got.out)
			}
		}
	}
	if found == 0 {
		t.Error("the documentation has no stories")
	}
}

// TestDocsGo builds the programs in the documentation as they say there, and
// looks at what comes out.
func TestDocsGo(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it builds Wasm modules")
	}
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, d := range documents(t) {
		for _, b := range d.of("go") {
			found++
			dir := t.TempDir()
			module := filepath.Join(dir, "module.wasm")
			build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildmode=c-shared", "-ldflags=-s -w", "-o", module, write(t, dir, "main.go", b.text))
			build.Dir, build.Env = root, append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
			if out, err := build.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %v\n%s", d.name, b.line, err, out)
				continue
			}
			if got := run(t, "module", "inspect", module); got.code != 0 || !strings.HasPrefix(got.out, "name ") {
				t.Errorf("%s:%d: inspect what was built: %+v", d.name, b.line, got)
			}
		}
	}
	if found == 0 {
		t.Error("the documentation has no programs")
	}
}

// TestDocsC builds the programs in C as they say there, and runs them.
func TestDocsC(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/usr/lib/wasm32-wasi/libc.a"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("a C compiler for WASI is not installed: it is in the packages clang, lld, wasi-libc and libclang-rt-dev-wasm32")
		}
		t.Skip("a C compiler for WASI is not installed: it is in the packages clang, lld, wasi-libc and libclang-rt-dev-wasm32")
	}
	found := 0
	for _, d := range documents(t) {
		for _, b := range d.of("c") {
			found++
			dir := t.TempDir()
			module := filepath.Join(dir, "module.wasm")
			build := exec.CommandContext(t.Context(), "clang", "--target=wasm32-wasi", "-O2", "-o", module, write(t, dir, "main.c", b.text))
			if out, err := build.CombinedOutput(); err != nil {
				t.Errorf("%s:%d: %v\n%s", d.name, b.line, err, out)
				continue
			}
			if got := run(t, "module", "run", module); got.code != 0 || !strings.Contains(got.out, `"outcome": "pass"`) {
				t.Errorf("%s:%d: run what was built: %+v", d.name, b.line, got)
			}
		}
	}
	if found == 0 {
		t.Error("the documentation has no programs in C")
	}
}

// inline finds commands within the text, as `tocsin serve --demo`.
var inline = regexp.MustCompile("`(?:[A-Z_]+=\\S+ )?tocsin ([^`]+)`")

// TestDocsCommands holds every command line in the documentation to what the
// binary knows: the command is there, and so are its flags.
func TestDocsCommands(t *testing.T) {
	t.Parallel()
	help := map[string]string{}
	found := 0
	for _, d := range documents(t) {
		var commands []string
		for _, m := range inline.FindAllStringSubmatch(d.text, -1) {
			commands = append(commands, m[1])
		}
		for _, b := range d.of("sh", "console", "bash", "shell") {
			commands = append(commands, typed(b.text)...)
		}
		for _, c := range commands {
			found++
			holdCommand(t, d.name, c, help)
		}
	}
	if found < 5 {
		t.Errorf("%d commands in the documentation, want more", found)
	}
}

// typed lists what is given to tocsin in a block of shell.
func typed(text string) []string {
	var out []string
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		for part := range strings.SplitSeq(line, "|") {
			part, _, _ = strings.Cut(part, " #")
			words := strings.Fields(part)
			for i, w := range words {
				if w == "tocsin" || strings.HasSuffix(w, "/tocsin") {
					out = append(out, strings.Join(words[i+1:], " "))
					break
				}
				if w == "docker" || w == "go" && i+1 < len(words) && words[i+1] == "build" {
					break // it names tocsin, and does not run it
				}
			}
		}
	}
	return out
}

// holdCommand checks one command line against the help of its command.
func holdCommand(t *testing.T, page, line string, help map[string]string) {
	t.Helper()
	words := strings.Fields(line)
	name := ""
	for _, w := range words {
		next := strings.TrimSpace(name + " " + w)
		if !regexp.MustCompile(`^[a-z-]+$`).MatchString(w) || strings.HasPrefix(w, "-") {
			break
		}
		if _, known := help[next]; !known {
			got := run(t, append(strings.Fields(next), "--help")...)
			if got.code != 0 || !strings.Contains(got.out, "Usage:\n  tocsin "+next) {
				break
			}
			help[next] = got.out
		}
		name = next
	}
	if name == "" {
		t.Errorf("%s: there is no command %q, in `tocsin %s`", page, words[0], line)
		return
	}
	for _, w := range words {
		flag, _, _ := strings.Cut(strings.Trim(w, "[]"), "=")
		if !strings.HasPrefix(flag, "-") || flag == "-" {
			continue
		}
		if !regexp.MustCompile(`(?m)^\s+(-\w, )?` + regexp.QuoteMeta(flag) + `[ ,\n]`).MatchString(help[name]) {
			t.Errorf("%s: tocsin %s has no flag %s, in `tocsin %s`", page, name, flag, line)
		}
	}
}

// TestDocsFlags holds the table of flags in operating.md to the help of serve:
// each is there with its default, and none is left out.
func TestDocsFlags(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "operating.md"))
	if err != nil {
		t.Fatal(err)
	}
	help := run(t, "serve", "--help").out
	told := map[string]bool{"--help": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `(--[a-z-]+)` \\|.*\\| ([^|]+) \\|$").FindAllStringSubmatch(string(text), -1) {
		flag, value := m[1], strings.Trim(m[2], "`")
		told[flag] = true
		line := regexp.MustCompile(`(?m)^ +` + flag + ` .*$`).FindString(help)
		if line == "" {
			t.Errorf("operating.md tells of %s, which serve does not have", flag)
			continue
		}
		none := value == "off" || value == "none"
		is := strings.HasSuffix(line, "(default "+value+")") || strings.HasSuffix(line, fmt.Sprintf("(default %q)", value))
		if none == is || none && strings.Contains(line, "(default") {
			t.Errorf("operating.md says that %s is %q by default; the help says\n%s", flag, value, line)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-\w, )?(--[a-z-]+)`).FindAllStringSubmatch(help, -1) {
		if !told[m[1]] {
			t.Errorf("operating.md does not tell of %s", m[1])
		}
	}
}

// TestDocsLinks follows the links of the documentation to other pages and
// files.
func TestDocsLinks(t *testing.T) {
	t.Parallel()
	for _, d := range documents(t) {
		base := filepath.Join("..", "..", "docs")
		if d.name == "README.md" {
			base = filepath.Join("..", "..")
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(d.text, -1) {
			if !strings.Contains(m[1], "://") && !exists(filepath.Join(base, filepath.FromSlash(m[1]))) {
				t.Errorf("%s links to %s, which is not there", d.name, m[1])
			}
		}
	}
}
