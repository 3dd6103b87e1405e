package sql

import (
	"strings"

	"github.com/orpine-run/orpine/suggest"
)

// nearest returns the candidate that a person most likely meant by want, or "".
func nearest(want string, candidates []string) string {
	best, least := "", 1+len(want)/3
	for _, c := range candidates {
		if d := suggest.Distance(fold(want), fold(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// fold drops what people write differently: case, blanks and underscores.
func fold(s string) string {
	return strings.NewReplacer(" ", "", "_", "", "-", "").Replace(strings.ToLower(s))
}
