package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/openai"
	"github.com/orpine-run/orpine/tool"
)

// What an agent run is made of: rounds of a model call and two tools at once, then the
// model call that ends it. Without any overhead it takes rounds * 25 ms + 20 ms.
const (
	rounds      = 5
	toolsAtOnce = 2
	modelDelay  = 20 * time.Millisecond
	toolDelay   = 5 * time.Millisecond
	replyBytes  = 512
	promptBytes = 100
	agentSteps  = rounds*(1+toolsAtOnce) + 1

	// How long the same is measured without durability: some runs at least.
	noDurableLeast = 500 * time.Millisecond
	noDurableMost  = 5 * time.Second
)

// systemText is what every request begins with: 500 bytes.
var systemText = strings.Repeat("You look at places and say what is there. ", 12)[:500]

// agents: each driver starts an agent run, waits for its end and starts the next.
func (b *bench) agents(ctx context.Context) (res Result, err error) {
	res = Result{Runs: b.Runs, Steps: agentSteps, Loop: b.Loop}
	if !b.NoFloor {
		floor, err := b.noDurable(ctx, min(max(b.window()/2, noDurableLeast), noDurableMost))
		if err != nil {
			return res, err
		}
		res.Floor.NoDurable = float64(floor.runs.Load()) / floor.took.Seconds()
	}
	before, err := b.empty(ctx)
	if err != nil {
		return res, err
	}
	server, url, err := b.fakeModel(ctx, modelDelay)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	c := newChat(url, b.Runs)
	defer c.close()
	b.Progress(fmt.Sprintf("%d agents at once, %d steps each, for %v s", b.Runs, agentSteps, b.Secs))
	m := newMeter()
	b.text.unique.Store(0)
	rt, one, err := b.agentRuns(ctx, c, url, m)
	if err != nil {
		return res, err
	}
	err = m.measure(ctx, b.Runs, b.window(), func(ctx context.Context, _ int) error {
		began := time.Now()
		err := one(ctx)
		if m.open.Load() {
			m.latency.add(time.Since(began))
		}
		return err
	})
	res.per(m)
	if err := closing(err, rt); err != nil {
		return res, err
	}
	after, err := sizeOf(b.data())
	res.disk(before, after)
	res.P50, res.P99 = m.latency.quantile(0.5), m.latency.quantile(0.99)
	res.Unique = b.text.unique.Load() + res.RunsTotal*(rounds+1)*replyBytes
	return res, err
}

// agentRuns opens the data directory and returns what makes one run.
func (b *bench) agentRuns(ctx context.Context, c *chat, url string, m *meter) (*orpine.Runtime, func(context.Context) error, error) {
	if b.Loop == LoopAgent {
		rt, err := b.open(ctx, nil, withAgents(counted(openai.Provider(openai.Config{BaseURL: url, Client: c.http}), m), b.look(m)))
		d := agent.Definition{Name: "bench", Model: "openai/fake", Instructions: systemText, Tools: []string{lookTool}}
		return rt, func(ctx context.Context) error {
			req, err := agent.Start(d, b.text.next(promptBytes))
			if err != nil {
				return err
			}
			return drive(ctx, rt, req)
		}, err
	}
	rt, err := b.open(ctx, b.agentProgram(c, m))
	return rt, func(ctx context.Context) error {
		input, err := json.Marshal(b.text.next(promptBytes))
		if err != nil {
			return err
		}
		return drive(ctx, rt, durable.StartRequest{Program: "bench.agent", Input: input})
	}, err
}

// agentProgram is the loop as a Go program.
func (b *bench) agentProgram(c *chat, m *meter) durable.Program {
	call := durable.NewFunc("bench.model", durable.StepOptions{Effect: b.Effect}, func(ctx context.Context, in turnInput) (turnOutput, error) {
		m.step(nil)
		return c.turn(ctx, in)
	})
	look := durable.NewFunc("bench.tool", durable.StepOptions{Effect: b.Effect}, func(ctx context.Context, _ int) (toolOutput, error) {
		m.step(nil)
		pause(ctx, toolDelay)
		return recorded(ctx, b.text.next(b.Payload))
	})
	return durable.NewProgram("bench.agent", func(ctx durable.Context, prompt string) (memory.Head, error) {
		in := turnInput{Say: []memory.Message{{Message: model.Text(model.User, prompt)}}}
		for round := range rounds + 1 {
			out, err := durable.Do(ctx, call, in)
			if err != nil || round == rounds {
				return out.Thread, err
			}
			var results [toolsAtOnce]durable.Promise[toolOutput]
			for i := range results {
				results[i] = durable.Start(ctx, look, round*toolsAtOnce+i)
			}
			in = turnInput{Thread: out.Thread}
			for i, r := range results {
				result, err := r.Await(ctx)
				if err != nil {
					return out.Thread, err
				}
				in.Say = append(in.Say, result.message(fmt.Sprintf("call_%d_%d", round, i)))
			}
		}
		return in.Thread, nil
	}, call.StepFunc, look.StepFunc)
}

// look is the same tool for the agent program.
func (b *bench) look(m *meter) tool.Tool {
	type input struct {
		Place int `json:"place"`
	}
	return tool.Func(lookTool, "Says what is at a place.", func(ctx context.Context, _ input) (string, error) {
		m.step(nil)
		pause(ctx, toolDelay)
		return b.text.next(b.Payload), nil
	}, func(o *durable.StepOptions) { o.Effect = b.Effect })
}

// counted makes models that count their calls as steps.
func counted(p model.Provider, m *meter) model.Provider {
	return func(name string) (model.Model, error) {
		inner, err := p(name)
		return countedModel{inner, m}, err
	}
}

type countedModel struct {
	model.Model
	meter *meter
}

// Generate implements model.Model.
func (c countedModel) Generate(ctx context.Context, req model.Request, emit func(model.Delta)) (model.Reply, error) {
	c.meter.step(nil)
	return c.Model.Generate(ctx, req, emit)
}

// noDurable measures the same loop with everything in memory: what the model, HTTP and
// JSON alone allow.
func (b *bench) noDurable(ctx context.Context, window time.Duration) (m *meter, err error) {
	server, url, err := b.fakeModel(ctx, modelDelay)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	c := newChat(url, b.Runs)
	defer c.close()
	b.Progress(fmt.Sprintf("the same agents without durability, for %.1f s", window.Seconds()))
	m = newMeter()
	err = m.measure(ctx, b.Runs, window, func(ctx context.Context, _ int) error { return b.inMemory(ctx, c) })
	return m, err
}

func (b *bench) inMemory(ctx context.Context, c *chat) error {
	said := []model.Message{model.Text(model.User, b.text.next(promptBytes))}
	for round := range rounds + 1 {
		reply, err := c.ask(ctx, said)
		if err != nil || round == rounds {
			return err
		}
		said = append(said, model.Text(model.Assistant, reply))
		var results [toolsAtOnce]string
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() {
				pause(ctx, toolDelay)
				results[i] = b.text.next(b.Payload)
			})
		}
		wg.Wait()
		for i, content := range results {
			result := model.ToolResult{CallID: fmt.Sprintf("call_%d_%d", round, i), Name: lookTool, Content: content}
			said = append(said, model.Message{Role: model.ToolRole, Parts: []model.Part{{Result: &result}}})
		}
	}
	return nil
}
