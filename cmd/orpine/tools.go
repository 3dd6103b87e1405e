package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

type toolsCmd struct {
	List   toolsListCmd   `cmd:"" help:"List the tools of an agent."`
	Policy toolsPolicyCmd `cmd:"" help:"Say what becomes of a call, and by which rule."`
}

// inspection is an agent of a file, or of the server that was named, for who looks at its tools.
func (a *app) inspection(ctx context.Context, ref string, find bool) (*agent.Inspection, error) {
	gear, err := a.outfit()
	if err != nil {
		return nil, err
	}
	path, _, _ := strings.Cut(ref, "#")
	var d agent.Definition
	if _, missing := os.Stat(path); missing != nil && a.far() {
		far, err := a.dial()
		if err != nil {
			return nil, err
		}
		there, err := far.Agent(ctx, ref, "")
		if err = closing(err, far); err != nil {
			return nil, err
		}
		if d, err = agent.Decode(there.Definition); err != nil {
			return nil, err
		}
	} else if d, err = a.definition(ref, ""); err != nil {
		return nil, err
	}
	if !find {
		return gear.Inspect(d)
	}
	found, err := gear.Find(ctx, d)
	if err != nil {
		return nil, err
	}
	return gear.Inspect(d, found...)
}

type toolsListCmd struct {
	Agent string `arg:"" help:"FILE, FILE#NAME, or with --server the name of an agent."`
	Find  bool   `help:"Ask MCP servers and API documents for their tools, from here."`
}

// Help implements kong.HelpProvider.
func (toolsListCmd) Help() string {
	return `Tools of MCP servers, and of API documents, are found when a run begins; they are listed as NAME/* unless --find
asks for them now. Nothing is pinned.

Examples:
  orpine tools list agent.yaml
  orpine tools list agent.yaml#keeper -o json`
}

// Run lists the tools of an agent.
func (c *toolsListCmd) Run(ctx context.Context, a *app) error {
	i, err := a.inspection(ctx, c.Agent, c.Find)
	if err != nil {
		return err
	}
	l := listing{head: []string{"TOOL", "EFFECT", "FLOW", "ABOUT", "DESCRIPTION"}}
	for _, s := range i.Specs() {
		l.rows = append(l.rows, []string{s.Name, string(s.Options.Effect), flowText(s.Flow), orDash(s.Subject.Arg), oneLine(s.Description, waitsWidth)})
		l.names, l.values = append(l.names, s.Name), append(l.values, s)
	}
	for _, open := range i.Open() {
		if c.Find {
			break
		}
		l.rows = append(l.rows, []string{open, "-", "-", "-", "found when a run begins"})
		l.names, l.values = append(l.names, open), append(l.values, map[string]string{"Name": open})
	}
	return a.print(l)
}

func flowText(f tool.Flow) string {
	var words []string
	for _, w := range []struct {
		is   bool
		word string
	}{{f.Untrusted, "untrusted"}, {f.Private, "private"}, {f.Egress, "egress"}} {
		if w.is {
			words = append(words, w.word)
		}
	}
	return orDash(strings.Join(words, " "))
}

type toolsPolicyCmd struct {
	Agent  string `arg:"" help:"FILE, FILE#NAME, or with --server the name of an agent."`
	Tool   string `arg:"" help:"The tool."`
	Args   string `arg:"" optional:"" help:"The arguments, as a JSON object; a text is the one that rules are about." default:"{}"`
	Tenant string `help:"In a run of this tenant." placeholder:"NAME"`
	Find   bool   `help:"Ask MCP servers and API documents for their tools, from here."`
}

// Help implements kong.HelpProvider.
func (toolsPolicyCmd) Help() string {
	return `Nothing is called. Exit code 6 when the call would be refused.

Examples:
  orpine tools policy agent.yaml files/read '{"path": "src/main.go"}'
  orpine tools policy agent.yaml shell 'git log | head'`
}

// Run explains a verdict.
func (c *toolsPolicyCmd) Run(ctx context.Context, a *app) error {
	i, err := a.inspection(ctx, c.Agent, c.Find)
	if err != nil {
		return err
	}
	args := json.RawMessage(c.Args)
	if !json.Valid(args) || !strings.HasPrefix(strings.TrimSpace(c.Args), "{") {
		if args, err = c.about(i); err != nil {
			return err
		}
	}
	ruling, err := i.Rule(c.Tenant, c.Tool, args)
	if err != nil {
		return err
	}
	where := "the agent's own permissions"
	if n := len(i.Policies()); ruling.Policy < n-1 {
		where = "permissions above the agent's"
		if t := i.Policies()[ruling.Policy].Tenant; t != "" {
			where = "the permissions of tenant " + t
		}
	}
	untrusted, both := i.Leaks(c.Tool)
	answer := map[string]any{"tool": c.Tool, "args": args, "verdict": ruling.Verdict, "rule": ruling.Rule, "by": where}
	text := fmt.Sprintf("%s: %s, in %s", ruling.Verdict, ruling.Rule, where)
	if leak := cmp.Or(untrusted, both); leak != "" && ruling.Verdict == tool.Allow {
		text += "\nA person is asked all the same once " + leak
		answer["flow"] = leak
	}
	err = a.print(listing{single: true, rows: [][]string{{text}}, names: []string{string(ruling.Verdict)}, values: []any{answer}})
	if err == nil && ruling.Verdict == tool.Deny {
		err = durable.Errorf(durable.CodeDenied, "%s may not be called so", c.Tool)
	}
	return err
}

// about makes the arguments of a text, which is what rules of the tool are about.
func (c *toolsPolicyCmd) about(i *agent.Inspection) (json.RawMessage, error) {
	for _, s := range i.Specs() {
		if s.Name == c.Tool && s.Subject.Arg != "" {
			return json.Marshal(map[string]string{s.Subject.Arg: c.Args})
		}
	}
	return nil, durable.Errorf(durable.CodeInvalid, "%q are no arguments: write a JSON object", c.Args)
}
