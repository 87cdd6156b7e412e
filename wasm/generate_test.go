package wasm_test

import (
	"encoding/binary"
	"math"
	"slices"
)

// Types of values in the binary format.
const (
	ti32 = 0x7f
	ti64 = 0x7e
	tf32 = 0x7d
	tf64 = 0x7c
)

// signature is the type of a function.
type signature struct{ params, results []byte }

// signatures are the types of a generated module. The first ones are those
// that it defines functions of, the others those of what it imports.
func signatures() []signature {
	return []signature{
		{nil, []byte{ti32}},
		{nil, nil},
		{[]byte{ti32}, []byte{ti32}},
		{[]byte{ti64, ti32}, []byte{ti64}},
		{[]byte{tf64}, []byte{tf64}},
		{[]byte{tf32, ti32}, []byte{tf32}},
		{[]byte{ti32}, []byte{ti32, ti64}},
		{[]byte{ti32, ti32}, nil}, // output_write, random
		{nil, []byte{ti64}},       // now
	}
}

const (
	ownSignatures = 7
	hostFunctions = 3    // that it imports
	budget        = 3000 // loops and calls of one run
	tableSize     = 6
)

// entries are the exports of a generated module that are called, in turn.
func entries() []string { return []string{"one", "two", "three", "one"} }

// generator makes valid modules: what comes next is decided by the bytes of
// in, and is the simplest there is when they are used up. A module ends
// whatever it computes: a variable counts its loops and calls.
type generator struct {
	in     []byte
	code   []byte
	funcs  []int // signature of each function that it defines
	locals []byte
	labels [][]byte // what a branch to each block carries, the innermost last
	result []byte   // of the function
	pages  byte     // of memory
	tables bool     // it changes tables and drops segments
}

// pick is a number below n.
func (g *generator) pick(n int) int {
	if len(g.in) == 0 || len(g.code) > 6000 {
		return 0
	}
	b := int(g.in[0])
	g.in = g.in[1:]
	return b % n
}

func pick[T any](g *generator, of ...T) T { return of[g.pick(len(of))] }

func (g *generator) emit(b ...byte) { g.code = append(g.code, b...) }

func (g *generator) i32(v int) { g.code = sleb(append(g.code, 0x41), int64(v)) }

// generate makes a module that passes as a reactor.
func generate(in []byte) []byte {
	g := &generator{in: in}
	g.tables = g.pick(3) == 1
	g.pages = pick[byte](g, 2, 5)
	for range g.pick(6) {
		g.funcs = append(g.funcs, g.pick(ownSignatures))
	}
	g.funcs = append(g.funcs, 1, 0, 0, 0) // _initialize, one, two, three
	initializes := g.pick(2) == 1
	var bodies []byte
	for _, s := range g.funcs {
		body := g.function(signatures()[s])
		bodies = append(leb(bodies, uint64(len(body))), body...)
	}
	return g.module(bodies, initializes)
}

func (g *generator) module(bodies []byte, initializes bool) []byte {
	text := func(b []byte, s string) []byte { return append(leb(b, uint64(len(s))), s...) }
	out := []byte("\x00asm\x01\x00\x00\x00")
	section := func(id byte, body []byte) { out = append(leb(append(out, id), uint64(len(body))), body...) }
	types := []byte{byte(len(signatures()))}
	for _, s := range signatures() {
		types = append(append(types, 0x60, byte(len(s.params))), s.params...)
		types = append(append(types, byte(len(s.results))), s.results...)
	}
	section(1, types)
	imports := []byte{hostFunctions}
	for _, im := range []struct {
		name string
		typ  byte
	}{{"output_write", 7}, {"random", 7}, {"now", 8}} {
		imports = append(text(text(imports, "tocsin_v1"), im.name), 0, im.typ)
	}
	section(2, imports)
	funcs := []byte{byte(len(g.funcs))}
	for _, s := range g.funcs {
		funcs = append(funcs, byte(s))
	}
	section(3, funcs)
	section(4, []byte{1, 0x70, 0, tableSize})
	section(5, []byte{1, 1, g.pages, g.pages + 3})
	globals := []byte{6, ti32, 1, 0x41}
	globals = append(sleb(globals, budget), 0x0b)
	globals = append(globals, ti32, 1, 0x41, 5, 0x0b, ti64, 1, 0x42, 0x7e, 0x0b)
	globals = append(append(globals, tf32, 1, 0x43), 0, 0, 0x80, 0x3f, 0x0b)
	globals = append(append(globals, tf64, 1, 0x44), 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x0b)
	section(6, append(globals, ti32, 0, 0x41, 9, 0x0b))
	last := hostFunctions + len(g.funcs)
	exports := []byte{13}
	for i, name := range []string{"budget", "g1", "g2", "g3", "g4"} {
		exports = append(text(exports, name), 3, byte(i))
	}
	exports = append(text(exports, "tocsin_abi_v1"), 3, 5)
	exports = append(text(exports, "memory"), 2, 0)
	start := "_initialize"
	if !initializes {
		start = "spare"
	}
	for i, name := range []string{start, "one", "two", "three"} {
		exports = append(text(exports, name), 0, byte(last-4+i))
	}
	exports = append(text(exports, "tocsin_collect"), 0, byte(last-1))
	exports = append(text(exports, "tocsin_describe"), 0, byte(last-2))
	section(7, exports)
	elements := []byte{2, 0, 0x41, 1, 0x0b, 4}
	for i := range 4 {
		elements = append(elements, byte(hostFunctions+i%len(g.funcs)))
	}
	elements = append(elements, 1, 0, 2, hostFunctions, byte(last-1)) // a passive one
	section(9, elements)
	section(12, []byte{2})
	section(10, append([]byte{byte(len(g.funcs))}, bodies...))
	data := append([]byte{2, 0, 0x41}, 16, 0x0b, 8, 1, 2, 3, 4, 5, 6, 7, 8)
	section(11, append(data, 1, 5, 'p', 'a', 's', 's', '!'))
	return out
}

// function is the body of one function.
func (g *generator) function(s signature) []byte {
	g.code = nil
	g.locals = append(slices.Clone(s.params), ti32, ti32, ti64, ti64, tf32, tf64)
	g.labels, g.result = [][]byte{s.results}, s.results
	declared := []byte{4, 2, ti32, 2, ti64, 1, tf32, 1, tf64}
	g.meter()
	g.statements(3)
	for _, t := range s.results {
		g.value(t, 3)
	}
	g.emit(0x0b)
	return append(declared, g.code...)
}

// meter ends the function when the budget is used up.
func (g *generator) meter() {
	g.emit(0x23, 0, 0x41, 1, 0x6b, 0x24, 0)
	g.emit(0x23, 0, 0x41, 0, 0x4c, 0x04, 0x40)
	for _, t := range g.result {
		g.zero(t)
	}
	g.emit(0x0f, 0x0b)
}

func (g *generator) zero(t byte) {
	switch t {
	case ti32:
		g.emit(0x41, 0)
	case ti64:
		g.emit(0x42, 0)
	case tf32:
		g.emit(0x43, 0, 0, 0, 0)
	default:
		g.emit(0x44, 0, 0, 0, 0, 0, 0, 0, 0)
	}
}

func (g *generator) statements(depth int) {
	for range g.pick(6) {
		g.statement(depth)
	}
}

// local is the index of a local of that type.
func (g *generator) local(t byte) byte {
	var all []byte
	for i, l := range g.locals {
		if l == t {
			all = append(all, byte(i))
		}
	}
	return pick(g, all...)
}

func variable(t byte) byte {
	return map[byte]byte{ti32: 1, ti64: 2, tf32: 3, tf64: 4}[t]
}

func (g *generator) anyType() byte { return pick[byte](g, ti32, ti64, tf32, tf64) }

// block opens a block, fills it with inside and closes it.
func (g *generator) block(op byte, typ, label []byte, inside func()) {
	g.emit(append([]byte{op}, typ...)...)
	g.labels = append(g.labels, label)
	inside()
	g.labels = g.labels[:len(g.labels)-1]
	g.emit(0x0b)
}

// address leaves the address of something inside of the memory, mostly.
func (g *generator) address(depth int) {
	g.value(ti32, depth)
	if g.pick(50) != 49 {
		g.emit(0x41, 0xff, 0xff, 0x03, 0x71)
	}
}

func (g *generator) small(depth int) {
	g.value(ti32, depth)
	g.emit(0x41, 0x1f, 0x71)
}

func (g *generator) statement(depth int) {
	if depth <= 0 {
		g.emit(0x01)
		return
	}
	depth--
	switch g.pick(22) {
	case 0, 1:
		t := g.anyType()
		l := g.local(t)
		g.value(t, depth)
		g.emit(0x21, l)
	case 2:
		t := g.anyType()
		g.value(t, depth)
		g.emit(0x24, variable(t))
	case 3, 4:
		t := g.anyType()
		op := pick(g, map[byte][]byte{ti32: {0x36, 0x3a, 0x3b}, ti64: {0x37, 0x3c, 0x3d, 0x3e}, tf32: {0x38}, tf64: {0x39}}[t]...)
		g.address(depth)
		g.value(t, depth)
		g.emit(op, 0, byte(g.pick(100)))
	case 5, 6:
		g.value(ti32, depth)
		g.block(0x04, []byte{0x40}, nil, func() {
			g.statements(depth)
			if g.pick(2) == 1 {
				g.emit(0x05)
				g.statements(depth)
			}
		})
	case 7:
		g.block(0x02, []byte{0x40}, nil, func() { g.statements(depth) })
	case 8, 9:
		g.block(0x03, []byte{0x40}, nil, func() {
			g.meter()
			g.statements(depth)
			if g.pick(4) > 0 {
				g.value(ti32, depth)
				g.emit(0x0d, 0)
			}
		})
	case 10:
		g.branch(0x0d, depth)
	case 11:
		g.branch(0x0e, depth)
	case 12:
		g.branch(0x0c, depth)
	case 13:
		if g.pick(4) == 3 {
			for _, t := range g.result {
				g.value(t, depth)
			}
			g.emit(0x0f)
		}
	case 14:
		g.address(depth)
		g.value(ti32, depth)
		g.small(depth)
		g.emit(0xfc, 11, 0)
	case 15:
		g.address(depth)
		g.address(depth)
		g.small(depth)
		g.emit(0xfc, 10, 0, 0)
	case 16:
		g.address(depth)
		g.i32(g.pick(3))
		g.i32(g.pick(4)) // beyond the segment now and then
		g.emit(0xfc, 8, 1, 0)
	case 17:
		g.call(hostFunctions+g.pick(len(g.funcs)), depth)
	case 18:
		g.address(depth)
		g.small(depth)
		g.emit(0x10, byte(g.pick(2))) // output_write or random
	case 19:
		g.value(g.anyType(), depth)
		g.emit(0x1a)
	case 20:
		g.table(depth)
	case 21:
		if g.pick(10) == 9 {
			g.emit(0x00)
		}
	}
}

// table changes the table or drops a segment, which most modules do not.
func (g *generator) table(depth int) {
	if !g.tables {
		return
	}
	slot := func() {
		g.value(ti32, depth)
		g.emit(0x41, tableSize-1, 0x71)
	}
	switch g.pick(7) {
	case 0:
		slot()
		g.emit(0xd2, byte(hostFunctions)) // the passive segment declares it
		g.emit(0x26, 0)
	case 1:
		g.emit(0xd0, 0x70)
		g.i32(g.pick(3))
		g.emit(0xfc, 15, 0, 0x1a)
	case 2:
		slot()
		g.emit(0xd0, 0x70)
		g.i32(g.pick(3))
		g.emit(0xfc, 17, 0)
	case 3:
		slot()
		slot()
		g.i32(g.pick(3))
		g.emit(0xfc, 14, 0, 0)
	case 4:
		slot()
		g.i32(0)
		g.i32(g.pick(3))
		g.emit(0xfc, 12, 1, 0)
	case 5:
		g.emit(0xfc, 13, 1)
	case 6:
		g.emit(0xfc, 9, 1)
	}
}

// branch jumps to a block: with br 0x0c, br_if 0x0d or br_table 0x0e.
func (g *generator) branch(op byte, depth int) {
	if op == 0x0c && g.pick(3) > 0 {
		return
	}
	to := g.pick(len(g.labels))
	carried := g.labels[len(g.labels)-1-to]
	for _, t := range carried {
		g.value(t, depth)
	}
	if op != 0x0c {
		g.value(ti32, depth)
	}
	switch op {
	case 0x0e:
		var targets []byte
		for range g.pick(8) {
			other := g.pick(len(g.labels))
			if slices.Equal(g.labels[len(g.labels)-1-other], carried) {
				targets = append(targets, byte(other))
			}
		}
		g.emit(append(append([]byte{op, byte(len(targets))}, targets...), byte(to))...)
	case 0x0d:
		g.emit(op, byte(to))
		for range carried {
			g.emit(0x1a)
		}
	default:
		g.emit(op, byte(to))
	}
}

// call calls a function of the module and drops its results.
func (g *generator) call(i, depth int) {
	s := signatures()[g.funcs[i-hostFunctions]]
	for _, t := range s.params {
		g.value(t, depth)
	}
	g.emit(0x10, byte(i))
	for range s.results {
		g.emit(0x1a)
	}
}

// value leaves a value of that type on the stack.
func (g *generator) value(t byte, depth int) {
	if depth <= 0 {
		g.leaf(t)
		return
	}
	depth--
	switch g.pick(14) {
	case 0, 1:
		g.leaf(t)
	case 2:
		g.value(t, depth)
		g.emit(pick(g, map[byte][]byte{
			ti32: {0x67, 0x68, 0x69, 0xc0, 0xc1, 0x45}, ti64: {0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4},
			tf32: {0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x91}, tf64: {0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f},
		}[t]...))
	case 3, 4:
		op := pick(g, map[byte][]byte{
			ti32: {0x6a, 0x6b, 0x6c, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x6a, 0x6b, 0x6e, 0x6f},
			ti64: {0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x7c, 0x7d, 0x80, 0x81},
			tf32: {0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98}, tf64: {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6},
		}[t]...)
		g.value(t, depth)
		g.value(t, depth)
		g.emit(op)
	case 5:
		g.convert(t, depth)
	case 6:
		op := pick(g, map[byte][]byte{ti32: {0x28, 0x2c, 0x2d, 0x2e, 0x2f}, ti64: {0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35}, tf32: {0x2a}, tf64: {0x2b}}[t]...)
		g.address(depth)
		g.emit(op, 0, byte(g.pick(100)))
	case 7:
		g.block(0x02, []byte{t}, []byte{t}, func() {
			g.statements(depth)
			g.value(t, depth)
		})
	case 8:
		g.value(ti32, depth)
		g.block(0x04, []byte{t}, []byte{t}, func() {
			g.value(t, depth)
			g.emit(0x05)
			g.statements(depth)
			g.value(t, depth)
		})
	case 9:
		g.value(t, depth)
		g.value(t, depth)
		g.value(ti32, depth)
		g.emit(0x1b)
	case 10:
		l := g.local(t)
		g.value(t, depth)
		g.emit(0x22, l)
	case 11:
		g.block(0x03, []byte{t}, nil, func() {
			g.meter()
			g.statements(depth)
			g.value(t, depth)
		})
	case 12:
		g.ask(t, depth)
	case 13:
		g.odd(t, depth)
	}
}

func (g *generator) leaf(t byte) {
	switch g.pick(3) {
	case 1:
		g.emit(0x20, g.local(t))
		return
	case 2:
		g.emit(0x23, variable(t))
		return
	}
	bits := pick[uint64](g, 0, 1, 7, math.MaxUint64, 1<<31, 1<<63, 0x7fc00000, 0x3ff0000000000000, 0x40490fdb, 255, 65536, 1<<32)
	switch t {
	case ti32:
		g.i32(int(int32(bits)))
	case ti64:
		g.code = sleb(append(g.code, 0x42), int64(bits))
	case tf32:
		g.code = binary.LittleEndian.AppendUint32(append(g.code, 0x43), uint32(bits))
	default:
		g.code = binary.LittleEndian.AppendUint64(append(g.code, 0x44), bits)
	}
}

// convert makes the value of another type.
func (g *generator) convert(t byte, depth int) {
	type conversion struct {
		from byte
		op   []byte
	}
	c := pick(g, map[byte][]conversion{
		ti32: {
			{ti64, []byte{0xa7}},
			{tf32, []byte{0xbc}},
			{tf32, []byte{0xfc, 0}},
			{tf32, []byte{0xfc, 1}},
			{tf64, []byte{0xfc, 2}},
			{tf64, []byte{0xfc, 3}},
			{ti64, []byte{0x50}},
			{tf32, []byte{0xa8}},
			{tf64, []byte{0xab}},
		},
		ti64: {{ti32, []byte{0xac}}, {ti32, []byte{0xad}}, {tf64, []byte{0xbd}}, {tf32, []byte{0xfc, 4}}, {tf32, []byte{0xfc, 5}}, {tf64, []byte{0xfc, 6}}, {tf64, []byte{0xfc, 7}}, {tf64, []byte{0xb0}}},
		tf32: {{ti32, []byte{0xb2}}, {ti32, []byte{0xb3}}, {ti64, []byte{0xb4}}, {ti64, []byte{0xb5}}, {tf64, []byte{0xb6}}, {ti32, []byte{0xbe}}},
		tf64: {{ti32, []byte{0xb7}}, {ti32, []byte{0xb8}}, {ti64, []byte{0xb9}}, {ti64, []byte{0xba}}, {tf32, []byte{0xbb}}, {ti64, []byte{0xbf}}},
	}[t]...)
	g.value(c.from, depth)
	g.emit(c.op...)
}

// ask calls a function that gives such a value, directly or by the table.
func (g *generator) ask(t byte, depth int) {
	var able []int
	for i, s := range g.funcs {
		if r := signatures()[s].results; len(r) == 1 && r[0] == t {
			able = append(able, i)
		}
	}
	if len(able) == 0 {
		if t == ti64 {
			g.emit(0x10, hostFunctions-1) // now
			return
		}
		g.leaf(t)
		return
	}
	i := pick(g, able...)
	for _, p := range signatures()[g.funcs[i]].params {
		g.value(p, depth)
	}
	if i < 4 && g.pick(3) > 0 { // it is in the table
		g.i32(1 + i)
		if g.pick(8) == 7 {
			g.value(ti32, depth)
			g.emit(0x6a)
		}
		g.emit(0x11, byte(g.funcs[i]), 0)
		return
	}
	g.emit(0x10, byte(hostFunctions+i))
}

// odd makes a value in one of the ways that only some types have.
func (g *generator) odd(t byte, depth int) {
	if t != ti32 {
		g.convert(t, depth)
		return
	}
	switch g.pick(7) {
	case 0:
		g.emit(0x3f, 0)
	case 1:
		g.i32(g.pick(2))
		g.emit(0x40, 0)
	case 2:
		g.i32(g.pick(tableSize))
		g.emit(0x25, 0, 0xd1) // whether it is null
	case 3:
		g.emit(0xfc, 16, 0)
	case 4: // compare
		of := g.anyType()
		g.value(of, depth)
		g.value(of, depth)
		first := map[byte]int{ti32: 0x46, ti64: 0x51, tf32: 0x5b, tf64: 0x61}[of]
		g.emit(byte(first + g.pick(6)))
	case 5: // a block with a parameter
		g.value(ti32, depth)
		g.block(0x02, []byte{2}, []byte{ti32}, func() {
			g.emit(0x21, g.local(ti32))
			g.statements(depth)
			g.value(ti32, depth)
		})
	case 6: // vectors: splat, add, extract a lane
		g.value(ti32, depth)
		g.emit(0xfd, 17)
		g.value(ti32, depth)
		g.emit(0xfd, 17, 0xfd, 0xae, 1, 0xfd, 27, byte(g.pick(4)))
	}
}
