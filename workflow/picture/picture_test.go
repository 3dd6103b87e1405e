package picture_test

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
	"github.com/orpine-run/orpine/workflow/picture"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	t.Parallel()
	for name, v := range shapes(t) {
		for ext, got := range map[string]string{
			"txt": picture.Text(v, picture.Options{Width: 80}), "ascii.txt": picture.Text(v, picture.Options{Width: 80, ASCII: true}),
			"list.txt": picture.Text(v, picture.Options{Width: 20}), "mmd": picture.Mermaid(v), "svg": picture.SVG(v),
		} {
			path := filepath.Join("testdata", name+"."+ext)
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", path, diff)
			}
		}
	}
}

// image is what a test reads of an SVG.
type image struct {
	nodes map[string]box
	edges []string // "from to"
	texts []string
}

type box struct{ x, y, w, h int }

func (b box) holds(o box) bool {
	return o.x > b.x && o.y > b.y && o.x+o.w < b.x+b.w && o.y+o.h < b.y+b.h
}

func (b box) meets(o box) bool {
	return b.x < o.x+o.w && o.x < b.x+b.w && b.y < o.y+o.h && o.y < b.y+b.h
}

// read parses an SVG as XML.
func read(t *testing.T, text string) image {
	t.Helper()
	out := image{nodes: map[string]box{}}
	node := ""
	for dec := xml.NewDecoder(strings.NewReader(text)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatalf("the SVG is no XML: %v", err)
		}
		if chars, ok := token.(xml.CharData); ok {
			out.texts = append(out.texts, string(chars))
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := map[string]string{}
		for _, a := range start.Attr {
			attr[a.Name.Local] = a.Value
		}
		number := func(name string) int { n, _ := strconv.Atoi(attr[name]); return n }
		switch {
		case start.Name.Local == "script" || attr["onload"] != "" || attr["href"] != "":
			t.Fatalf("the SVG has %v", start)
		case attr["data-node"] != "":
			node = attr["data-node"]
		case start.Name.Local == "rect" && node != "":
			out.nodes[node] = box{number("x"), number("y"), number("width"), number("height")}
			node = ""
		case attr["data-from"] != "":
			out.edges = append(out.edges, attr["data-from"]+" "+attr["data-to"])
		}
	}
}

// chart reads the names of the nodes, and the edges, of a flowchart of Mermaid.
func chart(t *testing.T, text string) (nodes, edges []string) {
	t.Helper()
	node := regexp.MustCompile(`^ *(?:subgraph )?(n\d+)[\[({]+"[^ ]+ ([^"<· ]+)`)
	edge := regexp.MustCompile(`^ *(n\d+) -(?:-|\.-)> (n\d+)$`)
	names := map[string]string{}
	for line := range strings.Lines(text) {
		if m := node.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			names[m[1]] = m[2]
			nodes = append(nodes, m[2])
		}
	}
	for line := range strings.Lines(text) {
		if m := edge.FindStringSubmatch(strings.TrimSuffix(line, "\n")); m != nil {
			edges = append(edges, names[m[1]]+" "+names[m[2]])
		}
	}
	return nodes, edges
}

// wanted are the edges of a view: what is needed, and where gotos lead.
func wanted(v workflow.View) []string {
	set := map[string]bool{}
	for _, n := range v.Nodes {
		for _, need := range n.Needs {
			set[need+" "+n.ID] = true
		}
		for _, to := range n.Gotos {
			set[n.ID+" "+to] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// anyView makes a view up: graphs, with loops in loops, ways back and marks.
func anyView(r *rand.Rand) workflow.View {
	v := workflow.View{Workflow: "any"}
	states := []workflow.Status{workflow.Pending, workflow.Running, workflow.Succeeded, workflow.Failed, workflow.Skipped, workflow.Retrying, "odd"}
	var body func(in string, depth int)
	body = func(in string, depth int) {
		var ids []string
		first := len(v.Nodes)
		for range 1 + r.IntN(9) {
			n := workflow.NodeView{ID: fmt.Sprintf("node%d", len(v.Nodes)), Verb: workflow.VerbTool, About: strings.Repeat("x", r.IntN(40)), In: in}
			n.Status = states[r.IntN(len(states))]
			for _, id := range ids {
				if r.IntN(4) == 0 {
					n.Needs = append(n.Needs, id)
				}
			}
			ids = append(ids, n.ID)
			v.Nodes = append(v.Nodes, n)
		}
		for i := first; i < first+len(ids); i++ {
			switch {
			case r.IntN(6) == 0 && v.Nodes[i].ID != ids[0]:
				v.Nodes[i].Verb, v.Nodes[i].Gotos = workflow.VerbSwitch, []string{ids[0], ids[len(ids)-1]}
				v.Nodes[i].Gotos = slices.DeleteFunc(v.Nodes[i].Gotos, func(to string) bool { return to == v.Nodes[i].ID })
			case r.IntN(5) == 0 && depth < 2:
				v.Nodes[i].Verb = workflow.VerbLoop
				body(v.Nodes[i].ID, depth+1)
			}
		}
	}
	body("", 0)
	return v
}

// TestWhole: every node and every edge is in what is drawn, no box lies on another one, and what
// stands in a loop is within its box.
func TestWhole(t *testing.T) {
	t.Parallel()
	views := slices.Collect(maps.Values(shapes(t)))
	r := rand.New(rand.NewPCG(7, 11))
	for range 300 {
		views = append(views, anyView(r))
	}
	for _, v := range views {
		if v.Workflow == "chief" {
			continue // the steps of its plan are no nodes of the view
		}
		image := read(t, picture.SVG(v))
		nodes, edges := chart(t, picture.Mermaid(v))
		parents := map[string]string{}
		var ids []string
		for _, n := range v.Nodes {
			ids = append(ids, n.ID)
			parents[n.ID] = n.In
		}
		slices.Sort(ids)
		slices.Sort(nodes)
		slices.Sort(edges)
		slices.Sort(image.edges)
		want := wanted(v)
		for _, diff := range []string{
			cmp.Diff(ids, nodes), cmp.Diff(ids, slices.Sorted(maps.Keys(image.nodes))), cmp.Diff(want, edges), cmp.Diff(want, image.edges),
		} {
			if diff != "" {
				t.Fatalf("%v (-want +got):\n%s", v, diff)
			}
		}
		for i, a := range ids {
			for _, b := range ids[i+1:] {
				one, other := image.nodes[a], image.nodes[b]
				switch {
				case within(parents, a, b) && !other.holds(one), within(parents, b, a) && !one.holds(other):
					t.Fatalf("%s and %s: one is not within the other: %v, %v in %v", a, b, one, other, v)
				case !within(parents, a, b) && !within(parents, b, a) && one.meets(other):
					t.Fatalf("%s and %s lie on each other: %v, %v in %v", a, b, one, other, v)
				}
			}
		}
		if text := picture.Text(v, picture.Options{}); !slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(text, id) }) {
			t.Fatalf("no node is in the text:\n%s", text)
		}
	}
}

func within(parents map[string]string, id, loop string) bool {
	for in := parents[id]; in != ""; in = parents[in] {
		if in == loop {
			return true
		}
	}
	return false
}

// TestWidth: no line is wider than it may be, and every node is named.
func TestWidth(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 5))
	for range 200 {
		v := anyView(r)
		for _, width := range []int{60, 80, 120} {
			for _, plain := range []bool{false, true} {
				text := picture.Text(v, picture.Options{Width: width, ASCII: plain})
				for line := range strings.Lines(text) {
					if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
						t.Fatalf("%d columns, of %d: %s\n%s", n, width, line, text)
					}
				}
				for _, n := range v.Nodes {
					if !strings.Contains(text, n.ID) {
						t.Fatalf("%s is missing at %d columns:\n%s", n.ID, width, text)
					}
				}
				if at := strings.IndexFunc(text, func(r rune) bool { return r > 126 }); plain && at >= 0 {
					t.Fatalf("it is not ASCII at %d:\n%s", at, text)
				}
			}
		}
	}
}

// TestColor: colours change nothing but colours.
func TestColor(t *testing.T) {
	t.Parallel()
	codes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for name, v := range shapes(t) {
		for _, width := range []int{80, 20} {
			plain, colored := picture.Text(v, picture.Options{Width: width}), picture.Text(v, picture.Options{Width: width, Color: true})
			if diff := cmp.Diff(plain, codes.ReplaceAllString(colored, "")); diff != "" {
				t.Errorf("%s (-plain +colored):\n%s", name, diff)
			}
		}
	}
	if text := picture.Text(shapes(t)["failed"], picture.Options{Color: true}); !strings.Contains(text, "\x1b[31m│ ✗ study") {
		t.Errorf("what failed is not red:\n%q", text)
	}
}

// layered is a graph of layers of some width, each node of which needs three of the one before.
func layered(depth, wide int) workflow.View {
	v := workflow.View{Workflow: "big"}
	for layer := range depth {
		for i := range wide {
			n := workflow.NodeView{ID: fmt.Sprintf("n%d_%d", layer, i), Verb: workflow.VerbTool, Mark: workflow.Mark{Status: workflow.Succeeded}}
			for k := range min(3, wide) {
				if layer > 0 {
					n.Needs = append(n.Needs, fmt.Sprintf("n%d_%d", layer-1, (i+k)%wide))
				}
			}
			v.Nodes = append(v.Nodes, n)
		}
	}
	return v
}

// TestLarge: what is too large to draw is summed up, says so, and takes no time to speak of.
func TestLarge(t *testing.T) {
	t.Parallel()
	wide := layered(100, 100)
	wide.Nodes[4321].Mark = workflow.Mark{Status: workflow.Failed, Error: &durable.Failure{Code: durable.CodeInternal, Message: "no disk"}}
	all := workflow.View{Nodes: layered(1, 400).Nodes} // each needs all before it
	for i := range all.Nodes {
		for k := range i {
			all.Nodes[i].Needs = append(all.Nodes[i].Needs, all.Nodes[k].ID)
		}
	}
	for name, v := range map[string]workflow.View{"wide": wide, "long": layered(10_000, 1), "flat": layered(1, 10_000), "dense": all} {
		began := time.Now()
		text, image := picture.Text(v, picture.Options{Width: 80}), picture.SVG(v)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it took %s", name, took)
		}
		if want := fmt.Sprintf("%d steps are too many to draw: each box stands for", len(v.Nodes)); !strings.Contains(text, want) || !strings.Contains(image, want) {
			t.Errorf("%s: it does not say so:\n%s", name, text)
		}
		if n := strings.Count(text, "\n"); n > 1000 || len(image) > 100_000 {
			t.Errorf("%s: %d lines of text, %d bytes of SVG", name, n, len(image))
		}
		read(t, image)
		if nodes, edges := chart(t, picture.Mermaid(v)); len(nodes) != len(v.Nodes) || len(edges) != len(wanted(v)) {
			t.Errorf("%s: Mermaid has %d nodes and %d edges", name, len(nodes), len(edges))
		}
	}
	if text := picture.Text(wide, picture.Options{Width: 80}); !strings.Contains(text, "n43_21 failed") || !strings.Contains(text, "n43_21: internal: no disk") {
		t.Errorf("what failed is not named:\n%s", text)
	}
}

// TestOddViews: views that no definition comes to are drawn all the same.
func TestOddViews(t *testing.T) {
	t.Parallel()
	node := func(id, in string, needs ...string) workflow.NodeView {
		return workflow.NodeView{ID: id, In: in, Needs: needs, Verb: workflow.VerbLoop, Gotos: needs}
	}
	for name, nodes := range map[string][]workflow.NodeView{
		"none":          nil,
		"circle":        {node("a", "", "b"), node("b", "", "a"), node("c", "", "b")},
		"itself":        {node("a", "a", "a")},
		"in each other": {node("a", "b"), node("b", "a")},
		"unknown":       {node("a", "z", "y")},
		"no name":       {node("", ""), node("", "")},
		"twice":         {node("a", ""), node("a", ""), node("b", "a", "a")},
		"no items":      {{ID: "a", Mark: workflow.Mark{Items: []*workflow.Mark{nil, nil}}}},
	} {
		v := workflow.View{Nodes: nodes}
		text := picture.Text(v, picture.Options{})
		read(t, picture.SVG(v))
		for _, n := range nodes {
			if !strings.Contains(text, n.ID) || !strings.Contains(picture.Mermaid(v), n.ID) {
				t.Errorf("%s: %q is missing:\n%s", name, n.ID, text)
			}
		}
	}
}

func BenchmarkText(b *testing.B) {
	for _, depth := range []int{5, 100} {
		v := layered(depth, 100)
		b.Run(fmt.Sprintf("%d nodes", len(v.Nodes)), func(b *testing.B) {
			for b.Loop() {
				picture.Text(v, picture.Options{})
			}
		})
	}
}

func BenchmarkSVG(b *testing.B) {
	for _, depth := range []int{5, 100} {
		v := layered(depth, 100)
		b.Run(fmt.Sprintf("%d nodes", len(v.Nodes)), func(b *testing.B) {
			for b.Loop() {
				picture.SVG(v)
			}
		})
	}
}
