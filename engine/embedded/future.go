package embedded

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

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

// future is the result of a command.
type future struct {
	x *exec
	c *command
}

func (f *future) Ready() bool { return f.c.result != nil || f.c.dropped }

func (f *future) Get(ctx durable.Context, out any) error {
	if err := own(ctx).block(f.Ready, nil, &f.c.news); err != nil {
		return err
	}
	if f.c.dropped {
		return durable.ErrCanceled // whatever is recorded of it later
	}
	e := f.c.result
	if out != nil {
		f.x.fill(e)
		if err := decode(f.c.name, e.Output, out); err != nil && e.Error == nil {
			return err
		}
	}
	if e.Error != nil {
		return e.Error
	}
	return nil
}

// refusedFuture is the result of a command that was never issued.
type refusedFuture struct{ err error }

func (refusedFuture) Ready() bool                          { return true }
func (refusedFuture) Cancel()                              {}
func (f refusedFuture) Get(_ durable.Context, _ any) error { return f.err }

// routineFuture is the end of a coroutine.
type routineFuture routine

var (
	_ durable.Future = (*future)(nil)
	_ durable.Future = refusedFuture{}
	_ durable.Future = (*routineFuture)(nil)
)

func (f *routineFuture) Ready() bool { return f.done }

func (f *routineFuture) Get(ctx durable.Context, _ any) error {
	if err := own(ctx).block(f.Ready, nil, &f.news); err != nil {
		return err
	}
	return f.err
}

// inbox holds signals that were not yet received.
type inbox struct {
	x     *exec
	name  string
	queue []*durable.Entry
	news  sleepers // who waits for the next one
}

func (x *exec) inbox(name string) *inbox {
	b := x.inboxes[name]
	if b == nil {
		b = &inbox{x: x, name: name}
		x.inboxes[name] = b
	}
	return b
}

func (b *inbox) Ready() bool { return len(b.queue) > 0 }

func (b *inbox) Receive(ctx durable.Context, out any) error {
	if err := own(ctx).block(b.Ready, []string{b.name}, &b.news); err != nil {
		return err
	}
	e := b.queue[0]
	b.queue = b.queue[1:]
	b.x.fill(e)
	if out == nil {
		return nil
	}
	return decode(e.Name, e.Input, out)
}

// unreceived lists all signals that no one has received, oldest first.
func (x *exec) unreceived() []*durable.Entry {
	var signals []*durable.Entry
	for _, b := range x.inboxes {
		signals = append(signals, b.queue...)
	}
	slices.SortFunc(signals, func(a, b *durable.Entry) int { return cmp.Compare(a.Seq, b.Seq) })
	return signals
}

func seqs(entries []*durable.Entry) []int64 {
	var list []int64
	for _, e := range entries {
		list = append(list, e.Seq)
	}
	return list
}

func decode(what string, data json.RawMessage, out any) error {
	if len(data) == 0 {
		return nil
	}
	if err := durable.Decode(data, out); err != nil {
		return &durable.Error{Code: durable.CodeInvalid, Op: "decode the result of " + what, Err: err}
	}
	return nil
}

// shortHash is what an entry keeps of a command's input, to be checked on replay.
func shortHash(input json.RawMessage) string {
	if len(input) == 0 {
		return ""
	}
	sum := sha256.Sum256(input)
	return hex.EncodeToString(sum[:8])
}
