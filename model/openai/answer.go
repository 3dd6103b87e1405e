package openai

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/wire"
)

// answer gathers the chunks of one reply and emits them as deltas.
type answer struct {
	emit   func(model.Delta)
	redact func(string) string
	turn   int // makes ids for servers that send none

	text, refusal, reasoning strings.Builder
	calls                    []*gathered
	finish                   string
	done                     bool // [DONE] was read
	seen                     bool // a choice was read
	usage                    model.Usage
	model                    string
}

type gathered struct {
	index    int // as the server counts, -1 when it does not
	id, name string
	args     strings.Builder
}

type wireChunk struct {
	Model   string          `json:"model"`
	Choices []wireChoice    `json:"choices"`
	Usage   *wireUsage      `json:"usage"`
	Error   json.RawMessage `json:"error"`
}

type wireChoice struct {
	Index        int        `json:"index"`
	Delta        *wireDelta `json:"delta"`
	Message      *wireDelta `json:"message"` // when it was not streamed
	FinishReason string     `json:"finish_reason"`
}

type wireDelta struct {
	Content          json.RawMessage `json:"content"`
	Refusal          string          `json:"refusal"`
	Reasoning        string          `json:"reasoning"`
	ReasoningContent string          `json:"reasoning_content"`
	ToolCalls        []wirePiece     `json:"tool_calls"`
}

type wirePiece struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

type wireUsage struct {
	PromptTokens        int `json:"prompt_tokens"`
	CompletionTokens    int `json:"completion_tokens"`
	PromptTokensDetails struct {
		CachedTokens     int `json:"cached_tokens"`
		CacheWriteTokens int `json:"cache_write_tokens"`
	} `json:"prompt_tokens_details"`
}

// chunk takes one event, or a whole body.
func (a *answer) chunk(data []byte) error {
	var c wireChunk
	if err := json.Unmarshal(data, &c); err != nil {
		return a.garbage(data)
	}
	if len(c.Error) > 0 && string(c.Error) != "null" {
		return streamError([]byte(a.redact(string(data))))
	}
	if c.Model != "" {
		a.model = c.Model
	}
	if u := c.Usage; u != nil {
		a.usage = model.Usage{
			Input: u.PromptTokens, Output: u.CompletionTokens,
			CacheRead: u.PromptTokensDetails.CachedTokens, CacheWrite: u.PromptTokensDetails.CacheWriteTokens,
		}
	}
	for _, choice := range c.Choices {
		if choice.Index != 0 {
			continue
		}
		a.seen = true
		for _, d := range []*wireDelta{choice.Delta, choice.Message} {
			if d != nil {
				a.delta(d)
			}
		}
		if choice.FinishReason != "" {
			a.finish = choice.FinishReason
		}
	}
	return nil
}

func (a *answer) garbage(data []byte) error {
	return &model.Error{Code: "unavailable", Message: fmt.Sprintf("the server sent what is not JSON: %q", wire.Short(a.redact(string(data))))}
}

func (a *answer) delta(d *wireDelta) {
	for _, s := range []string{d.ReasoningContent, d.Reasoning} {
		if s != "" {
			a.reasoning.WriteString(s)
			a.emit(model.Delta{Kind: model.DeltaReasoning, Text: s})
			break // some servers send it under both names
		}
	}
	if s := content(d.Content); s != "" {
		a.text.WriteString(s)
		a.emit(model.Delta{Kind: model.DeltaText, Text: s})
	}
	if d.Refusal != "" {
		a.refusal.WriteString(d.Refusal)
		a.emit(model.Delta{Kind: model.DeltaText, Text: d.Refusal})
	}
	for _, p := range d.ToolCalls {
		a.piece(p)
	}
}

// content is a string, or a list of parts of which the texts count.
func content(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(raw, &parts) != nil {
		return ""
	}
	for _, p := range parts {
		s += p.Text
	}
	return s
}

// piece adds a piece of a tool call to the call it belongs to.
func (a *answer) piece(p wirePiece) {
	i := a.find(p)
	first := i == len(a.calls)
	if first {
		g := &gathered{index: -1, id: p.ID}
		if p.Index != nil {
			g.index = *p.Index
		}
		if g.id == "" {
			g.id = fmt.Sprintf("call_%d_%d", a.turn, i)
		}
		a.calls = append(a.calls, g)
	}
	g := a.calls[i]
	d := model.Delta{Kind: model.DeltaCall, Index: i, Args: text(p.Function.Arguments)}
	if first {
		d.ID, d.Name = g.id, p.Function.Name
	}
	if g.name == "" {
		g.name = p.Function.Name
	}
	g.args.WriteString(d.Args)
	a.emit(d)
}

// find returns the place of the call that p continues, or the next free one. An
// id that was not seen begins a call, whatever the index says.
func (a *answer) find(p wirePiece) int {
	for i, g := range a.calls {
		sameIndex := p.Index != nil && g.index == *p.Index
		if p.ID != "" && g.id == p.ID || p.ID == "" && sameIndex {
			return i
		}
	}
	if n := len(a.calls); p.ID == "" && p.Index == nil && p.Function.Name == "" && n > 0 {
		return n - 1
	}
	return len(a.calls)
}

// text is the text of a JSON string; other values are kept as they are written.
func text(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func (a *answer) reply() model.Reply {
	msg := model.Message{Role: model.Assistant}
	if a.reasoning.Len() > 0 {
		msg.Parts = append(msg.Parts, model.Part{Reasoning: &model.Reasoning{Text: a.reasoning.String()}})
	}
	if said := a.text.String() + a.refusal.String(); said != "" {
		msg.Parts = append(msg.Parts, model.Part{Text: said})
	}
	for _, g := range a.calls {
		call := model.ToolCall{ID: g.id, Name: g.name}
		switch args := g.args.String(); {
		case strings.TrimSpace(args) == "":
			call.Args = json.RawMessage("{}")
		case isObject(args):
			call.Args = json.RawMessage(args)
		default:
			call.Malformed = args
		}
		msg.Parts = append(msg.Parts, model.Part{Call: &call})
	}
	return model.Reply{Message: msg, Stop: a.stop(), Usage: a.usage, Model: a.model}
}

func isObject(args string) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal([]byte(args), &fields) == nil && fields != nil
}

func (a *answer) stop() model.Stop {
	switch {
	case a.refusal.Len() > 0 || a.finish == "content_filter":
		return model.StopRefusal
	case a.finish == "length":
		return model.StopLength
	case len(a.calls) > 0: // some servers say stop although they call
		return model.StopCalls
	}
	return model.StopEnd
}
