package server_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// BenchmarkStart starts runs through the handler, 64 at a time, without a socket in between:
// what the server adds to a start of the engine's own.
func BenchmarkStart(b *testing.B) {
	wait := durable.NewProgram("wait", func(ctx durable.Context, _ int) (int, error) { return 0, ctx.Inbox("go").Receive(ctx, nil) })
	rt, err := orpine.Open(b.Context(), orpine.Config{Data: b.TempDir(), Programs: []durable.Program{wait}})
	if err != nil {
		b.Fatal(err)
	}
	defer rt.Close() //nolint:errcheck // the benchmark is about something else
	s, err := server.New(b.Context(), server.Config{Runtime: rt})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // as above
	const atOnce = 64
	b.Run("engine", func(b *testing.B) {
		b.SetParallelism(atOnce / 2)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := rt.Start(context.Background(), durable.StartRequest{Program: "wait"}); err != nil {
					b.Error(err)
				}
			}
		})
	})
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(atOnce / 2)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "http://127.0.0.1/v1/runs", bytes.NewReader([]byte(`{"program":"wait","input":1}`)))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Code != http.StatusCreated {
					text, _ := io.ReadAll(w.Body)
					b.Errorf("status %d: %s", w.Code, text)
				}
			}
		})
	})
}
