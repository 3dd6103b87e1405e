//go:build linux && amd64

package sandbox

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// insideID is the user and the group that a process of a jail sees itself as.
const insideID = 1000

// The descriptors that the first process of a jail begins with, beside the three of the
// command and reportFD.
const (
	exitFD    = 4 // where it writes the status of the command
	controlFD = 5 // over which it tells its number and hands out the socket of the proxy; what is shared comes after
)

// jail starts processes that see almost nothing of the machine.
type jail struct {
	config Config
	root   bool // this process is root of the machine: it maps another user, and owners of files
	idmaps idmaps
	groups cgroups
}

func newJail(c Config) (*jail, error) {
	// Root of a container without other users is an ordinary user here.
	j := &jail{config: c, root: os.Geteuid() == 0 && mapped(c.UID)}
	j.groups = findCgroups("/proc/self")
	err := j.try()
	if err != nil && j.groups.parent != "" {
		j.groups = cgroups{why: err.Error()} // the meter holds the same limits
		err = j.try()
	}
	if err != nil {
		return nil, err
	}
	if j.groups.parent == "" && !exists("/proc/thread-self/children") {
		return nil, &RefusedError{
			Missing: "the memory of the processes of a jail cannot be added up: " + j.groups.why,
			Mend:    "use a kernel with CONFIG_PROC_CHILDREN, or leave this program a control group (systemd: Delegate=memory pids and DelegateSubgroup=main)",
		}
	}
	return j, nil
}

// mapped reports whether a user exists in the user namespace of this process.
func mapped(uid int) bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		var inside, outside, count int
		if n, _ := fmt.Sscan(line, &inside, &outside, &count); n == 3 && uid >= inside && uid < inside+count {
			return true
		}
	}
	return false
}

// launch is what one start is made of.
type launch struct {
	jail    *jail
	spec    Spec
	program program
	files   []*os.File // of the process, by descriptor
	ours    []*os.File // the other ends
	trees   int        // how many of files, at the end, are what is shared
	env     []string
	group   *cgroup // nil = none
}

func (j *jail) start(ctx context.Context, s Spec) (*Process, error) {
	l := &launch{jail: j, spec: s}
	p, err := l.start(ctx)
	for _, f := range l.files {
		_ = f.Close()
	}
	if err != nil {
		for _, f := range l.ours {
			_ = f.Close()
		}
		if l.group != nil {
			l.group.close()
		}
		return nil, err
	}
	return p, nil
}

func (l *launch) start(ctx context.Context) (*Process, error) {
	if err := l.pipes(); err != nil {
		return nil, fmt.Errorf("open the pipes of a process: %w", err)
	}
	if err := l.open(); err != nil {
		return nil, err
	}
	if l.jail.groups.parent != "" {
		var err error
		if l.group, err = l.jail.groups.group(l.spec.Limits); err != nil {
			return nil, refusal("make a control group", err)
		}
	}
	l.write()
	exe, err := l.program.file(l.files)
	if err != nil {
		return nil, err
	}
	defer exe.Close() //nolint:errcheck // it is in memory
	began := time.Now()
	var before <-chan int64
	if l.spec.Workspace != "" {
		before = l.usageBefore()
	}
	p := &Process{Stdin: l.ours[0], Stdout: l.ours[1], Stderr: l.ours[2], ended: make(chan struct{})}
	if err := l.spawn(exe, p); err != nil {
		return nil, err
	}
	go p.watch(ctx, l.spec.Limits.Wall)
	if err := l.settled(p); err != nil {
		p.Kill()
		<-p.ended
		return nil, err
	}
	if l.group == nil {
		go l.measure(p)
	}
	if l.spec.Workspace != "" {
		go l.measureDisk(p, began, before)
	}
	return p, nil
}

// pipes opens the streams of the process, and those over which the stub reports.
func (l *launch) pipes() error {
	for i := range 5 {
		r, w, err := os.Pipe()
		if err != nil {
			return err
		}
		if i == 0 { // stdin is read, everything else is written
			r, w = w, r
		}
		l.files, l.ours = append(l.files, w), append(l.ours, r)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	l.files = append(l.files, os.NewFile(uintptr(pair[0]), "control"))
	l.ours = append(l.ours, os.NewFile(uintptr(pair[1]), "control"))
	return nil
}

// open opens what is shared, where that is this process's business: root can see more than
// the user of the jail, and gives them their files under its own name.
func (l *launch) open() error {
	if !l.jail.root {
		return nil
	}
	for _, s := range l.spec.shared {
		f, err := l.jail.idmaps.tree(s, l.jail.config.UID)
		if err != nil {
			return err
		}
		l.files = append(l.files, f)
		l.trees++
	}
	return nil
}

// spawn starts the stub. The thread that starts it stays until its jail has ended: the kernel
// kills that with the thread that started it, see the last steps of program.
func (l *launch) spawn(exe *os.File, p *Process) error {
	attr := &os.ProcAttr{Env: []string{}, Files: l.files, Sys: &syscall.SysProcAttr{Setsid: true}}
	if l.group != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(l.group.file.Fd())
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		stub, err := os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", exe.Fd()), []string{"orpine-jail"}, attr)
		if err != nil {
			started <- refusal("execute the jail", err)
			return
		}
		for _, f := range l.files { // so that the last to hold them is the process
			_ = f.Close()
		}
		first, err := l.adopt()
		p.kill = func() {}
		if first != nil {
			p.first, p.kill = first.Pid, func() { _ = first.Kill() }
		}
		started <- err
		_, _ = stub.Wait() // it has ended, or is about to
		var state *os.ProcessState
		if first != nil {
			state, _ = first.Wait()
		}
		status := l.status(state)
		if l.group != nil && l.group.close() {
			p.blame(LimitMemory)
		}
		p.finish(status)
	}()
	return <-started
}

// adopt takes over the first process of the jail, which the stub has forked as a child of this
// one, and maps its users. It is nil when the stub could not, and has reported why.
func (l *launch) adopt() (*os.Process, error) {
	var number [4]byte
	if n, _ := l.ours[controlFD].Read(number[:]); n < len(number) {
		return nil, nil
	}
	first, err := os.FindProcess(int(binary.NativeEndian.Uint32(number[:])))
	if err != nil {
		return nil, fmt.Errorf("find the first process of the jail: %w", err)
	}
	user, group := os.Geteuid(), os.Getegid()
	if l.jail.root {
		user, group = l.jail.config.UID, l.jail.config.UID
	} else if err := os.WriteFile(fmt.Sprintf("/proc/%d/setgroups", first.Pid), []byte("deny"), 0); err != nil {
		_ = first.Kill()
		return first, refusal("map groups", err)
	}
	for _, m := range []struct {
		name string
		id   int
	}{{"uid_map", user}, {"gid_map", group}} {
		line := fmt.Sprintf("%d %d 1\n", insideID, m.id)
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/%s", first.Pid, m.name), []byte(line), 0); err != nil {
			_ = first.Kill()
			return first, refusal("map users", err)
		}
	}
	if _, err := l.ours[controlFD].Write([]byte{1}); err != nil {
		_ = first.Kill()
		return first, fmt.Errorf("tell the jail to go on: %w", err)
	}
	return first, nil
}

// status is how the command ended, as the first process of the jail has reported, or how that
// one ended itself.
func (l *launch) status(first *os.ProcessState) syscall.WaitStatus {
	report, _ := io.ReadAll(l.ours[exitFD]) // the other end is closed: it has ended
	_ = l.ours[exitFD].Close()
	if len(report) == 12 { // ready, then the status
		return syscall.WaitStatus(binary.NativeEndian.Uint32(report[8:]))
	}
	if first != nil {
		if status, ok := first.Sys().(syscall.WaitStatus); ok {
			return status
		}
	}
	return syscall.WaitStatus(syscall.SIGKILL)
}

// settled waits until the command has been executed. Nothing else holds the other end of the
// report then.
func (l *launch) settled(p *Process) error {
	defer l.ours[reportFD].Close()  //nolint:errcheck // only read
	defer l.ours[controlFD].Close() //nolint:errcheck // there is no more to say
	if len(l.spec.Network.Allow) > 0 {
		if err := l.serve(p); err != nil {
			return err
		}
	}
	report, err := io.ReadAll(l.ours[reportFD])
	if err != nil {
		return fmt.Errorf("read what the jail reports: %w", err)
	}
	if len(report) < 16 { // it was executed, or killed before that
		return nil
	}
	what, errno := l.program.failed(report)
	if what == executing {
		return l.notFound(errno)
	}
	return refusal(what, errno)
}

// serve starts the proxy on the socket that the jail hands out.
func (l *launch) serve(p *Process) error {
	sock := l.ours[controlFD]
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(int(sock.Fd()), make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		return nil // it failed before, and the report says at what
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return fmt.Errorf("receive the socket of the proxy: %w", err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return fmt.Errorf("receive the socket of the proxy: %w", err)
	}
	f := os.NewFile(uintptr(fds[0]), "proxy")
	defer f.Close() //nolint:errcheck // the listener has its own
	listener, err := net.FileListener(f)
	if err != nil {
		return fmt.Errorf("listen in the jail: %w", err)
	}
	proxy := newProxy(l.spec.Network.Allow, l.jail.config.Dial)
	proxy.start(listener)
	go func() {
		<-p.ended
		proxy.stop()
	}()
	return nil
}

// notFound explains why the command could not be executed.
func (l *launch) notFound(errno unix.Errno) error {
	name := l.spec.Command[0]
	if errno == unix.E2BIG {
		return specf("the arguments and the environment of %s are too long for the kernel", name)
	}
	e := &NotFoundError{Command: name, Looked: []string{name}, Err: errno}
	if strings.Contains(name, "/") {
		if filepath.IsAbs(name) && exists(name) {
			e.Outside = name
		}
		return e
	}
	e.Looked = filepath.SplitList(lookup(l.env, "PATH"))
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) { //nolint:forbidigo // only to say where it is
		if path := filepath.Join(dir, name); exists(path) && !slices.Contains(e.Looked, dir) {
			e.Outside = path
			break
		}
	}
	return e
}

// refusal says what the kernel or its settings lack for a step, and how to mend it.
func refusal(what string, err error) error {
	mend := "see docs/sandbox.md for what a jail needs of the kernel"
	switch {
	case errors.Is(err, unix.ENOSYS):
		mend = "it needs Linux 5.12 or newer, with user namespaces and seccomp"
	case errors.Is(err, unix.ENOSPC):
		mend = "raise the sysctls user.max_user_namespaces, user.max_net_namespaces and user.max_mnt_namespaces"
	case errors.Is(err, unix.EACCES) && strings.HasPrefix(what, "execute"):
		mend = "set the sysctl vm.memfd_noexec to 0 or 1"
	case errors.Is(err, unix.EPERM) && (what == forking || what == mounting || strings.HasPrefix(what, "map")), errors.Is(err, unix.EACCES) && what == mounting:
		mend = "user namespaces are forbidden here: set the sysctls kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0, or start the container with a seccomp profile that allows them"
	case errors.Is(err, unix.EPERM) && strings.HasPrefix(what, "share"):
		mend = "root shares directories with CAP_SYS_ADMIN: start the container with it, or run this program as an ordinary user"
	case errors.Is(err, unix.EPERM) && what == mountingProc:
		mend = "the /proc of this machine is partly hidden, as in a container: start the container with an unmasked /proc (Docker: --security-opt systempaths=unconfined)"
	}
	return &RefusedError{Missing: "cannot " + what, Mend: mend, Err: err}
}
