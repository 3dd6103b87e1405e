package picture

import (
	"slices"

	"github.com/orpine-run/orpine/workflow"
)

// sign is how a status is shown: never by a colour alone.
type sign struct {
	glyph, ascii string
	color        string // of ECMA-48; "" = that of the text
}

// signOf is the sign of a status; that of pending for one that is not known.
func signOf(s workflow.Status) sign {
	switch s {
	case workflow.Succeeded:
		return sign{"✓", "+", "32"}
	case workflow.Cached:
		return sign{"≡", "=", "32"}
	case workflow.Failed:
		return sign{"✗", "x", "31"}
	case workflow.Running:
		return sign{"▸", ">", "36"}
	case workflow.Waiting:
		return sign{"…", "~", "33"}
	case workflow.Retrying:
		return sign{"↺", "@", "33"}
	case workflow.Skipped:
		return sign{"⤼", "-", "2"}
	case workflow.Canceled:
		return sign{"⊘", "/", "2"}
	case workflow.Compensated:
		return sign{"↶", "<", "35"}
	case workflow.Pending:
	}
	return sign{"○", "o", ""}
}

// Glyph is the sign of a status, one column wide.
func Glyph(s workflow.Status) string { return signOf(s).glyph }

// statuses are all of them, in the order in which they are counted.
func statuses() []workflow.Status {
	return []workflow.Status{
		workflow.Succeeded, workflow.Cached, workflow.Failed, workflow.Running, workflow.Waiting, workflow.Retrying,
		workflow.Skipped, workflow.Canceled, workflow.Compensated, workflow.Pending,
	}
}

// known is a status as a name that is safe in a style sheet.
func known(s workflow.Status) string {
	if slices.Contains(statuses(), s) {
		return string(s)
	}
	return string(workflow.Pending)
}

// paint puts a text into the colour of a status.
func (s sign) paint(text string, colors bool) string {
	if !colors || s.color == "" {
		return text
	}
	return "\x1b[" + s.color + "m" + text + "\x1b[0m"
}
