package tool

import (
	"container/list"
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Cache keeps the results of a tool that only reads for later calls, of this process and of the
// same tenant. The zero value keeps nothing.
type Cache struct {
	For time.Duration `json:"for,omitempty"` // how long one is good, in nanoseconds
	// Key names the arguments on which a result depends; empty = on all.
	Key []string `json:"key,omitempty"`
}

// Bounds of what is kept for one tool.
const (
	keptMax  = 1000
	keptSize = 16 << 20 // bytes
)

// kept are results, the last one that was used in front.
type kept struct {
	Cache

	mu    sync.Mutex
	order list.List
	byKey map[string]*list.Element
	size  int
}

type keptResult struct {
	key    string
	result Result
	until  time.Time
}

func newKept(c Cache) *kept { return &kept{Cache: c, byKey: map[string]*list.Element{}} }

// key is the same for calls of a tenant of which the result is the same.
func (k *kept) key(ctx context.Context, args json.RawMessage) string {
	whose := ""
	if a := durable.AttemptOf(ctx); a != nil {
		whose = a.Tenant
	}
	return whose + "\x00" + k.about(args) // no tenant has a zero in its name
}

// about is what of the arguments the result depends on.
func (k *kept) about(args json.RawMessage) string {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(args, &all); err != nil {
		return string(args)
	}
	if len(k.Key) > 0 {
		some := map[string]json.RawMessage{}
		for _, n := range k.Key {
			if v, ok := all[n]; ok {
				some[n] = v
			}
		}
		all = some
	}
	data, err := json.Marshal(all) // sorts the names
	if err != nil {
		return string(args)
	}
	return string(data)
}

func (k *kept) get(key string) (Result, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.byKey[key]
	if !ok {
		return Result{}, false
	}
	one := e.Value.(*keptResult) //nolint:errcheck,forcetypeassert // nothing else is put in
	if !time.Now().Before(one.until) {
		k.drop(e)
		return Result{}, false
	}
	k.order.MoveToFront(e)
	return one.result, true
}

// put keeps a result that is one: no refusal, and no question.
func (k *kept) put(key string, result Result) {
	if result.Error || len(result.Asks) > 0 || len(result.Content) > keptSize/4 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if e, ok := k.byKey[key]; ok {
		k.drop(e)
	}
	k.byKey[key] = k.order.PushFront(&keptResult{key, result, time.Now().Add(k.For)})
	k.size += len(key) + len(result.Content)
	for k.size > keptSize || k.order.Len() > keptMax {
		k.drop(k.order.Back())
	}
}

func (k *kept) drop(e *list.Element) {
	one := k.order.Remove(e).(*keptResult) //nolint:errcheck,forcetypeassert // as above
	delete(k.byKey, one.key)
	k.size -= len(one.key) + len(one.result.Content)
}
