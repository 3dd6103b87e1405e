package script

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/model"
)

// Fault is what goes wrong with a reply after its deltas.
type Fault string

// The faults a script can ask for.
const (
	FaultNone    Fault = ""
	FaultCut     Fault = "cut"     // the stream breaks
	FaultGarbage Fault = "garbage" // bytes that mean nothing
	FaultHang    Fault = "hang"    // silence until the caller leaves
)

// Outcome is what a script decided for one request: Failure, or a reply that is
// streamed as Deltas and then ends in Fault.
type Outcome struct {
	Rule    string       // file:line of the rule
	Failure *model.Error // set: nothing is streamed
	Reply   model.Reply
	Deltas  []model.Delta // already shortened where the script cuts
	Delay   time.Duration // before each delta
	Fault   Fault
}

// Player answers from a script and counts how often its `times` were used up.
// It is safe for concurrent use.
type Player struct {
	script *Script

	mu     sync.Mutex
	used   []int // requests a rule with times answered
	failed []int // errors a rule gave
}

// Player returns a new player whose counts begin at zero.
func (s *Script) Player() *Player {
	return &Player{script: s, used: make([]int, len(s.rules)), failed: make([]int, len(s.rules))}
}

// Model returns the script as a model with counts of its own.
func (s *Script) Model() model.Model { return s.Player().Model(s.name) }

// Model returns a model that was asked for by name and shares the player's counts.
func (p *Player) Model(name string) model.Model { return scripted{p, name} }

// Provider returns the provider of script/FILE models. A file is read at each
// call; while its bytes stay the same, so do the counts of its rules.
func Provider() model.Provider {
	type kept struct {
		data   []byte
		player *Player
	}
	var mu sync.Mutex
	players := map[string]kept{}
	return func(name string) (model.Model, error) {
		data, err := os.ReadFile(name) //nolint:gosec // the user names the file on purpose
		if err != nil {
			return nil, &model.Error{Code: "invalid", Message: fmt.Sprintf("model script/%s: %v; the name is a file path", name, err)}
		}
		mu.Lock()
		defer mu.Unlock()
		if k, ok := players[name]; ok && bytes.Equal(k.data, data) {
			return k.player.Model(name), nil
		}
		s, err := Parse(name, data)
		if err != nil {
			return nil, &model.Error{Code: "invalid", Message: err.Error()}
		}
		p := s.Player()
		players[name] = kept{data, p}
		return p.Model(name), nil
	}
}

// Decide returns what the script answers to req when the model was asked for by
// name. When no rule matches the error is a *model.Error of code invalid.
func (p *Player) Decide(name string, req model.Request) (Outcome, error) {
	t := newTalk(name, req)
	var whys strings.Builder
	for i, r := range p.script.rules {
		values, why := r.when.match(t)
		fails := false
		if why == "" {
			why, fails = p.take(i)
		}
		where := fmt.Sprintf("%s:%d", p.script.name, r.line)
		if why != "" {
			if r.name != "" {
				where += " (" + r.name + ")"
			}
			fmt.Fprintf(&whys, "\n  %s: %s", where, why)
			continue
		}
		o := Outcome{Rule: where}
		if fails {
			o.Failure = r.fail.error(where)
			return o, nil
		}
		r.reply.play(&o, t, values)
		if o.Reply.Model = p.script.model; o.Reply.Model == "" {
			o.Reply.Model = name
		}
		return o, nil
	}
	const quoted = 4
	return Outcome{}, &model.Error{Code: "invalid", Message: fmt.Sprintf(
		"no rule of %s matches turn %d of this conversation, which ends with%s\nthe rules and why they do not match:%s",
		p.script.name, t.turn, tail(req.Messages, quoted), whys.String())}
}

// take uses rule i once: it says why the rule does not answer any more, or
// whether it answers with its error.
func (p *Player) take(i int) (why string, fails bool) {
	r := p.script.rules[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	failed := r.fail != nil && r.fail.times > 0 && p.failed[i] >= r.fail.times
	switch {
	case r.times > 0 && p.used[i] >= r.times:
		return fmt.Sprintf("it applied its %d times", r.times), false
	case failed && r.reply == nil:
		return fmt.Sprintf("it failed its %d times", r.fail.times), false
	}
	p.used[i]++
	if r.fail == nil || failed {
		return "", false
	}
	p.failed[i]++
	return "", true
}

func (f *failure) error(where string) *model.Error {
	message := f.message
	if message == "" {
		message = "the script says so at " + where
	}
	return &model.Error{Code: f.code, Status: f.status, RetryAfter: f.retryAfter, Message: message}
}

// play words the reply and cuts it into deltas.
func (r *reply) play(o *Outcome, t talk, values map[string]string) {
	o.Delay = r.delay
	left := -1
	switch {
	case r.cut >= 0:
		o.Fault, left = FaultCut, r.cut
	case r.garbage:
		o.Fault = FaultGarbage
	case r.hang:
		o.Fault = FaultHang
	}
	pieces := func(d model.Delta, text string, set func(*model.Delta, string)) {
		for _, piece := range split(text, r.chunk, &left) {
			set(&d, piece)
			o.Deltas = append(o.Deltas, d)
			d.ID, d.Name = "", ""
		}
	}
	msg := model.Message{Role: model.Assistant}
	if thought := r.reasoning.expand(values); thought != "" {
		msg.Parts = append(msg.Parts, model.Part{Reasoning: &model.Reasoning{Text: thought, Signature: fmt.Sprintf("script_%d", t.turn)}})
		pieces(model.Delta{Kind: model.DeltaReasoning}, thought, func(d *model.Delta, s string) { d.Text = s })
	}
	text := r.text.expand(values)
	if r.json != nil {
		text = string(r.json.render(values))
	}
	if text != "" {
		msg.Parts = append(msg.Parts, model.Part{Text: text})
		pieces(model.Delta{Kind: model.DeltaText}, text, func(d *model.Delta, s string) { d.Text = s })
	}
	for i, c := range r.calls {
		made, args := c.make(fmt.Sprintf("call_%d_%d", t.number, i), values)
		msg.Parts = append(msg.Parts, model.Part{Call: &made})
		d := model.Delta{Kind: model.DeltaCall, Index: i, ID: made.ID, Name: made.Name}
		pieces(d, args, func(d *model.Delta, s string) { d.Args = s })
	}
	o.Reply = model.Reply{Message: msg, Stop: r.stop, Usage: r.count(t.request, msg)}
	if o.Reply.Stop == "" {
		o.Reply.Stop = model.StopEnd
		if len(r.calls) > 0 {
			o.Reply.Stop = model.StopCalls
		}
	}
}

// make returns the call and the bytes of its arguments as they are streamed.
func (c call) make(id string, values map[string]string) (model.ToolCall, string) {
	made := model.ToolCall{ID: id, Name: c.name}
	switch {
	case c.broken:
		text := c.malformed.expand(values)
		if object(text) {
			made.Args = json.RawMessage(text)
		} else {
			made.Malformed = text
		}
		return made, text
	case c.args != nil:
		made.Args = c.args.render(values)
	default:
		made.Args = json.RawMessage("{}")
	}
	return made, string(made.Args)
}

// object reports whether text is a JSON object, so that what a script calls
// malformed is told as it would be read from a wire.
func object(text string) bool {
	var fields map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &fields) == nil && fields != nil
}

// split cuts text into pieces of size characters; left, when not negative, is how
// many characters may still be said.
func split(text string, size int, left *int) []string {
	runes := []rune(text)
	if *left >= 0 {
		runes = runes[:min(len(runes), *left)]
		*left -= len(runes)
	}
	var out []string
	for len(runes) > 0 {
		n := min(size, len(runes))
		out = append(out, string(runes[:n]))
		runes = runes[n:]
	}
	return out
}

func (r *reply) count(req model.Request, msg model.Message) model.Usage {
	if r.usage != nil {
		return *r.usage
	}
	var u model.Usage
	for _, m := range req.Messages {
		u.Input += len(strings.Fields(words(m)))
	}
	u.Output = len(strings.Fields(words(msg)))
	return u
}

// scripted is a player under the name it was asked for by.
type scripted struct {
	player *Player
	name   string
}

var _ model.Model = scripted{}

// Generate implements model.Model.
func (s scripted) Generate(ctx context.Context, req model.Request, emit func(model.Delta)) (model.Reply, error) {
	if err := ctx.Err(); err != nil {
		return model.Reply{}, s.left(err)
	}
	o, err := s.player.Decide(s.name, req)
	if err != nil {
		return model.Reply{}, err
	}
	if o.Failure != nil {
		return model.Reply{}, o.Failure
	}
	for _, d := range o.Deltas {
		if err := wait(ctx, o.Delay); err != nil {
			return model.Reply{}, s.left(err)
		}
		if emit != nil {
			emit(d)
		}
	}
	switch o.Fault {
	case FaultCut:
		return model.Reply{}, &model.Error{Code: "unavailable", Message: "the stream was cut, as the script says at " + o.Rule}
	case FaultGarbage:
		return model.Reply{}, &model.Error{Code: "unavailable", Message: "the answer was garbage, as the script says at " + o.Rule}
	case FaultHang:
		<-ctx.Done()
		return model.Reply{}, s.left(ctx.Err())
	case FaultNone:
	}
	return o.Reply, nil
}

func (s scripted) left(err error) error { return fmt.Errorf("call model script/%s: %w", s.name, err) }

// wait sleeps d unless the caller leaves before.
func wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
