package anthropic

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	sdk "github.com/anthropics/anthropic-sdk-go"

	"github.com/orpine-run/orpine/model"
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
			return &model.Error{Code: "unavailable", Message: "connect to the server: " + short(c.redact(u.Err.Error()))}
		}
		return &model.Error{Code: "unavailable", Message: short(c.redact(err.Error()))}
	}
	e := &model.Error{Code: codeOf(api.StatusCode), Status: api.StatusCode, Message: said(c.redact(api.RawJSON()))}
	if api.StatusCode < http.StatusBadRequest { // an error event inside a stream
		e.Status, e.Code = 0, codeOfType(string(api.Type()))
	}
	if api.Response != nil {
		e.RetryAfter = retryAfter(api.Response.Header, time.Now())
	}
	switch e.Code {
	case "denied":
		e.Message += "; check the key"
	case "not_found":
		e.Message += "; check the model's name and the base URL"
	}
	return e
}

func (c *Client) redact(text string) string {
	const shortest = 4 // a shorter one would tear ordinary words apart
	if len(c.key) < shortest {
		return text
	}
	return strings.ReplaceAll(text, c.key, "[redacted]")
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
		return "unavailable" // 529, overloaded, among them
	}
	return "invalid"
}

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
				return short(s)
			}
		}
	}
	if s := short(raw); s != "" {
		return s
	}
	return "the server gave no reason"
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
