package server

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
)

// body is a request or an answer that is all body.
type body[T any] struct{ Body T }

// reply makes an answer of a value.
func reply[T any](v T, err error) (*body[T], error) {
	if err != nil {
		return nil, err
	}
	return &body[T]{v}, nil
}

// none is an answer without a body.
type none struct{}

// RunRef is a request about one run.
type RunRef struct {
	ID string `path:"id" maxLength:"200" doc:"ID of the run; without a tenant also a unique prefix, a name, or @last"`
}

// item is a request about one thing of a list that is no run.
type item struct {
	ID string `path:"id" maxLength:"200" doc:"Its ID, as the list has it"`
}

// about is a request about one run that says something.
type about[T any] struct {
	RunRef
	Body T
}

// created is the answer to a request that made something.
type created[T any] struct {
	Location string `header:"Location"`
	Body     T
}

// OnceKey is the header by which a request that makes something can be sent again.
type OnceKey struct {
	Key string `header:"Idempotency-Key" maxLength:"255" doc:"The same key and request again make nothing new and get the same answer"`
}

const runsPath = client.Version + "/runs"

func (s *Server) runs() {
	const read, write = access.RunsRead, access.RunsWrite
	add(s, Route{Method: http.MethodPost, Path: runsPath, ID: "start-run", Scope: write, Summary: "Start a run", Status: http.StatusCreated, Body: 16 << 20}, s.startRun)
	add(s, Route{Method: http.MethodPost, Path: runsPath + "/batch", ID: "start-runs", Scope: write, Summary: "Start many runs", Body: 64 << 20}, s.startRuns)
	add(s, Route{Method: http.MethodGet, Path: runsPath, ID: "list-runs", Scope: read, Summary: "List runs, newest first"}, s.listRuns)
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/count", ID: "count-runs", Scope: read, Summary: "Count runs by status"}, s.countRuns)
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}", ID: "get-run", Scope: read, Summary: "Get a run"},
		func(ctx context.Context, in *RunRef) (*body[durable.Run], error) { return reply(s.mine(ctx, in.ID)) })
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/wait", ID: "wait-run", Scope: read, Summary: "Wait until a run ends, stands still or time is up", Time: longestWait}, s.waitRun)
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/tree", ID: "tree-run", Scope: read, Summary: "Get a run with its children"}, s.treeOf)
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/steps", ID: "steps-run", Scope: read, Summary: "List the steps of a run"}, s.stepsOf)
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/entries", ID: "entries-run", Scope: read, Summary: "Read the journal of a run"}, s.entriesOf)
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/input", ID: "input-run", Scope: read, Summary: "Get what a run was started with"}, s.inputOf)
	add(s, Route{Method: http.MethodGet, Path: runsPath + "/{id}/usage", ID: "usage-run", Scope: read, Summary: "Sum up what a run and its children have used"}, s.usageOf)
	add(s, Route{Method: http.MethodGet, Path: client.Version + "/blobs/{hash}", ID: "get-blob", Scope: access.BlobsRead, Summary: "Get a large value by its hash"}, s.blob)
	s.raw(Route{Method: http.MethodGet, Path: runsPath + "/{id}/events", ID: "watch-run", Scope: read, Summary: "Watch a run and its children"}, watchOperation(), s.watch)
}

// mine finds a run that the one who asks may see: one of another tenant is not there.
func (s *Server) mine(ctx context.Context, ref string) (durable.Run, error) {
	id := who(ctx)
	run, err := s.rt.Get(ctx, durable.RunID(ref))
	if errors.Is(err, durable.ErrNotFound) && id.Tenant == "" {
		var found durable.RunID
		if found, err = s.rt.Find(ctx, ref); err == nil {
			run, err = s.rt.Get(ctx, found)
		}
	}
	if err == nil && id.Tenant != "" && run.Tenant != id.Tenant {
		err = durable.Errorf(durable.CodeNotFound, "no run %s", ref)
	}
	return run, err
}

// tenantFor is the tenant for which something is made.
func tenantFor(ctx context.Context, wanted string) (string, error) {
	id := who(ctx)
	if id.Tenant != "" && wanted != "" && wanted != id.Tenant {
		return "", durable.Errorf(durable.CodeDenied, "token %s is of tenant %s: it makes nothing for %s", id.Name, id.Tenant, wanted)
	}
	return cmp.Or(id.Tenant, wanted), nil
}

// once is the ID for what a request makes: the same one when it is sent again, and then it
// may be there already.
func (s *Server) once(ctx context.Context, route, key, tenant string, request any, chosen durable.RunID) (id durable.RunID, again bool, err error) {
	if key == "" {
		return chosen, false, nil
	}
	text, err := json.Marshal(request)
	if err != nil {
		return "", false, err
	}
	made, first, err := s.keys.Once(ctx, tenant, route, key, text, func() string { return string(cmp.Or(chosen, orpine.NewRunID())) })
	return durable.RunID(made), !first, err
}

type startRequest struct {
	OnceKey
	Body client.StartRun
}

func (s *Server) startRun(ctx context.Context, in *startRequest) (*created[durable.Run], error) {
	run, err := s.start(ctx, in.Key, in.Body)
	if err != nil {
		return nil, err
	}
	return &created[durable.Run]{Location: runsPath + "/" + string(run.ID), Body: run}, nil
}

// start starts a run, or finds the one that an earlier try of the same request started.
func (s *Server) start(ctx context.Context, key string, in client.StartRun) (durable.Run, error) {
	req, err := s.request(ctx, in)
	if err != nil {
		return durable.Run{}, err
	}
	id, again, err := s.once(ctx, "start-run", key, req.Tenant, in, in.ID)
	if err != nil {
		return durable.Run{}, err
	}
	req.ID = id
	run, err := s.rt.Begin(ctx, req)
	if errors.Is(err, durable.ErrConflict) && again {
		return s.mine(ctx, string(req.ID))
	}
	return run, err
}

// Started is what became of one run of a batch.
type Started struct {
	Run     *durable.Run    `json:"run,omitempty"`
	Problem *client.Problem `json:"problem,omitempty"`
}

type batchRequest struct {
	OnceKey
	Body []client.StartRun `maxItems:"1000"`
}

func (s *Server) startRuns(ctx context.Context, in *batchRequest) (*body[[]Started], error) {
	all := make([]Started, len(in.Body))
	each(len(all), func(i int) {
		part := in.Key
		if part != "" {
			part += "/" + strconv.Itoa(i)
		}
		run, err := s.start(ctx, part, in.Body[i])
		if err != nil {
			all[i].Problem = &s.problemOf(ctx, err).Problem
			return
		}
		all[i].Run = &run
	})
	return reply(all, nil)
}

type listRequest struct {
	Status  []durable.Status `query:"status,explode" enum:"queued,running,waiting,paused,succeeded,failed,canceled,killed,blocked"`
	Program string           `query:"program"`
	Name    string           `query:"name" doc:"All of it"`
	Parent  string           `query:"parent"`
	Base    string           `query:"base" doc:"Only forks of this run"`
	Tenant  string           `query:"tenant"`
	Roots   bool             `query:"roots" doc:"Only runs without a parent"`
	Search  string           `query:"search" maxLength:"200" doc:"Part of the name, the program or the reason, or the beginning of the ID"`
	Since   time.Time        `query:"since" doc:"Started then or later"`
	Until   time.Time        `query:"until" doc:"Started before"`
	Oldest  bool             `query:"oldest" doc:"The oldest first"`
	Limit   int              `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor  string           `query:"cursor" maxLength:"100" doc:"The next of the page before"`
}

// filter is what a list is asked for; the mark is that of its cursors.
func (s *Server) filter(ctx context.Context, kind string, in *listRequest) (f durable.Filter, mark string, err error) {
	f = durable.Filter{
		Statuses: in.Status, Program: in.Program, Name: in.Name, Parent: durable.RunID(in.Parent), Base: durable.RunID(in.Base), Tenant: in.Tenant,
		Roots: in.Roots, Search: in.Search, Since: in.Since, Until: in.Until, Oldest: in.Oldest, Limit: in.Limit,
	}
	if id := who(ctx); id.Tenant != "" {
		if f.Tenant != "" && f.Tenant != id.Tenant {
			return f, "", durable.Errorf(durable.CodeDenied, "token %s sees the runs of tenant %s only", id.Name, id.Tenant)
		}
		f.Tenant = id.Tenant
	}
	mark = markOf(kind, *in)
	n, err := parseCursor(mark, in.Cursor)
	if f.Oldest {
		f.After = n
	} else {
		f.Before = n
	}
	return f, mark, err
}

// markOf marks the cursors of one list, so that none is taken by another.
func markOf(kind string, in listRequest) string {
	in.Cursor, in.Limit = "", 0
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s %+v", kind, in) // never fails
	return strconv.FormatUint(uint64(h.Sum32()), 36)
}

// A cursor of a list is the mark of the list and the number of the last run of a page. It is
// wrapped so that nobody counts with it.
func cursorOf(mark string, n int64) string {
	if n == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString([]byte(mark + "." + strconv.FormatInt(n, 10)))
}

// parseCursor reads a cursor of a list. Error: invalid.
func parseCursor(mark, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	of, number, ok := strings.Cut(string(raw), ".")
	n, wrong := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil, !ok, wrong != nil, n <= 0, cursorOf(of, n) != text:
		return 0, durable.Errorf(durable.CodeInvalid, "%q is no cursor of a list: leave it out to begin at the beginning", text)
	case of != mark:
		return 0, durable.Errorf(durable.CodeInvalid, "the cursor is of another list: go on with the same filter, or leave it out to begin at the beginning")
	}
	return n, nil
}

func (s *Server) listRuns(ctx context.Context, in *listRequest) (*body[client.Page[durable.Run]], error) {
	f, mark, err := s.filter(ctx, "runs", in)
	if err != nil {
		return nil, err
	}
	runs, next, err := s.rt.Page(ctx, f)
	return reply(client.Page[durable.Run]{Items: orEmpty(runs), Next: cursorOf(mark, next)}, err)
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func (s *Server) countRuns(ctx context.Context, in *listRequest) (*body[map[durable.Status]int64], error) {
	f, _, err := s.filter(ctx, "count", in)
	if err != nil {
		return nil, err
	}
	return reply(s.rt.Count(ctx, f))
}

// longestWait is a little more than a client may ask for.
const longestWait = 11 * time.Minute

type waitRequest struct {
	RunRef
	Timeout int    `query:"timeout" minimum:"0" maximum:"600" default:"30" doc:"Seconds"`
	For     string `query:"for" enum:"end,rest" default:"end" doc:"Until it is final or blocked, or also until it waits for somebody outside"`
}

func (s *Server) waitRun(ctx context.Context, in *waitRequest) (*body[durable.Run], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil || run.Status.Final() || in.Timeout == 0 {
		return reply(run, err)
	}
	limited, stop := context.WithTimeout(ctx, time.Duration(in.Timeout)*time.Second)
	defer stop()
	for since := (time.Time{}); ; since = run.Updated {
		r, err := s.rt.Settle(limited, run.ID, since)
		switch {
		case limited.Err() != nil && ctx.Err() == nil: // time is up: it is as it is
			return reply(s.rt.Get(ctx, run.ID))
		case err != nil:
			return nil, err
		case r.Status != durable.Waiting, in.For == "rest" && r.NeedsPerson():
			return reply(r, nil)
		}
		run = r
	}
}

// maxNodes bounds a tree.
const maxNodes = 10_000

func (s *Server) treeOf(ctx context.Context, in *RunRef) (*body[*client.Node], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	left := maxNodes
	return reply(s.tree(ctx, run, &left))
}

func (s *Server) tree(ctx context.Context, run durable.Run, left *int) (*client.Node, error) {
	n := &client.Node{Run: run}
	if *left--; *left < 0 {
		return nil, durable.Errorf(durable.CodeExhausted, "the tree has more than %d runs: list them with parent=", maxNodes)
	}
	children, err := s.rt.List(ctx, durable.Filter{Parent: run.ID, Oldest: true, Limit: maxNodes})
	if err != nil {
		return nil, err
	}
	for _, c := range children {
		child, err := s.tree(ctx, c, left)
		if err != nil {
			return nil, err
		}
		n.Children = append(n.Children, child)
	}
	return n, nil
}

func (s *Server) stepsOf(ctx context.Context, in *RunRef) (*body[[]durable.Step], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	steps, err := s.rt.Steps(ctx, run.ID)
	return reply(orEmpty(steps), err)
}

type entriesRequest struct {
	RunRef
	After int64 `query:"after" minimum:"-1" default:"-1" doc:"Only entries with a higher seq"`
	Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (s *Server) entriesOf(ctx context.Context, in *entriesRequest) (*body[[]durable.Entry], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	entries, err := s.rt.Entries(ctx, run.ID, in.After, in.Limit)
	return reply(orEmpty(entries), err)
}

func (s *Server) inputOf(ctx context.Context, in *RunRef) (*body[json.RawMessage], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	first, err := s.rt.Entries(ctx, run.ID, -1, 1)
	if err != nil || len(first) == 0 {
		return nil, cmp.Or(err, error(durable.Errorf(durable.CodeInternal, "run %s has no journal", run.ID)))
	}
	input := first[0].Input
	if first[0].InputRef != nil {
		input, err = s.rt.Blob(ctx, *first[0].InputRef)
	}
	if len(input) == 0 {
		input = json.RawMessage("null")
	}
	return reply(input, err)
}

func (s *Server) usageOf(ctx context.Context, in *RunRef) (*body[client.Usage], error) {
	run, err := s.mine(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var u client.Usage
	left := maxNodes
	err = s.usage(ctx, run, &u, &left)
	return reply(u, err)
}

type blobRequest struct {
	Hash string `path:"hash" pattern:"^[0-9a-f]{64}$"`
	Run  string `query:"run" doc:"A run that refers to it; needed with a token of a tenant"`
}

type blobReply struct {
	ContentType string `header:"Content-Type"`
	Body        []byte
}

// blob serves a value. A hash alone does not say whose it is: a token of a tenant also names
// a run of that tenant whose journal refers to it.
func (s *Server) blob(ctx context.Context, in *blobRequest) (*blobReply, error) {
	ref := durable.Ref{Hash: in.Hash}
	if who(ctx).Tenant != "" {
		run, err := s.mine(ctx, in.Run)
		if err != nil {
			return nil, err
		}
		named, err := s.rt.Refers(ctx, run.ID, in.Hash)
		if err != nil {
			return nil, err
		}
		if !named {
			return nil, durable.Errorf(durable.CodeNotFound, "no blob %s in run %s", in.Hash, run.ID)
		}
	}
	data, err := s.rt.Blob(ctx, ref)
	if err != nil {
		return nil, err
	}
	kind := "application/octet-stream"
	if json.Valid(data) {
		kind = "application/json"
	}
	return &blobReply{ContentType: kind, Body: data}, nil
}

// each calls do for 0 to n-1, some at a time, and returns when all are done.
func each(n int, do func(int)) {
	const atOnce = 64
	slots := make(chan struct{}, atOnce)
	for i := range n {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			do(i)
		}()
	}
	for range atOnce {
		slots <- struct{}{}
	}
}
