package main_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
)

// clientCuts makes TestClientCuts cut more often than it does by default.
var clientCuts = flag.Int("clientcuts", 0, "how many connections of a client TestClientCuts cuts, with a kill of the server for every 40 of them; 0 is a few")

// TestClientCuts streams a run of an agent to a client whose connections are cut at random
// bytes, while the server is killed and comes back. What the client has in the end is, byte
// for byte, what a client has of a run that nobody disturbs.
func TestClientCuts(t *testing.T) {
	t.Parallel()
	cuts, kills, turns, pieces := 20, 1, 4, 60
	if *clientCuts > 0 {
		cuts, kills, turns, pieces = *clientCuts, max(1, *clientCuts/40), 8, 3**clientCuts/2
	}
	seed := *stormSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	r := rand.New(rand.NewPCG(seed, 0))
	k := newTalk(t, turns, pieces)
	whole := k.listen(func(<-chan struct{}) {})
	k.check(whole)
	// The bytes of a connection are drawn so that all cuts, and the kills, fall into the run.
	size := float64(k.relay.passed)
	k.relay.passed, k.relay.due = 0, make(chan struct{}, kills)
	k.relay.left, k.relay.next = cuts, func() int64 { return 1 + int64(r.Float64()*size/float64(cuts)*1.2) }
	for i := range kills {
		k.relay.marks = append(k.relay.marks, int64((float64(i)+r.Float64())/float64(kills)*size*0.8))
	}
	torn := k.listen(func(over <-chan struct{}) {
		for range kills {
			select {
			case <-k.relay.due:
			case <-over:
				return // what ended with a process is told in fewer bytes: not every kill was due
			case <-time.After(time.Minute):
				t.Fatal("the stream does not go on")
			}
			<-time.After(time.Duration(r.Float64() * float64(30*time.Millisecond)))
			k.server.restart()
		}
	})
	k.check(torn)
	claimed, resets := 0, 0
	for _, item := range torn {
		switch {
		case item.Event != nil && item.Event.Kind == durable.EntryClaimed:
			claimed++
		case item.Delta != nil && item.Delta.Kind == durable.DeltaReset:
			resets++
		}
	}
	t.Logf("%d cuts and %d kills, of which %d fell into the run: %d items with %d resets, %d when settled; %.0f bytes undisturbed; seed %d",
		k.relay.cut, kills, claimed, len(torn), resets, len(client.Settle(torn)), size, seed)
	if k.relay.cut < cuts || claimed == 0 {
		t.Errorf("%d cuts of %d, and %d kills that fell into the run: the test shows too little (seed %d)", k.relay.cut, cuts, claimed, seed)
	}
	if diff := cmp.Diff(k.texts(whole), k.texts(torn)); diff != "" {
		t.Errorf("the concatenated texts of the steps (-undisturbed +torn, seed %d):\n%s", seed, diff)
	}
	if diff := cmp.Diff(k.plain(whole), k.plain(torn)); diff != "" {
		t.Errorf("the streams (-undisturbed +torn, seed %d):\n%s", seed, diff)
	}
}

// talk is a server with an agent that streams for a while, its model in a process of its
// own, and a relay before the server.
type talk struct {
	t      *testing.T
	server *serving
	relay  *relay
	words  []string // what the model says in each turn
}

// newTalk makes one whose model calls a tool in every turn but the last, and says a text of
// so many pieces in each.
func newTalk(t *testing.T, turns, pieces int) *talk {
	t.Helper()
	const chunk = 6 // characters of a piece
	k := &talk{t: t}
	var rules strings.Builder
	rules.WriteString("model: demo-1\nrules:\n")
	for turn := range turns {
		var text strings.Builder
		for n := 0; text.Len() < pieces*chunk; n++ {
			fmt.Fprintf(&text, "%d.%d «süß» ", turn+1, n)
		}
		k.words = append(k.words, text.String())
		fmt.Fprintf(&rules, "  - when: { turn: %d }\n    reply:\n      text: %q\n      chunk: %d\n      delay: 8ms\n", turn+1, text.String(), chunk)
		if turn < turns-1 {
			fmt.Fprintf(&rules, "      calls: [{ name: sales, args: { month: 2026-%02d } }]\n", turn+1)
		}
	}
	p := newPlace(t)
	f := serveFake(t, p.write("talker.rules.yaml", rules.String()))
	p.env = append(p.env, f.env()...)
	p.write("sales.csv", "month,revenue\n2026-01,10.25\n2026-02,7.50\n2026-02,1.50\n")
	p.write("talker.yaml", `
tools:
  sales:
    sql: select count(*) as n from sales where month = :month
    csv: { sales: sales.csv }
    input: { month: string }
agents:
  talker: { model: openai/demo-1, tools: [sales] }
`)
	k.server = p.serve("serve", "--file", p.path("talker.yaml"), "--addr")
	k.relay = newRelay(t, k.server.addr)
	return k
}

// listen starts the run and returns all that a client behind the relay sees of it; meddle
// disturbs it meanwhile.
func (k *talk) listen(meddle func(over <-chan struct{})) []client.Item {
	k.t.Helper()
	direct, err := client.New(client.Config{URL: k.server.url()})
	if err != nil {
		k.t.Fatal(err)
	}
	c, err := client.New(client.Config{URL: k.relay.url(), HTTP: &http.Client{Transport: &http.Transport{}}})
	if err != nil {
		k.t.Fatal(err)
	}
	run, err := direct.Start(k.t.Context(), client.StartRun{Agent: "talker", Text: "talk"})
	if err != nil {
		k.t.Fatal(err)
	}
	var items []client.Item
	heard, over := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(over)
		for item, err := range c.Watch(k.t.Context(), run.ID, client.Watch{}) {
			if err != nil {
				heard <- err
				return
			}
			items = append(items, item)
		}
		heard <- c.Close()
	}()
	meddle(over)
	if err := <-heard; err != nil {
		k.t.Fatal(err)
	}
	return items
}

// check looks at a stream by itself: every entry came once, in order, and the run ended well.
func (k *talk) check(items []client.Item) {
	k.t.Helper()
	next := int64(0)
	last := map[int]int{} // offset of the last delta of a step, by its command
	for _, item := range items {
		if d := item.Delta; d != nil {
			if before, there := last[d.Command]; there && d.Kind != durable.DeltaReset && d.Offset != before+1 {
				k.t.Errorf("delta %d of command %d came where %d was due", d.Offset, d.Command, before+1)
			}
			last[d.Command] = d.Offset
			continue
		}
		if item.Event.Seq != next {
			k.t.Errorf("entry %d came where %d was due", item.Event.Seq, next)
		}
		next = item.Event.Seq + 1
	}
	if end := items[len(items)-1].Event; end == nil || end.Kind != durable.EntryEnded || end.Status != durable.Succeeded {
		k.t.Errorf("the last item is %+v, want the end of a run that succeeded", end)
	}
	texts := k.texts(items)
	for turn, words := range k.words {
		if got := texts[turn*2]; got != words { // a tool call stands between two turns
			k.t.Errorf("turn %d streamed %q, want %q", turn+1, got, words)
		}
	}
}

// texts joins the text that each step has streamed, by its command.
func (k *talk) texts(items []client.Item) map[int]string {
	k.t.Helper()
	texts := map[int]string{}
	for _, item := range client.Settle(items) {
		if item.Delta == nil || item.Delta.Kind != string(model.DeltaText) {
			continue
		}
		var d model.Delta
		if err := json.Unmarshal(item.Delta.Data, &d); err != nil {
			k.t.Fatal(err)
		}
		texts[item.Delta.Command] += d.Text
	}
	return texts
}

// plain is a stream, settled, without what is another in each run of the same: its ID, times,
// who took it up when, and the numbers that resets and takings up have, which are left out.
func (k *talk) plain(items []client.Item) []string {
	k.t.Helper()
	var lines []string
	id, n := string(items[0].Event.Run), int64(0)
	offset := map[int]int{} // of the next delta of a step, by its command
	for _, item := range k.joined(client.Settle(items)) {
		var v any
		switch {
		case item.Delta != nil:
			d := *item.Delta
			d.Offset = offset[d.Command]
			offset[d.Command]++
			v = d
		case item.Event.Kind == durable.EntryClaimed:
			continue
		default:
			e := *item.Event
			e.Seq, e.Epoch, e.Time, e.Started, e.Until = n, 0, time.Time{}, time.Time{}, time.Time{}
			v, n = e, n+1
		}
		line, err := json.Marshal(v)
		if err != nil {
			k.t.Fatal(err)
		}
		lines = append(lines, strings.ReplaceAll(string(line), id, "RUN"))
	}
	return lines
}

// joined is a stream in which pieces of one text, or of one call, that follow each other are
// one: how a model cut them is not what it said.
func (k *talk) joined(items []client.Item) []client.Item {
	k.t.Helper()
	var list []client.Item
	var last model.Delta // the piece at the end of the list
	for _, item := range items {
		d := item.Delta
		if d == nil || (d.Kind != string(model.DeltaText) && d.Kind != string(model.DeltaCall)) {
			list, last = append(list, item), model.Delta{}
			continue
		}
		var piece model.Delta
		if err := json.Unmarshal(d.Data, &piece); err != nil {
			k.t.Fatal(err)
		}
		if n := len(list); last.Kind == piece.Kind && last.Index == piece.Index && list[n-1].Delta.Command == d.Command {
			last.Text, last.Args = last.Text+piece.Text, last.Args+piece.Args
			list = list[:n-1]
		} else {
			last = piece
		}
		data, err := json.Marshal(last)
		if err != nil {
			k.t.Fatal(err)
		}
		whole := *d
		whole.Data = data
		list = append(list, client.Item{Delta: &whole, Cursor: item.Cursor})
	}
	return list
}
