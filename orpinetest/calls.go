package orpinetest

import (
	"context"
	"encoding/json"
	"slices"
	"sync"

	"github.com/orpine-run/orpine/durable"
)

// calls is what the world outside has seen of the steps. It outlives every process of a play, as
// the world does.
type calls struct {
	reconcile bool // whoever is asked what became of a step knows it

	mu    sync.Mutex
	begun []effect // every call, in order
	done  []effect // those that succeeded, once for each key
}

// effect is a call of a step function.
type effect struct {
	step   string // the step function
	key    string
	output json.RawMessage
}

// count makes a step function whose calls are counted.
func (c *calls) count(f durable.StepFunc) durable.StepFunc {
	name, call := f.Name, f.Call
	f.Call = func(ctx context.Context, input json.RawMessage) (json.RawMessage, error) {
		key := durable.AttemptOf(ctx).Key
		c.add(&c.begun, effect{step: name, key: key})
		output, err := call(ctx, input)
		if err == nil {
			c.add(&c.done, effect{name, key, output})
		}
		return output, err
	}
	if c.reconcile && f.Reconcile == nil {
		f.Reconcile = c.outcome
	}
	return f
}

func (c *calls) add(list *[]effect, e effect) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if list == &c.done && slices.ContainsFunc(c.done, func(d effect) bool { return d.key == e.key }) {
		return
	}
	*list = append(*list, e)
}

// outcome is what became of an irreversible step whose process died.
func (c *calls) outcome(ctx context.Context, _ json.RawMessage) (durable.Outcome, error) {
	key := durable.AttemptOf(ctx).Key
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.done {
		if e.key == key {
			return durable.Outcome{Happened: true, Output: e.output}, nil
		}
	}
	return durable.Outcome{}, nil
}

// of is how often a step function was called under a key; "" stands for any.
func (c *calls) of(step, key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range c.begun {
		if (step == "" || e.step == step) && (key == "" || e.key == key) {
			n++
		}
	}
	return n
}

// effects names the step functions of what succeeded, in order. What only reads is none, as the key
// says: it may begin before the run that asks for it is durable, and be asked for again by another one.
func (c *calls) effects(reads func(key string) bool) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, e := range c.done {
		if !reads(e.key) {
			names = append(names, e.step)
		}
	}
	return names
}
