package secret

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// pattern is one way in which a value may stand in a text.
type pattern struct {
	name string // of the secret
	head string // what the automaton looks for
	tail string // what follows it in a long one: swallowed as far as it fits
	left int    // characters of base64 before it that hold bits of the value
	end  ending
}

// ending is what may follow a pattern and belongs to it.
type ending struct {
	partial int // characters of base64 that hold bits of the value
	padding int // at most so many =
}

// most is how much of a pattern the automaton looks for. A longer one is found by its head.
const most = 192

// patternsOf lists the ways of one value. Escapes are undone by the views of a scan, so they
// need no patterns of their own.
func patternsOf(name, value string) []pattern {
	add := func(list []pattern, text string, left int, end ending) []pattern {
		p := pattern{name: name, head: text, left: left, end: end}
		if len(text) > most {
			p.head, p.tail = text[:most], text[most:]
		}
		return append(list, p)
	}
	list := add(nil, value, 0, ending{})
	lower := hex.EncodeToString([]byte(value))
	list = add(list, lower, 0, ending{})
	if upper := strings.ToUpper(lower); upper != lower {
		list = add(list, upper, 0, ending{})
	}
	for ahead := range 3 { // how many bytes of others precede it in its group of three
		padded := make([]byte, ahead, ahead+len(value))
		padded = append(padded, value...)
		std := base64.RawStdEncoding.EncodeToString(padded)
		// Characters that are the value's alone; those at the edges depend on its neighbours.
		from, to := (8*ahead+5)/6, 8*len(padded)/6
		left, end := 0, ending{padding: 2}
		if ahead > 0 {
			left = 1
		}
		if 8*len(padded)%6 != 0 {
			end.partial = 1
		}
		core := std[from:to]
		list = add(list, core, left, end)
		if url := strings.NewReplacer("+", "-", "/", "_").Replace(core); url != core {
			list = add(list, url, left, end)
		}
	}
	return list
}

// isBase64 reports whether a byte is of one of the two alphabets.
func isBase64(b byte) bool {
	return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' || '0' <= b && b <= '9' || b == '+' || b == '/' || b == '-' || b == '_'
}
