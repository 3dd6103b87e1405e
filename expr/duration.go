package expr

import (
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// DurationPattern is the form of a duration; see ParseDuration.
const DurationPattern = `^([0-9]{1,5}d)?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$`

var durationForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(DurationPattern) })

// ParseDuration reads a duration above 0 and up to a hundred years: one of Go,
// with days before it.
func ParseDuration(s string) (time.Duration, bool) {
	const day, longest = 24 * time.Hour, 36_525 * 24 * time.Hour
	if !durationForm().MatchString(s) {
		return 0, false
	}
	var total time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.Atoi(days)
		if err != nil {
			return 0, false
		}
		total, s = time.Duration(n)*day, rest
	}
	if s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d > longest {
			return 0, false
		}
		total += d
	}
	return total, total > 0 && total <= longest
}
