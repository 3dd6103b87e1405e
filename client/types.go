package client

import (
	"encoding/json"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
)

// Version is the prefix of all paths of the API that is described here.
const Version = "/v1"

// Page is a part of a list. Next is where the following part begins, to be given as cursor;
// it is empty when there is none.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"The cursor of the next page; absent on the last one"`
}

// StartRun asks for a run: of an agent or a workflow that the server knows by name, of one that is
// given with the request, or of a Go program.
type StartRun struct {
	ID         durable.RunID   `json:"id,omitempty" maxLength:"64" pattern:"^[a-z0-9]*$" doc:"Chosen by the server when absent"`
	Agent      string          `json:"agent,omitempty" maxLength:"200" doc:"Name of an agent of the server"`
	Workflow   string          `json:"workflow,omitempty" maxLength:"200" doc:"Name of a workflow of the server"`
	Version    string          `json:"version,omitempty" maxLength:"64" doc:"Hash of the version of the agent or workflow; default the current one"`
	Definition json.RawMessage `json:"definition,omitempty" doc:"An agent that comes with the request, or with the program workflow a workflow"`
	Program    string          `json:"program,omitempty" maxLength:"200" doc:"Name of a Go program"`
	Text       string          `json:"text,omitempty" doc:"What is said to the agent"`
	Input      json.RawMessage `json:"input,omitempty" doc:"Input of the program or the workflow"`
	Select     []string        `json:"select,omitempty" maxItems:"100" doc:"Of a workflow by name: only these steps and assets, with a + in front also what they need"`
	Name       string          `json:"name,omitempty" maxLength:"200" pattern:"^[^@\x00-\x1f\x7f][^\x00-\x1f\x7f]*$" doc:"Name of the run; default that of the agent"`
	Queue      string          `json:"queue,omitempty" maxLength:"200"`
	Priority   int             `json:"priority,omitempty" minimum:"-1000" maximum:"1000" doc:"Higher goes first"`
	Tenant     string          `json:"tenant,omitempty" maxLength:"200" doc:"Whose run it is; a token of a tenant starts only that tenant's"`
}

// Busy says what becomes of a turn when its thread has one under way.
type Busy string

// The ways to come into a thread that is busy.
const (
	BusyReject    Busy = "reject"    // conflict; the default
	BusyEnqueue   Busy = "enqueue"   // it waits for those before it
	BusyInterrupt Busy = "interrupt" // those are canceled; the thread keeps how far they came
	BusyRollback  Busy = "rollback"  // those are killed: the thread goes on as if they had not been
)

// StartTurn lets an agent answer in a thread.
type StartTurn struct {
	StartRun
	Busy Busy `json:"busy,omitempty" enum:"reject,enqueue,interrupt,rollback" doc:"What if the thread has a turn under way; default reject"`
}

// StartThread asks for a conversation.
type StartThread struct {
	ID     durable.RunID     `json:"id,omitempty" maxLength:"64" pattern:"^[a-z0-9]*$"`
	Name   string            `json:"name,omitempty" maxLength:"200" pattern:"^[^@\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"`
	Labels map[string]string `json:"labels,omitempty"`
	Tenant string            `json:"tenant,omitempty" maxLength:"200"`
}

// Thread is a conversation as it is behind an entry of its journal.
type Thread struct {
	Run      durable.Run       `json:"run" doc:"The run that is the thread"`
	Seq      int64             `json:"seq" doc:"The entry behind which this is the state"`
	Labels   map[string]string `json:"labels,omitempty"`
	Turns    int               `json:"turns" doc:"How many have ended"`
	Under    []durable.Run     `json:"under,omitempty" doc:"The turns that have not ended, oldest first"`
	Messages []model.Message   `json:"messages,omitempty" doc:"What was said"`
}

// EditThread changes what was said in a thread by hand.
type EditThread struct {
	Say []model.Message `json:"say,omitempty" doc:"Put behind what was said"`
	At  *int64          `json:"at,omitempty" minimum:"0" doc:"Go on from the state behind this entry of the thread instead"`
}

// Words of a text, a reason or a name are sent on their own.
type (
	// Steer is what is said to an agent at work.
	Steer struct {
		Text string `json:"text" minLength:"1"`
	}
	// Reason is why a run is canceled or killed.
	Reason struct {
		Reason string `json:"reason,omitempty" maxLength:"2000"`
	}
	// Resolve says what became of a step in doubt.
	Resolve struct {
		Step int `json:"step" minimum:"0" doc:"The number of the step in the last segment"`
		durable.Resolution
	}
	// Answer is an answer to an interrupt.
	Answer struct {
		Interrupt string          `json:"interrupt,omitempty" doc:"Its ID; default the only open one"`
		Value     json.RawMessage `json:"value"`
		Digest    string          `json:"digest,omitempty" doc:"What was decided on; refused if it is something else by now"`
		By        string          `json:"by,omitempty" maxLength:"200" doc:"Who says so; with a token its name is taken instead"`
	}
	// Approve decides on a call that an agent wants to make.
	Approve struct {
		Interrupt string `json:"interrupt,omitempty" doc:"Its ID; default the only open one"`
		Digest    string `json:"digest,omitempty" doc:"What was decided on; refused if it is something else by now"`
		By        string `json:"by,omitempty" maxLength:"200" doc:"Who says so; with a token its name is taken instead"`
		durable.Decision
	}
)

// Fork asks for a run that goes another way from a step of a run on.
type Fork struct {
	ID         durable.RunID   `json:"id,omitempty" maxLength:"64" pattern:"^[a-z0-9]*$"`
	At         string          `json:"at,omitempty" doc:"The step, such as 3 or 1.3; default for a retry: the first that did not succeed"`
	Name       string          `json:"name,omitempty" maxLength:"200" pattern:"^[^@\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"`
	Model      string          `json:"model,omitempty"`
	Input      json.RawMessage `json:"input,omitempty"`
	Definition json.RawMessage `json:"definition,omitempty"`
	Results    []ForkResult    `json:"results,omitempty"`
	From       string          `json:"from,omitempty" maxLength:"200" doc:"For the retry of a workflow: this step, and what needs it, are run again too"`
}

// Migrate has a run of a workflow go on by another definition.
type Migrate struct {
	Definition json.RawMessage `json:"definition,omitempty" doc:"A workflow, as its runs pin it"`
	Workflow   string          `json:"workflow,omitempty" maxLength:"200" doc:"Instead of a definition: name of a workflow of the server, or of an agent that runs as one"`
	Version    string          `json:"version,omitempty" maxLength:"64" doc:"Hash of its version; default the current one"`
}

// ForkResult is what a fork records as the output of a step.
type ForkResult struct {
	Step   string          `json:"step"`
	Output json.RawMessage `json:"output"`
}

// Node is a run and its children.
type Node struct {
	durable.Run
	Children []*Node `json:"children,omitempty"`
}

// Usage is what a run and its children have used.
type Usage struct {
	model.Usage
	Calls int     `json:"calls" doc:"Model calls that ended"`
	Cost  float64 `json:"cost,omitempty" doc:"By the prices of the definitions, in their currency"`
}

// Question is an interrupt that waits for an answer.
type Question struct {
	Run    durable.RunID `json:"run"`
	Name   string        `json:"name,omitempty" doc:"Of the run"`
	Tenant string        `json:"tenant,omitempty"`
	Since  time.Time     `json:"since" doc:"When the run came to wait"`
	Until  time.Time     `json:"until,omitzero" doc:"When the default counts"`
	durable.Interrupt
}

// Agent is an agent, or a workflow, that a server knows by name.
type Agent struct {
	Name       string          `json:"name"`
	Program    string          `json:"program,omitempty" doc:"Of its runs, where an agent runs as a workflow: workflow, which its definition is one of then"`
	Hash       string          `json:"hash" doc:"Of the definition: its version"`
	Source     string          `json:"source" doc:"file or api"`
	Updated    time.Time       `json:"updated"`
	Definition json.RawMessage `json:"definition,omitempty"`
	Versions   []string        `json:"versions,omitempty" doc:"The hashes of all versions, the newest first"`
}

// Rollback makes an earlier version of an agent the current one.
type Rollback struct {
	Hash string `json:"hash" minLength:"8" maxLength:"64" pattern:"^[0-9a-f]+$"`
}

// Tool is what agents of a server may be given.
type Tool struct {
	Name        string          `json:"name"`
	Description string          `json:"description,omitempty"`
	Schema      json.RawMessage `json:"schema,omitempty"`
	Effect      durable.Effect  `json:"effect"`
}

// Webhook is told when runs change their status.
type Webhook struct {
	ID       string           `json:"id,omitempty" doc:"Chosen by the server"`
	URL      string           `json:"url" format:"uri" maxLength:"2000"`
	Statuses []durable.Status `json:"statuses,omitempty" doc:"Only of changes to these; default waiting, paused, blocked and those that are final"`
	Secret   string           `json:"secret,omitempty" minLength:"16" maxLength:"200" doc:"Signs what is sent; made by the server when absent, and shown once"`
	Tenant   string           `json:"tenant,omitempty"`
	Failing  string           `json:"failing,omitempty" readOnly:"true" doc:"Why the last delivery failed"`
}

// Token is a key to a server. Its secret is shown once, when it is made.
type Token struct {
	ID      string    `json:"id" doc:"Names the token; not secret"`
	Name    string    `json:"name" doc:"Who uses it: what is done with it is recorded under this name"`
	Scopes  []string  `json:"scopes" doc:"What it may be used for, such as runs:write, runs:* or *"`
	Tenant  string    `json:"tenant,omitempty" doc:"The only tenant whose runs it reaches; absent = all"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
	Secret  string    `json:"secret,omitempty" doc:"Only in the answer to its creation"`
}

// NewToken asks for a token.
type NewToken struct {
	Name   string   `json:"name" minLength:"1" maxLength:"200"`
	Scopes []string `json:"scopes" minItems:"1"`
	Tenant string   `json:"tenant,omitempty" maxLength:"200"`
	TTL    string   `json:"ttl,omitempty" doc:"How long it is good for, such as 24h; default 90 days (2160h)"`
}

// AuditLine is one line of the log of who asked for what. Each carries the hash of the one
// before it.
type AuditLine struct {
	N      int64     `json:"n"`
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`
	Tenant string    `json:"tenant,omitempty"`
	Method string    `json:"method"`
	Path   string    `json:"path"`
	From   string    `json:"from,omitempty" doc:"Address of the client"`
	Code   string    `json:"code,omitempty" doc:"Why it was refused at the door; absent = it was let in"`
	Prev   string    `json:"prev"`
	Hash   string    `json:"hash"`
}

// Problem is what a server says when it does not do what it was asked for (RFC 9457). A
// client finds it in the chain of its errors, which have its code.
type Problem struct { //nolint:errname // the word of the RFC, and data first
	Type    string       `json:"type,omitempty"`
	Title   string       `json:"title"`
	Status  int          `json:"status"`
	Detail  string       `json:"detail,omitempty"`
	Code    durable.Code `json:"code"`
	Reason  string       `json:"reason,omitempty" doc:"A program's own word for it"`
	Errors  []Fault      `json:"errors,omitempty"`
	Request string       `json:"request,omitempty" doc:"ID of the request, as in the log of the server"`
}

// Fault is one thing that is wrong with a request.
type Fault struct {
	Message  string `json:"message"`
	Location string `json:"location,omitempty" doc:"Where, such as body.agent"`
	Hint     string `json:"hint,omitempty" doc:"How to mend it"`
}
