package orpine_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/memory"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/tool"
)

// talk has a model that says how much it was told, and can be held up by a tool.
const talk = `
rules:
  - when: {contains: hold, turn: 1}
    reply: {calls: [{name: hold, args: {}}]}
  - reply: {text: "heard"}
`

// talker is a runtime with a chatty agent whose tool waits until it is let.
type talker struct {
	*orpine.Runtime
	t     *testing.T
	held  chan struct{}
	free  chan struct{}
	calls atomic.Int64
	dir   string
}

func newTalker(t *testing.T) *talker {
	t.Helper()
	k := &talker{t: t, held: make(chan struct{}, 10), free: make(chan struct{}, 10), dir: t.TempDir()}
	k.open()
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

func (k *talker) open() {
	k.t.Helper()
	scripted, err := script.Parse("talk.yaml", []byte(talk))
	if err != nil {
		k.t.Fatal(err)
	}
	hold := tool.Func("hold", "Waits", func(ctx context.Context, _ struct{}) (string, error) {
		k.calls.Add(1)
		k.held <- struct{}{}
		select {
		case <-k.free:
			return "let go", nil
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}, tool.Read)
	k.Runtime, err = orpine.Open(k.t.Context(), orpine.Config{
		Data: k.dir, Tools: []tool.Tool{hold},
		Providers: map[string]model.Provider{"script": func(string) (model.Model, error) { return scripted.Model(), nil }},
	})
	if err != nil {
		k.t.Fatal(err)
	}
}

var chatty = agent.Definition{Name: "chatty", Model: "script/talk", Tools: []string{"hold"}}

func (k *talker) thread() durable.RunID {
	k.t.Helper()
	id, err := k.StartThread(k.t.Context(), agent.Conversation{Title: "a talk"}, durable.StartRequest{Name: "talk", Tenant: "acme"})
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

func (k *talker) say(thread durable.RunID, text string, busy orpine.Busy) (durable.RunID, error) {
	k.t.Helper()
	definition, err := json.Marshal(chatty)
	if err != nil {
		k.t.Fatal(err)
	}
	return k.TakeTurn(k.t.Context(), thread, agent.Turn{Name: "turn", Definition: definition, Text: text}, busy)
}

func (k *talker) must(id durable.RunID, err error) durable.RunID {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
	return id
}

func (k *talker) ends(id durable.RunID, want durable.Status) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 30*time.Second)
	defer cancel()
	r, err := k.Wait(ctx, id)
	if err != nil || r.Status != want || r.Tenant != "acme" {
		k.t.Fatalf("run %s is %s (%s, %v) of tenant %q, error %v; want %s", id, r.Status, r.Reason, r.Error, r.Tenant, err, want)
	}
}

// said is what is in a thread: who said what, a word each.
func (k *talker) said(thread durable.RunID, at int64) string {
	k.t.Helper()
	c, _, err := k.Conversation(k.t.Context(), thread, at)
	if err != nil {
		k.t.Fatal(err)
	}
	messages, err := k.Messages(k.t.Context(), c)
	if err != nil {
		k.t.Fatal(err)
	}
	var list []string
	for _, m := range messages {
		for _, p := range m.Parts {
			switch {
			case p.Result != nil:
				list = append(list, "result:"+p.Result.Content)
			case p.Call != nil:
				list = append(list, "call:"+p.Call.Name)
			default:
				list = append(list, string(m.Role)+":"+p.Text)
			}
		}
	}
	return strings.Join(list, " ")
}

// idle waits until a thread has taken in the ends of its turns.
func (k *talker) idle(thread durable.RunID, turns int) {
	k.t.Helper()
	for {
		c, _, err := k.Conversation(k.t.Context(), thread, -1)
		if err != nil {
			k.t.Fatal(err)
		}
		if c.Turns >= turns {
			return
		}
		<-time.After(time.Millisecond)
	}
}

func TestThread(t *testing.T) {
	k := newTalker(t)
	id := k.thread()
	k.ends(k.must(k.say(id, "one", "")), durable.Succeeded)
	k.idle(id, 1)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	k.open()
	k.ends(k.must(k.say(id, "two", "")), durable.Succeeded)
	k.idle(id, 2)
	if got, want := k.said(id, -1), "user:one assistant:heard user:two assistant:heard"; got != want {
		t.Errorf("said: %s\nwant: %s", got, want)
	}
	for n := range 70 { // over several segments
		k.ends(k.must(k.say(id, "more", orpine.BusyEnqueue)), durable.Succeeded)
		k.idle(id, n+3)
	}
	if got := strings.Count(k.said(id, -1), "user:"); got != 72 {
		t.Errorf("%d things were said", got)
	}
}

// TestThreadBusy: what becomes of a turn that comes while another goes on is chosen with it.
func TestThreadBusy(t *testing.T) {
	for _, x := range []struct {
		busy   orpine.Busy
		first  durable.Status
		second string // what is said in the end
	}{
		{orpine.BusyEnqueue, durable.Succeeded, "user:hold call:hold result:let go assistant:heard user:two assistant:heard"},
		{orpine.BusyInterrupt, durable.Canceled, "user:hold call:hold result:the call was not made, or not waited for: the run was canceled user:two assistant:heard"},
		{orpine.BusyRollback, durable.Killed, "user:two assistant:heard"},
	} {
		t.Run(string(x.busy), func(t *testing.T) {
			k := newTalker(t)
			id := k.thread()
			first := k.must(k.say(id, "hold", ""))
			<-k.held
			if _, err := k.say(id, "no", orpine.BusyReject); !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), string(first)) {
				t.Errorf("while it is busy: %v", err)
			}
			second := k.must(k.say(id, "two", x.busy))
			if x.busy == orpine.BusyEnqueue {
				if r, err := k.Get(t.Context(), second); err != nil || r.Status.Final() {
					t.Errorf("the second turn is %s, error %v", r.Status, err)
				}
				k.free <- struct{}{}
			}
			k.ends(first, x.first)
			k.ends(second, durable.Succeeded)
			k.idle(id, 2)
			if got := k.said(id, -1); got != x.second {
				t.Errorf("said: %s\nwant: %s", got, x.second)
			}
		})
	}
}

// TestThreadQueue: a turn that waits can be canceled, and those behind it go on; an ID that
// was given makes a turn once.
func TestThreadQueue(t *testing.T) {
	k := newTalker(t)
	id := k.thread()
	first := k.must(k.say(id, "hold", ""))
	<-k.held
	second := k.must(k.say(id, "two", orpine.BusyEnqueue))
	third := k.must(k.say(id, "three", orpine.BusyEnqueue))
	definition, _ := json.Marshal(chatty)
	again := k.must(k.TakeTurn(t.Context(), id, agent.Turn{Run: third, Definition: definition, Text: "three"}, orpine.BusyReject))
	if again != third {
		t.Errorf("again it is %s, not %s", again, third)
	}
	if err := k.Cancel(t.Context(), second, "not needed"); err != nil {
		t.Fatal(err)
	}
	k.ends(second, durable.Canceled)
	k.free <- struct{}{}
	k.ends(first, durable.Succeeded)
	k.ends(third, durable.Succeeded)
	k.idle(id, 3)
	if got, want := k.said(id, -1), "user:hold call:hold result:let go assistant:heard user:three assistant:heard"; got != want {
		t.Errorf("said: %s\nwant: %s", got, want)
	}
}

// TestThreadEdit: what was said can be changed by hand, and gone back to; earlier states stay.
func TestThreadEdit(t *testing.T) {
	k := newTalker(t)
	id := k.thread()
	k.ends(k.must(k.say(id, "one", "")), durable.Succeeded)
	k.idle(id, 1)
	before, seq, err := k.Conversation(t.Context(), id, -1)
	if err != nil {
		t.Fatal(err)
	}
	say := []memory.Message{{Message: model.Text(model.User, "by hand")}}
	if err := k.EditThread(t.Context(), id, agent.Turn{Say: say}, seq); err != nil {
		t.Fatal(err)
	}
	if err := k.EditThread(t.Context(), id, agent.Turn{Say: say}, seq); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("with an old seq: %v", err)
	}
	if got, want := k.said(id, -1), "user:one assistant:heard user:by hand"; got != want {
		t.Errorf("said: %s\nwant: %s", got, want)
	}
	if got, want := k.said(id, seq), "user:one assistant:heard"; got != want {
		t.Errorf("before: %s\nwant: %s", got, want)
	}
	if err := k.EditThread(t.Context(), id, agent.Turn{Head: &before.Thread}, -1); err != nil {
		t.Fatal(err)
	}
	k.ends(k.must(k.say(id, "two", "")), durable.Succeeded)
	k.idle(id, 2)
	if got, want := k.said(id, -1), "user:one assistant:heard user:two assistant:heard"; got != want {
		t.Errorf("said: %s\nwant: %s", got, want)
	}
}

// TestStandingRule: who accepts for all runs of an agent is not asked again, in the same tenant.
func TestStandingRule(t *testing.T) {
	k := newTalker(t)
	careful := chatty
	careful.Permissions = tool.Policy{Ask: []string{"*"}}
	start := func(tenant string) durable.RunID {
		req, err := agent.Start(careful, "hold")
		if err != nil {
			t.Fatal(err)
		}
		req.Tenant = tenant
		return k.must(k.Start(t.Context(), req))
	}
	first := start("acme")
	if r, err := k.Settle(t.Context(), first, time.Time{}); err != nil || !r.NeedsPerson() {
		t.Fatalf("it is %s, error %v", r.Status, err)
	}
	list, err := k.Questions(t.Context(), durable.Filter{Tenant: "acme"})
	if err != nil || len(list) != 1 || list[0].Run != first || list[0].Kind != agent.ApprovalKind {
		t.Fatalf("questions: %+v, error %v", list, err)
	}
	if list, err := k.Questions(t.Context(), durable.Filter{Tenant: "other"}); err != nil || len(list) != 0 {
		t.Errorf("another tenant sees %+v, error %v", list, err)
	}
	accept := orpine.Approval{Decision: durable.Decision{Action: durable.Accept, Always: durable.ThisAgent}, By: "ann", Digest: list[0].Digest}
	if err := k.Approve(t.Context(), first, accept); err != nil {
		t.Fatal(err)
	}
	k.free <- struct{}{}
	k.ends(first, durable.Succeeded)
	k.free <- struct{}{}
	k.ends(start("acme"), durable.Succeeded)
	other := start("other")
	if r, err := k.Settle(t.Context(), other, time.Time{}); err != nil || !r.NeedsPerson() {
		t.Errorf("in another tenant it is %s, error %v", r.Status, err)
	}
	rules, err := k.Rules(t.Context(), "acme")
	if err != nil || len(rules) != 1 || rules[0].By != "ann" || rules[0].Tool != "hold" {
		t.Fatalf("rules: %+v, error %v", rules, err)
	}
	if err := k.RemoveRule(t.Context(), "other", rules[0].ID); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("another tenant takes it back: %v", err)
	}
	if err := k.RemoveRule(t.Context(), "acme", rules[0].ID); err != nil {
		t.Fatal(err)
	}
	if r, err := k.Settle(t.Context(), start("acme"), time.Time{}); err != nil || !r.NeedsPerson() {
		t.Errorf("without the rule it is %s, error %v", r.Status, err)
	}
}

// TestRetry: a run that failed is taken up at the step that failed; what was good is kept.
func TestRetry(t *testing.T) {
	var good, bad atomic.Int64
	fine := durable.NewFunc("fine", durable.StepOptions{}, func(context.Context, int) (int, error) { return int(good.Add(1)), nil })
	frail := durable.NewFunc("frail", durable.StepOptions{Retry: durable.Retry{Attempts: 1}}, func(context.Context, int) (string, error) {
		if bad.Add(1) == 1 {
			return "", errors.New("not today")
		}
		return "well", nil
	})
	p := durable.NewProgram("p", func(ctx durable.Context, _ int) (string, error) {
		if _, err := durable.Do(ctx, fine, 0); err != nil {
			return "", err
		}
		return durable.Do(ctx, frail, 0)
	}, fine.StepFunc, frail.StepFunc)
	r, err := orpine.Open(t.Context(), orpine.Config{Data: t.TempDir(), Programs: []durable.Program{p}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close() //nolint:errcheck // the test is about something else
	id, err := r.Start(t.Context(), durable.StartRequest{Program: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if run, err := r.Wait(t.Context(), id); err != nil || run.Status != durable.Failed {
		t.Fatalf("it is %s, error %v", run.Status, err)
	}
	again, err := r.Retry(t.Context(), id, orpine.ForkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	run, err := r.Wait(t.Context(), again)
	if err != nil || string(run.Output) != `"well"` || good.Load() != 1 || bad.Load() != 2 {
		t.Errorf("it is %s with %s after %d and %d calls, error %v", run.Status, run.Output, good.Load(), bad.Load(), err)
	}
	if _, err := r.Retry(t.Context(), again, orpine.ForkRequest{}); !errors.Is(err, durable.ErrConflict) {
		t.Errorf("one that succeeded: %v", err)
	}
}
