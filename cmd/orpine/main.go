// Command orpine runs, watches and answers agents in a data directory.
//
// One file is one verb. The command alone reads flags and the environment, writes
// to the terminal and chooses exit codes; everything else is done by the packages
// it wires together. On the line request -> run -> step -> journal -> event ->
// client it is the client, of a server or of the process that owns the data directory,
// and, where there is neither, the process in which runs are driven.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // schedules name time zones, and the machine may have none

	"github.com/alecthomas/kong"
)

func main() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(Main(untilSignal(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.LookupEnv))
}

// gcPercent lets the heap, which is small because runs that wait are not in it, grow to
// three times what is alive before it is collected; GOGC overrides it. More gave nothing:
// what is saved in collecting is lost in touching new memory.
const gcPercent = 200

// errTerminated is the cause of a context that ended with SIGTERM: what is under way is to
// be finished. After Ctrl-C somebody waits for the prompt.
var errTerminated = fmt.Errorf("terminated: %w", context.Canceled)

// untilSignal returns a context that the first signal ends. The second one ends the
// process: nothing is lost by that, only done again.
func untilSignal() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		if <-signals == syscall.SIGTERM {
			cancel(errTerminated)
		} else {
			cancel(context.Canceled)
		}
		<-signals
		os.Exit(exitInterrupted)
	}()
	return ctx
}

// cli is the command line: global flags, then a verb.
type cli struct {
	Data   string `help:"Data directory." default:"./.orpine" env:"ORPINE_DATA" placeholder:"DIR"`
	Server string `help:"URL of a server: the verb is done there, and no data directory is touched." env:"ORPINE_SERVER" placeholder:"URL"`
	Token  string `help:"Token for the server." env:"ORPINE_TOKEN" placeholder:"TOKEN"`
	Output string `short:"o" help:"Format of the answer on standard output: ${enum}." enum:"table,wide,json,jsonl,yaml,name" default:"table"`

	Run       runCmd        `cmd:"" help:"Run an agent or a workflow from a YAML file."`
	Backfill  backfillCmd   `cmd:"" help:"Run a workflow for each of some partitions."`
	Demo      demoCmd       `cmd:"" help:"Run a demonstration."`
	Ps        psCmd         `cmd:"" help:"List runs."`
	Top       topCmd        `cmd:"" help:"Show what is in motion, and go on showing it."`
	Show      showCmd       `cmd:"" help:"Show a run."`
	Tree      treeCmd       `cmd:"" help:"Show a run with its children."`
	Steps     stepsCmd      `cmd:"" help:"List the steps of a run."`
	Logs      logsCmd       `cmd:"" help:"Print the events of a run."`
	Assets    assetsCmd     `cmd:"" help:"List what the steps of workflows have made."`
	Diff      diffCmd       `cmd:"" help:"Compare two runs step by step."`
	Replay    replayCmd     `cmd:"" help:"Hold a run's journal against the programs of this build."`
	Wait      waitCmd       `cmd:"" help:"Wait for a run, driving it if nobody else does."`
	Answer    answerCmd     `cmd:"" help:"Answer the question a run waits for."`
	Approvals approvalsCmd  `cmd:"" help:"List what waits for a person."`
	Approve   approveCmd    `cmd:"" help:"Let an agent make the call it wants to make."`
	Reject    rejectCmd     `cmd:"" help:"Do not let it, and say why."`
	Edit      editCmd       `cmd:"" help:"Let it make the call with other arguments."`
	Respond   respondCmd    `cmd:"" help:"Tell it something in place of a result."`
	Resolve   resolveCmd    `cmd:"" help:"Say what became of a step in doubt."`
	Pause     pauseCmd      `cmd:"" help:"Stop a run until it is resumed."`
	Resume    resumeCmd     `cmd:"" help:"Let a paused run go on, or a blocked one try again."`
	Steer     steerCmd      `cmd:"" help:"Tell an agent something while it is at work."`
	Send      sendCmd       `cmd:"" help:"Send a run a signal."`
	Fork      forkCmd       `cmd:"" help:"Start a run that goes another way from a step of a run on."`
	Retry     retryCmd      `cmd:"" help:"Try again what did not succeed, in a new run."`
	Migrate   migrateCmd    `cmd:"" help:"Have a run go on by another definition of its workflow."`
	Cancel    cancelCmd     `cmd:"" help:"Ask a run to stop; its clean-up runs."`
	Kill      killCmd       `cmd:"" help:"End a run now; none of its code runs."`
	Export    exportCmd     `cmd:"" help:"Write a run to one file."`
	Import    importCmd     `cmd:"" help:"Take up a run from a file."`
	Serve     serveCmd      `cmd:"" help:"Drive runs and serve them over HTTP."`
	Agents    agentsCmd     `cmd:"" help:"List, show and roll back the agents of a server."`
	Tokens    tokenCmd      `cmd:"" name:"token" help:"Make, list and revoke the tokens of a server."`
	Schedule  scheduleCmd   `cmd:"" help:"List, pause, fire and backfill schedules."`
	Trigger   triggerCmd    `cmd:"" help:"List, set and fire triggers, and tell of events."`
	Webhook   webhookCmd    `cmd:"" help:"Have a URL told when runs change their status."`
	Rules     rulesCmd      `cmd:"" help:"List and take back the decisions that stand."`
	Audit     auditCmd      `cmd:"" help:"Print who asked a server for what."`
	Tools     toolsCmd      `cmd:"" help:"List the tools of an agent, and explain what becomes of a call."`
	MCP       mcpCmd        `cmd:"" name:"mcp" help:"List, test, call and trust MCP servers."`
	Secret    secretCmd     `cmd:"" help:"Keep what tools need and nobody may see."`
	Check     checkCmd      `cmd:"" help:"Check a YAML file, or whether this build can go on with all runs."`
	Doctor    doctorCmd     `cmd:"" help:"Look for trouble in the environment and the data directory."`
	FakeModel fakeModelCmd  `cmd:"" name:"fake-model" help:"Serve a scripted model over HTTP in the wire formats of OpenAI and Anthropic."`
	Bench     benchCmd      `cmd:"" help:"Measure this machine with it, and it with this machine."`
	Child     benchChildCmd `cmd:"" name:"bench-child" hidden:"" help:"Play a part of a workload of bench in a process of its own."`
	Version   versionCmd    `cmd:"" help:"Print the version."`
	Complete  completionCmd `cmd:"" name:"completion" help:"Print a completion script for a shell."`
}

const description = `Orpine runs agents that survive the death of their process.

A REF names a run: its ID, a unique prefix of it, its name, or @last.

Exit codes: 0 ok, 1 run failed, 2 usage or invalid file, 3 environment, 4 not found,
5 waiting for a person, 6 denied, 7 budget exhausted, 8 replay mismatch, 9 conflict,
124 timeout, 130 interrupted.

Examples:
  orpine demo cost --crash --answer accept
  orpine run agent.yaml "What is new?"
  orpine ps
  orpine answer @last accept`

// Main runs one command line and returns its exit code.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) (string, bool)) int {
	var c cli
	args = spelled(args)
	a := newApp(&c, stdin, stdout, stderr, env)
	exited := -1
	parser, err := kong.New(&c, kong.Name("orpine"), kong.Description(description), kong.UsageOnError(),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exited = code }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true}),
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(a), onlyVerb(args))
	if err != nil {
		fmt.Fprintln(stderr, "orpine:", err)
		return exitInternal
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited // help was printed
	}
	if err != nil {
		fmt.Fprintf(stderr, "orpine: %v\nTry '%s --help'.\n", err, verbOf(err))
		return exitUsage
	}
	if c.Data == "" {
		c.Data = defaultData // the variable is set, but empty
	}
	a.parser, a.args = parser, args
	err = parsed.Run()
	if unclosed := a.close(); err == nil {
		err = unclosed
	}
	return a.report(ctx, err)
}

// spelled is the command line as it is meant: nothing asks for help, and --version and help
// are what people try first.
func spelled(args []string) []string {
	switch {
	case len(args) == 0:
		return []string{"--help"}
	case len(args) == 1 && args[0] == "--version":
		return []string{"version"}
	case args[0] == "help":
		return append(slices.Clone(args[1:]), "--help")
	}
	return args
}

// verbOf is the command as far as it was understood.
func verbOf(err error) string {
	path := "orpine"
	if e, ok := errors.AsType[*kong.ParseError](err); ok {
		for _, p := range e.Context.Path {
			if p.Command != nil {
				path = "orpine " + p.Command.Path()
			}
		}
	}
	return path
}

// onlyVerb leaves out all verbs but the one that the command line begins with: to make a
// parser of all takes longer than to open a data directory. A line that begins otherwise
// may mean any of them, and the completion names them all.
func onlyVerb(args []string) kong.Option {
	var others []string
	found := false
	for _, f := range reflect.VisibleFields(reflect.TypeFor[cli]()) {
		if _, verb := f.Tag.Lookup("cmd"); !verb {
			continue
		}
		if len(args) > 0 && args[0] == cmp.Or(f.Tag.Get("name"), strings.ToLower(f.Name)) && f.Name != "Complete" {
			found = true
		} else {
			others = append(others, f.Name)
		}
	}
	if !found {
		return kong.OptionFunc(func(*kong.Kong) error { return nil })
	}
	return kong.IgnoreFields(`^cli\.(` + strings.Join(others, "|") + `)$`)
}
