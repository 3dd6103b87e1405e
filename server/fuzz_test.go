package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// FuzzListCursor: a cursor of a list is read as it was written, or refused as invalid.
func FuzzListCursor(f *testing.F) {
	for _, n := range []int64{1, 7, 1 << 40} {
		f.Add(server.CursorOf("x1", n))
	}
	f.Add("bm9uZQ")
	f.Fuzz(func(t *testing.T, text string) {
		n, err := server.ParseCursor("x1", text)
		if err != nil && !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && server.CursorOf("x1", n) != text {
			t.Errorf("%q is read as %d, which is %q", text, n, server.CursorOf("x1", n))
		}
	})
}

// FuzzText: what is let through is UTF-8 that a JSON parser reads without going deep.
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "{}", `{"a":"[[[["}`, `"\"[["`, strings.Repeat("[", 101), "\xff", `{"a":[{"b":[]}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if server.CheckText(data) != nil {
			return
		}
		if !utf8.Valid(data) {
			t.Errorf("%q is not UTF-8", data)
		}
		if !json.Valid(data) {
			return
		}
		depth, most := 0, 0
		for dec := json.NewDecoder(bytes.NewReader(data)); ; {
			token, err := dec.Token()
			if err != nil {
				break
			}
			if d, ok := token.(json.Delim); ok && (d == '[' || d == '{') {
				depth++
				most = max(most, depth)
			} else if ok {
				depth--
			}
		}
		if most > 100 {
			t.Errorf("%d levels are let through", most)
		}
	})
}

// FuzzRequests: whatever comes as a body, the answer is one of ours, and none says that the
// server is at fault.
func FuzzRequests(f *testing.F) {
	for _, s := range []string{`{"agent":"chatty"}`, `{"program":"ask","input":1}`, `{"definition":{"model":"a/b"}}`, `{`, `[]`, `null`, `{"agent":null}`, `{"id":"x"}`} {
		for path := range 6 {
			f.Add(path, []byte(s))
		}
	}
	paths := []string{"/v1/runs", "/v1/runs/batch", "/v1/threads", "/v1/tokens", "/v1/webhooks", "/v1/runs/@last/approve"}
	s := open(f, server.Config{})
	f.Fuzz(func(t *testing.T, path int, data []byte) {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, paths[(path%len(paths)+len(paths))%len(paths)], bytes.NewReader(data))
		req.Host, req.RemoteAddr = "127.0.0.1", "127.0.0.1:1"
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.s.Local().ServeHTTP(w, req)
		if w.Code == http.StatusInternalServerError {
			t.Errorf("%s %q: %d %s", req.URL.Path, data, w.Code, w.Body)
		}
		if w.Code >= http.StatusBadRequest && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %q: %d as %s", req.URL.Path, data, w.Code, w.Header().Get("Content-Type"))
		}
	})
}
