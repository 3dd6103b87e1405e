package server

import (
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// etag is what stands for a state in ETag and If-Match: the version of a record, or the seq of
// an entry.
func etag(n int64) string { return `"` + strconv.FormatInt(n, 10) + `"` }

// expected reads an If-Match; -1 = whatever there is. Error: invalid.
func expected(ifMatch string) (int64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return -1, nil
	}
	n, err := strconv.ParseInt(strings.Trim(ifMatch, `"`), 10, 64)
	if err != nil || n < 0 {
		return 0, durable.Errorf(durable.CodeInvalid, "If-Match %s is no ETag of this server", ifMatch)
	}
	return n, nil
}
