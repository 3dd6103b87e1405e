package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// inlineResult is the size in bytes above which a tool's result is kept as a blob,
// so that the thread and the entry can both refer to it.
const inlineResult = 512

// steps are the two places where an agent meets the world.
type steps struct {
	providers map[string]model.Provider
	rules     func(context.Context, durable.RunID, Rule) (bool, error) // nil = there are none
	redact    func(string) string                                      // nil = nothing is
	box       *toolbox
	threads   memory.Threads

	mu          sync.Mutex
	models      map[string]model.Model // by provider/name
	definitions map[string]Definition  // the last ones that were read, by hash
}

// definitionsMax is how many definitions are kept.
const definitionsMax = 256

type modelInput struct {
	Definition durable.Ref      `json:"definition"`
	Thread     memory.Head      `json:"thread,omitzero"`
	Say        []memory.Message `json:"say,omitempty"`   // what is new since the last call
	Finds      *durable.Ref     `json:"finds,omitempty"` // the tools that the sources of the definition have
	Found      []string         `json:"found,omitempty"` // those of them that the model has looked up
}

type modelOutput struct {
	Thread  memory.Head      `json:"thread"` // with what was said and the reply
	Calls   []model.ToolCall `json:"calls,omitempty"`
	Text    string           `json:"text,omitempty"`    // the answer, when there are no calls
	Value   json.RawMessage  `json:"value,omitempty"`   // the answer as JSON, when there is a schema
	Problem string           `json:"problem,omitempty"` // why it does not match the schema
	Stop    model.Stop       `json:"stop"`
	Usage   model.Usage      `json:"usage"`
	Model   string           `json:"model,omitempty"`
}

// model makes one model call.
func (s *steps) model(ctx context.Context, in modelInput) (modelOutput, error) {
	attempt := durable.AttemptOf(ctx)
	d, err := s.definition(ctx, attempt, in.Definition)
	if err != nil {
		return modelOutput{}, err
	}
	m, err := s.resolve(d.Model)
	if err != nil {
		return modelOutput{}, err
	}
	tools, err := s.kit(ctx, attempt, d, in.Definition.Hash, in.Finds)
	if err != nil {
		return modelOutput{}, err
	}
	said, err := s.threads.Load(ctx, attempt.Blobs, in.Thread, in.Say...)
	if err != nil {
		return modelOutput{}, err
	}
	request := model.Request{Messages: said, Output: d.Output, MaxTokens: d.MaxTokens, Temperature: d.Temperature}
	if text := instructions(d); text != "" {
		request.Messages = append([]model.Message{model.Text(model.System, text)}, said...)
	}
	for _, spec := range tools.shown(in.Found) {
		request.Tools = append(request.Tools, model.ToolSpec{Name: tool.WireName(spec.Name), Description: spec.Description, Schema: spec.Schema})
	}
	request.Messages = onWire(request.Messages)
	reply, err := m.Generate(ctx, request, func(delta model.Delta) {
		delta.Name = tools.NameOf(delta.Name)
		emit(attempt, delta)
	})
	if err != nil {
		return modelOutput{}, modelError(d.Model, err)
	}
	for _, part := range reply.Message.Parts {
		if part.Call != nil {
			part.Call.Name = tools.NameOf(part.Call.Name)
		}
	}
	thread, err := s.threads.Append(ctx, attempt.Blobs, in.Thread, append(slices.Clip(in.Say), memory.Message{Message: reply.Message})...)
	if err != nil {
		return modelOutput{}, err
	}
	out := modelOutput{Thread: thread, Calls: reply.Message.Calls(), Stop: reply.Stop, Usage: reply.Usage, Model: reply.Model}
	if len(out.Calls) > 0 {
		return out, nil
	}
	out.Text = reply.Message.Text()
	if d.Output != nil && reply.Stop != model.StopRefusal {
		out.Value, out.Problem = check(d.Output, out.Text)
		if out.Problem == "" {
			out.Text = ""
		}
	}
	return out, nil
}

func emit(attempt *durable.Attempt, delta model.Delta) {
	if data, err := json.Marshal(delta); err == nil {
		attempt.Emit(string(delta.Kind), data)
	}
}

// resolve finds the model behind provider/name, the same one each time.
func (s *steps) resolve(name string) (model.Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.models[name]; ok {
		return m, nil
	}
	prefix, rest, ok := strings.Cut(name, "/")
	provider, known := s.providers[prefix]
	if !ok || !known {
		return nil, durable.Block(durable.Errorf(durable.CodeInvalid, "this build has no provider for model %q; a model is named provider/name", name))
	}
	m, err := provider(rest)
	if err != nil {
		return nil, durable.Block(modelError(name, err)) // a key or a file is missing here
	}
	s.models[name] = m
	return m, nil
}

// instructions are the definition's own and, with a schema, what the answer must be.
func instructions(d Definition) string {
	if d.Output == nil {
		return d.Instructions
	}
	return strings.TrimSpace(d.Instructions + "\n\nAnswer with one JSON value that matches this JSON Schema, and nothing else:\n" + string(d.Output))
}

// check takes the JSON out of an answer and holds it against the schema.
func check(schema json.RawMessage, text string) (value json.RawMessage, problem string) {
	text = strings.TrimSpace(text)
	if fenced, ok := strings.CutPrefix(text, "```"); ok {
		_, fenced, _ = strings.Cut(fenced, "\n")
		text = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(fenced), "```"))
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, "it is not JSON: " + err.Error()
	}
	var parsed jsonschema.Schema
	if err := json.Unmarshal(schema, &parsed); err != nil {
		return nil, "the schema itself is wrong: " + err.Error()
	}
	resolved, err := parsed.Resolve(nil)
	if err != nil {
		return nil, "the schema itself is wrong: " + err.Error()
	}
	if err := resolved.Validate(v); err != nil {
		return nil, err.Error()
	}
	return json.RawMessage(text), ""
}

// modelError gives an adapter's error the code by which the engine decides on a retry.
func modelError(name string, err error) error {
	e, ok := errors.AsType[*model.Error](err)
	if !ok {
		return fmt.Errorf("model %s: %w", name, err)
	}
	coded := &durable.Error{Code: durable.Code(e.Code), Op: "model " + name, Err: err, RetryAfter: e.RetryAfter}
	if coded.Code == durable.CodeDenied {
		return durable.Block(coded) // a wrong key is mended, and then the run goes on
	}
	return coded
}

// rule finds out whether a decision that stands accepts a call.
func (s *steps) rule(ctx context.Context, r Rule) (bool, error) {
	if s.rules == nil {
		return false, nil
	}
	return s.rules(ctx, durable.AttemptOf(ctx).Run, r)
}

type toolInput struct {
	Definition durable.Ref    `json:"definition"`
	Call       model.ToolCall `json:"call"`
	Finds      *durable.Ref   `json:"finds,omitempty"`
	Answers    *tool.Answers  `json:"answers,omitempty"`   // to what the call before has asked
	Untrusted  bool           `json:"untrusted,omitempty"` // the agent has read words of strangers
	Whole      bool           `json:"whole,omitempty"`     // the result is wanted as it is, however long
	Key        string         `json:"key,omitempty"`       // of the effect, over that of the step: whoever called it tries again by itself
}

type toolOutput struct {
	Content string       `json:"content,omitempty"`
	Ref     *durable.Ref `json:"ref,omitempty"` // of the content, when it is long
	Error   bool         `json:"error,omitempty"`
	Found   []string     `json:"found,omitempty"` // tools that were looked up

	Untrusted bool `json:"untrusted,omitempty"` // it may be the words of a stranger, whatever the tool says of itself

	Asks  []tool.Question `json:"asks,omitempty"` // what a person is to be asked; there is no content then
	State json.RawMessage `json:"state,omitempty"`
}

// tool makes one tool call, if the agent may use the tool.
func (s *steps) tool(ctx context.Context, in toolInput) (toolOutput, error) {
	attempt := durable.AttemptOf(ctx)
	d, err := s.definition(ctx, attempt, in.Definition)
	if err != nil {
		return toolOutput{}, err
	}
	tools, err := s.kit(ctx, attempt, d, in.Definition.Hash, in.Finds)
	if err != nil {
		return toolOutput{}, err
	}
	if in.Answers != nil {
		ctx = tool.WithAnswers(ctx, *in.Answers)
	}
	if in.Untrusted {
		ctx = tool.WithUntrusted(ctx)
	}
	if in.Key != "" {
		own := *attempt
		own.Key = in.Key
		attempt = &own
	}
	ctx = durable.WithAttempt(ctx, s.redacted(attempt))
	result, err := s.clean(tools.Dispatch(ctx, tool.Call{Name: in.Call.Name, Args: in.Call.Args, Malformed: in.Call.Malformed}))
	if err != nil {
		return toolOutput{}, err
	}
	out := toolOutput{Content: result.Content, Error: result.Error, Found: result.Found, Untrusted: result.Untrusted, Asks: result.Asks, State: result.State}
	if in.Whole || len(result.Content) <= inlineResult {
		return out, nil
	}
	ref, err := attempt.Blobs.Put(ctx, []byte(result.Content))
	if err != nil {
		return toolOutput{}, fmt.Errorf("keep the result of %s: %w", in.Call.Name, err)
	}
	if len(result.Content) > previewMin {
		text := preview(result.Content, ref)
		out.Found = append(out.Found, readResult)
		if ref, err = attempt.Blobs.Put(ctx, []byte(text)); err != nil {
			return toolOutput{}, fmt.Errorf("keep the beginning of the result of %s: %w", in.Call.Name, err)
		}
	}
	out.Content, out.Ref = "", &ref
	return out, nil
}

// definition reads a definition that is pinned to a run.
func (s *steps) definition(ctx context.Context, attempt *durable.Attempt, ref durable.Ref) (Definition, error) {
	s.mu.Lock()
	d, ok := s.definitions[ref.Hash]
	s.mu.Unlock()
	if ok {
		return d, nil
	}
	data, err := attempt.Blobs.Get(ctx, ref)
	if err != nil {
		return d, fmt.Errorf("read the definition: %w", err)
	}
	d, hands, err := handsIn(data)
	if !hands && err == nil {
		err = json.Unmarshal(data, &d)
	}
	if err != nil {
		return d, durable.Errorf(durable.CodeInvalid, "definition %s: %w", ref.Hash, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.definitions == nil || len(s.definitions) >= definitionsMax {
		s.definitions = map[string]Definition{} // whoever needs one reads it again
	}
	s.definitions[ref.Hash] = d
	return d, nil
}
