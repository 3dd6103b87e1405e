package embedded_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store/sqlite"
)

// call is what a client asks about one run.
type call struct {
	run    durable.RunID
	what   string // start, signal, answer, cancel, kill, get, wait
	answer string
}

// reply is what it was told.
type reply struct {
	code   durable.Code // "" = it was done
	status durable.Status
	output string
}

// is is a run as a sequential world would have it.
type is struct {
	there    bool
	answer   string // of the first who answered
	canceled bool
	end      durable.Status // "" = it goes on
	output   string
}

// onwards is where a run may be after some time in which nobody asks anything of it.
func (s is) onwards() []is {
	states := []is{s}
	if !s.there || s.end != "" {
		return states
	}
	if s.answer != "" {
		done := s
		done.end, done.output = durable.Succeeded, s.answer
		states = append(states, done)
	}
	if s.canceled {
		done := s
		done.end = durable.Canceled
		states = append(states, done)
	}
	return states
}

// after is where a run may be after a call with this reply; nothing if that cannot be.
func (s is) after(c call, r reply) []is {
	over := s.end != ""
	switch {
	case c.what == "start" && s.there:
		return only(s, r.code == durable.CodeConflict)
	case c.what == "start":
		s.there = true
		return only(s, r.code == "")
	case !s.there:
		return only(s, r.code == durable.CodeNotFound)
	case c.what == "get" && !over:
		return only(s, r.code == "" && !r.status.Final() && r.status != durable.Blocked && r.output == "")
	case c.what == "get", c.what == "wait":
		return only(s, over && r.code == "" && r.status == s.end && r.output == s.output)
	case over:
		return only(s, r.code == durable.CodeConflict)
	case c.what == "answer" && r.code == durable.CodeConflict:
		return only(s, s.answer != "" || s.canceled)
	case c.what == "answer":
		free := s.answer == ""
		s.answer = c.answer
		return only(s, free && r.code == "")
	case c.what == "cancel":
		s.canceled = true
	case c.what == "kill":
		s.end = durable.Killed
	}
	return only(s, r.code == "")
}

// as is a value of the checker, which knows no types, as what it is.
func as[T any](v any) T {
	t, _ := v.(T)
	return t
}

func only(s is, possible bool) []is {
	if !possible {
		return nil
	}
	return []is{s}
}

// sequential is the model that the histories are held against: every reply must be one
// that a run gives if the calls are made one after the other, each at some moment
// between its beginning and its end.
func sequential() porcupine.Model {
	return (&porcupine.NondeterministicModel{
		Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
			byRun := map[durable.RunID][]porcupine.Operation{}
			for _, op := range history {
				run := as[call](op.Input).run
				byRun[run] = append(byRun[run], op)
			}
			for _, part := range byRun {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() []any { return []any{is{}} },
		Step: func(state, input, output any) (states []any) {
			for _, s := range as[is](state).onwards() {
				for _, next := range s.after(as[call](input), as[reply](output)) {
					states = append(states, next)
				}
			}
			return states
		},
	}).ToModel()
}

// TestLinearizable lets clients start, answer, signal, cancel, kill and read the same few
// runs at once; what they are told must be what they could be told one after the other.
func TestLinearizable(t *testing.T) {
	const clients, runs, calls = 6, 3, 8
	n := seedOf()
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: t.TempDir(), ProcessDurability: true})
	if err != nil {
		t.Fatal(err)
	}
	e, err := embedded.New(t.Context(), embedded.Config{Store: s, Programs: []durable.Program{
		durable.NewProgram("asks", func(ctx durable.Context, _ int) (said string, err error) {
			return said, ctx.Ask(durable.Interrupt{ID: "ok"}).Get(ctx, &said)
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer closeEngine(t, e, s)
	began, total, tally := time.Now(), 0, map[string]int{}
	until := began.Add(brief(10*time.Minute, 3*time.Second, time.Second))
	round := 0
	for ; time.Now().Before(until) && !t.Failed(); round++ {
		var mu sync.Mutex
		var history []porcupine.Operation
		var all sync.WaitGroup
		for c := range clients {
			r := rand.New(rand.NewPCG(n, uint64(round*clients+c)))
			all.Go(func() {
				for range calls {
					asked := drawCall(r, durable.RunID(fmt.Sprintf("r%d-%d", round, r.IntN(runs))), c)
					from := time.Since(began).Nanoseconds()
					got, ok := ask(t.Context(), e, asked)
					to := time.Since(began).Nanoseconds()
					if !ok {
						continue
					}
					mu.Lock()
					history = append(history, porcupine.Operation{ClientId: c, Input: asked, Call: from, Output: got, Return: to})
					tally[asked.what+" "+string(got.code)]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		total += len(history)
		if result := porcupine.CheckOperationsTimeout(sequential(), history, time.Minute); result != porcupine.Ok {
			t.Errorf("a history is %s (seed %d):\n%s", result, n, told(history))
		}
	}
	t.Logf("%d calls in %d histories, all linearizable, in %.1f s, seed %d: %v", total, round, time.Since(began).Seconds(), n, tally)
	for _, what := range []string{"start ", "start conflict", "answer ", "answer conflict", "cancel ", "kill ", "kill conflict", "signal conflict", "wait "} {
		if tally[what] == 0 && !testing.Short() {
			t.Errorf("no call was told %q: the test shows too little", what)
		}
	}
}

func drawCall(r *rand.Rand, run durable.RunID, client int) call {
	what := []string{"start", "start", "answer", "answer", "answer", "signal", "signal", "cancel", "kill", "get", "get", "wait"}[r.IntN(12)]
	return call{run: run, what: what, answer: fmt.Sprintf(`"%d-%d"`, client, r.IntN(1000))}
}

// ask makes a call; false when it ended without a reply, which only a wait may do.
func ask(ctx context.Context, e *embedded.Engine, c call) (reply, bool) {
	var run durable.Run
	var err error
	switch c.what {
	case "start":
		_, err = e.Start(ctx, durable.StartRequest{ID: c.run, Program: "asks"})
	case "answer":
		err = e.Answer(ctx, c.run, "ok", json.RawMessage(c.answer))
	case "signal":
		err = e.Signal(ctx, c.run, durable.Signal{Name: "note"})
	case "cancel":
		err = e.Cancel(ctx, c.run, "enough")
	case "kill":
		err = e.Kill(ctx, c.run, "enough")
	case "get":
		run, err = e.Get(ctx, c.run)
	case "wait":
		limited, cancel := context.WithTimeout(ctx, 3*time.Millisecond)
		defer cancel()
		run, err = e.Wait(limited, c.run)
		if errors.Is(err, context.DeadlineExceeded) || (err != nil && limited.Err() != nil) {
			return reply{}, false
		}
	}
	if err != nil {
		return reply{code: durable.CodeOf(err)}, true
	}
	return reply{status: run.Status, output: string(run.Output)}, true
}

// told is a history by run and time.
func told(history []porcupine.Operation) string {
	slices.SortFunc(history, func(a, b porcupine.Operation) int {
		if by := strings.Compare(string(as[call](a.Input).run), string(as[call](b.Input).run)); by != 0 {
			return by
		}
		return int(a.Call - b.Call)
	})
	var text strings.Builder
	for _, op := range history {
		fmt.Fprintf(&text, "%9d to %9d µs, client %d: %v -> %v\n", op.Call/1000, op.Return/1000, op.ClientId, op.Input, op.Output)
	}
	return text.String()
}
