package agent

import (
	"encoding/json"

	"github.com/orpine-run/orpine/durable"
)

// Ask has an agent answer a text, in a child run: its turns, cost and approvals are there, and it
// is canceled with the run. What it had by then comes beside an error, see Answer.Stop. It begins
// a new conversation each time.
func Ask(ctx durable.Context, d Definition, text string) (Answer, error) {
	call, err := Call(d, text)
	if err != nil {
		return Answer{}, err
	}
	return durable.Promise[Answer]{Future: ctx.Child(call)}.Await(ctx)
}

// AskFor is Ask for an answer with a type. Where the definition has no Output it gets the schema of
// T, see durable.SchemaOf, so the agent is told what is wanted, and to answer again where its
// answer does not fit. Errors: those of the run of the agent, invalid for a T without a schema.
func AskFor[T any](ctx durable.Context, d Definition, text string) (T, error) {
	var out T
	if d.Output == nil {
		schema, err := durable.SchemaOf[T]()
		if err == nil && schema == nil {
			err = durable.Errorf(durable.CodeInvalid, "it may be anything: name a type, or use Ask")
		}
		if err != nil {
			return out, &durable.Error{Code: durable.CodeInvalid, Op: "ask agent " + d.Name, Err: err}
		}
		d.Output = schema
	}
	answer, err := Ask(ctx, d, text)
	if err != nil {
		return out, err
	}
	if err := json.Unmarshal(answer.Value, &out); err != nil {
		return out, &durable.Error{Code: durable.CodeInvalid, Op: "read the answer of agent " + d.Name, Err: err}
	}
	return out, nil
}
