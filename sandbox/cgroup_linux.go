//go:build linux && amd64

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroups is where groups of processes can be made whose memory the kernel itself adds up
// (control groups v2). The zero value is nowhere.
type cgroups struct {
	parent string // a directory, empty when there is none
	why    string // there is none
}

// findCgroups looks for a parent that has been left to this process, with the controllers that
// are needed: the group above its own, since a group with processes has no groups of its own
// beneath it, or its own where that is the root of all. proc is /proc/self.
func findCgroups(proc string) cgroups {
	own, err := ownCgroup(proc)
	if err != nil {
		return cgroups{why: err.Error()}
	}
	for _, dir := range []string{own, filepath.Dir(own)} {
		enabled, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
		if err != nil {
			continue
		}
		have := strings.Fields(string(enabled))
		if slices.Contains(have, "memory") && slices.Contains(have, "pids") && unix.Access(dir, unix.W_OK) == nil {
			return cgroups{parent: dir}
		}
	}
	return cgroups{why: "no group above " + own + " is left to this process with its controllers memory and pids"}
}

// ownCgroup is the directory of the group of this process.
func ownCgroup(proc string) (string, error) {
	lines, err := os.ReadFile(filepath.Join(proc, "cgroup"))
	if err != nil {
		return "", fmt.Errorf("there are no control groups: %w", err)
	}
	path, found := "", false
	for line := range strings.Lines(string(lines)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			path, found = p, true
		}
	}
	mounts, err := os.ReadFile(filepath.Join(proc, "mountinfo"))
	if err != nil || !found {
		return "", errors.New("there are no control groups v2")
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(line, " - ") // proc_pid_mountinfo(5)
		fields := strings.Fields(before)
		if len(fields) < 5 || !strings.HasPrefix(after, "cgroup2 ") {
			continue
		}
		if rel, err := filepath.Rel(fields[3], path); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return filepath.Join(fields[4], rel), nil
		}
	}
	return "", errors.New("control groups v2 are not mounted")
}

// cgroup is the group of one jail.
type cgroup struct {
	dir  string
	file *os.File // for the kernel to start a process in it
}

// group makes one with limits.
func (c cgroups) group(l Limits) (*cgroup, error) {
	dir, err := os.MkdirTemp(c.parent, "orpine-jail-")
	if err != nil {
		return nil, err
	}
	for _, limit := range []struct{ file, value string }{
		{"memory.max", strconv.FormatInt(l.Memory, 10)},
		{"memory.oom.group", "1"}, // all of it or nothing
		{"pids.max", strconv.Itoa(l.Processes + 2)},
	} {
		if err := os.WriteFile(filepath.Join(dir, limit.file), []byte(limit.value), 0); err != nil {
			return nil, errors.Join(err, os.Remove(dir))
		}
	}
	_ = os.WriteFile(filepath.Join(dir, "memory.swap.max"), []byte("0"), 0) // where there is swap
	return openCgroup(dir)
}

func openCgroup(dir string) (*cgroup, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return &cgroup{dir: dir, file: f}, nil
}

// close removes the group, of which all processes have ended, and reports whether the kernel
// ended them for want of memory.
func (g *cgroup) close() (outOfMemory bool) {
	events, _ := os.ReadFile(filepath.Join(g.dir, "memory.events"))
	for line := range strings.Lines(string(events)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok && n != "0" {
			outOfMemory = true
		}
	}
	_ = g.file.Close()
	_ = os.Remove(g.dir)
	return outOfMemory
}
