package client

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzRead: whatever a server sends as a stream, it is read to its end, and each item is
// either an event or a delta, or an error ends it.
func FuzzRead(f *testing.F) {
	for _, s := range []string{
		"", "\n\n", ": hello\n\n", "id: 1\nevent: event\ndata: {}\n\n", "id: 1\r\nevent: delta\r\ndata: {\"kind\":\"text\"}\r\n\r\n",
		"event: event\ndata: {\ndata: }\n\n", "event: other\ndata: {}\n\n", "data: x", "id: 3\ndata: {}\n\n", strings.Repeat("data: 1\n", 100) + "\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for item, err := range read(bytes.NewReader(data)) {
			if err == nil && (item.Event == nil) == (item.Delta == nil) {
				t.Errorf("%q: an item that is neither or both", data)
			}
		}
	})
}
