//go:build linux && amd64

package sandbox_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/orpine-run/orpine/sandbox"
)

// box makes a sandbox of a tier. Where the jail is refused there is nothing to test.
func box(t testing.TB, tier sandbox.Tier) *sandbox.Sandbox {
	t.Helper()
	s, err := sandbox.New(sandbox.Config{Tier: tier})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// both runs a test in a jail and in none: what a process is promised besides its walls is the
// same.
func both(t *testing.T, test func(t *testing.T, s *sandbox.Sandbox)) {
	for _, tier := range []sandbox.Tier{sandbox.TierJail, sandbox.TierNone} {
		t.Run(string(tier), func(t *testing.T) { test(t, box(t, tier)) })
	}
}

// sh runs a script and returns what it wrote.
func sh(t *testing.T, s *sandbox.Sandbox, spec sandbox.Spec, script string) (exit sandbox.Exit, out, errs string) {
	t.Helper()
	spec.Command = []string{"sh", "-c", script}
	var o, e bytes.Buffer
	exit, err := s.Run(t.Context(), spec, sandbox.Streams{Out: &o, Err: &e})
	if err != nil {
		t.Fatal(err)
	}
	return exit, o.String(), e.String()
}

func TestRun(t *testing.T) {
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		for _, c := range []struct {
			name, script string
			want         sandbox.Exit
			out, errs    string
		}{
			{name: "output", script: "echo out; echo err >&2", out: "out\n", errs: "err\n"},
			{name: "exit code", script: "exit 7", want: sandbox.Exit{Code: 7}},
			{name: "exit code 126", script: "exit 126", want: sandbox.Exit{Code: 126}},
			{name: "signal", script: "kill -TERM $$", want: sandbox.Exit{Code: 143, Signal: syscall.SIGTERM}},
			{name: "fault", script: "kill -SEGV $$", want: sandbox.Exit{Code: 139, Signal: syscall.SIGSEGV}},
			{name: "environment", script: "env | grep -v PWD= | grep -v SHLVL= | grep -v ^_= | sort", out: "A=b c\nHOME=/tmp\nLANG=C.UTF-8\nPATH=/usr/bin\nTMPDIR=/tmp\n"},
			{name: "working directory", script: "basename \"$PWD\"", out: "workspace\n"},
			{name: "who is left behind", script: "sleep 1000 & echo done", out: "done\n"},
			{name: "who leaves the session", script: "setsid -f true; setsid true; echo done", out: "done\n"},
			{name: "null", script: "cat /dev/null; echo x >/dev/null; head -c 2 /dev/zero | wc -c", out: "2\n"},
		} {
			t.Run(c.name, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "workspace")
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				exit, out, errs := sh(t, s, sandbox.Spec{Workspace: dir, Env: []string{"A=b c", "PATH=/usr/bin"}}, c.script)
				if exit != c.want || out != c.out || errs != c.errs {
					t.Errorf("got %+v, %q, %q, want %+v, %q, %q", exit, out, errs, c.want, c.out, c.errs)
				}
			})
		}
	})
}

// TestHide: what is kept from processes is not seen through what they may touch, and not shared.
func TestHide(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "sub", "data")
	for _, d := range []string{data, filepath.Join(dir, "sub", "other")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(data, "key"), []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(data, "door"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() //nolint:errcheck // nobody comes
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Dir(link))
	s, err := sandbox.New(sandbox.Config{Hide: []string{"link", filepath.Join(dir, "not there")}})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused)
	}
	if err != nil {
		t.Fatal(err)
	}
	script := `ls -A sub/data; cat sub/data/key; touch sub/data/x; umount sub/data; mv sub/data gone; rmdir sub/data; echo in >sub/other/file; ls sub`
	for name, spec := range map[string]sandbox.Spec{"workspace": {Workspace: dir}, "read only": {ReadOnly: []string{dir}, Dir: dir}} {
		_, out, errs := sh(t, s, spec, script)
		if out != "data\nother\n" || strings.Contains(out+errs, "canary") {
			t.Errorf("%s: got %q, %q", name, out, errs)
		}
	}
	if text, err := os.ReadFile(filepath.Join(data, "key")); err != nil || string(text) != "canary" {
		t.Errorf("the key holds %q, %v", text, err)
	}
	for name, spec := range map[string]sandbox.Spec{
		"itself": {Workspace: data}, "what is in it": {ReadOnly: []string{filepath.Join(data, "key")}}, "by a link": {ReadOnly: []string{link}},
	} {
		spec.Command = []string{"true"}
		if _, err := s.Run(t.Context(), spec, sandbox.Streams{}); !errors.Is(err, sandbox.ErrSpec) {
			t.Errorf("%s is shared: %v", name, err)
		}
	}
}

func TestStreams(t *testing.T) {
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		p, err := s.Start(t.Context(), sandbox.Spec{Command: []string{"sh", "-c", `while read line; do echo "got $line"; done; echo end`}})
		if err != nil {
			t.Fatal(err)
		}
		out := bufio.NewReader(p.Stdout)
		for i := range 3 { // each answer comes while the process lives
			if _, err := fmt.Fprintf(p.Stdin, "%d\n", i); err != nil {
				t.Fatal(err)
			}
			if line, err := out.ReadString('\n'); err != nil || line != fmt.Sprintf("got %d\n", i) {
				t.Fatalf("got %q, %v", line, err)
			}
		}
		if err := p.Stdin.Close(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(out); err != nil || string(rest) != "end\n" {
			t.Errorf("got %q, %v", rest, err)
		}
		if exit := p.Wait(); exit != (sandbox.Exit{}) {
			t.Errorf("got %+v", exit)
		}
		p.Kill() // too late, and harmless
		if exit := p.Wait(); exit != (sandbox.Exit{}) {
			t.Errorf("after a late kill: %+v", exit)
		}
	})
}

func TestInput(t *testing.T) {
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		for _, command := range [][]string{{"wc", "-c"}, {"true"}} { // the second reads nothing
			var out bytes.Buffer
			exit, err := s.Run(t.Context(), sandbox.Spec{Command: command}, sandbox.Streams{In: strings.NewReader(strings.Repeat("x", 1<<20)), Out: &out})
			if err != nil || exit.Code != 0 {
				t.Errorf("%v: %+v, %v", command, exit, err)
			}
			if command[0] == "wc" && out.String() != "1048576\n" {
				t.Errorf("%s", out.String())
			}
		}
	})
}

func TestOutputIsCapped(t *testing.T) {
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		exit, out, errs := sh(t, s, sandbox.Spec{Limits: sandbox.Limits{Output: 1000}}, "head -c 500000 /dev/zero; head -c 1500 /dev/zero >&2")
		if len(out) != 1000 || len(errs) != 1000 || exit.Dropped != 499500 || exit.Code != 0 {
			t.Errorf("%d and %d bytes, %+v", len(out), len(errs), exit)
		}
		full := errors.New("full")
		_, err := s.Run(t.Context(), sandbox.Spec{Command: []string{"sh", "-c", "while :; do echo x; done"}}, sandbox.Streams{Out: writer(func([]byte) (int, error) { return 0, full })})
		if !errors.Is(err, full) {
			t.Errorf("a writer that fails: %v", err)
		}
	})
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestEnd(t *testing.T) {
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		const stubborn = "trap '' TERM INT HUP; sleep 1000 & sleep 1000 & wait; while :; do sleep 1000; done"
		cause := errors.New("no longer needed")
		for _, c := range []struct {
			name string
			wall time.Duration
			end  func(p *sandbox.Process, cancel context.CancelCauseFunc)
			want sandbox.Limit
		}{
			{"killed", 0, func(p *sandbox.Process, _ context.CancelCauseFunc) { p.Kill() }, sandbox.LimitCanceled},
			{"canceled", 0, func(_ *sandbox.Process, cancel context.CancelCauseFunc) { cancel(cause) }, sandbox.LimitCanceled},
			{"out of time", 50 * time.Millisecond, func(*sandbox.Process, context.CancelCauseFunc) {}, sandbox.LimitWall},
		} {
			t.Run(c.name, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				p, err := s.Start(ctx, sandbox.Spec{Command: []string{"sh", "-c", stubborn}, Limits: sandbox.Limits{Wall: c.wall}})
				if err != nil {
					t.Fatal(err)
				}
				c.end(p, cancel)
				exit := p.Wait()
				if exit.Signal != syscall.SIGKILL || exit.Code != 137 || exit.Limit != c.want {
					t.Errorf("got %+v, want %s", exit, c.want)
				}
				// The others hold the pipe until they have ended too.
				if _, err := io.ReadAll(p.Stdout); err != nil {
					t.Error(err)
				}
			})
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var out bytes.Buffer
		_, err := s.Run(ctx, sandbox.Spec{Command: []string{"sh", "-c", "echo begun; " + stubborn}}, sandbox.Streams{Out: writer(func(b []byte) (int, error) {
			cancel(cause)
			return out.Write(b)
		})})
		if !errors.Is(err, cause) || out.String() != "begun\n" {
			t.Errorf("got %q and %v", out.String(), err)
		}
		if _, err := s.Start(ctx, sandbox.Spec{Command: []string{"true"}}); !errors.Is(err, cause) {
			t.Errorf("started for a context that has ended: %v", err)
		}
	})
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		spec := sandbox.Spec{Files: []sandbox.File{{Name: "token", Env: "TOKEN_FILE", Content: []byte("s3cret")}, {Name: "empty", Env: "EMPTY"}}}
		exit, out, errs := sh(t, s, spec, `cat "$TOKEN_FILE"; echo; wc -c <"$EMPTY"; stat -c %a "$TOKEN_FILE"; tr '\0' '\n' </proc/self/environ | grep -c s3cret; echo "$TOKEN_FILE"`)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if exit.Code != 0 || len(lines) != 5 || !slices.Equal(lines[:4], []string{"s3cret", "0", "400", "0"}) {
			t.Fatalf("%+v %q %s", exit, lines, errs)
		}
		if _, err := os.Stat(lines[4]); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", lines[4], err)
		}
	})
}

func TestRefusedSpecs(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		spec sandbox.Spec
		says string
	}{
		{"no command", sandbox.Spec{}, "no command"},
		{"zero byte", sandbox.Spec{Command: []string{"true", "a\x00b"}}, "zero byte"},
		{"no variable", sandbox.Spec{Command: []string{"true"}, Env: []string{"PATH"}}, "NAME=value"},
		{"a relative workspace", sandbox.Spec{Command: []string{"true"}, Workspace: "x"}, "whole path"},
		{"a workspace that is not there", sandbox.Spec{Command: []string{"true"}, Workspace: dir + "/no"}, "no such file"},
		{"a workspace that is a file", sandbox.Spec{Command: []string{"true"}, Workspace: "/etc/hostname"}, "no directory"},
		{"the root as workspace", sandbox.Spec{Command: []string{"true"}, Workspace: "/"}, "cannot be shared"},
		{"a link to the root", sandbox.Spec{Command: []string{"true"}, Workspace: "/proc/self/root"}, "cannot be shared"},
		{"all of /etc", sandbox.Spec{Command: []string{"true"}, ReadOnly: []string{"/etc/"}}, "cannot be shared"},
		{"a device", sandbox.Spec{Command: []string{"true"}, ReadOnly: []string{"/dev/null"}}, "cannot be shared"},
		{"the kernel", sandbox.Spec{Command: []string{"true"}, ReadOnly: []string{"/proc/sys"}}, "cannot be shared"},
		{"a file with a path", sandbox.Spec{Command: []string{"true"}, Files: []sandbox.File{{Name: "../x"}}}, "no name of a file"},
		{"an address without a port", sandbox.Spec{Command: []string{"true"}, Network: sandbox.Network{Allow: []string{"example.com"}}}, "host:port"},
		{"a list and no bounds", sandbox.Spec{Command: []string{"true"}, Network: sandbox.Network{Host: true, Allow: []string{"a:1"}}}, "one or the other"},
		{"less than nothing", sandbox.Spec{Command: []string{"true"}, Limits: sandbox.Limits{Memory: -1}}, "below zero"},
		{"a directory without a root", sandbox.Spec{Command: []string{"true"}, Dir: "here"}, "whole path"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := box(t, "").Start(t.Context(), c.spec)
			if !errors.Is(err, sandbox.ErrSpec) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %q in it", err, c.says)
			}
		})
	}
	for _, tier := range []sandbox.Tier{sandbox.TierInProc, sandbox.TierWASM, "container"} {
		if _, err := sandbox.New(sandbox.Config{Tier: tier}); !errors.Is(err, sandbox.ErrSpec) {
			t.Errorf("tier %s: %v", tier, err)
		}
	}
	_, err := box(t, sandbox.TierNone).Start(t.Context(), sandbox.Spec{Command: []string{"true"}, Network: sandbox.Network{Allow: []string{"a:1"}}})
	if _, ok := errors.AsType[*sandbox.RefusedError](err); !ok {
		t.Errorf("a list of addresses without walls: %v", err)
	}
}

func TestNotFound(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "orpine-own-tool")
	if err := os.WriteFile(tool, []byte("#!/bin/sh\necho found\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		for _, name := range []string{"orpine-no-such-tool", "/usr/bin/orpine-no-such-tool", "/etc"} {
			_, err := s.Start(t.Context(), sandbox.Spec{Command: []string{name}})
			if e, ok := errors.AsType[*sandbox.NotFoundError](err); !ok || e.Command != name {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	s := box(t, sandbox.TierJail)
	_, err := s.Start(t.Context(), sandbox.Spec{Command: []string{tool}})
	if e, ok := errors.AsType[*sandbox.NotFoundError](err); !ok || e.Outside != tool {
		t.Errorf("a tool that is outside: %v", err)
	}
	var out bytes.Buffer
	exit, err := s.Run(t.Context(), sandbox.Spec{Command: []string{tool}, ReadOnly: []string{tool}}, sandbox.Streams{Out: &out})
	if err != nil || exit.Code != 0 || out.String() != "found\n" {
		t.Errorf("a tool that is shared: %+v %v %q", exit, err, out.String())
	}
}

// TestMany starts many at once: descriptors and pipes must not get mixed up.
func TestMany(t *testing.T) {
	both(t, func(t *testing.T, s *sandbox.Sandbox) {
		dir := t.TempDir()
		var all sync.WaitGroup
		for i := range 24 {
			all.Go(func() {
				var out bytes.Buffer
				exit, err := s.Run(t.Context(), sandbox.Spec{Command: []string{"sh", "-c", fmt.Sprintf("cat; echo %d; exit %d", i, i)}, Workspace: dir},
					sandbox.Streams{In: strings.NewReader(fmt.Sprintf("in %d ", i)), Out: &out})
				if want := fmt.Sprintf("in %d %d\n", i, i); err != nil || exit.Code != i || out.String() != want {
					t.Errorf("%d: %+v %v %q", i, exit, err, out.String())
				}
			})
		}
		all.Wait()
	})
}

// BenchmarkJailStart is the time from the call to the end of a process that does nothing.
func BenchmarkJailStart(b *testing.B) {
	for _, tier := range []sandbox.Tier{sandbox.TierJail, sandbox.TierNone} {
		b.Run(string(tier), func(b *testing.B) {
			s, dir := box(b, tier), b.TempDir()
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				exit, err := s.Run(b.Context(), sandbox.Spec{Command: []string{"/bin/true"}, Workspace: dir}, sandbox.Streams{})
				if err != nil || exit.Code != 0 {
					b.Fatal(exit, err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
		})
	}
}
