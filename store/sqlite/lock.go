package sqlite

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/orpine-run/orpine/durable"
)

// lockFile holds the owner's process ID and name. The lock itself is the
// kernel's (flock), so it is gone the moment the owner dies, however it dies.
const lockFile = "lock"

func (s *Store) takeLock(owner string) error {
	f, err := os.OpenFile(filepath.Join(s.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return unusable(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, readErr := io.ReadAll(io.LimitReader(f, 200))
		closeErr := f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return errors.Join(unusable(err), readErr, closeErr)
		}
		return durable.Errorf(durable.CodeConflict, "in use by another process (%s): stop it, or choose another directory with --data",
			strings.TrimSpace(string(holder)))
	}
	s.lock = f
	if err := f.Truncate(0); err != nil {
		return unusable(err)
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "pid %d, %s\n", os.Getpid(), owner), 0)
	return unusable(err)
}
