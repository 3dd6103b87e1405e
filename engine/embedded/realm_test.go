package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
)

// realm is what the programs of these tests act on: it counts effects, and lets a step
// wait for the test.
type realm struct {
	ledger
	gates map[string]chan struct{} // a step with this input waits until its gate is open
	fail  map[string]bool          // a step with this input fails for good
	note  string                   // what each output ends with
}

func (w *realm) call(ctx context.Context, in string) (string, error) {
	w.mu.Lock()
	gate := w.gates[in]
	w.mu.Unlock()
	w.ran(ctx, in)
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if w.fail[in] {
		return "", durable.Errorf(durable.CodeInvalid, "%s cannot be", in)
	}
	return in + w.note, nil
}

func (w *realm) gate(in string, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gates[in] = c
}

func (w *realm) counted(in string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.count[in]
}

func (w *realm) do() durable.Func[string, string] {
	return durable.NewFunc("do", durable.StepOptions{Effect: durable.Idempotent}, w.call)
}

func (w *realm) pay() durable.Func[string, string] {
	return durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, w.call)
}

type forkProgram = func(ctx durable.Context, w *realm, in string) (string, error)

// programs are p, which is the test's own, and kid, whose runs it may start.
func (w *realm) programs(fn forkProgram) []durable.Program {
	do, pay := w.do(), w.pay()
	return []durable.Program{
		durable.NewProgram("p", func(ctx durable.Context, in string) (string, error) { return fn(ctx, w, in) }, do.StepFunc, pay.StepFunc),
		durable.NewProgram("kid", func(ctx durable.Context, in string) (string, error) { return durable.Do(ctx, do, in) }),
	}
}

func (w *realm) a(ctx durable.Context, names ...string) (string, error) {
	var all []string
	for _, name := range names {
		out, err := durable.StartAs(ctx, name, w.do(), name).Await(ctx)
		if err != nil {
			return "", err
		}
		all = append(all, out)
	}
	return strings.Join(all, " "), nil
}

func child(ctx durable.Context, in string) durable.Future {
	data, _ := json.Marshal(in)
	return ctx.Child(durable.ChildCall{Program: "kid", Name: "kid", Input: data})
}

// until waits until the journal of a run ends with these kinds and names.
func until(t *testing.T, e *embedded.Engine, id durable.RunID, last ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		have := kinds(t, e, id)
		if len(have) >= len(last) && slices.Equal(have[len(have)-len(last):], last) {
			return
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("the journal of %s is %v and does not come to %v", id, have, last)
		}
	}
}

// bodies is a run as the store has it, byte for byte.
func bodies(t *testing.T, s store.Store, id durable.RunID) []string {
	t.Helper()
	entries, err := s.Entries(t.Context(), id, -1, 1000)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	list := []string{fmt.Sprintf("%+v", r)}
	for _, e := range entries {
		list = append(list, string(e.Body))
	}
	return list
}

// replayed holds a run against its programs, offline.
func replayed(t *testing.T, e *embedded.Engine, s store.Store, id durable.RunID, programs []durable.Program) embedded.Report {
	t.Helper()
	r, err := s.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	report, err := embedded.Replay(t.Context(), embedded.Source{Journal: e.Journal(), Run: r}, programs)
	if err != nil {
		t.Fatalf("replay %s: %v", id, err)
	}
	return report
}

func id(segment, command int) durable.StepID {
	return durable.StepID{Segment: segment, Command: command}
}

func text(s string) json.RawMessage {
	data, _ := json.Marshal(s)
	return data
}
