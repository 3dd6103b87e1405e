// Package login tells remote MCP servers who asks, with OAuth 2.1 as the MCP specification has it:
// with a login that a person made once and that is renewed, or with credentials of our own.
//
// It keeps nothing on the disk itself, and never opens a browser: it is given a function that shows
// an address. On the line request -> run -> step -> journal -> event -> client it stands beneath
// tool/mcp, where a connection is made inside a step.
package login

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
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	"github.com/modelcontextprotocol/go-sdk/auth/extauth"
	"github.com/modelcontextprotocol/go-sdk/oauthex"
	"golang.org/x/oauth2"

	"github.com/orpine-run/orpine/durable"
)

// headerTime is how long a browser may take to say what it wants.
const headerTime = 30 * time.Second

// lastTime is how long it may take to tell the browser that it is done.
const lastTime = 2 * time.Second

// The grants of a [Server].
const (
	GrantCode   = "authorization_code"
	GrantClient = "client_credentials"
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

// Server is a remote server, with everything filled in.
type Server struct {
	Name     string // for the messages, and where its login is kept
	URL      string
	ClientID string   // that was registered before, or the https:// address of a document that describes us; "" = one is registered on the spot
	Secret   string   // of the client; "" = it has none
	Grant    string   // GrantCode when empty
	Scopes   []string // in place of those that the server names
}

// Keeper logs in and keeps logins. Make it with New; it is safe for concurrent use.
type Keeper struct {
	http   *http.Client
	logins Logins

	mu     sync.Mutex
	wanted map[string]*http.Response // how servers have asked for a login, by their names
}

// New makes a keeper. Without a place to keep them, logins live as long as it does.
func New(web *http.Client, kept Logins) *Keeper {
	if kept == nil {
		kept = &memory{kept: map[string][]byte{}}
	}
	return &Keeper{http: web, logins: kept, wanted: map[string]*http.Response{}}
}

// login is what is kept of one: the tokens, and how they are renewed.
type login struct {
	URL    string        `json:"url"` // the server that they are for; they are sent to no other
	Config oauth2.Config `json:"config"`
	Token  *oauth2.Token `json:"token"`
}

// Unattended is how a server is told who asks while nobody is there.
func (k *Keeper) Unattended(ctx context.Context, s Server) (auth.OAuthHandler, error) {
	if s.Grant == GrantClient {
		return k.handler(ctx, s, "", nil)
	}
	source, err := k.source(ctx, s)
	return &nobody{keeper: k, server: s.Name, source: source}, err
}

// nobody uses a login and does not ask for one.
type nobody struct {
	keeper *Keeper
	server string
	source oauth2.TokenSource
}

// TokenSource implements auth.OAuthHandler.
func (n *nobody) TokenSource(context.Context) (oauth2.TokenSource, error) { return n.source, nil }

// Authorize implements auth.OAuthHandler.
func (n *nobody) Authorize(_ context.Context, _ *http.Request, resp *http.Response) error {
	_ = resp.Body.Close() // it is not read
	n.keeper.mu.Lock()
	n.keeper.wanted[n.server] = &http.Response{StatusCode: resp.StatusCode, Header: resp.Header}
	n.keeper.mu.Unlock()
	return durable.Errorf(durable.CodeDenied, "it wants a login, and nobody is there")
}

// handler speaks OAuth with a server.
func (k *Keeper) handler(ctx context.Context, s Server, redirect string, fetch auth.AuthorizationCodeFetcher) (auth.OAuthHandler, error) {
	var known *oauthex.ClientCredentials
	if s.ClientID != "" {
		known = &oauthex.ClientCredentials{ClientID: s.ClientID}
		if s.Secret != "" {
			known.ClientSecretAuth = &oauthex.ClientSecretAuth{ClientSecret: s.Secret}
		}
	}
	if s.Grant == GrantClient {
		return extauth.NewClientCredentialsHandler(&extauth.ClientCredentialsHandlerConfig{Credentials: known, HTTPClient: k.http})
	}
	config := &auth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: known, RedirectURL: redirect, AuthorizationCodeFetcher: fetch, Client: k.http, RequestRefreshToken: true,
		NewTokenSource: func(ctx context.Context, config *oauth2.Config, token *oauth2.Token) (oauth2.TokenSource, error) {
			l := login{URL: s.URL, Config: *config, Token: token}
			if err := k.save(ctx, s.Name, l); err != nil {
				return nil, err
			}
			return k.renewing(ctx, s.Name, l), nil
		},
	}
	if known != nil && strings.HasPrefix(s.ClientID, "https://") { // where we are described, see the client ID metadata documents of MCP
		config.PreregisteredClient, config.ClientIDMetadataDocumentConfig = nil, &auth.ClientIDMetadataDocumentConfig{URL: s.ClientID}
	}
	if config.PreregisteredClient == nil {
		config.DynamicClientRegistrationConfig = &auth.DynamicClientRegistrationConfig{Metadata: &oauthex.ClientRegistrationMetadata{
			ClientName: "Orpine", RedirectURIs: []string{redirect}, GrantTypes: []string{GrantCode, "refresh_token"}, ResponseTypes: []string{"code"}, TokenEndpointAuthMethod: "none",
		}}
	}
	before, err := k.load(ctx, s)
	if err != nil {
		return nil, err
	}
	config.ScopeFilter = func(named []string) []string {
		if len(s.Scopes) > 0 {
			named = s.Scopes
		}
		if before != nil { // to log in again takes away nothing that was granted
			named = append(slices.Clone(named), before.Config.Scopes...)
		}
		slices.Sort(named)
		return slices.Compact(named)
	}
	return auth.NewAuthorizationCodeHandler(config)
}

// source is the login that was kept for a server, if it is for this address; nil when there is
// none: the server may need none.
func (k *Keeper) source(ctx context.Context, s Server) (oauth2.TokenSource, error) {
	l, err := k.load(ctx, s)
	if err != nil || l == nil {
		return nil, err
	}
	return k.renewing(ctx, s.Name, *l), nil
}

func (k *Keeper) load(ctx context.Context, s Server) (*login, error) {
	data, err := k.logins.Load(ctx, s.Name)
	if err != nil {
		return nil, fmt.Errorf("read the login to %s: %w", s.Name, err)
	}
	if data == nil {
		return nil, nil
	}
	var l login
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "the login that was kept for %s is damaged: %w; log in again with: orpine mcp login %s", s.Name, err, s.Name)
	}
	if l.URL != s.URL || l.Token == nil {
		return nil, nil
	}
	return &l, nil
}

func (k *Keeper) save(ctx context.Context, name string, l login) error {
	data, err := json.Marshal(l)
	if err == nil {
		err = k.logins.Save(ctx, name, data)
	}
	if err != nil {
		return fmt.Errorf("keep the login to %s: %w", name, err)
	}
	return nil
}

// renewing gives out the token of a login, renews it when it has expired, and keeps the new one.
func (k *Keeper) renewing(ctx context.Context, name string, l login) oauth2.TokenSource {
	ctx = context.WithValue(context.WithoutCancel(ctx), oauth2.HTTPClient, k.http)
	return oauth2.ReuseTokenSource(l.Token, &renewal{ctx: ctx, keeper: k, name: name, login: l})
}

// renewal makes new tokens.
type renewal struct {
	ctx    context.Context //nolint:containedctx // a token source is not given one
	keeper *Keeper
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
	return token, r.keeper.save(r.ctx, r.name, r.login)
}

// Login has a person log in to a server: show is given the address to visit, and the login is kept
// once the browser has come back to a port of this machine. Errors: denied when it was refused,
// conflict when the server wants no login, and the end of ctx.
func (k *Keeper) Login(ctx context.Context, s Server, show func(url string) error) error {
	var listen net.ListenConfig
	ln, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return durable.Errorf(durable.CodeUnavailable, "listen for the browser: %w", err)
	}
	back := &callback{came: make(chan *auth.AuthorizationResult, 1), refused: make(chan error, 1)}
	web := &http.Server{Handler: back, ReadHeaderTimeout: headerTime}
	go func() { _ = web.Serve(ln) }() // until it is closed
	defer func() {                    // the browser is told first how it went
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
		defer stop()
		if web.Shutdown(last) != nil {
			_ = web.Close() // nobody comes any more
		}
	}()
	handler, err := k.handler(ctx, s, "http://"+ln.Addr().String()+"/callback", func(ctx context.Context, a *auth.AuthorizationArgs) (*auth.AuthorizationResult, error) {
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
		return &durable.Error{Code: durable.CodeInvalid, Op: "log in to " + s.Name, Err: err}
	}
	return k.authorize(ctx, s, handler)
}

// authorize goes through the flow, by asking the server for something that takes a login.
func (k *Keeper) authorize(ctx context.Context, s Server, handler auth.OAuthHandler) error {
	fail := func(code durable.Code, err error) error {
		if _, ok := errors.AsType[*durable.Error](err); ok {
			code = durable.CodeOf(err)
		}
		return &durable.Error{Code: code, Op: "log in to MCP server " + s.Name, Err: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, http.NoBody)
	if err != nil {
		return fail(durable.CodeInvalid, err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, text/event-stream")
	k.mu.Lock()
	resp := k.wanted[s.Name] // how it has refused us: with what is missing
	delete(k.wanted, s.Name)
	k.mu.Unlock()
	if resp != nil {
		resp.Body = http.NoBody
	} else if resp, err = k.http.Do(req); err != nil {
		return fail(durable.CodeUnavailable, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was read as far as it is wanted
	if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
		return durable.Errorf(durable.CodeConflict, "MCP server %s does not ask for a login (%d)", s.Name, resp.StatusCode)
	}
	if err := handler.Authorize(ctx, req, resp); err != nil {
		return fail(durable.CodeDenied, err)
	}
	return nil
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
		case b.refused <- durable.Errorf(durable.CodeDenied, "it was refused: %.100s %.300s", e, q.Get("error_description")):
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
