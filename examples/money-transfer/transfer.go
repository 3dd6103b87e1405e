package main

import (
	"context"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// order is the input of a transfer.
type order struct {
	From, To string
	Amount   int
}

// newTransfer makes the program: withdraw, deposit, and a step that fails. Each step is tried three
// times, with waits of 1 s, doubled up to a minute.
func newTransfer(b *bank) durable.Program {
	options := durable.StepOptions{Retry: durable.Retry{Attempts: 3, Backoff: time.Second, Max: time.Minute}}
	// book makes the step that changes an account: the one that gives, or the one that takes.
	book := func(name string, taker bool, sign int) durable.Func[order, int] {
		return durable.NewFunc(name, options, func(ctx context.Context, o order) (int, error) {
			account := o.From
			if taker {
				account = o.To
			}
			return b.book(line{Key: durable.AttemptOf(ctx).Key, Account: account, Amount: sign * o.Amount, Text: name})
		})
	}
	withdraw, undoWithdraw := book("withdraw", false, -1), book("withdraw_compensation", false, 1)
	deposit, undoDeposit := book("deposit", true, 1), book("deposit_compensation", true, -1)
	notify := durable.NewFunc("step_with_error", options, func(context.Context, order) (int, error) {
		return 0, durable.Errorf(durable.CodeUnavailable, "the other bank does not answer")
	})

	return durable.NewProgram("transfer", func(ctx durable.Context, o order) (int, error) {
		saga := durable.NewSaga(ctx)
		undoBy := func(undo durable.Func[order, int]) {
			saga.Add(undo.Name, func(ctx durable.Context) error {
				_, err := durable.Do(ctx, undo, o)
				return err
			})
		}
		if _, err := durable.Do(ctx, withdraw, o); err != nil {
			return 0, saga.Compensate(err)
		}
		undoBy(undoWithdraw)
		if _, err := durable.Do(ctx, deposit, o); err != nil {
			return 0, saga.Compensate(err)
		}
		undoBy(undoDeposit)
		if _, err := durable.Do(ctx, notify, o); err != nil {
			return 0, saga.Compensate(err)
		}
		return o.Amount, nil
	}, withdraw.StepFunc, undoWithdraw.StepFunc, deposit.StepFunc, undoDeposit.StepFunc, notify.StepFunc)
}
