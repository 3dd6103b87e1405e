package workflow

import (
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/orpine-run/orpine/suggest"
)

// sorted yields the entries of a map in the order of their keys: what is replayed follows no other.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

// keys yields the keys of a map in order.
func keys[V any](m map[string]V) iter.Seq[string] {
	return slices.Values(slices.Sorted(maps.Keys(m)))
}

func names(nodes []*node) []string {
	list := make([]string, len(nodes))
	for i, n := range nodes {
		list[i] = n.ID
	}
	return list
}

// hint says what there is in place of a name that is not.
func hint(name string, known []string) string {
	const most = 12
	if len(known) > most {
		return suggest.Name(name, known, "")
	}
	return suggest.Name(name, known, "there are")
}

func suggestState(key string, state map[string]Key) string {
	if len(state) == 0 {
		return fmt.Sprintf("declare it: state: { %s: { initial: … } }", key)
	}
	return hint(key, slices.Collect(keys(state)))
}
