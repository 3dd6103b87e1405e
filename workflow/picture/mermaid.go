package picture

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/orpine-run/orpine/workflow"
)

// Mermaid draws a workflow as a flowchart of Mermaid (mermaid.js.org/syntax/flowchart.html): a subgraph
// for each loop, a class for each status. All nodes are in it, however many; a renderer has bounds of
// its own (maxEdges, maxTextSize), which it says.
func Mermaid(v workflow.View) string {
	m := &mermaid{ids: map[*item]string{}}
	m.line(0, "flowchart TD")
	m.nodes(graphOf(v), 1)
	for _, s := range statuses() {
		if members := m.classes[s]; len(members) > 0 {
			m.line(1, "classDef "+string(s)+" "+look(s))
			m.line(1, "class "+strings.Join(members, ",")+" "+string(s))
		}
	}
	return m.out.String()
}

type mermaid struct {
	out     strings.Builder
	ids     map[*item]string // in the text: n and a number, so that no name can be a word of the language
	classes map[workflow.Status][]string
}

func (m *mermaid) line(depth int, text string) {
	m.out.WriteString(strings.Repeat("  ", depth) + text + "\n")
}

func (m *mermaid) nodes(b *body, depth int) {
	if m.classes == nil {
		m.classes = map[workflow.Status][]string{}
	}
	for _, it := range b.items {
		id := fmt.Sprintf("n%d", len(m.ids))
		m.ids[it] = id
		status := workflow.Status(known(it.node.Status))
		m.classes[status] = append(m.classes[status], id)
		lines := it.caption(glyph(it, Options{}))
		for i := range lines {
			lines[i] = mermaidText(lines[i])
		}
		label := `"` + strings.Join(lines, "<br/>") + `"`
		if it.inner != nil {
			m.line(depth, "subgraph "+id+"["+label+"]")
			m.nodes(it.inner, depth+1)
			m.line(depth, "end")
			continue
		}
		open, shut := shape(it.node.Verb)
		m.line(depth, id+open+label+shut)
	}
	for _, list := range [][]edge{b.edges, b.back} {
		for _, e := range list {
			arrow := " --> "
			if e.dashed {
				arrow = " -.-> "
			}
			m.line(depth, m.ids[b.items[e.from]]+arrow+m.ids[b.items[e.to]])
		}
	}
}

// shape is how a node of a verb is drawn: a switch as a rhombus, what waits with round ends.
func shape(verb string) (open, shut string) {
	switch verb {
	case workflow.VerbSwitch:
		return "{", "}"
	case workflow.VerbHuman, workflow.VerbWait:
		return "([", "])"
	}
	return "[", "]"
}

// look is the style of a status. Its colours are dark enough for black and for white around them.
func look(s workflow.Status) string {
	switch s {
	case workflow.Succeeded, workflow.Cached:
		return "fill:#d9f2df,stroke:#1a7f37,color:#0b3d1a"
	case workflow.Failed:
		return "fill:#ffdcd7,stroke:#cf222e,color:#5c0d13,stroke-width:2px"
	case workflow.Running:
		return "fill:#d6ecff,stroke:#0969da,color:#0a3069,stroke-width:2px"
	case workflow.Waiting, workflow.Retrying:
		return "fill:#fff1c2,stroke:#9a6700,color:#4d3500"
	case workflow.Skipped, workflow.Canceled:
		return "fill:#f0f0f0,stroke:#8c959f,color:#57606a,stroke-dasharray:4 3"
	case workflow.Compensated:
		return "fill:#eddeff,stroke:#8250df,color:#3b1c73"
	case workflow.Pending:
	}
	return "fill:#ffffff,stroke:#57606a,color:#24292f"
}

// mermaidText makes a text safe in a quoted label: all but letters, digits and a few signs become
// entities, which Mermaid writes as #NUMBER;.
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == ' ', r < unicode.MaxASCII && strings.ContainsRune("_-.,/:", r), unicode.IsLetter(r), unicode.IsDigit(r), r > unicode.MaxASCII && unicode.IsGraphic(r) && r != unicode.ReplacementChar:
			b.WriteRune(r)
		case unicode.IsControl(r), r == unicode.ReplacementChar:
			b.WriteByte(' ')
		default:
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
