package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/jsonschema-go/jsonschema"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Listed is a tool as its server had it when it was listed, in the config of its declaration.
type Listed struct {
	Name        string          `json:"name"` // as the server calls it
	Description string          `json:"description,omitempty"`
	Input       json.RawMessage `json:"input"`            // JSON Schema of the arguments
	Output      json.RawMessage `json:"output,omitempty"` // JSON Schema of the result
	Hash        string          `json:"hash"`             // of name, description and input; the server must still have the same
	// Changed says how the tool differs from the one that was trusted; calls are refused then. The
	// other fields are those of the trusted one.
	Changed string `json:"changed,omitempty"`
	// Hints is what the server says that the tool does, for people to read. It grants nothing.
	Hints []string `json:"hints,omitempty"`
	// Does names one of our own tools over the resources and prompts of the server.
	Does string `json:"does,omitempty"`
}

// The bounds of what a server lists.
const (
	maxTools       = 1000
	maxDescription = 16 << 10  // bytes
	maxSchema      = 256 << 10 // bytes
)

// Source is the [tool.Source] of the kind: it lists the tools of a declared server, sorted by
// name, and pins those it sees for the first time. A tool that cannot be used, such as one with
// an invalid schema, is left out, and the log says why. Errors: those of the declaration, and
// unavailable for a server that cannot be reached.
func (c *Client) Source(ctx context.Context, d tool.Declaration) ([]tool.Declaration, error) {
	name, config, err := parse(d)
	if err != nil {
		return nil, err
	}
	l, err := c.link(name, config.Server)
	if err != nil {
		return nil, err
	}
	w, leave, err := l.use(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	found, err := w.list(ctx)
	if err != nil {
		return nil, err
	}
	var list []tool.Declaration
	for _, n := range named(found) {
		listed, err := c.listed(ctx, name, n.tool)
		if err != nil {
			if durable.CodeOf(err) != durable.CodeInvalid {
				return nil, err
			}
			c.log.WarnContext(ctx, "a tool of an MCP server is left out", slog.String("server", name), slog.Any("error", err))
			continue
		}
		if !config.Server.takes(n.name) {
			continue
		}
		d, err := declare(name, n.name, config.Server, listed)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	for _, e := range w.extras() {
		if slices.ContainsFunc(list, func(d tool.Declaration) bool { return d.Name == name+"/"+e.Name }) || !config.Server.takes(e.Name) {
			continue // the server has one of this name itself
		}
		d, err := declare(name, e.Name, config.Server, e)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	l.answered()
	return list, nil
}

func declare(server, name string, s Server, l Listed) (tool.Declaration, error) {
	config, err := json.Marshal(declared{Server: s, Tool: &l})
	if err != nil {
		return tool.Declaration{}, durable.Errorf(durable.CodeInvalid, "tool %s/%s: %w", server, name, err)
	}
	return tool.Declaration{Name: server + "/" + name, Kind: Kind, Config: config}, nil
}

// list asks the server for its tools, once for each time that they change.
func (w *wire) list(ctx context.Context) (map[string]*sdk.Tool, error) {
	w.mu.Lock()
	tools, before := w.tools, w.listed
	w.mu.Unlock()
	if tools != nil {
		return tools, nil
	}
	tools = map[string]*sdk.Tool{}
	if caps := w.sdk.InitializeResult().Capabilities; caps != nil && caps.Tools == nil {
		return tools, nil
	}
	ctx, stop := w.bound(ctx)
	defer stop()
	var cursor string
	for pages := 0; ; pages++ {
		page, err := w.sdk.ListTools(ctx, &sdk.ListToolsParams{Cursor: cursor})
		if err != nil {
			return nil, w.listError(ctx, err)
		}
		for _, t := range page.Tools {
			if _, twice := tools[t.Name]; !twice {
				tools[t.Name] = t
			}
		}
		if len(tools) > maxTools || pages > maxTools {
			return nil, w.link.fail(durable.CodeInvalid, fmt.Errorf("it lists more than %d tools", maxTools))
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listed == before {
		w.tools, w.hashes = tools, map[*sdk.Tool]string{}
	}
	return tools, nil
}

// listError says why there is no list.
func (w *wire) listError(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return w.link.fail(durable.CodeUnavailable, w.explain(fmt.Errorf("list its tools: %w", err)))
}

// checked reports whether a tool, as the server listed it, was found to have a hash.
func (w *wire) checked(t *sdk.Tool, hash string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hashes[t] == hash
}

// check takes note of the hash of a tool.
func (w *wire) check(t *sdk.Tool, hash string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tools[t.Name] == t {
		w.hashes[t] = hash
	}
}

// stale has the tools listed again.
func (w *wire) stale() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tools = nil
	w.listed++
}

type namedTool struct {
	name string // its part of our name for it
	tool *sdk.Tool
}

// named gives tools names that a policy and a provider can deal with, sorted. It depends on the
// names alone, not on their order: a tool whose name fits keeps it, and one whose name would be
// the same is told apart by a part of its hash.
func named(tools map[string]*sdk.Tool) []namedTool {
	var list []namedTool
	for name, t := range tools {
		fit := fitting(name)
		if _, taken := tools[fit]; fit != name && (taken || crowded(tools, name, fit)) {
			fit = clipName(fit, 40) + "_" + durable.RefOf([]byte(name)).Hash[:8]
		}
		list = append(list, namedTool{fit, t})
	}
	slices.SortFunc(list, func(a, b namedTool) int { return strings.Compare(a.name, b.name) })
	return list
}

// crowded reports whether another tool would get the same name.
func crowded(tools map[string]*sdk.Tool, name, fit string) bool {
	for other := range tools {
		if other != name && fitting(other) == fit {
			return true
		}
	}
	return false
}

// maxName is how long our name for a tool of a server is, in bytes.
const maxName = 64

// fitting puts _ for what is no letter, digit, _ or -.
func fitting(name string) string {
	fit := strings.Map(func(c rune) rune {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return '_'
		}
		return c
	}, name)
	if len(fit) > maxName {
		fit = clipName(fit, 40) + "_" + durable.RefOf([]byte(name)).Hash[:8]
	}
	return fit
}

func clipName(s string, most int) string { return s[:min(len(s), most)] }

// listed takes down a tool: as it was trusted, where it has changed since. Errors: invalid for
// one that cannot be used, those of the pins.
func (c *Client) listed(ctx context.Context, server string, t *sdk.Tool) (Listed, error) {
	l, err := asListed(server, t)
	if err != nil || c.cfg.Pins == nil {
		return l, err
	}
	now := pinOf(server, l)
	pin, there, err := c.cfg.Pins.Get(ctx, server, l.Name)
	if err == nil && !there {
		err = c.cfg.Pins.Put(ctx, now)
	}
	if err != nil {
		return l, &durable.Error{Code: durable.CodeUnavailable, Op: fmt.Sprintf("MCP server %s: look up what tool %s was", server, t.Name), Err: err}
	}
	if there && pin.Hash != l.Hash {
		l.Description, l.Input, l.Hash = pin.Description, pin.Input, pin.Hash
		l.Changed = summary(pin, now)
	}
	return l, nil
}

// asListed takes down a tool as it is. Error: invalid.
func asListed(server string, t *sdk.Tool) (Listed, error) {
	l := Listed{Name: t.Name, Description: strings.ToValidUTF8(t.Description, "�"), Hints: hints(t.Annotations)}
	fail := func(format string, args ...any) (Listed, error) {
		return l, durable.Errorf(durable.CodeInvalid, "MCP server %s: tool %.80q: %s", server, t.Name, fmt.Sprintf(format, args...))
	}
	if t.Name == "" || !utf8.ValidString(t.Name) || len(t.Name) > 256 {
		return fail("its name is empty, too long or no text")
	}
	if len(l.Description) > maxDescription {
		return fail("its description is longer than %d bytes", maxDescription)
	}
	var err error
	if l.Input, err = schemaOf(t.InputSchema); err != nil {
		return fail("the schema of its arguments: %v", err)
	}
	if t.OutputSchema != nil {
		if l.Output, err = schemaOf(t.OutputSchema); err != nil {
			return fail("the schema of its result: %v", err)
		}
	}
	l.Hash = hashOf(pinned{l.Name, l.Description, l.Input})
	return l, nil
}

// schemaOf checks a schema. One of the arguments must be that of an object; servers leave the
// type out.
func schemaOf(v any) (json.RawMessage, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(data) > maxSchema {
		return nil, fmt.Errorf("it is longer than %d bytes", maxSchema)
	}
	if string(data) == "null" {
		return json.RawMessage(`{"type":"object"}`), nil
	}
	_, err = resolve(data)
	return data, err
}

// resolve makes a schema usable. References to other documents are not followed.
func resolve(data json.RawMessage) (*jsonschema.Resolved, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, err
	}
	return s.Resolve(nil)
}

// hints is what a server says of a tool, in words.
func hints(a *sdk.ToolAnnotations) []string {
	if a == nil {
		return nil
	}
	var list []string
	for _, h := range []struct {
		is   bool
		word string
	}{
		{a.ReadOnlyHint, "read-only"},
		{a.IdempotentHint, "idempotent"},
		{a.DestructiveHint != nil && *a.DestructiveHint, "destructive"},
		{a.OpenWorldHint != nil && *a.OpenWorldHint, "open-world"},
	} {
		if h.is {
			list = append(list, h.word)
		}
	}
	return list
}

// hashOf names a value by its JSON.
func hashOf(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("mcp: a checked value does not marshal: %v", err))
	}
	return durable.RefOf(data).Hash
}
