package http

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	nethttp "net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Bounds of a document.
const (
	maxDocument   = 8 << 20
	maxOperations = 1000
	maxNesting    = 100
)

// Find is the tool.Source of OpenAPI documents: it reads the document, from its URL if need
// be, and returns a declaration for each operation that include names. Errors: invalid for a
// document that cannot be read, with the place; not_found for an include that names nothing;
// denied and unavailable for a URL.
func (t *Tools) Find(ctx context.Context, d tool.Declaration) ([]tool.Declaration, error) {
	found, err := t.find(ctx, d)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		again, _ := errors.AsType[*durable.Error](err)
		e := &durable.Error{Code: durable.CodeOf(err), Op: "tools " + d.Name, Err: err}
		if again != nil {
			e.RetryAfter = again.RetryAfter
		}
		return nil, e
	}
	return found, nil
}

func (t *Tools) find(ctx context.Context, d tool.Declaration) ([]tool.Declaration, error) {
	c, err := t.read(d)
	if err != nil {
		return nil, err
	}
	if c.OpenAPI == "" {
		if _, err := t.make(d); err != nil {
			return nil, err
		}
		return []tool.Declaration{d}, nil // a template is one tool
	}
	text, from, err := t.load(ctx, c.OpenAPI)
	if err != nil {
		return nil, err
	}
	doc, err := parseDocument(text)
	if err != nil {
		return nil, err
	}
	given := c.BaseURL
	if c.BaseURL, err = doc.base(given, from); err != nil {
		return nil, err
	}
	if given == "" && c.Auth != nil && from != nil && !sameOrigin(c.BaseURL, c.OpenAPI) { // wherever that has redirected to
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: the document names the server %s, which is not where it came from: give base_url to say that secrets may go there", tool.Clip(c.BaseURL, 120))
	}
	operations, err := doc.operations(c.Include, c.Effects)
	if err != nil {
		return nil, err
	}
	var found []tool.Declaration
	taken := map[string]bool{}
	for _, o := range operations {
		one := c
		one.OpenAPI, one.Include, one.Effects, one.Operation, one.Description = "", nil, nil, o.operation, o.description
		config, err := json.Marshal(one)
		if err != nil {
			return nil, err
		}
		found = append(found, tool.Declaration{Name: d.Name + "/" + unique(o.name, taken), Kind: Kind, Config: config})
	}
	return found, nil
}

// sameOrigin reports whether two URLs have one scheme, host and port.
func sameOrigin(a, b string) bool {
	one, err := url.Parse(a)
	if err != nil {
		return false
	}
	other, err := url.Parse(b)
	return err == nil && one.Scheme == other.Scheme && one.Host == other.Host
}

// load returns the text of a document, and the URL it came from.
func (t *Tools) load(ctx context.Context, text string) (string, *url.URL, error) {
	if strings.ContainsAny(text, "\n{") || !strings.HasPrefix(text, "http://") && !strings.HasPrefix(text, "https://") {
		return text, nil, nil
	}
	u, err := parseBase(text)
	if err != nil {
		return "", nil, err
	}
	req, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, u.String(), nil)
	if err != nil {
		return "", nil, durable.Errorf(durable.CodeInvalid, "openapi: the URL cannot be asked for")
	}
	req.Header.Set("Accept", "application/json, application/yaml, */*")
	req.Header.Set("User-Agent", t.cfg.Agent)
	resp, err := t.client.Do(req)
	if err != nil {
		return "", nil, t.failure(ctx, request{method: nethttp.MethodGet, url: u}, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if resp.StatusCode != nethttp.StatusOK {
		code := durable.CodeInvalid
		if resp.StatusCode >= 500 || resp.StatusCode == nethttp.StatusTooManyRequests {
			code = durable.CodeUnavailable
		}
		return "", nil, later(resp, code, "openapi: the document is answered with "+statusOf(resp))
	}
	data, more, err := readSome(resp.Body, maxDocument)
	switch {
	case err != nil:
		return "", nil, durable.Errorf(durable.CodeUnavailable, "openapi: the document broke off after %d bytes", len(data))
	case more:
		return "", nil, durable.Errorf(durable.CodeInvalid, "openapi: the document has more than %d bytes", maxDocument)
	}
	return string(data), resp.Request.URL, nil
}

// document is an OpenAPI document as JSON values.
type document struct {
	root map[string]any
	old  bool // 3.0, whose schemas are not quite JSON Schema
}

// parseDocument reads a document. Error: invalid.
func parseDocument(text string) (*document, error) {
	if len(text) > maxDocument {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: the document has more than %d bytes", maxDocument)
	}
	var root any
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(&root); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "openapi: %w", err)
		}
	} else {
		v, err := parseYAML(text)
		if err != nil {
			return nil, err
		}
		root = v
	}
	d := &document{}
	d.root, _ = root.(map[string]any)
	if d.root == nil {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: want a document, or a URL that begins with https://; this is %q", tool.Clip(text, 60))
	}
	version := asText(d.root["openapi"])
	switch {
	case strings.HasPrefix(version, "3.0"):
		d.old = true
	case strings.HasPrefix(version, "3.1"):
	case d.root["swagger"] != nil:
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: this is Swagger %s; convert it to OpenAPI 3", tool.Clip(asText(d.root["swagger"]), 20))
	default:
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: the version is %q; want 3.0 or 3.1", tool.Clip(version, 20))
	}
	return d, nil
}

// parseYAML reads YAML whose size in memory is that of its text: aliases are refused, and
// so is nesting that no person writes.
func parseYAML(text string) (any, error) {
	depth, line, entries := 0, 0, 0
	for _, tk := range lexer.Tokenize(text) {
		if tk.Position.Line != line {
			line, entries = tk.Position.Line, 0
		}
		switch tk.Type {
		case token.AliasType, token.MergeKeyType:
			return nil, durable.Errorf(durable.CodeInvalid, "openapi: line %d has a YAML alias; write out what it stands for", line)
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			entries++
		default:
		}
		if depth > maxNesting || entries > 10*maxNesting || entries > maxNesting && depth == 0 {
			return nil, durable.Errorf(durable.CodeInvalid, "openapi: line %d is nested too deeply", line)
		}
	}
	var v any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: %s", yaml.FormatError(err, false, true))
	}
	return plain(v, 0)
}

// plain turns what YAML decodes to into what JSON would.
func plain(v any, depth int) (any, error) {
	if depth > maxNesting {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: the document is nested too deeply")
	}
	var err error
	switch v := v.(type) {
	case map[string]any:
		for name, e := range v {
			if v[name], err = plain(e, depth+1); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[any]any:
		object := map[string]any{}
		for name, e := range v {
			if object[fmt.Sprint(name)], err = plain(e, depth+1); err != nil {
				return nil, err
			}
		}
		return object, nil
	case []any:
		for i, e := range v {
			if v[i], err = plain(e, depth+1); err != nil {
				return nil, err
			}
		}
		return v, nil
	case nil, string, bool, json.Number:
		return v, nil
	}
	data, err := json.Marshal(v) // a number, or a time
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: %v is no value of JSON", v)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var out any
	return out, dec.Decode(&out)
}

// at returns what a local reference names. Error: invalid for any other.
func (d *document) at(ref string) (any, error) {
	if !strings.HasPrefix(ref, "#") {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: the reference %q leads out of the document; put what it names into it (a bundler such as redocly does)", tool.Clip(ref, 120))
	}
	pointer, err := url.PathUnescape(strings.TrimPrefix(ref, "#"))
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: the reference %q cannot be read", tool.Clip(ref, 120))
	}
	var v any = d.root
	if pointer == "" {
		return v, nil
	}
	for part := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
		switch in := v.(type) {
		case map[string]any:
			v = in[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(in) {
				v = nil
				break
			}
			v = in[i]
		default:
			v = nil
		}
	}
	if v == nil {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: the reference %q names nothing", tool.Clip(ref, 120))
	}
	return v, nil
}

// object follows references until there is an object. Error: invalid for a circle.
func (d *document) object(v any) (map[string]any, error) {
	for range 32 {
		o, ok := v.(map[string]any)
		if !ok {
			return nil, durable.Errorf(durable.CodeInvalid, "openapi: want an object, not %s", tool.Clip(asText(v), 60))
		}
		ref, ok := o["$ref"].(string)
		if !ok {
			return o, nil
		}
		var err error
		if v, err = d.at(ref); err != nil {
			return nil, err
		}
	}
	return nil, durable.Errorf(durable.CodeInvalid, "openapi: references go round in a circle")
}

// base returns the URL that all paths are under: the one given, or the first server.
func (d *document) base(given string, from *url.URL) (string, error) {
	text := given
	if text == "" {
		servers, _ := d.root["servers"].([]any)
		if len(servers) > 0 {
			server, _ := servers[0].(map[string]any)
			text = asText(server["url"])
			variables, _ := server["variables"].(map[string]any)
			for name, v := range variables {
				variable, _ := v.(map[string]any)
				text = strings.ReplaceAll(text, "{"+name+"}", asText(variable["default"]))
			}
		}
		if from != nil {
			if u, err := from.Parse(text); err == nil {
				text = u.String()
			}
		}
		if !strings.Contains(text, "://") {
			return "", durable.Errorf(durable.CodeInvalid, "openapi: the document does not say where its server is: give base_url")
		}
	}
	if strings.ContainsAny(text, "{}") {
		return "", durable.Errorf(durable.CodeInvalid, "openapi: %q has a variable without a default: give base_url", tool.Clip(text, 120))
	}
	u, err := parseBase(text)
	if err != nil {
		return "", err
	}
	u.RawQuery, u.Fragment = "", ""
	return strings.TrimSuffix(u.String(), "/"), nil
}

// named is an operation with what its tool is called.
type named struct {
	name, description string
	operation         *Operation
}

// operations lists those that include names, in the order of their paths and methods.
func (d *document) operations(include []string, effects map[string]durable.Effect) ([]named, error) {
	paths, _ := d.root["paths"].(map[string]any)
	used, known := map[string]bool{}, map[string]bool{}
	var all []named
	var names []string
	for _, route := range slices.Sorted(maps.Keys(paths)) {
		item, err := d.object(paths[route])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tool.Clip(route, 80), err)
		}
		for _, method := range []string{"get", "put", "post", "delete", "options", "head", "patch"} {
			raw, ok := item[method].(map[string]any)
			if !ok {
				continue
			}
			title, id := strings.ToUpper(method)+" "+route, asText(raw["operationId"])
			names = append(names, tool.Clip(title, 80))
			known[id], known[title] = true, true
			if !included(include, used, id, title) {
				continue
			}
			o, err := d.operation(route, method, item, raw)
			if err == nil {
				o.operation.Effect = cmp.Or(effects[id], effects[title], o.operation.Effect)
				err = checkEffect(o.operation.Effect)
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", tool.Clip(title, 80), err)
			}
			all = append(all, o)
		}
	}
	if len(all) > maxOperations {
		return nil, durable.Errorf(durable.CodeInvalid, "openapi: there are more than %d operations: name those that are wanted with include", maxOperations)
	}
	return all, checkNames(include, effects, used, known, names)
}

// checkNames refuses what names no operation.
func checkNames(include []string, effects map[string]durable.Effect, used, known map[string]bool, names []string) error {
	for _, pattern := range include {
		if !used[pattern] {
			return durable.Errorf(durable.CodeNotFound, "openapi: include %q names no operation; there are: %s", tool.Clip(pattern, 80), tool.Clip(strings.Join(names, ", "), 600))
		}
	}
	for name := range effects {
		if !known[name] || name == "" {
			return durable.Errorf(durable.CodeNotFound, "openapi: effects has %q, which is no operation; there are: %s", tool.Clip(name, 80), tool.Clip(strings.Join(names, ", "), 600))
		}
	}
	return nil
}

func included(include []string, used map[string]bool, id, title string) bool {
	yes := len(include) == 0
	for _, pattern := range include {
		for _, name := range []string{id, title} {
			if ok, err := path.Match(pattern, name); err == nil && ok && name != "" {
				used[pattern], yes = true, true
			}
		}
	}
	return yes
}

// unique makes a name another one where it is taken.
func unique(name string, taken map[string]bool) string {
	free := name
	for i := 2; taken[free]; i++ {
		free = name + "_" + strconv.Itoa(i)
	}
	taken[free] = true
	return free
}
