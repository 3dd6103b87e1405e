package command

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseTemplate(t *testing.T) {
	args := map[string]any{"a": "A", "b-1": true, "none": nil}
	secret := func(name string) (string, error) {
		if name == "S" {
			return "s", nil
		}
		return "", errors.New("no secret")
	}
	for _, c := range []struct {
		text, want string
		missing    bool
		says       string
	}{
		{text: "", want: ""},
		{text: "plain $x {y} $", want: "plain $x {y} $"},
		{text: "${args.a}", want: "A"},
		{text: "x${args.a}${args.a}y", want: "xAAy"},
		{text: "${args.b-1}", want: "true"},
		{text: "${args.none}", missing: true},
		{text: "${args.gone}", missing: true},
		{text: "x${args.gone}", want: "x"},
		{text: "${secret:S}${args.a}", want: "sA"},
		{text: "$${args.a}", want: "${args.a}"},
		{text: "$$${args.a}", want: "$${args.a}"},
		{text: "${secret:T}", says: "no secret"},
		{text: "${args.a", says: "no end"},
		{text: "${a}", says: "neither"},
		{text: "${args.a b}", says: "neither"},
		{text: "${secret:}", says: "neither"},
		{text: "${}", says: "neither"},
		{text: "\x00", says: "zero byte"},
	} {
		got, missing := "", false
		parsed, err := parseTemplate(c.text)
		if err == nil {
			got, missing, err = parsed.fill(args, secret)
		}
		if c.says != "" {
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q: got %v, want %q", c.text, err, c.says)
			}
			continue
		}
		if err != nil || got != c.want || missing != c.missing {
			t.Errorf("%q: got %q %v %v, want %q %v", c.text, got, missing, err, c.want, c.missing)
		}
	}
}

// FuzzTemplate: whatever an argument holds, it changes neither the number of elements of a
// command line nor anything of another element.
func FuzzTemplate(f *testing.F) {
	for _, seed := range [][2]string{{"a${args.x}b", "v"}, {"${args.x}", "${args.x}"}, {"$${args.x}${args.x}", "$${"}, {"${secret:x}", "\x00"}, {"${args.x", "}"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		parsed, err := parseTemplate(text)
		if err != nil {
			return
		}
		keep := func(string) (string, error) { return "\x01", nil }
		marked, _, err := parsed.fill(map[string]any{"x": "\x02"}, keep)
		if err != nil {
			t.Fatal(err)
		}
		filled, _, err := parsed.fill(map[string]any{"x": value}, keep)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "\x02") && strings.ReplaceAll(marked, "\x02", value) != filled {
			t.Errorf("%q with %q: %q", text, value, filled)
		}
	})
}

func TestCapture(t *testing.T) {
	for _, c := range []struct {
		name   string
		writes []string
		most   int
		want   string
	}{
		{"nothing", nil, 10, ""},
		{"all of it", []string{"ab", "cd"}, 4, "abcd"},
		{"one too many", []string{"abc", "de"}, 4, "ab\n[1 of 5 bytes left out here]\nde"},
		{"many small ones", strings.Split(strings.Repeat("x", 100)+"end", ""), 8, "xxxx\n[95 of 103 bytes left out here]\nxend"},
		{"a rune in the cut", []string{"aé", "0123456789", "éz"}, 4, "a\n[14 of 16 bytes left out here]\nz"},
		{"zero bytes", []string{"a\x00b"}, 10, "[binary output, 3 bytes, not shown]"},
		{"bad bytes", []string{"all is well but this: \xff"}, 100, "all is well but this: \ufffd"},
		{"nothing may be kept", []string{"abc"}, 0, "\n[3 of 3 bytes left out here]\n"},
	} {
		out := newCapture(c.most)
		for _, w := range c.writes {
			_, _ = out.Write([]byte(w))
		}
		if got := out.text(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzCapture: whatever is written, in whatever pieces, what is told is text of a bounded
// length, and all of it where it fits.
func FuzzCapture(f *testing.F) {
	f.Add([]byte("hello"), uint8(3), uint8(2))
	f.Add([]byte("\xff\xfe\x00"), uint8(1), uint8(1))
	f.Add([]byte("éééééé"), uint8(5), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, most, step uint8) {
		out := newCapture(int(most))
		var lines []string
		w := &lineWriter{emit: func(l string) { lines = append(lines, l) }}
		for i := 0; i < len(data); i += int(step) + 1 {
			piece := data[i:min(len(data), i+int(step)+1)]
			_, _ = out.Write(piece)
			_, _ = w.Write(piece)
		}
		w.flush()
		text := out.text()
		if !utf8.ValidString(text) || len(text) > 3*int(most)+100 {
			t.Errorf("%d bytes: %q", len(text), text)
		}
		if utf8.Valid(data) && len(data) <= int(most) && !binary(data) && text != string(data) {
			t.Errorf("got %q, want %q", text, data)
		}
		for _, l := range lines {
			if !utf8.ValidString(l) || strings.Contains(l, "\n") {
				t.Errorf("line %q", l)
			}
		}
	})
}
