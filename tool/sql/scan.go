package sql

import (
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// statement is the text of one SQL statement as far as it has to be understood.
type statement struct {
	end   int      // where it ends in the query, before its semicolon
	plain string   // with comments and quoted text as blanks
	named []string // the names of its :parameters, sorted, each once
}

// scan finds the end of the one statement in a query and refuses a second one.
func scan(query string) (statement, error) {
	plain := []byte(query)
	s := statement{end: len(query)}
	for i := 0; i < len(query); {
		end, err := skip(query, i)
		if err != nil {
			return s, err
		}
		switch {
		case end > i: // quoted text or a comment
			for j := i; j < end; j++ {
				plain[j] = ' '
			}
			i = end
			continue
		case query[i] == ';' && s.end == len(query):
			s.end = i
		case s.end < len(query) && query[i] != ';' && strings.IndexByte(" \t\r\n\f", query[i]) < 0:
			return s, durable.Errorf(durable.CodeInvalid, "query: more than one statement: send them one by one")
		case query[i] == ':':
			name := word(query[i+1:])
			if name != "" && !slices.Contains(s.named, name) {
				s.named = append(s.named, name)
			}
			i += len(name)
		}
		i++
	}
	slices.Sort(s.named)
	s.plain = string(plain[:s.end])
	return s, nil
}

// word returns the identifier at the beginning of s.
func word(s string) string {
	n := 0
	for n < len(s) && identifier("a"+s[n:n+1]) {
		n++
	}
	return s[:n]
}

// skip returns the end of the quoted text or comment that begins at i, or i.
func skip(query string, i int) (int, error) {
	var closing string
	switch c := query[i]; {
	case c == '\'' || c == '"' || c == '`':
		closing = string(c)
	case c == '[':
		closing = "]"
	case strings.HasPrefix(query[i:], "--"):
		if n := strings.IndexByte(query[i:], '\n'); n >= 0 {
			return i + n + 1, nil
		}
		return len(query), nil
	case strings.HasPrefix(query[i:], "/*"):
		if n := strings.Index(query[i+2:], "*/"); n >= 0 {
			return i + 2 + n + 2, nil
		}
		return len(query), nil // SQLite takes an unclosed comment as one to the end
	default:
		return i, nil
	}
	// A doubled quote ends one text and begins the next, which comes to the same.
	n := strings.Index(query[i+1:], closing)
	if n < 0 {
		return i, durable.Errorf(durable.CodeInvalid, "query: a %s at offset %d is never closed", query[i:i+1], i)
	}
	return i + 1 + n + 1, nil
}
