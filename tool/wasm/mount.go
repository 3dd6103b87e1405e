package wasm

import (
	"errors"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/tetratelabs/wazero"

	"github.com/orpine-run/orpine/durable"
)

// maxFiles is how many files a call may have open at once.
const maxFiles = 64

// mount opens the directories of a call. They are read through os.Root, which the kernel
// holds to the directory.
func mount(mounts []Mount) (wazero.FSConfig, func(), error) {
	config := wazero.NewFSConfig()
	var roots []*os.Root
	closeAll := func() {
		for _, r := range roots {
			_ = r.Close() // nothing was written
		}
	}
	left := &atomic.Int64{}
	left.Store(maxFiles)
	for _, m := range mounts {
		root, err := os.OpenRoot(m.Dir)
		if err != nil {
			closeAll()
			code := durable.CodeUnavailable
			if errors.Is(err, fs.ErrNotExist) {
				code = durable.CodeNotFound
			}
			return nil, nil, durable.Errorf(code, "open the mount %s: %w", m.At, err)
		}
		roots = append(roots, root)
		config = config.WithFSMount(rootFS{root, left}, m.At)
	}
	return config, closeAll, nil
}

// rootFS is the FS of a root, with a bound of open files and without what is no file, such
// as a pipe on which opening or reading would wait.
type rootFS struct {
	root *os.Root
	left *atomic.Int64
}

// Open implements fs.FS.
func (r rootFS) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if r.left.Add(-1) < 0 {
		r.left.Add(1)
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	f, err := r.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		r.left.Add(1)
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		_ = f.Close() // it was only looked at
		r.left.Add(1)
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return &file{File: f, left: r.left}, nil
}

type file struct {
	*os.File
	left   *atomic.Int64
	closed atomic.Bool
}

// Close implements fs.File.
func (f *file) Close() error {
	if !f.closed.Swap(true) {
		f.left.Add(1)
	}
	return f.File.Close()
}
