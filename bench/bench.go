package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// The workloads.
const (
	Steps   = "steps"   // runs of sequential steps, one after the other
	Agents  = "agents"  // agent runs against a model that takes its time
	Parked  = "parked"  // many runs that wait for a signal
	Recover = "recover" // a process that was killed, and the one after it
	Thread  = "thread"  // one long conversation
	Floors  = "floor"   // the floors alone
)

// Durability says what a recorded step survives.
type Durability string

// The levels of durability.
const (
	Full    Durability = "full"    // a power cut
	Process Durability = "process" // the death of the process
)

// The two programs of the workload agents.
const (
	LoopProgram = "program" // a Go program of ours
	LoopAgent   = "agent"   // the agent program, with the openai adapter
)

// Bounds of a Config; past them a figure says nothing or a machine falls over.
const (
	maxRuns    = 1_000_000
	maxPayload = 1 << 20
	maxSecs    = 3600
)

// Config says what to measure, where and for how long. Every field but Progress and
// Stderr is needed where the workload uses it; the command has the defaults.
type Config struct {
	Workload   string
	Runs       int // at once; parked, recover: in all
	Steps      int // steps: of a run
	Payload    int // bytes of a step's output, of a tool's result
	Secs       float64
	Durability Durability
	Loop       string         // agents: LoopProgram or LoopAgent
	Effect     durable.Effect // agents: of the model calls, if the loop is the program, and of the tools

	Calls        int // thread: model calls
	ThreadTokens int // thread: as many of the newest tokens a call sends
	ToolEvery    int // thread: every so many calls ask for the tool

	Dir     string   // made when missing; must be empty, and is removed
	NoFloor bool     // leave the floors out, where only the workload is to be watched
	Self    []string // the command line that ends in [Child], with one more argument

	Progress func(string) // what is going on, for a person
	Stderr   io.Writer    // where child processes complain
}

// bench is one measurement on its way.
type bench struct {
	Config
	text *text
}

// Run measures a workload. Errors: invalid for a Config that cannot be and for a
// directory that is not empty, otherwise what went wrong on the way.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.check(); err != nil {
		return Result{}, err
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	if cfg.Stderr == nil {
		cfg.Stderr = io.Discard
	}
	remove, err := takeDir(cfg.Dir)
	if err != nil {
		return Result{}, err
	}
	b := &bench{Config: cfg, text: newText(0)}
	b.text.source() // made now: no workload is to be measured making it
	res, err := b.run(ctx)
	return res, errors.Join(err, remove())
}

func (b *bench) run(ctx context.Context) (Result, error) {
	work := map[string]func(context.Context) (Result, error){
		Steps: b.steps, Agents: b.agents, Parked: b.parked, Recover: b.recover, Thread: b.thread, Floors: b.floorAlone,
	}[b.Workload]
	before, err := b.floors(ctx)
	if err != nil {
		return Result{}, err
	}
	res, err := work(ctx)
	if err != nil {
		return Result{}, err
	}
	after := before
	if b.Workload != Floors {
		if after, err = b.floors(ctx); err != nil {
			return Result{}, err
		}
	}
	res.Workload, res.Engine, res.Durability, res.Payload = b.Workload, "embedded", b.Durability, b.Payload
	res.Floor.Raw, res.Floor.SQLite = (before.Raw+after.Raw)/2, (before.SQLite+after.SQLite)/2
	res.Floor.SQLiteP50 = (before.SQLiteP50 + after.SQLiteP50) / 2
	res.round()
	return res, nil
}

func (c Config) check() error {
	switch {
	case !slices.Contains([]string{Steps, Agents, Parked, Recover, Thread, Floors}, c.Workload):
		return invalid("there is no workload %q", c.Workload)
	case c.Runs < 1 || c.Runs > maxRuns:
		return invalid("--runs %d: from 1 to %d", c.Runs, maxRuns)
	case c.Payload < 1 || c.Payload > maxPayload:
		return invalid("%d bytes of payload: from 1 to %d", c.Payload, maxPayload)
	case !(c.Secs > 0 && c.Secs <= maxSecs): // also false for what is no number
		return invalid("--secs %v: above 0, at most %d", c.Secs, maxSecs)
	case c.Durability != Full && c.Durability != Process:
		return invalid("--durability %s: it is %s or %s", c.Durability, Full, Process)
	case c.Dir == "":
		return invalid("a directory to work in is needed")
	case c.Workload == Steps && (c.Steps < 1 || c.Steps > maxRuns):
		return invalid("--steps %d: from 1 to %d", c.Steps, maxRuns)
	case c.Workload == Agents && c.Loop != LoopProgram && c.Loop != LoopAgent:
		return invalid("--loop %s: it is %s or %s", c.Loop, LoopProgram, LoopAgent)
	case c.Workload == Thread && (c.Calls < 1 || c.ThreadTokens < 1 || c.ToolEvery < 1):
		return invalid("--calls, --thread-tokens and --tool-every: from 1")
	}
	return nil
}

func invalid(format string, args ...any) error {
	return durable.Errorf(durable.CodeInvalid, format, args...)
}

// data is the data directory of the workload.
func (b *bench) data() string { return filepath.Join(b.Dir, "data") }

// open opens the data directory with one program more than it has by itself.
func (b *bench) open(ctx context.Context, p durable.Program, more ...func(*orpine.Config)) (*orpine.Runtime, error) {
	return open(ctx, b.data(), b.Durability, p, more...)
}

func open(ctx context.Context, dir string, d Durability, p durable.Program, more ...func(*orpine.Config)) (*orpine.Runtime, error) {
	cfg := orpine.Config{Data: dir, Owner: "orpine bench", ProcessDurability: d == Process}
	if p != nil {
		cfg.Programs = []durable.Program{p}
	}
	for _, m := range more {
		m(&cfg)
	}
	return orpine.Open(ctx, cfg)
}

// withAgents gives the runtime a model and a tool.
func withAgents(provider model.Provider, t tool.Tool) func(*orpine.Config) {
	return func(c *orpine.Config) {
		c.Providers, c.Tools = map[string]model.Provider{"openai": provider}, []tool.Tool{t}
	}
}

// empty is the size of a data directory with no run in it.
func (b *bench) empty(ctx context.Context) (int64, error) {
	rt, err := b.open(ctx, nil)
	if err != nil {
		return 0, err
	}
	if err := rt.Close(); err != nil {
		return 0, err
	}
	return sizeOf(b.data())
}

// finished is the error of a run that did not succeed.
func finished(r durable.Run, err error) error {
	if err != nil {
		return err
	}
	if r.Status == durable.Succeeded {
		return nil
	}
	why := r.Reason
	if r.Error != nil {
		why = r.Error.Message
	}
	return fmt.Errorf("run %s is %s: %s", r.ID, r.Status, strings.TrimSpace(why))
}

// drive starts a run and waits for its end.
func drive(ctx context.Context, rt *orpine.Runtime, req durable.StartRequest) error {
	id, err := rt.Start(ctx, req)
	if err != nil {
		return err
	}
	return finished(rt.Wait(ctx, id))
}

func (b *bench) window() time.Duration { return time.Duration(b.Secs * float64(time.Second)) }
