package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/url"

	"github.com/orpine-run/orpine/durable"
)

// ContentsTrailer is the trailer of an answer that is an export, in which the server says what
// is in it; without it the export was cut off.
const ContentsTrailer = "Orpine-Contents"

// Replay holds the journal of a run against the programs of the server, and returns what was
// found as the JSON of an orpine.Report. Errors: not_found; unavailable when the server
// replays nothing, or lacks what the run needs.
func (c *Client) Replay(ctx context.Context, id durable.RunID) (json.RawMessage, error) {
	var report json.RawMessage
	return report, c.get(ctx, at("runs", string(id), "replay"), nil, &report)
}

// Progress is how far a run of a workflow has come, as the JSON of a workflow.View. Errors: not_found,
// invalid for a run of another program; unavailable when the server lacks what the run needs.
func (c *Client) Progress(ctx context.Context, id durable.RunID) (json.RawMessage, error) {
	var view json.RawMessage
	return view, c.get(ctx, at("runs", string(id), "progress"), nil, &view)
}

// CheckRuns holds every run that has not ended against the programs of the server, and yields
// what was found of each as the JSON of an orpine.Checked. Errors: unavailable when the server
// replays nothing, or the answer was cut off.
func (c *Client) CheckRuns(ctx context.Context) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		resp, err := c.send(ctx, call{method: http.MethodGet, path: at("runs", "check")})
		if err != nil {
			yield(nil, err)
			return
		}
		defer resp.Body.Close() //nolint:errcheck // it was only read
		lines := json.NewDecoder(resp.Body)
		for {
			var found json.RawMessage
			err := lines.Decode(&found)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, durable.Errorf(durable.CodeUnavailable, "the check was cut off: %w", err))
				return
			}
			if !yield(found, nil) {
				return
			}
		}
	}
}

// PlanFork says what a fork would consist of, as the JSON of an orpine.ForkPlan; nothing is
// started. Errors: those of Fork.
func (c *Client) PlanFork(ctx context.Context, id durable.RunID, f Fork) (json.RawMessage, error) {
	var plan json.RawMessage
	return plan, c.post(ctx, at("runs", string(id), "plan"), f, &plan)
}

// Export writes a run to w, with its children unless alone, and returns what is in the export
// as the JSON of an orpine.Contents. Error: unavailable when it was cut off; what was written
// is worth nothing then.
func (c *Client) Export(ctx context.Context, id durable.RunID, alone bool, w io.Writer) (json.RawMessage, error) {
	q := url.Values{}
	if alone {
		q.Set("alone", "true")
	}
	resp, err := c.send(ctx, call{method: http.MethodGet, path: at("runs", string(id), "export"), query: q})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	lost := &lostWriter{w: w}
	if _, err := io.Copy(lost, resp.Body); err != nil {
		if lost.err != nil {
			return nil, lost.err
		}
		return nil, durable.Errorf(durable.CodeUnavailable, "the export was cut off: %w", err)
	}
	contents := resp.Trailer.Get(ContentsTrailer)
	if contents == "" {
		return nil, durable.Errorf(durable.CodeUnavailable, "the export was cut off: its end is missing")
	}
	return json.RawMessage(contents), nil
}

// lostWriter keeps the error of the writer apart from that of the reader.
type lostWriter struct {
	w   io.Writer
	err error
}

func (l *lostWriter) Write(p []byte) (int, error) {
	n, err := l.w.Write(p)
	l.err = errors.Join(l.err, err)
	return n, err
}

// Import takes up the runs of an export, with new IDs when asNew, and returns what was taken up
// as the JSON of an orpine.Imported. The file stays the caller's to close. Errors: invalid, conflict for an ID that is taken.
func (c *Client) Import(ctx context.Context, file io.Reader, asNew bool) (json.RawMessage, error) {
	r := call{method: http.MethodPost, path: at("runs", "import"), query: url.Values{}, raw: io.NopCloser(file)}
	if asNew {
		r.query.Set("as_new", "true")
	}
	var got json.RawMessage
	return got, c.do(ctx, r, &got)
}

// AuditReport says how far the log of audit fits its hashes.
type AuditReport struct {
	Lines int64  `json:"lines"`
	Hash  string `json:"hash"`
	Bad   int64  `json:"bad,omitempty"`
	Fault string `json:"fault,omitempty"`
}

// VerifyAudit holds the log of who asked for what against its hashes.
func (c *Client) VerifyAudit(ctx context.Context) (AuditReport, error) {
	var r AuditReport
	return r, c.get(ctx, at("audit", "verify"), nil, &r)
}
