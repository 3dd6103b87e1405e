// Package drive is the inside of a worker: the process that holds an engine's client,
// its programs and the drivers which start the runs, as a user's own process would. It
// runs one workload, measures it, and prints one row.
//
// It knows engines by workload.Engine only. On the line request -> run -> step ->
// journal -> event -> client it is the client, in one process with the steps.
package drive

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

// Options are the orders of the runner to a worker.
type Options struct {
	Workload workload.Kind
	Runs     int           // runs at once; park and recover: parked
	Starters int           // park and recover: goroutines that start or signal
	Warm     time.Duration // not measured
	Window   time.Duration // measured
	Settle   time.Duration // park: between the last start and the look at the memory
	Limit    time.Duration // park and recover: given up after
	Store    string        // a path, a DSN or addresses, as the engine has it
	Listen   string        // where the worker itself listens, for engines that call it
	Model    string        // URL of the fake model
	Servers  []int         // processes whose trees are the servers
	Disk     string        // directory whose growth is measured
	Prefix   string        // of the run IDs
	Begun    time.Time     // when the worker was started
}

// Open opens an engine that runs the load.
type Open func(ctx context.Context, o Options, l *workload.Load) (workload.Engine, error)

// Main is the whole of a worker's main function; it returns the exit code. A worker does
// not close its engine: whatever it was doing, it is meant to be killed.
func Main(open Open) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = Work(ctx, o, open, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func parse(args []string) (Options, error) {
	var o Options
	var kind, servers string
	var begun int64
	f := flag.NewFlagSet("worker", flag.ContinueOnError)
	f.StringVar(&kind, "workload", string(workload.Steps), "w1, w2, park, recover or w4")
	f.IntVar(&o.Runs, "runs", 1, "runs at once; park and recover: parked")
	f.IntVar(&o.Starters, "starters", 64, "park and recover: how many start or signal at once")
	f.DurationVar(&o.Warm, "warm", 2*time.Second, "run so long before measuring")
	f.DurationVar(&o.Window, "window", 8*time.Second, "measure so long")
	f.DurationVar(&o.Settle, "settle", 4*time.Second, "park: rest so long before looking at the memory")
	f.DurationVar(&o.Limit, "limit", 4*time.Minute, "park and recover: give up after")
	f.StringVar(&o.Store, "store", "", "path, DSN or addresses of the store")
	f.StringVar(&o.Listen, "listen", "", "address to listen on, for engines that call the worker")
	f.StringVar(&o.Model, "model", "", "URL of the fake model")
	f.StringVar(&servers, "servers", "", "process ids of the servers, with commas")
	f.StringVar(&o.Disk, "disk", "", "directory whose growth is measured")
	f.StringVar(&o.Prefix, "prefix", "r", "prefix of the run IDs")
	f.Int64Var(&begun, "begun", time.Now().UnixMicro(), "when the worker was started, Unix time in microseconds")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.Workload, o.Begun = workload.Kind(kind), time.UnixMicro(begun)
	for s := range strings.SplitSeq(servers, ",") {
		if s == "" {
			continue
		}
		pid, err := strconv.Atoi(s)
		if err != nil {
			return o, fmt.Errorf("-servers: %w", err)
		}
		o.Servers = append(o.Servers, pid)
	}
	return o, nil
}

// Work opens the engine, runs one workload on it and writes its row. After Parked it
// stays until ctx ends or it is killed.
func Work(ctx context.Context, o Options, open Open, out io.Writer) error {
	w := &worker{Options: o, meter: meter{servers: o.Servers, disk: o.Disk}, out: out}
	var first func()
	if o.Workload == workload.Cold {
		first = w.firstStep
	}
	w.load = workload.New(o.Model, first)
	var err error
	if w.engine, err = open(ctx, o, w.load); err != nil {
		return fmt.Errorf("open the engine: %w", err)
	}
	switch o.Workload {
	case workload.Steps, workload.Agent:
		return w.loop(ctx)
	case workload.Parked:
		return w.park(ctx)
	case workload.Recover:
		return w.recover(ctx)
	case workload.Cold:
		return w.engine.Run(ctx, workload.Cold, o.Prefix+"-0")
	default:
		return fmt.Errorf("there is no workload %q", o.Workload)
	}
}

type worker struct {
	Options
	meter
	engine workload.Engine
	load   *workload.Load
	out    io.Writer
}

func (w *worker) id(k int64) string { return w.Prefix + "-" + strconv.FormatInt(k, 10) }

func (w *worker) emit(figures map[report.Figure]float64) error {
	row := report.Row{Time: time.Now(), Workload: w.Workload, Runs: w.Runs, Load: machineLoad(), Figures: figures}
	return row.Write(w.out)
}

// firstStep tells the runner when the first step began; it knows when it started us.
func (w *worker) firstStep() {
	at := float64(time.Now().UnixMicro()) / 1000
	if err := w.emit(map[report.Figure]float64{report.FirstAt: at}); err != nil {
		fmt.Fprintln(os.Stderr, err) // the runner sees that there is no row
	}
}
