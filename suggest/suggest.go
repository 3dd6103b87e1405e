// Package suggest finds what somebody meant who wrote a name that there is not.
//
// It knows nothing of what the names stand for. On the line request -> run -> step -> journal ->
// event -> client it stands beside the request, wherever one is refused.
package suggest

import (
	"fmt"
	"strings"
)

// Name returns the hint for an unknown name: the nearest known one, else
// the list of those known under the heading, else nothing.
func Name(name string, known []string, heading string) string {
	best, limit := "", max(1, len([]rune(name))/3)
	for _, k := range known {
		if d := Distance(strings.ToLower(name), strings.ToLower(k)); d <= limit {
			best, limit = k, d-1
		}
	}
	switch {
	case best != "":
		return fmt.Sprintf("did you mean %q?", best)
	case len(known) > 0 && heading != "":
		return heading + ": " + strings.Join(known, ", ")
	}
	return ""
}

// Distance counts the edits from a to b: insert, delete, replace, or swap two
// neighbours.
func Distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	const longest = 64 // no name is longer; bounds the work on hostile input
	if len(s) > longest || len(t) > longest {
		return len(s) + len(t)
	}
	// d[i][j] is the distance between the first i of s and the first j of t.
	d := make([][]int, len(s)+1)
	for i := range d {
		d[i] = make([]int, len(t)+1)
		d[i][0] = i
	}
	for j := range d[0] {
		d[0][j] = j
	}
	for i := 1; i <= len(s); i++ {
		for j := 1; j <= len(t); j++ {
			replace := d[i-1][j-1]
			if s[i-1] != t[j-1] {
				replace++
			}
			d[i][j] = min(d[i-1][j]+1, d[i][j-1]+1, replace)
			if i > 1 && j > 1 && s[i-1] == t[j-2] && s[i-2] == t[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(s)][len(t)]
}
