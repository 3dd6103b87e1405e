package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/server/local"
	"github.com/orpine-run/orpine/tool"
)

// owned is a data directory that this process drives. Other commands on this
// machine reach it through its door.
type owned struct {
	*orpine.Runtime
	door     *local.Door   // nil = none yet
	api      *late         // what is behind the door; nil = somebody else closes it
	gentle   func() bool   // whether steps under way are to end before it is closed
	patience time.Duration // and how long they may take; 0 = drainTime
}

// config is what runs can have in this command.
func (a *app) config() (orpine.Config, error) {
	cfg := orpine.Config{
		Data:      a.flags.Data,
		Owner:     strings.Join(append([]string{"orpine"}, withoutToken(a.args)...), " "),
		Programs:  []durable.Program{a.cost.Program(), a.hooks.Program()},
		Providers: a.providers(),
		Makers:    map[string]tool.Maker{cost.ToolKind: a.cost.Maker()},
	}
	gear, err := a.outfit()
	if err == nil {
		gear.Equip(&cfg)
	}
	return cfg, err
}

// withoutToken is a command line as others may read it.
func withoutToken(args []string) []string {
	var list []string
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "--token":
			i++ // its value
		case !strings.HasPrefix(args[i], "--token="):
			list = append(list, args[i])
		}
	}
	return list
}

// open opens the data directory to drive its runs.
func (a *app) open(ctx context.Context) (*owned, error) { return a.openTo(ctx, false) }

// openTo opens the data directory, to drive its runs or only to leave word there.
func (a *app) openTo(ctx context.Context, leave bool) (*owned, error) {
	cfg, err := a.config()
	if err != nil {
		return nil, err
	}
	cfg.Passive = leave
	rt, err := orpine.Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	a.opened.Store(rt)
	api := &late{}
	door, err := local.Open(ctx, a.flags.Data, func() (local.Handler, error) {
		s, err := server.New(ctx, server.Config{
			Runtime: rt, Version: version, Fresh: func() orpine.Config { return cfg }, Peers: a.gear.MCP(),
		})
		if err != nil {
			return nil, err
		}
		api.server.Store(s)
		return s.Local(), nil
	})
	if err != nil {
		return nil, closing(environmentError{err}, rt)
	}
	gentle := func() bool { return errors.Is(context.Cause(ctx), errTerminated) }
	return &owned{Runtime: rt, door: door, api: api, gentle: gentle}, nil
}

// drainTime is how long steps under way may take to end after SIGTERM.
const drainTime = 10 * time.Second

// late is a server that is there once somebody has knocked.
type late struct{ server atomic.Pointer[server.Server] }

// drop ends its streams, so that nobody waits for those who look on.
func (l *late) drop() {
	if s := l.server.Load(); s != nil {
		s.Drop()
	}
}

func (l *late) close() error {
	if s := l.server.Load(); s != nil {
		return s.Close()
	}
	return nil
}

// Close closes the door, then the runtime.
func (o *owned) Close() error {
	var err error
	if o.api != nil {
		o.api.drop()
	}
	if o.door != nil {
		err = o.door.Close()
	}
	if o.api != nil {
		err = errors.Join(err, o.api.close())
	}
	if !o.gentle() {
		return errors.Join(err, o.Runtime.Close())
	}
	ctx, cancel := context.WithTimeout(context.Background(), cmp.Or(o.patience, drainTime))
	defer cancel()
	return errors.Join(err, o.Drain(ctx))
}

// order is something done to a run, by whoever owns the data directory.
type order func(ctx context.Context, h hands, id durable.RunID) error

// give carries out an order on a run: on the server that was named, here, if nobody owns the
// data directory, else through the owner's door. Then the run is waited for, unless it is to
// be left alone: here by driving it, elsewhere by looking on.
func (a *app) give(ctx context.Context, ref string, leave bool, do order) error {
	if a.far() {
		return a.giveFar(ctx, ref, leave, do)
	}
	r, id, err := a.readHere(ctx, ref)
	if err != nil {
		return err
	}
	o, err := a.openTo(ctx, leave)
	if errors.Is(err, durable.ErrConflict) {
		return closing(a.giveOther(ctx, r, id, leave, do), r)
	}
	if err != nil {
		return closing(err, r)
	}
	if err := do(ctx, o, id); err != nil || leave {
		return errors.Join(err, o.Close(), r.Close())
	}
	return errors.Join(a.drive(ctx, o, id, "", nil), r.Close())
}

func (a *app) giveFar(ctx context.Context, ref string, leave bool, do order) error {
	far, err := a.dial()
	if err != nil {
		return err
	}
	id, err := far.Find(ctx, ref)
	if err == nil {
		err = do(ctx, far, id)
	}
	if err == nil && !leave {
		fmt.Fprintf(a.stderr, "run %s\n", id)
		err = a.attend(ctx, far, id, -1, "")
	}
	return closing(err, far)
}

func (a *app) giveOther(ctx context.Context, r here, id durable.RunID, leave bool, do order) error {
	door, err := a.knock()
	if err != nil {
		return err
	}
	err = closing(do(ctx, door, id), door)
	if err != nil || leave {
		return err
	}
	fmt.Fprintf(a.stderr, "run %s is driven by another process\n", id)
	return a.lookOn(ctx, r, id, "")
}
