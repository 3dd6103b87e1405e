package mcp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/auth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
)

// newerProtocol is the revision from which on each request stands for itself.
const newerProtocol = "2026-07-28"

// idleTime is how long an older client may say nothing before it is forgotten.
const idleTime = 30 * time.Minute

// maxBody is how long a request may be, in bytes.
const maxBody = 16 << 20

// Config is what a server of MCP is made of.
type Config struct {
	// Client makes a client of the API for whoever calls; token is what the call brings with it,
	// "" for none. Required.
	Client  func(token string) (*client.Client, error)
	URL     string       // of the server, for links to runs; "" = links are orpine:/v1/runs/ID
	Version string       // of the program, as clients are told it
	Log     *slog.Logger // nil = no log
}

// Server offers agents. Make it with New; it is an http.Handler.
type Server struct {
	cfg   Config
	older http.Handler // for clients that are known between their requests
	newer http.Handler

	mu    sync.Mutex
	known map[string]*sdk.Tool // tools by the hash of the definition and the name

	over context.Context //nolint:containedctx // its life, ended by Close
	stop context.CancelFunc
}

// New makes a server of MCP.
func New(cfg Config) *Server {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	s := &Server{cfg: cfg, known: map[string]*sdk.Tool{}}
	s.over, s.stop = context.WithCancel(context.Background())
	handler := func(stateless bool) http.Handler {
		return sdk.NewStreamableHTTPHandler(func(r *http.Request) *sdk.Server {
			if stateless {
				return s.desk(r.Context(), "")
			}
			return s.desk(s.over, "")
		}, &sdk.StreamableHTTPOptions{
			Stateless: stateless, Logger: cfg.Log, SessionTimeout: idleTime, MaxRequestBodyBytes: maxBody,
			DisableLocalhostProtection: true, // whoever is behind the door was looked at there
		})
	}
	s.older, s.newer = bound(handler(false)), handler(true)
	return s
}

// Close lets the calls under way end without an answer; their runs go on.
func (s *Server) Close() { s.stop() }

// ServeHTTP implements http.Handler, for one path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(s.over, stop)()
	r = r.WithContext(ctx)
	if r.Header.Get("Mcp-Protocol-Version") >= newerProtocol {
		s.newer.ServeHTTP(w, r)
		return
	}
	s.older.ServeHTTP(w, r)
}

// Serve offers the agents to one client over a pair of streams, such as standard input and
// output, until the client closes them or ctx ends. The token is that of all its calls. Error:
// unavailable.
func (s *Server) Serve(ctx context.Context, in io.ReadCloser, out io.WriteCloser, token string) error {
	link, err := s.desk(ctx, token).Connect(ctx, &sdk.IOTransport{Reader: in, Writer: out}, nil)
	if err != nil {
		return durable.Errorf(durable.CodeUnavailable, "serve MCP: %w", err)
	}
	defer context.AfterFunc(ctx, func() {
		s.stop() // the runs go on
		_ = link.Close()
	})()
	if err := link.Wait(); err != nil && ctx.Err() == nil {
		return durable.Errorf(durable.CodeUnavailable, "serve MCP: %w", err)
	}
	return nil
}

// bound keeps what one token has begun from another: the SDK compares the user of each request
// with that of the first.
func bound(next http.Handler) http.Handler {
	guard := auth.RequireBearerToken(func(_ context.Context, token string, _ *http.Request) (*auth.TokenInfo, error) {
		sum := sha256.Sum256([]byte(token))
		return &auth.TokenInfo{UserID: hex.EncodeToString(sum[:])}, nil // the door has looked at it
	}, &auth.RequireBearerTokenOptions{AllowMissingExpiration: true})(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			next.ServeHTTP(w, r)
			return
		}
		guard.ServeHTTP(w, r)
	})
}

// tokenOf is the token of a request.
func tokenOf(r sdk.Request) string {
	if extra := r.GetExtra(); extra != nil {
		return strings.TrimPrefix(extra.Header.Get("Authorization"), "Bearer ")
	}
	return ""
}
