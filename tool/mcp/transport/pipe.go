package transport

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Process is a server that runs. Wait returns once it has ended and its output was read or
// closed; Kill ends it and what it started, and may be called at any time and more than once.
type Process interface {
	Stdin() io.WriteCloser
	Stdout() io.Reader
	Stderr() io.Reader
	Wait() error
	Kill()
}

// The bounds of what a process may say and how long it may take to end.
const (
	MaxMessage = 16 << 20        // bytes of one message
	maxNoise   = 256 << 10       // bytes on stdout that are no messages
	maxSaid    = 2 << 10         // bytes of stderr that are remembered
	StopTime   = 2 * time.Second // between the end of its input and a kill
	lineBuffer = 64 << 10        // bytes
	tellSaid   = 400             // bytes of what it said in a message of ours
	DeadTime   = 5 * time.Second // that a killed process may take to be gone
)

// Pipe is the connection to a process: a message is a line of JSON. It is a transport and the
// connection it makes.
type Pipe struct {
	proc  Process
	in    *bufio.Reader
	said  *tail // the end of stderr
	dead  chan struct{}
	ended chan struct{}
	exit  error // of the process, once dead is closed

	write sync.Mutex
	stop  sync.Once
	lines chan line
	gone  chan struct{} // closed by Close

	mu     sync.Mutex
	noise  int                   // bytes on stdout since the last message that were none
	first  string                // the first of those lines
	calls  map[jsonrpc.ID]*Reach // that were sent and not answered
	asks   int                   // requests of the server that were not answered
	budget float64               // progress that may be passed on now
	filled time.Time             // when that was reckoned
}

type line struct {
	message jsonrpc.Message
	err     error
}

var (
	_ sdk.Transport  = (*Pipe)(nil)
	_ sdk.Connection = (*Pipe)(nil)
)

// NewPipe makes the connection to a process that was started. It is closed once, by the SDK or its
// owner; the process has then ended.
func NewPipe(p Process) *Pipe {
	c := &Pipe{
		proc: p, in: bufio.NewReaderSize(p.Stdout(), lineBuffer), said: &tail{most: maxSaid},
		dead: make(chan struct{}), ended: make(chan struct{}), lines: make(chan line), gone: make(chan struct{}),
		calls: map[jsonrpc.ID]*Reach{}, budget: maxProgress, filled: time.Now(),
	}
	go c.listen()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(c.said, p.Stderr()) // its end is the end of the process, which Wait tells
	}()
	go func() {
		c.exit = p.Wait()
		close(c.dead)
		select { // for its last words
		case <-drained:
		case <-time.After(100 * time.Millisecond):
		}
		close(c.ended)
	}()
	return c
}

// Dead is closed when the process has ended.
func (c *Pipe) Dead() <-chan struct{} { return c.dead }

// Ended is closed when also its last words were read.
func (c *Pipe) Ended() <-chan struct{} { return c.ended }

// Kill ends the process at once.
func (c *Pipe) Kill() { c.proc.Kill() }

// Connect implements the transport: the process is the connection.
func (c *Pipe) Connect(context.Context) (sdk.Connection, error) { return c, nil }

// SessionID implements the connection; a pipe has none.
func (*Pipe) SessionID() string { return "" }

// Read implements the connection.
func (c *Pipe) Read(ctx context.Context) (jsonrpc.Message, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.gone:
		return nil, io.EOF
	case l := <-c.lines:
		return l.message, l.err
	}
}

// The bounds of what a process may want of us.
const (
	maxAsks     = 256 // requests that it has not read the answers of
	maxProgress = 50  // notifications of progress that are passed on in a second
)

// wanted looks at a message before it is passed on: what nobody listens to is not, so that a
// flood of it fills nothing.
func (c *Pipe) wanted(m jsonrpc.Message) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noise = 0 // it speaks MCP, whatever it writes in between
	switch m := m.(type) {
	case *jsonrpc.Response:
		if r := c.calls[m.ID]; r != nil {
			r.Answered.Store(true)
			delete(c.calls, m.ID)
		}
	case *jsonrpc.Request:
		if m.IsCall() {
			c.asks++
			if c.asks > maxAsks {
				return false, durable.Errorf(durable.CodeUnavailable, "it sent %d requests and did not read the answers", c.asks)
			}
			return true, nil
		}
		switch m.Method {
		case "notifications/progress":
			now := time.Now()
			c.budget = min(maxProgress, c.budget+now.Sub(c.filled).Seconds()*maxProgress)
			c.filled = now
			if c.budget < 1 {
				return false, nil
			}
			c.budget--
		case "notifications/cancelled", "notifications/tools/list_changed", "notifications/subscriptions/acknowledged", "notifications/elicitation/complete":
		default:
			return false, nil
		}
	}
	return true, nil
}

// sends takes note of a message that is about to be sent.
func (c *Pipe) sends(ctx context.Context, m jsonrpc.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch m := m.(type) {
	case *jsonrpc.Response:
		c.asks = max(c.asks-1, 0)
	case *jsonrpc.Request:
		if r := ReachOf(ctx); r != nil && m.IsCall() {
			r.Sent.Store(true)
			c.calls[m.ID] = r
		}
	}
}

// Write implements the connection. A process that does not read holds it up until ctx ends.
func (c *Pipe) Write(ctx context.Context, m jsonrpc.Message) error {
	data, err := jsonrpc.EncodeMessage(m)
	if err != nil {
		return fmt.Errorf("encode a message: %w", err)
	}
	select {
	case <-c.dead: // so it is certain that it was not sent
		return io.ErrClosedPipe
	default:
	}
	done := make(chan error, 1)
	go func() {
		c.write.Lock()
		defer c.write.Unlock()
		c.sends(ctx, m)
		_, err := c.proc.Stdin().Write(append(data, '\n'))
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-c.gone:
		return io.ErrClosedPipe
	case <-ctx.Done():
		return ctx.Err()
	}
}

// listen reads messages until there is an error, which is the last thing that Read returns.
func (c *Pipe) listen() {
	for {
		m, err := c.next()
		if _, ours := errors.AsType[*durable.Error](err); ours {
			c.proc.Kill() // it does not speak MCP: there is nothing to wait for
		}
		select {
		case c.lines <- line{m, err}:
		case <-c.gone:
			return
		}
		if err != nil {
			return
		}
	}
}

// next reads the next message. Lines that are none are passed over, up to a bound: some
// programs write a greeting to the wrong place.
func (c *Pipe) next() (jsonrpc.Message, error) {
	for {
		text, err := readLine(c.in, MaxMessage)
		if err != nil {
			return nil, err
		}
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		var probe struct {
			Version string `json:"jsonrpc"`
		}
		if text[0] == '{' && json.Unmarshal(text, &probe) == nil && probe.Version != "" {
			if m, err := jsonrpc.DecodeMessage(text); err == nil {
				wanted, err := c.wanted(m)
				if wanted || err != nil {
					return m, err
				}
				continue
			}
		}
		if err := c.pass(text); err != nil {
			return nil, err
		}
	}
}

// pass takes note of a line that is no message.
func (c *Pipe) pass(text []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == "" {
		c.first = tool.Clip(string(text), tellSaid)
	}
	if c.noise += len(text); c.noise > maxNoise {
		return durable.Errorf(durable.CodeUnavailable, "it wrote more than %d bytes to its standard output that are no MCP messages, beginning with %q", maxNoise, c.first)
	}
	return nil
}

var errLong = durable.Errorf(durable.CodeUnavailable, "it sent a message longer than %d bytes", MaxMessage)

// readLine reads a line without its end, up to a number of bytes.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	var all []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(all)+len(part) > most {
			return nil, errLong
		}
		all = append(all, part...)
		switch {
		case err == nil:
			return all, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(all) > 0:
			return all, nil
		default:
			return nil, err
		}
	}
}

// Close implements the connection: the end of its input tells the process to end, and one that
// does not is killed.
func (c *Pipe) Close() error {
	c.stop.Do(func() {
		close(c.gone)
		go func() { _ = c.proc.Stdin().Close() }() // a write that is stuck holds it up
		select {
		case <-c.ended:
		case <-time.After(StopTime):
		}
		c.proc.Kill() // also what it may have left behind
		select {
		case <-c.ended:
		case <-time.After(DeadTime):
		}
	})
	return nil
}

// Obituary is what can be said of a process that ended or misbehaved.
func (c *Pipe) Obituary() string {
	var parts []string
	select {
	case <-c.ended:
		if c.exit != nil {
			parts = append(parts, "it ended: "+c.exit.Error())
		} else {
			parts = append(parts, "it ended by itself")
		}
	default:
	}
	c.mu.Lock()
	if c.first != "" {
		parts = append(parts, fmt.Sprintf("its standard output, which is for MCP messages only, began with %q", c.first))
	}
	c.mu.Unlock()
	if said := c.said.String(); said != "" {
		parts = append(parts, fmt.Sprintf("its last words on stderr: %q", said))
	}
	return strings.Join(parts, "; ")
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	mu   sync.Mutex
	data []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(p) > t.most {
		t.data = append(t.data[:0], p[len(p)-t.most:]...)
		return len(p), nil
	}
	t.data = append(t.data, p...)
	if over := len(t.data) - t.most; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

// String is the end of it, shortened for a message.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.data), "�"))
	if len(text) > tellSaid {
		text = "…" + strings.ToValidUTF8(text[len(text)-tellSaid:], "")
	}
	return text
}
