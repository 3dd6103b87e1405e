package embedded_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// opaque is something of which the engine gets no news. Who waits for it too is looked at
// again whenever anything has happened, in the order of creation.
type opaque struct{}

// Ready implements durable.Ready.
func (opaque) Ready() bool { return false }

// deed is what the coroutines of the test do: a seed draws it.
type deed struct {
	Seed   uint64
	Opaque bool
}

// wanderers is a program whose coroutines wait for signals, for the end of each other and for
// timers, cancel each other and start more. It returns the order in which they went on.
func wanderers() durable.Program {
	return durable.NewProgram("wanderers", func(ctx durable.Context, d deed) ([]string, error) {
		w := &wander{rng: rand.New(rand.NewPCG(d.Seed, 0)), opaque: d.Opaque}
		for range 12 {
			w.start(ctx)
		}
		for i := 0; i < len(w.ends); i++ {
			for !w.ends[i].Ready() {
				if ctx.Select(w.see(w.ends[i], ctx.Inbox("end"))...) == 1 {
					if err := ctx.Inbox("end").Receive(ctx, nil); err != nil {
						return w.log, err
					}
					for _, end := range w.ends {
						end.Cancel()
					}
				}
			}
		}
		return w.log, nil
	})
}

type wander struct {
	rng    *rand.Rand
	opaque bool
	ends   []durable.Future
	timers []durable.Future
	log    []string
}

func (w *wander) see(list ...durable.Ready) []durable.Ready {
	if w.opaque {
		list = append(list, opaque{})
	}
	return list
}

func (w *wander) start(ctx durable.Context) {
	id := len(w.ends)
	w.ends = append(w.ends, ctx.Go("wanderer", func(ctx durable.Context) error {
		for range 8 {
			w.log = append(w.log, fmt.Sprint(id))
			if err := w.act(ctx, id); err != nil {
				w.log = append(w.log, fmt.Sprintf("%d ends", id))
				return err
			}
		}
		return nil
	}))
}

// act waits for one of a few things, and does something about it.
func (w *wander) act(ctx durable.Context, id int) error {
	boxes := []string{"a", "b", "c"}
	box := ctx.Inbox(boxes[w.rng.IntN(len(boxes))])
	list := []durable.Ready{box}
	if other := w.rng.IntN(len(w.ends)); other != id && !w.ends[other].Ready() {
		list = append(list, w.ends[other])
	}
	if n := len(w.timers); n > 0 && !w.timers[n-1].Ready() {
		list = append(list, w.timers[n-1]) // for which others wait too
	}
	got := ctx.Select(w.see(list...)...)
	if got < 0 {
		return durable.ErrCanceled
	}
	if got == 0 {
		if err := box.Receive(ctx, nil); err != nil {
			return err
		}
	}
	switch w.rng.IntN(8) {
	case 0:
		w.start(ctx)
	case 1:
		w.ends[w.rng.IntN(len(w.ends))].Cancel()
	case 2, 3, 4:
		w.timers = append(w.timers, ctx.Timer(1<<40)) // some twenty minutes, which only a cancel ends
	case 5, 6:
		if n := len(w.timers); n > 0 {
			w.timers[n-1].Cancel()
		}
	}
	return nil
}

// TestOrderOfCoroutines: to look only at the coroutines of which there is news comes to the
// same order as to look at all of them, round after round. testdata/order.json has the order
// of some seeds by an engine that did that; it must never change, or journals would not replay.
func TestOrderOfCoroutines(t *testing.T) {
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, wanderers())
	defer closeEngine(t, e, s)
	data, err := os.ReadFile("testdata/order.json")
	if err != nil {
		t.Fatal(err)
	}
	var ways []json.RawMessage
	if err := json.Unmarshal(data, &ways); err != nil {
		t.Fatal(err)
	}
	for seed, want := range ways {
		if got := wanders(t, e, deed{Seed: uint64(seed)}); string(got) != string(want) {
			t.Fatalf("seed %d: the order is\n%s\nand was\n%s", seed, got, want)
		}
	}
	first := seedOf()
	for seed := first; seed < first+uint64(brief(300, 10, 3)); seed++ {
		one, other := wanders(t, e, deed{Seed: seed}), wanders(t, e, deed{Seed: seed, Opaque: true})
		if string(one) != string(other) {
			t.Fatalf("seed %d: with news the order is\n%s\nwithout\n%s", seed, one, other)
		}
	}
}

// wanders runs the program with the signals that belong to its seed.
func wanders(t *testing.T, e *embedded.Engine, d deed) json.RawMessage {
	t.Helper()
	input, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	id, err := e.Start(t.Context(), durable.StartRequest{Program: "wanderers", Input: input})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(d.Seed, 1))
	for n := range 31 {
		name := []string{"a", "b", "c"}[rng.IntN(3)]
		if n == 30 {
			name = "end"
		}
		if e.Signal(t.Context(), id, durable.Signal{Name: name}) != nil {
			break // it has ended
		}
	}
	r := waitFor(t, e, id)
	if r.Status != durable.Succeeded {
		t.Fatalf("seed %d: the run is %s (%s): %v", d.Seed, r.Status, r.Reason, r.Error)
	}
	return r.Output
}
