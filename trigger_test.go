package orpine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// triggered is a program that says what it is told, after a while.
func triggered() durable.Program {
	return durable.NewProgram("triggered", func(ctx durable.Context, in string) (string, error) {
		return in, durable.Sleep(ctx, 10*time.Second)
	})
}

func openTriggered(t *testing.T, dir string) *orpine.Runtime {
	t.Helper()
	r, err := orpine.Open(t.Context(), orpine.Config{Data: dir, Programs: []durable.Program{triggered()}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// outputs are what the runs of a trigger have said, oldest first.
func outputs(t *testing.T, r *orpine.Runtime, id durable.RunID) []string {
	t.Helper()
	runs, err := r.List(t.Context(), durable.Filter{Parent: id, Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, run := range runs {
		whole, err := r.Get(t.Context(), run.ID)
		if err != nil {
			t.Fatal(err)
		}
		said = append(said, string(whole.Output))
	}
	return said
}

// TestTriggers: a trigger is set by its name, heard, told, changed and removed, over processes.
func TestTriggers(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := openTriggered(t, dir)
		defer func() { _ = r.Close() }()
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(11 * time.Second)
		}
		d := trigger.Definition{Name: "orders", On: trigger.On{Event: &trigger.Event{Names: []string{"order"}}}, Start: trigger.Start{
			Program: "triggered", Input: json.RawMessage(`"order ${{ trigger.event.id }}"`),
		}}
		id, err := r.SetTrigger(t.Context(), "acme", d)
		must(err)
		emit := func(name, event string, want int) {
			t.Helper()
			told, err := r.Emit(t.Context(), "acme", trigger.Occurred{ID: event, Name: name})
			must(err)
			if told != want {
				t.Errorf("%s %s: %d triggers were told, want %d", name, event, told, want)
			}
		}
		emit("order", "1", 1)
		emit("order", "1", 1) // again
		emit("refund", "2", 0)
		if told, err := r.Emit(t.Context(), "globex", trigger.Occurred{Name: "order"}); told != 0 || err != nil {
			t.Errorf("another tenant tells %d, %v", told, err)
		}
		same, err := r.SetTrigger(t.Context(), "acme", d)
		must(err)
		d.On.Event.Names = []string{"refund"}
		d.Start.Input = json.RawMessage(`"refund ${{ trigger.event.id }}"`)
		changed, err := r.SetTrigger(t.Context(), "acme", d)
		must(err)
		if same != id || changed != id {
			t.Errorf("the trigger is %s, then %s, then %s", id, same, changed)
		}
		must(r.Close())
		r = openTriggered(t, dir)
		emit("order", "3", 0)
		emit("refund", "4", 1)
		must(r.PauseTrigger(t.Context(), "acme", "orders"))
		emit("refund", "5", 1)
		byHand := trigger.Fire{ID: "hand", Input: json.RawMessage(`"by hand"`)}
		must(r.FireTrigger(t.Context(), "acme", "orders", byHand))
		must(r.FireTrigger(t.Context(), "acme", "orders", byHand)) // again
		must(r.ResumeTrigger(t.Context(), "acme", "orders"))
		if diff := cmp.Diff([]string{`"order 1"`, `"refund 4"`, `"by hand"`}, outputs(t, r, id)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		list, err := r.Triggers(t.Context(), "acme")
		if err != nil || len(list) != 1 || list[0].State.Started != 3 || list[0].State.Skipped != 1 || list[0].Definition.On.Event.Names[0] != "refund" {
			t.Errorf("triggers %+v, %v", list, err)
		}
		if err := r.BackfillTrigger(t.Context(), "acme", "orders", trigger.Backfill{From: time.Now(), To: time.Now()}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("a backfill of events: %v", err)
		}
		must(r.RemoveTrigger(t.Context(), "acme", "orders"))
		emit("refund", "6", 0)
		if _, err := r.Trigger(t.Context(), "acme", "orders"); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("a trigger that was removed: %v", err)
		}
		if run, err := r.Get(t.Context(), id); err != nil || run.Status != durable.Canceled {
			t.Errorf("its run is %s, %v", run.Status, err)
		}
	})
}

// TestTriggerOnRuns: ends of runs start runs, each once, of the same tenant and from then on.
func TestTriggerOnRuns(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := openTriggered(t, dir)
		defer func() { _ = r.Close() }()
		start := func(tenant, text string) {
			t.Helper()
			input, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Start(t.Context(), durable.StartRequest{Program: "triggered", Tenant: tenant, Input: input}); err != nil {
				t.Fatal(err)
			}
		}
		start("acme", "over before")
		<-time.After(time.Minute)
		start("acme", "under way")
		d := trigger.Definition{Name: "after", On: trigger.On{Run: &trigger.RunEnd{Program: "triggered", Statuses: []durable.Status{durable.Succeeded}}}, Start: trigger.Start{
			Program: "triggered", Input: json.RawMessage(`"after ${{ trigger.run.output }}"`),
		}}
		id, err := r.SetTrigger(t.Context(), "acme", d)
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(5 * time.Second)
		start("globex", "somebody else's")
		start("acme", "new")
		<-time.After(2 * time.Second)
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		r = openTriggered(t, dir)
		<-time.After(time.Minute)
		if diff := cmp.Diff([]string{`"after under way"`, `"after new"`}, outputs(t, r, id)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// Example_trigger sets a schedule and asks when it is due.
func Example_trigger() {
	d := trigger.Definition{
		Name:  "report",
		On:    trigger.On{Cron: &trigger.Cron{Expr: "30 9 * * mon-fri", TZ: "Europe/Berlin"}},
		Start: trigger.Start{Program: "agent", Input: json.RawMessage(`{"text": "Write the report of ${{ trigger.time }}"}`)},
	}
	fmt.Println(d.Check())
	d.On.Cron.TZ = "Europe/Berln"
	fmt.Println(d.Check())
	// Output:
	// <nil>
	// trigger report: on.cron: there is no time zone "Europe/Berln"; did you mean Europe/Berlin?
}
