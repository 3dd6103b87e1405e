//go:build unix

package wasm_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/orpine-run/orpine/tool/wasm"
)

// No file outside of a mount can be read, whatever leads there, and none can be written.
func TestFiles(t *testing.T) {
	outside := t.TempDir()
	inside := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(outside, "secret")
	must(os.WriteFile(secret, []byte("CANARY"), 0o600))
	must(os.WriteFile(filepath.Join(inside, "ok"), []byte("fine"), 0o600))
	must(os.Mkdir(filepath.Join(inside, "sub"), 0o700))
	must(os.WriteFile(filepath.Join(inside, "sub", "deep"), []byte("deeper"), 0o600))
	must(os.Symlink("ok", filepath.Join(inside, "near")))
	must(os.Symlink(secret, filepath.Join(inside, "absolute")))
	up := strings.Repeat("../", 20)
	must(os.Symlink(up+secret[1:], filepath.Join(inside, "relative")))
	must(os.Symlink(outside, filepath.Join(inside, "dir")))
	must(os.Symlink("/", filepath.Join(inside, "root")))
	must(os.Symlink("/proc/self", filepath.Join(inside, "proc")))
	must(os.Symlink("relative", filepath.Join(inside, "sub", "twice")))
	must(os.Symlink("loop", filepath.Join(inside, "loop")))
	must(syscall.Mkfifo(filepath.Join(inside, "pipe"), 0o600))

	tries := []string{
		secret, "/etc/passwd", "/proc/self/environ", "/", ".", "..", "/data/..", "/data/../..", "/data/../etc/passwd", "/data/" + up + "etc/passwd",
		"data/../../etc/passwd", "/data/absolute", "/data/relative", "/data/dir", "/data/dir/secret", "/data/root", "/data/root/etc/passwd", "/data/root" + secret,
		"/data/proc/environ", "/data/proc/root" + secret, "/data/sub/twice", "/data/sub/../absolute", "/data/sub/../../etc/passwd", "/data//etc/passwd",
		"/data/./absolute", "/data/loop", "/data/pipe", "/dev/null", "/dev/zero", "/other", "/data/sub/../dir/secret", "/dataabsolute",
	}
	d := declared(t, append([]string{"read", "/data/ok", "/data/near", "/data/sub", "/data/sub/deep", "/data"}, tries...)...)
	d.Mounts = []wasm.Mount{{Dir: inside, At: "/data"}}
	got, err := call(t, d, ``)
	if err != nil || got.Error {
		t.Fatalf("%+v, %v", got, err)
	}
	var leaks, want []string
	for line := range strings.Lines(got.Content) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "LEAK") {
			leaks = append(leaks, line)
		}
		if name, list, _ := strings.Cut(strings.TrimPrefix(line, "LIST "), ":"); strings.HasPrefix(line, "LIST") && slices.Contains(tries, name) &&
			strings.Contains(list, "etc") || strings.Contains(line, "secret") || strings.Contains(line, "CANARY") {
			t.Errorf("it sees %s", line)
		}
	}
	want = []string{"LEAK /data/ok: fine", "LEAK /data/near: fine", "LEAK /data/sub/deep: deeper"} // what it may read
	if !slices.Equal(leaks, want) {
		t.Errorf("it reads %q, want %q", leaks, want)
	}
	if !strings.Contains(got.Content, "LIST /data/sub: deep twice") {
		t.Errorf("it cannot list: %s", got.Content)
	}

	d = declared(t, "write", "/data/ok", "/data/new", "/data/sub/deep", "/tmp/x", secret, "/data/absolute")
	d.Mounts = []wasm.Mount{{Dir: inside, At: "/data"}}
	if got, err = call(t, d, ``); err != nil || got.Error || got.Content != "" {
		t.Errorf("it changes something: %+v, %v", got, err)
	}
	if data, err := os.ReadFile(filepath.Join(inside, "ok")); string(data) != "fine" || err != nil {
		t.Errorf("ok holds %q, %v", data, err)
	}
	if entries, err := os.ReadDir(inside); len(entries) != 10 || err != nil {
		t.Errorf("the directory holds %v, %v", entries, err)
	}

	d = declared(t, "files", "/data/ok")
	d.Mounts = []wasm.Mount{{Dir: inside, At: "/data"}}
	got, err = call(t, d, ``)
	if err != nil || !got.Error || !strings.Contains(got.Content, "exit code 6") { // some are its own
		t.Errorf("open files: %+v, %v", got, err)
	}
	d = declared(t, "echo")
	d.Mounts = []wasm.Mount{{Dir: filepath.Join(inside, "nowhere"), At: "/data"}}
	if got, err = call(t, d, ``); err != nil || !got.Error || !strings.Contains(got.Content, "open the mount /data") {
		t.Errorf("a mount that is not there: %+v, %v", got, err)
	}
}
