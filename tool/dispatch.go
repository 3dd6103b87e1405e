package tool

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
)

// Call is a model's wish to call a tool.
type Call struct {
	Name      string
	Args      json.RawMessage // a JSON object; empty means {}
	Malformed string          // what the model wrote where it is not JSON
}

// maxTold is how much of what was wrong with a call or a result the model is told, in bytes.
const maxTold = 400

// grace is how long a call whose time is up may take to notice.
const grace = time.Second

// Dispatch is the one door to all tools: it finds the tool, checks the arguments
// against its schema and calls it until ctx ends. What the model can do something
// about (a wrong name, wrong arguments, a tool that says no) comes back as a Result
// with Error set. The error is for what may pass (a durable.Error with code
// unavailable, exhausted or internal): the engine retries it as the tool's options allow.
func (r *Registry) Dispatch(ctx context.Context, call Call) (Result, error) {
	call, refusal := r.Check(call)
	if refusal != nil {
		return *refusal, nil
	}
	e := r.tools[call.Name]
	result, err := invoke(ctx, e.tool, call)
	if err == nil {
		return e.told(result), nil
	}
	if passing(err) {
		return Result{}, err
	}
	return *refuse("%s: %v", call.Name, err), nil
}

// told is a result as a model can be told it: text, of the form that the tool has promised.
func (e *entry) told(result Result) Result {
	if len(result.Asks) > 0 {
		return result
	}
	if size := len(result.Content); !utf8.ValidString(result.Content) {
		text := strings.ToValidUTF8(result.Content, "\ufffd")
		if strings.Count(text, "\ufffd")*10 > size || strings.ContainsRune(text, 0) {
			return *refuse("%s returned %d bytes that are no text", e.spec.Name, size)
		}
		result.Content = text
	}
	if e.output == nil || result.Error {
		return result
	}
	var v any
	if err := json.Unmarshal([]byte(result.Content), &v); err != nil {
		return *refuse("%s returned what is not JSON, as its output schema promises: %v\nIt was: %s", e.spec.Name, err, Clip(result.Content, maxTold))
	}
	if err := e.output.Validate(v); err != nil {
		return *refuse("%s returned what does not match its output schema: %v\nIt was: %s", e.spec.Name, err, Clip(result.Content, maxTold))
	}
	return result
}

// Check finds the tool of a call and holds the arguments against its schema. It does no
// more, so that a program that is replayed may ask beforehand. The refusal is what the model
// is told when the call cannot be made, nil when it can.
func (r *Registry) Check(call Call) (checked Call, refusal *Result) {
	e, ok := r.tools[call.Name]
	switch {
	case !ok:
		return call, refuse("there is no tool %q; the tools are: %s", call.Name, orNone(r.Names()))
	case call.Malformed != "":
		return call, refuse("the arguments of %s are not JSON: %s\nCall it again with arguments that match its schema: %s",
			call.Name, Clip(call.Malformed, maxTold), e.spec.Schema)
	case len(bytes.TrimSpace(call.Args)) == 0, string(call.Args) == "null":
		call.Args = json.RawMessage(`{}`)
	}
	var args map[string]any
	if err := json.Unmarshal(call.Args, &args); err != nil {
		return call, refuse("the arguments of %s must be a JSON object: %v", call.Name, err)
	}
	if name := twice(call.Args); name != "" {
		return call, refuse("the arguments of %s name %q twice", call.Name, name)
	}
	if err := e.schema.Validate(args); err != nil {
		return call, refuse("the arguments of %s do not match its schema: %v\nThe schema: %s", call.Name, err, e.spec.Schema)
	}
	return call, nil
}

// twice is an argument that has the name of another, but for the case of letters. Who judges a
// call would see one of them, and who makes it the other.
func twice(args json.RawMessage) string {
	d := json.NewDecoder(bytes.NewReader(args))
	_, _ = d.Token() // the brace of an object that was read before
	var seen []string
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return ""
		}
		if slices.ContainsFunc(seen, func(s string) bool { return strings.EqualFold(s, name) }) {
			return name
		}
		seen = append(seen, name)
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return ""
		}
	}
	return ""
}

// passing reports whether calling again may help. A plain error without a code does
// not say so: the model is told.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	if _, unsure := errors.AsType[*durable.DoubtError](err); unsure {
		return true // the engine knows what that means for the effect of the tool
	}
	e, ok := errors.AsType[*durable.Error](err)
	if !ok || e.Final {
		return false
	}
	switch e.Code {
	case durable.CodeUnavailable, durable.CodeExhausted, durable.CodeInternal, durable.CodeCanceled:
		return true
	case durable.CodeInvalid, durable.CodeNotFound, durable.CodeConflict, durable.CodeDenied:
	}
	return false
}

// invoke calls the tool and stops waiting for it soon after ctx ends, whether or
// not it takes notice; its panic becomes an error.
func invoke(ctx context.Context, t Tool, call Call) (Result, error) {
	type outcome struct {
		result Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if v := recover(); v != nil {
				o = outcome{err: fmt.Errorf("it panicked: %v", v)} // the stack is not the model's business
			}
			done <- o
		}()
		o.result, o.err = t.Call(ctx, call.Args)
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.result, o.err
	case <-time.After(grace):
		return Result{}, fmt.Errorf("tool %s did not stop in time and may still be running: %w", call.Name, context.Cause(ctx))
	}
}

func refuse(format string, args ...any) *Result {
	return &Result{Content: fmt.Sprintf(format, args...), Error: true}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
