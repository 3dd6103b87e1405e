package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"time"
)

// The parts that a process of this program can play.
const (
	partModel = "model" // serves the model
	partPark  = "park"  // parks runs, then waits to be killed
	partFirst = "first" // opens a data directory and gets one step going
)

// part is what a child process is told.
type part struct {
	Part       string        `json:"part"`
	Dir        string        `json:"dir,omitempty"`
	Durability Durability    `json:"durability,omitempty"`
	Runs       int           `json:"runs,omitempty"`
	Payload    int           `json:"payload,omitempty"`
	Run        string        `json:"run,omitempty"`   // first: this one goes on; a new one when empty
	Delay      time.Duration `json:"delay,omitempty"` // model: before each answer
	Reply      int           `json:"reply,omitempty"` // model: bytes of an answer
	Rounds     int           `json:"rounds,omitempty"`
}

// report is what a child process tells, one JSON line each.
type report struct {
	URL   string   `json:"url,omitempty"`
	Runs  []string `json:"runs,omitempty"` // some of the parked ones
	Open  float64  `json:"open,omitempty"` // milliseconds
	Step  int64    `json:"step,omitempty"` // when the step began, Unix nanoseconds
	RSS   float64  `json:"rss,omitempty"`
	CPU   float64  `json:"cpu,omitempty"`
	Error string   `json:"error,omitempty"`
}

// child is a process of this program that plays a part until its input ends or it is
// killed; it does not outlive us.
type child struct {
	cmd   *exec.Cmd
	in    io.Closer
	out   *bufio.Reader
	began time.Time
}

func (b *bench) spawn(ctx context.Context, p part) (*child, error) {
	told, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	if len(b.Self) == 0 {
		return nil, invalid("workload %s needs to know how to start itself", b.Workload)
	}
	args := append(b.Self[1:len(b.Self):len(b.Self)], string(told))
	c := &child{cmd: exec.CommandContext(ctx, b.Self[0], args...)} //nolint:gosec // our own executable
	c.cmd.Stderr = b.Stderr
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.in, c.out, c.began = in, bufio.NewReader(out), time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process that plays the %s: %w", p.Part, err)
	}
	return c, nil
}

// next waits for the next report.
func (c *child) next() (report, error) {
	var r report
	line, err := c.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &r)
	}
	if err == nil && r.Error != "" {
		err = errors.New(r.Error)
	}
	if err != nil {
		_ = c.cmd.Process.Kill() // it may have ended by itself
		return r, errors.Join(fmt.Errorf("read from a child process: %w", err), c.cmd.Wait())
	}
	return r, nil
}

// kill ends the process with SIGKILL and waits until it is gone.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	if exit, ok := errors.AsType[*exec.ExitError](c.cmd.Wait()); !ok || exit.Exited() {
		err = errors.Join(err, errors.New("a process that was to be killed had ended by itself"))
	}
	return err
}

// stop ends the input of the process, which ends it, and waits.
func (c *child) stop() error { return errors.Join(c.in.Close(), c.cmd.Wait()) }

// Child plays a part in a process of its own. It returns when in ends.
func Child(ctx context.Context, told string, in io.Reader, out io.Writer) error {
	var p part
	dec := json.NewDecoder(bytes.NewReader([]byte(told)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		return invalid("what a child process is to do: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		_, _ = io.Copy(io.Discard, in) // an error ends it too
		stop()
	}()
	say := json.NewEncoder(out)
	var err error
	switch p.Part {
	case partModel:
		err = serveModel(ctx, p, say)
	case partPark:
		err = park(ctx, p, say)
	case partFirst:
		err = first(ctx, p, say)
	default:
		return invalid("there is no part %q", p.Part)
	}
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, say.Encode(report{Error: err.Error()}))
	}
	return nil
}

// closing closes what was opened and joins its error to another.
func closing(err error, c io.Closer) error { return errors.Join(err, c.Close()) }
