package picture

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/workflow"
)

// The bounds of a picture in which every node has a box.
const (
	maxDrawn = 500
	maxWays  = 4000 // edges, each counted once for every layer that it passes
	maxBoxes = 60   // of a summary
	maxNamed = 3    // nodes that a box of a summary names
)

// bounded is the graph, or where it is too large one that has a box for some layers each, and a line
// that says so.
func bounded(b *body) (*body, string) {
	all := b.count()
	if all <= maxDrawn && b.ways() <= maxWays {
		return b, ""
	}
	sum := b.summary()
	what := "a layer"
	if len(sum.items) < b.depth {
		what = fmt.Sprintf("up to %d layers", (b.depth+maxBoxes-1)/maxBoxes)
	}
	return sum, fmt.Sprintf("%d steps are too many to draw: each box stands for %s", all, what)
}

// ways is what the edges take to be drawn.
func (b *body) ways() int {
	n := 0
	for _, e := range b.edges {
		n += b.layer[e.to] - b.layer[e.from]
	}
	for _, it := range b.items {
		if it.inner != nil {
			n += it.inner.ways()
		}
	}
	return n
}

// summary has one node for each layer, or for some of them, in one row.
func (b *body) summary() *body {
	each := (b.depth + maxBoxes - 1) / maxBoxes
	out := &body{}
	layers := b.layers()
	for from := 0; from < b.depth; from += each {
		to := min(from+each, b.depth)
		t := tally{by: map[workflow.Status]int{}}
		for _, layer := range layers[from:to] {
			for _, i := range layer {
				t.add(b.items[i])
			}
		}
		name := fmt.Sprintf("layer %d", from+1)
		if to > from+1 {
			name = fmt.Sprintf("layers %d-%d", from+1, to)
		}
		it := &item{lines: append([]string{fmt.Sprintf("%s: %d steps", name, t.all)}, t.lines()...)}
		it.node.ID, it.node.Status = name, t.status()
		if k := len(out.items); k > 0 {
			it.node.Needs = []string{out.items[k-1].node.ID}
		}
		out.items = append(out.items, it)
	}
	out.link()
	return out
}

// tally counts nodes by status.
type tally struct {
	all   int
	by    map[workflow.Status]int
	named []string // the first that failed, or are at work
}

func (t *tally) add(it *item) {
	t.all++
	status := workflow.Status(known(it.node.Status))
	t.by[status]++
	if slices.Contains([]workflow.Status{workflow.Failed, workflow.Running, workflow.Waiting, workflow.Retrying}, status) {
		t.named = append(t.named, it.node.ID+" "+string(status))
	}
	if it.inner != nil {
		for _, o := range it.inner.items {
			t.add(o)
		}
	}
}

// lines says how many nodes are how, and names some.
func (t *tally) lines() []string {
	var counts []string
	for _, s := range statuses() {
		if n := t.by[s]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n, s))
		}
	}
	lines := []string{strings.Join(counts, ", ")}
	for i, name := range t.named {
		if i == maxNamed {
			lines = append(lines, fmt.Sprintf("and %d more", len(t.named)-maxNamed))
			break
		}
		lines = append(lines, cut(name, 2*labelWidth))
	}
	return lines
}

// status is the one that says most about all of them.
func (t *tally) status() workflow.Status {
	for _, s := range []workflow.Status{workflow.Failed, workflow.Retrying, workflow.Waiting, workflow.Running, workflow.Canceled, workflow.Compensated} {
		if t.by[s] > 0 {
			return s
		}
	}
	if t.by[workflow.Pending] > 0 {
		return workflow.Pending
	}
	return workflow.Succeeded
}
