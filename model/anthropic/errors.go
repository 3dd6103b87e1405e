package anthropic

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/wire"
)

// mapError turns what the SDK returned into a *model.Error without secrets.
func (c *Client) mapError(err error) *model.Error {
	if e, ok := errors.AsType[*model.Error](err); ok {
		e.Message = c.redact(e.Message)
		return e
	}
	api, ok := errors.AsType[*sdk.Error](err)
	if !ok {
		if u, ok := errors.AsType[*url.Error](err); ok {
			return &model.Error{Code: "unavailable", Message: "connect to the server: " + wire.Short(c.redact(u.Err.Error()))}
		}
		return &model.Error{Code: "unavailable", Message: wire.Short(c.redact(err.Error()))}
	}
	e := &model.Error{Code: wire.CodeOf(api.StatusCode), Status: api.StatusCode, Message: said(c.redact(api.RawJSON()))}
	if api.StatusCode < http.StatusBadRequest { // an error event inside a stream
		e.Status, e.Code = 0, codeOfType(string(api.Type()))
	}
	if api.Response != nil {
		e.RetryAfter = wire.RetryAfter(api.Response.Header, time.Now())
	}
	switch e.Code {
	case "denied":
		e.Message += "; check the key"
	case "not_found":
		e.Message += "; check the model's name and the base URL"
	}
	return e
}

func (c *Client) redact(text string) string { return wire.Redact(text, c.key) }

func codeOfType(kind string) string {
	switch kind {
	case "invalid_request_error", "request_too_large":
		return "invalid"
	case "authentication_error", "permission_error":
		return "denied"
	case "not_found_error":
		return "not_found"
	case "rate_limit_error", "billing_error":
		return "exhausted"
	}
	return "unavailable"
}

// said finds the message in an error body.
func said(raw string) string {
	var body struct {
		Error struct {
			Message string `json:"message"`
		} `json:"error"`
		Message string `json:"message"`
	}
	if json.Unmarshal([]byte(raw), &body) == nil {
		for _, s := range []string{body.Error.Message, body.Message} {
			if s != "" {
				return wire.Short(s)
			}
		}
	}
	if s := wire.Short(raw); s != "" {
		return s
	}
	return "the server gave no reason"
}
