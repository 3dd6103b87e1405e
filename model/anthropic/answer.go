package anthropic

import (
	"encoding/json"
	"fmt"
	"strings"

	sdk "github.com/anthropics/anthropic-sdk-go"

	"github.com/orpine-run/orpine/model"
)

// answer gathers the events of one reply and emits them as deltas.
type answer struct {
	emit   func(model.Delta)
	blocks []*gathered
	calls  int
	stop   sdk.StopReason
	usage  sdk.Usage
	model  string
	done   bool // message_stop was read
}

// gathered is a content block in the making.
type gathered struct {
	kind      string
	index     int64
	call      int // which call of the reply
	id, name  string
	input     string          // a whole input in the start event
	text      strings.Builder // text, thinking or the JSON of the input
	signature strings.Builder
}

func (a *answer) event(e sdk.MessageStreamEventUnion) error {
	switch e.Type {
	case "message_start":
		a.usage, a.model = e.Message.Usage, e.Message.Model
	case "content_block_start":
		a.start(e)
	case "content_block_delta":
		for _, g := range a.blocks {
			if g.index == e.Index {
				a.delta(g, e.Delta)
				return nil
			}
		}
		return fmt.Errorf("the server sent a delta of block %d, which it did not begin", e.Index)
	case "message_delta":
		a.stop = e.Delta.StopReason
		a.count(e.Usage)
	case "message_stop":
		a.done = true
	}
	return nil
}

// count takes the totals of a delta over those of the start. Totals that are
// absent keep what the start said.
func (a *answer) count(u sdk.MessageDeltaUsage) {
	for _, c := range []struct {
		given bool
		value int64
		to    *int64
	}{
		{u.JSON.OutputTokens.Valid(), u.OutputTokens, &a.usage.OutputTokens},
		{u.JSON.InputTokens.Valid(), u.InputTokens, &a.usage.InputTokens},
		{u.JSON.CacheReadInputTokens.Valid(), u.CacheReadInputTokens, &a.usage.CacheReadInputTokens},
		{u.JSON.CacheCreationInputTokens.Valid(), u.CacheCreationInputTokens, &a.usage.CacheCreationInputTokens},
	} {
		if c.given {
			*c.to = c.value
		}
	}
}

func (a *answer) start(e sdk.MessageStreamEventUnion) {
	b := e.ContentBlock
	g := &gathered{kind: b.Type, index: e.Index, id: b.ID, name: b.Name}
	a.blocks = append(a.blocks, g)
	switch b.Type {
	case "text":
		a.say(g, model.DeltaText, b.Text)
	case "thinking":
		g.signature.WriteString(b.Signature)
		a.say(g, model.DeltaReasoning, b.Thinking)
	case "redacted_thinking":
		g.signature.WriteString(redacted + b.Data)
	case "tool_use":
		g.call = a.calls
		a.calls++
		if raw := strings.TrimSpace(b.JSON.Input.Raw()); raw != "{}" && raw != "null" {
			g.input = raw
		}
		a.emit(model.Delta{Kind: model.DeltaCall, Index: g.call, ID: g.id, Name: g.name, Args: g.input})
	}
}

func (a *answer) delta(g *gathered, d sdk.MessageStreamEventUnionDelta) {
	switch d.Type {
	case "text_delta":
		a.say(g, model.DeltaText, d.Text)
	case "thinking_delta":
		a.say(g, model.DeltaReasoning, d.Thinking)
	case "signature_delta":
		g.signature.WriteString(d.Signature)
	case "input_json_delta":
		if d.PartialJSON != "" && g.kind == "tool_use" {
			g.text.WriteString(d.PartialJSON)
			a.emit(model.Delta{Kind: model.DeltaCall, Index: g.call, Args: d.PartialJSON})
		}
	}
}

func (a *answer) say(g *gathered, kind model.DeltaKind, text string) {
	if text != "" {
		g.text.WriteString(text)
		a.emit(model.Delta{Kind: kind, Text: text})
	}
}

func (a *answer) reply() model.Reply {
	msg := model.Message{Role: model.Assistant}
	for _, g := range a.blocks {
		switch g.kind {
		case "text":
			if g.text.Len() > 0 {
				msg.Parts = append(msg.Parts, model.Part{Text: g.text.String()})
			}
		case "thinking", "redacted_thinking":
			msg.Parts = append(msg.Parts, model.Part{Reasoning: &model.Reasoning{Text: g.text.String(), Signature: g.signature.String()}})
		case "tool_use":
			call := model.ToolCall{ID: g.id, Name: g.name}
			switch args := g.input + g.text.String(); {
			case strings.TrimSpace(args) == "":
				call.Args = json.RawMessage("{}")
			case isObject(args):
				call.Args = json.RawMessage(args)
			default:
				call.Malformed = args
			}
			msg.Parts = append(msg.Parts, model.Part{Call: &call})
		}
	}
	u := a.usage
	return model.Reply{
		Message: msg, Stop: a.stopped(), Model: a.model,
		Usage: model.Usage{ // the API counts cached tokens apart
			Input:  int(u.InputTokens + u.CacheReadInputTokens + u.CacheCreationInputTokens),
			Output: int(u.OutputTokens), CacheRead: int(u.CacheReadInputTokens), CacheWrite: int(u.CacheCreationInputTokens),
		},
	}
}

func isObject(args string) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal([]byte(args), &fields) == nil && fields != nil
}

func (a *answer) stopped() model.Stop {
	switch a.stop {
	case sdk.StopReasonToolUse:
		return model.StopCalls
	case sdk.StopReasonMaxTokens, sdk.StopReasonModelContextWindowExceeded:
		return model.StopLength
	case sdk.StopReasonRefusal:
		return model.StopRefusal
	case sdk.StopReasonEndTurn, sdk.StopReasonStopSequence, sdk.StopReasonPauseTurn:
	}
	if a.calls > 0 {
		return model.StopCalls
	}
	return model.StopEnd
}
