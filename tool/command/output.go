package command

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// capture keeps the beginning and the end of what is written to it, and counts the rest.
type capture struct {
	most  int // bytes that are kept
	head  []byte
	tail  []byte // the last bytes behind head, at most twice as many as are told
	total int64
}

func newCapture(most int) *capture { return &capture{most: most} }

// Write implements io.Writer. It never fails.
func (c *capture) Write(p []byte) (int, error) {
	n := len(p)
	c.total += int64(n)
	if room := c.most - c.most/2 - len(c.head); room > 0 {
		take := min(room, len(p))
		c.head = append(c.head, p[:take]...)
		p = p[take:]
	}
	keep := c.most / 2
	if len(p) > keep {
		p = p[len(p)-keep:]
	}
	c.tail = append(c.tail, p...)
	if len(c.tail) > 2*keep {
		c.tail = append(c.tail[:0], c.tail[len(c.tail)-keep:]...)
	}
	return n, nil
}

// text is what was written, as a model can read it: what is no text is named as such, what is
// not UTF-8 is replaced, and what was left out has a note in its place.
func (c *capture) text() string {
	if binary(c.head) {
		return fmt.Sprintf("[binary output, %d bytes, not shown]", c.total)
	}
	tail := c.tail[max(0, len(c.tail)-c.most/2):]
	cut := c.total - int64(len(c.head)) - int64(len(tail))
	if cut <= 0 {
		return valid(append(bytes.Clone(c.head), tail...))
	}
	// A rune that the cut goes through is left out on both sides.
	head := c.head
	for i := 1; i <= min(utf8.UTFMax-1, len(head)); i++ {
		if at := len(head) - i; utf8.RuneStart(head[at]) {
			if !utf8.FullRune(head[at:]) {
				head = head[:at]
			}
			break
		}
	}
	for i := 0; i < utf8.UTFMax-1 && len(tail) > 0 && !utf8.RuneStart(tail[0]); i++ {
		tail = tail[1:]
	}
	return fmt.Sprintf("%s\n[%d of %d bytes left out here]\n%s", valid(head), c.total-int64(len(head))-int64(len(tail)), c.total, valid(tail))
}

func valid(b []byte) string { return strings.ToValidUTF8(string(b), "\ufffd") }

// binary reports whether bytes are no text: one is zero, or more than an eighth belongs to no rune.
func binary(b []byte) bool {
	b = b[:min(len(b), 8<<10)]
	if bytes.IndexByte(b, 0) >= 0 {
		return true
	}
	bad := 0
	for i := 0; i < len(b); {
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			bad++
		}
		i += size
	}
	return bad > 3 && bad > len(b)/8
}

// lineWriter cuts what is written to it into lines, for those who watch. Long lines are cut
// off, and after many lines there is silence.
type lineWriter struct {
	emit func(line string)
	line []byte
	over bool // the rest of this line is not shown
	sent int
}

// Write implements io.Writer. It never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && w.sent < lineCount {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		if room := lineLength - len(w.line); len(line) > room {
			line, w.over = line[:room], true
		}
		w.line = append(w.line, line...)
		if ended {
			w.flush()
		}
		p = rest
	}
	return n, nil
}

// flush shows the last line, which may have no end.
func (w *lineWriter) flush() {
	if len(w.line) == 0 || w.sent >= lineCount {
		w.line, w.over = w.line[:0], false
		return
	}
	text := valid(w.line)
	if binary(w.line) {
		text = "[binary output]"
	}
	if w.over {
		text += "…"
	}
	if w.sent++; w.sent == lineCount {
		text = "[more lines, not shown]"
	}
	w.emit(text)
	w.line, w.over = w.line[:0], false
}
