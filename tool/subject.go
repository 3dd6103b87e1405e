package tool

import (
	"net/url"
	"path"
	"strings"
)

// subject is what a call is about, as far as rules need to know.
type subject struct {
	texts  []string   // what must be allowed, each; none = nothing is known of it
	guises [][]string // of each, the ways in which it may be meant by who denies it
	plain  bool       // there is nothing else in it
	sure   bool       // and nothing of it is hidden
}

// subjectOf reads what a call is about.
func subjectOf(kind SubjectKind, text string) subject {
	one := func(text string, sure bool) subject {
		return subject{texts: []string{text}, guises: [][]string{{text}}, plain: sure, sure: sure}
	}
	switch kind {
	case LineSubject:
		l := readLine(text)
		s := subject{plain: l.plain, sure: l.sure}
		for _, c := range l.commands {
			s.texts, s.guises = append(s.texts, c.text), append(s.guises, c.guises())
		}
		return s
	case PathSubject:
		clean := path.Clean(text)
		s := one(clean, true)
		s.guises[0] = append(s.guises[0], clean+"/") // who denies what is in a folder means the folder too
		return s
	case URLSubject:
		return one(cleanURL(text))
	case TextSubject:
	}
	return one(text, true)
}

// cleanURL is a URL without what can be written in several ways. It is not sure of one whose host
// is not in ASCII: that is mapped to another name before it is looked up.
func cleanURL(text string) (clean string, sure bool) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Opaque != "" || strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' || r == '%' }) {
		return text, false
	}
	host, port := strings.TrimSuffix(strings.ToLower(u.Hostname()), "."), u.Port()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" && port != map[string]string{"http": "80", "https": "443"}[u.Scheme] {
		host += ":" + port
	}
	way := path.Clean("/" + strings.ReplaceAll(u.Path, `\`, "/"))
	if strings.HasSuffix(u.Path, "/") && way != "/" {
		way += "/"
	}
	u.User, u.Host, u.Path, u.RawPath, u.Fragment, u.RawFragment = nil, host, way, "", "", ""
	return u.String(), true
}

// fits reports whether a pattern is that of a text. That of a URL has two parts, so that a * for a
// part of the host does not go on into the path.
func (k SubjectKind) fits(pattern, text string) bool {
	if k != URLSubject || !strings.Contains(pattern, "://") {
		return like(pattern, text)
	}
	host, rest := cutURL(pattern)
	is, behind := cutURL(text)
	switch {
	case rest == "" && strings.HasSuffix(host, "*"):
		rest = "*"
	case rest == "":
		rest = "/"
	}
	return like(strings.ToLower(host), is) && like(rest, behind)
}

// cutURL parts a URL in front of its path.
func cutURL(text string) (host, rest string) {
	scheme, behind, _ := strings.Cut(text, "://")
	if i := strings.IndexByte(behind, '/'); i >= 0 {
		behind, rest = behind[:i], behind[i:]
	}
	return scheme + "://" + behind, rest
}
