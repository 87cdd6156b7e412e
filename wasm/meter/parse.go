// Package meter checks the structure of a WebAssembly module before a runtime
// sees it, and rewrites it so that it pays for what it computes.
//
// [Parse] holds a file to [Limits] in time that is linear in its size. It does
// not check types: that is for the runtime, which also refuses what Parse let
// pass. [Module.Rewrite] adds a fuel counter, see there.
package meter

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits bound what [Parse] accepts, so that what comes after it, compilation
// above all, is bounded too.
type Limits struct {
	Size          int // bytes of the file
	Functions     int
	Types         int
	Imports       int
	Exports       int
	Globals       int
	Segments      int // data and element segments, each
	Tables        int
	TableElements uint32 // in all tables when it starts, and in each at any time
	Pages         uint32 // of 64 KiB that the memory may have
	Body          int    // bytes of one function
	Locals        int    // of one function, with its parameters
	Depth         int    // of nested blocks
	Branches      int    // targets of br_table in one function
	Width         int    // blocks of one function times its locals: what register allocation has to look at
	Names         int    // bytes of one custom section that is kept
}

// DefaultLimits let pass what compilers emit for programs of some megabytes.
func DefaultLimits() Limits {
	return Limits{
		Size: 20 << 20, Functions: 60_000, Types: 5_000, Imports: 200, Exports: 2_000, Globals: 10_000, Segments: 100_000,
		Tables: 8, TableElements: 100_000, Pages: 4096, Body: 512 << 10, Locals: 5_000, Depth: 5_000, Branches: 200_000,
		Width: 8 << 20, Names: 4 << 20,
	}
}

// FuncType is the type of a function in the codes of the binary format: 0x7f
// i32, 0x7e i64, 0x7d f32, 0x7c f64.
type FuncType struct{ Params, Results []byte }

// String writes t as in "(i32, i32) -> i32".
func (t FuncType) String() string {
	names := map[byte]string{0x7f: "i32", 0x7e: "i64", 0x7d: "f32", 0x7c: "f64", 0x7b: "v128", 0x70: "funcref", 0x6f: "externref"}
	list := func(types []byte) string {
		var b bytes.Buffer
		for i, v := range types {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(names[v])
		}
		return b.String()
	}
	if len(t.Results) == 0 {
		return "(" + list(t.Params) + ")"
	}
	return "(" + list(t.Params) + ") -> " + list(t.Results)
}

// Equal reports whether t and u are the same type.
func (t FuncType) Equal(u FuncType) bool {
	return bytes.Equal(t.Params, u.Params) && bytes.Equal(t.Results, u.Results)
}

// Import is a function that the module wants from its host.
type Import struct {
	Module, Name string
	Type         FuncType
}

// Export is what the module offers under a name. Type is that of a function.
type Export struct {
	Name string
	Kind Kind
	Type FuncType

	index uint32
}

// Kind is what an Export is.
type Kind byte

// The values of Kind.
const (
	Func Kind = iota
	Table
	Memory
	Global
)

type section struct {
	id   byte
	name string // of a custom section
	body []byte // of a custom section: after its name
}

type global struct {
	typ     byte
	mutable byte
	init    []byte
}

type table struct {
	typ byte
	bounds
}

// Module is what [Parse] read. It refers to the bytes it was given.
type Module struct {
	Imports     []Import
	Exports     []Export
	Pages       uint32 // of 64 KiB, that the memory has at the start
	HasMemory   bool
	CodeSize    int
	Functions   int // that it defines itself
	WidestBlock int // greatest Width found, see Limits
	DeepestCode int // greatest Depth found
	LargestBody int // greatest Body found

	// Irreversible tells that a run can leave behind what memory and globals
	// do not show: it changes a table, drops a segment, or has a variable that
	// is no number of 64 bits.
	Irreversible bool

	// GrowsTables tells that it grows a table that it sets no lower maximum
	// for than Limits do, see [TableGlobal].
	GrowsTables bool

	limits   Limits
	sections []section
	types    []FuncType
	funcs    []uint32 // type of each function: imported ones first
	globals  []global
	tables   []table
	memories []bounds
}

// ErrComponent is the reason for refusing a file of the component model.
var ErrComponent = errors.New("this is a WebAssembly component, a core module is needed: build for wasm32-wasip1 instead of wasm32-wasip2")

// Parse reads the structure of a module. The error is a sentence about the
// module.
func Parse(file []byte, limits Limits) (m *Module, err error) {
	defer catch(&err)
	if len(file) > limits.Size {
		return nil, fmt.Errorf("the module has %d bytes, the limit is %d", len(file), limits.Size)
	}
	if len(file) < 8 || string(file[:4]) != "\x00asm" {
		return nil, errors.New("this is not a WebAssembly module: it does not begin with \\0asm")
	}
	if !bytes.Equal(file[4:8], []byte{1, 0, 0, 0}) {
		if file[6] == 1 {
			return nil, ErrComponent
		}
		return nil, fmt.Errorf("this is version %d of WebAssembly, version 1 is needed", file[4])
	}
	m = &Module{limits: limits}
	r := &reader{b: file, i: 8}
	last := 0
	for r.more() {
		s := section{id: r.byte()}
		s.body = r.bytes(r.u32())
		if s.id != 0 {
			place := slices.Index([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11}, s.id) + 1
			if place == 0 {
				return nil, fmt.Errorf("it has a section %d, which is not supported", s.id)
			}
			if place <= last {
				return nil, fmt.Errorf("its section %d is out of order", s.id)
			}
			last = place
		}
		m.section(&s)
		m.sections = append(m.sections, s)
	}
	return m, m.complete()
}

func (*Module) atMost(n int, what string, limit int) int {
	if n > limit {
		throw("the module has %d %s, the limit is %d", n, what, limit)
	}
	return n
}

func (m *Module) section(s *section) {
	r := &reader{b: s.body}
	switch s.id {
	case 0:
		s.name = r.name()
		s.body = s.body[r.i:]
		return
	case 1:
		m.readTypes(r)
	case 2:
		m.readImports(r)
	case 3:
		m.Functions = m.atMost(r.count(), "functions", m.limits.Functions)
		for range m.Functions {
			m.funcs = append(m.funcs, m.typeIndex(r.u32()))
		}
	case 4:
		m.readTables(r)
	case 5:
		for n := m.atMost(r.count(), "memories", 1); n > 0; n-- {
			m.memories = append(m.memories, r.bounds())
		}
	case 6:
		for n := m.atMost(r.count(), "globals", m.limits.Globals); n > 0; n-- {
			g := global{r.valueType(), r.byte(), r.constant()}
			if g.mutable != 0 && g.typ < 0x7c {
				m.Irreversible = true // a vector or a reference
			}
			m.globals = append(m.globals, g)
		}
	case 7:
		m.readExports(r)
	case 8:
		m.funcIndex(r.u32())
	case 9:
		m.eachElement(r, func(uint32) {}, func([]byte) {})
	case 10:
		m.readCode(r)
	case 11:
		m.readData(r)
	case 12:
		r.u32()
	}
	if r.more() {
		throw("its section %d is longer than what it holds", s.id)
	}
}

func (m *Module) readTypes(r *reader) {
	for n := m.atMost(r.count(), "types", m.limits.Types); n > 0; n-- {
		if form := r.byte(); form != 0x60 {
			throw("it uses the type form %#x, which is not supported", form)
		}
		var t FuncType
		for k := m.atMost(r.count(), "parameters of one function", 1000); k > 0; k-- {
			t.Params = append(t.Params, r.valueType())
		}
		for k := m.atMost(r.count(), "results of one function", 1000); k > 0; k-- {
			t.Results = append(t.Results, r.valueType())
		}
		m.types = append(m.types, t)
	}
}

func (m *Module) readImports(r *reader) {
	for n := m.atMost(r.count(), "imports", m.limits.Imports); n > 0; n-- {
		im := Import{Module: r.name(), Name: r.name()}
		if kind := r.byte(); kind != byte(Func) {
			throw("it imports %s.%s, which is not a function: memories, tables and globals must be its own", im.Module, im.Name)
		}
		t := m.typeIndex(r.u32())
		im.Type = m.types[t]
		m.funcs = append(m.funcs, t)
		m.Imports = append(m.Imports, im)
	}
}

func (m *Module) readTables(r *reader) {
	var sum uint64
	for n := m.atMost(r.count(), "tables", m.limits.Tables); n > 0; n-- {
		t := table{r.refType(), r.bounds()}
		sum += uint64(t.low)
		if sum > uint64(m.limits.TableElements) {
			throw("its tables have %d elements, the limit is %d", sum, m.limits.TableElements)
		}
		m.tables = append(m.tables, t)
	}
}

func (m *Module) readExports(r *reader) {
	for n := m.atMost(r.count(), "exports", m.limits.Exports); n > 0; n-- {
		e := Export{Name: r.name(), Kind: Kind(r.byte()), index: r.u32()}
		if e.Kind > Global {
			throw("it exports %q of kind %d, which is not supported", e.Name, e.Kind)
		}
		if e.Kind == Func {
			m.funcIndex(e.index)
			e.Type = m.types[m.funcs[e.index]]
		}
		if e.Kind == Global && int(e.index) >= len(m.globals) {
			throw("it exports a global that it does not have")
		}
		if strings.HasPrefix(e.Name, reserved) {
			throw("it exports %q; names that begin with %q are reserved", e.Name, reserved)
		}
		m.Exports = append(m.Exports, e)
	}
}

func (m *Module) readData(r *reader) {
	for n := m.atMost(r.count(), "data segments", m.limits.Segments); n > 0; n-- {
		switch mode := r.u32(); mode {
		case 0:
			r.constant()
		case 1:
		case 2:
			r.u32()
			r.constant()
		default:
			throw("a data segment has the mode %d", mode)
		}
		r.bytes(r.u32())
	}
}

// eachElement reads the element section. It calls index with each function and
// expr with each constant that stands for one.
func (m *Module) eachElement(r *reader, index func(uint32), expr func([]byte)) {
	for n := m.atMost(r.count(), "element segments", m.limits.Segments); n > 0; n-- {
		mode := r.elementHead()
		for k := r.count(); k > 0; k-- {
			if mode&4 != 0 {
				expr(r.constant())
				continue
			}
			i := r.u32()
			m.funcIndex(i)
			index(i)
		}
	}
}

// elementHead reads an element segment up to its vector.
func (r *reader) elementHead() (mode uint32) {
	if mode = r.u32(); mode > 7 {
		throw("an element segment has the mode %d", mode)
	}
	if mode&1 == 0 {
		if mode&2 != 0 {
			r.u32()
		}
		r.constant()
	}
	if mode&3 == 0 {
		return mode
	}
	if mode&4 != 0 {
		r.refType()
	} else if kind := r.byte(); kind != 0 {
		throw("an element segment has the kind %#x", kind)
	}
	return mode
}

func (m *Module) typeIndex(i uint32) uint32 {
	if int(i) >= len(m.types) {
		throw("it refers to the type %d of %d", i, len(m.types))
	}
	return i
}

func (m *Module) funcIndex(i uint32) {
	if int64(i) >= int64(len(m.funcs)) {
		throw("it refers to the function %d of %d", i, len(m.funcs))
	}
}

func (m *Module) readCode(r *reader) {
	m.CodeSize = len(r.b)
	n := r.count()
	if n != m.Functions {
		throw("it declares %d functions and defines %d", m.Functions, n)
	}
	for i := range n {
		body := r.bytes(r.u32())
		m.LargestBody = max(m.LargestBody, m.atMost(len(body), "bytes in one function", m.limits.Body))
		m.checkBody(body, m.typeOf(i))
	}
}

// typeOf is the type of the i-th function that the module defines.
func (m *Module) typeOf(i int) FuncType { return m.types[m.funcs[len(m.Imports)+i]] }

// locals reads the declaration of locals and returns how many there are with
// the parameters.
func (m *Module) locals(r *reader, t FuncType) (groups, sum int) {
	groups, sum = r.count(), len(t.Params)
	for range groups {
		n := r.u32()
		r.valueType()
		if int64(n) > int64(m.limits.Locals) {
			throw("a function has %d locals, the limit is %d", n, m.limits.Locals)
		}
		sum = m.atMost(sum+int(n), "locals in one function", m.limits.Locals)
	}
	return groups, sum
}

func (m *Module) checkBody(body []byte, t FuncType) {
	r := &reader{b: body}
	_, locals := m.locals(r, t)
	depth, deepest, blocks, branches := 1, 1, 1, 0
	var in instruction
	for r.more() {
		if depth == 0 {
			throw("a function goes on after its end")
		}
		r.next(&in)
		switch in.op {
		case opBlock, opLoop, opIf:
			depth++
			blocks++
			deepest = max(deepest, depth)
		case opEnd:
			depth--
		case opBr, opBrIf:
			blocks++
			m.label(in.index, depth)
		case opBrTable:
			branches += len(in.targets)
			for _, to := range in.targets {
				m.label(to, depth)
			}
		case opCall, opRefFunc:
			m.funcIndex(in.index)
		case opCallIndirect:
			m.typeIndex(in.index)
		case opGlobalGet, opGlobalSet:
			// The counter is the global after the last one of the module.
			if int64(in.index) >= int64(len(m.globals)) {
				throw("it refers to the global %d of %d", in.index, len(m.globals))
			}
		case opTableSet:
			m.Irreversible = true
		case opMisc:
			switch in.sub {
			case 9, 12, 13, 14, 15, 17: // data.drop, table.init, elem.drop, table.copy, table.grow, table.fill
				m.Irreversible = true
			}
			m.GrowsTables = m.GrowsTables || m.grows(in)
		case opLocalGet, 0x21, opLocalTee:
			if int64(in.index) >= int64(locals) {
				throw("it refers to the local %d of %d", in.index, locals)
			}
		}
	}
	if depth != 0 {
		throw("a function has no end")
	}
	m.DeepestCode = max(m.DeepestCode, m.atMost(deepest, "nested blocks", m.limits.Depth))
	m.WidestBlock = max(m.WidestBlock, m.atMost((blocks+branches)*locals, "blocks times locals in one function", m.limits.Width))
	m.atMost(branches, "branch targets in one function", m.limits.Branches)
}

// grows reports whether an instruction grows a table up to the limit.
func (m *Module) grows(in instruction) bool {
	if in.op != opMisc || in.sub != 15 || int64(in.index) >= int64(len(m.tables)) {
		return false
	}
	t := m.tables[in.index]
	return !t.capped || t.high >= m.limits.TableElements
}

func (*Module) label(i uint32, depth int) {
	if int64(i) >= int64(depth) {
		throw("it branches out of a function")
	}
}

// complete checks what spans sections.
func (m *Module) complete() error {
	if m.CodeSize == 0 && m.Functions > 0 {
		return fmt.Errorf("it declares %d functions and defines none", m.Functions)
	}
	for _, b := range m.memories {
		m.HasMemory = true
		m.Pages = b.low
		if b.low > m.limits.Pages {
			return fmt.Errorf("its memory has %d bytes, the limit is %d", int64(b.low)<<16, int64(m.limits.Pages)<<16)
		}
	}
	return nil
}

// Export is the export of that name, false when there is none.
func (m *Module) Export(name string) (Export, bool) {
	i := slices.IndexFunc(m.Exports, func(e Export) bool { return e.Name == name })
	if i < 0 {
		return Export{}, false
	}
	return m.Exports[i], true
}

// Custom is the content of the first custom section of that name, nil when
// there is none.
func (m *Module) Custom(name string) []byte {
	for _, s := range m.sections {
		if s.id == 0 && s.name == name {
			return s.body
		}
	}
	return nil
}
