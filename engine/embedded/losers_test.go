package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// losers is a scene in which a step wins a race against all there is, and the others are
// canceled: steps, a timer, a question, children and a coroutine with a child of its own.
func losers() scene {
	return scene{
		programs: racers, play: playLosers, exactly: []string{"won"},
		comesTo: `["canceled","canceled","canceled","canceled","canceled","","canceled"]`,
	}
}

// racers are the programs of the scene.
func racers(l *ledger) []durable.Program {
	count := func(name string, o durable.StepOptions) durable.Func[string, string] {
		return durable.NewFunc(name, o, func(ctx context.Context, what string) (string, error) {
			l.ran(ctx, what)
			return "did " + what, nil
		})
	}
	win, clean := count("win", durable.StepOptions{Effect: durable.Irreversible}), count("clean", durable.StepOptions{})
	win.Reconcile = func(context.Context, json.RawMessage) (durable.Outcome, error) {
		return durable.Outcome{Happened: l.times("won") > 0, Output: json.RawMessage(`"did won"`)}, nil
	}
	var once sync.Once
	lost := make(chan struct{}) // closed when the coroutine cleans up, behind the cancels
	mail := durable.NewFunc("mail", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, what string) (string, error) {
		l.ran(ctx, what)
		select {
		case <-lost:
		case <-l.process():
		}
		return "did " + what, nil
	})
	tidy := durable.NewFunc("tidy", durable.StepOptions{}, func(_ context.Context, what string) (string, error) {
		once.Do(func() { close(lost) })
		return what, nil
	})
	hang := durable.NewFunc("hang", durable.StepOptions{}, func(ctx context.Context, _ *int) (int, error) {
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	kid := durable.NewProgram("kid", func(ctx durable.Context, _ int) (int, error) {
		err := durable.Sleep(ctx, 24*time.Hour)
		if _, cleanErr := durable.Do(ctx.Shield(), clean, "kid"); cleanErr != nil {
			return 0, cleanErr
		}
		return 0, err
	}, clean.StepFunc)
	main := durable.NewProgram("main", func(ctx durable.Context, _ int) ([]string, error) {
		abandoned := ctx.Child(durable.ChildCall{Program: "kid", Name: "abandoned", Abandon: true})
		lost := []durable.Future{
			ctx.Child(durable.ChildCall{Program: "kid", Name: "given up"}), ctx.Timer(48 * time.Hour),
			ctx.Ask(durable.Interrupt{ID: "ok", Prompt: "ok?"}),
		}
		routine := ctx.Go("routine", func(ctx durable.Context) error {
			child := ctx.Child(durable.ChildCall{Program: "kid", Name: "of the coroutine"})
			err := child.Get(ctx, nil)
			if _, cleanErr := durable.Do(ctx.Shield(), tidy, "routine"); cleanErr != nil || !errors.Is(err, durable.ErrCanceled) {
				return errors.Join(err, cleanErr, errors.New("it was to be canceled"))
			}
			if err := child.Get(ctx.Shield(), nil); !errors.Is(err, durable.ErrCanceled) {
				return errors.Join(err, errors.New("the child was to be canceled"))
			}
			return nil
		})
		if err := ctx.Inbox("go").Receive(ctx, nil); err != nil {
			return nil, err
		}
		hung := ctx.Step(durable.StepCall{Func: "hang"})
		lost = append(lost, hung, durable.Start(ctx, mail, "mail"))
		if _, err := durable.Do(ctx, win, "won"); err != nil {
			return nil, err
		}
		var got []string
		for _, f := range lost {
			f.Cancel()
			got = append(got, string(durable.CodeOf(f.Get(ctx, nil))))
		}
		routine.Cancel()
		if err := errors.Join(routine.Get(ctx, nil), ctx.Inbox("end").Receive(ctx, nil)); err != nil {
			return nil, err
		}
		abandoned.Cancel()
		return append(got, "", string(durable.CodeOf(abandoned.Get(ctx, nil)))), nil
	}, win.StepFunc, mail.StepFunc, tidy.StepFunc, hang.StepFunc)
	return []durable.Program{main, kid}
}

// playLosers brings the scene as far as it gets. The race begins when all children sleep,
// and ends when those that were given up have cleaned up.
func playLosers(ctx context.Context, e *embedded.Engine) (durable.Run, error) {
	_, err := e.Start(ctx, durable.StartRequest{ID: mainRun, Program: "main"})
	if err != nil && !errors.Is(err, durable.ErrConflict) {
		return durable.Run{}, err
	}
	var since time.Time
	for {
		r, err := e.Settle(ctx, mainRun, since)
		if err != nil {
			return r, err
		}
		if r.Status != durable.Waiting {
			return r, awaitKids(ctx, e, nil)
		}
		since = r.Updated
		waits := func(kind durable.WaitKind, name string) bool {
			return slices.ContainsFunc(r.Waits, func(w durable.Wait) bool { return w.Kind == kind && (name == "" || w.Name == name) })
		}
		switch {
		case waits(durable.WaitInDoubt, "mail"):
			i := slices.IndexFunc(r.Waits, func(w durable.Wait) bool { return w.Kind == durable.WaitInDoubt })
			err = e.Resolve(ctx, mainRun, r.Waits[i].Command, durable.Resolution{Done: json.RawMessage(`"did mail"`)})
		case waits(durable.WaitSignal, "go"):
			if err = awaitKids(ctx, e, []string{"abandoned", "given up", "of the coroutine"}); err == nil {
				err = e.Signal(ctx, mainRun, durable.Signal{Name: "go"})
			}
		case waits(durable.WaitSignal, "end"):
			if err = awaitKids(ctx, e, []string{"abandoned"}); err == nil {
				err = e.Signal(ctx, mainRun, durable.Signal{Name: "end"})
			}
		default:
		}
		if err != nil && !errors.Is(err, durable.ErrConflict) {
			return r, err
		}
	}
}

// awaitKids waits until these children sleep and the others have ended.
func awaitKids(ctx context.Context, e *embedded.Engine, asleep []string) error {
	entries, err := e.Journal().All(ctx, mainRun, 0)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.Kind != durable.EntryChild {
			continue
		}
		r, err := e.Settle(ctx, entry.Child, time.Time{})
		for err == nil && !slices.Contains(asleep, entry.Name) && r.Status == durable.Waiting {
			r, err = e.Settle(ctx, entry.Child, r.Updated)
		}
		if err != nil {
			return err
		}
		if r.Status.Final() == slices.Contains(asleep, entry.Name) {
			return durable.Errorf(durable.CodeInternal, "the child %s is %s", entry.Name, r.Status)
		}
	}
	return nil
}
