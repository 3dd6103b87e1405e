//go:build linux && amd64

package command_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/sandbox"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/command"
	"github.com/orpine-run/orpine/tool/secret"
)

// dispatch calls a tool as an agent does, through the one door.
func dispatch(ctx context.Context, t *testing.T, made tool.Tool, args string) tool.Result {
	t.Helper()
	r, err := tool.NewRegistry(made)
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Dispatch(ctx, tool.Call{Name: made.Spec().Name, Args: json.RawMessage(args)})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// needsJail skips a test where there is none.
func needsJail(t *testing.T) {
	t.Helper()
	if _, err := sandbox.New(sandbox.Config{}); err != nil {
		t.Skip(err)
	}
}

func secrets(_ context.Context, name string) (string, error) {
	switch name {
	case "KEY":
		return "first line\nsecond line\n", nil
	case "TOKEN":
		return "hunter2-hunter2", nil
	}
	return "", durable.Errorf(durable.CodeNotFound, "there is no secret %s", name)
}

// withSecrets is a process that knows one.
func withSecrets() command.Config {
	var known secret.Redactor
	known.Add("TOKEN", "hunter2-hunter2")
	known.Add("KEY", "first line\nsecond line\n")
	return command.Config{Secrets: secrets, Filter: func() command.Filter { return known.NewStream() }}
}

func TestCall(t *testing.T) {
	needsJail(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("one\ntwo\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		declared command.Declared
		args     string
		want     string // the whole result, or with … at its end its beginning
		failed   bool
	}{
		{name: "a place for each argument", declared: command.Declared{Command: []string{"printf", "[%s]", "${args.a}", "x${args.b}y", "$${z}"}}, args: `{"a":"1 2; echo","b":"$(id)"}`, want: "[1 2; echo][x$(id)y][${z}]"},
		{name: "numbers and lists", declared: command.Declared{Command: []string{"printf", "[%s]", "${args.n}", "${args.l}"}, Schema: json.RawMessage(`{"type":"object"}`)}, args: `{"n":12345678901234567890,"l":["a","b"]}`, want: `[12345678901234567890][["a","b"]]`},
		{name: "an argument that is not there", declared: command.Declared{Command: []string{"printf", "[%s]", "${args.a}", "b${args.a}"}, Schema: json.RawMessage(`{"type":"object"}`)}, args: `{}`, want: "[b]"},
		{name: "a missing argument is not called", declared: command.Declared{Command: []string{"printf", "${args.a}"}}, args: `{}`, want: "the arguments of tool do not match its schema…", failed: true},
		{name: "an option is not an argument", declared: command.Declared{Command: []string{"ls", "${args.path}"}}, args: `{"path":"--help"}`, want: `tool: tool: argument path may not begin with a dash…`, failed: true},
		{name: "nor behind one that is not there", declared: command.Declared{Command: []string{"ls", "${args.a}${args.b}"}, Schema: json.RawMessage(`{"type":"object"}`)}, args: `{"b":"--help"}`, want: `tool: tool: argument b may not begin with a dash…`, failed: true},
		{name: "nor behind an empty one", declared: command.Declared{Command: []string{"ls", "${args.a}${args.b}"}}, args: `{"a":"","b":"--help"}`, want: `tool: tool: argument b may not begin with a dash…`, failed: true},
		{name: "a number is none", declared: command.Declared{Command: []string{"printf", "%s", "${args.n}"}, Schema: json.RawMessage(`{"type":"object"}`)}, args: `{"n":-3}`, want: "-3"},
		{name: "behind two dashes it may", declared: command.Declared{Command: []string{"printf", "%s", "--", "${args.a}"}}, args: `{"a":"-x"}`, want: "---x"},
		{name: "or where it is allowed", declared: command.Declared{Command: []string{"echo", "${args.a}"}, Dashes: true}, args: `{"a":"-n"}`, want: ""},
		{name: "within an element it is no option", declared: command.Declared{Command: []string{"echo", "a${args.a}"}}, args: `{"a":"-n"}`, want: "a-n\n"},
		{name: "a zero byte", declared: command.Declared{Command: []string{"echo", "${args.a}"}}, args: `{"a":"x\u0000y"}`, want: "tool: tool: argument ${args.a} has a zero byte…", failed: true},
		{name: "JSON on stdin", declared: command.Declared{Command: []string{"cat"}, Stdin: "json", Schema: json.RawMessage(`{"type":"object"}`)}, args: `{"a": [1]}`, want: `{"a": [1]}`},
		{name: "a text on stdin", declared: command.Declared{Command: []string{"cat"}, Stdin: "<${args.a}>"}, args: `{"a":"x"}`, want: "<x>"},
		{name: "the workspace", declared: command.Declared{Command: []string{"cat", "f"}, Workspace: dir}, want: "one\ntwo\n"},
		{name: "no workspace", declared: command.Declared{Command: []string{"pwd"}}, want: "/workspace\n"},
		{name: "the environment", declared: command.Declared{Command: []string{"printenv", "A", "HOME"}, Env: map[string]string{"A": "b$${c}"}}, want: "b${c}\n/tmp\n"},
		{name: "an exit code", declared: command.Declared{Command: []string{"cat", "nowhere"}}, want: "The command ended with exit code 1.\nError output:\ncat: nowhere: No such file or directory", failed: true},
		{name: "errors of what went well are not told", declared: command.Declared{Command: []string{"sh", "-c", "echo bad >&2; echo good"}}, want: "good\n"},
		{name: "a signal", declared: command.Declared{Command: []string{"sh", "-c", "kill -TERM $$"}}, want: "The command was ended by a signal: terminated.", failed: true},
		{name: "too much memory", declared: command.Declared{Command: []string{"sh", "-c", "for i in 1 2 3 4; do (x=$(head -c 20000000 /dev/zero | tr '\\0' x); sleep 9)& done; wait"}, Limits: command.Limits{Memory: 40 << 20}}, want: "The command was killed: it went over its limit of memory.", failed: true},
		{name: "not UTF-8", declared: command.Declared{Command: []string{"printf", `grn: gr\374n, and more text that is\n`}}, want: "grn: gr\ufffdn, and more text that is\n"},
		{name: "binary", declared: command.Declared{Command: []string{"head", "-c", "70000", "/dev/zero"}}, want: "[binary output, 70000 bytes, not shown]"},
		{name: "long output", declared: command.Declared{Command: []string{"sh", "-c", "echo begin; head -c 100000 /dev/zero | tr '\\0' x; echo end"}, MaxOutput: 100}, want: "begin\n" + strings.Repeat("x", 44) + "\n[99910 of 100010 bytes left out here]\n" + strings.Repeat("x", 46) + "end\n"},
		{name: "no command", declared: command.Declared{Command: []string{"orpine-no-such-tool"}}, want: "tool: command orpine-no-such-tool cannot be executed (no such file or directory); looked in /usr/local/sbin…", failed: true},
		{name: "a workspace that is not there", declared: command.Declared{Command: []string{"true"}, Workspace: dir + "/no"}, want: "tool: workspace: lstat…", failed: true},
		{name: "a secret as a file", declared: command.Declared{Command: []string{"sh", "-c", `wc -c <"$AUTH"; env | grep -c hunter; cat "$AUTH"`}, Secrets: map[string]string{"AUTH": "Bearer ${secret:TOKEN}"}}, want: "22\n0\nBearer [secret:TOKEN]"},
		{name: "a secret that is cut", declared: command.Declared{Command: []string{"sh", "-c", `printf 'xxxxxxxxxx'; cat; head -c 1000 /dev/zero | tr '\0' y`}, Stdin: "${secret:TOKEN}", MaxOutput: 40}, want: "xxxxxxxxxx[secret:TO\n[984 of 1024 bytes left out here]\nyyyyyyyyyyyyyyyyyyyy"},
		{name: "a secret on stdin", declared: command.Declared{Command: []string{"sh", "-c", "wc -c"}, Stdin: "${secret:TOKEN}"}, want: "15\n"},
		{name: "a secret that is not there", declared: command.Declared{Command: []string{"cat"}, Stdin: "${secret:OTHER}"}, want: "tool: secret OTHER: there is no secret OTHER", failed: true},
		{name: "another tier", declared: command.Declared{Command: []string{"true"}, Tier: sandbox.TierNone}, want: `tool: tier "none" is not allowed here…`, failed: true},
		{name: "no network", declared: command.Declared{Command: []string{"sh", "-c", "cat /proc/self/net/dev | grep -vc lo:"}}, want: "2\n"}, // the head of the table
	} {
		t.Run(c.name, func(t *testing.T) {
			c.declared.Name = "tool"
			config, err := json.Marshal(c.declared)
			if err != nil {
				t.Fatal(err)
			}
			made, err := command.Maker(withSecrets())(tool.Declaration{Name: "tool", Kind: command.Kind, Config: config})
			if err != nil {
				t.Fatal(err)
			}
			got := dispatch(t.Context(), t, made, c.args)
			want, cut := strings.CutSuffix(c.want, "…")
			if got.Error != c.failed || (got.Content != want && !cut) || !strings.HasPrefix(got.Content, want) {
				t.Errorf("got %v %q\nwant %v %q", got.Error, got.Content, c.failed, c.want)
			}
		})
	}
}

func TestShell(t *testing.T) {
	needsJail(t)
	dir := t.TempDir()
	made, err := command.Shell(command.Config{}, command.Declared{Workspace: dir})
	if err != nil {
		t.Fatal(err)
	}
	spec := made.Spec()
	if spec.Name != "shell" || spec.Options.Effect != durable.Irreversible || !spec.Flow.Private || spec.Flow.Egress || !strings.Contains(spec.Description, dir) {
		t.Errorf("got %+v", spec)
	}
	for _, c := range []struct {
		script, want string
		failed       bool
	}{
		{"echo a >f; cat f | tr a b", "Output:\nb\n", false},
		{"ls", "f\n", false},
		{"echo careful >&2; echo x", "Error output:\ncareful\nOutput:\nx", false},
		{"echo x; nosuchcommand", "The command ended with exit code 127.\nError output:\n/bin/sh: 1: nosuchcommand: not found\nOutput:\nx", true},
		{"cat /etc/shadow", "The command ended with exit code 1.\nError output:\ncat: /etc/shadow: No such file or directory", true},
	} {
		args, _ := json.Marshal(map[string]string{"command": c.script})
		got := dispatch(t.Context(), t, made, string(args))
		if want := strings.TrimPrefix(c.want, "Output:\n"); got.Content != c.want && (c.failed || got.Content != want) || got.Error != c.failed {
			t.Errorf("%s: got %+v, want %q", c.script, got, c.want)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "f")); err != nil || string(data) != "a\n" {
		t.Errorf("the workspace: %q %v", data, err)
	}
}

func TestRefusedDeclarations(t *testing.T) {
	for _, c := range []struct{ config, says string }{
		{`{}`, `either "command"`},
		{`{"command":[]}`, `either "command"`},
		{`{"command":["ls"],"shell":true}`, `either "command"`},
		{`{"shell":true,"stdin":"json"}`, "one argument"},
		{`{"command":["${args.what}"]}`, "not for the model to choose"},
		{`{"command":["/bin/${args.what}"]}`, "not for the model to choose"},
		{`{"command":["curl","-H","Authorization: ${secret:TOKEN}"]}`, "may not stand in the arguments"},
		{`{"command":["env"],"env":{"TOKEN":"${secret:TOKEN}"}}`, "may not stand in the environment"},
		{`{"command":["env"],"env":{"A":"${args.a}"}}`, "command and stdin"},
		{`{"command":["ls","${HOME}"]}`, "neither ${args.NAME} nor"},
		{`{"command":["ls","${args.}"]}`, "neither"},
		{`{"command":["ls","${args.a"]}`, "no end"},
		{`{"command":["ls"],"secrets":{"A":"plain"}}`, "no ${secret:NAME}"},
		{`{"command":["ls"],"secrets":{"A":"${secret:B}"},"env":{"A":"x"}}`, "under env too"},
		{`{"command":["ls"],"nework":{}}`, "unknown field"},
		{`{"command":["ls"],"max_output":-1}`, "max_output"},
		{`{"command":["ls\u0000"]}`, "zero byte"},
		{`[]`, "cannot unmarshal"},
	} {
		_, err := command.Maker(command.Config{})(tool.Declaration{Name: "t", Kind: command.Kind, Config: json.RawMessage(c.config)})
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.config, err, c.says)
		}
	}
}

func TestSpec(t *testing.T) {
	made, err := command.New(command.Config{}, command.Declared{
		Name: "fetch", Command: []string{"curl", "--", "https://a.test/${args.path}?q=${args.q}&p=${args.path}"}, Network: command.Network{Allow: []string{"a.test:443"}},
		Options: durable.StepOptions{Effect: durable.Read, Timeout: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	spec := made.Spec()
	if want := `{"additionalProperties":false,"properties":{"path":{"type":"string"},"q":{"type":"string"}},"required":["path","q"],"type":"object"}`; string(spec.Schema) != want {
		t.Errorf("schema %s", spec.Schema)
	}
	if spec.Options.Effect != durable.Read || spec.Options.Timeout != time.Minute || spec.Flow != (tool.Flow{Untrusted: true, Egress: true}) || !strings.HasPrefix(spec.Description, "Runs: curl") {
		t.Errorf("got %+v", spec)
	}
}

// TestProgress: lines are seen while the command runs, and the key of the step is in its
// environment.
func TestProgress(t *testing.T) {
	needsJail(t)
	dir := t.TempDir()
	made, err := command.New(withSecrets(), command.Declared{
		Name: "build", Workspace: dir, Secrets: map[string]string{"AUTH": "${secret:TOKEN}", "KEY": "${secret:KEY}"},
		Command: []string{"sh", "-c", `echo "key $ORPINE_IDEMPOTENCY_KEY"; while [ ! -e seen ]; do :; done; cat "$AUTH"; echo; cat "$KEY"; printf '\nlast'`},
	})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	ctx := durable.WithAttempt(t.Context(), &durable.Attempt{Key: "r/0/1", Emit: func(kind string, data json.RawMessage) {
		var line struct{ Line string }
		if err := json.Unmarshal(data, &line); err != nil || kind != "progress" {
			t.Errorf("%s %s: %v", kind, data, err)
		}
		if len(lines) == 0 { // the command waits for this
			if err := os.WriteFile(filepath.Join(dir, "seen"), nil, 0o600); err != nil {
				t.Error(err)
			}
		}
		lines = append(lines, line.Line)
	}})
	got := dispatch(ctx, t, made, `{}`)
	if want := []string{"key r/0/1", "[secret:TOKEN]", "[secret:KEY]", "last"}; !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
	if want := "key r/0/1\n[secret:TOKEN]\n[secret:KEY]\nlast"; got.Content != want || got.Error {
		t.Errorf("got %+v", got)
	}
}

// TestCancel: whoever cancels a call ends the command with all it has started.
func TestCancel(t *testing.T) {
	needsJail(t)
	dir := t.TempDir()
	made, err := command.Shell(command.Config{}, command.Declared{Workspace: dir})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("not needed any more")
	begun := durable.WithAttempt(ctx, &durable.Attempt{Emit: func(string, json.RawMessage) { cancel(cause) }})
	_, err = made.Call(begun, json.RawMessage(`{"command":"(trap '' TERM; sleep 1000)& echo begun; sleep 1000; touch late"}`))
	if !errors.Is(err, cause) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "late")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it went on: %v", err)
	}
}

// TestNoJail: a machine that has no jail is a reason not to call, and no reason to call
// without one.
func TestNoJail(t *testing.T) {
	refused := &sandbox.RefusedError{Missing: "there are no user namespaces", Mend: "allow them"}
	tiers := []sandbox.Tier{}
	made, err := command.New(command.Config{Sandbox: func(tier sandbox.Tier) (*sandbox.Sandbox, error) {
		tiers = append(tiers, tier)
		return nil, refused
	}}, command.Declared{Name: "t", Command: []string{"true"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.Call(t.Context(), nil); !errors.Is(err, durable.ErrDenied) || !strings.Contains(err.Error(), "allow them") {
		t.Errorf("got %v", err)
	}
	if !slices.Equal(tiers, []sandbox.Tier{sandbox.TierJail}) {
		t.Errorf("asked for %v", tiers)
	}
}

// TestTierNone: by name, and where the operator offers it.
func TestTierNone(t *testing.T) {
	made, err := command.New(command.Config{Sandbox: func(tier sandbox.Tier) (*sandbox.Sandbox, error) {
		return sandbox.New(sandbox.Config{Tier: tier})
	}}, command.Declared{Name: "t", Command: []string{"readlink", "/proc/self/ns/user"}, Tier: sandbox.TierNone})
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Readlink("/proc/self/ns/user")
	if err != nil {
		t.Fatal(err)
	}
	if got := dispatch(t.Context(), t, made, `{}`); got.Content != here+"\n" {
		t.Errorf("got %q, want %q", got.Content, here)
	}
	if !made.Spec().Flow.Egress {
		t.Error("what runs without walls can tell everybody")
	}
}
