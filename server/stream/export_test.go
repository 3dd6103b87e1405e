package stream

// ParsePosition reads a position and writes it again.
func ParsePosition(text string) (string, error) {
	p, err := parsePosition(text)
	return p.String(), err
}
