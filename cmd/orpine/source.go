package main

import (
	"context"
	"encoding/json"
	"iter"
	"strconv"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/workflow"
)

// source is where verbs read: a data directory, or a server.
type source interface {
	runs
	journals
	flows
	Count(ctx context.Context, f durable.Filter) (map[durable.Status]int64, error)
	Tree(ctx context.Context, id durable.RunID) (*client.Node, error)
	Questions(ctx context.Context, f durable.Filter) ([]orpine.Question, error)
	PlanFork(ctx context.Context, id durable.RunID, req orpine.ForkRequest) (*orpine.ForkPlan, error)
	// CheckRuns holds the runs that have not ended against cfg; a server holds them against its own.
	CheckRuns(ctx context.Context, cfg orpine.Config) iter.Seq2[orpine.Checked, error]
	Close() error
}

// runs are the runs of a source.
type runs interface {
	Find(ctx context.Context, ref string) (durable.RunID, error)
	Get(ctx context.Context, id durable.RunID) (durable.Run, error)
	List(ctx context.Context, f durable.Filter) ([]durable.Run, error)
}

// flows are the workflows of a source.
type flows interface {
	// Assets lists the newest of every asset, or of one.
	Assets(ctx context.Context, tenant, asset string) ([]workflow.Materialization, error)
	// Progress replays a run of a workflow with the tools of cfg; a server has its own.
	Progress(ctx context.Context, cfg orpine.Config, id durable.RunID) (workflow.View, error)
}

// journals are what the runs of a source have done.
type journals interface {
	Steps(ctx context.Context, id durable.RunID) ([]durable.Step, error)
	Entries(ctx context.Context, id durable.RunID, after int64, limit int) ([]durable.Entry, error)
	Blob(ctx context.Context, id durable.RunID, ref durable.Ref) ([]byte, error)
	Follow(ctx context.Context, id durable.RunID, after int64) iter.Seq2[*event.Item, error]
}

var (
	_ source = here{}
	_ source = remote{}
)

// here is the data directory as a source.
type here struct{ *orpine.Reader }

// Blob implements journals: in a directory a value is found whoever refers to it.
func (h here) Blob(ctx context.Context, _ durable.RunID, ref durable.Ref) ([]byte, error) {
	return h.Reader.Blob(ctx, ref)
}

// CheckRuns implements source.
func (h here) CheckRuns(ctx context.Context, cfg orpine.Config) iter.Seq2[orpine.Checked, error] {
	return h.Reader.CheckRuns(ctx, cfg, "")
}

// far reports whether a server was named: then no data directory is touched.
func (a *app) far() bool { return a.flags.Server != "" }

// dial makes a client of the server that was named.
func (a *app) dial() (remote, error) {
	c, err := client.New(client.Config{URL: a.flags.Server, Token: a.flags.Token, Agent: "orpine/" + version})
	return remote{Client: c}, err
}

// source opens the data directory for reading, or reaches for the server.
func (a *app) source(ctx context.Context) (source, error) {
	if a.far() {
		return a.dial()
	}
	r, err := orpine.OpenReader(ctx, a.flags.Data)
	return here{r}, err
}

// read is source for one run, which it finds.
func (a *app) read(ctx context.Context, ref string) (source, durable.RunID, error) {
	s, err := a.source(ctx)
	if err != nil {
		return nil, "", err
	}
	id, err := s.Find(ctx, ref)
	if err != nil {
		return nil, "", closing(err, s)
	}
	return s, id, nil
}

// readHere is read for what is done in the data directory itself.
func (a *app) readHere(ctx context.Context, ref string) (here, durable.RunID, error) {
	r, err := orpine.OpenReader(ctx, a.flags.Data)
	if err != nil {
		return here{}, "", err
	}
	id, err := r.Find(ctx, ref)
	if err != nil {
		return here{}, "", closing(err, r)
	}
	return here{r}, id, nil
}

// onlyHere refuses a verb that looks at this machine when a server was named.
func (a *app) onlyHere(verb string) error {
	if !a.far() {
		return nil
	}
	return durable.Errorf(durable.CodeInvalid, "orpine %s works on a data directory of this machine, not through a server: run it there, or leave out --server and ORPINE_SERVER", verb)
}

// List implements runs: as many as are asked for, however long a page is.
func (r remote) List(ctx context.Context, f durable.Filter) ([]durable.Run, error) {
	const page = 1000
	most := f.Limit
	f.Limit = min(most, page)
	var list []durable.Run
	for run, err := range r.All(ctx, f) {
		if err != nil {
			return nil, err
		}
		if list = append(list, run); len(list) == most {
			break
		}
	}
	return list, nil
}

// Blob implements journals.
func (r remote) Blob(ctx context.Context, id durable.RunID, ref durable.Ref) ([]byte, error) {
	return r.Client.Blob(ctx, ref, id)
}

// Follow implements journals.
func (r remote) Follow(ctx context.Context, id durable.RunID, after int64) iter.Seq2[*event.Item, error] {
	w := client.Watch{Alone: true}
	if after >= 0 {
		w.After = strconv.FormatInt(after, 10)
	}
	return func(yield func(*event.Item, error) bool) {
		for item, err := range r.Watch(ctx, id, w) {
			if err != nil {
				yield(nil, err)
				return
			}
			if item.Event != nil && !yield(&event.Item{Event: item.Event}, nil) {
				return
			}
		}
	}
}

// Questions implements source.
func (r remote) Questions(ctx context.Context, _ durable.Filter) ([]orpine.Question, error) {
	found, err := r.Client.Questions(ctx, "")
	list := make([]orpine.Question, len(found))
	for i, q := range found {
		list[i] = orpine.Question(q)
	}
	return list, err
}

// CheckRuns implements source.
func (r remote) CheckRuns(ctx context.Context, _ orpine.Config) iter.Seq2[orpine.Checked, error] {
	return func(yield func(orpine.Checked, error) bool) {
		for text, err := range r.Client.CheckRuns(ctx) {
			var c orpine.Checked
			if err == nil {
				err = json.Unmarshal(text, &c)
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

// Assets implements source: the tenant is that of the token.
func (r remote) Assets(ctx context.Context, _, asset string) ([]workflow.Materialization, error) {
	text, err := r.Client.Assets(ctx, asset)
	if err != nil {
		return nil, err
	}
	var list []workflow.Materialization
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "read the assets: %w", err)
	}
	return list, nil
}

// Progress implements source.
func (r remote) Progress(ctx context.Context, _ orpine.Config, id durable.RunID) (workflow.View, error) {
	var v workflow.View
	text, err := r.Client.Progress(ctx, id)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal(text, &v); err != nil {
		return v, durable.Errorf(durable.CodeUnavailable, "read the progress of the run: %w", err)
	}
	return v, nil
}

// PlanFork implements source.
func (r remote) PlanFork(ctx context.Context, id durable.RunID, req orpine.ForkRequest) (*orpine.ForkPlan, error) {
	text, err := r.Client.PlanFork(ctx, id, forkOf(req))
	if err != nil {
		return nil, err
	}
	var p orpine.ForkPlan
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "read the plan of the fork: %w", err)
	}
	return &p, nil
}
