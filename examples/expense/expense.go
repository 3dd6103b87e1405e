package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/orpine-run/orpine/durable"
)

// report is the input.
type report struct {
	Employee string
	Amount   int
	Reason   string
}

// verdict is the answer to the question whether a report is to be paid.
type verdict struct {
	Approve bool   `json:"approve"`
	Why     string `json:"why,omitempty"`
}

// outcome is the output.
type outcome struct {
	Paid int    `json:"paid"`
	Why  string `json:"why,omitempty"`
}

// newExpense makes the program. A payment cannot be taken back, so its intent is recorded first, and
// after a crash in between the books say whether it was made.
func newExpense(b *books) durable.Program {
	file := durable.NewFunc("file", durable.StepOptions{}, func(ctx context.Context, r report) (int, error) {
		return 0, b.write(entry{Key: durable.AttemptOf(ctx).Key, Text: "filed", Employee: r.Employee, Amount: r.Amount})
	})
	pay := durable.NewFunc("pay", durable.StepOptions{Effect: durable.Irreversible}, func(ctx context.Context, r report) (int, error) {
		return r.Amount, b.write(entry{Key: durable.AttemptOf(ctx).Key, Text: "paid", Employee: r.Employee, Amount: r.Amount})
	})
	pay.Reconcile = func(ctx context.Context, _ json.RawMessage) (durable.Outcome, error) {
		e, found, err := b.find(durable.AttemptOf(ctx).Key)
		if err != nil || !found {
			return durable.Outcome{}, err
		}
		output, err := json.Marshal(e.Amount)
		return durable.Outcome{Happened: true, Output: output}, err
	}
	return durable.NewProgram("expense", func(ctx durable.Context, r report) (outcome, error) {
		if _, err := durable.Do(ctx, file, r); err != nil {
			return outcome{}, err
		}
		v, err := durable.Ask[verdict](ctx, durable.Interrupt{
			ID: "approval", Prompt: fmt.Sprintf("Pay %d to %s for %s?", r.Amount, r.Employee, r.Reason),
		})
		if err != nil || !v.Approve {
			return outcome{Why: v.Why}, err
		}
		paid, err := durable.Do(ctx, pay, r)
		return outcome{Paid: paid, Why: v.Why}, err
	}, file.StepFunc, pay.StepFunc)
}
