package secret

import (
	"strings"
	"unicode/utf8"
)

// decoder undoes one kind of escape, byte by byte.
type decoder interface {
	push(b byte, from, to int, out *view)
	flush(out *view)  // reads an escape that has no end as it stands
	open(end int) int // where an escape begins that has no end yet
	kind() int
}

// pending is the raw bytes of an escape whose end has not come.
type pending struct {
	n    int
	held [12]byte
	from [12]int
	to   [12]int
}

func (p *pending) keep(b byte, from, to int) {
	p.held[p.n], p.from[p.n], p.to[p.n] = b, from, to
	p.n++
}

// drop reads what was kept as it stands.
func (p *pending) drop(out *view) {
	n := p.n
	p.n = 0
	for i := range n {
		out.read(p.held[i], p.from[i], p.to[i])
	}
}

func (p *pending) open(end int) int {
	if p.n == 0 {
		return end
	}
	return p.from[0]
}

// percent undoes percent-encoding, RFC 3986, and that of forms.
type percent struct {
	pending
	plus bool
}

var _ decoder = (*percent)(nil)

func (p *percent) kind() int {
	if p.plus {
		return plusKind
	}
	return percentKind
}

func (p *percent) flush(out *view) { p.drop(out) }

func (p *percent) push(b byte, from, to int, out *view) {
	switch {
	case p.n == 0 && b == '%':
		p.keep(b, from, to)
	case p.n == 0 && b == '+' && p.plus:
		out.read(' ', from, to)
	case p.n == 0:
		out.read(b, from, to)
	case hexDigit(b) < 0:
		p.drop(out)
		p.push(b, from, to, out)
	case p.n == 1:
		p.keep(b, from, to)
	default:
		p.n = 0
		out.read(byte(hexDigit(p.held[1])<<4|hexDigit(b)), p.from[0], to) //nolint:gosec // two digits
	}
}

// unescape undoes the escapes of a JSON string, RFC 8259.
type unescape struct{ pending }

var _ decoder = (*unescape)(nil)

func (*unescape) kind() int { return jsonKind }

func (u *unescape) flush(out *view) { u.drop(out) }

func (u *unescape) push(b byte, from, to int, out *view) {
	switch {
	case u.n == 0 && b == '\\', u.n == 6 && b == '\\', u.n == 1 && b == 'u', u.n == 7 && b == 'u':
		u.keep(b, from, to)
	case u.n == 0:
		out.read(b, from, to)
	case u.n == 1:
		at := u.from[0]
		plain := strings.IndexByte("ntrbf\"\\/", b)
		if plain < 0 { // not an escape
			u.drop(out)
			u.push(b, from, to, out)
			return
		}
		b = "\n\t\r\b\f\"\\/"[plain]
		u.n = 0
		out.read(b, at, to)
	case u.n != 6 && u.n != 7 && hexDigit(b) >= 0:
		u.keep(b, from, to)
		if u.n == 6 && !isHigh(u.unit(2)) || u.n == 12 {
			u.whole(out)
		}
	default:
		u.drop(out)
		u.push(b, from, to, out)
	}
}

func isHigh(r rune) bool { return 0xd800 <= r && r < 0xdc00 }

func (u *unescape) unit(at int) rune {
	var r rune
	for _, b := range u.held[at : at+4] {
		r = r<<4 | rune(hexDigit(b))
	}
	return r
}

// whole reads the bytes of the character that was kept; all of them stand for all of it.
func (u *unescape) whole(out *view) {
	r := u.unit(2)
	if u.n == 12 {
		r = 0x10000 + (r-0xd800)<<10 + (u.unit(8) - 0xdc00)
	}
	from, to := u.from[0], u.to[u.n-1]
	u.n = 0
	for _, b := range utf8.AppendRune(nil, r) {
		out.read(b, from, to)
	}
}

func hexDigit(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
