package durable

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"
)

// Func is a step function with Go types, made by [NewFunc]. Input and output
// travel as JSON.
type Func[I, O any] struct{ StepFunc }

// NewFunc makes a step function. The name is stored in journals: once released
// it keeps its meaning. A zero Effect means Idempotent.
func NewFunc[I, O any](name string, o StepOptions, fn func(ctx context.Context, in I) (O, error)) Func[I, O] {
	call := func(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
		var in I
		if err := Decode(input, &in); err != nil {
			return nil, &Error{Code: CodeInvalid, Op: "decode input of " + name, Err: err}
		}
		out, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		return encode(out)
	}
	return Func[I, O]{StepFunc{Name: name, Options: o, Call: call, encodes: encodes[O](), reads: reads[O]}}
}

// encodes reports whether what encode makes of an O is JSON for certain.
func encodes[O any]() bool {
	return reflect.TypeFor[O]() != reflect.TypeFor[json.RawMessage]() && reflect.TypeFor[O]().Kind() != reflect.Interface
}

// reads wants an O in JSON that holds nothing else.
func reads[O any](output json.RawMessage) error {
	t := reflect.TypeFor[O]()
	if !encodes[O]() {
		return nil // whatever is JSON
	}
	if string(output) == "null" && t.Kind() != reflect.Pointer && t.Kind() != reflect.Map && t.Kind() != reflect.Slice {
		return Errorf(CodeInvalid, "a result of null is none: it must be %s", wanted(t))
	}
	dec := json.NewDecoder(bytes.NewReader(output))
	dec.DisallowUnknownFields()
	err := dec.Decode(new(O))
	switch other, ok := errors.AsType[*json.UnmarshalTypeError](err); {
	case err == nil:
		return nil
	case ok && other.Field == "": // its text names a Go type
		return Errorf(CodeInvalid, "the result must be %s, not a JSON %s", wanted(t), other.Value)
	case ok:
		return Errorf(CodeInvalid, "the result must be %s; its %s is a JSON %s", wanted(t), other.Field, other.Value)
	}
	return Errorf(CodeInvalid, "the result must be %s (%w)", wanted(t), err)
}

// wanted describes a type in words of JSON.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Pointer:
		return wanted(t.Elem())
	case reflect.String:
		return `a text, like "this"`
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "a list, like [...]"
	case reflect.Struct:
		var fields []string
		for _, f := range reflect.VisibleFields(t) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.IsExported() && !f.Anonymous && name != "-" {
				fields = append(fields, fmt.Sprintf("%q: ...", cmp.Or(name, f.Name)))
			}
		}
		return "an object of these fields: {" + strings.Join(fields, ", ") + "}"
	case reflect.Map:
		return "an object, like {...}"
	default:
		return "a number"
	}
}

// Promise is a Future with a Go type.
type Promise[O any] struct{ Future }

// Await waits for the result.
func (p Promise[O]) Await(ctx Context) (O, error) {
	var out O
	err := p.Get(ctx, &out)
	return out, err
}

// Start issues a step and goes on; Await its promise for the result.
func Start[I, O any](ctx Context, fn Func[I, O], in I) Promise[O] {
	return StartAs(ctx, fn.Name, fn, in)
}

// StartAs is Start with a name of its own for the step.
func StartAs[I, O any](ctx Context, name string, fn Func[I, O], in I) Promise[O] {
	return Promise[O]{ctx.Step(StepCall{Func: fn.Name, Name: name, Input: mustEncode(in), Options: fn.Options})}
}

// Do runs a step and waits for its result.
func Do[I, O any](ctx Context, fn Func[I, O], in I) (O, error) {
	return Start(ctx, fn, in).Await(ctx)
}

// Now is the time of the last journal entry the program has seen.
func Now(ctx Context) time.Time { return ctx.Info().Now }

// Sleep waits d; it returns early with ErrCanceled after a cancel.
func Sleep(ctx Context, d time.Duration) error { return ctx.Timer(d).Get(ctx, nil) }

// Receive waits for the next signal with this name.
func Receive[T any](ctx Context, name string) (T, error) {
	var v T
	err := ctx.Inbox(name).Receive(ctx, &v)
	return v, err
}

// NewProgram makes a Program of a Go function with types. The steps are those it calls. What
// it returns beside an error is kept unless it is the zero value.
func NewProgram[I, O any](name string, fn func(ctx Context, in I) (O, error), steps ...StepFunc) Program {
	return &goProgram[I, O]{name: name, fn: fn, steps: steps}
}

type goProgram[I, O any] struct {
	name  string
	fn    func(ctx Context, in I) (O, error)
	steps []StepFunc
}

func (p *goProgram[I, O]) Name() string      { return p.name }
func (p *goProgram[I, O]) Steps() []StepFunc { return p.steps }

func (p *goProgram[I, O]) Run(ctx Context, input json.RawMessage) (json.RawMessage, error) {
	var in I
	if err := Decode(input, &in); err != nil {
		return nil, &Error{Code: CodeInvalid, Op: "decode input of " + p.name, Err: err}
	}
	out, err := p.fn(ctx, in)
	if err != nil && reflect.ValueOf(&out).Elem().IsZero() {
		return nil, err
	}
	data, unfit := encode(out)
	if err != nil {
		return data, err // what it had by then
	}
	return data, unfit
}

// Decode is for engines: it decodes a result, which is JSON for certain, into v. It is
// json.Unmarshal, but for text without escapes, which is what models and tools mostly
// say, and nothing, which leaves v as it is.
func Decode(data json.RawMessage, v any) error {
	if len(data) == 0 {
		return nil
	}
	if s, ok := v.(*string); ok {
		if end := len(data) - 1; end > 0 && data[0] == '"' && data[end] == '"' && plain(data[1:end]) {
			*s = string(data[1:end])
			return nil
		}
	}
	return json.Unmarshal(data, v)
}

// plain reports whether text within quotes stands for itself.
func plain(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func encode(v any) (json.RawMessage, error) {
	if raw, ok := v.(json.RawMessage); ok {
		return raw, nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return nil, &Error{Code: CodeInvalid, Op: "encode output", Err: err}
	}
	return data, nil
}

func mustEncode(v any) json.RawMessage {
	data, err := encode(v)
	if err != nil {
		panic(fmt.Sprintf("durable: step input: %v", err))
	}
	return data
}
