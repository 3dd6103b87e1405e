package workload

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// What the world takes, whatever the engine.
const (
	ModelLatency = 20 * time.Millisecond
	ToolLatency  = 5 * time.Millisecond
	// AgentLatency is how long an agent run takes when the engine takes no time at all.
	AgentLatency = (Rounds+1)*ModelLatency + Rounds*ToolLatency
)

// modelPath is where the fake model listens, in the wire format of OpenAI.
const modelPath = "/v1/chat/completions"

// maxIdle is how many connections to the model are kept open.
const maxIdle = 4000

// Client makes an HTTP client that keeps a connection for each of many runs.
func Client() *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConns: maxIdle, MaxIdleConnsPerHost: maxIdle}}
}

// Model is the body of a model step: it sends the whole conversation.
func (l *Load) Model(ctx context.Context, messages []Message) (Message, error) {
	body, err := json.Marshal(map[string]any{"model": "fake", "messages": messages})
	if err != nil {
		return Message{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.model+modelPath, bytes.NewReader(body))
	if err != nil {
		return Message{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := l.client.Do(req)
	if err != nil {
		return Message{}, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		return Message{}, err
	}
	if err != nil {
		return Message{}, err
	}
	var out completion
	if err := json.Unmarshal(answer, &out); err != nil {
		return Message{}, err
	}
	if len(out.Choices) == 0 {
		return Message{}, fmt.Errorf("the model answered %s with %q", resp.Status, answer)
	}
	return out.Choices[0].Message, nil
}

// Tool is the body of tool step i of a run.
func (l *Load) Tool(run string, i int) Message {
	time.Sleep(ToolLatency)
	return Message{Role: "tool", Content: pad(fmt.Sprintf("%s-%d-", run, i), toolBytes)}
}

type completion struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"`
	Model   string   `json:"model"`
	Choices []choice `json:"choices"`
}

type choice struct {
	Index        int     `json:"index"`
	FinishReason string  `json:"finish_reason"`
	Message      Message `json:"message"`
}

// FakeModel is the model: the same reply to everything, after ModelLatency.
func FakeModel() (http.Handler, error) {
	body, err := json.Marshal(completion{
		ID: "c", Object: "chat.completion", Model: "fake",
		Choices: []choice{{FinishReason: "stop", Message: Reply()}},
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+modelPath, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the caller has gone
		}
		time.Sleep(ModelLatency)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body) // as above
	})
	return mux, nil
}
