package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
)

// ThreadProgram is the name of the program of a thread: a run that lives as long as the
// conversation and takes one turn after the other, each a child run of an agent. It parks in
// between. What was said is where its last turn ended.
const ThreadProgram = "thread"

// The signals that agents and threads hear.
const (
	SteerSignal = "steer" // to an agent: a text, which it is told at its next turn
	BeginSignal = "begin" // to an agent that waits: an Input with the thread to go on with
	TurnSignal  = "turn"  // to a thread: a Turn
)

// threadTurns is how many turns a segment of a thread has.
const threadTurns = 32

// Turn is what a thread is to do next: to let an agent answer, or to say something itself.
type Turn struct {
	Run        durable.RunID   `json:"run,omitempty"`        // of the agent
	Name       string          `json:"name,omitempty"`       // of that run
	Definition json.RawMessage `json:"definition,omitempty"` // of the agent
	Text       string          `json:"text,omitempty"`       // said to it

	Say  []memory.Message `json:"say,omitempty"`  // without an agent: put behind what was said
	Head *memory.Head     `json:"head,omitempty"` // without an agent: go on from here instead
}

// Conversation is the state of a thread: its input, and its output in the end.
type Conversation struct {
	Title   string            `json:"title,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Thread  memory.Head       `json:"thread,omitzero"`
	Pending []memory.Message  `json:"pending,omitempty"` // said, and not in the thread yet
	Turns   int               `json:"turns,omitempty"`   // that have ended
	Seen    Seen              `json:"seen,omitzero"`     // what kinds of things were read in them
}

// after is the conversation behind the end of a turn. One that failed has come as far as its
// answer says; one that was killed, or never began, has none, and changes nothing.
func (c *Conversation) after(a Answer) {
	if a.Stop != "" {
		c.Thread, c.Pending = a.Thread, a.Pending
	}
	c.Seen.add(a.Seen)
	c.Turns++
}

// See takes an entry of the thread's journal into the conversation, so that what it was
// behind each of them can be told. Error: internal for one that cannot be read.
func (c *Conversation) See(e *durable.Entry) error {
	var err error
	switch {
	case e.Kind == durable.EntryStarted, e.Kind == durable.EntryContinued:
		*c = Conversation{}
		err = json.Unmarshal(e.Input, c)
	case e.Kind == durable.EntryChildDone:
		var a Answer
		if len(e.Output) > 0 {
			err = json.Unmarshal(e.Output, &a)
		}
		c.after(a)
	case e.Kind == durable.EntryDone && cmp.Or(e.Func, e.Name) == sayFunc && e.Error == nil:
		var head memory.Head
		if err = json.Unmarshal(e.Output, &head); err == nil {
			c.Thread, c.Pending = head, nil
		}
	}
	if err != nil {
		return durable.Errorf(durable.CodeInternal, "entry %d of the thread: %w", e.Seq, err)
	}
	return nil
}

// StartThread asks for a run of a thread.
func StartThread(c Conversation, name string) (durable.StartRequest, error) {
	input, err := json.Marshal(c)
	return durable.StartRequest{Program: ThreadProgram, Name: name, Input: input}, err
}

type thread struct {
	say   durable.Func[sayInput, memory.Head]
	begin durable.Func[beginInput, bool]
}

type sayInput struct {
	Thread memory.Head      `json:"thread,omitzero"`
	Say    []memory.Message `json:"say"`
}

type beginInput struct {
	Run durable.RunID `json:"run"`
	Input
}

// The step functions of a thread.
const (
	sayFunc   = "thread.say"
	beginFunc = "thread.begin"
)

func newThread(cfg Config, threads *memory.Threads) *thread {
	t := &thread{}
	t.say = durable.NewFunc(sayFunc, durable.StepOptions{Effect: durable.Read}, func(ctx context.Context, in sayInput) (memory.Head, error) {
		if len(in.Say) == 0 {
			return in.Thread, nil
		}
		return threads.Append(ctx, durable.AttemptOf(ctx).Blobs, in.Thread, in.Say...)
	})
	// It may arrive twice: the agent hears the first one.
	patient := durable.Retry{Attempts: math.MaxInt32, Backoff: time.Second, Max: time.Minute} // a turn that is blocked may be resumed
	t.begin = durable.NewFunc(beginFunc, durable.StepOptions{Effect: durable.Idempotent, Retry: patient}, func(ctx context.Context, in beginInput) (bool, error) {
		if cfg.Send == nil {
			return false, durable.Block(durable.Errorf(durable.CodeUnavailable, "this runtime cannot send a run a signal"))
		}
		data, err := json.Marshal(in.Input)
		if err != nil {
			return false, err
		}
		err = cfg.Send(ctx, in.Run, durable.Signal{Name: BeginSignal, Data: data})
		if errors.Is(err, durable.ErrConflict) {
			return false, nil // it was canceled while it waited
		}
		return err == nil, err
	})
	return t
}

// Name implements durable.Program.
func (t *thread) Name() string { return ThreadProgram }

// Steps implements durable.Program.
func (t *thread) Steps() []durable.StepFunc {
	return []durable.StepFunc{t.say.StepFunc, t.begin.StepFunc}
}

// turn is one that a thread has taken: the first of those goes on, the others wait for it.
type turn struct {
	Turn
	end durable.Promise[Answer] // of the agent's run
}

// Run implements durable.Program.
func (t *thread) Run(ctx durable.Context, input json.RawMessage) (json.RawMessage, error) {
	var c Conversation
	if err := json.Unmarshal(input, &c); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "input of a thread: %w", err)
	}
	err := t.converse(ctx, &c)
	data, unfit := json.Marshal(c)
	if unfit != nil {
		return nil, unfit
	}
	if err == nil {
		err = durable.Continue(data)
	}
	return data, err
}

// converse takes turns until a new segment is due.
func (t *thread) converse(ctx durable.Context, c *Conversation) error {
	inbox := ctx.Inbox(TurnSignal)
	var turns []turn
	for taken := 0; taken < threadTurns || len(turns) > 0; {
		ready := []durable.Ready{inbox}
		if len(turns) > 0 {
			ready = []durable.Ready{turns[0].end, inbox} // an end comes first: what follows builds on it
		}
		switch i := ctx.Select(ready...); {
		case i < 0:
			return durable.ErrCanceled
		case i == 0 && len(turns) > 0:
			answer, _ := turns[0].end.Await(ctx) // how it failed is told by its run
			c.after(answer)
			var err error
			if turns, err = t.next(ctx, c, turns[1:]); err != nil {
				return err
			}
		default:
			var said Turn
			if err := inbox.Receive(ctx, &said); err != nil {
				return err
			}
			taken++
			var err error
			if turns, err = t.take(ctx, c, turns, said); err != nil {
				return err
			}
		}
	}
	return nil
}

// take begins a turn, or puts it behind those that are under way. The run of an agent that
// has to wait is there from now on, so that it can be seen and canceled.
func (t *thread) take(ctx durable.Context, c *Conversation, turns []turn, said Turn) ([]turn, error) {
	if said.Run == "" {
		turns = append(turns, turn{Turn: said})
		if len(turns) > 1 {
			return turns, nil
		}
		return t.next(ctx, c, turns)
	}
	in := Input{Text: said.Text, Thread: c.Thread, Pending: c.Pending, Seen: c.Seen}
	if len(turns) > 0 {
		in = Input{Text: said.Text, Wait: true}
	}
	input, err := json.Marshal(in)
	if err != nil {
		return turns, err
	}
	end := ctx.Child(durable.ChildCall{Program: Program, Name: said.Name, ID: said.Run, Input: input, Definition: said.Definition})
	said.Definition = nil // it is pinned to the run
	return append(turns, turn{said, durable.Promise[Answer]{Future: end}}), nil
}

// next begins the first of the turns that wait.
func (t *thread) next(ctx durable.Context, c *Conversation, turns []turn) ([]turn, error) {
	for len(turns) > 0 {
		first := turns[0]
		if first.Run != "" {
			begun, err := durable.Do(ctx, t.begin, beginInput{first.Run, Input{Thread: c.Thread, Pending: c.Pending, Seen: c.Seen}})
			if begun || err != nil {
				return turns, err
			}
			answer, _ := first.end.Await(ctx) // it ended while it waited
			c.after(answer)
		} else if err := t.edit(ctx, c, first.Turn); err != nil {
			return turns, err
		}
		turns = turns[1:]
	}
	return turns, nil
}

// edit changes what was said by hand.
func (t *thread) edit(ctx durable.Context, c *Conversation, said Turn) error {
	in := sayInput{Thread: c.Thread, Say: slices.Concat(c.Pending, said.Say)}
	if said.Head != nil {
		in = sayInput{Thread: *said.Head, Say: said.Say}
	}
	head, err := durable.Do(ctx, t.say, in)
	if err == nil {
		c.Thread, c.Pending = head, nil
	}
	return err
}
