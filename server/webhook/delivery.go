package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// Program is the name of the program that deliveries are runs of. Its own runs are not
// reported.
const Program = "webhook"

// How a delivery is tried; docs/webhooks.md has the table.
const (
	attempts   = 12
	backoff    = 5 * time.Second
	maxBackoff = time.Hour
	jitter     = 0.2
	timeout    = 15 * time.Second // of one attempt
)

// delivery is the input of a run of the program, and of its step. It holds no secret: the
// journal keeps it.
type delivery struct {
	Webhook string          `json:"webhook"`
	Event   string          `json:"event"`
	Run     durable.RunID   `json:"run"`
	Status  durable.Status  `json:"status"`
	Time    time.Time       `json:"time"`
	Body    json.RawMessage `json:"body"`
}

// receipt is what comes of it.
type receipt struct {
	Answer int `json:"answer"` // the HTTP status
}

// Program makes deliveries; it is one of the Programs of [orpine.Config]. Its steps wait for
// Start.
func (d *Dispatcher) Program() durable.Program {
	return durable.NewProgram(Program, func(ctx durable.Context, in delivery) (receipt, error) {
		post := d.post
		post.Options.Limit = "webhook:" + in.Webhook
		return durable.Do(ctx, post, in)
	}, d.post.StepFunc)
}

func newPost(d *Dispatcher) durable.Func[delivery, receipt] {
	return durable.NewFunc("webhook.post", durable.StepOptions{
		Effect: durable.Idempotent,
		Retry:  durable.Retry{Attempts: attempts, Backoff: backoff, Max: maxBackoff, Jitter: jitter},
	}, d.attempt)
}

// attempt delivers once. The receiver may get the same event again, under the same ID: when
// the process dies before what it answered is recorded. The error says whether another
// attempt makes sense.
func (d *Dispatcher) attempt(ctx context.Context, in delivery) (receipt, error) {
	select {
	case <-d.there:
	case <-ctx.Done():
		return receipt{}, context.Cause(ctx)
	}
	k, version, err := d.read(ctx, in.Webhook)
	if err != nil {
		return receipt{}, err
	}
	answer, after, err := d.send(ctx, &k, &in)
	if ctx.Err() != nil {
		return receipt{}, context.Cause(ctx) // says nothing of the receiver
	}
	if err == nil {
		err = verdict(in.Webhook, answer, after)
	}
	if answer == http.StatusGone {
		return receipt{}, errors.Join(d.drop(ctx, in.Webhook), err)
	}
	failing := ""
	if err != nil {
		failing = err.Error()
	}
	if noted := d.note(ctx, &k, version, failing); noted != nil && err == nil {
		err = noted
	}
	return receipt{Answer: answer}, err
}

// send makes one request. Error: unavailable when there is no answer.
func (d *Dispatcher) send(ctx context.Context, k *kept, in *delivery) (answer int, after string, err error) {
	key, err := keyOf(k.Secret)
	if err != nil {
		return 0, "", err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.URL, bytes.NewReader(in.Body))
	if err != nil {
		return 0, "", durable.Errorf(durable.CodeInvalid, "deliver to webhook %s: its URL cannot be used", k.ID)
	}
	now := time.Now().Unix()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "orpine-webhook")
	req.Header.Set("Webhook-Id", in.Event)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now, 10))
	req.Header.Set("Webhook-Signature", sign(key, in.Event, now, in.Body))
	resp, err := d.client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // without the URL: that may hold a password
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return 0, "", &durable.Error{Code: durable.CodeUnavailable, Op: "deliver to webhook " + k.ID, Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.CopyN(io.Discard, resp.Body, maxBody) // so that the connection can be used again; what it says does not matter
	return resp.StatusCode, resp.Header.Get("Retry-After"), nil
}

// verdict says what an answer means.
func verdict(id string, answer int, after string) error {
	said := fmt.Sprintf("%d %s", answer, http.StatusText(answer))
	switch {
	case answer >= 200 && answer < 300:
		return nil
	case answer == http.StatusGone:
		return durable.Errorf(durable.CodeNotFound, "webhook %s was removed: its receiver answered %s", id, said)
	case answer >= 300 && answer < 400:
		return durable.Errorf(durable.CodeUnavailable, "deliver to webhook %s: the receiver answered %s, and redirects are not followed; register where it leads to", id, said)
	case answer == http.StatusRequestTimeout, answer == http.StatusTooEarly, answer == http.StatusTooManyRequests, answer >= 500:
		return &durable.Error{
			Code: durable.CodeUnavailable, RetryAfter: waitOf(after), Err: fmt.Errorf("deliver to webhook %s: the receiver answered %s", id, said),
		}
	}
	return durable.Errorf(durable.CodeDenied, "deliver to webhook %s: the receiver answered %s, so it is not tried again", id, said)
}

// waitOf reads how long a receiver asks to be left alone, in seconds, up to an hour.
func waitOf(after string) time.Duration {
	seconds, err := strconv.Atoi(after)
	if err != nil || seconds < 0 {
		return 0 // a date, which nobody uses for this, or nonsense
	}
	return time.Duration(min(seconds, int(maxBackoff/time.Second))) * time.Second
}

// note keeps with the webhook why the last attempt failed; "" = it did not. Where somebody
// changed it meanwhile, that one knows better.
func (d *Dispatcher) note(ctx context.Context, k *kept, version int64, failing string) error {
	if k.Failing == failing {
		return nil
	}
	k.Failing = failing
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	err = d.runtime.Write(ctx, store.RecordChange{Kind: hookKind, Key: k.ID, Expect: version, Data: data})
	if errors.Is(err, durable.ErrConflict) {
		return nil
	}
	return err
}
