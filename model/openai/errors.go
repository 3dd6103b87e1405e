package openai

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orpine-run/orpine/model"
)

// statusError maps an answer that is not 200.
func (c *Client) statusError(res *http.Response) error {
	e := &model.Error{Code: codeOf(res.StatusCode), Status: res.StatusCode, RetryAfter: retryAfter(res.Header, time.Now())}
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
		e.Message = fmt.Sprintf("the server redirects to %q; use that as the base URL", short(res.Header.Get("Location")))
	case e.Code == "denied":
		e.Message += "; check the key"
	case e.Code == "not_found":
		e.Message += "; check the model's name and the base URL"
	}
	return e
}

func codeOf(status int) string {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "denied"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusPaymentRequired, http.StatusTooManyRequests:
		return "exhausted"
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return "unavailable"
	}
	if status >= http.StatusInternalServerError {
		return "unavailable"
	}
	return "invalid"
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
		e.Status, e.Code = int(status), codeOf(int(status))
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
		return short(string(data))
	}
	var inner struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body.Error, &inner) == nil && inner.Message != "" {
		return short(inner.Message)
	}
	for _, s := range []string{text(body.Error), body.Message, text(body.Detail)} {
		if s != "" {
			return short(s)
		}
	}
	return short(string(data))
}

// retryAfter reads how long to wait: retry-after-ms, or Retry-After as seconds or
// as a date. Nonsense counts as absent; nobody waits longer than a day.
func retryAfter(h http.Header, now time.Time) time.Duration {
	const longest = 24 * time.Hour
	var wait time.Duration
	value := strings.TrimSpace(h.Get("Retry-After"))
	if ms, err := strconv.ParseFloat(h.Get("Retry-After-Ms"), 64); err == nil {
		wait = scale(ms, time.Millisecond)
	} else if s, err := strconv.ParseFloat(value, 64); err == nil {
		wait = scale(s, time.Second)
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), longest)
}

// scale multiplies without overflow; NaN is 0.
func scale(n float64, unit time.Duration) time.Duration {
	most := float64(48 * time.Hour / unit)
	switch {
	case n > most:
		n = most
	case !(n > 0):
		n = 0
	}
	return time.Duration(n * float64(unit))
}

// short makes one line of at most 300 characters.
func short(s string) string {
	const longest = 300
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}
