package agent

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// ApprovalKind is the kind of the interrupt by which an agent asks whether it may call a tool.
const ApprovalKind = "approval"

// Approval says who decides on the calls of an agent, and what if nobody does.
type Approval struct {
	To       []string             `json:"to,omitempty"`       // whom it is put to, by name; empty = whoever may answer
	Within   time.Duration        `json:"within,omitempty"`   // nanoseconds; then Default counts; 0 = for ever
	Default  durable.Action       `json:"default,omitempty"`  // accept or reject; default reject
	Escalate []durable.Escalation `json:"escalate,omitempty"` // whom else it is put to, and when
	Quorum   int                  `json:"quorum,omitempty"`   // how many people must say the same; default 1
}

// Wish is the value of an approval: the call that the agent wants to make.
type Wish struct {
	Agent string          `json:"agent,omitempty"`
	Tool  string          `json:"tool"`
	Args  json.RawMessage `json:"args"`
}

// DigestOf is what an approval is bound to: the tool, its arguments, whatever the order of
// their keys, and the definition: that of the agent, or where the tool is of a source that and what
// the source said of it.
func DigestOf(w Wish, definition durable.Ref) string {
	return durable.RefOf([]byte(w.Tool + "\n" + canonical(w.Args) + "\n" + definition.Hash)).Hash
}

// interrupt is the question whether a call may be made.
func (l *loop) interrupt(c model.ToolCall, spec tool.Spec, leak string) durable.Interrupt {
	a := l.definition.Approval
	wish := Wish{Agent: l.definition.Name, Tool: c.Name, Args: c.Args}
	value, err := json.Marshal(wish)
	if err != nil {
		panic(fmt.Sprintf("agent: a checked call does not marshal: %v", err))
	}
	i := durable.Interrupt{
		Kind: ApprovalKind, Prompt: "May " + c.Name + " be called?", Value: value, Options: []string{string(durable.Accept), string(durable.Edit), string(durable.Reject), string(durable.Respond)},
		Schema: decisionSchema(spec.Schema), Digest: DigestOf(wish, l.meant(c.Name)), To: a.To, Within: a.Within, Escalate: a.Escalate, Quorum: a.Quorum,
	}
	if leak != "" {
		i.Prompt += " It is asked, whatever was accepted before, because " + leak + "."
	}
	if a.Within > 0 {
		action := durable.Reject
		if a.Default == durable.Accept && leak == "" { // silence does not do what a stranger may want
			action = durable.Accept
		}
		i.Default, _ = json.Marshal(durable.Decision{Action: action, Reason: "nobody answered in time"}) // plain text marshals
	}
	return i
}

// meant is the definition that an approval of calls of a tool is bound to.
func (l *loop) meant(name string) durable.Ref {
	declared, ok := l.finds.of(name)
	if !ok {
		return l.ref
	}
	data, err := json.Marshal(declared)
	if err != nil {
		panic(fmt.Sprintf("agent: a declaration that was read does not marshal: %v", err))
	}
	return durable.RefOf(append([]byte(l.ref.Hash+"\n"), data...))
}

// decisionSchema is the JSON Schema of a decision about a tool with these arguments.
func decisionSchema(args json.RawMessage) json.RawMessage {
	text := json.RawMessage(`{"type":"string"}`)
	one := func(words ...string) json.RawMessage {
		data, _ := json.Marshal(map[string]any{"enum": words}) // words marshal
		return data
	}
	properties := map[string]json.RawMessage{
		"action": one(string(durable.Accept), string(durable.Edit), string(durable.Reject), string(durable.Respond)), "args": args, "reason": text, "text": text,
		"always": one(string(durable.Once), string(durable.ThisRun), string(durable.ThisAgent), string(durable.Anybody)),
	}
	edit := map[string]any{"properties": map[string]any{"action": map[string]any{"const": durable.Edit}}}
	schema := map[string]any{
		"type": "object", "properties": properties, "required": []string{"action"}, "additionalProperties": false,
		"if": edit, "then": map[string]any{"required": []string{"args"}},
	}
	var shared map[string]json.RawMessage
	_ = json.Unmarshal(args, &shared) // a schema that is no object has none
	for _, name := range []string{"$defs", "definitions"} {
		if defs := shared[name]; defs != nil {
			schema[name] = defs // references within the arguments are from the root
		}
	}
	data, err := json.Marshal(schema)
	if err != nil {
		panic(fmt.Sprintf("agent: the schema of a registered tool does not marshal: %v", err))
	}
	return data
}

// approve asks a person about a call, while others go on, and makes it as that person says. With a
// leak it is asked whatever was accepted for good.
func (l *loop) approve(c model.ToolCall, spec tool.Spec, leak string, out *outcome) durable.Future {
	return l.ctx.Go("approve "+c.Name, func(ctx durable.Context) error {
		accepted := false
		if leak == "" {
			var err error
			if accepted, err = l.standing(ctx, c.Name); err != nil {
				return err
			}
		}
		decision := durable.Decision{Action: durable.Accept}
		if !accepted {
			var said json.RawMessage
			if err := ctx.Ask(l.interrupt(c, spec, leak)).Get(ctx, &said); err != nil {
				return err
			}
			if err := json.Unmarshal(said, &decision); err != nil {
				return durable.Errorf(durable.CodeInvalid, "the answer about %s: %w", c.Name, err)
			}
		}
		return l.decided(ctx, c, spec, decision, out)
	})
}

// decided does what a person has decided about a call.
func (l *loop) decided(ctx durable.Context, c model.ToolCall, spec tool.Spec, d durable.Decision, out *outcome) error {
	switch d.Action {
	case durable.Accept:
		if d.Always != durable.Once && !slices.Contains(l.Rules, c.Name) {
			l.Rules = append(l.Rules, c.Name)
		}
	case durable.Edit:
		c.Args = d.Args
		if ruling := l.rules(c, spec); ruling.Verdict == tool.Deny {
			out.refuse("a person changed the arguments of %s to %s, with which it may not be called (%s)", c.Name, c.Args, ruling.Rule)
			return nil
		}
	case durable.Reject:
		out.refuse("a person rejected the call: %s", orWhy(d.Reason))
		return nil
	case durable.Respond:
		out.toolOutput = toolOutput{Content: d.Text}
		return nil
	default:
		return durable.Errorf(durable.CodeInvalid, "the answer about %s is neither accept, edit, reject nor respond: %q", c.Name, d.Action)
	}
	err := l.perform(ctx, c, out)
	if err == nil && d.Action == durable.Edit {
		l.Notes = append(l.Notes, "A person changed the arguments of "+c.Name+" to "+string(c.Args)+".")
	}
	return err
}

func orWhy(reason string) string {
	if reason == "" {
		return "no reason was given"
	}
	return reason
}

// standing reports whether somebody has accepted all calls of a tool before.
func (l *loop) standing(ctx durable.Context, name string) (bool, error) {
	if slices.Contains(l.Rules, name) {
		return true, nil
	}
	return durable.StartAs(ctx, "rules", l.rule, Rule{Agent: l.definition.Name, Tool: name}).Await(ctx)
}

// Rule is a decision that stands: calls of the tool by the agent are accepted.
type Rule struct {
	Agent string `json:"agent"`
	Tool  string `json:"tool"`
}
