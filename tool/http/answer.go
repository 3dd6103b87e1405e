package http

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	nethttp "net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html/charset"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// maxError is how much of the body of an error a model is told.
const maxError = 4 << 10

// longestWait is how long a Retry-After is believed.
const longestWait = time.Hour

// answer turns a response into a result, or into an error when it may pass.
func (t *Tools) answer(ctx context.Context, resp *nethttp.Response, limit int64) (tool.Result, error) {
	status := statusOf(resp)
	if resp.StatusCode/100 == 2 {
		text, err := t.text(ctx, resp, limit, status)
		return tool.Result{Content: text}, err
	}
	text, err := t.text(ctx, resp, maxError, "")
	if err != nil {
		text = "its body broke off"
	}
	if text != "" {
		text = ": " + text
	}
	switch resp.StatusCode {
	case nethttp.StatusTooManyRequests:
		return tool.Result{}, later(resp, durable.CodeExhausted, status+text)
	case nethttp.StatusBadGateway, nethttp.StatusServiceUnavailable, nethttp.StatusGatewayTimeout:
		return tool.Result{}, later(resp, durable.CodeUnavailable, status+text)
	}
	return tool.Result{Content: status + text, Error: true}, nil
}

func statusOf(resp *nethttp.Response) string {
	return strings.TrimSpace(strconv.Itoa(resp.StatusCode) + " " + nethttp.StatusText(resp.StatusCode))
}

func later(resp *nethttp.Response, code durable.Code, text string) error {
	e := durable.Errorf(code, "%s", text)
	value := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(min(seconds, 1<<20))*time.Second, longestWait)
	} else if at, err := nethttp.ParseTime(value); err == nil {
		e.RetryAfter = min(max(time.Until(at), 0), longestWait)
	}
	return e
}

// text reads a body as a model can be told it. empty stands for a body without content.
func (t *Tools) text(ctx context.Context, resp *nethttp.Response, limit int64, empty string) (string, error) {
	data, more, err := readSome(resp.Body, limit)
	if err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", durable.Errorf(durable.CodeUnavailable, "the answer broke off after %d bytes", len(data))
	}
	kind, params, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		kind, _, _ = mime.ParseMediaType(nethttp.DetectContentType(data))
	}
	switch {
	case len(data) == 0:
		return empty, nil
	case !isText(kind) && !(kind == "application/octet-stream" && json.Valid(data)): //nolint:staticcheck // reads better so
		return describe(kind, resp.ContentLength, len(data), more), nil
	}
	text := decode(data, resp.Header.Get("Content-Type"), params["charset"])
	if more {
		text += fmt.Sprintf("\n[cut after %d bytes]", limit)
	}
	return t.cfg.Redact(text), nil
}

func describe(kind string, length int64, have int, more bool) string {
	if length < 0 && more {
		return fmt.Sprintf("[%s, more than %d bytes, which is no text]", kind, have)
	}
	return fmt.Sprintf("[%s, %d bytes, which is no text]", kind, max(length, int64(have)))
}

func isText(kind string) bool {
	switch kind {
	case "application/json", "application/xml", "application/javascript", "application/yaml", "application/x-yaml",
		"application/x-ndjson", "application/jsonl", "application/x-www-form-urlencoded", "application/graphql", "application/toml", "application/sql":
		return true
	}
	return strings.HasPrefix(kind, "text/") || strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml") || strings.HasSuffix(kind, "+yaml")
}

// decode brings a text into UTF-8. What is none in its charset is replaced.
func decode(data []byte, contentType, label string) string {
	if strings.EqualFold(label, "utf-8") || label == "" && !strings.HasPrefix(contentType, "text/html") {
		return strings.ToValidUTF8(string(data), "\ufffd")
	}
	encoding, _, _ := charset.DetermineEncoding(data, contentType)
	text, err := encoding.NewDecoder().Bytes(data)
	if err != nil {
		text = data
	}
	return strings.ToValidUTF8(string(text), "\ufffd")
}
