// Package toolchain makes modules of source: it tells the language of a
// project by its files, finds the compiler, says what to install when there is
// none, and runs it.
//
// A project is one directory. Nothing is downloaded but what the lock file of
// an AssemblyScript project names, and that only when its compiler is not
// there yet.
package toolchain

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Language of a project.
type Language string

// The languages that there are SDKs for.
const (
	Go             Language = "go"
	Rust           Language = "rust"
	AssemblyScript Language = "assemblyscript"
	C              Language = "c"
)

// Languages lists them, as people write them.
func Languages() []Language { return []Language{Go, Rust, AssemblyScript, C} }

// MissingError says that a compiler is not installed.
type MissingError struct {
	Language Language
	What     string // is not there
	Install  string // how to get it
}

// Error is a sentence with the packages.
func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed, and a module in %s needs it: %s", e.What, e.Language, e.Install)
}

// Detect tells the language of the project in dir.
func Detect(dir string) (Language, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%s is not a directory", dir)
	}
	for _, sign := range []struct {
		pattern  string
		language Language
	}{{"Cargo.toml", Rust}, {"asconfig.json", AssemblyScript}, {"go.mod", Go}, {"*.go", Go}, {"*.c", C}} {
		found, err := filepath.Glob(filepath.Join(escape(dir), sign.pattern))
		if err != nil {
			return "", err
		}
		if len(found) > 0 {
			return sign.language, nil
		}
	}
	return "", fmt.Errorf("%s holds no project: no go.mod, Cargo.toml, asconfig.json, *.go or *.c", dir)
}

// escape makes a pattern of a path that stands for itself.
func escape(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

// Build compiles the project in dir into the file out. What the compiler says
// goes to log. The error is a [MissingError] when there is no compiler.
func Build(ctx context.Context, dir, out string, log io.Writer) error {
	language, err := Detect(dir)
	if err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return err
	}
	b := builder{dir: dir, out: out, log: log}
	switch language {
	case Go:
		return b.goModule(ctx)
	case Rust:
		return b.rust(ctx)
	case AssemblyScript:
		return b.assemblyScript(ctx)
	case C:
	}
	return b.c(ctx)
}

// builder is one build.
type builder struct {
	dir, out string
	log      io.Writer
}

// run runs a compiler in the directory of the project.
func (b builder) run(ctx context.Context, env []string, name string, args ...string) error {
	cmd := b.command(ctx, env, name, args...)
	cmd.Stdout, cmd.Stderr = b.log, b.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}

func (b builder) command(ctx context.Context, env []string, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // a compiler
	cmd.Dir, cmd.Env = b.dir, append(os.Environ(), env...)
	return cmd
}

// sources reads the files of the project that match a pattern.
func (b builder) sources(pattern string) (names []string, text []byte, err error) {
	paths, err := filepath.Glob(filepath.Join(escape(b.dir), pattern))
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "_test.c") {
			continue
		}
		part, err := os.ReadFile(path) //nolint:gosec // of the project
		if err != nil {
			return nil, nil, err
		}
		names, text = append(names, name), append(text, part...)
	}
	return names, text, nil
}

// goModule builds a reactor, or a command when nothing in it is exported.
func (b builder) goModule(ctx context.Context) error {
	if _, err := exec.LookPath("go"); err != nil {
		return &MissingError{Go, "go", "install Go 1.26 or newer from https://go.dev/dl"}
	}
	_, text, err := b.sources("*.go")
	if err != nil {
		return err
	}
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", b.out}
	if bytes.Contains(text, []byte("//go:wasmexport")) || bytes.Contains(text, []byte("tocsin/wasm/guest")) {
		args = append(args, "-buildmode=c-shared")
	}
	return b.run(ctx, []string{"GOOS=wasip1", "GOARCH=wasm", "GOWORK=off"}, "go", append(args, ".")...)
}

// c builds a reactor, or a command when it has a main function. Flags are in
// compile_flags.txt, one a line, where editors read them too.
func (b builder) c(ctx context.Context) error {
	const install = "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32, or set WASI_SDK_PATH to a wasi-sdk"
	clang, flags := "clang", []string{"--target=wasm32-wasi", "-std=c11", "-O2", "-flto", "-Wall", "-Wl,--strip-all"}
	if sdk := os.Getenv("WASI_SDK_PATH"); sdk != "" {
		clang = filepath.Join(sdk, "bin", "clang")
		if _, err := exec.LookPath(clang); err != nil {
			return &MissingError{C, clang, install}
		}
	} else {
		for _, tool := range []string{"clang", "wasm-ld"} {
			if _, err := exec.LookPath(tool); err != nil {
				return &MissingError{C, tool, install}
			}
		}
		if err := b.linksC(ctx); err != nil {
			return &MissingError{C, "the C library for WASI", install}
		}
	}
	names, text, err := b.sources("*.c")
	if err != nil {
		return err
	}
	if !bytes.Contains(text, []byte(" main(")) {
		flags = append(flags, "-mexec-model=reactor")
	}
	more, err := os.ReadFile(filepath.Join(b.dir, "compile_flags.txt"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(more)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--target") && !strings.HasPrefix(line, "-std") {
			flags = append(flags, line)
		}
	}
	return b.run(ctx, nil, clang, slices.Concat(flags, []string{"-o", b.out}, names)...)
}

// linksC reports whether the smallest program can be made.
func (b builder) linksC(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "tocsin-c-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary directory
	cmd := b.command(ctx, nil, "clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-x", "c", "-o", filepath.Join(dir, "x.wasm"), "-")
	cmd.Stdin = strings.NewReader("#include <stdlib.h>\n")
	return cmd.Run()
}
