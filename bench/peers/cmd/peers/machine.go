package main

import (
	"os"
	"strings"
	"syscall"
)

// processor is the name of the processor, as Linux has it.
func processor() string {
	data, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "processor"
	}
	for line := range strings.SplitSeq(string(data), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor"
}

// tmpfs is the type of a file system in memory, from statfs(2).
const tmpfs = 0x01021994

// disk says where the stores are, and warns of a disk that is none.
func disk(dir string) string {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err == nil && s.Type == tmpfs {
		return dir + " IS IN MEMORY: fsync costs nothing there, name another with --dir"
	}
	return "stores in " + dir
}
