//go:build !linux

package bench

import "os"

// flush returns once what was written is on the disk.
func flush(f *os.File) error { return f.Sync() }
