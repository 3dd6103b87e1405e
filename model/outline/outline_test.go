package outline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/outline"
)

const items = `Word these findings.
` + "```json" + `
{"items":[
 {"id":"f1","kind":"idle_instance","resource_id":"i-12","service":"EC2","monthly_saving":12.50,"currency":"EUR","note":"cpu below 2 %."},
 {"id":"f2","kind":"unattached-volume","resource_id":"vol-7","service":"EBS","monthly_saving":3,"currency":"EUR"},
 {"id":"f3","kind":"idle_instance","resource_id":"i-13","service":"EC2","monthly_saving":1e1,"currency":"EUR"}
]}
` + "```" + `
Thanks.`

const proposals = `{"type":"object","required":["summary","proposals"],"additionalProperties":false,"properties":{
  "summary":{"type":"string"},
  "proposals":{"type":"array","items":{"type":"object","required":["id","title","why"],"additionalProperties":false,"properties":{
    "id":{"type":"string"},"title":{"type":"string"},"why":{"type":"string"},"monthly_saving":{"type":"number"},
    "risk":{"enum":["low","high"]},"approved":{"type":"boolean"},"rank":{"type":"integer","minimum":1}}}}}}`

func generate(t *testing.T, req model.Request) model.Reply {
	t.Helper()
	var text, args strings.Builder
	reply, err := outline.New().Generate(t.Context(), req, func(d model.Delta) { text.WriteString(d.Text); args.WriteString(d.Args) })
	if err != nil {
		t.Fatal(err)
	}
	if text.String() != reply.Message.Text() {
		t.Errorf("streamed %q, want %q", text.String(), reply.Message.Text())
	}
	var want strings.Builder
	for _, c := range reply.Message.Calls() {
		want.Write(c.Args)
	}
	if args.String() != want.String() {
		t.Errorf("streamed arguments %q, want %q", args.String(), want.String())
	}
	again, err := outline.New().Generate(t.Context(), req, nil)
	if diff := cmp.Diff(reply, again); err != nil || diff != "" {
		t.Errorf("second time %v (-first +second):\n%s", err, diff)
	}
	return reply
}

func ask(text string) []model.Message { return []model.Message{model.Text(model.User, text)} }

func Example() {
	reply, err := outline.New().Generate(context.Background(), model.Request{
		Messages: []model.Message{model.Text(model.User, "The invoice rose by 12 percent. Nobody knows why!")},
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(reply.Message.Text())
	// Output:
	// Outline (rule-based wording, no language model):
	// - The invoice rose by 12 percent.
	// - Nobody knows why!
}

func TestCallsSQL(t *testing.T) {
	text := "Run these.\n```sql\nselect 1;\n```\nand\n```SQL\nselect\n  '2'\n```\n```\nselect 3\n```\n```sql\nnever closed"
	sql := []model.ToolSpec{{Name: "sql"}}
	reply := generate(t, model.Request{Messages: ask(text), Tools: sql, Output: json.RawMessage(`{"type":"object"}`)})
	want := model.Reply{
		Message: model.Message{Role: model.Assistant, Parts: []model.Part{
			{Call: &model.ToolCall{ID: "call_sql_0", Name: "sql", Args: json.RawMessage(`{"query": "select 1;"}`)}},
			{Call: &model.ToolCall{ID: "call_sql_1", Name: "sql", Args: json.RawMessage(`{"query": "select\n  '2'"}`)}},
		}},
		Stop: model.StopCalls, Usage: model.Usage{Input: 18, Output: 8}, Model: "builtin/outline",
	}
	if diff := cmp.Diff(want, reply); diff != "" {
		t.Errorf("reply (-want +got):\n%s", diff)
	}

	talk := append(ask(text), reply.Message, model.Message{Role: model.ToolRole, Parts: []model.Part{
		{Result: &model.ToolResult{CallID: "call_sql_0", Name: "sql", Content: "one row. it is 1"}},
		{Result: &model.ToolResult{CallID: "call_sql_1", Name: "sql", Content: "no such table", Error: true}},
	}})
	after := generate(t, model.Request{Messages: talk, Tools: sql})
	wantText := outline.Header + "\n- sql: one row.\n- sql: it is 1\n- sql did not work: no such table"
	if got := after.Message.Text(); got != wantText {
		t.Errorf("got %q, want %q", got, wantText)
	}

	next := generate(t, model.Request{Messages: append(talk, after.Message, model.Text(model.User, "```sql\nselect 4\n```")), Tools: sql})
	if calls := next.Message.Calls(); len(calls) != 1 || calls[0].ID != "call_sql_2" {
		t.Errorf("got %v, want one call with a new id", calls)
	}
	if other := generate(t, model.Request{Messages: ask(text)}); len(other.Message.Calls()) != 0 {
		t.Error("called a tool that was not offered")
	}
}

func TestFillsProposals(t *testing.T) {
	reply := generate(t, model.Request{Messages: ask(items), Output: json.RawMessage(proposals)})
	want := `{"summary": "3 items: 2 idle instance, 1 unattached volume (EC2, EBS).", "proposals": [` +
		`{"id": "f1", "title": "Idle instance: EC2", "why": "Kind: idle instance; resource id: i-12; service: EC2; monthly saving: 12.50 EUR; note: cpu below 2 %.", ` +
		`"monthly_saving": 12.50, "risk": "low", "approved": false, "rank": 1}, ` +
		`{"id": "f2", "title": "Unattached volume: EBS", "why": "Kind: unattached volume; resource id: vol-7; service: EBS; monthly saving: 3 EUR.", ` +
		`"monthly_saving": 3, "risk": "low", "approved": false, "rank": 1}, ` +
		`{"id": "f3", "title": "Idle instance: EC2", "why": "Kind: idle instance; resource id: i-13; service: EC2; monthly saving: 1e1 EUR.", ` +
		`"monthly_saving": 1e1, "risk": "low", "approved": false, "rank": 1}]}`
	if got := reply.Message.Text(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if reply.Stop != model.StopEnd {
		t.Errorf("stop is %q, want end", reply.Stop)
	}
}

// TestAnswersAreLegal lets an independent validator judge the answers.
func TestAnswersAreLegal(t *testing.T) {
	block := func(data string) string { return "```json\n" + data + "\n```" }
	tests := []struct{ name, schema, text, want string }{
		{"proposals", proposals, items, ""},
		{"proposals without data", proposals, "hello", `{"summary": "There are no items.", "proposals": []}`},
		{"no items", proposals, block(`{"items":[]}`), `{"summary": "There are no items.", "proposals": []}`},
		{"bare list", proposals, block(`[{"id":1}]`), `{"summary": "1 item.", "proposals": [{"id": "1", "title": "1", "why": "Nothing more is known.", "risk": "low", "approved": false, "rank": 1, "monthly_saving": 0}]}`},
		{"empty schema", `{}`, "x", "null"},
		{"copies fields of the root", `{"type":"object","properties":{"month":{"type":"string"},"total":{"type":"integer"}}}`, block(`{"month":"2026-10","total":1.5,"rows":[{"id":"a"}]}`), `{"month": "2026-10", "total": 0}`},
		{"only required without data", `{"type":"object","required":["a"],"properties":{"a":{"type":"integer"},"b":{"type":"string"}}}`, "x", `{"a": 0}`},
		{"nested object", `{"type":"object","required":["o"],"properties":{"o":{"type":"object","required":["s","n"],"properties":{"s":{"type":"string","minLength":3},"n":{"type":["null","string"]}}}}}`, block(`{"items":[]}`), `{"o": {"s": "---", "n": null}}`},
		{"refs", `{"$defs":{"p":{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"text":{"type":"string","maxLength":12}}}},"type":"array","items":{"$ref":"#/$defs/p"}}`, items, `[{"id": "f1", "text": "Kind: idle …"}, {"id": "f2", "text": "Kind: unatt…"}, {"id": "f3", "text": "Kind: idle …"}]`},
		{"anyOf and allOf", `{"type":"object","required":["a","b"],"properties":{"a":{"anyOf":[{"type":"integer","minimum":7},{"type":"string"}]},"b":{"allOf":[{"type":"object","required":["x"],"properties":{"x":{"const":5}}},{"required":["y"],"properties":{"y":{"type":"boolean"}}}]}}}`, "", `{"a": 7, "b": {"x": 5, "y": false}}`},
		{"max items", `{"type":"object","properties":{"p":{"type":"array","maxItems":1,"items":{"type":"object","properties":{"id":{"type":"string"}}}}}}`, items, `{"p": [{"id": "f1"}]}`},
		{"min items", `{"type":"array","minItems":2,"items":{"type":"integer","exclusiveMinimum":4}}`, "", `[5, 5]`},
		{"numbers", `{"type":"array","minItems":1,"items":{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":1}}`, "", `[0.5]`},
		{"negative", `{"type":"integer","maximum":-3,"multipleOf":2}`, "", `-4`},
		{"above a bound", `{"type":"integer","minimum":1.5}`, "", `2`},
		{"below a bound", `{"type":"number","exclusiveMaximum":0,"minimum":-0.5}`, "", `-0.25`},
		{"date", `{"type":"string","format":"date"}`, "", `"1970-01-01"`},
		{"pattern that allows nothing", `{"type":"string","pattern":"^a*$"}`, "", `""`},
		{"enum of the item", `{"type":"object","properties":{"p":{"type":"array","items":{"type":"object","properties":{"id":{"type":"string"},"service":{"enum":["EBS","EC2"]}}}}}}`, items, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reply := generate(t, model.Request{Messages: ask(tt.text), Output: json.RawMessage(tt.schema)})
			got := reply.Message.Text()
			var schema jsonschema.Schema
			if err := json.Unmarshal([]byte(tt.schema), &schema); err != nil {
				t.Fatal(err)
			}
			resolved, err := schema.Resolve(nil)
			if err != nil {
				t.Fatal(err)
			}
			var value any
			if err := json.Unmarshal([]byte(got), &value); err != nil {
				t.Fatalf("%s: %v", got, err)
			}
			if err := resolved.Validate(value); err != nil {
				t.Errorf("%s is not legal: %v", got, err)
			}
			var want any
			if tt.want != "" {
				if err := json.Unmarshal([]byte(tt.want), &want); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, value); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestRefuses(t *testing.T) {
	tests := []struct{ name, schema, text, want string }{
		{"schema is no JSON", `{`, "", "the schema is not JSON"},
		{"schema is no object", `[]`, "", "the schema is not an object"},
		{"data is no JSON", `{"type":"object"}`, "```json\n{\n```", "the last json block of the user message is not JSON"},
		{"pattern", `{"type":"string","pattern":"^[A-Z]{4}$"}`, "", "does not match the pattern"},
		{"endless", `{"$ref":"#"}`, "", "nested more than"},
		{"endless elements", `{"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}}`, "", "nested more than"},
		{"foreign ref", `{"$ref":"https://example.com/x"}`, "", "is not within the schema"},
		{"dangling ref", `{"$ref":"#/$defs/x"}`, "", "leads nowhere"},
		{"multiplies itself", `{"$defs":{"a":{"allOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/a"}]}},"$ref":"#/$defs/a"}`, "", "the schema is"},
		{"contradiction", `{"type":"integer","minimum":3,"maximum":2}`, "", "is too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := outline.New().Generate(t.Context(), model.Request{Messages: ask(tt.text), Output: json.RawMessage(tt.schema)}, nil)
			var e *model.Error
			if !errors.As(err, &e) || e.Code != "invalid" || !strings.Contains(e.Message, tt.want) {
				t.Errorf("got %v, want code invalid and %q", err, tt.want)
			}
		})
	}
}

func TestFreeText(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"nothing", "", "\n- (nothing was said)"},
		{"sentences", "One is 1.5 high. Two? Yes!\n\n* three\n", "\n- One is 1.5 high.\n- Two?\n- Yes!\n- three"},
		{"full-width", "第一句。第二句!", "\n- 第一句。\n- 第二句!"},
		{"json stays whole", "{\"a\": \"b. c\",\n \"d\": 1}", "\n- {\"a\": \"b. c\", \"d\": 1}"},
		{"long", strings.Repeat("x", 300), "\n- " + strings.Repeat("x", 239) + "…"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			reply := generate(t, model.Request{Messages: ask(tt.text)})
			if got, want := reply.Message.Text(), outline.Header+tt.want; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	t.Run("many", func(t *testing.T) {
		reply := generate(t, model.Request{Messages: ask(strings.Repeat("again\n", 100))})
		if got := reply.Message.Text(); !strings.HasSuffix(got, "\n- (60 more)") {
			t.Errorf("got %q, want the rest counted", got)
		}
	})
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_, err := outline.New().Generate(ctx, model.Request{Messages: ask("a b c")}, func(model.Delta) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestProvider(t *testing.T) {
	if _, err := outline.Provider()("outline"); err != nil {
		t.Error(err)
	}
	_, err := outline.Provider()("gpt")
	var e *model.Error
	if !errors.As(err, &e) || e.Code != "invalid" {
		t.Errorf("got %v, want code invalid", err)
	}
}

func FuzzFill(f *testing.F) {
	f.Add(proposals, items)
	f.Add(`{"type":"array","minItems":3,"items":{"anyOf":[{"multipleOf":0.1,"minimum":2}]}}`, "```json\n[1]\n```")
	f.Add(`{"allOf":[{"$ref":"#/a~1b"}],"a/b":{"type":["string","null"]}}`, "")
	f.Fuzz(func(t *testing.T, schema, text string) {
		reply, err := outline.New().Generate(t.Context(), model.Request{Messages: ask(text), Output: json.RawMessage(schema)}, nil)
		if err != nil || schema == "" {
			return
		}
		if !json.Valid([]byte(reply.Message.Text())) {
			t.Errorf("%q is not JSON", reply.Message.Text())
		}
	})
}
