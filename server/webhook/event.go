package webhook

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

const (
	maxBody   = 64 << 10 // bytes of a body
	maxOutput = 8 << 10  // bytes of an output that is sent
	maxText   = 1 << 10  // bytes of a text in a body that would be too large
)

// Event is what a receiver gets, as JSON.
type Event struct {
	ID   string      `json:"id"`   // of the change, the same for all webhooks and attempts
	Type string      `json:"type"` // run. and the status
	Time time.Time   `json:"time"` // of the change
	Run  durable.Run `json:"run"`  // as it was then, without an output of more than 8 KB
}

func eventOf(run *durable.Run) Event {
	return Event{ID: "evt_" + string(idOf(run, "")), Type: "run." + string(run.Status), Time: run.Updated, Run: *run}
}

// body is the event as JSON of at most 64 KB: what the receiver can ask for again is left out
// where there is too much of it.
func (e Event) body() (json.RawMessage, error) {
	if len(e.Run.Output) > maxOutput {
		e.Run.Output = nil
	}
	body, err := json.Marshal(e)
	if err != nil || len(body) <= maxBody {
		return body, err
	}
	e.Run.Output, e.Run.Waits = nil, nil
	e.Run.Name, e.Run.Reason = cut(e.Run.Name), cut(e.Run.Reason)
	if e.Run.Error != nil {
		short := *e.Run.Error
		short.Reason, short.Message = cut(short.Reason), cut(short.Message)
		e.Run.Error = &short
	}
	return json.Marshal(e)
}

func cut(s string) string { return s[:min(len(s), maxText)] }

// idOf makes an ID of a change and a webhook: who hands on the same change again, perhaps
// another process, comes to the same. Status and waits are in it because a clock that was set
// back gives several changes one time.
func idOf(run *durable.Run, webhook string) durable.RunID {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%s\n%d\n%s\n", webhook, run.ID, run.Updated.UnixMicro(), run.Status)
	for _, w := range run.Waits {
		fmt.Fprintf(h, "%s %d %q\n", w.Kind, w.Command, w.Name)
	}
	return orpine.RunIDOf(run.Updated, [5]byte(h.Sum(nil)))
}
