package trigger

import (
	"context"
	"encoding/json"
	"io/fs"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Config is what the program of triggers reaches the world by. What is nil is not there: a trigger
// that needs it is blocked, and says so.
type Config struct {
	// RunID makes the ID of a run from a time and a part of a hash; required. It is the engine's.
	RunID func(at time.Time, tail [5]byte) durable.RunID
	// Look returns a run. Error: not_found.
	Look func(ctx context.Context, id durable.RunID) (durable.Run, error)
	// Cancel asks a run to stop. Error: conflict when it has ended.
	Cancel func(ctx context.Context, id durable.RunID, reason string) error
	// Ended returns runs that ended behind a cursor, oldest end first, and the cursor behind them. The
	// first cursor is nil and stands for now. The tenant is that of the attempt in ctx.
	Ended func(ctx context.Context, cursor json.RawMessage, which RunEnd) ([]durable.Run, json.RawMessage, error)
	// Poll asks what a definition names, and returns what is new behind a cursor, nil at first.
	Poll func(ctx context.Context, config, cursor json.RawMessage) ([]Item, json.RawMessage, error)
	// Folder opens a folder that files are looked for in, and says how it is closed.
	Folder func(ctx context.Context, name string) (fs.FS, func() error, error)
}

// The signals that a trigger hears.
const (
	PauseSignal    = "pause"    // starts nothing from now on; no data
	ResumeSignal   = "resume"   // goes on with what is due from now on; no data
	FireSignal     = "fire"     // starts a run at once, whatever goes on: a Fire
	BackfillSignal = "backfill" // a Backfill
	UpdateSignal   = "update"   // goes on by another Definition; counts and cursor stay
	EventSignal    = "event"    // an Occurred
)

type program struct {
	cfg    Config
	spaces spaces
	look   durable.Func[lookInput, []seen]
	cancel durable.Func[cancelInput, bool]
	watch  durable.Func[watchInput, watched]
}

// New makes the program of triggers. Error: invalid where RunID is missing.
func New(cfg Config) (durable.Program, error) {
	if cfg.RunID == nil {
		return nil, durable.Errorf(durable.CodeInvalid, "triggers need the RunID of the engine")
	}
	p := &program{cfg: cfg, spaces: newSpaces()}
	// A look only reads, but must not begin before what was started is durable: it would not find it.
	p.look = durable.NewFunc("trigger.look", durable.StepOptions{Effect: durable.Idempotent}, p.lookAt)
	p.cancel = durable.NewFunc("trigger.cancel", durable.StepOptions{Effect: durable.Idempotent}, p.cancelRun)
	p.watch = durable.NewFunc("trigger.watch", durable.StepOptions{Effect: durable.Read}, p.watchSource)
	return p, nil
}

// Name implements durable.Program.
func (*program) Name() string { return Program }

// Steps implements durable.Program.
func (p *program) Steps() []durable.StepFunc {
	return []durable.StepFunc{p.look.StepFunc, p.cancel.StepFunc, p.watch.StepFunc}
}

// Run implements durable.Program.
func (p *program) Run(ctx durable.Context, input json.RawMessage) (json.RawMessage, error) {
	s := &segment{p: p, ctx: ctx}
	if len(input) > 0 {
		if err := json.Unmarshal(input, &s.State); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "input of a trigger: %w", err)
		}
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	over, err := s.live()
	s.Running = s.runs()
	data, unfit := json.Marshal(s.State)
	switch {
	case unfit != nil:
		return nil, unfit
	case err == nil && !over:
		err = durable.Continue(data)
	}
	return data, err
}

// The step functions.

type lookInput struct {
	Runs []durable.RunID `json:"runs"`
}

// seen is what is known of a run that was looked at.
type seen struct {
	There  bool          `json:"there,omitempty"`
	Parent durable.RunID `json:"parent,omitempty"`
	Over   bool          `json:"over,omitempty"`
	Code   durable.Code  `json:"code,omitempty"` // of the error it ended with
}

// lacks is the error of what a configuration does not have.
func lacks(what string) error {
	return durable.Block(durable.Errorf(durable.CodeUnavailable, "this runtime cannot %s", what))
}

func (p *program) lookAt(ctx context.Context, in lookInput) ([]seen, error) {
	if p.cfg.Look == nil {
		return nil, lacks("look at runs for a trigger")
	}
	found := make([]seen, len(in.Runs))
	for i, id := range in.Runs {
		run, err := p.cfg.Look(ctx, id)
		switch {
		case durable.CodeOf(err) == durable.CodeNotFound:
		case err != nil:
			return nil, err
		default:
			found[i] = seen{There: true, Parent: run.Parent, Over: run.Status.Final()}
			if run.Error != nil {
				found[i].Code = run.Error.Code
			}
		}
	}
	return found, nil
}

type cancelInput struct {
	Run    durable.RunID `json:"run"`
	Reason string        `json:"reason"`
}

func (p *program) cancelRun(ctx context.Context, in cancelInput) (bool, error) {
	if p.cfg.Cancel == nil {
		return false, lacks("cancel runs for a trigger")
	}
	err := p.cfg.Cancel(ctx, in.Run, in.Reason)
	if code := durable.CodeOf(err); err != nil && (code == durable.CodeConflict || code == durable.CodeNotFound) {
		return false, nil // it has ended, or is blocked and somebody has to look at it
	}
	return err == nil, err
}
