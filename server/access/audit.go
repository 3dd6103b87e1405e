package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Kinds of the records of the audit log: its lines under their numbers, and its head, which
// changes with every batch of lines, so that a line is missed that was cut off the end.
const (
	auditKind = "audit"
	headKind  = "audit_head"
	headKey   = "head"
)

// textMax bounds each text of a line in bytes, whatever a stranger sends.
const textMax = 2000

// head is where the log ends.
type head struct {
	N    int64  `json:"n"`    // of the last line; 0 = there is none
	Hash string `json:"hash"` // of the last line
}

// Audit is the log of who asked for what. Its lines are numbered from 1 without gaps, and
// each carries the hash of the one before it. It is safe for concurrent use.
//
// The chain shows what was changed by hand. It cannot show the work of somebody who makes
// the whole chain and the head anew: for that, keep what Verify reports somewhere else.
type Audit struct {
	ledger  Ledger
	damaged error

	mu     sync.Mutex
	head   head      // of the last line that was appended, durable or not
	queue  []waiting // on their way to the store, which asks for them
	failed error     // set once: nothing is appended from then on
	closed bool
	open   sync.WaitGroup // lines that are not durable yet
}

// waiting is a line on its way to the store.
type waiting struct {
	line store.RecordChange
	head head
	note *Note
}

// OpenAudit reads where the log ends, and begins to write. Close it before the runtime. A
// damaged end does not close the log; see Damaged.
func OpenAudit(ctx context.Context, r Ledger) (*Audit, error) {
	a := &Audit{ledger: r}
	last, lastFault, err := lastLine(ctx, r)
	if err != nil {
		return nil, err
	}
	kept, headFault, err := readHead(ctx, r)
	if err != nil {
		return nil, err
	}
	a.head = last
	if fault := errors.Join(lastFault, headFault); fault != nil || last != kept {
		if fault == nil {
			fault = fmt.Errorf("the last line is %d, and was %d or another of that number", last.N, kept.N)
		}
		a.damaged = durable.Errorf(durable.CodeInternal, "the end of the audit log is damaged: %w; the log goes on behind a gap", fault)
		if kept.N >= last.N {
			a.head = kept
		}
		a.head.N++ // the gap, which stays
	}
	return a, nil
}

// lastLine reads the number and the hash of the last line, and what is wrong with it.
func lastLine(ctx context.Context, r Records) (h head, fault, err error) {
	last, err := r.Records(ctx, auditKind, store.RecordFilter{Backwards: true, Limit: 1})
	if err != nil || len(last) == 0 {
		return h, nil, err
	}
	line, fault := lineOf(last[0])
	if fault == nil {
		return head{line.N, line.Hash}, nil, nil
	}
	if h.N, err = strconv.ParseInt(last[0].Key, 10, 64); err != nil {
		h.N = 0 // no line has such a key
	}
	return h, fault, nil
}

// readHead reads the head, and what is wrong with it.
func readHead(ctx context.Context, r Records) (h head, fault, err error) {
	kept, err := r.Record(ctx, headKind, headKey)
	switch {
	case errors.Is(err, durable.ErrNotFound):
		return h, nil, nil
	case errors.Is(err, durable.ErrInternal):
		return h, fmt.Errorf("its head: %w", err), nil
	case err != nil:
		return h, nil, err
	}
	if err := json.Unmarshal(kept.Data, &h); err != nil {
		return head{}, fmt.Errorf("its head: %w", err), nil
	}
	return h, nil, nil
}

// Damaged says what did not fit at the end of the log when it was opened; nil = nothing. The
// log has left out a number there, so that Verify finds the place for good.
func (a *Audit) Damaged() error { return a.damaged }

// Append adds a line and returns once it is durable. The line gets its number, its place in
// the chain and, unless it has one, its time; texts of more than 2,000 bytes are cut. Lines
// stand in the order of the calls, and those that come while a commit is under way share the
// next one. Errors: unavailable when the log is closed, or a line could not be written, which
// stops it until it is opened again; the cause of ctx when it ends first: then the line is
// written all the same if that can be.
func (a *Audit) Append(ctx context.Context, line client.AuditLine) error {
	note, err := a.Note(line)
	if err != nil {
		return err
	}
	return note.Wait(ctx)
}

// Note is a line on its way to the disk. It goes with whatever is committed next.
type Note struct {
	audit *Audit
	done  chan error
}

// Wait returns once the line is durable, or cannot be; it does not wait for another commit. Error:
// the cause of ctx when it ends first.
func (n *Note) Wait(ctx context.Context) error {
	select {
	case err := <-n.done:
		return err
	default:
	}
	n.audit.ledger.Hurry()
	select {
	case err := <-n.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Note is Append for who has something else to do meanwhile, and waits for it once. Where the log
// takes no more lines that is said at once.
func (a *Audit) Note(line client.AuditLine) (*Note, error) {
	for _, s := range []*string{&line.Who, &line.Tenant, &line.Method, &line.Path, &line.From, &line.Code} {
		*s = strings.ToValidUTF8((*s)[:min(len(*s), textMax)], "\ufffd") // as JSON carries it
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed != nil {
		return nil, a.failed
	}
	if a.closed {
		return nil, durable.Errorf(durable.CodeUnavailable, "the audit log is closed")
	}
	if line.Time.IsZero() {
		line.Time = time.Now()
	}
	line.Time = line.Time.UTC().Truncate(time.Microsecond)
	line.N, line.Prev = a.head.N+1, a.head.Hash
	line.Hash = hashOfLine(&line)
	data, err := json.Marshal(line)
	if err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "audit line of %s: %w", line.Who, err)
	}
	a.head = head{line.N, line.Hash}
	note := &Note{a, make(chan error, 1)}
	a.queue = append(a.queue, waiting{store.RecordChange{Kind: auditKind, Key: keyOfLine(line.N), Data: data}, a.head, note})
	a.open.Add(1)
	if len(a.queue) == 1 {
		b := &batch{audit: a}
		a.ledger.WriteLater(b.take, b.settle)
	}
	return note, nil
}

// batch is the lines that were queued when something was committed.
type batch struct {
	audit *Audit
	lines []waiting
}

// take hands the lines to the store, together with the head that they move to.
func (b *batch) take() []store.RecordChange {
	a := b.audit
	a.mu.Lock()
	defer a.mu.Unlock()
	b.lines, a.queue = a.queue, nil
	changes := make([]store.RecordChange, 0, len(b.lines)+1)
	for _, w := range b.lines {
		changes = append(changes, w.line)
	}
	end, _ := json.Marshal(b.lines[len(b.lines)-1].head) // a number and a text marshal
	return append(changes, store.RecordChange{Kind: headKind, Key: headKey, Expect: store.AnyVersion, Data: end})
}

// settle tells who waits what became of the lines. After a failure nothing is appended: the lines
// behind it hang on its hash.
func (b *batch) settle(err error) {
	a := b.audit
	a.mu.Lock()
	if b.lines == nil { // the store refused to ask
		b.lines, a.queue = a.queue, nil
	}
	if err != nil {
		if a.failed == nil {
			a.failed = durable.Errorf(durable.CodeUnavailable, "the audit log stopped after a write error (%w): start again, nothing acknowledged is lost", err)
		}
		err = a.failed
	}
	a.mu.Unlock()
	for _, w := range b.lines {
		w.note.done <- err
		a.open.Done()
	}
}

// Close writes what was appended, and takes no more. It may be called more than once.
func (a *Audit) Close() error {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.ledger.Hurry()
	a.open.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

// keyOfLine is the key of the record of a line: in the order of the numbers.
func keyOfLine(n int64) string { return fmt.Sprintf("%020d", n) }

// hashOfLine is the hexadecimal SHA-256 of all of a line but its hash: for each field that
// is not empty, in the order of client.AuditLine, its name, a space, its length in bytes, a
// colon, the text of its value as in JSON and a line feed.
func hashOfLine(l *client.AuditLine) string {
	var b []byte
	for _, f := range [...][2]string{
		{"n", strconv.FormatInt(l.N, 10)},
		{"time", l.Time.Format(time.RFC3339Nano)},
		{"who", l.Who},
		{"tenant", l.Tenant},
		{"method", l.Method},
		{"path", l.Path},
		{"from", l.From},
		{"code", l.Code},
		{"prev", l.Prev},
	} {
		if f[1] != "" { // so that a field that comes later leaves the hashes as they are
			b = fmt.Appendf(b, "%s %d:%s\n", f[0], len(f[1]), f[1])
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// lineOf reads a line from its record and holds it against its key and its hash.
func lineOf(r store.Record) (client.AuditLine, error) {
	var l client.AuditLine
	if r.Fault != nil {
		return l, r.Fault
	}
	if err := json.Unmarshal(r.Data, &l); err != nil {
		return l, fmt.Errorf("audit line %s is damaged: %w", r.Key, err)
	}
	// The hash is of what is meant; that it is written as we write it shows that nothing
	// else was changed, such as the case of a name, which reading overlooks.
	again, err := json.Marshal(l)
	if err != nil || !bytes.Equal(again, r.Data) || l.Hash != hashOfLine(&l) || r.Key != keyOfLine(l.N) {
		return l, fmt.Errorf("audit line %s was changed: it does not fit its hash or its number", r.Key)
	}
	return l, nil
}

// Lines returns up to limit lines with N > after, in order; limit 0 = 100. Error: internal
// when one of them is damaged, with the lines before it.
func (a *Audit) Lines(ctx context.Context, after int64, limit int) ([]client.AuditLine, error) {
	page, err := a.ledger.Records(ctx, auditKind, store.RecordFilter{After: keyOfLine(max(0, after)), Limit: limit})
	if err != nil {
		return nil, err
	}
	lines := make([]client.AuditLine, 0, len(page))
	for _, r := range page {
		l, err := lineOf(r)
		if err != nil {
			return lines, durable.Errorf(durable.CodeInternal, "%w; read on behind its number", err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}
