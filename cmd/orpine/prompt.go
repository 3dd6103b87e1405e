package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// prompt waits for the answer of the person at the terminal, who has read the
// question in the progress. An empty line means that they do not want to answer now.
func (a *app) prompt(ctx context.Context, i durable.Interrupt) (string, error) {
	if len(i.Options) > 0 {
		fmt.Fprintf(a.stderr, "(%s, or your own words; an empty line leaves it open)\n", strings.Join(i.Options, ", "))
	}
	return a.line(ctx, "")
}

// line waits for a line of the person at the terminal.
func (a *app) line(ctx context.Context, label string) (string, error) {
	fmt.Fprint(a.stderr, label+"> ")
	if a.lines == nil {
		a.lines = bufio.NewReader(a.stdin)
	}
	read := make(chan string, 1)
	go func() { // reading a terminal cannot be interrupted: it is left behind when ctx ends
		text, _ := a.lines.ReadString('\n') // an end of input is no answer
		read <- text
	}()
	select {
	case text := <-read:
		return strings.TrimSpace(text), nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
