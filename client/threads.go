package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// StartThread starts a conversation.
func (c *Client) StartThread(ctx context.Context, in StartThread) (Thread, error) {
	var t Thread
	return t, c.create(ctx, at("threads"), in, &t)
}

// Thread returns a thread as it was behind an entry of its journal; a negative one is the
// last.
func (c *Client) Thread(ctx context.Context, id durable.RunID, seq int64) (Thread, error) {
	var t Thread
	return t, c.get(ctx, at("threads", string(id)), url.Values{"at": {strconv.FormatInt(seq, 10)}}, &t)
}

// Threads returns a page of the threads that match.
func (c *Client) Threads(ctx context.Context, f durable.Filter, cursor string) (Page[durable.Run], error) {
	var page Page[durable.Run]
	q := queryOf(f)
	set(q, "cursor", cursor)
	return page, c.get(ctx, at("threads"), q, &page)
}

// History returns a page of the turns of a thread, newest first.
func (c *Client) History(ctx context.Context, id durable.RunID, cursor string) (Page[durable.Run], error) {
	var page Page[durable.Run]
	q := url.Values{}
	set(q, "cursor", cursor)
	return page, c.get(ctx, at("threads", string(id), "history"), q, &page)
}

// StartTurn lets an agent answer in a thread.
func (c *Client) StartTurn(ctx context.Context, id durable.RunID, in StartTurn) (durable.Run, error) {
	var run durable.Run
	return run, c.create(ctx, at("threads", string(id), "runs"), in, &run)
}

// EditThread changes by hand what was said. seq is that of the state that is meant, as Thread
// returned it; a negative one means whatever it is.
func (c *Client) EditThread(ctx context.Context, id durable.RunID, in EditThread, seq int64) (Thread, error) {
	var t Thread
	r := call{method: http.MethodPatch, path: at("threads", string(id)), in: in, header: map[string]string{}}
	if seq >= 0 {
		r.header["If-Match"] = `"` + strconv.FormatInt(seq, 10) + `"`
	}
	return t, c.do(ctx, r, &t)
}

// CopyThread starts a thread that goes on from the state of another.
func (c *Client) CopyThread(ctx context.Context, id durable.RunID, seq int64, in StartThread) (Thread, error) {
	var t Thread
	r := call{
		method: http.MethodPost, path: at("threads", string(id), "copy"), in: in, query: url.Values{"at": {strconv.FormatInt(seq, 10)}},
		header: map[string]string{"Idempotency-Key": newKey()},
	}
	return t, c.do(ctx, r, &t)
}

// DeleteThread ends a thread, and what is under way in it.
func (c *Client) DeleteThread(ctx context.Context, id durable.RunID) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at("threads", string(id))}, nil)
}

// Agents lists the agents of the server.
func (c *Client) Agents(ctx context.Context) ([]Agent, error) {
	var list []Agent
	return list, c.get(ctx, at("agents"), nil, &list)
}

// Agent returns an agent with its definition; version is the beginning of a hash, "" the
// current one.
func (c *Client) Agent(ctx context.Context, name, version string) (Agent, error) {
	return c.named(ctx, "agents", name, version)
}

// named returns what a server knows by name.
func (c *Client) named(ctx context.Context, noun, name, version string) (Agent, error) {
	var a Agent
	q := url.Values{}
	set(q, "version", version)
	return a, c.get(ctx, at(noun, name), q, &a)
}

// PutAgent makes a definition the current version of an agent.
func (c *Client) PutAgent(ctx context.Context, name string, definition json.RawMessage) (Agent, error) {
	var a Agent
	return a, c.do(ctx, call{method: http.MethodPut, path: at("agents", name), in: definition}, &a)
}

// RollbackAgent makes an earlier version of an agent the current one.
func (c *Client) RollbackAgent(ctx context.Context, name, hash string) (Agent, error) {
	var a Agent
	return a, c.post(ctx, at("agents", name, "rollback"), Rollback{hash}, &a)
}

// DeleteAgent forgets an agent; its runs go on.
func (c *Client) DeleteAgent(ctx context.Context, name string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at("agents", name)}, nil)
}

// Tools lists the tools that agents may be given.
func (c *Client) Tools(ctx context.Context) ([]Tool, error) {
	var list []Tool
	return list, c.get(ctx, at("tools"), nil, &list)
}

// CreateToken makes a token; its secret is in the answer, and nowhere else. Errors: invalid;
// unavailable when an answer was lost, and the secret with it: revoke that token.
func (c *Client) CreateToken(ctx context.Context, in NewToken) (Token, error) {
	var t Token
	err := c.post(ctx, at("tokens"), in, &t)
	if err == nil && t.Secret == "" {
		err = durable.Errorf(durable.CodeUnavailable, "token %s was made, but the answer with its secret was lost: revoke it, and make another", t.ID)
	}
	return t, err
}

// Tokens lists the tokens, without their secrets.
func (c *Client) Tokens(ctx context.Context) ([]Token, error) {
	var list []Token
	return list, c.get(ctx, at("tokens"), nil, &list)
}

// RevokeToken makes a token worthless at once.
func (c *Client) RevokeToken(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at("tokens", id)}, nil)
}

// Rule is a decision that stands: calls of the tool are accepted.
type Rule struct {
	ID     string    `json:"id"`
	Agent  string    `json:"agent"` // "" = of all agents
	Tool   string    `json:"tool"`
	Tenant string    `json:"tenant,omitempty"`
	By     string    `json:"by,omitempty"`
	Run    string    `json:"run"` // in which it was made
	Time   time.Time `json:"time"`
}

// Rules lists the decisions that stand.
func (c *Client) Rules(ctx context.Context) ([]Rule, error) {
	var list []Rule
	return list, c.get(ctx, at("rules"), nil, &list)
}

// RevokeRule takes back a decision that stands. Error: not_found.
func (c *Client) RevokeRule(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at("rules", id)}, nil)
}

// Audit returns lines of the log of who asked for what, behind the given number.
func (c *Client) Audit(ctx context.Context, after int64, limit int) ([]AuditLine, error) {
	var list []AuditLine
	q := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(limit)}}
	return list, c.get(ctx, at("audit"), q, &list)
}

// AddWebhook has a URL told when runs change their status.
func (c *Client) AddWebhook(ctx context.Context, in Webhook) (Webhook, error) {
	var w Webhook
	return w, c.create(ctx, at("webhooks"), in, &w)
}

// Webhooks lists the webhooks, without their secrets.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var list []Webhook
	return list, c.get(ctx, at("webhooks"), nil, &list)
}

// RemoveWebhook forgets a webhook.
func (c *Client) RemoveWebhook(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: at("webhooks", id)}, nil)
}
