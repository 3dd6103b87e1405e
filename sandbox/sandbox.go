// Package sandbox starts the processes of agents, and is the only room that does: commands
// that are tools, and servers of tools that speak over standard input and output.
//
// It may not know what a tool, a run or an agent is, and it never lowers its guard by itself:
// where the machine cannot do what is asked, [New] and [Sandbox.Start] refuse with a
// [RefusedError], which says what is missing and how to mend it. On the line request -> run ->
// step -> journal -> event -> client it stands beneath a step: the step calls a tool, the tool
// starts a process here and waits for it.
//
// A process in a jail sees read-only system directories, one workspace it may write to, a
// private /tmp and /proc, no devices but those that hold nothing, no network but what is
// allowed by name, and no other process. What that protects from, and from what not, is in
// docs/sandbox.md.
package sandbox

import (
	"context"
	"net"
	"os"
	"strings"
	"time"
)

// Tier is how much stands between a tool and the machine.
type Tier string

// The tiers, from the strongest on. InProc and WASM start no process; other rooms provide
// them, and they are named here so that one word means one thing.
const (
	TierWASM   Tier = "wasm"   // a module that is interpreted: no system calls at all
	TierJail   Tier = "jail"   // a process in namespaces of its own, behind a filter of system calls
	TierInProc Tier = "inproc" // Go code that belongs to the runtime
	TierNone   Tier = "none"   // a process like any other; only when it is asked for by this name
)

// Config is what all processes of a sandbox have in common. The zero value is a jail without
// a network.
type Config struct {
	Tier Tier // TierJail when empty, or TierNone
	// UID is the user and group that processes run as where this process is root: one that
	// owns nothing. 2000000000 when 0. Where this process is not root they run as its user.
	UID int
	// Dial makes the connections of the proxy through which processes reach the addresses
	// that Network.Allow names; it may refuse. A net.Dialer when nil: then a name that is
	// allowed may stand for any address, also a private one.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Hide are directories that no process of a jail may see, also where what it may touch holds
	// them: an empty one stands in their place. What lies in one of them cannot be shared.
	Hide []string
}

// Spec says what a process is and what it may touch.
type Spec struct {
	// Command is what is executed, without a shell: a path, or a name that is looked up in
	// PATH inside the jail, and its arguments.
	Command []string
	// Env is the environment as NAME=value. Nothing is inherited; PATH, HOME, TMPDIR and
	// LANG have fixed values unless they are given here.
	Env []string
	// Workspace is the one directory that the process may write to and that stays. It has
	// the same path inside. When empty, /workspace is an empty directory in memory that ends
	// with the process, and counts as part of Limits.Temp.
	Workspace string
	// Dir is the working directory, the workspace when empty.
	Dir string
	// ReadOnly are further files and directories that the process may read, under the same
	// path: what everybody may read, or the user of this process where it is not root.
	ReadOnly []string
	// Files are small files in memory, such as secrets. They end with the process.
	Files   []File
	Network Network
	Limits  Limits

	shared []share  // what of the above is of this machine, once it has been checked
	hidden []string // what of that is not shown, as the process would name it
}

// File is a small file in memory that only the process can read.
type File struct {
	Name    string // of the file; no path
	Env     string // the variable that holds its path; none when empty
	Content []byte
}

// Network says what a process can reach. The zero value is nothing but itself.
type Network struct {
	// Allow lists host:port. A host may be *.example.com, which stands for every name
	// beneath, and a port may be *. The process reaches them through a proxy for HTTP and
	// CONNECT, which HTTP_PROXY and HTTPS_PROXY name; it resolves no names itself.
	Allow []string
	// Host is the network of the machine, without any bound.
	Host bool
}

// Limits bound a process and all that it starts. 0 is the default.
type Limits struct {
	Wall      time.Duration // time until it is killed; 0 = the context alone decides
	CPU       time.Duration // of each process, in whole seconds; 0 = no bound of its own
	Memory    int64         // bytes of all processes together; 1 GB
	Processes int           // processes and threads at once; 256
	OpenFiles int           // of each process; 1024
	FileSize  int64         // bytes of any one file; 1 GB
	Disk      int64         // bytes by which the workspace may grow; 4 GB
	Temp      int64         // bytes in /tmp, which is memory; 256 MB
	Output    int64         // bytes of each of stdout and stderr that Run passes on; 1 MB
}

func (l Limits) orDefaults() Limits {
	or := func(v *int64, d int64) {
		if *v == 0 {
			*v = d
		}
	}
	or(&l.Memory, 1<<30)
	or(&l.FileSize, 1<<30)
	or(&l.Disk, 4<<30)
	or(&l.Temp, 256<<20)
	or(&l.Output, 1<<20)
	if l.Processes == 0 {
		l.Processes = 256
	}
	if l.OpenFiles == 0 {
		l.OpenFiles = 1024
	}
	return l
}

// Sandbox starts processes of one tier. It holds nothing that must be closed.
type Sandbox struct {
	config Config
	start  func(ctx context.Context, s Spec) (*Process, error)
	notes  func() []string // what it lacks, for Probe
}

// New makes a sandbox. Errors: a [RefusedError] where this machine cannot do what the tier
// promises, [ErrSpec] for a tier that starts no processes.
func New(c Config) (*Sandbox, error) {
	if c.UID == 0 {
		c.UID = 2_000_000_000 // beyond every range that distributions hand out
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{}).DialContext
	}
	s := &Sandbox{config: c}
	switch c.Tier {
	case TierJail, "":
		s.config.Tier = TierJail
		j, err := newJail(s.config)
		if err != nil {
			return nil, err
		}
		s.start, s.notes = j.start, j.notes
	case TierNone:
		s.start = startBare
	case TierInProc, TierWASM:
		return nil, specf("tier %q starts no processes; use %q", c.Tier, TierJail)
	default:
		return nil, specf("there is no tier %q; processes run in %q, or in %q where that is said", c.Tier, TierJail, TierNone)
	}
	return s, nil
}

// Tier is what stands between the processes of this sandbox and the machine.
func (s *Sandbox) Tier() Tier { return s.config.Tier }

// Start starts a process that lives until it ends, is killed, its time is up or ctx ends, with
// everything it has started. Its pipes are open: whoever starts it reads them, and calls
// [Process.Wait]. Errors: ErrSpec, [NotFoundError], RefusedError.
func (s *Sandbox) Start(ctx context.Context, spec Spec) (*Process, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	spec.Limits = spec.Limits.orDefaults()
	if err := spec.check(); err != nil {
		return nil, err
	}
	if s.config.Tier == TierJail {
		if err := spec.hide(s.config.Hide); err != nil {
			return nil, err
		}
	}
	return s.start(ctx, spec)
}

// Where a process finds programs, and what it is told of its surroundings, unless Spec.Env
// says otherwise.
var defaultEnv = [...]string{
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/tmp",
	"TMPDIR=/tmp",
	"LANG=C.UTF-8",
}

// environ is the whole environment of a process; more wins over the defaults, Env over both.
func (s *Spec) environ(more ...string) []string {
	var env []string
	set := map[string]bool{}
	for _, list := range [][]string{s.Env, more, defaultEnv[:]} {
		for _, e := range list {
			if name, _, _ := strings.Cut(e, "="); !set[name] {
				set[name] = true
				env = append(env, e)
			}
		}
	}
	return env
}

func lookup(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

// exists says whether a path is there, links followed.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
