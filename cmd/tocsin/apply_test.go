package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const goodSystems = `apiVersion: tocsin/v1
kind: System
metadata: {name: web-01}
spec:
  tags: {env: prod}
  depends_on: [db-01]
`

const goodCheck = `apiVersion: tocsin/v1
kind: Check
metadata: {name: web-up}
spec:
  systems: [web-01, web-02]
  every: 30s
  collect:
    - use: http
      with: {url: "https://${system.id}.example/", headers: {Authorization: {secret: token}}}
      assert: ['status == 200', 'json.version != ""']
    - id: queue
      use: wasm:queue-depth
      with: {url: "https://queue.example/"}
      assert: ['depth < 100']
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.changed
  when: to == "unhealthy"
  gate: {for: 2m, window: {count: 3, within: 10m, quiet: 30m}}
  do:
    - webhook: {url: "https://hooks.example/page", body: {text: "${why}"}}
---
apiVersion: tocsin/v1
kind: Maintenance
metadata: {name: kernel}
spec:
  systems: [web-01]
  starts: 2026-12-01T22:00:00Z
  ends: 2026-12-01T23:00:00Z
---
apiVersion: tocsin/v1
kind: Silence
metadata: {name: noisy}
spec:
  systems: {match: 'system.tags.env == "test"'}
  starts: 2026-12-01T22:00:00Z
  ends: 2026-12-01T23:00:00Z
`

// TestDryRun examines manifests that are good, from everywhere they can come.
func TestDryRun(t *testing.T) {
	t.Parallel()
	const all = "check/web-up valid\nrule/page valid\nmaintenance/kernel valid\nsilence/noisy valid\n"
	dir := t.TempDir()
	write(t, dir, "all/1.yaml", goodSystems)
	write(t, dir, "all/2.yml", goodCheck)
	write(t, dir, "all/3.json", `{"apiVersion": "tocsin/v1", "kind": "System", "metadata": {"name": "db-01"}}`)
	write(t, dir, "all/notes.txt", "not a manifest")
	write(t, dir, "all/below/4.yaml", "not read")
	for _, tt := range []struct {
		name, in, want string
		args           []string
	}{
		{"a file", "", "system/web-01 valid\n", []string{"-f", "all/1.yaml"}},
		{"two files", "", "system/db-01 valid\nsystem/web-01 valid\n", []string{"-f", "all/3.json", "--filename", "all/1.yaml"}},
		{"one file twice", "", "system/web-01 valid\n", []string{"-f", "all/1.yaml", "-f", "all/1.yaml"}},
		{"a directory", "", "system/web-01 valid\n" + all + "system/db-01 valid\n", []string{"-f", "all"}},
		{"standard input", goodCheck, all, []string{"-f", "-"}},
		{"a module without assertions", strings.Replace(goodCheck, "['depth < 100']", "[]", 1), all, []string{"-f", "-"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			command{args: append([]string{"apply", "--dry-run"}, tt.args...), in: tt.in, dir: dir}.run(t).wants(t, tt.name, 0, tt.want, "")
		})
	}
}

// TestDryRunUnreadable names what cannot be read at all, and mistakes across
// files.
func TestDryRunUnreadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "none/notes.txt", "nothing")
	write(t, dir, "a.yaml", goodSystems)
	write(t, dir, "b.yaml", "# the same again\n"+goodSystems)
	write(t, dir, "wrong.yaml", goodSystems+"  tag: {}\n")
	write(t, dir, "long.yaml", strings.Repeat("#", 4<<20)+"\n")
	for _, tt := range []struct{ name, in, args, want string }{
		{"no file", "", "-f none.yaml", "tocsin: stat none.yaml: no such file or directory\n"},
		{"an empty directory", "", "-f none", "tocsin: there is no .yaml, .yml or .json file in none\n"},
		{"too long", "", "-f long.yaml", "tocsin: read long.yaml: it has more than 4 MiB\n"},
		{"two files with the same", "", "-f a.yaml -f b.yaml", `b.yaml:2:1: System "web-01" stands twice, first in a.yaml:1; rename or remove one` + "\n"},
		{
			"a mistake in standard input", goodSystems + "  tag: {}\n", "-f -",
			`(standard input):7:3: spec.tag: unknown field "tag"; there are tags, groups, depends_on, rollup, note; did you mean tags?` + "\n",
		},
		{
			"mistakes in two files", "kind: System\n", "-f wrong.yaml -f -",
			`wrong.yaml:7:3: spec.tag: unknown field "tag"; there are tags, groups, depends_on, rollup, note; did you mean tags?` + "\n" +
				"(standard input):1:1: apiVersion: apiVersion is missing; write apiVersion: tocsin/v1\n" +
				"(standard input):1:1: metadata: metadata is missing; write metadata: {name: ...}\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			command{args: append([]string{"apply", "--dry-run"}, strings.Fields(tt.args)...), in: tt.in, dir: dir}.run(t).wants(t, tt.name, 1, "", tt.want)
		})
	}
}

// TestMistakes examines one file for each mistake that people make. Beside it
// stands exactly what must be said: where it is, what is wrong and how to mend
// it.
//
// acceptance 36.
func TestMistakes(t *testing.T) {
	t.Parallel()
	dir, err := filepath.Abs(filepath.Join("testdata", "bad"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		name := filepath.Base(path)
		t.Run(strings.TrimSuffix(name, ".yaml"), func(t *testing.T) {
			t.Parallel()
			got := command{args: []string{"apply", "--dry-run", "-f", name}, dir: dir}.run(t)
			beside := strings.TrimSuffix(path, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(beside, []byte(got.err), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(beside)
			if err != nil {
				t.Fatal(err)
			}
			got.wants(t, name, 1, "", string(want))
			if strings.Count(got.err, name+":") != 1 {
				t.Errorf("one mistake is told more than once:\n%s", got.err)
			}
		})
	}
}
