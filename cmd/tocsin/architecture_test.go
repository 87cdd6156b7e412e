package main_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// row is one package in the table of ARCHITECTURE.md.
type row struct {
	doors []string // third-party modules that only this package imports
	may   []string // packages of this module that it may import
}

// TestArchitecture holds the import graph to the table in ARCHITECTURE.md:
// every package is listed, every listed package exists, none imports a
// neighbour that its row does not name, and each third-party module is
// imported by the one package that is its door. Tests may import anything;
// golang.org/x counts as the standard library.
func TestArchitecture(t *testing.T) {
	const module, root = "github.com/tocsin-io/tocsin/", "../.."
	table := architecture(t, filepath.Join(root, "ARCHITECTURE.md"))
	owner := map[string]string{} // of a door
	for pkg, r := range table {
		for _, door := range r.doors {
			if other, twice := owner[door]; twice {
				t.Errorf("ARCHITECTURE.md names both %s and %s as the door for %s", other, pkg, door)
			}
			owner[door] = pkg
		}
	}

	graph := imports(t, root)
	used := map[string]bool{} // doors
	for pkg, list := range graph {
		r, ok := table[pkg]
		if !ok {
			t.Errorf("%s: not in ARCHITECTURE.md", pkg)
			continue
		}
		for _, imp := range list {
			if dep, ours := strings.CutPrefix(imp, module); ours {
				if !slices.Contains(r.may, dep) && !slices.Contains(r.may, "*") {
					t.Errorf("%s imports %s, which ARCHITECTURE.md does not allow", pkg, dep)
				}
				continue
			}
			if host, _, _ := strings.Cut(imp, "/"); !strings.Contains(host, ".") || strings.HasPrefix(imp, "golang.org/x/") {
				continue
			}
			door := doorOf(imp, owner)
			used[door] = true
			switch owner[door] {
			case pkg:
			case "":
				t.Errorf("%s imports %s, for which ARCHITECTURE.md names no door", pkg, imp)
			default:
				t.Errorf("%s imports %s, for which %s is the door", pkg, imp, owner[door])
			}
		}
	}
	for pkg := range table {
		if _, exists := graph[pkg]; !exists {
			t.Errorf("ARCHITECTURE.md lists %s, which does not exist", pkg)
		}
	}
	for door, pkg := range owner {
		if !used[door] {
			t.Errorf("ARCHITECTURE.md names %s as the door for %s, which nothing imports", pkg, door)
		}
	}
}

// doorOf is the module that imp is of, "" when nobody is its door.
func doorOf(imp string, owner map[string]string) string {
	for door := range owner {
		if imp == door || strings.HasPrefix(imp, door+"/") {
			return door
		}
	}
	return ""
}

// architecture reads the table of packages.
func architecture(t *testing.T, path string) map[string]row {
	t.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]row{}
	list := func(cell string) []string {
		return slices.DeleteFunc(strings.Fields(cell), func(word string) bool { return word == "-" })
	}
	for line := range strings.Lines(string(doc)) {
		columns := strings.Split(line, "|")
		if !strings.HasPrefix(line, "| `") || len(columns) != 6 {
			continue
		}
		pkg := strings.Trim(columns[1], " `")
		if _, twice := table[pkg]; twice {
			t.Errorf("ARCHITECTURE.md lists %s twice", pkg)
		}
		table[pkg] = row{doors: list(columns[3]), may: list(columns[4])}
	}
	return table
}

// imports lists what each package under root imports, files of every platform
// and tag, but no tests, no test data and no module of its own.
func imports(t *testing.T, root string) map[string][]string {
	t.Helper()
	graph := map[string][]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && notOurs(path, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		list := graph[pkg]
		for _, spec := range file.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			list = append(list, imp)
		}
		slices.Sort(list)
		graph[pkg] = slices.Compact(list)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return graph
}

// notOurs reports a directory that the go command passes over too, or that is
// a module of its own.
func notOurs(path, name string) bool {
	if name == "testdata" || name == "node_modules" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}
