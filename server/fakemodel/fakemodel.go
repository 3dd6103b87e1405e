// Package fakemodel serves a scripted model over real HTTP in the wire formats of
// OpenAI (chat completions) and Anthropic (messages), streamed and whole, so that
// provider code is tested over a real socket. What the script breaks is broken on
// the wire: error statuses with Retry-After, streams cut in the middle of the
// body, slow pieces, garbage, silence. Like the real services it refuses a tool
// call without its result. It may not think, and it looks at no key.
//
// It stands beside the line request -> run -> step -> journal -> event -> client:
// it plays the outside world that a model step talks to.
//
// Routes: POST /v1/chat/completions, POST /v1/messages, GET /v1/models, and
// GET /calls, which tells a test what was asked.
package fakemodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
)

const (
	maxRequest = 32 << 20 // bytes of a request's body
	maxCalls   = 1000     // that GET /calls remembers
)

// Call is what GET /calls tells of one request.
type Call struct {
	Number     int      `json:"number"` // from 1
	Path       string   `json:"path"`
	Model      string   `json:"model,omitempty"`
	Stream     bool     `json:"stream"`
	Authorized bool     `json:"authorized"` // a key was sent; it is not looked at
	Messages   int      `json:"messages"`
	LastUser   string   `json:"last_user,omitempty"`
	Tools      []string `json:"tools,omitempty"`
	Rule       string   `json:"rule,omitempty"` // file:line of the rule that answered
	Status     int      `json:"status"`
	Fault      string   `json:"fault,omitempty"` // cut, garbage or hang
}

// Calls is the body of GET /calls.
type Calls struct {
	Count int    `json:"count"` // of all model requests served
	Calls []Call `json:"calls"` // the last 1,000 of them
}

// Handler serves the script. The counts of its `times` are shared by all requests
// to the handler.
func Handler(s *script.Script) http.Handler {
	h := &handler{script: s, player: s.Player()}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, openaiWire{}) })
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) { h.serve(w, r, anthropicWire{}) })
	mux.HandleFunc("GET /v1/models", h.models)
	mux.HandleFunc("GET /calls", h.list)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		openaiWire{}.fail(w, http.StatusNotFound, fmt.Sprintf("no route for %s %s", r.Method, r.URL.Path))
	})
	return mux
}

type handler struct {
	script *script.Script
	player *script.Player

	mu    sync.Mutex
	count int
	calls []Call
}

// wire is one provider's format.
type wire interface {
	// decode reads a request; its error is told to the caller with status 400.
	decode(body []byte) (asked, error)
	// fail answers with a status in the provider's error shape.
	fail(w http.ResponseWriter, status int, message string)
	// whole is the body of a reply that is not streamed.
	whole(a asked, reply model.Reply, number int) any
	// stream begins a streamed reply.
	stream(a asked, reply model.Reply, number int) streamer
}

// streamer words one streamed reply as server-sent events.
type streamer interface {
	begin() []event
	delta(d model.Delta) []event
	end() []event
}

// event is one server-sent event; data is a string or a value sent as JSON.
type event struct {
	name string
	data any
}

// asked is a decoded request.
type asked struct {
	model   string
	stream  bool
	usage   bool // the stream shall end with the usage
	request model.Request
}

func (h *handler) serve(w http.ResponseWriter, r *http.Request, format wire) {
	call := Call{Path: r.URL.Path, Status: http.StatusOK}
	call.Authorized = r.Header.Get("Authorization") != "" || r.Header.Get("X-Api-Key") != ""
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		status := http.StatusBadRequest
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			status = http.StatusRequestEntityTooLarge
		}
		h.refuse(w, format, call, status, "read the request: "+err.Error())
		return
	}
	a, err := format.decode(body)
	if err == nil {
		err = paired(a.request.Messages)
	}
	if err != nil {
		h.refuse(w, format, call, http.StatusBadRequest, err.Error())
		return
	}
	call.Model, call.Stream, call.Messages = a.model, a.stream, len(a.request.Messages)
	for _, m := range a.request.Messages {
		if m.Role == model.User {
			call.LastUser = m.Text()
		}
	}
	for _, t := range a.request.Tools {
		call.Tools = append(call.Tools, t.Name)
	}
	o, err := h.player.Decide(a.model, a.request)
	if err != nil {
		h.refuse(w, format, call, http.StatusBadRequest, err.Error())
		return
	}
	call.Rule, call.Fault = o.Rule, string(o.Fault)
	if f := o.Failure; f != nil {
		setRetryAfter(w.Header(), f.RetryAfter)
		h.refuse(w, format, call, statusOf(f), f.Message)
		return
	}
	number := h.record(call)
	p := player{w: w, r: r, out: o}
	if a.stream {
		p.stream(format.stream(a, o.Reply, number))
	} else {
		p.whole(format.whole(a, o.Reply, number))
	}
}

func (h *handler) refuse(w http.ResponseWriter, format wire, call Call, status int, message string) {
	call.Status = status
	h.record(call)
	format.fail(w, status, message)
}

func (h *handler) record(c Call) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	c.Number = h.count
	h.calls = append(h.calls, c)
	if len(h.calls) > maxCalls {
		h.calls = h.calls[1:]
	}
	return h.count
}

func (h *handler) list(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	calls := Calls{Count: h.count, Calls: append([]Call{}, h.calls...)}
	h.mu.Unlock()
	writeJSON(w, http.StatusOK, calls)
}

// models lists the one model there is, with the fields of both providers.
func (h *handler) models(w http.ResponseWriter, _ *http.Request) {
	id := h.script.ModelName()
	writeJSON(w, http.StatusOK, map[string]any{
		"object": "list", "has_more": false, "first_id": id, "last_id": id,
		"data": []any{map[string]any{
			"id": id, "object": "model", "created": 0, "owned_by": "script",
			"type": "model", "display_name": id, "created_at": "1970-01-01T00:00:00Z",
		}},
	})
}

// setRetryAfter says the wait in whole seconds, and exactly where that rounds.
func setRetryAfter(h http.Header, d time.Duration) {
	if d <= 0 {
		return
	}
	h.Set("Retry-After", strconv.Itoa(int(math.Ceil(d.Seconds()))))
	if d%time.Second != 0 {
		h.Set("Retry-After-Ms", strconv.FormatInt(max(1, d.Milliseconds()), 10))
	}
}

func statusOf(e *model.Error) int {
	if e.Status != 0 {
		return e.Status
	}
	switch e.Code {
	case "denied":
		return http.StatusUnauthorized
	case "not_found":
		return http.StatusNotFound
	case "exhausted":
		return http.StatusTooManyRequests
	case "unavailable":
		return http.StatusServiceUnavailable
	case "internal":
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// errorType is the word both providers use for a status, where they agree.
func errorType(status int, server string) string {
	switch {
	case status == http.StatusUnauthorized:
		return "authentication_error"
	case status == http.StatusForbidden:
		return "permission_error"
	case status == http.StatusNotFound:
		return "not_found_error"
	case status == http.StatusTooManyRequests:
		return "rate_limit_error"
	case status >= http.StatusInternalServerError:
		return server
	}
	return "invalid_request_error"
}

// paired refuses a conversation in which a tool call has no result behind it, or
// a result has no call, as the real services do.
func paired(messages []model.Message) error {
	open := map[string]bool{}
	unanswered := func() error {
		for id := range open {
			return fmt.Errorf("the tool call %q is not followed by its result", id)
		}
		return nil
	}
	for _, m := range messages {
		if m.Role == model.ToolRole {
			for _, p := range m.Parts {
				if !open[p.Result.CallID] {
					return fmt.Errorf("the tool result %q answers no tool call before it", p.Result.CallID)
				}
				delete(open, p.Result.CallID)
			}
			continue
		}
		if err := unanswered(); err != nil {
			return err
		}
		for _, c := range m.Calls() {
			open[c.ID] = true
		}
	}
	return unanswered()
}

// named fills in the tools' names, which results on the wire do not carry.
func named(messages []model.Message) {
	names := map[string]string{}
	for _, m := range messages {
		for _, p := range m.Parts {
			switch {
			case p.Call != nil:
				names[p.Call.ID] = p.Call.Name
			case p.Result != nil:
				p.Result.Name = names[p.Result.CallID]
			}
		}
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // whoever left needs no answer
}

// wait sleeps d unless the client leaves before.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
