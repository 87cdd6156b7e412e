package meter

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Names under which a rewritten module exports what the host must reach.
const (
	reserved    = "tocsin."
	FuelGlobal  = reserved + "fuel"  // its counter
	TableGlobal = reserved + "table" // what the last table.grow gave that could meet the limit, an i32; see [Module.GrowsTables]
	depth       = reserved + "depth"
)

// Variables are the names under which a rewritten module exports everything
// that it can change besides its counter, its memory, and its tables with what
// growing them gave.
func (m *Module) Variables() []string {
	names := []string{depth}
	for i, g := range m.globals {
		if g.mutable != 0 {
			names = append(names, variable(i))
		}
	}
	return names
}

func variable(i int) string { return reserved + strconv.Itoa(i) }

// TooDeep is what a rewritten module passes to tick when its calls nest too
// deep. The host must not return.
const TooDeep = math.MinInt64

// stackBudget is what the frames of nested calls may cost together. The cost
// of a frame is about its bytes in native code.
const stackBudget = 16 << 20

// Costs, in units of one instruction.
const (
	costGrow     = 1000 // of memory.grow, besides what the host asks for
	bytesPerUnit = 4    // bulk instructions pay one unit for 2^bytesPerUnit bytes or elements
)

// Rewrite returns the module with a counter of fuel, a mutable i64 global that
// it exports as [FuelGlobal] and that begins at zero. It exports its other
// variables too, see [Module.Variables].
//
// At its entry each function, and at its head each loop, pays for the
// instructions of its straight-line code; code behind a label that a br_table
// jumps to pays where it begins; bulk memory instructions pay by length. When
// the counter is below zero after an entry, a loop head or a bulk instruction,
// the module calls the function tick that it now imports:
//
//	module.tick(fuel i64) -> i64
//
// with the counter, and continues with what it returns. The host stops the
// guest by panicking there. Between two ticks the guest runs a number of
// instructions that is bounded by the fuel it was given and the size of its
// functions.
//
// A second global counts how deep calls nest. Beyond a fixed depth, about
// 16 MiB of native stack, the module calls tick with [TooDeep].
//
// Tables and the memory get a maximum. What growing a table gave is shown under
// [TableGlobal]. Custom sections are dropped but for the names of functions.
func (m *Module) Rewrite(module, tick string) (out []byte, err error) {
	defer catch(&err)
	w := &rewriter{Module: m, tick: uint32(len(m.Imports)), fuel: uint32(len(m.globals))} //nolint:gosec // both are within Limits
	out = []byte("\x00asm\x01\x00\x00\x00")
	bodies := map[byte][]byte{}
	for _, s := range m.sections {
		if s.id != 0 {
			bodies[s.id] = s.body
		}
	}
	if b, ok := bodies[10]; ok {
		bodies[10] = w.code(b)
	}
	w.types(bodies)
	w.imports(bodies, module, tick)
	w.tables(bodies)
	w.memory(bodies)
	w.globals(bodies)
	w.exports(bodies)
	if b, ok := bodies[8]; ok {
		bodies[8] = uleb(nil, w.shift((&reader{b: b}).u32()))
	}
	if b, ok := bodies[9]; ok {
		bodies[9] = w.elements(b)
	}
	for _, id := range []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 10, 11} {
		if b, ok := bodies[id]; ok {
			out = append(uleb(append(out, id), len32(b)), b...)
		}
	}
	if names := w.names(); names != nil {
		out = append(uleb(append(out, 0), len32(names)), names...)
	}
	return out, nil
}

// rewriter writes a module with one more import, type and global.
type rewriter struct {
	*Module
	tick uint32   // index of the function
	fuel uint32   // index of the global; the depth is the next one, and the one after is that of tables
	more [][]byte // types of several results, that blocks need
}

// shift is the new index of a function.
func (w *rewriter) shift(i uint32) uint32 {
	if i >= w.tick {
		return i + 1
	}
	return i
}

// grown is the body of a section that has extra things at its end.
func grown(body []byte, things int, more ...byte) []byte {
	if body == nil {
		body = []byte{0}
	}
	r := &reader{b: body}
	n := r.u32() + uint32(things) //nolint:gosec // at most one for each function
	return append(append(uleb(nil, n), body[r.i:]...), more...)
}

func (w *rewriter) types(bodies map[byte][]byte) {
	added := []byte{0x60, 1, 0x7e, 1, 0x7e}
	for _, results := range w.more {
		added = append(uleb(append(added, 0x60, 0), len32(results)), results...)
	}
	bodies[1] = grown(bodies[1], 1+len(w.more), added...)
}

// blockType is the type of a block that leaves results on the stack.
func (w *rewriter) blockType(out, results []byte) []byte {
	switch len(results) {
	case 0:
		return append(out, 0x40)
	case 1:
		return append(out, results[0])
	}
	i := slices.IndexFunc(w.more, func(t []byte) bool { return slices.Equal(t, results) })
	if i < 0 {
		i = len(w.more)
		w.more = append(w.more, results)
	}
	return sleb(out, int64(len(w.Module.types)+1+i))
}

func (w *rewriter) imports(bodies map[byte][]byte, module, tick string) {
	entry := append(text(text(nil, module), tick), byte(Func))
	bodies[2] = grown(bodies[2], 1, uleb(entry, uint32(len(w.Module.types)))...) //nolint:gosec // within Limits
}

func (w *rewriter) tables(bodies map[byte][]byte) {
	if len(w.Module.tables) == 0 {
		return
	}
	b := uleb(nil, uint32(len(w.Module.tables))) //nolint:gosec // within Limits
	for _, t := range w.Module.tables {
		b = capped(append(b, t.typ), t.bounds, w.limits.TableElements)
	}
	bodies[4] = b
}

func (w *rewriter) memory(bodies map[byte][]byte) {
	if len(w.memories) == 1 {
		bodies[5] = capped([]byte{1}, w.memories[0], w.limits.Pages)
	}
}

func capped(b []byte, l bounds, limit uint32) []byte {
	high := limit
	if l.capped && l.high < limit {
		high = l.high
	}
	return uleb(uleb(append(b, 1), l.low), high)
}

func (w *rewriter) globals(bodies map[byte][]byte) {
	b := uleb(nil, w.fuel+2+w.tableGlobals())
	for _, g := range w.Module.globals {
		b = append(append(b, g.typ, g.mutable), w.constant(g.init)...)
	}
	b = append(b, 0x7e, 1, opI64Const, 0, opEnd)
	b = append(sleb(append(b, 0x7f, 1, opI32Const), stackBudget), opEnd)
	if w.GrowsTables {
		b = append(b, 0x7f, 1, opI32Const, 0, opEnd)
	}
	bodies[6] = b
}

// tableGlobals is how many globals the tables need.
func (w *rewriter) tableGlobals() uint32 {
	if w.GrowsTables {
		return 1
	}
	return 0
}

// constant shifts the function that a constant may name.
func (w *rewriter) constant(expr []byte) []byte {
	if expr[0] != opRefFunc {
		return expr
	}
	r := &reader{b: expr, i: 1}
	i := r.u32()
	w.funcIndex(i)
	return append(uleb([]byte{opRefFunc}, w.shift(i)), expr[r.i:]...)
}

func (w *rewriter) exports(bodies map[byte][]byte) {
	b := uleb(nil, uint32(len(w.Exports)+1+len(w.Variables()))+w.tableGlobals()) //nolint:gosec // within Limits
	for _, e := range w.Exports {
		i := e.index
		if e.Kind == Func {
			i = w.shift(i)
		}
		b = uleb(append(text(b, e.Name), byte(e.Kind)), i)
	}
	for i, g := range w.Module.globals {
		if g.mutable != 0 {
			b = uleb(append(text(b, variable(i)), byte(Global)), uint32(i))
		}
	}
	b = uleb(append(text(b, depth), byte(Global)), w.fuel+1)
	if w.GrowsTables {
		b = uleb(append(text(b, TableGlobal), byte(Global)), w.fuel+2)
	}
	bodies[7] = uleb(append(text(b, FuelGlobal), byte(Global)), w.fuel)
}

// elements copies everything but the indices of functions.
func (w *rewriter) elements(body []byte) []byte {
	r := &reader{b: body}
	var out []byte
	copied := 0
	w.eachElement(r, func(i uint32) {
		// A vector's item ends where the reader is; it began where its bytes say.
		start := r.i - lebLen(body, r.i)
		out = uleb(append(out, body[copied:start]...), w.shift(i))
		copied = r.i
	}, func(expr []byte) {
		out = append(append(out, body[copied:r.i-len(expr)]...), w.constant(expr)...)
		copied = r.i
	})
	return append(out, body[copied:]...)
}

// names is the custom section "name" with the names of functions: those that
// the module gives them, otherwise those that it exports them under.
func (w *rewriter) names() []byte {
	names := map[uint32]string{}
	for _, e := range w.Exports {
		if e.Kind == Func {
			names[w.shift(e.index)] = e.Name
		}
	}
	if custom := w.Custom("name"); len(custom) <= w.limits.Names {
		_ = w.named(custom, names) // names are a convenience: a module runs as well without them
	}
	if len(names) == 0 {
		return nil
	}
	b := uleb(nil, uint32(len(names))) //nolint:gosec // at most as many as the module has bytes
	for _, i := range slices.Sorted(maps.Keys(names)) {
		b = text(uleb(b, i), names[i])
	}
	return append(uleb(append(text(nil, "name"), 1), len32(b)), b...)
}

// named reads the names of functions from a custom section "name".
func (w *rewriter) named(custom []byte, names map[uint32]string) (err error) {
	defer catch(&err)
	r := &reader{b: custom}
	for r.more() {
		id := r.byte()
		q := &reader{b: r.bytes(r.u32())}
		if id != 1 {
			continue
		}
		for n := q.count(); n > 0; n-- {
			names[w.shift(q.u32())] = q.name()
		}
	}
	return nil
}

func (w *rewriter) code(body []byte) []byte {
	r := &reader{b: body}
	n := r.count()
	out := make([]byte, 0, len(body)+len(body)/32*8)
	out = uleb(out, uint32(n)) //nolint:gosec // within Limits
	var f function
	for i := range n {
		b := f.rewrite(w, r.bytes(r.u32()), w.typeOf(i))
		out = append(uleb(out, len32(b)), b...)
	}
	return out
}

// edit is a change of the code of a function.
type edit struct {
	kind editKind
	pos  int // where it stands
	end  int // to here the old code is left out
	cost int64
	call instruction
}

type editKind byte

const (
	charge    editKind = iota // pay, and tick when below zero
	pay                       // pay
	payLength                 // pay for the length on top of the stack, and tick when below zero
	reindex                   // an instruction that names a function
	leave                     // a return, which becomes a branch to the end
	grew                      // a table.grow stands before it: keep what it gave
)

// frame is a block that is open.
type frame struct {
	payer  int  // index of the edit that pays for the code that stands here
	first  int  // payer where the block began, for its else
	target bool // a br_table jumps to its end
	loop   bool
}

// function rewrites one function after another.
type function struct {
	calls  bool // it calls others, so that its depth counts
	edits  []edit
	frames []frame
	out    []byte
}

func (f *function) rewrite(w *rewriter, body []byte, t FuncType) []byte {
	r := &reader{b: body}
	groups, locals := w.locals(r, t)
	declared := r.i
	f.scan(w, r)
	slices.SortStableFunc(f.edits, func(a, b edit) int { return cmp.Compare(a.pos, b.pos) })

	q := &reader{b: body}
	q.u32()
	out := uleb(f.out[:0], uint32(groups+2)) //nolint:gosec // within Limits
	out = append(out, body[q.i:declared]...)
	out = append(out, 1, 0x7e, 1, 0x7f)              // one i64, one i32
	wide, narrow := uint32(locals), uint32(locals+1) //nolint:gosec // within Limits
	frame := int64(64 + 8*locals + len(body)/32*8)
	at := declared
	for i, e := range f.edits {
		out = append(out, body[at:e.pos]...)
		at = e.end
		switch e.kind {
		case charge:
			out = w.check(w.less(out, e.cost), wide)
			if i == 0 && f.calls {
				out = w.blockType(append(w.descend(out, frame, narrow), opBlock), t.Results)
			}
		case pay:
			if e.cost > 0 {
				out = uleb(append(w.less(out, e.cost), opGlobalSet), w.fuel)
			}
		case payLength:
			out = uleb(append(out, opLocalTee), narrow)
			out = uleb(append(out, opGlobalGet), w.fuel)
			out = uleb(append(out, opLocalGet), narrow)
			out = w.check(append(out, opI32Const, bytesPerUnit, 0x76, 0xad, 0x7d), wide) // shift right, extend, subtract
		case reindex:
			out = uleb(append(out, e.call.op), w.shift(e.call.index))
		case leave:
			if f.calls {
				out = uleb(append(out, opBr), e.call.index)
			} else {
				out = append(out, opReturn)
			}
		case grew:
			out = uleb(append(out, opGlobalSet), w.fuel+2)
			out = uleb(append(out, opGlobalGet), w.fuel+2)
		}
	}
	out = append(out, body[at:]...)
	if f.calls {
		out = append(w.ascend(out, frame), opEnd)
	}
	f.out = out
	return f.out
}

// descend counts one more frame and ticks when there are too many.
func (w *rewriter) descend(out []byte, frame int64, local uint32) []byte {
	out = uleb(append(out, opGlobalGet), w.fuel+1)
	out = append(sleb(append(out, opI32Const), frame), 0x6b) // subtract
	out = uleb(append(out, opLocalTee), local)
	out = uleb(append(out, opGlobalSet), w.fuel+1)
	out = uleb(append(out, opLocalGet), local)
	out = append(out, opI32Const, 0, 0x48, opIf, 0x40) // less than zero
	out = sleb(append(out, opI64Const), TooDeep)
	out = uleb(append(out, opCall), w.tick)
	return append(out, 0x1a, opEnd) // drop
}

// ascend forgets the frame.
func (w *rewriter) ascend(out []byte, frame int64) []byte {
	out = uleb(append(out, opGlobalGet), w.fuel+1)
	out = append(sleb(append(out, opI32Const), frame), 0x6a) // add
	return uleb(append(out, opGlobalSet), w.fuel+1)
}

// scan finds the edits of the code that r stands before.
func (f *function) scan(w *rewriter, r *reader) {
	f.edits = append(f.edits[:0], edit{kind: charge, pos: r.i, end: r.i, cost: 1})
	f.frames = append(f.frames[:0], frame{})
	f.calls = false
	var in instruction
	for r.more() {
		r.next(&in)
		top := &f.frames[len(f.frames)-1]
		payer := &f.edits[top.payer]
		payer.cost++
		switch in.op {
		case opBlock, opIf:
			f.frames = append(f.frames, frame{payer: top.payer, first: top.payer})
		case opLoop:
			f.open(charge, r.i)
			f.frames = append(f.frames, frame{payer: len(f.edits) - 1, first: len(f.edits) - 1, loop: true})
		case opElse:
			top.payer = top.first
		case opEnd:
			f.close(r.i)
		case opBrTable:
			for _, to := range in.targets {
				f.frames[len(f.frames)-1-int(to)].target = true
			}
		case opReturn:
			in.index = uint32(len(f.frames) - 1) //nolint:gosec // within Limits
			f.edits = append(f.edits, edit{kind: leave, pos: in.pos, end: r.i, call: in})
		case opCallIndirect:
			f.calls = true
		case opCall, opRefFunc:
			f.calls = f.calls || in.op == opCall
			f.edits = append(f.edits, edit{kind: reindex, pos: in.pos, end: r.i, call: in})
		case opMemoryGrow:
			payer.cost += costGrow
		case opMisc:
			switch in.sub {
			case 8, 10, 11, 12, 14, 15, 17:
				f.edits = append(f.edits, edit{kind: payLength, pos: in.pos, end: in.pos})
			}
			if w.grows(in) {
				f.open(grew, r.i)
			}
		}
	}
}

func (f *function) open(kind editKind, pos int) {
	f.edits = append(f.edits, edit{kind: kind, pos: pos, end: pos})
}

// close ends the innermost block. The code after it pays with what is around
// it, unless a br_table comes here: such code is often one of hundreds of
// pieces of which a run sees a few, and pays for itself.
func (f *function) close(pos int) {
	ended := f.frames[len(f.frames)-1]
	f.frames = f.frames[:len(f.frames)-1]
	if ended.target && !ended.loop && len(f.frames) > 0 {
		f.open(pay, pos)
		f.frames[len(f.frames)-1].payer = len(f.edits) - 1
	}
}

// less leaves the counter less cost on the stack.
func (w *rewriter) less(out []byte, cost int64) []byte {
	out = uleb(append(out, opGlobalGet), w.fuel)
	return append(sleb(append(out, opI64Const), cost), 0x7d)
}

// check stores the counter that is on the stack and ticks when it is below
// zero.
func (w *rewriter) check(out []byte, local uint32) []byte {
	out = uleb(append(out, opLocalTee), local)
	out = uleb(append(out, opGlobalSet), w.fuel)
	out = uleb(append(out, opLocalGet), local)
	out = append(out, opI64Const, 0, 0x53, opIf, 0x40) // less than zero
	out = uleb(append(out, opLocalGet), local)
	out = uleb(append(out, opCall), w.tick)
	out = uleb(append(out, opGlobalSet), w.fuel)
	return append(out, opEnd)
}

func uleb(b []byte, v uint32) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func sleb(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// lebLen is the length of the number that ends before end.
func lebLen(b []byte, end int) int {
	n := 1
	for n < 5 && end-n-1 >= 0 && b[end-n-1]&0x80 != 0 {
		n++
	}
	return n
}

func text(b []byte, s string) []byte { return append(uleb(b, uint32(len(s))), s...) } //nolint:gosec // within the file

func len32(b []byte) uint32 { return uint32(len(b)) } //nolint:gosec // a file is at most some megabytes
