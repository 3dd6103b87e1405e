package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/bench"
	"github.com/orpine-run/orpine/durable"
)

type benchCmd struct {
	Steps   benchStepsCmd   `cmd:"" help:"Runs of sequential steps: steps a second, time from step to step."`
	Agents  benchAgentsCmd  `cmd:"" help:"Agents against a model over HTTP: runs a second, time of a run."`
	Parked  benchParkedCmd  `cmd:"" help:"Runs that wait: memory, disk, time to go on."`
	Recover benchRecoverCmd `cmd:"" help:"A process that is killed: time until another one serves a step."`
	Thread  benchThreadCmd  `cmd:"" help:"One long conversation: bytes written for what is new, time to replay it."`
	Floor   benchFloorCmd   `cmd:"" help:"What plain code reaches on this machine."`
}

// benchFlags are what all workloads share.
type benchFlags struct {
	Secs       float64 `help:"Seconds to measure, after a warm-up." default:"5" placeholder:"T"`
	Durability string  `help:"What a recorded step survives: full is a power cut, process the death of the process." default:"full" placeholder:"full|process"`
	Dir        string  `help:"An empty directory to work in; a new one beside the data directory when absent. Removed at the end." placeholder:"DIR"`

	NoFloor bool `hidden:"" help:"Leave the floors out, so that only the workload is seen from outside."`
}

// benchHelp is the end of every help text here.
const benchHelp = `
The floor is measured in the same run, on the same disk, with the same payload and as many at
once: raw_per_s is plain records appended to a log, sqlite_per_s rows into bare SQLite, both
with group commit; sqlite_p50_ms is one row committed alone. Compare a figure with its floor,
not with a figure of another machine.

Examples:
`

type benchStepsCmd struct {
	Runs    int `help:"Runs at once." default:"256" placeholder:"N"`
	Steps   int `help:"Steps of a run." default:"20" placeholder:"S"`
	Payload int `help:"Bytes that a step returns." default:"1000" placeholder:"B"`
	benchFlags
}

// Help implements kong.HelpProvider.
func (benchStepsCmd) Help() string {
	return `Each of N drivers starts a run of S sequential steps, waits for its end and starts the next. The
result of a step is durable before the next one begins. p50_ms and p99_ms are the times from the
beginning of a step to that of the next in the same run.
` + benchHelp + `  orpine bench steps
  orpine bench steps --runs 1 -o json
  orpine bench steps --durability process --secs 10`
}

// Run measures.
func (c *benchStepsCmd) Run(ctx context.Context, a *app) error {
	return a.bench(ctx, c.benchFlags, bench.Config{Workload: bench.Steps, Runs: c.Runs, Steps: c.Steps, Payload: c.Payload})
}

type benchAgentsCmd struct {
	Runs    int    `help:"Agents at once." default:"100" placeholder:"N"`
	Payload int    `help:"Bytes that a tool returns." default:"768" placeholder:"B"`
	Loop    string `help:"Who is the agent: program is a Go program, agent the agent program with the openai adapter." default:"program" placeholder:"program|agent"`
	Effect  string `help:"What the model calls and tools are: ${enum}. A read may begin before the result before it is durable." enum:"read,idempotent,irreversible" default:"read"`
	benchFlags
}

// Help implements kong.HelpProvider.
func (benchAgentsCmd) Help() string {
	return `Each of N drivers starts an agent, waits for its answer and starts the next. An agent makes five
rounds of a model call and two tools at once, and a last model call: 16 steps, 145 ms if nothing
took any time. The model is another process, reached over HTTP, which answers 512 bytes after 20 ms;
a tool takes 5 ms. Model calls are reads, as in the agent program, and these tools are reads too;
with --effect idempotent each result is durable before the next step begins. nodurable_runs_per_s is the same loop with everything in memory.
` + benchHelp + `  orpine bench agents
  orpine bench agents --loop agent --runs 1 -o json`
}

// Run measures.
func (c *benchAgentsCmd) Run(ctx context.Context, a *app) error {
	return a.bench(ctx, c.benchFlags, bench.Config{Workload: bench.Agents, Runs: c.Runs, Payload: c.Payload, Loop: c.Loop, Effect: durable.Effect(c.Effect)})
}

type benchParkedCmd struct {
	Runs    int `help:"Runs that wait." default:"10000" placeholder:"N"`
	Payload int `help:"Bytes that the step before the wait returns." default:"1000" placeholder:"B"`
	benchFlags
}

// Help implements kong.HelpProvider.
func (benchParkedCmd) Help() string {
	return `N runs make one step and wait for a signal. ram_bytes_per_run is what memory grew by, once unused
memory is given back; idle_cpu_percent is of one core; p50_ms and p99_ms are the times from a
signal to the beginning of the step behind the wait, over 100 runs, one after the other.
` + benchHelp + `  orpine bench parked --runs 100000
  orpine bench parked -o json`
}

// Run measures.
func (c *benchParkedCmd) Run(ctx context.Context, a *app) error {
	return a.bench(ctx, c.benchFlags, bench.Config{Workload: bench.Parked, Runs: c.Runs, Payload: c.Payload})
}

type benchRecoverCmd struct {
	Runs    int `help:"Runs that wait when the process is killed." default:"10000" placeholder:"N"`
	Payload int `help:"Bytes that their step returned." default:"1000" placeholder:"B"`
	benchFlags
}

// Help implements kong.HelpProvider.
func (benchRecoverCmd) Help() string {
	return `A process parks N runs and is killed with SIGKILL. Another one opens the data directory (open_ms)
and serves a step of one of the runs: first_step_ms is from its exec on, as are cold_fresh_ms and
cold_existing_ms, the starts of a new run without and with a store. Each is the middle one of
several starts.
` + benchHelp + `  orpine bench recover
  orpine bench recover --runs 100000 -o json`
}

// Run measures.
func (c *benchRecoverCmd) Run(ctx context.Context, a *app) error {
	return a.bench(ctx, c.benchFlags, bench.Config{Workload: bench.Recover, Runs: c.Runs, Payload: c.Payload})
}

type benchThreadCmd struct {
	Calls        int `help:"Model calls." default:"1000" placeholder:"N"`
	ThreadTokens int `help:"Tokens that the thread grows to; from then on a call sends the newest." default:"200000" placeholder:"T"`
	ToolBytes    int `help:"Bytes that a tool returns." default:"5000" placeholder:"B"`
	ToolEvery    int `help:"Every so many calls ask for the tool." default:"1" placeholder:"K"`
	benchFlags
}

// Help implements kong.HelpProvider.
func (benchThreadCmd) Help() string {
	return `One run makes N model calls over one thread, and calls a tool after every K-th. A token counts as
4 bytes. written_per_unique is bytes_written / unique_bytes: how much is written for what is new.
At the end the data directory is opened again (open_ms) and the run is brought back to life
(replay_ms) by replaying its last segment. The workload is as long as its calls take; --secs is
only the measure of the floors.
` + benchHelp + `  orpine bench thread
  orpine bench thread --calls 100 --thread-tokens 20000 -o json`
}

// Run measures.
func (c *benchThreadCmd) Run(ctx context.Context, a *app) error {
	return a.bench(ctx, c.benchFlags, bench.Config{
		Workload: bench.Thread, Runs: 1, Payload: c.ToolBytes, Calls: c.Calls, ThreadTokens: c.ThreadTokens, ToolEvery: c.ToolEvery,
	})
}

type benchFloorCmd struct {
	Runs    int `help:"How many at once." default:"256" placeholder:"N"`
	Payload int `help:"Bytes of a record." default:"1000" placeholder:"B"`
	benchFlags
}

// Help implements kong.HelpProvider.
func (benchFloorCmd) Help() string {
	return `Only the floors, each for T seconds, the agents without durability included.
` + benchHelp + `  orpine bench floor
  orpine bench floor --runs 1 -o json`
}

// Run measures.
func (c *benchFloorCmd) Run(ctx context.Context, a *app) error {
	return a.bench(ctx, c.benchFlags, bench.Config{Workload: bench.Floors, Runs: c.Runs, Payload: c.Payload})
}

type benchChildCmd struct {
	Part string `arg:"" help:"What to do, as JSON."`
}

// Run plays the part.
func (c *benchChildCmd) Run(ctx context.Context, a *app) error {
	return bench.Child(ctx, c.Part, a.stdin, a.stdout)
}

// bench measures a workload and prints the result.
func (a *app) bench(ctx context.Context, f benchFlags, cfg bench.Config) error {
	self, err := os.Executable()
	if err != nil {
		return environmentError{fmt.Errorf("find this program to start it again: %w", err)}
	}
	cfg.Self = []string{self, "bench-child"}
	cfg.Secs, cfg.Durability, cfg.NoFloor = f.Secs, bench.Durability(f.Durability), f.NoFloor
	cfg.Stderr = a.stderr
	cfg.Progress = func(text string) { fmt.Fprintln(a.stderr, text) }
	if cfg.Dir = f.Dir; cfg.Dir == "" {
		if cfg.Dir, err = a.benchDir(); err != nil {
			return err
		}
		defer os.Remove(cfg.Dir) //nolint:errcheck // it is empty by then, or what went wrong was said
	}
	r, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	return a.print(listing{single: true, head: []string{"FIGURE", "VALUE", "OF THE FLOOR"}, rows: benchRows(r), names: []string{r.Workload}, values: []any{r}})
}

// benchDir makes a directory where the data directory would be, and so on its disk.
func (a *app) benchDir() (string, error) {
	data, err := filepath.Abs(a.flags.Data)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(filepath.Dir(data), ".orpine-bench-")
	if err != nil {
		return "", environmentError{fmt.Errorf("%w; choose another place with --dir or --data", err)}
	}
	return dir, nil
}

// benchRows is a result for a person: what is zero does not apply, and is left out.
func benchRows(r bench.Result) [][]string {
	var rows [][]string
	row := func(name string, v, floor float64, of string) {
		if v == 0 {
			return
		}
		share := ""
		if floor > 0 {
			share = fmt.Sprintf("%.0f %% of %s", 100*v/floor, of)
		}
		rows = append(rows, []string{name, digits(v), share})
	}
	rows = append(rows, []string{"workload", r.Workload, ""}, []string{"durability", string(r.Durability), ""})
	if r.Loop != "" {
		rows = append(rows, []string{"loop", r.Loop, ""})
	}
	row("runs", float64(r.Runs), 0, "")
	row("steps", float64(r.Steps), 0, "")
	row("payload", float64(r.Payload), 0, "")
	row("secs", r.Secs, 0, "")
	row("steps_per_s", r.StepsPerS, r.Floor.SQLite, "sqlite_per_s")
	row("runs_per_s", r.RunsPerS, r.Floor.NoDurable, "nodurable_runs_per_s")
	row("p50_ms", r.P50, 0, "")
	row("p99_ms", r.P99, 0, "")
	row("bytes_written", float64(r.Written), float64(r.Unique), "unique_bytes")
	row("unique_bytes", float64(r.Unique), 0, "")
	row("rss_mb", r.RSS, 0, "")
	row("cpu_s", r.CPU, 0, "")
	row("cpu_us_per_step", r.CPUPerStep, 0, "")
	row("cpu_ms_per_run", r.CPUPerRun, 0, "")
	row("allocs_per_step", r.AllocsPerStep, 0, "")
	row("disk_bytes_per_step", r.DiskPerStep, 0, "")
	row("disk_bytes_per_run", r.DiskPerRun, 0, "")
	row("ram_bytes_per_run", r.RAMPerRun, 0, "")
	row("idle_cpu_percent", r.IdleCPU, 0, "")
	row("open_ms", r.Open, 0, "")
	row("first_step_ms", r.FirstStep, 0, "")
	row("cold_fresh_ms", r.ColdFresh, 0, "")
	row("cold_existing_ms", r.ColdExisting, 0, "")
	row("replay_ms", r.Replay, 0, "")
	row("floor raw_per_s", r.Floor.Raw, 0, "")
	row("floor sqlite_per_s", r.Floor.SQLite, 0, "")
	row("floor sqlite_p50_ms", r.Floor.SQLiteP50, 0, "")
	row("floor nodurable_runs_per_s", r.Floor.NoDurable, 0, "")
	return rows
}

// digits is a figure with as many digits as mean something, and its thousands apart.
func digits(v float64) string {
	const whole = 1000
	if v < whole {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	var b strings.Builder
	for i, r := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(r)
	}
	return b.String()
}
