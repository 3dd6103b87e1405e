package outfit

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/tool/mcp"
)

// pinKind is the kind of the records of what tools of MCP servers were when they were first used.
const pinKind = "mcp_pin"

// keeper keeps what the client of MCP servers must remember.
type keeper struct{ *Outfit }

var (
	_ mcp.Pins   = keeper{}
	_ mcp.Logins = keeper{}
)

func (k keeper) runtime() (*orpine.Runtime, error) {
	if rt := k.cfg.Runtime(); rt != nil {
		return rt, nil
	}
	return nil, durable.Errorf(durable.CodeUnavailable, "the data directory is not open yet")
}

// Get implements mcp.Pins.
func (k keeper) Get(ctx context.Context, server, name string) (mcp.Pin, bool, error) {
	var p mcp.Pin
	rt, err := k.runtime()
	if err != nil {
		return p, false, err
	}
	r, err := rt.Record(ctx, pinKind, store.KeyOf(server, name))
	if errors.Is(err, durable.ErrNotFound) {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	if err := json.Unmarshal(r.Data, &p); err != nil {
		return p, false, durable.Errorf(durable.CodeInternal, "the pin of %s/%s is damaged: %w; orpine mcp trust %s makes it anew", server, name, err, server)
	}
	return p, true, nil
}

// Put implements mcp.Pins.
func (k keeper) Put(ctx context.Context, p mcp.Pin) error {
	rt, err := k.runtime()
	if err != nil {
		return err
	}
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return rt.Write(ctx, store.RecordChange{Kind: pinKind, Key: store.KeyOf(p.Server, p.Tool), Expect: store.AnyVersion, Data: data})
}

// loginPrefix begins the names of the secrets that are logins to remote MCP servers.
const loginPrefix = "mcp_login."

// Load implements mcp.Logins. Logins are secrets like others.
func (k keeper) Load(ctx context.Context, server string) ([]byte, error) {
	text, there, err := k.vault.Lookup(ctx, loginPrefix+server)
	if !there || err != nil {
		return nil, err
	}
	k.learn(server, []byte(text))
	return []byte(text), nil
}

// learn has the tokens of a login taken out of what tools return.
func (k keeper) learn(server string, login []byte) {
	var l struct {
		Token struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
		} `json:"token"`
	}
	if json.Unmarshal(login, &l) != nil {
		return // whoever uses it says so
	}
	for _, token := range []string{l.Token.Access, l.Token.Refresh} {
		k.broker.Redactor().Add(loginPrefix+server, token)
	}
}

// Save implements mcp.Logins.
func (k keeper) Save(_ context.Context, server string, login []byte) error {
	k.learn(server, login)
	return k.SetSecret(loginPrefix+server, string(login))
}
