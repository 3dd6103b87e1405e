package main

import (
	"errors"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

const month = 30 * 24 * time.Hour

var train = report{Employee: "ann", Amount: 120, Reason: "a train to Rome"}

func config(t *testing.T) (orpinetest.Config, *books) {
	b := &books{path: filepath.Join(t.TempDir(), "books.jsonl")}
	return orpinetest.Config{Programs: []durable.Program{newExpense(b)}}, b
}

// payments is how many there were.
func payments(t *testing.T, b *books) (n int) {
	t.Helper()
	all, err := b.read()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Text == "paid" {
			n++
		}
	}
	return n
}

// TestExpense: an answer after 30 days, approved or not, and a second one, which changes nothing.
func TestExpense(t *testing.T) {
	for _, c := range []struct {
		name, first, second verdict
		paid                int
	}{
		{first: verdict{Approve: true}, second: verdict{Approve: true}, paid: 1},
		{first: verdict{Approve: true}, second: verdict{Why: "too late"}, paid: 1},
		{first: verdict{Why: "fly"}, second: verdict{Approve: true}},
	} {
		cfg, b := config(t)
		orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
			began := time.Now()
			id := e.Start("expense", train)
			waits := e.Settle(id).Waits
			if len(waits) != 1 || waits[0].Interrupt == nil || waits[0].Interrupt.Prompt != "Pay 120 to ann for a train to Rome?" || !waits[0].Until.IsZero() {
				t.Errorf("it waits for %+v", waits)
			}
			time.Sleep(month)
			if err := e.Answer(id, "approval", "yes"); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("an answer that is none: %v", err)
			}
			if n := payments(t, b); n != 0 {
				t.Errorf("%d payments were made before the answer", n)
			}
			if err := e.Answer(id, "approval", c.first); err != nil {
				t.Fatal(err)
			}
			if err := e.Answer(id, "approval", c.second); !errors.Is(err, durable.ErrConflict) {
				t.Errorf("a second answer: %v", err)
			}
			got := orpinetest.Output[outcome](e, e.Wait(id))
			if want := (outcome{Paid: c.paid * 120, Why: c.first.Why}); got != want || time.Since(began) != month {
				t.Errorf("got %+v after %s, want %+v", got, time.Since(began), want)
			}
			if err := e.Answer(id, "approval", c.first); !errors.Is(err, durable.ErrConflict) {
				t.Errorf("an answer after the end: %v", err)
			}
			if n := e.Calls("pay"); n != c.paid || payments(t, b) != c.paid {
				t.Errorf("%d payments, pay was called %d times; want %d", payments(t, b), n, c.paid)
			}
		})
	}
}

// many is how many more wait: had each a goroutine, it would be seen.
const many = 20

// TestWaiting: a run that waits is nothing but a row: no goroutine, no entry, and nothing that wakes up.
func TestWaiting(t *testing.T) {
	cfg, _ := config(t)
	began := time.Now()
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		idle := goroutines()
		id := e.Start("expense", train)
		before := e.Settle(id)
		for range many {
			e.Settle(e.Start("expense", train))
		}
		synctest.Wait()
		if left := goroutines(); len(left) > len(idle)+many/2 { // what drives runs has a few of its own
			t.Errorf("%d goroutines before, %d while it waits:\n%s", len(idle), len(left), strings.Join(left, "\n\n"))
		}
		time.Sleep(100 * month)
		if after := e.Settle(id); !after.Updated.Equal(before.Updated) || after.Status != durable.Waiting || len(e.Steps(id)) != 2 {
			t.Errorf("after the wait it is %+v", after)
		}
	})
	if took := time.Since(began); took > 5*time.Second { // a look each second would be 260 million
		t.Errorf("a wait of eight years took %s", took)
	}
}

// goroutines are the stacks of those in the bubble: what else the process does may come and go.
func goroutines() []string {
	stacks := make([]byte, 1<<20)
	all := strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
	return slices.DeleteFunc(all, func(stack string) bool {
		first, _, _ := strings.Cut(stack, "\n")
		return !strings.Contains(first, "synctest bubble")
	})
}

// TestCrashes: wherever the process dies, it is paid once, or not at all.
func TestCrashes(t *testing.T) {
	for _, v := range []verdict{{Approve: true}, {Why: "fly"}} {
		orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
			cfg, _ := config(t)
			return cfg
		}, func(t *testing.T, e *orpinetest.Env) {
			id := e.Start("expense", train)
			e.Settle(id)
			time.Sleep(month)
			if err := e.Answer(id, "approval", v); err != nil {
				t.Fatal(err)
			}
			if got := orpinetest.Output[outcome](e, e.Wait(id)); got.Paid != 120 == v.Approve || got.Why != v.Why {
				t.Errorf("got %+v", got)
			}
		})
	}
}
