package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// The programs of the simulation follow a plan that a seed has drawn, so that it can be
// said beforehand what each run comes to.

// act is one thing a planned program does.
type act struct {
	Do    string        `json:"do"`
	N     int           `json:"n,omitempty"` // flaky: how many attempts fail
	For   time.Duration `json:"for,omitempty"`
	Child []act         `json:"child,omitempty"`
}

// plan is the input of a planned program.
type plan struct {
	Acts []act    `json:"acts"`
	At   int      `json:"at,omitempty"`  // where a segment begins
	Out  []string `json:"out,omitempty"` // what the segments before it came to
}

// drawPlan draws a plan.
func drawPlan(r *rand.Rand, depth int) []act {
	kinds := []string{"step", "step", "flaky", "both", "pay", "pay", "mail", "mail", "mail", "sleep", "recv", "ask", "cont", "child", "limited"}
	acts := make([]act, 1+r.IntN(5))
	for i := range acts {
		a := act{Do: kinds[r.IntN(len(kinds))]}
		switch a.Do {
		case "flaky":
			a.N = 1 + r.IntN(3)
		case "sleep":
			a.For = time.Duration(1+r.IntN(3_600_000)) * time.Millisecond >> r.IntN(16)
		case "child":
			if depth == 0 {
				a.Do = "step"
				break
			}
			a.Child = drawPlan(r, depth-1)
		default:
		}
		acts[i] = a
	}
	if r.IntN(8) == 0 {
		acts = append(acts, act{Do: "fatal"})
	}
	return acts
}

// foretell says what a plan comes to if nobody interferes; * stands for what comes from
// outside. It ends early where the program fails.
func foretell(acts []act) (out []string, fails bool) {
	for i, a := range acts {
		switch a.Do {
		case "fatal":
			return out, true
		case "recv", "ask":
			out = append(out, "*")
		case "cont", "sleep":
		case "child":
			if _, fails := foretell(a.Child); fails {
				return out, true
			}
			out = append(out, fmt.Sprintf("%d child", i))
		default:
			out = append(out, fmt.Sprintf("%d %s", i, a.Do))
		}
	}
	return out, false
}

// world is the programs of the simulation and what their steps do to it.
type world struct {
	ledger
	gate                                   *turnstile // nil = steps need not wait for their turn
	work, flaky, fatal, pay, mail, limited durable.Func[string, string]
}

func newWorld(gate *turnstile) *world {
	w := &world{gate: gate}
	did := func(ctx context.Context, name string) (string, error) {
		w.pause(ctx, 0)
		w.ran(ctx, durable.AttemptOf(ctx).Key)
		w.pause(ctx, 1)
		return name, nil
	}
	w.work = durable.NewFunc("work", durable.StepOptions{}, did)
	w.limited = durable.NewFunc("limited", durable.StepOptions{Limit: "api"}, did)
	w.flaky = durable.NewFunc("flaky", durable.StepOptions{}, func(ctx context.Context, name string) (string, error) {
		var fails int
		if _, err := fmt.Sscanf(name, "%d flaky", &fails); err != nil {
			return "", err
		}
		if _, err := did(ctx, name); err != nil || durable.AttemptOf(ctx).Number <= fails {
			return "", durable.Errorf(durable.CodeUnavailable, "busy")
		}
		return name, nil
	})
	w.fatal = durable.NewFunc("fatal", durable.StepOptions{}, func(ctx context.Context, name string) (string, error) {
		if _, err := did(ctx, name); err != nil {
			return "", err
		}
		return "", durable.Errorf(durable.CodeDenied, "no")
	})
	w.mail = durable.NewFunc("mail", durable.StepOptions{Effect: durable.Irreversible}, did)
	w.pay = durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible, Limit: "api"}, did)
	w.pay.Reconcile = func(ctx context.Context, input json.RawMessage) (durable.Outcome, error) {
		return durable.Outcome{Happened: w.times(durable.AttemptOf(ctx).Key) > 0, Output: input}, nil
	}
	return w
}

// pause is the time that a step takes: another one for each attempt, the same each time.
// Timers of one moment fire in any order, so that what they wake waits for its turn.
func (w *world) pause(ctx context.Context, half int) {
	a := durable.AttemptOf(ctx)
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, a.Key, a.Number, a.Epoch, half)
	if half == 0 && h.Sum32()&1 == 0 {
		return // what must not happen yet would happen at once
	}
	<-time.After(time.Duration(h.Sum32()%90_000) * time.Microsecond)
	if w.gate != nil {
		w.gate.pass("step %s %d %d", a.Key, a.Number, half)
	}
}

// apart keeps the timers of runs that went the same way from firing at one moment.
func apart(ctx durable.Context, i int) time.Duration {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, ctx.Info().Run, i)
	return time.Duration(h.Sum32()%1000) * time.Microsecond
}

func (w *world) programs() []durable.Program {
	var steps []durable.StepFunc
	for _, f := range []durable.Func[string, string]{w.work, w.flaky, w.fatal, w.pay, w.mail, w.limited} {
		steps = append(steps, f.StepFunc)
	}
	return []durable.Program{durable.NewProgram("planned", w.follow, steps...)}
}

// follow is the program.
func (w *world) follow(ctx durable.Context, p plan) ([]string, error) {
	for i := p.At; i < len(p.Acts); i++ {
		a := p.Acts[i]
		if a.Do == "cont" {
			state, err := json.Marshal(plan{p.Acts, i + 1, p.Out})
			if err != nil {
				return nil, err
			}
			return nil, durable.Continue(state)
		}
		said, err := w.perform(ctx, i, a)
		if err != nil {
			return nil, err
		}
		if a.Do != "sleep" {
			p.Out = append(p.Out, said)
		}
	}
	return p.Out, nil
}

func (w *world) perform(ctx durable.Context, i int, a act) (said string, err error) {
	name := fmt.Sprintf("%d %s", i, a.Do)
	switch a.Do {
	case "flaky":
		_, err = durable.Do(ctx, w.flaky, fmt.Sprintf("%d flaky", a.N))
		return name, err
	case "both":
		one, two := durable.Start(ctx, w.work, name), durable.Start(ctx, w.flaky, "1 flaky")
		beside := ctx.Go("beside", func(ctx durable.Context) error { return durable.Sleep(ctx, apart(ctx, i)+50*time.Millisecond) })
		if _, err = two.Await(ctx); err == nil {
			err = beside.Get(ctx, nil)
		}
		if err != nil {
			return "", err
		}
		return one.Await(ctx)
	case "sleep":
		return "", durable.Sleep(ctx, apart(ctx, i)+a.For)
	case "recv":
		return durable.Receive[string](ctx, "word")
	case "ask":
		err = ctx.Ask(durable.Interrupt{Prompt: name}).Get(ctx, &said)
		return said, err
	case "child":
		input, err := json.Marshal(plan{Acts: a.Child})
		if err != nil {
			return "", err
		}
		return name, ctx.Child(durable.ChildCall{Program: "planned", Input: input}).Get(ctx, nil)
	}
	fn := map[string]durable.Func[string, string]{"step": w.work, "fatal": w.fatal, "pay": w.pay, "mail": w.mail, "limited": w.limited}[a.Do]
	return durable.Do(ctx, fn, name)
}
