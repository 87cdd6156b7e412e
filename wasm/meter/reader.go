package meter

import (
	"errors"
	"fmt"
)

// malformed is thrown by a reader and caught by the exported functions.
type malformed struct{ error }

var errEnds = errors.New("it ends in the middle of something")

// catch turns a thrown malformed into the error of the caller.
func catch(err *error) {
	switch e := recover().(type) {
	case nil:
	case malformed:
		*err = e.error
	default:
		panic(e)
	}
}

func throw(format string, args ...any) { panic(malformed{fmt.Errorf(format, args...)}) }

// reader reads the binary format. It throws malformed.
type reader struct {
	b []byte
	i int
}

func (r *reader) more() bool { return r.i < len(r.b) }

func (r *reader) byte() byte {
	if r.i >= len(r.b) {
		panic(malformed{errEnds})
	}
	c := r.b[r.i]
	r.i++
	return c
}

func (r *reader) bytes(n uint32) []byte {
	if int64(n) > int64(len(r.b)-r.i) {
		panic(malformed{errEnds})
	}
	b := r.b[r.i : r.i+int(n)]
	r.i += int(n)
	return b
}

func (r *reader) u32() uint32 {
	var v uint32
	for shift := uint(0); ; shift += 7 {
		c := r.byte()
		if shift == 28 && c > 0x0f {
			throw("a number has more than 32 bits")
		}
		v |= uint32(c&0x7f) << shift
		if c&0x80 == 0 {
			return v
		}
	}
}

// skipSigned passes over a signed number of at most n bytes.
func (r *reader) skipSigned(n int) {
	for range n {
		if r.byte()&0x80 == 0 {
			return
		}
	}
	throw("a number is too long")
}

func (r *reader) name() string { return string(r.bytes(r.u32())) }

// value types that are known; nothing else may appear where a type stands.
func (r *reader) valueType() byte {
	switch t := r.byte(); t {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
		return t
	default:
		throw("it uses the value type %#x, which is not supported", t)
		return 0
	}
}

func (r *reader) refType() byte {
	t := r.byte()
	if t != 0x70 && t != 0x6f {
		throw("it uses the reference type %#x, which is not supported", t)
	}
	return t
}

// count reads the length of a vector of things that take at least one byte.
func (r *reader) count() int {
	n := r.u32()
	if int64(n) > int64(len(r.b)-r.i) {
		panic(malformed{errEnds})
	}
	return int(n)
}

// bounds are the limits of a table or memory.
type bounds struct {
	low, high uint32
	capped    bool
}

func (r *reader) bounds() bounds {
	flag := r.byte()
	switch flag {
	case 0:
		return bounds{low: r.u32()}
	case 1:
		return bounds{low: r.u32(), high: r.u32(), capped: true}
	case 2, 3:
		throw("it uses shared memory, which is not supported: build without threads")
	}
	throw("it uses 64-bit memory, which is not supported")
	return bounds{}
}

// constant reads a constant expression and returns it with its end.
func (r *reader) constant() []byte {
	start := r.i
	for {
		switch op := r.byte(); op {
		case opEnd:
			return r.b[start:r.i]
		case opI32Const:
			r.skipSigned(5)
		case opI64Const:
			r.skipSigned(10)
		case opGlobalGet, opRefFunc:
			r.u32()
		case opRefNull:
			r.refType()
		case 0x43:
			r.bytes(4)
		case 0x44:
			r.bytes(8)
		case opVector:
			if r.byte() != 12 {
				throw("a constant uses an instruction that is not constant")
			}
			r.bytes(16)
		default:
			throw("a constant uses the instruction %#x, which is not supported", op)
		}
	}
}

// The instructions that are told apart.
const (
	opBlock        = 0x02
	opLoop         = 0x03
	opIf           = 0x04
	opElse         = 0x05
	opEnd          = 0x0b
	opBr           = 0x0c
	opBrIf         = 0x0d
	opBrTable      = 0x0e
	opReturn       = 0x0f
	opCall         = 0x10
	opCallIndirect = 0x11
	opLocalGet     = 0x20
	opLocalTee     = 0x22
	opGlobalGet    = 0x23
	opGlobalSet    = 0x24
	opTableSet     = 0x26
	opMemoryGrow   = 0x40
	opI32Const     = 0x41
	opI64Const     = 0x42
	opRefNull      = 0xd0
	opRefFunc      = 0xd2
	opMisc         = 0xfc
	opVector       = 0xfd
)

// instruction is one instruction of a function.
type instruction struct {
	op      byte
	sub     uint32   // of opMisc
	index   uint32   // of a label, function, local or global
	targets []uint32 // of br_table, with the default; reused
	pos     int      // of its first byte
}

// next reads one instruction. What it accepts, wazero must read in the same
// way: a byte that both read differently could hide code that does not pay.
func (r *reader) next(in *instruction) {
	in.pos = r.i
	in.op = r.byte()
	switch op := in.op; {
	case op == opBlock, op == opLoop, op == opIf:
		r.blockType()
	case op == opBr, op == opBrIf, op == opCall, op == opRefFunc, op >= opLocalGet && op <= 0x26:
		in.index = r.u32()
	case op == opBrTable:
		in.targets = in.targets[:0]
		for n := r.count(); n >= 0; n-- {
			in.targets = append(in.targets, r.u32())
		}
	case op == opCallIndirect:
		in.index = r.u32()
		r.u32()
	case op == 0x1c: // select with types
		for n := r.count(); n > 0; n-- {
			r.valueType()
		}
	case op >= 0x28 && op <= 0x3e:
		r.memoryArgument()
	case op == 0x3f, op == opMemoryGrow:
		r.byte()
	case op == opI32Const:
		r.skipSigned(5)
	case op == opI64Const:
		r.skipSigned(10)
	case op == 0x43:
		r.bytes(4)
	case op == 0x44:
		r.bytes(8)
	case op == opRefNull:
		r.refType()
	case op == opMisc:
		in.sub, in.index = r.misc()
	case op == opVector:
		r.vector()
	case op == 0x00, op == 0x01, op == opElse, op == opEnd, op == opReturn, op == 0x1a, op == 0x1b, op == 0xd1, op >= 0x45 && op <= 0xc4:
	default:
		throw("it uses the instruction %#x (exceptions, tail calls, threads or garbage collection), which is not supported", op)
	}
}

func (r *reader) blockType() {
	start := r.i
	switch c := r.byte(); {
	case c == 0x40:
	case c&0x80 == 0 && c&0x40 != 0: // one negative byte: a value type
		r.i = start
		r.valueType()
	default: // the index of a type
		r.i = start
		r.u32()
	}
}

func (r *reader) memoryArgument() {
	if r.u32() >= 64 {
		throw("it uses several memories, which is not supported")
	}
	r.u32()
}

// misc reads an instruction of the group 0xfc, and what it names last.
func (r *reader) misc() (sub, index uint32) {
	sub = r.u32()
	switch sub {
	case 0, 1, 2, 3, 4, 5, 6, 7:
	case 8, 10, 12, 14: // memory.init, memory.copy, table.init, table.copy
		r.u32()
		index = r.u32()
	case 9, 11, 13, 15, 16, 17: // data.drop, memory.fill, elem.drop, table.grow, .size, .fill
		index = r.u32()
	default:
		throw("it uses the instruction 0xfc %#x, which is not supported", sub)
	}
	return sub, index
}

func (r *reader) vector() {
	sub := r.byte()
	if sub >= 0x80 && r.byte() != 1 { // wazero reads the first byte only; the second must be what it is in this range
		throw("it uses a relaxed vector instruction, which is not supported")
	}
	switch {
	case sub <= 11, sub == 92, sub == 93:
		r.memoryArgument()
	case sub == 12, sub == 13:
		r.bytes(16)
	case sub >= 21 && sub <= 34:
		r.byte()
	case sub >= 84 && sub <= 91:
		r.memoryArgument()
		r.byte()
	}
}
