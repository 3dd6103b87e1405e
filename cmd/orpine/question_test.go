package main

import (
	"context"
	"errors"
	"testing"

	"github.com/orpine-run/orpine/durable"
)

// family are runs by their IDs.
type family map[durable.RunID]durable.Run

func (f family) Find(_ context.Context, ref string) (durable.RunID, error) {
	return durable.RunID(ref), nil
}

func (f family) Get(_ context.Context, id durable.RunID) (durable.Run, error) {
	run, ok := f[id]
	if !ok {
		return run, durable.Errorf(durable.CodeNotFound, "no run %s", id)
	}
	run.ID = id
	return run, nil
}

func (f family) List(context.Context, durable.Filter) ([]durable.Run, error) { return nil, nil }

func asks(id string) durable.Wait {
	return durable.Wait{Kind: durable.WaitAnswer, Interrupt: &durable.Interrupt{ID: id, Kind: "question", Prompt: "well?"}}
}

func child(id durable.RunID) durable.Wait { return durable.Wait{Kind: durable.WaitChild, Child: id} }

func waiting(w ...durable.Wait) durable.Run { return durable.Run{Status: durable.Waiting, Waits: w} }

// TestStanding: who asks is found however deep, once all that are waited for stand still.
func TestStanding(t *testing.T) {
	t.Parallel()
	running := durable.Run{Status: durable.Running}
	for _, c := range []struct {
		name   string
		family family
		asking durable.RunID
		still  bool
	}{
		{"in motion", family{"a": running}, "", false},
		{"over", family{"a": {Status: durable.Succeeded}}, "", false},
		{"paused", family{"a": {Status: durable.Paused}}, "", false},
		{"blocked", family{"a": {Status: durable.Blocked}}, "a", true},
		{"asks", family{"a": waiting(asks("q"))}, "a", true},
		{"in doubt", family{"a": waiting(durable.Wait{Kind: durable.WaitInDoubt})}, "a", true},
		{"waits for a signal", family{"a": waiting(durable.Wait{Kind: durable.WaitSignal})}, "a", true},
		{"waits for a timer", family{"a": waiting(durable.Wait{Kind: durable.WaitTimer})}, "", true},
		{"a child asks", family{"a": waiting(child("b")), "b": waiting(asks("q"))}, "b", true},
		{"a child of a child asks", family{"a": waiting(child("b")), "b": waiting(child("c")), "c": waiting(asks("q"))}, "c", true},
		{"its sibling is in motion", family{"a": waiting(child("b"), child("c")), "b": waiting(asks("q")), "c": running}, "b", false},
		{"a child is blocked", family{"a": waiting(child("b")), "b": {Status: durable.Blocked}}, "b", true},
	} {
		root, err := c.family.Get(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		asking, still, err := standing(t.Context(), c.family, root)
		var got durable.RunID
		if asking != nil {
			got = asking.ID
		}
		if err != nil || got != c.asking || still != c.still {
			t.Errorf("%s: got %q, still %t, %v, want %q, %t", c.name, got, still, err, c.asking, c.still)
		}
	}
}

// TestChoose: the question that is meant is found in the run or below it; one that is not clear
// is a conflict off a terminal.
func TestChoose(t *testing.T) {
	t.Parallel()
	deep := family{"a": waiting(child("b"), asks("own")), "b": waiting(child("c")), "c": waiting(asks("deep"))}
	for _, c := range []struct {
		name     string
		family   family
		question string
		run      durable.RunID
		id       string
		err      error
	}{
		{"the only one", family{"a": waiting(child("b")), "b": waiting(child("c")), "c": waiting(asks("deep"))}, "", "c", "deep", nil},
		{"the one that is named", deep, "deep", "c", "deep", nil},
		{"another one that is named", deep, "own", "a", "own", nil},
		{"several", deep, "", "", "", durable.ErrConflict},
		{"none of that ID", deep, "other", "", "", durable.ErrNotFound},
		{"none that can be seen", family{"a": {Status: durable.Running}}, "q", "a", "q", nil},
		{"a child that is not there", family{"a": waiting(child("b"))}, "", "", "", durable.ErrNotFound},
	} {
		a, _ := person()
		q, err := a.choose(t.Context(), c.family, "a", c.question, anyAction)
		if q.Run != c.run || q.ID != c.id || !errors.Is(err, c.err) {
			t.Errorf("%s: got question %q of %q, %v, want %q of %q, %v", c.name, q.ID, q.Run, err, c.id, c.run, c.err)
		}
	}
}
