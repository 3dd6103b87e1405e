package embedded

import (
	"container/heap"
	"time"
)

// ageing is how long something waits before it goes ahead of what came later with one
// more priority: nothing waits for ever.
const ageing = 10 * time.Second

// fair is a queue that is fair between shares, such as tenants: whose share has got
// least so far goes next. Within a share the higher priority goes first, and what waits
// gains one every ageing. The zero value is ready.
type fair[T comparable] struct {
	shares map[string]*share[T]
	next   shareHeap[T] // the shares that have something waiting
	now    int64        // what the share that went last had got before it
	n      int
	order  int64 // counts what came, so that equals keep their order
}

// share is what waits of one share.
type share[T comparable] struct {
	name  string
	got   int64 // how often it went, since it last had nothing waiting
	items itemHeap[T]
	at    int // in next
}

type item[T comparable] struct {
	value T
	key   int64 // when it came, earlier by ageing for each priority
	order int64
}

// Len is how many wait.
func (f *fair[T]) Len() int { return f.n }

// Push adds v.
func (f *fair[T]) Push(v T, name string, priority int, now time.Time) {
	if f.shares == nil {
		f.shares = map[string]*share[T]{}
	}
	s := f.shares[name]
	if s == nil {
		// A share that was away starts where the others are: it has saved up nothing.
		s = &share[T]{name: name, got: f.now}
		f.shares[name] = s
		heap.Push(&f.next, s)
	}
	f.order++
	heap.Push(&s.items, item[T]{value: v, key: now.UnixMicro() - int64(priority)*ageing.Microseconds(), order: f.order})
	f.n++
}

// Pop takes out who goes next; false when nobody waits.
func (f *fair[T]) Pop() (v T, ok bool) {
	if len(f.next) == 0 {
		return v, false
	}
	s := f.next[0]
	it, ok := heap.Pop(&s.items).(item[T])
	f.now = s.got
	s.got++
	f.settle(s)
	return it.value, ok
}

// Remove takes v out, wherever it stands; false when it does not wait.
func (f *fair[T]) Remove(v T, name string) bool {
	s := f.shares[name]
	if s == nil {
		return false
	}
	for i, it := range s.items {
		if it.value == v {
			heap.Remove(&s.items, i)
			f.settle(s)
			return true
		}
	}
	return false
}

// settle puts a share in its place after something left it.
func (f *fair[T]) settle(s *share[T]) {
	f.n--
	if len(s.items) > 0 {
		heap.Fix(&f.next, s.at)
		return
	}
	heap.Remove(&f.next, s.at)
	delete(f.shares, s.name)
}

type shareHeap[T comparable] []*share[T]

func (h shareHeap[T]) Len() int { return len(h) }

func (h shareHeap[T]) Less(i, j int) bool {
	if h[i].got != h[j].got {
		return h[i].got < h[j].got
	}
	return h[i].items.first(h[j].items)
}

func (h shareHeap[T]) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *shareHeap[T]) Push(v any) {
	if s, ok := v.(*share[T]); ok {
		s.at = len(*h)
		*h = append(*h, s)
	}
}

// Pop implements heap.Interface.
func (h *shareHeap[T]) Pop() any {
	last := len(*h) - 1
	s := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return s
}

type itemHeap[T comparable] []item[T]

func (h itemHeap[T]) Len() int { return len(h) }

func (h itemHeap[T]) Less(i, j int) bool {
	if h[i].key != h[j].key {
		return h[i].key < h[j].key
	}
	return h[i].order < h[j].order
}

// first reports whether the first of h goes before the first of o.
func (h itemHeap[T]) first(o itemHeap[T]) bool {
	if len(h) == 0 || len(o) == 0 {
		return len(h) > len(o)
	}
	return itemHeap[T]{h[0], o[0]}.Less(0, 1)
}

func (h itemHeap[T]) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *itemHeap[T]) Push(v any) {
	if it, ok := v.(item[T]); ok {
		*h = append(*h, it)
	}
}

// Pop implements heap.Interface.
func (h *itemHeap[T]) Pop() any {
	last := len(*h) - 1
	it := (*h)[last]
	(*h)[last] = item[T]{}
	*h = (*h)[:last]
	return it
}
