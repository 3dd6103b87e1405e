package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/suggest"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
)

type mcpCmd struct {
	List  mcpListCmd  `cmd:"" help:"List the MCP servers of a file."`
	Test  mcpTestCmd  `cmd:"" help:"Connect to MCP servers and tell what they have."`
	Call  mcpCallCmd  `cmd:"" help:"Call a tool of an MCP server by hand."`
	Trust mcpTrustCmd `cmd:"" help:"Accept tools that are not as they were when they were first used."`
	Login mcpLoginCmd `cmd:"" help:"Log in to a remote MCP server."`
	Serve mcpServeCmd `cmd:"" help:"Offer agents to an MCP client, over standard input and output."`
}

// mcpFile is where the servers are declared.
type mcpFile struct {
	File string `help:"An orpine file, or a .mcp.json; default orpine.yaml, else .mcp.json." short:"f" placeholder:"FILE"`
}

// servers reads the declarations of a file.
func (m mcpFile) servers(a *app) ([]tool.Declaration, error) {
	path := m.File
	if path == "" {
		for _, name := range []string{"orpine.yaml", ".mcp.json"} {
			if _, err := os.Stat(name); err == nil {
				path = name
				break
			}
		}
	}
	if path == "" {
		return nil, durable.Errorf(durable.CodeNotFound, "there is no orpine.yaml and no .mcp.json here: name a file with --file")
	}
	if filepath.Ext(path) == ".json" {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, durable.Errorf(durable.CodeNotFound, "%w", err)
		}
		list, err := mcp.ReadFile(data)
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return list, err
	}
	f, err := config.Load(path, a.env)
	if err != nil {
		return nil, err
	}
	gear, err := a.outfit()
	if err != nil {
		return nil, err
	}
	return gear.Servers(f)
}

// server finds one of them by its name.
func (m mcpFile) server(a *app, name string) (tool.Declaration, error) {
	list, err := m.servers(a)
	if err != nil {
		return tool.Declaration{}, err
	}
	var known []string
	for _, d := range list {
		if d.Name == name {
			return d, nil
		}
		known = append(known, d.Name)
	}
	return tool.Declaration{}, durable.Errorf(durable.CodeNotFound, "no server %q is declared; %s", name, suggest.Name(name, known, "there are"))
}

type mcpListCmd struct{ mcpFile }

// Help implements kong.HelpProvider.
func (mcpListCmd) Help() string {
	return `Nothing is started and nobody is asked.

Examples:
  orpine mcp list
  orpine mcp list --file .mcp.json -o json`
}

// Run lists the servers of a file.
func (c *mcpListCmd) Run(_ context.Context, a *app) error {
	list, err := c.servers(a)
	if err != nil {
		return err
	}
	l := listing{head: []string{"SERVER", "HOW"}}
	for _, d := range list {
		var declared struct {
			Server mcp.Server `json:"server"`
		}
		if err := json.Unmarshal(d.Config, &declared); err != nil {
			return err
		}
		how := declared.Server.URL
		if how == "" {
			how = strings.Join(append([]string{declared.Server.Command}, declared.Server.Args...), " ")
		}
		l.rows = append(l.rows, []string{d.Name, how})
		l.names, l.values = append(l.names, d.Name), append(l.values, d)
	}
	return a.print(l)
}

type mcpTestCmd struct {
	Servers []string `arg:"" optional:"" help:"The servers; default all."`
	mcpFile
}

// Help implements kong.HelpProvider.
func (mcpTestCmd) Help() string {
	return `Each server is started or reached where runs are driven: here, by the process that owns the data directory,
or by the server that --server names. Nothing is pinned. Exit code 3 when one cannot be used.

Examples:
  orpine mcp test
  orpine mcp test files -o json`
}

// Run connects to servers.
func (c *mcpTestCmd) Run(ctx context.Context, a *app) error {
	list, err := c.servers(a)
	if err != nil {
		return err
	}
	for _, name := range c.Servers {
		if _, err := c.server(a, name); err != nil {
			return err
		}
	}
	l := listing{head: []string{"SERVER", "STATUS", "IS", "PROTOCOL", "TOOLS", "CHANGED"}}
	bad := 0
	err = a.desk(ctx, func(r remote) error {
		for _, d := range list {
			if len(c.Servers) > 0 && !slices.Contains(c.Servers, d.Name) {
				continue
			}
			found, err := inspect(ctx, r, d)
			row := []string{d.Name, sound, found.Name, found.Protocol, fmt.Sprint(len(found.Tools)), fmt.Sprint(len(found.Changes))}
			if err != nil {
				bad++
				row = []string{d.Name, broken, oneLine(err.Error(), 300), "-", "-", "-"}
			}
			l.rows = append(l.rows, row)
			l.names, l.values = append(l.names, d.Name), append(l.values, found)
		}
		return nil
	})
	if err == nil {
		err = a.print(l)
	}
	if err == nil && bad > 0 {
		err = environmentError{fmt.Errorf("%d of %s cannot be used", bad, counted(len(l.rows), "server"))}
	}
	return err
}

// inspect has a server tell what it has.
func inspect(ctx context.Context, r remote, d tool.Declaration) (mcp.Found, error) {
	var found mcp.Found
	text, err := r.InspectPeer(ctx, client.Peer{Name: d.Name, Config: d.Config})
	if err == nil {
		err = json.Unmarshal(text, &found)
	}
	return found, err
}

type mcpCallCmd struct {
	Tool string `arg:"" help:"SERVER/TOOL."`
	Args string `arg:"" optional:"" help:"The arguments, as a JSON object." default:"{}"`
	mcpFile
}

// Help implements kong.HelpProvider.
func (mcpCallCmd) Help() string {
	return `Calls the tool once, from here, as a person does: no policy is asked, nothing is recorded and nothing is pinned.

Examples:
  orpine mcp call files/list_directory '{"path": "."}'`
}

// Run calls a tool.
func (c *mcpCallCmd) Run(ctx context.Context, a *app) error {
	server, _, ok := strings.Cut(c.Tool, "/")
	if !ok {
		return durable.Errorf(durable.CodeInvalid, "%q is not SERVER/TOOL", c.Tool)
	}
	d, err := c.server(a, server)
	if err != nil {
		return err
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	loose := gear.Loose()
	result, err := callOnce(ctx, loose, d, tool.Call{Name: c.Tool, Args: json.RawMessage(c.Args)})
	if err = errors.Join(err, loose.Close()); err != nil {
		return err
	}
	err = a.print(listing{single: true, rows: [][]string{{result.Content}}, values: []any{result}})
	if err == nil && result.Error {
		err = durable.Errorf(durable.CodeInvalid, "the call of %s failed", c.Tool)
	}
	return err
}

func callOnce(ctx context.Context, c *mcp.Client, d tool.Declaration, call tool.Call) (tool.Result, error) {
	listed, err := c.Source(ctx, d)
	if err != nil {
		return tool.Result{}, err
	}
	var tools []tool.Tool
	for _, one := range listed {
		if one.Name == call.Name {
			t, err := c.Make(one)
			if err != nil {
				return tool.Result{}, err
			}
			tools = append(tools, t)
		}
	}
	if len(tools) == 0 {
		var known []string
		for _, one := range listed {
			known = append(known, one.Name)
		}
		return tool.Result{}, durable.Errorf(durable.CodeNotFound, "there is no %s; %s", call.Name, suggest.Name(call.Name, known, "there are"))
	}
	r, err := tool.NewRegistry(tools...)
	if err != nil {
		return tool.Result{}, err
	}
	kept := &notes{values: map[string][]byte{}}
	return r.Dispatch(durable.WithAttempt(ctx, &durable.Attempt{Key: "by hand", Number: 1, Blobs: kept, Emit: func(string, json.RawMessage) {}}), call)
}

// notes are the values of a call that is not part of a run: they are gone with it.
type notes struct{ values map[string][]byte }

// Put implements durable.Blobs.
func (n *notes) Put(_ context.Context, data []byte) (durable.Ref, error) {
	ref := durable.RefOf(data)
	n.values[ref.Hash] = data
	return ref, nil
}

// Get implements durable.Blobs.
func (n *notes) Get(_ context.Context, ref durable.Ref) ([]byte, error) {
	if data, ok := n.values[ref.Hash]; ok {
		return data, nil
	}
	return nil, durable.Errorf(durable.CodeNotFound, "no value %s", ref.Hash)
}

type mcpTrustCmd struct {
	Server string   `arg:"" help:"The server."`
	Tool   []string `help:"Only these tools, as the server calls them; may be repeated." placeholder:"NAME"`
	Yes    bool     `short:"y" help:"Accept without asking."`
	mcpFile
}

// Help implements kong.HelpProvider.
func (mcpTrustCmd) Help() string {
	return `What a tool is called, says and takes is pinned when it is first used. If the server changes that later, calls of
it are refused: what it says is read by the model. This shows what has changed and, once you have looked at
it, accepts it.

Examples:
  orpine mcp trust files
  orpine mcp trust files --tool read_file --yes`
}

// Run shows what has changed and accepts it.
func (c *mcpTrustCmd) Run(ctx context.Context, a *app) error {
	d, err := c.server(a, c.Server)
	if err != nil {
		return err
	}
	return a.desk(ctx, func(r remote) error {
		found, err := inspect(ctx, r, d)
		if err != nil {
			return err
		}
		changes := slices.DeleteFunc(found.Changes, func(x mcp.Change) bool { return len(c.Tool) > 0 && !slices.Contains(c.Tool, x.Tool) })
		if len(changes) == 0 {
			fmt.Fprintf(a.stderr, "nothing of %s has changed\n", c.Server)
			return a.print(listing{})
		}
		l := listing{}
		for _, x := range changes {
			l.rows = append(l.rows, []string{fmt.Sprintf("%s: %s\n%s", x.Tool, x.Summary, indented(x.Diff))})
			l.names, l.values = append(l.names, x.Tool), append(l.values, x)
		}
		if err := a.print(l); err != nil {
			return err
		}
		if yes, err := c.sure(ctx, a, len(changes)); err != nil || !yes {
			return err
		}
		text, err := json.Marshal(changes)
		if err != nil {
			return err
		}
		if err := r.TrustPeer(ctx, text); err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "accepted: %s of %s\n", counted(len(changes), "tool"), c.Server)
		return nil
	})
}

// sure asks the person at the terminal.
func (c *mcpTrustCmd) sure(ctx context.Context, a *app, n int) (bool, error) {
	if c.Yes {
		return true, nil
	}
	if !a.talks() {
		return false, durable.Errorf(durable.CodeInvalid, "look at what has changed, and say --yes to accept it")
	}
	said, err := a.line(ctx, "accept "+counted(n, "change")+"? yes or no ")
	return err == nil && said == "yes", err
}

type mcpLoginCmd struct {
	Server string `arg:"" help:"The server."`
	mcpFile
}

// Help implements kong.HelpProvider.
func (mcpLoginCmd) Help() string {
	return `Prints an address to open in a browser, and waits until the login has come back. It is kept among the secrets of
the data directory.

Examples:
  orpine mcp login github`
}

// Run logs in to a remote server.
func (c *mcpLoginCmd) Run(ctx context.Context, a *app) error {
	d, err := c.server(a, c.Server)
	if err != nil {
		return err
	}
	gear, err := a.outfit()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(a.flags.Data, 0o700); err != nil {
		return environmentError{err}
	}
	err = gear.MCP().Login(ctx, d, func(url string) error {
		_, err := fmt.Fprintln(a.stdout, url)
		return err
	})
	if err == nil {
		fmt.Fprintf(a.stderr, "logged in to %s\n", c.Server)
	}
	return err
}
