package toolchain

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// rustInstall says how to get a compiler with a standard library for Wasm.
const rustInstall = "apt-get install rustc cargo libstd-rust-dev-wasm32, or rustup target add wasm32-unknown-unknown wasm32-wasip1"

// Cargo is a Rust that can build for a target.
type Cargo struct{ Cargo, Rustc, Target string }

// FindCargo looks for a cargo and a compiler of the same age that have the
// standard library of one of the targets: those on the path first, then those
// of the system, which a rustup on the path hides.
func FindCargo(ctx context.Context, targets ...string) (Cargo, error) {
	for _, dir := range []string{"", "/usr/bin", "/usr/local/bin"} {
		c := Cargo{Cargo: filepath.Join(dir, "cargo"), Rustc: filepath.Join(dir, "rustc")}
		if _, err := exec.LookPath(c.Cargo); err != nil {
			continue
		}
		for _, c.Target = range targets {
			out, err := exec.CommandContext(ctx, c.Rustc, "--target", c.Target, "--print", "target-libdir").Output() //nolint:gosec // a compiler
			if err != nil {
				continue
			}
			if std, _ := filepath.Glob(filepath.Join(escape(strings.TrimSpace(string(out))), "libstd-*.rlib")); len(std) > 0 {
				return c, nil
			}
		}
	}
	return Cargo{}, &MissingError{Rust, "a Rust with the standard library for " + strings.Join(targets, " or "), rustInstall}
}

// Env makes cargo use the compiler that belongs to it.
func (c Cargo) Env() []string {
	if filepath.Dir(c.Rustc) == "." {
		return nil
	}
	return []string{"RUSTC=" + c.Rustc, "RUSTDOC=" + filepath.Join(filepath.Dir(c.Rustc), "rustdoc")}
}

// rust builds a reactor of a library, or a command of a program.
func (b builder) rust(ctx context.Context) error {
	targets := []string{"wasm32-unknown-unknown", "wasm32-wasip1", "wasm32-wasi"}
	if _, err := os.Stat(filepath.Join(b.dir, "src", "main.rs")); err == nil {
		targets = targets[1:]
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	cargo, err := FindCargo(ctx, targets...)
	if err != nil {
		return err
	}
	cmd := b.command(ctx, cargo.Env(), cargo.Cargo, "build", "--release", "--target", cargo.Target, "--message-format=json-render-diagnostics")
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &messages, b.log
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("cargo: %w", err)
	}
	made, err := artifact(&messages)
	if err != nil {
		return err
	}
	file, err := os.ReadFile(made) //nolint:gosec // cargo wrote it
	if err != nil {
		return err
	}
	return os.WriteFile(b.out, file, 0o600) //nolint:gosec // the file that the user named
}

// artifact is the last module that cargo says it made.
func artifact(messages *bytes.Buffer) (string, error) {
	made := ""
	lines := bufio.NewScanner(messages)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var m struct {
			Reason    string   `json:"reason"`
			Filenames []string `json:"filenames"`
		}
		if json.Unmarshal(lines.Bytes(), &m) != nil || m.Reason != "compiler-artifact" {
			continue
		}
		for _, name := range m.Filenames {
			if strings.HasSuffix(name, ".wasm") {
				made = name
			}
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read what cargo says: %w", err)
	}
	if made == "" {
		return "", errors.New(`cargo made no module: Cargo.toml needs crate-type = ["cdylib"] under [lib], or src/main.rs`)
	}
	return made, nil
}
