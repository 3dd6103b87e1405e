package sqlite_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store/sqlite"
)

// TestRemovedDirectory: a data directory that is removed, moved or replaced while it is in
// use takes no more: what would be acknowledged would be lost.
func TestRemovedDirectory(t *testing.T) {
	for name, c := range map[string]struct {
		remove func(dir string) error
		back   func(dir string) error // nil = there is nothing to go back to
	}{
		"removed": {os.RemoveAll, nil},
		"moved":   {func(dir string) error { return os.Rename(dir, dir+".away") }, func(dir string) error { return os.Rename(dir+".away", dir) }},
		"replaced": {
			func(dir string) error {
				return errors.Join(os.Rename(dir, dir+".away"), os.Mkdir(dir, 0o750), os.WriteFile(filepath.Join(dir, sqlite.File), nil, 0o600))
			},
			func(dir string) error { return errors.Join(os.RemoveAll(dir), os.Rename(dir+".away", dir)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if err := commit(s, aRun("run0", 3)); err != nil {
				t.Fatal(err)
			}
			if err := c.remove(dir); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if err := commit(s, aRun("next", 50)); !errors.Is(err, durable.ErrUnavailable) || !strings.Contains(err.Error(), "was removed or replaced while it was in use") {
					t.Errorf("got %v", err)
				}
			}
			_ = s.Close() // there is nothing to close well
			if c.back == nil {
				return
			}
			if err := errors.Join(c.back(dir), complete(t.Context(), dir, 1)); err != nil {
				t.Error(err)
			}
		})
	}
}

// badDisk, in the environment, makes this test binary the process with a disk of that
// kind, which it mounts for itself alone.
const badDisk = "ORPINE_TEST_DISK"

// TestBadDisk opens data directories on a disk that cannot be written and on one that is
// full. It needs the right to mount, else it is skipped.
func TestBadDisk(t *testing.T) {
	if kind := os.Getenv(badDisk); kind != "" {
		onBadDisk(t.Context(), t, kind, os.Getenv(badDisk+"_AT"))
		return
	}
	for _, kind := range []string{"sealed", "full", "filling"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(commit(s, aRun("run0", 3)), s.Close()); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestBadDisk$", "-test.v") //nolint:gosec // this binary
			cmd.Env = append(os.Environ(), badDisk+"="+kind, badDisk+"_AT="+dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			out, err := cmd.CombinedOutput()
			switch {
			case errors.Is(err, syscall.EPERM) || strings.Contains(string(out), "cannot mount"):
				t.Skipf("nothing can be mounted here: %v %s", err, out)
			case err != nil:
				t.Errorf("%v\n%s", err, out)
			}
			if err := complete(t.Context(), dir, 1); err != nil {
				t.Error(err)
			}
		})
	}
}

func onBadDisk(ctx context.Context, t *testing.T, kind, dir string) {
	t.Helper()
	mount := func(from, kind string, flags uintptr, data string) {
		if err := syscall.Mount(from, dir, kind, flags, data); err != nil {
			fmt.Fprintln(os.Stdout, "cannot mount:", err)
			os.Exit(1)
		}
	}
	says := func(err error, want string) {
		t.Helper()
		if !errors.Is(err, durable.ErrUnavailable) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if kind == "sealed" {
		mount(dir, "", syscall.MS_BIND, "")
		mount("", "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, "")
		_, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
		says(err, "read-only file system: give a directory you may write to with --data")
		s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir, ReadOnly: true})
		if err == nil { // it can be read all the same
			entries, errRead := s.Entries(ctx, "run0", -1, 10)
			if err = errors.Join(errRead, s.Close()); len(entries) != 3 {
				t.Errorf("%d entries, error %v", len(entries), err)
			}
		}
		if err != nil {
			t.Error(err)
		}
		return
	}
	mount("none", "tmpfs", 0, "size=512k")
	filler := filepath.Join(dir, "filler")
	if kind == "full" {
		_ = os.WriteFile(filler, make([]byte, 1<<20), 0o600) // as much as there is room for
		_, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
		says(err, "the disk is full")
		return
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; err == nil && n < 1000; n++ {
		err = commit(s, aRun(durable.RunID(fmt.Sprintf("run%d", n)), 3))
	}
	says(err, "the disk is full")
	says(commit(s, aRun("next", 50)), "the disk is full")
	_ = s.Close()                                // the log cannot be moved
	mount("", "", syscall.MS_REMOUNT, "size=4m") // somebody makes room
	if err := complete(ctx, dir, n-1); err != nil {
		t.Error(err)
	}
}
