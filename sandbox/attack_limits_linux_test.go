//go:build linux && amd64

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ipcAttempts go for what processes share without a file.
func ipcAttempts() []attempt {
	const c = "ipc"
	return []attempt{
		{c, "find a segment of the machine", func(b bait) error {
			_, err := unix.SysvShmGet(b.Shm, 4096, 0)
			return err
		}, false},
		{c, "list the segments of the machine", func(bait) error { return holds("/proc/sysvipc/shm", "\n") }, false},
		{c, "find shared memory of the machine", func(b bait) error { return read(b.ShmFile) }, false},
		{c, "make a queue of System V", func(bait) error { return sys(unix.SYS_MSGGET, 0, 0o600) }, false},
		{c, "make a large segment", func(bait) error {
			id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 64<<20, unix.IPC_CREAT|0o600)
			if err == nil {
				_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			}
			return err
		}, false},
		{c, "make a segment of more than 4 GB", func(bait) error {
			id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4<<30+1, unix.IPC_CREAT|0o600)
			if err == nil {
				_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
			}
			return err
		}, false},
		{c, "make a file without a name in memory", func(bait) error {
			_, err := unix.MemfdCreate("canary", 0)
			return err
		}, false},
		{c, "make large queues of POSIX", func(bait) error {
			attr := [8]int64{0, 10, 8192}
			for i := range 8 {
				name := fmt.Sprintf("orpine-canary-%d-%d", os.Getpid(), i)
				fd, err := sysFD(unix.SYS_MQ_OPEN, str(name), unix.O_CREAT|unix.O_RDWR, 0o600, ptr(&attr))
				if err != nil {
					return err
				}
				defer sys(unix.SYS_MQ_UNLINK, str(name)) //nolint:errcheck // it is gone with the jail
				defer func() { _ = unix.Close(int(fd)) }()
			}
			return nil
		}, false},
		{c, "wait for signals without end", func(bait) error {
			return sigqueued(4000)
		}, false},
	}
}

// sigqueued blocks a signal and queues it for itself.
func sigqueued(n int) error {
	runtime.LockOSThread()
	var set unix.Sigset_t
	set.Val[0] = 1 << (40 - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
		return err
	}
	info := [128]byte{8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff} // SI_QUEUE
	for range n {
		if err := sys(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(os.Getpid()), uintptr(unix.Gettid()), 40, ptr(&info)); err != nil {
			return err
		}
	}
	return nil
}

// What the jail of the limits is held to, see limits in escape_linux_test.go.
const (
	mostMemory    = 192 << 20
	mostProcesses = 48
	mostFiles     = 128
	mostFile      = 8 << 20
	mostDisk      = 24 << 20
	mostTemp      = 16 << 20
)

// limitAttempts want more than they were given. Without a jail they get it, and leave it
// again.
func limitAttempts() []attempt {
	const c = "limits"
	return []attempt{
		{c, "start too many processes", func(bait) error { return forked(mostProcesses + 16) }, true},
		{c, "start processes that start processes", func(bait) error {
			for range 3 {
				out, err := exec.Command("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25; do sleep 1 >/dev/null 2>&1 & done; echo all").CombinedOutput()
				if err != nil || !strings.Contains(string(out), "all") || bytes.Contains(out, []byte("fork")) {
					return fmt.Errorf("%w: %s", err, out)
				}
			}
			return nil
		}, true},
		{c, "leave too many dead processes", func(bait) error {
			for range mostProcesses + 16 {
				pid, err := sysFDfork(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) // what ends at once stays until it is waited for
				if err != nil {
					return err
				}
				_ = pid
			}
			return nil
		}, true},
		{c, "take too much memory", func(bait) error { return taken(unix.MAP_PRIVATE) }, true},
		{c, "take too much shared memory", func(bait) error { return taken(unix.MAP_SHARED) }, true},
		{c, "take too much memory in several processes", func(bait) error {
			var all []*exec.Cmd
			for range 4 {
				cmd := exec.Command("/bin/sh", "-c", "x=$(head -c 90000000 /dev/zero | tr '\\0' x); sleep 1; echo ${#x}")
				if err := cmd.Start(); err != nil {
					return err
				}
				all = append(all, cmd)
			}
			var err error
			for _, cmd := range all {
				err = errors.Join(err, cmd.Wait())
			}
			return err
		}, true},
		{c, "lock too much memory", func(bait) error {
			b, err := unix.Mmap(-1, 0, 16<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				return err
			}
			return unix.Mlock(b)
		}, true},
		{c, "fill memory through /tmp", func(bait) error {
			dir, err := os.MkdirTemp("/tmp", "canary-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(dir) }()
			return filled(dir, 8, mostTemp/4, 0)
		}, true},
		{c, "fill memory through /dev/shm", func(bait) error {
			dir, err := os.MkdirTemp("/dev/shm", "canary-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(dir) }()
			return filled(dir, 8, mostTemp/4, 0)
		}, true},
		{c, "fill /tmp with empty files", func(bait) error {
			dir, err := os.MkdirTemp("/tmp", "canary-")
			if err != nil {
				return err
			}
			defer func() { _ = os.RemoveAll(dir) }()
			return filled(dir, 4200, 0, 0)
		}, true},
		{c, "write a large file", func(b bait) error { return filled(b.Workspace, 1, mostFile+1, 0) }, true},
		{c, "reserve a large file", func(b bait) error {
			f, err := os.CreateTemp(b.Workspace, "large-")
			if err != nil {
				return err
			}
			defer func() { _ = os.Remove(f.Name()) }()
			return unix.Fallocate(int(f.Fd()), 0, 0, mostFile+1)
		}, true},
		{c, "fill the disk with files", func(b bait) error {
			dir := filepath.Join(b.Workspace, "many")
			_ = os.Mkdir(dir, 0o755)
			defer func() { _ = os.RemoveAll(dir) }()
			return filled(dir, 8, mostFile/2, 2*time.Second)
		}, true},
		{c, "open too many files", func(bait) error {
			for range mostFiles + 1 {
				if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
					return err
				}
			}
			return nil
		}, true},
		{c, "compute without end", func(bait) error {
			ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
			defer cancel()
			cmd := exec.CommandContext(ctx, "/bin/sh", "-c", "while :; do :; done")
			err := cmd.Run()
			if took := cmd.ProcessState.UserTime(); took < 1200*time.Millisecond {
				return fmt.Errorf("%w after %s", err, took)
			}
			return nil
		}, true},
		{c, "dump its memory", func(bait) error {
			var r unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_CORE, &r); err != nil {
				return err
			}
			if r.Max == 0 {
				return errors.New("no dumps")
			}
			return nil
		}, true},
	}
}

func forked(n int) error {
	for range n {
		cmd := exec.Command("/bin/sleep", "2")
		if err := cmd.Start(); err != nil {
			return err
		}
		defer cmd.Process.Kill() //nolint:errcheck // it ends by itself
	}
	return nil
}

// taken touches more memory than the jail may have, and holds it for a moment.
func taken(kind int) error {
	for range 6 {
		b, err := unix.Mmap(-1, 0, mostMemory/4, unix.PROT_READ|unix.PROT_WRITE, kind|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
	}
	time.Sleep(500 * time.Millisecond)
	return nil
}

// filled writes files and keeps them for a while.
func filled(dir string, files, size int, keep time.Duration) error {
	data := make([]byte, size)
	for i := range files {
		path := filepath.Join(dir, fmt.Sprintf("fill-%d", i))
		defer func() { _ = os.Remove(path) }()
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return err
		}
	}
	time.Sleep(keep)
	return nil
}
