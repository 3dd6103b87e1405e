package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// The grants of [OAuth].
const (
	grantCode   = "authorization_code"
	grantClient = "client_credentials"
)

// Logins keeps logins to remote servers: opaque, and as secret as the tokens in them.
type Logins interface {
	// Load returns the login to a server; nil when there is none.
	Load(ctx context.Context, server string) ([]byte, error)
	// Save keeps a login, in place of the one that there is.
	Save(ctx context.Context, server string, login []byte) error
}

// memory keeps logins for as long as the process lives.
type memory struct {
	mu   sync.Mutex
	kept map[string][]byte
}

// Load implements Logins.
func (m *memory) Load(_ context.Context, server string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[server], nil
}

// Save implements Logins.
func (m *memory) Save(_ context.Context, server string, login []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[server] = login
	return nil
}

// login is what is kept of one: the tokens, and how they are renewed.
type login struct {
	URL    string        `json:"url"` // the server that they are for; they are sent to no other
	Config oauth2.Config `json:"config"`
	Token  *oauth2.Token `json:"token"`
}

// unattended is how a server is told who asks while nobody is there: with the login that was kept,
// or with credentials of our own.
func (c *Client) unattended(ctx context.Context, name string, s Server) (auth.OAuthHandler, error) {
	if s.OAuth != nil && s.OAuth.Grant == grantClient {
		return c.handler(ctx, name, s, "", nil)
	}
	address, err := c.expand(ctx, name, s.URL)
	if err != nil {
		return nil, err
	}
	source, err := c.kept(ctx, name, address)
	return &nobody{client: c, server: name, source: source}, err
}

// nobody uses a login and does not ask for one.
type nobody struct {
	client *Client
	server string
	source oauth2.TokenSource
}

// TokenSource implements auth.OAuthHandler.
func (n *nobody) TokenSource(context.Context) (oauth2.TokenSource, error) { return n.source, nil }

// Authorize implements auth.OAuthHandler.
func (n *nobody) Authorize(_ context.Context, _ *http.Request, resp *http.Response) error {
	_ = resp.Body.Close() // it is not read
	n.client.mu.Lock()
	n.client.wanted[n.server] = &http.Response{StatusCode: resp.StatusCode, Header: resp.Header}
	n.client.mu.Unlock()
	return durable.Errorf(durable.CodeDenied, "it wants a login, and nobody is there")
}

// handler speaks OAuth with a server.
func (c *Client) handler(ctx context.Context, name string, s Server, redirect string, fetch auth.AuthorizationCodeFetcher) (auth.OAuthHandler, error) {
	var o OAuth
	if s.OAuth != nil {
		o = *s.OAuth
	}
	secret, err := c.expand(ctx, name, o.ClientSecret)
	if err != nil {
		return nil, err
	}
	var known *oauthex.ClientCredentials
	if o.ClientID != "" {
		known = &oauthex.ClientCredentials{ClientID: o.ClientID}
		if secret != "" {
			known.ClientSecretAuth = &oauthex.ClientSecretAuth{ClientSecret: secret}
		}
	}
	if o.Grant == grantClient {
		return extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{Credentials: known, HTTPClient: c.cfg.HTTP})
	}
	address, err := c.expand(ctx, name, s.URL)
	if err != nil {
		return nil, err
	}
	config := &auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: known, RedirectURL: redirect, AuthorizationCodeFetcher: fetch, Client: c.cfg.HTTP, RequestRefreshToken: true,
		NewTokenSource: func(ctx context.Context, config *oauth2.Config, token *oauth2.Token) (oauth2.TokenSource, error) {
			l := login{URL: address, Config: *config, Token: token}
			if err := c.save(ctx, name, l); err != nil {
				return nil, err
			}
			return c.renewing(ctx, name, l), nil
		},
	}
	if known != nil && strings.HasPrefix(o.ClientID, "https://") { // where we are described, see the client ID metadata documents of MCP
		config.PreregisteredClient, config.ClientIDMetadataDocumentConfig = nil, &auth.ClientIDMetadataDocumentConfig{URL: o.ClientID}
	}
	if config.PreregisteredClient == nil {
		config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Orpine", RedirectURIs: []string{redirect}, GrantTypes: []string{grantCode, "refresh_token"}, ResponseTypes: []string{"code"}, TokenEndpointAuthMethod: "none",
		}}
	}
	before, err := c.load(ctx, name, address)
	if err != nil {
		return nil, err
	}
	config.ScopeFilter = func(named []string) []string {
		if len(o.Scopes) > 0 {
			named = o.Scopes
		}
		if before != nil { // to log in again takes away nothing that was granted
			named = append(slices.Clone(named), before.Config.Scopes...)
		}
		slices.Sort(named)
		return slices.Compact(named)
	}
	return auth.NewAuthorizationCodeHandler(config)
}

// kept is the login that was kept for a server, if it is for this address; nil when there is
// none: the server may need none.
func (c *Client) kept(ctx context.Context, name, address string) (oauth2.TokenSource, error) {
	l, err := c.load(ctx, name, address)
	if err != nil || l == nil {
		return nil, err
	}
	return c.renewing(ctx, name, *l), nil
}

func (c *Client) load(ctx context.Context, name, address string) (*login, error) {
	data, err := c.logins.Load(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read the login to %s: %w", name, err)
	}
	if data == nil {
		return nil, nil
	}
	var l login
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the login that was kept for %s is damaged: %w; log in again with: orpine mcp login %s", name, err, name)
	}
	if l.URL != address || l.Token == nil {
		return nil, nil
	}
	return &l, nil
}

func (c *Client) save(ctx context.Context, name string, l login) error {
	data, err := json.Marshal(l)
	if err == nil {
		err = c.logins.Save(ctx, name, data)
	}
	if err != nil {
		return fmt.Errorf("keep the login to %s: %w", name, err)
	}
	return nil
}

// renewing gives out the token of a login, renews it when it has expired, and keeps the new one.
func (c *Client) renewing(ctx context.Context, name string, l login) oauth2.TokenSource {
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, c.cfg.HTTP)
	return oauth2.ReuseTokenSource(l.Token, &renewal{ctx: ctx, client: c, name: name, login: l})
}

// renewal makes new tokens.
type renewal struct {
	ctx    context.Context //nolint:containedctx // a token source is not given one
	client *Client
	name   string
	login  login
}

// Token implements oauth2.TokenSource.
func (r *renewal) Token() (*oauth2.Token, error) {
	token, err := r.login.Config.TokenSource(r.ctx, r.login.Token).Token()
	if err != nil {
		return nil, err
	}
	r.login.Token = token
	return token, r.client.save(r.ctx, r.name, r.login)
}

// Login has a person log in to a remote server: show is given the address to visit, and the login
// is kept once the browser has come back to a port of this machine. Errors: invalid for a server
// that is not remote or brings a token itself, denied when it was refused, and the end of ctx.
func (c *Client) Login(ctx context.Context, d tool.Declaration, show func(url string) error) error {
	name, config, err := parse(d)
	if err != nil {
		return err
	}
	s := config.Server
	if s.transport() == stdio || c.cfg.HTTP == nil {
		return durable.Errorf(durable.CodeInvalid, "MCP server %s is not remote: there is nothing to log in to", name)
	}
	if s.OAuth != nil && s.OAuth.Grant == grantClient || hasHeader(s.Headers, "Authorization") {
		return durable.Errorf(durable.CodeInvalid, "MCP server %s is told who asks by its declaration: nobody logs in", name)
	}
	var listen net.ListenConfig
	ln, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return durable.Errorf(durable.CodeUnavailable, "listen for the browser: %w", err)
	}
	back := &callback{came: make(chan *auth.AuthorizationResult, 1), refused: make(chan error, 1)}
	web := &http.Server{Handler: back, ReadHeaderTimeout: defaultTime}
	go func() { _ = web.Serve(ln) }()  // until it is closed
	defer func() { _ = web.Close() }() // nobody comes any more
	handler, err := c.handler(ctx, name, s, "http://"+ln.Addr().String()+"/callback", func(ctx context.Context, a *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
		if err := show(a.URL); err != nil {
			return nil, err
		}
		select {
		case r := <-back.came:
			return r, nil
		case err := <-back.refused:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	})
	if err != nil {
		return &durable.Error{Code: durable.CodeInvalid, Op: "log in to " + name, Err: err}
	}
	return c.authorize(ctx, name, s, handler)
}

// authorize goes through the flow, by asking the server for something that takes a login.
func (c *Client) authorize(ctx context.Context, name string, s Server, handler auth.OAuthHandler) error {
	address, err := c.expand(ctx, name, s.URL)
	if err != nil {
		return err
	}
	fail := func(code durable.Code, err error) error {
		if _, ok := errors.AsType[*durable.Error](err); ok {
			code = durable.CodeOf(err)
		}
		return &durable.Error{Code: code, Op: "log in to MCP server " + name, Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, http.NoBody)
	if err != nil {
		return fail(durable.CodeInvalid, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	c.mu.Lock()
	resp := c.wanted[name] // how it has refused us: with what is missing
	delete(c.wanted, name)
	c.mu.Unlock()
	if resp != nil {
		resp.Body = http.NoBody
	} else if resp, err = c.cfg.HTTP.Do(req); err != nil {
		return fail(durable.CodeUnavailable, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read as far as it is wanted
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return durable.Errorf(durable.CodeConflict, "MCP server %s does not ask for a login (%d)", name, resp.StatusCode)
	}
	if err := handler.Authorize(ctx, req, resp); err != nil {
		return fail(durable.CodeDenied, err)
	}
	c.reconnect(name)
	return nil
}

// reconnect has connections to a server made again, with what is known now.
func (c *Client) reconnect(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, l := range c.links {
		if l.name == name {
			delete(c.links, key)
			go l.close()
		}
	}
}

// callback is where the browser comes back to.
type callback struct {
	came    chan *auth.AuthorizationResult
	refused chan error
}

// ServeHTTP implements http.Handler.
func (b *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if r.URL.Path != "/callback" || q.Get("code") == "" && q.Get("error") == "" {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if e := q.Get("error"); e != "" {
		fmt.Fprintln(w, "You were not logged in. You can close this page.")
		select {
		case b.refused <- durable.Errorf(durable.CodeDenied, "it was refused: %s", clip(e+" "+q.Get("error_description"), tellSaid)):
		default:
		}
		return
	}
	fmt.Fprintln(w, "You are logged in. You can close this page.")
	select {
	case b.came <- &auth.AuthorizationResult{Code: q.Get("code"), State: q.Get("state"), Iss: q.Get("iss")}:
	default:
	}
}
