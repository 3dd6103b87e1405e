package orpine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/fnv"
	"sync"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
)

// Busy says what becomes of a turn when its thread has one under way.
type Busy string

// The ways to come into a thread that is busy.
const (
	BusyReject    Busy = "reject"    // conflict
	BusyEnqueue   Busy = "enqueue"   // it waits for those before it
	BusyInterrupt Busy = "interrupt" // those are canceled; the thread keeps how far they came
	BusyRollback  Busy = "rollback"  // those are killed: the thread goes on as if they had not been
)

// locks are by run: whoever looks at a thread before he speaks to it is alone with it. The
// zero value is ready.
type locks [64]sync.Mutex

func (l *locks) of(id durable.RunID) *sync.Mutex {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return &l[h.Sum32()%uint32(len(l))]
}

// StartThread starts a conversation. A thread is a run: it is listed, forked and killed as
// one. The ID of req may be chosen; its program and input are set here.
func (r *Runtime) StartThread(ctx context.Context, c agent.Conversation, req durable.StartRequest) (durable.RunID, error) {
	start, err := agent.StartThread(c, req.Name)
	if err != nil {
		return "", err
	}
	req.Program, req.Input = start.Program, start.Input
	return r.engine.Start(ctx, req)
}

// TakeTurn lets an agent answer in a thread, or changes by hand what was said. It returns the
// ID of the agent's run, which is there by then; one with the ID of the turn that is there
// already is that turn. Errors: not_found, invalid for what is no thread, conflict when the
// thread is busy and busy says reject, or when it has ended.
func (r *Runtime) TakeTurn(ctx context.Context, thread durable.RunID, t agent.Turn, busy Busy) (durable.RunID, error) {
	switch busy {
	case BusyReject, BusyEnqueue, BusyInterrupt, BusyRollback:
	case "":
		busy = BusyReject
	default:
		return "", durable.Errorf(durable.CodeInvalid, "a busy thread can reject, enqueue, interrupt or rollback, not %q", busy)
	}
	if t.Definition != nil && t.Run == "" {
		t.Run = NewRunID()
	}
	lock := r.threads.of(thread)
	lock.Lock()
	defer lock.Unlock()
	if t.Run != "" {
		run, err := r.store.Run(ctx, t.Run)
		if err == nil && run.Parent == thread {
			return t.Run, nil
		}
		if !errors.Is(err, durable.ErrNotFound) {
			return "", cmp.Or(err, error(durable.Errorf(durable.CodeConflict, "a run %s exists", t.Run)))
		}
	}
	under, err := r.Turns(ctx, thread)
	if err != nil {
		return "", err
	}
	if len(under) > 0 && busy == BusyReject {
		return "", durable.Errorf(durable.CodeConflict, "thread %s is busy with run %s: wait for it, or say enqueue, interrupt or rollback", thread, under[0].ID)
	}
	if err := r.hand(ctx, thread, t); err != nil {
		return "", err
	}
	for _, u := range under {
		if err := r.giveWay(ctx, u.ID, busy); err != nil && !errors.Is(err, durable.ErrConflict) { // a conflict: it has ended
			return "", err
		}
	}
	return t.Run, nil
}

// Turns lists the turns of a thread that have not ended, oldest first: one goes on, the
// others wait for it. Errors: not_found, invalid for what is no thread, conflict when it has
// ended.
func (r *Reader) Turns(ctx context.Context, thread durable.RunID) ([]durable.Run, error) {
	run, err := r.store.Run(ctx, thread)
	switch {
	case err != nil:
		return nil, err
	case run.Program != agent.ThreadProgram:
		return nil, durable.Errorf(durable.CodeInvalid, "run %s is of program %s and no thread", thread, run.Program)
	case run.Status.Final():
		return nil, durable.Errorf(durable.CodeConflict, "thread %s has ended: %s", thread, run.Status)
	case run.Status == durable.Paused, run.Status == durable.Blocked:
		return nil, durable.Errorf(durable.CodeConflict, "thread %s is %s: resume it first", thread, run.Status)
	}
	return r.List(ctx, durable.Filter{Parent: thread, Oldest: true, Limit: maxUnder, Statuses: []durable.Status{
		durable.Queued, durable.Running, durable.Waiting, durable.Paused, durable.Blocked,
	}})
}

// maxUnder bounds how many turns of one thread wait.
const maxUnder = 1000

// EditThread changes by hand what was said in a thread that is not busy, and returns once it
// is changed. seq is that of the state that is meant; a negative one means whatever it is.
// Errors: not_found, invalid, conflict when the thread is busy, has ended or has gone on.
func (r *Runtime) EditThread(ctx context.Context, thread durable.RunID, t agent.Turn, seq int64) error {
	lock := r.threads.of(thread)
	lock.Lock()
	defer lock.Unlock()
	under, err := r.Turns(ctx, thread)
	if err != nil {
		return err
	}
	if len(under) > 0 {
		return durable.Errorf(durable.CodeConflict, "thread %s is busy with run %s: wait for it, or cancel it", thread, under[0].ID)
	}
	if seq >= 0 {
		_, now, err := r.Conversation(ctx, thread, -1)
		if err != nil {
			return err
		}
		if now != seq {
			return durable.Errorf(durable.CodeConflict, "thread %s has gone on: its state is that of entry %d, not %d; look at it again", thread, now, seq)
		}
	}
	t.Run, t.Definition = "", nil
	return r.hand(ctx, thread, t)
}

func (r *Runtime) giveWay(ctx context.Context, id durable.RunID, busy Busy) error {
	switch busy {
	case BusyInterrupt:
		err := r.engine.Cancel(ctx, id, "another turn of the thread came")
		run, gone := r.store.Run(ctx, id)
		if errors.Is(err, durable.ErrConflict) && gone == nil && run.Status == durable.Blocked {
			return r.engine.Kill(ctx, id, "another turn of the thread came") // it cannot clean up
		}
		return err
	case BusyRollback:
		return r.engine.Kill(ctx, id, "another turn of the thread came in its place")
	case BusyReject, BusyEnqueue:
	}
	return nil
}

// hand gives a turn to its thread and returns once the thread has taken it. Error: unavailable when it
// is stopped before.
func (r *Runtime) hand(ctx context.Context, thread durable.RunID, t agent.Turn) error {
	data, err := json.Marshal(t)
	if err != nil {
		return err
	}
	last, err := r.store.Last(ctx, thread)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	items := r.Watch(ctx, thread, event.After(last.Seq))
	if err := r.engine.Signal(ctx, thread, durable.Signal{Name: agent.TurnSignal, Data: data}); err != nil {
		return err
	}
	for item, err := range items {
		if err != nil {
			return err
		}
		switch e := item.Event; {
		case e == nil:
		case e.Kind == durable.EntryChild && e.Child == t.Run, t.Run == "" && e.Kind == durable.EntryDone:
			return nil
		case e.Kind == durable.EntryPaused, e.Kind == durable.EntryBlocked, e.Kind == durable.EntryEnded:
			return durable.Errorf(durable.CodeUnavailable, "thread %s was stopped before it took the turn", thread)
		}
	}
	return ctx.Err()
}

// Conversation returns the state of a thread behind an entry of its journal, and the seq of
// that; a negative one is the last.
func (r *Reader) Conversation(ctx context.Context, thread durable.RunID, at int64) (agent.Conversation, int64, error) {
	var c agent.Conversation
	run, err := r.store.Run(ctx, thread)
	if err != nil {
		return c, 0, err
	}
	if run.Program != agent.ThreadProgram {
		return c, 0, durable.Errorf(durable.CodeInvalid, "run %s is of program %s and no thread", thread, run.Program)
	}
	from := run.Start
	if at >= 0 && at < from {
		from = 0
	}
	entries, err := r.journal.All(ctx, thread, from)
	if err != nil {
		return c, 0, err
	}
	seq := int64(-1)
	for i := range entries {
		e := &entries[i]
		if at >= 0 && e.Seq > at {
			break
		}
		if err := r.journal.Load(ctx, e); err != nil {
			return c, 0, err
		}
		if err := c.See(e); err != nil {
			return c, 0, err
		}
		seq = e.Seq
	}
	if at > seq {
		return c, 0, durable.Errorf(durable.CodeNotFound, "thread %s has no entry %d; its last one is %d", thread, at, seq)
	}
	return c, seq, nil
}

// Messages returns what was said in a conversation.
func (r *Reader) Messages(ctx context.Context, c agent.Conversation) ([]model.Message, error) {
	var threads memory.Threads
	return threads.Load(ctx, readBlobs{r}, c.Thread, c.Pending...)
}

// readBlobs reads blobs, and puts none.
type readBlobs struct{ r *Reader }

func (b readBlobs) Get(ctx context.Context, ref durable.Ref) ([]byte, error) {
	return b.r.Blob(ctx, ref)
}

func (readBlobs) Put(context.Context, []byte) (durable.Ref, error) {
	return durable.Ref{}, durable.Errorf(durable.CodeInternal, "a reader puts no blobs")
}
