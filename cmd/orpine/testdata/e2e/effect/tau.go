package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/tool"
)

// domain is a part of tau-bench: an agent with its tools, and what it is asked to do.
type domain struct {
	Wiki  string `json:"wiki"`
	Tools []struct {
		Function struct {
			Name        string          `json:"name"`
			Description string          `json:"description"`
			Parameters  json.RawMessage `json:"parameters"`
		} `json:"function"`
	} `json:"tools"`
	Tasks []struct {
		Steps []call `json:"steps"`
	} `json:"tasks"`
}

// call is what an agent has to call next, and what comes of it.
type call struct {
	Name   string          `json:"name"`
	Args   json.RawMessage `json:"args"`
	Write  bool            `json:"write"`
	Result string          `json:"result"`
}

// desk has the agents of tau-bench. Their model knows what is right and makes one call a
// turn, exactly as it must be. A call that changes something is written down at the ledger: in
// retail it may be sent twice with one key, in airline it is irreversible.
type desk struct {
	payer
	delay time.Duration     // the longest time that the model thinks for a turn
	plan  map[string][]call // by the name of the run, such as retail-17
	open  chan struct{}     // closed when rt is there
	rt    *orpine.Runtime
	tasks sync.Map // run -> name of its task, as the model was told in this process
}

// serveTau serves the agents over HTTP until it is killed. It prints its address.
func serveTau(ctx context.Context, data, ledger, traces, delay, addr string) error {
	d := &desk{payer: payer{url: ledger, client: &http.Client{}}, plan: map[string][]call{}, open: make(chan struct{})}
	text, err := os.ReadFile(traces)
	if err != nil {
		return err
	}
	var domains map[string]domain
	if err := json.Unmarshal(text, &domains); err != nil {
		return err
	}
	if d.delay, err = time.ParseDuration(delay); err != nil {
		return err
	}
	agents, tools := map[string]agent.Definition{}, []tool.Tool(nil)
	for name, part := range domains {
		agents[name] = agent.Definition{Name: name, Model: "tau/" + name, Instructions: part.Wiki, Tools: []string{name + "_*"}}
		tools = append(tools, d.tools(name, part)...)
		for i, t := range part.Tasks {
			d.plan[fmt.Sprintf("%s-%d", name, i)] = t.Steps
		}
	}
	d.rt, err = orpine.Open(ctx, orpine.Config{
		Data: data, Tools: tools, KeepDeltas: true,
		Providers: map[string]model.Provider{"tau": func(domain string) (model.Model, error) { return &clerk{d, domain}, nil }},
	})
	if err != nil {
		return err
	}
	close(d.open)
	s, err := server.New(ctx, server.Config{Runtime: d.rt})
	if err == nil {
		err = s.Load(ctx, server.File{Agents: agents})
	}
	if err != nil {
		return errors.Join(err, d.rt.Close())
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(err, d.rt.Close())
	}
	fmt.Printf("http://%s\n", ln.Addr())
	web := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	return web.Serve(ln)
}

// tools are those of a domain, each with its name before its own.
func (d *desk) tools(name string, part domain) []tool.Tool {
	writes := map[string]bool{}
	for _, t := range part.Tasks {
		for _, c := range t.Steps {
			writes[c.Name] = writes[c.Name] || c.Write
		}
	}
	effect := map[bool]durable.Effect{true: durable.Idempotent, false: durable.Irreversible}[name == "retail"]
	list := make([]tool.Tool, len(part.Tools))
	for i, t := range part.Tools {
		f := t.Function
		o := durable.StepOptions{Effect: durable.Read}
		if writes[f.Name] {
			o.Effect = effect
		}
		list[i] = &lever{d: d, name: f.Name, spec: tool.Spec{Name: name + "_" + f.Name, Description: f.Description, Schema: f.Parameters, Options: o}}
	}
	return list
}

// find is the first call of a task by that name and with these arguments.
func find(steps []call, name string, args json.RawMessage) (call, error) {
	var want any
	if err := json.Unmarshal(args, &want); err != nil {
		return call{}, err
	}
	for _, c := range steps {
		var got any
		if c.Name == name && json.Unmarshal(c.Args, &got) == nil && reflect.DeepEqual(got, want) {
			return c, nil
		}
	}
	return call{}, durable.Errorf(durable.CodeInvalid, "the task has no call of %s with %s", name, args)
}

// task is what a run is to do. A call that reads may come before the run is durable; then the
// model was asked in this process.
func (d *desk) task(ctx context.Context, id durable.RunID) (string, error) {
	if name, ok := d.tasks.Load(id); ok {
		return fmt.Sprint(name), nil
	}
	run, err := d.rt.Get(ctx, id)
	return run.Name, err
}

// lever is one tool of a desk.
type lever struct {
	d    *desk
	name string // in its domain
	spec tool.Spec
}

// Spec implements tool.Tool.
func (l *lever) Spec() tool.Spec { return l.spec }

// Call implements tool.Tool.
func (l *lever) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	<-l.d.open
	at := durable.AttemptOf(ctx)
	task, err := l.d.task(ctx, at.Run)
	if err != nil {
		return tool.Result{}, err
	}
	c, err := find(l.d.plan[task], l.name, args)
	if err != nil || !c.Write {
		return tool.Result{Content: c.Result}, err
	}
	line, err := json.Marshal(written{task, at.Key, l.name, args})
	if err != nil {
		return tool.Result{}, err
	}
	query := url.Values{"key": {at.Key}, "attempt": {strconv.Itoa(at.Number)}, "once": {strconv.FormatBool(l.spec.Options.Effect == durable.Idempotent)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.d.url+"/write?"+query.Encode(), bytes.NewReader(line))
	if err != nil {
		return tool.Result{}, err
	}
	resp, err := l.d.client.Do(req)
	if err != nil {
		return tool.Result{}, err
	}
	said, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return tool.Result{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return tool.Result{}, fmt.Errorf("the ledger says %s: %s", resp.Status, said)
	}
	return tool.Result{Content: c.Result}, nil
}

// written is a line of the ledger.
type written struct {
	Task string          `json:"task"`
	Key  string          `json:"key"`
	Name string          `json:"name"`
	Args json.RawMessage `json:"args"`
}

// clerk is the model of a domain: it is told which task it is to do, and knows how.
type clerk struct {
	d      *desk
	domain string
}

// Generate implements model.Model. What the calls before came to must be what it expects.
func (c *clerk) Generate(ctx context.Context, req model.Request, emit func(model.Delta)) (model.Reply, error) {
	select {
	case <-time.After(rand.N(c.d.delay)):
	case <-ctx.Done():
		return model.Reply{}, ctx.Err()
	}
	var steps []call
	turn, told := 0, 0
	for _, m := range req.Messages {
		switch m.Role {
		case model.User:
			steps = c.d.plan[m.Text()]
			c.d.tasks.Store(durable.AttemptOf(ctx).Run, m.Text())
		case model.Assistant:
			turn++
		case model.ToolRole:
			for _, p := range m.Parts {
				if told >= len(steps) || p.Result == nil || p.Result.Error {
					return model.Reply{}, wrong("after call %d of %d comes %+v", told, len(steps), p.Result)
				}
				right, err := find(steps, steps[told].Name, steps[told].Args)
				if err != nil || right.Result != p.Result.Content {
					return model.Reply{}, wrong("call %d came to %q, want %q", told, p.Result.Content, right.Result)
				}
				told++
			}
		case model.System:
		}
	}
	if turn != told || turn > len(steps) {
		return model.Reply{}, wrong("%d turns and %d results of %d calls", turn, told, len(steps))
	}
	if emit == nil {
		emit = func(model.Delta) {}
	}
	reply := model.Reply{Message: model.Text(model.Assistant, fmt.Sprintf("All %d are done.", turn)), Stop: model.StopEnd, Usage: model.Usage{Input: 1, Output: 1}}
	if turn < len(steps) {
		next := steps[turn]
		reply.Stop = model.StopCalls
		reply.Message.Parts = []model.Part{
			{Text: "Next is " + next.Name},
			{Call: &model.ToolCall{ID: fmt.Sprintf("call_%d", turn), Name: c.domain + "_" + next.Name, Args: next.Args}},
		}
	}
	emit(model.Delta{Kind: model.DeltaText, Text: reply.Message.Text()})
	return reply, nil
}

func wrong(format string, args ...any) error {
	return &model.Error{Code: "invalid", Message: "the conversation is not what it must be: " + fmt.Sprintf(format, args...)}
}
