package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"
)

// Process is a process under way. Its pipes may be used by one goroutine each; whoever has
// started it closes them.
type Process struct {
	Stdin  io.WriteCloser
	Stdout io.ReadCloser
	Stderr io.ReadCloser

	first int           // the process that all others of it are beneath, by the number of this machine
	kill  func()        // ends it and all it has started; may be called at any time
	ended chan struct{} // closed when it has ended and exit is set
	exit  Exit

	mu    sync.Mutex
	cause Limit // why it was killed, the first reason
}

// Exit is how a process ended.
type Exit struct {
	Code    int            // its exit code; 128 and the number of the signal where one ended it
	Signal  syscall.Signal // that ended it; 0 = none
	Limit   Limit          // what it ran into, when it was killed for that
	Dropped int64          // bytes of output beyond Limits.Output, of both streams; Run only
}

// Limit names what a process was killed for.
type Limit string

// The limits. What does not kill, such as a process too many, is an error for whoever tries.
const (
	LimitWall     Limit = "wall time"
	LimitMemory   Limit = "memory"
	LimitDisk     Limit = "disk"
	LimitCPU      Limit = "CPU time"
	LimitFileSize Limit = "file size"
	LimitCanceled Limit = "canceled" // the context ended, or Kill was called
)

// Kill ends the process and everything it has started. It may be called at any time, and
// more than once.
func (p *Process) Kill() { p.end(LimitCanceled) }

func (p *Process) end(why Limit) {
	p.blame(why)
	p.kill()
}

// blame records why the process is ended; the first reason counts.
func (p *Process) blame(why Limit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cause == "" {
		p.cause = why
	}
}

// Wait waits for the end of the process. What it wrote can still be read then. It may be
// called by several goroutines.
func (p *Process) Wait() Exit {
	<-p.ended
	return p.exit
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.ended }

// finish records the end; whoever reaps the process calls it, once.
func (p *Process) finish(status syscall.WaitStatus) {
	p.exit = Exit{Code: status.ExitStatus()}
	if status.Signaled() {
		p.exit.Signal = status.Signal()
		p.exit.Code = 128 + int(status.Signal())
		p.mu.Lock()
		p.exit.Limit = p.cause
		p.mu.Unlock()
		if p.exit.Limit == "" {
			p.exit.Limit = limitOf(p.exit.Signal)
		}
	}
	close(p.ended)
}

// watch kills the process when ctx ends or its time is up.
func (p *Process) watch(ctx context.Context, wall time.Duration) {
	var up <-chan time.Time
	if wall > 0 {
		t := time.NewTimer(wall)
		defer t.Stop()
		up = t.C
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.end(LimitCanceled)
	case <-up:
		p.end(LimitWall)
	}
}

// Streams are those of a process that Run waits for; each may be nil. In must come to an end.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// Run starts a process, copies its streams while it runs and waits for its end. Of each of
// stdout and stderr the first Limits.Output bytes are passed on and the rest is counted in
// Exit.Dropped. The error is that of Start, of a writer, or of ctx when that ended first; a
// process that ended badly is no error.
func (s *Sandbox) Run(ctx context.Context, spec Spec, io3 Streams) (Exit, error) {
	p, err := s.Start(ctx, spec)
	if err != nil {
		return Exit{}, err
	}
	most := spec.Limits.orDefaults().Output
	var outs sync.WaitGroup
	var dropped [2]int64
	var failed [2]error
	for i, pipe := range []struct {
		from io.ReadCloser
		to   io.Writer
	}{{p.Stdout, io3.Out}, {p.Stderr, io3.Err}} {
		outs.Go(func() {
			dropped[i], failed[i] = pass(pipe.to, pipe.from, most)
			if failed[i] != nil {
				p.Kill()
			}
			_ = pipe.from.Close()
		})
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		if io3.In != nil {
			_, _ = io.Copy(p.Stdin, io3.In) // a process need not read what it is given
		}
		_ = p.Stdin.Close()
	}()
	outs.Wait()
	exit := p.Wait()
	_ = p.Stdin.Close() // wakes who still writes
	<-fed
	exit.Dropped = dropped[0] + dropped[1]
	if err := errors.Join(failed[0], failed[1]); err != nil {
		return exit, fmt.Errorf("pass on the output of %s: %w", spec.Command[0], err)
	}
	if exit.Limit == LimitCanceled && ctx.Err() != nil {
		return exit, context.Cause(ctx)
	}
	return exit, nil
}

// pass copies the first bytes and counts the rest.
func pass(to io.Writer, from io.Reader, most int64) (dropped int64, err error) {
	if to == nil {
		to = io.Discard
	}
	if _, err := io.CopyN(to, from, most); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrClosed) {
			return 0, nil
		}
		return 0, err
	}
	dropped, err = io.Copy(io.Discard, from)
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	return dropped, err
}
