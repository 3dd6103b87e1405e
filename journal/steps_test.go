package journal_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
)

func at(second int) time.Time { return time.Date(2026, 3, 1, 12, 0, second, 0, time.UTC) }

func refTo(value string) *durable.Ref {
	return &durable.Ref{Hash: journal.HashOf([]byte(value)), Bytes: len(value)}
}

func TestSteps(t *testing.T) {
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	busy := &durable.Failure{Code: durable.CodeUnavailable, Message: "busy"}
	big := &durable.Ref{Hash: "ff", Bytes: 10_000}
	for _, c := range []struct {
		name    string
		entries []durable.Entry
		waits   []durable.Wait
		want    []durable.Step
	}{
		{name: "nothing"},
		{name: "entries that are no steps", entries: []durable.Entry{
			{Kind: durable.EntryStarted},
			{Kind: durable.EntryClaimed},
			{Kind: durable.EntrySignal},
			{Kind: durable.EntryCancel},
			{Kind: durable.EntryBlocked},
			{Kind: durable.EntryUnblocked},
			{Kind: durable.EntryEnded},
		}},
		{name: "done in one attempt", entries: []durable.Entry{
			{Kind: durable.EntryDone, Time: at(2), Name: "a", Func: "f", Attempt: 1, Effect: durable.Read, Started: at(1), Input: raw(`1`), Output: raw(`"out"`)},
		}, want: []durable.Step{
			{
				Name: "a", Kind: durable.CommandStep, Func: "f", Status: durable.StepDone, Attempt: 1, Started: at(1), Ended: at(2),
				Input: refTo(`1`), Output: refTo(`"out"`), In: raw(`1`), Out: raw(`"out"`), Effect: durable.Read,
			},
		}},
		{name: "values in blobs", entries: []durable.Entry{
			{Kind: durable.EntryDone, Time: at(2), Name: "a", Attempt: 1, InputRef: big, OutputRef: big},
		}, want: []durable.Step{
			{Name: "a", Kind: durable.CommandStep, Status: durable.StepDone, Attempt: 1, Started: at(2), Ended: at(2), Input: big, Output: big},
		}},
		{name: "its run ended before it was known", entries: []durable.Entry{
			{Kind: durable.EntryIntent, Time: at(1), Name: "a", Attempt: 1, Started: at(1)},
			{Kind: durable.EntryContinued, Time: at(2), Segment: 1},
			{Kind: durable.EntryIntent, Time: at(3), Name: "b", Attempt: 1, Started: at(3)},
			{Kind: durable.EntryEnded, Time: at(4), Status: durable.Killed},
		}, want: []durable.Step{
			{Name: "a", Kind: durable.CommandStep, Status: durable.StepInDoubt, Attempt: 1, Started: at(1)},
			{Name: "b", Kind: durable.CommandStep, Status: durable.StepInDoubt, Attempt: 1, Started: at(3), Segment: 1},
		}},
		{name: "between two attempts", entries: []durable.Entry{
			{Kind: durable.EntryAttempt, Time: at(2), Name: "a", Attempt: 1, Started: at(1), Until: at(9), Error: busy},
		}, want: []durable.Step{
			{Name: "a", Kind: durable.CommandStep, Status: durable.StepRetrying, Attempt: 1, Started: at(1), Error: busy},
		}},
		{name: "done after a retry", entries: []durable.Entry{
			{Kind: durable.EntryAttempt, Time: at(2), Name: "a", Attempt: 1, Started: at(1), Error: busy},
			{Kind: durable.EntryDone, Time: at(4), Name: "a", Attempt: 2, Started: at(3), Output: raw(`1`)},
		}, want: []durable.Step{
			{Name: "a", Kind: durable.CommandStep, Status: durable.StepDone, Attempt: 2, Started: at(3), Ended: at(4), Output: refTo(`1`), Out: raw(`1`)},
		}},
		{name: "failed", entries: []durable.Entry{
			{Kind: durable.EntryDone, Time: at(4), Name: "a", Attempt: 4, Started: at(3), Error: busy},
		}, want: []durable.Step{
			{Name: "a", Kind: durable.CommandStep, Status: durable.StepFailed, Attempt: 4, Started: at(3), Ended: at(4), Error: busy},
		}},
		{name: "an intent runs", entries: []durable.Entry{
			{Kind: durable.EntryIntent, Time: at(1), Command: 3, Name: "mail", Attempt: 1, Effect: durable.Irreversible, Started: at(1), Input: raw(`1`)},
		}, want: []durable.Step{
			{
				Command: 3, Name: "mail", Kind: durable.CommandStep, Status: durable.StepRunning, Attempt: 1, Started: at(1),
				Effect: durable.Irreversible, Input: refTo(`1`), In: raw(`1`),
			},
		}},
		{
			name: "an intent that the run waits for is in doubt", entries: []durable.Entry{
				{Kind: durable.EntryIntent, Time: at(1), Command: 3, Name: "mail", Attempt: 1, Effect: durable.Irreversible, Started: at(1)},
				{Kind: durable.EntryIntent, Time: at(1), Command: 4, Name: "pay", Attempt: 1, Effect: durable.Irreversible, Started: at(1)},
			}, waits: []durable.Wait{{Kind: durable.WaitInDoubt, Command: 4}, {Kind: durable.WaitTimer, Command: 3}, {Kind: durable.WaitInDoubt, Command: 99}},
			want: []durable.Step{
				{Command: 3, Name: "mail", Kind: durable.CommandStep, Status: durable.StepRunning, Attempt: 1, Started: at(1), Effect: durable.Irreversible},
				{Command: 4, Name: "pay", Kind: durable.CommandStep, Status: durable.StepInDoubt, Attempt: 1, Started: at(1), Effect: durable.Irreversible},
			},
		},
		{name: "an intent and its result are one step", entries: []durable.Entry{
			{Kind: durable.EntryIntent, Time: at(1), Name: "mail", Attempt: 1, Effect: durable.Irreversible, Started: at(1), Input: raw(`1`)},
			{Kind: durable.EntryDone, Time: at(2), Name: "mail", Attempt: 1, Effect: durable.Irreversible, Started: at(1), Output: raw(`2`)},
		}, want: []durable.Step{
			{
				Name: "mail", Kind: durable.CommandStep, Status: durable.StepDone, Attempt: 1, Started: at(1), Ended: at(2),
				Effect: durable.Irreversible, Input: refTo(`1`), Output: refTo(`2`), In: raw(`1`), Out: raw(`2`),
			},
		}},
		{name: "a timer, a question and a child, open", entries: []durable.Entry{
			{Kind: durable.EntryTimer, Time: at(1), Command: 0, Name: "timer", Until: at(50)},
			{Kind: durable.EntryAsked, Time: at(2), Command: 1, Name: "question"},
			{Kind: durable.EntryChild, Time: at(3), Command: 2, Name: "kid", Func: "child", Child: "c1"},
		}, want: []durable.Step{
			{Command: 0, Name: "timer", Kind: durable.CommandTimer, Status: durable.StepWaiting, Started: at(1)},
			{Command: 1, Name: "question", Kind: durable.CommandAsk, Status: durable.StepWaiting, Started: at(2)},
			{Command: 2, Name: "kid", Kind: durable.CommandChild, Status: durable.StepWaiting, Started: at(3), Func: "child", Child: "c1"},
		}},
		{name: "a timer, a question and a child, ended", entries: []durable.Entry{
			{Kind: durable.EntryTimer, Time: at(1), Command: 0, Name: "timer"},
			{Kind: durable.EntryAsked, Time: at(2), Command: 1, Name: "question"},
			{Kind: durable.EntryFired, Time: at(4), Command: 0, Name: "timer"},
			{Kind: durable.EntryAnswered, Time: at(5), Command: 1, Name: "0.1", Output: raw(`"yes"`)},
			{Kind: durable.EntryChildDone, Time: at(6), Command: 2, Name: "kid", Error: busy},
		}, want: []durable.Step{
			{Command: 0, Name: "timer", Kind: durable.CommandTimer, Status: durable.StepDone, Started: at(1), Ended: at(4)},
			{Command: 1, Name: "question", Kind: durable.CommandAsk, Status: durable.StepDone, Started: at(2), Ended: at(5), Output: refTo(`"yes"`), Out: raw(`"yes"`)},
			{Command: 2, Name: "kid", Kind: durable.CommandChild, Status: durable.StepFailed, Ended: at(6), Error: busy},
		}},
		{name: "segments number their commands anew", entries: []durable.Entry{
			{Kind: durable.EntryDone, Time: at(1), Name: "a", Attempt: 1, Output: raw(`1`)},
			{Kind: durable.EntryContinued, Time: at(2), Segment: 1},
			{Kind: durable.EntryDone, Time: at(3), Name: "b", Attempt: 1, Output: raw(`2`)},
		}, want: []durable.Step{
			{Segment: 0, Name: "a", Kind: durable.CommandStep, Status: durable.StepDone, Attempt: 1, Started: at(1), Ended: at(1), Output: refTo(`1`), Out: raw(`1`)},
			{Segment: 1, Name: "b", Kind: durable.CommandStep, Status: durable.StepDone, Attempt: 1, Started: at(3), Ended: at(3), Output: refTo(`2`), Out: raw(`2`)},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, journal.Steps(c.entries, c.waits)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
