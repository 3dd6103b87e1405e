package mcp

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// The bounds of asking.
const (
	maxQuestions = 16        // of one call at once
	maxRounds    = 10        // that a call may ask
	maxParked    = 64        // calls that wait for a person, of all servers
	maxState     = 256 << 10 // bytes of what a server has us keep meanwhile
	lastWords    = 30 * time.Second
)

// asking is what goes from a call that asks to the one with the answers.
type asking struct {
	Key     string            `json:"key,omitempty"`     // the idempotency key of the first call
	Parked  string            `json:"parked,omitempty"`  // names the call that waits, in this process
	Request string            `json:"request,omitempty"` // the state of the server (requestState)
	Asked   map[string]asked  `json:"asked,omitempty"`   // by the name of the question
	Known   map[string]answer `json:"known,omitempty"`   // what was answered before, by what was asked
	Rounds  int               `json:"rounds,omitempty"`
}

// asked is one question.
type asked struct {
	Print  string          `json:"print"` // what it asks, as a hash
	Schema json.RawMessage `json:"schema,omitempty"`
}

// answer is what was answered to a question.
type answer struct {
	Action  string         `json:"action"` // accept, decline or cancel
	Content map[string]any `json:"content,omitempty"`
}

func (a answer) result() *sdk.ElicitResult {
	return &sdk.ElicitResult{Action: a.Action, Content: a.Content}
}

// ask is a question of a server that waits for its answer.
type ask struct {
	params *sdk.ElicitParams
	print  string
	reply  chan answer
}

// printOf tells questions apart: the same one may be asked again by a call that is made anew.
func printOf(p *sdk.ElicitParams) string {
	return hashOf([]any{p.Mode, p.Message, p.RequestedSchema, p.URL})[:32]
}

// question puts what a server asks to a person.
func (t *mcpTool) question(name string, p *sdk.ElicitParams) (tool.Question, asked) {
	schema := json.RawMessage(`{"type":"object","properties":{}}`)
	if data, err := json.Marshal(p.RequestedSchema); err == nil && p.RequestedSchema != nil && len(data) <= maxSchema {
		schema = withType(data)
	}
	prompt := fmt.Sprintf("The MCP server %s asks: %s", t.server, tool.Clip(p.Message, 4000))
	if p.URL != "" {
		where := p.URL
		if u, err := url.Parse(p.URL); err == nil && u.Host != "" {
			where = u.Host
		}
		prompt = fmt.Sprintf("The MCP server %s wants you to visit %s, and to say here when you are done. It says: %s\n%s", t.server, where, tool.Clip(p.Message, 4000), tool.Clip(p.URL, 2000))
	}
	return tool.Question{Name: name, Prompt: prompt, Schema: schema}, asked{Print: printOf(p), Schema: schema}
}

// answered turns what persons said into what the server is told, by the name of the question.
func answered(a asking, said tool.Answers) (map[string]answer, error) {
	out := map[string]answer{}
	for name, q := range a.Asked {
		value, given := said.Given[name]
		switch {
		case given:
			content := map[string]any{}
			if err := json.Unmarshal(value, &content); err != nil {
				return nil, durable.Errorf(durable.CodeInvalid, "the answer to %s must be an object: %w", name, err)
			}
			if schema, err := resolve(q.Schema); err == nil {
				_ = schema.ApplyDefaults(&content) // else it has none
				if err := schema.Validate(content); err != nil {
					return nil, durable.Errorf(durable.CodeInvalid, "the answer to %s: %w", name, err)
				}
			}
			out[name] = answer{Action: "accept", Content: content}
		case slices.Contains(said.Declined, name):
			out[name] = answer{Action: "decline"}
		default:
			out[name] = answer{Action: "cancel"}
		}
	}
	return out, nil
}

// result has the questions of a call put to a person.
func (t *mcpTool) ask(a asking, questions map[string]*sdk.ElicitParams) tool.Result {
	a.Asked = map[string]asked{}
	a.Rounds++
	var r tool.Result
	for _, name := range slices.Sorted(maps.Keys(questions)) {
		q, as := t.question(name, questions[name])
		r.Asks = append(r.Asks, q)
		a.Asked[name] = as
	}
	state, err := json.Marshal(a)
	if err != nil || len(state) > maxState {
		return t.refuse("the server asks for something, and has more kept meanwhile than %d bytes", maxState)
	}
	if a.Rounds > maxRounds {
		return t.refuse("the server asked %d times and still has no result", maxRounds)
	}
	r.State = state
	return r
}

// needsInput is a result of the newer protocol that asks (input_required).
func (t *mcpTool) needsInput(ctx context.Context, f *flight, a asking) (tool.Result, error) {
	a.Request = f.result.RequestState
	questions := map[string]*sdk.ElicitParams{}
	for name, r := range f.result.InputRequests {
		p, ok := r.(*sdk.ElicitParams)
		if !ok || !yes(t.config.Ask) {
			return t.refuse("the server asks for what it does not get here (%T)", r), nil
		}
		questions[name] = p
	}
	if len(questions) > maxQuestions {
		return t.refuse("the server asks more than %d questions at once", maxQuestions), nil
	}
	if len(questions) > 0 {
		return t.ask(a, questions), nil
	}
	// It asks for nothing: it has too much to do, and wants the same call later.
	if a.Rounds++; a.Rounds > sendTries {
		return t.refuse("the server is busy; try again later"), nil
	}
	select {
	case <-time.After(time.Duration(a.Rounds) * time.Second):
	case <-ctx.Done():
		return tool.Result{}, context.Cause(ctx)
	}
	return t.begin(ctx, f.wire.link, f.args, a, nil)
}

// answeredError is an error that a server answered with.
func (t *mcpTool) answeredError(err error, a asking) (tool.Result, error) {
	e, _ := errors.AsType[*jsonrpc.Error](err)
	if e.Code == sdk.CodeURLElicitationRequired && yes(t.config.Ask) {
		var data struct {
			Elicitations []*sdk.ElicitParams `json:"elicitations"`
		}
		questions := map[string]*sdk.ElicitParams{}
		if json.Unmarshal(e.Data, &data) == nil {
			for i, p := range data.Elicitations {
				if p != nil && p.URL != "" && i < maxQuestions {
					questions[cmp.Or(p.ElicitationID, "q"+strconv.Itoa(i+1))] = p
				}
			}
		}
		if len(questions) > 0 {
			return t.ask(a, questions), nil
		}
	}
	return t.refuse("the server answered with an error (%d): %s", e.Code, tool.Clip(e.Message, 4000)), nil
}

// goOn goes on with a call whose questions were answered.
func (t *mcpTool) goOn(ctx context.Context, l *link, args json.RawMessage, said tool.Answers) (tool.Result, error) {
	var a asking
	if err := json.Unmarshal(said.State, &a); err != nil {
		return tool.Result{}, durable.Errorf(durable.CodeInvalid, "%s: the state of its questions: %w", t.spec.Name, err)
	}
	replies, err := answered(a, said)
	if err != nil {
		return tool.Result{}, err
	}
	known := maps.Clone(a.Known)
	if known == nil {
		known = map[string]answer{}
	}
	for name, q := range a.Asked {
		known[q.Print] = replies[name]
	}
	if a.Parked == "" { // the newer protocol: the call is made again, with the answers
		given := map[string]*sdk.ElicitResult{}
		for name, r := range replies {
			given[name] = r.result()
		}
		a.Asked = nil
		return t.begin(ctx, l, args, a, given)
	}
	f := t.client.parked.take(a.Parked)
	parked := a.Parked
	a.Parked, a.Asked, a.Known = "", nil, known
	if f != nil && !f.wire.over() {
		if err := f.resume(ctx, replies, known); err != nil {
			t.client.parked.put(parked, f) // for who comes next: nothing was said to the server yet
			f.mu.Lock()
			f.timer.Reset(t.client.cfg.Park) // it may have gone off meanwhile, and found nothing
			f.mu.Unlock()
			return tool.Result{}, err
		}
		return t.await(ctx, f, a)
	}
	if f != nil {
		f.cancel()
	}
	if t.spec.Options.Effect == durable.Irreversible {
		return t.refuse("the call was under way and waited for an answer when the connection to the server was lost. What it had done by then is not known, and it was not made again"), nil
	}
	return t.begin(ctx, l, args, a, nil)
}

// lot keeps the calls of older servers that wait for a person.
type lot struct {
	mu    sync.Mutex
	calls map[string]*flight
}

// put keeps a call; false when there are too many.
func (l *lot) put(id string, f *flight) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) >= maxParked {
		return false
	}
	l.calls[id] = f
	return true
}

// take gives a call to the one who goes on with it; nil = it is not there any more.
func (l *lot) take(id string) *flight {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.calls[id]
	delete(l.calls, id)
	return f
}

// park keeps a call whose server asks, until it is gone on with or the time is up. False when
// there is no room: then the server is told that nobody answers, and the call goes on.
func (t *mcpTool) park(f *flight, first *ask, a asking) (tool.Result, bool) {
	open := []*ask{first}
	for more := true; more; {
		select {
		case next := <-f.asks:
			open = append(open, next)
		default:
			more = false
		}
	}
	questions := map[string]*sdk.ElicitParams{}
	for i, q := range open {
		questions["q"+strconv.Itoa(i+1)] = q.params
	}
	a.Parked = f.token
	result := t.ask(a, questions)
	if result.Error || !t.client.parked.put(f.token, f) {
		for _, q := range open {
			q.reply <- answer{Action: "cancel"}
		}
		return tool.Result{}, false
	}
	f.wire.leaveTurn(f)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parked, f.open, f.emit = true, open, nil
	f.timer = time.AfterFunc(t.client.cfg.Park, func() {
		if t.client.parked.take(f.token) == nil {
			return // somebody goes on with it
		}
		f.answer(nil)
		time.AfterFunc(lastWords, f.cancel)
	})
	return result, true
}

// answer tells the server what was answered to the open questions; "cancel" to those of which
// nothing is said. It reports whether there were any.
func (f *flight) answer(replies map[string]answer) bool {
	f.mu.Lock()
	open := f.open
	f.open, f.parked = nil, false
	f.mu.Unlock()
	for i, q := range open {
		r, ok := replies["q"+strconv.Itoa(i+1)]
		if !ok {
			r = answer{Action: "cancel"}
		}
		q.reply <- r // there is room for one
	}
	return len(open) > 0
}

// resume goes on with a parked call.
func (f *flight) resume(ctx context.Context, replies, known map[string]answer) error {
	if err := f.wire.takeTurn(ctx, f); err != nil {
		return err
	}
	f.hear(ctx)
	f.mu.Lock()
	f.timer.Stop()
	f.known = known
	f.mu.Unlock()
	f.answer(replies)
	return nil
}

// board takes a call among those of the connection; false when it is over or ctx has ended.
func (w *wire) board(ctx context.Context, f *flight) bool {
	if w.takeTurn(ctx, f) != nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.lost:
		return false
	default:
	}
	w.flights[f.token] = f
	return true
}

// land takes a call away that has ended.
func (w *wire) land(f *flight) {
	w.leaveTurn(f)
	f.mu.Lock()
	f.emit = nil
	f.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.flights, f.token)
}

// takeTurn waits until no other call is under way, where calls go one at a time.
func (w *wire) takeTurn(ctx context.Context, f *flight) error {
	w.mu.Lock()
	solo := w.solo
	w.mu.Unlock()
	if !solo {
		return nil
	}
	select {
	case w.turn <- struct{}{}:
	case <-w.lost:
		return w.link.fail(durable.CodeUnavailable, errors.New("the connection was lost"))
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.turn = true
	return nil
}

func (w *wire) leaveTurn(f *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn {
		f.turn = false
		<-w.turn
	}
}

// asker is the call during which a server of an older protocol asks. It does not say which one
// that is, so it must be the only one; if it is not, nobody is asked, lest the question of one
// run be put to another, and from then on calls to this server go one at a time.
func (w *wire) asker() *flight {
	w.mu.Lock()
	defer w.mu.Unlock()
	var one *flight
	for _, f := range w.flights {
		f.mu.Lock()
		parked := f.parked
		f.mu.Unlock()
		if parked {
			continue
		}
		if one != nil {
			w.solo = true
			return nil
		}
		one = f
	}
	return one
}

// elicit is what a server of an older protocol asks during a call.
func (w *wire) elicit(ctx context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
	f := w.asker()
	if f == nil {
		return answer{Action: "cancel"}.result(), nil
	}
	q := &ask{params: r.Params, print: printOf(r.Params), reply: make(chan answer, 1)}
	f.mu.Lock()
	before, ok := f.known[q.print]
	f.mu.Unlock()
	if ok {
		return before.result(), nil
	}
	select {
	case f.asks <- q:
	default:
		return answer{Action: "cancel"}.result(), nil
	}
	select {
	case said := <-q.reply:
		return said.result(), nil
	case <-f.ended:
	case <-w.lost:
	case <-ctx.Done():
	}
	return answer{Action: "cancel"}.result(), nil
}
