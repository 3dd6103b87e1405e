// Package openai talks to models over the chat completions wire format: the
// hosted API and every server that speaks it (vLLM, Ollama, llama.cpp, gateways).
// It is a small client of its own on net/http. It makes one attempt per call and
// may not retry, read the environment or keep anything between calls.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// inside a step: the agent's model step calls [model.Model], the wire ends here.
//
// It is lenient in what it reads, because servers differ: tool calls without
// index or id, arguments as objects, a JSON body although a stream was asked for,
// reasoning under either of its two names, a missing final [DONE]. It is strict
// about the end: a stream without finish_reason and without [DONE] was cut, and
// that is an error of code unavailable.
package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/wire"
)

// DefaultBaseURL is the hosted API.
const DefaultBaseURL = "https://api.openai.com/v1"

const (
	maxBody  = 64 << 20 // of an answer
	maxError = 64 << 10 // of an error's body
)

// Config says where the models are and how to get in.
type Config struct {
	BaseURL string            // up to and with /v1; DefaultBaseURL when empty
	Key     string            // bearer token; may be empty for other base URLs
	Client  *http.Client      // nil: a new one without a timeout, since streams are long
	Headers map[string]string // added to each request, for gateways
}

// Client is a configured connection. It is safe for concurrent use.
type Client struct {
	base    string
	hosted  bool
	key     string
	http    *http.Client
	headers map[string]string
}

// New checks the configuration. It connects to nothing. Errors are *model.Error:
// denied for a missing key, invalid for a base URL that is none.
func New(cfg Config) (*Client, error) {
	base := strings.TrimRight(cfg.BaseURL, "/")
	if base == "" {
		base = DefaultBaseURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &model.Error{Code: "invalid", Message: "the base URL of the openai provider is not one; it looks like " + DefaultBaseURL}
	}
	c := &Client{base: base, hosted: base == DefaultBaseURL, key: cfg.Key, headers: cfg.Headers}
	if c.hosted && c.key == "" {
		return nil, &model.Error{Code: "denied", Message: "no key for " + DefaultBaseURL +
			": set OPENAI_API_KEY, or use another base URL, or a model that needs no key: builtin/outline, script/FILE"}
	}
	client := http.Client{}
	if cfg.Client != nil {
		client = *cfg.Client
	}
	if client.CheckRedirect == nil {
		// A redirect would carry the headers to a host nobody configured.
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	c.http = &client
	return c, nil
}

// Model returns the model that the server knows by name.
func (c *Client) Model(name string) model.Model { return named{c, name} }

// Provider returns the provider of openai/NAME models. The configuration is
// checked when the first model is asked for.
func Provider(cfg Config) model.Provider {
	return func(name string) (model.Model, error) {
		if name == "" {
			return nil, &model.Error{Code: "invalid", Message: "the model has no name; write openai/NAME"}
		}
		c, err := New(cfg)
		if err != nil {
			return nil, err
		}
		return c.Model(name), nil
	}
}

type named struct {
	client *Client
	name   string
}

var _ model.Model = named{}

// Generate implements model.Model.
func (n named) Generate(ctx context.Context, req model.Request, emit func(model.Delta)) (model.Reply, error) {
	if emit == nil {
		emit = func(model.Delta) {}
	}
	reply, err := n.attempt(ctx, req, emit)
	if err == nil {
		return reply, nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return model.Reply{}, fmt.Errorf("call model openai/%s: %w", n.name, ctxErr)
	}
	if e, ok := errors.AsType[*model.Error](err); ok {
		e.Message = fmt.Sprintf("call model openai/%s: %s", n.name, n.client.redact(e.Message))
		return model.Reply{}, e
	}
	return model.Reply{}, &model.Error{Code: "unavailable", Message: fmt.Sprintf("call model openai/%s: %s", n.name, n.client.redact(err.Error()))}
}

func (n named) attempt(ctx context.Context, req model.Request, emit func(model.Delta)) (model.Reply, error) {
	body, err := n.client.encode(n.name, req)
	if err != nil {
		return model.Reply{}, err
	}
	res, err := n.client.post(ctx, body)
	if err != nil {
		return model.Reply{}, err
	}
	defer res.Body.Close() //nolint:errcheck // read to its end or abandoned
	if res.StatusCode != http.StatusOK {
		return model.Reply{}, n.client.statusError(res)
	}
	a := &answer{emit: emit, redact: n.client.redact, turn: len(req.Messages)}
	if err := a.read(res); err != nil {
		return model.Reply{}, err
	}
	return a.reply(), nil
}

func (c *Client) post(ctx context.Context, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream, application/json")
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	for k, v := range c.headers {
		req.Header.Set(k, v)
	}
	res, err := c.http.Do(req)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err // without the URL, which may hold a key
		}
		return nil, fmt.Errorf("connect to %s: %w", req.URL.Host, err)
	}
	return res, nil
}

// redact removes what was configured as a secret from a text for people.
func (c *Client) redact(text string) string {
	text = wire.Redact(text, c.key)
	for _, v := range c.headers {
		text = wire.Redact(wire.Redact(text, v), strings.TrimPrefix(v, "Bearer "))
	}
	return text
}

// read takes the answer off the wire, streamed or whole.
func (a *answer) read(res *http.Response) error {
	body := &bounded{r: res.Body, left: maxBody}
	kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil {
		kind = ""
	}
	switch kind {
	case "application/json":
		data, err := io.ReadAll(body)
		if err != nil {
			return cut(err)
		}
		return a.whole(data)
	case "text/html":
		return &model.Error{Code: "invalid", Message: "the server answered with a web page; is the base URL right?"}
	}
	events := newEvents(body)
	for {
		data, err := events.next()
		switch {
		case errors.Is(err, io.EOF) || err != nil && a.finish != "":
			// After finish_reason only the usage is missing.
			return a.end()
		case err != nil:
			return cut(err)
		case string(data) == "[DONE]":
			a.done = true
			return nil
		}
		if err := a.chunk(data); err != nil {
			return err
		}
	}
}

func (a *answer) end() error {
	if a.finish == "" && !a.done {
		return cut(nil)
	}
	return nil
}

func cut(err error) error {
	if e, ok := errors.AsType[*model.Error](err); ok {
		return e
	}
	if err == nil {
		return &model.Error{Code: "unavailable", Message: "the stream was cut: it ended without finish_reason"}
	}
	return &model.Error{Code: "unavailable", Message: "the stream was cut: " + err.Error()}
}

// bounded refuses more bytes than an answer can sensibly have.
type bounded struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, &model.Error{Code: "unavailable", Message: fmt.Sprintf("the answer is larger than %d MB", maxBody>>20)}
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// whole reads an answer that was not streamed.
func (a *answer) whole(data []byte) error {
	if !json.Valid(data) {
		return a.garbage(data)
	}
	if err := a.chunk(data); err != nil {
		return err
	}
	if a.finish == "" && !a.seen {
		return &model.Error{Code: "unavailable", Message: "the answer has no choices: " + wire.Short(a.redact(string(data)))}
	}
	return nil
}
