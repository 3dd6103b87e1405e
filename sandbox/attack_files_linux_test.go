//go:build linux && amd64

package sandbox_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fileAttempts read what is not for them.
func fileAttempts() []attempt {
	const c = "files"
	list := []attempt{
		{c, "read a file outside", func(b bait) error { return read(b.Public) }, false},
		{c, "read a private file outside", func(b bait) error { return read(b.Secret) }, false},
		{c, "read the users of the machine", func(bait) error { return holds("/etc/passwd", "root:") }, false},
		{c, "follow a planted link", func(b bait) error { return read(filepath.Join(b.Workspace, "planted")) }, false},
		{c, "follow a planted link to a directory", func(b bait) error { return read(filepath.Join(b.Workspace, "planteddir/public")) }, false},
		{c, "follow an own link", func(b bait) error {
			link := filepath.Join(b.Workspace, "own")
			_ = os.Symlink(b.Public, link)
			defer func() { _ = os.Remove(link) }()
			return read(link)
		}, false},
		{c, "go up from the workspace", func(b bait) error {
			return read(filepath.Join(b.Workspace, "..", filepath.Base(b.Outside), "public"))
		}, false},
		{c, "go up by hand", func(b bait) error {
			_ = os.Chdir(b.Workspace)
			_ = os.Chdir("..")
			return read(filepath.Base(b.Outside) + "/public")
		}, false},
		{c, "go up too far", func(b bait) error { return read("/" + strings.Repeat("../", 40) + b.Public) }, false},
		{c, "swap a link while it is opened", swapped, false},
		{c, "link a file into the workspace", func(b bait) error {
			to := filepath.Join(b.Workspace, "hard")
			defer func() { _ = os.Remove(to) }()
			return errors.Join(os.Link(b.Public, to), read(to))
		}, false},
		{c, "link an open file into the workspace", func(b bait) error {
			to := filepath.Join(b.Workspace, "hardfd")
			defer func() { _ = os.Remove(to) }()
			if err := unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", b.FD), unix.AT_FDCWD, to, unix.AT_SYMLINK_FOLLOW); err != nil {
				return err
			}
			return read(to)
		}, false},
		{c, "move a file into the workspace", func(b bait) error {
			from, to := filepath.Join(b.Outside, "moved"), filepath.Join(b.Workspace, "moved")
			if err := os.WriteFile(from, []byte("x"), 0o600); err != nil {
				return err
			}
			defer func() { _ = os.Remove(to) }()
			return os.Rename(from, to)
		}, false},
		{c, "read a descriptor that was left open", func(b bait) error {
			return sys(unix.SYS_PREAD64, uintptr(b.FD), ptr(new([8]byte)), 8, 0)
		}, false},
		{c, "find any descriptor that was left open", func(bait) error {
			for fd := uintptr(3); fd < 1024; fd++ {
				var st unix.Stat_t
				if unix.Fstat(int(fd), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && sys(unix.SYS_PREAD64, fd, ptr(new([8]byte)), 8, 0) == nil {
					return nil
				}
			}
			return errNothing
		}, false},
		{c, "leave a root through a directory", func(b bait) error {
			dir := filepath.Join(b.Workspace, "root")
			_ = os.Mkdir(dir, 0o755)
			if err := unix.Chroot(dir); err != nil {
				return err
			}
			for range 40 {
				_ = os.Chdir("..")
			}
			return errors.Join(unix.Chroot("."), read(b.Public))
		}, false},
		{c, "open a file by its number", byHandle, false},
		{c, "ask for the number of a file", func(bait) error {
			_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/usr", 0)
			return err
		}, false},
		{c, "open beneath with openat2", func(b bait) error {
			fd, err := unix.Openat2(unix.AT_FDCWD, b.Public, &unix.OpenHow{Flags: unix.O_RDONLY})
			if err == nil {
				_ = unix.Close(fd)
			}
			return err
		}, false},
		{c, "read the old root", func(bait) error { return listed("/old") }, false},
		{c, "read the root through its own process", func(b bait) error { return read("/proc/self/root" + b.Public) }, false},
		{c, "read the root through the first process", func(b bait) error { return read("/proc/1/root" + b.Public) }, false},
		{c, "read the root through the parent", func(b bait) error { return read(fmt.Sprintf("/proc/%d/root%s", os.Getppid(), b.Public)) }, false},
		{c, "read the root through a thread", func(b bait) error { return read("/proc/thread-self/root" + b.Public) }, false},
		{c, "read through the working directory", func(b bait) error { return read("/proc/self/cwd/../" + filepath.Base(b.Outside) + "/public") }, false},
		{c, "read a file that only root may read", func(bait) error { return read("/usr/../etc/shadow") }, false},
	}
	for _, path := range []string{"/etc/shadow", "/etc/gshadow", "/etc/fstab", "/etc/machine-id", "/etc/hostname", "/etc/crontab", "/etc/sudoers", "/etc/pam.d/login"} {
		list = append(list, attempt{c, "read " + path, func(bait) error { return read(path) }, false})
	}
	for _, path := range []string{"/root", "/home", "/var/log", "/var/lib", "/boot", "/sys/class", "/sys/fs/cgroup", "/run", "/mnt", "/etc/ssh", "/etc/ssl/private"} {
		list = append(list, attempt{c, "list " + path, func(bait) error { return listed(path) }, false})
	}
	return list
}

func listed(path string) error { return list(path) }

func holds(path, text string) error {
	data, err := os.ReadFile(path)
	if err == nil && !bytes.Contains(data, []byte(text)) {
		return errNothing
	}
	return err
}

// swapped opens a file while it is exchanged for a link to one outside, over and over.
func swapped(b bait) error {
	plain, link, at := filepath.Join(b.Workspace, "plain"), filepath.Join(b.Workspace, "swap"), filepath.Join(b.Workspace, "at")
	_ = os.WriteFile(plain, []byte("mine"), 0o600)
	_ = os.WriteFile(at, []byte("mine"), 0o600)
	_ = os.Symlink(b.Public, link)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, link, unix.AT_FDCWD, at, unix.RENAME_EXCHANGE)
			}
		}
	}()
	for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
		if data, err := os.ReadFile(at); err == nil && bytes.Contains(data, []byte("canary")) {
			return nil
		}
	}
	return errNothing
}

func byHandle(b bait) error {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, b.Public, 0)
	if err != nil { // without its help: inode 2 is the root of ext4
		h = unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
	}
	dir, err := unix.Open(b.Workspace, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	fd, err := unix.OpenByHandleAt(dir, h, unix.O_RDONLY)
	if err != nil {
		return err
	}
	_, err = io.ReadAll(os.NewFile(uintptr(fd), "handle"))
	return err
}

// writeAttempts change what is not theirs.
func writeAttempts() []attempt {
	const c = "writes"
	list := []attempt{
		{c, "write outside of the workspace", func(b bait) error { return os.WriteFile(filepath.Join(b.Outside, "new"), nil, 0o600) }, false},
		{c, "write through a planted link", func(b bait) error {
			return os.WriteFile(filepath.Join(b.Workspace, "planteddir/new2"), nil, 0o600)
		}, false},
		{c, "change a file outside", func(b bait) error { return open(b.Public, unix.O_WRONLY) }, false},
		{c, "change the mode of a file outside", func(b bait) error { return os.Chmod(b.Public, 0o644) }, false},
		{c, "change the times of a program", func(bait) error {
			info, err := os.Stat("/usr/bin/env")
			if err != nil {
				return err
			}
			return os.Chtimes("/usr/bin/env", time.Time{}, info.ModTime())
		}, false},
		{c, "set the user of a program by fchmod", func(b bait) error {
			return withFile(b, func(f *os.File) error { return sys(unix.SYS_FCHMOD, f.Fd(), 0o4755) })
		}, false},
		{c, "set the user of a program by chmod", func(b bait) error {
			return withFile(b, func(f *os.File) error { return sys(unix.SYS_CHMOD, str(f.Name()), 0o4755) })
		}, false},
		{c, "set the group of a program by fchmodat", func(b bait) error {
			return withFile(b, func(f *os.File) error { return sys(unix.SYS_FCHMODAT, ^uintptr(99), str(f.Name()), 0o2755) })
		}, false},
		{c, "set the user of a program by fchmodat2", func(b bait) error {
			return withFile(b, func(f *os.File) error { return sys(unix.SYS_FCHMODAT2, ^uintptr(99), str(f.Name()), 0o4755, 0) })
		}, false},
		{c, "create a program with a user by open", func(b bait) error { return created(b, unix.SYS_OPEN, 0) }, false},
		{c, "create a program with a user by openat", func(b bait) error { return created(b, unix.SYS_OPENAT, 1) }, false},
		{c, "create a program with a user by creat", func(b bait) error {
			return sys(unix.SYS_CREAT, str(filepath.Join(b.Workspace, "creat")), 0o4755)
		}, false},
		{c, "create a program with a user by openat2", func(b bait) error {
			_, err := unix.Openat2(unix.AT_FDCWD, filepath.Join(b.Workspace, "openat2"), &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: 0o4755})
			return err
		}, false},
		{c, "create a program with a user by mknod", func(b bait) error {
			return sys(unix.SYS_MKNOD, str(filepath.Join(b.Workspace, "mknod")), unix.S_IFREG|0o4755, 0)
		}, false},
		{c, "give a file to root", func(b bait) error {
			return withFile(b, func(f *os.File) error { return f.Chown(0, 0) })
		}, false},
		{c, "give a program capabilities", func(b bait) error {
			return withFile(b, func(f *os.File) error {
				caps := []byte{1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}
				return unix.Fsetxattr(int(f.Fd()), "security.capability", caps, 0)
			})
		}, false},
		{c, "write into a trusted attribute", func(b bait) error {
			return withFile(b, func(f *os.File) error { return unix.Fsetxattr(int(f.Fd()), "trusted.orpine", []byte("x"), 0) })
		}, false},
		{c, "make a file that nobody can change", func(b bait) error {
			return withFile(b, func(f *os.File) error {
				if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0x10); err != nil {
					return err
				}
				return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, 0)
			})
		}, false},
	}
	for _, dir := range []string{"/", "/usr", "/usr/bin", "/usr/local", "/etc", "/lib", "/bin", "/dev", "/etc/ssl/certs", "/run/orpine"} {
		list = append(list, attempt{c, "create a file in " + dir, func(b bait) error {
			path := filepath.Join(dir, "orpine-canary-"+filepath.Base(b.Outside))
			f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
			if err == nil {
				_ = f.Close()
				_ = os.Remove(path)
			}
			return err
		}, false})
	}
	for _, path := range []string{
		"/usr/bin/env", "/etc/passwd", "/etc/ld.so.cache", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname",
		"/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/power/state", "/proc/1/oom_score_adj",
	} {
		list = append(list, attempt{c, "open for writing " + path, func(bait) error { return open(path, unix.O_WRONLY) }, false})
	}
	return list
}

func withFile(b bait, do func(f *os.File) error) error {
	f, err := os.CreateTemp(b.Workspace, "own-")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	defer func() { _ = f.Close() }()
	return do(f)
}

// created makes a file with the bit that changes the user, by open or by openat.
func created(b bait, nr uintptr, shift int) error {
	path := filepath.Join(b.Workspace, fmt.Sprintf("created%d", shift))
	args := make([]uintptr, shift, 4)
	if shift > 0 {
		args[0] = ^uintptr(99)
	}
	defer func() { _ = os.Remove(path) }()
	return sys(nr, append(args, str(path), unix.O_CREAT|unix.O_WRONLY, 0o4755)...)
}

// deviceAttempts open what is not a file.
func deviceAttempts() []attempt {
	const c = "devices"
	var list []attempt
	for _, path := range []string{
		"/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/fuse", "/dev/net/tun", "/dev/loop-control", "/dev/ptmx", "/dev/tty1", "/dev/vsock",
		"/dev/userfaultfd", "/dev/port", "/dev/hwrng", "/dev/cpu/0/cpuid", "/dev/btrfs-control", "/dev/autofs", "/proc/kcore", "/proc/kmsg", "/proc/kallsyms",
		"/proc/keys", "/proc/timer_list", "/proc/config.gz", "/proc/sys/kernel/random/boot_id",
	} {
		list = append(list, attempt{c, "open " + path, func(bait) error { return open(path, unix.O_RDONLY) }, false})
	}
	return append(list,
		attempt{c, "open a disk", func(bait) error {
			err := errNothing
			for _, disk := range []string{"/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/xvda", "/dev/loop0"} {
				if openErr := open(disk, unix.O_RDONLY); openErr == nil {
					return nil
				} else if !errors.Is(openErr, unix.ENOENT) {
					err = openErr
				}
			}
			return err
		}, false},
		attempt{c, "make a disk", func(b bait) error {
			path := filepath.Join(b.Workspace, "disk")
			defer func() { _ = os.Remove(path) }()
			return unix.Mknod(path, unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0)))
		}, false},
		attempt{c, "make the memory of the machine", func(b bait) error {
			path := filepath.Join(b.Workspace, "mem")
			defer func() { _ = os.Remove(path) }()
			return unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1)))
		}, false},
		attempt{c, "type on a terminal", func(bait) error { return typed(unix.TIOCSTI) }, false},
		attempt{c, "type on a terminal with a high half", func(bait) error { return typed(1<<32 | unix.TIOCSTI) }, false},
		attempt{c, "paste on a console", func(bait) error { return reachedTTY(0x541c) }, false},
		attempt{c, "change the line of a terminal", func(bait) error { return reachedTTY(unix.TIOCSETD) }, false},
		attempt{c, "take the terminal of the session", func(bait) error { return open("/dev/tty", unix.O_RDWR) }, false},
		attempt{c, "open a pseudo terminal of another", func(bait) error { return open("/dev/pts/0", unix.O_RDWR) }, false},
	)
}

// typed puts a character into the input of a terminal, which is made for that.
func typed(request uintptr) error {
	tty, err := terminal()
	if err != nil {
		return errors.Join(err, sys(unix.SYS_IOCTL, 0, request, ptr(new([8]byte))))
	}
	return sys(unix.SYS_IOCTL, tty, request, ptr(&[8]byte{'x'}))
}

func reachedTTY(request uintptr) error {
	tty, err := terminal()
	if err != nil {
		return errors.Join(err, sys(unix.SYS_IOCTL, 0, request, ptr(new([8]byte))))
	}
	return reached(unix.SYS_IOCTL, tty, request, ptr(new([8]byte)))
}

func terminal() (uintptr, error) {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return 0, err
	}
	n, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return 0, err
	}
	_, _ = unix.Setsid()
	slave, err := unix.Open(fmt.Sprintf("/dev/pts/%d", n), unix.O_RDWR, 0)
	return uintptr(slave), err
}

func holdsFold(path, text string) error {
	data, err := os.ReadFile(path)
	if err == nil && !bytes.Contains(bytes.ToLower(data), []byte(strings.ToLower(text))) {
		return errNothing
	}
	return err
}
