// Command floor is the worker of the least engine that is durable: a goroutine for each
// run, one row for each step, one writer which commits whatever is queued as one
// transaction. It keeps no more than that, so it bounds from above what any engine of
// this shape on this SQLite can do.
//
// On the line request -> run -> step -> journal -> event -> client it has all up to the
// journal: no replay of programs, no events, no retries.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/orpine-run/orpine/bench/peers/drive"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

func main() { os.Exit(drive.Main(open)) }

func open(ctx context.Context, o drive.Options, l *workload.Load) (workload.Engine, error) {
	j, err := openJournal(ctx, o.Store)
	if err != nil {
		return nil, err
	}
	e := &engine{load: l, journal: j}
	if o.Workload != workload.Recover {
		return e, nil
	}
	waiting, err := j.unfinished(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range waiting {
		e.park(id, false)
	}
	return e, nil
}

type engine struct {
	load    *workload.Load
	journal *journal
	gates   sync.Map // run -> chan struct{}
}

// Run implements workload.Engine.
func (e *engine) Run(ctx context.Context, kind workload.Kind, id string) error {
	if err := e.journal.append(record{run: id, kind: started, data: []byte(kind)}); err != nil {
		return err
	}
	seq := 0
	step := func(output string) error {
		seq++
		return e.journal.append(record{run: id, seq: seq, kind: done, data: []byte(output)})
	}
	var err error
	switch kind {
	case workload.Steps:
		for i := 0; i < workload.StepsPerRun && err == nil; i++ {
			err = step(e.load.Step(id, i))
		}
	case workload.Cold:
		err = step(e.load.Step(id, 0))
	case workload.Agent:
		seq, err = e.agent(ctx, id)
	default:
		err = fmt.Errorf("no program for %s", kind)
	}
	if err != nil {
		return err
	}
	return e.journal.append(record{run: id, seq: seq + 1, kind: ended})
}

// agent returns the number of the last record it wrote.
func (e *engine) agent(ctx context.Context, id string) (int, error) {
	seq := 0
	keep := func(seq int, m workload.Message) error {
		data, err := json.Marshal(m)
		if err != nil {
			return err
		}
		return e.journal.append(record{run: id, seq: seq, kind: done, data: data})
	}
	said := workload.Seed(id)
	for round := range workload.Rounds {
		reply, err := e.load.Model(ctx, said)
		if err != nil {
			return seq, err
		}
		seq++
		if err := keep(seq, reply); err != nil {
			return seq, err
		}
		var results [workload.ToolsPerTurn]workload.Message
		var errs [workload.ToolsPerTurn]error
		var wg sync.WaitGroup
		for k := range results {
			seq++
			number := seq
			wg.Go(func() {
				results[k] = e.load.Tool(id, round*workload.ToolsPerTurn+k)
				errs[k] = keep(number, results[k])
			})
		}
		wg.Wait()
		if err := errors.Join(errs[:]...); err != nil {
			return seq, err
		}
		said = append(append(said, reply), results[:]...)
	}
	answer, err := e.load.Model(ctx, said)
	if err != nil {
		return seq, err
	}
	seq++
	return seq, keep(seq, answer)
}

// The numbers of the records of a parked run.
const (
	seqBefore = iota + 1
	seqSignal
	seqAfter
	seqEnd
)

// Park implements workload.Engine.
func (e *engine) Park(_ context.Context, id string) error {
	if err := e.journal.append(record{run: id, kind: started, data: []byte(workload.Parked)}); err != nil {
		return err
	}
	e.park(id, true)
	return nil
}

// park lets a goroutine wait for the signal; a run that was just started takes its
// first step before.
func (e *engine) park(id string, fresh bool) {
	gate := make(chan struct{})
	e.gates.Store(id, gate)
	go func() {
		if err := e.passGate(id, fresh, gate); err != nil {
			fmt.Fprintln(os.Stderr, err) // the run hangs, and the driver counts it as an error
		}
	}()
}

func (e *engine) passGate(id string, fresh bool, gate <-chan struct{}) error {
	if fresh {
		if err := e.journal.append(record{run: id, seq: seqBefore, kind: done, data: []byte(e.load.Before(id))}); err != nil {
			return err
		}
	}
	<-gate
	if err := e.journal.append(record{run: id, seq: seqAfter, kind: done, data: []byte(e.load.After(id))}); err != nil {
		return err
	}
	return e.journal.append(record{run: id, seq: seqEnd, kind: ended})
}

// Signal implements workload.Engine.
func (e *engine) Signal(_ context.Context, id string) error {
	gate, ok := e.gates.LoadAndDelete(id)
	if !ok {
		return fmt.Errorf("run %s does not wait", id)
	}
	if err := e.journal.append(record{run: id, seq: seqSignal, kind: signal, data: []byte(`"ok"`)}); err != nil {
		return err
	}
	close(gate.(chan struct{})) //nolint:errcheck // only park writes to the map
	return nil
}
