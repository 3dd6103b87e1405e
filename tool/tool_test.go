package tool_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

var update = flag.Bool("update", false, "rewrite the golden files")

type leg struct {
	From string `json:"from"`
	To   string `json:"to" jsonschema:"an airport code"`
}

type trip struct {
	Who    string            `json:"who" jsonschema:"the passenger"`
	Legs   []leg             `json:"legs,omitempty" jsonschema:"in order"`
	Seats  int               `json:"seats,omitempty"`
	Price  float64           `json:"price"`
	Round  bool              `json:"round,omitempty"`
	Notes  map[string]string `json:"notes,omitempty"`
	Hidden string            `json:"-"`
}

func plan(_ context.Context, in trip) (trip, error) { return in, nil }

// TestFuncSchema pins what a model is shown for a Go type.
func TestFuncSchema(t *testing.T) {
	spec := tool.Func("plan", "Plans a trip.", plan, tool.Idempotent, tool.Timeout(time.Second), tool.Retry(durable.Retry{Attempts: 2})).Spec()
	if spec.Name != "plan" || spec.Description != "Plans a trip." {
		t.Errorf("spec %+v", spec)
	}
	want := durable.StepOptions{Effect: durable.Idempotent, Timeout: time.Second, Retry: durable.Retry{Attempts: 2}}
	if diff := cmp.Diff(want, spec.Options); diff != "" {
		t.Errorf("options: -want +got\n%s", diff)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, spec.Schema, "", "  "); err != nil {
		t.Fatal(err)
	}
	b.WriteByte('\n')
	path := filepath.Join("testdata", "schema.golden")
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), b.String()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

func TestFuncResults(t *testing.T) {
	call := func(tl tool.Tool, args string) tool.Result {
		t.Helper()
		r, err := tl.Call(t.Context(), json.RawMessage(args))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	text := tool.Func("text", "", func(_ context.Context, in leg) (string, error) { return "<" + in.From + ">", nil })
	if got := call(text, `{"from":"A","to":"B"}`); !cmp.Equal(got, tool.Result{Content: "<A>"}) {
		t.Errorf("a string is told as %+v", got)
	}
	value := tool.Func("value", "", func(_ context.Context, in leg) (leg, error) { return in, nil })
	if got := call(value, `{"from":"A","to":"B"}`); got.Content != `{"from":"A","to":"B"}` {
		t.Errorf("a value is told as %+v", got)
	}
	if _, err := value.Call(t.Context(), json.RawMessage(`{"from":1}`)); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("arguments of another type: %v", err)
	}
	odd := tool.Func("odd", "", func(context.Context, leg) (func(), error) { return func() {}, nil })
	if _, err := odd.Call(t.Context(), json.RawMessage(`{}`)); err == nil {
		t.Error("a result that is no JSON was told")
	}
}

// fixed is a tool with a spec of its own.
type fixed struct {
	spec tool.Spec
	call func(ctx context.Context, args json.RawMessage) (tool.Result, error)
}

func (f fixed) Spec() tool.Spec { return f.spec }

func (f fixed) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	return f.call(ctx, args)
}

func named(name, schema string) fixed {
	return fixed{spec: tool.Spec{Name: name, Schema: json.RawMessage(schema)}}
}

func TestRegistryErrors(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct {
		name  string
		tools []tool.Tool
		says  string // empty = no error
	}{
		{"none", nil, ""},
		{"good names", []tool.Tool{named("a", ""), named("A-b_9", ""), named(long, "")}, ""},
		{"no name", []tool.Tool{named("", "")}, "begins with a letter"},
		{"a digit first", []tool.Tool{named("1a", "")}, "begins with a letter"},
		{"two slashes", []tool.Tool{named("files/read/all", "")}, "register tool files/read/all"},
		{"one name for models", []tool.Tool{named("files/read", ""), named("files__read", "")}, "models would know it as files__read, like files/read"},
		{"too long", []tool.Tool{named(long+"a", "")}, "up to 64"},
		{"taken", []tool.Tool{named("a", ""), named("b", ""), named("a", "")}, "the name is taken"},
		{"schema is not JSON", []tool.Tool{named("a", `{`)}, "its schema"},
		{"schema of a string", []tool.Tool{named("a", `{"type":"string"}`)}, "must be that of an object"},
		{"schema without a type", []tool.Tool{named("a", `{}`)}, "must be that of an object"},
		{"schema with a reference to nothing", []tool.Tool{named("a", `{"type":"object","$ref":"#/nowhere"}`)}, "its schema"},
		{"Go type without a schema", []tool.Tool{tool.Func("f", "", func(context.Context, struct{ F func() }) (string, error) { return "", nil })}, "no JSON Schema"},
		{"Go type that is no struct", []tool.Tool{tool.Func("f", "", func(context.Context, string) (string, error) { return "", nil })}, "must be that of an object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tool.NewRegistry(c.tools...)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want invalid with %q", err, c.says)
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	r, err := tool.NewRegistry(named("b", ""), tool.Func("plan", "Plans.", plan, tool.Read), named("a", `{"type":"object","required":["x"]}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a", "b", "plan"}, r.Names()); diff != "" {
		t.Errorf("names: %s", diff)
	}
	specs := r.Specs()
	if len(specs) != 3 || specs[0].Name != "a" || specs[2].Name != "plan" {
		t.Errorf("specs %+v", specs)
	}
	b, ok := r.Spec("b")
	want := tool.Spec{Name: "b", Schema: json.RawMessage(`{"type":"object"}`), Options: durable.StepOptions{Effect: durable.Irreversible, Timeout: 2 * time.Minute}}
	if diff := cmp.Diff(want, b); !ok || diff != "" {
		t.Errorf("a tool that says nothing: -want +got\n%s", diff)
	}
	if p, _ := r.Spec("plan"); p.Options.Effect != durable.Read || p.Options.Timeout != 2*time.Minute {
		t.Errorf("options of plan: %+v", p.Options)
	}
	if _, ok := r.Spec("c"); ok {
		t.Error("a tool that is not there")
	}
}

func TestOnly(t *testing.T) {
	r, err := tool.NewRegistry(named("read_file", ""), named("read_page", ""), named("write_file", ""), named("clock", ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		patterns []string
		want     []string // nil = not found
	}{
		{"nothing", []string{}, []string{}},
		{"a name", []string{"clock"}, []string{"clock"}},
		{"a prefix", []string{"read_*"}, []string{"read_file", "read_page"}},
		{"a suffix", []string{"*_file"}, []string{"read_file", "write_file"}},
		{"all", []string{"*"}, []string{"clock", "read_file", "read_page", "write_file"}},
		{"twice", []string{"read_*", "read_file", "clock"}, []string{"clock", "read_file", "read_page"}},
		{"one letter", []string{"cloc?"}, []string{"clock"}},
		{"a class", []string{"[rw]*_file"}, []string{"read_file", "write_file"}},
		{"no part of a name", []string{"read"}, nil},
		{"another case", []string{"Clock"}, nil},
		{"one of two is not there", []string{"clock", "dial"}, nil},
		{"malformed", []string{"[clock"}, nil},
		{"empty", []string{""}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			only, err := r.Only(c.patterns)
			if c.want == nil {
				if !errors.Is(err, durable.ErrNotFound) || !strings.Contains(err.Error(), "read_page") {
					t.Errorf("got %v, want not_found with the names there are", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(only.Names(), " "); got != strings.Join(c.want, " ") {
				t.Errorf("got %s, want %v", got, c.want)
			}
		})
	}
	if len(r.Names()) != 4 {
		t.Error("the registry changed")
	}
}

func TestDispatch(t *testing.T) {
	fail := func(name string, err error) tool.Tool {
		return tool.Func(name, "", func(context.Context, struct{}) (string, error) { return "", err }, tool.Read)
	}
	r, err := tool.NewRegistry(
		tool.Func("echo", "", func(_ context.Context, in leg) (string, error) { return in.From + "-" + in.To, nil }, tool.Read),
		tool.Func("free", "", func(context.Context, struct{}) (string, error) { return "yes", nil }, tool.Read),
		tool.Func("boom", "", func(context.Context, struct{}) (string, error) { panic("kaboom") }, tool.Read),
		fail("plain", errors.New("no such city")),
		fail("denied", durable.Errorf(durable.CodeDenied, "not you")),
		fail("final", &durable.Error{Code: durable.CodeUnavailable, Final: true, Err: errors.New("gone for ever")}),
		fail("busy", durable.Errorf(durable.CodeUnavailable, "busy")),
		fail("limited", fmt.Errorf("api: %w", durable.Errorf(durable.CodeExhausted, "429"))),
		fail("late", fmt.Errorf("get: %w", context.DeadlineExceeded)),
	)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		call   tool.Call
		says   []string // of the result
		failed bool     // the result is an error that the model is told
		err    error    // what the engine is told instead
	}{
		{name: "good", call: tool.Call{Name: "echo", Args: json.RawMessage(`{"from":"A","to":"B"}`)}, says: []string{"A-B"}},
		{name: "unknown", call: tool.Call{Name: "ecko"}, says: []string{`no tool "ecko"`, "boom, busy", "echo"}, failed: true},
		{name: "malformed", call: tool.Call{Name: "echo", Malformed: `{"from`}, says: []string{"not JSON", `{"from`, `"required"`}, failed: true},
		{name: "malformed and endless", call: tool.Call{Name: "echo", Malformed: strings.Repeat("ä", 10_000)}, says: []string{"ä…"}, failed: true},
		{name: "no arguments", call: tool.Call{Name: "free"}, says: []string{"yes"}},
		{name: "null", call: tool.Call{Name: "free", Args: json.RawMessage(`null`)}, says: []string{"yes"}},
		{name: "blank", call: tool.Call{Name: "free", Args: json.RawMessage(" \n")}, says: []string{"yes"}},
		{name: "not an object", call: tool.Call{Name: "echo", Args: json.RawMessage(`[1]`)}, says: []string{"must be a JSON object"}, failed: true},
		{name: "cut", call: tool.Call{Name: "echo", Args: json.RawMessage(`{"from":`)}, says: []string{"must be a JSON object"}, failed: true},
		{name: "a field is missing", call: tool.Call{Name: "echo", Args: json.RawMessage(`{"from":"A"}`)}, says: []string{"do not match", "to", "The schema:"}, failed: true},
		{name: "a field of another type", call: tool.Call{Name: "echo", Args: json.RawMessage(`{"from":"A","to":7}`)}, says: []string{"do not match"}, failed: true},
		{name: "a field too many", call: tool.Call{Name: "echo", Args: json.RawMessage(`{"from":"A","to":"B","via":"C"}`)}, says: []string{"do not match"}, failed: true},
		{name: "a field twice", call: tool.Call{Name: "echo", Args: json.RawMessage(`{"from":"X","to":"B","from":"A"}`)}, says: []string{`name "from" twice`}, failed: true},
		{name: "a field in capitals too", call: tool.Call{Name: "echo", Args: json.RawMessage(`{"from":"A","to":"B","FROM":"X"}`)}, says: []string{`name "FROM" twice`}, failed: true},
		{name: "a plain error is told", call: tool.Call{Name: "plain"}, says: []string{"plain: no such city"}, failed: true},
		{name: "a denial is told", call: tool.Call{Name: "denied"}, says: []string{"denied: not you"}, failed: true},
		{name: "a final error is told", call: tool.Call{Name: "final"}, says: []string{"gone for ever"}, failed: true},
		{name: "a panic is told", call: tool.Call{Name: "boom"}, says: []string{"boom: it panicked: kaboom"}, failed: true},
		{name: "unavailable is for the engine", call: tool.Call{Name: "busy"}, err: durable.ErrUnavailable},
		{name: "a limit is for the engine", call: tool.Call{Name: "limited"}, err: durable.ErrExhausted},
		{name: "a deadline is for the engine", call: tool.Call{Name: "late"}, err: context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := r.Dispatch(t.Context(), c.call)
			if !errors.Is(err, c.err) || (err != nil) != (c.err != nil) {
				t.Fatalf("got error %v, want %v", err, c.err)
			}
			if got.Error != c.failed {
				t.Errorf("told as an error: %v, want %v: %s", got.Error, c.failed, got.Content)
			}
			for _, s := range c.says {
				if !strings.Contains(got.Content, s) {
					t.Errorf("%q is not in %q", s, got.Content)
				}
			}
			if c.err != nil && !cmp.Equal(got, tool.Result{}) {
				t.Errorf("an error and a result: %+v", got)
			}
			if len(got.Content) > 6000 {
				t.Errorf("the model is told %d bytes", len(got.Content))
			}
		})
	}
}

// TestDispatchTime: a call ends with its context; a tool that takes no notice gets
// one second of grace and is then left behind.
func TestDispatchTime(t *testing.T) {
	cause := durable.Errorf(durable.CodeUnavailable, "timed out after 5s")
	for _, c := range []struct {
		name string
		call func(ctx context.Context, release <-chan struct{}) (string, error)
		took time.Duration
		says string // of the result; empty = an error
	}{
		{"in time", func(context.Context, <-chan struct{}) (string, error) {
			<-time.After(4 * time.Second)
			return "done", nil
		}, 4 * time.Second, "done"},
		{"takes notice", func(ctx context.Context, _ <-chan struct{}) (string, error) {
			<-ctx.Done()
			return "", context.Cause(ctx)
		}, 5 * time.Second, ""},
		{"ends within the grace", func(ctx context.Context, _ <-chan struct{}) (string, error) {
			<-ctx.Done()
			<-time.After(900 * time.Millisecond)
			return "just done", nil
		}, 5900 * time.Millisecond, "just done"},
		{"takes no notice", func(_ context.Context, release <-chan struct{}) (string, error) {
			<-release
			return "too late", nil
		}, 6 * time.Second, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				defer close(release)
				r, err := tool.NewRegistry(tool.Func("slow", "", func(ctx context.Context, _ struct{}) (string, error) { return c.call(ctx, release) }))
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Second, cause)
				defer cancel()
				began := time.Now()
				got, err := r.Dispatch(ctx, tool.Call{Name: "slow"})
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if got.Content != c.says || (c.says == "") != errors.Is(err, durable.ErrUnavailable) {
					t.Errorf("got %+v, error %v", got, err)
				}
			})
		})
	}
}
