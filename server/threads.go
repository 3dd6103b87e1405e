package server

import (
	"cmp"
	"context"
	"net/http"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/server/access"
)

const threadsPath = client.Version + "/threads"

func (s *Server) threads() {
	const read, write = access.ThreadsRead, access.ThreadsWrite
	add(s, Route{Method: http.MethodPost, Path: threadsPath, ID: "start-thread", Scope: write, Summary: "Start a conversation", Status: http.StatusCreated}, s.startThread)
	add(s, Route{Method: http.MethodGet, Path: threadsPath, ID: "list-threads", Scope: read, Summary: "List threads, newest first"}, s.listThreads)
	add(s, Route{Method: http.MethodGet, Path: threadsPath + "/{id}", ID: "get-thread", Scope: read, Summary: "Get a thread, as it is or as it was behind an entry"}, s.getThread)
	add(s, Route{Method: http.MethodGet, Path: threadsPath + "/{id}/history", ID: "history-thread", Scope: read, Summary: "List the turns of a thread, newest first"}, s.historyOf)
	add(s, Route{Method: http.MethodPost, Path: threadsPath + "/{id}/runs", ID: "start-turn", Scope: access.RunsWrite, Summary: "Let an agent answer in a thread", Status: http.StatusCreated, Body: 16 << 20}, s.startTurn)
	add(s, Route{Method: http.MethodPatch, Path: threadsPath + "/{id}", ID: "edit-thread", Scope: write, Summary: "Change by hand what was said", Body: 16 << 20}, s.editThread)
	add(s, Route{Method: http.MethodPost, Path: threadsPath + "/{id}/copy", ID: "copy-thread", Scope: write, Summary: "Start a thread that goes on from the state of this one", Status: http.StatusCreated}, s.copyThread)
	add(s, Route{Method: http.MethodDelete, Path: threadsPath + "/{id}", ID: "delete-thread", Scope: write, Summary: "End a thread, and what is under way in it", Status: http.StatusNoContent}, s.deleteThread)
}

// thread finds a thread that the one who asks may see.
func (s *Server) thread(ctx context.Context, ref string) (durable.Run, error) {
	run, err := s.mine(ctx, ref)
	if err == nil && run.Program != agent.ThreadProgram {
		err = durable.Errorf(durable.CodeNotFound, "run %s is of program %s and no thread", run.ID, run.Program)
	}
	return run, err
}

type startThreadRequest struct {
	OnceKey
	Body client.StartThread
}

type threadReply struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     client.Thread
}

func (s *Server) startThread(ctx context.Context, in *startThreadRequest) (*threadReply, error) {
	tenant, err := tenantFor(ctx, in.Body.Tenant)
	if err != nil {
		return nil, err
	}
	id, again, err := s.once(ctx, "start-thread", in.Key, tenant, in.Body, in.Body.ID)
	if err != nil {
		return nil, err
	}
	c := agent.Conversation{Title: in.Body.Name, Labels: in.Body.Labels}
	return s.newThread(ctx, c, durable.StartRequest{ID: id, Name: in.Body.Name, Tenant: tenant}, again)
}

// newThread starts a thread; again says that it may be there already.
func (s *Server) newThread(ctx context.Context, c agent.Conversation, req durable.StartRequest, again bool) (*threadReply, error) {
	id, err := s.rt.StartThread(ctx, c, req)
	if durable.CodeOf(err) == durable.CodeConflict && again {
		id, err = req.ID, nil
	}
	if err != nil {
		return nil, err
	}
	run, err := s.mine(ctx, string(id))
	if err != nil {
		return nil, err
	}
	out, err := s.describe(ctx, run, -1, true)
	if err == nil {
		out.Location = threadsPath + "/" + string(id)
	}
	return out, err
}

// describe tells what a thread is behind an entry; a negative one is the last.
func (s *Server) describe(ctx context.Context, run durable.Run, at int64, messages bool) (*threadReply, error) {
	c, seq, err := s.rt.Conversation(ctx, run.ID, at)
	if err != nil {
		return nil, err
	}
	t := client.Thread{Run: run, Seq: seq, Labels: c.Labels, Turns: c.Turns}
	if messages {
		if t.Messages, err = s.rt.Messages(ctx, c); err != nil {
			return nil, err
		}
	}
	if at < 0 && !run.Status.Final() {
		if t.Under, err = s.rt.Turns(ctx, run.ID); err != nil {
			return nil, err
		}
	}
	return &threadReply{ETag: etag(seq), Body: t}, nil
}

type threadRequest struct {
	RunRef
	At int64 `query:"at" minimum:"-1" default:"-1" doc:"The state behind this entry of the thread; default the last"`
}

func (s *Server) getThread(ctx context.Context, in *threadRequest) (*threadReply, error) {
	run, err := s.thread(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return s.describe(ctx, run, in.At, true)
}

func (s *Server) listThreads(ctx context.Context, in *listRequest) (*body[client.Page[durable.Run]], error) {
	f, mark, err := s.filter(ctx, "threads", in)
	if err != nil {
		return nil, err
	}
	f.Program = agent.ThreadProgram
	if len(f.Statuses) == 0 {
		f.Statuses = unended
	}
	runs, next, err := s.rt.Page(ctx, f)
	return reply(client.Page[durable.Run]{Items: orEmpty(runs), Next: cursorOf(mark, next)}, err)
}

var unended = []durable.Status{durable.Queued, durable.Running, durable.Waiting, durable.Paused, durable.Blocked}

type historyRequest struct {
	RunRef
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	Cursor string `query:"cursor" maxLength:"100"`
}

func (s *Server) historyOf(ctx context.Context, in *historyRequest) (*body[client.Page[durable.Run]], error) {
	run, err := s.thread(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	mark := markOf("history "+string(run.ID), listRequest{})
	before, err := parseCursor(mark, in.Cursor)
	if err != nil {
		return nil, err
	}
	runs, next, err := s.rt.Page(ctx, durable.Filter{Parent: run.ID, Before: before, Limit: in.Limit})
	return reply(client.Page[durable.Run]{Items: orEmpty(runs), Next: cursorOf(mark, next)}, err)
}

type turnRequest struct {
	RunRef
	OnceKey
	Body client.StartTurn
}

func (s *Server) startTurn(ctx context.Context, in *turnRequest) (*created[durable.Run], error) {
	run, err := s.thread(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	start := in.Body.StartRun
	if start.Program != "" || start.Workflow != "" || start.Queue != "" || start.Priority != 0 {
		return nil, durable.Errorf(durable.CodeInvalid, "a turn of a thread is one of an agent, in the queue and with the priority of the thread")
	}
	start.Tenant = run.Tenant
	req, err := s.request(ctx, start)
	if err != nil {
		return nil, err
	}
	if req.Program != agent.Program {
		return nil, durable.Errorf(durable.CodeInvalid, "agent %s runs as a workflow, which takes no turns: start a run of it", start.Agent)
	}
	id, _, err := s.once(ctx, "start-turn "+string(run.ID), in.Key, run.Tenant, in.Body, start.ID)
	if err != nil {
		return nil, err
	}
	turn := agent.Turn{Run: id, Name: req.Name, Definition: req.Definition, Text: start.Text}
	if id, err = s.rt.TakeTurn(ctx, run.ID, turn, orpine.Busy(in.Body.Busy)); err != nil {
		return nil, err
	}
	made, err := s.rt.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	return &created[durable.Run]{Location: runsPath + "/" + string(id), Body: made}, nil
}

type editRequest struct {
	RunRef
	IfMatch string `header:"If-Match" doc:"The ETag of the state that is changed; refused if it is another by now"`
	Body    client.EditThread
}

func (s *Server) editThread(ctx context.Context, in *editRequest) (*threadReply, error) {
	run, err := s.thread(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	turn := agent.Turn{}
	for i, m := range in.Body.Say {
		if (m.Role != model.User && m.Role != model.Assistant) || len(m.Parts) == 0 {
			return nil, durable.Errorf(durable.CodeInvalid, "body.say[%d]: by hand a user or an assistant says something: role %q with %d parts does not fit", i, m.Role, len(m.Parts))
		}
		turn.Say = append(turn.Say, memory.Message{Message: m})
	}
	if in.Body.At != nil {
		c, _, err := s.rt.Conversation(ctx, run.ID, *in.Body.At)
		if err != nil {
			return nil, err
		}
		turn.Head = &c.Thread
		turn.Say = append(c.Pending, turn.Say...)
	}
	if turn.Head == nil && len(turn.Say) == 0 {
		return nil, durable.Errorf(durable.CodeInvalid, "say what is to change: say, at or both")
	}
	seq, err := expected(in.IfMatch)
	if err != nil {
		return nil, err
	}
	_, now, err := s.rt.Conversation(ctx, run.ID, -1)
	if err != nil {
		return nil, err
	}
	if seq >= 0 && now != seq {
		return nil, problemWith(http.StatusPreconditionFailed, durable.CodeConflict, "the thread has gone on: its ETag is %s now; look at it again", etag(now))
	}
	if err := s.rt.EditThread(ctx, run.ID, turn, seq); err != nil {
		return nil, err
	}
	return s.describe(ctx, run, -1, true)
}

type copyRequest struct {
	RunRef
	OnceKey
	At   int64 `query:"at" minimum:"-1" default:"-1" doc:"From the state behind this entry; default the last"`
	Body client.StartThread
}

func (s *Server) copyThread(ctx context.Context, in *copyRequest) (*threadReply, error) {
	run, err := s.thread(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	c, _, err := s.rt.Conversation(ctx, run.ID, in.At)
	if err != nil {
		return nil, err
	}
	if in.Body.Labels != nil {
		c.Labels = in.Body.Labels
	}
	c.Turns = 0
	id, again, err := s.once(ctx, "copy-thread "+string(run.ID), in.Key, run.Tenant, []any{in.Body, in.At}, in.Body.ID)
	if err != nil {
		return nil, err
	}
	return s.newThread(ctx, c, durable.StartRequest{ID: id, Name: cmp.Or(in.Body.Name, run.Name), Tenant: run.Tenant}, again)
}

func (s *Server) deleteThread(ctx context.Context, in *RunRef) (*none, error) {
	run, err := s.thread(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &none{}, s.rt.Kill(ctx, run.ID, "deleted by "+who(ctx).Name)
}
