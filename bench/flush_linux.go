package bench

import (
	"os"
	"syscall"
)

// flush returns once what was written is on the disk; times of the file need not be.
func flush(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
