// Package expr is the one door to expressions: conditions of policies, and whatever else of a
// file is computed, such as the inputs of the steps of a workflow ([Template]). They are CEL (cel.dev): they always end, change nothing and see nothing but the
// variables they are given, so the same input gives the same value on every replay.
//
// It may not read a clock, a file or a network, and knows nothing of runs. On the line request ->
// run -> step -> journal -> event -> client it stands inside a program, wherever that decides.
package expr

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
)

// Bounds of an expression.
const (
	maxLength = 4000    // in bytes
	maxCost   = 100_000 // in the units of CEL, some of which are a call or a step of a loop: about 5 ms
)

// Space is the variables that expressions may use. It is safe for concurrent use.
type Space struct {
	names []string
	env   func() (*cel.Env, error)
}

// NewSpace makes a space of variables that may hold any value that JSON can.
func NewSpace(names ...string) *Space {
	return &Space{names: names, env: sync.OnceValues(func() (*cel.Env, error) {
		options := make([]cel.EnvOption, len(names))
		for i, n := range names {
			options[i] = cel.Variable(n, cel.DynType)
		}
		return cel.NewEnv(options...)
	})}
}

// Expression is a compiled one. It is safe for concurrent use.
type Expression struct {
	text    string
	program cel.Program
}

// Compile reads an expression. The error says what is wrong with it, and where.
func (s *Space) Compile(text string) (*Expression, error) { return s.compile(text, cel.DynType) }

// Condition is Compile for an expression that is true or false.
func (s *Space) Condition(text string) (*Expression, error) { return s.compile(text, cel.BoolType) }

func (s *Space) compile(text string, want *cel.Type) (*Expression, error) {
	switch {
	case strings.TrimSpace(text) == "":
		return nil, errors.New("an expression is missing")
	case len(text) > maxLength:
		return nil, fmt.Errorf("an expression has at most %d bytes, this one has %d", maxLength, len(text))
	}
	env, err := s.env()
	if err != nil {
		return nil, err
	}
	ast, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, explain(issues, s.names)
	}
	if got := ast.OutputType(); !got.IsExactType(cel.DynType) && want.IsExactType(cel.BoolType) && !got.IsExactType(want) {
		return nil, fmt.Errorf("%q is not true or false, but %s", text, got)
	}
	if least, err := env.EstimateCost(ast, unknown{}); err == nil && least.Min > maxCost {
		return nil, fmt.Errorf("%q is too dear: it costs at least %d, of at most %d", text, least.Min, maxCost)
	}
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.InterruptCheckFrequency(0), cel.CustomDecoratorV2(lenient))
	if err != nil {
		return nil, fmt.Errorf("%q: %w", text, err)
	}
	return &Expression{text: text, program: program}, nil
}

// unknown is what is known of the values of an expression before there are any.
type unknown struct{}

// EstimateCallCost implements cost.Estimator.
func (unknown) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

// EstimateSize implements cost.Estimator.
func (unknown) EstimateSize(cost.AstNode) *cost.SizeEstimate { return nil }

// explain says the first thing that is wrong, with its place.
func explain(issues *cel.Issues, names []string) error {
	list := issues.Errors()
	if len(list) == 0 {
		return issues.Err()
	}
	text := strings.TrimSuffix(list[0].Message, " (in container '')")
	if strings.HasPrefix(text, "undeclared reference") && !strings.Contains(text, "did you mean") {
		text += "; there are: " + strings.Join(names, ", ")
	}
	return fmt.Errorf("at column %d: %s", list[0].Location.Column()+1, text)
}

// Value computes the expression over the variables. The value is as JSON would have it in Go,
// but that whole numbers may be int64 or uint64. The error says what went wrong, also that it
// became too dear.
func (x *Expression) Value(variables map[string]any) (any, error) {
	v, _, err := x.program.Eval(variables)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", x.text, err)
	}
	return v.Value(), nil
}

// JSON computes the expression over the variables; the value is one that encoding/json can write.
func (x *Expression) JSON(variables map[string]any) (any, error) {
	v, _, err := x.program.Eval(variables)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", x.text, err)
	}
	out, err := native(v)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", x.text, err)
	}
	return out, nil
}

// True computes a condition.
func (x *Expression) True(variables map[string]any) (bool, error) {
	v, err := x.Value(variables)
	if err != nil {
		return false, err
	}
	yes, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%q is not true or false, but %v", x.text, v)
	}
	return yes, nil
}
