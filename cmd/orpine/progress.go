package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/agent"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/event"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// spinInterval is how often the moving line is drawn.
const spinInterval = 100 * time.Millisecond

// progress shows on standard error what a run does: a line per step, and on a
// terminal one moving line beneath for what is under way.
type progress struct {
	app    *app
	draws  bool
	colors bool

	mu      sync.Mutex
	running map[string]*underWay
	order   []string
	tail    string // the end of what streams in
	frame   int
	drawn   bool
	quit    chan struct{}
	gone    chan struct{}
}

type underWay struct {
	name  string
	since time.Time
}

func newProgress(a *app) *progress {
	p := &progress{app: a, draws: a.draws(), colors: a.colors(a.stderr), running: map[string]*underWay{}}
	if p.draws {
		p.quit, p.gone = make(chan struct{}), make(chan struct{})
		go p.spin()
	}
	return p
}

// stop ends the moving line; lines already written stay.
func (p *progress) stop() {
	if p.quit == nil {
		return
	}
	close(p.quit)
	<-p.gone
	p.quit, p.draws = nil, false
}

func (p *progress) spin() {
	defer close(p.gone)
	tick := time.NewTicker(spinInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.mu.Lock()
			p.clear()
			p.draw()
			p.mu.Unlock()
		case <-p.quit:
			p.mu.Lock()
			p.clear()
			p.mu.Unlock()
			return
		}
	}
}

func (p *progress) clear() {
	if p.drawn {
		fmt.Fprint(p.app.stderr, "\r\x1b[K")
		p.drawn = false
	}
}

func (p *progress) draw() {
	if !p.draws {
		return
	}
	frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
	p.frame = (p.frame + 1) % len(frames)
	var names []string
	for _, key := range p.order {
		w := p.running[key]
		names = append(names, w.name+" "+span(time.Since(w.since)))
	}
	if len(names) == 0 {
		names = []string{"working"}
	}
	const width = 100
	line := string(frames[p.frame]) + " " + strings.Join(names, ", ")
	if p.tail != "" {
		line += " · " + p.tail
	}
	fmt.Fprint(p.app.stderr, oneLine(line, width))
	p.drawn = true
}

// show takes one event or delta.
func (p *progress) show(item *event.Item) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if item.Delta != nil {
		p.delta(item.Delta)
		return
	}
	e := item.Event
	if line := p.line(&e.Entry); line != "" {
		p.clear()
		fmt.Fprintln(p.app.stderr, line)
		p.draw()
	}
}

func (p *progress) delta(d *durable.Delta) {
	key := fmt.Sprintf("%s/%d", d.Run, d.Command)
	if p.running[key] == nil { // whoever joins late has missed its beginning
		p.order = append(p.order, key)
		p.running[key] = &underWay{name: d.Step, since: time.Now()}
	}
	switch d.Kind {
	case durable.DeltaBegun:
		p.running[key].since = time.Now()
	case durable.DeltaReset:
		p.tail = ""
	case tool.Progress:
		var said struct {
			Line    string `json:"line"`
			Message string `json:"message"`
		}
		if json.Unmarshal(d.Data, &said) == nil {
			p.tail = oneLine(cmp.Or(said.Line, said.Message), 60)
		}
	case string(model.DeltaText):
		var piece model.Delta
		if json.Unmarshal(d.Data, &piece) == nil {
			const most = 60
			r := []rune(p.tail + piece.Text)
			p.tail = string(r[max(0, len(r)-most):])
		}
	}
}

func (p *progress) over(e *durable.Entry) {
	for i, key := range p.order {
		if p.running[key].name == e.Name {
			delete(p.running, key)
			p.order = append(p.order[:i], p.order[i+1:]...)
			break
		}
	}
	p.tail = ""
}

// line is what one event adds to the list of steps; most events add nothing.
func (p *progress) line(e *durable.Entry) string {
	switch e.Kind {
	case durable.EntryDone:
		p.over(e)
		if e.Error != nil {
			return p.paint(red, "✗") + fmt.Sprintf(" %-14s %s", e.Name, oneLine(e.Error.Message, 120))
		}
		if text, failed := toolError(e); failed {
			return p.paint(red, "✗") + fmt.Sprintf(" %-14s %s", e.Name, oneLine(text, 120))
		}
		if e.Started.IsZero() { // a fork was given the result
			return p.paint(green, "✓") + fmt.Sprintf(" %-14s given", e.Name)
		}
		return p.paint(green, "✓") + fmt.Sprintf(" %-14s %s", e.Name, span(e.Time.Sub(e.Started))) + leftOut(e)
	case durable.EntryAttempt:
		p.over(e)
		next := ""
		if !e.Until.IsZero() {
			next = "; next in " + span(e.Until.Sub(e.Time))
		}
		return p.paint(yellow, "↻") + fmt.Sprintf(" %-14s attempt %d: %s%s", e.Name, e.Attempt, oneLine(e.Error.Message, 100), next)
	case durable.EntryChild:
		return p.paint(dim, "▸") + fmt.Sprintf(" %-14s run %s", e.Name, e.Child)
	case durable.EntryChildDone:
		if e.Error != nil {
			return p.paint(red, "✗") + fmt.Sprintf(" %-14s %s", e.Name, oneLine(e.Error.Message, 120))
		}
		return p.paint(green, "✓") + " " + e.Name
	case durable.EntryAsked:
		return p.paint(yellow, "?") + " " + oneLine(e.Interrupt.Prompt, 200)
	case durable.EntryAnswered:
		return p.paint(green, "✓") + fmt.Sprintf(" %-14s %s", "answered", oneLine(string(e.Output), 80))
	case durable.EntryClaimed:
		return p.paint(yellow, "↻") + " taken over after a crash"
	case durable.EntryTimer:
		return p.paint(dim, "◷") + " " + waitText(e)
	case durable.EntryCancel:
		return p.paint(yellow, "■") + " cancel: " + e.Reason
	default:
		return ""
	}
}

// toolError is what a tool says of a call that failed: the step has done its work then, which is to
// tell so.
func toolError(e *durable.Entry) (string, bool) {
	var r tool.Result
	if json.Unmarshal(e.Output, &r) != nil {
		return "", false
	}
	return r.Content, r.Error && r.Content != ""
}

// waitText says how long is waited, and until when. A workflow waits so before it tries a step again
// too: the line above says which one failed.
func waitText(e *durable.Entry) string {
	until, form := e.Until.Local(), time.TimeOnly
	if until.YearDay() != e.Time.Local().YearDay() || until.Year() != e.Time.Local().Year() {
		form = time.DateTime
	}
	const unit = 10 * time.Millisecond // the entry is some moments younger than the wait
	return fmt.Sprintf("waits %s, until %s", span(e.Until.Sub(e.Time).Round(unit)), until.Format(form))
}

// leftOut says which tools of sources the agent goes without, and why.
func leftOut(e *durable.Entry) string {
	var found agent.Finds
	if e.Func != agent.FindFunc || json.Unmarshal(e.Output, &found) != nil {
		return ""
	}
	var b strings.Builder
	for _, text := range found.Left {
		b.WriteString("\n  left out: " + oneLine(text, 200))
	}
	return b.String()
}

// The colours of ECMA-48.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	dim    = "2"
)

func (p *progress) paint(color, text string) string {
	if !p.colors {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}
