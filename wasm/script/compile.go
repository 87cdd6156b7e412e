// Package script makes JavaScript and TypeScript that people write runnable by
// the interpreter of the sandbox.
//
// [Compile] strips types and checks syntax. It runs nothing and reaches
// nothing, and its answer depends on its arguments alone. What is wrong is told
// with line and column of the source as it was written.
package script

import (
	"errors"
	"fmt"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

// MaxSource is the most that one script may have, bytes.
const MaxSource = 256 << 10

// Language of a source.
type Language string

// The languages.
const (
	JavaScript Language = "javascript"
	TypeScript Language = "typescript"
)

// Diagnostic is one thing that is wrong with a source.
type Diagnostic struct {
	Line    int    // from 1; 0 when it is about the whole source
	Column  int    // from 1, in bytes
	Length  int    // bytes that it is about
	Text    string // one sentence
	Excerpt string // the line of the source
}

// Error is the place, the sentence, and the line with a caret below.
func (d Diagnostic) Error() string {
	if d.Line == 0 {
		return d.Text
	}
	blanks := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, d.Excerpt[:min(d.Column-1, len(d.Excerpt))])
	return fmt.Sprintf("%d:%d: %s\n%s\n%s^", d.Line, d.Column, d.Text, d.Excerpt, blanks)
}

// Diagnostics are all that is wrong with a source, in order of place.
type Diagnostics []Diagnostic

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
	Code string // of one script, not a module: it leaves its exports in the variable Exports
	Map  string // source map, version 3, from Code to the source
}

// Exports is the variable that holds what a script exports.
const Exports = "__script"

// Compile turns source into a Program. The error is Diagnostics. File is the
// name by which traces call the source.
func Compile(file, source string, language Language) (Program, error) {
	if len(source) > MaxSource {
		return Program{}, Diagnostics{{Text: fmt.Sprintf("the script has %d bytes, the limit is %d KiB", len(source), MaxSource>>10)}}
	}
	if strings.TrimSpace(source) == "" {
		return Program{}, Diagnostics{{Text: "the script is empty; it must export a default function"}}
	}
	loader := api.LoaderJS
	switch language {
	case JavaScript:
	case TypeScript:
		loader = api.LoaderTS
	default:
		return Program{}, Diagnostics{{Text: fmt.Sprintf("%q is not a language of scripts; write javascript or typescript", language)}}
	}
	r := api.Build(api.BuildOptions{
		Stdin:   &api.StdinOptions{Contents: source, Sourcefile: file, Loader: loader},
		Bundle:  true, // the only way to see every import; the plugin refuses them all
		Plugins: []api.Plugin{alone()},
		Format:  api.FormatIIFE, GlobalName: Exports, Target: api.ES2023, Platform: api.PlatformNeutral,
		Outfile: "script.js", Sourcemap: api.SourceMapExternal, SourcesContent: api.SourcesContentExclude,
		TsconfigRaw: "{}", Charset: api.CharsetUTF8, TreeShaking: api.TreeShakingFalse, LogLevel: api.LogLevelSilent,
	})
	if len(r.Errors) > 0 {
		return Program{}, diagnose(r.Errors, source)
	}
	var p Program
	for _, f := range r.OutputFiles {
		if strings.HasSuffix(f.Path, ".map") {
			p.Map = string(f.Contents)
			continue
		}
		p.Code = string(f.Contents)
	}
	if p.Code == "" {
		return Program{}, errors.New("the compiler of scripts gave no code")
	}
	return p, nil
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
		if l := e.Location; l != nil && l.Line > 0 && l.Line <= len(lines) {
			d.Line, d.Column, d.Length = l.Line, l.Column+1, l.Length
			d.Excerpt = strings.TrimSuffix(lines[l.Line-1], "\r")
		}
		out = append(out, d)
	}
	return out
}
