package workload_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/bench/peers/workload"
)

func TestModel(t *testing.T) {
	handler, err := workload.FakeModel()
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(handler)
	defer s.Close()
	begun := time.Now()
	got, err := workload.New(s.URL, nil).Model(t.Context(), workload.Seed("r-1"))
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begun); took < workload.ModelLatency {
		t.Errorf("the model answered after %s, sooner than it may", took)
	}
	if diff := cmp.Diff(workload.Reply(), got); diff != "" || len(got.Content) != 512 {
		t.Errorf("the reply has %d bytes (-want +got):\n%s", len(got.Content), diff)
	}
	if _, err := workload.New(s.URL+"/nowhere", nil).Model(t.Context(), nil); err == nil {
		t.Error("a model that is not there answered")
	}
}

func TestPayloads(t *testing.T) {
	l := workload.New("", nil)
	seen := map[string]bool{}
	for _, run := range []string{"r-1", "r-2"} {
		for i := range 2 {
			out, tool := workload.Output(run, i), l.Tool(run, i).Content
			if len(out) != 1000 || len(tool) != 768 {
				t.Errorf("step and tool %d of %s return %d and %d bytes, want 1000 and 768", i, run, len(out), len(tool))
			}
			if seen[out] || seen[tool] {
				t.Errorf("step or tool %d of %s returns what another did", i, run)
			}
			seen[out], seen[tool] = true, true
		}
	}
}

func TestStepsAreCountedInTheWindow(t *testing.T) {
	first := 0
	l := workload.New("", func() { first++ })
	l.Step("r", 0)
	l.Measure(true)
	l.Step("r", 1) // from a step before the window: counted, with its gap
	l.Step("r", 2)
	l.Step("other", 0) // the first of a run has no gap
	l.Measure(false)
	l.Step("r", 3)
	if n := l.StepsBegun(); n != 3 {
		t.Errorf("%d steps began in the window, want 3", n)
	}
	if n := len(l.Gaps()); n != 2 {
		t.Errorf("%d gaps, want 2", n)
	}
	if first != 1 {
		t.Errorf("%d steps were the first", first)
	}
}

func TestWatch(t *testing.T) {
	l := workload.New("", nil)
	l.Before("r")
	resumed := l.Watch("r")
	select {
	case <-resumed:
		t.Fatal("resumed before the step behind the wait")
	default:
	}
	l.After("r")
	<-resumed
	if l.Parked() != 1 || l.Resumed() != 1 {
		t.Errorf("%d parked and %d resumed, want 1 and 1", l.Parked(), l.Resumed())
	}
}
