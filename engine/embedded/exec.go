package embedded

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
)

// exec is one segment of a run in memory: the program's coroutines and the
// commands they have issued. It is used by one goroutine and does no I/O but
// loading values from blobs.
type exec struct {
	info     durable.Info
	load     func(*durable.Entry) error // fills values that are blobs
	commands []*command                 // by number
	open     []*command                 // issued and not done, oldest first
	idle     []*command                 // those of them that are not busy, oldest first
	inboxes  map[string]*inbox
	routines
	letGo    []*command // given up by the program; the engine has yet to see to them
	canceled bool
	reason   string // of the cancel
	unwound  bool
	differs  *Divergence // where the journal turned out not to fit

	ended  bool
	output json.RawMessage
	err    error
	fault  error // a value could not be read: how the program ended says nothing
}

// command is something a program asked for.
type command struct {
	number    int
	kind      durable.CommandKind
	name      string
	input     json.RawMessage
	inputHash string
	shield    bool      // issued under Shield: a cancel of the run does not reach it
	extent    *extent   // the cancels of coroutines that reach it
	dropped   bool      // the program canceled its future
	issued    time.Time // by the journal's clock, the same on every replay

	step      durable.StepCall
	delay     time.Duration
	child     durable.ChildCall
	interrupt durable.Interrupt

	// what the journal says of it
	recorded  bool          // timer, child and ask: its own entry was applied
	attempt   int           // last attempt that was begun or failed
	intent    bool          // an intent without a result
	until     time.Time     // timers: when due; steps: when the next attempt is; questions: when the default counts
	childID   durable.RunID // children
	put       time.Time     // questions: when they were put
	escalated int           // questions: how often they were put to more people
	result    *durable.Entry
	news      sleepers // who waits for it

	// what the live run does about it
	busy  bool // an attempt is in flight, or its own entry is being appended
	asked bool // its outcome was in doubt, and whoever could tell was asked
}

// unwind travels up a coroutine that is stopped.
type unwind struct{}

// programPanic is a panic of program code, with its stack.
type programPanic struct { //nolint:errname // a panic first, an error on its way out
	value any
	stack []byte
}

func (p *programPanic) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

func newExec(info durable.Info, program durable.Program, input json.RawMessage, load func(*durable.Entry) error) *exec {
	x := &exec{info: info, load: load, inboxes: map[string]*inbox{}, routines: routines{at: -1}}
	x.start(program.Name(), nil, func(s *scope) error {
		output, err := program.Run(s, input)
		x.output, x.err, x.ended = output, err, true
		return err
	})
	return x
}

// continues returns the state for the next segment, nil when the program did not end so.
func (x *exec) continues() *durable.ContinueError {
	if next, ok := errors.AsType[*durable.ContinueError](x.err); ok && x.ended && !x.canceled {
		return next
	}
	return nil
}

// ending is the entry that records how the program ended: with an output or an error.
func (x *exec) ending() *durable.Entry {
	err := x.err
	if err == nil && len(x.output) > 0 && !json.Valid(x.output) {
		err = durable.Errorf(durable.CodeInvalid, "the output of program %s is not JSON", x.info.Program)
	}
	if err == nil {
		return &durable.Entry{Kind: durable.EntryEnded, Status: durable.Succeeded, Output: x.output}
	}
	end := &durable.Entry{Kind: durable.EntryEnded, Status: durable.Failed, Error: durable.FailureOf(err)}
	if json.Valid(x.output) {
		end.Output = x.output
	}
	if x.canceled && durable.CodeOf(err) == durable.CodeCanceled {
		end.Status = durable.Canceled
	}
	return end
}

// fill reads the values of an entry that the program is about to see. When that is not
// possible the program ends there: it must not make anything of it.
func (x *exec) fill(e *durable.Entry) {
	if err := x.load(e); err != nil {
		x.fault, x.ended, x.unwound = fmt.Errorf("entry %d: %w", e.Seq, err), true, true
		panic(unwind{})
	}
}

// issue gives a command its number.
func (x *exec) issue(c *command) *future {
	c.number, c.issued = len(x.commands), x.info.Now
	x.commands = append(x.commands, c)
	x.open, x.idle = append(x.open, c), append(x.idle, c)
	return &future{x: x, c: c}
}

// scope is the durable.Context of one coroutine.
type scope struct {
	x      *exec
	r      *routine
	shield bool    // a cancel of the run does not reach it
	extent *extent // the cancels of coroutines that do; nil = none
}

var _ durable.Context = (*scope)(nil)

// alive stops a deferred function of an unwound program from issuing commands.
func (s *scope) alive() {
	if s.x.unwound {
		panic(unwind{})
	}
}

// block yields until ready, which only news from these can make it; nil is something that
// gives none. on names the inboxes among them. After a cancel an unshielded scope gets
// ErrCanceled.
func (s *scope) block(ready func() bool, on []string, from ...*sleepers) error {
	s.alive()
	s.r.on = on
	for !ready() {
		if s.stopped() {
			return durable.ErrCanceled
		}
		s.r.wait = func() bool { return ready() || s.stopped() }
		s.r.sleep(from)
		if !s.r.yield(struct{}{}) {
			panic(unwind{})
		}
	}
	return nil
}

// stopped reports whether a cancel has reached the scope.
func (s *scope) stopped() bool { return (s.x.canceled && !s.shield) || s.extent.canceled() }

// issue adds a command, unless the scope was canceled or its name or input cannot
// be journaled: then it never happens.
func (s *scope) issue(c *command) durable.Future {
	s.alive()
	if s.stopped() {
		return refusedFuture{durable.ErrCanceled}
	}
	if !utf8.ValidString(c.name) {
		return refusedFuture{durable.Errorf(durable.CodeInvalid, "the name %q of a %s is not UTF-8", c.name, c.kind)}
	}
	if c.kind != durable.CommandTimer && len(c.input) > 0 && !json.Valid(c.input) {
		return refusedFuture{durable.Errorf(durable.CodeInvalid, "the input of %s %s is not JSON", c.kind, c.name)}
	}
	c.shield, c.extent = s.shield, s.extent
	c.inputHash = shortHash(c.input)
	return s.x.issue(c)
}

func (s *scope) Info() durable.Info { return s.x.info }

func (s *scope) Step(call durable.StepCall) durable.Future {
	if call.Name == "" {
		call.Name = call.Func
	}
	return s.issue(&command{kind: durable.CommandStep, name: call.Name, input: call.Input, step: call})
}

func (s *scope) Timer(d time.Duration) durable.Future {
	return s.issue(&command{kind: durable.CommandTimer, name: "timer", input: json.RawMessage(d.String()), delay: d})
}

func (s *scope) Child(call durable.ChildCall) durable.Future {
	if call.Name == "" {
		call.Name = call.Program
	}
	return s.issue(&command{kind: durable.CommandChild, name: call.Name, input: call.Input, child: call})
}

func (s *scope) Ask(i durable.Interrupt) durable.Future {
	if i.Kind == "" {
		i.Kind = "question"
	}
	c := &command{kind: durable.CommandAsk, name: i.ID, input: i.Value, interrupt: i}
	if i.ID == "" {
		c.name = i.Kind
	}
	f := s.issue(c)
	if i.ID == "" {
		c.interrupt.ID = fmt.Sprintf("%d.%d", s.x.info.Segment, c.number)
	}
	return f
}

func (s *scope) Inbox(name string) durable.Inbox { return s.x.inbox(name) }

func (s *scope) Select(list ...durable.Ready) int {
	got := -1
	var on []string
	from := make([]*sleepers, 0, len(list))
	for _, r := range list {
		if b, ok := r.(*inbox); ok {
			on = append(on, b.name)
		}
		from = append(from, newsOf(r))
	}
	err := s.block(func() bool {
		for i, r := range list {
			if r.Ready() {
				got = i
				return true
			}
		}
		return false
	}, on, from...)
	if err != nil {
		return -1
	}
	return got
}

func (s *scope) Go(name string, fn func(durable.Context) error) durable.Future {
	s.alive()
	r := s.x.start(name, s.extent, func(child *scope) error {
		child.shield = s.shield
		return fn(child)
	})
	return (*routineFuture)(r)
}

func (s *scope) Shield() durable.Context { return &scope{x: s.x, r: s.r, shield: true} }
