package server

// What the fuzz tests reach into the package for.
var (
	CheckText   = checkText
	ParseCursor = parseCursor
	CursorOf    = cursorOf
)
