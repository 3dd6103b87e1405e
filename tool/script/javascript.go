package script

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the engine and what runs before a script
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/orpine-run/orpine/durable"
)

//go:embed prelude.js
var prelude string

// errTime is why a script was stopped.
var errTime = errors.New("it ran longer than it may")

// What the engine exports, by the names that its build gave them.
const (
	fnInit            = "u"
	fnMalloc          = "v"
	fnNewRuntime      = "K"
	fnMemoryLimit     = "y"
	fnStackSize       = "D"
	fnEnableInterrupt = "Fa"
	fnNewContext      = "N"
	fnEval            = "pa"
	fnException       = "na"
	fnDump            = "oa"
	fnGetString       = "$"
	fnPendingJobs     = "ga"
)

// stackBytes is how much of its stack JavaScript may use.
const stackBytes = 256 << 10

func memoryText(mb int) string {
	return "it needs more memory than it may have (" + strconv.Itoa(mb) + " MB)"
}

// javaScript runs a script in an engine of its own.
func (s *script) javaScript(ctx context.Context, code string, input json.RawMessage) (answer, error) {
	compiled, err := s.tools.js.get(ctx, s.declared.MemoryMB)
	if err != nil {
		return answer{}, err
	}
	inside, cancel := context.WithTimeoutCause(ctx, s.timeout, errTime)
	defer cancel()
	steps := &counter{left: s.declared.Steps}
	inside = context.WithValue(inside, counterKey{}, steps)
	instance, err := compiled.runtime.InstantiateModule(inside, compiled.module, wazero.NewModuleConfig().WithName("").WithStartFunctions())
	vm := &vm{ctx: inside, module: instance, err: err}
	if err == nil {
		defer instance.Close(ctx) //nolint:errcheck // it has ended
	}
	a := vm.run(s.declared.MemoryMB, steps, expression(ctx, code, input))
	switch {
	case ctx.Err() != nil:
		return answer{}, context.Cause(ctx)
	case errors.Is(context.Cause(inside), errTime) && vm.err != nil:
		return answer{Error: fmt.Sprintf("%v (%v)", errTime, s.timeout)}, nil
	case steps.left < 0:
		a.Error = fmt.Sprintf("it took more than %d steps", s.declared.Steps)
	case vm.err != nil:
		line, _, _ := strings.Cut(vm.err.Error(), "\n")
		return answer{Error: "it was stopped: " + line}, nil
	case strings.Contains(a.Error, "InternalError: out of memory"), a.Error == "null":
		a.Error = memoryText(s.declared.MemoryMB)
	}
	return a, nil
}

// expression is the prelude, called with the script.
func expression(ctx context.Context, code string, input json.RawMessage) string {
	key := ""
	if a := durable.AttemptOf(ctx); a != nil {
		key = a.Key
	}
	seed := sha256.Sum256([]byte(key))
	if len(input) == 0 {
		input = json.RawMessage("null")
	}
	text := func(s string) string {
		data, err := json.Marshal(s)
		if err != nil { // a string always encodes
			return `""`
		}
		return string(data)
	}
	var numbers strings.Builder
	for i := range 4 {
		fmt.Fprintf(&numbers, ", %d", int32(binary.LittleEndian.Uint32(seed[4*i:]))) //nolint:gosec // its bits count
	}
	return prelude + "(" + text(code) + ", " + text(string(input)) + numbers.String() + ")"
}

// counter counts steps: the engine asks for each of them whether it should stop.
type counter struct{ left int64 }

type counterKey struct{}

// vm drives one engine. The first error stays; calls after it do nothing.
type vm struct {
	ctx     context.Context //nolint:containedctx // a vm lives as long as its call
	module  api.Module
	runtime uint64
	context uint64
	err     error
}

// run evaluates the expression and all jobs it leaves, and asks what became of it.
func (v *vm) run(memoryMB int, steps *counter, expression string) answer {
	v.call(fnInit)
	v.runtime = v.call(fnNewRuntime)
	v.call(fnMemoryLimit, v.runtime, uint64(memoryMB-4)<<20) //nolint:gosec // it is 32 or more
	v.call(fnStackSize, v.runtime, stackBytes)
	v.call(fnEnableInterrupt, v.runtime)
	v.context = v.call(fnNewContext, v.runtime, 0)
	failed := v.eval(expression)
	if failed == "" {
		failed = v.jobs()
	}
	if steps.left < 0 {
		steps.left = math.MinInt64 / 2 // let it say what it printed
	}
	result := v.eval("__report()")
	var a answer
	if v.err != nil || json.Unmarshal([]byte(result), &a) != nil {
		a = answer{}
		if failed == "" {
			failed = result
		}
	}
	if failed != "" {
		a.Error = failed
	}
	return a
}

// call calls a function of the engine.
func (v *vm) call(name string, args ...uint64) uint64 {
	if v.err != nil {
		return 0
	}
	results, err := v.module.ExportedFunction(name).Call(v.ctx, args...)
	if err != nil {
		v.err = err
		return 0
	}
	if len(results) == 0 {
		return 0
	}
	return results[0]
}

// eval evaluates a script and returns its value if it is a string, or the text of what it
// threw.
func (v *vm) eval(script string) string {
	code, name := v.text(script), v.text("script.js")
	value := v.call(fnEval, v.context, code, uint64(len(script)), name, 0, 0)
	if thrown := v.call(fnException, v.context, value); thrown != 0 {
		return "thrown: " + v.string(v.call(fnDump, v.context, thrown))
	}
	text := v.string(v.call(fnGetString, v.context, value))
	if text == "undefined" {
		return ""
	}
	return text
}

// jobs runs what promises left to be run, and returns the text of what that threw.
func (v *vm) jobs() string {
	last := v.call(fnMalloc, 8)
	value := v.call(fnPendingJobs, v.runtime, math.MaxUint32, last)
	if thrown := v.call(fnException, v.context, value); thrown != 0 {
		return "thrown: " + v.string(v.call(fnDump, v.context, thrown))
	}
	return ""
}

// text puts a text into the memory of the engine.
func (v *vm) text(s string) uint64 {
	at := v.call(fnMalloc, uint64(len(s)+1))
	if v.err == nil && (at == 0 || !v.module.Memory().Write(uint32(at), append([]byte(s), 0))) { //nolint:gosec // an address
		v.err = errors.New("out of memory")
	}
	return at
}

// string reads a text that ends in a zero.
func (v *vm) string(at uint64) string {
	if v.err != nil || at == 0 {
		return ""
	}
	memory := v.module.Memory()
	all, ok := memory.Read(uint32(at), memory.Size()-uint32(at)) //nolint:gosec // an address
	if !ok {
		return ""
	}
	n := bytes.IndexByte(all[:min(len(all), maxAnswer)], 0)
	if n < 0 {
		v.err = errors.New("its answer is too long")
		return ""
	}
	return string(all[:n])
}
