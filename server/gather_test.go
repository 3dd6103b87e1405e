package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// page is where a stream is written to; it counts the writes.
type page struct {
	header http.Header
	text   bytes.Buffer
	writes int
}

func (p *page) Header() http.Header                { return p.header }
func (p *page) WriteHeader(int)                    {}
func (p *page) Write(data []byte) (int, error)     { return p.text.Write(data) }
func (p *page) SetWriteDeadline(_ time.Time) error { return nil }
func (p *page) Flush()                             { p.writes++ }

// TestStreamsGather has many streams of one run at once: each gets all deltas in order, and
// those that come close to each other in one write.
func TestStreamsGather(t *testing.T) {
	t.Parallel()
	const streams, deltas = 300, 200
	flow := durable.NewFunc("flow", durable.StepOptions{}, func(ctx context.Context, _ int) (int, error) {
		at := durable.AttemptOf(ctx)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := range deltas {
			<-tick.C
			at.Emit("text", fmt.Appendf(nil, "%d", i))
		}
		return deltas, nil
	})
	rt, err := orpine.Open(t.Context(), orpine.Config{Data: t.TempDir(), KeepDeltas: true, Programs: []durable.Program{
		durable.NewProgram("flow", func(ctx durable.Context, _ int) (int, error) {
			if err := ctx.Inbox("go").Receive(ctx, nil); err != nil {
				return 0, err
			}
			return durable.Do(ctx, flow, 0)
		}, flow.StepFunc),
	}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(t.Context(), server.Config{Runtime: rt})
	if err != nil {
		t.Fatal(errors.Join(err, rt.Close()))
	}
	defer func() {
		if err := errors.Join(s.Close(), rt.Close()); err != nil {
			t.Error(err)
		}
	}()
	id, err := rt.Start(t.Context(), durable.StartRequest{Program: "flow", Input: json.RawMessage("0")})
	if err != nil {
		t.Fatal(err)
	}
	pages := make([]page, streams)
	var all, there sync.WaitGroup
	there.Add(streams)
	for i := range pages {
		pages[i].header = http.Header{}
		all.Go(func() {
			there.Done()
			s.Local().ServeHTTP(&pages[i], httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://local/v1/runs/"+string(id)+"/events", http.NoBody))
		})
	}
	there.Wait()
	if err := rt.Signal(t.Context(), id, durable.Signal{Name: "go"}); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	sum := 0
	for i := range pages {
		sum += pages[i].writes
		at, text := -1, pages[i].text.Bytes()
		for n := range deltas {
			found := bytes.Index(text[at+1:], fmt.Appendf(nil, "\"data\":%d}", n))
			if found < 0 {
				t.Fatalf("stream %d has no delta %d behind the one before", i, n)
			}
			at += 1 + found
		}
	}
	if most := deltas * 3 / 4; sum/streams > most {
		t.Errorf("a stream was written to %d times for %d deltas, want at most %d", sum/streams, deltas, most)
	}
	t.Logf("%d streams were written to %d times each for %d deltas", streams, sum/streams, deltas)
}
