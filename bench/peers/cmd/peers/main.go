// Command peers runs the same workloads on Orpine and on other durable-execution engines,
// on this machine, in turn, and prints one table for each workload.
//
// It alone reads flags and chooses the exit code; what it does is wiring. It stands beside
// the line request -> run -> step -> journal -> event -> client.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Main is the command. The tables go to out, everything else to log.
func Main(ctx context.Context, args []string, out, log io.Writer) int {
	o, err := parse(args, log)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintln(log, "peers:", err)
		return exitUsage
	}
	err = run(ctx, o, out, log)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(log, "peers: interrupted; the tables hold what was measured before")
		return exitInterrupted
	case err != nil:
		fmt.Fprintln(log, "peers:", err)
		return exitFailed
	default:
		return exitOK
	}
}
