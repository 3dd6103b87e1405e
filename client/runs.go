package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Start starts a run; it is started once, also where the answer is lost and the request is
// sent again.
func (c *Client) Start(ctx context.Context, in StartRun) (durable.Run, error) {
	var run durable.Run
	return run, c.create(ctx, at("runs"), in, &run)
}

// StartOnce is Start under a key of the caller's: the same key and request again, also from
// another process, start nothing and return the run that there is. Error: conflict where the key
// was used for something else.
func (c *Client) StartOnce(ctx context.Context, key string, in StartRun) (durable.Run, error) {
	var run durable.Run
	return run, c.do(ctx, call{method: http.MethodPost, path: at("runs"), in: in, header: map[string]string{"Idempotency-Key": key}}, &run)
}

// Get returns a run as it is. Here and in all methods about one run id may also be a unique
// prefix, a name or @last, unless the token is one of a tenant.
func (c *Client) Get(ctx context.Context, id durable.RunID) (durable.Run, error) {
	var run durable.Run
	return run, c.get(ctx, at("runs", string(id)), nil, &run)
}

// Find turns what a person types into a run. Errors: not_found, conflict.
func (c *Client) Find(ctx context.Context, ref string) (durable.RunID, error) {
	run, err := c.Get(ctx, durable.RunID(ref))
	return run.ID, err
}

// Wait returns a run once it is final or blocked.
func (c *Client) Wait(ctx context.Context, id durable.RunID) (durable.Run, error) {
	return c.wait(ctx, id, "end")
}

// Rest returns a run once it is final or blocked, or waits for a person.
func (c *Client) Rest(ctx context.Context, id durable.RunID) (durable.Run, error) {
	return c.wait(ctx, id, "rest")
}

func (c *Client) wait(ctx context.Context, id durable.RunID, what string) (durable.Run, error) {
	for {
		var run durable.Run
		err := c.get(ctx, at("runs", string(id), "wait"), url.Values{"for": {what}, "timeout": {"60"}}, &run)
		if err != nil || run.Status.Final() || run.Status == durable.Blocked || (what == "rest" && run.NeedsPerson()) {
			return run, err
		}
	}
}

// List returns the runs that match, newest first unless the filter says otherwise.
func (c *Client) List(ctx context.Context, f durable.Filter) ([]durable.Run, error) {
	page, err := c.ListPage(ctx, f, "")
	return page.Items, err
}

// ListPage is List with a cursor: that of the page before, "" for the first. Before and After
// of the filter are not looked at.
func (c *Client) ListPage(ctx context.Context, f durable.Filter, cursor string) (Page[durable.Run], error) {
	var page Page[durable.Run]
	q := queryOf(f)
	set(q, "cursor", cursor)
	return page, c.get(ctx, at("runs"), q, &page)
}

// All yields all runs that match, read a page at a time.
func (c *Client) All(ctx context.Context, f durable.Filter) iter.Seq2[durable.Run, error] {
	return func(yield func(durable.Run, error) bool) {
		for cursor := ""; ; {
			page, err := c.ListPage(ctx, f, cursor)
			if err != nil {
				yield(durable.Run{}, err)
				return
			}
			for _, run := range page.Items {
				if !yield(run, nil) {
					return
				}
			}
			if cursor = page.Next; cursor == "" {
				return
			}
		}
	}
}

// Count returns how many runs of each status match.
func (c *Client) Count(ctx context.Context, f durable.Filter) (map[durable.Status]int64, error) {
	var counts map[durable.Status]int64
	return counts, c.get(ctx, at("runs", "count"), queryOf(f), &counts)
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

func queryOf(f durable.Filter) url.Values {
	q := url.Values{}
	for _, s := range f.Statuses {
		q.Add("status", string(s))
	}
	set(q, "program", f.Program)
	set(q, "name", f.Name)
	set(q, "parent", string(f.Parent))
	set(q, "base", string(f.Base))
	set(q, "tenant", f.Tenant)
	set(q, "search", f.Search)
	for name, is := range map[string]bool{"roots": f.Roots, "oldest": f.Oldest} {
		if is {
			q.Set(name, "true")
		}
	}
	for name, t := range map[string]time.Time{"since": f.Since, "until": f.Until} {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339Nano))
		}
	}
	if f.Limit > 0 {
		q.Set("limit", strconv.Itoa(f.Limit))
	}
	return q
}

// Steps returns the steps of a run as its journal tells them.
func (c *Client) Steps(ctx context.Context, id durable.RunID) ([]durable.Step, error) {
	var steps []durable.Step
	return steps, c.get(ctx, at("runs", string(id), "steps"), nil, &steps)
}

// Entries returns up to limit entries of a run with seq > after.
func (c *Client) Entries(ctx context.Context, id durable.RunID, after int64, limit int) ([]durable.Entry, error) {
	var entries []durable.Entry
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	return entries, c.get(ctx, at("runs", string(id), "entries"), q, &entries)
}

// Input returns what a run was started with.
func (c *Client) Input(ctx context.Context, id durable.RunID) (json.RawMessage, error) {
	var input json.RawMessage
	return input, c.get(ctx, at("runs", string(id), "input"), nil, &input)
}

// Tree returns a run with its children.
func (c *Client) Tree(ctx context.Context, id durable.RunID) (*Node, error) {
	var n Node
	return &n, c.get(ctx, at("runs", string(id), "tree"), nil, &n)
}

// Usage sums up what a run and its children have used.
func (c *Client) Usage(ctx context.Context, id durable.RunID) (Usage, error) {
	var u Usage
	return u, c.get(ctx, at("runs", string(id), "usage"), nil, &u)
}

// Blob returns a large value by its content. run names a run that refers to it, which is
// needed with a token of a tenant.
func (c *Client) Blob(ctx context.Context, ref durable.Ref, run durable.RunID) ([]byte, error) {
	q := url.Values{}
	set(q, "run", string(run))
	resp, err := c.send(ctx, call{method: http.MethodGet, path: at("blobs", ref.Hash), query: q})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return io.ReadAll(io.LimitReader(resp.Body, maxReply))
}

// Pause stops a run and its children until they are resumed.
func (c *Client) Pause(ctx context.Context, id durable.RunID) error {
	return c.verb(ctx, id, "pause", struct{}{})
}

// Resume lets a paused run go on, or a blocked one try again.
func (c *Client) Resume(ctx context.Context, id durable.RunID) error {
	return c.verb(ctx, id, "resume", struct{}{})
}

// Cancel asks a run and its children to stop; clean-up code runs.
func (c *Client) Cancel(ctx context.Context, id durable.RunID, reason string) error {
	return c.verb(ctx, id, "cancel", Reason{reason})
}

// Kill ends a run and its children now; no program code runs.
func (c *Client) Kill(ctx context.Context, id durable.RunID, reason string) error {
	return c.verb(ctx, id, "kill", Reason{reason})
}

// Steer tells an agent something while it is at work.
func (c *Client) Steer(ctx context.Context, id durable.RunID, text string) error {
	return c.verb(ctx, id, "steer", Steer{text})
}

// Signal sends a run a signal.
func (c *Client) Signal(ctx context.Context, id durable.RunID, s durable.Signal) error {
	return c.verb(ctx, id, "send", s)
}

// Resolve says what became of a step in doubt, by its number in the last segment.
func (c *Client) Resolve(ctx context.Context, id durable.RunID, command int, r durable.Resolution) error {
	return c.verb(ctx, id, "resolve", Resolve{command, r})
}

// Answer answers a question; the first answer counts.
func (c *Client) Answer(ctx context.Context, id durable.RunID, a Answer) error {
	return c.verb(ctx, id, "answer", a)
}

// Approve decides on a call that an agent wants to make; the first decision counts.
func (c *Client) Approve(ctx context.Context, id durable.RunID, a Approve) error {
	return c.verb(ctx, id, "approve", a)
}

func (c *Client) verb(ctx context.Context, id durable.RunID, name string, in any) error {
	return c.post(ctx, at("runs", string(id), name), in, nil)
}

// Fork starts a run that goes another way from a step of a run on.
func (c *Client) Fork(ctx context.Context, id durable.RunID, f Fork) (durable.Run, error) {
	var run durable.Run
	return run, c.create(ctx, at("runs", string(id), "fork"), f, &run)
}

// Retry starts a run that takes up one that did not succeed.
func (c *Client) Retry(ctx context.Context, id durable.RunID, f Fork) (durable.Run, error) {
	var run durable.Run
	return run, c.create(ctx, at("runs", string(id), "retry"), f, &run)
}

// Migrate has a run of a workflow go on by another definition, and returns how that fits, as JSON.
func (c *Client) Migrate(ctx context.Context, id durable.RunID, definition json.RawMessage) (json.RawMessage, error) {
	var fit json.RawMessage
	return fit, c.post(ctx, at("runs", string(id), "migrate"), Migrate{Definition: definition}, &fit)
}

// MigrateTo is Migrate to a workflow that the server knows by name; version is the beginning of a
// hash, "" the current one.
func (c *Client) MigrateTo(ctx context.Context, id durable.RunID, workflow, version string) (json.RawMessage, error) {
	var fit json.RawMessage
	return fit, c.post(ctx, at("runs", string(id), "migrate"), Migrate{Workflow: workflow, Version: version}, &fit)
}

// Assets lists the newest of every asset, or of one, each partition by itself, as the JSON of a list
// of workflow.Materialization.
func (c *Client) Assets(ctx context.Context, asset string) (json.RawMessage, error) {
	var list json.RawMessage
	q := url.Values{}
	set(q, "asset", asset)
	return list, c.get(ctx, at("assets"), q, &list)
}

// Questions lists what waits for a person; with a name only what is put to it, or to nobody
// by name.
func (c *Client) Questions(ctx context.Context, to string) ([]Question, error) {
	var list []Question
	q := url.Values{}
	set(q, "to", to)
	return list, c.get(ctx, at("approvals"), q, &list)
}
