package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// A stored body begins with the version of its form. Form 1 is followed by the chain
// of the entry and its JSON. Entries of the first releases are bare JSON, which begins
// with a brace; their chain is computed when it is needed. It is a file format.
const (
	formBare  = '{'
	formChain = 1
)

// chainSize is how many bytes of a SHA-256 an entry keeps.
const chainSize = 16

// Chain is the checksum of an entry and of all entries before it: the first 16 bytes
// of the SHA-256 over the chain of the entry before (zeros for the first one), the seq
// (8 bytes, little-endian) and the JSON of the entry.
type Chain [chainSize]byte

// Head is where the journal of a run ends: what its next entry follows. The zero Head
// is that of a run without entries.
type Head struct {
	Next    int64 // seq of the next entry
	Chain   Chain // of the last one
	chained bool  // the last one keeps its chain: no bare one follows it
}

// after is the chain of the entry seq with this JSON, behind c.
func (c Chain) after(seq int64, text []byte) Chain {
	h := sha256.New()
	var prefix [chainSize + 8]byte
	copy(prefix[:], c[:])
	binary.LittleEndian.PutUint64(prefix[chainSize:], uint64(seq)) //nolint:gosec // never negative
	h.Write(prefix[:])
	h.Write(text)
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	return Chain(sum[:chainSize])
}

// seal writes the form and the chain of an entry into the room that encode left for
// them, and moves the head past the entry.
func (h *Head) seal(body []byte) {
	chain := h.Chain.after(h.Next, body[1+chainSize:])
	body[0] = formChain
	copy(body[1:], chain[:])
	h.Chain, h.Next, h.chained = chain, h.Next+1, true
}

// open checks a stored entry against the head it follows, moves the head past it and
// returns its JSON. Error: internal when the entry is damaged or missing.
func (h *Head) open(e store.Entry) ([]byte, error) {
	if e.Seq != h.Next {
		return nil, durable.Errorf(durable.CodeInternal, "entry %d is missing", h.Next)
	}
	text, stored, chained := split(e.Body)
	chain := h.Chain.after(e.Seq, text)
	switch {
	case !chained && len(e.Body) > 0 && e.Body[0] != formBare:
		return nil, durable.Errorf(durable.CodeInternal,
			"entry %d is damaged, or written by a newer orpine: its form is %d, this build knows up to %d", e.Seq, e.Body[0], formChain)
	case !chained && h.chained:
		return nil, durable.Errorf(durable.CodeInternal, "entry %d is damaged: its checksum is missing", e.Seq)
	case chained && chain != stored:
		return nil, durable.Errorf(durable.CodeInternal, "entry %d is damaged: its checksum does not match", e.Seq)
	}
	h.Chain, h.Next, h.chained = chain, e.Seq+1, chained
	return text, nil
}

// split takes a stored body apart; chained is false for one of the first releases, and
// for what cannot be a body at all, which then fails to parse.
func split(body []byte) (text []byte, chain Chain, chained bool) {
	if len(body) > chainSize && body[0] == formChain {
		return body[1+chainSize:], Chain(body[1 : 1+chainSize]), true
	}
	return body, chain, false
}

// pass moves the head past an entry as it is, damaged or not: a run with a damaged
// journal can still be blocked and ended behind it.
func (h *Head) pass(e store.Entry) {
	text, stored, chained := split(e.Body)
	if !chained {
		stored = h.Chain.after(e.Seq, text)
	}
	h.Chain, h.Next, h.chained = stored, e.Seq+1, chained
}

// headAt returns the head behind the entry seq; it trusts the chain that is stored
// with that entry, and walks the journal where there is none.
func (j *Journal) headAt(ctx context.Context, run durable.RunID, e store.Entry) (Head, error) {
	if _, chain, chained := split(e.Body); chained {
		return Head{Next: e.Seq + 1, Chain: chain, chained: true}, nil
	}
	var h Head
	for h.Next <= e.Seq {
		page, err := j.store.Entries(ctx, run, h.Next-1, int(min(pageSize, e.Seq-h.Next+1)))
		if err != nil {
			return h, err
		}
		if len(page) == 0 {
			return h, durable.Errorf(durable.CodeInternal, "run %s: entry %d is missing", run, h.Next)
		}
		for _, e := range page {
			h.pass(e)
		}
	}
	return h, nil
}

// HeadAt returns the head that the entry next of a run follows.
func (j *Journal) HeadAt(ctx context.Context, run durable.RunID, next int64) (Head, error) {
	if next == 0 {
		return Head{}, nil
	}
	entries, err := j.store.Entries(ctx, run, next-2, 1)
	if err != nil {
		return Head{}, err
	}
	if len(entries) == 0 || entries[0].Seq != next-1 {
		return Head{}, durable.Errorf(durable.CodeInternal, "run %s: entry %d is missing", run, next-1)
	}
	return j.headAt(ctx, run, entries[0])
}

// Head returns where the journal of a run ends.
func (j *Journal) Head(ctx context.Context, run durable.RunID) (Head, error) {
	head, _, err := j.Tail(ctx, run)
	return head, err
}

// Tail returns where the journal of a run ends, and the time of its last entry: zero when
// that is not readable.
func (j *Journal) Tail(ctx context.Context, run durable.RunID) (Head, time.Time, error) {
	last, err := j.store.Last(ctx, run)
	if err != nil {
		return Head{}, time.Time{}, err
	}
	head, err := j.headAt(ctx, run, last)
	text, _, _ := split(last.Body)
	return head, timeOf(text), err
}

// timeOf finds the time in the JSON of an entry, which encode puts behind the kind.
func timeOf(text []byte) time.Time {
	_, rest, found := bytes.Cut(text, []byte(`","t":`))
	end := bytes.IndexAny(rest, ",}")
	if !found || end < 0 {
		return time.Time{}
	}
	micros, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return fromMicros(micros)
}
