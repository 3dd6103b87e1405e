package mcp_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp"
)

// older is a protocol in which a server asks during a call; newer one in which it ends the call.
const (
	olderProtocol = "2025-11-25"
	newerProtocol = ""
)

// orderOf makes the first call, which asks, in a step with this key.
func (b *bench) orderOf(t tool.Tool, what, file, key string) tool.Result {
	b.t.Helper()
	ctx, _ := attempt(b.t.Context(), key, nil)
	r, err := t.Call(ctx, encode(b.t, args{Text: what, File: file}))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// answer makes the call with the answers, in another step.
func (b *bench) answer(t tool.Tool, what, file string, a tool.Answers) (tool.Result, error) {
	b.t.Helper()
	ctx, _ := attempt(b.t.Context(), "run/0/99", nil)
	return t.Call(tool.WithAnswers(ctx, a), encode(b.t, args{Text: what, File: file}))
}

func ordering(b *bench, protocol string, effect durable.Effect) tool.Tool {
	return b.tools(fixtureServer("good", func(s *mcp.Server) {
		s.Protocol, s.Effects = protocol, map[string]durable.Effect{"order": effect}
	}))["order"]
}

// TestAsk: a server that asks has its question put to a person, and goes on with the answer. The
// idempotency key is that of the first call throughout.
func TestAsk(t *testing.T) {
	for _, protocol := range []string{olderProtocol, newerProtocol} {
		for _, c := range []struct {
			name    string
			answers func(name string) tool.Answers
			want    string
			action  string
		}{
			{"given", func(n string) tool.Answers {
				return tool.Answers{Given: map[string]json.RawMessage{n: json.RawMessage(`{"size":"L"}`)}}
			}, "ordered tea in L, gift true, key run/0/3", "accept"},
			{"declined", func(n string) tool.Answers { return tool.Answers{Declined: []string{n}} }, "no order: decline", "decline"},
			{"nothing said", func(string) tool.Answers { return tool.Answers{} }, "no order: cancel", "cancel"},
		} {
			t.Run(protocol+" "+c.name, func(t *testing.T) {
				b := open(t, mcp.Config{})
				order, file := ordering(b, protocol, durable.Irreversible), ledger(t)
				r := b.orderOf(order, "tea", file, "run/0/3")
				if len(r.Asks) != 1 || r.Content != "" || r.Asks[0].Prompt != "The MCP server fix asks: Which size of tea?" || !strings.Contains(string(r.Asks[0].Schema), `"size"`) {
					t.Fatalf("it asks %+v", r)
				}
				a := c.answers(r.Asks[0].Name)
				a.State = r.State
				r, err := b.answer(order, "tea", file, a)
				if err != nil || r.Content != c.want || r.Error {
					t.Errorf("got %+v, error %v", r, err)
				}
				want := []string{"called_tea", c.action}
				if protocol == newerProtocol {
					want = []string{"called_tea", "called_tea", c.action}
				}
				if !slices.Equal(lines(file), want) {
					t.Errorf("the server did %v", lines(file))
				}
			})
		}
	}
}

// TestAnswerThatDoesNotFit: an answer is held against what was asked before the server sees it.
func TestAnswerThatDoesNotFit(t *testing.T) {
	for _, protocol := range []string{olderProtocol, newerProtocol} {
		b := open(t, mcp.Config{})
		order, file := ordering(b, protocol, durable.Read), ledger(t)
		r := b.orderOf(order, "tea", file, "k")
		for _, wrong := range []string{`{"size":5}`, `{}`, `"L"`} {
			_, err := b.answer(order, "tea", file, tool.Answers{State: r.State, Given: map[string]json.RawMessage{r.Asks[0].Name: json.RawMessage(wrong)}})
			if !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("%s: error %v", wrong, err)
			}
		}
		got, err := b.answer(order, "tea", file, tool.Answers{State: r.State, Given: map[string]json.RawMessage{r.Asks[0].Name: json.RawMessage(`{"size":"S"}`)}})
		if err != nil || !strings.Contains(got.Content, "ordered tea in S") {
			t.Errorf("then: %+v, error %v", got, err)
		}
	}
}

// TestAskedAndDied: the process that asked, or ours, died before there was an answer. What may be
// called again is, and gives the answer to the same question; of what may not the model is told.
// With the newer protocol there is nothing that could be lost.
func TestAskedAndDied(t *testing.T) {
	for _, c := range []struct {
		name, protocol string
		effect         durable.Effect
		ours           bool
		want           string
		did            int
	}{
		{"server, idempotent", olderProtocol, durable.Idempotent, false, "ordered tea in L, gift true, key run/0/3", 3},
		{"ours, idempotent", olderProtocol, durable.Idempotent, true, "ordered tea in L, gift true, key run/0/3", 3},
		{"server, irreversible", olderProtocol, durable.Irreversible, false, "was not made again", 1},
		{"ours, irreversible", olderProtocol, durable.Irreversible, true, "was not made again", 1},
		{"ours, newer", newerProtocol, durable.Irreversible, true, "ordered tea in L, gift true, key run/0/3", 3},
		{"server, newer", newerProtocol, durable.Irreversible, false, "ordered tea in L, gift true, key run/0/3", 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := open(t, mcp.Config{})
			order, file := ordering(b, c.protocol, c.effect), ledger(t)
			r := b.orderOf(order, "tea", file, "run/0/3")
			if c.ours {
				b = open(t, mcp.Config{})
				order = ordering(b, c.protocol, c.effect)
			} else {
				b.last().Kill()
				<-b.last().ended
			}
			given := tool.Answers{State: r.State, Given: map[string]json.RawMessage{r.Asks[0].Name: json.RawMessage(`{"size":"L"}`)}}
			r, err := b.answer(order, "tea", file, given)
			if c.effect == durable.Idempotent && errors.Is(err, durable.ErrUnavailable) {
				r, err = b.answer(order, "tea", file, given) // it was not known yet that the server is gone: the engine calls again
			}
			if err != nil || !strings.Contains(r.Content, c.want) || r.Error != strings.Contains(c.want, "not made") {
				t.Errorf("got %+v, error %v", r, err)
			}
			if n := len(lines(file)); n != c.did {
				t.Errorf("it did %v", lines(file))
			}
		})
	}
}

// TestNobodyAnswers: a server is not kept waiting for ever, nor at all where it may not ask.
func TestNobodyAnswers(t *testing.T) {
	b := open(t, mcp.Config{Park: 20 * time.Millisecond})
	order, file := ordering(b, olderProtocol, durable.Irreversible), ledger(t)
	if r := b.orderOf(order, "tea", file, "k"); len(r.Asks) != 1 {
		t.Fatalf("it asks %+v", r)
	}
	until(t, "the server is told", func() bool { return slices.Equal(lines(file), []string{"called_tea", "cancel"}) })

	no := false
	for _, protocol := range []string{olderProtocol, newerProtocol} {
		mute := open(t, mcp.Config{})
		order := mute.tools(fixtureServer("good", func(s *mcp.Server) { s.Protocol, s.Ask = protocol, &no }))["order"]
		if r := mute.orderOf(order, "tea", ledger(t), "k"); !r.Error || len(r.Asks) > 0 {
			t.Errorf("where it may not ask: %+v", r)
		}
	}
}

// TestWhoIsAsked: an older server does not say during which of two calls it asks. So nobody is
// asked, and from then on its calls go one at a time.
func TestWhoIsAsked(t *testing.T) {
	b := open(t, mcp.Config{})
	tools := b.tools(fixtureServer("good", func(s *mcp.Server) { s.Protocol = olderProtocol }))
	slow := ledger(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = tools["slow"].Call(ctx, encode(t, args{File: slow}))
	}()
	until(t, "the slow call is under way", func() bool { return len(lines(slow)) > 0 })
	if r := b.orderOf(tools["order"], "tea", ledger(t), "k"); r.Content != "no order: cancel" {
		t.Errorf("beside another call: %+v", r)
	}
	cancel()
	<-ended

	// Several at once now: each is asked for itself, and gets its own answer.
	type outcome struct{ what, got string }
	got := make(chan outcome, 5)
	for _, what := range []string{"tea", "jam", "oil", "rye", "gin"} {
		go func() {
			file := ledger(t)
			r, err := tools["order"].Call(t.Context(), encode(t, args{Text: what, File: file}))
			if err == nil && len(r.Asks) == 1 && strings.Contains(r.Asks[0].Prompt, what) {
				r, err = tools["order"].Call(tool.WithAnswers(t.Context(), tool.Answers{
					State: r.State, Given: map[string]json.RawMessage{r.Asks[0].Name: encode(t, map[string]string{"size": "of " + what})},
				}), encode(t, args{Text: what, File: file}))
			}
			if err != nil {
				r.Content = err.Error()
			}
			got <- outcome{what, r.Content}
		}()
	}
	for range 5 {
		if o := <-got; !strings.HasPrefix(o.got, "ordered "+o.what+" in of "+o.what) {
			t.Errorf("%s: %s", o.what, o.got)
		}
	}
}
