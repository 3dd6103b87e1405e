package stream_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/stream"
)

// FuzzPosition: the ID of an item is read as it was written, or refused as invalid.
func FuzzPosition(f *testing.F) {
	for _, s := range []string{"-1", "0", "12", "12.3.45", "12,abc:1", "12.3.45,abc:1.2.3,abd:-1", "", ",", "1,", "1,x", "1,x:", "1,b:1,a:1", "01", "1.2", strings.Repeat("9", 30)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		again, err := stream.ParsePosition(text)
		if err != nil && !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && again != text {
			t.Errorf("%q is read as %q", text, again)
		}
	})
}
