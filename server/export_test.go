package server

// What the fuzz tests reach into the package for.
var (
	CheckText   = checkText
	ParseCursor = parseCursor
	CursorOf    = cursorOf
)

// ParsePosition reads a position and writes it again.
func ParsePosition(text string) (string, error) {
	p, err := parsePosition(text)
	return p.String(), err
}
