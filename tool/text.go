package tool

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Clip is a text of at most so many bytes for a message: cut between two characters, with … behind
// it where something was cut, and with U+FFFD for what is no UTF-8.
func Clip(text string, most int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

// Words are the words of a text in lower case, for who looks for some of them; a change from small to
// capital begins one.
func Words(text string) []string {
	var b strings.Builder
	before := ' '
	for _, ch := range text {
		if unicode.IsUpper(ch) && unicode.IsLower(before) {
			b.WriteByte(' ')
		}
		b.WriteRune(unicode.ToLower(ch))
		before = ch
	}
	return strings.FieldsFunc(b.String(), func(ch rune) bool { return !unicode.IsLetter(ch) && !unicode.IsDigit(ch) })
}
