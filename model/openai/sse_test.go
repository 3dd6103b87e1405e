package openai

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func read(r io.Reader) (out []string, err error) {
	e := newEvents(r)
	for {
		data, err := e.next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		out = append(out, string(data))
	}
}

func TestEvents(t *testing.T) {
	tests := []struct {
		name, in string
		want     []string
	}{
		{"none", "", nil},
		{"one", "data: a\n\n", []string{"a"}},
		{"only one space goes", "data:  a\n\ndata:b\n\n", []string{" a", "b"}},
		{"crlf", "data: a\r\ndata: b\r\n\r\n", []string{"a\nb"}},
		{"cr", "data: a\rdata: b\r\rdata: c\r\r", []string{"a\nb", "c"}},
		{"comments and fields", ": hm\nevent: x\nid: 1\nretry: 5\ndata: a\nnonsense\n\n", []string{"a"}},
		{"empty data", "data\ndata:\n\n", []string{"\n"}},
		{"no data", "event: x\n\n\n\n", nil},
		{"a name that only begins so", "database: a\n\n", nil},
		{"closing line is missing", "data: a\n\ndata: b", []string{"a", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := read(iotest.OneByteReader(strings.NewReader(tt.in)))
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
	t.Run("an error voids the event in hand", func(t *testing.T) {
		broken := errors.New("broken")
		got, err := read(io.MultiReader(strings.NewReader("data: a\n\ndata: b\n"), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) || !cmp.Equal(got, []string{"a"}) {
			t.Errorf("got %q, %v, want the first event and the error", got, err)
		}
	})
}

func FuzzEvents(f *testing.F) {
	for _, seed := range []string{"data: a\n\n", "data: a\r\ndata:b\r\n\r\n", "\r\r\n\rdata", ": c\ndata:\n\ndata: [DONE]", "data: {\"gar\x00\xff\n\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := read(strings.NewReader(in))
		slow, slowErr := read(iotest.OneByteReader(strings.NewReader(in)))
		if diff := cmp.Diff(got, slow); diff != "" || (err == nil) != (slowErr == nil) {
			t.Errorf("byte by byte it reads otherwise: %v, %v\n%s", err, slowErr, diff)
		}
		total := 0
		for _, data := range got {
			total += len(data)
			if strings.ContainsRune(data, '\r') {
				t.Errorf("%q holds a line end of the stream", data)
			}
		}
		if total > len(in) {
			t.Errorf("%d bytes of data from %d bytes", total, len(in))
		}
		// What was read, written as events again, reads the same.
		var again strings.Builder
		for _, data := range got {
			again.WriteString("data: " + strings.ReplaceAll(data, "\n", "\ndata: ") + "\n\n")
		}
		if err == nil {
			back, err := read(strings.NewReader(again.String()))
			if diff := cmp.Diff(got, back); err != nil || diff != "" {
				t.Errorf("a round trip changes it: %v\n%s", err, diff)
			}
		}
	})
}
