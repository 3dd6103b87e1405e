package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/bench/peers/peer"
	"github.com/orpine-run/orpine/bench/peers/trial"
)

// options are the flags.
type options struct {
	peers  []*peer.Peer
	loads  []trial.Load
	reps   int
	window time.Duration
	warm   time.Duration
	cache  string
	dir    string
	out    string
	boost  bool
	short  bool
}

// The times when flags do not say otherwise, and those of --short.
const (
	usualWindow, shortWindow = 8.0, 2.0
	usualWarm, shortWarm     = 2.0, 1.0
	usualReps, shortReps     = 3, 1
)

const usage = `Runs the same workloads on Orpine and on other durable-execution engines, in turn.

  peers [flags]

Engines:   %s
Workloads: w1 (steps), w2 (agent loop), park (with recover), w4 (cold start);
           w1/64 is w1 with 64 runs at once. See workloads.md.

`

func parse(args []string, log io.Writer) (options, error) {
	var o options
	var engines, loads string
	var window, warm float64
	all := peer.All()
	f := flag.NewFlagSet("peers", flag.ContinueOnError)
	f.SetOutput(log)
	f.Usage = func() {
		fmt.Fprintf(log, usage, strings.Join(names(all), " "))
		f.PrintDefaults()
	}
	f.StringVar(&engines, "engines", "", "engines, with commas; all when empty")
	f.StringVar(&loads, "workloads", "", "workloads, with commas; all when empty")
	f.IntVar(&o.reps, "reps", usualReps, "repetitions")
	f.Float64Var(&window, "secs", usualWindow, "seconds that are measured")
	f.Float64Var(&warm, "warm", usualWarm, "seconds before, which are not")
	f.BoolVar(&o.short, "short", false, "one repetition, short windows, few sizes: to see that it works")
	f.StringVar(&o.cache, "cache", "", "where servers and packages are kept (default beneath the user's cache directory)")
	f.StringVar(&o.dir, "dir", "/var/tmp", "where the stores are made, on the disk that is measured; removed afterwards")
	f.StringVar(&o.out, "out", "results.jsonl", "file to which each measurement is appended as a line")
	f.BoolVar(&o.boost, "boost", false, "as root: give the engines more weight than the rest of the machine has")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("there is no argument %q; everything is a flag", f.Arg(0))
	}
	if o.short {
		given := map[string]bool{}
		f.Visit(func(f *flag.Flag) { given[f.Name] = true })
		if !given["reps"] {
			o.reps = shortReps
		}
		if !given["secs"] {
			window = shortWindow
		}
		if !given["warm"] {
			warm = shortWarm
		}
	}
	if o.reps < 1 || window <= 0 || warm < 0 {
		return o, fmt.Errorf("--reps and --secs must be more than 0, and --warm not less")
	}
	o.window, o.warm = seconds(window), seconds(warm)
	var err error
	if o.peers, err = choose(all, engines); err != nil {
		return o, err
	}
	if o.loads, err = trial.Parse(loads, o.short); err != nil {
		return o, err
	}
	if o.cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("name a directory with --cache: %w", err)
		}
		o.cache = filepath.Join(base, "orpine-peers")
	}
	o.cache, err = filepath.Abs(o.cache)
	return o, err
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func names(peers []*peer.Peer) []string {
	var all []string
	for _, p := range peers {
		all = append(all, p.Name)
	}
	return all
}

// choose picks the peers of a list; an engine with several stores may be named without.
func choose(all []*peer.Peer, list string) ([]*peer.Peer, error) {
	if list == "" {
		return all, nil
	}
	chosen := map[string]bool{}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimSpace(name)
		matches := 0
		for _, p := range all {
			if p.Name == name || strings.HasPrefix(p.Name, name+"-") {
				chosen[p.Name] = true
				matches++
			}
		}
		if matches == 0 {
			return nil, fmt.Errorf("there is no engine %q; there are %s", name, strings.Join(names(all), ", "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(p *peer.Peer) bool { return !chosen[p.Name] }), nil
}
