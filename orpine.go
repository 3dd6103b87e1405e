// Package orpine is an agent runtime to build on: open a data directory, start
// agents and Go programs in it, watch them, answer them, stop them. Whatever was
// under way when a process died goes on when the directory is opened again.
//
// It is wiring: the engine drives runs, the store keeps them, event feeds watchers. The
// little that it decides itself is about several runs at once, which no engine sees:
// what becomes of a turn whose thread is busy, and which decisions stand for calls to
// come. On the line request -> run -> step -> journal -> event -> client it is the front
// door for a Go program, and what the server and the command stand on.
package orpine

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/trigger"
	"github.com/orpine-run/orpine/workflow"
)

// Config says what a runtime has. The zero value of every field but Data is usable.
type Config struct {
	Data      string                    // data directory, created when missing
	Owner     string                    // what others read who find the directory in use; "orpine" when empty
	Programs  []durable.Program         // Go programs; the agent program is always there
	Providers map[string]model.Provider // models by the name before the slash
	Tools     []tool.Tool               // what agents may be given
	Makers    map[string]tool.Maker     // of the tools that definitions declare, by kind
	Sources   map[string]tool.Source    // of declarations that stand for several tools, by kind
	Redact    func(string) string       // takes out of what tools say what nobody may see; nil = nothing is
	Log       *slog.Logger              // nil = no log

	// Limits bound steps by name: model:PROVIDER/NAME and tool:NAME for those of agents,
	// step:FUNC for a step function, or the Limit its options name; * stands for any part.
	// Rates outlive the process.
	Limits map[string]Limit
	// Queues bound runs by the queue they are started in; "" is the one for those that name
	// none: 10,000 in motion and 100,000 waiting, unless it is given here.
	Queues map[string]Queue

	// Passive records what callers say and drives nothing: the next process does that.
	Passive bool

	// KeepDeltas keeps what steps stream before anybody watches, so that who comes after a
	// restart gets all of it; see event.Config. Default false: it is made for watchers alone.
	KeepDeltas bool

	// Now returns the definition that the workflow of a name has now, not_found where there is none:
	// CheckRuns holds runs against it. nil = it holds them against none.
	Now func(ctx context.Context, name string) (*workflow.Definition, error)

	// OnStatus is told of every run that comes to wait, is paused, blocked or final, once that is
	// durable. It must return at once and must not change the run; see embedded.Config.Settled.
	OnStatus func(durable.Run)

	// ProcessDurability lets a commit survive the death of the process only, not a
	// power cut. Default false.
	ProcessDurability bool

	// Triggers is how triggers reach what this runtime does not know itself: Poll and Folder. What else
	// of it is nil is set here.
	Triggers trigger.Config

	late *late // what agents reach the runtime by
}

// Limit bounds steps that share a name.
type Limit = embedded.Limit

// Queue bounds the runs that are started in it.
type Queue = embedded.Queue

// Runtime is an open data directory with an engine that drives its runs. All
// methods are safe for concurrent use.
type Runtime struct {
	Reader
	engine   *embedded.Engine
	cfg      Config
	threads  locks
	triggers sync.Mutex // held while one is set or removed
}

// closeTimeout is how long Close waits for steps that were told to stop.
const closeTimeout = 10 * time.Second

// Open opens a data directory and takes up every unfinished run in it. Errors:
// conflict when another process has it open, invalid for a registration that cannot
// be or a directory that is not ours, unavailable when it cannot be used.
func Open(ctx context.Context, cfg Config) (*Runtime, error) {
	if cfg.Owner == "" {
		cfg.Owner = "orpine"
	}
	cfg.late = &late{there: make(chan struct{})}
	programs, err := Programs(cfg)
	if err != nil {
		return nil, err
	}
	s, err := sqlite.Open(ctx, sqlite.Config{Dir: cfg.Data, Owner: cfg.Owner, ProcessDurability: cfg.ProcessDurability})
	if err != nil {
		return nil, err
	}
	e, err := embedded.New(ctx, embedded.Config{
		Store: s, Programs: programs, Log: cfg.Log, Limits: cfg.Limits, Queues: cfg.Queues, Passive: cfg.Passive,
		KeepDeltas: cfg.KeepDeltas, Settled: cfg.OnStatus,
	})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	r := &Runtime{Reader: Reader{store: s, journal: e.Journal()}, engine: e, cfg: cfg}
	cfg.late.come(r)
	return r, nil
}

// Programs are what a runtime of this configuration lets its runs execute: those of agents, workflows
// and triggers, and those of the configuration. Error: invalid for a registration that cannot be.
func Programs(cfg Config) ([]durable.Program, error) {
	agents, err := agent.NewSet(cfg.agents())
	if err != nil {
		return nil, err
	}
	triggers, err := trigger.New(cfg.late.triggers(cfg.Triggers))
	if err != nil {
		return nil, err
	}
	return append(append(agents.Programs(), workflows(cfg, agents), triggers), cfg.Programs...), nil
}

// agents is what the agent program is made of.
func (cfg Config) agents() agent.Config {
	return agent.Config{
		Providers: cfg.Providers, Tools: cfg.Tools, Makers: cfg.Makers, Sources: cfg.Sources, Redact: cfg.Redact, Rules: cfg.late.rules(), Send: cfg.late.send(),
	}
}

// Close stops driving runs and gives the directory back. Unfinished runs go on when
// it is opened again.
func (r *Runtime) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return errors.Join(r.engine.Close(ctx), r.store.Close())
}

// Drain lets the steps under way end, until ctx does, begins no others and closes.
func (r *Runtime) Drain(ctx context.Context) error {
	return errors.Join(r.engine.Drain(ctx), r.store.Close())
}

// Start starts a run of a program; see durable.Engine.
func (r *Runtime) Start(ctx context.Context, req durable.StartRequest) (durable.RunID, error) {
	return r.engine.Start(ctx, req)
}

// Begin is Start for who wants to know what the run is by then; see embedded.Engine.Begin.
func (r *Runtime) Begin(ctx context.Context, req durable.StartRequest) (durable.Run, error) {
	return r.engine.Begin(ctx, req)
}

// Run starts a run of a program and returns it once it is final or blocked.
func (r *Runtime) Run(ctx context.Context, req durable.StartRequest) (durable.Run, error) {
	id, err := r.engine.Start(ctx, req)
	if err != nil {
		return durable.Run{}, err
	}
	return r.engine.Wait(ctx, id)
}

// StartAgent starts a run of an agent on a text.
func (r *Runtime) StartAgent(ctx context.Context, d agent.Definition, text string) (durable.RunID, error) {
	req, err := agent.Start(d, text)
	if err != nil {
		return "", err
	}
	return r.engine.Start(ctx, req)
}

// RunAgent runs an agent on a text and returns its answer.
func (r *Runtime) RunAgent(ctx context.Context, d agent.Definition, text string) (agent.Answer, error) {
	id, err := r.StartAgent(ctx, d, text)
	if err != nil {
		return agent.Answer{}, err
	}
	run, err := r.engine.Wait(ctx, id)
	if err != nil {
		return agent.Answer{}, err
	}
	return agent.AnswerOf(run)
}

// NewRunID makes an ID for a run that is to be watched before it starts.
func NewRunID() durable.RunID { return embedded.NewRunID(time.Now()) }

// RunIDOf makes the ID of a run that is to be started once for a reason, however often that
// is tried: from a time and a part of a hash of the reason. The second Start is a conflict.
func RunIDOf(at time.Time, tail [5]byte) durable.RunID { return embedded.RunIDOf(at, tail) }

// Wait returns a run once it is final or blocked.
func (r *Runtime) Wait(ctx context.Context, id durable.RunID) (durable.Run, error) {
	return r.engine.Wait(ctx, id)
}

// Settle returns a run once nothing drives it any more: it is final, blocked, or
// waits since after since.
func (r *Runtime) Settle(ctx context.Context, id durable.RunID, since time.Time) (durable.Run, error) {
	return r.engine.Settle(ctx, id, since)
}

// Watch yields the events of a run behind a cursor, and live deltas between them,
// until its last event, an error or the end of ctx.
func (r *Runtime) Watch(ctx context.Context, id durable.RunID, after event.Cursor) iter.Seq2[*event.Item, error] {
	return r.engine.Feed().Watch(ctx, id, after)
}

// Batches is Watch for who can use many items at once; see event.Feed.
func (r *Runtime) Batches(ctx context.Context, id durable.RunID, after event.Cursor) iter.Seq2[[]*event.Item, error] {
	return r.engine.Feed().Batches(ctx, id, after)
}

// Signal delivers a signal; see durable.Engine. Besides its errors: invalid for a name of durable.OwnSignals.
func (r *Runtime) Signal(ctx context.Context, id durable.RunID, s durable.Signal) error {
	if strings.HasPrefix(s.Name, durable.OwnSignals) {
		return durable.Errorf(durable.CodeInvalid, "signal %s: names that begin with %s are the runtime's own", s.Name, durable.OwnSignals)
	}
	return r.engine.Signal(ctx, id, s)
}

// Answer resumes a question; see durable.Engine.
func (r *Runtime) Answer(ctx context.Context, id durable.RunID, question string, answer []byte) error {
	return r.engine.Answer(ctx, id, question, answer)
}

// Resolve ends the doubt about an irreversible step.
func (r *Runtime) Resolve(ctx context.Context, id durable.RunID, command int, res durable.Resolution) error {
	return r.engine.Resolve(ctx, id, command, res)
}

// Pause stops a run and its children until they are resumed; see embedded.Engine.Pause.
func (r *Runtime) Pause(ctx context.Context, id durable.RunID) error {
	return r.engine.Pause(ctx, id, "")
}

// PauseAs is Pause in somebody's name.
func (r *Runtime) PauseAs(ctx context.Context, id durable.RunID, by string) error {
	return r.engine.Pause(ctx, id, by)
}

// Resume lets a paused run go on, or a blocked one try again.
func (r *Runtime) Resume(ctx context.Context, id durable.RunID) error {
	return r.engine.Resume(ctx, id)
}

// ResumeAs is Resume in somebody's name.
func (r *Runtime) ResumeAs(ctx context.Context, id durable.RunID, by string) error {
	return r.engine.ResumeAs(ctx, id, by)
}

// Reply answers an interrupt in somebody's name; see embedded.Engine.Reply.
func (r *Runtime) Reply(ctx context.Context, id durable.RunID, reply durable.Reply) error {
	_, err := r.engine.Reply(ctx, id, reply)
	return err
}

// Steer tells an agent something while it is at work: it hears it at its next turn. Errors:
// not_found, conflict when the run has ended, invalid when it is not that of an agent.
func (r *Runtime) Steer(ctx context.Context, id durable.RunID, text string) error {
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return err
	}
	if run.Program != agent.Program {
		return durable.Errorf(durable.CodeInvalid, "run %s is of program %s: only an agent is steered; send it a signal", id, run.Program)
	}
	data, err := json.Marshal(text)
	if err != nil {
		return err
	}
	return r.engine.Signal(ctx, id, durable.Signal{Name: agent.SteerSignal, Data: data})
}

// Cancel asks a run and its children to stop; clean-up code runs.
func (r *Runtime) Cancel(ctx context.Context, id durable.RunID, reason string) error {
	return r.engine.Cancel(ctx, id, reason)
}

// CancelAs is Cancel in somebody's name.
func (r *Runtime) CancelAs(ctx context.Context, id durable.RunID, reason, by string) error {
	return r.engine.CancelAs(ctx, id, reason, by)
}

// Ready says why the runtime takes no work, nil when it does. Error: unavailable.
func (r *Runtime) Ready(ctx context.Context) error {
	if _, err := r.store.Newest(ctx); err != nil {
		return err
	}
	return r.engine.Ready()
}

// Kill ends a run and its children now; no program code runs.
func (r *Runtime) Kill(ctx context.Context, id durable.RunID, reason string) error {
	return r.engine.Kill(ctx, id, reason)
}

// WriteLater is Write of what is asked for when something else is committed; neither function may
// block. Hurry ends the wait.
func (r *Runtime) WriteLater(changes func() []store.RecordChange, done func(error)) {
	r.journal.WriteLater(changes, done)
}

// Hurry has what WriteLater was given committed now.
func (r *Runtime) Hurry() { r.journal.Hurry() }

// Write changes records: small named documents of the runtime itself, in one transaction.
// Errors: conflict when a version is not the expected one, invalid.
func (r *Runtime) Write(ctx context.Context, changes ...store.RecordChange) error {
	return r.journal.Write(ctx, changes...)
}
