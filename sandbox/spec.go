package sandbox

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// reserved are the places of a jail that are its own: nothing of the machine may take them.
var reserved = [...]string{"/", "/proc", "/sys", "/dev", "/etc", "/run", "/tmp", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/boot", "/var", "/root", "/home"}

// closed are those of which nothing beneath may be shared either.
var closed = [...]string{"/proc/", "/sys/", "/dev/", "/run/orpine/"}

// check refuses a spec that cannot be meant, and makes its paths real ones.
func (s *Spec) check() error {
	if len(s.Command) == 0 || s.Command[0] == "" {
		return specf("there is no command to execute")
	}
	for _, v := range slices.Concat(s.Command, s.Env, []string{s.Dir, s.Workspace}, s.ReadOnly) {
		if strings.ContainsRune(v, 0) {
			return specf("%q has a zero byte, which no argument, variable or path can have", v)
		}
	}
	for _, e := range s.Env {
		if name, _, ok := strings.Cut(e, "="); !ok || name == "" {
			return specf("%q is no variable: write NAME=value", e)
		}
	}
	for _, f := range s.Files {
		if f.Name == "" || f.Name != filepath.Base(f.Name) || f.Name == "." || f.Name == ".." || strings.ContainsRune(f.Name+f.Env, 0) {
			return specf("%q is no name of a file", f.Name)
		}
	}
	if s.Network.Host && len(s.Network.Allow) > 0 {
		return specf("the network of the host has no bounds, so a list of what is allowed would say nothing; give one or the other")
	}
	for _, a := range s.Network.Allow {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			return specf("%q is no address to allow: write host:port, such as api.example.com:443", a)
		}
	}
	if l := s.Limits; l.Wall < 0 || l.CPU < 0 || l.Memory < 0 || l.Processes < 0 || l.OpenFiles < 0 || l.FileSize < 0 || l.Disk < 0 || l.Temp < 0 || l.Output < 0 {
		return specf("a limit is below zero: %+v", l)
	}
	return s.checkPaths()
}

// checkPaths follows the links of what is shared with the process, here and once, so that
// nothing can be put in their place later.
func (s *Spec) checkPaths() error {
	s.shared = nil
	if s.Workspace != "" {
		w, err := place(s.Workspace)
		if err != nil {
			return specf("workspace: %w", err)
		}
		if !w.dir {
			return specf("workspace %s is no directory", s.Workspace)
		}
		w.writable = true
		s.Workspace = w.inside
		s.shared = append(s.shared, w)
	}
	for _, path := range s.ReadOnly {
		r, err := place(path)
		if err != nil {
			return specf("read only: %w", err)
		}
		s.shared = append(s.shared, r)
	}
	if s.Dir != "" && !filepath.IsAbs(s.Dir) {
		return specf("working directory %s: write a whole path", s.Dir)
	}
	return nil
}

// hide notes which of these directories lie in what is shared. Error: ErrSpec where something in one
// of them is.
func (s *Spec) hide(dirs []string) error {
	s.hidden = nil
	for _, dir := range dirs {
		target, err := filepath.EvalSymlinks(dir)
		if err == nil {
			target, err = filepath.Abs(target)
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return specf("keep %s from processes: %w", dir, err)
		}
		for _, shared := range s.shared {
			if below, err := filepath.Rel(target, shared.outside); err == nil && filepath.IsLocal(below) {
				return specf("%s cannot be shared with a jail: %s is kept from processes", shared.inside, dir)
			}
			if below, err := filepath.Rel(shared.outside, target); err == nil && filepath.IsLocal(below) {
				s.hidden = append(s.hidden, filepath.Join(shared.inside, below))
			}
		}
	}
	return nil
}

// share is a file or directory of the machine that a process can see.
type share struct {
	outside  string // without links
	inside   string // the same, as it was named
	dir      bool
	writable bool
}

func place(path string) (share, error) {
	if !filepath.IsAbs(path) {
		return share{}, specf("%s: write a whole path", path)
	}
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return share{}, err
	}
	info, err := os.Stat(target)
	if err != nil {
		return share{}, err
	}
	for _, p := range []string{target, filepath.Clean(path)} {
		if slices.Contains(reserved[:], p) || slices.ContainsFunc(closed[:], func(dir string) bool { return strings.HasPrefix(p, dir) }) {
			return share{}, specf("%s cannot be shared with a jail; name a directory beneath it, or elsewhere", p)
		}
	}
	return share{outside: target, inside: filepath.Clean(path), dir: info.IsDir()}, nil
}
