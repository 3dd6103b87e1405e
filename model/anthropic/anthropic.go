// Package anthropic talks to models over the Messages API with the official SDK.
// It makes one attempt per call and may not retry (the SDK's own retries are
// off), read the environment or keep anything between calls.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// inside a step: the agent's model step calls [model.Model], the wire ends here.
//
// System messages become the system parameter wherever they stand. Results of
// tools that answer one reply travel in one user message. Thinking is given back
// with its signature as it came; thinking without one came from elsewhere and is
// left out. A demanded JSON answer uses the API's structured output
// (output_config.format, a JSON Schema); objects of the schema that do not say
// whether they are open are closed first, since the API accepts no others.
package anthropic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/wire"
)

// DefaultBaseURL is the hosted API.
const DefaultBaseURL = "https://api.anthropic.com"

// DefaultMaxTokens is the limit of a reply when the request names none; the API
// demands one.
const DefaultMaxTokens = 4096

const (
	maxBody  = 64 << 20 // of an answer
	maxError = 64 << 10 // of an error's body
)

// Config says where the models are and how to get in.
type Config struct {
	BaseURL string       // without /v1; DefaultBaseURL when empty
	Key     string       // may be empty for other base URLs
	Client  *http.Client // nil: a new one without a timeout, since streams are long
}

// Client is a configured connection. It is safe for concurrent use.
type Client struct {
	key string
	sdk sdk.Client
}

// New checks the configuration. It connects to nothing. Errors are *model.Error:
// denied for a missing key, invalid for a base URL that is none.
func New(cfg Config) (*Client, error) {
	base := strings.TrimSuffix(strings.TrimRight(cfg.BaseURL, "/"), "/v1")
	if base == "" {
		base = DefaultBaseURL
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, &model.Error{Code: "invalid", Message: "the base URL of the anthropic provider is not one; it looks like " + DefaultBaseURL}
	}
	if base == DefaultBaseURL && cfg.Key == "" {
		return nil, &model.Error{Code: "denied", Message: "no key for " + DefaultBaseURL +
			": set ANTHROPIC_API_KEY, or use another base URL, or a model that needs no key: builtin/outline, script/FILE"}
	}
	client := http.Client{}
	if cfg.Client != nil {
		client = *cfg.Client
	}
	if client.CheckRedirect == nil {
		// A redirect would carry the key to a host nobody configured.
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	options := []option.RequestOption{
		option.WithoutEnvironmentDefaults(), option.WithoutOpenTelemetry(),
		option.WithBaseURL(base), option.WithHTTPClient(&client), option.WithMaxRetries(0), option.WithMiddleware(bound),
	}
	if cfg.Key != "" {
		options = append(options, option.WithAPIKey(cfg.Key))
	}
	return &Client{key: cfg.Key, sdk: sdk.NewClient(options...)}, nil
}

// Model returns the model that the API knows by name.
func (c *Client) Model(name string) model.Model { return named{c, name} }

// Provider returns the provider of anthropic/NAME models. The configuration is
// checked when the first model is asked for.
func Provider(cfg Config) model.Provider {
	return func(name string) (model.Model, error) {
		if name == "" {
			return nil, &model.Error{Code: "invalid", Message: "the model has no name; write anthropic/NAME"}
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
		return model.Reply{}, fmt.Errorf("call model anthropic/%s: %w", n.name, ctxErr)
	}
	e := n.client.mapError(err)
	e.Message = fmt.Sprintf("call model anthropic/%s: %s", n.name, e.Message)
	return model.Reply{}, e
}

func (n named) attempt(ctx context.Context, req model.Request, emit func(model.Delta)) (model.Reply, error) {
	params, err := parameters(n.name, req)
	if err != nil {
		return model.Reply{}, err
	}
	stream := n.client.sdk.Messages.NewStreaming(ctx, params)
	if err := stream.Err(); err != nil {
		return model.Reply{}, err
	}
	defer stream.Close() //nolint:errcheck // read to its end or abandoned
	a := &answer{emit: emit}
	for stream.Next() {
		if err := a.event(stream.Current()); err != nil {
			return model.Reply{}, err
		}
		if a.done {
			return a.reply(), nil
		}
	}
	if err := stream.Err(); err != nil {
		if _, ok := errors.AsType[*sdk.Error](err); ok {
			return model.Reply{}, err
		}
		return model.Reply{}, fmt.Errorf("the stream was cut: %w", err)
	}
	return model.Reply{}, errors.New("the stream was cut: it ended without message_stop")
}

// bound limits how much of an answer is read and turns redirects into errors.
func bound(req *http.Request, next option.MiddlewareNext) (*http.Response, error) {
	res, err := next(req)
	if err != nil || res.Body == nil {
		return res, err
	}
	switch {
	case res.StatusCode >= http.StatusBadRequest:
		res.Body = shortened{io.LimitReader(res.Body, maxError), res.Body}
	case res.StatusCode != http.StatusOK:
		status, to := res.StatusCode, res.Header.Get("Location")
		if err := res.Body.Close(); err != nil {
			return nil, fmt.Errorf("close the answer: %w", err)
		}
		return nil, &model.Error{Code: "invalid", Status: status, Message: fmt.Sprintf("the server redirects to %q; use that as the base URL", wire.Short(to))}
	default:
		res.Body = shortened{&limited{res.Body, maxBody}, res.Body}
	}
	return res, nil
}

type shortened struct {
	io.Reader
	io.Closer
}

// limited refuses more bytes than an answer can sensibly have.
type limited struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("the answer is larger than %d MB", maxBody>>20)
	}
	n, err := l.r.Read(p[:min(len(p), l.left)])
	l.left -= n
	return n, err
}
