package files_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/files"
)

// desk is a folder with a secret beside it.
type desk struct {
	t     *testing.T
	dir   string
	tools *tool.Registry
}

func newDesk(t *testing.T, write bool) *desk {
	t.Helper()
	top := t.TempDir()
	d := &desk{t: t, dir: filepath.Join(top, "folder")}
	d.must(os.MkdirAll(filepath.Join(d.dir, "src", "deep"), 0o755))
	d.must(os.WriteFile(filepath.Join(top, "secret.txt"), []byte("canary"), 0o644))
	for name, text := range map[string]string{"a.txt": "one\ntwo\nthree\n", "src/main.go": "package main\n\nfunc main() {}\n", "src/deep/x.go": "package deep\n", "pic.bin": "\x00\x01\xff"} {
		d.must(os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o644))
	}
	maker := files.Maker()
	var tools []tool.Tool
	for _, declared := range files.Declare("files", d.dir, write) {
		one, err := maker(declared)
		d.must(err)
		tools = append(tools, one)
	}
	var err error
	d.tools, err = tool.NewRegistry(tools...)
	d.must(err)
	return d
}

func (d *desk) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// call calls one of the tools; what it says, and whether it refused.
func (d *desk) call(name, args string) (string, bool) {
	d.t.Helper()
	got, err := d.tools.Dispatch(d.t.Context(), tool.Call{Name: "files/" + name, Args: json.RawMessage(args)})
	d.must(err)
	return got.Content, got.Error
}

func TestTools(t *testing.T) {
	d := newDesk(t, true)
	for _, c := range []struct {
		name, args, want string
		refused          bool
	}{
		{"read", `{"path":"a.txt"}`, "one\ntwo\nthree\n", false},
		{"read", `{"path":"a.txt","from":2,"lines":1}`, "two\n", false},
		{"read", `{"path":"a.txt","from":9}`, "has 4 lines", true},
		{"read", `{"path":"src"}`, "src is a folder", true},
		{"read", `{"path":"no.txt"}`, "there is no no.txt", true},
		{"read", `{"path":"pic.bin"}`, "pic.bin is no text", true},
		{"list", `{}`, "a.txt 14\npic.bin 3\nsrc/\n", false},
		{"list", `{"path":"src","depth":2}`, "src/deep/\nsrc/deep/x.go 13\nsrc/main.go 29\n", false},
		{"list", `{"path":"nowhere"}`, "there is no nowhere", true},
		{"search", `{"text":"package"}`, "src/deep/x.go:1: package deep\nsrc/main.go:1: package main\n", false},
		{"search", `{"text":"^t.*e","regexp":true,"files":"*.txt"}`, "Nothing was found.", false},
		{"search", `{"text":"(?m)^t.*e","regexp":true,"files":"*.txt"}`, "a.txt:3: three\n", false},
		{"search", `{"text":"two","path":"a.txt"}`, "a.txt:2: two\n", false},
		{"search", `{"text":"(","regexp":true}`, "missing closing )", true},
		{"write", `{"path":"new/b.txt","content":"hello"}`, "wrote 5 bytes to new/b.txt", false},
		{"read", `{"path":"new/b.txt"}`, "hello", false},
		{"write", `{"path":"src","content":""}`, "src is a folder", true},
		{"edit", `{"path":"a.txt","old":"two","new":"2"}`, "changed a.txt", false},
		{"edit", `{"path":"a.txt","old":"two","new":"2"}`, "says so already", false},
		{"edit", `{"path":"a.txt","old":"e","new":"E"}`, "stands in a.txt 3 times", true},
		{"edit", `{"path":"a.txt","old":"four","new":"4"}`, "does not stand in a.txt", true},
		{"edit", `{"path":"a.txt","old":"","new":"4"}`, "old is empty", true},
		{"read", `{"path":"a.txt"}`, "one\n2\nthree\n", false},
	} {
		got, refused := d.call(c.name, c.args)
		if refused != c.refused || got != c.want && (!c.refused && !strings.Contains(got, c.want) || c.refused && !strings.Contains(got, c.want)) {
			t.Errorf("%s %s: %q (refused: %t), want %q", c.name, c.args, got, refused, c.want)
		}
	}
	if left, err := filepath.Glob(filepath.Join(d.dir, "*.orpine-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestOnlyTheFolder: nothing outside is read or written, whichever way a path goes.
func TestOnlyTheFolder(t *testing.T) {
	d := newDesk(t, true)
	d.must(os.Symlink("../secret.txt", filepath.Join(d.dir, "link")))
	d.must(os.Symlink("..", filepath.Join(d.dir, "up")))
	d.must(os.Symlink(filepath.Dir(d.dir), filepath.Join(d.dir, "abs")))
	d.must(os.Symlink("src/main.go", filepath.Join(d.dir, "inside")))
	outside := filepath.Join(filepath.Dir(d.dir), "secret.txt")
	for _, path := range []string{
		"../secret.txt", "src/../../secret.txt", outside, "link", "up/secret.txt", "abs/secret.txt", "./up/../../secret.txt", "//" + outside, "src/deep/../../../secret.txt", "up/folder/../secret.txt",
	} {
		for _, c := range []string{"read", "search", "write", "edit"} {
			args, err := json.Marshal(map[string]string{"path": path, "text": "canary", "content": "gone", "old": "canary", "new": "gone"})
			d.must(err)
			var only map[string]string
			d.must(json.Unmarshal(args, &only))
			keep := map[string][]string{"read": {"path"}, "search": {"path", "text"}, "write": {"path", "content"}, "edit": {"path", "old", "new"}}[c]
			few := map[string]string{}
			for _, k := range keep {
				few[k] = only[k]
			}
			args, err = json.Marshal(few)
			d.must(err)
			got, refused := d.call(c, string(args))
			if !refused || strings.Contains(got, "canary") && c == "read" {
				t.Errorf("%s of %s: %q", c, path, got)
			}
		}
	}
	if text, err := os.ReadFile(outside); err != nil || string(text) != "canary" {
		t.Errorf("the file outside holds %q, %v", text, err)
	}
	if got, refused := d.call("read", `{"path":"inside"}`); refused || !strings.HasPrefix(got, "package main") {
		t.Errorf("a link that stays inside: %q", got)
	}
	if got, _ := d.call("search", `{"text":"canary"}`); got != "Nothing was found." {
		t.Errorf("a search goes through links: %q", got)
	}
}

// TestNoFile: what is no file is not waited for.
// TestHidden: what is hidden is not there, whichever way leads to it.
func TestHidden(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, ".data", "deep"), 0o755))
	must(os.WriteFile(filepath.Join(dir, ".data", "deep", "key"), []byte("canary"), 0o644))
	must(os.Symlink(".data", filepath.Join(dir, "link")))
	must(os.Symlink(".data/deep/key", filepath.Join(dir, "file")))
	var tools []tool.Tool
	maker := files.Maker(filepath.Join(dir, "link"), filepath.Join(dir, "not there"))
	for _, declared := range files.Declare("files", dir, true) {
		one, err := maker(declared)
		must(err)
		tools = append(tools, one)
	}
	r, err := tool.NewRegistry(tools...)
	must(err)
	for _, c := range []struct{ name, args string }{
		{"read", `{"path":".data/deep/key"}`},
		{"read", `{"path":"link/deep/key"}`},
		{"read", `{"path":"file"}`},
		{"list", `{"path":".data"}`},
		{"list", `{"path":"link/deep"}`},
		{"list", `{"depth":9}`},
		{"search", `{"text":"canary"}`},
		{"search", `{"text":"canary","path":".data"}`},
		{"search", `{"text":"canary","path":"file"}`},
		{"write", `{"path":".data/deep/key","content":"x"}`},
		{"write", `{"path":"link/new/file","content":"x"}`},
		{"write", `{"path":"not there/file","content":"x"}`},
		{"edit", `{"path":"file","old":"canary","new":"x"}`},
	} {
		got, err := r.Dispatch(t.Context(), tool.Call{Name: "files/" + c.name, Args: json.RawMessage(c.args)})
		must(err)
		quiet := c.name == "list" && c.args == `{"depth":9}` || got.Content == "Nothing was found."
		if !got.Error && !quiet || strings.Contains(got.Content, "canary") || strings.Contains(got.Content, "deep/") && quiet {
			t.Errorf("%s %s: %+v", c.name, c.args, got)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, ".data", "deep", "key")); err != nil || string(text) != "canary" {
		t.Errorf("the key holds %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".data", "new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
}

func TestNoFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there are no named pipes in folders here")
	}
	d := newDesk(t, true)
	d.must(syscall.Mkfifo(filepath.Join(d.dir, "pipe"), 0o644))
	for _, name := range []string{"read", "write"} {
		args := map[string]string{"read": `{"path":"pipe"}`, "write": `{"path":"pipe","content":"x"}`}[name]
		if got, refused := d.call(name, args); !refused || !strings.Contains(got, "is no file") {
			t.Errorf("%s of a pipe: %q", name, got)
		}
	}
	if got, refused := d.call("search", `{"text":"two"}`); refused || got != "a.txt:2: two\n" {
		t.Errorf("a search beside a pipe: %q", got)
	}
}

func TestBounds(t *testing.T) {
	d := newDesk(t, true)
	d.must(os.WriteFile(filepath.Join(d.dir, "big"), make([]byte, 5<<20), 0o644))
	if got, refused := d.call("read", `{"path":"big"}`); !refused || !strings.Contains(got, "up to 4194304 are read") {
		t.Errorf("a big file: %q", got)
	}
	many := strings.Repeat("needle "+strings.Repeat("x", 500)+"\n", 500)
	d.must(os.WriteFile(filepath.Join(d.dir, "many"), []byte(many), 0o644))
	got, _ := d.call("search", `{"text":"needle"}`)
	if lines := strings.Split(strings.TrimSpace(got), "\n"); len(lines) != 201 || len(lines[0]) > 400 || !strings.Contains(lines[200], "There is more") {
		t.Errorf("%d lines, the first of %d bytes", len(lines), len(lines[0]))
	}
	for i := range 1100 {
		d.must(os.WriteFile(filepath.Join(d.dir, "src", "deep", fmt.Sprintf("f%04d", i)), nil, 0o644))
	}
	if got, _ := d.call("list", `{"path":"src/deep"}`); strings.Count(got, "\n") != 1001 || !strings.Contains(got, "There is more") {
		t.Errorf("%d lines are listed", strings.Count(got, "\n"))
	}
}

// TestReadOnly: a folder that may not be written to has no tools that write.
func TestReadOnly(t *testing.T) {
	d := newDesk(t, false)
	if got := strings.Join(d.tools.Names(), " "); got != "files/list files/read files/search" {
		t.Errorf("its tools are %s", got)
	}
	for _, spec := range d.tools.Specs() {
		if !spec.Flow.Private || spec.Subject.Arg != "path" || spec.Options.Effect != durable.Read {
			t.Errorf("%s: %+v", spec.Name, spec)
		}
	}
	maker := files.Maker()
	if _, err := maker(tool.Declaration{Name: "x", Config: json.RawMessage(`{"do":"delete"}`)}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a tool that there is not: %v", err)
	}
	gone, err := maker(files.Declare("files", filepath.Join(d.dir, "nowhere"), false)[0])
	d.must(err)
	if _, err := gone.Call(context.Background(), json.RawMessage(`{"path":"a"}`)); !errors.Is(err, durable.ErrUnavailable) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// The tools of a folder, read-only.
func ExampleDeclare() {
	for _, d := range files.Declare("notes", "/srv/notes", false) {
		fmt.Println(d.Name)
	}
	// Output:
	// notes/read
	// notes/list
	// notes/search
}
