//go:build linux && amd64

package sandbox

import (
	"slices"

	"golang.org/x/sys/unix"
)

// filter is a list of what a process may not ask the kernel for. What no rule names is
// allowed. System calls of another architecture, and those of x32, end the process: no rule
// would know their numbers.
type filter []rule

// rule refuses a system call, with an errno, where all of its tests hold.
type rule struct {
	nr    uint32
	errno unix.Errno
	tests []test
}

// test looks at one argument. Its low half is what the kernel itself looks at where the
// argument is an int, whatever the high half holds.
type test struct {
	arg   uint32
	high  bool
	code  uint16 // BPF_JEQ, BPF_JGT or BPF_JSET
	value uint32
	not   bool
}

func bits(arg, mask uint32) test  { return test{arg: arg, code: unix.BPF_JSET, value: mask} }
func is(arg, value uint32) test   { return test{arg: arg, code: unix.BPF_JEQ, value: value} }
func not(value uint32) test       { return test{code: unix.BPF_JEQ, value: value, not: true} } // the first
func above(arg, most uint32) test { return test{arg: arg, code: unix.BPF_JGT, value: most} }
func large(arg uint32) test {
	return test{arg: arg, high: true, code: unix.BPF_JEQ, not: true} // 4 GB and more
}

func (f *filter) deny(errno unix.Errno, nrs ...uint32) {
	for _, nr := range nrs {
		*f = append(*f, rule{nr: nr, errno: errno})
	}
}

func (f *filter) denyIf(errno unix.Errno, nr uint32, tests ...test) {
	*f = append(*f, rule{nr: nr, errno: errno, tests: tests})
}

const (
	namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWCGROUP | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWUSER | unix.CLONE_NEWPID | unix.CLONE_NEWNET
	otherUser  = unix.S_ISUID | unix.S_ISGID
	created    = unix.O_CREAT | (unix.O_TMPFILE &^ unix.O_DIRECTORY)
	shmMost    = 64 << 10 // of one segment of System V; there may be 4096 of them
)

// denyList is the filter of every jail. Whatever takes a privilege is refused to a process
// without one anyway; what is refused here has let processes out of their bounds before, or
// would go round a limit.
func denyList() filter {
	var f filter
	// Mounts and roots. The calls with descriptors are as good as those with paths.
	f.deny(unix.EPERM, unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_MOVE_MOUNT, unix.SYS_OPEN_TREE, openTreeAttr,
		unix.SYS_FSOPEN, unix.SYS_FSCONFIG, unix.SYS_FSMOUNT, unix.SYS_FSPICK, unix.SYS_MOUNT_SETATTR, unix.SYS_STATMOUNT, unix.SYS_LISTMOUNT,
		unix.SYS_SWAPON, unix.SYS_SWAPOFF, unix.SYS_QUOTACTL, unix.SYS_QUOTACTL_FD)
	// Namespaces: in one of its own a process has every privilege again.
	f.deny(unix.EPERM, unix.SYS_SETNS)
	f.denyIf(unix.EPERM, unix.SYS_UNSHARE, bits(0, namespaces|unix.CLONE_NEWTIME))
	f.denyIf(unix.EPERM, unix.SYS_CLONE, bits(0, namespaces))
	f.deny(unix.ENOSYS, unix.SYS_CLONE3) // its flags are in memory; the C library goes on with clone
	// Other processes, and the memory of this one.
	f.deny(unix.EPERM, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV, unix.SYS_PROCESS_MADVISE, unix.SYS_PROCESS_MRELEASE,
		unix.SYS_KCMP, unix.SYS_PIDFD_GETFD, unix.SYS_USERFAULTFD, unix.SYS_MEMFD_SECRET,
		unix.SYS_MBIND, unix.SYS_SET_MEMPOLICY, unix.SYS_SET_MEMPOLICY_HOME_NODE, unix.SYS_MIGRATE_PAGES, unix.SYS_MOVE_PAGES, unix.SYS_REMAP_FILE_PAGES)
	// The kernel itself.
	f.deny(unix.EPERM, unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_KEXEC_LOAD, unix.SYS_KEXEC_FILE_LOAD, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE,
		unix.SYS_DELETE_MODULE, unix.SYS_REBOOT, unix.SYS_SYSLOG, unix.SYS_ACCT, unix.SYS_SETHOSTNAME, unix.SYS_SETDOMAINNAME, unix.SYS_VHANGUP,
		unix.SYS_SETTIMEOFDAY, unix.SYS_CLOCK_SETTIME, unix.SYS_CLOCK_ADJTIME, unix.SYS_ADJTIMEX, unix.SYS_LOOKUP_DCOOKIE, unix.SYS_NFSSERVCTL,
		unix.SYS_FANOTIFY_INIT, unix.SYS_FANOTIFY_MARK)
	f.denyIf(unix.EPERM, unix.SYS_PERSONALITY, not(0), not(0xffffffff))
	// Keys belong to a user, not to a namespace of processes.
	f.deny(unix.EPERM, unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY)
	// A queue of system calls that no filter sees.
	f.deny(unix.ENOSYS, unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER)
	// Files by number instead of by path.
	f.deny(unix.EPERM, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT)
	// To type on a terminal, and to change what one is.
	f.denyIf(unix.EPERM, unix.SYS_IOCTL, is(1, unix.TIOCSTI))
	f.denyIf(unix.EPERM, unix.SYS_IOCTL, is(1, tiocLinux))
	f.denyIf(unix.EPERM, unix.SYS_IOCTL, is(1, unix.TIOCSETD))
	// Sockets: what has no namespace, such as vsock, and what is large and seldom looked at.
	for _, nr := range []uint32{unix.SYS_SOCKET, unix.SYS_SOCKETPAIR} {
		f.denyIf(unix.EAFNOSUPPORT, nr, not(unix.AF_UNIX), not(unix.AF_INET), not(unix.AF_INET6))
		f.denyIf(unix.EPROTONOSUPPORT, nr, is(2, unix.IPPROTO_MPTCP))
	}
	// Memory that no limit of a process counts.
	f.deny(unix.ENOSYS, unix.SYS_MEMFD_CREATE, unix.SYS_MSGGET)
	f.denyIf(unix.EPERM, unix.SYS_SHMGET, above(1, shmMost))
	f.denyIf(unix.EPERM, unix.SYS_SHMGET, large(1))
	// A program that runs as the owner of the workspace would stay there, for somebody outside.
	f.denyIf(unix.EPERM, unix.SYS_FCHMOD, bits(1, otherUser))
	f.denyIf(unix.EPERM, unix.SYS_FCHMODAT, bits(2, otherUser))
	f.denyIf(unix.EPERM, unix.SYS_FCHMODAT2, bits(2, otherUser))
	f.denyIf(unix.EPERM, unix.SYS_MKNODAT, bits(2, otherUser))
	f.denyIf(unix.EPERM, unix.SYS_OPENAT, bits(2, created), bits(3, otherUser))
	f.deny(unix.ENOSYS, unix.SYS_OPENAT2) // its mode is in memory
	return append(f, archRules()...)
}

const (
	openTreeAttr = 467    // open_tree_attr, Linux 6.15
	tiocLinux    = 0x541c // TIOCLINUX, ioctl_console(2)
)

// The fields of struct seccomp_data (seccomp(2)).
const (
	dataNr   = 0
	dataArch = 4
	dataArgs = 16
)

// assemble makes the program for the kernel (classic BPF, seccomp(2)): first the architecture,
// then one block for each rule, which falls through to the next where it does not hold.
func (f filter) assemble() []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	ret := func(v uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: v} }
	out := []unix.SockFilter{
		load(dataArch),
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: auditArch},
		ret(unix.SECCOMP_RET_KILL_PROCESS),
		load(dataNr),
		{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jf: 1, K: x32},
		ret(unix.SECCOMP_RET_KILL_PROCESS),
	}
	for _, r := range f {
		block := []unix.SockFilter{load(dataNr), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: r.nr}}
		leave := []int{1} // the jumps that leave the block where they do not hold
		for _, t := range r.tests {
			at := dataArgs + 8*t.arg // the low half: both architectures are little-endian
			if t.high {
				at += 4
			}
			block = append(block, load(at), unix.SockFilter{Code: unix.BPF_JMP | t.code | unix.BPF_K, K: t.value})
			leave = append(leave, len(block)-1)
		}
		block = append(block, ret(unix.SECCOMP_RET_ERRNO|uint32(r.errno)))
		for i, at := range leave {
			away := uint8(len(block) - 1 - at)
			if i > 0 && r.tests[i-1].not {
				block[at].Jt = away
			} else {
				block[at].Jf = away
			}
		}
		out = slices.Concat(out, block)
	}
	return append(out, ret(unix.SECCOMP_RET_ALLOW))
}
