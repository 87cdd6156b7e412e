package wasm

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
)

const (
	page         = 4 << 10   // of the machine; Linux on every processor that we map memories on
	keepMemory   = 8 << 20   // the greatest memory that is kept for another instance, bytes
	copiedMemory = 192 << 10 // a memory of at most so many bytes is restored by copying all of it
)

// buffers keeps linear memories of ended instances, all zero over their whole
// capacity.
type buffers struct{ pool sync.Pool }

// memory is the linear memory of one instance. It never grows beyond its
// limit, and goes back to an [image] when it has one.
type memory struct {
	from    *buffers
	mapped  *mapping // nil: the memory is in the heap
	heap    []byte
	size    uint64 // what the guest has
	limit   uint64 // of the run
	peak    uint64 // of the run; also the part that the guest may have written
	refused bool   // the run asked for more than limit
	shrink  uint64 // set while [memory.cut] is under way
}

var (
	_ experimental.MemoryAllocator = (*memory)(nil)
	_ experimental.LinearMemory    = (*memory)(nil)
)

// Allocate implements [experimental.MemoryAllocator]. A module has one memory.
func (m *memory) Allocate(uint64, uint64) experimental.LinearMemory { return m }

// Reallocate implements [experimental.LinearMemory]: nil when size is over the
// limit. Bytes that were not handed out before are zero.
func (m *memory) Reallocate(size uint64) []byte {
	if m.shrink > 0 {
		size, m.shrink = m.shrink, 0
	} else if size > m.limit {
		m.refused = true
		return nil
	}
	m.size = size
	m.peak = max(m.peak, size)
	if m.mapped != nil {
		return m.mapped.bytes[:size:size]
	}
	if m.heap == nil {
		if kept, ok := m.from.pool.Get().(*[]byte); ok {
			m.heap = *kept
		}
	}
	if old := uint64(cap(m.heap)); old < size {
		grown := make([]byte, min(max(size, 2*old), max(m.limit, size)))
		copy(grown, m.heap[:old])
		m.heap = grown
	}
	return m.heap[:size:size]
}

// Free implements [experimental.LinearMemory]: wipes what the guest may have
// written and keeps the memory for another instance.
func (m *memory) Free() {
	if m.mapped != nil {
		m.mapped.close()
		m.mapped = nil
		return
	}
	heap := m.heap
	m.heap = nil
	if cap(heap) == 0 || cap(heap) > keepMemory {
		return
	}
	clear(heap[:m.peak])
	heap = heap[:0]
	m.from.pool.Put(&heap)
}

// begin makes m the memory of another run.
func (m *memory) begin(limit uint64) { m.limit, m.peak, m.refused = limit, m.size, false }

// restore makes the content that of im, whatever the guest wrote. The size is
// that of im already.
func (m *memory) restore(im *image) error {
	if m.mapped != nil {
		return m.mapped.restore(im, m.peak)
	}
	n := copy(m.heap[:im.size], im.content)
	clear(m.heap[n:m.peak])
	return nil
}

// weight is about what m keeps from others while nothing runs in it, bytes.
func (m *memory) weight() int64 {
	if m.mapped != nil {
		return m.mapped.dirty() * page
	}
	return int64(cap(m.heap))
}

// image is the content of a memory after the initialisation of its module. It
// never changes.
type image struct {
	size    uint64 // of the memory, bytes
	content []byte // without the zero bytes at its end
	backing        // where memories that are mapped take it from
}

func newImage(m *memory) (*image, error) {
	content := m.heap[:m.size]
	n := len(content)
	for n > 0 && content[n-1] == 0 {
		n--
	}
	im := &image{size: m.size, content: append([]byte(nil), content[:n]...)}
	if im.size <= copiedMemory {
		return im, nil
	}
	return im, im.back()
}
