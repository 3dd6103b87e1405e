package http

import (
	"bytes"
	"context"
	"encoding/json"
	nethttp "net/http"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/guard"
)

// Kind is the kind of the declarations this package understands.
const Kind = "http"

// Config is what all tools share.
type Config struct {
	// Guard decides which hosts can be reached; nil = the public internet only.
	Guard *guard.Guard
	// Expand puts secrets in the place of ${secret:NAME}, and Redact takes them out of a
	// text: those of a secret.Broker. Without them a tool with auth is invalid.
	Expand func(ctx context.Context, text string) (string, error)
	Redact func(text string) string
	// MaxBytes bounds what is read of an answer where a declaration does not; default 1 MB.
	MaxBytes int64
	// Timeout bounds a request with its answer; default 60 seconds.
	Timeout time.Duration
	// Agent is the User-Agent; default "orpine".
	Agent string
}

// Tools makes tools of HTTP APIs. All share their connections.
type Tools struct {
	cfg    Config
	client *nethttp.Client
}

// New returns what makes tools. Error: invalid for one of Expand and Redact without the other.
func New(cfg Config) (*Tools, error) {
	if (cfg.Expand == nil) != (cfg.Redact == nil) {
		return nil, durable.Errorf(durable.CodeInvalid, "http tools need Expand and Redact together: a secret that goes out may come back")
	}
	if cfg.Guard == nil {
		g, err := guard.New(guard.Config{})
		if err != nil {
			return nil, err
		}
		cfg.Guard = g
	}
	if cfg.Redact == nil {
		cfg.Redact = func(text string) string { return text }
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 1 << 20
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Agent == "" {
		cfg.Agent = "orpine"
	}
	return &Tools{cfg: cfg, client: cfg.Guard.Client(cfg.Timeout)}, nil
}

// Close lets go of idle connections.
func (t *Tools) Close() { t.client.CloseIdleConnections() }

// Declared is the Config of a declaration; the package comment says what is what.
type Declared struct {
	Description string              `json:"description,omitempty"`
	Headers     map[string]string   `json:"headers,omitempty"`
	Auth        *Auth               `json:"auth,omitempty"`
	Options     durable.StepOptions `json:"options"`
	Flow        *tool.Flow          `json:"flow,omitempty"`
	MaxBytes    int64               `json:"max_bytes,omitempty"`

	// Of a document.
	OpenAPI string                    `json:"openapi,omitempty"`
	Include []string                  `json:"include,omitempty"`
	BaseURL string                    `json:"base_url,omitempty"`
	Effects map[string]durable.Effect `json:"effects,omitempty"`

	// Of a template.
	Method string            `json:"method,omitempty"`
	URL    string            `json:"url,omitempty"`
	Query  map[string]string `json:"query,omitempty"`
	Body   json.RawMessage   `json:"body,omitempty"`
	Form   map[string]string `json:"form,omitempty"`
	Args   json.RawMessage   `json:"args,omitempty"`

	// Operation is one of a document; Find writes it.
	Operation *Operation `json:"operation,omitempty"`
}

var (
	_ tool.Maker  = (*Tools)(nil).Make
	_ tool.Source = (*Tools)(nil).Find
)

// Make is the tool.Maker of templates and of the operations that Find found. Error: invalid.
func (t *Tools) Make(d tool.Declaration) (tool.Tool, error) {
	made, err := t.make(d)
	if err != nil {
		return nil, &durable.Error{Code: durable.CodeOf(err), Op: "tool " + d.Name, Err: err}
	}
	return made, nil
}

func (t *Tools) make(d tool.Declaration) (tool.Tool, error) {
	c, err := t.read(d)
	if err != nil {
		return nil, err
	}
	made := &caller{tools: t, auth: c.Auth, limit: c.MaxBytes, spec: tool.Spec{
		Name: d.Name, Description: c.Description, Options: c.Options, Flow: tool.Flow{Untrusted: true, Egress: true},
	}}
	if c.Flow != nil {
		made.spec.Flow = *c.Flow
	}
	if made.limit <= 0 {
		made.limit = t.cfg.MaxBytes
	}
	var method string
	switch {
	case c.Operation != nil:
		method, made.spec.Schema = c.Operation.Method, c.Operation.Schema
		made.build = func(args map[string]any) (request, error) { return c.Operation.request(c.BaseURL, c.Headers, args) }
		if c.Operation.Effect != "" && made.spec.Options.Effect == "" {
			made.spec.Options.Effect = c.Operation.Effect
		}
	case c.URL != "":
		tm, err := newTemplate(c)
		if err != nil {
			return nil, err
		}
		method, made.spec.Schema, made.build = tm.method, tm.schema, tm.request
	case c.OpenAPI != "":
		return nil, durable.Errorf(durable.CodeInvalid, "an OpenAPI document stands for several tools, which must be found first")
	default:
		return nil, durable.Errorf(durable.CodeInvalid, "want openapi, or the url of a template")
	}
	if made.spec.Options.Effect == "" {
		made.spec.Options.Effect = effectOf(method)
	}
	return made, nil
}

// read decodes the Config of a declaration and checks what templates and documents share.
func (t *Tools) read(d tool.Declaration) (Declared, error) {
	var c Declared
	dec := json.NewDecoder(bytes.NewReader(d.Config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return c, durable.Errorf(durable.CodeInvalid, "its config: %w", err)
	}
	if err := checkHeaders(c.Headers); err != nil {
		return c, err
	}
	if c.Auth != nil && t.cfg.Expand == nil {
		return c, durable.Errorf(durable.CodeInvalid, "it has auth, and there is nothing here that knows secrets")
	}
	if err := checkEffect(c.Options.Effect); err != nil {
		return c, err
	}
	return c, c.Auth.check()
}

func effectOf(method string) durable.Effect {
	switch method {
	case nethttp.MethodGet, nethttp.MethodHead, nethttp.MethodOptions:
		return durable.Read
	case nethttp.MethodPut, nethttp.MethodDelete:
		return durable.Idempotent
	}
	return durable.Irreversible
}

func checkEffect(e durable.Effect) error {
	switch e {
	case "", durable.Read, durable.Idempotent, durable.Irreversible:
		return nil
	}
	return durable.Errorf(durable.CodeInvalid, "an effect is read, idempotent or irreversible, not %q", tool.Clip(string(e), 40))
}

// caller is a tool that makes one request a call.
type caller struct {
	tools *Tools
	spec  tool.Spec
	auth  *Auth
	limit int64
	build func(args map[string]any) (request, error)
}

var _ tool.Tool = (*caller)(nil)

// Spec implements tool.Tool.
func (c *caller) Spec() tool.Spec { return c.spec }

// Call implements tool.Tool.
func (c *caller) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	values := map[string]any{}
	if len(args) > 0 {
		dec := json.NewDecoder(bytes.NewReader(args))
		dec.UseNumber() // an ID of 19 digits stays what it is
		if err := dec.Decode(&values); err != nil {
			return tool.Result{}, durable.Errorf(durable.CodeInvalid, "arguments: %w", err)
		}
	}
	r, err := c.build(values)
	if err != nil {
		return tool.Result{}, err
	}
	r.keyed = c.spec.Options.Effect != durable.Read
	return c.tools.send(ctx, r, c.auth, c.limit)
}
