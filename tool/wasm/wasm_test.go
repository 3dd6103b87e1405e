package wasm_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/wasm"
)

// guest is the module of the tests, built by the Go tool.
var guest = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "orpine-wasm")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "guest.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./testdata/guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

var shared = wasm.New() // compiling the guest takes a while

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if path, err := guest(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

func declared(t testing.TB, args ...string) wasm.Declared {
	t.Helper()
	path, err := guest()
	if err != nil {
		t.Fatal(err)
	}
	return wasm.Declared{Module: path, Args: args, MemoryMB: 64, Timeout: "20s"}
}

func call(t testing.TB, d wasm.Declared, args string) (tool.Result, error) {
	t.Helper()
	declaration, err := wasm.Declare("guest", d)
	if err != nil {
		t.Fatal(err)
	}
	made, err := shared.Make(declaration)
	if err != nil {
		t.Fatal(err)
	}
	r, err := tool.NewRegistry(made)
	if err != nil {
		t.Fatal(err)
	}
	ctx := durable.WithAttempt(t.Context(), &durable.Attempt{Key: "run/0/1"})
	return r.Dispatch(ctx, tool.Call{Name: "guest", Args: json.RawMessage(args)})
}

func TestCall(t *testing.T) {
	t.Setenv("ORPINE_CANARY", "of the host")
	for _, c := range []struct {
		name   string
		args   []string
		input  string
		want   string
		failed bool
	}{
		{"echo", []string{"echo"}, `{"a":[1,"é"]}`, `{"a":[1,"é"]}`, false},
		{"nothing", []string{"echo"}, ``, `{}`, false},
		{"arguments", []string{"args", "--x", "y z"}, ``, "guest args --x y z", false},
		{"environment", []string{"env"}, ``, "ORPINE_IDEMPOTENCY_KEY=run/0/1", false},
		{"an exit code", []string{"fail"}, ``, "it ended with exit code 7: this is why", true},
		{"a panic", []string{"panic"}, ``, "exit code 3", true},
		{"no network", []string{"dial", "127.0.0.1:1"}, ``, "listens, in its own memory", false},
	} {
		got, err := call(t, declared(t, c.args...), c.input)
		if err != nil || got.Content != c.want && (!c.failed || !strings.Contains(got.Content, c.want)) || got.Error != c.failed {
			t.Errorf("%s: got %+v, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		name string
		verb string
		set  func(*wasm.Declared)
		says string
	}{
		{"a loop", "loop", func(d *wasm.Declared) { d.Timeout = "300ms" }, "ran longer than it may (300ms)"},
		{"a loop of calls", "calls", func(d *wasm.Declared) { d.Timeout = "300ms" }, "ran longer"},
		{"fuel", "calls", func(d *wasm.Declared) { d.MaxCalls = 1_000_000 }, "called more functions than it may (1000000)"},
		{"sleep", "sleep", func(d *wasm.Declared) { d.Timeout = "300ms" }, "ran longer"},
		{"memory", "memory", func(d *wasm.Declared) { d.MemoryMB = 16 }, "out of memory"},
		{"output", "output", func(d *wasm.Declared) { d.MaxBytes = 10_000 }, "wrote more than it may (10000 bytes)"},
		{"errors", "stderr", func(d *wasm.Declared) { d.MaxBytes = 10_000 }, "wrote more"},
	} {
		d := declared(t, c.verb)
		if c.set != nil {
			c.set(&d)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		got, err := call(t, d, ``)
		took := time.Since(start)
		runtime.GC()
		runtime.ReadMemStats(&after)
		if err != nil || !got.Error || !strings.Contains(got.Content, c.says) || len(got.Content) > 3000 {
			t.Errorf("%s: got %.300s, %v; want %q", c.name, got.Content, err, c.says)
		}
		if took > 60*time.Second {
			t.Errorf("%s: it took %v", c.name, took)
		}
		t.Logf("%s: %v", c.name, took)
		if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 256<<20 {
			t.Errorf("%s: %d MB are left behind", c.name, grown>>20)
		}
	}
}

// What a module is stopped by from outside is not its own fault.
func TestCanceled(t *testing.T) {
	declaration, err := wasm.Declare("guest", declared(t, "loop"))
	if err != nil {
		t.Fatal(err)
	}
	made, err := shared.Make(declaration)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if got, err := made.Call(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestNoNetwork(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	var reached atomic.Bool
	go func() {
		if _, err := l.Accept(); err == nil {
			reached.Store(true)
		}
	}()
	got, err := call(t, declared(t, "dial", l.Addr().String()), ``)
	if err != nil || strings.Contains(got.Content, "DIAL") || reached.Load() {
		t.Errorf("it reaches the network: %+v, %v", got, err)
	}
}

func TestMany(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			in := `{"n":` + strconv.Itoa(i) + `}`
			if got, err := call(t, declared(t, "echo"), in); err != nil || got.Content != in {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	wg.Wait()
}

type blobs map[string][]byte

func (b blobs) Put(_ context.Context, data []byte) (durable.Ref, error) {
	ref := durable.RefOf(data)
	b[ref.Hash] = data
	return ref, nil
}

func (b blobs) Get(_ context.Context, ref durable.Ref) ([]byte, error) {
	data, ok := b[ref.Hash]
	if !ok {
		return nil, durable.Errorf(durable.CodeNotFound, "there is no blob %s", ref.Hash)
	}
	return data, nil
}

func TestPinned(t *testing.T) {
	d := declared(t, "echo")
	data, err := os.ReadFile(d.Module)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "copy.wasm")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Module = path
	declaration, err := wasm.Declare("guest", d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(data, 0, 2, 1, 'x'), 0o600); err != nil { // a custom section
		t.Fatal(err)
	}
	made, err := shared.Make(declaration)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := made.Call(t.Context(), nil); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("another module in its place: %v", err)
	}

	kept := blobs{}
	ref, err := kept.Put(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	made, err = shared.Make(tool.Declaration{Name: "guest", Kind: wasm.Kind, Config: json.RawMessage(fmt.Sprintf(`{"blob":{"hash":%q,"bytes":%d},"args":["args"]}`, ref.Hash, ref.Bytes))})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := made.Call(durable.WithAttempt(t.Context(), &durable.Attempt{Blobs: kept}), nil); err != nil || got.Content != "guest args" {
		t.Errorf("a blob: %+v, %v", got, err)
	}
	if _, err := made.Call(t.Context(), nil); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a blob outside of a step: %v", err)
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct{ name, config string }{
		{"nothing", `{}`},
		{"both", `{"module":"a","blob":{"hash":"x","bytes":1}}`},
		{"a typo", `{"module":"a","memory":1}`},
		{"memory", `{"module":"a","memory_mb":100000}`},
		{"a timeout", `{"module":"a","timeout":"soon"}`},
		{"a NUL", `{"module":"a","args":["x\u0000y"]}`},
		{"a mount", `{"module":"a","mounts":[{"dir":"d","at":"data"}]}`},
		{"a mount with dots", `{"module":"a","mounts":[{"dir":"d","at":"/data/.."}]}`},
		{"two mounts", `{"module":"a","mounts":[{"dir":"d","at":"/x"},{"dir":"e","at":"/x"}]}`},
	} {
		if _, err := shared.Make(tool.Declaration{Name: "x", Kind: wasm.Kind, Config: json.RawMessage(c.config)}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := wasm.Declare("x", wasm.Declared{Module: "wasm.go"}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("no module: %v", err)
	}
	if _, err := wasm.Declare("x", wasm.Declared{Module: "nowhere.wasm"}); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("not there: %v", err)
	}
}

// BenchmarkCall is one call of a compiled module: a new instance each.
func BenchmarkCall(b *testing.B) {
	d := declared(b, "echo")
	if _, err := call(b, d, ``); err != nil { // it is compiled once
		b.Fatal(err)
	}
	for b.Loop() {
		if got, err := call(b, d, `{"a":1}`); err != nil || got.Error {
			b.Fatal(got, err)
		}
	}
}
