package trigger

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// State is what a trigger knows: the input of each of its segments, and its output in the end.
type State struct {
	Counts
	Definition json.RawMessage `json:"definition,omitempty"` // in place of the pinned one, since an update
	Paused     bool            `json:"paused,omitempty"`

	Begun  time.Time       `json:"begun,omitzero"`   // from when intervals are counted
	Since  time.Time       `json:"since,omitzero"`   // what was due by then has been looked at
	Cursor json.RawMessage `json:"cursor,omitempty"` // how far a source that looks has come
	Looked time.Time       `json:"looked,omitzero"`  // when it was last asked
	After  time.Time       `json:"after,omitzero"`   // the source is not asked before, because it failed
	Seen   keys            `json:"seen,omitempty"`

	Waiting   []Reason   `json:"waiting,omitempty"` // starts that wait for their turn
	Running   []Started  `json:"running,omitempty"` // what may still go on
	Backfills []Backfill `json:"backfills,omitempty"`
	Refreshed time.Time  `json:"refreshed,omitzero"` // when it was looked which of those go on

	Last     durable.RunID `json:"last,omitempty"`     // the run started last
	LastAt   time.Time     `json:"last_at,omitzero"`   // when it was
	MissedAt time.Time     `json:"missed_at,omitzero"` // the due time that was missed last
	Trouble  string        `json:"trouble,omitempty"`  // why the last look or start failed; "" = it did not
}

// Counts are what has become of a trigger's reasons to start something.
type Counts struct {
	Started int64 `json:"started,omitempty"`
	Skipped int64 `json:"skipped,omitempty"` // for an overlap, a full queue, or because the trigger was paused
	Missed  int64 `json:"missed,omitempty"`  // due times that were noticed too late
	Failed  int64 `json:"failed,omitempty"`  // the run could not be started; Trouble says why
	Serial  int64 `json:"serial,omitempty"`  // fires and events without an ID so far: it makes their keys
}

// Reason is one reason to start a run.
type Reason struct {
	Key      string          `json:"key"`  // what is started once for it
	Time     time.Time       `json:"time"` // when it was due, or was noticed
	Event    *Occurred       `json:"event,omitempty"`
	Names    []string        `json:"names,omitempty"`  // of the events that became this one start, each once
	Events   int             `json:"events,omitempty"` // how many those were
	File     *File           `json:"file,omitempty"`
	Run      *durable.Run    `json:"run,omitempty"`
	Item     *Item           `json:"item,omitempty"`
	Input    json.RawMessage `json:"input,omitempty"` // in place of that of the definition
	Backfill bool            `json:"backfill,omitempty"`
	After    time.Time       `json:"after,omitzero"` // it is not begun before
	Salt     int             `json:"salt,omitempty"` // how many IDs were taken by runs that are not ours
}

// Occurred is an event, as the data of an event signal.
type Occurred struct {
	ID   string          `json:"id,omitempty"` // what comes twice under one ID is taken once; "" = each is
	Name string          `json:"name"`
	Time time.Time       `json:"time,omitzero"`
	Data json.RawMessage `json:"data,omitempty"`
}

// File is a file that has come.
type File struct {
	Path    string    `json:"path"` // below the folder, with slashes
	Size    int64     `json:"size"`
	Changed time.Time `json:"changed"`
}

// Item is what a poll has found.
type Item struct {
	Key   string          `json:"key"` // one run is started for it
	Value json.RawMessage `json:"value,omitempty"`
}

// Started is a run that was started and may go on.
type Started struct {
	Run      durable.RunID `json:"run"`
	Backfill bool          `json:"backfill,omitempty"`
}

// Backfill starts what was due in a stretch of time and has no run yet, as the data of a backfill
// signal: what was missed, or is older than the trigger.
type Backfill struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`                // both are part of it
	AtOnce int       `json:"at_once,omitempty"` // how many runs of it go on at a time; 0 = 1
	Done   time.Time `json:"done,omitzero"`     // how far it has come
}

// Fire is the data of a fire signal.
type Fire struct {
	ID    string          `json:"id,omitempty"`    // what comes twice under one ID is taken once; "" = each is
	Input json.RawMessage `json:"input,omitempty"` // in place of that of the definition
}

// keys are short hashes of the last keys there were, one behind the other.
type keys string

const (
	keyBytes = 6 // of a hash: two of the keys that are kept are taken for the same once in 10^10 times
	keySize  = keyBytes * 4 / 3
	keysKept = 10_000
)

// add takes a key in; false when it is there.
func (k *keys) add(key string) bool {
	sum := sha256.Sum256([]byte(key))
	short := base64.RawURLEncoding.EncodeToString(sum[:keyBytes])
	for rest, at := string(*k), 0; ; {
		i := strings.Index(rest[at:], short)
		if i < 0 {
			break
		}
		if at += i; at%keySize == 0 {
			return false
		}
		at++
	}
	if len(*k) >= keysKept*keySize {
		*k = (*k)[keySize:]
	}
	*k += keys(short)
	return true
}
