package sqlite

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"os"
)

// The log of a database (SQLite's WAL) holds pages that were committed and are not yet
// moved into it. It is a header and frames, each a page behind a header of its own; what
// counts ends at the last frame of a commit of which all checksums fit. See
// https://www.sqlite.org/fileformat2.html#the_write_ahead_log.
const (
	logSuffix     = "-wal"
	logMagic      = 0x377f0682 // or one more: then its checksums are of big-endian words
	logVersion    = 3007000
	logHeaderSize = 32
	logFrameSize  = 24 // without the page
	sumSize       = 8  // of a checksum

	untouched = 0x40000000 // SQLite never writes the page with this byte, nor reads it
)

// logged is what a log holds. The zero value is that of no log.
type logged struct {
	size  int64           // of the file
	page  int64           // size of a page
	pages uint32          // how many the database has after the last commit; 0 = there is none
	holds map[uint32]bool // pages that were committed, numbered from 1
}

// needs returns how many bytes the database must have: up to the last page that the log
// does not hold.
func (l *logged) needs() int64 {
	n := l.pages
	for n > 0 && (l.holds[n] || int64(n) == untouched/l.page+1) {
		n--
	}
	return int64(n) * l.page
}

// readLog reads the log of the database at path; one that is not there holds nothing.
func readLog(path string) (l logged, err error) {
	f, err := os.Open(path + logSuffix)
	if errors.Is(err, os.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, err
	}
	info, err := f.Stat()
	if err == nil {
		l.size = info.Size()
		err = l.read(bufio.NewReaderSize(f, 1<<18))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return l, errors.Join(err, f.Close())
}

func (l *logged) read(r io.Reader) error {
	var head [logHeaderSize]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	word := func(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	size := word(head[:], 8)
	if word(head[:], 0)&^1 != logMagic || word(head[:], 4) != logVersion || size < 512 || size > 65536 || bits.OnesCount32(size) != 1 {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if word(head[:], 0) != logMagic {
		order = binary.BigEndian
	}
	sum := logSum{order: order}
	if sum.add(head[:logHeaderSize-sumSize]); !sum.is(head[logHeaderSize-sumSize:]) {
		return nil
	}
	l.page, l.holds = int64(size), map[uint32]bool{}
	salt, frame := [8]byte(head[16:24]), make([]byte, logFrameSize+size)
	var open []uint32 // of a commit that has not come to its end
	for {
		if _, err := io.ReadFull(r, frame); err != nil {
			return err
		}
		sum.add(frame[:8])
		sum.add(frame[logFrameSize:])
		page, pages := word(frame, 0), word(frame, 4)
		if page == 0 || [8]byte(frame[8:16]) != salt || !sum.is(frame[16:logFrameSize]) {
			return nil
		}
		open = append(open, page)
		if pages > 0 {
			for _, p := range open {
				l.holds[p] = true
			}
			l.pages, open = pages, open[:0]
		}
	}
}

// logSum is the checksum of a log up to some place.
type logSum struct {
	order binary.ByteOrder
	a, b  uint32
}

func (s *logSum) add(data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		s.a += s.order.Uint32(data) + s.b
		s.b += s.order.Uint32(data[4:]) + s.a
	}
}

func (s *logSum) is(stored []byte) bool {
	return s.a == binary.BigEndian.Uint32(stored) && s.b == binary.BigEndian.Uint32(stored[4:])
}
