package mcp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// resultOf turns what a server returned into what the model is told: the JSON of a structured
// result, else its text. What is neither, such as an image, is kept as a blob and named.
func (t *mcpTool) resultOf(ctx context.Context, r *sdk.CallToolResult) tool.Result {
	text := t.contents(ctx, r.Content, r.StructuredContent == nil)
	if r.IsError {
		if text == "" {
			text = "it failed and does not say why"
		}
		return tool.Result{Content: t.bounded(ctx, text), Error: true}
	}
	if r.StructuredContent != nil {
		data, err := json.Marshal(r.StructuredContent)
		if err != nil {
			return t.refuse("the call was made, but its result is no JSON: %v", err)
		}
		if problem := t.mismatch(r.StructuredContent); problem != "" {
			return t.refuse("the call was made, but its result does not match the schema that the server declares: %s\nThe result: %s", problem, tool.Clip(string(data), 4000))
		}
		if text != "" {
			text = "\n" + text
		}
		return tool.Result{Content: t.bounded(ctx, string(data)+text)}
	}
	if t.listed.Output != nil {
		return t.refuse("the call was made, but it returned no structured result, which the server declares. The result: %s", tool.Clip(text, 4000))
	}
	return tool.Result{Content: t.bounded(ctx, text)}
}

// mismatch says why a structured result does not match the declared schema; "" = it does.
func (t *mcpTool) mismatch(v any) string {
	if t.listed.Output == nil {
		return ""
	}
	schema, err := resolve(t.listed.Output)
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		return tool.Clip(err.Error(), 1000)
	}
	return ""
}

// contents is the text of a result. The text beside a structured result says the same again, so
// it may be left out.
func (t *mcpTool) contents(ctx context.Context, list []sdk.Content, texts bool) string {
	var parts []string
	for _, c := range list {
		switch c := c.(type) {
		case *sdk.TextContent:
			if texts {
				parts = append(parts, c.Text)
			}
		case *sdk.ImageContent:
			parts = append(parts, keep(ctx, "image", c.MIMEType, c.Data))
		case *sdk.AudioContent:
			parts = append(parts, keep(ctx, "audio", c.MIMEType, c.Data))
		case *sdk.ResourceLink:
			parts = append(parts, linkText(c))
		case *sdk.EmbeddedResource:
			if c.Resource != nil {
				parts = append(parts, resourceText(ctx, c.Resource))
			}
		default:
			parts = append(parts, fmt.Sprintf("[something that is not understood here: %T]", c))
		}
	}
	return strings.ToValidUTF8(strings.Join(parts, "\n"), "�")
}

// keep stores what is no text, and names it.
func keep(ctx context.Context, what, mime string, data []byte) string {
	name := fmt.Sprintf("%s %s, %d bytes", what, tool.Clip(mime, 100), len(data))
	a := durable.AttemptOf(ctx)
	if a == nil || a.Blobs == nil {
		return "[" + name + "]"
	}
	ref, err := a.Blobs.Put(ctx, data)
	if err != nil {
		return fmt.Sprintf("[%s, which could not be kept: %v]", name, err)
	}
	return fmt.Sprintf("[%s, blob %s]", name, ref.Hash)
}

func linkText(l *sdk.ResourceLink) string {
	parts := []string{"[resource " + tool.Clip(l.URI, 1000)}
	for _, more := range []string{l.Name, l.MIMEType, l.Description} {
		if more != "" {
			parts = append(parts, tool.Clip(more, 500))
		}
	}
	return strings.Join(parts, ", ") + "]"
}

func resourceText(ctx context.Context, r *sdk.ResourceContents) string {
	head := "[resource " + tool.Clip(r.URI, 1000) + "]\n"
	if r.Blob != nil {
		return head + keep(ctx, "binary", r.MIMEType, r.Blob)
	}
	return head + r.Text
}

// bounded keeps a text that is too long as a blob, and returns its beginning and where the rest is.
func (t *mcpTool) bounded(ctx context.Context, text string) string {
	most := t.config.MaxResult
	if most == 0 {
		most = defaultResult
	}
	if len(text) <= most {
		return text
	}
	return tool.Clip(text, most) + "\n[it is longer; the whole: " + strings.TrimPrefix(keep(ctx, "text", "text/plain", []byte(text)), "[")
}

// tellSaid is how much of what a server said stands in a message, in bytes.
const tellSaid = 400
