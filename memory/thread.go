// Package memory keeps what agents have said and heard. A thread is a chain of
// nodes, each a blob that holds a few messages and the name of the node before it:
// a [Head] therefore names the whole conversation up to a moment, forks cost
// nothing, and every message is stored once however often it is sent to a model.
//
// It may not decide what a model sees (that is the window's work) and does not know
// stores: it works on durable.Blobs. On the line request -> run -> step -> journal ->
// event -> client it stands inside a step.
package memory

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
)

// Head names the state of a thread. The zero Head is an empty thread.
type Head struct {
	durable.Ref
	Messages int `json:"messages"`
}

// Message is a message on its way into a thread. Where Content is set, the content
// of its tool result is that blob and is not stored again.
type Message struct {
	model.Message
	Content *durable.Ref `json:"content,omitempty"`
}

// node is the stored form: a file format.
type node struct {
	Prev     *durable.Ref `json:"prev,omitempty"`
	Messages []Message    `json:"messages"`
}

// cacheMax bounds the bytes of text that are kept in memory.
const cacheMax = 64 << 20

// Threads appends to and reads threads. The zero value is ready and safe for
// concurrent use; it caches the threads it has seen last.
type Threads struct {
	mu    sync.Mutex
	cache map[string]cached // by the hash of the head
	order []string          // oldest first; may name some that are gone
	bytes int
}

// cached is a thread in memory; its messages are never written to again.
type cached struct {
	messages []model.Message
	bytes    int
}

// Append adds messages and returns the new head. The same messages on the same
// head give the same head, so doing it twice is doing it once.
func (t *Threads) Append(ctx context.Context, blobs durable.Blobs, head Head, messages ...Message) (Head, error) {
	whole, err := t.Load(ctx, blobs, head, messages...)
	if err != nil {
		return Head{}, err
	}
	n := node{Messages: messages}
	if head.Messages > 0 {
		n.Prev = &head.Ref
	}
	data, err := json.Marshal(n)
	if err != nil {
		return Head{}, fmt.Errorf("encode thread node: %w", err)
	}
	ref, err := blobs.Put(ctx, data)
	if err != nil {
		return Head{}, fmt.Errorf("store thread node: %w", err)
	}
	t.forget(head.Hash) // whoever goes on from it goes on from the new head
	t.keep(ref.Hash, whole)
	return Head{Ref: ref, Messages: head.Messages + len(messages)}, nil
}

// Load returns all messages of a thread, oldest first, and behind them those that are
// yet to be appended. The caller may not change them.
func (t *Threads) Load(ctx context.Context, blobs durable.Blobs, head Head, next ...Message) ([]model.Message, error) {
	before, err := t.load(ctx, blobs, head)
	if err != nil {
		return nil, err
	}
	if len(next) == 0 {
		return before, nil
	}
	whole, err := resolve(ctx, blobs, next)
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(before), whole...), nil
}

func (t *Threads) load(ctx context.Context, blobs durable.Blobs, head Head) ([]model.Message, error) {
	if head.Messages == 0 {
		return nil, nil
	}
	if messages := t.cached(head.Hash); messages != nil {
		return messages, nil
	}
	var nodes []node
	for ref := &head.Ref; ref != nil; {
		data, err := blobs.Get(ctx, *ref)
		if err != nil {
			return nil, fmt.Errorf("read thread: %w", err)
		}
		var n node
		if err := json.Unmarshal(data, &n); err != nil {
			return nil, durable.Errorf(durable.CodeInternal, "thread node %s is damaged: %w", ref.Hash, err)
		}
		nodes = append(nodes, n)
		ref = n.Prev
	}
	var all []model.Message
	for _, n := range slices.Backward(nodes) {
		whole, err := resolve(ctx, blobs, n.Messages)
		if err != nil {
			return nil, err
		}
		all = append(all, whole...)
	}
	t.keep(head.Hash, all)
	return all, nil
}

// resolve fills in the contents that are blobs of their own.
func resolve(ctx context.Context, blobs durable.Blobs, messages []Message) ([]model.Message, error) {
	whole := make([]model.Message, len(messages))
	for i, m := range messages {
		whole[i] = m.Message
		if m.Content == nil {
			continue
		}
		content, err := blobs.Get(ctx, *m.Content)
		if err != nil {
			return nil, fmt.Errorf("read message content: %w", err)
		}
		parts := slices.Clone(m.Parts)
		for k, p := range parts {
			if p.Result != nil {
				result := *p.Result
				result.Content = string(content)
				parts[k].Result = &result
			}
		}
		whole[i].Parts = parts
	}
	return whole, nil
}

func (t *Threads) cached(hash string) []model.Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.cache[hash].messages
}

func (t *Threads) keep(hash string, messages []model.Message) {
	c := cached{messages: messages}
	for _, m := range messages {
		for _, p := range m.Parts {
			c.bytes += len(p.Text)
			if p.Result != nil {
				c.bytes += len(p.Result.Content)
			}
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cache == nil {
		t.cache = map[string]cached{}
	}
	if _, ok := t.cache[hash]; !ok {
		t.order = append(t.order, hash)
		t.cache[hash] = c
		t.bytes += c.bytes
	}
	for t.bytes > cacheMax || len(t.order) > 2*len(t.cache)+16 {
		t.drop(t.order[0])
		t.order = t.order[1:]
	}
}

func (t *Threads) forget(hash string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(hash)
}

func (t *Threads) drop(hash string) {
	t.bytes -= t.cache[hash].bytes
	delete(t.cache, hash)
}
