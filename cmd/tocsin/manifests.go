package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
	"github.com/tocsin-io/tocsin/web/wire"
)

// maxFile is the largest manifest that is read, in bytes.
const maxFile = 4 << 20

// readFiles reads the manifests named: files, directories (their .yaml, .yml
// and .json files) or "-" for standard input. Each is read once.
func readFiles(names []string, in io.Reader) (map[string][]byte, []string, error) {
	texts, order := map[string][]byte{}, []string{}
	for _, name := range names {
		paths, err := expand(name)
		if err != nil {
			return nil, nil, err
		}
		for _, path := range paths {
			if _, twice := texts[path]; twice {
				continue
			}
			if texts[path], err = readFile(path, in); err != nil {
				return nil, nil, err
			}
			order = append(order, path)
		}
	}
	return texts, order, nil
}

// stdinName is what standard input is called where a file would be named.
const stdinName = "(standard input)"

// readFile reads one manifest, and refuses what is too large for one.
func readFile(path string, in io.Reader) ([]byte, error) {
	if path != stdinName {
		file, err := os.Open(path) //nolint:gosec // the file that the user named
		if err != nil {
			return nil, err
		}
		defer file.Close() //nolint:errcheck // it was only read
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("read %s: it has more than %d MiB", path, maxFile>>20)
	}
	return text, nil
}

// expand lists the files that a name stands for.
func expand(name string) ([]string, error) {
	if name == "-" {
		return []string{stdinName}, nil
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) && !e.IsDir() {
			paths = append(paths, filepath.Join(name, e.Name()))
		}
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("there is no .yaml, .yml or .json file in %s", name)
	}
	return paths, nil
}

// decodeFiles reads the objects of all files and every problem in them.
func decodeFiles(names []string, in io.Reader) ([]manifest.Item, core.Problems, error) {
	texts, order, err := readFiles(names, in)
	if err != nil {
		return nil, nil, err
	}
	var items []manifest.Item
	var problems core.Problems
	first := map[string]manifest.Item{}
	for _, name := range order {
		got, ps := manifest.Decode(name, texts[name])
		for _, it := range got {
			key := it.Kind + " " + it.ID
			if was, twice := first[key]; twice && was.File != name { // Decode has told of those in one file
				ps = append(ps, core.Problem{
					File: name, Line: it.Line, Column: 1, Code: "duplicate",
					Message: fmt.Sprintf("%s %q stands twice, first in %s:%d", it.Kind, it.ID, was.File, was.Line), Fix: "rename or remove one",
				})
				continue
			}
			first[key] = it
			items = append(items, it)
		}
		problems = append(problems, ps...)
	}
	return items, problems, nil
}

func newApply(s streams) *cobra.Command {
	var f serverFlags
	var files []string
	var dry bool
	cmd := &cobra.Command{
		Use:   "apply -f FILE",
		Short: "Create or change systems, checks, rules, maintenances, silences and channels from YAML",
		Long: `Reads YAML documents and makes the server match them. Nothing is changed when
anything in them is wrong. With --dry-run they are examined on this machine,
without any server.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usageError{fmt.Errorf("apply: name a file with -f, or - for standard input")}
			}
			if dry {
				return applyDry(files, s)
			}
			return applyServer(cmd.Context(), f, files, s)
		},
	}
	cmd.Flags().StringArrayVarP(&files, "filename", "f", nil, "file or directory of manifests, - for standard input; may be repeated")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "examine only, without a server")
	f.add(cmd)
	return cmd
}

// applyDry examines manifests with what this binary knows by itself. Systems
// that are only on a server, and modules, are taken to be there.
func applyDry(files []string, s streams) error {
	items, problems, err := decodeFiles(files, s.in)
	if err != nil {
		return err
	}
	problems = append(problems, consequent(items, examine(items), problems)...)
	if len(problems) > 0 {
		return problems
	}
	for _, it := range items {
		fmt.Fprintf(s.out, "%s/%s valid\n", strings.ToLower(it.Kind), it.ID)
	}
	return nil
}

func applyServer(ctx context.Context, f serverFlags, files []string, s streams) error {
	items, problems, err := decodeFiles(files, s.in)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return problems
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	objects := make([]any, len(items))
	for i, it := range items {
		objects[i] = it.Object
	}
	body, err := manifest.Encode(objects...)
	if err != nil {
		return err
	}
	var applied wire.Applied
	err = c.do(ctx, http.MethodPost, "/api/v1/apply", "application/yaml", bytes.NewReader(body), &applied)
	if problems, ok := err.(core.Problems); ok { //nolint:errorlint // refusal returns it bare
		return relocate(problems, body, items)
	}
	if err != nil {
		return err
	}
	for _, it := range applied.Items {
		fmt.Fprintf(s.out, "%s/%s %s\n", strings.ToLower(it.Kind), it.ID, it.Action)
	}
	return nil
}

// relocate moves problems found in what was sent to where the author wrote it.
func relocate(problems core.Problems, sent []byte, items []manifest.Item) core.Problems {
	again, _ := manifest.Decode("", sent)
	for i, p := range problems {
		for k, it := range slices.Backward(again) {
			if p.Line >= it.Line && k < len(items) && p.Path != "" {
				problems[i] = items[k].Locate(p)
				break
			}
		}
	}
	return problems
}

// plural is the path of a kind in the API.
func plural(word string) (string, error) {
	known := map[string]string{"system": "systems", "check": "checks", "rule": "rules", "maintenance": "maintenances", "silence": "silences", "channel": "channels"}
	for one, many := range known {
		if word == one || word == many {
			return many, nil
		}
	}
	return "", usageError{fmt.Errorf("%q is not a kind; write systems, checks, rules, maintenances, silences or channels", word)}
}

func newGet(s streams) *cobra.Command {
	var f serverFlags
	var output string
	cmd := &cobra.Command{
		Use:   "get KIND [ID]",
		Short: "Show systems, checks, rules, maintenances, silences or channels",
		Args:  cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains([]string{"table", "yaml", "json"}, output) {
				return usageError{fmt.Errorf("-o %q: write table, yaml or json", output)}
			}
			kind, err := plural(args[0])
			if err != nil {
				return err
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			objects, err := fetch(cmd.Context(), c, kind, args[1:])
			if err != nil {
				return err
			}
			return show(objects, kind, output, s.out)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table, yaml or json")
	f.add(cmd)
	return cmd
}

// fetch reads one object, or all of a kind, as core values.
func fetch(ctx context.Context, c *client, kind string, id []string) ([]any, error) {
	path := "/api/v1/" + kind
	var raws []json.RawMessage
	if len(id) == 1 {
		var one json.RawMessage
		if err := c.do(ctx, http.MethodGet, path+"/"+url.PathEscape(id[0]), "", nil, &one); err != nil {
			return nil, err
		}
		raws = append(raws, one)
	} else {
		var all wire.Page[json.RawMessage]
		if err := c.do(ctx, http.MethodGet, path, "", nil, &all); err != nil {
			return nil, err
		}
		raws = all.Items
	}
	var out []any
	for _, raw := range raws {
		var stored wire.Stored[json.RawMessage]
		if err := json.Unmarshal(raw, &stored); err != nil {
			return nil, fmt.Errorf("read the server's answer: %w", err)
		}
		object := map[string]func() any{
			"systems": func() any { return new(core.System) }, "checks": func() any { return new(core.Check) }, "rules": func() any { return new(core.Rule) },
			"maintenances": func() any { return new(core.Maintenance) }, "silences": func() any { return new(core.Silence) },
			"channels": func() any { return new(core.Channel) },
		}[kind]()
		if err := json.Unmarshal(stored.Object, object); err != nil {
			return nil, fmt.Errorf("read the server's answer: %w", err)
		}
		out = append(out, object)
	}
	return out, nil
}

func newDelete(s streams) *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "delete KIND ID",
		Short: "Delete a system, check, rule, maintenance, silence or channel",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			kind, err := plural(args[0])
			if err != nil {
				return err
			}
			c, err := f.client()
			if err != nil {
				return err
			}
			if err := c.do(cmd.Context(), http.MethodDelete, "/api/v1/"+kind+"/"+url.PathEscape(args[1]), "", nil, nil); err != nil {
				return err
			}
			fmt.Fprintf(s.out, "%s/%s deleted\n", strings.TrimSuffix(kind, "s"), args[1])
			return nil
		},
	}
	f.add(cmd)
	return cmd
}
