package proc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ticks is how many units of processor time make a second: USER_HZ, 100 on every
// architecture that Go runs on.
const ticks = 100

// stat is what is used of /proc/PID/stat.
type stat struct {
	parent int
	cpu    time.Duration // user and system, of this process alone
}

func statOf(pid int) (stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The name, in parentheses, may hold anything; the fields are counted from behind it.
	f := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(f) < 13 {
		return stat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(f))
	}
	parent, err1 := strconv.Atoi(string(f[1]))
	user, err2 := strconv.ParseInt(string(f[11]), 10, 64)
	system, err3 := strconv.ParseInt(string(f[12]), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return stat{}, err
	}
	return stat{parent: parent, cpu: time.Duration(user+system) * time.Second / ticks}, nil
}

// Tree returns the processes with these ids and all that descend from them.
func Tree(roots ...int) []int {
	if len(roots) == 0 {
		return nil
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return roots
	}
	below := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue // not a process
		}
		if s, err := statOf(pid); err == nil { // else it has just ended
			below[s.parent] = append(below[s.parent], pid)
		}
	}
	tree := slices.Clone(roots)
	for i := 0; i < len(tree); i++ { // it grows as it is walked
		tree = append(tree, below[tree[i]]...)
	}
	return tree
}

// CPU returns the processor time the processes have used. One that has ended counts 0.
func CPU(pids ...int) time.Duration {
	var sum time.Duration
	for _, pid := range pids {
		if s, err := statOf(pid); err == nil {
			sum += s.cpu
		}
	}
	return sum
}

// Memory returns the bytes of memory the processes hold. Pages that several share are
// divided among them (Pss), so that the processes of one server can be added up.
func Memory(pids ...int) int64 {
	var sum int64
	for _, pid := range pids {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it has ended
		}
		for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
			rest, ok := strings.CutPrefix(lines.Text(), "Pss:")
			if !ok {
				continue
			}
			if kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64); err == nil {
				sum += kb << 10
			}
			break
		}
	}
	return sum
}

// Disk returns the sum of the sizes of all files beneath dir. Files that come and go
// meanwhile are no error.
func Disk(dir string) (int64, error) {
	var sum int64
	if dir == "" {
		return 0, nil
	}
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = e.Info(); err == nil {
				sum += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return sum, err
}

// Load returns the load average of the machine over the last minute; 0 if unknown.
func Load() float64 {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), " ")
	load, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return load
}
