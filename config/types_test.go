package config_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
)

func TestSchema(t *testing.T) {
	tests := []struct{ short, want string }{
		{"string", `{"type":"string"}`},
		{" integer ", `{"type":"integer"}`},
		{"any", `{}`},
		{"[[number]]", `{"type":"array","items":{"type":"array","items":{"type":"number"}}}`},
		{"[object]", `{"type":"array","items":{"type":"object"}}`},
		{"{ z: string, a: boolean? }", `{"type":"object","properties":{"z":{"type":"string"},"a":{"type":"boolean"}},"required":["z"],"additionalProperties":false}`},
		{"{a:{b:[string]}}", `{"type":"object","properties":{"a":{"type":"object","properties":{"b":{"type":"array","items":{"type":"string"}}},"required":["b"],"additionalProperties":false}},"required":["a"],"additionalProperties":false}`},
		{"{ n: number = 1e3, s: string = two words, q: string = \"a, b\" }", `{"type":"object","properties":{"n":{"type":"number","default":1e3},"s":{"type":"string","default":"two words"},"q":{"type":"string","default":"a, b"}},"additionalProperties":false}`},
		{"{ l: [integer] = [1, 2], o: object = {\"a\": [3]}, b: boolean? = true }", `{"type":"object","properties":{"l":{"type":"array","items":{"type":"integer"},"default":[1,2]},"o":{"type":"object","default":{"a":[3]}},"b":{"type":"boolean","default":true}},"additionalProperties":false}`},
	}
	for _, tt := range tests {
		t.Run(tt.short, func(t *testing.T) {
			got, err := config.Schema(tt.short)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestSchemaRefuses(t *testing.T) {
	tests := []struct{ short, want string }{
		{"", "missing a type"},
		{"strnig", `did you mean "string"?`},
		{"bool", `did you mean "boolean"?`},
		{"zzzz", "known types: string, number"},
		{"string?", "only a field"},
		{"string = x", "only a field"},
		{"[string", `missing "]" at the end`},
		{"[string?]", "only a field"},
		{"{}", "needs fields"},
		{"{ a }", `missing ":" before "}"`},
		{"{ a: string b: string }", `missing "," before "b`},
		{"{ : string }", "missing a field name"},
		{"{ a: string, a: string }", `duplicate field "a"`},
		{"{ a: integer = 1.5 }", "not of type integer"},
		{"{ a: boolean = yes }", "not of type boolean"},
		{"{ a: string = }", "not of type string"},
		{"{ a: any = x }", "not JSON"},
		{"string string", `unexpected "string"`},
		{strings.Repeat("[", 200), "nested deeper"},
	}
	for _, tt := range tests {
		t.Run(tt.short, func(t *testing.T) {
			got, err := config.Schema(tt.short)
			if durable.CodeOf(err) != durable.CodeInvalid || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %s, %v, want an invalid error with %q", got, err, tt.want)
			}
		})
	}
}

func FuzzSchema(f *testing.F) {
	for _, s := range []string{"string", "{ a: [number]?, b: string = \"x\" }", "[any]", "{a: {b: object = {}}}", "integer = 1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, short string) {
		got, err := config.Schema(short)
		if err != nil {
			return
		}
		if problem := resolves(got); problem != nil {
			t.Errorf("type %q became %s, which is no JSON Schema: %v", short, got, problem)
		}
	})
}
