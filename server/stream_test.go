package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// line is an item in a form that can be compared.
func line(i client.Item) string {
	if i.Delta != nil {
		return fmt.Sprintf("%s delta %s %d", i.Delta.Run, i.Delta.Kind, i.Delta.Offset)
	}
	return fmt.Sprintf("%s %d %s %s", i.Event.Run, i.Event.Seq, i.Event.Kind, i.Event.Child)
}

// watch collects all items of a run.
func (s *site) watch(w client.Watch, id durable.RunID) []client.Item {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	var items []client.Item
	for i, err := range s.Watch(ctx, id, w) {
		if err != nil {
			s.t.Fatal(err)
		}
		items = append(items, i)
	}
	return items
}

// family starts a run with a child that was answered.
func (s *site) family() durable.RunID {
	s.t.Helper()
	ctx := s.t.Context()
	run := s.must(s.Start(ctx, client.StartRun{Program: "nest", Input: json.RawMessage(`"x"`)}))
	for {
		list, err := s.Questions(ctx, "")
		if err != nil {
			s.t.Fatal(err)
		}
		if len(list) > 0 {
			if err := s.Answer(ctx, list[0].Run, client.Answer{Value: json.RawMessage(`"fine"`)}); err != nil {
				s.t.Fatal(err)
			}
			s.must(s.Wait(ctx, run.ID))
			return run.ID
		}
		<-time.After(time.Millisecond)
	}
}

// TestStreamFamily: the events of a child come behind the entry that started it and before
// the one that says that it has ended; whoever comes back anywhere gets the rest.
func TestStreamFamily(t *testing.T) {
	s := open(t, server.Config{})
	id := s.family()
	all := s.watch(client.Watch{}, id)
	child := durable.RunID("")
	ended := false
	for _, i := range all {
		e := i.Event
		switch {
		case e == nil:
		case e.Kind == durable.EntryChild:
			child = e.Child
		case e.Run == child && child == "":
			t.Errorf("%s comes before its start", line(i))
		case e.Run == child && e.Kind == durable.EntryEnded:
			ended = true
		case e.Kind == durable.EntryChildDone && !ended:
			t.Errorf("%s comes before the end of the child", line(i))
		}
	}
	if !ended || all[len(all)-1].Event.Kind != durable.EntryEnded || all[len(all)-1].Event.Run != id {
		t.Fatalf("the stream ends with %s", line(all[len(all)-1]))
	}
	want := map[durable.RunID][]string{}
	for _, i := range all {
		if i.Event != nil {
			want[i.Event.Run] = append(want[i.Event.Run], line(i))
		}
	}
	for cut := range all { // deltas that nobody needs any more are gone; entries never are
		got := map[durable.RunID][]string{}
		for _, i := range append(all[:cut+1:cut+1], s.watch(client.Watch{After: all[cut].Cursor}, id)...) {
			if i.Event != nil {
				got[i.Event.Run] = append(got[i.Event.Run], line(i))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("cut behind item %d (%s): -want +got\n%s", cut, all[cut].Cursor, diff)
		}
	}
	for _, i := range s.watch(client.Watch{Alone: true}, id) {
		if i.Event != nil && i.Event.Run != id {
			t.Errorf("without the children there is %s", line(i))
		}
	}
}

// TestStreamModes: each mode has its part of the events.
func TestStreamModes(t *testing.T) {
	s := open(t, server.Config{})
	run := s.must(s.Start(t.Context(), client.StartRun{Agent: "chatty", Text: "hold"}))
	s.free <- struct{}{}
	s.must(s.Wait(t.Context(), run.ID))
	for mode, want := range map[string]string{
		"events": "started done done done ended", "updates": "done done done ended", "messages": "done done ended", "values": "done done done ended",
	} {
		var got []string
		for _, i := range s.watch(client.Watch{Mode: mode}, run.ID) {
			if i.Event != nil {
				got = append(got, string(i.Event.Kind))
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %s, want %s", mode, strings.Join(got, " "), want)
		}
	}
}

// TestStreamEnd: a client that has seen the end of a run is told that there is no more, as a
// browser must be to stay away.
func TestStreamEnd(t *testing.T) {
	s := open(t, server.Config{})
	run := s.must(s.Start(t.Context(), client.StartRun{Agent: "chatty", Text: "hello"}))
	items := s.watch(client.Watch{}, run.ID)
	status, _, _ := s.raw(http.MethodGet, "/v1/runs/"+string(run.ID)+"/events", nil, "Last-Event-ID", items[len(items)-1].Cursor)
	if status != http.StatusNoContent {
		t.Errorf("status %d", status)
	}
}

// TestStreamBeat: a stream that has nothing to say says that it is there, and ends with the
// server, not with the run.
func TestStreamBeat(t *testing.T) {
	s := open(t, server.Config{Beat: 5 * time.Millisecond})
	run := s.must(s.Start(t.Context(), client.StartRun{Program: "ask", Input: json.RawMessage(`"x"`)}))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.web.URL+"/v1/runs/"+string(run.ID)+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	lines := bufio.NewScanner(resp.Body)
	beats := 0
	for beats < 3 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), ":") {
			beats++
		}
	}
	if beats < 3 {
		t.Fatalf("%d signs of life, then %v", beats, lines.Err())
	}
	s.s.Drop()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil && !errors.Is(err, io.EOF) {
		t.Logf("the stream ended with %v", err)
	}
	if run := s.must(s.Get(t.Context(), run.ID)); run.Status.Final() {
		t.Errorf("the run is %s", run.Status)
	}
}

// TestSettle: what an attempt streamed that died is left out, whatever else comes between.
func TestSettle(t *testing.T) {
	delta := func(command int, kind, data string) client.Item {
		return client.Item{Delta: &durable.Delta{Run: "r", Command: command, Kind: kind, Data: json.RawMessage(data)}}
	}
	done := func(command int) client.Item {
		e := &durable.Event{Run: "r"}
		e.Kind, e.Command = durable.EntryDone, command
		return client.Item{Event: e}
	}
	in := []client.Item{
		delta(0, "begun", ""), delta(0, "text", `"a"`), delta(1, "begun", ""), delta(1, "text", `"x"`), done(1), delta(0, "reset", ""), delta(0, "begun", ""),
		delta(0, "text", `"a"`), delta(0, "text", `"b"`), done(0),
	}
	want := []client.Item{in[2], in[3], in[4], in[6], in[7], in[8], in[9]}
	if diff := cmp.Diff(want, client.Settle(in)); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// TestStreamCuts: whatever cuts the connection wherever, a client that comes back has seen
// every entry once and in order.
func TestStreamCuts(t *testing.T) {
	s := open(t, server.Config{})
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // not a secret
	run := s.must(s.Start(t.Context(), client.StartRun{Agent: "chatty", Text: "hold"}))
	go func() {
		for range 20 {
			<-time.After(time.Duration(r.IntN(3000)) * time.Microsecond)
			s.web.CloseClientConnections()
		}
		s.free <- struct{}{}
	}()
	next := int64(0)
	for _, i := range s.watch(client.Watch{}, run.ID) {
		if i.Event == nil {
			continue
		}
		if i.Event.Seq != next {
			t.Errorf("entry %d comes in the place of %d", i.Event.Seq, next)
		}
		next++
	}
}
