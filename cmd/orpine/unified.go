package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// The bounds of what is compared and shown of two values.
const (
	diffLines   = 1000 // longer values are only said to differ
	diffContext = 2
	diffShown   = 40  // lines of a diff
	diffWidth   = 160 // characters of a line
)

// valueDiff shows where two JSON values differ, line by line. A string is shown as its
// text, everything else indented.
func valueDiff(nameA string, a json.RawMessage, nameB string, b json.RawMessage) string {
	left, right := lines(a), lines(b)
	head := fmt.Sprintf("--- %s\n+++ %s\n", nameA, nameB)
	if len(left) > diffLines || len(right) > diffLines {
		return head + fmt.Sprintf("%d and %d bytes", len(a), len(b))
	}
	all := shortened(unified(left, right))
	if len(all) > diffShown {
		all = append(all[:diffShown], fmt.Sprintf("… %d lines more", len(all)-diffShown))
	}
	return head + strings.Join(all, "\n")
}

func lines(v json.RawMessage) []string {
	if len(v) == 0 {
		return nil
	}
	text := string(v)
	var s string
	var b bytes.Buffer
	if json.Unmarshal(v, &s) == nil {
		text = s
	} else if json.Indent(&b, v, "", "  ") == nil {
		text = b.String()
	}
	return strings.Split(strings.TrimRight(text, "\n"), "\n")
}

// shortened makes the lines of a diff fit. Of a line that is too long, the part is shown in
// which it differs from the one in its place on the other side.
func shortened(all []string) []string {
	list := make([]string, 0, len(all))
	for len(all) > 0 {
		gone := prefixed(all, "- ")
		come := prefixed(all[gone:], "+ ")
		if gone+come == 0 {
			list, all = append(list, part(all[0], "")), all[1:]
			continue
		}
		left, right := all[:gone], all[gone:gone+come]
		for i, line := range left {
			list = append(list, part(line, lineAt(right, i)))
		}
		for i, line := range right {
			list = append(list, part(line, lineAt(left, i)))
		}
		all = all[gone+come:]
	}
	return list
}

// prefixed counts the lines at the beginning that have a prefix.
func prefixed(lines []string, prefix string) int {
	n := 0
	for n < len(lines) && strings.HasPrefix(lines[n], prefix) {
		n++
	}
	return n
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

// part is what is shown of a line of a diff: where it is too long, what is around the first
// character in which it differs from another.
func part(line, other string) string {
	const mark, before = len("- "), diffWidth / 4
	a, b := []rune(line[mark:]), []rune(other)
	if len(a) <= diffWidth {
		return line
	}
	b = b[min(mark, len(b)):]
	same := 0
	for same < len(a) && same < len(b) && a[same] == b[same] {
		same++
	}
	from := min(max(0, same-before), len(a)-diffWidth)
	text := string(a[from : from+diffWidth])
	if from > 0 {
		text = "…" + text
	}
	if from+diffWidth < len(a) {
		text += "…"
	}
	return line[:mark] + text
}

// unified is the lines of b against those of a: with "-" what only a has, with "+" what
// only b has, and a few lines around. What is the same for long is left out as "@@".
func unified(a, b []string) []string {
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i, lineA := range slices.Backward(a) {
		for j, lineB := range slices.Backward(b) {
			if lineA == lineB {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var all []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			all, i, j = append(all, "  "+a[i]), i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			all, i = append(all, "- "+a[i]), i+1
		default:
			all, j = append(all, "+ "+b[j]), j+1
		}
	}
	return trimmed(all)
}

// trimmed leaves out lines that are far from any difference.
func trimmed(all []string) []string {
	near := make([]bool, len(all))
	for i, line := range all {
		if line[0] == ' ' {
			continue
		}
		for k := max(0, i-diffContext); k <= min(len(all)-1, i+diffContext); k++ {
			near[k] = true
		}
	}
	var kept []string
	for i, line := range all {
		switch {
		case near[i]:
			kept = append(kept, line)
		case len(kept) == 0 || kept[len(kept)-1] != "@@":
			kept = append(kept, "@@")
		}
	}
	return kept
}

// indented moves each line to the right.
func indented(text string) string {
	return "  " + strings.ReplaceAll(text, "\n", "\n  ")
}
