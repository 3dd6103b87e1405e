package sql

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// ToolConfig says how a database is handed to an agent.
type ToolConfig struct {
	// Name of the tool; default "sql".
	Name string
	// Description comes before the description of the tables, which is always told.
	Description string
	// Query is a fixed statement with named parameters, such as :month. Empty = the
	// agent writes the statement: its one argument is "query".
	Query string
	// Schema is the JSON Schema of the parameters of a fixed statement, an object
	// with a property for each; default: all are required strings.
	Schema json.RawMessage
	// MaxRows, MaxBytes and Timeout are those of the database when 0.
	MaxRows  int
	MaxBytes int
	Timeout  time.Duration
}

// Tool makes a tool with effect read of the database. Its result is the JSON of a
// [Result]. A fixed statement is checked here; its faults are invalid or denied.
func (d *DB) Tool(c ToolConfig) (tool.Tool, error) {
	t := &sqlTool{db: d, query: c.Query, limit: limits{
		rows: or(c.MaxRows, d.cfg.MaxRows), bytes: or(c.MaxBytes, d.cfg.MaxBytes), timeout: c.Timeout,
	}}
	if t.limit.timeout <= 0 {
		t.limit.timeout = d.cfg.Timeout
	}
	t.spec = tool.Spec{
		Name:        c.Name,
		Description: strings.TrimSpace(c.Description + "\n" + d.describe(c.Query == "")),
		Schema:      c.Schema,
		Options:     durable.StepOptions{Effect: durable.Read},
	}
	if t.spec.Name == "" {
		t.spec.Name = "sql"
	}
	if c.Query == "" {
		t.spec.Schema = querySchema()
		return t, nil
	}
	if err := t.checkTemplate(); err != nil {
		return nil, fmt.Errorf("tool %s: %w", t.spec.Name, err)
	}
	return t, nil
}

type sqlTool struct {
	db    *DB
	query string // of a fixed statement
	limit limits
	spec  tool.Spec
}

var _ tool.Tool = (*sqlTool)(nil)

// Spec implements tool.Tool.
func (t *sqlTool) Spec() tool.Spec { return t.spec }

// Call implements tool.Tool.
func (t *sqlTool) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	var params map[string]any
	if len(args) > 0 {
		dec := json.NewDecoder(bytes.NewReader(args))
		dec.UseNumber()
		if err := dec.Decode(&params); err != nil {
			return tool.Result{}, durable.Errorf(durable.CodeInvalid, "%s: arguments: %w", t.spec.Name, err)
		}
	}
	query := t.query
	if query == "" {
		text, ok := params["query"].(string)
		if !ok {
			return tool.Result{}, durable.Errorf(durable.CodeInvalid, `%s: want {"query": "SELECT ..."}`, t.spec.Name)
		}
		query, params = text, nil
	}
	r, err := t.db.query(ctx, query, params, t.limit)
	if err != nil {
		return tool.Result{}, err
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return tool.Result{}, durable.Errorf(durable.CodeInternal, "%s: write the result: %w", t.spec.Name, err)
	}
	return tool.Result{Content: strings.TrimSuffix(b.String(), "\n")}, nil
}

// checkTemplate compiles the fixed statement and compares its parameters with
// the schema.
func (t *sqlTool) checkTemplate() error {
	text, err := t.db.checkStatement(t.query)
	if err != nil {
		return err
	}
	s, err := scan(text)
	if err != nil {
		return err
	}
	if t.spec.Schema == nil {
		t.spec.Schema = stringsSchema(s.named)
	}
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(t.spec.Schema, &schema); err != nil {
		return durable.Errorf(durable.CodeInvalid, "schema: %w", err)
	}
	for _, name := range s.named {
		if _, ok := schema.Properties[name]; !ok {
			return durable.Errorf(durable.CodeInvalid, "the statement has :%s and the schema has no such property", name)
		}
	}
	t.db.turn <- struct{}{}
	defer func() { <-t.db.turn }()
	if err := t.db.compile(context.Background(), text); err != nil {
		return t.db.queryError(err)
	}
	return nil
}

func stringsSchema(names []string) json.RawMessage {
	properties := map[string]any{}
	for _, name := range names {
		properties[name] = map[string]any{"type": "string"}
	}
	if names == nil {
		names = []string{}
	}
	schema, err := json.Marshal(map[string]any{
		"type": "object", "properties": properties, "required": names, "additionalProperties": false,
	})
	if err != nil {
		panic(fmt.Sprintf("sql: schema of strings: %v", err))
	}
	return schema
}

// querySchema is the schema of the arguments where the agent writes the statement.
func querySchema() json.RawMessage {
	return json.RawMessage(`{"type":"object","properties":{"query":{"type":"string",` +
		`"description":"one SQLite SELECT statement"}},"required":["query"],"additionalProperties":false}`)
}

// describe tells a model what there is to ask.
func (d *DB) describe(free bool) string {
	if !free {
		return ""
	}
	return describe(d.tables)
}

func describe(tables []Table) string {
	var b strings.Builder
	b.WriteString("Runs one read-only SQLite SELECT and returns {columns, rows, truncated}.\n")
	for _, t := range tables {
		names := make([]string, len(t.Columns))
		for i, c := range t.Columns {
			names[i] = quote(c)
		}
		fmt.Fprintf(&b, "Table %s (_rowid_ is the line of the file): %s\n", t.Name, strings.Join(names, ", "))
	}
	b.WriteString("All values are TEXT or NULL. Use decimal_sum(x), decimal_median(x), decimal_add/sub/mul/cmp/min/max(a, b), " +
		"decimal_abs(x) and decimal_div(a, b, places) for exact numbers, ORDER BY x COLLATE decimal to sort them, " +
		"json_extract(x, '$.key') for JSON.")
	return b.String()
}
