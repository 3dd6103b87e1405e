package server

import "time"

// The bound of requests that do not fit, for its test.

// May is may.
func (f *failures) May(from string, now time.Time) bool { return f.may(from, now) }

// Count is count.
func (f *failures) Count(from string, now time.Time) { f.count(from, now) }

// Kept is how many addresses are kept.
func (f *failures) Kept() int { return len(f.by) }

// What the fuzz tests reach into the package for.
var (
	CheckText   = checkText
	ParseCursor = parseCursor
	CursorOf    = cursorOf
	AddressOf   = addressOf
	NewFailures = newFailures
)
