package picture

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/workflow"
)

// Options say how a picture is drawn for a terminal.
type Options struct {
	Width int            // columns; 0 = as many as it takes
	Color bool           // with the colours of ECMA-48
	ASCII bool           // without other characters than those of ASCII, but for those in names
	Zone  *time.Location // of the times in it; nil = UTC
}

// Text draws a workflow for a terminal: boxes with lines from top to bottom, or from left to right
// where that alone fits into the width, or where neither does a list of the layers. Below stands why
// nodes failed, were skipped or are tried again. Beyond 500 nodes each box stands for a layer.
func Text(v workflow.View, o Options) string {
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	b, bound := bounded(graphOf(v))
	var out strings.Builder
	switch {
	case len(b.items) == 0:
		return "no steps\n"
	case bound != "":
		fmt.Fprintln(&out, bound)
	}
	if c := b.fit(o); c != nil {
		out.WriteString(c.String())
		backs(&out, b, o)
	} else {
		outline(&out, b, o, "")
	}
	notes(&out, v, o)
	if !o.ASCII {
		return out.String()
	}
	return ascii().Replace(out.String())
}

// fit draws boxes and lines; nil where that takes more than the width.
func (b *body) fit(o Options) *canvas {
	for _, sideways := range []bool{false, true} {
		s := letters(o, sideways)
		d := b.layout(s)
		if o.Width > 0 && d.w > o.Width {
			continue
		}
		c := newCanvas(d.w, d.h, o)
		d.each(s, 0, 0, func(d *drawn, x, y int) { d.ink(c, o, s, x, y) })
		return c
	}
	return nil
}

// letters is the scale of a terminal.
func letters(o Options, sideways bool) scale {
	s := scale{
		size: func(it *item) (int, int) {
			w := 0
			lines := it.caption(glyph(it, o))
			for _, line := range lines {
				w = max(w, width(line))
			}
			return w + 4, len(lines) + 2 // the frame, and a space beside the text
		},
		title:  func(it *item) int { return width(it.caption(glyph(it, o))[0]) + 2 },
		head:   1,
		foot:   1,
		pad:    2,
		beside: 2, between: 1, track: 1,
	}
	if sideways {
		s.sideways, s.beside, s.between, s.stub, s.track = true, 0, 4, 1, 2
	}
	return s
}

func glyph(it *item, o Options) string {
	if it.lines != nil {
		return ""
	}
	if o.ASCII {
		return signOf(it.node.Status).ascii
	}
	return signOf(it.node.Status).glyph
}

// ink draws one body, without what stands in its boxes.
func (d *drawn) ink(c *canvas, o Options, s scale, x, y int) {
	for i, it := range d.items {
		at, color := d.at[i], signOf(it.node.Status).color
		lines := it.caption(glyph(it, o))
		c.box(x+at.x, y+at.y, at.w, at.h, color, it.inner != nil)
		if it.inner != nil {
			c.text(x+at.x+2, y+at.y, " "+lines[0]+" ", color)
			continue
		}
		for k, line := range lines {
			c.text(x+at.x+2, y+at.y+1+k, line, color)
		}
	}
	arrow, tee := '▼', '┬'
	if s.sideways {
		arrow, tee = '▶', '├'
	}
	if o.ASCII {
		arrow, tee = 'v', '+'
		if s.sideways {
			arrow = '>'
		}
	}
	for _, r := range d.routes {
		first, last := r.points[0], r.points[len(r.points)-1]
		c.put(x+last.x, y+last.y, arrow, "")
		if s.sideways {
			first.x--
		} else {
			first.y--
		}
		c.put(x+first.x, y+first.y, tee, signOf(d.items[r.from].node.Status).color)
	}
	for _, r := range d.routes {
		for i, n := range r.nets {
			a, b := r.points[i], r.points[i+1]
			c.stroke(point{x + a.x, y + a.y}, point{x + b.x, y + b.y}, n+1, r.dashed)
		}
		if len(r.nets) > 0 { // it comes out of its node
			first := r.points[0]
			arm := up
			if s.sideways {
				arm = left
			}
			c.arm(point{x + first.x, y + first.y}, r.nets[0]+1, arm, r.dashed)
		}
	}
}

// backs says which ways lead back: they are not drawn.
func backs(out *strings.Builder, b *body, o Options) {
	sign := "↺"
	if o.ASCII {
		sign = "@"
	}
	for _, e := range b.back {
		fmt.Fprintf(out, "%s %s may go back to %s\n", sign, cut(b.items[e.from].node.ID, nameWidth), cut(b.items[e.to].node.ID, nameWidth))
	}
	for _, it := range b.items {
		if it.inner != nil {
			backs(out, it.inner, o)
		}
	}
}

// outline lists the layers of a body, a node a line, with what each needs.
func outline(out *strings.Builder, b *body, o Options, indent string) {
	needs, arrow := make([][]string, len(b.items)), " ← "
	if o.ASCII {
		arrow = " <- "
	}
	for _, e := range slices.Concat(b.edges, b.back) {
		name := b.items[e.from].node.ID
		if e.dashed {
			name = "(" + name + ")"
		}
		needs[e.to] = append(needs[e.to], name)
	}
	for layer, list := range b.layers() {
		for k, i := range list {
			it := b.items[i]
			number := "    "
			if k == 0 {
				number = fmt.Sprintf("%3d ", layer+1)
			}
			line := strings.Join(it.caption(glyph(it, o)), " · ")
			if len(needs[i]) > 0 {
				line += arrow + strings.Join(needs[i], ", ")
			}
			most := o.Width - len(indent) - len(number)
			if o.Width == 0 {
				most = 400
			}
			line = cut(line, max(labelWidth, most))
			out.WriteString(indent + number + signOf(it.node.Status).paint(line, o.Color) + "\n")
			if it.inner != nil {
				outline(out, it.inner, o, indent+"    ")
			}
		}
	}
}

// maxNotes is how many nodes are explained below a picture.
const maxNotes = 40

// notes says why nodes are as they are.
func notes(out *strings.Builder, v workflow.View, o Options) {
	said, left := 0, 0
	for _, n := range v.Nodes {
		why := Why(n, o.Zone)
		if why == "" || n.Verb == workflow.VerbSwitch && n.Error == nil {
			continue
		}
		if said == maxNotes {
			left++
			continue
		}
		if said++; said == 1 {
			out.WriteByte('\n')
		}
		s := signOf(n.Status)
		mark := s.glyph
		if o.ASCII {
			mark = s.ascii
		}
		line := n.ID + ": " + why
		most := 400
		if o.Width > 0 {
			most = max(labelWidth, o.Width-2)
		}
		fmt.Fprintln(out, s.paint(mark, o.Color), cut(line, most))
	}
	if left > 0 {
		fmt.Fprintf(out, "and %d more\n", left)
	}
}

// ascii replaces what the parts of a picture have in common.
func ascii() *strings.Replacer {
	return strings.NewReplacer("…", "~", "·", "-")
}
