package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
)

// The wire format of chat completions, as far as the workloads need it.
type wireMessage struct {
	Role       string     `json:"role"`
	Content    string     `json:"content"`
	ToolCallID string     `json:"tool_call_id,omitempty"`
	ToolCalls  []wireCall `json:"tool_calls,omitempty"`
}

type wireCall struct {
	ID       string       `json:"id"`
	Type     string       `json:"type"`
	Function wireFunction `json:"function"`
}

type wireFunction struct {
	Name      string `json:"name"`
	Arguments string `json:"arguments"`
}

type wireRequest struct {
	Model    string        `json:"model"`
	Messages []wireMessage `json:"messages"`
}

type wireReply struct {
	Object  string       `json:"object"`
	Model   string       `json:"model"`
	Choices []wireChoice `json:"choices"`
	Usage   wireUsage    `json:"usage"`
}

type wireChoice struct {
	Index   int         `json:"index"`
	Message wireMessage `json:"message"`
	Finish  string      `json:"finish_reason"`
}

type wireUsage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
}

// lookTool is the tool that the model asks for.
const lookTool = "look"

// serveModel stands in for a model: it reads the request, thinks for the delay and
// answers so many bytes. Whoever offers tools is asked for two calls in each round.
func serveModel(ctx context.Context, p part, say *json.Encoder) error {
	const seed = 2
	texts := newText(seed)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		pause(r.Context(), p.Delay)
		m := wireMessage{Role: "assistant", Content: texts.next(p.Reply)}
		finish := "stop"
		round := bytes.Count(body, []byte(`"role":"assistant"`))
		if round < p.Rounds && bytes.Contains(body, []byte(`"tools":`)) {
			finish = "tool_calls"
			for i := range toolsAtOnce {
				// Other arguments each time: the same again and again is a loop.
				m.ToolCalls = append(m.ToolCalls, wireCall{
					ID: fmt.Sprintf("call_%d_%d", round, i), Type: "function",
					Function: wireFunction{lookTool, fmt.Sprintf(`{"place":%d}`, round*toolsAtOnce+i)},
				})
			}
		}
		w.Header().Set("Content-Type", "application/json")
		const perToken = 4
		_ = json.NewEncoder(w).Encode(wireReply{ // who has gone away is not told
			Object: "chat.completion", Model: "fake", Choices: []wireChoice{{Message: m, Finish: finish}},
			Usage: wireUsage{len(body) / perToken, p.Reply / perToken},
		})
	})
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	err = say.Encode(report{URL: "http://" + ln.Addr().String() + "/v1"})
	if err == nil {
		select {
		case err = <-served:
			return err
		case <-ctx.Done():
		}
	}
	err = errors.Join(err, srv.Close())
	<-served //nolint:errcheck // it says that it is closed
	return err
}

// fakeModel starts the model in a process of its own.
func (b *bench) fakeModel(ctx context.Context, delay time.Duration) (*child, string, error) {
	c, err := b.spawn(ctx, part{Part: partModel, Delay: delay, Reply: replyBytes, Rounds: rounds})
	if err != nil {
		return nil, "", err
	}
	r, err := c.next()
	return c, r.URL, err
}

// chat talks to the model over HTTP: with the thread in the store for runs, with the
// messages at hand for the same loop without durability.
type chat struct {
	url     string
	http    *http.Client
	threads memory.Threads
	window  int // bytes of the newest messages that are sent; 0 = all
}

func newChat(url string, atOnce int) *chat {
	return &chat{url: url + "/chat/completions", http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce}}}
}

func (c *chat) close() { c.http.CloseIdleConnections() }

// ask sends the messages and returns what the model says.
func (c *chat) ask(ctx context.Context, messages []model.Message) (string, error) {
	req := wireRequest{Model: "fake", Messages: make([]wireMessage, 0, len(messages)+1)}
	req.Messages = append(req.Messages, wireMessage{Role: "system", Content: systemText})
	for _, m := range messages {
		w := wireMessage{Role: string(m.Role), Content: m.Text()}
		for _, p := range m.Parts {
			if p.Result != nil {
				w.Content, w.ToolCallID = p.Result.Content, p.Result.CallID
			}
		}
		req.Messages = append(req.Messages, w)
	}
	body, err := json.Marshal(req)
	if err != nil {
		return "", err
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	post.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(post)
	if err != nil {
		return "", err
	}
	defer res.Body.Close() //nolint:errcheck // it was read to its end
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var reply wireReply
	if err := json.Unmarshal(data, &reply); err != nil || res.StatusCode != http.StatusOK || len(reply.Choices) == 0 {
		return "", fmt.Errorf("the model answered %s: %.200s", res.Status, data)
	}
	return reply.Choices[0].Message.Content, nil
}

type turnInput struct {
	Thread memory.Head      `json:"thread,omitzero"`
	Say    []memory.Message `json:"say,omitempty"` // what is new since the last call
}

type turnOutput struct {
	Thread memory.Head `json:"thread"` // with what was said and the reply
}

// turn is one model call as a step. Like the agent program it hands on the head of the
// thread and is given what is new, so that nothing is stored twice.
func (c *chat) turn(ctx context.Context, in turnInput) (turnOutput, error) {
	blobs := durable.AttemptOf(ctx).Blobs
	said, err := c.threads.Load(ctx, blobs, in.Thread, in.Say...)
	if err != nil {
		return turnOutput{}, err
	}
	reply, err := c.ask(ctx, c.newest(said))
	if err != nil {
		return turnOutput{}, durable.Errorf(durable.CodeUnavailable, "%w", err)
	}
	thread, err := c.threads.Append(ctx, blobs, in.Thread, append(slices.Clip(in.Say), memory.Message{Message: model.Text(model.Assistant, reply)})...)
	return turnOutput{thread}, err
}

// newest is the first message and as many of the last ones as fit the window.
func (c *chat) newest(said []model.Message) []model.Message {
	if c.window == 0 {
		return said
	}
	left, from := c.window, len(said)
	for from > 1 {
		for _, p := range said[from-1].Parts {
			left -= len(p.Text)
			if p.Result != nil {
				left -= len(p.Result.Content)
			}
		}
		if left < 0 {
			break
		}
		from--
	}
	return append(said[:1:1], said[from:]...)
}

// toolOutput is what a tool step records: the content where it is short, else its name.
type toolOutput struct {
	Content string       `json:"content,omitempty"`
	Ref     *durable.Ref `json:"ref,omitempty"`
}

// inlineResult is the size above which the agent program keeps a result as a blob, to
// which the step's entry and the thread both refer.
const inlineResult = 512

func recorded(ctx context.Context, content string) (toolOutput, error) {
	if len(content) <= inlineResult {
		return toolOutput{Content: content}, nil
	}
	ref, err := durable.AttemptOf(ctx).Blobs.Put(ctx, []byte(content))
	return toolOutput{Ref: &ref}, err
}

// message tells the model what the tool returned.
func (o toolOutput) message(call string) memory.Message {
	result := &model.ToolResult{CallID: call, Name: lookTool, Content: o.Content}
	return memory.Message{Message: model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: result}}}, Content: o.Ref}
}
