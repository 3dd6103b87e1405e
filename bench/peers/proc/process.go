package proc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// grace is how long a process that was asked to end is waited for.
const grace = 5 * time.Second

// Spec says what to start.
type Spec struct {
	Path string
	Args []string
	Dir  string       // where it runs; where we run when empty
	Env  []string     // beside our own environment
	User *User        // who it runs as; we when nil
	Line func(string) // called with each line of standard output, if not nil
}

// User is an account to run as.
type User struct{ UID, GID uint32 }

// Process is a process that was started here. It dies with us, however we die.
type Process struct {
	cmd   *exec.Cmd
	done  chan struct{} // closed when it has ended and its output was read
	err   error         // how it ended; read it after done
	tail  *tail
	begun time.Time
}

// Start starts a process.
func Start(s Spec) (*Process, error) {
	// No CommandContext: it would kill the process alone and leave its children.
	cmd := exec.Command(s.Path, s.Args...) //nolint:noctx // see above
	cmd.Dir = s.Dir
	cmd.Env = append(cmd.Environ(), s.Env...)
	p := &Process{cmd: cmd, done: make(chan struct{}), tail: &tail{}}
	cmd.Stderr, cmd.WaitDelay = p.tail, grace
	// A session of its own, so that Ctrl-C reaches us alone and we end it in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
	if s.User != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: s.User.UID, Gid: s.User.GID}
	}
	lines := s.Line
	if lines == nil {
		cmd.Stdout = p.tail
	}
	var out io.ReadCloser
	if lines != nil {
		var err error
		if out, err = cmd.StdoutPipe(); err != nil {
			return nil, err
		}
	}
	p.begun = time.Now()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Path, err)
	}
	go func() {
		if lines != nil {
			scan := bufio.NewScanner(out)
			for scan.Scan() {
				lines(scan.Text())
			}
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// PID is its id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Begun is when it was started.
func (p *Process) Begun() time.Time { return p.begun }

// Done is closed when it has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says how it ended, with the last it said; nil as long as it runs or when it ended well.
func (p *Process) Err() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	if p.err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w: %s", p.cmd.Path, p.err, p.tail)
}

// Said is the last it wrote to standard error.
func (p *Process) Said() string { return p.tail.String() }

// Kill ends the process and all beneath it at once, as a power cut would, and returns
// when it has gone.
func (p *Process) Kill() {
	for _, pid := range Tree(p.PID()) {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended meanwhile
	}
	<-p.done
}

// Stop asks the process to end, and kills it when it takes too long.
func (p *Process) Stop() {
	if err := p.cmd.Process.Signal(os.Interrupt); err == nil {
		select {
		case <-p.done:
			return
		case <-time.After(grace):
		}
	}
	p.Kill()
}

// Run runs a command to its end; the error has the last it said. It is killed, with all
// beneath it, when ctx ends.
func Run(ctx context.Context, s Spec) error {
	p, err := Start(s)
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
		return p.Err()
	case <-ctx.Done():
		p.Kill()
		return ctx.Err()
	}
}

// ErrEnded is the error of Until for a process that has ended.
var ErrEnded = errors.New("it has ended")

// Until calls ready until it returns nil: the process is up. It gives up when the
// process ends, when ctx does, or after limit.
func (p *Process) Until(ctx context.Context, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s: %w: %s", p.cmd.Path, ErrEnded, p.tail)
		case <-ctx.Done():
			return fmt.Errorf("%s is not up: %w (%s)", p.cmd.Path, err, p.tail)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// tail keeps the last that was written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

// tailBytes is how much of the output of a process an error shows.
const tailBytes = 1500

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	if len(t.data) > tailBytes {
		t.data = append([]byte(nil), t.data[len(t.data)-tailBytes:]...)
	}
	return len(data), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.data))
}
