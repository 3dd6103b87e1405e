package http

import (
	"encoding/json"
	"fmt"
	"maps"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Operation is one operation of a document, ready to be called: it refers to nothing
// outside of it.
type Operation struct {
	Method     string          `json:"method"`
	Path       string          `json:"path"` // with {NAME} for parameters
	Parameters []Parameter     `json:"parameters,omitempty"`
	Body       *Body           `json:"body,omitempty"`
	Schema     json.RawMessage `json:"schema"` // of the arguments
	Effect     durable.Effect  `json:"effect,omitempty"`
}

// Parameter is what an argument becomes outside of the body.
type Parameter struct {
	Arg     string `json:"arg"` // the name of the argument
	Name    string `json:"name"`
	In      string `json:"in"` // path, query, header or cookie
	Style   string `json:"style,omitempty"`
	Explode bool   `json:"explode,omitempty"`
	JSON    bool   `json:"json,omitempty"` // its value is written as JSON
}

// Body is what arguments become in the body.
type Body struct {
	Type   string            `json:"type"`             // its media type
	Arg    string            `json:"arg,omitempty"`    // the argument that is all of it
	Fields map[string]string `json:"fields,omitempty"` // else: argument -> field
}

// operation reads one.
func (d *document) operation(route, method string, item, raw map[string]any) (named, error) {
	if !strings.HasPrefix(route, "/") {
		return named{}, durable.Errorf(durable.CodeInvalid, "a path begins with /")
	}
	o := &Operation{Method: strings.ToUpper(method), Path: route, Effect: durable.Effect(asText(raw["x-orpine-effect"]))}
	b := &builder{doc: d, operation: o, taken: map[string]bool{}, properties: map[string]any{}, schemas: newSchemas(d)}
	parameters, err := d.parameters(item, raw)
	if err != nil {
		return named{}, err
	}
	for _, place := range []string{"path", "query", "header", "cookie"} {
		for _, p := range parameters {
			if p["in"] == place {
				if err := b.parameter(p); err != nil {
					return named{}, err
				}
			}
		}
	}
	for _, found := range routeNames(route) {
		if !slices.ContainsFunc(o.Parameters, func(p Parameter) bool { return p.In == "path" && p.Name == found }) {
			return named{}, durable.Errorf(durable.CodeInvalid, "the path has {%s} and there is no such parameter", tool.Clip(found, 60))
		}
	}
	if raw["requestBody"] != nil {
		if err := b.body(raw["requestBody"]); err != nil {
			return named{}, err
		}
	}
	if err := b.finish(); err != nil {
		return named{}, err
	}
	name := sanitize(asText(raw["operationId"]), 48)
	if name == "" {
		name = sanitize(method+"_"+route, 48)
	}
	description := strings.TrimSpace(asText(raw["summary"]) + "\n" + asText(raw["description"]))
	if description == "" {
		description = o.Method + " " + route
	}
	return named{name, tool.Clip(description, 2000), o}, nil
}

// parameters lists those of an operation and of its path, whose own win.
func (d *document) parameters(item, raw map[string]any) ([]map[string]any, error) {
	var all []map[string]any
	at := map[string]int{}
	for _, from := range []any{item["parameters"], raw["parameters"]} {
		list, _ := from.([]any)
		for _, v := range list {
			p, err := d.object(v)
			if err != nil {
				return nil, err
			}
			key := asText(p["in"]) + " " + asText(p["name"])
			if i, ok := at[key]; ok {
				all[i] = p
				continue
			}
			at[key] = len(all)
			all = append(all, p)
		}
	}
	return all, nil
}

// routeNames lists the {NAME} of a path.
func routeNames(route string) []string {
	var names []string
	for {
		_, rest, found := strings.Cut(route, "{")
		if !found {
			return names
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			return names
		}
		names = append(names, name)
		route = after
	}
}

// builder collects the arguments of an operation.
type builder struct {
	doc        *document
	operation  *Operation
	taken      map[string]bool
	properties map[string]any
	required   []string
	schemas    *schemas
}

// argument adds one and returns its name.
func (b *builder) argument(name, place string, schema any, required bool) string {
	arg := sanitize(name, 64)
	if b.taken[arg] || arg == "" {
		arg = sanitize(place+"_"+name, 60)
	}
	arg = unique(arg, b.taken)
	b.properties[arg] = schema
	if required {
		b.required = append(b.required, arg)
	}
	return arg
}

func (b *builder) parameter(p map[string]any) error {
	name, in := asText(p["name"]), asText(p["in"])
	if in == "header" && slices.Contains([]string{"Accept", "Content-Type", "Authorization"}, nethttp.CanonicalHeaderKey(name)) {
		return nil // as OpenAPI says
	}
	if name == "" {
		return durable.Errorf(durable.CodeInvalid, "a parameter has no name")
	}
	if foreign := checkHeader(name, ""); foreign != nil && (in == "header" || in == "cookie") {
		return nil // it is left out, for a tool may not set it
	}
	if in == "path" && !slices.Contains(routeNames(b.operation.Path), name) {
		return nil
	}
	q := Parameter{Name: name, In: in, Style: asText(p["style"])}
	if q.Style == "" {
		q.Style = map[string]string{"path": "simple", "query": "form", "header": "simple", "cookie": "form"}[in]
	}
	explode, given := p["explode"].(bool)
	q.Explode = explode || !given && q.Style == "form"
	from := p["schema"]
	if content, ok := p["content"].(map[string]any); ok && len(content) > 0 {
		first, _ := content[slices.Sorted(maps.Keys(content))[0]].(map[string]any)
		from, q.JSON = first["schema"], true
	}
	schema, err := b.schemas.convert(from, 0)
	if err != nil {
		return fmt.Errorf("parameter %s: %w", tool.Clip(name, 60), err)
	}
	if text := asText(p["description"]); text != "" {
		schema = described(schema, text)
	}
	required, _ := p["required"].(bool)
	q.Arg = b.argument(name, in, schema, required || in == "path")
	b.operation.Parameters = append(b.operation.Parameters, q)
	return nil
}

// described adds a description to a schema that has none.
func described(schema any, text string) any {
	s, ok := schema.(map[string]any)
	if !ok || s["description"] != nil {
		return schema
	}
	s = maps.Clone(s)
	s["description"] = tool.Clip(text, 1000)
	return s
}

// body adds the fields of a body, or the body.
func (b *builder) body(v any) error {
	raw, err := b.doc.object(v)
	if err != nil {
		return err
	}
	content, _ := raw["content"].(map[string]any)
	kind, media := pickMedia(content)
	if kind == "" {
		return durable.Errorf(durable.CodeInvalid, "its body is %s; a tool can send JSON, forms and text", tool.Clip(strings.Join(slices.Sorted(maps.Keys(content)), ", "), 120))
	}
	required, _ := raw["required"].(bool)
	schema, err := b.schemas.convert(media["schema"], 0)
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	b.operation.Body = &Body{Type: kind}
	fields, needed := b.schemas.fields(schema)
	if fields == nil {
		b.operation.Body.Arg = b.argument("body", "body", described(schema, asText(raw["description"])), required)
		return nil
	}
	b.operation.Body.Fields = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		arg := b.argument(name, "body", fields[name], required && slices.Contains(needed, name))
		b.operation.Body.Fields[arg] = name
	}
	return nil
}

// pickMedia chooses the form of a body that arguments turn into best.
func pickMedia(content map[string]any) (string, map[string]any) {
	for _, fits := range []func(string) bool{
		func(k string) bool { return k == "application/json" },
		func(k string) bool { return strings.HasSuffix(k, "+json") || strings.HasPrefix(k, "application/json") },
		func(k string) bool { return k == "application/x-www-form-urlencoded" },
		func(k string) bool { return strings.HasPrefix(k, "text/") },
		func(k string) bool { return k == "*/*" },
	} {
		for _, kind := range slices.Sorted(maps.Keys(content)) {
			if fits(kind) && checkHeader("Content-Type", kind) == nil {
				media, _ := content[kind].(map[string]any)
				if kind == "*/*" {
					kind = "application/json"
				}
				return kind, media
			}
		}
	}
	return "", nil
}

// finish makes the schema of the arguments and makes sure that it is one.
func (b *builder) finish() error {
	root := map[string]any{"type": "object", "properties": b.properties, "additionalProperties": false}
	if len(b.required) > 0 {
		root["required"] = b.required
	}
	if defs := b.schemas.reached(root); len(defs) > 0 {
		root["$defs"] = defs
	}
	data, err := json.Marshal(root)
	if err != nil {
		return err
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(data, &schema); err != nil {
		return durable.Errorf(durable.CodeInvalid, "a schema in it is not one: %w", err)
	}
	if _, err := schema.Resolve(nil); err != nil {
		return durable.Errorf(durable.CodeInvalid, "a schema in it is not one: %w", err)
	}
	b.operation.Schema = data
	return nil
}

// sanitize makes a name of letters, digits, _ and - that providers accept.
func sanitize(name string, most int) string {
	var out strings.Builder
	for _, r := range name {
		ok := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-'
		switch {
		case ok:
			out.WriteRune(r)
		case out.Len() > 0 && !strings.HasSuffix(out.String(), "_"):
			out.WriteByte('_')
		}
		if out.Len() >= most {
			break
		}
	}
	return strings.TrimRight(out.String(), "_")
}

// request makes the request of a call.
func (o *Operation) request(base string, headers map[string]string, args map[string]any) (request, error) {
	r := request{method: o.Method, header: nethttp.Header{}}
	for name, value := range headers {
		r.header.Set(name, value)
	}
	route := o.Path
	var query, cookies []string
	for _, p := range o.Parameters {
		v := args[p.Arg]
		if v == nil && p.In != "path" {
			continue
		}
		switch p.In {
		case "path":
			text, err := p.inPath(v)
			if err != nil {
				return request{}, err
			}
			route = strings.ReplaceAll(route, "{"+p.Name+"}", text)
		case "query":
			for _, q := range p.inQuery(v) {
				query = append(query, url.QueryEscape(q.name)+"="+url.QueryEscape(q.value))
			}
		case "header":
			value := p.inHeader(v)
			if err := checkHeader(p.Name, value); err != nil {
				return request{}, err
			}
			r.header.Set(p.Name, value)
		case "cookie":
			cookies = append(cookies, p.Name+"="+url.QueryEscape(p.inHeader(v)))
		}
	}
	if len(cookies) > 0 {
		r.header.Set("Cookie", strings.Join(cookies, "; "))
	}
	root, err := parseBase(base)
	if err != nil {
		return request{}, err
	}
	u, err := url.Parse(base + route)
	if err != nil || u.Host != root.Host {
		return request{}, durable.Errorf(durable.CodeInvalid, "the arguments make no URL")
	}
	u.RawQuery = strings.Join(query, "&")
	r.url = u
	return r, o.fillBody(&r, args)
}

func (o *Operation) fillBody(r *request, args map[string]any) error {
	if o.Body == nil {
		return nil
	}
	var value any
	if o.Body.Arg != "" {
		value = args[o.Body.Arg]
	} else {
		object := map[string]any{}
		for arg, field := range o.Body.Fields {
			if v, ok := args[arg]; ok {
				object[field] = v
			}
		}
		if len(object) > 0 || slices.Contains([]string{"POST", "PUT", "PATCH"}, o.Method) {
			value = object
		}
	}
	if value == nil {
		return nil
	}
	r.header.Set("Content-Type", o.Body.Type)
	switch {
	case o.Body.Type == "application/x-www-form-urlencoded":
		var parts []string
		object, _ := value.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(object)) {
			list, ok := object[name].([]any)
			if !ok {
				list = []any{object[name]}
			}
			for _, v := range list { // a list is its name once for each
				parts = append(parts, url.QueryEscape(name)+"="+url.QueryEscape(asText(v)))
			}
		}
		r.body = strings.Join(parts, "&")
	case strings.HasPrefix(o.Body.Type, "text/"):
		r.body = asText(value)
	default:
		data, err := json.Marshal(value)
		if err != nil {
			return durable.Errorf(durable.CodeInvalid, "body: %w", err)
		}
		r.body = string(data)
	}
	return nil
}
