package cost

import (
	"encoding/xml"
	"fmt"
	"strings"
)

const (
	chartBars  = 10
	chartWidth = 720
	rowHeight  = 30
	labelWidth = 250
	valueWidth = 130
)

// chartHead holds the colours for light and dark surroundings.
const chartHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">
<style>
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.value { fill: #57606a; font-variant-numeric: tabular-nums }
.track { fill: #eaeef2 }
.bar { fill: #2f6f4f }
.rest { fill: #8c959f }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.value { fill: #9198a1 }
.track { fill: #21262d }
.bar { fill: #56b886 }
.rest { fill: #6e7681 }
}
</style>
`

// slice is a bar of the chart.
type slice struct {
	label, class string
	billed       Decimal
}

// SVG draws the billed cost of the dearest services. It stands for itself: no
// script, no font and no picture from elsewhere.
func (r Report) SVG() string {
	bars := r.slices()
	height := 60 + rowHeight*len(bars)
	title := "Billed cost by service, " + r.Currency
	var b strings.Builder
	fmt.Fprintf(&b, chartHead, chartWidth, height, chartWidth, height, escape(title))
	fmt.Fprintf(&b, "<text class=\"title\" x=\"16\" y=\"30\">%s</text>\n", escape(title))
	var most Decimal
	for _, s := range bars {
		if s.billed.Cmp(most) > 0 {
			most = s.billed
		}
	}
	const full = chartWidth - labelWidth - valueWidth - 32
	for i, s := range bars {
		y := 48 + rowHeight*i
		width := 0.0
		if part := share(s.billed, most); part.Sign() > 0 {
			width = max(part.Float()*full, 1)
		}
		fmt.Fprintf(&b, "<text x=\"16\" y=\"%d\">%s</text>\n", y+15, escape(shorten(s.label, 34)))
		fmt.Fprintf(&b, "<rect class=\"track\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"16\" rx=\"3\"/>\n", labelWidth+16, y+2, full)
		fmt.Fprintf(&b, "<rect class=\"%s\" x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"16\" rx=\"3\"><title>%s</title></rect>\n",
			s.class, labelWidth+16, y+2, width, escape(s.label+": "+s.billed.String()+" "+r.Currency))
		fmt.Fprintf(&b, "<text class=\"value\" x=\"%d\" y=\"%d\" text-anchor=\"end\">%s</text>\n",
			chartWidth-16, y+15, escape(money(s.billed, r.Currency)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (r Report) slices() []slice {
	var bars []slice
	for _, s := range r.Services[:min(chartBars, len(r.Services))] {
		bars = append(bars, slice{s.Name, "bar", s.Billed})
	}
	if more := r.Services[len(bars):]; len(more) > 0 {
		var rest Decimal
		for _, s := range more {
			rest = rest.Add(s.Billed)
		}
		bars = append(bars, slice{fmt.Sprintf("%d others", len(more)), "rest", rest})
	}
	return bars
}

func shorten(s string, limit int) string {
	if r := []rune(s); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return s
}

// escape writes text for an element or an attribute.
func escape(s string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(s)); err != nil {
		return "" // a strings.Builder does not fail
	}
	return b.String()
}
