package journal

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/orpine-run/orpine/durable"
)

// Steps folds the entries of a run into its steps, in the order in which the program
// issued them. It is a pure function: any process that can read a journal gets
// the same answer. A step that is running, but has written nothing yet, is not in
// it. Waits are those of the run: they tell which open intent is in doubt.
func Steps(entries []durable.Entry, waits []durable.Wait) []durable.Step {
	var f fold
	for i := range entries {
		f.add(&entries[i])
	}
	for _, w := range waits {
		if i, ok := f.index[w.Command]; ok && w.Kind == durable.WaitInDoubt {
			f.steps[i].Status = durable.StepInDoubt
		}
	}
	slices.SortStableFunc(f.steps, func(a, b durable.Step) int {
		return cmp.Or(cmp.Compare(a.Segment, b.Segment), cmp.Compare(a.Command, b.Command))
	})
	return f.steps
}

type fold struct {
	steps   []durable.Step
	index   map[int]int // command of the current segment -> position in steps
	born    map[durable.RunID]int
	segment int
}

func (f *fold) add(e *durable.Entry) {
	switch e.Kind {
	case durable.EntryIntent:
		s := f.step(e, durable.CommandStep)
		s.Status = durable.StepRunning
		f.input(s, e)
	case durable.EntryAttempt:
		s := f.step(e, durable.CommandStep)
		s.Status, s.Error = durable.StepRetrying, e.Error
		f.input(s, e)
	case durable.EntryDone:
		s := f.step(e, durable.CommandStep)
		f.input(s, e)
		end(s, e)
	case durable.EntryTimer:
		s := f.step(e, durable.CommandTimer)
		s.Status, s.Started = durable.StepWaiting, e.Time
	case durable.EntryAsked:
		s := f.step(e, durable.CommandAsk)
		s.Status, s.Started = durable.StepWaiting, e.Time
		if question, err := json.Marshal(e.Interrupt); e.Interrupt != nil && err == nil {
			s.In, s.Input = question, RefOf(question, nil)
		}
	case durable.EntryChild:
		s := f.step(e, durable.CommandChild)
		s.Status, s.Started, s.Child, s.Func = durable.StepWaiting, e.Time, e.Child, e.Func
		if f.born == nil {
			f.born = map[durable.RunID]int{}
		}
		if _, twice := f.born[e.Child]; !twice {
			f.born[e.Child] = f.index[e.Command]
		}
		f.input(s, e)
	case durable.EntryFired:
		end(f.step(e, durable.CommandTimer), e)
	case durable.EntryAnswered:
		end(f.step(e, durable.CommandAsk), e)
	case durable.EntryChildDone:
		end(f.child(e), e)
	case durable.EntryContinued:
		f.leave()
		f.segment, f.index = e.Segment, nil
	case durable.EntryEnded:
		f.leave()
	case durable.EntryStarted, durable.EntryClaimed, durable.EntrySignal, durable.EntryCancel,
		durable.EntryBlocked, durable.EntryUnblocked, durable.EntryForked, durable.EntryVoted, durable.EntryEscalated,
		durable.EntryPaused, durable.EntryResumed:
	}
}

// leave ends a segment: what became of an irreversible step that has no outcome by now will
// not be told any more.
func (f *fold) leave() {
	for _, i := range f.index {
		if f.steps[i].Status == durable.StepRunning {
			f.steps[i].Status = durable.StepInDoubt
		}
	}
}

// step finds the step an entry speaks of, or adds it.
func (f *fold) step(e *durable.Entry, kind durable.CommandKind) *durable.Step {
	if i, ok := f.index[e.Command]; ok {
		return &f.steps[i]
	}
	if f.index == nil {
		f.index = map[int]int{}
	}
	f.index[e.Command] = len(f.steps)
	f.steps = append(f.steps, durable.Step{Command: e.Command, Segment: f.segment, Name: e.Name, Kind: kind})
	return &f.steps[len(f.steps)-1]
}

// child finds the step that started the child an entry speaks of: it may be one of
// an earlier segment.
func (f *fold) child(e *durable.Entry) *durable.Step {
	if i, ok := f.born[e.Child]; ok && e.Child != "" {
		return &f.steps[i]
	}
	return f.step(e, durable.CommandChild)
}

func (f *fold) input(s *durable.Step, e *durable.Entry) {
	s.Attempt, s.Func, s.Effect = e.Attempt, e.Func, e.Effect
	if s.Started.IsZero() || e.Attempt > 1 {
		s.Started = e.Started
	}
	if s.Started.IsZero() {
		s.Started = e.Time
	}
	if e.Input != nil || e.InputRef != nil {
		s.In, s.Input = e.Input, RefOf(e.Input, e.InputRef)
	}
}

// end notes the outcome of a step. The first one counts, as for the program: a child that
// was given up may come to something after all.
func end(s *durable.Step, e *durable.Entry) {
	if s.Status == durable.StepDone || s.Status == durable.StepFailed {
		return
	}
	s.Status, s.Ended, s.Error = durable.StepDone, e.Time, e.Error
	if e.Error != nil {
		s.Status = durable.StepFailed
	}
	s.Out, s.Output = e.Output, RefOf(e.Output, e.OutputRef)
}

// RefOf names a value by its content whether it is inline or a blob.
func RefOf(value json.RawMessage, ref *durable.Ref) *durable.Ref {
	if ref != nil || value == nil {
		return ref
	}
	return &durable.Ref{Hash: HashOf(value), Bytes: len(value)}
}
