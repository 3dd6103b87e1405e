//go:build linux && amd64

package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// bait is what an attempt goes for: things outside of the jail which it is told where to find.
type bait struct {
	Outside   string // a directory everybody may write to
	Public    string // a file everybody may read, in there
	Secret    string // a file only its owner may read, in there
	Workspace string
	Victim    int    // a process of the same user, with a secret in its environment
	Addr      uint64 // of a word in the memory of the victim
	TCP       string // listeners on the loopback of the machine
	TCP6      string
	UDP       string
	Abstract  string
	Socket    string // a socket in Outside
	FD        int    // that was left open without close-on-exec
	Shm       int    // the key of a segment of System V
	ShmFile   string // a file in /dev/shm
}

// baits lays everything out, and counts who comes through a socket. Everything is gone when
// the test ends.
func baits(t *testing.T, workspace string) (b bait, bitten *atomic.Int32) {
	t.Helper()
	bitten = new(atomic.Int32)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir() // beside the workspace
	check(os.Chmod(dir, 0o777))
	b = bait{Outside: dir, Public: filepath.Join(dir, "public"), Secret: filepath.Join(dir, "secret"), Socket: filepath.Join(dir, "socket"), Workspace: workspace}
	check(os.WriteFile(b.Public, []byte("public canary\n"), 0o644))
	check(os.WriteFile(b.Secret, []byte("secret canary\n"), 0o600))
	// Links that stand in the workspace before the command starts.
	check(os.Symlink(b.Public, filepath.Join(workspace, "planted")))
	check(os.Symlink(dir, filepath.Join(workspace, "planteddir")))

	accept := func(network, addr string) string {
		l, err := new(net.ListenConfig).Listen(t.Context(), network, addr)
		if err != nil {
			return ""
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				bitten.Add(1)
				_ = c.Close()
			}
		}()
		return l.Addr().String()
	}
	b.TCP = accept("tcp", "127.0.0.1:0")
	b.TCP6 = accept("tcp", "[::1]:0")
	b.Abstract = accept("unix", fmt.Sprintf("@orpine-canary-%d", os.Getpid()))
	accept("unix", b.Socket)
	check(os.Chmod(b.Socket, 0o777))
	u, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	check(err)
	t.Cleanup(func() { _ = u.Close() })
	b.UDP = u.LocalAddr().String()
	go func() {
		buf := make([]byte, 16)
		for {
			if _, from, err := u.ReadFrom(buf); err != nil {
				return
			} else if _, err := u.WriteTo([]byte("canary"), from); err == nil {
				bitten.Add(1)
			}
		}
	}()

	// A descriptor that this process, like any other, may have been given and never closed.
	fd, err := unix.Open(b.Secret, unix.O_RDONLY, 0)
	check(err)
	b.FD, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 150)
	check(err)
	_ = unix.Close(fd)
	t.Cleanup(func() { _ = unix.Close(b.FD) })

	b.Shm = 0x0e5c0000 + os.Getpid()&0xffff
	if id, err := unix.SysvShmGet(b.Shm, 4096, unix.IPC_CREAT|0o666); err == nil {
		t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	}
	b.ShmFile = fmt.Sprintf("/dev/shm/orpine-canary-%d", os.Getpid())
	if os.WriteFile(b.ShmFile, []byte("canary"), 0o666) == nil {
		t.Cleanup(func() { _ = os.Remove(b.ShmFile) })
	}

	victim := exec.Command(self(t)) // it ends with its standard input
	victim.Env = []string{"ORPINE_ATTACK=victim", "CANARY=in the environment"}
	out, err := victim.StdoutPipe()
	check(err)
	in, err := victim.StdinPipe()
	check(err)
	check(victim.Start())
	t.Cleanup(func() {
		_ = in.Close()
		if err := victim.Wait(); err != nil {
			t.Errorf("the victim: %v", err)
		}
	})
	check(json.NewDecoder(out).Decode(&b.Addr))
	b.Victim = victim.Process.Pid
	return b, bitten
}

// self is this test binary.
func self(t *testing.T) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}
