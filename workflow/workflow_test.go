package workflow_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// hand is a tool of the tests: it notes what it was called with, and does what do says.
type hand struct {
	name  string
	do    func(n int, args map[string]any) (string, error) // n counts the calls with these arguments, from 1
	mu    sync.Mutex
	calls []string
	made  map[string]int
}

func (h *hand) Spec() tool.Spec {
	return tool.Spec{Name: h.name, Description: "a tool of the tests", Options: durable.StepOptions{Effect: durable.Idempotent, Retry: durable.Retry{Attempts: 1}}, Schema: json.RawMessage(`{"type":"object"}`)}
}

func (h *hand) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.made == nil {
		h.made = map[string]int{}
	}
	h.calls = append(h.calls, string(args))
	h.made[string(args)]++
	var in map[string]any
	if err := json.Unmarshal(args, &in); err != nil {
		return tool.Result{}, err
	}
	text, err := h.do(h.made[string(args)], in)
	return tool.Result{Content: text}, err
}

func (h *hand) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// echo returns what it is told under say.
func echo() *hand {
	return &hand{name: "echo", do: func(_ int, in map[string]any) (string, error) { return fmt.Sprint(in["say"]), nil }}
}

// play runs a workflow over some tools to its end.
func play(t *testing.T, d *workflow.Definition, input string, tools ...*hand) durable.Run {
	t.Helper()
	var run durable.Run
	orpinetest.Run(t, config(tools...), func(t *testing.T, e *orpinetest.Env) {
		run = e.Wait(begin(t, e, d, input))
	})
	return run
}

func config(tools ...*hand) orpinetest.Config {
	cfg := orpinetest.Config{AnyOrder: true}
	for _, h := range tools {
		cfg.Tools = append(cfg.Tools, h)
	}
	return cfg
}

func begin(t *testing.T, e *orpinetest.Env, d *workflow.Definition, input string) durable.RunID {
	t.Helper()
	if d.Name == "" {
		d.Name = "test"
	}
	d.Hands = agent.Definition{Name: "test", Tools: []string{"*"}}
	req, err := workflow.Start(d, workflow.Input{Input: json.RawMessage(input)})
	if err != nil {
		t.Fatal(err)
	}
	return e.StartAs(req)
}

func output(t *testing.T, r durable.Run) string {
	t.Helper()
	if r.Status != durable.Succeeded {
		t.Fatalf("the run is %s: %v", r.Status, r.Error)
	}
	var out workflow.Outcome
	if err := json.Unmarshal(r.Output, &out); err != nil {
		t.Fatal(err)
	}
	return string(out.Output)
}

func says(id, text string, needs ...string) workflow.Node {
	data, _ := json.Marshal(map[string]string{"say": text})
	return workflow.Node{ID: id, Tool: "echo", With: data, Needs: needs}
}

func TestGraph(t *testing.T) {
	e := echo()
	d := &workflow.Definition{Body: workflow.Body{Nodes: []workflow.Node{
		says("a", "A ${{ input.x }}"),
		says("b", "B ${{ steps.a.output }}", "a"),
		says("c", "C ${{ steps.a.output }}", "a"),
		says("d", "${{ steps.b.output }} and ${{ steps.c.output }}", "b", "c"),
	}}}
	if got, want := output(t, play(t, d, `{"x": 1}`, e)), `"B A 1 and C A 1"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestInOrderWithStateAndLoop(t *testing.T) {
	d := &workflow.Definition{
		State: map[string]workflow.Key{"n": {Initial: json.RawMessage("0")}, "seen": {Merge: workflow.Append}},
		Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
			{ID: "grow", Loop: &workflow.Loop{
				Max: 10, Until: "state.n >= 3", Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
					{ID: "add", Set: workflow.Values{"n": json.RawMessage(`"${{ state.n + 1 }}"`)}},
					{ID: "say", Tool: "echo", With: json.RawMessage(`{"say":"${{ round }} before: ${{ steps.say.output }}"}`), Save: workflow.Values{"seen": json.RawMessage(`"${{ output }}"`)}},
				}},
			}},
		}},
		Output: json.RawMessage(`"${{ state.seen }}"`),
	}
	if got, want := output(t, play(t, d, `{}`, echo())), `["1 before: ","2 before: 1 before: ","3 before: 2 before: 1 before: "]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestForEachRetryAndOnError(t *testing.T) {
	fetch := &hand{name: "fetch", do: func(n int, in map[string]any) (string, error) {
		if in["page"] == float64(2) && n < 3 {
			return "", durable.Errorf(durable.CodeUnavailable, "503")
		}
		return fmt.Sprintf(`{"page": %v}`, in["page"]), nil
	}}
	d := &workflow.Definition{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		{ID: "pages", ForEach: "${{ [1, 2, 3] }}", AtOnce: 3, Tool: "fetch", With: json.RawMessage(`{"page":"${{ item }}"}`), Retry: &workflow.Retry{Waits: []time.Duration{2 * time.Second, 5 * time.Second, 15 * time.Second}}},
		{ID: "bad", Tool: "fetch", With: json.RawMessage(`{"page":2}`), OnError: workflow.OnError{Continue: true}},
	}}, Output: json.RawMessage(`{"pages":"${{ steps.pages.output.map(p, p.page) }}","bad":"${{ steps.bad.status }}"}`)}
	var took time.Duration
	var got string
	orpinetest.Run(t, config(fetch), func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		got = output(t, e.Wait(begin(t, e, d, `{}`)))
		took = time.Since(began)
	})
	if want := `{"bad":"succeeded","pages":[1,2,3]}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if took < 7*time.Second || took > 8*time.Second {
		t.Errorf("two waits of 2 s and 5 s took %s", took)
	}
	if n := len(fetch.all()); n != 6 {
		t.Errorf("%d calls: %v", n, fetch.all())
	}
}

func TestJoins(t *testing.T) {
	slow := &hand{name: "slow", do: func(_ int, in map[string]any) (string, error) { return "slow", nil }}
	fails := &hand{name: "fails", do: func(int, map[string]any) (string, error) {
		return "", durable.Errorf(durable.CodeDenied, "no")
	}}
	first := &workflow.Definition{Body: workflow.Body{Nodes: []workflow.Node{
		says("quick", "quick"),
		{ID: "late", Wait: &workflow.Wait{For: "10d"}},
		{ID: "win", Needs: []string{"quick", "late"}, Join: workflow.Join{Rule: workflow.JoinFirst}, Tool: "echo", With: json.RawMessage(`{"say":"${{ steps.quick.output }} ${{ steps.late.status }}"}`)},
	}}}
	var took time.Duration
	orpinetest.Run(t, config(echo()), func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		if got := output(t, e.Wait(begin(t, e, first, `{}`))); got != `"quick running"` && got != `"quick pending"` && got != `"quick canceled"` {
			t.Errorf("got %s", got)
		}
		took = time.Since(began)
	})
	if took > time.Minute {
		t.Errorf("the loser was waited for: %s", took)
	}
	two := &workflow.Definition{Body: workflow.Body{Nodes: []workflow.Node{
		says("a", "a"), says("b", "b"),
		{ID: "c", Tool: "fails", OnError: workflow.OnError{Continue: false}},
		{ID: "most", Needs: []string{"a", "b", "c"}, Join: workflow.Join{Count: 2}, Tool: "echo", With: json.RawMessage(`{"say":"most"}`)},
		{ID: "every", Needs: []string{"a", "c"}, Tool: "echo", With: json.RawMessage(`{"say":"never"}`)},
		{ID: "done", Needs: []string{"a", "c"}, Join: workflow.Join{Rule: workflow.JoinDone}, Tool: "echo", With: json.RawMessage(`{"say":"done ${{ steps.c.error.code }}"}`)},
	}}}
	e := echo()
	r := play(t, two, `{}`, e, fails, slow)
	if r.Status != durable.Failed || !strings.Contains(r.Error.Message, "step c") {
		t.Errorf("got %s %v", r.Status, r.Error)
	}
	said := strings.Join(e.all(), " ")
	if !strings.Contains(said, "most") || !strings.Contains(said, "done internal") || strings.Contains(said, "never") {
		t.Errorf("said %s", said)
	}
}

func TestConflict(t *testing.T) {
	d := &workflow.Definition{
		State: map[string]workflow.Key{"k": {}},
		Body: workflow.Body{Nodes: []workflow.Node{
			{ID: "left", Set: workflow.Values{"k": json.RawMessage("1")}},
			{ID: "right", Set: workflow.Values{"k": json.RawMessage("2")}},
		}},
	}
	r := play(t, d, `{}`)
	if r.Status != durable.Failed || r.Error.Code != durable.CodeConflict || r.Error.Reason != workflow.ReasonConflict ||
		!strings.Contains(r.Error.Message, "step left") || !strings.Contains(r.Error.Message, "step right") {
		t.Errorf("got %s %+v", r.Status, r.Error)
	}
	d.Body.Nodes[1].Needs = []string{"left"}
	d.Output = json.RawMessage(`"${{ state.k }}"`)
	if got := output(t, play(t, d, `{}`)); got != "2" {
		t.Errorf("got %s", got)
	}
}

func TestSaga(t *testing.T) {
	e := echo()
	bad := &hand{name: "bad", do: func(int, map[string]any) (string, error) {
		return "", durable.Errorf(durable.CodeInternal, "it broke")
	}}
	undo := func(text string) *workflow.Node {
		n := says("", text)
		return &n
	}
	withdraw, deposit := says("withdraw", "withdraw"), says("deposit", "deposit")
	withdraw.Compensate, deposit.Compensate = undo("undo ${{ output }}"), undo("undo ${{ output }}")
	d := &workflow.Definition{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{withdraw, deposit, {ID: "break", Tool: "bad", Retry: &workflow.Retry{Attempts: 3}}}}}
	r := play(t, d, `{}`, e, bad)
	if r.Status != durable.Failed || !strings.Contains(r.Error.Message, "it broke") || !strings.Contains(r.Error.Message, "compensated") {
		t.Errorf("got %s %v", r.Status, r.Error)
	}
	want := []string{`{"say":"withdraw"}`, `{"say":"deposit"}`, `{"say":"undo deposit"}`, `{"say":"undo withdraw"}`}
	if got := e.all(); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	if len(bad.all()) != 3 {
		t.Errorf("tried %d times", len(bad.all()))
	}
}

func TestSwitchGoesBack(t *testing.T) {
	d := &workflow.Definition{
		State: map[string]workflow.Key{"tries": {Initial: json.RawMessage("0")}},
		Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
			{ID: "try", Set: workflow.Values{"tries": json.RawMessage(`"${{ state.tries + 1 }}"`)}},
			{ID: "route", Switch: &workflow.Switch{Cases: []workflow.Case{{If: "state.tries < 4", Goto: "try"}, {If: "state.tries > 100", Goto: "end"}, {Goto: "gone"}}}},
			says("never", "never"),
			says("gone", "gave up after ${{ state.tries }}"),
		}},
	}
	e := echo()
	if got := output(t, play(t, d, `{}`, e)); got != `"gave up after 4"` {
		t.Errorf("got %s", got)
	}
	d.Body.Nodes[1].Switch.Max = 2
	if r := play(t, d, `{}`, echo()); r.Status != durable.Failed || r.Error.Reason != workflow.ReasonRounds {
		t.Errorf("got %s %v", r.Status, r.Error)
	}
}

func TestHumanTimeoutAndEvent(t *testing.T) {
	d := &workflow.Definition{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		{ID: "go", Wait: &workflow.Wait{Event: "start", If: "event.n > 1"}},
		{ID: "review", Human: &workflow.Human{Ask: "Is ${{ steps.go.output.n }} fine?", Show: json.RawMessage(`"${{ steps.go.output }}"`), Actions: []string{"accept", "edit", "reject"}}},
		{ID: "late", Human: &workflow.Human{Ask: "And now?", Timeout: time.Hour, OnTimeout: json.RawMessage(`"reject"`)}},
		{ID: "slow", Wait: &workflow.Wait{Event: "never"}, Timeout: time.Minute, OnError: workflow.OnError{Continue: true}},
	}}, Output: json.RawMessage(`["${{ steps.review.output.value.n }}","${{ steps.late.output.action }}","${{ steps.slow.error.reason }}"]`)}
	orpinetest.Run(t, config(), func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, d, `{}`)
		for _, n := range []int{1, 2} {
			if err := e.Signal(id, "start", map[string]int{"n": n}); err != nil {
				t.Fatal(err)
			}
		}
		run := e.Settle(id)
		if len(run.Waits) != 1 || run.Waits[0].Interrupt.Prompt != "Is 2 fine?" {
			t.Fatalf("waits for %+v", run.Waits)
		}
		for _, none := range []any{map[string]any{"action": "maybe"}, "maybe", map[string]any{}, 7} {
			if err := e.Answer(id, "", none); !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("an action that is none, %v: %v", none, err)
			}
		}
		if err := e.Answer(id, "", map[string]any{"action": "edit", "value": map[string]int{"n": 7}}); err != nil {
			t.Fatal(err)
		}
		if got := output(t, e.Wait(id)); got != `[7,"reject","timeout"]` {
			t.Errorf("got %s", got)
		}
	})
}

// TestCrashes: whatever is lost and wherever, a workflow of all verbs comes to the same end.
func TestCrashes(t *testing.T) {
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		bad := &hand{name: "bad", do: func(int, map[string]any) (string, error) {
			return "", durable.Errorf(durable.CodeDenied, "no")
		}}
		return config(echo(), bad)
	}, func(t *testing.T, e *orpinetest.Env) {
		undo := says("", "undo ${{ output }}")
		first := says("first", "first")
		first.Compensate = &undo
		second := says("second", "${{ item }} of ${{ steps.first.output }}", "first")
		second.ForEach, second.AtOnce, second.Compensate = "['x', 'y', 'z']", 2, &undo
		d := &workflow.Definition{Body: workflow.Body{Nodes: []workflow.Node{
			first, second,
			{ID: "late", Needs: []string{"first"}, Wait: &workflow.Wait{For: "1h"}},
			{ID: "win", Needs: []string{"second", "late"}, Join: workflow.Join{Rule: workflow.JoinFirst}, Tool: "echo", With: json.RawMessage(`{"say":"won"}`)},
			{ID: "break", Needs: []string{"win"}, Tool: "bad"},
		}}}
		if r := e.Wait(begin(t, e, d, `{}`)); r.Status != durable.Failed {
			t.Errorf("got %s", r.Status)
		}
	})
}

// TestKeys: a step that is tried again has the same idempotency key, one of another round has not.
func TestKeys(t *testing.T) {
	var mu sync.Mutex
	var keys []string
	shaky := tool.Func("shaky", "fails at first", func(ctx context.Context, in struct {
		N int `json:"n"`
	},
	) (string, error) {
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, fmt.Sprintf("%d %s", in.N, strings.SplitN(durable.AttemptOf(ctx).Key, "/", 2)[1]))
		if len(keys)%2 == 1 {
			return "", durable.Errorf(durable.CodeUnavailable, "not yet")
		}
		return "ok", nil
	}, tool.Idempotent)
	d := &workflow.Definition{Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		{ID: "again", Loop: &workflow.Loop{Max: 2, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
			{ID: "try", Tool: "shaky", With: json.RawMessage(`{"n":"${{ round }}"}`), Retry: &workflow.Retry{Attempts: 3}},
		}}}},
		{ID: "each", ForEach: "[3, 4]", AtOnce: 1, Tool: "shaky", With: json.RawMessage(`{"n":"${{ item }}"}`), Retry: &workflow.Retry{Attempts: 3}},
	}}}
	orpinetest.Run(t, orpinetest.Config{Tools: []tool.Tool{shaky}}, func(t *testing.T, e *orpinetest.Env) {
		output(t, e.Wait(begin(t, e, d, `{}`)))
	})
	want := []string{"1 try", "1 try", "2 try/1.0", "2 try/1.0", "3 each[0]", "3 each[0]", "4 each[1]", "4 each[1]"}
	if !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
}

// TestMigrate: a run that waits takes up another definition, keeps what it has and waits no longer
// than it would have.
func TestMigrate(t *testing.T) {
	old := &workflow.Definition{Name: "test", Hands: agent.Definition{Name: "test", Tools: []string{"*"}}, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		says("first", "first"), {ID: "cool", Wait: &workflow.Wait{For: "10h"}}, says("last", "old ${{ steps.first.output }}"),
	}}}
	next := &workflow.Definition{Name: "test", Hands: old.Hands, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
		says("first", "changed"), {ID: "cool", Wait: &workflow.Wait{For: "10h"}}, says("more", "more"), says("last", "new ${{ steps.first.output }} ${{ steps.more.output }}"),
	}}}
	h := echo()
	orpinetest.Run(t, config(h), func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		id := begin(t, e, old, `{}`)
		e.Settle(id)
		time.Sleep(4 * time.Hour)
		if err := e.Signal(id, workflow.MigrateSignal, next); err != nil {
			t.Fatal(err)
		}
		e.Crash()
		if got := output(t, e.Wait(id)); got != `"new first more"` {
			t.Errorf("got %s", got)
		}
		if took := time.Since(began); took < 10*time.Hour || took > 10*time.Hour+time.Minute {
			t.Errorf("it took %s, not 10 h", took)
		}
		if calls := h.all(); len(calls) != 3 {
			t.Errorf("calls %v", calls)
		}
	})
}

// TestMigrateItems: of a for_each that waits, the items that have ended keep their outputs, and the
// others go on by the other definition.
func TestMigrateItems(t *testing.T) {
	with := func(last string) *workflow.Definition {
		return &workflow.Definition{Name: "test", Hands: agent.Definition{Name: "test", Tools: []string{"*"}}, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
			{ID: "ask", ForEach: "['a', 'b']", Human: &workflow.Human{Ask: "Is ${{ item }} fine?"}},
			says("last", last+" ${{ steps.ask.output.map(o, o.action) }}"),
		}}}
	}
	h := echo()
	orpinetest.Run(t, config(h), func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, with("old"), `{}`)
		run := asked(t, e, id)
		if len(run.Waits) != 2 {
			t.Fatalf("waits for %+v", run.Waits)
		}
		if err := e.Answer(id, run.Waits[0].Interrupt.ID, "accept"); err != nil {
			t.Fatal(err)
		}
		if err := e.Signal(id, workflow.MigrateSignal, with("new")); err != nil {
			t.Fatal(err)
		}
		e.Crash()
		time.Sleep(time.Minute)
		if run = asked(t, e, id); len(run.Waits) != 1 || run.Waits[0].Interrupt.Prompt != "Is b fine?" {
			t.Fatalf("%s, waits for %+v, %v", run.Status, run.Waits, run.Error)
		}
		if err := e.Answer(id, "", "reject"); err != nil {
			t.Fatal(err)
		}
		if got := output(t, e.Wait(id)); got != `"new [\"accept\",\"reject\"]"` {
			t.Errorf("got %s", got)
		}
	})
}

// TestMigrateBetweenItems: of a for_each whose items run one by one, those that were not begun are run
// by the other definition.
func TestMigrateBetweenItems(t *testing.T) {
	var calls atomic.Int64
	slow := tool.Func("slow", "takes a minute", func(_ context.Context, in struct {
		N string `json:"n"`
	},
	) (string, error) {
		calls.Add(1)
		time.Sleep(time.Minute) // of the bubble
		return in.N, nil
	}, tool.Idempotent)
	with := func(last string) *workflow.Definition {
		return &workflow.Definition{Name: "test", Hands: agent.Definition{Name: "test", Tools: []string{"*"}}, Body: workflow.Body{Ordered: true, Nodes: []workflow.Node{
			{ID: "each", ForEach: "['a', 'b', 'c']", AtOnce: 1, Tool: "slow", With: json.RawMessage(`{"n":"${{ item }}"}`)},
			says("last", last+" ${{ steps.each.output }}"),
		}}}
	}
	cfg := config(echo())
	cfg.Tools = append(cfg.Tools, slow)
	orpinetest.Run(t, cfg, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, with("old"), `{}`)
		time.Sleep(30 * time.Second)
		if err := e.Signal(id, workflow.MigrateSignal, with("new")); err != nil {
			t.Fatal(err)
		}
		if got := output(t, e.Wait(id)); got != `"new [\"a\",\"b\",\"c\"]"` {
			t.Errorf("got %s", got)
		}
		if n := calls.Load(); n != 3 {
			t.Errorf("%d calls", n)
		}
	})
}
