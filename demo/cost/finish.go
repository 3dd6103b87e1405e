package cost

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
)

// line is one line of the ledger: a process began to run a step.
type line struct {
	Run     durable.RunID `json:"run"`
	Step    string        `json:"step"`
	Key     string        `json:"key"`
	Attempt int           `json:"attempt"`
	Epoch   int64         `json:"epoch"`
	PID     int           `json:"pid"`
	Time    time.Time     `json:"time"`
}

// note appends a line to the ledger. It is an effect outside of the journal, by
// which anyone can count what really ran.
func note(ctx context.Context, dir string) error {
	a := durable.AttemptOf(ctx)
	data, err := json.Marshal(line{a.Run, a.Step, a.Key, a.Number, a.Epoch, os.Getpid(), time.Now().UTC()}) //nolint:forbidigo // in a step
	if err != nil {
		return err
	}
	return appendLedger(dir, append(data, '\n'))
}

func appendLedger(dir string, data []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // a report is for everybody to read
		return durable.Errorf(durable.CodeUnavailable, "make the folder of the report: %w; choose another with --out", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, LedgerFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644) //nolint:gosec // as above
	if err != nil {
		return durable.Errorf(durable.CodeUnavailable, "write the ledger: %w; choose another folder with --out", err)
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

// Finish writes the report once more when its run has ended: with the status, with
// how many steps were restored from the journal instead of being run again, and with
// how many ran again although their result was recorded. Doing it twice is doing it
// once.
func Finish(ctx context.Context, r *orpine.Reader, run durable.Run) (Report, error) {
	var report Report
	var out Outcome
	if err := json.Unmarshal(run.Output, &out); err != nil {
		return report, fmt.Errorf("read the outcome of run %s: %w", run.ID, err)
	}
	data, err := r.Blob(ctx, out.Report)
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return report, fmt.Errorf("read the report of run %s: %w", run.ID, err)
	}
	recorded := map[string]int64{} // key of a step -> epoch that recorded its result
	last, err := record(ctx, r, run.ID, recorded)
	if err != nil {
		return report, err
	}
	report.Run.Status = string(run.Status)
	report.RestoredSteps, report.RepeatedSteps = 0, 0
	for _, epoch := range recorded {
		if epoch < last {
			report.RestoredSteps++
		}
	}
	if report.RepeatedSteps, err = repeated(out.Out, recorded); err != nil {
		return report, err
	}
	return report, save(report, out.Out)
}

// record collects which epoch recorded each step of a run and of its children, and
// returns the latest epoch that worked on them.
func record(ctx context.Context, r *orpine.Reader, id durable.RunID, into map[string]int64) (int64, error) {
	var last int64
	segment := 0
	const page = 1000
	for after := int64(-1); ; {
		entries, err := r.Entries(ctx, id, after, page)
		if err != nil {
			return 0, err
		}
		for _, e := range entries {
			after = e.Seq
			last = max(last, e.Epoch)
			switch e.Kind {
			case durable.EntryDone:
				into[fmt.Sprintf("%s/%d/%d", id, segment, e.Command)] = e.Epoch
			case durable.EntryContinued:
				segment = e.Segment
			case durable.EntryChild:
				child, err := record(ctx, r, e.Child, into)
				if err != nil {
					return 0, err
				}
				last = max(last, child)
			default:
			}
		}
		if len(entries) < page {
			return last, nil
		}
	}
}

// repeated counts the steps that a later process began although an earlier one had
// recorded their result.
func repeated(dir string, recorded map[string]int64) (int, error) {
	f, err := os.Open(filepath.Join(dir, LedgerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the ledger: %w", err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	again := map[string]bool{}
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		var l line
		if json.Unmarshal(scanner.Bytes(), &l) != nil {
			continue // a line that a kill cut short
		}
		if epoch, ok := recorded[l.Key]; ok && l.Epoch > epoch {
			again[l.Key] = true
		}
	}
	return len(again), scanner.Err()
}

// Accepts reports whether feedback keeps the report as it is.
func Accepts(feedback string) bool {
	_, changes := Revise(Candidates{}, feedback)
	return len(changes) == 1 && changes[0].Action == Accepted || strings.TrimSpace(feedback) == ""
}
