package http

import (
	"bytes"
	"encoding/json"
	"maps"
	nethttp "net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// template is a request with {name} where arguments go.
type template struct {
	method string
	base   *url.URL // scheme and host
	path   string
	query  []pair // in the order of the URL, then of the names
	header []pair
	body   any // of JSON, or a string
	form   []pair
	kind   string // Content-Type of the body
	schema json.RawMessage
}

type pair struct{ name, value string }

var placeholder = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\{[A-Za-z_][A-Za-z0-9_]*\}`) })

func newTemplate(d Declared) (*template, error) {
	t := &template{method: strings.ToUpper(d.Method), schema: d.Args}
	if t.method == "" {
		t.method = nethttp.MethodGet
	}
	if !slices.Contains([]string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}, t.method) {
		return nil, durable.Errorf(durable.CodeInvalid, "the method %q is none that a tool may use", tool.Clip(t.method, 20))
	}
	if err := t.readURL(d.URL); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Query)) {
		t.query = append(t.query, pair{name, d.Query[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(d.Headers)) {
		t.header = append(t.header, pair{name, d.Headers[name]})
		if strings.EqualFold(name, "Content-Type") {
			t.kind = d.Headers[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Form)) {
		t.form = append(t.form, pair{name, d.Form[name]})
	}
	if err := t.readBody(d); err != nil {
		return nil, err
	}
	return t, t.checkArgs()
}

// readURL takes a URL apart before anything is put into it, so that no argument can move
// the border between its parts.
func (t *template) readURL(text string) error {
	text, _, _ = strings.Cut(text, "#")
	text, query, _ := strings.Cut(text, "?")
	scheme, rest, found := strings.Cut(text, "://")
	host, path, slash := strings.Cut(rest, "/")
	if !found || strings.ContainsAny(scheme+host, "{}") {
		return durable.Errorf(durable.CodeInvalid, "the url must begin with http:// or https:// and a host that is fixed")
	}
	base, err := parseBase(scheme + "://" + host)
	if err != nil {
		return err
	}
	t.base = base
	if slash {
		t.path = "/" + path
	}
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		plainName, err1 := url.QueryUnescape(name)
		plainValue, err2 := url.QueryUnescape(value)
		if err1 != nil || err2 != nil {
			return durable.Errorf(durable.CodeInvalid, "the query of the url is not percent-encoded")
		}
		t.query = append(t.query, pair{plainName, plainValue})
	}
	if strings.Contains(text+query, "${secret:") {
		return durable.Errorf(durable.CodeInvalid, "a URL may not hold a secret: put it under auth")
	}
	return nil
}

func (t *template) readBody(d Declared) error {
	if len(d.Body) > 0 && len(d.Form) > 0 {
		return durable.Errorf(durable.CodeInvalid, "a request has a body or a form, not both")
	}
	if bytes.Contains(d.Body, []byte("${secret:")) {
		return durable.Errorf(durable.CodeInvalid, "a body may not hold a secret: put it under auth")
	}
	switch {
	case len(d.Form) > 0:
		t.kind = "application/x-www-form-urlencoded"
	case len(d.Body) > 0:
		dec := json.NewDecoder(bytes.NewReader(d.Body))
		dec.UseNumber()
		if err := dec.Decode(&t.body); err != nil {
			return durable.Errorf(durable.CodeInvalid, "body: %w", err)
		}
		if _, plain := t.body.(string); t.kind == "" && plain {
			t.kind = "text/plain; charset=utf-8"
		} else if t.kind == "" {
			t.kind = "application/json"
		}
	}
	return nil
}

// texts are all places where a placeholder may stand.
func (t *template) texts() []string {
	all := []string{t.path}
	for _, list := range [][]pair{t.query, t.header, t.form} {
		for _, p := range list {
			all = append(all, p.value)
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case string:
			all = append(all, v)
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for _, name := range slices.Sorted(maps.Keys(v)) {
				walk(v[name])
			}
		}
	}
	walk(t.body)
	return all
}

// checkArgs holds the placeholders against the schema, or makes the schema of them.
func (t *template) checkArgs() error {
	var used []string
	for _, text := range t.texts() {
		for _, found := range placeholder().FindAllString(text, -1) {
			if name := found[1 : len(found)-1]; !slices.Contains(used, name) {
				used = append(used, name)
			}
		}
	}
	if len(t.schema) == 0 {
		properties := map[string]any{}
		for _, name := range used {
			properties[name] = map[string]any{"type": "string"}
		}
		if used == nil {
			used = []string{}
		}
		schema, err := json.Marshal(map[string]any{"type": "object", "properties": properties, "required": used, "additionalProperties": false})
		t.schema = schema
		return err
	}
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(t.schema, &schema); err != nil {
		return durable.Errorf(durable.CodeInvalid, "args: %w", err)
	}
	for _, name := range used {
		if _, ok := schema.Properties[name]; !ok {
			return durable.Errorf(durable.CodeInvalid, "the request has {%s} and args has no such property", name)
		}
	}
	for name := range schema.Properties {
		if !slices.Contains(used, name) {
			return durable.Errorf(durable.CodeInvalid, "args has %s and the request uses it nowhere", tool.Clip(name, 60))
		}
	}
	return nil
}

// request fills the template.
func (t *template) request(args map[string]any) (request, error) {
	path, err := t.fillPath(args)
	if err != nil {
		return request{}, err
	}
	u, err := url.Parse(t.base.Scheme + "://" + t.base.Host + path)
	if err != nil || u.Host != t.base.Host {
		return request{}, durable.Errorf(durable.CodeInvalid, "the arguments make no URL")
	}
	u.RawQuery = fillPairs(t.query, args)
	r := request{method: t.method, url: u, header: nethttp.Header{}}
	for _, p := range t.header {
		value, given := fill(p.value, args, asText)
		if !given {
			continue
		}
		if err := checkHeader(p.name, value); err != nil {
			return request{}, err
		}
		r.header.Set(p.name, value)
	}
	switch body := t.body.(type) {
	case nil:
		r.body = fillPairs(t.form, args)
	case string:
		r.body, _ = fill(body, args, t.encoder())
	default:
		filled, _ := fillJSON(body, args)
		data, err := json.Marshal(filled)
		if err != nil {
			return request{}, durable.Errorf(durable.CodeInvalid, "body: %w", err)
		}
		r.body = string(data)
	}
	if r.body != "" && t.kind != "" {
		r.header.Set("Content-Type", t.kind)
	}
	return r, nil
}

// fillPath encodes each argument as a part of one segment.
func (t *template) fillPath(args map[string]any) (string, error) {
	var wrong error
	path, _ := fill(t.path, args, func(v any) string {
		text, err := segment(asText(v))
		if err != nil {
			wrong = err
		}
		return text
	})
	for _, found := range placeholder().FindAllString(t.path, -1) {
		if args[found[1:len(found)-1]] == nil {
			return "", durable.Errorf(durable.CodeInvalid, "%s is a part of the path and must be given", found)
		}
	}
	return path, wrong
}

// encoder is how an argument is written into a body that is a text.
func (t *template) encoder() func(any) string {
	switch {
	case strings.Contains(t.kind, "json"):
		return func(v any) string {
			data, err := json.Marshal(asText(v))
			if err != nil {
				return ""
			}
			return string(data[1 : len(data)-1])
		}
	case strings.HasPrefix(t.kind, "application/x-www-form-urlencoded"):
		return func(v any) string { return url.QueryEscape(asText(v)) }
	}
	return asText
}

// fill puts arguments into a text. given is false when it has placeholders and no argument
// for any of them.
func fill(text string, args map[string]any, encode func(any) string) (filled string, given bool) {
	some, found := false, false
	filled = placeholder().ReplaceAllStringFunc(text, func(name string) string {
		found = true
		v := args[name[1:len(name)-1]]
		if v == nil {
			return ""
		}
		some = true
		return encode(v)
	})
	return filled, some || !found
}

// fillPairs makes a query or a form of what is given.
func fillPairs(pairs []pair, args map[string]any) string {
	var parts []string
	for _, p := range pairs {
		if m := placeholder().FindString(p.value); m == p.value && m != "" {
			list, ok := args[m[1:len(m)-1]].([]any)
			if ok { // one for each
				for _, v := range list {
					parts = append(parts, url.QueryEscape(p.name)+"="+url.QueryEscape(asText(v)))
				}
				continue
			}
		}
		if value, given := fill(p.value, args, asText); given {
			parts = append(parts, url.QueryEscape(p.name)+"="+url.QueryEscape(value))
		}
	}
	return strings.Join(parts, "&")
}

// fillJSON puts arguments into a document. given is false where a member is to be left out.
func fillJSON(v any, args map[string]any) (filled any, given bool) {
	switch v := v.(type) {
	case string:
		if m := placeholder().FindString(v); m == v && m != "" {
			value, ok := args[m[1:len(m)-1]]
			return value, ok
		}
		return fill(v, args, asText)
	case []any:
		list := []any{}
		for _, e := range v {
			if f, ok := fillJSON(e, args); ok {
				list = append(list, f)
			}
		}
		return list, true
	case map[string]any:
		object := map[string]any{}
		for name, e := range v {
			if f, ok := fillJSON(e, args); ok {
				object[name] = f
			}
		}
		return object, true
	}
	return v, true
}
