package script_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/wasm/script"
)

// TestCompile strips types and leaves no trace of the machine.
func TestCompile(t *testing.T) {
	p, err := script.Compile("queue.ts", "interface C { url: string }\nexport const manifest = { name: 'queue' };\nexport default async ({ config }: { config: C }) => config.url;\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, not := range []string{"interface", ": C", "import", "require"} {
		if strings.Contains(p.Code, not) {
			t.Errorf("the code holds %q:\n%s", not, p.Code)
		}
	}
	if !strings.HasPrefix(p.Code, `"use strict";`) && !strings.HasPrefix(p.Code, "var "+script.Exports) {
		t.Errorf("the code begins with %.60q", p.Code)
	}
}

// TestCompileRefuses names the place in the source as it was written.
func TestCompileRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		want   []string
	}{
		"syntax":         {"export default () => {\n\tconst = 1\n}", []string{"2:8: ", "\tconst = 1", "\t      ^"}},
		"import":         {"import fs from 'fs'\nexport default () => fs", []string{`1:16: a script cannot import "fs": it stands alone`}},
		"relative":       {"import './compile.go'\nexport default () => 1", []string{`cannot import "./compile.go"`}},
		"dynamic import": {"export default () => import('fs')", []string{`cannot import "fs"`}},
		"require":        {"export default () => require('fs')", []string{`cannot import "fs"`}},
		"re-export":      {"export * from 'http://a.example/x.js'", []string{`cannot import "http://a.example/x.js"`}},
		"empty":          {" \n", []string{"the script is empty"}},
		"await":          {"const x = await 1\nexport default () => x", []string{"1:11: await is possible inside of the function only"}},
		"binary":         {"export default () => '\xff'", []string{"not text in UTF-8"}},
		"large":          {strings.Repeat("x", script.MaxSource+1), []string{"the limit is 256 KiB"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := script.Compile("s.ts", c.source)
			if _, ok := errors.AsType[script.Diagnostics](err); !ok {
				t.Fatalf("Compile: %v, want Diagnostics", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error\n%s\nwant in it %q", err, want)
				}
			}
		})
	}
}

// FuzzCompile never crashes and points into the source.
func FuzzCompile(f *testing.F) {
	f.Add("export default () => 1")
	f.Add("import x from 'y'; <T,>(a: T) => `${a}`")
	f.Fuzz(func(t *testing.T, source string) {
		_, err := script.Compile("s.ts", source)
		if err == nil {
			return
		}
		all, ok := errors.AsType[script.Diagnostics](err)
		if !ok || len(all) == 0 {
			t.Fatalf("error %v, want Diagnostics", err)
		}
		for _, d := range all {
			if d.Text == "" || d.Line > strings.Count(source, "\n")+1 {
				t.Errorf("diagnostic %+v", d)
			}
		}
	})
}
