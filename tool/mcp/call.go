package mcp

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/mcp/transport"
)

// KeyMeta is the name in _meta under which a server finds the idempotency key of a call.
const KeyMeta = "orpine/idempotency-key"

// mcpTool is one tool of a server.
type mcpTool struct {
	client *Client
	server string
	config Server
	listed Listed
	spec   tool.Spec
}

var _ tool.Tool = (*mcpTool)(nil)

func newTool(c *Client, name, server string, d declared) (*mcpTool, error) {
	l := *d.Tool
	if _, err := resolve(l.Input); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "tool %s: the schema of its arguments: %w", name, err)
	}
	t := &mcpTool{client: c, server: server, config: d.Server, listed: l}
	_, short, _ := strings.Cut(name, "/")
	otherwise := durable.Irreversible
	if l.Does != "" {
		otherwise = durable.Read
	}
	t.spec = tool.Spec{
		Asks: yes(t.config.Ask),
		Name: name, Description: l.Description, Schema: withType(l.Input), Output: l.Output, Flow: d.Server.flow(),
		Options: durable.StepOptions{Effect: d.Server.effect(short, otherwise), Timeout: time.Duration(d.Server.Timeout)},
	}
	return t, nil
}

// withType says that arguments are an object, where a schema leaves it out.
func withType(schema json.RawMessage) json.RawMessage {
	var s map[string]json.RawMessage
	if json.Unmarshal(schema, &s) != nil || s == nil || s["type"] != nil {
		return schema
	}
	s["type"] = json.RawMessage(`"object"`)
	data, _ := json.Marshal(s) // it was JSON
	return data
}

// Spec implements tool.Tool.
func (t *mcpTool) Spec() tool.Spec { return t.spec }

// Call implements tool.Tool.
func (t *mcpTool) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	if t.listed.Changed != "" {
		return t.refuse("the tool has changed since it was trusted: %s. It is not called until a person has looked at it with: orpine mcp trust %s", t.listed.Changed, t.server), nil
	}
	l, err := t.client.link(t.server, t.config)
	if err != nil {
		return tool.Result{}, err
	}
	select { // one of those that may be under way
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return tool.Result{}, context.Cause(ctx)
	}
	answers, again := tool.AnswersOf(ctx)
	if t.listed.Does != "" {
		return t.extra(ctx, l, args)
	}
	if again {
		return t.goOn(ctx, l, args, answers)
	}
	return t.begin(ctx, l, args, asking{Key: keyOf(ctx)}, nil)
}

func keyOf(ctx context.Context) string {
	if a := durable.AttemptOf(ctx); a != nil {
		return a.Key
	}
	return ""
}

func (t *mcpTool) refuse(format string, args ...any) tool.Result {
	return tool.Result{Content: t.spec.Name + ": " + fmt.Sprintf(format, args...), Error: true}
}

// begin makes the call, on a connection that is there or is made. A call that was not sent
// because the connection was lost meanwhile is made on another.
func (t *mcpTool) begin(ctx context.Context, l *link, args json.RawMessage, a asking, given map[string]*sdk.ElicitResult) (tool.Result, error) {
	for tries := 1; ; tries++ {
		w, leave, err := t.connect(ctx, l)
		if err != nil {
			return tool.Result{}, err
		}
		same, refusal, err := t.same(ctx, w)
		if err != nil || !same {
			leave()
			if err == nil {
				return refusal, nil
			}
			if tries < sendTries && ctx.Err() == nil && w.over() {
				w.settle()
				continue // nothing was called yet
			}
			return t.unreached(ctx, err)
		}
		f := w.fly(ctx, l, t, args, a, given, leave)
		result, err := t.await(ctx, f, a)
		if !errors.Is(err, errUnsent) {
			return result, err
		}
		f.wire.settle()
		if tries == sendTries || ctx.Err() != nil {
			return t.unreached(ctx, err)
		}
	}
}

// The bounds of trying to reach a server within one call.
const (
	sendTries = 3
	maxPause  = 10 * time.Second
)

// connect takes a connection. The step of an irreversible tool has one attempt, so there it
// is tried for a while: nothing was sent yet.
func (t *mcpTool) connect(ctx context.Context, l *link) (*wire, func(), error) {
	for tries := 1; ; tries++ {
		w, leave, err := l.use(ctx)
		if err == nil {
			return w, leave, nil
		}
		e, ok := errors.AsType[*durable.Error](err)
		if !ok || ctx.Err() != nil {
			return nil, nil, err
		}
		if t.spec.Options.Effect != durable.Irreversible {
			return nil, nil, err // the engine tries again
		}
		if tries == sendTries || e.Code != durable.CodeUnavailable || e.RetryAfter > maxPause {
			e.Final = true // the model is told
			return nil, nil, e
		}
		select {
		case <-time.After(e.RetryAfter):
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// unreached is what becomes of a call that was not made because the server failed before.
func (t *mcpTool) unreached(ctx context.Context, err error) (tool.Result, error) {
	if ctx.Err() != nil {
		return tool.Result{}, context.Cause(ctx)
	}
	if e, ok := errors.AsType[*durable.Error](err); ok && t.spec.Options.Effect == durable.Irreversible {
		e.Final = true
	}
	return tool.Result{}, err
}

// same holds the tool that the server has against the one that was listed.
func (t *mcpTool) same(ctx context.Context, w *wire) (bool, tool.Result, error) {
	tools, err := w.list(ctx)
	if err != nil {
		return false, tool.Result{}, err
	}
	live := tools[t.listed.Name]
	if live == nil {
		return false, t.refuse("the server %s has no such tool any more", t.server), nil
	}
	if w.checked(live, t.listed.Hash) {
		return true, tool.Result{}, nil
	}
	now, err := asListed(t.server, live)
	if err != nil {
		return false, t.refuse("the tool has changed since it was listed, and cannot be used: %v", err), nil
	}
	if now.Hash != t.listed.Hash {
		return false, t.refuse("the tool has changed since it was listed: %s. It is not called until a person has looked at it with: orpine mcp trust %s",
			summary(pinOf(t.server, t.listed), pinOf(t.server, now)), t.server), nil
	}
	w.check(live, now.Hash)
	return true, tool.Result{}, nil
}

// flight is a call under way, perhaps longer than the step that began it: while its server waits
// for a person.
type flight struct {
	wire   *wire
	token  string // names its progress, and where it is parked
	args   json.RawMessage
	reach  *transport.Reach
	cancel context.CancelFunc
	leave  func()

	ended  chan struct{} // closed when there are result and err
	result *sdk.CallToolResult
	err    error

	asks chan *ask

	mu     sync.Mutex // guards the fields below
	emit   func(kind string, data json.RawMessage)
	parked bool
	turn   bool // it holds the turn of the wire
	open   []*ask
	known  map[string]answer // to questions that may be asked again, by what they ask
	timer  *time.Timer
}

// fly sends a call. It is not bound to ctx, which ends with the step.
func (w *wire) fly(ctx context.Context, l *link, t *mcpTool, args json.RawMessage, a asking, given map[string]*sdk.ElicitResult, leave func()) *flight {
	f := &flight{wire: w, token: newToken(), args: args, reach: &transport.Reach{}, leave: leave, ended: make(chan struct{}), asks: make(chan *ask, maxQuestions), known: a.Known}
	f.hear(ctx)
	call, cancel := context.WithCancel(transport.WithReach(context.WithoutCancel(ctx), f.reach))
	f.cancel = cancel
	go func() {
		defer close(f.ended)
		defer leave()
		defer cancel()
		if !w.board(ctx, f) {
			f.err = errUnsent
			if ctx.Err() != nil {
				f.err = context.Cause(ctx)
			}
			return
		}
		defer w.land(f)
		defer func() {
			if v := recover(); v != nil {
				f.err = fmt.Errorf("its answer cannot be understood: %v", v)
			}
		}()
		params := &sdk.CallToolParams{Name: t.listed.Name, Arguments: args, RequestState: a.Request, Meta: sdk.Meta{}}
		if len(args) == 0 {
			params.Arguments = json.RawMessage(`{}`)
		}
		if a.Key != "" {
			params.Meta[KeyMeta] = a.Key
		}
		params.SetProgressToken(f.token)
		if given != nil {
			params.InputResponses = sdk.InputResponseMap{}
			for name, said := range given {
				params.InputResponses[name] = said
			}
		}
		f.result, f.err = w.sdk.CallTool(call, params)
		if f.err == nil {
			l.answered()
		}
	}()
	return f
}

// newToken names a call. It cannot be guessed: a server that knows it speaks of the call.
func newToken() string { return rand.Text() }

// hear sends the progress of a call to the step that waits for it.
func (f *flight) hear(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emit = nil
	if a := durable.AttemptOf(ctx); a != nil {
		f.emit = a.Emit
	}
}

// errUnsent means that a call did not reach the server.
var errUnsent = errors.New("the connection was lost before the call was sent")

// await waits for the end of a call, or for its server to ask.
func (t *mcpTool) await(ctx context.Context, f *flight, a asking) (tool.Result, error) {
	for {
		select {
		case <-f.ended:
			return t.landed(ctx, f, a)
		case first := <-f.asks:
			if result, parked := t.park(f, first, a); parked {
				return result, nil
			}
		case <-ctx.Done():
			f.cancel() // which tells the server, and ends the call
			<-f.ended
			if f.err == nil {
				return t.landed(ctx, f, a) // it was there in time
			}
			return tool.Result{}, context.Cause(ctx)
		}
	}
}

// landed is what became of a call that has ended.
func (t *mcpTool) landed(ctx context.Context, f *flight, a asking) (tool.Result, error) {
	if f.err == nil {
		if f.result.NeedsInput() {
			return t.needsInput(ctx, f, a)
		}
		return t.resultOf(ctx, f.result), nil
	}
	if ctx.Err() != nil {
		return tool.Result{}, context.Cause(ctx)
	}
	status := int(f.reach.Status.Load())
	_, said := errors.AsType[*jsonrpc.Error](f.err)
	switch {
	case errors.Is(f.err, errUnsent),
		status == http.StatusNotFound && (errors.Is(f.err, sdk.ErrSessionMissing) || f.wire.over()), // it has forgotten us
		!f.reach.Sent.Load() && (f.wire.pipe != nil || f.wire.over()):
		return tool.Result{}, fmt.Errorf("%w: %w", errUnsent, f.wire.link.fail(durable.CodeUnavailable, f.wire.explain(f.err)))
	case !f.reach.Sent.Load():
		return t.unreached(ctx, f.wire.link.fail(durable.CodeUnavailable, fmt.Errorf("the call could not be sent: %w", f.err)))
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		e := f.wire.link.fail(durable.CodeUnavailable, fmt.Errorf("it takes no calls now (%d)", status))
		e.RetryAfter = time.Duration(f.reach.After.Load())
		e.Final = t.spec.Options.Effect == durable.Irreversible // the model is told
		return tool.Result{}, e
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return t.refuse("%v", f.wire.link.refused(f.reach, f.err)), nil
	case status >= http.StatusInternalServerError:
	case f.reach.Answered.Load() && said, status != 0 && said && !f.wire.over():
		return t.answeredError(f.err, a)
	case f.reach.Answered.Load():
		return t.refuse("the call was made, but what the server answered is no result: %v", tool.Clip(f.err.Error(), tellSaid)), nil
	case status >= http.StatusBadRequest:
		return t.refuse("the server refused the call: %v", f.err), nil
	}
	return tool.Result{}, t.lost(f)
}

// lost is the error of a call of which nobody knows what became.
func (t *mcpTool) lost(f *flight) error {
	if f.wire.pipe != nil {
		f.wire.settle() // for what the process died of
	}
	why := f.wire.link.fail(durable.CodeUnavailable, f.wire.explain(fmt.Errorf("the connection was lost while %s was under way: %w", t.spec.Name, f.err)))
	why.Code = durable.CodeUnavailable // whatever it died of, it may be there again
	if t.spec.Options.Effect == durable.Irreversible {
		return durable.InDoubt(why)
	}
	return why
}

// settle waits a moment for a connection that is about to be lost: then more is known of why, and
// the next one who asks gets another.
func (w *wire) settle() {
	select {
	case <-w.lost:
	case <-time.After(transport.StopTime):
	}
}

// over reports whether the connection was lost.
func (w *wire) over() bool {
	select {
	case <-w.lost:
		return true
	default:
	}
	if w.pipe != nil {
		select {
		case <-w.pipe.Dead(): // which will be noticed
			return true
		default:
		}
	}
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	return w.link.wire != w
}

// bound is a context that also ends with the connection.
func (w *wire) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-w.lost:
			cancel(durable.Errorf(durable.CodeUnavailable, "the connection was lost"))
		case <-done:
		}
	}()
	return ctx, sync.OnceFunc(func() { close(done); cancel(nil) })
}

// progress passes on what a server says of a call under way.
func (w *wire) progress(p *sdk.ProgressNotificationParams) {
	token, _ := p.ProgressToken.(string)
	w.mu.Lock()
	f := w.flights[token]
	w.mu.Unlock()
	if f == nil {
		return
	}
	f.mu.Lock() // until it is told: once a call has returned nothing more is said of it
	defer f.mu.Unlock()
	if f.emit == nil {
		return
	}
	data, err := json.Marshal(struct {
		Progress float64 `json:"progress"`
		Total    float64 `json:"total,omitempty"`
		Message  string  `json:"message,omitempty"`
	}{p.Progress, p.Total, tool.Clip(p.Message, 1000)})
	if err == nil {
		f.emit(tool.Progress, data)
	}
}
