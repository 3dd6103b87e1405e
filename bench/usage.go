package bench

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// usage is what this process has used since it began.
type usage struct {
	cpu     time.Duration
	mallocs uint64
}

func usageNow() usage {
	var u usage
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.cpu = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.mallocs = m.Mallocs
	return u
}

func (u usage) less(v usage) usage { return usage{u.cpu - v.cpu, u.mallocs - v.mallocs} }

// rssMB is the memory of this process in RAM. Where the system does not tell, it is
// what Go has taken from it.
func rssMB() float64 {
	const mb = 1 << 20
	// size and resident, in pages
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := bytes.Fields(data); len(fields) > 1 {
			if pages, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
				return float64(pages) * float64(os.Getpagesize()) / mb
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys-m.HeapReleased) / mb
}

// sizeOf is the bytes of all files beneath dir.
func sizeOf(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}

// takeDir makes dir, or checks that nothing is in it. remove takes away what was put
// there, and dir itself if it was not there before.
func takeDir(dir string) (remove func() error, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case os.IsNotExist(err):
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, fmt.Errorf("make the directory to measure in: %w", err)
		}
		return func() error { return os.RemoveAll(dir) }, nil
	case err != nil:
		return nil, invalid("the directory to measure in: %w", err)
	case len(entries) > 0:
		return nil, invalid("%s is not empty: what is in it would be measured too, and removed; choose another with --dir", dir)
	}
	return func() error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
