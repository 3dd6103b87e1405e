package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// atOnce is how many runs of the storm are unfinished at any time.
const atOnce = 6

// storm keeps a data directory busy until the process is killed, or, if calm, only drives
// what is there until it has ended or is in doubt. It prints what a user would have been
// told, each line once it is durable:
//
//	ready                      the directory is open
//	started RUN                Start returned
//	signaled RUN               Signal returned
//	ack RUN SEQ KIND …         a watcher saw an entry, which is this
//	resumed RUN                a run was blocked, having been taken over too often, and goes on
//
// and, before a step function does anything, "ran KEY EPOCH".
type storm struct {
	payer
	rt   *orpine.Runtime
	calm bool
}

func runStorm(ctx context.Context, args []string) error {
	go func() { // whoever started this process is gone: nobody reads any more
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	s := &storm{payer: payer{url: args[2], client: &http.Client{}}, calm: args[0] == "calm"}
	rt, err := orpine.Open(ctx, orpine.Config{Data: args[1], Programs: s.programs(), ProcessDurability: args[3] == "process"})
	if err != nil {
		return err
	}
	s.rt = rt
	fmt.Println("ready")
	return errors.Join(s.drive(ctx), rt.Close())
}

// programs are a run with everything that a kill can tear, and its child.
func (s *storm) programs() []durable.Program {
	ran := func(ctx context.Context) *durable.Attempt {
		a := durable.AttemptOf(ctx)
		fmt.Println("ran", a.Key, a.Epoch)
		return a
	}
	note := durable.NewFunc("note", durable.StepOptions{}, func(ctx context.Context, n int) (int, error) {
		ran(ctx)
		return n + 1, nil
	})
	flaky := durable.NewFunc("flaky", durable.StepOptions{Retry: durable.Retry{Backoff: time.Millisecond}}, func(ctx context.Context, n int) (int, error) {
		if ran(ctx).Number == 1 {
			return 0, durable.Errorf(durable.CodeUnavailable, "busy")
		}
		return n + 1, nil
	})
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, _ int) (receipt, error) {
		return s.post(ctx, "/pay", ran(ctx).Key)
	})
	wire := durable.NewFunc("wire", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, _ int) (receipt, error) {
		return s.post(ctx, "/pay", ran(ctx).Key)
	})
	wire.Reconcile = s.reconcile
	leaf := durable.NewProgram("leaf", func(ctx durable.Context, n int) (int, error) { return durable.Do(ctx, note, n) })
	main := durable.NewProgram("storm", func(ctx durable.Context, n int) (int, error) {
		var grown int
		kid := ctx.Child(durable.ChildCall{Program: "leaf", Input: json.RawMessage("1")})
		a, b := durable.Start(ctx, note, n), durable.Start(ctx, flaky, n)
		_, errA := a.Await(ctx)
		_, errB := b.Await(ctx)
		err := errors.Join(errA, errB, durable.Sleep(ctx, time.Millisecond), kid.Get(ctx, &grown))
		switch {
		case err != nil:
			return 0, err
		case n == 0:
			return 0, durable.Continue(json.RawMessage("1"))
		}
		if _, err = durable.Do(ctx, wire, n); err != nil {
			return 0, err
		}
		if _, err = durable.Do(ctx, pay, n); err != nil {
			return 0, err
		}
		return grown, ctx.Inbox("go").Receive(ctx, nil)
	}, note.StepFunc, flaky.StepFunc, pay.StepFunc, wire.StepFunc)
	return []durable.Program{main, leaf}
}

// reconcile closes the ledger for an attempt, which also says whether it happened.
func (s *storm) reconcile(ctx context.Context, _ json.RawMessage) (durable.Outcome, error) {
	got, err := s.post(ctx, "/close", durable.AttemptOf(ctx).Key)
	if err != nil {
		return durable.Outcome{}, err
	}
	data, err := json.Marshal(got)
	return durable.Outcome{Happened: got.Number > 0, Output: data}, err
}

// drive takes up what an earlier process left, and starts one run for each that ends.
func (s *storm) drive(ctx context.Context) error {
	runs, err := s.rt.List(ctx, durable.Filter{Roots: true, Limit: 1000})
	if err != nil {
		return err
	}
	operating, stop := context.WithCancel(ctx)
	defer stop()
	go s.operate(operating)
	var going sync.WaitGroup
	failed := make(chan error, len(runs)+atOnce)
	place := make(chan struct{}, atOnce)
	follow := func(id durable.RunID) {
		going.Go(func() {
			if err := s.follow(ctx, id); err != nil {
				failed <- err
			}
			<-place
		})
	}
	for _, r := range runs {
		if r.Status.Final() || r.NeedsPerson() {
			continue
		}
		if s.calm && len(place) == cap(place) { // more may be left than are ever started at once
			going.Wait()
		}
		place <- struct{}{}
		follow(r.ID)
	}
	for !s.calm {
		select {
		case err := <-failed:
			return err
		case place <- struct{}{}:
		}
		id, err := s.rt.Start(ctx, durable.StartRequest{Program: "storm", Input: json.RawMessage("0")})
		if err != nil {
			return err
		}
		fmt.Println("started", id)
		follow(id)
	}
	going.Wait()
	close(failed)
	return <-failed
}

// follow tells a run to go on and watches it to its end, or to where it needs a person.
func (s *storm) follow(ctx context.Context, id durable.RunID) error {
	if err := s.signal(ctx, id); err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		for item, err := range s.rt.Watch(watching, id, event.After(-1)) {
			if err != nil {
				return
			}
			if e := item.Event; e != nil {
				fmt.Println("ack", id, e.Seq, e.Kind, e.Command, e.Attempt, e.Time.UnixMicro())
			}
		}
	}()
	for {
		run, err := settle(ctx, s.rt, id)
		if err != nil || run.Status != durable.Blocked || !strings.HasPrefix(run.Reason, "taken over ") {
			return err
		}
		<-time.After(round) // the operator resumes it
	}
}

// round is how often the operator looks.
const round = 10 * time.Millisecond

// operate resumes runs, children too, that are blocked because they were taken over too often.
func (s *storm) operate(ctx context.Context) {
	for ctx.Err() == nil {
		runs, err := s.rt.List(ctx, durable.Filter{Statuses: []durable.Status{durable.Blocked}, Limit: 1000})
		if err != nil {
			return
		}
		for _, r := range runs {
			if strings.HasPrefix(r.Reason, "taken over ") && s.rt.Resume(ctx, r.ID) == nil {
				fmt.Println("resumed", r.ID)
			}
		}
		<-time.After(round)
	}
}

// signal sends the one signal a run waits for, unless it has it.
func (s *storm) signal(ctx context.Context, id durable.RunID) error {
	entries, err := s.rt.Entries(ctx, id, -1, 1000)
	if err != nil {
		return err
	}
	for i := range entries {
		if entries[i].Kind == durable.EntrySignal {
			return nil
		}
	}
	for {
		err := s.rt.Signal(ctx, id, durable.Signal{Name: "go"})
		if err == nil {
			fmt.Println("signaled", id)
		}
		if !errors.Is(err, durable.ErrConflict) {
			return err
		}
		run, err := s.rt.Get(ctx, id)
		if err != nil || run.Status.Final() {
			return err
		}
		<-time.After(round) // it is blocked, and the operator resumes it
	}
}
