package event_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
)

// played is a run at random: commands that stream, fail, are tried again and end.
type played struct {
	log    *log
	rnd    *rand.Rand
	going  []*durable.Delta // the next delta of each command under way
	number int
}

// turn lets something happen.
func (p *played) turn() {
	if len(p.going) == 0 || (len(p.going) < 3 && p.rnd.IntN(10) == 0) {
		p.number++
		p.going = append(p.going, &durable.Delta{Command: p.number, Attempt: 1, Kind: durable.DeltaBegun})
	}
	i := p.rnd.IntN(len(p.going))
	d := p.going[i]
	switch p.rnd.IntN(20) {
	case 0:
		p.log.commit(durable.Entry{Kind: durable.EntryDone, Command: d.Command})
		p.going = append(p.going[:i], p.going[i+1:]...)
	case 1:
		p.log.commit(durable.Entry{Kind: durable.EntryAttempt, Command: d.Command})
		*d = durable.Delta{Command: d.Command, Attempt: d.Attempt + 1, Kind: durable.DeltaReset}
	case 2, 3:
		p.log.commit(durable.Entry{Kind: durable.EntrySignal})
	default:
		p.log.emit(*d)
		d.Offset++
		d.Kind = "text"
	}
}

// die lets the process die: the attempts under way begin again.
func (p *played) die(cfg event.Config) {
	p.log.restart(cfg)
	p.log.commit(durable.Entry{Kind: durable.EntryClaimed})
	for _, d := range p.going {
		*d = durable.Delta{Command: d.Command, Attempt: d.Attempt, Kind: durable.DeltaReset}
	}
}

// seen is what a client makes of a stream: entries, and the deltas of steps under way.
type seen struct {
	items  []string
	cursor event.Cursor
	under  map[int][]int // offsets, by command
	fault  string
}

func newSeen() *seen { return &seen{cursor: event.After(-1), under: map[int][]int{}} }

func (s *seen) take(i *event.Item) {
	s.items = append(s.items, word(i)+" "+i.Cursor.String())
	s.cursor = i.Cursor
	switch d := i.Delta; {
	case d == nil:
		if i.Event.Kind == durable.EntryDone {
			delete(s.under, i.Event.Command)
		}
	case d.Kind == durable.DeltaReset:
		s.under[d.Command] = []int{d.Offset}
	default:
		had := s.under[d.Command]
		if n := len(had); n > 0 && had[n-1] != d.Offset-1 && (n > 1 || d.Offset == 0) {
			s.fault = fmt.Sprintf("delta %d of command %d follows %d", d.Offset, d.Command, had)
		}
		s.under[d.Command] = append(had, d.Offset)
	}
}

// watch takes up to limit items; it is back when the run has ended or ctx.
func (s *seen) watch(ctx context.Context, t *testing.T, l *log, limit int) (ended bool) {
	again, err := event.ParseCursor(s.cursor.String())
	if err != nil || again != s.cursor {
		t.Errorf("cursor %+v is read as %+v: %v", s.cursor, again, err)
	}
	for item, err := range l.now().Watch(ctx, run, again) {
		if ctx.Err() != nil {
			return true
		}
		if err != nil {
			t.Error(err)
			return true
		}
		s.take(item)
		if item.Event != nil && item.Event.Kind == durable.EntryEnded {
			return true
		}
		if limit--; limit == 0 {
			return false
		}
	}
	return true
}

// TestResume: a watcher that is cut again and again, anywhere, gets the same items with the
// same cursors as one that is not.
func TestResume(t *testing.T) {
	const watchers, turns = 20, 400
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			p := &played{log: newLog(event.Config{}), rnd: rand.New(rand.NewPCG(seed, 1))}
			whole, cut := newSeen(), make([]*seen, watchers)
			done := make(chan struct{}, watchers+1)
			go func() {
				whole.watch(t.Context(), t, p.log, 0)
				done <- struct{}{}
			}()
			for i := range cut {
				cut[i] = newSeen()
				go func() {
					rnd := rand.New(rand.NewPCG(seed, uint64(i)+2))
					for !cut[i].watch(t.Context(), t, p.log, 1+rnd.IntN(30)) {
						time.Sleep(time.Duration(rnd.IntN(100)) * time.Second) // shorter than the tail lingers
					}
					done <- struct{}{}
				}()
			}
			synctest.Wait()
			for range turns {
				p.turn()
				time.Sleep(time.Duration(p.rnd.IntN(2)) * time.Second)
			}
			p.log.commit(durable.Entry{Kind: durable.EntryEnded})
			for range watchers + 1 {
				<-done
			}
			for i, c := range cut {
				if diff := cmp.Diff(whole.items, c.items); diff != "" {
					t.Fatalf("seed %d watcher %d: -whole +cut\n%s", seed, i, diff)
				}
			}
			if whole.fault != "" || len(whole.items) < turns {
				t.Errorf("seed %d: %d items; %s", seed, len(whole.items), whole.fault)
			}
		})
	}
}

// TestNextEpoch: a watcher goes on in the next process; with resets applied it has what one
// has that did not see the death.
func TestNextEpoch(t *testing.T) {
	for seed := range uint64(50) {
		synctest.Test(t, func(t *testing.T) {
			p := &played{log: newLog(event.Config{Epoch: 1, Keep: true}), rnd: rand.New(rand.NewPCG(seed, 1))}
			p.log.commit(durable.Entry{Kind: durable.EntryStarted})
			for range 60 {
				p.turn()
			}
			c := newSeen()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c.watch(ctx, t, p.log, 1+p.rnd.IntN(50))
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			p.die(event.Config{Epoch: 2, Keep: true})
			fresh := newSeen()
			for range 60 {
				p.turn()
			}
			for _, d := range p.going {
				p.log.emit(*d) // so that something of each is to be seen
			}
			p.log.commit(durable.Entry{Kind: durable.EntrySignal, Name: "stop"})
			for _, s := range []*seen{c, fresh} {
				for !s.stopped() && !s.watch(ctx, t, p.log, 1) {
				}
			}
			if diff := cmp.Diff(fresh.under, c.under); diff != "" || c.fault != "" {
				t.Errorf("seed %d: -fresh +resumed\n%s%s\n%v", seed, diff, c.fault, c.items)
			}
		})
	}
}

func (s *seen) stopped() bool {
	n := len(s.items)
	return n > 0 && len(s.items[n-1]) > 5 && s.items[n-1][len(s.items[n-1])-len(s.cursor.String())-5:] == "stop "+s.cursor.String()
}

// TestLossIsTold: whatever a small tail loses, a watcher gets every entry in order, and no
// delta that does not follow the one before or a reset.
func TestLossIsTold(t *testing.T) {
	resets := 0
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			resets += loseSome(t, seed)
		})
	}
	if resets == 0 {
		t.Error("nothing was lost")
	}
}

// loseSome plays a run over a small tail and returns how many losses were told.
func loseSome(t *testing.T, seed uint64) (resets int) {
	p := &played{log: newLog(event.Config{Deltas: 8, Keep: seed%2 == 0}), rnd: rand.New(rand.NewPCG(seed, 1))}
	p.log.commit(durable.Entry{Kind: durable.EntryStarted})
	s := newSeen()
	for range 40 {
		for range p.rnd.IntN(30) {
			p.turn()
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		s.watch(ctx, t, p.log, 1+p.rnd.IntN(20))
		cancel()
	}
	p.log.commit(durable.Entry{Kind: durable.EntryEnded})
	s.watch(t.Context(), t, p.log, 0)
	next := 0
	for _, item := range s.items {
		var seq int
		if _, err := fmt.Sscanf(item, "%d ", &seq); err != nil {
			if item[:5] == "reset" {
				resets++
			}
			continue
		}
		if seq != next {
			t.Fatalf("seed %d: entry %d comes instead of %d", seed, seq, next)
		}
		next++
	}
	if next != p.log.size() || s.fault != "" {
		t.Errorf("seed %d: %d entries of %d; %s\n%v", seed, next, p.log.size(), s.fault, s.items)
	}
	return resets
}

// TestJoins: what one gets who comes at some moment of a run that streams.
func TestJoins(t *testing.T) {
	for _, c := range []struct {
		name  string
		after event.Cursor
		play  func(l *log)
		want  []string
	}{
		{"a step that has ended", event.After(-1), func(l *log) {
			l.delta(1, 0)
			l.delta(2, 0)
			l.commit(durable.Entry{Kind: durable.EntryDone, Command: 1})
			l.delta(2, 1)
		}, []string{"0 started ", "delta s2 0", "1 done ", "delta s2 1"}},
		{"behind an entry before that step", event.After(0), func(l *log) {
			l.delta(1, 0)
			l.commit(durable.Entry{Kind: durable.EntryDone, Command: 1})
			l.delta(2, 0)
		}, []string{"delta s1 0", "1 done ", "delta s2 0"}},
		{"a segment that has ended", event.After(-1), func(l *log) {
			l.delta(1, 0)
			l.commit(durable.Entry{Kind: durable.EntryContinued})
			l.delta(1, 0)
		}, []string{"0 started ", "1 continued ", "delta s1 0"}},
		{"another epoch", event.Cursor{Seq: 0, Epoch: 7, Delta: 2}, func(l *log) {
			l.delta(1, 0)
			l.delta(1, 1)
		}, []string{"delta s1 0", "delta s1 1"}},
		{"the same epoch", event.Cursor{Seq: 0, Epoch: 1, Delta: 1}, func(l *log) {
			l.delta(1, 0)
			l.delta(1, 1)
		}, []string{"delta s1 1"}},
		{"a delta that never was", event.Cursor{Seq: 0, Epoch: 1, Delta: 100}, func(l *log) {
			l.delta(1, 0)
			l.delta(1, 1)
		}, []string{"delta s1 0", "delta s1 1"}},
		{"too few are kept", event.Cursor{Seq: 0, Epoch: 1, Delta: 1}, func(l *log) {
			for i := range 6 {
				l.delta(1, i)
			}
		}, []string{"reset s1", "delta s1 3", "delta s1 4", "delta s1 5"}},
		{"an attempt whose first deltas nobody kept", event.After(-1), func(l *log) {
			l.delta(1, 5)
			l.delta(1, 6)
		}, []string{"0 started ", "reset s1", "delta s1 5", "delta s1 6"}},
		{"the end", event.After(1), func(l *log) {
			l.commit(durable.Entry{Kind: durable.EntryEnded})
		}, nil},
		{
			"an entry that is not there", event.After(5), func(*log) {},
			[]string{"not_found: run run has no entry 5: the cursor is of another run or data directory"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLog(event.Config{Keep: true, Deltas: 3})
			l.commit(durable.Entry{Kind: durable.EntryStarted})
			c.play(l)
			var got []string
			for item, err := range l.feed.Watch(t.Context(), run, c.after) {
				if err != nil {
					got = append(got, fmt.Sprintf("%s: %s", durable.CodeOf(err), err))
					break
				}
				got = append(got, word(item))
				if len(got) == len(c.want) {
					break
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}
