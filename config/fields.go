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
	anything // whatever JSON can be
	flag     // true or false
	count    // a whole number above 0
	amount   // a number above 0
	number   // a number from 0 on
	duration // 30s, 15m, 3d
	shape    // the short type language, see Schema

	durations // a list of them
	values    // a mapping of names to whatever JSON can be, in which variables stay as they are
	steps     // of a workflow
	verb      // a verb of a step alone
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
	raw      bool     // variables stay as they are written: they are filled in when it is used
	place    bool     // a path, from the folder of the file
	none     bool     // false in place of a list is an empty one
	words    bool     // a text in place of a list of text is taken apart at its blanks
	notYet   string   // known but refused; says what to do instead

	single    bool   // a text in place of a list of text is a list of it
	loose     bool   // true, false and numbers are texts too
	shortList string // a list in place of the object means this field of it
}

// fileFields is the format: everything that may stand in an orpine file.
func fileFields() []field {
	return []field{
		{name: "name", is: text, doc: "Name of the file in lists; default: the file's name without extension"},
		{name: "models", is: table, short: "use", fields: modelFields(), doc: "Models by a name of your own; plain provider/name is short for use"},
		{name: "agents", is: table, fields: agentFields(), doc: "Agents by name; FILE#NAME runs one of several"},
		{name: "tools", is: table, fields: toolFields(), doc: "Tools the agents may name"},
		{name: "limits", is: table, wide: true, fields: limitFields(), doc: "Bounds of steps by name, for orpine serve: model:PROVIDER/NAME, tool:NAME; * stands for any part"},
		{name: "queues", is: table, fields: queueFields(), doc: "Queues that runs can be started in, for orpine serve"},
		{name: "mcp", is: table, fields: serverFields(), doc: "MCP servers by name: their tools are NAME/…; the fields of mcpServers in a .mcp.json, and a few more"},
		{name: "mcp_file", is: text, place: true, doc: "A .mcp.json whose servers are taken as well, relative to this file"},
		{name: "permissions", is: object, fields: policyFields(), doc: "What becomes of calls of tools, by any agent of the file: narrows what the agents' own permissions allow"},
		{name: "tenants", is: table, fields: []field{
			{name: "permissions", is: object, required: true, fields: policyFields(), doc: "Narrows what may be called in the runs of the tenant"},
		}, doc: "Tenants by name, and what may be done in their runs"},
		{name: "workflows", is: table, fields: workflowFields(), doc: "Workflows by name; FILE#NAME runs one"},
		{name: "schedules", is: table, fields: scheduleFields(), doc: "What starts runs at times, by name; orpine serve keeps to them"},
		{name: "triggers", is: table, fields: triggerFields(), doc: "What starts runs when something happens, by name; orpine serve watches for it"},
		{name: "teams", notYet: "remove the section and give one agent the work"},
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
		{name: "tools", is: texts, doc: "Names of tools, or patterns with *; clock, ask_human, todo, shell, http_fetch, starlark and javascript are built in"},
		{name: "agents", is: texts, doc: "Names of agents of this file that it may put something to, each as the tool agents/NAME"},
		{name: "tool_tokens", is: count, doc: "How many tokens the tools of mcp servers and API documents may take up of a request; beyond that the agent looks them up; default 10000"},
		{name: "flow", is: text, choices: []string{"on", "off"}, doc: "Whether a person is asked before an agent that has read the words of strangers does what cannot be undone or sends out what is private; default on"},
		{name: "output", is: shape, doc: "Shape of the answer: fields and their types, or schema: with a JSON Schema; default: text"},
		{name: "budget", is: object, doc: "What a run may use up before it stops", fields: []field{
			{name: "turns", is: count, doc: "Model calls; default 50"},
			{name: "tokens", is: count, doc: "Input plus output tokens; default: no limit"},
			{name: "cost", is: amount, doc: "Money, by the model's price; default: no limit"},
			{name: "time", is: duration, doc: "Wall time, such as 15m; default: no limit"},
		}},
		{name: "max_tokens", is: count, doc: "Longest reply in tokens; default: the model's"},
		{name: "temperature", is: number, most: 2, doc: "Sampling temperature from 0 to 2; default: the model's"},
		{name: "permissions", is: object, fields: policyFields(), doc: "What becomes of its calls of tools; without it all are made"},
		{name: "approval", is: object, fields: approvalFields(), doc: "Who decides on the calls that a person has to decide on, and what if nobody does"},
		{name: "memory", notYet: "remove the section; the conversation of a run is kept whole"},
		{name: "planner", is: object, short: "kind", fields: []field{
			{name: "kind", is: text, required: true, choices: []string{"react", "plan_execute", "reflect"}, doc: "react: it calls tools until it has an answer; plan_execute: it makes a graph of steps for agents and tools, which is run; reflect: a judge looks at its answers"},
			{name: "agents", is: texts, doc: "plan_execute: the agents that its steps may run; default itself, with its tools"},
			{name: "tools", is: texts, doc: "plan_execute: the tools that its steps may call; default none"},
			{name: "approve", is: flag, doc: "plan_execute: whether a person accepts, edits or rejects each plan; default false"},
			{name: "to", is: texts, single: true, doc: "plan_execute: who does, by name; default whoever may answer"},
			{name: "steps", is: count, most: 1000, doc: "plan_execute: how many steps a plan may have; default 20"},
			{name: "judge", is: text, doc: "reflect: the agent that judges; default itself"},
			{name: "max", is: count, most: 100, doc: "How many plans, or answers, are made at most; default 3"},
		}, doc: "How it comes to an answer; default react"},
	}
}

func approvalFields() []field {
	return []field{
		{name: "to", is: texts, doc: "Whom it is put to, by name; default whoever may answer"},
		{name: "within", is: duration, doc: "How long an answer is waited for, such as 3d; default for ever"},
		{name: "default", is: text, choices: []string{"accept", "reject"}, doc: "What counts when nobody answers in time; default reject"},
		{name: "quorum", is: count, most: 100, doc: "How many people must say the same; default 1"},
		{name: "escalate", is: rows, doc: "Whom else it is put to while nobody has answered, and when", fields: []field{
			{name: "after", is: duration, required: true, doc: "How long after it was put, such as 4h"},
			{name: "to", is: texts, required: true, doc: "Whom it is put to as well, by name"},
		}},
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
		{name: "http", is: object, short: "openapi", fields: httpFields(), doc: "Requests to an HTTP API: all operations of an OpenAPI document, or one request; a text is short for openapi, or METHOD URL for one request"},
		{name: "run", is: texts, raw: true, words: true, doc: "A command, one element for each argument, or a text that is taken apart at its blanks; {name} stands for an argument of the call"},
		{name: "stdin", is: text, raw: true, doc: "What the command reads: json for all arguments, or a text with {name} for arguments and ${secret:NAME}"},
		{name: "env", is: pairs, doc: "The environment of the command; nothing else is in it"},
		{name: "secrets", is: pairs, raw: true, doc: "Variables of the command, each with the path of a file that holds this text, such as ${secret:NAME}"},
		{name: "max_output", is: count, doc: "Bytes of output of the command that the model is told; default 32768"},
		{name: "sandbox", is: object, fields: sandboxFields(), doc: "What the command may touch; default: the folder of this file, and no network"},
		{name: "wasm", is: object, short: "module", fields: []field{
			{name: "module", is: text, place: true, required: true, doc: "A WASI command, relative to this file"},
			{name: "args", is: texts, doc: "Its arguments; those of the call are on its standard input, as JSON"},
			{name: "mounts", is: pairs, place: true, doc: "Folders that it may read: paths in the module, and where they are, relative to this file"},
			{name: "memory_mb", is: count, doc: "Its memory in MB; default 64"},
			{name: "max_calls", is: count, doc: "Calls of functions that it may make; default no bound"},
			{name: "max_bytes", is: count, doc: "Bytes that it may write; default 1 MB"},
		}, doc: "A WebAssembly module; a path is short for module"},
		{name: "files", is: text, place: true, doc: "A folder, relative to this file: the tools NAME/read, NAME/list and NAME/search"},
		{name: "write", is: flag, doc: "Whether the folder may be changed: NAME/write and NAME/edit as well; default false"},
		{name: "memory", is: text, doc: "A name under which facts are kept beyond conversations: the tools NAME/save, NAME/find and NAME/forget"},
		{name: "cache", is: object, short: "for", fields: []field{
			{name: "for", is: duration, required: true, doc: "How long a result is good for calls with the same arguments"},
			{name: "key", is: texts, doc: "The arguments on which a result depends; default all"},
		}, doc: "Keeps results of a tool that only reads; a duration is short for for"},
		{name: "breaker", is: object, fields: []field{
			{name: "failures", is: count, doc: "Calls in a row that must fail; default 5"},
			{name: "pause", is: duration, doc: "How long it is left alone then; default 30s"},
		}, doc: "Leaves alone for a while what does not answer"},
		{name: "flow", is: object, fields: flowFields(), doc: "Where what it returns comes from, and where what it is told goes; default by its kind"},
		{name: "subject", is: object, short: "arg", fields: []field{
			{name: "arg", is: text, required: true, doc: "The argument that rules such as NAME(PATTERN) are about"},
			{name: "kind", is: text, choices: []string{"path", "url", "line"}, doc: "How it is read: a path, a URL or a line for a shell; default as it is"},
		}, doc: "What its calls are about, for permissions; default its only argument, if that is a text"},
	}
}

func policyFields() []field {
	return []field{
		{name: "deny", is: texts, doc: "Rules of what may not be called: NAME, NAME(PATTERN), or either with if CONDITION behind it; beats ask and allow"},
		{name: "ask", is: texts, doc: "Rules of what a person decides on, call by call; beats allow"},
		{name: "allow", is: texts, doc: "Rules of what may be called"},
		{name: "default", is: text, choices: []string{"allow", "ask", "deny"}, doc: "For calls that no rule fits; default ask"},
	}
}

func flowFields() []field {
	return []field{
		{name: "untrusted", is: flag, doc: "What it returns may be the words of a stranger"},
		{name: "private", is: flag, doc: "What it returns is not for everybody"},
		{name: "egress", is: flag, doc: "What it is told leaves the house"},
	}
}

func httpFields() []field {
	return []field{
		{name: "openapi", is: text, doc: "A document of OpenAPI 3, a file relative to this one or a URL: each operation is a tool NAME/operationId"},
		{name: "include", is: texts, doc: "Only these operations, by operationId or METHOD /path; * stands for any part; default all"},
		{name: "base_url", is: text, doc: "In place of the servers that the document names"},
		{name: "effects", is: pairs, doc: "What calling an operation does, by operationId: read, idempotent or irreversible; default by its method"},
		{name: "method", is: text, choices: []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}, doc: "Of a single request; default GET"},
		{name: "url", is: text, doc: "Of a single request, with {name} for arguments"},
		{name: "query", is: pairs, doc: "Parameters of the query, with {name} for arguments"},
		{name: "headers", is: pairs, doc: "Sent with every request"},
		{name: "body", is: anything, doc: "What is sent, as JSON or a text, with {name} for arguments"},
		{name: "form", is: pairs, doc: "Fields of a form that is sent, with {name} for arguments"},
		{name: "auth", is: object, fields: []field{
			{name: "bearer", is: text, raw: true, doc: "A token, such as ${secret:NAME}"},
			{name: "basic", is: object, fields: []field{
				{name: "user", is: text, raw: true, required: true, doc: "The name of the user"},
				{name: "password", is: text, raw: true, required: true, doc: "The password, such as ${secret:NAME}"},
			}, doc: "A user with a password"},
			{name: "header", is: pairs, raw: true, doc: "Headers with keys, such as ${secret:NAME}"},
			{name: "query", is: pairs, raw: true, doc: "Parameters of the query with keys, such as ${secret:NAME}"},
		}, doc: "Who the requests are from; one of its fields"},
		{name: "max_bytes", is: count, doc: "Bytes of an answer that are read; default 1 MB"},
	}
}

func sandboxFields() []field {
	return []field{
		{name: "workspace", is: text, place: true, doc: "The folder it may write to, relative to this file; default the folder of the file"},
		{name: "dir", is: text, place: true, doc: "The working directory; default the workspace"},
		{name: "fs", is: text, choices: []string{"read", "write"}, doc: "Whether it may write to the workspace, or only read it; default write"},
		{name: "read_only", is: texts, place: true, doc: "What else it may read"},
		{name: "net", is: texts, none: true, doc: "What it may reach, as host or host:port; * stands for the rest of a host or for any port; false = nothing, which is the default"},
		{name: "host_network", is: flag, doc: "Whether it has the network of the machine, without any bound; default false"},
		{name: "memory_mb", is: count, doc: "Memory of all its processes, in MB; default 1024"},
		{name: "disk_mb", is: count, doc: "MB by which the workspace may grow; default 4096"},
		{name: "processes", is: count, doc: "Processes and threads at once; default 256"},
		{name: "tier", is: text, choices: []string{"jail", "none"}, doc: "What holds it; none = nothing does; default jail"},
	}
}

func serverFields() []field {
	return []field{
		{name: "type", is: text, choices: []string{"stdio", "http", "sse"}, doc: "How it is spoken to; default by what else there is"},
		{name: "command", is: text, raw: true, doc: "The program of a server that speaks over standard input and output"},
		{name: "args", is: texts, raw: true, doc: "Its arguments"},
		{name: "env", is: pairs, raw: true, doc: "Its environment; nothing else is in it"},
		{name: "cwd", is: text, place: true, doc: "Its working directory, relative to this file; default the folder of the file"},
		{name: "url", is: text, raw: true, doc: "Of a remote server"},
		{name: "headers", is: pairs, raw: true, doc: "Sent to a remote server, such as Authorization: Bearer ${secret:NAME}"},
		{name: "timeout", is: duration, doc: "Of one call; default 2m"},
		{name: "effects", is: pairs, doc: "What calling a tool does, by its name or a pattern: read, idempotent or irreversible; default irreversible"},
		{name: "flow", is: object, fields: flowFields(), doc: "Where what its tools return comes from, and where what they are told goes; default untrusted, and of a remote one egress"},
		{name: "tools", is: texts, doc: "Names or patterns of its tools that are taken; default all"},
		{name: "resources", is: flag, doc: "Whether its resources are offered; default true"},
		{name: "prompts", is: flag, doc: "Whether its prompts are offered; default true"},
		{name: "ask", is: flag, doc: "Whether it may put questions to a person; default true"},
		{name: "calls", is: count, doc: "How many calls are under way at once; default 16"},
		{name: "max_result", is: count, doc: "Bytes of text that a call returns; default 1 MB"},
		{name: "sandbox", is: object, fields: sandboxFields(), doc: "What the program may touch; default: its working directory, and no network"},
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
