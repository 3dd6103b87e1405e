package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/orpine-run/orpine/bench/peers/peer"
	"github.com/orpine-run/orpine/bench/peers/proc"
	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/trial"
)

const (
	// settle is how long parked runs rest before their memory is looked at.
	settle = 4 * time.Second
	// limit is after how long parking and recovering are given up.
	limit = 4 * time.Minute
)

// bench is one invocation, once everything is in its place.
type bench struct {
	options
	plan    trial.Plan
	results io.Writer
	log     io.Writer
	rows    []report.Row
	present []*peer.Peer // those that can be had
}

func run(ctx context.Context, o options, out, log io.Writer) (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("costs are read from /proc: this needs Linux, not %s", runtime.GOOS)
	}
	dir, err := os.MkdirTemp(o.dir, "orpine-peers-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Postgres reads it as another user
		return err
	}
	source, err := moduleDir(ctx)
	if err != nil {
		return err
	}
	home := &peer.Home{Source: source, Bin: filepath.Join(dir, "bin"), Cache: o.cache, Log: log}
	results, err := os.OpenFile(o.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // to be read by all
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, results.Close()) }()
	b := &bench{options: o, results: results, log: log}
	b.plan = trial.Plan{Dir: dir, Warm: o.warm, Window: o.window, Settle: settle, Limit: limit, Boost: o.boost}
	absent, err := b.ready(ctx, home)
	if err != nil {
		return err
	}
	stop, err := b.startModel(ctx, home)
	if err != nil {
		return err
	}
	defer stop()
	measured := b.measure(ctx)
	fmt.Fprintf(out, "%d x %s, load average %.1f, %s; median of %d, %s measured after %s\n",
		runtime.NumCPU(), processor(), proc.Load(), disk(o.dir), o.reps, o.window, o.warm)
	var engines []report.Engine
	for _, p := range o.peers {
		if absent[p.Name] == nil {
			engines = append(engines, p.Engine)
		}
	}
	if err := report.Tables(out, engines, peer.Ours, b.rows); err != nil {
		return err
	}
	for _, p := range o.peers {
		if err := absent[p.Name]; err != nil {
			fmt.Fprintf(out, "  %s cannot be had here and was skipped: %v\n", p.Name, err)
		}
	}
	return measured
}

// moduleDir is the directory of this module; the workers are built from it.
func moduleDir(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Path}} {{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the sources: %w", err)
	}
	path, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if path != "github.com/orpine-run/orpine/bench/peers" {
		return "", fmt.Errorf("start it in bench/peers, where its sources are; this directory belongs to %s", path)
	}
	return dir, nil
}

// ready installs and builds what the engines need and leaves out those that cannot be had.
func (b *bench) ready(ctx context.Context, home *peer.Home) (absent map[string]error, err error) {
	absent = map[string]error{}
	for _, p := range b.peers {
		err := p.Ready(ctx, home)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(b.log, "%s is skipped: %v\n", p.Name, err)
			absent[p.Name] = err
		}
	}
	if len(absent) == len(b.peers) {
		return nil, errors.New("none of the engines can be had")
	}
	var present []*peer.Peer
	for _, p := range b.peers {
		if absent[p.Name] == nil {
			present = append(present, p)
		}
	}
	b.present = present
	return absent, nil
}

// startModel starts the fake model.
func (b *bench) startModel(ctx context.Context, home *peer.Home) (stop func(), err error) {
	path, err := home.Model(ctx)
	if err != nil {
		return nil, err
	}
	url := make(chan string, 1)
	p, err := proc.Start(proc.Spec{Path: path, Line: func(line string) { url <- line }})
	if err != nil {
		return nil, err
	}
	select {
	case b.plan.Model = <-url:
		return p.Kill, nil
	case <-p.Done():
		return nil, fmt.Errorf("start the fake model: %w", p.Err())
	}
}

// measure goes through all loads with all engines, as often as there are repetitions.
// The engines take turns, so that whatever else the machine does falls on all of them.
func (b *bench) measure(ctx context.Context) error {
	for rep := 1; rep <= b.reps; rep++ {
		for _, load := range b.loads {
			for _, p := range b.present {
				rows, err := b.plan.Measure(ctx, p, load)
				for _, row := range rows {
					row.Rep = rep
					b.rows = append(b.rows, row)
					if err := row.Write(b.results); err != nil {
						return err
					}
					fmt.Fprintln(b.log, progress(row))
				}
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func progress(r report.Row) string {
	head := fmt.Sprintf("%d %s/%d%s %s:", r.Rep, r.Workload, r.Runs, strings.TrimRight(" "+r.Case, " "), r.Engine)
	if r.Skipped != "" {
		return head + " not measured: " + r.Skipped
	}
	for _, f := range []report.Figure{report.Rate, report.P50, report.P99, report.FirstAfter, report.Total, report.Errors} {
		if v, ok := r.Figures[f]; ok {
			head += fmt.Sprintf(" %s %.6g", f, v)
		}
	}
	return head
}
