package wasm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	random "math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Tools makes tools of modules and keeps what was compiled for as long as it is open.
type Tools struct {
	cache wazero.CompilationCache

	mu       sync.Mutex
	runtimes map[shape]*runtime
	closed   bool
}

// shape is what modules that share a runtime have in common.
type shape struct {
	memoryMB int
	counted  bool
}

type runtime struct {
	wazero.Runtime
	mu       sync.Mutex
	compiled map[string]wazero.CompiledModule // by hash
}

// New returns a maker of tools.
func New() *Tools {
	return &Tools{cache: wazero.NewCompilationCache(), runtimes: map[shape]*runtime{}}
}

// Close lets go of all compiled modules, and stops those that run. It may be called twice.
func (t *Tools) Close(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	var failed error
	for _, r := range t.runtimes {
		failed = errors.Join(failed, r.Close(ctx))
	}
	return errors.Join(failed, t.cache.Close(ctx))
}

func (t *Tools) runtime(ctx context.Context, s shape) (*runtime, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, durable.Errorf(durable.CodeUnavailable, "what runs modules is closed")
	}
	if r := t.runtimes[s]; r != nil {
		return r, nil
	}
	const pagesPerMB = 16
	config := wazero.NewRuntimeConfig().
		WithCloseOnContextDone(true).
		WithMemoryLimitPages(uint32(s.memoryMB * pagesPerMB)). //nolint:gosec // at most 65,536
		WithCompilationCache(t.cache)
	r := &runtime{Runtime: wazero.NewRuntimeWithConfig(ctx, config), compiled: map[string]wazero.CompiledModule{}}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "offer WASI: %w", err)
	}
	t.runtimes[s] = r
	return r, nil
}

// compile compiles a module once; who comes meanwhile waits.
func (r *runtime) compile(ctx context.Context, p Program, counted bool) (wazero.CompiledModule, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.compiled[p.hash]; c != nil {
		return c, nil
	}
	bounded, err := bound(p.data)
	if err != nil {
		return nil, err
	}
	if counted {
		ctx = withCounting(ctx)
	}
	c, err := r.CompileModule(ctx, bounded)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the module cannot be compiled: %s", firstLine(err))
	}
	r.compiled[p.hash] = c
	return c, nil
}

// Why a module was stopped.
var (
	errTime   = errors.New("it ran longer than it may")
	errOutput = errors.New("it wrote more than it may")
	errCalls  = errors.New("it called more functions than it may")
)

// run makes one call: a new instance, with nothing left of the call before.
func (m *module) run(ctx context.Context, p Program, input []byte) (tool.Result, error) {
	c := &m.declared
	r, err := m.tools.runtime(ctx, shape{c.MemoryMB, c.MaxCalls > 0})
	if err != nil {
		return tool.Result{}, err
	}
	compiled, err := r.compile(ctx, p, c.MaxCalls > 0)
	if err != nil {
		return tool.Result{}, err
	}
	inside, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	inside, cancel := context.WithTimeoutCause(inside, m.limit, errTime)
	defer cancel()
	if c.MaxCalls > 0 {
		inside = withFuel(inside, c.MaxCalls, func() { stop(errCalls) })
	}
	files, closeFiles, err := mount(c.Mounts)
	if err != nil {
		return tool.Result{}, err
	}
	defer closeFiles()
	over := func() { stop(errOutput) }
	stdout, stderr := &output{limit: c.MaxBytes, over: over}, &output{limit: c.MaxBytes, over: over}
	config := wazero.NewModuleConfig().
		WithName(""). // many at once
		WithArgs(append([]string{m.spec.Name}, c.Args...)...).
		WithStdin(bytes.NewReader(input)).WithStdout(stdout).WithStderr(stderr).
		WithFSConfig(files)
	key := ""
	if a := durable.AttemptOf(ctx); a != nil {
		key = a.Key
	}
	if c.Pure { // the clock of the runtime stands still
		config = config.WithRandSource(random.NewChaCha8(sha256.Sum256([]byte(key))))
	} else {
		config = config.WithSysWalltime().WithSysNanotime().WithRandSource(rand.Reader).WithEnv("ORPINE_IDEMPOTENCY_KEY", key).
			WithNanosleep(func(ns int64) { sleep(inside, time.Duration(ns)) })
	}
	instance, err := r.InstantiateModule(inside, compiled, config)
	if instance != nil {
		_ = instance.Close(ctx) // it has ended
	}
	if ctx.Err() != nil {
		return tool.Result{}, context.Cause(ctx)
	}
	return m.outcome(err, context.Cause(inside), stdout, stderr), nil
}

// outcome says what became of a module that has ended.
func (m *module) outcome(err, stopped error, stdout, stderr *output) tool.Result {
	var exit *sys.ExitError
	switch {
	case stopped != nil && err != nil:
		detail := map[error]string{
			errTime: fmt.Sprintf(" (%v)", m.limit), errOutput: fmt.Sprintf(" (%d bytes)", m.declared.MaxBytes), errCalls: fmt.Sprintf(" (%d)", m.declared.MaxCalls),
		}[stopped]
		return failed(stopped.Error()+detail, stdout, stderr)
	case errors.As(err, &exit) && exit.ExitCode() != 0:
		return failed(fmt.Sprintf("it ended with exit code %d", exit.ExitCode()), stdout, stderr)
	case err != nil && exit == nil:
		return failed("it was stopped: "+firstLine(err), stdout, stderr)
	}
	return tool.Result{Content: stdout.String()}
}

// failed is a tool error with how what the module wrote begins and ends.
func failed(why string, stdout, stderr *output) tool.Result {
	text := stderr.String()
	if strings.TrimSpace(text) == "" {
		text = stdout.String()
	}
	const half = 1000
	if len(text) > 2*half {
		text = strings.ToValidUTF8(text[:half], "") + "\n…\n" + strings.ToValidUTF8(text[len(text)-half:], "")
	}
	if text = strings.TrimSpace(text); text != "" {
		why += ": " + text
	}
	return tool.Result{Content: why, Error: true}
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// sleep waits, but not beyond the end of a call.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// output keeps what a module writes, up to its limit.
type output struct {
	bytes.Buffer
	limit int
	over  func()
}

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) {
	if room := o.limit - o.Len(); len(p) > room {
		n, _ := o.Buffer.Write(p[:max(room, 0)])
		o.over()
		return n, errOutput
	}
	return o.Buffer.Write(p)
}

// String returns it as text: what is no UTF-8 is replaced.
func (o *output) String() string { return strings.ToValidUTF8(o.Buffer.String(), "\ufffd") }
