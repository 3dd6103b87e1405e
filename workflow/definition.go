package workflow

import (
	"encoding/json"
	"time"

	"github.com/orpine-run/orpine/agent"
)

// Definition is a workflow as data. A run pins it by hash when it starts, so a changed file never
// changes a run in flight. Texts and values in it may hold expressions, as ${{ … }}, over input, steps,
// state and run; see the fields of [Node] for what else there is.
type Definition struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Input       json.RawMessage `json:"input,omitempty"`  // JSON Schema of the input, an object; nil = anything
	Output      json.RawMessage `json:"output,omitempty"` // template of the output; nil = that of the last node that makes something
	State       map[string]Key  `json:"state,omitempty"`  // what nodes share, by name
	Budget      Budget          `json:"budget,omitzero"`
	AtOnce      int             `json:"at_once,omitempty"`   // how many nodes of one graph run at once; 0 = as many as can
	FailFast    bool            `json:"fail_fast,omitempty"` // a node that fails cancels those beside it
	Body        Body            `json:"body"`

	Agents    map[string]agent.Definition `json:"agents,omitempty"`    // those its nodes run, by name
	Workflows map[string]*Definition      `json:"workflows,omitempty"` // those its nodes run, by name
	Hands     agent.Definition            `json:"hands,omitzero"`      // the tools its nodes call, and the policies over them
}

// Body is some nodes.
type Body struct {
	Ordered bool   `json:"ordered,omitempty"` // they run one after the other; else each as soon as what it needs is there
	Nodes   []Node `json:"nodes"`
}

// Key is something that nodes share.
type Key struct {
	Merge   Merge           `json:"merge,omitempty"` // "" = Reject
	Initial json.RawMessage `json:"initial,omitempty"`
}

// Merge says what becomes of a value that is written where there is one.
type Merge string

// The merges. All but Reject take what nodes write at the same time.
const (
	Reject  Merge = "reject"  // it is replaced by a node that runs behind the one that wrote it; beside it is a conflict
	Replace Merge = "replace" // it is replaced, whoever comes last
	Append  Merge = "append"  // it is a list, which grows; a list that is written is added item by item
	Union   Merge = "union"   // the same, without what is in it already
	Sum     Merge = "sum"
	Max     Merge = "max"
	Min     Merge = "min"
)

// Budget bounds a run with all that runs below it. A zero field means no bound.
type Budget struct {
	Cost   float64       `json:"cost,omitempty"`
	Tokens int           `json:"tokens,omitempty"`
	Time   time.Duration `json:"time,omitempty"` // wall time in nanoseconds
}

// Node is one step of a workflow: exactly one verb, and what is said about it.
type Node struct {
	ID          string   `json:"id"`
	Description string   `json:"description,omitempty"`
	Needs       []string `json:"needs,omitempty"` // of a graph: the nodes it waits for
	Join        Join     `json:"join,omitzero"`   // how many of them; the zero value is all
	If          string   `json:"if,omitempty"`    // an expression; false = the node is skipped

	// ForEach is an expression of a list: the node runs once for each item, with item and index in its
	// expressions, AtOnce of them at once (0 = all). Its output is the list of theirs.
	ForEach string `json:"for_each,omitempty"`
	AtOnce  int    `json:"at_once,omitempty"`

	Retry      *Retry          `json:"retry,omitempty"`   // nil = what the verb does by itself
	Timeout    time.Duration   `json:"timeout,omitempty"` // of an attempt, in nanoseconds; 0 = none
	OnError    OnError         `json:"on_error,omitzero"`
	Compensate *Node           `json:"compensate,omitempty"` // a verb alone: undoes this node when the run fails or is canceled
	Cache      *Cache          `json:"cache,omitempty"`
	Output     json.RawMessage `json:"output,omitempty"` // JSON Schema of the output, which is checked; a text of JSON is read
	Save       Values          `json:"save,omitempty"`   // written to the state when it succeeds; output is its output
	Asset      *Asset          `json:"asset,omitempty"`

	// The verbs.
	Agent    string          `json:"agent,omitempty"` // a name of Definition.Agents
	Prompt   string          `json:"prompt,omitempty"`
	Tool     string          `json:"tool,omitempty"`     // a name of the hands
	Workflow string          `json:"workflow,omitempty"` // a name of Definition.Workflows
	With     json.RawMessage `json:"with,omitempty"`     // of a tool or a workflow: template of what it is called with
	Human    *Human          `json:"human,omitempty"`
	Wait     *Wait           `json:"wait,omitempty"`
	Set      Values          `json:"set,omitempty"` // written to the state
	Loop     *Loop           `json:"loop,omitempty"`
	Switch   *Switch         `json:"switch,omitempty"`
	Plan     *Plan           `json:"plan,omitempty"`
}

// Join says how many of the nodes that a node needs have to succeed before it runs.
type Join struct {
	Rule  string `json:"rule,omitempty"`  // JoinAll, JoinAny, JoinDone, JoinFirst, or "" = JoinAll
	Count int    `json:"count,omitempty"` // this many; over Rule
}

// The rules of Join. A node whose rule cannot be met any more is skipped.
const (
	JoinAll   = "all"
	JoinAny   = "any"   // one of them
	JoinDone  = "done"  // all have ended, in whatever way
	JoinFirst = "first" // one of them; the others are canceled
)

// Retry says when a node that failed is tried again: after Waits, one by one, or Attempts times in
// all, after Backoff, twice as long each time and at most Max. What is invalid, denied or canceled
// is not tried again.
type Retry struct {
	Attempts int             `json:"attempts,omitempty"` // 0 = 3
	Backoff  time.Duration   `json:"backoff,omitempty"`  // 0 = 1 s
	Max      time.Duration   `json:"max,omitempty"`      // 0 = 1 min
	Waits    []time.Duration `json:"waits,omitempty"`    // over the others
}

// OnError says what becomes of the run when a node has failed for good.
type OnError struct {
	Continue bool   `json:"continue,omitempty"` // those that need it run all the same; its output is nothing
	Goto     string `json:"goto,omitempty"`     // this node goes on in its place
}

// Cache keeps the output of a node for other runs.
type Cache struct {
	By  []string      `json:"by,omitempty"`  // of "inputs" and "code"; nil = both
	Key string        `json:"key,omitempty"` // template of what else tells one output from another; alone where By is empty
	TTL time.Duration `json:"ttl,omitempty"` // how long it is used, in nanoseconds; 0 = for ever
}

// Values are templates of values by the key of the state they are written to.
type Values map[string]json.RawMessage

// Asset is what a node makes that is there when the run has ended, such as a table. In its
// expressions output is the output of the node.
type Asset struct {
	Name      string          `json:"name"`
	Partition string          `json:"partition,omitempty"` // template of the part of it that is made, such as a month
	Metadata  json.RawMessage `json:"metadata,omitempty"`  // template of an object, such as {"row_count": …}
	Checks    []Test          `json:"checks,omitempty"`
}

// Test is a condition that an asset is to meet.
type Test struct {
	Name  string `json:"name"`
	That  string `json:"that"`            // an expression; false = it is not met
	Warns bool   `json:"warns,omitempty"` // it is recorded only; else the node fails
}

// Human is a question to a person. The output is an object of action, comment and value, or with a
// Form what stands in it.
type Human struct {
	Ask       string          `json:"ask"`               // template
	Show      json.RawMessage `json:"show,omitempty"`    // template of what it is about
	To        []string        `json:"to,omitempty"`      // whom it is for; empty = whoever may answer
	Actions   []string        `json:"actions,omitempty"` // nil = accept and reject
	Form      json.RawMessage `json:"form,omitempty"`    // JSON Schema of the answer, an object; no actions then
	Timeout   time.Duration   `json:"timeout,omitempty"` // in nanoseconds; 0 = for ever
	OnTimeout json.RawMessage `json:"on_timeout,omitempty"`
	Quorum    int             `json:"quorum,omitempty"` // how many people must say the same; 0 = 1
}

// Wait is a wait for a moment, or for an event: a signal of that name, whose data is the output.
type Wait struct {
	For   string `json:"for,omitempty"`   // template of a duration such as 10m
	Until string `json:"until,omitempty"` // template of a time, RFC 3339
	Event string `json:"event,omitempty"`
	If    string `json:"if,omitempty"` // an expression over event, the data: another one is left out
}

// Loop runs its body until a condition holds that is computed behind each round. In the expressions
// within round is the number of the round, from 1, and steps are those of this round, or of the one
// before for what has not run yet.
type Loop struct {
	Body   Body   `json:"body"`
	Until  string `json:"until,omitempty"`  // an expression; "" = never, until Max
	Max    int    `json:"max"`              // rounds
	Passes bool   `json:"passes,omitempty"` // Max rounds without Until are no failure
	Output string `json:"output,omitempty"` // an expression; "" = the output of the last node in it that makes something
}

// Switch goes on with the first case that holds: of an ordered body with any node, also one before
// it; of a graph with one that needs it, and the others that need it and are named in a case are
// skipped. The output is the name of the node.
type Switch struct {
	Cases []Case `json:"cases"`
	Max   int    `json:"max,omitempty"` // how often it may go back; 0 = 10
}

// Case is one way on.
type Case struct {
	If   string `json:"if,omitempty"` // "" = always
	Goto string `json:"goto"`         // a node, or GotoEnd
}

// GotoEnd as the target of a goto ends the body it stands in.
const GotoEnd = "end"

// Plan has an agent make a graph of nodes for a goal, and runs that. See [Planned].
type Plan struct {
	Planner string   `json:"planner"`           // a name of Definition.Agents
	Goal    string   `json:"goal"`              // template
	Agents  []string `json:"agents,omitempty"`  // whom the nodes may run
	Tools   []string `json:"tools,omitempty"`   // what they may call
	Approve bool     `json:"approve,omitempty"` // a person accepts, edits or rejects each plan
	To      []string `json:"to,omitempty"`      // who
	Max     int      `json:"max,omitempty"`     // how many plans are made in all; 0 = 3
	Nodes   int      `json:"nodes,omitempty"`   // how many nodes a plan may have; 0 = 20
}

// The verbs, as they stand in files and errors.
const (
	VerbAgent    = "agent"
	VerbTool     = "tool"
	VerbWorkflow = "workflow"
	VerbHuman    = "human"
	VerbWait     = "wait"
	VerbSet      = "set"
	VerbLoop     = "loop"
	VerbSwitch   = "switch"
	VerbPlan     = "plan"
)

// Verbs returns the verbs that a node has: one, where it is right.
func (n *Node) Verbs() []string {
	var list []string
	for _, v := range []struct {
		name string
		has  bool
	}{
		{VerbAgent, n.Agent != ""},
		{VerbTool, n.Tool != ""},
		{VerbWorkflow, n.Workflow != ""},
		{VerbHuman, n.Human != nil},
		{VerbWait, n.Wait != nil},
		{VerbSet, n.Set != nil},
		{VerbLoop, n.Loop != nil},
		{VerbSwitch, n.Switch != nil},
		{VerbPlan, n.Plan != nil},
	} {
		if v.has {
			list = append(list, v.name)
		}
	}
	return list
}

// Verb is the first of Verbs, "" where there is none.
func (n *Node) Verb() string {
	if list := n.Verbs(); len(list) > 0 {
		return list[0]
	}
	return ""
}
