package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// How often a process is started, as far as the time allows.
const (
	leastTrials = 3
	mostTrials  = 20
)

// recover: a process with so many parked runs is killed. How long until another one
// serves a step of one of them, from its exec on?
func (b *bench) recover(ctx context.Context) (Result, error) {
	res := Result{Runs: b.Runs, Steps: 1, StepsTotal: int64(b.Runs), RunsTotal: int64(b.Runs)}
	before, err := b.empty(ctx)
	if err != nil {
		return res, err
	}
	b.Progress(fmt.Sprintf("a process parks %d runs and is killed", b.Runs))
	runs, err := b.prepare(ctx)
	if err != nil {
		return res, err
	}
	b.Progress("another process takes them up, and is killed too, again and again")
	var opened, first latency
	began := time.Now()
	for i, run := range runs {
		if i >= mostTrials || i >= leastTrials && time.Since(began) > b.window() {
			break
		}
		r, took, err := b.firstStep(ctx, b.data(), run)
		if err != nil {
			return res, err
		}
		opened.add(time.Duration(r.Open * float64(time.Millisecond)))
		first.add(took)
		res.RSS, res.CPU = max(res.RSS, r.RSS), max(res.CPU, r.CPU)
	}
	res.Secs = time.Since(began).Seconds()
	res.Open, res.FirstStep = opened.quantile(0.5), first.quantile(0.5)
	res.P50, res.P99 = first.quantile(0.5), first.quantile(0.99)
	if res.ColdFresh, res.ColdExisting, err = b.cold(ctx); err != nil {
		return res, err
	}
	after, err := b.empty(ctx) // opened and closed once more, so that the log is in the database
	res.disk(before, after)
	res.Unique = int64(b.Runs) * int64(b.Payload)
	return res, err
}

// prepare lets a process park the runs, kills it and returns some of them.
func (b *bench) prepare(ctx context.Context) ([]string, error) {
	c, err := b.spawn(ctx, part{Part: partPark, Dir: b.data(), Durability: b.Durability, Runs: b.Runs, Payload: b.Payload})
	if err != nil {
		return nil, err
	}
	r, err := c.next()
	if err != nil {
		return nil, err
	}
	return r.Runs, c.kill()
}

// firstStep starts a process, waits for its first step and kills it.
func (b *bench) firstStep(ctx context.Context, dir, run string) (report, time.Duration, error) {
	c, err := b.spawn(ctx, part{Part: partFirst, Dir: dir, Durability: b.Durability, Payload: b.Payload, Run: run})
	if err != nil {
		return report{}, 0, err
	}
	r, err := c.next()
	if err != nil {
		return r, 0, err
	}
	if r.Step == 0 {
		return r, 0, closing(errNoStep, closer(c.kill))
	}
	return r, time.Duration(r.Step - c.began.UnixNano()), c.kill()
}

type closer func() error

// Close implements io.Closer.
func (c closer) Close() error { return c() }

// cold measures the start of the program until the first step of a new run.
func (b *bench) cold(ctx context.Context) (fresh, existing float64, err error) {
	b.Progress("cold starts")
	var times [2]latency
	for i := range leastTrials {
		dir := filepath.Join(b.Dir, fmt.Sprint("cold", i))
		for k := range times { // the first finds nothing, the second finds what the first left
			_, took, err := b.firstStep(ctx, dir, "")
			if err != nil {
				return 0, 0, err
			}
			times[k].add(took)
		}
	}
	return times[0].quantile(0.5), times[1].quantile(0.5), nil
}

// park is the process that is killed.
func park(ctx context.Context, p part, say *json.Encoder) error {
	const seed = 3
	rt, err := open(ctx, p.Dir, p.Durability, parkedProgram(newText(seed), p.Payload, func() {}))
	if err != nil {
		return err
	}
	some, err := parkRuns(ctx, rt, p.Runs)
	if err != nil {
		return closing(err, rt)
	}
	var r report
	for _, id := range some {
		r.Runs = append(r.Runs, string(id))
	}
	err = say.Encode(r)
	<-ctx.Done()
	return closing(err, rt)
}

// first is the process after it, and the one of a cold start.
func first(ctx context.Context, p part, say *json.Encoder) error {
	const seed = 4
	texts := newText(seed)
	begun := make(chan time.Time, 1)
	goOn := func() { begun <- time.Now() }
	program := parkedProgram(texts, p.Payload, goOn)
	if p.Run == "" {
		one := durable.NewFunc("bench.one", durable.StepOptions{}, func(context.Context, int) (string, error) {
			goOn()
			return texts.next(p.Payload), nil
		})
		program = durable.NewProgram("bench.single", func(ctx durable.Context, in int) (string, error) {
			return durable.Do(ctx, one, in)
		}, one.StepFunc)
	}
	began := time.Now()
	rt, err := open(ctx, p.Dir, p.Durability, program)
	if err != nil {
		return err
	}
	r := report{Open: ms(time.Since(began))}
	if p.Run == "" {
		_, err = rt.Start(ctx, durable.StartRequest{Program: "bench.single", Input: []byte("0")})
	} else {
		err = rt.Signal(ctx, durable.RunID(p.Run), durable.Signal{Name: approve})
	}
	if err != nil {
		return closing(err, rt)
	}
	select {
	case at := <-begun:
		r.Step, r.RSS, r.CPU = at.UnixNano(), rssMB(), usageNow().cpu.Seconds()
		err = say.Encode(r)
		<-ctx.Done()
	case <-ctx.Done():
	}
	return closing(err, rt)
}
