package tool

import (
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/durable"
)

// nameRule is the form of a name: what every provider takes for that of a function, and behind a
// slash what an MCP server may call a tool.
var nameRule = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}(/[A-Za-z0-9_.-]{1,128})?$`)
})

// wireMax is the longest name that every provider takes.
const wireMax = 64

// WireName is what a model is told that a tool is called: the name itself where every provider
// takes it, else one of up to 64 letters, digits, _ and -, with __ for the slash.
func WireName(name string) string {
	wire := strings.ReplaceAll(name, "/", "__")
	plain := strings.ReplaceAll(wire, ".", "_")
	if plain == wire && len(wire) <= wireMax {
		return wire
	}
	const mark = 8 // of a hash, so that no two names become one
	tail := "_" + durable.RefOf([]byte(name)).Hash[:mark]
	return plain[:min(len(plain), wireMax-len(tail))] + tail
}

// Matches reports whether a pattern names a tool: * stands for any part of a name, also over a
// slash, ? for one character, [a-c] for one of several. A malformed pattern names none.
func Matches(pattern, name string) bool {
	if !strings.ContainsAny(pattern, `?[\`) {
		return like(pattern, name)
	}
	const slash = "\x00" // no name and no pattern has one
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", slash), strings.ReplaceAll(name, "/", slash))
	return ok && err == nil
}
