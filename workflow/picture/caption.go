package picture

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/orpine-run/orpine/workflow"
)

// How many columns of a label are drawn, and of the name in its first line.
const (
	labelWidth = 36
	nameWidth  = 70
)

// caption is what stands in the box of a node: its name, what it does, and how it is.
func (it *item) caption(glyph string) []string {
	if it.lines != nil {
		return it.lines
	}
	n := it.node
	lines := []string{strings.TrimSpace(glyph + " " + n.ID)}
	if it.inner != nil {
		lines[0] += " · " + strings.TrimSpace(n.Verb+" "+n.About)
	} else if what := strings.TrimSpace(n.Verb + " " + n.About); what != "" {
		lines = append(lines, what)
	}
	if how := state(n); how != "" {
		if it.inner != nil {
			lines[0] += " · " + how
		} else {
			lines = append(lines, how)
		}
	}
	for i := range lines {
		most := labelWidth
		if i == 0 {
			most = nameWidth
		}
		lines[i] = cut(lines[i], most)
	}
	return lines
}

// state says in a few words how a node is; "" for one that has not begun.
func state(n workflow.NodeView) string {
	var parts []string
	if n.Status != workflow.Pending && n.Status != "" {
		parts = append(parts, string(n.Status))
	}
	if len(n.Items) > 0 {
		parts = append(parts, Items(n.Mark))
	}
	if n.Round > 0 {
		parts = append(parts, fmt.Sprintf("round %d", n.Round))
	}
	if n.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("attempt %d", n.Attempt))
	}
	if len(n.Plans) > 0 {
		parts = append(parts, fmt.Sprintf("plan %d %s", len(n.Plans), n.Plans[len(n.Plans)-1].Status))
	}
	if took := Took(n.Mark); took != "" && n.Status != workflow.Skipped {
		parts = append(parts, took)
	}
	return strings.Join(parts, " ")
}

// Items says how many items of a for_each are done, of how many; "" for a node that has none.
func Items(m workflow.Mark) string {
	if len(m.Items) == 0 {
		return ""
	}
	done, failed := 0, 0
	for _, one := range m.Items {
		switch {
		case one == nil:
		case one.Status == workflow.Failed:
			failed++
		case one.Status.Ended():
			done++
		}
	}
	text := fmt.Sprintf("%d/%d items", done, len(m.Items))
	if failed > 0 {
		text += fmt.Sprintf(", %d failed", failed)
	}
	return text
}

// Took is how long a node ran; "" for one that has not ended, or was not run.
func Took(m workflow.Mark) string {
	if m.Started.IsZero() || m.Ended.IsZero() {
		return ""
	}
	d := m.Ended.Sub(m.Started)
	switch {
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// Why says what a person wants to know of a node beyond its status: its error, why it is skipped,
// when it is tried again, which checks of its asset are not met. Times are those of zone; "" = nothing.
func Why(n workflow.NodeView, zone *time.Location) string {
	var parts []string
	if n.Reason != "" {
		parts = append(parts, n.Reason)
	}
	if n.Status == workflow.Retrying && !n.Until.IsZero() {
		parts = append(parts, "tried again at "+n.Until.In(zone).Format(time.TimeOnly))
	}
	if n.Error != nil {
		parts = append(parts, string(n.Error.Code)+": "+n.Error.Message)
	}
	for i, one := range n.Items {
		if one == nil || len(parts) > 5 {
			continue
		}
		switch {
		case one.Status == workflow.Retrying && one.Error != nil:
			parts = append(parts, fmt.Sprintf("item %d tried again at %s: %s", i, one.Until.In(zone).Format(time.TimeOnly), one.Error.Message))
		case one.Status == workflow.Failed && one.Error != nil && n.Error == nil:
			parts = append(parts, fmt.Sprintf("item %d: %s", i, one.Error.Message))
		}
	}
	for _, c := range n.Checks {
		switch {
		case !c.Passed && c.Warns:
			parts = append(parts, "warning: check "+c.Name+" is not met")
		case !c.Passed:
			parts = append(parts, "check "+c.Name+" is not met")
		}
	}
	if n.Next != "" {
		parts = append(parts, "went on with "+n.Next)
	}
	for i, p := range n.Plans {
		if p.Why != "" {
			parts = append(parts, fmt.Sprintf("plan %d is %s: %s", i+1, p.Status, p.Why))
		}
	}
	return strings.Join(parts, "; ")
}

// cut makes a text one line of at most so many columns.
func cut(s string, most int) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }), " ")
	if width(s) <= most {
		return s
	}
	used := 0
	for at, r := range s {
		if used += columns(r); used > most-1 {
			return s[:at] + "…"
		}
	}
	return s
}

// width is how many columns of a terminal a text takes.
func width(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

// columns is how many columns a character takes: two for those of East Asia (UAX 11: wide and full
// width) and for pictures, none for marks that stand upon others.
func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case r < 0x1100:
		return 1
	case r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6,
		r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}
