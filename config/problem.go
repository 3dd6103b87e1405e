package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/orpine-run/orpine/durable"
)

// Problem is one fault of a file.
type Problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`           // from 1
	Column  int    `json:"column"`         // from 1, in characters
	Path    string `json:"path,omitempty"` // such as agents.maintainer.budget.turns
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`   // how to mend it
	Source  string `json:"source,omitempty"` // the line itself
}

// Error is every fault of a file, in the order of the file. It matches
// durable.ErrInvalid and is never empty.
type Error struct {
	Problems []Problem
}

// maxShown bounds the text of an Error; Problems has them all.
const maxShown = 100

// Error implements error: the problems as a compiler would print them.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i == maxShown {
			fmt.Fprintf(&b, "\nand %d more problems", len(e.Problems)-maxShown)
			break
		}
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

// Unwrap gives the error its code, invalid.
func (e *Error) Unwrap() error {
	return durable.Errorf(durable.CodeInvalid, "%d problems in the file", len(e.Problems))
}

// String renders the problem with its place, its source line and a caret.
func (p Problem) String() string {
	text := fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	if strings.TrimSpace(p.Source) == "" {
		return text
	}
	line, caret := excerpt(p.Source, p.Column)
	return fmt.Sprintf("%s\n%7d | %s\n%7s | %s^", text, p.Line, line, "", caret)
}

// Width of the piece of a very long line that is shown, and how much of it
// stands before the caret.
const (
	excerptWidth  = 160
	excerptBefore = 60
)

// excerpt returns the part of a source line around a column and the blank that
// brings the caret under it. Tabs stay tabs and wide characters get a wide blank
// so that the caret lines up; control characters are not let through to a terminal.
func excerpt(source string, column int) (line, blank string) {
	runes := []rune(source)
	from := 0
	if len(runes) > excerptWidth {
		from = max(0, min(column-1-excerptBefore, len(runes)-excerptWidth))
		runes = runes[from:min(from+excerptWidth, len(runes))]
	}
	var pad strings.Builder
	for i, r := range runes {
		space := ' '
		switch {
		case r == '\t':
			space = '\t'
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul):
			space = '\u3000'
		case !unicode.IsPrint(r):
			runes[i] = '·'
		}
		if from+i < column-1 {
			pad.WriteRune(space)
		}
	}
	return string(runes), pad.String()
}

// position is a place in the file, both numbers from 1.
type position struct{ line, column int }

// report collects the problems of one file.
type report struct {
	file     string
	lines    []string
	problems []Problem
	seen     map[string]bool
}

// add notes a problem of what stands at path: "path: text; hint".
func (r *report) add(at position, path, text, hint string) {
	message := text
	if path != "" {
		message = path + ": " + text
	}
	r.note(at, path, text, message, hint)
}

// note adds a problem once per place and text: what an anchor holds is read again
// for each alias, but its fault is one.
func (r *report) note(at position, path, text, message, hint string) {
	p := r.problem(at, path, message, hint)
	key := fmt.Sprintf("%d:%d:%s", p.Line, p.Column, text)
	if r.seen[key] {
		return
	}
	r.seen[key] = true
	r.problems = append(r.problems, p)
}

// problem is something about a place in the file.
func (r *report) problem(at position, path, message, hint string) Problem {
	line := max(1, min(at.line, len(r.lines)))
	source := ""
	if len(r.lines) > 0 {
		source = r.lines[line-1]
	}
	return Problem{
		File: r.file, Line: line, Column: max(1, min(at.column, len([]rune(source))+1)), Path: path,
		Message: message, Hint: hint, Source: source,
	}
}

// err returns the problems in the order of the file, nil where there are none.
func (r *report) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{Problems: r.problems}
}
