package journal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Verification says what a Verify tells its caller as it goes. Both may be nil.
type Verification struct {
	Problem  func(text string)     // something is damaged: what and where
	Note     func(text string)     // something is odd, and may be meant
	Progress func(done, total int) // runs
}

// Verified counts what a Verify has read.
type Verified struct {
	Runs    int
	Entries int64
	Blobs   int64
}

// Verify looks for damage in everything that is stored: what the storage finds in itself,
// every blob against its hash, every entry of every run against its chain, every run row
// against its entries and against its parent. It names each damaged thing and goes on to
// the next. What it reads is of one moment. The error says that it could not go on.
func (j *Journal) Verify(ctx context.Context, v Verification) (Verified, error) {
	view, err := j.store.Snapshot(ctx)
	if err != nil {
		return Verified{}, err
	}
	if v.Problem == nil {
		v.Problem = func(string) {}
	}
	if v.Note == nil {
		v.Note = func(string) {}
	}
	if v.Progress == nil {
		v.Progress = func(int, int) {}
	}
	x := &verifier{ctx: ctx, v: v, j: &Journal{store: view, packer: j.packer}, blobs: map[string]bool{}, refs: map[string]reference{}}
	err = x.verify()
	return x.sum, errors.Join(err, view.Close())
}

type verifier struct {
	ctx   context.Context //nolint:containedctx // of one call of Verify
	v     Verification
	j     *Journal             // over the snapshot
	blobs map[string]bool      // those there are; false = damaged
	refs  map[string]reference // what values refer to, by hash
	kin   map[durable.RunID]durable.RunID
	sum   Verified
}

// reference is who refers to a blob, and whether that is sure.
type reference struct {
	who  string
	sure bool
}

func (x *verifier) bad(format string, args ...any) { x.v.Problem(fmt.Sprintf(format, args...)) }

func (x *verifier) verify() error {
	found, err := x.j.store.Check(x.ctx)
	if err != nil {
		x.bad("%v", err)
	}
	for _, text := range found {
		x.v.Problem(text)
	}
	if err := x.allBlobs(); err != nil {
		return err
	}
	const all = 1 << 40
	runs, err := x.j.store.List(x.ctx, durable.Filter{Limit: all})
	if err != nil {
		return err
	}
	x.kin = map[durable.RunID]durable.RunID{}
	there := map[durable.RunID]bool{}
	for i := range runs {
		there[runs[i].ID] = true
		if runs[i].Parent != "" && runs[i].Fault == nil {
			x.kin[runs[i].ID] = runs[i].Parent
		}
	}
	slices.Reverse(runs) // oldest first
	for i := range runs {
		x.v.Progress(i, len(runs))
		if err := x.run(&runs[i], there); err != nil {
			return err
		}
	}
	x.v.Progress(len(runs), len(runs))
	for _, id := range slices.Sorted(maps.Keys(x.kin)) {
		if parent := x.kin[id]; there[parent] {
			x.bad("run %s: parent: no entry of run %s names it as a child", id, parent)
		} else {
			x.bad("run %s: parent: there is no run %s", id, parent)
		}
	}
	x.dangling()
	return nil
}

// allBlobs reads every blob.
func (x *verifier) allBlobs() error {
	for from := int64(0); ; {
		hashes, next, err := x.j.store.Hashes(x.ctx, from, pageSize)
		if err != nil {
			return err
		}
		for _, hash := range hashes {
			if err := x.ctx.Err(); err != nil {
				return context.Cause(x.ctx)
			}
			data, err := x.j.Get(x.ctx, durable.Ref{Hash: hash})
			x.blobs[hash] = err == nil
			x.sum.Blobs++
			if err != nil {
				x.bad("%v", err)
				continue
			}
			eachRef(data, func(ref string, sure bool) { x.refer(ref, "blob "+hash, sure) })
		}
		if len(hashes) < pageSize {
			return nil
		}
		from = next
	}
}

func (x *verifier) refer(hash, who string, sure bool) {
	if old, seen := x.refs[hash]; !seen || (sure && !old.sure) {
		x.refs[hash] = reference{who, sure}
	}
}

// dangling reports references within values that lead nowhere.
func (x *verifier) dangling() {
	for _, hash := range slices.Sorted(maps.Keys(x.refs)) {
		ref := x.refs[hash]
		switch _, there := x.blobs[hash]; {
		case there:
		case ref.sure:
			x.bad("%s: blob %s, a part of a thread, is missing", ref.who, hash)
		default:
			x.v.Note(fmt.Sprintf("%s: what looks like a reference leads nowhere: there is no blob %s", ref.who, hash))
		}
	}
}

// run reads one run; an error is only that ctx has ended.
func (x *verifier) run(r *store.Run, there map[durable.RunID]bool) error {
	x.sum.Runs++
	seen, t := newAudit(r), trail{may: []Chain{{}}}
	for {
		page, err := x.j.store.Entries(x.ctx, r.ID, t.next-1, pageSize)
		if ctxErr := x.ctx.Err(); ctxErr != nil {
			return context.Cause(x.ctx)
		}
		if err != nil {
			x.bad("run %s: entries from %d on: %v", r.ID, t.next, err)
			return nil
		}
		for i := range page {
			x.entry(r, seen, &t, page[i])
		}
		if len(page) < pageSize {
			break
		}
	}
	if r.Fault == nil { // else its row says nothing
		x.row(r, seen, &t, there)
	}
	return nil
}

// row holds the row of a run against its entries.
func (x *verifier) row(r *store.Run, seen *audit, t *trail, there map[durable.RunID]bool) {
	for _, id := range slices.Sorted(maps.Keys(seen.open)) {
		if !there[id] && !r.Status.Final() {
			x.bad("run %s: it waits for child %s, which there is not", r.ID, id)
		}
	}
	if r.Definition != "" {
		x.must(r.Definition, fmt.Sprintf("run %s: definition", r.ID))
	}
	if t.broken && t.next > 0 {
		return // it would be held against entries that say nothing
	}
	for _, problem := range seen.end() {
		x.bad("run %s: %s", r.ID, problem)
	}
}

func (x *verifier) must(hash, who string) {
	switch sound, there := x.blobs[hash]; {
	case !there:
		x.bad("%s: blob %s is missing", who, hash)
	case !sound:
		x.bad("%s: blob %s is damaged", who, hash)
	}
}

func (x *verifier) entry(r *store.Run, seen *audit, t *trail, s store.Entry) {
	text, problem := t.follow(s)
	var e durable.Entry
	err := decode(s.Seq, text, &e)
	switch {
	case problem != "":
		x.bad("run %s: %s", r.ID, problem)
	case err != nil:
		x.bad("run %s: %v", r.ID, err)
		t.broken = true
	}
	if err != nil {
		return
	}
	x.sum.Entries++
	seen.entry(&e)
	if e.Kind == durable.EntryChild && x.kin[e.Child] == r.ID {
		delete(x.kin, e.Child)
	}
	named(&e, func(field, hash string) { x.must(hash, fmt.Sprintf("run %s: entry %d: %s", r.ID, e.Seq, field)) })
	within(&e, func(hash string, sure bool) { x.refer(hash, fmt.Sprintf("run %s: entry %d", r.ID, e.Seq), sure) })
}

// trail follows the chain of a run through entries that are damaged or missing, so that
// each of them is named and none for another's sake.
type trail struct {
	next    int64
	may     []Chain // what the chain of the entry before may be; none = not known
	chained bool
	broken  bool // something was wrong
}

// follow returns the JSON of an entry, and what is wrong with it.
func (t *trail) follow(s store.Entry) (text []byte, problem string) {
	text, stored, chained := split(s.Body)
	switch {
	case s.Seq > t.next+1:
		problem = fmt.Sprintf("entries %d to %d are missing", t.next, s.Seq-1)
	case s.Seq > t.next:
		problem = fmt.Sprintf("entry %d is missing", t.next)
	case !chained && len(s.Body) > 0 && s.Body[0] != formBare:
		problem = fmt.Sprintf("entry %d is damaged, or written by a newer orpine: its form is %d", s.Seq, s.Body[0])
	case !chained && t.chained:
		problem = fmt.Sprintf("entry %d is damaged: its checksum is missing", s.Seq)
	}
	if s.Seq != t.next {
		t.may = nil
	}
	var next []Chain
	fits := len(t.may) == 0
	for _, c := range t.may {
		after := c.after(s.Seq, text)
		next = append(next, after)
		fits = fits || after == stored
	}
	switch {
	case chained && fits:
		next = []Chain{stored}
	case chained:
		problem = fmt.Sprintf("entry %d is damaged: its checksum does not match", s.Seq)
		next = []Chain{stored, next[0]} // either its text is damaged, or its checksum
	}
	t.next, t.may, t.chained, t.broken = s.Seq+1, next, chained || t.chained, t.broken || problem != ""
	return text, problem
}
