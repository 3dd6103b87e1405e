// Package wire is what the HTTP wire formats of models have in common: what a status
// means for the caller, how long a server asks to wait, how its words are quoted. It
// knows no format and opens no connection.
//
// On the line request -> run -> step -> journal -> event -> client it stands inside a
// step, beneath the adapters.
package wire

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// CodeOf sorts an HTTP status into the codes of model.Error.
func CodeOf(status int) string {
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

// RetryAfter reads how long to wait: Retry-After-Ms, or Retry-After as seconds or as a
// date (RFC 9110, section 10.2.3). Nonsense counts as absent; nobody waits longer than
// a day.
func RetryAfter(h http.Header, now time.Time) time.Duration {
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

// Short makes one line of at most 300 characters of what a server said.
func Short(s string) string {
	const longest = 300
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "?")), " ")
	if r := []rune(s); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return s
}

// Redact takes a key out of a text. A key shorter than four characters stays: it would
// tear ordinary words apart.
func Redact(text, key string) string {
	const shortest = 4
	if len(key) < shortest {
		return text
	}
	return strings.ReplaceAll(text, key, "[redacted]")
}
