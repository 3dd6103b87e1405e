package embedded_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/orpine-run/orpine/durable"
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
		for range 6 {
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
	if n := len(w.timers); n > 0 && w.rng.IntN(2) == 0 && !w.timers[n-1].Ready() {
		list = append(list, w.timers[n-1])
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
	switch w.rng.IntN(6) {
	case 0:
		w.start(ctx)
	case 1:
		w.ends[w.rng.IntN(len(w.ends))].Cancel()
	case 2:
		w.timers = append(w.timers, ctx.Timer(1<<40)) // some twenty minutes, which only a cancel ends
	case 3:
		if n := len(w.timers); n > 0 {
			w.timers[w.rng.IntN(n)].Cancel()
		}
	}
	return nil
}

// TestOrderOfCoroutines: to look only at the coroutines of which there is news comes to the
// same order as to look at all of them, round after round.
func TestOrderOfCoroutines(t *testing.T) {
	s := openStore(t, t.TempDir())
	e := openEngine(t, s, wanderers())
	defer closeEngine(t, e, s)
	first, longest := seedOf(), 0
	for seed := first; seed < first+uint64(brief(1000, 15, 5)); seed++ {
		var way [2]string
		for i, hidden := range []bool{false, true} {
			input, err := json.Marshal(deed{Seed: seed, Opaque: hidden})
			if err != nil {
				t.Fatal(err)
			}
			id, err := e.Start(t.Context(), durable.StartRequest{Program: "wanderers", Input: input})
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(seed, 1))
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
				t.Fatalf("seed %d: the run is %s (%s): %v", seed, r.Status, r.Reason, r.Error)
			}
			way[i] = string(r.Output)
		}
		longest = max(longest, len(way[0]))
		if way[0] != way[1] {
			t.Fatalf("seed %d: with news the order is\n%s\nwithout\n%s", seed, way[0], way[1])
		}
	}
	if longest < 100 {
		t.Errorf("the longest way is %d bytes: the test shows too little", longest)
	}
}
