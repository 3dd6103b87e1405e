//go:build linux && amd64

package sandbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orpine-run/orpine/sandbox"
)

// TestWorkspace: what a process writes there stays, and belongs to the owner of the workspace.
func TestWorkspace(t *testing.T) {
	s := box(t, sandbox.TierJail)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine"), []byte("mine\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := sandbox.Spec{Workspace: dir}
	exit, out, errs := sh(t, s, spec, "cat mine; echo theirs >theirs; mkdir -p a/b; stat -c %u . mine theirs | tr '\\n' ' '; echo more >>mine")
	if want := "mine\n1000 1000 1000 "; exit.Code != 0 || out != want {
		t.Errorf("got %+v %q %s", exit, out, errs)
	}
	for name, want := range map[string]string{"mine": "mine\nmore\n", "theirs": "theirs\n"} {
		path := filepath.Join(dir, name)
		data, err := os.ReadFile(path)
		if err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Getuid() {
			t.Errorf("%s belongs to %+v", name, info.Sys())
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, out, _ := sh(t, s, sandbox.Spec{Workspace: link}, "pwd; cat theirs"); out != link+"\ntheirs\n" {
		t.Errorf("a link to a workspace: %q", out)
	}
	if exit, out, errs := sh(t, s, sandbox.Spec{}, "pwd; echo x >f && cat f"); exit.Code != 0 || out != "/workspace\nx\n" {
		t.Errorf("no workspace: %+v %q %s", exit, out, errs)
	}
	if os.Getuid() == 0 {
		t.Run("ordinary", func(t *testing.T) {
			asOrdinary(t, "^(TestWorkspace|TestRun|TestStreams|TestEnd|TestFiles|TestMany|TestAllowList|TestOrphans|TestLimits|TestOutOfMemory)$")
		})
	}
}

// TestOutOfMemory: when the machine has no memory left the kernel ends a jail before anything
// else.
func TestOutOfMemory(t *testing.T) {
	if _, out, _ := sh(t, box(t, ""), sandbox.Spec{}, "cat /proc/self/oom_score_adj"); out != "900\n" {
		t.Errorf("got %q", out)
	}
}

// TestNothingLeftOpen: what this process was given and never closed stays outside.
func TestNothingLeftOpen(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	defer func() { _ = w.Close() }()
	for _, f := range []*os.File{r, w} {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0); errno != 0 {
			t.Fatal(errno)
		}
	}
	if _, out, _ := sh(t, box(t, ""), sandbox.Spec{}, "cd /proc/self/fd; echo *"); out != "0 1 2 3\n" { // 3 is the directory
		t.Errorf("open are %q", out)
	}
}

func TestReadOnly(t *testing.T) {
	s := box(t, sandbox.TierJail)
	dir, inner := t.TempDir(), t.TempDir()
	for path, text := range map[string]string{filepath.Join(dir, "f"): "file\n", filepath.Join(inner, "g"): "other\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_ = os.Chmod(filepath.Dir(dir), 0o755)
	_, out, _ := sh(t, s, sandbox.Spec{ReadOnly: []string{dir, filepath.Join(inner, "g")}}, fmt.Sprintf("cat %s/f %s/g; echo x >%s/f; echo x >%s/new; rm %s/f; ls %s", dir, inner, dir, dir, dir, inner))
	if out != "file\nother\ng\n" {
		t.Errorf("got %q", out)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(data) != "file\n" {
		t.Errorf("it was changed: %q, %v", data, err)
	}
}

func TestLimits(t *testing.T) {
	s := box(t, sandbox.TierJail)
	for _, c := range []struct {
		name   string
		limits sandbox.Limits
		script string
		want   sandbox.Limit
	}{
		{"memory", sandbox.Limits{Memory: 64 << 20, Temp: 1 << 30}, "for i in 1 2 3 4 5 6 7 8; do (x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 5) & done; wait", sandbox.LimitMemory},
		{"disk", sandbox.Limits{Disk: 4 << 20}, "for i in 1 2 3 4 5 6 7 8 9; do head -c 1000000 /dev/zero >f$i; done; sleep 5", sandbox.LimitDisk},
		{"CPU time", sandbox.Limits{CPU: time.Second}, "while :; do :; done", sandbox.LimitCPU},
		{"file size", sandbox.Limits{FileSize: 1 << 20}, "exec head -c 2000000 /dev/zero >big", sandbox.LimitFileSize},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.limits.Wall = 10 * time.Second
			exit, out, errs := sh(t, s, sandbox.Spec{Workspace: t.TempDir(), Limits: c.limits}, c.script)
			if exit.Limit != c.want || exit.Signal == 0 {
				t.Errorf("got %+v %s %s, want %s", exit, out, errs, c.want)
			}
		})
	}
}

// TestAllowList: a process reaches what is allowed through the proxy, by name and without
// resolving it, and nothing else.
func TestAllowList(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Host, r.URL, body)
	}))
	t.Cleanup(site.Close)
	var dialed []string
	box(t, sandbox.TierJail)
	s, err := sandbox.New(sandbox.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		dialed = append(dialed, address)
		if strings.HasPrefix(address, "refused.") {
			return nil, errors.New("not you")
		}
		return new(net.Dialer).DialContext(ctx, network, site.Listener.Addr().String())
	}})
	if err != nil {
		t.Fatal(err)
	}
	spec := sandbox.Spec{
		Command: []string{self(t)}, ReadOnly: []string{self(t)},
		Network: sandbox.Network{Allow: []string{"site.test:80", "*.wild.test:443", "refused.test:80", "any.test:*"}},
	}
	for _, c := range []struct{ request, want string }{
		{"GET http://site.test/a?b=c", "200 GET site.test /a?b=c "},
		{"POST http://SITE.test:80/", "200 POST SITE.test:80 / hello"},
		{"GET http://any.test:8080/", "200 GET any.test:8080 / "},
		{"GET http://other.test/", "403 other.test:80 is not among the addresses"},
		{"GET http://site.test:81/", "403 site.test:81 is not among"},
		{"GET http://sub.site.test/", "403 sub.site.test:80"},
		{"GET http://refused.test/", "502 not you"},
		{"CONNECT x.wild.test:443", "200 GET x.wild.test:443 / "},
		{"CONNECT wild.test:443", "403 "},
		{"CONNECT 127.0.0.1:22", "403 "},
		{"DIRECT " + site.Listener.Addr().String(), "connection refused"},
		{"DIRECT site.test:80", "lookup site.test"},
	} {
		var out, errs bytes.Buffer
		spec.Env = []string{"ORPINE_ATTACK=fetch", "REQUEST=" + c.request}
		exit, err := s.Run(t.Context(), spec, sandbox.Streams{Out: &out, Err: &errs})
		if err != nil || exit.Code != 0 || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: got %+v %v %q %s, want %q", c.request, exit, err, out.String(), errs.String(), c.want)
		}
	}
	if want := []string{"site.test:80", "SITE.test:80", "any.test:8080", "refused.test:80", "x.wild.test:443"}; !slices.Equal(dialed, want) {
		t.Errorf("dialed %v, want %v", dialed, want)
	}
}

// TestHostNetwork: by name, the network of the machine.
func TestHostNetwork(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") }))
	t.Cleanup(site.Close)
	var out bytes.Buffer
	exit, err := box(t, sandbox.TierJail).Run(t.Context(), sandbox.Spec{
		Command: []string{self(t)}, ReadOnly: []string{self(t)}, Network: sandbox.Network{Host: true},
		Env: []string{"ORPINE_ATTACK=fetch", "REQUEST=DIRECT " + site.Listener.Addr().String()},
	}, sandbox.Streams{Out: &out})
	if err != nil || exit.Code != 0 || !strings.Contains(out.String(), "here") {
		t.Errorf("got %+v %v %q", exit, err, out.String())
	}
}

// fetch is what a process of TestAllowList does.
func fetch() {
	method, target, _ := strings.Cut(os.Getenv("REQUEST"), " ")
	do := func(c *http.Client, req *http.Request) {
		res, err := c.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer func() { _ = res.Body.Close() }()
		body, _ := io.ReadAll(res.Body)
		fmt.Println(res.StatusCode, string(body))
	}
	switch method {
	case "DIRECT":
		req, err := http.NewRequest(http.MethodGet, "http://"+target, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		do(&http.Client{Transport: &http.Transport{}}, req)
	case "CONNECT":
		conn, err := net.Dial("tcp", strings.TrimPrefix(os.Getenv("HTTPS_PROXY"), "http://"))
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\nGET / HTTP/1.0\r\nHost: %s\r\n\r\n", target, target, target)
		all, err := io.ReadAll(conn)
		text := string(all)
		if rest, ok := strings.CutPrefix(text, "HTTP/1.1 200 Connection established\r\n\r\n"); ok {
			_, body, _ := strings.Cut(rest, "\r\n\r\n")
			text = "200 " + body
		}
		fmt.Println(strings.TrimPrefix(text, "HTTP/1.1 "), err)
	default:
		req, err := http.NewRequest(method, target, nil)
		if method == "POST" {
			req, err = http.NewRequest(method, target, strings.NewReader("hello"))
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		do(&http.Client{}, req) // which goes by the environment
	}
}

// TestOrphans: nothing in a jail outlives the process that started it, whatever kills that.
func TestOrphans(t *testing.T) {
	box(t, sandbox.TierJail)
	cmd := exec.Command(self(t))
	cmd.Env = []string{"ORPINE_ATTACK=parent", "TMPDIR=" + t.TempDir()}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		t.Fatal(err)
	}
	children, err := strconv.Atoi(strings.TrimSpace(string(line[:n])))
	if err != nil {
		t.Fatalf("%q: %v", line[:n], err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for end := time.Now().Add(5 * time.Second); syscall.Kill(children, 0) == nil; {
		if time.Now().After(end) {
			t.Fatalf("process %d lives on", children)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// parent starts a jail, tells of it and waits to be killed.
func parent() {
	s, err := sandbox.New(sandbox.Config{})
	if err == nil {
		_, err = s.Start(context.Background(), sandbox.Spec{Command: []string{"sleep", "1000"}})
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	tasks, _ := filepath.Glob("/proc/self/task/*/children")
	for _, task := range tasks {
		children, _ := os.ReadFile(task)
		if pid, _, _ := strings.Cut(string(children), " "); pid != "" {
			fmt.Println(pid)
		}
	}
	select {}
}

// TestRefused: where the kernel does not do its part there is no process, but an error that
// says what to do.
func TestRefused(t *testing.T) {
	box(t, sandbox.TierJail)
	for _, r := range sandbox.Probe() {
		if r.Err != nil {
			t.Errorf("%s is not on this machine: %v", r.Tier, r.Err)
		}
	}
	check := func(name, out string, want ...string) {
		t.Helper()
		for _, w := range append(want, "inproc: there", "wasm: there", "jail: ", "none: there") {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %q is not in %q", name, w, out)
			}
		}
	}
	var out bytes.Buffer
	_, err := box(t, sandbox.TierJail).Run(t.Context(), sandbox.Spec{
		Command: []string{self(t)}, ReadOnly: []string{self(t)}, Env: []string{"ORPINE_ATTACK=probe"},
	}, sandbox.Streams{Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	check("in another jail", out.String(), "jail: the jail is refused: ", "start this program outside")

	for _, c := range []struct {
		name, sysctl string
		want         string
	}{
		{"no user namespaces", "max_user_namespaces", "user.max_user_namespaces"},
		{"root of a container", "", "jail: there"},
		{"no networks", "max_net_namespaces", "user.max_net_namespaces"},
	} {
		cmd := exec.Command(self(t))
		cmd.Env = []string{"ORPINE_ATTACK=probe"}
		if c.sysctl != "" {
			cmd.Env = append(cmd.Env, "SYSCTL=/proc/sys/user/"+c.sysctl)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		check(c.name, string(out), c.want)
	}
}

// probe is what a process of TestRefused does: it says what its machine has, after it has
// taken something away from it.
func probe() {
	if path := os.Getenv("SYSCTL"); path != "" {
		if err := os.WriteFile(path, []byte("0"), 0); err != nil {
			fmt.Println(err)
		}
	}
	for _, r := range sandbox.Probe() {
		if r.Err != nil {
			fmt.Printf("%s: %v\n", r.Tier, r.Err)
		} else {
			fmt.Printf("%s: there\n", r.Tier)
		}
	}
}
