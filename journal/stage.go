package journal

import (
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Blob is a value on its way to the store: it can be read already, and becomes durable
// with the change that it is put into.
type Blob struct {
	durable.Ref
	packed store.Blob
}

// Stage makes a blob of data. It stays readable until a change that has it is durable or
// it is dropped.
func (j *Journal) Stage(data []byte) Blob {
	ref := durable.Ref{Hash: HashOf(data), Bytes: len(data)}
	j.staged.add(ref.Hash, data)
	return Blob{Ref: ref, packed: j.packer.blob(ref.Hash, data)}
}

// Drop forgets staged blobs that are not appended after all.
func (j *Journal) Drop(blobs []Blob) {
	for _, b := range blobs {
		j.staged.drop(b.Hash)
	}
}

// staging holds what is staged. The zero value is ready.
type staging struct {
	mu     sync.Mutex
	values map[string]*stagedValue
}

type stagedValue struct {
	data  []byte
	count int // how often it is staged
}

func (s *staging) add(hash string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.values == nil {
		s.values = map[string]*stagedValue{}
	}
	v := s.values[hash]
	if v == nil {
		v = &stagedValue{data: data}
		s.values[hash] = v
	}
	v.count++
}

func (s *staging) get(hash string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.values[hash]
	if !ok {
		return nil, false
	}
	return v.data, true
}

func (s *staging) drop(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.values[hash]
	if v == nil {
		return
	}
	if v.count--; v.count == 0 {
		delete(s.values, hash)
	}
}
