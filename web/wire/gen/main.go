// Command gen writes the TypeScript types of the UI from the Go source of core
// and of web/wire, so that the two sides of the wire cannot drift apart. It
// reads source and not reflected types, because source has what TypeScript
// wants besides: doc comments, constants and generic types.
//
// Run it with go generate ./web/wire. A test fails when its output is stale.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Where things are, from the root of the module.
const (
	coreDir = "core"
	wireDir = "web/wire"
	target  = "web/ui/app/src/api.gen.ts"
)

func main() {
	root, err := moduleRoot()
	if err == nil {
		var text []byte
		if text, err = generate(root); err == nil {
			err = os.WriteFile(filepath.Join(root, filepath.FromSlash(target)), text, 0o644) //nolint:gosec // a source file
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1) //nolint:forbidigo // a command of the build
	}
}

// moduleRoot is the nearest folder upwards that holds go.mod.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find the module: no go.mod here or above")
		}
		dir = up
	}
}

// generate is the text of the TypeScript file.
func generate(root string) ([]byte, error) {
	g := &generator{texts: map[string]bool{}, names: map[string][]string{}, values: map[string][]string{}}
	for _, dir := range []string{coreDir, wireDir} {
		if err := g.read(filepath.Join(root, filepath.FromSlash(dir))); err != nil {
			return nil, err
		}
	}
	return g.write(), nil
}

// generator holds what was read of all packages. The names of core and wire
// are kept apart by hand: a type of the same name in both is an error.
type generator struct {
	specs  []spec
	consts []number
	texts  map[string]bool     // types that marshal as text
	names  map[string][]string // tables of names: healthNames
	values map[string][]string // constants of named string types
}

// spec is one exported type.
type spec struct {
	*ast.TypeSpec
	doc string
}

// number is one exported numeric constant of wire.
type number struct {
	name, value, doc string
}

// read parses the files of one package.
func (g *generator) read(dir string) error {
	fset := token.NewFileSet()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read %s: %w", dir, err)
	}
	var files []*ast.File
	for _, e := range entries {
		if !isSource(e) {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return fmt.Errorf("parse: %w", err)
		}
		files = append(files, f)
	}
	info := &types.Info{Defs: map[*ast.Ident]types.Object{}}
	// Only the values of constants are wanted, and those need no imports: what
	// the checker says of the imports it cannot follow is of no interest.
	conf := types.Config{Error: func(error) {}, Importer: noImports{}}
	_, _ = conf.Check(dir, fset, files, info)
	for _, f := range files {
		for _, d := range f.Decls {
			g.declare(d, info, filepath.Base(dir) == "wire")
		}
	}
	return nil
}

func isSource(e fs.DirEntry) bool {
	return !e.IsDir() && strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go")
}

// noImports is an importer that has nothing.
type noImports struct{}

func (noImports) Import(path string) (*types.Package, error) {
	return nil, fmt.Errorf("%s is not read", path)
}

// declare keeps what matters of one declaration.
func (g *generator) declare(d ast.Decl, info *types.Info, wire bool) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil && d.Name.Name == "MarshalText" {
			if id, ok := d.Recv.List[0].Type.(*ast.Ident); ok {
				g.texts[id.Name] = true
			}
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				g.declareType(s, d.Doc)
			case *ast.ValueSpec:
				g.declareValues(s, info, wire)
			}
		}
	}
}

func (g *generator) declareType(s *ast.TypeSpec, doc *ast.CommentGroup) {
	if s.Doc != nil {
		doc = s.Doc
	}
	if s.Name.IsExported() {
		g.specs = append(g.specs, spec{s, doc.Text()})
	}
}

func (g *generator) declareValues(s *ast.ValueSpec, info *types.Info, wire bool) {
	for i, name := range s.Names {
		if strings.HasSuffix(name.Name, "Names") && i < len(s.Values) {
			if table, ok := s.Values[i].(*ast.CompositeLit); ok {
				g.names[strings.TrimSuffix(name.Name, "Names")] = literals(table)
			}
			continue
		}
		c, ok := info.Defs[name].(*types.Const)
		if !ok || !name.IsExported() {
			continue
		}
		switch c.Val().Kind() {
		case constant.String:
			if named, ok := c.Type().(*types.Named); ok {
				of := named.Obj().Name()
				g.values[of] = append(g.values[of], strconv.Quote(constant.StringVal(c.Val())))
			}
		case constant.Int:
			if wire {
				g.consts = append(g.consts, number{name.Name, c.Val().ExactString(), s.Comment.Text()})
			}
		case constant.Unknown, constant.Bool, constant.Float, constant.Complex:
		}
	}
}

func literals(table *ast.CompositeLit) []string {
	var out []string
	for _, e := range table.Elts {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			out = append(out, lit.Value)
		}
	}
	return out
}

// write renders everything that was read, in order of name.
func (g *generator) write() []byte {
	var b bytes.Buffer
	b.WriteString("// Code generated by web/wire/gen from the Go source of core and web/wire. DO NOT EDIT.\n")
	b.WriteString("// Instants are RFC 3339 text unless a comment says ms; fields that end in _ns are nanoseconds.\n")
	for _, c := range g.consts {
		b.WriteString("\n")
		comment(&b, "", c.doc)
		fmt.Fprintf(&b, "export const %s = %s;\n", c.name, c.value)
	}
	slices.SortFunc(g.specs, func(x, y spec) int { return strings.Compare(x.Name.Name, y.Name.Name) })
	for _, s := range g.specs {
		g.writeType(&b, s)
	}
	return b.Bytes()
}

func (g *generator) writeType(b *bytes.Buffer, s spec) {
	name := s.Name.Name
	if body, ok := s.Type.(*ast.StructType); ok && !g.texts[name] {
		if overTheWire(body) {
			g.writeStruct(b, s, body)
		}
		return
	}
	var is string
	switch table := g.names[strings.ToLower(name)]; {
	case g.texts[name] && len(table) > 0:
		is = strings.Join(table, " | ")
		b.WriteString("\n")
		fmt.Fprintf(b, "/** Every %s, in order of its number. */\n", name)
		fmt.Fprintf(b, "export const %ss = [%s] as const;\n", strings.ToLower(name[:1])+name[1:], strings.Join(table, ", "))
	case g.texts[name]:
		is = "string"
	case len(g.values[name]) > 0:
		is = strings.Join(g.values[name], " | ")
	default:
		if _, ok := s.Type.(*ast.InterfaceType); ok {
			return
		}
		is = typeScript(s.Type)
	}
	b.WriteString("\n")
	comment(b, "", s.doc)
	fmt.Fprintf(b, "export type %s = %s;\n", name, is)
}

// overTheWire reports whether a struct is meant for JSON.
func overTheWire(body *ast.StructType) bool {
	for _, f := range body.Fields.List {
		if f.Tag != nil && strings.Contains(f.Tag.Value, "json:") {
			return true
		}
	}
	return false
}

func (g *generator) writeStruct(b *bytes.Buffer, s spec, body *ast.StructType) {
	b.WriteString("\n")
	comment(b, "", s.doc)
	fmt.Fprintf(b, "export interface %s", s.Name.Name)
	if s.TypeParams != nil {
		var params []string
		for _, p := range s.TypeParams.List {
			for _, n := range p.Names {
				params = append(params, n.Name)
			}
		}
		fmt.Fprintf(b, "<%s>", strings.Join(params, ", "))
	}
	var parents []string
	for _, f := range body.Fields.List {
		if len(f.Names) == 0 {
			parents = append(parents, typeScript(f.Type))
		}
	}
	if len(parents) > 0 {
		fmt.Fprintf(b, " extends %s", strings.Join(parents, ", "))
	}
	b.WriteString(" {\n")
	for _, f := range body.Fields.List {
		if len(f.Names) > 0 && f.Tag != nil {
			g.writeField(b, f)
		}
	}
	b.WriteString("}\n")
}

func (*generator) writeField(b *bytes.Buffer, f *ast.Field) {
	raw, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return
	}
	tag := reflect.StructTag(raw)
	name, options, _ := strings.Cut(tag.Get("json"), ",")
	if name == "" || name == "-" {
		return
	}
	is := typeScript(f.Type)
	if values := tag.Get("enum"); values != "" && is == "string" {
		is = `"` + strings.ReplaceAll(values, ",", `" | "`) + `"`
	}
	optional := ""
	switch {
	case strings.Contains(options, "omit"):
		optional = "?"
	case isPointer(f.Type):
		is += " | null"
	}
	doc := tag.Get("doc")
	if doc == "" {
		doc = f.Comment.Text()
	}
	comment(b, "\t", doc)
	fmt.Fprintf(b, "\t%s%s: %s;\n", name, optional, is)
}

func isPointer(e ast.Expr) bool {
	_, ok := e.(*ast.StarExpr)
	return ok
}

// typeScript is the type that the JSON of e has.
func typeScript(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return basic(e.Name)
	case *ast.StarExpr:
		return typeScript(e.X)
	case *ast.SelectorExpr:
		return qualified(e)
	case *ast.MapType:
		return "Record<" + typeScript(e.Key) + ", " + typeScript(e.Value) + ">"
	case *ast.IndexExpr:
		return typeScript(e.X) + "<" + typeScript(e.Index) + ">"
	case *ast.ArrayType:
		return array(e)
	}
	return "unknown"
}

func basic(name string) string {
	switch name {
	case "string":
		return "string"
	case "bool":
		return "boolean"
	case "any":
		return "unknown"
	case "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64":
		return "number"
	}
	return name
}

// qualified is the type of pkg.Name: of core by its name alone, of the standard
// library by what it marshals to.
func qualified(e *ast.SelectorExpr) string {
	pkg := ""
	if id, ok := e.X.(*ast.Ident); ok {
		pkg = id.Name
	}
	switch pkg + "." + e.Sel.Name {
	case "time.Time":
		return "string"
	case "time.Duration":
		return "number"
	case "json.RawMessage":
		return "unknown"
	}
	return e.Sel.Name
}

func array(e *ast.ArrayType) string {
	if isIdent(e.Elt, "byte") {
		return "string" // base64
	}
	elem := typeScript(e.Elt)
	if lit, ok := e.Len.(*ast.BasicLit); ok {
		if n, err := strconv.Atoi(lit.Value); err == nil {
			return "[" + strings.Join(slices.Repeat([]string{elem}, n), ", ") + "]"
		}
	}
	if isPointer(e.Elt) {
		elem = "(" + elem + " | null)"
	}
	return elem + "[]"
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

// comment writes text as a doc comment, nothing when there is none.
func comment(b *bytes.Buffer, indent, text string) {
	text = strings.ReplaceAll(strings.TrimSpace(text), "*/", "*\\/")
	if text == "" {
		return
	}
	lines := strings.Split(text, "\n")
	if len(lines) == 1 {
		fmt.Fprintf(b, "%s/** %s */\n", indent, lines[0])
		return
	}
	fmt.Fprintf(b, "%s/**\n", indent)
	for _, l := range lines {
		fmt.Fprintf(b, "%s\n", strings.TrimRight(indent+" * "+l, " "))
	}
	fmt.Fprintf(b, "%s */\n", indent)
}
