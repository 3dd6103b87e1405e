package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
)

// crowd is how many coroutines a program runs, and how many of them make a step at once.
type crowd struct {
	Nodes, Wide int
	Graph       bool // all begin at once, and each waits for the one that many places before it
}

// crowded is a program that runs so many coroutines, each of which makes one step. It begins
// one when another has ended, or all at once.
func crowded() durable.Program {
	work := durable.NewFunc("work", durable.StepOptions{Effect: durable.Read}, func(_ context.Context, n int) (int, error) { return n, nil })
	return durable.NewProgram("crowd", func(ctx durable.Context, c crowd) (int, error) {
		var ends []durable.Future
		for n := range c.Nodes {
			var before durable.Future
			if n >= c.Wide {
				before = ends[n-c.Wide]
			}
			if before != nil && !c.Graph {
				if err := before.Get(ctx, nil); err != nil {
					return 0, err
				}
			}
			ends = append(ends, ctx.Go("node", func(ctx durable.Context) error {
				if before != nil && c.Graph {
					if err := before.Get(ctx, nil); err != nil {
						return err
					}
				}
				_, err := durable.Do(ctx, work, n)
				return err
			}))
		}
		for _, end := range ends {
			if err := end.Get(ctx, nil); err != nil {
				return 0, err
			}
		}
		return len(ends), nil
	}, work.StepFunc)
}

// BenchmarkCrowd runs N coroutines, W at once, each with a step in memory. What it guards:
// the cost of a node does not grow with their number.
func BenchmarkCrowd(b *testing.B) {
	all := []crowd{{Nodes: 10, Wide: 10}, {Nodes: 100, Wide: 100}, {Nodes: 1000, Wide: 100}, {Nodes: 10_000, Wide: 100}}
	for _, wide := range []int{100, 1000} {
		all = append(all, crowd{Nodes: 1000, Wide: wide, Graph: true}, crowd{Nodes: 10_000, Wide: 10 * wide * wide / 1000, Graph: true})
	}
	for _, c := range all {
		b.Run(fmt.Sprintf("%d,%d at once,graph=%v", c.Nodes, c.Wide, c.Graph), func(b *testing.B) {
			e := benchEngine(b, crowded())
			input, err := json.Marshal(c)
			if err != nil {
				b.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for b.Loop() {
				id, err := e.Start(b.Context(), durable.StartRequest{Program: "crowd", Input: input})
				if err != nil {
					b.Fatal(err)
				}
				if r, err := e.Wait(b.Context(), id); err != nil || r.Status != durable.Succeeded {
					b.Fatalf("the run is %s (%s), error %v", r.Status, r.Reason, err)
				}
			}
			runtime.ReadMemStats(&after)
			nodes := float64(c.Nodes * b.N)
			b.ReportMetric(float64(b.Elapsed().Microseconds())/nodes, "µs/node")
			b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/nodes, "B/node")
		})
	}
}

// parents is a program that has so many children, one after another, each of which waits for
// a word and so parks it.
func parents() []durable.Program {
	child := durable.NewProgram("child", func(ctx durable.Context, n int) (int, error) { return n, ctx.Inbox("go").Receive(ctx, nil) })
	parent := durable.NewProgram("parent", func(ctx durable.Context, children int) (int, error) {
		for n := range children {
			call := durable.ChildCall{Program: "child", ID: durable.RunID(fmt.Sprintf("%s-%d", ctx.Info().Run, n)), Input: json.RawMessage(fmt.Sprint(n))}
			if err := ctx.Child(call).Get(ctx, nil); err != nil {
				return 0, err
			}
		}
		return children, nil
	})
	return []durable.Program{child, parent}
}

// BenchmarkChildrenInARow parks a parent once for each child: it is replayed each time, so
// the cost of a child grows with those before it.
func BenchmarkChildrenInARow(b *testing.B) {
	for _, children := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(children), func(b *testing.B) {
			e := benchEngine(b, parents()...)
			for b.Loop() {
				id, err := e.Start(b.Context(), durable.StartRequest{Program: "parent", Input: json.RawMessage(fmt.Sprint(children))})
				if err != nil {
					b.Fatal(err)
				}
				for n := range children {
					if err := sayGo(b.Context(), e, id, durable.RunID(fmt.Sprintf("%s-%d", id, n))); err != nil {
						b.Fatal(err)
					}
				}
				if r, err := e.Wait(b.Context(), id); err != nil || r.Status != durable.Succeeded {
					b.Fatalf("the run is %s (%s), error %v", r.Status, r.Reason, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(children*b.N), "µs/child")
		})
	}
}

// sayGo lets a child end once it is there and its parent has left memory.
func sayGo(ctx context.Context, e *embedded.Engine, parent, child durable.RunID) error {
	var since time.Time
	for {
		r, err := e.Settle(ctx, parent, since)
		if err != nil {
			return err
		}
		if len(r.Waits) == 1 && r.Waits[0].Child == child {
			break
		}
		since = r.Updated
	}
	if _, err := e.Settle(ctx, child, time.Time{}); err != nil {
		return err
	}
	return e.Signal(ctx, child, durable.Signal{Name: "go"})
}
