package main

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/cmd/toolchain"
	"github.com/tocsin-io/tocsin/wasm"
)

// starters are the projects that module init writes, by language; all is in
// each of them.
//
//go:embed all:init
var starters embed.FS

// starter says what is special about the project of a language.
type starter struct {
	language, source, sdk, except, needs string
	versioned                            string      // where its version is written; default source
	copies                               [][2]string // of the SDKs: from a path, file or folder, to one of the project
}

func starterOf(language toolchain.Language, name string) starter {
	switch language {
	case toolchain.Go:
		return starter{
			language: "Go", source: "main.go", sdk: "tocsin/", needs: "install Go 1.26 or newer",
			copies: [][2]string{{"abi", "tocsin/wasm/abi"}, {"guest", "tocsin/wasm/guest"}},
		}
	case toolchain.Rust:
		return starter{
			language: "Rust", source: "src/lib.rs", versioned: "Cargo.toml", sdk: "tocsin/",
			needs:  "install Rust 1.63 or newer with the target wasm32-unknown-unknown (Debian: `rustc cargo libstd-rust-dev-wasm32`)",
			copies: [][2]string{{"guest/rust", "tocsin"}},
		}
	case toolchain.AssemblyScript:
		return starter{
			language: "AssemblyScript", source: "assembly/index.ts", sdk: "tocsin/", except: " but the compiler, the first time, by npm",
			needs:  "install Node 20 or newer",
			copies: [][2]string{{"guest/assemblyscript/assembly", "tocsin/assembly"}, {"guest/assemblyscript/README.md", "tocsin/README.md"}, {"guest/assemblyscript/package-lock.json", "package-lock.json"}},
		}
	case toolchain.C:
	}
	return starter{
		language: "C", source: name + ".c", sdk: "tocsin.h", needs: "install a clang for WASI (Debian: `clang lld wasi-libc libclang-rt-dev-wasm32`)",
		copies: [][2]string{{"guest/c/tocsin.h", "tocsin.h"}},
	}
}

func newModuleInit(s streams) *cobra.Command {
	var language, name string
	cmd := &cobra.Command{
		Use:   "init [DIR] --lang LANGUAGE",
		Short: "Write a small module that works, to begin with",
		Long: `Writes a project into a directory, which is made when it is not there: a small
collector that works, the SDK of the language, test cases, a check that uses it
and a README. Nothing is downloaded, and no file that exists is changed.

To build one, go needs Go 1.26 or newer; rust needs Rust 1.63 or newer with the
target wasm32-unknown-unknown; assemblyscript needs Node 20 or newer with npm,
which fetches the compiler once; c needs clang with a C library for WASI.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			if !slices.Contains(toolchain.Languages(), toolchain.Language(language)) {
				return usageError{fmt.Errorf("--lang %q: write go, rust, assemblyscript or c", language)}
			}
			if name == "" {
				whole, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				name = filepath.Base(whole)
			}
			if err := checkProjectName(name); err != nil {
				return err
			}
			files, err := projectFiles(toolchain.Language(language), name)
			if err != nil {
				return fmt.Errorf("write a project: %w", err)
			}
			if err := writeProject(dir, files); err != nil {
				return err
			}
			where := filepath.ToSlash(filepath.Clean(dir))
			fmt.Fprintf(s.out, "%s: a collector in %s, %d files\n\n", where, starterOf(toolchain.Language(language), name).language, len(files))
			fmt.Fprintf(s.out, "  tocsin module build %s\n  tocsin module test %s\n  tocsin module push %s --grant as-wanted --activate\n  tocsin apply -f %s\n",
				where, where, path.Join(where, name+".wasm"), path.Join(where, "check.yaml"))
			return nil
		},
	}
	cmd.Flags().StringVar(&language, "lang", "", "go, rust, assemblyscript or c")
	cmd.Flags().StringVar(&name, "name", "", "name of the module; default that of the directory")
	return cmd
}

var projectName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,48}[a-z0-9]$`)

// checkProjectName refuses what is no name in one of the languages.
func checkProjectName(name string) error {
	if !projectName.MatchString(name) {
		return usageError{fmt.Errorf("the name %q: write 2 to 50 lower-case letters, digits and '-', beginning with a letter; give one with --name", printable(name))}
	}
	if name == "tocsin" {
		return usageError{errors.New("the name tocsin is that of the SDK: give another one with --name")}
	}
	return nil
}

// projectFiles are the files of a project by their paths.
func projectFiles(language toolchain.Language, name string) (map[string]string, error) {
	about := starterOf(language, name)
	fill := strings.NewReplacer(
		"{{name}}", name, "{{language}}", about.language, "{{source}}", about.source, "{{sdk}}", about.sdk, "{{except}}", about.except,
		"{{needs}}", about.needs, "{{versioned}}", cmp.Or(about.versioned, about.source), "{{version}}", version,
	)
	files := map[string]string{}
	for _, folder := range []string{"init/all", "init/" + string(language)} {
		err := eachFile(starters, folder, func(file, text string) {
			file = strings.TrimSuffix(strings.TrimPrefix(file, folder+"/"), ".tmpl")
			switch file {
			case "gitignore":
				file = ".gitignore"
			case "main.c":
				file = about.source
			}
			files[file] = fill.Replace(text)
		})
		if err != nil {
			return nil, err
		}
	}
	for _, c := range about.copies {
		from, to := c[0], c[1]
		err := eachFile(wasm.SDKs(), from, func(file, text string) {
			rest := strings.TrimPrefix(file, from)
			// The folder of the Go SDK holds those of the other languages.
			if language == toolchain.Go && (strings.Count(rest, "/") > 1 || strings.HasSuffix(rest, "_test.go")) {
				return
			}
			files[to+rest] = text
		})
		if err != nil {
			return nil, err
		}
	}
	if lock, ok := files["package-lock.json"]; ok {
		lock = strings.Replace(lock, `"name": "tocsin"`, `"name": "`+name+`"`, 2)
		lock = strings.Replace(lock, `"version": "1.0.0"`, `"version": "0.1.0"`, 2)
		files["package-lock.json"] = strings.Replace(lock, "\n      \"license\": \"Apache-2.0\",", "", 1)
	}
	return files, nil
}

// eachFile calls do for each file at or below a path.
func eachFile(from fs.FS, root string, do func(file, text string)) error {
	return fs.WalkDir(from, root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(from, file)
		if err == nil {
			do(file, string(text))
		}
		return err
	})
}

// writeProject writes files into a directory, all of them or, when one is there
// already, none.
func writeProject(dir string, files map[string]string) error {
	var there []string
	for file := range files {
		_, err := os.Lstat(filepath.Join(dir, filepath.FromSlash(file)))
		switch {
		case err == nil:
			there = append(there, file)
		case !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	if len(there) > 0 {
		slices.Sort(there)
		return fmt.Errorf("%s holds %s already, and nothing was written: name another directory", dir, strings.Join(there, ", "))
	}
	for file, text := range files {
		target := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil { //nolint:gosec // source of the user, as their editor would make it
			return err
		}
		f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // the same
		if err != nil {
			return err
		}
		_, err = f.WriteString(text)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", target, err)
		}
	}
	return nil
}
