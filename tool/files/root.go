package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// root is a folder that was opened.
type root struct {
	*os.Root
	path   string   // without links
	hidden []string // directories of which nothing is seen, without links
}

func openRoot(path string, hidden []string) (*root, error) {
	opened, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	r := &root{Root: opened}
	if r.path, err = filepath.EvalSymlinks(path); err == nil {
		r.path, err = filepath.Abs(r.path)
	}
	for _, dir := range hidden {
		if err == nil {
			dir, err = unlinked(dir)
			r.hidden = append(r.hidden, dir)
		}
	}
	return r, err
}

// unlinked is a path without links, as far as it is there.
func unlinked(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	beyond := ""
	for {
		found, err := filepath.EvalSymlinks(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) || filepath.Dir(path) == path {
			return filepath.Join(found, beyond), err
		}
		path, beyond = filepath.Dir(path), filepath.Join(filepath.Base(path), beyond)
	}
}

// seen refuses a name that leads to what is hidden, as if there were nothing.
func (r *root) seen(name string) error {
	if len(r.hidden) == 0 {
		return nil
	}
	path, err := unlinked(filepath.Join(r.path, filepath.FromSlash(name)))
	if err == nil && !r.hides(path) {
		return nil
	}
	return notThere(name)
}

func (r *root) hides(path string) bool {
	for _, dir := range r.hidden {
		if below, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(below) {
			return true
		}
	}
	return false
}

func notThere(name string) error { return fmt.Errorf("there is no %s", name) }

// opened is where a file is that is open; "" where the system does not tell.
func opened(f *os.File) string {
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(int(f.Fd())))
	if err != nil {
		return ""
	}
	return path
}
