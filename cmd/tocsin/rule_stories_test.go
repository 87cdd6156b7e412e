package main_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each template is a rule that compiles, with a story that shows it fire and
// not fire.
func TestRuleTemplates(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs(filepath.Join("..", "..", "examples", "rules"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil || len(files) != 12 {
		t.Fatalf("%d templates, %v, want 12", len(files), err)
	}
	if got := run(t, append([]string{"rule", "test"}, files...)...); got.code != 0 {
		t.Errorf("rule test: exit code %d, %s\n%s", got.code, got.err, got.out)
	}
	list := run(t, "rule", "template", "list")
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		script, want, _ := strings.Cut(string(text), "-- want --")
		_, script, _ = strings.Cut(script, "-- script --\n")
		first := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d`).FindString(script)
		fired := regexp.MustCompile(`(?m)^(\d\d:\d\d:\d\d)   FIRING `).FindStringSubmatch(want)
		// What happens first is not told of, what happens later is.
		if fired == nil || first == "" || first >= fired[1] {
			t.Errorf("%s: the first event is at %q, the first firing at %q", name, first, fired)
		}
		if !strings.Contains(list.out, "\n"+name+" ") {
			t.Errorf("template list does not have %s:\n%s", name, list.out)
		}
		if got := run(t, "rule", "template", "show", name); got.code != 0 || !strings.Contains(string(text), got.out) || !strings.HasPrefix(got.out, "apiVersion: tocsin/v1\nkind: Rule\n") {
			t.Errorf("template show %s: exit code %d, %s\n%s", name, got.code, got.err, got.out)
		}
	}
	if got := run(t, "rule", "template", "show", "outag"); got.code != 2 || !strings.Contains(got.err, "there are cannot-ask, certificate") {
		t.Errorf("template show outag: exit code %d, %s", got.code, got.err)
	}
}

const pageStory = `-- files --
rules/page.yaml
-- script --
10:00:00 web healthy unhealthy
`

// A story that differs fails with the difference, --update writes what came of
// it, and what is wrong in one is named with its line.
func TestRuleTest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "rules/page.yaml", "apiVersion: tocsin/v1\nkind: Rule\nmetadata: {name: page}\nspec:\n  on: health.unhealthy\n  gate: {cooldown: 1h}\n  do:\n    - log: {message: down}\n")
	write(t, dir, "good.txtar", pageStory)
	test := func(args ...string) ran {
		return command{args: append([]string{"rule", "test"}, args...), dir: dir}.run(t)
	}
	if got := test("good.txtar"); got.code != 1 || !strings.Contains(got.out, "nothing is expected yet") || !strings.Contains(got.out, "FIRING page~web~1~1") {
		t.Errorf("a story without want: exit code %d\n%s", got.code, got.out)
	}
	if got := test("--update", "good.txtar"); got.code != 0 || got.out != "new  good.txtar\n" {
		t.Errorf("--update: exit code %d, %s\n%s", got.code, got.err, got.out)
	}
	if got := test("*.txtar"); got.code != 0 || got.out != "ok   good.txtar\n" {
		t.Errorf("after --update: exit code %d, %s\n%s", got.code, got.err, got.out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "good.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "bad.txtar", strings.Replace(string(text), "FIRING page~web~1~1", "FIRING page~web~2~1", 1))
	got := test("*.txtar")
	if got.code != 1 || got.err != "tocsin: 1 of 2 stories failed\n" || !strings.Contains(got.out, "\n-10:00:00   FIRING page~web~2~1") || !strings.Contains(got.out, "\n+10:00:00   FIRING page~web~1~1") {
		t.Errorf("a story that differs: exit code %d, %s\n%s", got.code, got.err, got.out)
	}
	for _, tt := range []struct{ old, new, want string }{
		{"web healthy", "web helthy", `script line 1: 10:00:00 web helthy unhealthy: `},
		{"10:00:00", "25:00:00", `"25:00:00" is not a time of day such as 10:00:00`},
		{"web healthy unhealthy", "run web fail", "write for example run web:http fail"},
		{"web healthy unhealthy", "run web:http", "run is followed by 2 words or more"},
		{"web healthy unhealthy", "rules other.yaml", "the story has no file other.yaml with rules"},
		{"-- script --", "-- skript --", "skript has no place in a story"},
		{"-- files --\nrules/page.yaml\n", "", "there is no rule"},
		{"rules/page.yaml", "rules/none.yaml", "rules/none.yaml: no such file"},
		{"rules/page.yaml\n", "rules/page.yaml\n-- rule.yaml --\nkind: Rule\n", "rule.yaml:1:1: apiVersion"},
	} {
		write(t, dir, "wrong.txtar", strings.Replace(pageStory, tt.old, tt.new, 1))
		if got := test("wrong.txtar"); got.code != 1 || !strings.Contains(got.out, tt.want) {
			t.Errorf("%s instead of %s: exit code %d, want %s\n%s", tt.new, tt.old, got.code, tt.want, got.out)
		}
	}
}
