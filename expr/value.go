package expr

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Decode reads a JSON value for expressions: whole numbers are int64, others float64. Error: what
// is wrong with it.
func Decode(data json.RawMessage) (any, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one JSON value")
	}
	return numbers(v), nil
}

// numbers gives every json.Number of a value, which is changed, its Go type.
func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if whole, err := v.Int64(); err == nil && !strings.ContainsAny(v.String(), ".eE") {
			return whole
		}
		f, _ := v.Float64() // what is too large is infinite, and does not become JSON again
		return f
	case map[string]any:
		for name, one := range v {
			v[name] = numbers(one)
		}
	case []any:
		for i, one := range v {
			v[i] = numbers(one)
		}
	}
	return v
}

// Kind says in a word what a decoded value is.
func Kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case bool:
		return "true or false"
	case map[string]any:
		return "an object"
	case []any:
		return "a list"
	}
	return "a number"
}

// Nothing stands for what is not there yet, such as the output of a step that has not run. Its
// fields are nothing too, it equals null, in a text it is empty and as JSON it is null.
var Nothing any = nothing{}

type nothing struct{}

var _ traits.Indexer = nothing{}

// ConvertToNative implements ref.Val.
func (nothing) ConvertToNative(want reflect.Type) (any, error) {
	if want.Kind() == reflect.Interface {
		return nil, nil //nolint:nilnil // that is the value
	}
	return nil, fmt.Errorf("there is no value yet, where a %s is wanted", want)
}

// ConvertToType implements ref.Val.
func (nothing) ConvertToType(want ref.Type) ref.Val {
	if want == types.StringType {
		return types.String("")
	}
	return types.NullValue.ConvertToType(want)
}

// Equal implements ref.Val.
func (nothing) Equal(other ref.Val) ref.Val {
	_, same := other.(nothing)
	return types.Bool(same || other == types.NullValue)
}

// Type implements ref.Val.
func (nothing) Type() ref.Type { return types.NullType }

// Value implements ref.Val.
func (nothing) Value() any { return nil }

// Get implements traits.Indexer.
func (n nothing) Get(ref.Val) ref.Val { return n }

// lenient lets whole numbers be calculated with others, and nothing be compared: CEL itself wants
// both to be of one type, and of a JSON value nobody knows which it will be.
func lenient(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok || len(call.Args()) != 2 {
		return i, nil
	}
	switch call.Function() {
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Equals, operators.NotEquals:
		return binary{call}, nil
	}
	return i, nil
}

// binary is a call of an operator with two operands.
type binary struct{ interpreter.InterpretableCall }

// Eval implements interpreter.Interpretable.
func (b binary) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, b.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (b binary) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	l, r := b.Args()[0].Exec(frame), b.Args()[1].Exec(frame)
	switch {
	case types.IsUnknownOrError(l):
		return l
	case types.IsUnknownOrError(r):
		return r
	}
	out := calculate(b.Function(), l, r)
	if costs := frame.CostTracker(); costs != nil {
		costs.EvalBinary(frame, b.ID(), b, l, r, out)
	}
	return out
}

func calculate(function string, l, r ref.Val) ref.Val {
	if whole, ok := l.(types.Int); ok && r.Type() == types.DoubleType {
		l = types.Double(whole)
	}
	if whole, ok := r.(types.Int); ok && l.Type() == types.DoubleType {
		r = types.Double(whole)
	}
	switch function {
	case operators.Equals:
		return types.Equal(known(l), known(r))
	case operators.NotEquals:
		return types.Bool(types.Equal(known(l), known(r)) != types.True)
	case operators.Add:
		if v, ok := l.(traits.Adder); ok {
			return v.Add(r)
		}
	case operators.Subtract:
		if v, ok := l.(traits.Subtractor); ok {
			return v.Subtract(r)
		}
	case operators.Multiply:
		if v, ok := l.(traits.Multiplier); ok {
			return v.Multiply(r)
		}
	case operators.Divide:
		if v, ok := l.(traits.Divider); ok {
			return v.Divide(r)
		}
	}
	return types.MaybeNoSuchOverloadErr(l)
}

// known is a value as comparisons see it.
func known(v ref.Val) ref.Val {
	if _, ok := v.(nothing); ok {
		return types.NullValue
	}
	return v
}

// native turns a value of CEL into what encoding/json can write.
func native(v ref.Val) (any, error) {
	switch v := v.(type) {
	case nothing:
		return nil, nil //nolint:nilnil // that is the value
	case traits.Mapper:
		out := map[string]any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			key := it.Next()
			one, err := native(v.Get(key))
			if err != nil {
				return nil, err
			}
			out[fmt.Sprint(key.Value())] = one
		}
		return out, nil
	case traits.Lister:
		out := []any{}
		for it := v.Iterator(); it.HasNext() == types.True; {
			one, err := native(it.Next())
			if err != nil {
				return nil, err
			}
			out = append(out, one)
		}
		return out, nil
	case types.Null:
		return nil, nil //nolint:nilnil // that is the value
	case types.Timestamp, types.Duration:
		text, ok := v.ConvertToType(types.StringType).(types.String)
		if !ok {
			return nil, fmt.Errorf("a %s has no JSON", v.Type())
		}
		return string(text), nil
	case types.Bool, types.Int, types.Uint, types.Double, types.String, types.Bytes:
		return v.Value(), nil
	}
	if err, ok := v.Value().(error); ok {
		return nil, err
	}
	return nil, fmt.Errorf("a %s has no JSON", v.Type())
}
