package mcp

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// ReadFile makes declarations of a .mcp.json as other clients have it: {"mcpServers": {NAME:
// {...}}}, sorted by name. Variables stay as they are written until a server is connected to.
// Fields of other clients are ignored, except those without which an entry would mean something
// else. Error: invalid.
func ReadFile(data []byte) ([]tool.Declaration, error) {
	var file struct {
		Servers map[string]json.RawMessage `json:"mcpServers"`
		Code    map[string]json.RawMessage `json:"servers"` // the word of another editor
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the file is not JSON as a .mcp.json is: %w", err)
	}
	if file.Servers == nil {
		if file.Code != nil {
			return nil, durable.Errorf(durable.CodeInvalid, `the file has "servers", which is the form of another program; call it "mcpServers"`)
		}
		return nil, durable.Errorf(durable.CodeInvalid, `the file has no "mcpServers"; want {"mcpServers": {"NAME": {"command": "..."}}}`)
	}
	var list []tool.Declaration
	for _, name := range slices.Sorted(maps.Keys(file.Servers)) {
		s, off, err := readEntry(name, file.Servers[name])
		if err != nil {
			return nil, err
		}
		if off {
			continue
		}
		d, err := Declare(name, s)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

// meaning are fields of other clients that change what an entry means, and what to do instead.
var meaning = [...]struct{ field, instead string }{
	{"headersHelper", "it runs a command for headers: write them as headers, with ${secret:NAME} or ${NAME}"},
	{"envFile", "it reads variables from a file: name them in env, as ${NAME}"},
	{"inputs", "it asks for values: name variables of the environment, as ${NAME}"},
	{"sandbox", "the sandbox of a server is set where its tools are declared"},
}

// readEntry reads one entry; off = it is switched off.
func readEntry(name string, data json.RawMessage) (s Server, off bool, err error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil || fields == nil {
		return s, false, durable.Errorf(durable.CodeInvalid, "MCP server %s: its entry must be an object", name)
	}
	for _, m := range meaning {
		if _, has := fields[m.field]; has {
			return s, false, durable.Errorf(durable.CodeInvalid, "MCP server %s: %s is not known here: %s", name, m.field, m.instead)
		}
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, false, durable.Errorf(durable.CodeInvalid, "MCP server %s: %w", name, err)
	}
	_ = json.Unmarshal(fields["disabled"], &off) // what is no bool switches nothing off
	return s, off, nil
}

// piece is a part of a text with variables: literal text, or one ${...}.
type piece struct {
	text     string // the literal, or all of ${...}
	name     string // of the variable; "" = literal
	fallback string
	hasOther bool // there is a fallback
	secret   bool
}

// pieces takes a text with variables apart. What only looks like a variable is literal text.
func pieces(text string) []piece {
	var list []piece
	literal := func(s string) {
		if s != "" {
			list = append(list, piece{text: s})
		}
	}
	for {
		before, rest, found := strings.Cut(text, "${")
		inside, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			literal(text)
			return list
		}
		p := piece{text: "${" + inside + "}"}
		p.name, p.fallback, p.hasOther = strings.Cut(inside, ":-")
		if name, ok := strings.CutPrefix(inside, "secret:"); ok {
			p = piece{text: p.text, name: name, secret: true}
		}
		if !variable(p.name) {
			literal(before + "${")
			text = rest
			continue
		}
		literal(before)
		list = append(list, p)
		text = after
	}
}

// variable reports whether a text can be the name of a variable or a secret.
func variable(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' && c != '/'
	})
}
