package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
)

// bytesPerToken is how a window of tokens is counted in bytes.
const bytesPerToken = 4

// segmentTurns is after how many model calls the run continues in a new segment: what
// the agent program does.
const segmentTurns = 16

// threadInput is what a segment of the run begins with.
type threadInput struct {
	Prompt string    `json:"prompt,omitempty"` // of the first one
	Calls  int       `json:"calls"`
	Every  int       `json:"every"`
	Made   int       `json:"made,omitempty"` // calls before this segment
	Next   turnInput `json:"next,omitzero"`  // what the next call is told
}

// thread: one run makes many model calls over one conversation. How much is written for
// what is new, and how long does the run take to come back to life at its end?
func (b *bench) thread(ctx context.Context) (res Result, err error) {
	res = Result{Runs: 1, Steps: b.Calls + b.toolCalls(), RunsTotal: 1}
	before, err := b.empty(ctx)
	if err != nil {
		return res, err
	}
	server, url, err := b.fakeModel(ctx, 0)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	b.text.unique.Store(0)
	m := newMeter()
	id, err := b.threadLife(ctx, url, m)
	if err != nil {
		return res, err
	}
	res.per(m)
	res.P50, res.P99 = m.latency.quantile(0.5), m.latency.quantile(0.99)
	after, err := sizeOf(b.data())
	if err != nil {
		return res, err
	}
	res.disk(before, after)
	res.Unique = b.text.unique.Load() + int64(b.Calls)*replyBytes
	res.Ratio = ratio(float64(res.Written), res.Unique)
	res.Open, res.Replay, err = b.threadBack(ctx, url, id)
	return res, err
}

// toolCalls is how many of the model calls ask for the tool.
func (b *bench) toolCalls() int { return b.Calls / b.ToolEvery }

// threadLife drives the run until it waits at its end, and closes the data directory.
func (b *bench) threadLife(ctx context.Context, url string, m *meter) (durable.RunID, error) {
	c := newChat(url, 1)
	defer c.close()
	c.window = b.ThreadTokens * bytesPerToken
	rt, err := b.open(ctx, b.threadProgram(c, m, nil))
	if err != nil {
		return "", err
	}
	b.Progress(fmt.Sprintf("one run of %d model calls and %d tool calls", b.Calls, b.toolCalls()))
	input, err := json.Marshal(threadInput{Prompt: b.text.next(promptBytes), Calls: b.Calls, Every: b.ToolEvery})
	if err != nil {
		return "", closing(err, rt)
	}
	used, began := usageNow(), time.Now()
	m.open.Store(true)
	id, err := rt.Start(ctx, durable.StartRequest{Program: "bench.thread", Input: input})
	if err != nil {
		return "", closing(err, rt)
	}
	r, err := rt.Settle(ctx, id, time.Time{})
	m.open.Store(false)
	m.took, m.used = time.Since(began), usageNow().less(used)
	m.runs.Store(1)
	m.allRuns.Store(1)
	if err == nil && r.Status != durable.Waiting {
		err = errors.Join(fmt.Errorf("run %s is %s, and was to wait", id, r.Status), finished(r, nil))
	}
	return id, closing(err, rt)
}

// threadBack opens the data directory again and lets the run go on.
func (b *bench) threadBack(ctx context.Context, url string, id durable.RunID) (opened, replayed float64, err error) {
	b.Progress("and back to life")
	begun := make(chan time.Time, 1)
	c := newChat(url, 1)
	defer c.close()
	before := time.Now()
	var rt *orpine.Runtime
	if rt, err = b.open(ctx, b.threadProgram(c, newMeter(), func() { begun <- time.Now() })); err != nil {
		return 0, 0, err
	}
	opened = ms(time.Since(before))
	before = time.Now()
	if err := rt.Signal(ctx, id, durable.Signal{Name: approve}); err != nil {
		return 0, 0, closing(err, rt)
	}
	if err := finished(rt.Wait(ctx, id)); err != nil {
		return 0, 0, closing(err, rt)
	}
	select {
	case at := <-begun:
		replayed = ms(at.Sub(before))
	default:
		err = errNoStep
	}
	return opened, replayed, closing(err, rt)
}

// threadProgram makes the calls, waits for a signal and makes one more step. It continues
// as the agent program does, so that its last segment is all that is replayed.
func (b *bench) threadProgram(c *chat, m *meter, goOn func()) durable.Program {
	var before last
	call := durable.NewFunc("bench.model", durable.StepOptions{}, func(ctx context.Context, in turnInput) (turnOutput, error) {
		m.step(&before)
		return c.turn(ctx, in)
	})
	look := durable.NewFunc("bench.tool", durable.StepOptions{}, func(ctx context.Context, _ int) (toolOutput, error) {
		m.step(nil)
		return recorded(ctx, b.text.next(b.Payload))
	})
	end := durable.NewFunc("bench.end", durable.StepOptions{}, func(context.Context, int) (int, error) {
		goOn()
		return 0, nil
	})
	return durable.NewProgram("bench.thread", func(ctx durable.Context, in threadInput) (memory.Head, error) {
		if in.Made == 0 {
			in.Next = turnInput{Say: []memory.Message{{Message: model.Text(model.User, in.Prompt)}}}
			in.Prompt = ""
		}
		for turns := 0; in.Made < in.Calls; turns++ {
			if turns == segmentTurns {
				state, err := json.Marshal(in)
				if err != nil {
					return in.Next.Thread, err
				}
				return in.Next.Thread, durable.Continue(state)
			}
			out, err := durable.Do(ctx, call, in.Next)
			if err != nil {
				return out.Thread, err
			}
			in.Next = turnInput{Thread: out.Thread}
			if in.Made++; in.Made%in.Every != 0 {
				continue
			}
			result, err := durable.Do(ctx, look, in.Made)
			if err != nil {
				return out.Thread, err
			}
			in.Next.Say = append(in.Next.Say, result.message(fmt.Sprint("call_", in.Made)))
		}
		if err := ctx.Inbox(approve).Receive(ctx, nil); err != nil {
			return in.Next.Thread, err
		}
		_, err := durable.Do(ctx, end, 0)
		return in.Next.Thread, err
	}, call.StepFunc, look.StepFunc, end.StepFunc)
}
