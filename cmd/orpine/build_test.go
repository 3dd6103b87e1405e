package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kills makes the tests that kill processes do so more often than they do by default.
var kills = flag.Int("kills", 0, "how many processes each kill test kills; 0 is a few")

// stormSeed makes the storms of kills and power cuts repeat their moments.
var stormSeed = flag.Uint64("seed", 0, "the seed of the storms; 0 = a new one, which is printed")

// orpineBinary builds the command as a user does, once per test run.
var orpineBinary = sync.OnceValues(func() (string, error) { return buildBinary("orpine", ".") })

// effectBinary builds the program whose effects are counted, once per test run.
var effectBinary = sync.OnceValues(func() (string, error) { return buildBinary("effect", "./testdata/e2e/effect") })

// binDir is a directory that goes away with this process, however that ends: a shell
// waits for the end of its input and removes it.
var binDir = sync.OnceValues(func() (keptDir, error) {
	dir, err := os.MkdirTemp("", "orpine-bin-")
	if err != nil {
		return keptDir{}, err
	}
	cmd := exec.Command("sh", "-c", `read -r _; rm -rf "$1"`, "sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	alive, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return keptDir{}, errors.Join(err, os.Remove(dir))
	}
	return keptDir{dir, alive}, nil
})

type keptDir struct {
	path  string
	alive io.Closer // open for as long as this process lives
}

func buildBinary(name, pkg string) (string, error) {
	dir, err := binDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir.path, name)
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return path, nil
}

// place is a directory of its own in which commands run, with an environment of its
// own; it goes away with the test.
type place struct {
	t      *testing.T
	dir    string
	env    []string
	binary string
}

func newPlace(t *testing.T, env ...string) *place {
	t.Helper()
	return placeOf(t, orpineBinary, env...)
}

func placeOf(t *testing.T, binary func() (string, error), env ...string) *place {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &place{t: t, dir: t.TempDir(), binary: path}
	tmp := filepath.Join(p.dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	p.env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + p.dir, "TMPDIR=" + tmp}, env...)
	return p
}

// process is a command on its way.
type process struct {
	cmd      *exec.Cmd
	out, err *lines
}

// outcome is how a process ended.
type outcome struct {
	code     int // -1: by a signal
	killed   bool
	out, err string
	usage    *syscall.Rusage
}

// start starts a command; onOut and onErr may be nil and get each line as it is written.
func (p *place) start(onOut, onErr func(*process, string), args ...string) *process {
	p.t.Helper()
	pr := &process{cmd: exec.Command(p.binary, args...)}
	pr.out, pr.err = &lines{each: onOut, of: pr}, &lines{each: onErr, of: pr}
	pr.cmd.Dir, pr.cmd.Env = p.dir, p.env
	pr.cmd.Stdout, pr.cmd.Stderr = pr.out, pr.err
	pr.cmd.WaitDelay = 10 * time.Second
	if err := pr.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return pr
}

// kill ends the process at once; one that has ended is left alone.
func (pr *process) kill() { _ = pr.cmd.Process.Kill() }

// killAfter kills the process d from now, unless it ends before.
func (pr *process) killAfter(d time.Duration) { time.AfterFunc(d, pr.kill) }

func (pr *process) wait() outcome {
	err := pr.cmd.Wait()
	o := outcome{code: pr.cmd.ProcessState.ExitCode(), out: pr.out.String(), err: pr.err.String()}
	if status, ok := pr.cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		o.killed = status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		o.err += "\nwait: " + err.Error()
	}
	o.usage, _ = pr.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return o
}

// run runs a command to its end.
func (p *place) run(args ...string) outcome {
	p.t.Helper()
	return p.start(nil, nil, args...).wait()
}

// ok runs a command that must succeed and returns what it printed.
func (p *place) ok(args ...string) string {
	p.t.Helper()
	o := p.run(args...)
	if o.code != 0 {
		p.t.Fatalf("orpine %s: exit code %d\n%s%s", strings.Join(args, " "), o.code, o.out, o.err)
	}
	return o.out
}

// decode runs a command that must succeed and decodes the JSON it prints.
func (p *place) decode(into any, args ...string) {
	p.t.Helper()
	if out := p.ok(args...); json.Unmarshal([]byte(out), into) != nil {
		p.t.Fatalf("orpine %s printed what is not the JSON it should be: %s", strings.Join(args, " "), out)
	}
}

func (p *place) path(elem ...string) string {
	return filepath.Join(append([]string{p.dir}, elem...)...)
}

// write writes a file of the place.
func (p *place) write(name, text string) string {
	p.t.Helper()
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
	return p.path(name)
}

// lines keeps what is written and hands on each line.
type lines struct {
	mu   sync.Mutex
	all  bytes.Buffer
	rest []byte
	each func(*process, string)
	of   *process
}

// Write implements io.Writer.
func (l *lines) Write(data []byte) (int, error) {
	l.mu.Lock()
	l.all.Write(data)
	l.rest = append(l.rest, data...)
	var found []string
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			break
		}
		found, l.rest = append(found, string(line)), rest
	}
	l.mu.Unlock()
	if l.each != nil {
		for _, line := range found {
			l.each(l.of, line)
		}
	}
	return len(data), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// readLines decodes a file or an output of one JSON value per line.
func readLines[T any](t *testing.T, text string) []T {
	t.Helper()
	var list []T
	for line := range strings.Lines(text) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		list = append(list, v)
	}
	return list
}

// focusSample is a bill of real, anonymised charges that lies beside the checkout,
// and not in it; "" when it is not there.
func focusSample() string { return sharedData("focus_sample.csv") }

// sharedData is a file of shared/data beside the checkout or above it; "" when it is not
// there.
func sharedData(name string) string {
	dir, err := filepath.Abs(".")
	if err != nil {
		return ""
	}
	for {
		if path := filepath.Join(dir, "shared", "data", name); isFile(path) {
			return path
		}
		up := filepath.Dir(dir)
		if up == dir {
			return ""
		}
		dir = up
	}
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// demoArgs run the demonstration on a bill, on the built-in one if csv is empty. Without
// accepting it asks whether the report is good.
func demoArgs(csv string) []string {
	args := []string{"demo", "cost", "--out", "OUT"}
	if csv != "" {
		args = append(args, "--csv", csv)
	}
	return args
}

func accepting(args []string) []string { return append(args, "--answer", "accept") }

// report reads OUT/report.json; numbers stay as they are written.
func (p *place) report() map[string]any {
	p.t.Helper()
	data, err := os.ReadFile(p.path("OUT", "report.json"))
	if err != nil {
		p.t.Fatal(err)
	}
	var r map[string]any
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	if err := dec.Decode(&r); err != nil {
		p.t.Fatalf("report.json: %v", err)
	}
	return r
}

// figures is a report without what differs between two runs over one bill.
func figures(report map[string]any, more ...string) map[string]any {
	f := maps.Clone(report)
	for _, key := range append(more, "run", "restored_steps", "repeated_steps") {
		delete(f, key)
	}
	return f
}

// killPoint is when a process is killed: after a time, or after a line.
type killPoint struct {
	line  string
	after time.Duration
}

func (k killPoint) String() string {
	if k.line != "" {
		return "after line " + strings.TrimSpace(k.line)
	}
	return "after " + k.after.Round(100*time.Microsecond).String()
}

// killPoints are n points: half of them spread evenly, each somewhere in its span, from
// the start to a bit more than the whole time, the others after one line each.
func killPoints(n int, whole time.Duration, marks []string) []killPoint {
	points := make([]killPoint, n)
	spans := float64((n + 1) / 2)
	for i := range points {
		if i%2 == 1 {
			points[i].line = marks[(i/2*5+1)%len(marks)] // 5 steps on each time: few points reach far
			continue
		}
		points[i].after = time.Duration((float64(i/2) + rand.Float64()) / spans * 1.2 * float64(whole))
	}
	return points
}

// doom starts a command that is killed at a point, and waits for its end.
func (p *place) doom(at killPoint, args ...string) outcome {
	p.t.Helper()
	var onLine func(*process, string)
	if at.line != "" {
		onLine = func(pr *process, line string) {
			if strings.HasPrefix(line, at.line) {
				pr.kill()
			}
		}
	}
	pr := p.start(nil, onLine, args...)
	if at.line == "" {
		pr.killAfter(at.after)
	}
	return pr.wait()
}

// undisturbed is a run of the demonstration that nobody disturbs.
type undisturbed struct {
	csv    string // "" is the built-in bill
	report map[string]any
	took   time.Duration
}

func runUndisturbed(t *testing.T, csv string) undisturbed {
	t.Helper()
	p := newPlace(t)
	began := time.Now()
	p.ok(accepting(demoArgs(csv))...)
	u := undisturbed{csv: csv, took: time.Since(began), report: p.report()}
	if restored := u.report["restored_steps"]; restored != json.Number("0") {
		t.Fatalf("an undisturbed run restored %v steps, want 0", restored)
	}
	return u
}
