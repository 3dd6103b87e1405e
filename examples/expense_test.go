package examples_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

// TestExpense: a report waits 30 days for a person, and is paid once or not at all; a second answer
// is a conflict and changes nothing.
func TestExpense(t *testing.T) {
	t.Parallel()
	const month = 30 * 24 * time.Hour
	f := load(t, "expense/expense.yaml")
	for _, one := range []struct {
		answer, want string
		paid         int
	}{
		{`{"approve":true}`, `{"paid":120,"why":""}`, 1},
		{`{"approve":false,"why":"fly"}`, `{"paid":0,"why":"fly"}`, 0},
	} {
		var w *world
		orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
			w = newWorld(t, f, map[string]hand{"file_report": says(""), "pay": says("")})
			return orpinetest.Config{Tools: w.tools}
		}, func(t *testing.T, e *orpinetest.Env) {
			began := time.Now()
			id := begin(t, e, flow(t, f, "expense"), `{"employee":"ann","amount":120,"reason":"a train"}`)
			before := e.Settle(id)
			if len(before.Waits) != 1 || before.Waits[0].Interrupt == nil || before.Waits[0].Interrupt.Prompt != "Pay 120 to ann for a train?" || !before.Waits[0].Until.IsZero() {
				t.Fatalf("it waits for %+v", before.Waits)
			}
			question := before.Waits[0].Interrupt.ID
			synctest.Wait()
			time.Sleep(month)
			if after := e.Settle(id); !after.Updated.Equal(before.Updated) || after.Status != durable.Waiting {
				t.Errorf("the wait left a trace: %+v", after)
			}
			same(t, "paid before the answer", len(w.did("pay")), 0)
			if err := e.Answer(id, question, json.RawMessage(one.answer)); err != nil {
				t.Fatal(err)
			}
			for _, second := range []string{one.answer, `{"approve":true}`} {
				if err := e.Answer(id, question, json.RawMessage(second)); !errors.Is(err, durable.ErrConflict) {
					t.Errorf("a second answer: %v", err)
				}
			}
			same(t, "output", output(t, e.Wait(id)), one.want)
			same(t, "time", time.Since(began), month)
			if err := e.Answer(id, question, json.RawMessage(`{"approve":true}`)); !errors.Is(err, durable.ErrConflict) {
				t.Errorf("an answer behind the end: %v", err)
			}
			same(t, "filed", w.did("file_report"), []string{`file_report {"amount":120,"employee":"ann"}`})
			same(t, "paid", fmt.Sprint(len(w.did("pay")), step(t, e, id, "pay").Status), fmt.Sprint(one.paid, map[int]string{1: "succeeded", 0: "skipped"}[one.paid]))
		})
	}
}

// TestExpenseWaits: a report that waits is nothing but a row: no goroutine, and nothing that wakes up. It
// counts goroutines, so nothing runs beside it.
func TestExpenseWaits(t *testing.T) {
	f := load(t, "expense/expense.yaml")
	began := time.Now()
	w := newWorld(t, f, map[string]hand{"file_report": says(""), "pay": says("")})
	orpinetest.Run(t, orpinetest.Config{Tools: w.tools}, func(t *testing.T, e *orpinetest.Env) {
		idle := goroutines()
		id := begin(t, e, flow(t, f, "expense"), `{"employee":"ann","amount":120,"reason":"a train"}`)
		before := e.Settle(id)
		const many = 20 // had each a goroutine, it would be seen
		for range many {
			e.Settle(begin(t, e, flow(t, f, "expense"), `{"employee":"bob","amount":120,"reason":"a train"}`))
		}
		synctest.Wait()
		if left := goroutines(); len(left) > len(idle)+many/2 { // what drives runs has a few of its own
			t.Errorf("%d goroutines before, %d while it waits:\n%s", len(idle), len(left), strings.Join(left, "\n\n"))
		}
		time.Sleep(8 * 365 * 24 * time.Hour)
		if after := e.Settle(id); !after.Updated.Equal(before.Updated) || after.Status != durable.Waiting {
			t.Errorf("after the wait it is %+v", after)
		}
	})
	if took := time.Since(began); took > 10*time.Second { // a look each second would be 250 million
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
