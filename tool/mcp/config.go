package mcp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp/login"
)

// Kind is the kind of the declarations this package makes and understands.
const Kind = "mcp"

// The transports of a [Server].
const (
	stdio = "stdio"
	web   = "http" // streamable HTTP
	sse   = "sse"  // HTTP with SSE, the transport of 2024-11-05
)

// Server is how a server is reached, and what its tools may do. The first fields are those that
// an entry of mcpServers in a .mcp.json has; ${NAME} and ${NAME:-default} in them stand for
// variables of the environment, and ${secret:NAME}, in headers and in OAuth only, for a secret.
// They are filled in when the server is connected to, so none of their values is in a definition.
type Server struct {
	Type    string            `json:"type,omitempty"` // stdio, http or sse; default by what else there is
	Command string            `json:"command,omitempty"`
	Args    []string          `json:"args,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Dir     string            `json:"cwd,omitempty"`
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"` // sent to the host of the URL only
	Timeout Duration          `json:"timeout,omitzero"`  // of one call; default that of tools, two minutes

	// Effects says what calling a tool does, by its name or a pattern of it. A name beats a
	// pattern, and a longer pattern a shorter one. A tool that none names is irreversible.
	Effects map[string]durable.Effect `json:"effects,omitempty"`
	// Flow changes what is assumed of the server: that what it returns is the words of a
	// stranger, and that what a remote one is told leaves the house.
	Flow *Flow `json:"flow,omitempty"`
	// Tools are names or patterns of the tools that are taken; default all.
	Tools []string `json:"tools,omitempty"`
	// Resources and Prompts say whether those of the server are offered, as the tools
	// list_resources, read_resource, list_prompts and get_prompt; default yes, where it has any.
	Resources *bool `json:"resources,omitempty"`
	Prompts   *bool `json:"prompts,omitempty"`
	// Ask says whether the server may put questions to a person (elicitation); default yes.
	Ask *bool `json:"ask,omitempty"`
	// Calls bounds how many calls are under way at once; default 16.
	Calls int `json:"calls,omitempty"`
	// MaxResult is how many bytes of text a call returns; what is longer is kept whole as a blob
	// and named. Default 1 MB.
	MaxResult int `json:"max_result,omitempty"`
	// Protocol is the newest revision that is spoken with the server; default the newest known.
	Protocol string `json:"protocol,omitempty"`
	// Sandbox is what the process of a server over stdio may touch, for whoever starts it.
	Sandbox json.RawMessage `json:"sandbox,omitempty"`
	OAuth   *OAuth          `json:"oauth,omitempty"`
}

// Flow is what of [tool.Flow] is said of a server; nil fields stay as they are.
type Flow struct {
	Untrusted *bool `json:"untrusted,omitempty"`
	Private   *bool `json:"private,omitempty"`
	Egress    *bool `json:"egress,omitempty"`
}

// OAuth is how a remote server is told who asks. Without it a server that demands OAuth is
// logged in to with a client that is registered on the spot (RFC 7591).
type OAuth struct {
	ClientID     string `json:"client_id,omitempty"`     // one that was registered before, or the https:// address of a document that describes us
	ClientSecret string `json:"client_secret,omitempty"` // as ${secret:NAME}
	// Grant is authorization_code, for which a person logs in once, or client_credentials,
	// which needs nobody. Default authorization_code.
	Grant string `json:"grant,omitempty"`
	// Scopes are asked for in place of those that the server names.
	Scopes []string `json:"scopes,omitempty"`
}

// Duration is a time.Duration that is written as "30s". A number is read as milliseconds, as in
// the files of other clients.
type Duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON implements json.Unmarshaler. Error: invalid.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var number float64
	if json.Unmarshal(data, &number) == nil {
		const most = 1e12 // some 30 years
		if !(number >= 0 && number < most) {
			return durable.Errorf(durable.CodeInvalid, "%s is no time in milliseconds", data)
		}
		*d = Duration(number * float64(time.Millisecond))
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return durable.Errorf(durable.CodeInvalid, `%s is no time; write one as "30s"`, data)
	}
	parsed, err := time.ParseDuration(text)
	if err != nil || parsed < 0 {
		return durable.Errorf(durable.CodeInvalid, `%q is no time; write one as "30s"`, text)
	}
	*d = Duration(parsed)
	return nil
}

// declared is the config of a declaration: of a server, or of one of its tools.
type declared struct {
	Server Server  `json:"server"`
	Tool   *Listed `json:"tool,omitempty"`
}

// nameRule is what the name of a server may be: it is the first part of the names of its tools.
var nameRule = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,31}$`) })

// Declare makes the declaration of a server, of which [Client.Source] lists the tools. Error:
// invalid.
func Declare(name string, s Server) (tool.Declaration, error) {
	if err := s.check(name); err != nil {
		return tool.Declaration{}, err
	}
	config, err := json.Marshal(declared{Server: s})
	if err != nil {
		return tool.Declaration{}, durable.Errorf(durable.CodeInvalid, "MCP server %s: %w", name, err)
	}
	return tool.Declaration{Name: name, Kind: Kind, Config: config}, nil
}

// parse reads the config of a declaration of a server or a tool.
func parse(d tool.Declaration) (server string, c declared, err error) {
	server, _, _ = strings.Cut(d.Name, "/")
	dec := json.NewDecoder(bytes.NewReader(d.Config))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return server, c, durable.Errorf(durable.CodeInvalid, "MCP server %s: %w; the fields of a server are in docs/mcp.md", server, err)
	}
	return server, c, c.Server.check(server)
}

// transport is how the server is reached.
func (s Server) transport() string {
	switch {
	case s.Type == "streamable-http" || s.Type == "streamableHttp": // as some clients write it
		return web
	case s.Type != "":
		return s.Type
	case s.URL != "":
		return web
	}
	return stdio
}

// check refuses what cannot be meant. Error: invalid.
func (s Server) check(name string) error {
	fail := func(format string, args ...any) error {
		return durable.Errorf(durable.CodeInvalid, "MCP server %s: %s", name, fmt.Sprintf(format, args...))
	}
	if !nameRule().MatchString(name) {
		return durable.Errorf(durable.CodeInvalid, "%q is no name of an MCP server: it begins with a letter and has up to 32 letters, digits, _ and -", name)
	}
	switch kind := s.transport(); {
	case kind != stdio && kind != web && kind != sse:
		return fail("type %q; there are stdio, http and sse", kind)
	case s.Command != "" && s.URL != "":
		return fail("say a command or a url, not both")
	case kind == stdio && s.Command == "":
		return fail("it needs a command, or a url where it is remote")
	case kind != stdio && s.URL == "":
		return fail("type %s needs a url", kind)
	case kind != stdio:
		if !strings.Contains(s.URL, "${") && !isURL(s.URL) { // else it is looked at when it is known
			return fail("url %q; want one that begins with https:// or http://", s.URL)
		}
	}
	if err := s.checkSecrets(fail); err != nil {
		return err
	}
	for _, pattern := range slices.Concat(s.Tools, slices.Collect(maps.Keys(s.Effects))) {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fail("%q is no name of a tool, nor a pattern of one", pattern)
		}
	}
	for pattern, effect := range s.Effects {
		switch effect {
		case durable.Read, durable.Idempotent, durable.Irreversible:
		default:
			return fail("the effect of %s is read, idempotent or irreversible, not %q", pattern, effect)
		}
	}
	if s.Calls < 0 || s.MaxResult < 0 || s.Timeout < 0 {
		return fail("calls, max_result and timeout are not negative")
	}
	if o := s.OAuth; o != nil {
		switch {
		case o.Grant != "" && o.Grant != login.GrantCode && o.Grant != login.GrantClient:
			return fail("the grant of oauth is %s or %s, not %q", login.GrantCode, login.GrantClient, o.Grant)
		case o.Grant == login.GrantClient && (o.ClientID == "" || o.ClientSecret == ""):
			return fail("the grant %s needs a client_id and a client_secret", login.GrantClient)
		}
	}
	return nil
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// checkSecrets keeps secrets out of where others on this machine, and error messages, see them.
func (s Server) checkSecrets(fail func(string, ...any) error) error {
	places := map[string]string{"command": s.Command, "cwd": s.Dir, "url": s.URL, "args": strings.Join(s.Args, " ")}
	for name, value := range s.Env {
		places["env "+name] = value
	}
	for _, place := range slices.Sorted(maps.Keys(places)) {
		if strings.Contains(places[place], "${secret:") {
			return fail("%s holds a secret: those go into headers and oauth only; "+
				"what a process is started with can be read by others, so name a variable of the environment, as ${NAME}, if that is wanted", place)
		}
	}
	return nil
}

// effect is what calling a tool does.
func (s Server) effect(name string, otherwise durable.Effect) durable.Effect {
	if e, ok := s.Effects[name]; ok {
		return e
	}
	patterns := slices.SortedFunc(maps.Keys(s.Effects), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	for _, p := range patterns {
		if tool.Matches(p, name) {
			return s.Effects[p]
		}
	}
	return otherwise
}

// flow is what calling one of its tools does to what an agent knows.
func (s Server) flow() tool.Flow {
	f := tool.Flow{Untrusted: true, Egress: s.transport() != stdio}
	if s.Flow == nil {
		return f
	}
	for _, over := range []struct {
		said *bool
		is   *bool
	}{{s.Flow.Untrusted, &f.Untrusted}, {s.Flow.Private, &f.Private}, {s.Flow.Egress, &f.Egress}} {
		if over.said != nil {
			*over.is = *over.said
		}
	}
	return f
}

// takes reports whether a tool is one of those that are taken.
func (s Server) takes(name string) bool {
	return len(s.Tools) == 0 || slices.ContainsFunc(s.Tools, func(p string) bool { return tool.Matches(p, name) })
}

func yes(said *bool) bool { return said == nil || *said }
