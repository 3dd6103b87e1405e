//go:build linux && amd64

package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFindCgroups: the group above one's own, where it is left to this process.
func TestFindCgroups(t *testing.T) {
	for _, c := range []struct {
		name, cgroup, root, path, control string
		want                              string // beneath the mount
		says                              string
	}{
		{name: "a unit of systemd", cgroup: "0::/system.slice/orpine.service/main\n", root: "/", path: "system.slice/orpine.service", control: "cpu memory pids\n", want: "system.slice/orpine.service"},
		{name: "beside v1", cgroup: "9:name=systemd:/\n4:memory:/x\n0::/a/b\n", root: "/", path: "a", control: "memory pids", want: "a"},
		{name: "the root of all", cgroup: "0::/\n", root: "/", path: ".", control: "memory pids", want: "."},
		{name: "a container", cgroup: "0::/c/main\n", root: "/c", path: ".", control: "memory pids", want: "."},
		{name: "without memory", cgroup: "0::/a/b\n", root: "/", path: "a", control: "cpu pids", says: "memory and pids"},
		{name: "nothing is left", cgroup: "0::/a/b\n", root: "/", path: "a", control: "", says: "memory and pids"},
		{name: "elsewhere", cgroup: "0::/a\n", root: "/b", path: ".", control: "memory pids", says: "not mounted"},
		{name: "v1 alone", cgroup: "4:memory:/x\n", root: "/", path: ".", says: "no control groups v2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			proc, mount := t.TempDir(), t.TempDir()
			for path, text := range map[string]string{
				filepath.Join(proc, "cgroup"):                          c.cgroup,
				filepath.Join(proc, "mountinfo"):                       "22 27 0:21 / /proc rw - proc proc rw\n30 23 0:26 " + c.root + " " + mount + " rw shared:9 - cgroup2 cgroup2 rw\n",
				filepath.Join(mount, c.path, "cgroup.subtree_control"): c.control,
			} {
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got := findCgroups(proc)
			want := ""
			if c.want != "" {
				want = filepath.Join(mount, c.want)
			}
			if got.parent != want || !strings.Contains(got.why, c.says) || (c.says == "") != (got.why == "") {
				t.Errorf("got %+v, want %q, %q", got, want, c.says)
			}
		})
	}
}

// TestStartInCgroup: the kernel starts a jail in its group, and the group goes with it. The
// limits of a group need controllers, which this takes no part in.
func TestStartInCgroup(t *testing.T) {
	own, err := ownCgroup("/proc/self")
	if err != nil {
		t.Skip(err)
	}
	j, err := newJail(Config{UID: 2_000_000_000})
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(own, fmt.Sprintf("orpine-test-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skip(err)
	}
	g, err := openCgroup(dir)
	if err != nil {
		t.Fatal(err)
	}
	l := &launch{jail: j, group: g, spec: Spec{Command: []string{"cat"}, Limits: Limits{}.orDefaults()}}
	p, err := l.start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	inside, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if n := strings.Count(string(inside), "\n"); err != nil || n < 2 { // the first process and cat
		t.Errorf("%d processes are in the group: %v", n, err)
	}
	p.Kill()
	p.Wait()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the group is still there: %v", err)
	}
	for _, f := range l.ours[:3] {
		_ = f.Close()
	}
}
