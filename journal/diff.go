package journal

import (
	"cmp"
	"slices"

	"github.com/orpine-run/orpine/durable"
)

// The ways in which a step of two runs can differ.
const (
	OnlyA        = "only_a"
	OnlyB        = "only_b"
	OtherStatus  = "status"
	OtherInput   = "input"
	OtherOutput  = "output"
	OtherFailure = "error"
)

// Difference is one step of two runs, held side by side.
type Difference struct {
	Step    durable.StepID      `json:"step"`
	Name    string              `json:"name"`
	Kind    durable.CommandKind `json:"kind"`
	Differs []string            `json:"differs"` // in what; empty = the same
	A       *durable.Step       `json:"a,omitempty"`
	B       *durable.Step       `json:"b,omitempty"`
}

// Diff aligns the steps of two runs by segment, command, kind and name, and says in what
// they differ. It is a pure function. Values are compared by their hashes; when a step
// began, and how often it was tried, is no difference.
func Diff(a, b []durable.Step) []Difference {
	type key struct {
		id   durable.StepID
		kind durable.CommandKind
		name string
	}
	keyOf := func(s *durable.Step) key { return key{s.StepID(), s.Kind, s.Name} }
	other := map[key]*durable.Step{}
	for i := range b {
		other[keyOf(&b[i])] = &b[i]
	}
	var all []Difference
	for i := range a {
		k := keyOf(&a[i])
		all = append(all, compare(&a[i], other[k]))
		delete(other, k)
	}
	for i := range b {
		if other[keyOf(&b[i])] != nil {
			all = append(all, compare(nil, &b[i]))
		}
	}
	slices.SortStableFunc(all, func(x, y Difference) int {
		return cmp.Or(cmp.Compare(x.Step.Segment, y.Step.Segment), cmp.Compare(x.Step.Command, y.Step.Command))
	})
	return all
}

func compare(a, b *durable.Step) Difference {
	one := a
	if one == nil {
		one = b
	}
	d := Difference{Step: one.StepID(), Name: one.Name, Kind: one.Kind, Differs: []string{}, A: a, B: b}
	add := func(what string, differs bool) {
		if differs {
			d.Differs = append(d.Differs, what)
		}
	}
	if a == nil || b == nil {
		add(OnlyA, b == nil)
		add(OnlyB, a == nil)
		return d
	}
	add(OtherStatus, a.Status != b.Status)
	add(OtherInput, !sameRef(a.Input, b.Input))
	add(OtherOutput, !sameRef(a.Output, b.Output))
	add(OtherFailure, (a.Error == nil) != (b.Error == nil) || (a.Error != nil && *a.Error != *b.Error))
	return d
}

func sameRef(a, b *durable.Ref) bool { return a == b || (a != nil && b != nil && *a == *b) }
