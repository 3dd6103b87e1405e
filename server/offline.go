package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
)

// maxImport is the longest export that is taken up, in bytes.
const maxImport = 1 << 30

// offline are the routes for what is done with journals while nothing is driven.
func (s *Server) offline() {
	const read, write = access.RunsRead, access.RunsWrite
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/replay", ID: "replay-run", Scope: read, Summary: "Hold the journal of a run against the programs of the server"}, s.replayOf)
	add(s, Route{Method: http.MethodPost, Path: runsPath + "/{id}/plan", ID: "plan-run", Scope: read, Summary: "Say what a fork would consist of", Body: 16 << 20}, s.planOf)
	s.raw(Route{Method: http.MethodGet, Path: runsPath + "/check", ID: "check-runs", Scope: read, Summary: "Hold all runs that have not ended against the programs of the server"}, huma.Operation{
		Description: "One line of JSON for each run, as it is found. An answer that is cut off says nothing of the others.",
		Responses:   map[string]*huma.Response{"200": {Description: "What was found", Content: map[string]*huma.MediaType{"application/jsonl": {}}}},
	}, s.checkRuns)
	file := map[string]*huma.MediaType{"application/octet-stream": {}}
	id := &huma.Param{Name: "id", In: "path", Required: true, Description: "ID of the run", Schema: &huma.Schema{Type: huma.TypeString}}
	flag := func(name, doc string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: doc, Schema: &huma.Schema{Type: huma.TypeBoolean}}
	}
	s.raw(Route{Method: http.MethodGet, Path: runsPath + "/{id}/export", ID: "export-run", Scope: read, Summary: "Get a run, with its children, as one file"}, huma.Operation{
		Description: "What is in it is told in the trailer " + client.ContentsTrailer + ", as JSON. An answer that is cut before that is no export.",
		Parameters:  []*huma.Param{id, flag("alone", "Without the children")},
		Responses:   map[string]*huma.Response{"200": {Description: "The export", Content: file}},
	}, s.exportRun)
	s.raw(Route{Method: http.MethodPost, Path: runsPath + "/import", ID: "import-runs", Scope: write, Summary: "Take up the runs of an export", Body: maxImport}, huma.Operation{
		Description: "All of it is checked before anything is written. Runs that had not ended are blocked until they are resumed. Not for a token of a tenant.",
		Parameters:  []*huma.Param{flag("as_new", "Give every run a new ID"), onceParam()},
		RequestBody: &huma.RequestBody{Required: true, Content: file},
		Responses:   map[string]*huma.Response{"200": {Description: "What was taken up", Content: map[string]*huma.MediaType{"application/json": {}}}},
	}, s.importRuns)
}

// onceParam is OnceKey for a route that reads its request by itself.
func onceParam() *huma.Param {
	return &huma.Param{
		Name: "Idempotency-Key", In: "header", Description: "The same key and request again make nothing new and get the same answer",
		Schema: &huma.Schema{Type: huma.TypeString},
	}
}

// Replay is what a replay found.
type Replay struct{ orpine.Report }

func (s *Server) replayOf(ctx context.Context, in *RunRef) (*body[Replay], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if s.cfg.Fresh == nil {
		return nil, errNoReplay
	}
	programs, err := orpine.Programs(s.cfg.Fresh())
	if err != nil {
		return nil, err
	}
	report, err := s.rt.Replay(ctx, programs, run.ID)
	if _, ok := errors.AsType[*durable.BlockError](err); ok {
		err = durable.Errorf(durable.CodeUnavailable, "run %s cannot be loaded: %w", run.ID, err)
	}
	return reply(Replay{report}, err)
}

var errNoReplay = durable.Errorf(durable.CodeUnavailable, "this process replays nothing; orpine serve does, and orpine replay on the data directory")

// checkRuns sends what a replay of each run that has not ended has found, as it is found: there
// may be many. What goes wrong behind the first one can only be told by cutting it off.
func (s *Server) checkRuns(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Fresh == nil {
		return errNoReplay
	}
	w.Header().Set("Content-Type", "application/jsonl")
	out := &sent{Writer: w}
	line := json.NewEncoder(out)
	cfg := s.cfg.Fresh()
	cfg.Now = s.now
	for found, err := range s.rt.CheckRuns(r.Context(), cfg, who(r.Context()).Tenant) {
		if err == nil {
			err = line.Encode(found)
		}
		switch {
		case err == nil:
		case !out.yes:
			return err
		default:
			s.log.ErrorContext(r.Context(), "a check of the runs was cut off", slog.Any("error", err))
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}

func (s *Server) planOf(ctx context.Context, in *about[client.Fork]) (*body[*orpine.ForkPlan], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	req, err := forkRequest(in.Body)
	if err != nil {
		return nil, err
	}
	return reply(s.rt.PlanFork(ctx, run.ID, req))
}

// flagOf is a parameter that is true or false, the only one there is.
func flagOf(r *http.Request, name string) (bool, error) {
	query := r.URL.Query()
	for other := range query {
		if other != name {
			return false, durable.Errorf(durable.CodeInvalid, "unknown parameter %q: there is %s", other, name)
		}
	}
	switch text := query.Get(name); text {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, durable.Errorf(durable.CodeInvalid, "%s=%s: say true or false", name, text)
	}
}

// sent is a writer that knows whether anything was written.
type sent struct {
	io.Writer
	yes bool
}

func (w *sent) Write(p []byte) (int, error) {
	w.yes = true
	return w.Writer.Write(p)
}

// exportRun sends an export. What goes wrong behind its first byte can only be told by cutting
// it off.
func (s *Server) exportRun(w http.ResponseWriter, r *http.Request) error {
	alone, err := flagOf(r, "alone")
	if err != nil {
		return err
	}
	run, err := s.mine(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Trailer", client.ContentsTrailer)
	out := &sent{Writer: w}
	sum, err := s.rt.Export(r.Context(), out, orpine.ExportConfig{Run: run.ID, Alone: alone, Build: s.cfg.Version})
	if err != nil && !out.yes {
		h.Del("Trailer")
		return err
	}
	text, marshalled := json.Marshal(sum)
	if err = errors.Join(err, marshalled); err != nil {
		s.log.ErrorContext(r.Context(), "an export was cut off", slog.String("run", string(run.ID)), slog.Any("error", err))
		panic(http.ErrAbortHandler)
	}
	h.Set(client.ContentsTrailer, string(text))
	return nil
}

// importRuns takes up an export, which is kept in a nameless file first: it is read twice.
func (s *Server) importRuns(w http.ResponseWriter, r *http.Request) error {
	asNew, err := flagOf(r, "as_new")
	if err != nil {
		return err
	}
	if id := who(r.Context()); id.Tenant != "" {
		return durable.Errorf(durable.CodeDenied, "token %s is of tenant %s: an export may hold runs of others, and is not taken from it", id.Name, id.Tenant)
	}
	spool, err := os.CreateTemp("", "orpine-import-*")
	if err != nil {
		return fmt.Errorf("keep the export: %w", err)
	}
	defer spool.Close() //nolint:errcheck // it has no name any more
	if err := os.Remove(spool.Name()); err != nil {
		return fmt.Errorf("keep the export: %w", err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(spool, sum), r.Body)
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return tooLarge(maxImport)
	}
	if err != nil {
		return durable.Errorf(durable.CodeInvalid, "read the export: %w", err)
	}
	how := orpine.ImportConfig{AsNew: asNew}
	if how.Seed, how.Again, err = s.once(r.Context(), "import-runs", r.Header.Get("Idempotency-Key"), "", []any{asNew, hex.EncodeToString(sum.Sum(nil))}, ""); err != nil {
		return err
	}
	got, err := s.rt.Import(r.Context(), spool, how)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(got)
}
