package server

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/server/catalog"
	"github.com/orpine-run/orpine/server/hook"
	"github.com/orpine-run/orpine/server/stream"
)

// Config says what a server serves, and to whom.
type Config struct {
	Runtime *orpine.Runtime // required; stays the caller's to close
	Version string          // of the build, as the OpenAPI document says it
	URL     string          // under which it is reached, for links to runs; "" = links without a host
	Log     *slog.Logger    // nil = no log

	Strict bool // a request needs a token even where none was made yet

	Hosts   []string // names under which it may be asked for, besides localhost and addresses
	Origins []string // of pages that may use it from a browser; "*" = all

	// Fresh is a configuration of which journals are replayed, made anew; nil = none is.
	Fresh func() orpine.Config
	// Peers are the MCP servers whose tools agents call; nil = there are none.
	Peers Peers

	Private  []string      // programs that only a token with the scope agents:write may start: they reach what is on this machine
	Tools    []client.Tool // what its agents may be given, for who asks
	Webhooks Webhooks      // nil = there are none
	// Secret looks up the secret that the requests of a webhook are signed with; nil = there are none,
	// and no such request is let in.
	Secret func(ctx context.Context, name string) (string, error)
	Beat   time.Duration // between the signs of life of a stream; 0 = 15 seconds
}

// Server is the handler of the API. Make it with New.
type Server struct {
	cfg    Config
	rt     *orpine.Runtime
	log    *slog.Logger
	mux    *http.ServeMux
	api    huma.API
	routes []Route
	table  map[string]Route // by the pattern under which the mux has them
	tokens *access.Tokens
	audit  *access.Audit
	keys   *access.Keys

	guarded atomic.Bool
	streams *stream.Streams
	mcp     *mcpDoors
	agents  *catalog.Catalog
	flows   *catalog.Catalog
	filed   *catalog.Filed
	failed  *hook.Failures
	inbound *hook.Door
}

// registryKey is where an operation has the registry of its schemas.
const registryKey = "registry"

// defaultBeat is how often a stream that has nothing to say gives a sign of life.
const defaultBeat = 15 * time.Second

// New makes a server. It serves nothing by itself: it is an http.Handler, to be mounted at /.
// Error: that the log of audit cannot be gone on with.
func New(ctx context.Context, cfg Config) (*Server, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Beat == 0 {
		cfg.Beat = defaultBeat
	}
	audit, err := access.OpenAudit(ctx, cfg.Runtime)
	if err != nil {
		return nil, err
	}
	if err := audit.Damaged(); err != nil {
		cfg.Log.ErrorContext(ctx, "the log of audit is damaged", slog.Any("error", err))
	}
	tokens := access.NewTokens(cfg.Runtime)
	guarded, err := guardedBefore(ctx, cfg.Runtime, tokens)
	if err != nil {
		return nil, errors.Join(err, audit.Close())
	}
	s := &Server{
		cfg: cfg, rt: cfg.Runtime, log: cfg.Log, mux: http.NewServeMux(), table: map[string]Route{},
		agents: catalog.New(cfg.Runtime, agentNoun), flows: catalog.New(cfg.Runtime, workflowNoun), filed: &catalog.Filed{Runtime: cfg.Runtime, Log: cfg.Log}, failed: hook.NewFailures(),
		tokens: tokens, audit: audit, keys: access.NewKeys(cfg.Runtime), streams: stream.New(ctx, stream.Config{Runtime: cfg.Runtime, Log: cfg.Log, Beat: cfg.Beat}),
	}
	s.inbound = hook.New(hook.Config{Runtime: cfg.Runtime, Log: cfg.Log, Secret: cfg.Secret, First: s.firstOf})
	s.guarded.Store(guarded || cfg.Strict)
	h := huma.DefaultConfig("Orpine", cfg.Version)
	h.Info.Description = "Runs of agents and programs that survive the death of their process."
	h.CreateHooks = nil                // no links to schemas in every answer
	h.SchemasPath, h.DocsPath = "", "" // the page is ours
	h.RejectUnknownQueryParameters = true
	h.Transformers = []huma.Transformer{mend}
	h.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	h.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	s.api = humago.New(s.mux, h)
	s.runs()
	s.control()
	s.workflows()
	s.triggers()
	s.offline()
	s.threads()
	s.interrupts()
	s.definitions()
	s.admin()
	s.peers()
	s.health()
	s.agentsOverMCP()
	s.docs()
	for _, path := range []string{"/openapi.json", "/openapi.yaml", "/openapi-3.0.json", "/openapi-3.0.yaml"} {
		s.note(Route{Method: http.MethodGet, Path: path, Scope: Public, Summary: "What can be asked of the server"})
	}
	s.describeProblems()
	s.mux.HandleFunc(noRoute, func(w http.ResponseWriter, r *http.Request) {
		if allowed := s.methods(r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			s.refuse(w, r, problemWith(http.StatusMethodNotAllowed, durable.CodeInvalid, "%s is not for %s: it takes %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")))
			return
		}
		s.refuse(w, r, durable.Errorf(durable.CodeNotFound, "there is nothing at %s %s; /openapi.json says what there is", r.Method, r.URL.Path))
	})
	return s, nil
}

// methods lists those that the table has for the path of a request.
func (s *Server) methods(r *http.Request) []string {
	var list []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		_, pattern := s.mux.Handler(other)
		if _, ok := s.table[pattern]; ok {
			list = append(list, method)
		}
	}
	return list
}

// describeProblems has the OpenAPI document say what our problems are, not the framework's.
func (s *Server) describeProblems() {
	schemas := s.api.OpenAPI().Components.Schemas
	ours := schemas.Schema(reflect.TypeFor[client.Problem](), false, "Problem")
	if _, ok := schemas.Map()["ErrorModel"]; ok {
		schemas.Map()["ErrorModel"] = ours
	}
}

// Local is the handler for a socket that the file system guards: whoever reaches it may do
// everything.
func (s *Server) Local() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, true)))
	})
}

type localKey struct{}

func isLocal(ctx context.Context) bool {
	local, _ := ctx.Value(localKey{}).(bool)
	return local
}

// Guarded reports whether a token is needed by now: there was one once, or Strict says
// so. It stays so when the last one has expired or was revoked.
func (s *Server) Guarded() bool { return s.guarded.Load() }

// Drop ends the streams that are open; what they watch goes on, and so do their clients when
// there is a server again.
func (s *Server) Drop() {
	s.streams.Close()
	s.mcp.close()
}

// Close ends the streams and lets go of the log of audit. Nothing may be asked any more.
func (s *Server) Close() error {
	s.Drop()
	return s.audit.Close()
}

// Routes lists what the server serves, with the scope that each takes.
func (s *Server) Routes() []Route { return s.routes }

// schemaName is the name of a type in the OpenAPI document. Rooms have words of their own, and some
// have the same: those of models, workflows and triggers come with the room in front.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	switch room := lastOf(t.PkgPath()); room {
	case "model", "workflow", "trigger":
		return strings.ToUpper(room[:1]) + room[1:] + strings.TrimPrefix(name, strings.ToUpper(room[:1])+room[1:])
	}
	return name
}

// lastOf is the last element of the path of a package.
func lastOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
