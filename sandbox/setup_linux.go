//go:build linux && amd64

package sandbox

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What steps are called that are looked for when they fail.
const (
	executing    = "execute the command"
	forking      = "start a process in namespaces of its own"
	mounting     = "keep mounts to itself"
	mountingProc = "mount /proc"
)

const (
	cwd       = ^uint64(99) // AT_FDCWD, -100
	empty     = 1 << 12     // AT_EMPTY_PATH
	recursive = 1 << 15     // AT_RECURSIVE
	filesDir  = "/run/orpine"
	proxyPort = 3128 // where the proxy listens, in the network of the jail
)

// write draws up everything that happens between the start of the stub and the execution of
// the command: the whole of a jail, in order.
func (l *launch) write() {
	p := &l.program
	l.env = l.spec.environ(l.proxyEnv()...)
	for _, f := range l.spec.Files {
		if f.Env != "" {
			l.env = append(l.env, f.Env+"="+filesDir+"/"+f.Name)
		}
	}

	p.must("close what was left open", unix.SYS_CLOSE_RANGE, uint64(len(l.files)), 1<<32-1)
	l.namespaces()
	p.try(unix.SYS_UMASK, 0)
	l.outOfMemory()
	l.identity()
	l.root()
	l.system()
	l.devices()
	l.memory()
	l.shares()
	l.hide()
	if l.spec.Network.Host {
		l.hostNetwork()
	} else {
		l.network()
	}
	name := p.str("jail")
	p.must("name the jail", unix.SYS_SETHOSTNAME, name, 4)
	p.must("let go of the old root", unix.SYS_UMOUNT2, p.str("/old"), unix.MNT_DETACH)
	p.must("remove the old root", unix.SYS_RMDIR, p.str("/old"))
	p.must("make the root read-only", unix.SYS_MOUNT_SETATTR, cwd, p.str("/"), 0, mountAttr(p, true), 32)
	l.privileges()

	child := p.fork("start the command", 0, 0)
	p.try(unix.SYS_CLOSE_RANGE, 0, reportFD)
	p.try(unix.SYS_CLOSE, controlFD)
	status := p.words(0)
	p.add("wait for the command", thenWait, unix.SYS_WAIT4, []uint64{1<<64 - 1, status})
	p.try(unix.SYS_WRITE, exitFD, status, 4)
	p.try(unix.SYS_EXIT_GROUP, 0)
	child()
	l.command()
}

// namespaces forks the process that everything in the jail is beneath, as a child of this one,
// tells its number and ends. That process waits until its users are mapped. This program does
// not fork it itself, because a fork with a user namespace copies the tables of all its memory.
func (l *launch) namespaces() {
	p := &l.program
	flags := uint64(unix.CLONE_PARENT | unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP)
	if !l.spec.Network.Host {
		flags |= unix.CLONE_NEWNET
	}
	pid := p.words(0)
	child := p.fork(forking, flags, pid)
	p.try(unix.SYS_WRITE, controlFD, pid, 4)
	p.try(unix.SYS_EXIT_GROUP, 0)
	child()
	p.must("wait for its users", unix.SYS_READ, controlFD, pid, 1)
}

// outOfMemory makes the processes of a jail the first that the kernel kills when the machine has
// no memory left. Where it cannot be set nothing depends on it.
func (l *launch) outOfMemory() {
	p := &l.program
	fd := uint64(len(l.files)) // the lowest that is free
	p.try(unix.SYS_OPENAT, cwd, p.str("/proc/self/oom_score_adj"), unix.O_WRONLY)
	p.try(unix.SYS_WRITE, fd, p.str("900"), 3)
	p.try(unix.SYS_CLOSE, fd)
}

// identity becomes the one user and group of the jail. The groups of this process stay where
// it is not root: an ordinary user may not give them up.
func (l *launch) identity() {
	p := &l.program
	if l.jail.root {
		p.must("give up groups", unix.SYS_SETGROUPS, 0, 0)
	}
	p.must("become the group of the jail", unix.SYS_SETRESGID, insideID, insideID, insideID)
	p.must("become the user of the jail", unix.SYS_SETRESUID, insideID, insideID, insideID)
}

// root makes an empty root in memory; the old one is at /old until everything is in place.
func (l *launch) root() {
	p := &l.program
	p.must(mounting, unix.SYS_MOUNT, 0, p.str("/"), 0, unix.MS_REC|unix.MS_PRIVATE)
	l.tmpfs("/tmp", "mode=755,size=4m,nr_inodes=4096")
	p.must("enter the new root", unix.SYS_CHDIR, p.str("/tmp"))
	p.must("make a place for the old root", unix.SYS_MKDIR, p.str("old"), 0o700)
	p.must("change the root", unix.SYS_PIVOT_ROOT, p.str("."), p.str("old"))
	p.must("enter the new root", unix.SYS_CHDIR, p.str("/"))
}

func (l *launch) tmpfs(at, options string) {
	p := &l.program
	fs := p.str("tmpfs")
	p.must("mount memory at "+at, unix.SYS_MOUNT, fs, p.str(at), fs, unix.MS_NOSUID|unix.MS_NODEV, p.str(options))
}

// mkdir makes a directory and those above it, where they are missing.
func (l *launch) mkdir(path string) {
	for i := 1; i < len(path); i++ {
		if path[i] == '/' {
			l.program.try(unix.SYS_MKDIR, l.program.str(path[:i]), 0o755)
		}
	}
	l.program.try(unix.SYS_MKDIR, l.program.str(path), 0o755)
}

// touch makes an empty file, for something to be mounted on.
func (l *launch) touch(path string) {
	if dir := filepath.Dir(path); dir != "/" {
		l.mkdir(dir)
	}
	l.program.try(unix.SYS_MKNOD, l.program.str(path), unix.S_IFREG|0o444, 0)
}

// text makes a file with a content.
func (l *launch) text(path string, content []byte, mode uint64) {
	p := &l.program
	fd := uint64(len(l.files)) // the lowest that is free
	p.must("make "+path, unix.SYS_OPENAT, cwd, p.str(path), unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
	if len(content) > 0 {
		p.must("write "+path, unix.SYS_WRITE, fd, p.bytes(content), uint64(len(content)))
	}
	p.must("close "+path, unix.SYS_CLOSE, fd)
}

// bind shows something of the old root in the new one, read-only, without devices and without
// programs that change who one is.
func (l *launch) bind(from, to string) {
	p := &l.program
	dst := p.str(to)
	p.must("show "+from, unix.SYS_MOUNT, p.str("/old"+from), dst, 0, unix.MS_BIND|unix.MS_REC)
	p.must("protect "+from, unix.SYS_MOUNT_SETATTR, cwd, dst, recursive, mountAttr(p, true), 32)
}

// mountAttr is a struct mount_attr (mount_setattr(2)).
func mountAttr(p *program, readOnly bool) uint64 {
	set := uint64(unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV)
	if readOnly {
		set |= unix.MOUNT_ATTR_RDONLY
	}
	return p.words(set, 0, 0, 0)
}

// The directories of the system, and what of /etc programs need to work. Nothing in there
// may be a secret of the machine: what only root may read stays out of reach, since nobody in
// a jail is root.
var (
	systemDirs = [...]string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"}
	systemEtc  = [...]string{
		"/etc/alternatives", "/etc/ca-certificates.conf", "/etc/crypto-policies", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d",
		"/etc/localtime", "/etc/magic", "/etc/mime.types", "/etc/pki/ca-trust/extracted", "/etc/pki/tls/certs", "/etc/protocols",
		"/etc/services", "/etc/ssl/certs", "/etc/ssl/openssl.cnf",
	}
)

func (l *launch) system() {
	p := &l.program
	for _, dir := range systemDirs {
		info, err := os.Lstat(dir)
		switch {
		case err != nil:
		case info.Mode()&os.ModeSymlink != 0:
			if target, err := os.Readlink(dir); err == nil {
				p.must("link "+dir, unix.SYS_SYMLINK, p.str(target), p.str(dir))
			}
		default:
			l.mkdir(dir)
			l.bind(dir, dir)
		}
	}
	l.mkdir("/etc")
	for _, path := range systemEtc {
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		target, err := filepath.EvalSymlinks(path)
		switch {
		case err != nil:
		case strings.HasPrefix(target, "/usr/"):
			l.mkdir(filepath.Dir(path))
			p.must("link "+path, unix.SYS_SYMLINK, p.str(target), p.str(path))
		case info.IsDir():
			l.mkdir(path)
			l.bind(target, path)
		default:
			l.touch(path)
			l.bind(target, path)
		}
	}
	l.text("/etc/passwd", []byte("agent:x:1000:1000:agent:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"), 0o444)
	l.text("/etc/group", []byte("agent:x:1000:\nnogroup:x:65534:\n"), 0o444)
	l.text("/etc/nsswitch.conf", []byte("passwd: files\ngroup: files\nhosts: files dns\n"), 0o444)
	if !l.spec.Network.Host {
		l.text("/etc/hosts", []byte("127.0.0.1 localhost jail\n::1 localhost\n"), 0o444)
		l.text("/etc/resolv.conf", nil, 0o444)
	}
	l.mkdir("/proc")
	// Only processes: not the kernel's settings, keys, symbols and memory.
	p.must(mountingProc, unix.SYS_MOUNT, p.str("proc"), p.str("/proc"), p.str("proc"), unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, p.str("subset=pid"))
}

// devices shows those that hold nothing. There is no terminal.
func (l *launch) devices() {
	p := &l.program
	l.mkdir("/dev")
	for _, name := range []string{"null", "zero", "full", "random", "urandom"} {
		path := "/dev/" + name
		l.touch(path)
		dst := p.str(path)
		p.must("show "+path, unix.SYS_MOUNT, p.str("/old"+path), dst, 0, unix.MS_BIND)
		p.must("protect "+path, unix.SYS_MOUNT_SETATTR, cwd, dst, 0, p.words(unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NOEXEC, 0, 0, 0), 32)
	}
	for _, link := range [...][2]string{{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"}, {"shm", "/tmp"}} {
		p.must("link /dev/"+link[0], unix.SYS_SYMLINK, p.str(link[1]), p.str("/dev/"+link[0]))
	}
}

// memory is what the process may write to and that ends with it, and the files it was given.
func (l *launch) memory() {
	l.mkdir("/tmp")
	size := l.spec.Limits.Temp
	// A file takes memory even where it is empty, so there are at most as many as pages.
	options := fmt.Sprintf("size=%d,nr_inodes=%d", size, max(size/4096, 64))
	l.tmpfs("/tmp", "mode=1777,"+options)
	if l.spec.Workspace == "" {
		l.mkdir("/workspace")
		l.tmpfs("/workspace", "mode=755,"+options)
	}
	if len(l.spec.Files) == 0 {
		return
	}
	l.mkdir(filesDir)
	for _, f := range l.spec.Files {
		l.text(filesDir+"/"+f.Name, f.Content, 0o400)
	}
}

// shares shows the workspace and what else is of the machine. Root has opened them, with its
// own sight and for another user; where this process is not root that user is its own.
func (l *launch) shares() {
	p := &l.program
	first := len(l.files) - l.trees
	for i, s := range l.spec.shared {
		if s.dir {
			l.mkdir(s.inside)
		} else {
			l.touch(s.inside)
		}
		tree := uint64(first + i)
		if !l.jail.root {
			tree = l.tree(s)
		}
		p.must("show "+s.inside, unix.SYS_MOVE_MOUNT, tree, p.str(""), cwd, p.str(s.inside), unix.MOVE_MOUNT_F_EMPTY_PATH)
		if !l.jail.root {
			p.try(unix.SYS_CLOSE_RANGE, uint64(first), 1<<32-1)
		}
	}
	p.try(unix.SYS_CLOSE_RANGE, uint64(first), 1<<32-1)
}

// hide puts an empty directory over what the process may not see.
func (l *launch) hide() {
	p := &l.program
	for _, at := range l.spec.hidden {
		fs := p.str("tmpfs")
		p.must("hide "+at, unix.SYS_MOUNT, fs, p.str(at), fs, unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, p.str("mode=555,size=4096,nr_inodes=1"))
	}
}

// tree opens a share as idmaps.tree does, without its sight and under the same owner.
func (l *launch) tree(s share) uint64 {
	p := &l.program
	fd := uint64(len(l.files))                                              // the lowest that is free
	how := p.words(unix.O_PATH|unix.O_CLOEXEC, 0, unix.RESOLVE_NO_SYMLINKS) // struct open_how
	p.must("find "+s.outside, unix.SYS_OPENAT2, cwd, p.str("/old"+s.outside), how, 24)
	p.must("share "+s.outside, unix.SYS_OPEN_TREE, fd, p.str(""), unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|empty|recursive)
	p.must("protect "+s.outside, unix.SYS_MOUNT_SETATTR, fd+1, p.str(""), empty|recursive, mountAttr(p, !s.writable), 32)
	return fd + 1
}

// network brings up the loopback device, and hands out the socket of the proxy: it belongs to
// the network of the jail, and this process answers on it.
func (l *launch) network() {
	p := &l.program
	fd := uint64(len(l.files) - l.trees) // the lowest that is free
	p.must("open a socket", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0)
	up := make([]byte, 40) // struct ifreq
	copy(up, "lo")
	binary.NativeEndian.PutUint16(up[16:], unix.IFF_UP)
	p.must("bring up the loopback device", unix.SYS_IOCTL, fd, unix.SIOCSIFFLAGS, p.bytes(up))
	p.must("close a socket", unix.SYS_CLOSE, fd)
	if len(l.spec.Network.Allow) == 0 {
		return
	}
	p.must("open the socket of the proxy", unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM, 0)
	addr := make([]byte, 16) // struct sockaddr_in
	binary.NativeEndian.PutUint16(addr, unix.AF_INET)
	binary.BigEndian.PutUint16(addr[2:], proxyPort)
	copy(addr[4:], []byte{127, 0, 0, 1})
	p.must("bind the socket of the proxy", unix.SYS_BIND, fd, p.bytes(addr), 16)
	p.must("listen for the proxy", unix.SYS_LISTEN, fd, 128)
	rights := unix.UnixRights(int(fd))
	iov := p.words(p.bytes([]byte{0}), 1)
	msg := p.words(0, 0, iov, 1, p.bytes(rights), uint64(len(rights)), 0) // struct msghdr
	p.must("hand out the socket of the proxy", unix.SYS_SENDMSG, controlFD, msg, 0)
	p.must("close the socket of the proxy", unix.SYS_CLOSE, fd)
}

func (l *launch) proxyEnv() []string {
	if len(l.spec.Network.Allow) == 0 {
		return nil
	}
	url := "http://127.0.0.1:" + strconv.Itoa(proxyPort)
	return []string{"HTTP_PROXY=" + url, "HTTPS_PROXY=" + url, "http_proxy=" + url, "https_proxy=" + url, "NO_PROXY=localhost,127.0.0.1,::1", "no_proxy=localhost,127.0.0.1,::1", "NODE_USE_ENV_PROXY=1"}
}

// hostNetwork shows what names are resolved with.
func (l *launch) hostNetwork() {
	for _, path := range []string{"/etc/hosts", "/etc/resolv.conf"} {
		if target, err := filepath.EvalSymlinks(path); err == nil {
			l.touch(path)
			l.bind(target, path)
		}
	}
}

// privileges gives up all that was needed so far, for good.
func (l *launch) privileges() {
	p := &l.program
	for c := range uint64(unix.CAP_LAST_CAP + 1) {
		p.must("drop capabilities", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
	}
	p.must("drop capabilities", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
	// No user ID gives any back, for good: SECBIT_NOROOT, NO_SETUID_FIXUP, NO_CAP_AMBIENT_RAISE, each locked.
	p.must("lock capabilities", unix.SYS_PRCTL, unix.PR_SET_SECUREBITS, 0b1100_1111)
	p.must("drop capabilities", unix.SYS_CAPSET, p.words(unix.LINUX_CAPABILITY_VERSION_3), p.words(0, 0, 0))
	p.must("forbid new privileges", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
	p.must("hide from the command", unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
	p.must("end with the parent", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL), 0, 0, 0)
	p.must("find the parent alive", unix.SYS_WRITE, exitFD, p.words(0), 8)
	filter := denyList().assemble()
	code := make([]byte, 0, 8*len(filter))
	for _, f := range filter {
		code = binary.NativeEndian.AppendUint16(code, f.Code)
		code = append(code, f.Jt, f.Jf)
		code = binary.NativeEndian.AppendUint32(code, f.K)
	}
	prog := p.words(uint64(len(filter)), p.bytes(code)) // struct sock_fprog
	p.must("filter system calls", unix.SYS_PRCTL, unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, prog, 0, 0)
}

// command is what the second process does: it becomes the command.
func (l *launch) command() {
	p := &l.program
	p.try(unix.SYS_CLOSE_RANGE, exitFD, 1<<32-1)
	p.must("close on execution", unix.SYS_FCNTL, reportFD, unix.F_SETFD, unix.FD_CLOEXEC)
	p.must("leave the session", unix.SYS_SETSID)
	for _, r := range l.rlimits() {
		hard := r.value
		if r.id == unix.RLIMIT_CPU {
			hard++ // first a signal that says what for
		}
		p.must("limit "+r.name, unix.SYS_PRLIMIT64, 0, r.id, p.words(r.value, hard), 0)
	}
	dir := l.spec.Dir
	if dir == "" {
		dir = l.workspace()
	}
	p.must("enter the directory "+dir, unix.SYS_CHDIR, p.str(dir))
	p.try(unix.SYS_UMASK, 0o022)
	argv, envp := p.strs(l.spec.Command), p.strs(l.env)
	name := l.spec.Command[0]
	if !strings.Contains(name, "/") {
		for _, dir := range filepath.SplitList(lookup(l.env, "PATH")) {
			p.try(unix.SYS_EXECVE, p.str(filepath.Join(dir, name)), argv, envp)
		}
	}
	p.must(executing, unix.SYS_EXECVE, p.str(name), argv, envp)
}

func (l *launch) workspace() string {
	if l.spec.Workspace != "" {
		return l.spec.Workspace
	}
	return "/workspace"
}

type rlimit struct {
	name  string
	id    uint64
	value uint64
}

// rlimits are those of each process; none is above what this process has itself.
func (l *launch) rlimits() []rlimit {
	s := l.spec.Limits
	list := []rlimit{
		{"memory", unix.RLIMIT_DATA, uint64(s.Memory)},
		{"processes", unix.RLIMIT_NPROC, uint64(s.Processes) + 1}, // the first of the jail counts too
		{"open files", unix.RLIMIT_NOFILE, uint64(s.OpenFiles)},
		{"the size of files", unix.RLIMIT_FSIZE, uint64(s.FileSize)},
		{"dumps", unix.RLIMIT_CORE, 0},
		{"locked memory", unix.RLIMIT_MEMLOCK, 64 << 10},
		{"queues of messages", unix.RLIMIT_MSGQUEUE, 64 << 10},
		{"signals that wait", unix.RLIMIT_SIGPENDING, 1024},
	}
	if s.CPU > 0 {
		list = append(list, rlimit{"CPU time", unix.RLIMIT_CPU, uint64((s.CPU + time.Second - 1) / time.Second)})
	}
	for i, r := range list {
		var have unix.Rlimit
		if unix.Getrlimit(int(r.id), &have) == nil {
			list[i].value = min(r.value, have.Max)
		}
	}
	return list
}
