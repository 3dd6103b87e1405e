package sqlite_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/orpine-run/orpine/store/sqlite"
)

// locks counts the locks that this process has on a file.
func locks(t *testing.T, path string) (n int) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	all, err := os.ReadFile("/proc/locks")
	if !ok || err != nil {
		t.Skip("no /proc/locks")
	}
	for line := range strings.Lines(string(all)) {
		if f := strings.Fields(line); len(f) > 5 && f[4] == fmt.Sprint(os.Getpid()) && strings.HasSuffix(f[5], fmt.Sprintf(":%d", stat.Ino)) {
			n++
		}
	}
	return n
}

// TestLocksStay: who opens a directory once more in the same process, and closes it, does not
// take away the locks that the store has on its database.
func TestLocksStay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, sqlite.Config{Dir: dir})
	put(t, s, 0, 1)
	path := filepath.Join(dir, sqlite.File)
	before := locks(t, path)
	if before == 0 {
		t.Skip("this system does not list the locks")
	}
	for range 3 {
		r, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, ReadOnly: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if after := locks(t, path); after < before {
			t.Fatalf("%d locks are left of %d", after, before)
		}
	}
}
