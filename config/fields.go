package config

import "github.com/orpine-run/orpine/durable"

// kind says what values a field takes.
type kind int

const (
	object kind = iota // a mapping of the field's fields
	table              // a mapping of names to such objects
	text
	texts    // a list of text
	files    // a mapping of names to paths
	rows     // a list of objects
	pairs    // a mapping of names to texts
	flag     // true or false
	count    // a whole number above 0
	amount   // a number above 0
	number   // a number from 0 on
	duration // 30s, 15m, 3d
	shape    // the short type language, see Schema
)

// field is one line of the format.
type field struct {
	name     string
	is       kind
	doc      string // for editors: what it means, its unit and its default
	required bool
	fields   []field  // of an object, or of each object of a table
	short    string   // a scalar in place of the object means this field of it
	choices  []string // the only values of a text, or of each of a list of them
	most     float64  // the largest number; 0 = no limit
	wide     bool     // the names of a table may be any text without blanks
	notYet   string   // known but refused; says what to do instead
}

// fileFields is the format: everything that may stand in an orpine file.
func fileFields() []field {
	return []field{
		{name: "name", is: text, doc: "Name of the file in lists; default: the file's name without extension"},
		{name: "models", is: table, short: "use", fields: modelFields(), doc: "Models by a name of your own; plain provider/name is short for use"},
		{name: "agents", is: table, required: true, fields: agentFields(), doc: "Agents by name; FILE#NAME runs one of several"},
		{name: "tools", is: table, fields: toolFields(), doc: "Tools the agents may name"},
		{name: "limits", is: table, wide: true, fields: limitFields(), doc: "Bounds of steps by name, for orpine serve: model:PROVIDER/NAME, tool:NAME; * stands for any part"},
		{name: "queues", is: table, fields: queueFields(), doc: "Queues that runs can be started in, for orpine serve"},
		{name: "workflows", notYet: "remove the section and run its agents one by one"},
		{name: "schedules", notYet: "remove the section and start the run from cron"},
		{name: "teams", notYet: "remove the section and give one agent the work"},
		{name: "mcp", notYet: "remove the section or declare the tools under tools"},
		{name: "permissions", notYet: "remove the section and list only tools that may always run"},
	}
}

func modelFields() []field {
	return []field{
		{name: "use", is: text, required: true, doc: "provider/name: openai/…, anthropic/…, script/FILE (relative to this file) or builtin/outline"},
		{name: "price", is: object, doc: "What the model costs, per million tokens, in the currency of the budgets", fields: []field{
			{name: "input", is: number, required: true, doc: "Price of a million input tokens"},
			{name: "output", is: number, required: true, doc: "Price of a million output tokens"},
		}},
		{name: "max_tokens", is: count, doc: "Longest reply in tokens; default: the provider's"},
		{name: "temperature", is: number, most: 2, doc: "Sampling temperature from 0 to 2; default: the provider's"},
		{name: "reasoning", notYet: "remove it"},
		{name: "fallback", notYet: "remove it"},
	}
}

func agentFields() []field {
	return []field{
		{name: "model", is: text, required: true, doc: "provider/name, or a name of the models section"},
		{name: "description", is: text, doc: "What the agent is for, for people and other agents"},
		{name: "instructions", is: text, doc: "What the agent is told before every conversation"},
		{name: "tools", is: texts, doc: "Names of tools, or patterns with *; clock is built in"},
		{name: "output", is: shape, doc: "Shape of the answer: fields and their types, or schema: with a JSON Schema; default: text"},
		{name: "budget", is: object, doc: "What a run may use up before it stops", fields: []field{
			{name: "turns", is: count, doc: "Model calls; default 50"},
			{name: "tokens", is: count, doc: "Input plus output tokens; default: no limit"},
			{name: "cost", is: amount, doc: "Money, by the model's price; default: no limit"},
			{name: "time", is: duration, doc: "Wall time, such as 15m; default: no limit"},
		}},
		{name: "max_tokens", is: count, doc: "Longest reply in tokens; default: the model's"},
		{name: "temperature", is: number, most: 2, doc: "Sampling temperature from 0 to 2; default: the model's"},
		{name: "permissions", is: object, doc: "What becomes of its calls of tools; without it all are made", fields: []field{
			{name: "deny", is: texts, doc: "Names of tools, or patterns with *, that it may not call; beats ask and allow"},
			{name: "ask", is: texts, doc: "Those on which a person decides, call by call; beats allow"},
			{name: "allow", is: texts, doc: "Those it may call"},
			{name: "default", is: text, choices: []string{"allow", "ask", "deny"}, doc: "For tools that no rule names; default ask"},
		}},
		{name: "approval", is: object, doc: "Who decides on the calls that a person has to decide on, and what if nobody does", fields: []field{
			{name: "to", is: texts, doc: "Whom it is put to, by name; default whoever may answer"},
			{name: "within", is: duration, doc: "How long an answer is waited for, such as 3d; default for ever"},
			{name: "default", is: text, choices: []string{"accept", "reject"}, doc: "What counts when nobody answers in time; default reject"},
			{name: "quorum", is: count, most: 100, doc: "How many people must say the same; default 1"},
			{name: "escalate", is: rows, doc: "Whom else it is put to while nobody has answered, and when", fields: []field{
				{name: "after", is: duration, required: true, doc: "How long after it was put, such as 4h"},
				{name: "to", is: texts, required: true, doc: "Whom it is put to as well, by name"},
			}},
		}},
		{name: "memory", notYet: "remove the section; the conversation of a run is kept whole"},
	}
}

func limitFields() []field {
	return []field{
		{name: "at_once", is: count, doc: "How many run at once; default no bound"},
		{name: "count", is: count, doc: "How many begin in each per, evenly spread; default no bound"},
		{name: "per", is: duration, doc: "The period of count; default 1s"},
		{name: "burst", is: count, doc: "How many may begin at once after a pause; default count"},
		{name: "depth", is: count, doc: "How many may wait; more fail as exhausted and are retried; default 100000"},
	}
}

func queueFields() []field {
	return []field{
		{name: "at_once", is: count, doc: "How many runs may be in motion for one to begin; default 10000"},
		{name: "depth", is: count, doc: "How many may wait to begin; more are refused as exhausted; default 100000"},
	}
}

func toolFields() []field {
	return []field{
		{name: "description", is: text, doc: "What the tool does, for the model"},
		{name: "sql", is: text, doc: "A query with :name for each field of input; without it the model writes the query"},
		{name: "csv", is: files, doc: "Tables and the CSV files they are read from, relative to this file"},
		{name: "input", is: shape, doc: "The arguments of the query: fields and their types"},
		{name: "timeout", is: duration, doc: "Of one call, such as 30s; default: none"},
		{name: "retry", is: object, short: "attempts", doc: "When a failed call is tried again; a number is short for attempts", fields: []field{
			{name: "attempts", is: count, most: 100, doc: "Tries in all; default 4, and 1 where the effect is irreversible"},
			{name: "backoff", is: duration, doc: "Wait before the second try, doubled each time; default 200ms"},
			{name: "max", is: duration, doc: "Longest wait; default 30s"},
			{name: "jitter", is: number, most: 1, doc: "Shortens each wait at random by up to this part of it, 0 to 1; default 0"},
			{name: "never", is: texts, choices: errorCodes(), doc: "Error codes after which the call is not tried again"},
		}},
		{name: "effect", is: text, choices: []string{"read", "idempotent", "irreversible"}, doc: "What a second call would do; default read"},
		{name: "http", notYet: "remove the tool or query a CSV file with sql"},
		{name: "run", notYet: "remove the tool or query a CSV file with sql"},
		{name: "sandbox", notYet: "remove it; a query starts no process"},
	}
}

// errorCodes are the codes a failure can have.
func errorCodes() []string {
	var list []string
	for _, c := range durable.AllCodes() {
		list = append(list, string(c))
	}
	return list
}
