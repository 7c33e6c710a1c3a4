package metadata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"
)

// bbolt maps its file and trusts what it finds: a page that is not as it wrote it
// ends the process, and in a goroutine where nobody can catch it. So the pages that a
// transaction can reach are looked at first, without bbolt and without writing
// (internal/common/{page,meta,bucket}.go of bbolt 1.4).
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2

	pageHeader  = 16 // id u64, flags u16, count u16, overflow u32
	pageElement = 16
	metaSum     = 56 // where a header page has its checksum, and what it covers
	bucketHead  = 16 // root u64, sequence u64; an inline page follows when root is 0

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	noFreelist   = ^uint64(0)
	deepest      = 24 // levels of a tree
	longestKey   = 32768
	smallestPage = 512
	largestPage  = 64 << 10
)

var errBlank = errors.New("the file is empty")

// header is one of the two header pages, which are written in turn.
type header struct {
	pageSize int64
	root     uint64
	freelist uint64
	end      uint64 // pages in use end here
	txid     uint64
}

func parseHeader(b []byte) (h header, ok bool) {
	le := binary.LittleEndian
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaSum]) // never fails
	if le.Uint32(b) != boltMagic || le.Uint32(b[4:]) != boltVersion || le.Uint64(b[metaSum:]) != sum.Sum64() {
		return h, false
	}
	h = header{
		pageSize: int64(le.Uint32(b[8:])), root: le.Uint64(b[16:]),
		freelist: le.Uint64(b[32:]), end: le.Uint64(b[40:]), txid: le.Uint64(b[48:]),
	}
	return h, h.pageSize >= smallestPage && h.pageSize <= largestPage && h.pageSize&(h.pageSize-1) == 0
}

// pages reads a database's pages without trusting them.
type pages struct {
	r    io.ReaderAt
	size int64
	header
	seen map[uint64]bool
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// verifyFile looks at every page that bbolt would read from a file. With older set
// it accepts that one of the two header pages is damaged, which loses the last change.
// A process that has the database open is a *LockedError: what it writes meanwhile
// would look like damage.
func verifyFile(path string, older bool) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return &LockedError{Path: path, PID: holder(path)}
		}
		return err
	}
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return verifyPages(f, st.Size(), older)
}

func verifyPages(r io.ReaderAt, size int64, older bool) error {
	p := pages{r: r, size: size, seen: map[uint64]bool{}}
	if err := p.readHeaders(older); err != nil {
		return err
	}
	if p.freelist != noFreelist {
		if err := p.checkFreelist(); err != nil {
			return err
		}
	}
	return p.checkTree(p.root, nil, nil, 0, false)
}

// readHeaders picks the header page that bbolt will go by.
func (p *pages) readHeaders(older bool) error {
	var found []header
	places := []int64{0}
	for unit := int64(smallestPage); unit <= largestPage; unit *= 2 {
		places = append(places, unit) // the second page, wherever that is
	}
	b := make([]byte, pageHeader+metaSum+8)
	blank := true
	for _, at := range places {
		n, err := p.r.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		blank = blank && len(bytes.Trim(b[:n], "\x00")) == 0
		if n < len(b) {
			continue
		}
		if h, ok := parseHeader(b[pageHeader:]); ok && (at == 0 || at == h.pageSize) {
			found = append(found, h)
		}
	}
	switch {
	case blank:
		return fmt.Errorf("%w: %w", ErrCorrupt, errBlank)
	case len(found) == 0:
		return damaged("both of its header pages are damaged, or it never was a catalog")
	case len(found) == 1 && !older:
		return &HeaderError{}
	}
	p.header = found[0]
	if len(found) > 1 && found[1].txid > found[0].txid {
		p.header = found[1]
	}
	return nil
}

// page reads one page with those that it overflows into, each of which is in use once.
func (p *pages) page(id uint64) (flags uint16, count int, b []byte, err error) {
	bad := func(format string, args ...any) (uint16, int, []byte, error) {
		return 0, 0, nil, damaged("page %d %s", id, fmt.Sprintf(format, args...))
	}
	head := make([]byte, pageHeader)
	if id < 2 || id >= p.end || int64(id) > p.size/p.pageSize {
		return bad("is outside of the %d pages in use", p.end)
	}
	at := int64(id) * p.pageSize
	if n, err := p.r.ReadAt(head, at); n < len(head) {
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, nil, err
		}
		return bad("is beyond the end of the file")
	}
	le := binary.LittleEndian
	overflow := uint64(le.Uint32(head[12:]))
	if got := le.Uint64(head); got != id {
		return bad("says that it is page %d", got)
	}
	length := (int64(overflow) + 1) * p.pageSize
	if id+overflow >= p.end || at+length > p.size {
		return bad("goes on for %d pages, beyond the end", overflow)
	}
	for n := id; n <= id+overflow; n++ {
		if p.seen[n] {
			return bad("is used twice")
		}
		p.seen[n] = true
	}
	b = make([]byte, length)
	if _, err := p.r.ReadAt(b, at); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, nil, err
	}
	return le.Uint16(head[8:]), int(le.Uint16(head[10:])), b, nil
}

func (p *pages) checkFreelist() error {
	flags, count, b, err := p.page(p.freelist)
	if err != nil {
		return err
	}
	if flags != flagFreelist || count == 0xFFFF || pageHeader+8*count > len(b) {
		return damaged("page %d is not a list of free pages", p.freelist)
	}
	for i := range count {
		id := binary.LittleEndian.Uint64(b[pageHeader+8*i:])
		if id < 2 || id >= p.end || p.seen[id] {
			return damaged("page %d is listed as free and is not", id)
		}
	}
	return nil
}

// checkTree looks at a bucket's pages. Keys are from low on and below high; nil is
// no bound.
func (p *pages) checkTree(id uint64, low, high []byte, depth int, inBucket bool) error {
	if depth > deepest {
		return damaged("a tree is deeper than %d levels, at page %d", deepest, id)
	}
	flags, count, b, err := p.page(id)
	if err != nil {
		return err
	}
	elements, err := parseElements(flags, count, b, fmt.Sprint("page ", id))
	if err != nil {
		return err
	}
	if err := ordered(elements, low, high, id); err != nil {
		return err
	}
	if flags == flagBranch {
		if count == 0 {
			return damaged("page %d has no pages below it", id)
		}
		for i, e := range elements {
			upper := high
			if i+1 < len(elements) {
				upper = elements[i+1].key
			}
			if err := p.checkTree(e.page, e.key, upper, depth+1, inBucket); err != nil {
				return err
			}
		}
		return nil
	}
	for _, e := range elements {
		if err := p.checkLeaf(e, inBucket); err != nil {
			return err
		}
	}
	return nil
}

func ordered(elements []element, low, high []byte, id uint64) error {
	for i, e := range elements {
		if i > 0 && bytes.Compare(elements[i-1].key, e.key) >= 0 || i == 0 && low != nil && bytes.Compare(e.key, low) < 0 ||
			high != nil && bytes.Compare(e.key, high) >= 0 {
			return damaged("page %d has keys out of order", id)
		}
	}
	return nil
}

// checkLeaf follows an entry of the root into its bucket. Buckets have none below.
func (p *pages) checkLeaf(e element, inBucket bool) error {
	switch {
	case e.flags == 0 && inBucket:
		return nil
	case e.flags != 1 || inBucket:
		return damaged("entry %q has flags %#x", e.key, e.flags)
	case len(e.value) < bucketHead:
		return damaged("bucket %q has %d bytes", e.key, len(e.value))
	}
	if root := binary.LittleEndian.Uint64(e.value); root != 0 {
		return p.checkTree(root, nil, nil, 0, true)
	}
	inline := e.value[bucketHead:]
	if len(inline) < pageHeader {
		return damaged("bucket %q has %d bytes", e.key, len(e.value))
	}
	le := binary.LittleEndian
	elements, err := parseElements(le.Uint16(inline[8:]), int(le.Uint16(inline[10:])), inline, fmt.Sprintf("bucket %q", e.key))
	if err != nil {
		return err
	}
	if le.Uint16(inline[8:]) != flagLeaf || le.Uint32(inline[12:]) != 0 {
		return damaged("bucket %q is no leaf", e.key)
	}
	if err := ordered(elements, nil, nil, 0); err != nil {
		return err
	}
	for _, e := range elements {
		if err := p.checkLeaf(e, true); err != nil {
			return err
		}
	}
	return nil
}

// element is an entry of a page.
type element struct {
	flags      uint32
	key, value []byte
	page       uint64 // below, for a branch
}

func parseElements(flags uint16, count int, b []byte, where string) ([]element, error) {
	if flags != flagBranch && flags != flagLeaf {
		return nil, damaged("%s has flags %#x", where, flags)
	}
	if pageHeader+count*pageElement > len(b) {
		return nil, damaged("%s has %d entries, more than it has room for", where, count)
	}
	le := binary.LittleEndian
	elements := make([]element, count)
	for i := range elements {
		at := pageHeader + i*pageElement
		raw := b[at:]
		var e element
		var pos, keyLen, valueLen uint32
		if flags == flagLeaf {
			e.flags, pos, keyLen, valueLen = le.Uint32(raw), le.Uint32(raw[4:]), le.Uint32(raw[8:]), le.Uint32(raw[12:])
		} else {
			pos, keyLen, e.page = le.Uint32(raw), le.Uint32(raw[4:]), le.Uint64(raw[8:])
		}
		key := int64(at) + int64(pos)
		end := key + int64(keyLen) + int64(valueLen)
		if keyLen == 0 || keyLen > longestKey || key < int64(pageHeader+count*pageElement) || end > int64(len(b)) {
			return nil, damaged("%s has an entry that does not fit into it", where)
		}
		e.key, e.value = b[key:key+int64(keyLen)], b[key+int64(keyLen):end]
		elements[i] = e
	}
	return elements, nil
}
