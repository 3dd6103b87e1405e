package tool

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/durable"
)

// Option sets one of the things a Func leaves to its default.
type Option func(*durable.StepOptions)

// Read says that calling the tool changes nothing: it is retried freely.
func Read(o *durable.StepOptions) { o.Effect = durable.Read }

// Idempotent says that calling the tool twice with the same key is the same as
// once; durable.AttemptOf(ctx).Key is that key.
func Idempotent(o *durable.StepOptions) { o.Effect = durable.Idempotent }

// Timeout bounds one call; without it a call has two minutes.
func Timeout(d time.Duration) Option {
	return func(o *durable.StepOptions) { o.Timeout = d }
}

// Retry says how often and with what pauses a call that failed for a passing
// reason is made again.
func Retry(r durable.Retry) Option {
	return func(o *durable.StepOptions) { o.Retry = r }
}

// Func makes a tool of a Go function. The model sees name, doc and the JSON Schema
// of In, a struct: field names come from its json tags, descriptions from its
// jsonschema tags, and fields with omitempty are optional. The result is told to the
// model as it is when Out is a string or a Result, else as JSON.
//
// Without Read or Idempotent the tool counts as irreversible: its intent is
// journaled before it runs, and after a crash in between nothing calls it again by
// itself.
func Func[In, Out any](name, doc string, fn func(ctx context.Context, in In) (Out, error), options ...Option) Tool {
	f := &goFunc{spec: Spec{Name: name, Description: doc}}
	for _, set := range options {
		set(&f.spec.Options)
	}
	schema, err := jsonschema.For[In](nil)
	if err == nil {
		f.spec.Schema, err = json.Marshal(schema)
	}
	f.err = err
	f.call = func(ctx context.Context, args json.RawMessage) (Result, error) {
		var in In
		if err := json.Unmarshal(args, &in); err != nil {
			return Result{}, durable.Errorf(durable.CodeInvalid, "arguments of %s: %w", name, err)
		}
		out, err := fn(ctx, in)
		if err != nil {
			return Result{}, err
		}
		return resultOf(out)
	}
	return f
}

type goFunc struct {
	spec Spec
	err  error // the schema of the argument type cannot be made
	call func(context.Context, json.RawMessage) (Result, error)
}

func (f *goFunc) Spec() Spec { return f.spec }

func (f *goFunc) Call(ctx context.Context, args json.RawMessage) (Result, error) {
	if f.err != nil {
		return Result{}, f.err
	}
	return f.call(ctx, args)
}

func resultOf(out any) (Result, error) {
	if result, ok := out.(Result); ok {
		return result, nil
	}
	if text, ok := out.(string); ok {
		return Result{Content: text}, nil
	}
	data, err := json.Marshal(out)
	if err != nil {
		return Result{}, fmt.Errorf("encode the result: %w", err)
	}
	return Result{Content: string(data)}, nil
}
