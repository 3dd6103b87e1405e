package orpine

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/trigger"
)

// late is how step functions reach the runtime that they are made for: programs are there
// before it is.
type late struct {
	there   chan struct{} // closed once it is
	runtime *Runtime
}

func (l *late) come(r *Runtime) {
	l.runtime = r
	close(l.there)
}

func (l *late) wait(ctx context.Context) (*Runtime, error) {
	select {
	case <-l.there:
		return l.runtime, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// send is nil where there is no runtime to come.
func (l *late) send() func(context.Context, durable.RunID, durable.Signal) error {
	if l == nil {
		return nil
	}
	return func(ctx context.Context, id durable.RunID, s durable.Signal) error {
		r, err := l.wait(ctx)
		if err != nil {
			return err
		}
		err = r.Signal(ctx, id, s)
		if run, gone := r.store.Run(ctx, id); errors.Is(err, durable.ErrConflict) && gone == nil && !run.Status.Final() {
			return durable.Errorf(durable.CodeUnavailable, "run %s is %s: resume, cancel or kill it", id, run.Status)
		}
		return err
	}
}

// triggers fills in how triggers reach a runtime, where there is one to come.
func (l *late) triggers(cfg trigger.Config) trigger.Config {
	if cfg.RunID == nil {
		cfg.RunID = embedded.RunIDOf
	}
	if l == nil {
		return cfg
	}
	if cfg.Look == nil {
		cfg.Look = func(ctx context.Context, id durable.RunID) (durable.Run, error) {
			r, err := l.wait(ctx)
			if err != nil {
				return durable.Run{}, err
			}
			return r.Get(ctx, id)
		}
	}
	if cfg.Cancel == nil {
		cfg.Cancel = func(ctx context.Context, id durable.RunID, reason string) error {
			r, err := l.wait(ctx)
			if err != nil {
				return err
			}
			return r.Cancel(ctx, id, reason)
		}
	}
	if cfg.Ended == nil {
		cfg.Ended = func(ctx context.Context, cursor json.RawMessage, which trigger.RunEnd) ([]durable.Run, json.RawMessage, error) {
			r, err := l.wait(ctx)
			if err != nil {
				return nil, nil, err
			}
			return r.ends(ctx, cursor, durable.AttemptOf(ctx).Tenant, which)
		}
	}
	return cfg
}

// rules is nil where there is no runtime to come.
func (l *late) rules() func(context.Context, durable.RunID, agent.Rule) (bool, error) {
	if l == nil {
		return nil
	}
	return func(ctx context.Context, id durable.RunID, rule agent.Rule) (bool, error) {
		r, err := l.wait(ctx)
		if err != nil {
			return false, err
		}
		return r.stands(ctx, id, rule)
	}
}

// stands reports whether a decision that was made before accepts a call: for agents of this
// name, or for all of the tenant.
func (r *Runtime) stands(ctx context.Context, id durable.RunID, rule agent.Rule) (bool, error) {
	run, err := r.store.Run(ctx, id)
	if err != nil {
		return false, err
	}
	for _, name := range []string{rule.Agent, ""} {
		_, err := r.store.Record(ctx, ruleKind, store.KeyOf(run.Tenant, name, rule.Tool))
		if !errors.Is(err, durable.ErrNotFound) {
			return err == nil, err
		}
	}
	return false, nil
}
