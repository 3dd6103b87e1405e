//go:build linux && amd64

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// idmaps are user namespaces that exchange the owner of a workspace for the user of a jail, so
// that the process can write there, and what it writes belongs to the owner on the disk. The
// zero value is empty.
type idmaps struct {
	mu   sync.Mutex
	maps map[[3]int]*os.File // by user and group on the disk, and the user of the jail
}

// tree opens a share as a mount of its own, with the attributes it has in a jail.
func (m *idmaps) tree(s share, uid int) (*os.File, error) {
	// Links were followed when the spec was checked: what has become one since is not what was meant.
	at, err := unix.Openat2(unix.AT_FDCWD, s.outside, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS})
	if err != nil {
		return nil, specf("share %s: %w", s.outside, err)
	}
	defer unix.Close(at) //nolint:errcheck // a path
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if !s.writable {
		flags |= unix.AT_RECURSIVE
	}
	fd, err := unix.OpenTree(at, "", flags)
	if err != nil {
		return nil, refusal("share "+s.outside, err)
	}
	f := os.NewFile(uintptr(fd), s.outside)
	attr := &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV}
	how := uint(unix.AT_EMPTY_PATH)
	if s.writable {
		ns, err := m.of(at, uid)
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		if ns != nil {
			attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
			attr.Userns_fd = uint64(ns.Fd())
		}
	} else {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
		how |= unix.AT_RECURSIVE
	}
	if err := unix.MountSetattr(fd, "", how, attr); err != nil {
		_ = f.Close()
		if s.writable {
			return nil, &RefusedError{
				Missing: "the file system of the workspace " + s.outside + " cannot show its files under another owner, and no process of a jail may be root",
				Mend:    "put the workspace on ext4, xfs, btrfs or tmpfs, or run this program as an ordinary user",
				Err:     err,
			}
		}
		return nil, refusal("protect "+s.outside, err)
	}
	return f, nil
}

// of returns the namespace for the owner of an open path, nil when that is the user of the jail.
func (m *idmaps) of(fd, uid int) (*os.File, error) {
	var owner unix.Stat_t
	if err := unix.Fstat(fd, &owner); err != nil {
		return nil, fmt.Errorf("workspace: %w", err)
	}
	if int(owner.Uid) == uid && int(owner.Gid) == uid {
		return nil, nil
	}
	key := [3]int{int(owner.Uid), int(owner.Gid), uid}
	m.mu.Lock()
	defer m.mu.Unlock()
	if ns := m.maps[key]; ns != nil {
		return ns, nil
	}
	ns, err := newUserNS(key)
	if err != nil {
		return nil, refusal("start a process in a user namespace", err)
	}
	if m.maps == nil {
		m.maps = map[[3]int]*os.File{}
	}
	m.maps[key] = ns
	return ns, nil
}

// newUserNS makes a namespace by means of a process that does nothing but wait in it.
func newUserNS(key [3]int) (ns *os.File, err error) {
	var p program
	p.must("wait", unix.SYS_READ, 0, p.words(0), 1)
	p.must("end", unix.SYS_EXIT_GROUP, 0)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	exe, err := p.file([]*os.File{r})
	if err != nil {
		_, _ = r.Close(), w.Close()
		return nil, err
	}
	defer func() { err = errors.Join(err, exe.Close(), r.Close()) }()
	holder, err := os.StartProcess(fmt.Sprintf("/proc/self/fd/%d", exe.Fd()), []string{"orpine-jail"}, &os.ProcAttr{
		Env:   []string{},
		Files: []*os.File{r},
		Sys: &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: key[0], HostID: key[2], Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: key[1], HostID: key[2], Size: 1}},
		},
	})
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Pid))
	_ = w.Close()
	_, waited := holder.Wait()
	return ns, errors.Join(err, waited)
}
