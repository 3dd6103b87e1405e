package temporal

import (
	"fmt"
	"slices"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"github.com/orpine-run/orpine/durable"
)

// own turns the context a program hands back into ours.
func own(ctx durable.Context) *scope {
	s, ok := ctx.(*scope)
	if !ok {
		panic(fmt.Sprintf("durable: context %T does not belong to this engine", ctx))
	}
	return s
}

var (
	_ durable.Future = (*result)(nil)
	_ durable.Future = (*routine)(nil)
	_ durable.Future = (*peer)(nil)
	_ durable.Future = (*question)(nil)
)

// result is the outcome of a command that our own code settles: a step, a question,
// a coroutine, or a command that was refused.
type result struct {
	what   string
	done   bool
	out    value
	err    error
	over   bool                // steps: nothing of it is under way any more
	cancel workflow.CancelFunc // of what works on it; nil = it cannot be cut short
}

// settle is called once; the first outcome stays.
func (r *result) settle(out value, f *durable.Failure) {
	if r.done {
		return
	}
	r.done, r.out = true, out
	if f != nil {
		r.err = f
	}
}

func (r *result) Ready() bool { return r.done }

func (r *result) Cancel() {
	if r.done {
		return
	}
	r.settle(value{}, durable.FailureOf(durable.ErrCanceled))
	if r.cancel != nil {
		r.cancel()
	}
}

func (r *result) Get(ctx durable.Context, out any) error {
	s := own(ctx)
	if err := s.wait(r.Ready); err != nil {
		return err
	}
	if r.err != nil || out == nil {
		return r.err
	}
	return decode(r.what, must(s.r.e.values().unpack, r.out), out)
}

// refused is a command that was never issued.
func refused(err error) *result { return &result{done: true, err: err} }

// routine is the end of a coroutine.
type routine struct{ result }

// Cancel leaves it to the coroutine how it ends.
func (r *routine) Cancel() {
	if !r.done {
		r.cancel()
	}
}

// peer is the outcome of a command that Temporal settles: a timer or a child.
type peer struct {
	what    string
	f       workflow.Future
	out     bool // it has an output
	dropped bool // the program canceled it
	cancel  workflow.CancelFunc
}

func (p *peer) Ready() bool { return p.dropped || p.f.IsReady() }

func (p *peer) Cancel() {
	if p.Ready() {
		return
	}
	p.dropped = true
	p.cancel()
}

func (p *peer) Get(ctx durable.Context, out any) error {
	s := own(ctx)
	if err := s.wait(p.Ready); err != nil {
		return err
	}
	if p.dropped {
		return durable.ErrCanceled // however it ends
	}
	p.cancel() // which tells nobody: the context above is not to keep this one
	if !p.out {
		return recorded(p.f.Get(s.wc, nil))
	}
	var v value
	if err := p.f.Get(s.wc, &v); err != nil {
		return recorded(err)
	}
	if out == nil {
		return nil
	}
	return decode(p.what, must(s.r.e.values().unpack, v), out)
}

// inbox is a signal channel, looked at without taking: a Selector would take.
type inbox struct {
	name    string
	carried []value // from the segment before, to be received first
	ch      workflow.ReceiveChannel
	waiting int // coroutines that wait for it now
}

func (b *inbox) Ready() bool { return len(b.carried) > 0 || b.ch.Len() > 0 }

func (b *inbox) Receive(ctx durable.Context, out any) error {
	s := own(ctx)
	if err := s.wait(b.Ready, b); err != nil {
		return err
	}
	v, _ := b.take()
	if out == nil {
		return nil
	}
	return decode(b.name, must(s.r.e.values().unpack, v), out)
}

// take receives without waiting.
func (b *inbox) take() (value, bool) {
	if len(b.carried) > 0 {
		v := b.carried[0]
		b.carried = b.carried[1:]
		return v, true
	}
	var raw converter.RawValue
	if !b.ch.ReceiveAsync(&raw) {
		return value{}, false
	}
	return received(raw), true
}

// letter is a signal that a new segment takes over.
type letter struct {
	Inbox string `json:"inbox"`
	Data  value  `json:"data"`
}

// unreceived takes every signal nobody has received, those of one inbox in order.
func (r *run) unreceived(wc workflow.Context) []letter {
	names := workflow.GetUnhandledSignalNames(wc)
	for name, b := range r.inboxes {
		if len(b.carried) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var letters []letter
	for _, name := range slices.Compact(names) {
		b := r.inbox(wc, name)
		for v, ok := b.take(); ok; v, ok = b.take() {
			letters = append(letters, letter{Inbox: name, Data: v})
		}
	}
	return letters
}

func (r *run) inbox(wc workflow.Context, name string) *inbox {
	b := r.inboxes[name]
	if b == nil {
		b = &inbox{name: name, ch: workflow.GetSignalChannel(wc, name)}
		r.inboxes[name] = b
	}
	return b
}
