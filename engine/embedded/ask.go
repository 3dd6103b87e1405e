package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// question is an interrupt as the journal knows it.
type question struct {
	interrupt durable.Interrupt
	command   int
	votes     map[string][]byte // who answered what, where more than one has to
	seq       int64             // of the entry that put it
	answered  bool
	withdrawn bool      // by the program
	by        string    // who gave the answer that counts; "" = not known
	at        time.Time // when
	put       time.Time // when it was put
	until     time.Time // when its default counts
}

// reject is the action of an answer that needs no second one.
const reject = "reject"

// Answer implements durable.Engine.
func (e *Engine) Answer(ctx context.Context, run durable.RunID, id string, answer json.RawMessage) error {
	_, err := e.Reply(ctx, run, durable.Reply{Interrupt: id, Value: answer})
	return err
}

// Reply answers an interrupt in somebody's name. Where a quorum is asked for, the answer
// counts once enough people gave the same: that is what it returns. Errors: not_found, conflict when it was answered
// before, when its digest is another or when the run has ended, invalid for an answer that
// its schema does not allow or, with a quorum, that nobody gives.
func (e *Engine) Reply(ctx context.Context, run durable.RunID, r durable.Reply) (counts bool, err error) {
	if !json.Valid(r.Value) {
		return false, durable.Errorf(durable.CodeInvalid, "answer %s: the answer is not JSON", run)
	}
	err = e.decide(ctx, run, func(l *live) (*durable.Entry, error) {
		q, err := l.question(r.Interrupt)
		if err != nil {
			return nil, err
		}
		entry, err := q.reply(run, r)
		counts = q.answered
		return entry, err
	})
	return counts && err == nil, err
}

// reply makes the entry of an answer: the last one that was needed, or one of several.
func (q *question) reply(run durable.RunID, r durable.Reply) (*durable.Entry, error) {
	i := &q.interrupt
	if r.Digest != "" && r.Digest != i.Digest {
		return nil, durable.Errorf(durable.CodeConflict, "question %s of run %s is about something else now (digest %q, not %q): look at it again", i.ID, run, i.Digest, r.Digest)
	}
	if err := conforms(i.Schema, r.Value); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the answer to question %s does not match what is asked for: %w\nThe schema: %s", i.ID, err, i.Schema)
	}
	entry := &durable.Entry{Kind: durable.EntryAnswered, Command: q.command, Name: i.ID, Output: r.Value, By: r.By}
	if i.Quorum > 1 && actionOf(r.Value) != reject {
		if r.By == "" {
			return nil, durable.Errorf(durable.CodeInvalid, "%d people have to answer question %s: say who you are", i.Quorum, i.ID)
		}
		if _, voted := q.votes[r.By]; voted {
			return nil, durable.Errorf(durable.CodeConflict, "%s has answered question %s of run %s before", r.By, i.ID, run)
		}
		if q.vote(r.By, r.Value) < i.Quorum {
			entry.Kind = durable.EntryVoted
			return entry, nil
		}
	}
	q.answered = true
	return entry, nil
}

// vote notes an answer and says how many gave the same.
func (q *question) vote(by string, value json.RawMessage) int {
	if q.votes == nil {
		q.votes = map[string][]byte{}
	}
	mine := canonical(value)
	q.votes[by] = mine
	same := 0
	for _, v := range q.votes {
		if bytes.Equal(v, mine) {
			same++
		}
	}
	return same
}

// canonical is the same for values that mean the same.
func canonical(value json.RawMessage) []byte {
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return value
	}
	data, err := json.Marshal(v) // sorts the keys of objects
	if err != nil {
		return value
	}
	return data
}

// actionOf is the action of an answer that has one.
func actionOf(value json.RawMessage) string {
	var answer struct {
		Action string `json:"action"`
	}
	_ = json.Unmarshal(value, &answer) // an answer that is no object has none
	return answer.Action
}

// conforms holds an answer against a JSON Schema; without one everything fits.
func conforms(schema, value json.RawMessage) error {
	if len(schema) == 0 {
		return nil
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(schema, &s); err != nil {
		return fmt.Errorf("the schema itself is wrong: %w", err)
	}
	resolved, err := s.Resolve(nil)
	if err != nil {
		return fmt.Errorf("the schema itself is wrong: %w", err)
	}
	var v any
	if err := json.Unmarshal(value, &v); err != nil {
		return err
	}
	return resolved.Validate(v)
}

// question finds the open question with this id, or the only one; the caller holds l.mu.
func (l *live) question(id string) (*question, error) {
	if q, ok := l.questions[id]; ok {
		if q.withdrawn {
			return nil, durable.Errorf(durable.CodeConflict, "question %s of run %s was withdrawn", id, l.run.ID)
		}
		if q.answered {
			return nil, durable.Errorf(durable.CodeConflict, "question %s of run %s was answered before%s", id, l.run.ID, q.answer())
		}
		return q, nil
	}
	var open []string
	for key, q := range l.questions {
		if !q.answered {
			open = append(open, key)
		}
	}
	slices.Sort(open)
	switch {
	case id != "":
		return nil, durable.Errorf(durable.CodeNotFound, "run %s has no question %s; open: %s", l.run.ID, id, list(open))
	case len(open) == 1:
		return l.questions[open[0]], nil
	}
	return nil, durable.Errorf(durable.CodeConflict, "run %s has %d open questions (%s), name the one you mean", l.run.ID, len(open), list(open))
}

// Asked is a question that is open in a run in motion.
type Asked struct {
	Run       store.Run
	Interrupt durable.Interrupt
	Since     time.Time
	Until     time.Time
}

// Asking lists the questions that are open in runs that are in motion, and durable: those
// that stand still have them in their rows.
func (e *Engine) Asking() []Asked {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []Asked
	for _, l := range e.live {
		l.mu.Lock()
		for _, q := range l.questions {
			if !q.answered && !l.ended && l.run.Status == durable.Running && q.seq <= l.told.Load() {
				all = append(all, Asked{Run: l.run, Interrupt: q.interrupt, Since: q.put, Until: q.until})
			}
		}
		l.mu.Unlock()
	}
	return all
}

// answer says who answered a question when, as far as that is known.
func (q *question) answer() string {
	text := ""
	if q.by != "" {
		text = " by " + q.by
	}
	if !q.at.IsZero() {
		text += " at " + q.at.Format(time.RFC3339)
	}
	return text
}

func list(ids []string) string {
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

// issueAsk puts a question, puts it to more people, and answers it when its time is up.
func (l *live) issueAsk(c *command, now time.Time) {
	i := c.interrupt
	switch next := c.escalates(); {
	case !c.recorded:
		e := &durable.Entry{Kind: durable.EntryAsked, Interrupt: &i}
		if i.Within > 0 {
			e.Until = stamp(time.Time{}).Add(i.Within)
		}
		l.record(c, e)
	case !c.until.IsZero() && !c.until.After(now):
		l.expire(c)
	case !next.IsZero() && !next.After(now):
		more := durable.Interrupt{ID: i.ID, Kind: i.Kind, Prompt: i.Prompt, To: i.Escalate[c.escalated].To}
		l.record(c, &durable.Entry{Kind: durable.EntryEscalated, Interrupt: &more})
	}
}

// escalates says when a question is put to more people; zero = never again.
func (c *command) escalates() time.Time {
	if c.escalated >= len(c.interrupt.Escalate) {
		return time.Time{}
	}
	return c.put.Add(c.interrupt.Escalate[c.escalated].After)
}

// wakes says when the clock has something to do with a command that is not busy: a timer is due, a step is
// tried again, or nobody answers a question. The zero time is never.
func (c *command) wakes() time.Time {
	switch {
	case c.kind == durable.CommandChild, c.kind == durable.CommandStep && c.intent:
		return time.Time{}
	case c.kind != durable.CommandAsk:
		return c.until
	}
	next := c.escalates()
	if next.IsZero() || (!c.until.IsZero() && c.until.Before(next)) {
		return c.until
	}
	return next
}

// expire answers a question with its default, unless somebody was faster.
func (l *live) expire(c *command) {
	l.x.hold(c)
	i := c.interrupt
	e := &durable.Entry{
		Kind: durable.EntryAnswered, Command: c.number, Name: c.name, InputHash: c.inputHash, Output: i.Default,
		Reason: fmt.Sprintf("nobody answered within %s", i.Within),
	}
	if len(i.Default) == 0 {
		e.Error = &durable.Failure{Code: durable.CodeExhausted, Reason: "unanswered", Message: "question " + i.ID + ": " + e.Reason}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.questions[i.ID]; q != nil {
		if q.answered {
			return // the answer is in the mail
		}
		q.answered = true
	}
	_ = l.appendLocked(e, nil) // refused only when the run is over
}

// withdraw takes back a question that nobody waits for, unless it has just been answered.
func (l *live) withdraw(c *command, why *durable.Failure) {
	l.x.hold(c)
	l.mu.Lock()
	defer l.mu.Unlock()
	if q := l.questions[c.interrupt.ID]; q != nil && q.command == c.number {
		if q.answered {
			return // the answer is in the mail
		}
		q.answered, q.withdrawn = true, true
	}
	e := &durable.Entry{Kind: durable.EntryAnswered, Command: c.number, Name: c.name, InputHash: c.inputHash, Error: why}
	_ = l.appendLocked(e, nil) // refused only when the run is over
}
