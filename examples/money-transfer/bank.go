package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"sync"
)

// bank keeps accounts in a file, a line for each change. It heeds idempotency keys: what was booked
// under a key is not booked again.
type bank struct {
	path string
	mu   sync.Mutex
}

type line struct {
	Key     string
	Account string
	Amount  int
	Text    string
}

// book changes an account, and returns what is in it then.
func (b *bank) book(l line) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines, err := b.read()
	if err != nil {
		return 0, err
	}
	balance, booked := 0, false
	for _, old := range lines {
		if old.Account == l.Account {
			balance += old.Amount
		}
		booked = booked || old.Key == l.Key
	}
	if booked {
		return balance, nil
	}
	data, err := json.Marshal(l)
	if err != nil {
		return 0, err
	}
	f, err := os.OpenFile(b.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	_, err = f.Write(append(data, '\n'))
	return balance + l.Amount, errors.Join(err, f.Sync(), f.Close())
}

// read returns all lines.
func (b *bank) read() ([]line, error) {
	data, err := os.ReadFile(b.path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var lines []line
	for text := range bytes.Lines(data) {
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, err
		}
		lines = append(lines, l)
	}
	return lines, nil
}
