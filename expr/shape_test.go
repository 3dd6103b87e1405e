package expr_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/expr"
)

func TestChecker(t *testing.T) {
	output := expr.ShapeOf(json.RawMessage(`{"type":"object","properties":{
		"action":{"type":"string"},"n":{"type":"integer"},"price":{"type":"number"},"ok":{"type":"boolean"},
		"list":{"type":"array","items":{"type":"object","properties":{"name":{"type":"string"}}}}}}`))
	c := expr.NewChecker(map[string]*expr.Shape{
		"input": nil,
		"steps": {Kind: "object", Fields: map[string]*expr.Shape{"a": {Kind: "object", Fields: map[string]*expr.Shape{"output": output}}}},
	})
	for _, x := range []struct{ text, want string }{
		{"steps.a.output.action == 'accept'", "true or false"},
		{"steps.a.output.n + 1.5", "a number"},
		{"steps.a.output.list", "a list"},
		{"steps.a.output.list[0].name", "text"},
		{"steps.a.output.list.map(x, x.name)", "a list"},
		{"steps.a.output", "an object"},
		{"input.whatever.there.is", "any value"},
		{"1 + 2", "a number"},
	} {
		s, err := c.Check(x.text)
		if err != nil || s.String() != x.want {
			t.Errorf("%s: got %v, %v; want %s", x.text, s, err, x.want)
		}
	}
	for _, x := range []struct{ text, want string }{
		{"steps.b.output", "undefined field 'b'"},
		{"steps.a.output.acton", "undefined field 'acton'"},
		{"steps.a.output.list[0].title", "undefined field 'title'"},
		{"steps.a.output.action == 1", "no matching overload"},
		{"stebs.a", "undeclared reference"},
		{"", "missing"},
	} {
		if _, err := c.Check(x.text); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: got %v, want %q", x.text, err, x.want)
		}
	}
}
