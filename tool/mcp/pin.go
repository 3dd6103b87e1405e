package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Pin is what a tool was when it was first used, or trusted again.
type Pin struct {
	Server      string          `json:"server"`
	Tool        string          `json:"tool"` // as the server calls it
	Description string          `json:"description,omitempty"`
	Input       json.RawMessage `json:"input"`
	Hash        string          `json:"hash"` // of the name, the description and the input schema
}

// Pins keeps pins.
type Pins interface {
	// Get returns the pin of a tool; false when there is none.
	Get(ctx context.Context, server, name string) (Pin, bool, error)
	// Put keeps a pin, in place of the one that there is.
	Put(ctx context.Context, p Pin) error
}

// pinned is what the hash of a tool is of.
type pinned struct {
	Name        string          `json:"name"`
	Description string          `json:"description"`
	Input       json.RawMessage `json:"input"`
}

// Change is how a tool differs from what was trusted.
type Change struct {
	Tool    string `json:"tool"`
	Was     Pin    `json:"was"`
	Is      Pin    `json:"is"`
	Summary string `json:"summary"` // what of it is another: no words of the server but names of arguments
	Diff    string `json:"diff"`    // line by line, for people
}

// summary says in a few words what has changed. A model may read it, so it holds nothing of what
// the server says now but the names of arguments.
func summary(was, is Pin) string {
	var parts []string
	if was.Description != is.Description {
		parts = append(parts, fmt.Sprintf("its description is another (%d bytes, it was %d)", len(is.Description), len(was.Description)))
	}
	before, after := properties(was.Input), properties(is.Input)
	var names []string
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if old, had := before[name]; !had {
			names = append(names, "+"+name)
		} else if string(old) != string(after[name]) {
			names = append(names, "~"+name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, has := after[name]; !has {
			names = append(names, "-"+name)
		}
	}
	switch {
	case len(names) > 0:
		parts = append(parts, "its arguments are others: "+tool.Clip(fmt.Sprintf("%q", names), 300))
	case string(was.Input) != string(is.Input):
		parts = append(parts, "the schema of its arguments is another")
	}
	return strings.Join(parts, "; ")
}

func properties(schema json.RawMessage) map[string]json.RawMessage {
	var s struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	_ = json.Unmarshal(schema, &s) // one without properties has none
	return s.Properties
}

// diff shows two pins line by line: what only one of them has.
func diff(was, is Pin) string {
	var b strings.Builder
	before, after := linesOf(was), linesOf(is)
	for _, line := range before {
		if !slices.Contains(after, line) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			fmt.Fprintf(&b, "+ %s\n", line)
		}
	}
	return b.String()
}

func linesOf(p Pin) []string {
	var schema []byte
	var v any
	if json.Unmarshal(p.Input, &v) == nil {
		schema, _ = json.MarshalIndent(v, "", "  ") // it was JSON
	}
	return append(strings.Split(p.Description, "\n"), strings.Split(string(schema), "\n")...)
}

// Found is what a server is and has, for people.
type Found struct {
	Name         string         `json:"name"` // as the server says, with its version
	Protocol     string         `json:"protocol"`
	Instructions string         `json:"instructions,omitempty"`
	Tools        []tool.Spec    `json:"tools"`
	Hints        map[string]any `json:"hints,omitempty"`   // what the server says of its tools, by our names
	Changes      []Change       `json:"changes,omitempty"` // tools that are not as they were trusted
}

// Inspect connects to a declared server and tells what it finds. It pins nothing. Errors: as of
// Source.
func (c *Client) Inspect(ctx context.Context, d tool.Declaration) (Found, error) {
	name, config, err := parse(d)
	if err != nil {
		return Found{}, err
	}
	l, err := c.link(name, config.Server)
	if err != nil {
		return Found{}, err
	}
	w, leave, err := l.use(ctx)
	if err != nil {
		return Found{}, err
	}
	defer leave()
	tools, err := w.list(ctx)
	if err != nil {
		return Found{}, err
	}
	hello := w.sdk.InitializeResult()
	found := Found{Protocol: hello.ProtocolVersion, Instructions: hello.Instructions, Hints: map[string]any{}}
	if hello.ServerInfo != nil {
		found.Name = strings.TrimSpace(hello.ServerInfo.Name + " " + hello.ServerInfo.Version)
	}
	all := []Listed{}
	names := []string{}
	for _, n := range named(tools) {
		listed, err := asListed(name, n.tool)
		if err != nil {
			continue // Source says why
		}
		all, names = append(all, listed), append(names, n.name)
		change, changed, err := c.change(ctx, name, listed)
		if err != nil {
			return Found{}, err
		}
		if changed {
			found.Changes = append(found.Changes, change)
		}
	}
	for _, e := range w.extras() {
		all, names = append(all, e), append(names, e.Name)
	}
	for i, listed := range all {
		if listed.Hints != nil {
			found.Hints[name+"/"+names[i]] = listed.Hints
		}
		t, err := newTool(c, name+"/"+names[i], name, declared{Server: config.Server, Tool: &listed})
		if err != nil {
			return Found{}, err
		}
		found.Tools = append(found.Tools, t.Spec())
	}
	return found, nil
}

// change holds a tool against its pin; one that was not pinned yet has not changed.
func (c *Client) change(ctx context.Context, server string, l Listed) (change Change, changed bool, err error) {
	if c.cfg.Pins == nil {
		return Change{}, false, nil
	}
	was, there, err := c.cfg.Pins.Get(ctx, server, l.Name)
	is := pinOf(server, l)
	if err != nil || !there || was.Hash == is.Hash {
		return Change{}, false, err
	}
	return Change{Tool: l.Name, Was: was, Is: is, Summary: summary(was, is), Diff: diff(was, is)}, true, nil
}

func pinOf(server string, l Listed) Pin {
	return Pin{Server: server, Tool: l.Name, Description: l.Description, Input: l.Input, Hash: l.Hash}
}

// Trust pins tools as [Client.Inspect] found them: what a person has looked at, and not what the
// server has by now. Lists that were made before refuse them still, so a run has them when it
// begins a new segment. Error: conflict where nothing is pinned.
func (c *Client) Trust(ctx context.Context, changes ...Change) error {
	if c.cfg.Pins == nil {
		return durable.Errorf(durable.CodeConflict, "tools are not pinned here, so there is nothing to trust")
	}
	for _, change := range changes {
		if err := c.cfg.Pins.Put(ctx, change.Is); err != nil {
			return err
		}
	}
	return nil
}
