package local_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/local"
)

// hands notes what it is told and answers with err.
type hands struct {
	told []string
	said []durable.Resolution
	err  error
}

func (h *hands) note(format string, args ...any) error {
	h.told = append(h.told, fmt.Sprintf(format, args...))
	return h.err
}

func (h *hands) Answer(_ context.Context, id durable.RunID, question string, answer []byte) error {
	return h.note("answer %s %s %s", id, question, answer)
}

func (h *hands) Resolve(_ context.Context, id durable.RunID, command int, r durable.Resolution) error {
	h.said = append(h.said, r)
	return h.note("resolve %s %d %s %v %s", id, command, r.Done, r.Retry, r.Fail)
}
func (h *hands) Resume(_ context.Context, id durable.RunID) error { return h.note("resume %s", id) }
func (h *hands) Cancel(_ context.Context, id durable.RunID, reason string) error {
	return h.note("cancel %s %s", id, reason)
}

func (h *hands) Kill(_ context.Context, id durable.RunID, reason string) error {
	return h.note("kill %s %s", id, reason)
}

func (h *hands) Fork(_ context.Context, id durable.RunID, r orpine.ForkRequest) (durable.RunID, error) {
	return r.ID, h.note("fork %s as %s at %s with %s %s %s %s", id, r.ID, r.At, r.Model, r.Input, r.Results[0].Step, r.Results[0].Output)
}

func open(t *testing.T, dir string, h local.Hands) *local.Client {
	t.Helper()
	door, err := local.Open(t.Context(), dir, h)
	if err != nil {
		t.Fatal(err)
	}
	client, err := local.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(client.Close(), door.Close()); err != nil {
			t.Error(err)
		}
	})
	return client
}

func fork(ctx context.Context, c *local.Client) error {
	var r orpine.ForkRequest
	r.ID, r.At, r.Model, r.Input = "r2", durable.StepID{Segment: 2, Command: 3}, "script/x", json.RawMessage(`{"a":1}`)
	r.Results = []orpine.Result{{Step: durable.StepID{Segment: 2, Command: 2}, Output: json.RawMessage(`"out"`)}}
	_, err := c.Fork(ctx, "r1", r)
	return err
}

func TestOrdersArrive(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("long-", 30), "dir") // longer than a socket path may be
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	h := &hands{}
	c := open(t, deep, h)
	ctx := t.Context()
	if err := errors.Join(
		c.Answer(ctx, "r1", "q", []byte(`"yes"`)),
		c.Resolve(ctx, "r1", 3, durable.Resolution{Done: json.RawMessage(`{"a":1}`)}),
		c.Resume(ctx, "r1"), c.Cancel(ctx, "r1", "enough"), c.Kill(ctx, "r1", "now"), fork(ctx, c),
	); err != nil {
		t.Fatal(err)
	}
	want := []string{`answer r1 q "yes"`, `resolve r1 3 {"a":1} false `, "resume r1", "cancel r1 enough", "kill r1 now", `fork r1 as r2 at 2.3 with script/x {"a":1} 2.2 "out"`}
	if diff := cmp.Diff(want, h.told); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestResolutions sends each of what can be said of a step in doubt: it must arrive as it is.
func TestResolutions(t *testing.T) {
	for _, x := range []struct {
		name string
		say  durable.Resolution
	}{
		{"done", durable.Resolution{Done: json.RawMessage(`{"a":1}`)}},
		{"done with null", durable.Resolution{Done: json.RawMessage(`null`)}},
		{"retry", durable.Resolution{Retry: true}},
		{"fail", durable.Resolution{Fail: "the post office is closed"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			h := &hands{}
			if err := open(t, t.TempDir(), h).Resolve(t.Context(), "r1", 3, x.say); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]durable.Resolution{x.say}, h.said); diff != "" {
				t.Errorf("-sent +arrived\n%s", diff)
			}
		})
	}
	for _, say := range []durable.Resolution{{}, {Retry: true, Fail: "no"}, {Done: json.RawMessage(`null`), Retry: true}} {
		h := &hands{}
		err := open(t, t.TempDir(), h).Resolve(t.Context(), "r1", 3, say)
		if !errors.Is(err, durable.ErrInvalid) || len(h.said) > 0 {
			t.Errorf("%+v: got %v, and %v arrived", say, err, h.said)
		}
	}
}

func TestErrorsKeepTheirCode(t *testing.T) {
	c := open(t, t.TempDir(), &hands{err: durable.Errorf(durable.CodeNotFound, "no run r9")})
	err := c.Kill(t.Context(), "r9", "")
	if !errors.Is(err, durable.ErrNotFound) || !strings.Contains(err.Error(), "no run r9") {
		t.Errorf("got %v", err)
	}
}

func TestNobodyBehindTheDoor(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "door.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := local.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Cancel(t.Context(), "r1", ""); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	open(t, dir, &hands{}) // what was left behind is replaced
}
