package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/wire"
)

// statusError maps an answer that is not 200.
func (c *Client) statusError(res *http.Response) error {
	e := &model.Error{Code: wire.CodeOf(res.StatusCode), Status: res.StatusCode, RetryAfter: wire.RetryAfter(res.Header, time.Now())}
	data, err := io.ReadAll(io.LimitReader(res.Body, maxError))
	e.Message = said([]byte(c.redact(string(data)))) // before it is shortened
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && e.Message == "" {
		e.Message = err.Error()
	}
	if e.Message == "" {
		e.Message = "the server gave no reason"
	}
	switch {
	case res.StatusCode < 400:
		e.Message = fmt.Sprintf("the server redirects to %q; use that as the base URL", wire.Short(res.Header.Get("Location")))
	case e.Code == "denied":
		e.Message += "; check the key"
	case e.Code == "not_found":
		e.Message += "; check the model's name and the base URL"
	}
	return e
}

// streamError maps an error that came inside a stream, where the status is 200.
func streamError(data []byte) error {
	var body struct {
		Error struct {
			Type string `json:"type"`
			Code any    `json:"code"`
		} `json:"error"`
	}
	e := &model.Error{Code: "unavailable", Message: said(data)}
	if json.Unmarshal(data, &body) != nil {
		return e
	}
	if status, ok := body.Error.Code.(float64); ok && status >= 400 && status < 600 {
		e.Status, e.Code = int(status), wire.CodeOf(int(status))
		return e
	}
	word := fmt.Sprint(body.Error.Type, " ", body.Error.Code)
	for _, m := range []struct{ part, code string }{
		{"rate_limit", "exhausted"},
		{"quota", "exhausted"},
		{"invalid_api_key", "denied"},
		{"authentication", "denied"},
		{"permission", "denied"},
		{"not_found", "not_found"},
		{"invalid", "invalid"},
		{"context_length", "invalid"},
	} {
		if strings.Contains(word, m.part) {
			e.Code = m.code
			break
		}
	}
	return e
}

// said finds the message in an error body; servers disagree about its place.
func said(data []byte) string {
	var body struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(data, &body) != nil {
		return wire.Short(string(data))
	}
	var inner struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body.Error, &inner) == nil && inner.Message != "" {
		return wire.Short(inner.Message)
	}
	for _, s := range []string{text(body.Error), body.Message, text(body.Detail)} {
		if s != "" {
			return wire.Short(s)
		}
	}
	return wire.Short(string(data))
}
