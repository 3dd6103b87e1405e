//go:build linux && amd64

package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestTreeFollowsNoLink: what became a link after the spec was checked is not shared.
func TestTreeFollowsNoLink(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("as an ordinary user the jail opens its shares itself")
	}
	if _, err := newJail(Config{UID: 2_000_000_000}); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	target, swapped := filepath.Join(dir, "target"), filepath.Join(dir, "swapped")
	if err := os.MkdirAll(filepath.Join(target, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, swapped); err != nil {
		t.Fatal(err)
	}
	var m idmaps
	for _, path := range []string{swapped, filepath.Join(swapped, "sub")} {
		if f, err := m.tree(share{outside: path, inside: path, dir: true, writable: true}, 2_000_000_000); !errors.Is(err, ErrSpec) {
			t.Errorf("%s: %v, %v", path, f, err)
		}
	}
	f, err := m.tree(share{outside: target, inside: target, dir: true, writable: true}, 2_000_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
