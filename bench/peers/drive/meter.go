package drive

import (
	"os"
	"runtime/debug"
	"time"

	"github.com/orpine-run/orpine/bench/peers/proc"
)

// meter reads what the worker and its servers have cost so far.
type meter struct {
	servers []int
	disk    string
}

// cost is a reading of the meter.
type cost struct {
	cpu  time.Duration
	disk int64
}

// since is what was spent after an earlier reading.
func (c cost) since(earlier cost) cost {
	return cost{cpu: c.cpu - earlier.cpu, disk: c.disk - earlier.disk}
}

// cpuMS is the processor time in milliseconds by each of n.
func (c cost) cpuMS(n int64) float64 { return per(float64(c.cpu)/float64(time.Millisecond), n) }

// diskKB is the growth of the files in KiB by each of n.
func (c cost) diskKB(n int64) float64 { return per(float64(c.disk)/(1<<10), n) }

func per(v float64, n int64) float64 {
	if n == 0 {
		return 0
	}
	return v / float64(n)
}

func (m meter) processes() []int { return append(proc.Tree(m.servers...), os.Getpid()) }

func (m meter) read() (cost, error) {
	disk, err := proc.Disk(m.disk)
	return cost{cpu: proc.CPU(m.processes()...), disk: disk}, err
}

// memory returns the bytes held by the worker and its servers, and by the servers alone.
func (m meter) memory() (all, servers int64) {
	servers = proc.Memory(proc.Tree(m.servers...)...)
	return servers + proc.Memory(os.Getpid()), servers
}

// collected is memory after the worker has given back what it does not need.
func (m meter) collected() (all, servers int64) {
	debug.FreeOSMemory()
	time.Sleep(300 * time.Millisecond)
	return m.memory()
}

func machineLoad() float64 { return proc.Load() }

func mb(bytes int64) float64 { return float64(bytes) / (1 << 20) }
