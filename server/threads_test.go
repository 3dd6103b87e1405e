package server_test

import (
	"errors"
	"testing"
	"time"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/server"
)

// TestThreads goes through the routes of threads.
func TestThreads(t *testing.T) {
	s := open(t, server.Config{})
	ctx := t.Context()
	th, err := s.StartThread(ctx, client.StartThread{Name: "talk", Labels: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	id := th.Run.ID
	s.must(s.Wait(ctx, s.must(s.StartTurn(ctx, id, client.StartTurn{StartRun: client.StartRun{Agent: "chatty", Text: "one"}})).ID))
	state := func(turns int) client.Thread {
		for {
			th, err := s.Thread(ctx, id, -1)
			if err != nil {
				t.Fatal(err)
			}
			if th.Turns == turns && len(th.Under) == 0 {
				return th
			}
			<-time.After(time.Millisecond)
		}
	}
	one := state(1)
	if len(one.Messages) != 2 || one.Labels["a"] != "b" {
		t.Errorf("%+v", one)
	}
	held := s.must(s.StartTurn(ctx, id, client.StartTurn{StartRun: client.StartRun{Agent: "chatty", Text: "hold"}}))
	if _, err := s.StartTurn(ctx, id, client.StartTurn{StartRun: client.StartRun{Agent: "chatty", Text: "no"}}); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("while it is busy: %v", err)
	}
	next := s.must(s.StartTurn(ctx, id, client.StartTurn{StartRun: client.StartRun{Agent: "chatty", Text: "then"}, Busy: client.BusyInterrupt}))
	if run := s.must(s.Wait(ctx, held.ID)); run.Status != durable.Canceled {
		t.Errorf("the first is %s", run.Status)
	}
	if run := s.must(s.Wait(ctx, next.ID)); run.Status != durable.Succeeded {
		t.Errorf("the second is %s: %v", run.Status, run.Error)
	}
	state(3)
	edited, err := s.EditThread(ctx, id, client.EditThread{At: &one.Seq, Say: []model.Message{model.Text(model.User, "by hand")}}, -1)
	if err != nil || len(edited.Messages) != 3 {
		t.Errorf("%+v, error %v", edited, err)
	}
	if _, err := s.EditThread(ctx, id, client.EditThread{Say: []model.Message{model.Text(model.User, "x")}}, one.Seq); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("with an old seq: %v", err)
	}
	twin, err := s.CopyThread(ctx, id, one.Seq, client.StartThread{Name: "twin"})
	if err != nil || len(twin.Messages) != 2 || twin.Run.ID == id {
		t.Errorf("%+v, error %v", twin, err)
	}
	history, err := s.History(ctx, id, "")
	if err != nil || len(history.Items) != 3 {
		t.Errorf("%+v, error %v", history, err)
	}
	if err := s.DeleteThread(ctx, id); err != nil {
		t.Fatal(err)
	}
	page, err := s.Threads(ctx, durable.Filter{}, "")
	if err != nil || len(page.Items) != 1 || page.Items[0].ID != twin.Run.ID {
		t.Errorf("%+v, error %v", page, err)
	}
}
