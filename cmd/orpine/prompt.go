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
	fmt.Fprint(a.stderr, "> ")
	type line struct {
		text string
		err  error
	}
	read := make(chan line, 1)
	go func() { // reading a terminal cannot be interrupted: it is left behind when ctx ends
		text, err := bufio.NewReader(a.stdin).ReadString('\n')
		read <- line{text, err}
	}()
	select {
	case l := <-read:
		return strings.TrimSpace(l.text), nil // an end of input is no answer
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
