package secret

// automaton finds all patterns at once, in one step a byte (Aho and Corasick, 1975). It does
// not change once built.
type automaton struct {
	patterns []pattern
	class    [256]uint16 // bytes that no pattern has are all of class 0
	classes  int
	next     []int32   // state*classes + class -> state
	depth    []int32   // of a state: how many bytes of some pattern it stands for
	ends     [][]int32 // of a state: the patterns that end there
	spaces   bool      // some value has a space, so that + may mean one
}

func newAutomaton(patterns []pattern) *automaton {
	a := &automaton{patterns: patterns, classes: 1}
	for _, p := range patterns {
		for _, b := range []byte(p.head) {
			if a.class[b] == 0 {
				a.class[b] = uint16(a.classes) //nolint:gosec // at most 257
				a.classes++
			}
			a.spaces = a.spaces || b == ' '
		}
	}
	a.grow(0)
	for i, p := range patterns {
		at := int32(0)
		for _, b := range []byte(p.head) {
			slot := int(at)*a.classes + int(a.class[b])
			if a.next[slot] == 0 {
				a.next[slot] = a.grow(a.depth[at] + 1)
			}
			at = a.next[slot]
		}
		a.ends[at] = append(a.ends[at], int32(i)) //nolint:gosec // far fewer
	}
	a.link()
	return a
}

func (a *automaton) grow(depth int32) int32 {
	a.next = append(a.next, make([]int32, a.classes)...)
	a.depth = append(a.depth, depth)
	a.ends = append(a.ends, nil)
	return int32(len(a.depth) - 1) //nolint:gosec // bounded by the bytes of all patterns
}

// link lets every state go on with the longest part of what was read that some pattern
// begins with, so that no byte is read twice.
func (a *automaton) link() {
	fail := make([]int32, len(a.depth))
	queue := []int32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c := range a.classes {
			slot := int(at)*a.classes + c
			instead := int32(0)
			if at != 0 {
				instead = a.next[int(fail[at])*a.classes+c]
			}
			to := a.next[slot]
			if to == 0 {
				a.next[slot] = instead
				continue
			}
			fail[to] = instead
			a.ends[to] = append(a.ends[to], a.ends[instead]...)
			queue = append(queue, to)
		}
	}
}
