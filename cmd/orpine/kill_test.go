package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
)

// The lines on standard error after which the command is killed; together they are
// all that a run prints.
var killLines = []string{
	"run ", "✓ billing", "✓ metrics", "✓ logs", "✓ hotspots", "▸ advise", "✓ model", "✓ sql", "✓ advise", "✓ report",
	"✓ feedback", "✓ revise", "0 steps restored",
}

// TestKillDemo kills the demonstration at any moment; whoever waits for the run then
// finishes it with the same report, and no step is repeated.
func TestKillDemo(t *testing.T) {
	t.Parallel()
	n := 12
	if testing.Short() {
		n = 4
	}
	if *kills > 0 {
		n = *kills
	}
	bills := []undisturbed{runUndisturbed(t, "")}
	if csv := focusSample(); csv != "" {
		bills = append(bills, runUndisturbed(t, csv))
	}
	tally := map[string]int{}
	for i, at := range killPoints(n, bills[0].took, killLines) {
		t.Run(fmt.Sprintf("%d %s", i, at), func(t *testing.T) {
			k := &killed{place: newPlace(t), want: bills[i/2%len(bills)], asks: i%3 == 2}
			for _, word := range k.play(at, i%4 < 2) {
				tally[word]++
			}
		})
	}
	t.Logf("%d kills: %v", n, tally)
	if tally["killed while the run was under way"] == 0 {
		t.Error("no kill fell into a run: the test shows nothing")
	}
}

// TestKilledAtBirth finds what a process leaves that is killed while it makes the
// database: there are no runs, and the next process makes it.
func TestKilledAtBirth(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if err := os.Mkdir(p.path(".orpine"), 0o700); err != nil {
		t.Fatal(err)
	}
	p.write(".orpine/orpine.db", "")
	for _, args := range [][]string{{"wait", "@last"}, {"show", "@last"}, {"steps", "@last"}} {
		if o := p.run(args...); o.code != 4 {
			t.Errorf("orpine %s: exit code %d, want 4\n%s", strings.Join(args, " "), o.code, o.err)
		}
	}
	p.ok(accepting(demoArgs(""))...)
}

// killed is one run that is killed, perhaps twice.
type killed struct {
	*place
	want undisturbed
	asks bool // the answer is not known when the run starts, but comes with orpine wait
}

// play kills the run, finishes it and looks at what is there. It says what happened.
func (k *killed) play(at killPoint, twice bool) []string {
	k.t.Helper()
	start, wait, waiting := accepting(demoArgs(k.want.csv)), []string{"wait", "@last"}, 0
	if k.asks {
		start, wait, waiting = demoArgs(k.want.csv), accepting(wait), 5
		if at.line == "✓ feedback" {
			at.line = "? "
		}
	}
	var tally []string
	first := k.doom(at, start...)
	switch {
	case first.killed:
		tally = append(tally, "killed")
	case first.code != waiting:
		k.t.Fatalf("the run that was to be killed: exit code %d, want %d\n%s", first.code, waiting, first.err)
	default:
		tally = append(tally, "ended before the kill")
	}
	if twice {
		at := killPoint{after: time.Duration(rand.Float64() * float64(k.want.took))}
		second := k.doom(at, wait...)
		if second.killed {
			tally = append(tally, "killed again")
		} else if second.code != 0 && second.code != 4 {
			k.t.Fatalf("orpine wait, to be killed %s: exit code %d\n%s", at, second.code, second.err)
		}
	}
	last := k.run(wait...)
	if last.code == 4 && first.killed {
		tally = append(tally, "killed before the run was")
		k.run(start...)
		last = k.run(wait...)
	} else if first.killed {
		tally = append(tally, "killed while the run was under way")
	}
	if last.code != 0 {
		k.t.Fatalf("orpine %s: exit code %d\n%s", strings.Join(wait, " "), last.code, last.err)
	}
	k.verify()
	report := k.report()
	k.ok("wait", "@last")
	if diff := cmp.Diff(report, k.report()); diff != "" {
		k.t.Errorf("waiting for a run that has ended changed its report (-before +after):\n%s", diff)
	}
	return tally
}

// verify holds the report, the journal and the ledger against each other and against
// the undisturbed run.
func (k *killed) verify() {
	k.t.Helper()
	report := k.report()
	if diff := cmp.Diff(figures(k.want.report), figures(report)); diff != "" {
		k.t.Errorf("the report differs from that of an undisturbed run (-want +got):\n%s", diff)
	}
	id := k.checkSteps()
	if want := map[string]any{"id": id, "status": "succeeded"}; !cmp.Equal(want, report["run"]) {
		k.t.Errorf("report.json says of the run %v, want %v", report["run"], want)
	}
	recorded, last := map[string]int64{}, int64(0)
	k.record(id, recorded, &last)
	restored := 0
	for _, epoch := range recorded {
		if epoch < last {
			restored++
		}
	}
	if got := report["restored_steps"]; got != json.Number(fmt.Sprint(restored)) {
		k.t.Errorf("report.json counts %v restored steps, its journal %d", got, restored)
	}
	if got := report["repeated_steps"]; got != json.Number("0") {
		k.t.Errorf("report.json counts %v repeated steps, want 0", got)
	}
	k.checkLedger(id, recorded)
}

// checkSteps looks for each of the eight steps, once, and returns the run.
func (k *killed) checkSteps() string {
	k.t.Helper()
	var steps []struct {
		Command              int
		Name, Kind, Status   string
		Attempt              int
		Started, Ended       time.Time
		Input, Output, Error any
	}
	k.decode(&steps, "steps", "@last", "-o", "json")
	var got []string
	for _, s := range steps {
		got = append(got, fmt.Sprintf("%d %s %s %s", s.Command, s.Name, s.Kind, s.Status))
		if s.Error != nil || s.Started.IsZero() || s.Ended.Before(s.Started) || s.Output == nil {
			k.t.Errorf("step %s is told as %+v", s.Name, s)
		}
		if s.Kind == "step" && (s.Attempt != 1 || s.Input == nil) {
			k.t.Errorf("step %s: attempt %d, input %v; want attempt 1 (a kill is no failure) and an input", s.Name, s.Attempt, s.Input)
		}
	}
	want := []string{
		"0 billing step done", "1 metrics step done", "2 logs step done", "3 hotspots step done", "4 advise child done",
		"5 report step done", "6 feedback step done", "7 revise step done",
	}
	if k.asks {
		want[6] = "6 feedback ask done"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Errorf("steps (-want +got):\n%s", diff)
	}
	var run struct{ ID, Status string }
	k.decode(&run, "show", "@last", "-o", "json")
	if run.Status != "succeeded" {
		k.t.Errorf("the run is %s, want succeeded", run.Status)
	}
	return run.ID
}

// record reads from the journals of a run and its children which epoch recorded each
// step, by the step's key, and the last epoch that wrote anything.
func (k *killed) record(id string, into map[string]int64, last *int64) {
	k.t.Helper()
	type entry struct {
		Kind, Child string
		Command     int
		Epoch       int64
	}
	for _, e := range readLines[entry](k.t, k.ok("logs", id, "-o", "jsonl")) {
		*last = max(*last, e.Epoch)
		switch e.Kind {
		case "done":
			key := fmt.Sprintf("%s/0/%d", id, e.Command)
			if before, twice := into[key]; twice {
				k.t.Errorf("step %s is recorded twice, in epochs %d and %d", key, before, e.Epoch)
			}
			into[key] = e.Epoch
		case "child":
			k.record(e.Child, into, last)
		}
	}
}

// checkLedger holds what really ran, by the ledger, against what the journal says.
func (k *killed) checkLedger(id string, recorded map[string]int64) {
	k.t.Helper()
	data, err := os.ReadFile(k.path("OUT", "ledger.jsonl"))
	if err != nil {
		k.t.Fatal(err)
	}
	type line struct {
		Run, Step, Key string
		Epoch          int64
		PID            int
	}
	pids, ran := map[int64]int{}, map[string][]int64{}
	for _, l := range readLines[line](k.t, string(data)) {
		if l.Run != id {
			k.t.Errorf("the ledger names run %s; there is only %s", l.Run, id)
		}
		if pid, ok := pids[l.Epoch]; ok && pid != l.PID {
			k.t.Errorf("two processes, %d and %d, ran steps in epoch %d", pid, l.PID, l.Epoch)
		}
		pids[l.Epoch] = l.PID
		ran[l.Key] = append(ran[l.Key], l.Epoch)
		if l.Epoch > recorded[l.Key] {
			k.t.Errorf("step %s ran in epoch %d, after epoch %d had recorded it", l.Step, l.Epoch, recorded[l.Key])
		}
	}
	for _, command := range []int{0, 1, 2, 3, 5, 7} { // the others are a child and a question
		key := fmt.Sprintf("%s/0/%d", id, command)
		if !slices.Contains(ran[key], recorded[key]) {
			k.t.Errorf("epoch %d recorded step %s, which ran in epochs %v only", recorded[key], key, ran[key])
		}
		slices.Sort(ran[key])
		if len(slices.Compact(slices.Clone(ran[key]))) != len(ran[key]) {
			k.t.Errorf("step %s ran twice in one epoch: %v", key, ran[key])
		}
	}
}

// settled is what the program of the effect test prints at last.
type settled struct {
	Runs []struct {
		Run   durable.Run
		Steps []durable.Step
	}
}

// TestKillEffects kills a process around payments that a ledger in another process
// writes down. Each happens once or not at all; where nobody can know, the run waits
// in doubt and nothing is paid again.
func TestKillEffects(t *testing.T) {
	t.Parallel()
	n := 40
	if *kills > 0 {
		n = *kills
	}
	script, err := filepath.Abs("testdata/e2e/payer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	e := newEffects(t, script)
	began := time.Now()
	e.settle("start", killPoint{})
	whole := time.Since(began)
	e.check(false)
	if len(e.paid) != 6 || e.doubts != 0 {
		t.Fatalf("undisturbed, four runs paid %d times with %d doubts, want 6 and 0", len(e.paid), e.doubts)
	}
	tally := map[string]int{}
	for i, at := range killPoints(n, whole, []string{"started ", "intent ", "done pay", "done before", "intent ", "asked ", "written ", "done model"}) {
		t.Run(fmt.Sprintf("%d %s", i, at), func(t *testing.T) {
			e := newEffects(t, script)
			for _, word := range e.play(at, i%4 < 2, whole) {
				tally[word]++
			}
			tally["payments"] += len(e.paid)
		})
	}
	t.Logf("%d kills: %v", n, tally)
	for _, word := range []string{"in doubt, had happened", "in doubt, had not happened", "went on"} {
		if n >= 40 && tally[word] == 0 {
			t.Errorf("no kill led to %q: the test shows too little", word)
		}
	}
}

// effects is a data directory with runs that pay, and the ledger they pay by.
type effects struct {
	*place
	script string
	url    string

	mark   atomic.Pointer[string]  // a line of the ledger that is to kill
	victim atomic.Pointer[process] // whom

	settled settled
	doubts  int
	paid    map[string]int // what the ledger's file says: key -> lines
}

func newEffects(t *testing.T, script string) *effects {
	t.Helper()
	e := &effects{place: placeOf(t, effectBinary), script: script}
	url := make(chan string, 1)
	ledger := exec.Command(e.binary, "ledger", e.path("ledger"))
	ledger.Env = e.env
	ledger.Stdout = &lines{each: func(_ *process, line string) {
		if strings.HasPrefix(line, "http://") {
			url <- line
			return
		}
		if mark, victim := e.mark.Load(), e.victim.Load(); mark != nil && victim != nil && strings.HasPrefix(line, *mark) {
			victim.kill()
		}
	}}
	life, err := ledger.StdinPipe()
	if err == nil {
		err = ledger.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(life.Close(), ledger.Wait()); err != nil {
			t.Errorf("the ledger: %v", err)
		}
	})
	e.url = <-url
	return e
}

// settle runs one verb of the program, to its end or until it is killed, and reports
// whether it came to its end.
func (e *effects) settle(verb string, at killPoint) bool {
	e.t.Helper()
	var onLine func(*process, string)
	if at.line != "" {
		e.mark.Store(&at.line)
		onLine = func(pr *process, line string) {
			if strings.HasPrefix(line, at.line) {
				pr.kill()
			}
		}
	}
	pr := e.start(onLine, nil, verb, "data", e.url, e.script)
	e.victim.Store(pr)
	if at.after > 0 {
		pr.killAfter(at.after)
	}
	o := pr.wait()
	e.mark.Store(nil)
	if o.killed && at != (killPoint{}) {
		return false
	}
	last := strings.LastIndex(o.out, `{"runs":`)
	if o.code != 0 || last < 0 {
		e.t.Fatalf("effect %s: exit code %d\n%s%s", verb, o.code, o.out, o.err)
	}
	line, _, _ := strings.Cut(o.out[last:], "\n")
	e.settled = settled{}
	if err := json.Unmarshal([]byte(line), &e.settled); err != nil {
		e.t.Fatalf("effect %s printed %q: %v", verb, line, err)
	}
	return true
}

// play kills the runs, lets others finish them, and looks at each payment.
func (e *effects) play(at killPoint, twice bool, whole time.Duration) []string {
	e.t.Helper()
	again := func() killPoint { return killPoint{after: 1 + time.Duration(rand.Float64()*float64(whole))} }
	tally := []string{"ended before the kill"}
	if !e.settle("start", at) {
		tally[0] = "killed"
	}
	if twice && !e.settle("finish", again()) {
		tally = append(tally, "killed again")
	}
	e.settle("finish", killPoint{})
	tally = append(tally, e.check(false)...)
	if e.doubts == 0 {
		return tally
	}
	e.shown()
	before, doubts := e.paid, e.doubts
	e.settle("finish", killPoint{})
	e.check(false)
	if !cmp.Equal(before, e.paid) || doubts != e.doubts {
		e.t.Errorf("opened once more: %d doubts and payments %v, want %d and %v: nothing may happen by itself", e.doubts, e.paid, doubts, before)
	}
	if twice {
		e.settle("resolve", again())
	}
	e.settle("resolve", killPoint{})
	e.check(true)
	if e.doubts > 0 || len(e.paid) != len(before) {
		e.t.Errorf("after the ledger was asked: %d doubts and %d payments, want 0 and %d", e.doubts, len(e.paid), len(before))
	}
	return tally
}

// check counts the payments by the ledger's file and holds them against what the runs
// say. After resolved, a payment that did not happen is known to be none.
func (e *effects) check(resolved bool) (tally []string) {
	e.t.Helper()
	data, err := os.ReadFile(e.path("ledger"))
	if err != nil {
		e.t.Fatal(err)
	}
	e.paid, e.doubts = map[string]int{}, 0
	for line := range strings.Lines(string(data)) {
		key := strings.TrimSpace(line)
		if e.paid[key]++; e.paid[key] > 1 {
			e.t.Errorf("%s was paid %d times", key, e.paid[key])
		}
	}
	known := map[string]bool{}
	for _, r := range e.settled.Runs {
		doubts := map[int]bool{}
		for _, w := range r.Run.Waits {
			doubts[w.Command] = w.Kind == durable.WaitInDoubt
		}
		for _, s := range r.Steps {
			if s.Effect != durable.Irreversible {
				continue
			}
			key := fmt.Sprintf("%s/0/%d", r.Run.ID, s.Command)
			known[key] = true
			if s.Attempt != 1 {
				e.t.Errorf("%s was attempted %d times", key, s.Attempt)
			}
			switch happened := e.paid[key] == 1; {
			case s.Status == durable.StepDone && happened:
			case s.Status == durable.StepFailed && !happened && resolved:
			case s.Status == durable.StepInDoubt && doubts[s.Command] && r.Run.Status == durable.Waiting:
				e.doubts++
				tally = append(tally, map[bool]string{true: "in doubt, had happened", false: "in doubt, had not happened"}[happened])
			default:
				e.t.Errorf("step %s of run %s (%s, waits %v) is %s, paid %d times", key, r.Run.Name, r.Run.Status, r.Run.Waits, s.Status, e.paid[key])
			}
		}
		if want := (map[bool]durable.Status{true: durable.Waiting, false: durable.Succeeded})[len(doubts) > 0]; r.Run.Status != want {
			e.t.Errorf("run %s is %s, want %s: %s", r.Run.ID, r.Run.Status, want, r.Run.Reason)
		} else if want == durable.Succeeded {
			tally = append(tally, "went on")
		}
	}
	for key := range e.paid {
		if !known[key] {
			e.t.Errorf("%s was paid, but no run says so", key)
		}
	}
	return tally
}

// shown asks the command, which can read any data directory, for the runs in doubt.
func (e *effects) shown() {
	e.t.Helper()
	command := newPlace(e.t)
	var runs []durable.Run
	command.decode(&runs, "--data", e.path("data"), "ps", "--status", "waiting", "-o", "json")
	for _, run := range runs {
		if !run.NeedsPerson() || run.Waits[0].Kind != durable.WaitInDoubt {
			e.t.Errorf("orpine ps tells of a run that waits, but not in doubt: %+v", run)
		}
		text := command.ok("--data", e.path("data"), "show", string(run.ID))
		if want := fmt.Sprintf(" %s %d --done", run.ID, run.Waits[0].Command); !strings.Contains(text, want) {
			e.t.Errorf("orpine show does not say %q:\n%s", want, text)
		}
	}
	if len(runs) == 0 {
		e.t.Error("orpine ps shows no waiting run, although some are in doubt")
	}
}
