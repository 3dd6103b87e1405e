package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	starjson "go.starlark.net/lib/json"
	"go.starlark.net/lib/math"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
)

// result is the variable whose value is that of a script.
const result = "result"

// run runs a script. Its value is that of its last line, if that is
// an expression, or of the variable result.
func run(q request) (answer, error) {
	var printed strings.Builder
	thread := &starlark.Thread{
		Name:  "script",
		Print: func(_ *starlark.Thread, text string) { printed.WriteString(text + "\n") },
		Load: func(_ *starlark.Thread, name string) (starlark.StringDict, error) {
			return nil, fmt.Errorf("there is no module %q: a script has json, math and struct, and nothing to load", name)
		},
	}
	thread.SetMaxExecutionSteps(q.Steps)
	predeclared := starlark.StringDict{"json": starjson.Module, "math": math.Module, "struct": starlark.NewBuiltin("struct", starlarkstruct.Make), "input": starlark.None}
	if len(q.Input) > 0 {
		v, err := starlark.Call(thread, starjson.Module.Members["decode"], starlark.Tuple{starlark.String(q.Input)}, nil)
		if err != nil {
			return answer{}, fmt.Errorf("input: %w", err)
		}
		predeclared["input"] = v
	}
	options := &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}
	file, err := options.Parse("script.star", q.Code, 0)
	if err != nil {
		return answer{}, err
	}
	if n := len(file.Stmts); n > 0 {
		if last, ok := file.Stmts[n-1].(*syntax.ExprStmt); ok {
			start, _ := last.Span()
			file.Stmts[n-1] = &syntax.AssignStmt{OpPos: start, Op: syntax.EQ, LHS: &syntax.Ident{NamePos: start, Name: result}, RHS: last.X}
		}
	}
	program, err := starlark.FileProgram(file, predeclared.Has)
	if err != nil {
		return answer{}, err
	}
	globals, err := program.Init(thread, predeclared)
	a := answer{Printed: printed.String()}
	if err != nil {
		return a, starlarkError(err, thread, q.Steps)
	}
	if v := globals[result]; v != nil && v != starlark.None {
		a.Value, err = starlarkText(thread, v)
	}
	return a, err
}

// starlarkText is a string as it is, and all else as JSON, or as Starlark writes it where
// JSON has nothing like it.
func starlarkText(thread *starlark.Thread, v starlark.Value) (string, error) {
	if s, ok := v.(starlark.String); ok {
		return string(s), nil
	}
	encoded, err := starlark.Call(thread, starjson.Module.Members["encode"], starlark.Tuple{v}, nil)
	if err != nil {
		return v.String(), nil //nolint:nilerr // such as a set
	}
	text, _ := starlark.AsString(encoded)
	if !json.Valid([]byte(text)) {
		return "", errors.New("the value cannot be told as JSON")
	}
	return text, nil
}

func starlarkError(err error, thread *starlark.Thread, steps uint64) error {
	if thread.ExecutionSteps() >= steps {
		return fmt.Errorf("it took more than %d steps", steps)
	}
	if e, ok := errors.AsType[*starlark.EvalError](err); ok {
		return errors.New(e.Backtrace())
	}
	return err
}
