package temporal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/orpine-run/orpine/durable"
)

// memory is a durable.Blobs for one process.
type memory struct {
	mu   sync.Mutex
	data map[string][]byte
}

func newMemory() *memory { return &memory{data: map[string][]byte{}} }

func (m *memory) Put(_ context.Context, data []byte) (durable.Ref, error) {
	sum := sha256.Sum256(data)
	ref := durable.Ref{Hash: hex.EncodeToString(sum[:]), Bytes: len(data)}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.data[ref.Hash] = data
	return ref, nil
}

func (m *memory) Get(_ context.Context, ref durable.Ref) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.data[ref.Hash]
	if !ok {
		return nil, durable.Errorf(durable.CodeNotFound, "no blob %s", ref.Hash)
	}
	return data, nil
}
