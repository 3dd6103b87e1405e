// Package store is the seam to durable storage: runs, their entries, blobs, and records.
// Only its adapters, of which there is store/sqlite, speak SQL; the law they all obey is
// the suite in store/storetest.
//
// A store does not know what an entry says: bodies are opaque here, journal gives
// them their meaning. On the line request -> run -> step -> journal -> event ->
// client it is the one place where something becomes durable.
package store

import (
	"context"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Store keeps everything a runtime must not lose.
type Store interface {
	Journal
	Runs
	Records
	// Epoch counts how often the store was opened for writing, from 1.
	Epoch() int64
	// Check lets the storage look for damage in itself and names what it finds.
	Check(ctx context.Context) ([]string, error)
	// Snapshot returns the store as it is at this moment, for reading only, while others
	// go on writing. The caller closes it, soon.
	Snapshot(ctx context.Context) (Store, error)
	// Close waits for queued changes to commit.
	Close() error
}

// Journal appends and reads entries and blobs.
type Journal interface {
	// Commit applies changes in one transaction, all or none, in the order in which
	// Commit was called. It does not wait: done is called once, in that same order,
	// when the transaction is durable or has failed, and must not block. It is never
	// called from within Commit.
	//
	// A call all of whose changes have a Later may wait until one comes that has not, and is
	// durable no later than that; one without changes hurries those that wait.
	//
	// Errors: conflict when a run to create exists, the entries of a run do not follow
	// those it has or a record has not the version that was expected, or is damaged and
	// has none; not_found when a run to change does not exist; invalid when a record has no
	// kind or key or is changed twice. Every other error is final: the store refuses all
	// later changes with it (fail-stop), because what the disk holds is no longer known.
	Commit(changes []*Change, done func(error))
	// Entries returns up to limit entries of a run with seq > after, in order; those of
	// a fork begin with those of its base.
	Entries(ctx context.Context, run durable.RunID, after int64, limit int) ([]Entry, error)
	// Last returns the entry of a run with the highest seq. Error: not_found.
	Last(ctx context.Context, run durable.RunID) (Entry, error)
	// Blob returns what was put under hash. Error: not_found.
	Blob(ctx context.Context, hash string) ([]byte, error)
	// Hashes pages through the hashes of all blobs, in no order that means anything: up to
	// limit of them, and where the next page begins. The first begins at 0.
	Hashes(ctx context.Context, from int64, limit int) (hashes []string, next int64, err error)
}

// Runs finds runs.
type Runs interface {
	// Run returns one run. Errors: not_found, internal when its row is damaged.
	Run(ctx context.Context, id durable.RunID) (Run, error)
	// List returns the runs that match, newest first unless the filter says otherwise.
	// Here and in Ready a row that is damaged is a run with a Fault.
	List(ctx context.Context, f durable.Filter) ([]Run, error)
	// Count returns how many runs of each status match, whatever the filter says of
	// Statuses, Before, After, Oldest and Limit; a status that none has is left out. It
	// does not hold rows against their checksums.
	Count(ctx context.Context, f durable.Filter) (map[durable.Status]int64, error)
	// Find returns up to limit runs whose ID begins with ref, or whose name is ref, newest first.
	Find(ctx context.Context, ref string, limit int) ([]durable.RunID, error)
	// Newest returns the N of the newest run, 0 if there is none.
	Newest(ctx context.Context) (int64, error)
	// Ready returns up to limit runs that are queued or running and whose N is higher
	// than after, oldest first. Their rows are not held against their checksums, and have
	// only what a queue needs: N, ID, Queue, Priority, Share and Status.
	Ready(ctx context.Context, after int64, limit int) ([]Run, error)
	// Due returns up to limit runs whose wake time is not after now, earliest first,
	// those behind after only, and the earliest wake time later than now (zero if none).
	Due(ctx context.Context, now time.Time, after Wakeup, limit int) ([]Wakeup, time.Time, error)
}

// Wakeup is a run that wants to be woken. The zero value comes before all others.
type Wakeup struct {
	Run durable.RunID
	At  time.Time
	N   int64 // of the run; orders those of one moment
}

// Run is a run as the store keeps it: what is known without its journal.
type Run struct {
	N          int64 // counts the runs of the store; set by it
	ID         durable.RunID
	Name       string
	Program    string
	Definition string
	Parent     durable.RunID
	Command    int
	Created    time.Time     // required
	Queue      string        // which queue it waits in, "" = the default one
	Priority   int           // higher goes first
	Share      string        // whose share of the queue it uses, such as a tenant
	Tenant     string        // whose run it is: who may see it; "" = nobody's
	Base       durable.RunID // the run it is a fork of
	Shared     int64         // how many entries it shares with its base, from the first
	Fault      error         // its row is damaged: nothing of it but the ID can be relied on
	State
}

// State is the part of a run that changes. A commit replaces it as a whole.
type State struct {
	Status  durable.Status
	Reason  string
	Updated time.Time      // required
	Wake    time.Time      // when a timer wakes it; zero = no timer
	Waits   []durable.Wait // what it waits for while parked
	Segment int            // which segment it is in
	Start   int64          // seq of the entry its segment starts with
}

// Change is what one run gains in one transaction. Without a Run it may only put
// blobs, set marks and change records. No two changes of one Commit may be to the same
// record.
type Change struct {
	Run     durable.RunID
	Create  *Run     // set to create the run; Run is its ID
	Entries []*Entry // appended in order
	State   *State   // nil = unchanged
	Blobs   []Blob   // put unless they are there
	Marks   []Mark   // set
	Records []RecordChange

	// Later is asked for more Records when the change is committed, once, and must not block;
	// until then it may wait, see Journal.Commit. nil = it waits for nothing.
	Later func() []RecordChange
}

// Mark is a small value of the runtime itself, such as how far a rate limit is used.
type Mark struct {
	Key   string
	Value int64
}

// Entry is one appended entry.
type Entry struct {
	Seq  int64 // from 0, without gaps
	Body []byte
}

// Blob is a stored form of a value under the hash of the value.
type Blob struct {
	Hash string // lower-case hexadecimal, 32 bytes
	Data []byte // opaque to the store
}
