package access

import (
	"context"
	"fmt"

	"github.com/orpine-run/orpine/store"
)

// Report is what Verify found.
type Report struct {
	Lines int64  `json:"lines"`           // how many lines fit, from the first on
	Hash  string `json:"hash"`            // of the last one that fits; who keeps it elsewhere can tell that the log up to there is the same
	Bad   int64  `json:"bad,omitempty"`   // the number of the first line that does not fit; 0 = all do
	Fault string `json:"fault,omitempty"` // what is wrong with it
}

// Verify reads the whole log and names the first line that is missing, changed or out of
// order. A line that was cut off the end is found as long as the head of the log is there;
// that the head itself is gone or damaged is a fault of the line behind the last. Lines may be
// appended meanwhile. Errors: those of reading; what is wrong with the log is in the report.
func (a *Audit) Verify(ctx context.Context) (Report, error) {
	before, _, err := readHead(ctx, a.ledger) // one that is damaged is found below
	if err != nil {
		return Report{}, err
	}
	var rep Report
	at := "" // the hash of the line that was the last one when this began
	for f := (store.RecordFilter{Limit: pageSize}); ; {
		page, err := a.ledger.Records(ctx, auditKind, f)
		if err != nil {
			return rep, err
		}
		for _, r := range page {
			if !rep.take(r) {
				return rep, nil
			}
			if rep.Lines == before.N {
				at = rep.Hash
			}
		}
		if len(page) < f.Limit {
			break
		}
		f.After = page[len(page)-1].Key
	}
	after, fault, err := readHead(ctx, a.ledger)
	switch {
	case err != nil:
		return rep, err
	case fault != nil:
		rep.bad(rep.Lines+1, "the end of the log cannot be told: %s", fault)
	case before.N > rep.Lines:
		rep.bad(rep.Lines+1, "line %d is missing: the log ended with line %d, and was cut", rep.Lines+1, before.N)
	case at != before.Hash:
		rep.bad(before.N, "line %d is another than the one with which the log ended", before.N)
	case after.N < rep.Lines:
		// A line and the head that knows it are written at once.
		rep.bad(after.N+1, "line %d was put there by somebody else: the log ends with line %d", after.N+1, after.N)
	}
	return rep, nil
}

// take holds the next record against the line before it, and reports whether it fits.
func (r *Report) take(next store.Record) bool {
	n := r.Lines + 1
	if next.Key != keyOfLine(n) {
		r.bad(n, "line %d is missing: the next one there is %q", n, next.Key)
		return false
	}
	line, err := lineOf(next)
	if err != nil {
		r.bad(n, "%s", err)
		return false
	}
	if line.Prev != r.Hash {
		r.bad(n, "line %d does not follow on the one before it, which has another hash: one of the two was changed", n)
		return false
	}
	r.Lines, r.Hash = n, line.Hash
	return true
}

// bad notes the first line that does not fit.
func (r *Report) bad(n int64, format string, args ...any) {
	r.Bad, r.Fault = n, fmt.Sprintf(format, args...)
}
