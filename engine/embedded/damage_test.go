package embedded_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/engine/embedded"
	"github.com/orpine-run/orpine/store/sqlite"
	"github.com/orpine-run/orpine/store/storetest"
)

// waiter makes two steps, one of them with a result that is a blob, and waits for a signal.
func waiter() durable.Program {
	work := durable.NewFunc("work", durable.StepOptions{}, func(_ context.Context, n int) (string, error) {
		return strings.Repeat("x", n), nil
	})
	return durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		small, err := durable.Do(ctx, work, 3)
		if err != nil {
			return "", err
		}
		large, err := durable.Do(ctx, work, 9000)
		if err != nil {
			return "", err
		}
		word, err := durable.Receive[string](ctx, "go")
		return small + large[:1] + word, err
	}, work.StepFunc)
}

// tamper changes a database that nobody has open.
func tamper(t *testing.T, dir, text string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, sqlite.File))
	if err != nil {
		t.Fatal(err)
	}
	res, err := db.ExecContext(t.Context(), text)
	if err == nil {
		var n int64
		if n, err = res.RowsAffected(); err == nil && n == 0 {
			err = errors.New("it changes nothing")
		}
	}
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func goOn(ctx context.Context, e *embedded.Engine, id durable.RunID) error {
	return e.Signal(ctx, id, durable.Signal{Name: "go", Data: json.RawMessage(`"!"`)})
}

// TestDamagedJournal: a run whose journal is damaged is blocked, with what is damaged by
// name; it can be killed, nothing of it is made up, and other runs go on.
func TestDamagedJournal(t *testing.T) {
	const bad = ` WHERE run = (SELECT n FROM run WHERE id = 'bad')`
	for name, c := range map[string]struct{ text, want string }{
		"text of an entry":   {`UPDATE ev SET body = CAST(replace(CAST(body AS TEXT), '"xxx"', '"xxy"') AS BLOB)` + bad + ` AND seq = 1`, "run bad: entry 1 is damaged: its checksum does not match"},
		"chain of an entry":  {`UPDATE ev SET body = CAST(x'01' || zeroblob(16) || substr(body, 18) AS BLOB)` + bad + ` AND seq = 1`, "run bad: entry 1 is damaged"},
		"text of the last":   {`UPDATE ev SET body = CAST(substr(body, 1, 60) || 'x' || substr(body, 62) AS BLOB)` + bad + ` AND seq = 2`, "run bad: entry 2 is damaged"},
		"form of the last":   {`UPDATE ev SET body = CAST(x'02' || substr(body, 2) AS BLOB)` + bad + ` AND seq = 2`, "run bad: entry 2 is damaged, or written by a newer orpine: its form is 2, this build knows up to 1"},
		"form of the first":  {`UPDATE ev SET body = CAST(x'02' || substr(body, 2) AS BLOB)` + bad + ` AND seq = 0`, "run bad: entry 0 is damaged, or written by a newer orpine"},
		"last cut to a byte": {`UPDATE ev SET body = x'01'` + bad + ` AND seq = 2`, "run bad: entry 2 is damaged"},
		"entry missing":      {`DELETE FROM ev` + bad + ` AND seq = 1`, "run bad: entry 1 is missing"},
		"first missing":      {`DELETE FROM ev` + bad + ` AND seq = 0`, "run bad: entry 0 is missing"},
		"all missing":        {`DELETE FROM ev` + bad, "run bad has no journal"},
		"of another run":     {`UPDATE ev SET body = (SELECT body FROM ev e JOIN run r ON e.run = r.n WHERE r.id = 'good' AND e.seq = 2)` + bad + ` AND seq = 2`, "run bad: entry 2 is damaged"},
		"blob damaged":       {`UPDATE blob SET data = CAST(substr(data, 1, 10) || 'x' || substr(data, 12) AS BLOB)`, "is damaged"},
		"blob missing":       {`DELETE FROM blob`, "no blob "},
	} {
		t.Run(name, func(t *testing.T) {
			dir, ctx := t.TempDir(), t.Context()
			s := openStore(t, dir)
			e := openEngine(t, s, waiter())
			for _, id := range []durable.RunID{"good", "bad"} {
				if _, err := e.Start(ctx, durable.StartRequest{ID: id, Program: "p"}); err != nil {
					t.Fatal(err)
				}
				if r, err := e.Settle(ctx, id, time.Time{}); err != nil || r.Status != durable.Waiting {
					t.Fatalf("%s is %s, error %v", id, r.Status, err)
				}
			}
			closeEngine(t, e, s)
			tamper(t, dir, c.text)

			s = openStore(t, dir)
			e = openEngine(t, s, waiter())
			blocked := func(what string, err error) {
				t.Helper()
				if err != nil && !errors.Is(err, durable.ErrConflict) {
					t.Errorf("%s: %v", what, err)
				}
				r, err := e.Settle(ctx, "bad", time.Time{})
				if err != nil || r.Status != durable.Blocked || !strings.Contains(r.Reason, c.want) || r.Output != nil {
					t.Errorf("%s: the run is %s: %q, output %s, error %v; want %q", what, r.Status, r.Reason, r.Output, err, c.want)
				}
			}
			blocked("a signal", goOn(ctx, e, "bad"))
			if c.want == "run bad has no journal" {
				c.want = "run bad: entry 0 is signal and begins no segment" // what came since is all there is
			}
			blocked("another try", e.Resume(ctx, "bad"))
			if !strings.HasPrefix(name, "blob") { // which both have
				if err := goOn(ctx, e, "good"); err != nil {
					t.Error(err)
				}
				if r, err := e.Wait(ctx, "good"); err != nil || string(r.Output) != `"xxxx!"` {
					t.Errorf("the other run: %s with %s, error %v", r.Status, r.Output, err)
				}
			}
			if err := e.Kill(ctx, "bad", "it is damaged"); err != nil {
				t.Errorf("kill: %v", err)
			}
			if r, err := e.Get(ctx, "bad"); err != nil || r.Status != durable.Killed {
				t.Errorf("the killed run is %s, error %v", r.Status, err)
			}
			if found := damage(t, s); len(found) == 0 {
				t.Error("verify finds nothing")
			}
			if err := errors.Join(e.Close(ctx), s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDamagedRow: a row that is damaged is not acted upon; the runs beside it, before and
// behind it, go on.
func TestDamagedRow(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := openStore(t, dir)
	e := openEngine(t, storetest.NewFaulty(s, 0, false), waiter())
	ids := []durable.RunID{"a", "bad", "c"}
	for _, id := range ids {
		if _, err := e.Start(ctx, durable.StartRequest{ID: id, Program: "p"}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Settle(ctx, id, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	closeEngine(t, e, s)
	tamper(t, dir, `UPDATE run SET status = 'queued', waits = NULL WHERE id = 'bad'`) // as if it were ready
	s = openStore(t, dir)
	e = openEngine(t, s, waiter())
	for _, id := range []durable.RunID{"a", "c"} {
		if err := goOn(ctx, e, id); err != nil {
			t.Fatal(err)
		}
		if r, err := e.Wait(ctx, id); err != nil || r.Status != durable.Succeeded {
			t.Errorf("run %s is %s, error %v", id, r.Status, err)
		}
	}
	const want = "the row of run bad is damaged: the checksum of its status does not match"
	if err := goOn(ctx, e, "bad"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a signal: got %v", err)
	}
	if entries, err := e.Journal().All(ctx, "bad", 0); err != nil || len(entries) != 3 {
		t.Errorf("it has %d entries, error %v: something was done to it", len(entries), err)
	}
	runs, err := s.List(ctx, durable.Filter{})
	if err != nil || len(runs) != 3 || runs[1].Fault == nil {
		t.Errorf("the list has %d runs, error %v", len(runs), err)
	}
	if found := damage(t, s); len(found) != 1 || !strings.Contains(found[0], want) {
		t.Errorf("verify finds %v", found)
	}
	if err := errors.Join(e.Close(ctx), s.Close()); err != nil {
		t.Error(err)
	}
}

// TestClockGoesBack: the clock of the second process is a day and more behind that of the
// first. Time in a journal, and for a program, never goes back; a timer waits until its
// moment has come.
func TestClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	slow := durable.NewFunc("slow", durable.StepOptions{}, func(context.Context, int) (string, error) {
		time.Sleep(5 * time.Hour)
		return "", nil
	})
	var times []time.Time
	program := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		times = []time.Time{durable.Now(ctx)}
		_, err := durable.Do(ctx, slow, 1)
		times = append(times, durable.Now(ctx))
		if err != nil {
			return "", err
		}
		_, err = durable.Do(ctx, slow, 2)
		times = append(times, durable.Now(ctx))
		return "", err
	}, slow.StepFunc)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(day)
		s := openStore(t, dir)
		e := openEngine(t, storetest.NewFaulty(s, 3, true), program, sleeperAs("sleeper")) // dies before the second result
		startAs(t, e, "sleeper", "sleeper", 20*time.Hour)
		if _, err := e.Start(t.Context(), durable.StartRequest{ID: "run", Program: "p"}); err != nil {
			t.Fatal(err)
		}
		if _, err := e.Wait(t.Context(), "run"); !errors.Is(err, storetest.ErrCrash) {
			t.Fatalf("got %v, want a crash", err)
		}
		_ = e.Close(t.Context()) // it has failed
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		began := time.Now() // a day before
		s := openStore(t, dir)
		e := openEngine(t, s, program, sleeperAs("sleeper"))
		for _, id := range []durable.RunID{"run", "sleeper"} {
			if r, err := e.Wait(t.Context(), id); err != nil || r.Status != durable.Succeeded {
				t.Fatalf("run %s is %s (%s), error %v", id, r.Status, r.Reason, err)
			}
			entries, err := e.Journal().All(t.Context(), id, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i := 1; i < len(entries); i++ {
				if entries[i].Time.Before(entries[i-1].Time) {
					t.Errorf("run %s: entry %d (%s) is of %s, the one before of %s", id, i, entries[i].Kind, entries[i].Time, entries[i-1].Time)
				}
			}
		}
		if slept := time.Since(began); slept < day+20*time.Hour {
			t.Errorf("the timer fired after %s of a clock that is a day behind", slept)
		}
		closeEngine(t, e, s)
	})
	for i := 1; i < len(times); i++ {
		if times[i].Before(times[i-1]) {
			t.Errorf("the program saw %v", times)
		}
	}
}

// sleeperAs is a program that sleeps as long as it is told.
func sleeperAs(name string) durable.Program {
	return durable.NewProgram(name, func(ctx durable.Context, d time.Duration) (string, error) {
		return "", durable.Sleep(ctx, d)
	})
}

func startAs(t *testing.T, e *embedded.Engine, id durable.RunID, program string, d time.Duration) {
	t.Helper()
	input, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start(t.Context(), durable.StartRequest{ID: id, Program: program, Input: input}); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBlobInStep: a step that comes upon a damaged blob does not fail over it: the
// run is blocked, and goes on once the blob is mended.
func TestDamagedBlobInStep(t *testing.T) {
	put := durable.NewFunc("put", durable.StepOptions{}, func(ctx context.Context, _ int) (durable.Ref, error) {
		return durable.AttemptOf(ctx).Blobs.Put(ctx, []byte("what was put"))
	})
	get := durable.NewFunc("get", durable.StepOptions{}, func(ctx context.Context, ref durable.Ref) (string, error) {
		data, err := durable.AttemptOf(ctx).Blobs.Get(ctx, ref)
		return string(data), err
	})
	program := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		ref, err := durable.Do(ctx, put, 0)
		if err != nil {
			return "", err
		}
		if _, err := durable.Receive[string](ctx, "go"); err != nil {
			return "", err
		}
		text, err := durable.Do(ctx, get, ref)
		if err != nil {
			return "it failed", nil //nolint:nilerr // a program that makes something of every failure
		}
		return text, nil
	}, put.StepFunc, get.StepFunc)
	dir, ctx := t.TempDir(), t.Context()
	s := openStore(t, dir)
	e := openEngine(t, s, program)
	if _, err := e.Start(ctx, durable.StartRequest{ID: "run", Program: "p"}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Settle(ctx, "run", time.Time{}); err != nil {
		t.Fatal(err)
	}
	closeEngine(t, e, s)
	const change = `UPDATE blob SET data = CAST(replace(CAST(data AS TEXT), '%s', '%s') AS BLOB)`
	tamper(t, dir, fmt.Sprintf(change, "was", "is!"))
	s = openStore(t, dir)
	e = openEngine(t, s, program)
	if err := goOn(ctx, e, "run"); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Wait(ctx, "run"); err != nil || r.Status != durable.Blocked || !strings.Contains(r.Reason, "blob ") || !strings.Contains(r.Reason, "is damaged") {
		t.Errorf("the run is %s: %q with %s, error %v", r.Status, r.Reason, r.Output, err)
	}
	if err := errors.Join(e.Close(ctx), s.Close()); err != nil {
		t.Fatal(err)
	}
	tamper(t, dir, fmt.Sprintf(change, "is!", "was"))
	s = openStore(t, dir)
	e = openEngine(t, s, program)
	if err := e.Resume(ctx, "run"); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Wait(ctx, "run"); err != nil || string(r.Output) != `"what was put"` {
		t.Errorf("the run is %s: %q with %s, error %v", r.Status, r.Reason, r.Output, err)
	}
	closeEngine(t, e, s)
}
