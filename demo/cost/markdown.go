package cost

import (
	"fmt"
	"math/big"
	"strings"
)

const (
	barWidth     = 20
	servicesRows = 40 // of the table; the JSON has them all
)

// page is a Markdown page in the making.
type page struct{ b strings.Builder }

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// row writes a table row of cells that are already Markdown.
func (p *page) row(cells ...string) { p.line("| %s |", strings.Join(cells, " | ")) }

var mdEscapes = strings.NewReplacer(
	`\`, `\\`, "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "<", "&lt;", ">", "&gt;", "&", "&amp;",
	"[", `\[`, "]", `\]`, "#", `\#`, "~", `\~`, "$", `\$`, "\n", " ", "\r", " ",
)

// Inside a code span nothing can be escaped, so what could end it or be taken for
// markup by a careless reader is replaced.
var codeEscapes = strings.NewReplacer("`", "'", "|", "¦", "<", "‹", ">", "›", "\n", " ", "\r", " ")

// md writes any text so that Markdown shows it as it is.
func md(s string) string { return mdEscapes.Replace(s) }

// code writes an identifier, shortened in its middle.
func code(s string) string {
	if s == "" {
		return "–"
	}
	const head, tail = 16, 30
	if r := []rune(s); len(r) > head+tail+1 {
		s = string(r[:head]) + "…" + string(r[len(r)-tail:])
	}
	return "`" + codeEscapes.Replace(s) + "`"
}

// amount writes a number with separators of thousands.
func amount(d Decimal, currency string) string {
	text, unit, _ := strings.Cut(money(d, currency), " ")
	whole, frac, _ := strings.Cut(text, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "−", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	return sign + whole + "." + frac + " " + md(unit)
}

// ratio writes a share as a percentage.
func ratio(d Decimal) string { return d.Mul(newDecimal(100, 0)).Round(1).String() + "%" }

// bar draws part of whole with block characters, an eighth at the finest.
func bar(part, whole Decimal) string {
	if part.Sign() <= 0 || whole.Sign() <= 0 {
		return ""
	}
	q, err := part.Mul(newDecimal(barWidth*8, 0)).Div(whole, 0)
	if err != nil {
		return ""
	}
	n, ok := new(big.Int).SetString(q.String(), 10)
	eighths := barWidth * 8
	if ok && n.IsInt64() {
		eighths = min(int(n.Int64()), eighths)
	}
	if eighths == 0 {
		return "▏"
	}
	s := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		s += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return s
}

// Markdown is the report for people. It shows services.svg beside it.
func (r Report) Markdown() string {
	p := &page{}
	p.line("# Cloud cost report")
	p.line("")
	p.line("%s", md(r.Summary))
	p.line("")
	p.line("| | |")
	p.line("|:--|--:|")
	p.row("Billed", "**"+amount(r.TotalBilled, r.Currency)+"**")
	p.row("Effective", amount(r.TotalEffective, r.Currency))
	p.row("Could be saved per month", fmt.Sprintf("**%s** (%s)", amount(r.ProjectedSaving, r.Currency), ratio(share(r.ProjectedSaving, r.TotalBilled))))
	p.row("Charges", fmt.Sprintf("%s – %s, %s", md(r.Period.Start), md(r.Period.End), count(r.Rows, "row")))
	p.row("Iteration", fmt.Sprint(r.Iteration))
	p.line("")
	r.currencies(p)
	r.services(p)
	r.hotspots(p)
	r.anomalies(p)
	r.recommendations(p)
	r.feedback(p)
	r.method(p)
	return p.b.String()
}

func (r Report) currencies(p *page) {
	if len(r.Currencies) < 2 {
		return
	}
	p.line("> The bill is in %d currencies. They are not added up: everything below is in **%s**, the one with most rows.",
		len(r.Currencies), md(r.Currency))
	p.line("")
	p.line("| Currency | Rows | Billed | Effective | Services |")
	p.line("|:--|--:|--:|--:|:--|")
	for _, c := range r.Currencies {
		var names []string
		for _, s := range c.Services[:min(3, len(c.Services))] {
			names = append(names, md(s.Name)+" "+amount(s.Billed, c.Currency))
		}
		p.row(md(c.Currency), fmt.Sprint(c.Rows), amount(c.Billed, c.Currency), amount(c.Effective, c.Currency), strings.Join(names, "; "))
	}
	p.line("")
}

func (r Report) services(p *page) {
	p.line("## Services")
	p.line("")
	p.line("![Billed cost by service](%s)", ChartName)
	p.line("")
	p.line("| Service | Provider | Billed | Effective | Share | |")
	p.line("|:--|:--|--:|--:|--:|:--|")
	var dearest Decimal
	if len(r.Services) > 0 {
		dearest = r.Services[0].Billed
	}
	for _, s := range r.Services[:min(servicesRows, len(r.Services))] {
		p.row(md(s.Name), md(s.Provider), amount(s.Billed, r.Currency), amount(s.Effective, r.Currency), ratio(s.Share), bar(s.Billed, dearest))
	}
	p.line("")
	if more := len(r.Services) - servicesRows; more > 0 {
		p.line("%d smaller services are in report.json.", more)
		p.line("")
	}
}

func (r Report) hotspots(p *page) {
	p.line("## Hotspots")
	p.line("")
	if len(r.Hotspots) == 0 {
		p.line("No resource was billed for.")
		p.line("")
		return
	}
	p.line("The resources that cost most. %s was billed without a resource.", amount(r.Unattributed, r.Currency))
	p.line("")
	p.line("| Resource | Service | Billed | Share | |")
	p.line("|:--|:--|--:|--:|:--|")
	for _, h := range r.Hotspots {
		p.row(code(h.ResourceID), md(h.Service), amount(h.Billed, r.Currency), ratio(h.Share), bar(h.Billed, r.Hotspots[0].Billed))
	}
	p.line("")
}

func (r Report) anomalies(p *page) {
	p.line("## Anomalies")
	p.line("")
	if len(r.Anomalies) == 0 {
		p.line("No day and no hour stands out.")
		p.line("")
		return
	}
	p.line("The median day costs %s; a day above %s stands out.", amount(r.Day.Median, r.Currency), amount(r.Day.Threshold, r.Currency))
	p.line("")
	p.line("| When | Billed | Usual | Above it | Dearest row |")
	p.line("|:--|--:|--:|--:|:--|")
	for _, a := range r.Anomalies {
		first := ""
		if len(a.Evidence.Rows) > 0 {
			row := a.Evidence.Rows[0]
			first = fmt.Sprintf("line %s: %s, %s %s", row[0], md(row[2]), code(row[3]), md(row[6]))
		}
		at := md(a.At)
		if a.Kind == "hour" {
			at += ":00"
		}
		p.row(at, amount(a.Billed, r.Currency), amount(a.Median, r.Currency), amount(a.Excess, r.Currency), first)
	}
	p.line("")
}

func (r Report) recommendations(p *page) {
	p.line("## Recommendations")
	p.line("")
	if len(r.Recommendations) == 0 {
		p.line("Nothing to recommend.")
		p.line("")
		return
	}
	p.line("| | What | Kind | Service | Saving per month |")
	p.line("|:--|:--|:--|:--|--:|")
	for _, c := range r.Recommendations {
		p.row(c.ID, md(c.Title), md(string(c.Kind)), md(c.Service), amount(c.MonthlySaving, r.Currency))
	}
	p.row("", "**Together**", "", "", "**"+amount(r.ProjectedSaving, r.Currency)+"**")
	p.line("")
	if r.Capped {
		p.line("The sum is cut to the total billed, which credits make smaller than the rows it rests on.")
		p.line("")
	}
	if r.Unlisted > 0 {
		p.line("%d smaller findings are neither listed nor counted.", r.Unlisted)
		p.line("")
	}
	for _, c := range r.Recommendations {
		r.recommendation(p, c)
	}
}

func (r Report) recommendation(p *page, c Recommendation) {
	p.line("### %s. %s", c.ID, md(c.Title))
	p.line("")
	p.line("**%s per month** of %s billed in %s · %s · %s", amount(c.MonthlySaving, r.Currency), amount(c.Cost, r.Currency), count(c.Rows, "row"),
		md(c.Service), code(c.ResourceID))
	p.line("")
	p.line("%s", md(c.Why))
	p.line("")
	if c.Why != c.Note {
		p.line("*By the bill:* %s", md(c.Note))
		p.line("")
	}
	p.line("<details><summary>Evidence: %d of %s</summary>", len(c.Evidence.Rows), count(c.Evidence.RowCount, "row"))
	p.line("")
	p.row(mapped(c.Evidence.Columns, md)...)
	p.line("|%s", strings.Repeat(":--|", len(c.Evidence.Columns)))
	for _, row := range c.Evidence.Rows {
		p.row(mapped(row, func(s string) string {
			if len(s) > 46 {
				return code(s)
			}
			return md(s)
		})...)
	}
	p.line("")
	p.line("```sql")
	p.line("%s", strings.ReplaceAll(c.Evidence.SQL, "```", "'''"))
	p.line("```")
	p.line("")
	p.line("</details>")
	p.line("")
}

func mapped(texts []string, fn func(string) string) []string {
	out := make([]string, len(texts))
	for i, s := range texts {
		out[i] = fn(s)
	}
	return out
}

func (r Report) feedback(p *page) {
	if r.Feedback == "" && len(r.Changes) == 0 {
		return
	}
	p.line("## Feedback")
	p.line("")
	p.line("> %s", md(clean(r.Feedback, summaryLimit)))
	p.line("")
	for _, c := range r.Changes {
		switch c.Action {
		case Dropped:
			p.line("- Dropped %s, %s. %s", c.ID, md(c.Title), md(c.Text))
		case Kept:
			p.line("- Kept %s, %s. %s", c.ID, md(c.Title), md(c.Text))
		case Noted:
			p.line("- Not understood, for the reader to decide: “%s”", md(c.Text))
		default:
			p.line("- %s", md(c.Text))
		}
	}
	p.line("")
}

func (r Report) method(p *page) {
	p.line("## How the figures were made")
	p.line("")
	p.line("- From %s.", md(r.Bill.describe()))
	words := "the words are by " + r.WordedBy + ", which cannot change a figure."
	if r.WordedBy == wordedByRules {
		words = "the words are fixed, too."
	}
	p.line("- Every figure is an exact decimal sum by SQL over the bill; %s", md(words))
	p.line("- Savings count billed cost. A row rests under one recommendation only, so savings add up; none is above the cost of its rows.")
	p.line("- The bill covers %s; a saving in the bill times %s is one per month. Nothing is extrapolated beyond what was billed.",
		count(r.Scale.Days, "day"), md(r.Scale.Factor))
	for _, rule := range r.Rules {
		p.line("- *%s* (%d found): %s", md(string(rule.Kind)), rule.Found, md(rule.Assumes))
	}
	if r.Run.ID == "" {
		return
	}
	p.line("")
	p.line("Run %s, %s; %d steps restored, %d repeated.", code(r.Run.ID), md(r.Run.Status), r.RestoredSteps, r.RepeatedSteps)
}
