//go:build unix

package sandbox

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// startBare starts a process with nothing between it and the machine but its environment, its
// time and the end of its process group.
func startBare(ctx context.Context, s Spec) (*Process, error) {
	if len(s.Network.Allow) > 0 {
		return nil, &RefusedError{Missing: `tier "none" cannot hold a process to a list of addresses`, Mend: `use tier "jail", or allow the network of the host by name`}
	}
	env := s.environ()
	path, err := lookPath(s.Command[0], lookup(env, "PATH"))
	if err != nil {
		return nil, err
	}
	dir := s.Dir
	if dir == "" {
		dir = s.Workspace
	}
	if dir == "" {
		dir = os.TempDir()
	}
	files, cleanup, err := bareFiles(s.Files)
	if err != nil {
		return nil, err
	}
	theirs, ours, err := barePipes()
	if err != nil {
		cleanup()
		return nil, fmt.Errorf("open the pipes of a process: %w", err)
	}
	defer closeAll(theirs)
	proc, err := os.StartProcess(path, s.Command, &os.ProcAttr{
		Dir: dir, Env: append(env, files...), Files: theirs, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		cleanup()
		closeAll(ours)
		return nil, fmt.Errorf("start %s: %w", s.Command[0], err)
	}
	var mu sync.Mutex
	var gone bool // its process group may be somebody else's now
	p := &Process{Stdin: ours[0], Stdout: ours[1], Stderr: ours[2], ended: make(chan struct{})}
	p.kill = func() {
		mu.Lock()
		defer mu.Unlock()
		if !gone {
			_ = syscall.Kill(-proc.Pid, syscall.SIGKILL)
		}
	}
	go func() {
		state, err := proc.Wait()
		p.kill() // whoever it has started and left behind
		mu.Lock()
		gone = true
		mu.Unlock()
		cleanup()
		status := syscall.WaitStatus(syscall.SIGKILL)
		if err == nil {
			if s, ok := state.Sys().(syscall.WaitStatus); ok {
				status = s
			}
		}
		p.finish(status)
	}()
	go p.watch(ctx, s.Limits.Wall)
	return p, nil
}

// barePipes opens the three streams of a process, both ends.
func barePipes() (theirs, ours []*os.File, err error) {
	for i := range 3 {
		r, w, err := os.Pipe()
		if err != nil {
			closeAll(theirs)
			closeAll(ours)
			return nil, nil, err
		}
		if i == 0 { // stdin is read, the others are written
			r, w = w, r
		}
		theirs, ours = append(theirs, w), append(ours, r)
	}
	return theirs, ours, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// bareFiles writes the files into a directory of their own, and says where they are.
func bareFiles(files []File) (env []string, cleanup func(), err error) {
	if len(files) == 0 {
		return nil, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "orpine-files-")
	if err != nil {
		return nil, nil, fmt.Errorf("make a directory for files: %w", err)
	}
	cleanup = func() { _ = os.RemoveAll(dir) }
	for _, f := range files {
		path := filepath.Join(dir, f.Name)
		if err := os.WriteFile(path, f.Content, 0o400); err != nil {
			cleanup()
			return nil, nil, fmt.Errorf("write a file of the process: %w", err)
		}
		if f.Env != "" {
			env = append(env, f.Env+"="+path)
		}
	}
	return env, cleanup, nil
}

// limitOf is the limit that the kernel holds a process to with a signal.
func limitOf(s syscall.Signal) Limit {
	switch s {
	case syscall.SIGXCPU:
		return LimitCPU
	case syscall.SIGXFSZ:
		return LimitFileSize
	default:
		return ""
	}
}

// lookPath finds a command as execvp does, in the PATH that the command itself will have.
func lookPath(name, list string) (string, error) {
	looked := []string{name}
	if !strings.Contains(name, "/") {
		looked = filepath.SplitList(list)
	}
	err := error(syscall.ENOENT)
	for _, at := range looked {
		path := at
		if !strings.Contains(name, "/") {
			path = filepath.Join(at, name)
		}
		info, statErr := os.Stat(path)
		switch {
		case statErr != nil:
		case info.IsDir() || info.Mode()&0o111 == 0:
			err = syscall.EACCES
		default:
			return path, nil
		}
	}
	return "", &NotFoundError{Command: name, Looked: looked, Err: err}
}
