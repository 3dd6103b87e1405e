package config

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
)

// walk calls visit for each field of the format with its path; NAME stands for a
// name the writer chooses.
func walk(fields []field, path string, visit func(path string, f field)) {
	for _, f := range fields {
		here := join(path, f.name)
		visit(here, f)
		switch f.is { //nolint:exhaustive // the others have no fields, or have them themselves
		case table:
			here += ".NAME"
		case rows:
			here += ".0"
		}
		walk(f.fields, here, visit)
		if f.is == steps && !strings.Contains(path, "steps") { // loops have the same again
			walk(append([]field{stepID()}, stepFields()...), here+".0", visit)
		}
	}
}

func TestFieldsAreDocumentedAndNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	var reference []byte
	for _, page := range []string{"config", "workflows", "triggers"} {
		data, err := os.ReadFile("../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		reference = append(reference, data...)
	}
	walk(fileFields(), "", func(path string, f field) {
		if seen[path] {
			t.Errorf("%s stands twice in the table", path)
		}
		seen[path] = true
		if f.doc == "" && f.notYet == "" {
			t.Errorf("%s has no doc", path)
		}
		if f.short != "" {
			if _, ok := fieldNamed(f.fields, f.short); !ok {
				t.Errorf("%s is short for %s, which it does not have", path, f.short)
			}
		}
		if !strings.Contains(string(reference), "`"+f.name+"`") {
			t.Errorf("the pages of the format do not name `%s` (%s)", f.name, path)
		}
	})
}

// TestFieldsAreThoseOfTheGoTypes says that what the checker accepts has a place in
// the File, and that the File holds nothing the format has no field for.
func TestFieldsAreThoseOfTheGoTypes(t *testing.T) {
	var compare func(fields []field, typ reflect.Type, path string, derived []string)
	compare = func(fields []field, typ reflect.Type, path string, derived []string) {
		want := slices.Clone(derived) // filled in by the package, not by the writer
		for _, f := range fields {
			if f.notYet == "" && (f.name != "planner" || path != "file.agents") { // that is kept beside the definition
				want = append(want, f.name)
			}
		}
		var got []string
		for sf := range typ.Fields() {
			if !sf.IsExported() {
				continue
			}
			name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
			if name == "" {
				name = strings.ToLower(sf.Name)
			}
			got = append(got, name)
			sub, _ := fieldNamed(fields, name)
			inner := sf.Type
			if inner.Kind() == reflect.Pointer || inner.Kind() == reflect.Map {
				inner = inner.Elem()
			}
			switch {
			case sub.is == table:
				compare(sub.fields, inner, join(path, name), map[string][]string{"agents": {"name", "price", "declared", "above"}, "tools": {"name"}, "schedules": {"on"}, "triggers": {"cron", "tz", "every", "at"}}[name])
			case sub.is == object && sub.fields != nil:
				compare(sub.fields, inner, join(path, name), map[string][]string{"permissions": {"tenant", "only"}}[name])
			case sub.is == steps && !strings.Contains(path, "steps"):
				compare(append([]field{stepID()}, stepFields()...), reflect.TypeFor[Step](), join(path, name), nil)
			case sub.is == rows:
				compare(sub.fields, inner.Elem(), join(path, name), nil)
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(want, got) {
			t.Errorf("%s: the table has %v, the Go type %v", path, want, got)
		}
	}
	compare(fileFields(), reflect.TypeFor[File](), "file", nil)
}

// TestEveryFieldAgreesWithTheJSONSchema puts many values into every field and
// wants the same answer from the checker and from the schema.
func TestEveryFieldAgreesWithTheJSONSchema(t *testing.T) {
	var schema jsonschema.Schema
	if err := json.Unmarshal(JSONSchema(), &schema); err != nil {
		t.Fatal(err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	values := []string{
		"x", "openai/x", `""`, `" "`, "3", "1", "0", "-1", "1.5", "1000.0", "101", "99999999999", `"3"`, "true", "null",
		"30s", "1.5h", "3d", "3d4h", "-3s", "3x", ".5h", "d", "${N}", "read", "reject", "ask", "${E}", "[]", "[a]", "[a, b]", "[3]", `[""]`, "[[a]]", "{}",
		"{a: string}", "{a: 3}", "{a: [string]}", "{a: {b: string}}", "{a: {}}", "{a: a.csv}", `{"9": x}`, `{"a b": x}`, "{schema: {type: object}}",
		"{use: openai/x}", "{attempts: 3}", "{attempts: 3, other: 1}", "{input: 1, output: 2}", "{input: 1}", "{a: {model: openai/x}}", "{a: openai/x}",
		"[{id: a, wait: 1m}]", "{a: {wait: 1m}}", "{a: {steps: [{id: a, wait: 1m}]}}", "[2s, 5s]", "[{goto: end}]", "[{name: x, that: y}]", "{steps: [{id: b, wait: 1m}], max: 3}",
		"{goal: x, planner: y}", "react", "{kind: react}", "{cron: x, run: y}", "{a: {cron: x, run: y}}", "{a: {on: {event: x}, run: y}}", "{event: x}", "skip", "standard", "{folder: x, glob: y}", "failed", "[failed]", "{tool: x}", "append", "continue", "inputs", "[inputs]",
		"{a: {use: openai/x}}", "[{after: 4h, to: [x]}]", "GET", "path", "http", "none", "on", "{user: u, password: p}", "{a: {permissions: {deny: [x]}}}", "[{after: 4h}]", "{a: {csv: {t: t.csv}}}", "{turns: 3}", "{turns: 3, mcp: {}}",
	}
	env := func(name string) (string, bool) {
		v, ok := map[string]string{"N": "30", "E": "read"}[name]
		return v, ok
	}
	accepted := 0
	walk(fileFields(), "", func(path string, f field) {
		fits := false
		for _, value := range values {
			doc := document(fileFields(), strings.Split(path, "."), value, "")
			rep := &report{file: "orpine.yaml", seen: map[string]bool{}}
			c := &checker{report: rep, env: env, base: ".", at: map[string]position{}}
			if root := readTree(rep, []byte(doc)); root != nil {
				c.object(root, field{fields: fileFields()}, "")
			}
			var v any
			if err := yaml.Unmarshal([]byte(doc), &v); err != nil {
				t.Fatalf("%s: %v\n%s", path, err, doc)
			}
			checker, editor := rep.err(), resolved.Validate(normal(t, v))
			// An editor cannot know what a variable holds, nor the names of the types.
			more := editor == nil && (strings.Contains(value, "$") || f.is == shape)
			if (checker == nil) != (editor == nil) && !more {
				t.Errorf("%s = %s: the checker says %v, the schema says %v", path, value, checker, editor)
			}
			if checker == nil {
				fits = true
				accepted++
			}
		}
		if fits == (f.notYet != "") {
			t.Errorf("%s: some value was accepted: %t; not supported yet: %q", path, fits, f.notYet)
		}
	})
	if accepted < 100 {
		t.Errorf("only %d values were accepted: the documents are not built right", accepted)
	}
}

func normal(t *testing.T, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// document is the smallest file that is right but for the value at path.
func document(fields []field, path []string, value, indent string) string {
	if len(path) == 0 {
		return " " + value + "\n"
	}
	var b strings.Builder
	b.WriteString("\n")
	for _, f := range fields {
		rest, below := path[1:], indent+"  "
		switch {
		case f.name == path[0] && f.is == table && len(rest) > 0:
			fmt.Fprintf(&b, "%s%s:\n%sz:%s", indent, f.name, below, document(f.fields, rest[1:], value, below+"  "))
		case f.name == path[0] && f.is == steps && len(rest) > 0:
			fmt.Fprintf(&b, "%s%s:\n%s-%s", indent, f.name, below, document(append([]field{stepID()}, stepFields()...), rest[1:], value, below+"  "))
		case f.name == path[0] && f.is == rows && len(rest) > 0:
			fmt.Fprintf(&b, "%s%s:\n%s-%s", indent, f.name, below, document(f.fields, rest[1:], value, below+"  "))
		case f.name == path[0]:
			fmt.Fprintf(&b, "%s%s:%s", indent, f.name, document(f.fields, rest, value, below))
		case f.required && len(f.choices) > 0:
			fmt.Fprintf(&b, "%s%s: %s\n", indent, f.name, f.choices[0])
		case f.required && f.is == object:
			fmt.Fprintf(&b, "%s%s: { event: x }\n", indent, f.name)
		case f.required && f.is == steps:
			fmt.Fprintf(&b, "%s%s: [{ id: z, wait: 1m }]\n", indent, f.name)
		case f.required && f.is == rows:
			fmt.Fprintf(&b, "%s%s: [{ goto: end }]\n", indent, f.name)
		case f.required && f.is == duration:
			fmt.Fprintf(&b, "%s%s: 1h\n", indent, f.name)
		case f.required && f.is == texts:
			fmt.Fprintf(&b, "%s%s: [x]\n", indent, f.name)
		case f.required && (f.is == number || f.is == count):
			fmt.Fprintf(&b, "%s%s: 1\n", indent, f.name)
		case f.required:
			fmt.Fprintf(&b, "%s%s: openai/x\n", indent, f.name)
		}
	}
	return b.String()
}
