package main

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// TestMain lets the test binary be the command: scripts find it as orpine in PATH,
// and what they start is a process of its own, with its own signals and exit code.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"orpine": main})
}

// TestScript runs every script of testdata/script. Beside the commands of testscript
// there are:
//
//	code N COMMAND...          the command must exit with code N
//	json FILE PATH REGEXP      the value at PATH (a.0.b, a.len for the length of a list) matches REGEXP as a whole
//	keep VAR FILE [PATH]       sets VAR to the content of FILE, or to a value in it
//	start NAME REGEXP COMMAND... starts a command and goes on once a line it writes
//	                           matches; $NAME becomes the first group, or the match
//	end NAME SIGNAL N          sends INT, TERM, KILL or nothing (-), waits for exit code N
//	                           (-9 = killed); what it wrote is in NAME.out and NAME.err
//	replace FILE OLD NEW       replaces a text in a file
//	cut FILE TEXT              removes the lines of a file that hold a text
//	bytes FILE HEX             makes a file of bytes
//	truncate FILE SIZE         cuts a file off
//	sqlite FILE STATEMENT      executes SQL on a database, made when missing
//	journal DATA ID STATUS FILE makes a run as another build wrote it, of entries as orpine logs -o jsonl prints them
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Values[startedKey{}] = map[string]*started{}
			e.Setenv("ORPINE_BIN", filepath.Join(filepath.SplitList(e.Getenv("PATH"))[0], "orpine")) // for who needs its path
			examples, err := filepath.Abs(filepath.Join("..", "..", "examples"))
			e.Setenv("EXAMPLES", examples)
			return err
		},
		Condition: func(name string) (bool, error) {
			if name == "root" { // who may write everywhere
				return os.Geteuid() == 0, nil
			}
			if name == "jail" {
				return slices.ContainsFunc(sandbox.Probe(), func(r sandbox.Report) bool { return r.Tier == sandbox.TierJail && r.Err == nil }), nil
			}
			return false, fmt.Errorf("no condition %s", name)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":    scriptCode,
			"json":    scriptJSON,
			"keep":    scriptKeep,
			"start":   scriptStart,
			"end":     scriptEnd,
			"replace": scriptReplace,
			"cut":     scriptCut,
			"bytes":   scriptBytes,
			"sqlite":  scriptSQLite,

			"truncate": scriptTruncate,
			"journal":  scriptJournal,
		},
	})
}

func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	if got := exitCode(err); got != want {
		ts.Fatalf("%s: got exit code %d, want %d: %v", strings.Join(args[1:], " "), got, want, err)
	}
}

// exitCode is that of a process, or minus the signal that ended it.
func exitCode(err error) int {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &exit):
		return -1000
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return -int(status.Signal())
	}
	return exit.ExitCode()
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH REGEXP")
	}
	want, err := regexp.Compile(`\A(?s:` + args[2] + `)\z`)
	ts.Check(err)
	got, err := lookUp(ts.ReadFile(args[0]), args[1])
	if err != nil {
		if !neg {
			ts.Fatalf("%s: %v", args[0], err)
		}
		return
	}
	if want.MatchString(got) == neg {
		ts.Fatalf("%s in %s: got %s, match %s is %t", args[1], args[0], got, args[2], !neg)
	}
}

// lookUp finds a value in a JSON text by a path such as steps.0.name; len is the length of a list.
func lookUp(text, path string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", fmt.Errorf("not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("more than one JSON value")
	}
	for key := range strings.SplitSeq(strings.Trim(path, "."), ".") {
		if key == "" {
			continue
		}
		switch at := v.(type) {
		case map[string]any:
			next, ok := at[key]
			if !ok {
				return "", fmt.Errorf("no %s of %s", key, path)
			}
			v = next
		case []any:
			if key == "len" {
				v = len(at)
				continue
			}
			i, err := strconv.Atoi(key)
			if err != nil || i >= len(at) {
				return "", fmt.Errorf("no %s of %s: the list has %d values", key, path, len(at))
			}
			v = at[i]
		default:
			return "", fmt.Errorf("no %s of %s: %v has no parts", key, path, v)
		}
	}
	if s, ok := v.(string); ok {
		return s, nil
	}
	data, err := json.Marshal(v)
	return string(data), err
}

func scriptKeep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: keep VAR FILE [PATH]")
	}
	value := strings.TrimSpace(ts.ReadFile(args[1]))
	if len(args) == 3 {
		var err error
		value, err = lookUp(value, args[2])
		ts.Check(err)
	}
	ts.Setenv(args[0], value)
}

type startedKey struct{}

// started is a command that runs beside the script.
type started struct {
	cmd      *exec.Cmd
	out, err strings.Builder
	read     chan struct{} // closed when all its output is read
	over     bool
}

func processes(ts *testscript.TestScript) map[string]*started {
	m, ok := ts.Value(startedKey{}).(map[string]*started)
	if !ok {
		ts.Fatalf("no table of processes")
	}
	return m
}

// patience is how long a line or an end is waited for.
const patience = 30 * time.Second

func scriptStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: start NAME REGEXP COMMAND...")
	}
	want, err := regexp.Compile(args[1])
	ts.Check(err)
	path, err := exec.LookPath(args[2])
	ts.Check(err)
	p := &started{cmd: exec.Command(path, args[3:]...), read: make(chan struct{})} //nolint:gosec // the scripts are ours
	p.cmd.Dir, p.cmd.Env = ts.MkAbs("."), environ(ts)
	stdout, err := p.cmd.StdoutPipe()
	ts.Check(err)
	stderr, err := p.cmd.StderrPipe()
	ts.Check(err)
	ts.Check(p.cmd.Start())
	processes(ts)[args[0]] = p
	ts.Defer(func() {
		if !p.over {
			_ = p.cmd.Process.Kill() // it may have ended by itself
			<-p.read
			_ = p.cmd.Wait()
		}
	})
	found := make(chan string, 1)
	go func() {
		defer close(p.read)
		other := make(chan struct{})
		go func() {
			defer close(other)
			gather(stderr, &p.err, want, found)
		}()
		gather(stdout, &p.out, want, found)
		<-other
	}()
	select {
	case text := <-found:
		ts.Setenv(args[0], text)
	case <-p.read:
		select {
		case text := <-found:
			ts.Setenv(args[0], text)
		default:
			ts.Fatalf("%s ended without a line that matches %s:\n%s%s", args[2], args[1], p.out.String(), p.err.String())
		}
	case <-time.After(patience):
		ts.Fatalf("%s wrote no line that matches %s in %s", args[2], args[1], patience)
	}
}

// gather keeps what a process writes and tells the first match.
func gather(r io.Reader, all *strings.Builder, want *regexp.Regexp, found chan<- string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		all.WriteString(lines.Text() + "\n")
		if m := want.FindStringSubmatch(lines.Text()); m != nil {
			select {
			case found <- m[len(m)-1]:
			default: // it was found before
			}
		}
	}
}

// environ is the environment of the script; it is what env prints.
func environ(ts *testscript.TestScript) []string {
	var list []string
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "NO_COLOR", "TERM", "ORPINE_DATA", "ORPINE_SERVER", "ORPINE_TOKEN",
		"OPENAI_BASE_URL", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY",
	} {
		if v := ts.Getenv(name); v != "" {
			list = append(list, name+"="+v)
		}
	}
	return list
}

func scriptEnd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: end NAME SIGNAL N")
	}
	p := processes(ts)[args[0]]
	if p == nil {
		ts.Fatalf("nothing was started as %s", args[0])
	}
	want, err := strconv.Atoi(args[2])
	ts.Check(err)
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}
	if s, ok := signals[args[1]]; ok {
		ts.Check(p.cmd.Process.Signal(s))
	} else if args[1] != "-" {
		ts.Fatalf("no signal %s", args[1])
	}
	select {
	case <-p.read:
	case <-time.After(patience):
		ts.Fatalf("%s did not end in %s", args[0], patience)
	}
	p.over = true
	got := exitCode(p.cmd.Wait())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".out"), []byte(p.out.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]+".err"), []byte(p.err.String()), 0o600))
	if got != want {
		ts.Fatalf("%s: got exit code %d, want %d:\n%s%s", args[0], got, want, p.out.String(), p.err.String())
	}
}

func scriptReplace(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: replace FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o600))
}

func scriptCut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: cut FILE TEXT")
	}
	var left strings.Builder
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if !strings.Contains(line, args[1]) {
			left.WriteString(line)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(left.String()), 0o600))
}

func scriptBytes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: bytes FILE HEX")
	}
	var data []byte
	_, err := fmt.Sscanf(args[1], "%x", &data)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

func scriptTruncate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: truncate FILE SIZE")
	}
	size, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[0]), size))
}

func scriptSQLite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sqlite FILE STATEMENT")
	}
	db, err := sql.Open("sqlite", ts.MkAbs(args[0])) // the driver of the store
	ts.Check(err)
	_, err = db.Exec(args[1])
	ts.Check(errors.Join(err, db.Close()))
}

func scriptJournal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: journal DATA ID STATUS FILE")
	}
	ctx := context.Background()
	var entries []*durable.Entry
	for line := range strings.Lines(ts.ReadFile(args[3])) {
		e := &durable.Entry{}
		ts.Check(json.Unmarshal([]byte(line), e))
		entries = append(entries, e)
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: ts.MkAbs(args[0])})
	ts.Check(err)
	j, err := journal.New(s)
	ts.Check(err)
	run := store.Run{
		ID: durable.RunID(args[1]), Name: args[1], Program: entries[0].Name, Definition: entries[0].Definition, Created: entries[0].Time,
		State: store.State{Status: durable.Status(args[2]), Updated: entries[0].Time},
	}
	for _, e := range entries {
		if e.Kind == durable.EntryContinued {
			run.Segment, run.Start = e.Segment, e.Seq
		}
	}
	done := make(chan error, 1)
	ts.Check(j.Append([]*journal.Change{{Run: run.ID, Create: &run, Head: &journal.Head{}, Entries: entries}}, func(err error) { done <- err }))
	ts.Check(errors.Join(<-done, s.Close()))
}

// parserModel is the command line as kong sees it.
func parserModel(t *testing.T) *kong.Application {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Name("orpine"), kong.BindTo(t.Context(), (*context.Context)(nil)), kong.Bind(&app{}))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// TestHelp asks every verb for help: it must come on standard output with code 0 and
// show examples, each of which starts with a line of this command.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, leaf := range parserModel(t).Leaves(true) {
		path := strings.Fields(leaf.Path())
		t.Run(strings.Join(path, " "), func(t *testing.T) {
			t.Parallel()
			var stdout, stderr strings.Builder
			none := func(string) (string, bool) { return "", false }
			got := Main(t.Context(), append(path, "--help"), strings.NewReader(""), &stdout, &stderr, none)
			if got != exitOK || stderr.Len() > 0 {
				t.Errorf("got exit code %d and %q on standard error, want 0 and nothing", got, stderr.String())
			}
			_, examples, ok := strings.Cut(stdout.String(), "Examples:")
			if !ok || !strings.Contains(examples, "orpine "+path[0]) {
				t.Errorf("help has no examples of %v:\n%s", path, stdout.String())
			}
			if !strings.HasPrefix(stdout.String(), "Usage: orpine "+strings.Join(path, " ")) {
				t.Errorf("help does not begin with the usage:\n%s", stdout.String())
			}
		})
	}
}

// TestReference holds docs/cli.md against the parser and the exit codes.
func TestReference(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	model := parserModel(t)
	for _, f := range model.Flags {
		if !strings.Contains(page, "`--"+f.Name) {
			t.Errorf("docs/cli.md does not name the global flag --%s", f.Name)
		}
		for _, name := range f.Envs {
			if !strings.Contains(page, "`"+name+"`") {
				t.Errorf("docs/cli.md does not name the variable %s", name)
			}
		}
	}
	for _, leaf := range model.Leaves(true) {
		verb := strings.Join(strings.Fields(leaf.Path()), " ")
		_, section, ok := strings.Cut(page, "\n### "+verb+"\n")
		if !ok {
			t.Errorf("docs/cli.md has no section %q", verb)
			continue
		}
		section, _, _ = strings.Cut(section, "\n### ")
		for _, f := range leaf.Flags {
			if !f.Hidden && !strings.Contains(section, "`--"+f.Name) {
				t.Errorf("docs/cli.md: section %q does not name the flag --%s", verb, f.Name)
			}
		}
		if !strings.Contains(section, "orpine "+verb) {
			t.Errorf("docs/cli.md: section %q has no example", verb)
		}
	}
	for _, c := range []int{
		exitOK, exitFailed, exitUsage, exitEnvironment, exitNotFound, exitWaiting, exitDenied,
		exitExhausted, exitMismatch, exitConflict, exitTimeout, exitInterrupted,
	} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d +\|`, c)).MatchString(page) {
			t.Errorf("docs/cli.md does not list exit code %d", c)
		}
	}
}
