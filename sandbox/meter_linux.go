//go:build linux && amd64

package sandbox

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	measureEvery = 50 * time.Millisecond
	// diskFree is what a jail leaves of the file system of its workspace, whatever its own
	// limit is: a file that was removed while it is open cannot be found by its name.
	diskFree = 512 << 20
)

// measure kills the process when all that runs in its jail holds more memory than it may. The
// kernel holds each process to as much, but does not add them up.
func (l *launch) measure(p *Process) {
	tick := time.NewTicker(measureEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.ended:
			return
		case <-tick.C:
			if resident(p.first) > l.spec.Limits.Memory {
				p.end(LimitMemory)
				return
			}
		}
	}
}

// usageBefore looks at the workspace before the process starts. It does not hold that up for
// long: in a large one, what is written meanwhile counts as having been there.
func (l *launch) usageBefore() <-chan int64 {
	before := make(chan int64, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		before <- usage(l.spec.Workspace)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Millisecond):
	}
	return before
}

// measureDisk kills the process when the workspace has grown by more than it may, or when its
// file system is nearly full. To look takes a tenth of the time at most, however many
// files there are.
func (l *launch) measureDisk(p *Process, began time.Time, before <-chan int64) {
	least := min(diskFree, left(l.spec.Workspace)/2)
	had := <-before
	for {
		pause := 9*time.Since(began) + 3*measureEvery
		select {
		case <-p.ended:
			return
		case <-time.After(pause):
		}
		began = time.Now()
		if left(l.spec.Workspace) < least || usage(l.spec.Workspace)-had > l.spec.Limits.Disk {
			p.end(LimitDisk)
			return
		}
	}
}

// left is how many bytes the file system of a directory has left.
func left(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

// resident is how much memory a process and all beneath it hold. Memory that two of them share
// counts twice. All that runs in a jail is beneath its first process.
func resident(pid int) int64 {
	var sum int64
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if fields := bytes.Fields(stat); err == nil && len(fields) > 1 {
		pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
		sum = pages * int64(os.Getpagesize())
	}
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return sum
	}
	for _, t := range threads {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, t.Name()))
		for field := range bytes.FieldsSeq(children) {
			if child, err := strconv.Atoi(string(field)); err == nil {
				sum += resident(child)
			}
		}
	}
	return sum
}

// usage is how many bytes a directory takes on the disk.
func usage(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // it went away while we looked
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // as above
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum
}
