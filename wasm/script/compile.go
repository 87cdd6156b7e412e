// Package script makes JavaScript and TypeScript that people write runnable by
// the interpreter of the sandbox.
//
// [Compile] strips types and checks syntax. It runs nothing and reaches
// nothing, and its answer depends on its arguments alone. What is wrong is told
// with line and column of the source as it was written.
package script

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/evanw/esbuild/pkg/api"
	"github.com/go-sourcemap/sourcemap"
)

// MaxSource is the most that one script may have, bytes.
const MaxSource = 256 << 10

// Diagnostic is one thing that is wrong with a source.
type Diagnostic struct { //nolint:errname // it is part of answers first, and an error only besides
	Line    int    // from 1; 0 when it is about the whole source
	Column  int    // from 1, in bytes
	Length  int    // bytes that it is about
	Text    string // one sentence
	Excerpt string // the line of the source
}

// Character is the column in characters, from 1.
func (d Diagnostic) Character() int {
	if d.Line == 0 {
		return 0
	}
	return utf8.RuneCountInString(d.Excerpt[:min(d.Column-1, len(d.Excerpt))]) + 1
}

// Snippet is the line with a caret below.
func (d Diagnostic) Snippet() string {
	if d.Line == 0 {
		return ""
	}
	blanks := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, d.Excerpt[:min(d.Column-1, len(d.Excerpt))])
	return d.Excerpt + "\n" + blanks + "^"
}

// Error is the place, the sentence and the snippet.
func (d Diagnostic) Error() string {
	if d.Line == 0 {
		return d.Text
	}
	return fmt.Sprintf("%d:%d: %s\n%s", d.Line, d.Column, d.Text, d.Snippet())
}

// Diagnostics are all that is wrong with a source, in order of place.
type Diagnostics []Diagnostic //nolint:errname // as Diagnostic

// Error is every Diagnostic, a line each.
func (d Diagnostics) Error() string {
	texts := make([]string, len(d))
	for i := range d {
		texts[i] = d[i].Error()
	}
	return strings.Join(texts, "\n")
}

// Program is a compiled script.
type Program struct {
	File string // the name by which traces call the source
	Code string // of one script, not a module: it leaves its exports in the variable Exports

	places *sourcemap.Consumer // from Code to the source
}

// Exports is the variable that holds what a script exports.
const Exports = "__script"

// Compile turns source, which is TypeScript or JavaScript, into a Program. The
// error is Diagnostics. File is the name by which traces call the source.
func Compile(file, source string) (*Program, error) {
	switch {
	case len(source) > MaxSource:
		return nil, Diagnostics{{Text: fmt.Sprintf("the script has %d bytes, the limit is %d KiB", len(source), MaxSource>>10)}}
	case !utf8.ValidString(source) || strings.ContainsRune(source, 0):
		return nil, Diagnostics{{Text: "the script is not text in UTF-8"}}
	case strings.TrimSpace(source) == "":
		return nil, Diagnostics{{Text: "the script is empty; it must export a default function"}}
	}
	r := api.Build(api.BuildOptions{
		Stdin:   &api.StdinOptions{Contents: source, Sourcefile: file, Loader: api.LoaderTS},
		Bundle:  true, // the only way to see every import; the plugin refuses them all
		Plugins: []api.Plugin{alone()},
		Format:  api.FormatIIFE, GlobalName: Exports, Target: api.ES2023, Platform: api.PlatformNeutral,
		Outfile: "script.js", Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		TsconfigRaw: "{}", Charset: api.CharsetUTF8, TreeShaking: api.TreeShakingFalse, LogLevel: api.LogLevelSilent,
	})
	if len(r.Errors) > 0 {
		return nil, diagnose(r.Errors, source)
	}
	p := &Program{File: file}
	for _, f := range r.OutputFiles {
		if !strings.HasSuffix(f.Path, ".map") {
			p.Code = string(f.Contents)
			continue
		}
		var err error
		if p.places, err = sourcemap.Parse("", f.Contents); err != nil {
			return nil, Diagnostics{{Text: "the compiler of scripts lost the places of the source: " + err.Error()}}
		}
	}
	if p.Code == "" || p.places == nil {
		return nil, Diagnostics{{Text: "the compiler of scripts gave no code"}}
	}
	return p, nil
}

// unnamed is what the compiler calls a default export without a name: it
// derives the name from the file.
const unnamed = "_default"

// frame is a line of a trace of the interpreter: "at f (queue.ts:3:10)".
var frame = regexp.MustCompile(`^\s*at (?:(.*) )?\(?([^()\s]+):(\d+):(\d+)\)?\s*$`)

// Place is where in its source a script was.
type Place struct {
	Function string // empty at the top
	Line     int    // from 1
	Column   int    // from 1
}

// Trace reads a trace of the interpreter, innermost first: only what is in the
// source of the script, and at most ten places.
func (p *Program) Trace(stack string) []Place {
	const most = 10
	var out []Place
	for line := range strings.SplitSeq(stack, "\n") {
		found := frame.FindStringSubmatch(line)
		if found == nil || found[2] != p.File || len(out) == most {
			continue
		}
		row, _ := strconv.Atoi(found[3])
		column, _ := strconv.Atoi(found[4])
		_, name, row, column, ok := p.places.Source(row, column-1)
		if !ok {
			continue
		}
		if name == "" {
			name = found[1]
		}
		if strings.HasPrefix(name, "<") || strings.HasSuffix(name, unnamed) {
			name = ""
		}
		out = append(out, Place{name, row, column + 1})
	}
	return out
}

// alone refuses every import, so that nothing is read from this machine.
func alone() api.Plugin {
	return api.Plugin{Name: "alone", Setup: func(b api.PluginBuild) {
		b.OnResolve(api.OnResolveOptions{Filter: ".*"}, func(a api.OnResolveArgs) (api.OnResolveResult, error) {
			if a.Kind == api.ResolveEntryPoint {
				return api.OnResolveResult{}, nil
			}
			return api.OnResolveResult{Errors: []api.Message{{
				Text: fmt.Sprintf("a script cannot import %q: it stands alone; http, tcp, tls, dns, kv and secret are arguments of its function", a.Path),
			}}}, nil
		})
	}}
}

func diagnose(errs []api.Message, source string) Diagnostics {
	lines := strings.Split(source, "\n")
	out := make(Diagnostics, 0, len(errs))
	for _, e := range errs {
		d := Diagnostic{Text: e.Text}
		if strings.HasPrefix(e.Text, "Top-level await") {
			d.Text = "await is possible inside of the function only"
		}
		if l := e.Location; l != nil && l.Line > 0 && l.Line <= len(lines) {
			d.Line, d.Column, d.Length = l.Line, l.Column+1, l.Length
			d.Excerpt = strings.TrimSuffix(lines[l.Line-1], "\r")
		}
		out = append(out, d)
	}
	return out
}
