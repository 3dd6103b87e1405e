package secret

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Redactor replaces values of secrets by [secret:NAME]. The zero value knows none; a [Broker]
// teaches its own. It is safe for concurrent use. The time it takes grows with the length of
// the text, however many values it knows.
type Redactor struct {
	mu    sync.Mutex
	names map[string]string // value -> name
	auto  *automaton        // nil = to be built
}

// Add teaches the redactor a value. One of less than 6 bytes is passed over.
func (r *Redactor) Add(name, value string) {
	if len(value) < minBytes {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.names[value]; known {
		return
	}
	if r.names == nil {
		r.names = map[string]string{}
	}
	r.names[value], r.auto = name, nil
}

// current is the automaton of all values, nil when there are none.
func (r *Redactor) current() *automaton {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auto == nil && len(r.names) > 0 {
		var all []pattern
		for _, value := range slices.Sorted(maps.Keys(r.names)) {
			all = append(all, patternsOf(r.names[value], value)...)
		}
		r.auto = newAutomaton(all)
	}
	return r.auto
}

// Text returns text without the values.
func (r *Redactor) Text(text string) string {
	auto := r.current()
	if auto == nil {
		return text
	}
	s := newScan(auto)
	s.feed(text)
	s.flush()
	if len(s.matches) == 0 {
		return text
	}
	return s.cut(text, 0, len(text))
}

// Stream redacts a text that comes in pieces. It is for one goroutine.
type Stream struct {
	redact *Redactor
	scan   *scan
	held   string // what has not been given out
	from   int    // where held begins for the scan
}

// NewStream returns a stream that has read nothing yet.
func (r *Redactor) NewStream() *Stream { return &Stream{redact: r} }

// Next takes the next piece of the text and returns what may be shown now: of what it was
// given it holds back what may be the beginning of a value, and a letter before it.
func (s *Stream) Next(piece string) string {
	auto := s.redact.current()
	if auto == nil {
		return piece
	}
	if s.scan == nil || s.scan.auto != auto {
		s.scan, s.from = newScan(auto), 0
		s.scan.feed(s.held)
	}
	s.scan.feed(piece)
	s.held += piece
	return s.give(s.scan.open())
}

// End returns the rest. The stream can be used for another text then.
func (s *Stream) End() string {
	if s.scan == nil {
		return ""
	}
	s.scan.flush()
	rest := s.give(s.scan.pos)
	*s = Stream{redact: s.redact}
	return rest
}

func (s *Stream) give(to int) string {
	to = s.scan.whole(to)
	out := s.scan.cut(s.held, s.from, to)
	s.held = s.held[to-s.from:]
	s.from = to
	s.scan.forget(to)
	return out
}

// scan is one reading of a text under all views.
type scan struct {
	auto    *automaton
	views   []*view // the raw one first
	pos     int
	matches []match
	gone    int // how many matches were forgotten
}

// match is a part of the raw text that is a value.
type match struct {
	name     string
	from, to int
}

func newScan(auto *automaton) *scan {
	s := &scan{auto: auto}
	s.views = []*view{{scan: s}}
	return s
}

func (s *scan) feed(text string) {
	raw := s.views[0]
	for i := range len(text) {
		raw.read(text[i], s.pos, s.pos+1)
		s.pos++
	}
}

// flush reads what waits for its end as it stands. More views may be born of it.
func (s *scan) flush() {
	for i := 0; i < len(s.views); i++ {
		if v := s.views[i]; v.undo != nil {
			v.undo.flush(v)
		}
	}
}

// match notes a find and returns its number.
func (s *scan) match(name string, from, to int) int {
	s.matches = append(s.matches, match{name, from, to})
	return s.gone + len(s.matches) - 1
}

func (s *scan) grow(number, to int) { s.matches[number-s.gone].to = to }

// open returns from where on nothing is decided yet.
func (s *scan) open() int {
	at := s.pos
	for _, v := range s.views {
		at = min(at, v.open(s.pos))
	}
	return at
}

// merged lists the parts that are values, in order and apart from each other.
func (s *scan) merged() []match {
	all := slices.Clone(s.matches)
	slices.SortStableFunc(all, func(a, b match) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(b.to, a.to))
	})
	var apart []match
	for _, m := range all {
		if n := len(apart); n > 0 && m.from < apart[n-1].to {
			apart[n-1].to = max(apart[n-1].to, m.to)
			continue
		}
		apart = append(apart, m)
	}
	return apart
}

// whole moves a position to the front of the value it is inside of.
func (s *scan) whole(at int) int {
	for _, m := range s.merged() {
		if m.from < at && at < m.to {
			return m.from
		}
	}
	return at
}

// cut returns the text up to a position without the values; from is where it begins.
func (s *scan) cut(text string, from, to int) string {
	var out strings.Builder
	at := from
	for _, m := range s.merged() {
		if m.to <= at || m.from >= to {
			continue
		}
		out.WriteString(text[at-from : max(at, m.from)-from])
		out.WriteString("[secret:" + m.name + "]")
		at = m.to
	}
	out.WriteString(text[at-from : to-from])
	return out.String()
}

// forget drops what lies before a position.
func (s *scan) forget(before int) {
	n := 0
	for n < len(s.matches) && s.matches[n].to <= before {
		n++
	}
	s.matches, s.gone = s.matches[n:], s.gone+n
}
