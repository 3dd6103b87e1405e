package agent

import (
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
)

// afford checks the budget before a model call is made. It fails closed: what
// cannot be known to fit is not done.
func (l *loop) afford() error {
	b := l.definition.Budget
	turns := b.Turns
	if turns == 0 {
		turns = defaultTurns
	}
	used := l.used()
	tokens := used.Input + used.Output
	spent := durable.Now(l.ctx).Sub(l.Began)
	switch {
	case l.Turns >= turns:
		return l.stop(durable.CodeExhausted, StopMaxTurns, "no answer after %d turns; raise budget.turns", l.Turns)
	case b.Tokens > 0 && tokens >= b.Tokens:
		return l.stop(durable.CodeExhausted, StopBudget, "%d of %d tokens are used; raise budget.tokens", tokens, b.Tokens)
	case b.Cost > 0 && l.definition.Price == nil:
		return l.stop(durable.CodeInvalid, StopBudget, "budget.cost needs the price of model %s", l.definition.Model)
	case b.Cost > 0 && l.cost() >= b.Cost:
		return l.stop(durable.CodeExhausted, StopBudget, "%.4f of %.4f is spent; raise budget.cost", l.cost(), b.Cost)
	case b.Time > 0 && spent >= b.Time:
		return l.stop(durable.CodeExhausted, StopBudget, "%s of %s have passed; raise budget.time", spent.Round(1e6), b.Time)
	}
	return nil
}

// used is what it and the agents that it put something to have used.
func (l *loop) used() model.Usage { return l.Usage.Add(l.Below.Usage) }

// cost is what that has cost.
func (l *loop) cost() float64 {
	p := l.definition.Price
	if p == nil {
		return l.Below.Cost
	}
	const million = 1e6
	return l.Below.Cost + (float64(l.Usage.Input)*p.Input+float64(l.Usage.Output)*p.Output)/million
}

func (l *loop) stop(code durable.Code, reason, format string, args ...any) error {
	err := durable.Errorf(code, format, args...)
	err.Op, err.Reason = "agent "+l.definition.Name+" stopped ("+reason+")", reason
	return err
}
