package durable

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"time"
)

// Effect says what a second execution of a step would do. It decides what the
// engine may repeat.
type Effect string

// The effect classes. A step function that names none is Idempotent (it gets a
// key); a tool that names none is Irreversible.
const (
	Read         Effect = "read"         // no effect: repeated freely
	Idempotent   Effect = "idempotent"   // the same key twice is the same as once
	Irreversible Effect = "irreversible" // intent is journaled first; in doubt after a crash
)

// Retry says when a failed step is tried again.
type Retry struct {
	Attempts int           // tries in all; 0 = the default (4; 1 for irreversible steps)
	Backoff  time.Duration // wait before the second try, doubled each time; 0 = 200 ms
	Max      time.Duration // longest wait; 0 = 30 s
	Jitter   float64       // shortens each wait at random by up to this part of it, 0 to 1
	Never    Codes         // failures with one of these codes are final, besides those that always are
}

// StepOptions are the engine's orders for a step. Zero fields take the defaults.
type StepOptions struct {
	Effect  Effect
	Retry   Retry
	Timeout time.Duration // of one attempt, from its start to its end; 0 = none

	// Within bounds the step as a whole, from the moment it is asked for to its end, with
	// all attempts and the waits between them, also across processes; 0 = no bound.
	Within time.Duration
	// Heartbeat ends an attempt that does not call Attempt.Beat at least this often; 0 = never.
	Heartbeat time.Duration
	// Limit names the limit that attempts share, such as that of a tool; "" = that of
	// the step function alone. Limits are set where the engine is opened.
	Limit string
}

// Or fills the zero fields of o from d.
func (o StepOptions) Or(d StepOptions) StepOptions {
	if o.Effect == "" {
		o.Effect = d.Effect
	}
	if o.Retry == (Retry{}) {
		o.Retry = d.Retry
	}
	if o.Timeout == 0 {
		o.Timeout = d.Timeout
	}
	if o.Within == 0 {
		o.Within = d.Within
	}
	if o.Heartbeat == 0 {
		o.Heartbeat = d.Heartbeat
	}
	if o.Limit == "" {
		o.Limit = d.Limit
	}
	return o
}

// Defaults of [Retry].
const (
	defaultAttempts = 4
	defaultBackoff  = 200 * time.Millisecond
	defaultMax      = 30 * time.Second
)

// Next says how long to wait after attempt failed with err and whether to try
// again at all. A longer RetryAfter of the error wins over the backoff.
func (r Retry) Next(effect Effect, attempt int, err error) (time.Duration, bool) {
	attempts := r.Attempts
	if attempts == 0 {
		attempts = defaultAttempts
		if effect == Irreversible {
			attempts = 1
		}
	}
	after, retryable := retryable(err)
	if !retryable || attempt >= attempts || r.Never.Has(CodeOf(err)) {
		return 0, false
	}
	wait, limit := r.Backoff, r.Max
	if wait == 0 {
		wait = defaultBackoff
	}
	if limit == 0 {
		limit = defaultMax
	}
	for range attempt - 1 {
		if wait > limit/2 {
			wait = limit
			break
		}
		wait *= 2
	}
	wait = min(wait, limit)
	if r.Jitter > 0 {
		wait -= time.Duration(rand.Float64() * min(r.Jitter, 1) * float64(wait)) //nolint:gosec // not a secret
	}
	return max(wait, after), true
}

// StepFunc is a registered step function: the only place where a program meets
// the outside world. It may run more than once; Attempt.Key is the same each time.
type StepFunc struct {
	Name    string
	Options StepOptions
	Call    func(ctx context.Context, input json.RawMessage) (json.RawMessage, error)

	// Reconcile, if there is one, finds out what became of an irreversible step whose
	// process died between intent and result; the attempt's Key is that of the step. An
	// error means that it cannot tell: the step stays in doubt, for a person to resolve.
	Reconcile func(ctx context.Context, input json.RawMessage) (Outcome, error)

	encodes bool
	reads   func(output json.RawMessage) error // nil = whatever is JSON
}

// Encodes reports whether what Call returns is JSON for certain, as for one made by
// [NewFunc]; an engine need not check it again.
func (f StepFunc) Encodes() bool { return f.encodes }

// Check says whether a result that did not come from Call, but from a person, is one that
// the program can read. Error: invalid, with what it must look like.
func (f StepFunc) Check(output json.RawMessage) error {
	if !json.Valid(output) {
		return Errorf(CodeInvalid, "%s is not JSON", output)
	}
	if f.reads == nil {
		return nil
	}
	return f.reads(output)
}

// Outcome is what a Reconcile function found out.
type Outcome struct {
	Happened bool            // false: it did not happen, and is tried again
	Output   json.RawMessage // the result of the step when it happened
}

// Attempt is one try of a step, as its step function sees it through [AttemptOf].
type Attempt struct {
	Run     RunID
	Tenant  string // whose run it is; "" = nobody's
	Step    string // the step's name in the run
	Command int    // the step's number in its segment, from 0
	Number  int    // 1 for the first try
	Key     string // idempotency key run/segment/command, stable over retries and crashes
	Epoch   int64  // which opening of the data directory runs it, from 1
	Emit    func(kind string, data json.RawMessage)
	Beat    func() // a sign of life, for steps with a Heartbeat
	Blobs   Blobs
}

// Blobs stores values by their content. What was put is durable no later than
// the result of the step that put it.
type Blobs interface {
	Put(ctx context.Context, data []byte) (Ref, error)
	Get(ctx context.Context, ref Ref) ([]byte, error)
}

// Ref names a stored value by its content: Hash is the lower-case hexadecimal
// SHA-256, Bytes the length of the value.
type Ref struct {
	Hash  string `json:"hash"`
	Bytes int    `json:"bytes"`
}

// RefOf is the name of a value.
func RefOf(data []byte) Ref {
	sum := sha256.Sum256(data)
	return Ref{Hash: hex.EncodeToString(sum[:]), Bytes: len(data)}
}

type attemptKey struct{}

// WithAttempt is for engines: it hands a step function its attempt.
func WithAttempt(ctx context.Context, a *Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, a)
}

// AttemptOf returns the attempt a step function runs in, or nil outside a step.
func AttemptOf(ctx context.Context) *Attempt {
	a, _ := ctx.Value(attemptKey{}).(*Attempt)
	return a
}

// StepStatus says where a step is.
type StepStatus string

// The statuses of a step.
const (
	StepRunning  StepStatus = "running"
	StepRetrying StepStatus = "retrying" // an attempt failed, another is due
	StepWaiting  StepStatus = "waiting"
	StepDone     StepStatus = "done"
	StepFailed   StepStatus = "failed"
	StepInDoubt  StepStatus = "in-doubt" // intent recorded, outcome unknown
)

// Step is one command of a run as its journal tells it.
type Step struct {
	Command int             `json:"command"`
	Segment int             `json:"segment"`
	Name    string          `json:"name"`
	Kind    CommandKind     `json:"kind"`
	Func    string          `json:"func,omitempty"`
	Status  StepStatus      `json:"status"`
	Attempt int             `json:"attempt"`
	Started time.Time       `json:"started,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
	Input   *Ref            `json:"input,omitempty"`
	Output  *Ref            `json:"output,omitempty"`
	Error   *Failure        `json:"error,omitempty"`
	Child   RunID           `json:"child,omitempty"`
	Effect  Effect          `json:"effect,omitempty"`
	In      json.RawMessage `json:"in,omitempty"`  // the input itself, where small
	Out     json.RawMessage `json:"out,omitempty"` // the output itself, where small
}
