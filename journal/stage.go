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
func (j *Journal) Drop(blobs []Blob) { j.drop(blobs, false) }

func (j *Journal) drop(blobs []Blob, written bool) {
	for _, b := range blobs {
		j.staged.drop(b.Hash, written)
	}
}

// recentMax bounds the bytes of blobs that are kept in memory after they were written
// or read: what one step puts, the next one often gets.
const recentMax = 8 << 20

// staging holds what is staged, and what was a moment ago. The zero value is ready.
type staging struct {
	mu     sync.Mutex
	values map[string]*stagedValue
	recent map[string][]byte
	order  []string // of recent, oldest first
	bytes  int
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
	if v, ok := s.values[hash]; ok {
		return v.data, true
	}
	data, ok := s.recent[hash]
	return data, ok
}

// keep remembers a value for a while; the caller holds s.mu.
func (s *staging) keep(hash string, data []byte) {
	if _, ok := s.recent[hash]; ok || len(data) > recentMax/8 {
		return
	}
	if s.recent == nil {
		s.recent = map[string][]byte{}
	}
	s.recent[hash] = data
	s.order = append(s.order, hash)
	for s.bytes += len(data); s.bytes > recentMax; s.order = s.order[1:] {
		s.bytes -= len(s.recent[s.order[0]])
		delete(s.recent, s.order[0])
	}
}

// read remembers a value that came from the store.
func (s *staging) read(hash string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keep(hash, data)
}

// drop takes one staging of a value back; written says that the store has it.
func (s *staging) drop(hash string, written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.values[hash]
	if v == nil {
		return
	}
	if v.count--; v.count == 0 {
		delete(s.values, hash)
		if written {
			s.keep(hash, v.data)
		}
	}
}
