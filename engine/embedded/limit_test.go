package embedded

import (
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// TestFits: * in the name of a limit stands for anything, slashes included.
func TestFits(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"model:*", "model:openai/gpt-5", true},
		{"model:openai/*", "model:openai/gpt-5", true},
		{"model:openai/*", "model:anthropic/x", false},
		{"*", "", true},
		{"*", "anything", true},
		{"tool:a", "tool:a", true},
		{"tool:a", "tool:ab", false},
		{"tool:*_read", "tool:file_read", true},
		{"tool:*_read", "tool:file_reader", false},
		{"tool:*_read*", "tool:file_reader", true},
		{"a*a", "a", false},
		{"a*b*a", "aba", true},
		{"a*b*a", "aa", false},
		{"tool:[x", "tool:[x", true},
	} {
		if got := fits(c.pattern, c.name); got != c.want {
			t.Errorf("fits(%q, %q) = %t", c.pattern, c.name, got)
		}
	}
}

// TestLongestPattern: of several limits that fit, the longest counts, every time.
func TestLongestPattern(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing was written
	limits := map[string]Limit{"*": {}, "model:*": {}, "model:openai/*": {}, "model:openai/gpt-*": {}, "*gpt*": {}}
	for range 20 {
		e, err := New(t.Context(), Config{Store: s, Limits: limits})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{"model:openai/gpt-5": "model:openai/gpt-*", "model:openai/o3": "model:openai/*", "model:x/y": "model:*", "tool:gpt": "*gpt*", "tool:x": "*"} {
			if got := e.laneOf(&try{call: durable.StepCall{Options: durable.StepOptions{Limit: name}}}); got.name != want {
				t.Errorf("%s goes by %s, want %s", name, got.name, want)
			}
		}
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestWhoWaitsLetsGo: one who learns that all is durable is told, also when all that waits to
// be written is an attempt to begin.
func TestWhoWaitsLetsGo(t *testing.T) {
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // nothing was written
	e, err := New(t.Context(), Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close(t.Context()) //nolint:errcheck // nothing runs
	l := e.newLive("r")
	l.is(store.Run{ID: "r", State: store.State{Status: durable.Running}}, l.head)
	l.mu.Lock()
	l.batch()
	l.mu.Unlock()
	told := l.written()
	l.mu.Lock()
	l.flush()
	l.mu.Unlock()
	select {
	case err := <-told:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody was told")
	}
}
