package cost

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Source is the bill all steps after the first work on.
type Source struct {
	CSV    string `json:"csv"`
	Out    string `json:"out"`
	SHA256 string `json:"sha256"` // as step billing found it
}

// Measured is what a step found: the whole as a blob, and a few words on it.
type Measured struct {
	Data   durable.Ref `json:"data"`
	Says   string      `json:"says"`
	Prompt string      `json:"prompt,omitempty"` // hotspots: what the agent is asked
}

// Findings are the results of the steps before the report.
type Findings struct {
	Source   Source   `json:"source"`
	Info     Info     `json:"info"`
	Metrics  Measured `json:"metrics"`
	Logs     Measured `json:"logs"`
	Hotspots Measured `json:"hotspots"`
}

// Draft is what a report is written from.
type Draft struct {
	Request   Request         `json:"request"`
	Findings  Findings        `json:"findings"`
	Words     json.RawMessage `json:"words"` // the agent's answer
	Iteration int             `json:"iteration"`
	Feedback  string          `json:"feedback,omitempty"`
}

// steps are the step functions. Reading a bill has no effect; writing a report twice
// is the same as writing it once.
type steps struct {
	bills    *bills
	billing  durable.Func[Request, Info]
	metrics  durable.Func[Source, Measured]
	logs     durable.Func[Source, Measured]
	hotspots durable.Func[Source, Measured]
	report   durable.Func[Draft, Outcome]
	feedback durable.Func[Request, string]
	revise   durable.Func[Draft, Outcome]
}

func newSteps(b *bills) *steps {
	s := &steps{bills: b}
	read := durable.StepOptions{Effect: durable.Read}
	write := durable.StepOptions{Effect: durable.Idempotent}
	s.billing = durable.NewFunc("billing", read, func(ctx context.Context, in Request) (Info, error) {
		if err := note(ctx, in.Out); err != nil {
			return Info{}, durable.Block(err)
		}
		bill, err := s.bills.load(ctx, in.CSV, emitProgress(ctx))
		if err != nil {
			return Info{}, durable.Block(err)
		}
		return bill.Info(), nil
	})
	s.metrics = durable.NewFunc("metrics", read, measure(s, func(ctx context.Context, b *Bill) (any, string, string, error) {
		m, err := b.Metrics(ctx)
		return m, fmt.Sprintf("%d rows, %d services, %d resources, %s %s billed", m.Rows, len(m.Services), m.ResourceCount, m.TotalBilled, m.Currency), "", err
	}))
	s.logs = durable.NewFunc("logs", read, measure(s, func(ctx context.Context, b *Bill) (any, string, string, error) {
		l, err := b.Logs(ctx)
		return l, fmt.Sprintf("%d days, %d anomalies", len(l.Days), len(l.Anomalies)), "", err
	}))
	s.hotspots = durable.NewFunc("hotspots", read, measure(s, func(ctx context.Context, b *Bill) (any, string, string, error) {
		h, err := b.Hotspots(ctx)
		if err != nil {
			return nil, "", "", err
		}
		c, err := b.Candidates(ctx)
		says := fmt.Sprintf("%d hotspots of %d resources, %d candidates", len(h.Items), h.Resources, len(c.Items))
		return hot{h, c}, says, Prompt(c), err
	}))
	s.report = durable.NewFunc("report", write, s.write)
	s.feedback = durable.NewFunc("feedback", read, func(_ context.Context, in Request) (string, error) { return in.Answer, nil })
	s.revise = durable.NewFunc("revise", write, s.write)
	return s
}

// hot is the blob of step hotspots.
type hot struct {
	Hotspots   Hotspots   `json:"hotspots"`
	Candidates Candidates `json:"candidates"`
}

// measure makes a step of a question to the bill.
func measure(s *steps, ask func(context.Context, *Bill) (any, string, string, error)) func(context.Context, Source) (Measured, error) {
	return func(ctx context.Context, in Source) (Measured, error) {
		if err := note(ctx, in.Out); err != nil {
			return Measured{}, durable.Block(err)
		}
		bill, err := s.bills.same(ctx, in)
		if err != nil {
			return Measured{}, err
		}
		found, says, prompt, err := ask(ctx, bill)
		if err != nil {
			return Measured{}, err
		}
		data, err := json.Marshal(found)
		if err != nil {
			return Measured{}, err
		}
		ref, err := durable.AttemptOf(ctx).Blobs.Put(ctx, data)
		return Measured{Data: ref, Says: says, Prompt: prompt}, err
	}
}

// write builds a report and writes its files.
func (s *steps) write(ctx context.Context, d Draft) (Outcome, error) {
	attempt := durable.AttemptOf(ctx)
	if err := note(ctx, d.Request.Out); err != nil {
		return Outcome{}, durable.Block(err)
	}
	in := Input{Info: d.Findings.Info, Iteration: d.Iteration, Feedback: d.Feedback, WordedBy: d.Request.Model, Run: Run{ID: string(attempt.Run), Status: string(durable.Running)}}
	var h hot
	for _, part := range []struct {
		ref  durable.Ref
		into any
	}{{d.Findings.Metrics.Data, &in.Metrics}, {d.Findings.Logs.Data, &in.Logs}, {d.Findings.Hotspots.Data, &h}} {
		data, err := attempt.Blobs.Get(ctx, part.ref)
		if err != nil {
			return Outcome{}, err
		}
		if err := json.Unmarshal(data, part.into); err != nil {
			return Outcome{}, fmt.Errorf("read findings: %w", err)
		}
	}
	in.Hotspots = h.Hotspots
	worded, words, err := Apply(h.Candidates, d.Words)
	if err != nil {
		return Outcome{}, err
	}
	in.Candidates, in.Summary = worded, words.Summary
	if d.Feedback != "" {
		in.Candidates, in.Changes = Revise(worded, d.Feedback)
	}
	if len(in.Candidates.Items) != len(worded.Items) {
		in.Summary = "" // it speaks of proposals that are gone: the rules sum up what is left
	}
	report := BuildReport(in)
	if err := save(report, d.Request.Out); err != nil {
		return Outcome{}, durable.Block(err) // a full disk is mended, and then the run goes on
	}
	data, err := report.JSON()
	if err != nil {
		return Outcome{}, err
	}
	ref, err := attempt.Blobs.Put(ctx, data)
	return Outcome{
		Out: d.Request.Out, Currency: report.Currency, TotalBilled: report.TotalBilled, Recommendations: len(report.Recommendations),
		ProjectedSaving: report.ProjectedSaving, Feedback: d.Feedback, Report: ref,
	}, err
}

func save(r Report, dir string) error {
	if err := r.WriteMarkdown(filepath.Join(dir, ReportMarkdown)); err != nil {
		return err
	}
	return r.WriteJSON(filepath.Join(dir, ReportJSON))
}

// bills keeps loaded bills: after a crash the first step that needs one loads it again.
type bills struct {
	mu   sync.Mutex
	open map[string]*Bill
}

func (b *bills) load(ctx context.Context, path string, progress func(Progress)) (*Bill, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if bill := b.open[path]; bill != nil {
		return bill, nil
	}
	bill, err := LoadBill(ctx, path, progress)
	if err != nil {
		return nil, err
	}
	b.open[path] = bill
	return bill, nil
}

// emitProgress streams how far a file is loaded.
func emitProgress(ctx context.Context) func(Progress) {
	attempt := durable.AttemptOf(ctx)
	return func(p Progress) {
		if data, err := json.Marshal(p); err == nil {
			attempt.Emit("progress", data)
		}
	}
}

// same loads the bill and refuses one that is not the one step billing saw.
func (b *bills) same(ctx context.Context, s Source) (*Bill, error) {
	bill, err := b.load(ctx, s.CSV, emitProgress(ctx))
	if err != nil {
		return nil, durable.Block(err)
	}
	if got := bill.Info().SHA256; got != s.SHA256 {
		return nil, durable.Block(durable.Errorf(durable.CodeInvalid, "%s has changed since step billing read it: put the old file back, or start a new run", s.CSV))
	}
	return bill, nil
}

// tool makes the agent's tool. Its description is that of the bill's columns, which
// are fixed, so that no file is opened here.
func (b *bills) tool(d tool.Declaration) (tool.Tool, error) {
	var s Source
	if err := json.Unmarshal(d.Config, &s); err != nil {
		return nil, durable.Errorf(durable.CodeInvalid, "tool %s: %w", d.Name, err)
	}
	return &billTool{name: d.Name, source: s, bills: b}, nil
}

type billTool struct {
	name   string
	source Source
	bills  *bills
}

// Spec implements tool.Tool.
func (t *billTool) Spec() tool.Spec {
	return tool.Spec{
		Name: t.name,
		Description: "Runs one read-only SQLite SELECT over table bill (columns of FOCUS 1.0 such as ServiceName, ResourceId, BilledCost, " +
			"EffectiveCost, ListCost, ChargePeriodStart, Tags). All values are text: add them up with decimal_sum(x).",
		Schema: json.RawMessage(`{"type":"object","properties":{"query":{"type":"string","description":"one SELECT statement"}},` +
			`"required":["query"],"additionalProperties":false}`),
		Options: durable.StepOptions{Effect: durable.Read},
	}
}

// Call implements tool.Tool.
func (t *billTool) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	bill, err := t.bills.same(ctx, t.source)
	if err != nil {
		return tool.Result{}, err
	}
	ready, err := bill.Tool(t.name)
	if err != nil {
		return tool.Result{}, err
	}
	return ready.Call(ctx, args)
}
