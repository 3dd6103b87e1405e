package embedded_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store"
	"github.com/orpine-run/orpine/store/sqlite"
)

// verify holds what is there against what was foretold, and hashes it.
func (s *simulation) verify() string {
	s.gate.mu.Lock()
	s.gate.open = true
	s.gate.mu.Unlock()
	ctx := s.t.Context()
	if found := damage(s.t, s.store); len(found) > 0 {
		s.t.Errorf("the store is damaged: %v", found)
	}
	runs := s.list(durable.Filter{Limit: 1000})
	slices.Reverse(runs)
	all := entriesOf(s.t, s.store)
	if keys := s.world.repeated(all); len(keys) > 0 {
		s.t.Errorf("steps were repeated after their result was recorded: %v", keys)
	}
	s.verifyOrders(all)
	if found := unfit(s.t, s.store, newWorld(nil).programs()); len(found) > 0 {
		s.t.Errorf("journals do not replay: %v", found)
	}
	hash := sha256.New()
	there := map[string]string{}
	for _, r := range runs {
		stored, err := s.store.Entries(ctx, r.ID, -1, 1<<20)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range stored {
			there[fmt.Sprintf("%s %d", r.ID, e.Seq)] = string(e.Body)
			_, _ = fmt.Fprintf(hash, "%s %d %s\n", r.ID, e.Seq, e.Body)
		}
		s.sum.Runs++
		s.sum.Entries += len(stored)
		s.verifyRun(r, all)
		s.replay(r, stored)
	}
	for name, body := range s.gate.acked {
		if there[name] != body {
			s.t.Errorf("entry %s was acknowledged as %q, and is %q", name, body, there[name])
		}
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8])
}

// verifyOrders looks for everything that was acknowledged.
func (s *simulation) verifyOrders(all map[durable.RunID][]durable.Entry) {
	kinds := map[string]durable.EntryKind{
		"start": durable.EntryStarted, "signal": durable.EntrySignal, "answer": durable.EntryAnswered, "cancel": durable.EntryCancel, "kill": durable.EntryEnded,
		"pause": durable.EntryPaused, "resume": durable.EntryResumed,
	}
	answered := map[string]string{}
	for _, o := range s.orders {
		kind, ok := kinds[o.what]
		if o.err != nil || !ok {
			continue
		}
		word, _ := json.Marshal(o.answer) //nolint:errchkjson // a string
		if !slices.ContainsFunc(all[o.run], func(e durable.Entry) bool {
			switch o.what {
			case "signal":
				return e.Kind == kind && string(e.Input) == string(word)
			case "answer":
				return e.Kind == kind && string(e.Output) == string(word)
			case "kill":
				return e.Kind == kind && e.Status == durable.Killed
			}
			return e.Kind == kind
		}) {
			s.t.Errorf("the order to %s %s %s was acknowledged, and is not in its journal", o.what, o.run, o.answer)
		}
		if o.what == "answer" {
			answered[string(o.run)+string(word)] = ""
		}
	}
}

// verifyRun holds the end of a run against its plan.
func (s *simulation) verifyRun(r store.Run, all map[durable.RunID][]durable.Entry) {
	entries := all[r.ID]
	end := entries[len(entries)-1]
	var p plan
	if err := json.Unmarshal(entries[0].Input, &p); err != nil {
		s.t.Fatal(err)
	}
	want, fails := foretell(p.Acts)
	var got []string
	switch r.Status {
	case durable.Succeeded:
		s.sum.Succeeded++
		if err := json.Unmarshal(end.Output, &got); err != nil {
			s.t.Error(err)
		}
		if fails || !matches(want, got) {
			s.t.Errorf("run %s succeeded with %q, foretold was %q, fails: %v", r.ID, got, want, fails)
		}
	case durable.Failed:
		s.sum.Failed++
		if !fails && !s.bereaved(r.ID, all) {
			s.t.Errorf("run %s failed (%v), which was not foretold", r.ID, end.Error)
		}
	case durable.Canceled:
		s.sum.Canceled++
		s.meant(r, "cancel", all)
	case durable.Killed:
		s.sum.Killed++
		s.meant(r, "kill", all)
	default:
		s.t.Errorf("run %s is %s (%s), which is no end", r.ID, r.Status, r.Reason)
	}
	s.verifyInbox(r, entries, got, p.Acts)
	segment := 0
	for _, e := range entries {
		if e.Kind == durable.EntryContinued {
			segment = e.Segment
		}
		key := fmt.Sprintf("%s/%d/%d", r.ID, segment, e.Command)
		if n := s.world.times(key); e.Effect == durable.Irreversible && (n > 1 || (e.Kind == durable.EntryDone && e.Error == nil && n != 1)) {
			s.t.Errorf("step %s %s is %s, and was done %d times", key, e.Name, e.Kind, n)
		}
	}
}

// matches holds an output against what was foretold.
func matches(want, got []string) bool {
	return slices.EqualFunc(want, got, func(w, g string) bool { return w == g || (w == "*" && strings.HasPrefix(g, "word ")) })
}

// meant looks for somebody who wanted a run, or one that it descends from, to end so.
func (s *simulation) meant(r store.Run, what string, all map[durable.RunID][]durable.Entry) {
	for id := r.ID; id != ""; id = all[id][0].Parent {
		if slices.ContainsFunc(s.orders, func(o *order) bool { return o.run == id && (o.what == what || o.what == "kill") }) {
			return
		}
	}
	s.t.Errorf("run %s is %s (%s), which nobody wanted", r.ID, r.Status, r.Reason)
}

// bereaved reports whether somebody wanted to end a descendant of a run.
func (s *simulation) bereaved(id durable.RunID, all map[durable.RunID][]durable.Entry) bool {
	return slices.ContainsFunc(s.orders, func(o *order) bool {
		if o.what != "kill" && o.what != "cancel" {
			return false
		}
		for up := o.run; len(all[up]) > 0; up = all[up][0].Parent {
			if up == id && up != o.run {
				return true
			}
		}
		return false
	})
}

// verifyInbox wants a run to have received its signals in order, and none twice.
func (s *simulation) verifyInbox(r store.Run, entries []durable.Entry, got []string, acts []act) {
	var sent []string
	for _, e := range entries {
		if e.Kind == durable.EntrySignal {
			var word string
			if err := json.Unmarshal(e.Input, &word); err != nil {
				s.t.Fatal(err)
			}
			sent = append(sent, word)
		}
	}
	at := 0 // in got: acts that say nothing leave nothing
	for _, a := range acts {
		if a.Do == "sleep" || a.Do == "cont" || at >= len(got) {
			continue
		}
		if a.Do == "recv" {
			if len(sent) == 0 || sent[0] != got[at] {
				s.t.Errorf("run %s received %q; what is left of its signals is %q", r.ID, got[at], sent)
				return
			}
			sent = sent[1:]
		}
		at++
	}
}

// replay lets a run that has ended end once more, from its journal alone: the same way,
// and without any step.
func (s *simulation) replay(r store.Run, stored []store.Entry) {
	if r.Status == durable.Killed {
		return // no program ended it
	}
	ctx := s.t.Context()
	dir, err := os.MkdirTemp(s.dir, "replay")
	if err != nil {
		s.t.Fatal(err)
	}
	fresh, err := sqlite.Open(ctx, sqlite.Config{Dir: dir, ProcessDurability: true})
	if err != nil {
		s.t.Fatal(err)
	}
	again := r
	again.Status, again.Parent, again.Queue = durable.Running, "", ""
	change := &store.Change{Run: r.ID, Create: &again}
	for i := range stored[:len(stored)-1] {
		change.Entries = append(change.Entries, &stored[i])
	}
	told := make(chan error, 1)
	fresh.Commit([]*store.Change{change}, func(err error) { told <- err })
	if err := <-told; err != nil {
		s.t.Fatal(err)
	}
	idle := newWorld(nil)
	e, err := embedded.New(ctx, embedded.Config{Store: fresh, Programs: idle.programs()})
	if err != nil {
		s.t.Fatal(err)
	}
	run, err := e.Wait(ctx, r.ID)
	var want durable.Entry
	if all := entriesOf(s.t, s.store)[r.ID]; len(all) > 0 {
		want = all[len(all)-1]
	}
	if err != nil || run.Status != r.Status || string(run.Output) != string(want.Output) {
		s.t.Errorf("replayed, run %s is %s (%s) with %s, not %s with %s; error %v", r.ID, run.Status, run.Reason, run.Output, r.Status, want.Output, err)
	}
	if len(idle.count) > 0 {
		s.t.Errorf("the replay of run %s executed steps: %v", r.ID, idle.count)
	}
	s.sum.Replayed++
	if err := errors.Join(e.Close(ctx), fresh.Close()); err != nil {
		s.t.Error(err)
	}
}
