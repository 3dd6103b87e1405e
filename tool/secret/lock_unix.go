//go:build unix

package secret

import (
	"os"
	"syscall"

	"github.com/orpine-run/orpine/durable"
)

// lockFile waits until this process alone has the lock, which the kernel takes back from a
// process that dies.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "lock the store of secrets: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		_ = f.Close()
		return nil, durable.Errorf(durable.CodeUnavailable, "lock the store of secrets: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

func syncDir(dir *os.File) error { return dir.Sync() }
