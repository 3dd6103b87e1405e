package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"sync"
)

// books are a file with a line for each thing that happened.
type books struct {
	path string
	mu   sync.Mutex
}

type entry struct {
	Key      string
	Text     string
	Employee string
	Amount   int
}

// find finds what was written under a key.
func (b *books) find(key string) (found entry, ok bool, err error) {
	all, err := b.read()
	for _, e := range all {
		if e.Key == key {
			return e, true, err
		}
	}
	return entry{}, false, err
}

// write adds a line, unless there is one under its key.
func (b *books) write(e entry) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, there, err := b.find(e.Key); there || err != nil {
		return err
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(b.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(data, '\n'))
	return errors.Join(err, f.Sync(), f.Close())
}

// read returns all lines.
func (b *books) read() ([]entry, error) {
	data, err := os.ReadFile(b.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var all []entry
	for text := range bytes.Lines(data) {
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}
