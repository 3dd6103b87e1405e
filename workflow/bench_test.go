package workflow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// width is how many nodes of a layer there are.
const width = 100

// nop is a tool that does nothing, as little as can be.
type nop struct{}

func (nop) Spec() tool.Spec {
	return tool.Spec{Name: "nop", Description: "does nothing", Options: durable.StepOptions{Effect: durable.Idempotent}, Schema: json.RawMessage(`{"type":"object"}`)}
}

func (nop) Call(context.Context, json.RawMessage) (tool.Result, error) {
	return tool.Result{Content: "1"}, nil
}

// layers is a graph of n nodes, width in a layer, each of which needs three of the layer before and
// computes its input from one.
func layers(n int) *workflow.Definition {
	d := &workflow.Definition{Name: "layers", Hands: agent.Definition{Name: "layers", Tools: []string{"nop"}}}
	for i := range n {
		node := workflow.Node{ID: fmt.Sprintf("n%d", i), Tool: "nop"}
		if i >= width {
			for k := range 3 {
				node.Needs = append(node.Needs, fmt.Sprintf("n%d", i-width-i%width+(i+k)%width))
			}
			node.With = json.RawMessage(fmt.Sprintf(`{"n":"${{ steps.%s.output }}"}`, node.Needs[0]))
		}
		d.Body.Nodes = append(d.Body.Nodes, node)
	}
	d.Output = json.RawMessage(fmt.Sprintf(`"${{ steps.n%d.output }}"`, n-1))
	return d
}

// plain is the same as a Go program: layers of steps. What a graph takes beyond it is scheduling.
func plain(tools durable.Func[map[string]any, string]) durable.Program {
	return durable.NewProgram("plain", func(ctx durable.Context, n int) (string, error) {
		for done := 0; done < n; done += width {
			var all []durable.Promise[string]
			for range min(width, n-done) {
				all = append(all, durable.Start(ctx, tools, map[string]any{"n": "1"}))
			}
			for _, one := range all {
				if _, err := one.Await(ctx); err != nil {
					return "", err
				}
			}
		}
		return "1", nil
	}, tools.StepFunc)
}

func open(b *testing.B) *orpine.Runtime {
	b.Helper()
	step := durable.NewFunc("plain.nop", durable.StepOptions{Effect: durable.Idempotent}, func(context.Context, map[string]any) (string, error) { return "1", nil })
	rt, err := orpine.Open(b.Context(), orpine.Config{Data: b.TempDir(), Tools: []tool.Tool{nop{}}, Programs: []durable.Program{plain(step)}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := rt.Close(); err != nil {
			b.Error(err)
		}
	})
	return rt
}

func finish(b *testing.B, rt *orpine.Runtime, req durable.StartRequest) {
	b.Helper()
	run, err := rt.Run(b.Context(), req)
	if err != nil || run.Status != durable.Succeeded {
		b.Fatal(run.Status, run.Error, err)
	}
}

// BenchmarkGraph runs graphs of 10 to 10,000 nodes, and beside each a Go program that makes as many
// steps: the time of a node beyond that of a step is what scheduling costs.
func BenchmarkGraph(b *testing.B) {
	for _, n := range []int{10, 100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			rt := open(b)
			req, err := workflow.Start(layers(n), workflow.Input{})
			if err != nil {
				b.Fatal(err)
			}
			input, _ := json.Marshal(n)
			finish(b, rt, req) // compiled, and the store is warm
			var graph, program time.Duration
			var bytes uint64
			var before, after runtime.MemStats
			for b.Loop() {
				runtime.ReadMemStats(&before)
				began := time.Now()
				finish(b, rt, req)
				graph += time.Since(began)
				runtime.ReadMemStats(&after)
				bytes += after.TotalAlloc - before.TotalAlloc
				began = time.Now()
				finish(b, rt, durable.StartRequest{Program: "plain", Input: input})
				program += time.Since(began)
			}
			per := func(d time.Duration) float64 { return float64(d.Microseconds()) / float64(b.N) / float64(n) }
			b.ReportMetric(per(graph), "µs/node")
			b.ReportMetric(per(program), "µs/step")
			b.ReportMetric(per(graph)-per(program), "µs/scheduling")
			b.ReportMetric(float64(bytes)/float64(b.N)/float64(n), "B/node")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkManyRuns runs a thousand workflows of ten nodes at once.
func BenchmarkManyRuns(b *testing.B) {
	const runs, nodes = 1_000, 10
	rt := open(b)
	req, err := workflow.Start(layers(nodes), workflow.Input{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var all sync.WaitGroup
		for range runs {
			all.Go(func() {
				if run, err := rt.Run(b.Context(), req); err != nil || run.Status != durable.Succeeded {
					b.Error(run.Status, run.Error, err)
				}
			})
		}
		all.Wait()
	}
	b.ReportMetric(float64(b.N)*runs/b.Elapsed().Seconds(), "runs/s")
	b.ReportMetric(float64(b.N)*runs*nodes/b.Elapsed().Seconds(), "nodes/s")
}

// BenchmarkCompile compiles a graph of 10,000 nodes, as is done once for a definition in a process.
func BenchmarkCompile(b *testing.B) {
	d := layers(10_000)
	for b.Loop() {
		if err := workflow.Compile(d); err != nil {
			b.Fatal(err)
		}
	}
}
