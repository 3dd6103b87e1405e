package sql

import "strings"

// nearest returns the candidate that a person most likely meant by want, or "".
func nearest(want string, candidates []string) string {
	best, least := "", 1+len(want)/3
	for _, c := range candidates {
		if d := distance(fold(want), fold(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// fold drops what people write differently: case, blanks and underscores.
func fold(s string) string {
	return strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(s))
}

// distance is how many letters must be put in, taken out or replaced to get from
// a to b. Names are short; what is not is never near.
func distance(a, b string) int {
	if len(a) > 128 || len(b) > 128 {
		return max(len(a), len(b))
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
