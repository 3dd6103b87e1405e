package wire_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/model/wire"
)

func TestCodeOf(t *testing.T) {
	for status, want := range map[int]string{
		400: "invalid", 401: "denied", 402: "exhausted", 403: "denied", 404: "not_found", 408: "unavailable",
		409: "unavailable", 422: "invalid", 425: "unavailable", 429: "exhausted", 500: "unavailable", 529: "unavailable",
	} {
		if got := wire.CodeOf(status); got != want {
			t.Errorf("%d is %s, want %s", status, got, want)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name, key, value string
		want             time.Duration
	}{
		{"seconds", "Retry-After", "2", 2 * time.Second},
		{"fraction", "Retry-After", "0.5", 500 * time.Millisecond},
		{"milliseconds", "Retry-After-Ms", "250", 250 * time.Millisecond},
		{"date", "Retry-After", "Fri, 02 Jan 2026 03:04:15 GMT", 10 * time.Second},
		{"past", "Retry-After", "Fri, 02 Jan 2025 03:04:15 GMT", 0},
		{"negative", "Retry-After", "-3", 0},
		{"nonsense", "Retry-After", "soon", 0},
		{"not a number", "Retry-After", "NaN", 0},
		{"for ever", "Retry-After", "1e300", 24 * time.Hour},
	} {
		h := http.Header{}
		h.Set(c.key, c.value)
		if got := wire.RetryAfter(h, now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestShortAndRedact(t *testing.T) {
	if got := wire.Short("a\n b \xff" + strings.Repeat("x", 400)); !strings.HasPrefix(got, "a b ?x") || len([]rune(got)) != 301 {
		t.Errorf("got %q", got)
	}
	if got := wire.Redact("the key is sk-1234", "sk-1234"); got != "the key is [redacted]" {
		t.Errorf("got %q", got)
	}
	if got := wire.Redact("abc", "b"); got != "abc" {
		t.Errorf("got %q", got)
	}
}
