package script_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
)

func parse(t *testing.T, text string) *script.Script {
	t.Helper()
	s, err := script.Parse("t.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func user(text string) model.Message { return model.Text(model.User, text) }

func result(id, name, content string) model.Message {
	return model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &model.ToolResult{CallID: id, Name: name, Content: content}}}}
}

func called(id, name string) model.Message {
	return model.Message{Role: model.Assistant, Parts: []model.Part{{Call: &model.ToolCall{ID: id, Name: name, Args: json.RawMessage(`{}`)}}}}
}

func TestConditions(t *testing.T) {
	talk := []model.Message{
		model.Text(model.System, "be brief"),
		user("first question"),
		called("call_1_0", "search"),
		result("call_1_0", "search", "blue whale"),
	}
	tests := []struct {
		name string
		when string
		req  model.Request
		want string // "yes", or a part of why not
	}{
		{"none", `{}`, model.Request{}, "yes"},
		{"turn", `{turn: 2}`, model.Request{Messages: talk}, "yes"},
		{"other turn", `{turn: 1}`, model.Request{Messages: talk}, "turn is 2, not 1"},
		{"turn range", `{turn: 2..}`, model.Request{Messages: talk}, "yes"},
		{"turn range below", `{turn: ..1}`, model.Request{Messages: talk}, "turn is 2, not 1"},
		{"turn range between", `{turn: 3..4}`, model.Request{Messages: talk}, "turn is 2, not 3..4"},
		{"round counts from the last user message", `{turn: 2, round: 1}`, model.Request{Messages: append(talk[:3:3], user("more"))}, "yes"},
		{"last user", `{last_user: ^first}`, model.Request{Messages: talk}, "yes"},
		{"other last user", `{last_user: ^second}`, model.Request{Messages: talk}, "the last user message does not match /^second/"},
		{"last tool", `{last_tool: search}`, model.Request{Messages: talk}, "yes"},
		{"other last tool", `{last_tool: fetch}`, model.Request{Messages: talk}, `does not end with a result of "fetch"`},
		{"last tool is over after a user message", `{last_tool: search}`, model.Request{Messages: append(talk[:4:4], user("more"))}, "does not end with"},
		{"last result", `{last_result: wh.le}`, model.Request{Messages: talk}, "yes"},
		{"other last result", `{last_result: shark}`, model.Request{Messages: talk}, "no result at the end matches /shark/"},
		{"contains", `{contains: whale}`, model.Request{Messages: talk}, "yes"},
		{"contains not the system", `{contains: brief}`, model.Request{Messages: talk}, `no message contains "brief"`},
		{"system", `{system: brief}`, model.Request{Messages: talk}, "yes"},
		{"other system", `{system: long}`, model.Request{Messages: talk}, "the system messages do not match"},
		{"model", `{model: m1}`, model.Request{}, "yes"},
		{"other model", `{model: m2}`, model.Request{}, `model is "m1", not "m2"`},
		{"offers", `{offers: sql}`, model.Request{Tools: []model.ToolSpec{{Name: "sql"}}}, "yes"},
		{"offers not", `{offers: sql}`, model.Request{}, `no tool "sql" is offered`},
		{"output", `{output: true}`, model.Request{Output: json.RawMessage(`{}`)}, "yes"},
		{"no output", `{output: false}`, model.Request{Output: json.RawMessage(`{}`)}, "output is true"},
		{"all must hold", `{turn: 2, last_tool: fetch}`, model.Request{Messages: talk}, "fetch"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, "rules:\n  - when: "+tt.when+"\n    reply: {text: 'yes'}\n")
			o, err := s.Player().Decide("m1", tt.req)
			got := o.Reply.Message.Text()
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNoRuleMatches(t *testing.T) {
	s := parse(t, "rules:\n  - name: greet\n    when: {last_user: hello}\n    reply: {text: hi}\n  - when: {turn: 7}\n    reply: {text: no}\n")
	_, err := s.Model().Generate(t.Context(), model.Request{Messages: []model.Message{user("good bye")}}, nil)
	var e *model.Error
	if !errors.As(err, &e) || e.Code != "invalid" {
		t.Fatalf("got %v, want a *model.Error of code invalid", err)
	}
	for _, want := range []string{
		"user: good bye", "t.yaml:2 (greet): the last user message does not match /hello/", "t.yaml:5: turn is 1, not 7",
	} {
		if !strings.Contains(e.Message, want) {
			t.Errorf("message lacks %q:\n%s", want, e.Message)
		}
	}
}

func TestReply(t *testing.T) {
	tests := []struct {
		name  string
		when  string
		reply string
		req   []model.Message
		want  model.Reply
	}{
		{
			name: "text with groups", when: `{last_user: '(\w+) and (?P<b>\w+)'}`, reply: `{text: '$2, ${b}, $1, $$1 and $0'}`,
			req:  []model.Message{user("say salt and pepper")},
			want: model.Reply{Message: model.Text(model.Assistant, "pepper, pepper, salt, $1 and salt and pepper"), Stop: model.StopEnd, Usage: model.Usage{Input: 4, Output: 8}, Model: "t.yaml"},
		},
		{
			name: "five dollars", when: `{}`, reply: `{text: 'it is $5 a month', usage: {input: 3, output: 2, cache_read: 1, cache_write: 2}, stop: length}`,
			want: model.Reply{
				Message: model.Text(model.Assistant, "it is $5 a month"), Stop: model.StopLength,
				Usage: model.Usage{Input: 3, Output: 2, CacheRead: 1, CacheWrite: 2}, Model: "t.yaml",
			},
		},
		{
			name: "calls", when: `{last_user: add (\d+)}`,
			reply: `{calls: [{name: add, args: {n: '${1:json}', s: $1, deep: [1.5, null, true, {x: "a<b"}]}}, {name: now}, {name: bad, malformed: '{"a'}]}`,
			req:   []model.Message{user("add 12")},
			want: model.Reply{
				Message: model.Message{Role: model.Assistant, Parts: []model.Part{
					{Call: &model.ToolCall{ID: "call_1_0", Name: "add", Args: json.RawMessage(`{"n":12,"s":"12","deep":[1.5,null,true,{"x":"a<b"}]}`)}},
					{Call: &model.ToolCall{ID: "call_1_1", Name: "now", Args: json.RawMessage(`{}`)}},
					{Call: &model.ToolCall{ID: "call_1_2", Name: "bad", Malformed: `{"a`}},
				}},
				Stop: model.StopCalls, Usage: model.Usage{Input: 2, Output: 6}, Model: "t.yaml",
			},
		},
		{
			name: "json and reasoning", when: `{}`, reply: `{reasoning: hm, json: {z: "${user}", a: [1]}}`,
			req: []model.Message{user("x\"y")},
			want: model.Reply{
				Message: model.Message{Role: model.Assistant, Parts: []model.Part{
					{Reasoning: &model.Reasoning{Text: "hm", Signature: "script_1"}}, {Text: `{"z":"x\"y","a":[1]}`},
				}},
				Stop: model.StopEnd, Usage: model.Usage{Input: 1, Output: 1}, Model: "t.yaml",
			},
		},
		{
			name: "ids stay unique in a trimmed window", when: `{}`, reply: `{calls: [{name: again}]}`,
			req: []model.Message{called("call_5_0", "again"), result("call_5_0", "again", "ok")},
			want: model.Reply{
				Message: model.Message{Role: model.Assistant, Parts: []model.Part{
					{Call: &model.ToolCall{ID: "call_6_0", Name: "again", Args: json.RawMessage(`{}`)}},
				}},
				Stop: model.StopCalls, Usage: model.Usage{Input: 3, Output: 2}, Model: "t.yaml",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := parse(t, "rules:\n  - when: "+tt.when+"\n    reply: "+tt.reply+"\n")
			var streamed model.Message
			args := map[int]string{}
			got, err := s.Model().Generate(t.Context(), model.Request{Messages: tt.req}, func(d model.Delta) {
				if d.Kind == model.DeltaText {
					streamed.Parts = append(streamed.Parts, model.Part{Text: d.Text})
				}
				if d.Kind == model.DeltaCall {
					args[d.Index] += d.Args
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("reply (-want +got):\n%s", diff)
			}
			if streamed.Text() != got.Message.Text() {
				t.Errorf("streamed %q, want %q", streamed.Text(), got.Message.Text())
			}
			for i, c := range got.Message.Calls() {
				if want := string(c.Args) + c.Malformed; args[i] != want {
					t.Errorf("streamed arguments %q, want %q", args[i], want)
				}
			}
		})
	}
}

func TestTimes(t *testing.T) {
	s := parse(t, `
rules:
  - when: {last_user: a}
    error: {status: 429, retry_after: 2s, times: 2}
    reply: {text: after two errors}
  - when: {last_user: b}
    error: {status: 500, times: 1}
  - when: {last_user: b}
    times: 1
    reply: {text: once}
  - reply: {text: then always}
`)
	tests := []struct {
		name string
		ask  string
		want []string
	}{
		{"error then reply", "a", []string{"exhausted 429 2s", "exhausted 429 2s", "after two errors", "after two errors"}},
		{"error then next rules", "b", []string{"unavailable 500 0s", "once", "then always", "then always"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := s.Model()
			var got []string
			for range tt.want {
				reply, err := m.Generate(t.Context(), model.Request{Messages: []model.Message{user(tt.ask)}}, nil)
				var e *model.Error
				switch {
				case errors.As(err, &e):
					got = append(got, strings.Join([]string{e.Code, strings.Trim(strings.Split(e.Error(), "HTTP ")[1], ")"), e.RetryAfter.String()}, " "))
				case err != nil:
					t.Fatal(err)
				default:
					got = append(got, reply.Message.Text())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("answers (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("exact under concurrency", func(t *testing.T) {
		m := s.Model()
		var failed atomic.Int32
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if _, err := m.Generate(t.Context(), model.Request{Messages: []model.Message{user("a")}}, nil); err != nil {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if failed.Load() != 2 {
			t.Errorf("%d calls failed, want 2", failed.Load())
		}
	})
}

func TestFaults(t *testing.T) {
	s := parse(t, `
rules:
  - {when: {last_user: cut}, reply: {text: 0123456789abcdef, cut: 10, chunk: 4}}
  - {when: {last_user: garbage}, reply: {text: hello, garbage: true}}
  - {when: {last_user: hang}, reply: {text: hello, hang: true}}
  - {when: {last_user: slow}, reply: {text: abcdef, chunk: 1, delay: 1h}}
`)
	tests := []struct{ ask, code, want string }{
		{"cut", "unavailable", "0123456789"},
		{"garbage", "unavailable", "hello"},
	}
	for _, tt := range tests {
		t.Run(tt.ask, func(t *testing.T) {
			var got strings.Builder
			_, err := s.Model().Generate(t.Context(), model.Request{Messages: []model.Message{user(tt.ask)}}, func(d model.Delta) { got.WriteString(d.Text) })
			var e *model.Error
			if !errors.As(err, &e) || e.Code != tt.code {
				t.Errorf("got %v, want code %s", err, tt.code)
			}
			if got.String() != tt.want {
				t.Errorf("streamed %q, want %q", got.String(), tt.want)
			}
		})
	}
	for _, ask := range []string{"hang", "slow"} {
		t.Run(ask, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 150*time.Minute)
				defer cancel()
				begin, pieces := time.Now(), 0
				_, err := s.Model().Generate(ctx, model.Request{Messages: []model.Message{user(ask)}}, func(model.Delta) { pieces++ })
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want the context's error", err)
				}
				if took := time.Since(begin); took != 150*time.Minute {
					t.Errorf("left after %v, want when the context ended", took)
				}
				if ask == "slow" && pieces != 2 {
					t.Errorf("%d pieces in 150 minutes, want 2", pieces)
				}
			})
		})
	}
	t.Run("an ended context asks nothing", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Model().Generate(ctx, model.Request{}, nil); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want canceled", err)
		}
	})
}

func TestSyntaxErrors(t *testing.T) {
	tests := []struct {
		name, text, want string
	}{
		{"empty", "", "t.yaml: the script is empty; it needs rules:"},
		{"no rules", "model: x\n", "the script has no rules"},
		{"not yaml", "rules: [\n", "t.yaml:1:8: "},
		{
			"unknown field", "rules:\n  - when: {trun: 1}\n    reply: {text: x}\n",
			"t.yaml:2:12: unknown field of when \"trun\", did you mean \"turn\"?\n   2 |   - when: {trun: 1}\n     |            ^",
		},
		{"far off field", "rulez:\n  - a\nzzzzzz: 1\n", `did you mean "rules"?`},
		{"unknown stop", "rules:\n  - reply: {text: x, stop: edn}\n", `unknown stop "edn", did you mean "end"?`},
		{"bad expression", "rules:\n  - when: {last_user: '(a'}\n    reply: {text: x}\n", "t.yaml:2:23: last_user is not a regular expression: missing closing ): `(a`"},
		{"bad turn", "rules:\n  - when: {turn: 0}\n    reply: {text: x}\n", "turn is 0, which is not within 1"},
		{"bad range", "rules:\n  - when: {turn: 4..2}\n    reply: {text: x}\n", "turn is a number from 1, or a range"},
		{"no group", "rules:\n  - when: {last_user: '(a)'}\n    reply: {text: 'costs $5'}\n", "text refers to $5, which this rule does not have; write $$"},
		{"unknown name", "rules:\n  - reply: {text: '${city}'}\n", "text refers to $city"},
		{"json inside text", "rules:\n  - reply: {text: 'a ${user:json}'}\n", "${user:json} stands alone"},
		{"nothing to do", "rules:\n  - when: {turn: 1}\n", "a rule needs reply: or error:"},
		{"says nothing", "rules:\n  - reply: {delay: 1s}\n", "the reply says nothing"},
		{"unreachable reply", "rules:\n  - error: {status: 500}\n    reply: {text: x}\n", "this reply is never reached"},
		{"status", "rules:\n  - error: {status: 200}\n", "status is 200, which is not within 400 and 599"},
		{"two faults", "rules:\n  - reply: {text: x, cut: 1, hang: true}\n", "exclude each other"},
		{"two texts", "rules:\n  - reply: {text: x, json: {}}\n", "text: or json:, not both"},
		{"bad delay", "rules:\n  - reply: {text: x, delay: soon}\n", `delay is a time such as 20ms`},
		{"args is a list", "rules:\n  - reply: {calls: [{name: a, args: [1]}]}\n", "args is a mapping of fields, not a list"},
		{"nameless call", "rules:\n  - reply: {calls: [{args: {}}]}\n", "a call needs the name of its tool"},
		{"alias", "rules:\n  - reply: &a {text: x}\n  - reply: *a\n", "anchor"},
		{"twice", "rules:\n  - reply: {text: x}\n    reply: {text: y}\n", `t.yaml:3:5: mapping key "reply" already defined`},
		{"second document", "rules:\n  - reply: {text: x}\n---\nrules: []\n", "a script is one document"},
		{"usage", "rules:\n  - reply: {text: x, usage: {input: 1, cache_read: 2}}\n", "input counts the cached tokens too"},
		{"deep flow", "rules: " + strings.Repeat("[", 100_000), "t.yaml:1:108: nested more than 100 levels deep\n   1 | [[["},
		{"deep list", strings.Repeat("- ", 100_000), "nested more than 100 levels deep"},
		{"infinite", "rules:\n  - reply: {json: [.inf]}\n", "cannot be said as JSON"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := script.Parse("t.yaml", []byte(tt.text))
			if _, ok := errors.AsType[*script.SyntaxError](err); !ok {
				t.Fatalf("got %v, want a *SyntaxError", err)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got:\n%v\nwant a part like:\n%s", err, tt.want)
			}
		})
	}
}

func TestProvider(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	provider := script.Provider()
	ask := func() string {
		t.Helper()
		m, err := provider(path)
		if err != nil {
			return err.Error()
		}
		reply, err := m.Generate(t.Context(), model.Request{}, nil)
		if err != nil {
			return err.Error()
		}
		return reply.Message.Text()
	}
	if got := ask(); !strings.Contains(got, "the name is a file path") {
		t.Errorf("missing file: got %q", got)
	}
	write("rules:\n  - error: {status: 500, times: 1, message: down}\n    reply: {text: up}\n")
	if got, want := []string{ask(), ask()}, []string{"down (HTTP 500)", "up"}; !cmp.Equal(got, want) {
		t.Errorf("got %q, want %q: the counts live as long as the file is the same", got, want)
	}
	write("rules:\n  - reply: {text: new}\n")
	if got := ask(); got != "new" {
		t.Errorf("got %q, want the new file's answer", got)
	}
	write("rules: 3\n")
	if _, err := provider(path); err == nil || !strings.Contains(err.Error(), path+":1:8: rules is a list, not a number") {
		t.Errorf("got %v, want the place of the mistake", err)
	}
}

func TestLoad(t *testing.T) {
	s, err := script.Load(filepath.Join("testdata", "weather.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if s.ModelName() != "weather-1" {
		t.Errorf("model is %q, want weather-1", s.ModelName())
	}
	if _, err := script.Load("testdata/none.yaml"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want not exist", err)
	}
}

// TestDocumentedFormat keeps the package comment honest: its example parses.
func TestDocumentedFormat(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for line := range strings.Lines(string(doc)) {
		if rest, ok := strings.CutPrefix(line, "//\t"); ok {
			// The example shows all fields at once; these exclude each other.
			if strings.Contains(rest, "garbage:") || strings.Contains(rest, "hang:") {
				continue
			}
			b.WriteString(rest)
		}
	}
	s, err := script.Parse("doc.go", []byte(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	m := s.Model()
	req := model.Request{Messages: []model.Message{user("overload")}}
	for range 2 {
		if _, err := m.Generate(t.Context(), req, nil); err == nil || !strings.Contains(err.Error(), "slow down (HTTP 429)") {
			t.Fatalf("got %v, want the documented error", err)
		}
	}
	if reply, err := m.Generate(t.Context(), req, nil); err != nil || reply.Message.Text() != "here I am" {
		t.Errorf("got %q, %v, want the documented reply", reply.Message.Text(), err)
	}
}

func FuzzParse(f *testing.F) {
	weather, err := os.ReadFile(filepath.Join("testdata", "weather.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(weather), "", "rules:", "rules: [{reply: {text: x}}]", "rules:\n- reply: &a {json: [1, .5, ~, ${user:json}]}\n",
		"rules: [{when: {turn: 2..}, error: {code: denied, times: 3}}]", "\t- \x00", "rules:\n - reply:\n    text: |\n     a\n      b\n",
		"? a\n: b", "<<: *x", "!!binary x", "rules: [{when: {last_user: '(?P<a>.)'}, reply: {text: '$1${a}$$'}}]",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := script.Parse("f.yaml", []byte(text))
		var e *script.SyntaxError
		if err != nil {
			if !errors.As(err, &e) || e.Message == "" {
				t.Fatalf("error is %#v, want a *SyntaxError with a message", err)
			}
			return
		}
		req := model.Request{Messages: []model.Message{user("hello"), called("call_1_0", "x"), result("call_1_0", "x", "y")}}
		o, err := s.Player().Decide("m", req)
		if err != nil || o.Failure != nil {
			return
		}
		for _, c := range o.Reply.Message.Calls() {
			if c.Malformed == "" && !json.Valid(c.Args) {
				t.Fatalf("arguments %q are not JSON", c.Args)
			}
		}
	})
}
