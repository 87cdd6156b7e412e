package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/cmd/toolchain"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

func newModuleBuild(s streams) *cobra.Command {
	var output, manifest string
	cmd := &cobra.Command{
		Use:   "build [DIR|FILE]",
		Short: "Make a module of a project, and look at it",
		Long: `Tells the language of the project by its files (go.mod, Cargo.toml,
asconfig.json, *.c), finds the compiler, or says what to install, and writes
NAME.wasm into the directory, with its manifest embedded so that it can be read
without running anything. Then prints what module inspect prints.

Given a FILE that another tool built, it does the same without compiling: the
file is written again only with --manifest, or -o. --manifest gives a program
that does not describe itself its manifest; a project may keep one as
manifest.json.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			source := "."
			if len(args) == 1 {
				source = args[0]
			}
			host, err := localHost(s)
			if err != nil {
				return err
			}
			defer host.Close(cmd.Context()) //nolint:errcheck // the process ends
			made, err := buildModule(cmd.Context(), s, host, source, output, manifest)
			if err != nil {
				return err
			}
			if err := printManifest(s.out, made.manifest, made.file); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "\n%s\n", made.path)
			return nil
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write; default NAME.wasm in the directory")
	cmd.Flags().StringVar(&manifest, "manifest", "", "JSON file with the manifest to embed")
	return cmd
}

// made is a module that was built.
type made struct {
	path     string
	file     []byte
	manifest core.Manifest
}

// buildModule makes a module of a project, or takes a file that is one, embeds
// its manifest and writes it.
func buildModule(ctx context.Context, s streams, host *wasm.Host, source, output, manifest string) (made, error) {
	info, err := os.Stat(source)
	if err != nil {
		return made{}, err
	}
	dir := filepath.Dir(source)
	if info.IsDir() {
		dir = source
		if own := filepath.Join(source, "manifest.json"); manifest == "" && exists(own) {
			manifest = own
		}
	}
	var out made
	if out.file, err = moduleOf(ctx, s, source, info.IsDir(), manifest); err != nil {
		return made{}, err
	}
	if out.manifest, err = inspect(ctx, host, out.file); err != nil {
		return made{}, fmt.Errorf("%s: %w", source, err)
	}
	out.path = output
	if out.path == "" {
		out.path = source
		if info.IsDir() || manifest != "" {
			out.path = filepath.Join(dir, out.manifest.Name+".wasm")
		}
	}
	if out.path == source {
		return out, nil // it is what it was
	}
	if manifest == "" {
		text, err := json.Marshal(out.manifest)
		if err != nil {
			return made{}, fmt.Errorf("write its manifest: %w", err)
		}
		if out.file, err = embedManifest(out.file, text); err != nil {
			return made{}, err
		}
		if _, err := inspect(ctx, host, out.file); err != nil {
			return made{}, fmt.Errorf("%s, with its manifest embedded: %w", source, err)
		}
	}
	return out, os.WriteFile(out.path, out.file, 0o644) //nolint:gosec // a product, as compilers write it
}

// moduleOf compiles a project or reads a file, and embeds the manifest that a
// file holds, unless manifest is empty.
func moduleOf(ctx context.Context, s streams, source string, project bool, manifest string) ([]byte, error) {
	var file []byte
	var err error
	if !project {
		file, err = readModule(source, nil)
	} else if file, err = compile(ctx, s, source); err != nil {
		err = fmt.Errorf("build %s: %w", source, err)
	}
	if err != nil || manifest == "" {
		return file, err
	}
	text, err := os.ReadFile(manifest) //nolint:gosec // the file that the user named
	if err != nil {
		return nil, err
	}
	if file, err = embedManifest(file, text); err != nil {
		return nil, fmt.Errorf("%s: %w", manifest, err)
	}
	return file, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// compile runs the compiler of a project into a temporary file. What it says
// is shown.
func compile(ctx context.Context, s streams, dir string) ([]byte, error) {
	scratch, err := os.MkdirTemp("", "tocsin-build-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // a temporary directory
	out := filepath.Join(scratch, "module.wasm")
	if err := toolchain.Build(ctx, dir, out, s.err); err != nil {
		return nil, err
	}
	return readModule(out, nil)
}

// embedManifest adds a manifest to a module as a custom section, which may
// stand at its end.
func embedManifest(file, manifest []byte) ([]byte, error) {
	if !json.Valid(manifest) {
		return nil, errors.New("the manifest is not JSON")
	}
	if !strings.HasPrefix(string(file), "\x00asm") {
		return nil, errors.New("this is not a WebAssembly module")
	}
	name := abi.ManifestSection
	body := append(binary.AppendUvarint(nil, uint64(len(name))), name...)
	body = append(body, manifest...)
	file = append(slices.Clip(file), 0) // a custom section
	return append(binary.AppendUvarint(file, uint64(len(body))), body...), nil
}
