package expr_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/expr"
)

func vars(t testing.TB, pairs ...any) map[string]any {
	t.Helper()
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, _ := pairs[i].(string)
		out[name] = pairs[i+1]
		if text, ok := pairs[i+1].(string); ok {
			v, err := expr.Decode(json.RawMessage(text))
			if err != nil {
				t.Fatal(err)
			}
			out[name] = v
		}
	}
	return out
}

func TestTemplate(t *testing.T) {
	space := expr.NewSpace("input", "steps")
	in := vars(t, "input", `{"n":2,"price":2.5,"name":"Ann","list":[1,2.5,"x"],"tags":{"a":true}}`,
		"steps", map[string]any{"gone": map[string]any{"output": expr.Nothing}})
	for _, c := range []struct{ name, template, want string }{
		{"no expression", `{"a": [1, "x"]}`, `{"a": [1, "x"]}`},
		{"a value of its own kind", `"${{ input.n }}"`, `2`},
		{"a whole number and another", `"${{ input.price * input.n + 1 }}"`, `6`},
		{"a list", `{"l": "${{ input.list }}"}`, `{"l":[1,2.5,"x"]}`},
		{"within text", `"Dear ${{ input.name }}, ${{ input.tags }} and ${{ input.n }}"`, `"Dear Ann, {\"a\":true} and 2"`},
		{"braces in an expression", `"${{ {'a': {'b': 1}}.a.b }}"`, `1`},
		{"marks in a text of an expression", `"${{ '}}' + input.name }}"`, `"}}Ann"`},
		{"made", `["${{ input.list.map(x, x == 1) }}", "${{ size(input.name) + 1 }}"]`, `[[true,false,false],4]`},
		{"nothing", `"${{ steps.gone.output.deep.er }}"`, `null`},
		{"nothing in text", `"so: ${{ steps.gone.output.text }}"`, `"so: "`},
		{"nothing is not a value", `"${{ steps.gone.output.action == 'accept' }}"`, `false`},
		{"nothing is null", `"${{ steps.gone.output == null }}"`, `true`},
	} {
		t.Run(c.name, func(t *testing.T) {
			tpl, err := space.Template(json.RawMessage(c.template))
			if err != nil {
				t.Fatal(err)
			}
			got, err := tpl.Value(in)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestTemplateFaults(t *testing.T) {
	space := expr.NewSpace("input")
	for _, c := range []struct{ template, want string }{
		{`"${{ input.n"`, "no }}"},
		{`"${{ }}"`, "missing"},
		{`"${{ imput.n }}"`, "undeclared reference"},
		{`{"a":["x","${{ 1 + }}"]}`, "a: [1]: at column"},
	} {
		if _, err := space.Template(json.RawMessage(c.template)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.template, err, c.want)
		}
	}
	tpl, err := space.Template(json.RawMessage(`"${{ input.list.map(a, input.list.map(b, input.list.map(c, a + b + c))) }}"`))
	if err != nil {
		t.Fatal(err)
	}
	list := make([]any, 200)
	for i := range list {
		list[i] = int64(i)
	}
	if _, err := tpl.Value(map[string]any{"input": map[string]any{"list": list}}); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("a bomb: got %v, want that it costs too much", err)
	}
	bomb := `"${{ ` + strings.Repeat("[1,2,3,4,5,6,7,8,9,10].map(a, ", 5) + "a" + strings.Repeat(")", 5) + ` }}"`
	if _, err := space.Template(json.RawMessage(bomb)); err == nil || !strings.Contains(err.Error(), "too dear") {
		t.Errorf("a bomb that can be seen before: got %v", err)
	}
	missing, err := space.Text("${{ input.gone }}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := missing.Value(vars(t, "input", `{}`)); err == nil || !strings.Contains(err.Error(), "no such key: gone") {
		t.Errorf("a field that is missing: got %v", err)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{`"${{ input.n }}"`, `"a ${{ 'b' }} c"`, `{"x":["${{ {'a':1} }}"]}`, `"${{"`, `"}}${{ 1 }}${{ '${{' }}"`, `12`, `"${{ input.l.all(x, x > 1) ? 'y' : \"n\" }}"`} {
		f.Add(seed)
	}
	space := expr.NewSpace("input")
	f.Fuzz(func(t *testing.T, text string) {
		tpl, err := space.Template(json.RawMessage(text))
		if err != nil {
			return
		}
		v, err := tpl.Value(map[string]any{"input": map[string]any{"n": int64(1), "l": []any{int64(2)}}})
		if err == nil && !json.Valid(v) {
			t.Errorf("%q became %q, which is not JSON", text, v)
		}
	})
}
