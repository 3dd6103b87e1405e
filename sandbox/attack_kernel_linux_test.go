//go:build linux && amd64

package sandbox_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaceAttempts want a world of their own, in which they would have every privilege, and
// change the mounts of this one.
func namespaceAttempts() []attempt {
	const c = "namespaces"
	mount := func(b bait, source, fs string, flags uintptr, data string) error {
		dir := filepath.Join(b.Workspace, "mount-"+fs)
		_ = os.Mkdir(dir, 0o755)
		if err := unix.Mount(source, dir, fs, flags, data); err != nil {
			return err
		}
		return unix.Unmount(dir, unix.MNT_DETACH)
	}
	list := []attempt{
		{c, "mount memory", func(b bait) error { return mount(b, "tmpfs", "tmpfs", 0, "") }, false},
		{c, "mount processes", func(b bait) error { return mount(b, "proc", "proc", 0, "") }, false},
		{c, "mount devices", func(b bait) error { return mount(b, "sysfs", "sysfs", 0, "") }, false},
		{c, "mount terminals", func(b bait) error { return mount(b, "devpts", "devpts", 0, "newinstance") }, false},
		{c, "mount an overlay", func(b bait) error {
			return mount(b, "overlay", "overlay", 0, "lowerdir=/usr:/etc")
		}, false},
		{c, "mount another directory", func(b bait) error { return mount(b, "/usr", "bind", unix.MS_BIND, "") }, false},
		{c, "make the system writable", func(bait) error {
			return unix.Mount("", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_RELATIME, "")
		}, false},
		{c, "make the root writable", func(bait) error {
			return reached(unix.SYS_MOUNT_SETATTR, ^uintptr(99), str("/"), 0, ptr(&unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}), 32)
		}, false},
		{c, "unmount a directory", func(bait) error { return reached(unix.SYS_UMOUNT2, str("/nowhere"), 0) }, false},
		{c, "uncover a directory", func(bait) error { return reached(unix.SYS_UMOUNT2, str("/tmp/nowhere"), unix.MNT_DETACH) }, false},
		{c, "change the root", func(bait) error { return reached(unix.SYS_PIVOT_ROOT, str("."), str(".")) }, false},
		{c, "open a file system", func(bait) error { return sys(unix.SYS_FSOPEN, str("tmpfs"), 0) }, false},
		{c, "pick a file system", func(bait) error { return sys(unix.SYS_FSPICK, ^uintptr(99), str("/"), 0) }, false},
		{c, "clone a tree", func(bait) error { return sys(unix.SYS_OPEN_TREE, ^uintptr(99), str("/usr"), 1) }, false},
		{c, "open a tree", func(bait) error { return sys(unix.SYS_OPEN_TREE, ^uintptr(99), str("/usr"), 0) }, false},
		{c, "move a mount", func(bait) error {
			return reached(unix.SYS_MOVE_MOUNT, ^uintptr(99), str("/nowhere"), ^uintptr(99), str("/nowhere"), 0)
		}, false},
		{c, "list all mounts", func(bait) error {
			return reached(unix.SYS_LISTMOUNT, ptr(&[4]uint64{32, ^uint64(0)}), ptr(new([8]uint64)), 8, 0)
		}, false},
		{c, "clone3 into a user namespace", func(bait) error {
			args := [11]uint64{unix.CLONE_NEWUSER, 0, 0, 0, uint64(unix.SIGCHLD)}
			pid, err := sysFDfork(unix.SYS_CLONE3, ptr(&args), 88)
			return waited(pid, err)
		}, false},
	}
	for _, ns := range []struct {
		name string
		flag uintptr
	}{
		{"user", unix.CLONE_NEWUSER},
		{"mount", unix.CLONE_NEWNS},
		{"process", unix.CLONE_NEWPID},
		{"network", unix.CLONE_NEWNET},
		{"ipc", unix.CLONE_NEWIPC},
		{"host name", unix.CLONE_NEWUTS},
		{"cgroup", unix.CLONE_NEWCGROUP},
		{"time", unix.CLONE_NEWTIME},
	} {
		list = append(list, attempt{c, "make a " + ns.name + " namespace", func(bait) error {
			if ns.flag == unix.CLONE_NEWUSER { // not for a process with threads
				return reached(unix.SYS_UNSHARE, ns.flag)
			}
			runtime.LockOSThread()
			err := sys(unix.SYS_UNSHARE, ns.flag)
			return err
		}, false})
		if ns.flag == unix.CLONE_NEWTIME {
			continue
		}
		list = append(list, attempt{c, "start a process in a " + ns.name + " namespace", func(bait) error {
			pid, err := sysFDfork(unix.SYS_CLONE, ns.flag|uintptr(unix.SIGCHLD))
			return waited(pid, err)
		}, false})
	}
	for _, ns := range []string{"user", "mnt", "net", "pid"} {
		list = append(list, attempt{c, "enter the " + ns + " namespace of the first process", func(bait) error {
			return entered("/proc/1/ns/" + ns)
		}, false})
	}
	return append(list, attempt{c, "enter the own network anew", func(bait) error { return entered("/proc/self/ns/net") }, false})
}

func entered(path string) error {
	runtime.LockOSThread()
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return reached(unix.SYS_SETNS, uintptr(fd), 0)
}

// sysFDfork makes a system call that forks. The child ends at once.
func sysFDfork(nr uintptr, args ...uintptr) (uintptr, error) {
	var a [6]uintptr
	copy(a[:], args)
	return rawFork(nr, a)
}

//go:norace
func rawFork(nr uintptr, a [6]uintptr) (uintptr, error) {
	syscall.ForkLock.Lock()
	pid, _, errno := syscall.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno == 0 && pid == 0 {
		for {
			_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	syscall.ForkLock.Unlock()
	if errno != 0 {
		return 0, errno
	}
	return pid, nil
}

func waited(pid uintptr, err error) error {
	if err == nil {
		_, _ = unix.Wait4(int(pid), nil, 0, nil)
	}
	return err
}

// kernelAttempts ask the kernel for what concerns the machine, with arguments that do nothing
// where they are looked at.
func kernelAttempts() []attempt {
	const c = "kernel"
	call := func(name string, nr uintptr, args ...uintptr) attempt {
		return attempt{c, name, func(bait) error { return reached(nr, args...) }, false}
	}
	bad := ^uintptr(0)
	return []attempt{
		call("load a module", unix.SYS_INIT_MODULE, 0, 0, str("")),
		call("load a module from a file", unix.SYS_FINIT_MODULE, bad, str(""), 0),
		call("remove a module", unix.SYS_DELETE_MODULE, str("orpine_canary"), unix.O_NONBLOCK),
		call("load a kernel", unix.SYS_KEXEC_LOAD, 0, 0, 0, 0xffff),
		call("load a kernel from files", unix.SYS_KEXEC_FILE_LOAD, bad, bad, 0, 0, 0xffff),
		call("restart the machine", unix.SYS_REBOOT, 1, 2, 3),
		call("load a program into the kernel", unix.SYS_BPF, 5, ptr(new([128]byte)), 0),
		call("make a map in the kernel", unix.SYS_BPF, 0, ptr(&[18]uint32{1, 4, 4, 1}), 72),
		call("watch the processor", unix.SYS_PERF_EVENT_OPEN, ptr(&[32]uint32{1, 128}), 0, bad, bad, 0),
		call("read the log of the kernel", unix.SYS_SYSLOG, 3, ptr(new([64]byte)), 64),
		call("swap to a file", unix.SYS_SWAPON, str("/nowhere"), 0),
		call("account for processes", unix.SYS_ACCT, str("/nowhere")),
		call("set the time of the machine", unix.SYS_SETTIMEOFDAY, ptr(&[2]int64{-1, -1}), 0),
		call("set a clock", unix.SYS_CLOCK_SETTIME, 0, ptr(&[2]int64{-1, -1})),
		call("adjust a clock", unix.SYS_CLOCK_ADJTIME, 0, ptr(&[26]uint64{})),
		call("name the machine", unix.SYS_SETHOSTNAME, str(""), bad),
		call("name the domain", unix.SYS_SETDOMAINNAME, str(""), bad),
		call("watch all files", unix.SYS_FANOTIFY_INIT, 0, 0),
		call("change quotas", unix.SYS_QUOTACTL, 0x80000700, 0, 0, 0),
		call("hang up the terminal", unix.SYS_FANOTIFY_MARK, bad, 0, 0, 0, 0),
		call("reach the ports of the machine", unix.SYS_IOPL, 3),
		call("reach one port of the machine", unix.SYS_IOPERM, 0x80, 1, 1),
		call("change the table of segments", unix.SYS_MODIFY_LDT, 0, ptr(new([16]byte)), 16),
		call("handle page faults", unix.SYS_USERFAULTFD, 1),
		call("queue system calls", unix.SYS_IO_URING_SETUP, 1, ptr(new([120]byte))),
		call("register a queue of system calls", unix.SYS_IO_URING_REGISTER, bad, 0, 0, 0),
		call("hide memory from the kernel", unix.SYS_MEMFD_SECRET, 0),
		call("move pages", unix.SYS_MOVE_PAGES, 0, 0, 0, 0, 0, 0),
		call("set a policy of memory", unix.SYS_SET_MEMPOLICY, 0, 0, 0),
		call("read the keys of the session", unix.SYS_KEYCTL, 0, bad-2, 1), // KEYCTL_GET_KEYRING_ID of the session
		call("join a session of keys", unix.SYS_KEYCTL, 1, 0),
		call("add a key", unix.SYS_ADD_KEY, str("user"), str("orpine:canary"), str("x"), 1, bad-1),
		call("ask for a key", unix.SYS_REQUEST_KEY, str("user"), str("orpine:canary"), 0, 0),
		call("read the keys of the user", unix.SYS_KEYCTL, 0, bad-3, 1),
		call("read old cookies", unix.SYS_USTAT, 0, ptr(new([64]byte))),
		call("list file systems", unix.SYS_SYSFS, 3),
		{c, "call by the numbers of x32", func(bait) error { return sys(0x40000000 | unix.SYS_GETPID) }, false},
		{c, "call as a program for 32 bits", compat, false},
	}
}

// compat makes the system call getpid in the way of 32 bits, which a filter for 64 bits would
// take for writev.
func compat(bait) error {
	page, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return err
	}
	copy(page, []byte{0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3}) // mov eax, 20; int 0x80; ret
	code := unsafe.SliceData(page)
	fn := &code
	if pid := (*(*func() int32)(unsafe.Pointer(&fn)))(); int(pid) != os.Getpid() {
		return errors.New("no answer")
	}
	return nil
}
