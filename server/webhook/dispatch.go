package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

const (
	// tick is how often the mark is written, while there is something to mark, and how soon
	// what could not be handed on is tried again.
	tick = 10 * time.Second
	// maxPending bounds the changes in memory. What goes beyond is found in the store later.
	maxPending = 4096
	// atOnce is how many deliveries are started at the same time: they share commits.
	atOnce = 32
	// page is how many runs are read at once.
	page = 500
)

// Changed is told of a run that came to stand still; it is the OnStatus of [orpine.Config]. It
// returns at once. What it is told before Start is found by Start.
func (d *Dispatcher) Changed(run durable.Run) {
	hooks := d.hooks.Load()
	if hooks == nil || !slices.ContainsFunc(*hooks, func(h hook) bool { return h.wants(&run) }) {
		return
	}
	if len(run.Output) > maxOutput {
		run.Output = nil // not sent anyway
	}
	d.mu.Lock()
	if len(d.pending) < maxPending {
		d.pending = append(d.pending, run)
	} else {
		d.behind = true
	}
	d.mu.Unlock()
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// Start begins to hand on changes of the runs of a runtime, with those that an earlier process
// left behind, until Stop or the end of ctx. It may be called once. Errors: conflict when it
// was called before, and what reading the webhooks comes to.
func (d *Dispatcher) Start(ctx context.Context, r *orpine.Runtime) error {
	d.listing.Lock()
	defer d.listing.Unlock()
	if d.runtime != nil {
		return durable.Errorf(durable.CodeConflict, "webhooks are started already")
	}
	d.runtime = r
	all, err := d.all(ctx)
	if err == nil {
		err = d.readMark(ctx)
	}
	if err != nil {
		d.runtime = nil
		return err
	}
	hooks := make([]hook, 0, len(all))
	for _, k := range all {
		if k.URL == "" {
			d.log.WarnContext(ctx, "a webhook gets nothing", slog.String("webhook", k.ID), slog.String("cause", k.Failing))
			continue
		}
		hooks = append(hooks, k.hook())
	}
	d.hooks.Store(&hooks)
	close(d.there)
	d.noted = time.Now()
	ctx, stop := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind, d.stop, d.gone = true, stop, make(chan struct{})
	go d.loop(ctx, d.gone)
	return nil
}

// Stop ends what Start began and waits for it; what was not handed on is left to the next
// Start. Deliveries that were started go on as long as the runtime does. A second Stop, or one
// without a Start, does nothing.
func (d *Dispatcher) Stop() {
	d.mu.Lock()
	stop, gone := d.stop, d.gone
	d.mu.Unlock()
	if stop != nil {
		stop()
		<-gone
	}
}

func (d *Dispatcher) loop(ctx context.Context, gone chan<- struct{}) {
	defer close(gone)
	clock := time.NewTicker(tick)
	defer clock.Stop()
	d.catchUp(ctx)
	for {
		select {
		case <-d.news:
			d.handOn(ctx)
		case <-clock.C:
			d.handOn(ctx)
			if d.catchUp(ctx) {
				d.moveMark(ctx)
			}
		case <-ctx.Done():
			return
		}
	}
}

// handOn starts the deliveries of what was told. What cannot be started is looked for in the
// store at the next tick.
func (d *Dispatcher) handOn(ctx context.Context) {
	d.mu.Lock()
	runs := d.pending
	d.pending = nil
	d.mu.Unlock()
	if !d.deliverAll(ctx, runs, func(*hook, *durable.Run) bool { return true }) {
		d.fallBehind()
	}
}

func (d *Dispatcher) fallBehind() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.behind = true
}

// catchUp looks through the store for changes that are not older than the mark, if there may
// be some that nobody has handed on. It reports whether there are none any more.
func (d *Dispatcher) catchUp(ctx context.Context) bool {
	d.mu.Lock()
	behind := d.behind
	d.behind = false
	d.mu.Unlock()
	if !behind {
		return true
	}
	err := d.scan(ctx)
	if err == nil {
		return true
	}
	if ctx.Err() == nil {
		d.log.WarnContext(ctx, "changes were not handed to webhooks; they will be tried again", slog.Any("error", err))
	}
	d.fallBehind()
	return false
}

func (d *Dispatcher) scan(ctx context.Context) error {
	if len(*d.hooks.Load()) == 0 {
		return nil
	}
	since := func(h *hook, r *durable.Run) bool { return !r.Updated.Before(h.created) && !r.Updated.Before(d.mark) }
	filter := durable.Filter{Statuses: reported(), Oldest: true, Limit: page}
	for {
		runs, next, err := d.runtime.Page(ctx, filter)
		if err != nil {
			return err
		}
		runs = slices.DeleteFunc(runs, func(r durable.Run) bool {
			return !slices.ContainsFunc(*d.hooks.Load(), func(h hook) bool { return h.wants(&r) && since(&h, &r) })
		})
		for i, r := range runs {
			if whole, err := d.runtime.Get(ctx, r.ID); err == nil { // else it is damaged, and told without its output
				runs[i] = whole
			}
		}
		if !d.deliverAll(ctx, runs, since) {
			return durable.Errorf(durable.CodeUnavailable, "not all deliveries could be started")
		}
		if next == 0 {
			return nil
		}
		filter.After = next
	}
}

// deliverAll starts the deliveries of some changes, and reports whether all were started.
func (d *Dispatcher) deliverAll(ctx context.Context, runs []durable.Run, also func(*hook, *durable.Run) bool) bool {
	var failed atomic.Bool
	var under sync.WaitGroup
	room := make(chan struct{}, atOnce)
	hooks := *d.hooks.Load()
	for _, run := range runs {
		for _, h := range hooks {
			if !h.wants(&run) || !also(&h, &run) {
				continue
			}
			d.handed = true
			room <- struct{}{}
			under.Go(func() {
				defer func() { <-room }()
				if err := d.deliver(ctx, &h, &run); err != nil {
					failed.Store(true)
					if ctx.Err() == nil {
						d.log.WarnContext(ctx, "a delivery was not started", slog.String("webhook", h.id), slog.String("run", string(run.ID)), slog.Any("error", err))
					}
				}
			})
		}
	}
	under.Wait()
	return !failed.Load()
}

// deliver starts one delivery. One that was started before is not started again.
func (d *Dispatcher) deliver(ctx context.Context, h *hook, run *durable.Run) error {
	e := eventOf(run)
	body, err := e.body()
	if err != nil {
		return err
	}
	input, err := json.Marshal(delivery{Webhook: h.id, Event: e.ID, Run: run.ID, Status: run.Status, Time: run.Updated, Body: body})
	if err != nil {
		return err
	}
	_, err = d.runtime.Start(ctx, durable.StartRequest{
		ID: idOf(run, h.id), Program: Program, Name: e.Type, Tenant: h.tenant, Input: input,
	})
	if errors.Is(err, durable.ErrConflict) {
		return nil
	}
	return err
}

// readMark reads the mark. One that is in the future, because the clock was set back, would
// hide changes: it is brought back.
func (d *Dispatcher) readMark(ctx context.Context) error {
	r, err := d.runtime.Record(ctx, markKind, markKey)
	switch {
	case errors.Is(err, durable.ErrNotFound):
		return nil
	case errors.Is(err, durable.ErrInternal): // damaged: everything since the webhooks were registered is looked at
		d.log.WarnContext(ctx, "the mark of the webhooks is damaged", slog.Any("error", err))
		return nil
	case err != nil:
		return err
	}
	micros, err := strconv.ParseInt(string(r.Data), 10, 64)
	if err != nil {
		d.log.WarnContext(ctx, "the mark of the webhooks is damaged", slog.Any("error", err))
		return nil
	}
	d.mark = time.UnixMicro(micros)
	if now := time.Now(); now.Before(d.mark) {
		return d.writeMark(ctx, now)
	}
	return nil
}

// moveMark moves the mark to the tick before this one. What changed before that one was
// durable, and told, long before this one: a change is on the disk within moments of its time.
func (d *Dispatcher) moveMark(ctx context.Context) {
	if d.handed {
		if err := d.writeMark(ctx, d.noted); err != nil {
			if ctx.Err() == nil {
				d.log.WarnContext(ctx, "the mark of the webhooks was not written", slog.Any("error", err))
			}
			return
		}
		d.handed = false
	}
	d.noted = time.Now()
}

func (d *Dispatcher) writeMark(ctx context.Context, mark time.Time) error {
	data := strconv.AppendInt(nil, mark.UnixMicro(), 10)
	err := d.runtime.Write(ctx, store.RecordChange{Kind: markKind, Key: markKey, Expect: store.AnyVersion, Data: data})
	if err == nil {
		d.mark = time.UnixMicro(mark.UnixMicro())
	}
	return err
}
