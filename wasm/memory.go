package wasm

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
)

// keepMemory is the greatest memory that is kept for another run, bytes.
const keepMemory = 8 << 20

// buffers keeps linear memories of finished runs, all zero over their whole
// capacity.
type buffers struct{ pool sync.Pool }

// linear is the linear memory of one run. It never grows beyond its limit.
type linear struct {
	from    *buffers
	limit   uint64
	memory  []byte
	peak    uint64 // also the part that the guest may have written
	refused bool   // it asked for more than limit
}

var (
	_ experimental.MemoryAllocator = (*linear)(nil)
	_ experimental.LinearMemory    = (*linear)(nil)
)

// Allocate implements [experimental.MemoryAllocator]. A module has one memory.
func (l *linear) Allocate(uint64, uint64) experimental.LinearMemory { return l }

// Reallocate implements [experimental.LinearMemory]: nil when size is over the
// limit. Bytes that were not handed out before are zero.
func (l *linear) Reallocate(size uint64) []byte {
	if size > l.limit {
		l.refused = true
		return nil
	}
	if l.memory == nil {
		if kept, ok := l.from.pool.Get().(*[]byte); ok {
			l.memory = *kept
		}
	}
	if uint64(cap(l.memory)) < size {
		grown := make([]byte, min(max(size, 2*l.peak), l.limit))
		copy(grown, l.memory[:l.peak])
		l.memory = grown
	}
	l.peak = max(l.peak, size)
	return l.memory[:size:size]
}

// Free implements [experimental.LinearMemory]: wipes what the guest may have
// written and keeps the memory for another run.
func (l *linear) Free() {
	memory := l.memory
	l.memory = nil
	if cap(memory) == 0 || cap(memory) > keepMemory {
		return
	}
	clear(memory[:l.peak])
	memory = memory[:0]
	l.from.pool.Put(&memory)
}
