package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

// TestShown: when a person is prompted, the question and all that came before it is shown.
func TestShown(t *testing.T) {
	t.Parallel()
	const steps = 300
	program := durable.NewProgram("asks", func(ctx durable.Context, _ int) (string, error) {
		for range steps {
			if err := durable.Sleep(ctx, 0); err != nil {
				return "", err
			}
		}
		var answer string
		err := ctx.Ask(durable.Interrupt{ID: "q", Prompt: "Is that all?"}).Get(ctx, &answer)
		return answer, err
	})
	rt, err := orpine.Open(t.Context(), orpine.Config{Data: t.TempDir(), Programs: []durable.Program{program}})
	if err != nil {
		t.Fatal(err)
	}
	id, err := rt.Start(t.Context(), durable.StartRequest{Program: "asks", Input: []byte("0")})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rt.Settle(t.Context(), id, time.Time{}); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	a := newApp(&cli{}, strings.NewReader(""), io.Discard, &stderr, func(string) (string, bool) { return "", false })
	f := a.newFollower(rt, id)
	ctx, stop := context.WithCancel(t.Context())
	f.watch(ctx, id)
	if err := f.shown(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	stop()
	f.wg.Wait()
	if text := stderr.String(); !strings.HasSuffix(text, "Is that all?\n") {
		t.Errorf("shown before the prompt: %d bytes that end with %q", len(text), text[max(0, len(text)-80):])
	}
	if err := rt.Close(); err != nil {
		t.Error(err)
	}
}
