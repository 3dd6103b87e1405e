// Package trial measures one engine under one workload: it makes a fresh store, starts
// the server if there is one, then a worker, takes the worker's row, and ends and removes
// all of it, however the trial goes.
//
// It does not know how an engine works (package peer does) nor what is measured inside
// the worker (package drive does). It stands beside the line request -> run -> step ->
// journal -> event -> client, and pulls the plug.
package trial

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/bench/peers/peer"
	"github.com/orpine-run/orpine/bench/peers/proc"
	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

// Plan is what all trials have in common.
type Plan struct {
	Dir    string        // beneath it each trial has a directory of its own
	Model  string        // URL of the fake model
	Warm   time.Duration // not measured
	Window time.Duration // measured
	Settle time.Duration // of parked runs, before the look at the memory
	Limit  time.Duration // a worker is given up after
	Boost  bool          // give the engine more weight with the scheduler
}

// Load is one workload at one size.
type Load struct {
	Kind workload.Kind
	Runs int // at once; parked
}

// String is the form in which Parse reads it.
func (l Load) String() string { return string(l.Kind) + "/" + strconv.Itoa(l.Runs) }

// Measure measures one engine under one load. Parked gives a row for Recover too, and
// Cold one for a fresh and one for a warm store. What could not be measured is a row that
// says why; the error is for the end of ctx alone.
func (p *Plan) Measure(ctx context.Context, e *peer.Peer, l Load) ([]report.Row, error) {
	if why := e.Lacks[l.Kind]; why != "" {
		return []report.Row{skipped(e, l, why)}, nil
	}
	rows, err := p.measure(ctx, e, l)
	if ctx.Err() != nil {
		return rows, ctx.Err()
	}
	if err != nil {
		rows = append(rows, skipped(e, l, err.Error()))
	}
	for i := range rows {
		rows[i].Engine, rows[i].Version, rows[i].Setting = e.Name, e.Version, e.Setting
	}
	return rows, nil
}

func skipped(e *peer.Peer, l Load, why string) report.Row {
	return report.Row{
		Time: time.Now(), Engine: e.Name, Version: e.Version, Setting: e.Setting,
		Workload: l.Kind, Runs: l.Runs, Load: proc.Load(), Skipped: why,
	}
}

func (p *Plan) measure(ctx context.Context, e *peer.Peer, l Load) (rows []report.Row, err error) {
	dir, err := os.MkdirTemp(p.Dir, e.Name+"-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres reads it as another user
		return nil, err
	}
	site, err := e.Open(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("make a store: %w", err)
	}
	listen, err := peer.FreeAddr(ctx)
	if err != nil {
		return nil, err
	}
	t := &trial{Plan: p, peer: e, load: l, site: site, listen: listen}
	defer t.stop()
	switch l.Kind {
	case workload.Parked:
		return t.parkAndRecover(ctx)
	case workload.Cold:
		return t.coldStart(ctx)
	default:
		row, err := t.once(ctx, l.Kind, "r")
		if err != nil {
			return nil, err
		}
		return []report.Row{row}, nil
	}
}

// trial is one engine with one store, while it is measured.
type trial struct {
	*Plan
	peer   *peer.Peer
	load   Load
	site   *peer.Site
	listen string
	server *proc.Process
	worker *proc.Process
}

// serve starts the server, if there is one, and returns how long it took to answer.
func (t *trial) serve(ctx context.Context) (time.Duration, error) {
	if t.site.Start == nil {
		return 0, nil
	}
	begun := time.Now()
	server, err := t.site.Start(ctx)
	if err != nil {
		return 0, fmt.Errorf("start the server: %w", err)
	}
	t.server = server
	return time.Since(begun), nil
}

// work starts a worker and returns its row. The worker is left as it is: after Parked it
// still holds its runs.
func (t *trial) work(ctx context.Context, kind workload.Kind, prefix string) (report.Row, error) {
	rows := make(chan report.Row, 1)
	args := []string{
		"-workload", string(kind), "-runs", strconv.Itoa(t.load.Runs), "-warm", t.Warm.String(), "-window", t.Window.String(),
		"-settle", t.Settle.String(), "-limit", t.Limit.String(), "-store", t.site.Store, "-listen", t.listen,
		"-model", t.Model, "-disk", t.site.Disk, "-prefix", prefix, "-begun", strconv.FormatInt(time.Now().UnixMicro(), 10),
	}
	if t.server != nil {
		args = append(args, "-servers", strconv.Itoa(t.server.PID()))
	}
	path, args := t.peer.Worker(args...)
	worker, err := proc.Start(proc.Spec{Path: path, Args: args, Line: func(line string) {
		row, err := report.Parse([]byte(line))
		if err != nil {
			return // an engine that prints on standard output
		}
		select {
		case rows <- row:
		default: // one row is what a worker has to say
		}
	}})
	if err != nil {
		return report.Row{}, err
	}
	t.worker = worker
	stop := t.boost()
	defer stop()
	var row report.Row
	select {
	case row = <-rows:
	case <-worker.Done():
		select {
		case row = <-rows: // its last words
		default:
			return row, errors.Join(errNoRow, worker.Err())
		}
	case <-ctx.Done():
		return row, ctx.Err()
	case <-time.After(t.Warm + t.Window + t.Settle + 2*t.Limit):
		return row, errTooLong
	}
	if row.Figures[report.Errors] > 0 {
		row.Trouble = worker.Said()
	}
	return row, nil
}

var (
	errNoRow   = errors.New("the worker ended without a row")
	errTooLong = errors.New("the worker took too long")
)

// boostEvery is how often processes are looked for that a server has started since.
const boostEvery = 500 * time.Millisecond

// boost keeps the weight of the processes raised until stop is called.
func (t *trial) boost() (stop func()) {
	if !t.Boost {
		return func() {}
	}
	roots := []int{t.worker.PID()}
	if t.server != nil {
		roots = append(roots, t.server.PID())
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			proc.Boost(proc.Tree(roots...)...)
			select {
			case <-end:
				return
			case <-time.After(boostEvery):
			}
		}
	}()
	return func() { close(end); <-ended }
}

// kill ends worker and server as a power cut would.
func (t *trial) kill() {
	if t.worker != nil {
		t.worker.Kill()
	}
	if t.server != nil {
		t.server.Kill()
	}
	t.worker, t.server = nil, nil
}

// stop ends the worker, and the server in order: Postgres leaves shared memory behind
// when it is killed.
func (t *trial) stop() {
	if t.worker != nil {
		t.worker.Kill()
	}
	if t.server != nil {
		t.server.Stop()
	}
	t.worker, t.server = nil, nil
}
