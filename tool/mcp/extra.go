package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Our own tools over what else a server has.
const (
	listResources = "list_resources"
	readResource  = "read_resource"
	listPrompts   = "list_prompts"
	getPrompt     = "get_prompt"
)

// maxListed is how many resources or prompts are listed.
const maxListed = 500

// extras are our tools over the resources and prompts of a server, where it has any.
func (w *wire) extras() []Listed {
	caps, s := w.sdk.InitializeResult().Capabilities, w.link.server
	var list []Listed
	offer := func(does, what, schema string) {
		l := Listed{Name: does, Does: does, Description: fmt.Sprintf(what, w.link.name), Input: json.RawMessage(schema)}
		l.Hash = hashOf(pinned{l.Name, l.Description, l.Input})
		list = append(list, l)
	}
	none := `{"type":"object","properties":{},"additionalProperties":false}`
	if caps != nil && caps.Resources != nil && yes(s.Resources) {
		offer(listResources, "Lists the resources of the MCP server %s, with their URIs.", none)
		offer(readResource, "Reads a resource of the MCP server %s.",
			`{"type":"object","properties":{"uri":{"type":"string","description":"the URI of the resource"}},"required":["uri"],"additionalProperties":false}`)
	}
	if caps != nil && caps.Prompts != nil && yes(s.Prompts) {
		offer(listPrompts, "Lists the prompts of the MCP server %s, with their arguments.", none)
		offer(getPrompt, "Gets a prompt of the MCP server %s.",
			`{"type":"object","properties":{"name":{"type":"string"},"arguments":{"type":"object","additionalProperties":{"type":"string"}}},"required":["name"],"additionalProperties":false}`)
	}
	return list
}

// extra calls one of our own tools. They only read, so whatever goes wrong may be tried again.
func (t *mcpTool) extra(ctx context.Context, l *link, args json.RawMessage) (tool.Result, error) {
	w, leave, err := t.connect(ctx, l)
	if err != nil {
		return tool.Result{}, err
	}
	defer leave()
	var in struct {
		URI       string            `json:"uri"`
		Name      string            `json:"name"`
		Arguments map[string]string `json:"arguments"`
	}
	if err := json.Unmarshal(args, &in); len(args) > 0 && err != nil {
		return t.refuse("its arguments: %v", err), nil
	}
	bound, stop := w.bound(ctx)
	defer stop()
	var text string
	switch t.listed.Does {
	case listResources:
		text, err = w.resources(bound)
	case readResource:
		text, err = w.resource(bound, ctx, in.URI)
	case listPrompts:
		text, err = w.prompts(bound)
	case getPrompt:
		text, err = t.prompt(bound, ctx, w, in.Name, in.Arguments)
	default:
		return t.refuse("this build does not know %q", t.listed.Does), nil
	}
	if err == nil {
		l.answered()
		return tool.Result{Content: t.bounded(ctx, strings.ToValidUTF8(text, "�"))}, nil
	}
	if ctx.Err() != nil {
		return tool.Result{}, context.Cause(ctx)
	}
	if e, ok := errors.AsType[*jsonrpc.Error](err); ok && !w.over() {
		return t.answeredError(e, asking{})
	}
	return tool.Result{}, w.link.fail(durable.CodeUnavailable, w.explain(err))
}

func (w *wire) resources(ctx context.Context) (string, error) {
	var b strings.Builder
	n := 0
	for r, err := range w.sdk.Resources(ctx, nil) {
		if err != nil {
			return "", err
		}
		if n++; n > maxListed {
			fmt.Fprintf(&b, "There are more than %d.\n", maxListed)
			break
		}
		fmt.Fprintf(&b, "%s %s %s\n", tool.Clip(r.URI, 1000), tool.Clip(r.MIMEType, 100), tool.Clip(r.Name+" "+r.Description, 500))
	}
	n = 0
	for r, err := range w.sdk.ResourceTemplates(ctx, nil) {
		if _, none := errors.AsType[*jsonrpc.Error](err); none {
			break // many servers have resources and no templates
		}
		if err != nil {
			return "", err
		}
		if n++; n > maxListed {
			break
		}
		fmt.Fprintf(&b, "template %s %s %s\n", tool.Clip(r.URITemplate, 1000), tool.Clip(r.MIMEType, 100), tool.Clip(r.Name+" "+r.Description, 500))
	}
	return b.String(), nil
}

func (w *wire) resource(bound, ctx context.Context, uri string) (string, error) {
	r, err := w.sdk.ReadResource(bound, &sdk.ReadResourceParams{URI: uri})
	if err != nil {
		return "", err
	}
	var parts []string
	for _, c := range r.Contents {
		if c != nil {
			parts = append(parts, resourceText(ctx, c))
		}
	}
	return strings.Join(parts, "\n"), nil
}

func (w *wire) prompts(ctx context.Context) (string, error) {
	var b strings.Builder
	n := 0
	for p, err := range w.sdk.Prompts(ctx, nil) {
		if err != nil {
			return "", err
		}
		if n++; n > maxListed {
			fmt.Fprintf(&b, "There are more than %d.\n", maxListed)
			break
		}
		fmt.Fprintf(&b, "%s: %s\n", tool.Clip(p.Name, 200), tool.Clip(p.Description, 500))
		for _, a := range p.Arguments {
			required := ""
			if a.Required {
				required = ", required"
			}
			fmt.Fprintf(&b, "  argument %s%s: %s\n", tool.Clip(a.Name, 200), required, tool.Clip(a.Description, 500))
		}
	}
	return b.String(), nil
}

func (t *mcpTool) prompt(bound, ctx context.Context, w *wire, name string, args map[string]string) (string, error) {
	r, err := w.sdk.GetPrompt(bound, &sdk.GetPromptParams{Name: name, Arguments: args})
	if err != nil {
		return "", err
	}
	var parts []string
	for _, m := range r.Messages {
		if m != nil {
			parts = append(parts, string(m.Role)+": "+t.contents(ctx, []sdk.Content{m.Content}, true))
		}
	}
	return strings.Join(parts, "\n"), nil
}
