package tool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Breaker stops calling what does not answer: after so many calls in a row that failed for a passing
// reason, calls fail at once as unavailable, until the pause is over; then one is tried. The zero
// value always calls. What is counted is not kept beyond the process.
type Breaker struct {
	Failures int           `json:"failures,omitempty"` // default 5
	Pause    time.Duration `json:"pause,omitempty"`    // in nanoseconds; default 30 s
}

// Defaults of a Breaker.
const (
	defaultFailures = 5
	defaultPause    = 30 * time.Second
)

// fuse is a Breaker at work.
type fuse struct {
	Breaker

	mu     sync.Mutex
	failed int       // calls in a row
	until  time.Time // no call is made before
}

// closed refuses a call while the pause lasts. The first one behind it is let through, and the next
// pause begins at once: it ends with that call, if that goes well.
func (f *fuse) closed() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.until.IsZero() {
		return nil
	}
	if left := f.until.Sub(now); left > 0 {
		err := durable.Errorf(durable.CodeUnavailable, "it failed %d times in a row and is not called for another %s", f.failed, left.Round(time.Millisecond))
		err.RetryAfter = left
		return err
	}
	f.until = now.Add(f.pause())
	return nil
}

func (f *fuse) pause() time.Duration {
	if f.Pause > 0 {
		return f.Pause
	}
	return defaultPause
}

// note counts how a call went. Only what may pass counts as a failure: a tool that says no works,
// and of one that somebody did not wait for nothing is known.
func (f *fuse) note(err error) {
	if f == nil || errors.Is(err, context.Canceled) || durable.CodeOf(err) == durable.CodeCanceled {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil || !passing(err) {
		f.failed, f.until = 0, time.Time{}
		return
	}
	f.failed++
	most := f.Failures
	if most <= 0 {
		most = defaultFailures
	}
	if f.failed >= most {
		f.until = time.Now().Add(f.pause())
	}
}
