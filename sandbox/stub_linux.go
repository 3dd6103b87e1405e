//go:build linux && amd64

package sandbox

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// stubCode is where the code of the stub begins, the program that is the first process of a
// jail. That is not Go: to start this program a second time would cost tens of milliseconds,
// and a fork of it would carry a copy of its memory, keys and all, into the jail. The stub has
// some hundred bytes and goes through a list of system calls which the parent has drawn up, see
// [program]. It is assembled with this package, and copied into an executable in memory for
// each jail.
func stubCode() unsafe.Pointer

const (
	stubSize = 256      // more than stub has; what follows it is never reached
	codeAt   = 0x400000 // where the parts of the executable lie in memory; the stub knows dataAt and opsAt
	dataAt   = 0x600000
	opsAt    = 0x8000000
	dataMost = 16 << 20
	pageSize = 0x10000 // the largest page of the systems that are supported
	codeFrom = 0x200   // where the code begins, behind the headers
	reportFD = 3       // where the stub says which step failed
)

// What the stub does with the result of a step. Any other value is the address of the step
// with which the child goes on when the step was a fork.
const (
	thenMust = 0 // an error is reported and ends the process
	thenGoOn = 1
	thenWait = 2 // again until the forked process has ended
)

// op is one step: a system call and what becomes of its result.
type op struct {
	nr   uint64
	args [6]uint64
	then uint64
}

// program is what the first processes of a jail do, as a list of system calls. The zero value
// is empty, except that data begins with room for the report.
type program struct {
	ops   []op
	names []string // of each op, for errors
	data  []byte
}

// bytes puts a value into the memory of the program and returns its address there.
func (p *program) bytes(b []byte) uint64 {
	if len(p.data) == 0 {
		p.data = make([]byte, 16)
	}
	for len(p.data)%8 != 0 {
		p.data = append(p.data, 0)
	}
	at := dataAt + uint64(len(p.data))
	p.data = append(p.data, b...)
	return at
}

// str is bytes for a string as C has them.
func (p *program) str(s string) uint64 { return p.bytes(append([]byte(s), 0)) }

// words is bytes for numbers of 64 bits, such as a list of addresses.
func (p *program) words(w ...uint64) uint64 {
	b := make([]byte, 0, 8*len(w))
	for _, v := range w {
		b = binary.NativeEndian.AppendUint64(b, v)
	}
	return p.bytes(b)
}

// strs is a list of strings that ends with a zero, as execve takes them.
func (p *program) strs(list []string) uint64 {
	at := make([]uint64, 0, len(list)+1)
	for _, s := range list {
		at = append(at, p.str(s))
	}
	return p.words(append(at, 0)...)
}

func (p *program) add(name string, then, nr uint64, args []uint64) {
	o := op{nr: nr, then: then}
	copy(o.args[:], args)
	p.ops = append(p.ops, o)
	p.names = append(p.names, name)
}

// must adds a system call that has to succeed; name says what it is for: "mount /usr".
func (p *program) must(name string, nr uint64, args ...uint64) { p.add(name, thenMust, nr, args) }

// try adds a system call of which the result does not matter.
func (p *program) try(nr uint64, args ...uint64) { p.add("", thenGoOn, nr, args) }

// fork adds a fork, into new namespaces where flags say so; the number of the child is put at
// the address pid. The function that is returned says that the child goes on with what is added
// next; what is added before that is for the parent.
func (p *program) fork(name string, flags, pid uint64) (child func()) {
	at := len(p.ops)
	if pid != 0 {
		flags |= unix.CLONE_PARENT_SETTID
	}
	p.must(name, unix.SYS_CLONE, flags|uint64(unix.SIGCHLD), 0, pid)
	return func() { p.ops[at].then = opsAt + uint64(len(p.ops))*uint64(unsafe.Sizeof(op{})) }
}

// failed reads a report of the stub.
func (p *program) failed(report []byte) (what string, errno unix.Errno) {
	step := (binary.NativeEndian.Uint64(report) - opsAt) / uint64(unsafe.Sizeof(op{}))
	errno = unix.Errno(binary.NativeEndian.Uint64(report[8:]))
	if step >= uint64(len(p.names)) {
		return fmt.Sprintf("step %d", step), errno
	}
	return p.names[step], errno
}

// file makes the executable: the stub with this program, in memory. Its descriptor is well
// above those of files: a new process moves these about before it is executed.
func (p *program) file(files []*os.File) (*os.File, error) {
	above := 64
	for _, f := range files {
		above = max(above, int(f.Fd())+64)
	}
	fd, err := unix.MemfdCreate("orpine-jail", unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // older than Linux 6.3: every memfd may be executed
		fd, err = unix.MemfdCreate("orpine-jail", unix.MFD_CLOEXEC)
	}
	if err != nil {
		mend := "set the sysctl vm.memfd_noexec to 0 or 1"
		if err == unix.ENOSYS {
			mend = "memfd_create is filtered, as in another jail: start this program outside of that"
		}
		return nil, &RefusedError{Missing: "cannot make an executable in memory", Mend: mend, Err: err}
	}
	if len(p.data) > dataMost {
		_ = unix.Close(fd)
		return nil, specf("arguments, environment and files of a process have %d bytes together, more than %d", len(p.data), dataMost)
	}
	high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, above)
	_ = unix.Close(fd)
	if err != nil {
		return nil, fmt.Errorf("make an executable in memory: %w", err)
	}
	f := os.NewFile(uintptr(high), "orpine-jail")
	ops := unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(p.ops))), len(p.ops)*int(unsafe.Sizeof(op{})))
	opsFrom := int64(pageSize + (len(p.data)+pageSize-1)/pageSize*pageSize)
	for _, part := range []struct {
		at int64
		b  []byte
	}{
		{0, headers(len(p.data), len(ops), uint64(opsFrom))},
		{codeFrom, unsafe.Slice((*byte)(stubCode()), stubSize)},
		{pageSize, p.data},
		{opsFrom, ops},
	} {
		if _, err := f.WriteAt(part.b, part.at); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("make an executable in memory: %w", err)
		}
	}
	return f, nil
}

// headers are those of the executable (ELF, System V ABI chapters 4 and 5): code that cannot
// be written, data and steps that cannot be executed.
func headers(data, ops int, opsFrom uint64) []byte {
	var out bytes.Buffer
	h := elf.Header64{
		Ident:     [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:      uint16(elf.ET_EXEC),
		Machine:   uint16(stubMachine),
		Version:   uint32(elf.EV_CURRENT),
		Entry:     codeAt + codeFrom,
		Phoff:     64,
		Ehsize:    64,
		Phentsize: 56,
		Phnum:     4,
	}
	segment := func(t elf.ProgType, flags elf.ProgFlag, off, at uint64, size int) elf.Prog64 {
		return elf.Prog64{Type: uint32(t), Flags: uint32(flags), Off: off, Vaddr: at, Paddr: at, Filesz: uint64(size), Memsz: uint64(size), Align: pageSize}
	}
	for _, v := range []any{
		h,
		segment(elf.PT_LOAD, elf.PF_R|elf.PF_X, 0, codeAt, codeFrom+stubSize),
		segment(elf.PT_LOAD, elf.PF_R|elf.PF_W, pageSize, dataAt, data),
		segment(elf.PT_LOAD, elf.PF_R, opsFrom, opsAt, ops),
		segment(elf.PT_GNU_STACK, elf.PF_R|elf.PF_W, 0, 0, 0),
	} {
		_ = binary.Write(&out, binary.LittleEndian, v) // a buffer takes everything
	}
	return out.Bytes()
}
