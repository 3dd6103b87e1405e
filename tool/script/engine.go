package script

import (
	"context"
	"crypto/sha256"
	_ "embed" // the engine
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/orpine-run/orpine/durable"
)

// quickjs is dist/emscripten-module.wasm of the npm package
// @jitl/quickjs-wasmfile-release-sync 0.32.0, packed; its SHA-256 is quickjsSum.
//
//go:embed quickjs.wasm.zst
var quickjs []byte

const quickjsSum = "105c3bed22d457e43e3d1c3c1c6959fda62a8fe06f0fc8a985303c3a2be72232"

// engine keeps the compiled engine of JavaScript, by the memory a script may have.
type engine struct {
	mu       sync.Mutex
	cache    wazero.CompilationCache
	compiled map[int]*compiledEngine
	closed   bool
}

type compiledEngine struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

func newEngine() *engine {
	return &engine{cache: wazero.NewCompilationCache(), compiled: map[int]*compiledEngine{}}
}

func (e *engine) close(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	var failed error
	for _, c := range e.compiled {
		failed = errors.Join(failed, c.runtime.Close(ctx))
	}
	return errors.Join(failed, e.cache.Close(ctx))
}

func (e *engine) get(ctx context.Context, memoryMB int) (*compiledEngine, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, durable.Errorf(durable.CodeUnavailable, "what runs scripts is closed")
	}
	if c := e.compiled[memoryMB]; c != nil {
		return c, nil
	}
	unpacked, err := unpack(quickjs)
	if sum := sha256.Sum256(unpacked); err != nil || hex.EncodeToString(sum[:]) != quickjsSum {
		return nil, durable.Errorf(durable.CodeInternal, "the engine of JavaScript is damaged")
	}
	module, err := ownMemory(unpacked)
	if err != nil {
		return nil, err
	}
	const pagesPerMB = 16
	c := &compiledEngine{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().
		WithCloseOnContextDone(true).WithMemoryLimitPages(uint32(memoryMB*pagesPerMB)).WithCompilationCache(e.cache))} //nolint:gosec // at most 16,384
	if err = offer(ctx, c.runtime); err == nil {
		c.module, err = c.runtime.CompileModule(ctx, module)
	}
	if err != nil {
		_ = c.runtime.Close(ctx) // it was never used
		return nil, durable.Errorf(durable.CodeInternal, "the engine of JavaScript cannot be compiled: %w", err)
	}
	e.compiled[memoryMB] = c
	return c, nil
}

// ownMemory turns the memory that the engine imports into one of its own, for a module of
// the host has none to offer. The limit of the runtime bounds it.
func ownMemory(module []byte) ([]byte, error) {
	broken := durable.Errorf(durable.CodeInternal, "the engine of JavaScript is not the one that is expected")
	if len(module) < 8 {
		return nil, broken
	}
	out, rest, done := append([]byte{}, module[:8]...), module[8:], false
	section := func(id byte, content []byte) {
		out = binary.AppendUvarint(append(out, id), uint64(len(content)))
		out = append(out, content...)
	}
	for len(rest) > 1 {
		id := rest[0]
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) { //nolint:gosec // it is not negative
			return nil, broken
		}
		content := rest[1+n : 1+n+int(size)] //nolint:gosec // checked above
		rest = rest[1+n+int(size):]          //nolint:gosec // checked above
		switch {
		case id == 2:
			// The import is "a" "a", a memory (2) with a maximum (1) of two numbers.
			at := indexMemory(content)
			if at < 0 || content[0] == 0 || content[0] > 127 {
				return nil, broken
			}
			_, n := binary.Uvarint(content[at+6:])
			_, m := binary.Uvarint(content[at+6+n:])
			kept := append([]byte{content[0] - 1}, content[1:at]...)
			content = append(kept, content[at+6+n+m:]...)
		case id > 5 && !done:
			done = true
			section(5, binary.AppendUvarint([]byte{1, 0}, 256)) // 16 MB, as its build wants
		}
		section(id, content)
	}
	return out, nil
}

func indexMemory(imports []byte) int {
	for i := 1; i+6 < len(imports); i++ {
		if string(imports[i:i+6]) == "\x01a\x01a\x02\x01" {
			return i
		}
	}
	return -1
}

// offer makes the functions that the engine imports. Those that would reach out say no.
func offer(ctx context.Context, r wazero.Runtime) error {
	const i32, i64, f64 = api.ValueTypeI32, api.ValueTypeI64, api.ValueTypeF64
	ints := func(n int) []api.ValueType {
		list := make([]api.ValueType, n)
		for i := range list {
			list[i] = i32
		}
		return list
	}
	b := r.NewHostModuleBuilder("a")
	add := func(name string, params, results []api.ValueType, fn api.GoModuleFunc) {
		b.NewFunctionBuilder().WithGoModuleFunction(fn, params, results).Export(name)
	}
	say := func(value uint64) api.GoModuleFunc {
		return func(_ context.Context, _ api.Module, stack []uint64) { stack[0] = value }
	}
	stop := func(why string) api.GoModuleFunc {
		return func(context.Context, api.Module, []uint64) { panic(errors.New(why)) } // wazero makes an error of it
	}
	nothing := func(context.Context, api.Module, []uint64) {}
	add("b", ints(4), nil, stop("an assertion failed"))
	add("c", ints(4), ints(1), written)
	add("d", ints(1), ints(1), say(52)) // close a file: not there
	add("e", ints(2), ints(1), say(0))  // the environment
	add("f", ints(2), ints(1), noEnvironment)
	add("g", ints(4), ints(1), stop("there are no modules"))
	add("h", ints(3), ints(1), stop("there are no modules"))
	add("i", ints(1), ints(1), interrupt)
	add("j", []api.ValueType{i32, f64}, ints(1), say(0)) // a timer
	add("k", ints(1), ints(1), resize)
	add("l", nil, nil, nothing)
	add("m", []api.ValueType{i64, i32}, nil, localTime)
	add("n", ints(4), nil, zone)
	add("o", []api.ValueType{i32, i64, i32, i32}, ints(1), say(70)) // seek in a file: it cannot
	add("p", nil, []api.ValueType{f64}, say(math.Float64bits(0)))   // the time
	add("q", nil, nil, stop("it was aborted"))
	add("r", ints(1), nil, stop("it has ended"))
	add("s", ints(5), ints(1), stop("there are no functions of the host"))
	add("t", ints(2), nil, nothing)
	_, err := b.Instantiate(ctx)
	return err
}

// interrupt says whether a script has used up its steps. It is asked every ten thousand of
// the engine's own.
func interrupt(ctx context.Context, _ api.Module, stack []uint64) {
	stack[0] = 0
	c, ok := ctx.Value(counterKey{}).(*counter)
	if !ok || c.left <= math.MinInt64/4 {
		return
	}
	if c.left--; c.left < 0 {
		stack[0] = 1
	}
}

// resize grows the memory to so many bytes, if it may.
func resize(_ context.Context, m api.Module, stack []uint64) {
	const page = 64 << 10
	want, have := uint64(uint32(stack[0])), uint64(m.Memory().Size()) //nolint:gosec // an unsigned number of 32 bits
	stack[0] = 1
	for _, more := range []uint64{want / 5, 0} { // some to spare, if there is
		pages := (want + more + page - 1 - min(have, want)) / page
		if _, ok := m.Memory().Grow(uint32(pages)); ok { //nolint:gosec // of 32 bits
			return
		}
	}
	stack[0] = 0
}

// written takes what is written to a file, which goes nowhere, as written.
func written(_ context.Context, m api.Module, stack []uint64) {
	total := uint32(0)
	for i := range uint32(stack[2]) { //nolint:gosec // of 32 bits
		n, ok := m.Memory().ReadUint32Le(uint32(stack[1]) + 8*i + 4) //nolint:gosec // an address
		if !ok {
			break
		}
		total += n
	}
	m.Memory().WriteUint32Le(uint32(stack[3]), total) //nolint:gosec // an address
	stack[0] = 0
}

func noEnvironment(_ context.Context, m api.Module, stack []uint64) {
	m.Memory().WriteUint32Le(uint32(stack[0]), 0) //nolint:gosec // an address
	m.Memory().WriteUint32Le(uint32(stack[1]), 0) //nolint:gosec // an address
	stack[0] = 0
}

// localTime fills a struct tm: every place is in UTC.
func localTime(_ context.Context, m api.Module, stack []uint64) {
	seconds := max(min(int64(stack[0]), 1<<40), -1<<40) //nolint:gosec // a signed number
	t := time.Unix(seconds, 0).UTC()
	for i, v := range []int{t.Second(), t.Minute(), t.Hour(), t.Day(), int(t.Month()) - 1, t.Year() - 1900, int(t.Weekday()), t.YearDay() - 1, 0, 0} {
		m.Memory().WriteUint32Le(uint32(stack[1])+uint32(4*i), uint32(v)) //nolint:gosec // an address, and a small number
	}
}

func zone(_ context.Context, m api.Module, stack []uint64) {
	for i, text := range []string{"\x00\x00\x00\x00", "\x00\x00\x00\x00", "UTC\x00", "UTC\x00"} {
		m.Memory().Write(uint32(stack[i]), []byte(text)) //nolint:gosec // an address
	}
}
