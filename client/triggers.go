package client

import (
	"context"
	"encoding/json"
	"net/http"
)

// Triggers lists the triggers and schedules of the server, as the JSON of a list of orpine.Trigger.
// What they start is named and not shown: see Trigger.
func (c *Client) Triggers(ctx context.Context) (json.RawMessage, error) {
	var list json.RawMessage
	return list, c.get(ctx, at("triggers"), nil, &list)
}

// Trigger returns a trigger as the JSON of an orpine.Trigger. The definition of what it starts is in
// it for a token with the scope agents:read. Error: not_found.
func (c *Client) Trigger(ctx context.Context, name string) (json.RawMessage, error) {
	var t json.RawMessage
	return t, c.get(ctx, at("triggers", name), nil, &t)
}

// SetTrigger sets a trigger, given as the JSON of a trigger.Definition, and returns it as the JSON
// of an orpine.Trigger. One that is there goes on by it and keeps its counts. Errors: invalid, and
// conflict for one that is blocked.
func (c *Client) SetTrigger(ctx context.Context, name string, definition json.RawMessage) (json.RawMessage, error) {
	var t json.RawMessage
	return t, c.do(ctx, call{method: http.MethodPut, path: at("triggers", name), in: definition}, &t)
}

// RemoveTrigger removes a trigger; what it has started goes on. Error: not_found.
func (c *Client) RemoveTrigger(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at("triggers", name)}, nil)
}

// PauseTrigger lets a trigger start nothing until it is resumed. Errors: not_found, conflict for one
// that is over.
func (c *Client) PauseTrigger(ctx context.Context, name string) error {
	return c.post(ctx, at("triggers", name, "pause"), struct{}{}, nil)
}

// ResumeTrigger lets a trigger go on. What was due meanwhile is not made up for.
func (c *Client) ResumeTrigger(ctx context.Context, name string) error {
	return c.post(ctx, at("triggers", name, "resume"), struct{}{}, nil)
}

// FireTrigger starts a run of a trigger now, once however often the request is sent. A nil input is
// that of the definition; another one is what the program takes, such as {"input": {…}} for a
// workflow and {"text": "…"} for an agent.
func (c *Client) FireTrigger(ctx context.Context, name string, input json.RawMessage) error {
	return c.create(ctx, at("triggers", name, "fire"), Fire{Input: input}, nil)
}

// BackfillTrigger starts what was due in a stretch of time and has no run, given as the JSON of a
// trigger.Backfill. Error: invalid for a trigger that is no schedule.
func (c *Client) BackfillTrigger(ctx context.Context, name string, backfill json.RawMessage) error {
	return c.create(ctx, at("triggers", name, "backfill"), backfill, nil)
}

// Emit tells the triggers that hear an event of it, once however often the request is sent, and
// returns how many there are. The event is the JSON of a trigger.Occurred.
func (c *Client) Emit(ctx context.Context, event json.RawMessage) (int, error) {
	var told Told
	err := c.create(ctx, at("events"), event, &told)
	return told.Triggers, err
}

// Fire starts a run of a trigger.
type Fire struct {
	Input json.RawMessage `json:"input,omitempty" doc:"In place of that of the definition: what its program takes"`
}

// Told says who heard of an event.
type Told struct {
	Triggers int `json:"triggers" doc:"How many heard it"`
}

// Delivery is the answer to a request that a trigger of the source webhook hears.
type Delivery struct {
	ID string `json:"id" doc:"Names the delivery: the same one starts something once"`
}

// Workflow is a workflow that a server knows by name; it is kept as agents are.
type Workflow = Agent

// Workflows lists the workflows of the server.
func (c *Client) Workflows(ctx context.Context) ([]Workflow, error) {
	var list []Workflow
	return list, c.get(ctx, at("workflows"), nil, &list)
}

// Workflow returns a workflow with its definition; version is the beginning of a hash, "" the
// current one.
func (c *Client) Workflow(ctx context.Context, name, version string) (Workflow, error) {
	return c.named(ctx, "workflows", name, version)
}

// PutWorkflow makes a definition the current version of a workflow. Error: invalid, the first of
// what is wrong with it.
func (c *Client) PutWorkflow(ctx context.Context, name string, definition json.RawMessage) (Workflow, error) {
	var w Workflow
	return w, c.do(ctx, call{method: http.MethodPut, path: at("workflows", name), in: definition}, &w)
}

// RollbackWorkflow makes an earlier version of a workflow the current one.
func (c *Client) RollbackWorkflow(ctx context.Context, name, hash string) (Workflow, error) {
	var w Workflow
	return w, c.post(ctx, at("workflows", name, "rollback"), Rollback{hash}, &w)
}

// DeleteWorkflow forgets a workflow; its runs go on.
func (c *Client) DeleteWorkflow(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at("workflows", name)}, nil)
}
