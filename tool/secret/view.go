package secret

import "slices"

// view reads a text under some escapes: each of its bytes has the position in the raw text
// at which what it stands for begins. The first view reads the text as it is; its children
// undo one kind of escape each and are born at the first sign of one, for until then they
// would have read the same.
type view struct {
	scan     *scan
	depth    int
	undo     decoder // nil: what comes in is what is read
	waits    *pending
	escapes  [2]byte // what begins an escape; the rest is read as it is
	state    int32
	ring     [ringSize]read // the last bytes that were read
	count    int
	follows  []follow
	children [kinds]*view
	born     int
}

type read struct {
	from int // in the raw text
	b    byte
}

// ringSize holds the longest head and what is looked at before it.
const ringSize = 256

// follow goes on behind a pattern that was found.
type follow struct {
	match int // index in scan.matches, counted from the first ever
	tail  string
	end   ending
}

// The kinds of escape.
const (
	percentKind = iota // %XX
	plusKind           // %XX, and + is a space
	jsonKind           // \n, \u0041
	kinds
)

// push reads one byte of the text that comes in; from and to are what it stands for there.
func (v *view) push(b byte, from, to int) {
	if v.waits.n == 0 && b != v.escapes[0] && b != v.escapes[1] { // nearly always
		v.read(b, from, to)
		return
	}
	v.undo.push(b, from, to, v)
}

// read takes the next byte of this view.
func (v *view) read(b byte, from, to int) {
	if v.born > 0 {
		for _, child := range v.children {
			if child != nil {
				child.push(b, from, to)
			}
		}
	}
	switch b {
	case '%':
		v.bear(percentKind, b, from, to)
		fallthrough
	case '+':
		if v.scan.auto.spaces {
			v.bear(plusKind, b, from, to)
		}
	case '\\':
		v.bear(jsonKind, b, from, to)
	}
	v.ring[uint(v.count)%ringSize] = read{from, b} //nolint:gosec // it counts from 0
	v.count++
	if len(v.follows) > 0 {
		v.goOn(b, to)
	}
	a := v.scan.auto
	v.state = a.next[int(v.state)*a.classes+int(a.class[b])]
	for _, i := range a.ends[v.state] {
		v.found(&a.patterns[i], to)
	}
}

// bear makes the child for a kind of escape, if this view may have one, and gives it the
// byte that begins the first. Escapes within escapes are undone twice and no deeper, and the
// two kinds of percent-encoding are not mixed.
func (v *view) bear(kind int, b byte, from, to int) {
	mixed := v.depth == 1 && kind != jsonKind && v.undo.kind() != jsonKind && v.undo.kind() != kind
	if v.children[kind] != nil || v.depth == 2 || mixed {
		return
	}
	child := &view{scan: v.scan, depth: v.depth + 1, state: v.state, ring: v.ring, count: v.count, follows: slices.Clone(v.follows)}
	switch kind {
	case jsonKind:
		u := &unescape{}
		child.undo, child.waits, child.escapes = u, &u.pending, [2]byte{'\\', '\\'}
	case percentKind:
		p := &percent{}
		child.undo, child.waits, child.escapes = p, &p.pending, [2]byte{'%', '%'}
	case plusKind:
		p := &percent{plus: true}
		child.undo, child.waits, child.escapes = p, &p.pending, [2]byte{'%', '+'}
	}
	v.children[kind] = child
	v.born++
	v.scan.views = append(v.scan.views, child)
	child.push(b, from, to)
}

// back returns what was read n bytes before the next; false beyond what is remembered.
func (v *view) back(n int) (read, bool) {
	if n > v.count || n > ringSize {
		return read{}, false
	}
	return v.ring[(v.count-n)%ringSize], true
}

func (v *view) found(p *pattern, to int) {
	n := len(p.head)
	first, ok := v.back(n)
	if !ok {
		return
	}
	from := first.from
	if p.left > 0 {
		if r, ok := v.back(n + 1); ok && isBase64(r.b) {
			from = r.from
		}
	}
	// A lone backslash before it would escape the mark that is put in its place.
	slashes := 0
	for r, ok := v.back(n + 1 + slashes); ok && r.b == '\\'; r, ok = v.back(n + 1 + slashes) {
		slashes++
	}
	if slashes%2 == 1 {
		if r, ok := v.back(n + 1); ok {
			from = min(from, r.from)
		}
	}
	match := v.scan.match(p.name, from, to)
	if p.tail != "" || p.end != (ending{}) {
		v.follows = append(v.follows, follow{match, p.tail, p.end})
	}
}

// goOn lets what was found grow by a byte where the byte belongs to it.
func (v *view) goOn(b byte, to int) {
	kept := v.follows[:0]
	for _, f := range v.follows {
		switch {
		case f.tail != "" && f.tail[0] == b:
			f.tail = f.tail[1:]
		case f.tail != "":
			continue
		case f.end.partial > 0 && isBase64(b):
			f.end.partial--
		case f.end.padding > 0 && b == '=':
			f.end.partial = 0
			f.end.padding--
		default:
			continue
		}
		v.scan.grow(f.match, to)
		if f.tail != "" || f.end.partial > 0 || f.end.padding > 0 {
			kept = append(kept, f)
		}
	}
	v.follows = kept
}

// open returns from where on the raw text may still become a part of something.
func (v *view) open(end int) int {
	at := end
	if n := int(v.scan.auto.depth[v.state]); n > 0 {
		if r, ok := v.back(n); ok {
			at = r.from
		}
		if r, ok := v.back(n + 1); ok && (isBase64(r.b) || r.b == '\\') {
			at = r.from
		}
	} else if r, ok := v.back(1); ok && (isBase64(r.b) || r.b == '\\') {
		at = r.from
	}
	if v.undo != nil {
		at = min(at, v.undo.open(end))
	}
	for _, f := range v.follows {
		at = min(at, v.scan.matches[f.match-v.scan.gone].from)
	}
	return at
}
