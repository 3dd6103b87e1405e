// Command effect is what the kill tests kill: runs with irreversible steps, and, as a
// process of its own, the ledger in which the effects of these steps are counted. It is
// built by the tests and used by nobody else. It stands outside of the line request ->
// run -> step -> journal -> event -> client: a program on the façade, and the world
// that its steps change.
//
//	effect ledger FILE             serves the ledger until its input ends
//	effect start DATA URL SCRIPT   starts four runs and drives them
//	effect finish DATA URL SCRIPT  drives what is unfinished
//	effect resolve DATA URL SCRIPT asks the ledger about what is in doubt, and says so
//	effect storm DATA URL FLUSH    starts runs until it is killed; see storm.go
//	effect calm DATA URL FLUSH     drives what a storm left
//	effect tau DATA URL TRACES DELAY ADDR
//	                               serves the agents of tau-bench until it is killed; see tau.go
//	effect crowd DATA ADDR         serves programs that many look at until it is killed; see crowd.go
//	effect hear ADDR RUN N         is N clients of a run
//
// Start, finish and resolve print each event as it is committed, then {"runs": [...]}. FLUSH
// is full, or process for commits that a power cut takes back.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/tool"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "effect:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == "ledger" {
		return serveLedger(ctx, args[1])
	}
	if len(args) == 6 && args[0] == "tau" {
		return serveTau(ctx, args[1], args[2], args[3], args[4], args[5])
	}
	if len(args) == 3 && args[0] == "crowd" {
		return serveCrowd(ctx, args[1], args[2])
	}
	if len(args) == 4 && args[0] == "hear" {
		n, err := strconv.Atoi(args[3])
		if err != nil || n < 1 {
			return errors.New("hear: say how many clients")
		}
		return hearCrowd(ctx, args[1], args[2], n)
	}
	if len(args) != 4 {
		return errors.New("usage: effect ledger FILE | start DATA URL SCRIPT | finish … | resolve … | storm DATA URL full|process | calm … | tau DATA URL TRACES DELAY ADDR | crowd DATA ADDR | hear ADDR RUN N")
	}
	if args[0] == "storm" || args[0] == "calm" {
		return runStorm(ctx, args)
	}
	p := &payer{url: args[2], client: &http.Client{}}
	rt, err := orpine.Open(ctx, orpine.Config{
		Data: args[1], Programs: []durable.Program{p.program()}, Providers: map[string]model.Provider{"script": script.Provider()},
		Tools: []tool.Tool{tool.Func("pay", "Pays somebody. It cannot be taken back.", p.payTo)},
	})
	if err != nil {
		return err
	}
	switch args[0] {
	case "start":
		err = start(ctx, rt, args[3])
	case "resolve":
		err = p.resolve(ctx, rt)
	}
	if err == nil {
		err = finish(ctx, rt)
	}
	return errors.Join(err, rt.Close())
}

// payer pays by asking the ledger.
type payer struct {
	url    string
	client *http.Client
}

// receipt is what the ledger gives for a payment.
type receipt struct {
	Number int `json:"number"`
}

// paid is the output of a run of the program.
type paid struct {
	Paid    bool `json:"paid"`
	Receipt int  `json:"receipt"`
}

func (p *payer) program() durable.Program {
	same := func(_ context.Context, n int) (int, error) { return n, nil }
	before := durable.NewFunc("before", durable.StepOptions{}, same)
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, _ int) (receipt, error) {
		return p.post(ctx, "/pay", durable.AttemptOf(ctx).Key)
	})
	after := durable.NewFunc("after", durable.StepOptions{}, same)
	return durable.NewProgram("pay", func(ctx durable.Context, n int) (paid, error) {
		n, err := durable.Do(ctx, before, n)
		if err != nil {
			return paid{}, err
		}
		got, err := durable.Do(ctx, pay, n)
		if err != nil {
			return paid{Paid: false}, nil //nolint:nilerr // an operator said that it never happened
		}
		number, err := durable.Do(ctx, after, got.Number)
		return paid{true, number}, err
	}, before.StepFunc, pay.StepFunc, after.StepFunc)
}

type payee struct {
	To string `json:"to"`
}

// payTo is the agent's tool. It names no effect, so it counts as irreversible.
func (p *payer) payTo(ctx context.Context, _ payee) (string, error) {
	got, err := p.post(ctx, "/pay", durable.AttemptOf(ctx).Key)
	return fmt.Sprintf("receipt %d", got.Number), err
}

func (p *payer) post(ctx context.Context, path, key string) (receipt, error) {
	var got receipt
	query := url.Values{"key": {key}, "attempt": {strconv.Itoa(durable.AttemptOf(ctx).Number)}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path+"?"+query.Encode(), http.NoBody)
	if err != nil {
		return got, err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return got, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return got, err
	}
	if resp.StatusCode != http.StatusOK {
		return got, fmt.Errorf("the ledger says %s: %s", resp.Status, data)
	}
	return got, json.Unmarshal(data, &got)
}

// start starts two runs of the program and two of the agent.
func start(ctx context.Context, rt *orpine.Runtime, file string) error {
	for n := range 2 {
		if _, err := rt.Start(ctx, durable.StartRequest{Program: "pay", Name: "program", Input: json.RawMessage("1")}); err != nil {
			return err
		}
		d := agent.Definition{Name: "agent", Model: "script/" + file, Tools: []string{"pay"}}
		if _, err := rt.StartAgent(ctx, d, fmt.Sprintf("pay them, %d", n)); err != nil {
			return err
		}
	}
	return nil
}

// told is a run and its steps, as the test reads them.
type told struct {
	Run   durable.Run    `json:"run"`
	Steps []durable.Step `json:"steps"`
}

// finish drives every run until it has ended or needs somebody, and prints them all.
func finish(ctx context.Context, rt *orpine.Runtime) error {
	runs, err := rt.List(ctx, durable.Filter{Limit: 100})
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	for _, r := range runs {
		go watch(watching, rt, r.ID)
	}
	list := []told{}
	for _, r := range runs {
		run, err := settle(ctx, rt, r.ID)
		if err != nil {
			return err
		}
		steps, err := rt.Steps(ctx, r.ID)
		if err != nil {
			return err
		}
		list = append(list, told{run, steps})
	}
	data, err := json.Marshal(map[string]any{"runs": list})
	if err != nil {
		return err
	}
	_, err = fmt.Printf("%s\n", data)
	return err
}

func settle(ctx context.Context, rt *orpine.Runtime, id durable.RunID) (durable.Run, error) {
	run, err := rt.Get(ctx, id)
	for err == nil && !run.Status.Final() && run.Status != durable.Blocked && !run.NeedsPerson() {
		run, err = rt.Settle(ctx, id, run.Updated)
	}
	return run, err
}

func watch(ctx context.Context, rt *orpine.Runtime, id durable.RunID) {
	for item, err := range rt.Watch(ctx, id, event.After(-1)) {
		if err != nil {
			return
		}
		if e := item.Event; e != nil {
			fmt.Printf("%s %s %s\n", e.Kind, e.Name, id)
		}
	}
}

// resolve closes the ledger for every payment in doubt, which also says whether it
// happened, and tells the run.
func (p *payer) resolve(ctx context.Context, rt *orpine.Runtime) error {
	runs, err := rt.List(ctx, durable.Filter{Limit: 100})
	if err != nil {
		return err
	}
	for _, r := range runs {
		run, err := settle(ctx, rt, r.ID)
		if err != nil {
			return err
		}
		for _, w := range run.Waits {
			if w.Kind != durable.WaitInDoubt {
				continue
			}
			got, err := p.post(durable.WithAttempt(ctx, &durable.Attempt{Number: 1}), "/close", fmt.Sprintf("%s/0/%d", run.ID, w.Command))
			if err != nil {
				return err
			}
			if err := rt.Resolve(ctx, run.ID, w.Command, resolution(run, got)); err != nil {
				return err
			}
		}
	}
	return nil
}

func resolution(run durable.Run, got receipt) durable.Resolution {
	switch {
	case got.Number == 0:
		return durable.Resolution{Fail: "the ledger has no such payment"}
	case run.Program == agent.Program:
		return durable.Resolution{Done: json.RawMessage(fmt.Sprintf(`{"content":"receipt %d"}`, got.Number))}
	default:
		return durable.Resolution{Done: json.RawMessage(fmt.Sprintf(`{"number":%d}`, got.Number))}
	}
}
