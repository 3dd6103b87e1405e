package config

import (
	"fmt"
)

func workflowFields() []field {
	return []field{
		{name: "description", is: text, doc: "What it is for"},
		{name: "input", is: shape, doc: "What it is run with: fields and their types, month: string or n: number = 10; default anything"},
		{name: "output", is: anything, raw: true, doc: "What it comes to, with ${{ … }}; default the output of its last step that makes something"},
		{name: "state", is: table, fields: []field{
			{name: "merge", is: text, choices: []string{"reject", "replace", "append", "union", "sum", "max", "min"}, doc: "What becomes of a value where there is one; default reject: steps that run at the same time may not write it"},
			{name: "initial", is: anything, raw: true, doc: "What it is before anything is written"},
		}, doc: "What steps share: set and save write it, state.NAME reads it"},
		{name: "budget", is: object, fields: []field{
			{name: "cost", is: amount, doc: "Money, by the prices of the models; default no limit"},
			{name: "tokens", is: count, doc: "Input plus output tokens; default no limit"},
			{name: "time", is: duration, doc: "Wall time, such as 3d; default no limit"},
		}, doc: "What a run may use up, with all that runs below it"},
		{name: "concurrency", is: count, doc: "How many steps of a graph run at once; default all that can"},
		{name: "fail_fast", is: flag, doc: "Whether a step that fails cancels those beside it; default false: they run on, and then the run fails"},
		{name: "permissions", is: object, fields: policyFields(), doc: "What becomes of the calls of tools that its steps make; without it all are made"},
		{name: "approval", is: object, fields: approvalFields(), doc: "Who decides on calls that a person has to decide on"},
		{name: "steps", is: steps, required: true, doc: "Its steps: a list runs in order, a map is a graph by needs"},
	}
}

// stepFields are those of a step: verbs, and what is said about one.
func stepFields() []field {
	return append([]field{
		{name: "description", is: text, doc: "What it does, for people"},
		{name: "needs", is: texts, single: true, doc: "The steps of a graph that it waits for; a text is short for a list of one"},
		{name: "join", is: text, loose: true, doc: "How many of them must succeed: all (default), any, done (they have ended, in whatever way), first (the others are canceled), or a number"},
		{name: "if", is: text, raw: true, loose: true, doc: "An expression; false = the step is skipped"},
		{name: "for_each", is: anything, raw: true, doc: "A list, or an expression of one: the step runs for each item, with item and index"},
		{name: "concurrency", is: count, doc: "How many items at once; default all"},
		{name: "retry", is: object, short: "attempts", shortList: "waits", fields: []field{
			{name: "attempts", is: count, most: 1000, doc: "Tries in all; default 3"},
			{name: "backoff", is: duration, doc: "Wait before the second try, doubled each time; default 1s"},
			{name: "max", is: duration, doc: "Longest wait; default 1m"},
			{name: "waits", is: durations, doc: "The waits one by one, in place of the others"},
		}, doc: "When it is tried again: a number of tries, a list of waits such as [2s, 5s, 15s], or both in fields; default not at all"},
		{name: "timeout", is: duration, doc: "Of one try; default none"},
		{name: "on_error", is: object, short: "then", fields: []field{
			{name: "then", is: text, choices: []string{"continue", "fail"}, doc: "Whether the steps that need it run all the same; default fail"},
			{name: "goto", is: text, doc: "The step that goes on in its place"},
		}, doc: "What if it fails for good: continue, fail (default), or goto: STEP"},
		{name: "compensate", is: verb, doc: "A verb that undoes it when the run fails or is canceled; the latest step is undone first"},
		{name: "cache", is: object, short: "ttl", fields: []field{
			{name: "by", is: texts, single: true, choices: []string{"inputs", "code"}, doc: "What tells one output from another; default inputs and code, or key alone"},
			{name: "key", is: text, raw: true, doc: "What else does, with ${{ … }}"},
			{name: "ttl", is: duration, doc: "How long an output is used; default for ever"},
		}, doc: "Keeps its output for other runs; a duration is short for ttl"},
		{name: "output", is: shape, loose: true, doc: "The shape of its output, which is checked: fields and their types, or a type such as [integer]"},
		{name: "save", is: values, doc: "What it writes to the state when it succeeds, with ${{ output }}"},
		{name: "asset", is: text, doc: "What it makes that is there when the run has ended, such as a table"},
		{name: "partition", is: text, raw: true, doc: "The part of the asset that is made: a field of the input, or text with ${{ … }}"},
		{name: "metadata", is: values, doc: "What is recorded of the asset, such as row_count: ${{ output.rows }}"},
		{name: "checks", is: rows, fields: []field{
			{name: "name", is: text, required: true, doc: "What is checked"},
			{name: "that", is: text, raw: true, required: true, doc: "An expression over output that must hold"},
			{name: "warns", is: flag, doc: "Whether it is only recorded; default false: the step fails"},
		}, doc: "What the asset is held against"},
	}, verbFields()...)
}

// stepID is the field that names a step of a list; in a mapping its key does.
func stepID() field {
	return field{name: "id", is: text, required: true, doc: "A name for the step"}
}

// verbFields are the verbs, of which a step has one.
func verbFields() []field {
	return []field{
		{name: "agent", is: text, doc: "An agent of this file; its output is its answer"},
		{name: "prompt", is: text, raw: true, doc: "What the agent is to do, with ${{ … }}"},
		{name: "tool", is: text, doc: "A tool of this file, or one that is built in"},
		{name: "with", is: anything, raw: true, doc: "What the tool or workflow is called with, with ${{ … }}"},
		{name: "run", is: texts, raw: true, words: true, doc: "A command in the sandbox, with ${{ … }}; its output is what it prints"},
		{name: "stdin", is: text, raw: true, doc: "What the command reads, with ${{ … }}"},
		{name: "env", is: pairs, doc: "The environment of the command"},
		{name: "secrets", is: pairs, raw: true, doc: "Variables of the command, each with the path of a file that holds this text, such as ${secret:NAME}"},
		{name: "sandbox", is: object, fields: sandboxFields(), doc: "What the command may touch; default the folder of this file, and no network"},
		{name: "effect", is: text, choices: []string{"read", "idempotent", "irreversible"}, doc: "What running the command twice would do; default irreversible"},
		{name: "workflow", is: text, doc: "A workflow of this file, as a run of its own"},
		{name: "human", is: object, short: "ask", fields: []field{
			{name: "ask", is: text, raw: true, required: true, doc: "What the person is asked, with ${{ … }}"},
			{name: "show", is: anything, raw: true, doc: "What it is about, with ${{ … }}"},
			{name: "to", is: texts, single: true, doc: "Whom it is for, by name; default whoever may answer"},
			{name: "actions", is: texts, doc: "What can be answered; default accept and reject. The output has action, comment and value"},
			{name: "form", is: shape, doc: "Fields to fill in, in place of actions; the output is these"},
			{name: "timeout", is: duration, doc: "How long an answer is waited for; default for ever"},
			{name: "on_timeout", is: anything, raw: true, doc: "The answer then: an action, or the fields of the form; default the step fails"},
			{name: "quorum", is: count, most: 100, doc: "How many people must say the same; default 1"},
		}, doc: "A question to a person"},
		{name: "wait", is: object, short: "for", fields: []field{
			{name: "for", is: text, raw: true, doc: "A duration such as 10m, with ${{ … }}"},
			{name: "until", is: text, raw: true, doc: "A time such as 2026-01-31T12:00:00Z, with ${{ … }}"},
			{name: "event", is: text, doc: "The name of a signal; its data is the output"},
			{name: "if", is: text, raw: true, doc: "An expression over event; a signal for which it does not hold is left out"},
		}, doc: "A wait for a while, until a time, or for an event; a duration is short for for"},
		{name: "set", is: values, doc: "What is written to the state, with ${{ … }}"},
		{name: "loop", is: object, fields: []field{
			{name: "steps", is: steps, required: true, doc: "The steps that are repeated"},
			{name: "max", is: count, most: 10_000, required: true, doc: "How many rounds there are at most"},
			{name: "until", is: text, raw: true, doc: "An expression: the loop ends behind a round for which it holds"},
			{name: "on_max", is: text, choices: []string{"fail", "continue"}, doc: "What if it never does; default fail"},
			{name: "output", is: text, raw: true, doc: "An expression; default the output of the last step in it that makes something"},
		}, doc: "Repeats steps; round is the number of the round"},
		{name: "switch", is: object, shortList: "cases", fields: []field{
			{name: "cases", is: rows, required: true, fields: []field{
				{name: "if", is: text, raw: true, doc: "An expression; default true"},
				{name: "goto", is: text, required: true, doc: "The step that goes on: in a list any of it, or end; in a graph one that needs this one"},
			}, doc: "The first that holds counts"},
			{name: "max", is: count, most: 10_000, doc: "How often it may go back; default 10"},
		}, doc: "Goes on with one of several steps; a list is short for cases"},
		{name: "plan", is: object, short: "goal", fields: []field{
			{name: "goal", is: text, raw: true, required: true, doc: "What is to be reached, with ${{ … }}"},
			{name: "planner", is: text, required: true, doc: "The agent that makes the plan"},
			{name: "agents", is: texts, doc: "The agents that its steps may run"},
			{name: "tools", is: texts, doc: "The tools that its steps may call"},
			{name: "approve", is: flag, doc: "Whether a person accepts, edits or rejects the plan before it is run; default false"},
			{name: "to", is: texts, single: true, doc: "Who does, by name; default whoever may answer"},
			{name: "max", is: count, most: 100, doc: "How many plans are made at most; default 3"},
			{name: "steps", is: count, most: 1000, doc: "How many steps a plan may have; default 20"},
		}, doc: "Has an agent make a graph of steps for a goal, and runs it"},
		{name: "team", notYet: "let one agent have the others under agents"},
	}
}

// steps checks steps: a list, or a mapping by ID. They are kept in the order of the file.
func (c *checker) steps(n *node, path string) (any, bool) {
	out := map[string]any{"ordered": n.kind == list}
	all, fine := []any{}, true
	add := func(v any, ok bool, id string) {
		if one, isObject := v.(map[string]any); isObject {
			if id != "" {
				one["id"] = id
			}
			all = append(all, one)
		}
		fine = fine && ok
	}
	switch {
	case n.kind == list && len(n.items) > 0:
		for i, item := range n.items {
			v, ok := c.value(item, field{is: object, fields: append([]field{stepID()}, stepFields()...)}, fmt.Sprintf("%s[%d]", path, i))
			add(v, ok, "")
		}
	case n.kind == mapping && len(n.entries) > 0:
		for _, e := range n.entries {
			v, ok := c.value(e.value, field{is: object, fields: stepFields()}, join(path, e.name))
			add(v, ok, e.name)
		}
	default:
		return c.wrong(n, path, "a list of steps, or a mapping of them")
	}
	out["list"] = all
	return out, fine
}

// values checks a mapping of names to whatever JSON can be, with expressions.
func (c *checker) values(n *node, path string) (any, bool) {
	if n.kind != mapping || len(n.entries) == 0 {
		return c.wrong(n, path, "a mapping of names to values")
	}
	return c.anything(n, true, path)
}

// durations checks a list of durations.
func (c *checker) durations(n *node, path string) (any, bool) {
	if n.kind != list || len(n.items) == 0 {
		return c.wrong(n, path, "a list of durations such as [2s, 5s, 15s]")
	}
	out := []any{}
	for i, item := range n.items {
		if v, ok := c.value(item, field{is: duration}, fmt.Sprintf("%s[%d]", path, i)); ok {
			out = append(out, v)
		}
	}
	return out, len(out) == len(n.items)
}
