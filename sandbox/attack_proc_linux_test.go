//go:build linux && amd64

package sandbox_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processAttempts go for other processes, of the same user and of none.
func processAttempts() []attempt {
	const c = "processes"
	of := func(b bait, name string) string { return fmt.Sprintf("/proc/%d/%s", b.Victim, name) }
	vic := func(b bait) uintptr { return uintptr(b.Victim) }
	list := []attempt{
		{c, "see a process", func(b bait) error { return unix.Kill(b.Victim, 0) }, false},
		{c, "signal a process", func(b bait) error { return unix.Kill(b.Victim, unix.SIGUSR1) }, false},
		{c, "signal a thread", func(b bait) error { return sys(unix.SYS_TKILL, vic(b), uintptr(unix.SIGUSR1)) }, false},
		{c, "signal a process with a value", func(b bait) error {
			info := [128]byte{}
			*(*int32)(unsafe.Pointer(&info[8])) = -1 // SI_QUEUE
			return sys(unix.SYS_RT_SIGQUEUEINFO, vic(b), uintptr(unix.SIGUSR1), ptr(&info))
		}, false},
		{c, "open a process", func(b bait) error {
			_, err := unix.PidfdOpen(b.Victim, 0)
			return err
		}, false},
		{c, "take a descriptor of a process", func(b bait) error {
			fd, err := unix.PidfdOpen(b.Victim, 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 0, 0)
			return err
		}, false},
		{c, "take an own descriptor anew", func(bait) error {
			fd, err := unix.PidfdOpen(os.Getpid(), 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 1, 0)
			return err
		}, false},
		{c, "trace a process", func(b bait) error {
			runtime.LockOSThread()
			if err := unix.PtraceAttach(b.Victim); err != nil {
				return err
			}
			_, _ = unix.Wait4(b.Victim, nil, unix.WALL, nil)
			return unix.PtraceDetach(b.Victim)
		}, false},
		{c, "seize a process", func(b bait) error {
			runtime.LockOSThread()
			return unix.PtraceSeize(b.Victim)
		}, false},
		{c, "trace a child", func(bait) error {
			runtime.LockOSThread()
			cmd := exec.Command("/bin/true")
			cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
			err := cmd.Start()
			if err == nil {
				_ = cmd.Process.Kill()
			}
			return err
		}, false},
		{c, "read the memory of a process", func(b bait) error {
			got := new(uint64)
			_, err := unix.ProcessVMReadv(b.Victim, []unix.Iovec{{Base: (*byte)(unsafe.Pointer(got)), Len: 8}}, []unix.RemoteIovec{{Base: uintptr(b.Addr), Len: 8}}, 0)
			return err
		}, false},
		{c, "write the memory of a process", func(b bait) error {
			value := uint64(0x63616e617279) // what is there already
			_, err := unix.ProcessVMWritev(b.Victim, []unix.Iovec{{Base: (*byte)(unsafe.Pointer(&value)), Len: 8}}, []unix.RemoteIovec{{Base: uintptr(b.Addr), Len: 8}}, 0)
			return err
		}, false},
		{c, "read the memory of a process as a file", func(b bait) error {
			f, err := os.Open(of(b, "mem"))
			if err != nil {
				return err
			}
			_, err = f.ReadAt(make([]byte, 8), int64(b.Addr))
			return err
		}, false},
		{c, "read the memory of the first process", func(bait) error { return own1("mem") }, false},
		{c, "compare with a process", func(b bait) error { return sys(unix.SYS_KCMP, uintptr(os.Getpid()), vic(b), 2, 0, 0) }, false},
		{c, "advise a process about its memory", func(b bait) error {
			fd, err := unix.PidfdOpen(b.Victim, 0)
			if err != nil {
				fd, err = unix.PidfdOpen(os.Getpid(), 0)
			}
			if err != nil {
				return err
			}
			return reached(unix.SYS_PROCESS_MADVISE, uintptr(fd), 0, 0, 0xff, 0)
		}, false},
		{c, "change the limits of a process", func(b bait) error {
			return unix.Prlimit(b.Victim, unix.RLIMIT_CORE, nil, &unix.Rlimit{})
		}, false},
		{c, "change the priority of a process", func(b bait) error { return unix.Setpriority(unix.PRIO_PROCESS, b.Victim, 1) }, false},
		{c, "read the priority of a process", func(b bait) error {
			_, err := unix.Getpriority(unix.PRIO_PROCESS, b.Victim)
			return err
		}, false},
		{c, "move a process to a processor", func(b bait) error {
			var set unix.CPUSet
			if err := unix.SchedGetaffinity(b.Victim, &set); err != nil {
				return err
			}
			return unix.SchedSetaffinity(b.Victim, &set)
		}, false},
		{c, "move the memory of a process", func(b bait) error { return reached(unix.SYS_MIGRATE_PAGES, vic(b), 0, 0, 0) }, false},
		{c, "read the robust list of a process", func(b bait) error {
			return sys(unix.SYS_GET_ROBUST_LIST, vic(b), ptr(new(uintptr)), ptr(new(uintptr)))
		}, false},
		{c, "read the session of a process", func(b bait) error {
			_, err := unix.Getsid(b.Victim)
			return err
		}, false},
		{c, "count the processes of the machine", func(b bait) error {
			entries, err := os.ReadDir("/proc")
			if err != nil {
				return err
			}
			for _, e := range entries {
				cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
				if strings.Contains(string(cmdline), "CANARY=in the environment") {
					return nil
				}
			}
			return errNothing
		}, false},
		{c, "guess the number of a process", func(bait) error {
			for pid := 1; pid < 40000; pid++ {
				data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
				if err == nil && strings.Contains(string(data), "CANARY=in the environment") {
					return nil
				}
			}
			return errNothing
		}, false},
		{c, "find the parent", func(bait) error {
			for pid := os.Getppid(); pid > 1; {
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
				if err != nil {
					return err
				}
				if strings.Contains(string(status), "(orpine-jail)") {
					return errNothing
				}
				fields := strings.Fields(string(status[strings.LastIndexByte(string(status), ')'):]))
				up, err := strconv.Atoi(fields[2])
				if err != nil || up == 0 {
					return errNothing
				}
				if environ, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", up)); strings.Contains(string(environ), "PATH=") && !strings.Contains(string(environ), "ORPINE_ATTACK") {
					return nil
				}
				pid = up
			}
			return errNothing
		}, false},
	}
	for _, name := range []string{"environ", "cmdline", "maps", "exe", "cwd", "root/etc/shadow", "fd/0", "status", "stack", "syscall", "auxv", "io", "mountinfo", "ns/net", "timens_offsets"} {
		list = append(list, attempt{c, "read " + name + " of a process", func(b bait) error {
			if name == "exe" || name == "cwd" || strings.HasPrefix(name, "ns/") || strings.HasPrefix(name, "fd/") {
				_, err := os.Readlink(of(b, name))
				return err
			}
			return read(of(b, name))
		}, false})
	}
	for _, name := range []string{"environ", "maps", "exe", "fd", "cwd", "auxv"} {
		list = append(list, attempt{c, "read " + name + " of the first process", func(bait) error { return own1(name) }, false})
	}
	return list
}

// own1 looks into the first process: that of the jail, or of the machine.
func own1(name string) error {
	path := "/proc/1/" + name
	switch name {
	case "exe", "cwd":
		_, err := os.Readlink(path)
		return err
	case "fd":
		return listed(path)
	case "mem":
		return open(path, unix.O_RDWR)
	}
	return read(path)
}

// privilegeAttempts want to be more than they are.
func privilegeAttempts() []attempt {
	const c = "privileges"
	thread := func(try func() error) func(bait) error {
		return func(bait) error {
			runtime.LockOSThread()
			return try()
		}
	}
	status := func(field string) string {
		data, _ := os.ReadFile("/proc/self/status")
		for line := range strings.Lines(string(data)) {
			if v, ok := strings.CutPrefix(line, field+":"); ok {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	none := func(field, want string) func(bait) error {
		return func(bait) error {
			if got := status(field); got == want {
				return fmt.Errorf("%s is %s", field, got)
			}
			return nil
		}
	}
	const nothing = "0000000000000000"
	return []attempt{
		{c, "have capabilities", none("CapEff", nothing), false},
		{c, "have permitted capabilities", none("CapPrm", nothing), false},
		{c, "have bounding capabilities", none("CapBnd", nothing), false},
		{c, "gain privileges by execution", none("NoNewPrivs", "1"), false},
		{c, "make any system call", none("Seccomp", "2"), false},
		{c, "be root", func(bait) error {
			if os.Getuid() != 0 && os.Geteuid() != 0 {
				return fmt.Errorf("user %d", os.Getuid())
			}
			return nil
		}, false},
		{c, "be in groups of the machine", func(bait) error {
			groups, err := os.Getgroups()
			for _, g := range groups {
				if g != 1000 && g != 65534 {
					return err
				}
			}
			return errors.Join(errNothing, err)
		}, false},
		{c, "become root", thread(func() error { return sys(unix.SYS_SETUID, 0) }), false},
		{c, "become root by setresuid", thread(func() error { return sys(unix.SYS_SETRESUID, 0, 0, 0) }), false},
		{c, "become another user", thread(func() error { return sys(unix.SYS_SETUID, 33) }), false},
		{c, "become the group of root", thread(func() error { return sys(unix.SYS_SETGID, 0) }), false},
		{c, "join groups", thread(func() error { return sys(unix.SYS_SETGROUPS, 1, ptr(new(uint32))) }), false},
		{c, "touch files as root", thread(func() error {
			_ = sys(unix.SYS_SETFSUID, 0)
			was, _ := sysFD(unix.SYS_SETFSUID, ^uintptr(0))
			if was != 0 {
				return fmt.Errorf("user %d", was)
			}
			return nil
		}), false},
		{c, "take a capability", thread(func() error {
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			d := [2]unix.CapUserData{{Effective: 1 << unix.CAP_SYS_ADMIN, Permitted: 1 << unix.CAP_SYS_ADMIN}}
			return unix.Capset(&h, &d[0])
		}), false},
		{c, "keep an inheritable capability", thread(func() error {
			h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			d := [2]unix.CapUserData{{Inheritable: 1 << unix.CAP_SYS_ADMIN}}
			return unix.Capset(&h, &d[0])
		}), false},
		{c, "raise an ambient capability", thread(func() error {
			return unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_NET_RAW, 0, 0)
		}), false},
		{c, "unlock the securebits", thread(func() error { return unix.Prctl(unix.PR_SET_SECUREBITS, 0, 0, 0, 0) }), false},
		{c, "take back no_new_privs", func(bait) error {
			_ = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)
			if v, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); v == 1 {
				return errors.New("it stays")
			}
			return nil
		}, false},
		{c, "execute a program of root", suid, false},
		{c, "raise the limit of processes", func(bait) error { return raised(unix.RLIMIT_NPROC, 1<<20) }, false},
		{c, "raise the limit of open files", func(bait) error { return raised(unix.RLIMIT_NOFILE, 1<<18) }, false},
		{c, "raise the limit of the size of files", func(bait) error { return raised(unix.RLIMIT_FSIZE, 1<<50) }, false},
		{c, "raise the limit of memory", func(bait) error { return raised(unix.RLIMIT_DATA, 1<<50) }, false},
		{c, "raise the limit of locked memory", func(bait) error { return raised(unix.RLIMIT_MEMLOCK, 1<<30) }, false},
		{c, "be served first", thread(func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -20) }), false},
		{c, "be served in real time", thread(func() error { return sys(unix.SYS_SCHED_SETSCHEDULER, 0, 1, ptr(&[1]uint32{10})) }), false},
		{c, "be served by the disk in real time", thread(func() error { return sys(unix.SYS_IOPRIO_SET, 1, 0, 1<<13) }), false},
		{c, "be the last to run out of memory", func(bait) error { return os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0) }, false},
		{c, "be a process for 32 bits", func(bait) error { return sys(unix.SYS_PERSONALITY, 0x0008) }, false},
		{c, "have executable data", func(bait) error { return sys(unix.SYS_PERSONALITY, 0x0400000) }, false},
		{c, "map a user", func(bait) error { return os.WriteFile("/proc/self/uid_map", []byte("0 0 1\n"), 0) }, false},
		{c, "allow groups", func(bait) error { return os.WriteFile("/proc/self/setgroups", []byte("allow"), 0) }, false},
		{c, "run without the filter", func(bait) error {
			return unix.Prctl(unix.PR_SET_SECCOMP, 0, 0, 0, 0)
		}, false},
	}
}

func raised(what int, to uint64) error {
	return unix.Setrlimit(what, &unix.Rlimit{Cur: to, Max: to})
}

// suid looks for a program that runs as root, and for a mount that would let it.
func suid(bait) error {
	for _, path := range []string{"/usr/bin/su", "/usr/bin/passwd", "/usr/bin/mount", "/usr/bin/newgrp"} {
		var st unix.Stat_t
		var fs unix.Statfs_t
		if unix.Stat(path, &st) != nil || st.Mode&unix.S_ISUID == 0 || unix.Statfs(path, &fs) != nil {
			continue
		}
		if v, _ := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); fs.Flags&unix.ST_NOSUID == 0 && v == 0 {
			return nil
		}
	}
	return errNothing
}
