package wasm

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A memory of some megabytes is mapped from a file in memory that holds its
// image, copy on write: making one costs nothing, and pages that no run writes
// are shared by all. Linux tells in /proc/self/pagemap which pages a run has
// written; restoring copies those back. A page that was written once stays the
// memory's own, so that the next run finds it without a page fault, which
// costs ten times as much as the copy.
//
// The flags are described in the kernel's admin-guide/mm/pagemap.
const (
	pagePresent = 1 << 63
	pageSwapped = 1 << 62
	pageOfFile  = 1 << 61 // not written, since the mapping is private
)

// dropPages is how many pages of its own a memory may have before it gives
// them all back, and begins again with page faults.
const dropPages = 4096

// backing is the file of an image.
type backing struct{ file *os.File }

// mapped reports whether memories are mapped from the image.
func (im *image) mapped() bool { return im.file != nil }

// back writes the image into its file.
func (im *image) back() error {
	if !pagemapTells() {
		return nil // memories of this image are copied
	}
	fd, err := unix.MemfdCreate("tocsin-module", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("make the file of an image: %w", err)
	}
	file := os.NewFile(uintptr(fd), "tocsin-module")
	err = func() error {
		if err := file.Truncate(int64(im.size)); err != nil { //nolint:gosec // at most 256 MiB
			return err
		}
		for at := 0; at < len(im.content); at += page {
			b := im.content[at:min(at+page, len(im.content))]
			if zero(b) {
				continue // a hole takes no memory
			}
			if _, err := file.WriteAt(b, int64(at)); err != nil {
				return err
			}
		}
		_, err := unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
		return err
	}()
	if err != nil {
		file.Close() //nolint:errcheck,gosec // it is of no use
		return fmt.Errorf("write the file of an image: %w", err)
	}
	im.file = file
	return nil
}

func zero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// close frees the file. Memories that are mapped from it keep what they need.
func (im *image) close() {
	if im.file != nil {
		im.file.Close() //nolint:errcheck,gosec // nothing was written since it was sealed
	}
}

// mapping is the address space of one memory: the image, and room to grow.
type mapping struct {
	bytes []byte
	image uint64   // bytes that come from the file
	own   []uint64 // a bit for each page that was written since the mapping was made
	flags []byte   // what the kernel tells; reused
}

// newMapping maps im with room up to most bytes. It is nil when im is to be
// copied.
func newMapping(im *image, most uint64) (*mapping, error) {
	if im.file == nil {
		return nil, nil //nolint:nilnil // no mapping, and that is no error
	}
	most = max(most, im.size)
	b, err := unix.Mmap(-1, 0, int(most), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE) //nolint:gosec // at most 256 MiB
	if err != nil {
		return nil, fmt.Errorf("map a memory: %w", err)
	}
	m := &mapping{bytes: b, own: make([]uint64, (most/page+63)/64)}
	if err := m.fill(im); err != nil {
		m.close()
		return nil, err
	}
	return m, nil
}

// fill maps the image over whatever is there, and forgets every other page.
func (m *mapping) fill(im *image) error {
	_, err := unix.MmapPtr(int(im.file.Fd()), 0, unsafe.Pointer(&m.bytes[0]), uintptr(im.size), //nolint:gosec // the file is open
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("map the image of a memory: %w", err)
	}
	m.image = im.size
	if rest := m.bytes[im.size:]; len(rest) > 0 {
		if err := unix.Madvise(rest, unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("forget a memory: %w", err)
		}
		_ = unix.Madvise(rest, unix.MADV_NOHUGEPAGE) // a kernel without huge pages need not be told
	}
	clear(m.own)
	return nil
}

// restore copies back every page of the first peak bytes that differs from
// the image.
func (m *mapping) restore(im *image, peak uint64) error {
	if err := m.look(peak); err != nil {
		return err
	}
	if m.dirty() > dropPages {
		return m.fill(im)
	}
	for i, word := range m.own {
		for ; word != 0; word &= word - 1 {
			at := (i*64 + bits.TrailingZeros64(word)) * page
			to := m.bytes[at : at+page]
			n := 0
			if at < len(im.content) {
				n = copy(to, im.content[at:])
			}
			clear(to[n:])
		}
	}
	return nil
}

// look notes which of the pages in the first peak bytes have become the
// memory's own.
func (m *mapping) look(peak uint64) error {
	pages := int(peak / page) //nolint:gosec // at most 65,536
	if cap(m.flags) < pages*8 {
		m.flags = make([]byte, pages*8)
	}
	flags := m.flags[:pages*8]
	first := int64(uintptr(unsafe.Pointer(&m.bytes[0])) / page) //nolint:gosec // an address of this process
	if n, err := unix.Pread(pagemap(), flags, first*8); err != nil || n != len(flags) {
		return fmt.Errorf("read which pages of a memory were written: %d bytes, %w", n, err)
	}
	for i := range pages {
		f := binary.NativeEndian.Uint64(flags[i*8:])
		if f&(pagePresent|pageSwapped) != 0 && f&pageOfFile == 0 {
			m.own[i/64] |= 1 << (i % 64)
		}
	}
	return nil
}

func (m *mapping) dirty() int64 {
	n := 0
	for _, word := range m.own {
		n += bits.OnesCount64(word)
	}
	return int64(n)
}

func (m *mapping) close() { _ = unix.Munmap(m.bytes) } // it cannot fail for what Mmap returned

// pagemap is the open file that tells about pages, -1 when there is none.
//
//nolint:gochecknoglobals // one for the process, as the file is
var pagemap = sync.OnceValue(func() int {
	fd, err := unix.Open("/proc/self/pagemap", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
})

// pagemapTells tries whether the kernel tells the truth about a page that is
// read, one that is written, one that is not touched, and one beyond the file.
// Some sandboxes offer the file and not its content.
//
//nolint:gochecknoglobals // what the kernel does is the same for all
var pagemapTells = sync.OnceValue(func() bool {
	if pagemap() < 0 || os.Getpagesize() != page {
		return false
	}
	fd, err := unix.MemfdCreate("tocsin-try", unix.MFD_CLOEXEC)
	if err != nil {
		return false
	}
	file := os.NewFile(uintptr(fd), "tocsin-try")
	defer file.Close() //nolint:errcheck // it is of no use any more
	content := make([]byte, 4*page)
	for i := range content {
		content[i] = byte(i/page) + 1
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		return false
	}
	im := &image{size: 4 * page, content: content, backing: backing{file}}
	m, err := newMapping(im, 6*page)
	if err != nil {
		return false
	}
	defer m.close()
	read := m.bytes[page]
	m.bytes[2*page], m.bytes[5*page] = 9, 9
	if m.look(6*page) != nil || read != 2 || m.own[0] != 1<<2|1<<5 {
		return false
	}
	return m.restore(im, 6*page) == nil && m.bytes[2*page] == 3 && m.bytes[5*page] == 0
})
