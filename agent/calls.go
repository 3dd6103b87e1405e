package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// outcome is what became of a call.
type outcome struct {
	toolOutput
	made bool // it was made: what it returned was read
}

func (o *outcome) refuse(format string, args ...any) {
	o.toolOutput = toolOutput{Content: fmt.Sprintf(format, args...), Error: true}
}

// call runs the tools a reply asks for, all at once, and keeps their results in the
// order of the calls. A call that a person has to decide on holds up no other.
func (l *loop) call(calls []model.ToolCall) error {
	if err := l.guard(calls); err != nil {
		for _, c := range calls { // a thread that is gone on with has no call without a result
			l.told(c, toolOutput{Content: "the call was not made: " + err.Error(), Error: true})
		}
		return err
	}
	outs := make([]outcome, len(calls))
	ends := make([]func() error, len(calls))
	for i, c := range calls {
		ends[i] = l.begun(c, &outs[i])
	}
	var stopped error
	for i, c := range calls {
		if err := ends[i](); err != nil {
			outs[i].refuse("the call failed: %v", err)
			if durable.CodeOf(err) == durable.CodeCanceled {
				outs[i].Content, stopped = "the call was not made, or not waited for: the run was canceled", err
			}
		}
		if spec, ok := l.tools.Spec(c.Name); ok && outs[i].made {
			l.Seen.read(spec.Flow)
			l.Seen.add(Seen{Untrusted: outs[i].Untrusted})
		}
		l.Found = append(l.Found, outs[i].Found...)
		l.told(c, outs[i].toolOutput)
	}
	for _, note := range l.Notes {
		l.say(note)
	}
	l.Notes = nil
	return stopped
}

// told has the result of a call told to the model with the next one.
func (l *loop) told(c model.ToolCall, out toolOutput) {
	result := model.ToolResult{CallID: c.ID, Name: c.Name, Content: out.Content, Error: out.Error}
	l.Pending = append(l.Pending, memory.Message{
		Message: model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &result}}}, Content: out.Ref,
	})
}

// begun begins to make a call, as the policies say, and returns how to wait for its result.
func (l *loop) begun(c model.ToolCall, out *outcome) func() error {
	now := func() error { return nil }
	spec, known := l.tools.Spec(c.Name)
	if !known {
		return l.direct(c, out)
	}
	ruling := l.rules(c, spec)
	if ruling.Verdict == tool.Deny {
		out.refuse("%s may not be called (%s)", c.Name, ruling.Rule)
		return now
	}
	leak := l.leak(spec)
	_, delegates := l.tools.agents[c.Name]
	switch {
	case ruling.Verdict == tool.Ask, leak != "", delegates:
		checked, refusal := l.tools.Check(tool.Call{Name: c.Name, Args: c.Args, Malformed: c.Malformed})
		if refusal != nil { // nobody is asked about what cannot be done
			out.refuse("%s", refusal.Content)
			return now
		}
		c.Args = checked.Args
	case !spec.Asks:
		return l.direct(c, out)
	}
	if ruling.Verdict == tool.Allow && leak == "" {
		f := l.ctx.Go("call "+c.Name, func(ctx durable.Context) error { return l.perform(ctx, c, out) })
		return func() error { return f.Get(l.ctx, nil) }
	}
	f := l.approve(c, spec, leak, out)
	return func() error { return f.Get(l.ctx, nil) }
}

// rules says what the policies make of a call.
func (l *loop) rules(c model.ToolCall, spec tool.Spec) tool.Ruling {
	return l.tools.judge.Rule(tool.Case{Agent: l.definition.Name, Tenant: l.ctx.Info().Tenant, Tool: spec, Args: c.Args})
}

// direct makes a call that needs nothing but its step.
func (l *loop) direct(c model.ToolCall, out *outcome) func() error {
	f := l.invoke(l.ctx, c, nil)
	return func() (err error) {
		out.made = true
		if out.toolOutput, err = f.Await(l.ctx); err == nil && len(out.Asks) > 0 {
			err = l.talk(l.ctx, c, out) // its spec did not say so: others are waited for behind it
		}
		return err
	}
}

// maxRounds is how often a tool may have questions in one call.
const maxRounds = 16

// perform makes a call to its end: what the tool wants to know of a person is asked in between.
func (l *loop) perform(ctx durable.Context, c model.ToolCall, out *outcome) error {
	out.made = true
	if d, ok := l.tools.agents[c.Name]; ok {
		return l.delegate(ctx, d, c, out)
	}
	var err error
	if out.toolOutput, err = l.invoke(ctx, c, nil).Await(ctx); err != nil || len(out.Asks) == 0 {
		return err
	}
	return l.talk(ctx, c, out)
}

// talk goes on with a call that has questions for a person, until it has none.
func (l *loop) talk(ctx durable.Context, c model.ToolCall, out *outcome) error {
	for range maxRounds {
		answers, err := l.put(ctx, out.toolOutput)
		if err != nil {
			return err
		}
		if out.toolOutput, err = l.invoke(ctx, c, answers).Await(ctx); err != nil || len(out.Asks) == 0 {
			return err
		}
	}
	out.refuse("%s had questions %d times and still no result: the call was given up", c.Name, maxRounds)
	return nil
}

// invoke makes a call, or goes on with one that had questions.
func (l *loop) invoke(ctx durable.Context, c model.ToolCall, answers *tool.Answers) durable.Promise[toolOutput] {
	options := durable.StepOptions{Effect: durable.Read} // an unknown tool is only refused
	if spec, ok := l.tools.Spec(c.Name); ok {
		options = spec.Options
	}
	if options.Limit == "" {
		options.Limit = "tool:" + c.Name
	}
	options = l.orders.Or(options)
	input, err := json.Marshal(toolInput{Definition: l.ref, Call: c, Finds: l.finds.ref(), Answers: answers, Untrusted: l.Seen.Untrusted, Whole: l.hands, Key: l.key})
	if err != nil {
		panic(fmt.Sprintf("agent: a call of %s does not marshal: %v", c.Name, err)) // its arguments are JSON
	}
	return durable.Promise[toolOutput]{Future: ctx.Step(durable.StepCall{Func: l.tool.Name, Name: cmp.Or(l.label, c.Name), Input: input, Options: options})}
}

// guard stops an agent that makes the same calls again and again.
func (l *loop) guard(calls []model.ToolCall) error {
	var b strings.Builder
	for _, c := range calls {
		fmt.Fprintf(&b, "%s(%s%s)\n", c.Name, canonical(c.Args), c.Malformed)
	}
	digest := durable.RefOf([]byte(b.String())).Hash[:16]
	if digest != l.Last {
		l.Last, l.Same = digest, 0
	}
	l.Same++
	if l.Same >= maxSame {
		return l.stop(durable.CodeExhausted, StopLoop, "the model asked for the same calls %d times in a row: %s", l.Same, strings.TrimSpace(b.String()))
	}
	return nil
}

// canonical is the same for arguments that mean the same.
func canonical(args json.RawMessage) string {
	var v any
	d := json.NewDecoder(bytes.NewReader(args))
	d.UseNumber()
	if err := d.Decode(&v); err != nil || d.More() {
		return string(args)
	}
	data, err := json.Marshal(plainNumbers(v)) // sorts the keys of maps
	if err != nil {
		return string(args)
	}
	return string(data)
}

// exactDigits is how many digits of a number a float64 is sure to keep.
const exactDigits = 15

// plainNumbers has numbers in one form, as far as that loses nothing of them.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		//orpine:ordered each has a place of its own
		for name, one := range v {
			v[name] = plainNumbers(one)
		}
	case []any:
		for i, one := range v {
			v[i] = plainNumbers(one)
		}
	case json.Number:
		if f, err := v.Float64(); err == nil && len(v) <= exactDigits {
			return f
		}
	}
	return v
}
