package workflow

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// merges lists the merges.
func merges() []string {
	return []string{string(Reject), string(Replace), string(Append), string(Union), string(Sum), string(Max), string(Min)}
}

func (m Merge) known() bool { return m == "" || slices.Contains(merges(), string(m)) }

// ReasonConflict is the Reason of the failure of a node that wrote beside another one.
const ReasonConflict = "concurrent_writes"

// shared is what the nodes of a run share.
type shared struct {
	keys   map[string]Key
	values map[string]any      // by key, as expressions see them
	wrote  map[string][]writer // of keys that are not merged: who has
}

// writer is a node that has written, with the item of a for_each (-1 = there is none).
type writer struct {
	node *node
	item int
}

// newShared makes the state of a run: what it had before, or what its keys begin with.
func newShared(keys map[string]Key, before map[string]json.RawMessage) (*shared, error) {
	s := &shared{keys: keys, values: map[string]any{}, wrote: map[string][]writer{}}
	for name, key := range sorted(keys) {
		first := key.Initial
		if was, ok := before[name]; ok {
			first = was
		}
		v, err := expr.Decode(first)
		if err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "state.%s: %w", name, err)
		}
		if v == nil && (key.Merge == Append || key.Merge == Union) {
			v = []any{}
		}
		s.values[name] = v
	}
	return s, nil
}

// remember takes up who wrote in segments before.
func (s *shared) remember(before map[string][]wrote, g *graph) {
	for name, list := range sorted(before) {
		for _, one := range list {
			if n := g.nodes[one.ID]; n != nil { // else it is not in the definition any more
				s.wrote[name] = append(s.wrote[name], writer{n, one.Item})
			}
		}
	}
}

// wroteBy is who wrote, for the next segment.
func (s *shared) wroteBy() map[string][]wrote {
	out := map[string][]wrote{}
	for name, list := range sorted(s.wrote) {
		for _, one := range list {
			out[name] = append(out[name], wrote{one.node.ID, one.item})
		}
	}
	return out
}

// write merges a value into a key. Errors: conflict when another node wrote it that does not run
// before this one, invalid for a value that its merge cannot take.
func (s *shared) write(who writer, name string, v any) error {
	key := s.keys[name]
	had := s.values[name]
	switch key.Merge {
	case "", Reject:
		for _, other := range s.wrote[name] {
			if who.beside(other) {
				return &durable.Error{
					Code: durable.CodeConflict, Reason: ReasonConflict,
					Err: fmt.Errorf("%s and %s write %q at the same time, and nothing says what becomes of two values; let one need the other, or declare state: { %s: { merge: append } } or another merge", other, who, name, name),
				}
			}
		}
		if !slices.Contains(s.wrote[name], who) {
			s.wrote[name] = append(s.wrote[name], who)
		}
		s.values[name] = v
	case Replace:
		s.values[name] = v
	case Append, Union:
		list, ok := had.([]any)
		if !ok {
			return durable.Errorf(durable.CodeInvalid, "state.%s is merged with %s and is no list", name, key.Merge)
		}
		more, many := v.([]any)
		if !many {
			more = []any{v}
		}
		list = slices.Clip(list)
		for _, one := range more {
			if key.Merge == Append || !slices.ContainsFunc(list, func(o any) bool { return reflect.DeepEqual(o, one) }) {
				list = append(list, one)
			}
		}
		s.values[name] = list
	default:
		sum, err := number(key.Merge, name, had, v)
		if err != nil {
			return err
		}
		s.values[name] = sum
	}
	return nil
}

// number merges two numbers; nothing is the other one.
func number(m Merge, name string, had, v any) (any, error) {
	if had == nil {
		had = v
		if m == Sum {
			had = int64(0)
		}
	}
	a, whole1, ok1 := asNumber(had)
	b, whole2, ok2 := asNumber(v)
	if !ok1 || !ok2 {
		return nil, durable.Errorf(durable.CodeInvalid, "state.%s is merged with %s, which takes numbers", name, m)
	}
	switch {
	case m == Max && a >= b, m == Min && a <= b:
		return had, nil
	case m != Sum:
		return v, nil
	case whole1 && whole2:
		return int64(a) + int64(b), nil
	}
	return a + b, nil
}

func asNumber(v any) (value float64, whole, ok bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true, true
	case float64:
		return v, false, true
	}
	return 0, false, false
}

// String names the writer for an error.
func (w writer) String() string {
	if w.item >= 0 {
		return fmt.Sprintf("step %s (item %d)", w.node.ID, w.item)
	}
	return "step " + w.node.ID
}

// beside reports whether nothing says which of two writers runs first.
func (w writer) beside(o writer) bool {
	if w.node == o.node {
		return w.item != o.item
	}
	mine, theirs := lineage(w.node), lineage(o.node)
	for i := range min(len(mine), len(theirs)) {
		if mine[i] == theirs[i] {
			continue
		}
		return !mine[i].body.ordered && !mine[i].behind(theirs[i]) && !theirs[i].behind(mine[i])
	}
	return false // one is within the other
}

// lineage is a node with the loops it stands in, outermost first.
func lineage(n *node) []*node {
	var list []*node
	for ; n != nil; n = n.body.in {
		list = append([]*node{n}, list...)
	}
	return list
}

// behind reports whether a node of the same graph waits for another, be it by way of others.
func (n *node) behind(other *node) bool {
	seen := map[int]bool{}
	look := slices.Clone(n.needs)
	for len(look) > 0 {
		i := look[len(look)-1]
		look = look[:len(look)-1]
		if i == other.index {
			return true
		}
		if !seen[i] {
			seen[i] = true
			look = append(look, n.body.nodes[i].needs...)
		}
	}
	return false
}

// snapshot is the state as JSON.
func (s *shared) snapshot() (map[string]json.RawMessage, error) {
	out := map[string]json.RawMessage{}
	for name, v := range sorted(s.values) {
		data, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("state.%s: %w", name, err)
		}
		out[name] = data
	}
	return out, nil
}
