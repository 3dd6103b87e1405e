package trigger_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// TestEvents: events of the names and of the condition start a run, one at a time, each once.
func TestEvents(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		d := work("orders", trigger.On{Event: &trigger.Event{Names: []string{"order", "refund"}, If: `event.data.amount > 10`}},
			`{"for":60000000000,"key":"${{ trigger.key }}","what":{"amount":"${{ trigger.event.data.amount }}"}}`)
		d.QueueMax = 2
		id := h.start(d)
		send := func(name, eventID string, amount int) {
			h.signal(id, trigger.EventSignal, trigger.Occurred{ID: eventID, Name: name, Data: json.RawMessage(fmt.Sprintf(`{"amount":%d}`, amount))})
		}
		send("order", "a", 20)
		send("order", "a", 20)  // the same again
		send("order", "b", 5)   // too small
		send("visit", "c", 100) // not asked for
		send("refund", "d", 30)
		send("order", "e", 40)
		send("order", "f", 50) // there is no room
		<-time.After(30 * time.Second)
		h.reopen(0)
		<-time.After(5 * time.Minute)
		send("order", "a", 20) // long after
		<-time.After(5 * time.Minute)
		h.healthy(id)
		runs := h.started(id)
		var got []string
		for i, j := range jobs(t, runs) {
			got = append(got, fmt.Sprint(j.Key, " ", string(j.What), " ", runs[i].Created.Sub(began).Round(time.Minute)))
		}
		if diff := cmp.Diff([]string{`a {"amount":20} 0s`, `d {"amount":30} 1m0s`, `e {"amount":40} 2m0s`}, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if v := h.view(id); v.Skipped != 1 || v.Started != 3 {
			t.Errorf("view %+v", v.State)
		}
		h.signal(id, trigger.EventSignal, trigger.Occurred{Name: "order", Data: json.RawMessage(`{}`)})
		<-time.After(time.Second)
		if v := h.view(id); v.Failed != 1 || v.Trouble == "" {
			t.Errorf("a condition that cannot be computed: %+v", v.State)
		}
	})
}

// TestCollapse: several events make one start; of several names, all have to come where that is said.
func TestCollapse(t *testing.T) {
	for _, c := range []struct {
		name string
		on   trigger.Event
		want []string
	}{
		{"while one goes on", trigger.Event{Collapse: true}, []string{"0s a 1", "10m0s b 3"}},
		{"within a time", trigger.Event{Within: 2 * time.Minute}, []string{"2m0s b 2", "12m0s b 2"}},
		{"all", trigger.Event{All: true}, []string{"1m0s b 2", "11m0s b 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T, h *house) {
				began := time.Now()
				c.on.Names = []string{"asset:a", "asset:b"}
				d := work("eager", trigger.On{Event: &c.on}, `{"for":600000000000,"what":"${{ trigger.event.name }} ${{ trigger.events }}"}`)
				id := h.start(d)
				h.signal(id, trigger.EventSignal, trigger.Occurred{ID: "1", Name: "asset:a"})
				<-time.After(time.Minute)
				h.signal(id, trigger.EventSignal, trigger.Occurred{ID: "2", Name: "asset:b"})
				<-time.After(2 * time.Minute)
				h.signal(id, trigger.EventSignal, trigger.Occurred{ID: "3", Name: "asset:a"})
				h.signal(id, trigger.EventSignal, trigger.Occurred{ID: "2", Name: "asset:b"}) // again
				h.signal(id, trigger.EventSignal, trigger.Occurred{ID: "4", Name: "asset:b"})
				<-time.After(time.Hour)
				h.healthy(id)
				runs := h.started(id)
				var got []string
				for i, j := range jobs(t, runs) {
					var what string
					if err := json.Unmarshal(j.What, &what); err != nil {
						t.Fatal(err)
					}
					got = append(got, fmt.Sprint(runs[i].Created.Sub(began), " ", what[len("asset:"):]))
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("-want +got\n%s", diff)
				}
			})
		})
	}
}

// TestFiles: a new file is one run, once it is whole; so is one that was changed. What was there
// before does not count.
func TestFiles(t *testing.T) {
	folder := t.TempDir()
	write := func(name, text string, changed time.Time) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	in(t, func(t *testing.T, h *house) {
		began := time.Now()
		write("old.csv", "1", began)
		d := work("sensor", trigger.On{Files: &trigger.Files{Folder: folder, Glob: "**/*.csv"}}, `{"what":"${{ trigger.file.path }}"}`)
		d.Overlap = trigger.Allow
		id := h.start(d)
		<-time.After(time.Minute)
		write("a.csv", "1", began.Add(time.Second))
		write("deep/er/b.csv", "1", began.Add(time.Second))
		write("c.txt", "1", began.Add(time.Second))
		for i := range 10 { // it is being written
			write("slow.csv", fmt.Sprint("1", i), began.Add(time.Duration(i)*time.Second))
			<-time.After(4 * time.Second)
		}
		<-time.After(time.Minute)
		h.reopen(time.Minute)
		write("a.csv", "2", began.Add(time.Hour))
		if err := os.Remove(filepath.Join(folder, "slow.csv")); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Minute)
		h.healthy(id)
		runs := h.started(id)
		var got []string
		for _, j := range jobs(t, runs) {
			got = append(got, string(j.What))
		}
		if diff := cmp.Diff([]string{`"a.csv"`, `"a.csv"`, `"deep/er/b.csv"`, `"slow.csv"`}, sorted(got)); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		if slow := runs[2].Created.Sub(began); string(jobs(t, runs)[2].What) != `"slow.csv"` || slow < 96*time.Second {
			t.Errorf("the slow one was taken after %s", slow)
		}
		// A folder that is gone is said, and comes back.
		if err := os.Rename(folder, folder+".away"); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * time.Minute)
		if v := h.view(id); v.Trouble == "" {
			t.Errorf("view %+v", v.State)
		}
		if err := os.Rename(folder+".away", folder); err != nil {
			t.Fatal(err)
		}
		write("back.csv", "1", began.Add(time.Second))
		<-time.After(3 * time.Minute)
		if v := h.view(id); v.Trouble != "" || v.Started != 5 {
			t.Errorf("view %+v", v.State)
		}
	})
}

// TestExistingFiles: where that is said, what is there counts.
func TestExistingFiles(t *testing.T) {
	folder := t.TempDir()
	for i := range 250 {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.csv", i)), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in(t, func(t *testing.T, h *house) {
		d := work("sensor", trigger.On{Files: &trigger.Files{Folder: folder, Glob: "*.csv", Existing: true, Every: time.Second}}, `{"what":"${{ trigger.file.path }}"}`)
		for _, d.Overlap = range []trigger.Overlap{trigger.Allow, trigger.Queue} {
			id := h.start(d)
			<-time.After(10 * time.Minute)
			h.healthy(id)
			seen := map[string]bool{}
			for _, j := range jobs(t, h.started(id)) {
				seen[string(j.What)] = true
			}
			if n := len(h.started(id)); n != 250 || len(seen) != 250 {
				t.Errorf("%s: %d runs of %d files", d.Overlap, n, len(seen))
			}
		}
	})
}

// TestPoll: what a poll finds is started once by its key, and the cursor goes on.
func TestPoll(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		polls := 0
		poll := func(cursor json.RawMessage) ([]trigger.Item, json.RawMessage, error) {
			polls++
			at := 0
			if cursor != nil {
				if err := json.Unmarshal(cursor, &at); err != nil {
					return nil, nil, err
				}
			}
			switch {
			case at == 4:
				return nil, cursor, nil
			case polls == 3:
				return nil, nil, durable.Errorf(durable.CodeDenied, "not today")
			}
			item := func(n int) trigger.Item {
				return trigger.Item{Key: fmt.Sprint("row ", n), Value: json.RawMessage(fmt.Sprint(n))}
			}
			return []trigger.Item{item(at), item(at + 1)}, json.RawMessage(fmt.Sprint(at + 1)), nil // one of them comes again
		}
		h.poll.Store(&poll)
		id := h.start(work("rows", trigger.On{Poll: &trigger.Poll{Config: json.RawMessage(`{}`)}}, `{"key":"${{ trigger.key }}","what":"${{ trigger.item }}"}`))
		<-time.After(150 * time.Second)
		if v := h.view(id); v.Trouble == "" {
			t.Errorf("view %+v", v.State)
		}
		h.reopen(time.Minute)
		<-time.After(10 * time.Minute)
		h.healthy(id)
		var got []string
		for _, j := range jobs(t, h.started(id)) {
			got = append(got, j.Key+" "+string(j.What))
		}
		if diff := cmp.Diff([]string{"row 0 0", "row 1 1", "row 2 2", "row 3 3", "row 4 4"}, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestRunEnds: the end of another run starts one; those that the trigger starts do not.
func TestRunEnds(t *testing.T) {
	in(t, func(t *testing.T, h *house) {
		id := h.start(work("after", trigger.On{Run: &trigger.RunEnd{Program: "work", Statuses: []durable.Status{durable.Succeeded}}}, `{"what":"${{ trigger.run.name }}"}`))
		<-time.After(time.Minute)
		for i, j := range []job{{For: time.Minute}, {Fail: durable.CodeDenied}, {}} {
			input, err := json.Marshal(j)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.e.Start(t.Context(), durable.StartRequest{Program: "work", Name: fmt.Sprint("up", i), Input: input}); err != nil {
				t.Fatal(err)
			}
			<-time.After(2 * time.Minute)
		}
		h.healthy(id)
		var got []string
		for _, j := range jobs(t, h.started(id)) {
			got = append(got, string(j.What))
		}
		if diff := cmp.Diff([]string{`"up0"`, `"up2"`}, got); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// TestIdleSource: a source that finds nothing costs little.
func TestIdleSource(t *testing.T) {
	folder := t.TempDir()
	in(t, func(t *testing.T, h *house) {
		id := h.start(work("sensor", trigger.On{Files: &trigger.Files{Folder: folder, Glob: "*"}}, `{}`))
		<-time.After(time.Hour)
		synctest.Wait()
		last, err := h.s.Last(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d entries an hour", last.Seq)
		if last.Seq > 2400 {
			t.Errorf("%d entries an hour", last.Seq)
		}
	})
}
