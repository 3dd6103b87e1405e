package picture

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/workflow"
)

// SVG draws a workflow as one image (www.w3.org/TR/SVG2): no script, no font, nothing from elsewhere; it
// follows whether its reader likes light or dark. What a node came to stands in its title, which
// browsers show beneath the pointer and screen readers read. Times are UTC. Beyond 500 nodes each box
// stands for a layer.
func SVG(v workflow.View) string {
	b, bound := bounded(graphOf(v))
	s := pixels()
	d := b.layout(s)
	p := &svg{scale: s}
	top := margin
	if bound != "" {
		top += lineHeight
	}
	right := 0
	d.each(s, 0, 0, func(d *drawn, x, _ int) { right = max(right, x+d.w+len(d.back)*backStep) })
	w, h := max(right, width(bound)*charWidth)+2*margin+backStep, d.h+top+margin
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n", w, h, w, h, safe("workflow "+v.Workflow))
	p.printf("<title>%s</title>\n<style>%s</style>\n", safe(v.Workflow), style())
	p.printf(`<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>` + "\n")
	p.printf(`<rect class="ground" width="%d" height="%d"/>`+"\n", w, h)
	if bound != "" {
		p.printf(`<text class="note" x="%d" y="%d">%s</text>`+"\n", margin, margin, safe(bound))
	}
	d.each(s, margin, top, p.body)
	p.printf("</svg>\n")
	return p.out.String()
}

// Sizes in pixels. A character of the monospaced font of the style is at most as wide.
const (
	charWidth  = 8
	lineHeight = 18
	margin     = 24
	backStep   = 12 // between two edges that lead back, right of their body
)

// style is the style sheet: the colours by status, light and dark. They are written out twice, because
// what is no browser knows no variables.
func style() string {
	light := strings.NewReplacer("GROUND", "#fff", "INK", "#24292f", "FAINT", "#57606a", "BOX", "#fff", "LINE", "#6e7781",
		"GOOD", "#1a7f37", "BAD", "#cf222e", "BUSY", "#0969da", "SLOW", "#9a6700", "UNDONE", "#8250df")
	dark := strings.NewReplacer("GROUND", "#0d1117", "INK", "#e6edf3", "FAINT", "#9198a1", "BOX", "#161b22", "LINE", "#8b949e",
		"GOOD", "#3fb950", "BAD", "#f85149", "BUSY", "#58a6ff", "SLOW", "#d29922", "UNDONE", "#bc8cff")
	return "\n" + forms + light.Replace(colors) + "@media (prefers-color-scheme:dark){\n" + dark.Replace(colors) + "}\n"
}

const forms = `text{font:12px ui-monospace,Menlo,Consolas,monospace}
.name{font-weight:bold}
.box{stroke-width:1.5}
.failed>.box,.running>.box{stroke-width:2.5}
.skipped>.box,.canceled>.box{stroke-dasharray:4 3}
.edge{fill:none;stroke-width:1.5}
.dashed{stroke-dasharray:5 4}
`

const colors = `text{fill:FAINT}
.name{fill:INK}
.ground{fill:GROUND}
.box{fill:BOX;stroke:LINE}
.loop>.box{fill:none}
.edge{stroke:LINE}
.tip{fill:LINE}
.succeeded>.box,.cached>.box{stroke:GOOD}
.succeeded>.state,.cached>.state{fill:GOOD}
.failed>.box{stroke:BAD}
.failed>.state{fill:BAD}
.running>.box{stroke:BUSY}
.running>.state{fill:BUSY}
.waiting>.box,.retrying>.box{stroke:SLOW}
.waiting>.state,.retrying>.state{fill:SLOW}
.compensated>.box{stroke:UNDONE}
.compensated>.state{fill:UNDONE}
`

func pixels() scale {
	return scale{
		size: func(it *item) (int, int) {
			w := 0
			lines := it.caption(glyph(it, Options{}))
			for _, line := range lines {
				w = max(w, width(line))
			}
			return w*charWidth + 20, len(lines)*lineHeight + 14
		},
		title: func(it *item) int { return width(it.caption(glyph(it, Options{}))[0]) * charWidth },
		head:  lineHeight + 18, foot: 14, pad: 14,
		beside: 20, between: 34, stub: 12, track: 8,
	}
}

type svg struct {
	scale
	out strings.Builder
}

func (p *svg) printf(format string, args ...any) { fmt.Fprintf(&p.out, format, args...) }

// safe is a text as XML; what XML cannot hold becomes U+FFFD.
func safe(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes everything
	return b.String()
}

// body draws one body, without what stands in its boxes.
func (p *svg) body(d *drawn, x, y int) {
	for _, r := range d.routes {
		var path strings.Builder
		for i, at := range r.points {
			verb := "L"
			if i == 0 {
				verb = "M"
			}
			fmt.Fprintf(&path, "%s%d %d", verb, x+at.x, y+at.y)
		}
		p.edge(d, r.edge, path.String())
	}
	for i, e := range d.back {
		from, to := d.at[e.from], d.at[e.to]
		side := x + d.w + (i+1)*backStep
		p.edge(d, e, fmt.Sprintf("M%d %dH%dV%dH%d", x+from.x+from.w, y+from.y+from.h/2, side, y+to.y+to.h/2, x+to.x+to.w+1))
	}
	for i, it := range d.items {
		p.node(it, d.at[i], x, y)
	}
}

func (p *svg) edge(d *drawn, e edge, path string) {
	class := "edge"
	if e.dashed {
		class += " dashed"
	}
	from, to := d.items[e.from].node.ID, d.items[e.to].node.ID
	p.printf(`<path class="%s" d="%s" marker-end="url(#arrow)" data-from="%s" data-to="%s"/>`+"\n", class, path, safe(from), safe(to))
}

func (p *svg) node(it *item, at rect, x, y int) {
	n := it.node
	class := known(n.Status)
	if it.inner != nil {
		class += " loop"
	}
	p.printf(`<g class="%s" data-node="%s"><title>%s</title>`, class, safe(n.ID), safe(title(it)))
	p.printf(`<rect class="box" x="%d" y="%d" width="%d" height="%d" rx="6"/>`, x+at.x, y+at.y, at.w, at.h)
	for k, line := range it.caption(glyph(it, Options{})) {
		class := ""
		switch k {
		case 0:
			class = ` class="name"`
		case 2:
			class = ` class="state"`
		}
		p.printf(`<text%s x="%d" y="%d">%s</text>`, class, x+at.x+10, y+at.y+20+k*lineHeight, safe(line))
	}
	p.printf("</g>\n")
}

// title says all there is to say of a node in a few lines.
func title(it *item) string {
	n := it.node
	if it.lines != nil {
		return strings.Join(it.lines, "\n")
	}
	lines := []string{n.ID + ": " + known(n.Status)}
	for name, t := range map[string]time.Time{"began": n.Started, "ended": n.Ended} {
		if !t.IsZero() {
			lines = append(lines, name+" "+t.UTC().Format(time.RFC3339))
		}
	}
	slices.Sort(lines[1:])
	for _, more := range []string{n.Description, Items(n.Mark), Why(n, time.UTC)} {
		if more != "" {
			lines = append(lines, more)
		}
	}
	return strings.Join(lines, "\n")
}
