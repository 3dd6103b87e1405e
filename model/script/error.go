package script

import (
	"fmt"
	"slices"
	"strings"
)

// SyntaxError says what is wrong with a script and where.
type SyntaxError struct {
	File    string
	Line    int // from 1; 0 when the place is not known
	Column  int // in characters, from 1
	Message string
	Source  string // the line it is about
}

// Error implements error: file:line:col, the message, the source line and a caret.
func (e *SyntaxError) Error() string {
	if e.Line == 0 {
		return e.File + ": " + e.Message
	}
	place := fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Message)
	if e.Source == "" {
		return place
	}
	// Of a very long line only the surroundings of the column are shown.
	const around = 80
	source, column := []rune(e.Source), e.Column
	if skip := column - around; skip > 0 && skip < len(source) {
		source, column = source[skip:], column-skip
	}
	source = source[:min(len(source), 2*around)]
	number := fmt.Sprintf("%4d | ", e.Line)
	return place + "\n" + number + string(source) + "\n" + strings.Repeat(" ", len(number)-2) + "| " + caret(source, column)
}

// caret pads with the tabs of the source, so that it stands below its character.
func caret(source []rune, column int) string {
	var b strings.Builder
	for i, r := range source {
		if i >= column-1 {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String() + "^"
}

// unknown words the refusal of a name with the nearest known one.
func unknown(what, got string, known []string) string {
	if near := nearest(got, known); near != "" {
		return fmt.Sprintf("unknown %s %q, did you mean %q?", what, got, near)
	}
	return fmt.Sprintf("unknown %s %q; known are %s", what, got, strings.Join(known, ", "))
}

func nearest(got string, known []string) string {
	best, limit := "", 3
	for _, k := range known {
		if d := distance(strings.ToLower(got), k); d < limit && d < len(k) {
			best, limit = k, d
		}
	}
	return best
}

// distance is the number of edits between two short words; a swap of neighbors
// counts as two.
func distance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		prev := slices.Clone(row)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(prev[j]+cost, prev[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
