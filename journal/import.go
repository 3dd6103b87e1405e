package journal

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// ImportConfig says how to import.
type ImportConfig struct {
	NewID func() durable.RunID // gives every run a new ID; nil = they keep theirs
	Again bool                 // runs that are there already were taken up by this import before: that is no conflict
	Now   time.Time            // when the unfinished ones are blocked
}

// Imported says what an import has made.
type Imported struct {
	Run        durable.RunID   `json:"run"`                  // the one that was exported
	Runs       []durable.RunID `json:"runs"`                 // with its children, parents first
	Unfinished []durable.RunID `json:"unfinished,omitempty"` // of Runs: blocked until they are resumed
	Entries    int64           `json:"entries"`
	Blobs      int64           `json:"blobs"`
}

// Import takes up an export. All of it is checked before anything is written: the sum
// over the file, every entry against its chain, every blob against its hash, that no blob
// is missing, and each row against its entries. Blobs, which nobody sees before a run
// names them, go first; then all runs appear in one transaction. Runs that had not ended
// are blocked, so that two data directories never drive the same effects unnoticed. A run
// whose parent is not in the export becomes one without a parent. The entries are held in
// memory, the blobs are not. Errors: invalid for what is not an export or is damaged or
// newer, conflict when an ID is taken.
func (j *Journal) Import(ctx context.Context, r io.ReadSeeker, cfg ImportConfig) (Imported, error) {
	body, err := sealedExport(r)
	if err != nil {
		return Imported{}, err
	}
	m := &importer{ctx: ctx, cfg: cfg, j: j, wanted: map[string]string{}, must: map[string]string{}, has: map[string]bool{}}
	if err := m.check(body); err != nil {
		return Imported{}, err
	}
	return m.write(body)
}

type importer struct {
	ctx    context.Context //nolint:containedctx // of one call of Import
	cfg    ImportConfig
	j      *Journal
	runs   []*arrival
	wanted map[string]string // hashes, and who names them first
	must   map[string]string // those of wanted that may not be absent
	has    map[string]bool   // hashes; false = absent, and known to be
	sum    Contents
}

// arrival is a run of an export.
type arrival struct {
	row     store.Run
	expect  int64 // entries
	head    Head
	seen    *audit
	entries []*store.Entry
}

func (m *importer) want(hash, who string, must bool) {
	if m.wanted[hash] == "" {
		m.wanted[hash] = who
	}
	if must && m.must[hash] == "" {
		m.must[hash] = who
	}
}

// check reads the records once and holds them against each other.
func (m *importer) check(body io.ReadSeeker) error {
	x, err := newExportReader(body)
	if err != nil {
		return err
	}
	defer x.close()
	for {
		rec, data, err := x.next()
		if errors.Is(err, io.EOF) {
			return badExport("the export is cut off: there is no record %q", recordEnd)
		}
		if err == nil {
			err = m.take(x, &rec, data)
		}
		if err != nil {
			return err
		}
		if rec.Kind == recordEnd {
			break
		}
	}
	if _, _, err := x.next(); !errors.Is(err, io.EOF) {
		return badExport("the export is damaged: something follows the record %q", recordEnd)
	}
	for hash, who := range m.must {
		if !m.has[hash] {
			return badExport("the export is damaged: blob %s is missing, which %s names", hash, who)
		}
	}
	for hash, who := range m.wanted {
		if _, ok := m.has[hash]; !ok {
			return badExport("the export is damaged: blob %s is missing, which %s seems to name", hash, who)
		}
	}
	return nil
}

// take checks one record. Their order is that of Export.
func (m *importer) take(x *exportReader, rec *record, data []byte) error {
	if x.number == 1 != (rec.Kind == recordFile) {
		return x.bad("it is a %s; the first one, and no other, is a %s", rec.Kind, recordFile)
	}
	if (rec.Kind == recordRun || rec.Kind == recordEntry) && len(m.has) > 0 {
		return x.bad("it is a %s behind the blobs", rec.Kind)
	}
	switch rec.Kind {
	case recordFile:
		return nil
	case recordRun:
		return m.takeRun(x, rec)
	case recordEntry:
		return m.takeEntry(x, rec, data)
	case recordBlob, recordAbsent:
		return m.takeBlob(x, rec, data)
	case recordEnd:
		if err := m.whole(x); err != nil {
			return err
		}
		if len(m.runs) == 0 || rec.Runs != len(m.runs) || rec.Entries != m.sum.Entries || rec.Blobs != m.sum.Blobs {
			return x.bad("it counts %d runs, %d entries and %d blobs, there are %d, %d and %d",
				rec.Runs, rec.Entries, rec.Blobs, len(m.runs), m.sum.Entries, m.sum.Blobs)
		}
		return nil
	}
	return x.bad("there is no kind %q", rec.Kind)
}

func (m *importer) takeRun(x *exportReader, rec *record) error {
	if err := m.whole(x); err != nil {
		return err
	}
	switch {
	case rec.Run == nil || rec.Run.ID == "" || rec.Entries < 1:
		return x.bad("it is a run without an ID or without entries")
	case m.arrived(rec.Run.ID) != nil:
		return x.bad("run %s comes twice", rec.Run.ID)
	}
	a := &arrival{row: rec.Run.row(), expect: rec.Entries}
	if a.row.Parent != "" && m.arrived(a.row.Parent) == nil {
		a.row.Parent, a.row.Command = "", 0
	}
	a.seen = newAudit(&a.row)
	m.runs = append(m.runs, a)
	if a.row.Definition != "" {
		m.want(a.row.Definition, "run "+string(a.row.ID), true)
	}
	return nil
}

func (m *importer) arrived(id durable.RunID) *arrival {
	for _, a := range m.runs {
		if a.row.ID == id {
			return a
		}
	}
	return nil
}

// whole checks that the run that came last is complete.
func (m *importer) whole(x *exportReader) error {
	if len(m.runs) == 0 {
		return nil
	}
	a := m.runs[len(m.runs)-1]
	if a.head.Next != a.expect {
		return x.bad("run %s has %d entries, it should have %d", a.row.ID, a.head.Next, a.expect)
	}
	if a.seen == nil {
		return nil
	}
	problems := a.seen.end()
	a.seen = nil
	if len(problems) > 0 {
		return x.bad("run %s: %s", a.row.ID, problems[0])
	}
	return nil
}

func (m *importer) takeEntry(x *exportReader, rec *record, data []byte) error {
	if len(m.runs) == 0 {
		return x.bad("it is an entry of no run")
	}
	a := m.runs[len(m.runs)-1]
	chain, err := hex.DecodeString(rec.Chain)
	if err != nil || len(chain) != chainSize {
		return x.bad("run %s: entry %d: its chain is no checksum", a.row.ID, rec.Seq)
	}
	body := make([]byte, 0, 1+chainSize+len(data))
	body = append(append(append(body, formChain), chain...), data...)
	stored := store.Entry{Seq: rec.Seq, Body: body}
	text, err := a.head.open(stored)
	var e durable.Entry
	if err == nil {
		err = decode(rec.Seq, text, &e)
	}
	if err != nil {
		return x.bad("run %s: %w", a.row.ID, err)
	}
	a.seen.entry(&e)
	who := fmt.Sprintf("entry %d of run %s", e.Seq, a.row.ID)
	named(&e, func(_, hash string) { m.want(hash, who, true) })
	within(&e, func(hash string, sure bool) { m.want(hash, who, sure) })
	a.entries = append(a.entries, &stored)
	m.sum.Entries++
	return nil
}

func (m *importer) takeBlob(x *exportReader, rec *record, data []byte) error {
	if _, twice := m.has[rec.Hash]; twice || !isHash(rec.Hash) {
		return x.bad("blob %q comes twice, or its hash is none", rec.Hash)
	}
	m.has[rec.Hash] = rec.Kind == recordBlob
	if rec.Kind == recordAbsent {
		m.sum.Absent++
		return nil
	}
	if HashOf(data) != rec.Hash {
		return x.bad("blob %s is damaged: its content has another hash", rec.Hash)
	}
	m.sum.Blobs++
	eachRef(data, func(hash string, sure bool) { m.want(hash, "blob "+rec.Hash, sure) })
	return nil
}

// write puts what was checked into the store.
func (m *importer) write(body io.ReadSeeker) (Imported, error) {
	changes, done, err := m.changes()
	if err != nil {
		return done, err
	}
	for _, c := range changes {
		if _, err := m.j.store.Run(m.ctx, c.Run); err == nil && m.cfg.Again {
			return done, nil // all of them appeared at once
		} else if err == nil {
			return done, durable.Errorf(durable.CodeConflict, "import: a run %s exists here; --as-new gives the imported one another ID", c.Run)
		} else if !errors.Is(err, durable.ErrNotFound) {
			return done, fmt.Errorf("import: %w", err)
		}
	}
	if err := m.writeBlobs(body); err != nil {
		return done, fmt.Errorf("import: %w", err)
	}
	if err := m.commit(changes); err != nil {
		return done, fmt.Errorf("import: %w", err)
	}
	return done, nil
}

// importBytes is how much of blobs goes into one transaction.
const importBytes = 1 << 20

func (m *importer) writeBlobs(body io.ReadSeeker) error {
	x, err := newExportReader(body)
	if err != nil {
		return err
	}
	defer x.close()
	var batch []store.Blob
	size := 0
	for {
		rec, data, err := x.next()
		if err != nil {
			return err
		}
		if rec.Kind == recordBlob {
			b := m.j.packer.blob(rec.Hash, data)
			batch, size = append(batch, b), size+len(b.Data)
		}
		if size >= importBytes || (rec.Kind == recordEnd && len(batch) > 0) {
			if err := m.commit([]*store.Change{{Blobs: batch}}); err != nil {
				return err
			}
			batch, size = nil, 0
		}
		if rec.Kind == recordEnd {
			return nil
		}
	}
}

func (m *importer) commit(changes []*store.Change) error {
	done := make(chan error, 1)
	m.j.store.Commit(changes, func(err error) { done <- err })
	return <-done // the store always reports
}

// changes are the runs as they will be here.
func (m *importer) changes() ([]*store.Change, Imported, error) {
	done := Imported{Entries: m.sum.Entries, Blobs: m.sum.Blobs}
	ids := map[durable.RunID]durable.RunID{}
	if m.cfg.NewID != nil {
		for _, a := range m.runs {
			ids[a.row.ID] = m.cfg.NewID()
		}
	}
	var changes []*store.Change
	for _, a := range m.runs {
		if len(ids) > 0 {
			if err := a.rename(ids); err != nil {
				return nil, done, err
			}
		}
		done.Runs = append(done.Runs, a.row.ID)
		if !a.row.Status.Final() {
			done.Unfinished = append(done.Unfinished, a.row.ID)
			if err := a.block(m.cfg.Now); err != nil {
				return nil, done, err
			}
		}
		changes = append(changes, &store.Change{Run: a.row.ID, Create: &a.row, Entries: a.entries})
	}
	done.Run = done.Runs[0]
	return changes, done, nil
}

// block has a run that had not ended wait until somebody says that it goes on here.
func (a *arrival) block(now time.Time) error {
	if a.row.Status == durable.Blocked {
		return nil // for a reason of its own
	}
	reason := fmt.Sprintf("imported: orpine resume %s goes on with it", a.row.ID)
	if now.Before(a.row.Updated) {
		now = a.row.Updated
	}
	e := durable.Entry{
		Kind: durable.EntryBlocked, Time: now, Reason: reason,
		Error: &durable.Failure{Code: durable.CodeUnavailable, Message: reason},
	}
	if err := a.add(&e); err != nil {
		return err
	}
	a.row.State = store.State{Status: durable.Blocked, Reason: reason, Updated: now, Segment: a.row.Segment, Start: a.row.Start}
	return nil
}

// add appends an entry.
func (a *arrival) add(e *durable.Entry) error {
	body, err := encode(e)
	if err != nil {
		return durable.Errorf(durable.CodeInternal, "import run %s: %w", a.row.ID, err)
	}
	seq := a.head.Next
	a.head.seal(body)
	a.entries = append(a.entries, &store.Entry{Seq: seq, Body: body})
	return nil
}

// rename gives a run and those it names their new IDs: in its row, and in the entries
// that name runs. The chain is computed anew from the first of these on. It writes no
// ID into values: a program that hands its own ID on does not find the new one there.
func (a *arrival) rename(ids map[durable.RunID]durable.RunID) error {
	a.row.ID = ids[a.row.ID]
	a.row.Parent = ids[a.row.Parent]
	for i := range a.row.Waits {
		if id, ok := ids[a.row.Waits[i].Child]; ok {
			a.row.Waits[i].Child = id
		}
	}
	old := a.entries
	a.entries, a.head = nil, Head{}
	for _, s := range old {
		text, _, _ := split(s.Body)
		var e durable.Entry
		if err := decode(s.Seq, text, &e); err != nil {
			return err
		}
		child, known := ids[e.Child]
		if e.Parent == "" && (e.Child == "" || !known) {
			a.head.seal(s.Body)
			a.entries = append(a.entries, s)
			continue
		}
		if err := familiar(text); err != nil {
			return badExport("run %s: entry %d cannot be given new IDs: %w; use a newer orpine", a.row.ID, s.Seq, err)
		}
		if known {
			e.Child = child
		}
		e.Parent = ids[e.Parent]
		if err := a.add(&e); err != nil {
			return err
		}
	}
	return nil
}

// familiar reports what this build does not know in the JSON of an entry, and would lose.
func familiar(text []byte) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	return dec.Decode(&wire{})
}
