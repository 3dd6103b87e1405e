package sqlite_test

import (
	"context"
	"errors"
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

// stranger, in the environment, makes this test binary a process of another user that
// reads the data directory it names.
const stranger = "ORPINE_TEST_STRANGER"

// TestStranger reads data directories of another user, who lets everybody read them. It
// needs the right to become one, else it is skipped.
func TestStranger(t *testing.T) {
	if dir := os.Getenv(stranger); dir != "" {
		asStranger(t.Context(), t, dir)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	db, log := left(t, 30, 3)
	closed := place(t, nil, nil)
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: closed})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(commit(s, aRun("run0", 3)), s.Close()); err != nil {
		t.Fatal(err)
	}
	owned := place(t, nil, nil)
	if err := commit(open(t, sqlite.Config{Dir: owned}), aRun("run0", 3)); err != nil {
		t.Fatal(err)
	}
	killed, indexed := place(t, db, log), place(t, db, log)
	if s, err = sqlite.Open(t.Context(), sqlite.Config{Dir: indexed, ReadOnly: true}); err != nil || s.Close() != nil {
		t.Fatal(err) // it leaves the index of the log
	}
	for name, c := range map[string]struct{ dir, want string }{
		"closed": {closed, "reads 1"}, "in use": {owned, "reads 1"}, "not closed well, with its index": {indexed, "reads 33"},
		"not closed well": {killed, "was not closed well and may not be written (permission denied)"},
	} {
		t.Run(name, func(t *testing.T) {
			public(t, c.dir)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestStranger$", "-test.v") //nolint:gosec // this binary
			cmd.Env = append(os.Environ(), stranger+"="+c.dir)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.want) {
				t.Errorf("want %q, error %v\n%s", c.want, err, out)
			}
		})
	}
	unchanged(t, killed, db, log)
	unchanged(t, indexed, db, log)
}

// public lets everybody read a directory and what is in it.
func public(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	errs := []error{err, os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755)} //nolint:gosec // that is the point
	for _, file := range files {
		errs = append(errs, os.Chmod(file, 0o644)) //nolint:gosec // so is this
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func asStranger(ctx context.Context, t *testing.T, dir string) {
	t.Helper()
	const nobody = 65534
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(nobody), syscall.Setuid(nobody)); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: dir, ReadOnly: true})
	if err != nil {
		if !errors.Is(err, durable.ErrUnavailable) {
			t.Errorf("its code is %s", durable.CodeOf(err))
		}
		t.Log(err)
		return
	}
	runs, err := s.List(ctx, durable.Filter{})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Error(err)
	}
	t.Logf("reads %d", len(runs))
}
