package examples_test

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

const (
	transferred = `{"amount":150}`
	// bookings are those that a transfer must come to, in this order, each once.
	bookings = `[withdraw {"account":"ann","amount":150} deposit {"account":"bob","amount":150}` +
		` deposit_compensation {"account":"bob","amount":150} withdraw_compensation {"account":"ann","amount":150}]`
	transferError = "step notify: the other bank does not answer; compensated deposit; compensated withdraw"
)

// banking is the world of the transfer, with other hands in the place of some.
func banking(t *testing.T, f *config.File, other map[string]hand) *world {
	hands := map[string]hand{
		"withdraw": says("-150"), "deposit": says("150"), "deposit_compensation": says("0"), "withdraw_compensation": says("0"),
		"notify": func(context.Context, int, map[string]any) (any, error) {
			return nil, durable.Errorf(durable.CodeUnavailable, "the other bank does not answer")
		},
	}
	maps.Copy(hands, other)
	return newWorld(t, f, hands)
}

func booked(w *world) string {
	return fmt.Sprint(w.did("withdraw", "deposit", "deposit_compensation", "withdraw_compensation"))
}

// TestTransfer: the step that fails is tried three times, after 1 s and 2 s; then the deposit and the
// withdrawal are undone in this order, once each, wherever the process dies.
func TestTransfer(t *testing.T) {
	t.Parallel()
	f := load(t, "money-transfer/transfer.yaml")
	var w *world
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		w = banking(t, f, nil)
		return orpinetest.Config{Tools: w.tools}
	}, func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		id := begin(t, e, flow(t, f, "transfer"), transferred)
		r := e.Wait(id)
		if r.Status != durable.Failed || r.Error.Code != durable.CodeUnavailable || r.Error.Message != transferError {
			t.Errorf("the run is %s: %+v", r.Status, r.Error)
		}
		same(t, "time", time.Since(began), 3*time.Second)
		same(t, "tries", w.tries("notify {}"), 3)
		same(t, "booked", booked(w), bookings)
		same(t, "statuses", statuses(e, id), "withdraw:compensated deposit:compensated notify:failed")
	})
}

// TestTransferKilledBetween: a kill between the two compensations, and neither is done twice.
func TestTransferKilledBetween(t *testing.T) {
	t.Parallel()
	f := load(t, "money-transfer/transfer.yaml")
	reached := make(chan bool, 1)
	w := banking(t, f, map[string]hand{"withdraw_compensation": dies(reached, says("0"))})
	orpinetest.Run(t, orpinetest.Config{Tools: w.tools}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "transfer"), transferred)
		kill(e, reached)
		if r := e.Wait(id); r.Status != durable.Failed || r.Error.Message != transferError || e.Lives() != 2 {
			t.Errorf("in life %d the run is %s: %+v", e.Lives(), r.Status, r.Error)
		}
		same(t, "booked", booked(w), bookings)
	})
}

// TestTransferBothCauses: where a compensation fails too, the error says both, and the other is done.
func TestTransferBothCauses(t *testing.T) {
	t.Parallel()
	f := load(t, "money-transfer/transfer.yaml")
	w := banking(t, f, map[string]hand{"deposit_compensation": func(context.Context, int, map[string]any) (any, error) {
		return nil, durable.Errorf(durable.CodeInternal, "bob has spent it")
	}})
	orpinetest.Run(t, orpinetest.Config{Tools: w.tools}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "transfer"), transferred)
		r := e.Wait(id)
		want := "step notify: the other bank does not answer; compensate deposit: bob has spent it; compensated withdraw"
		if r.Status != durable.Failed || r.Error.Code != durable.CodeUnavailable || r.Error.Message != want {
			t.Errorf("the run is %s: %+v", r.Status, r.Error)
		}
		same(t, "given back", len(w.did("withdraw_compensation")), 1)
		same(t, "statuses", statuses(e, id), "withdraw:compensated deposit:succeeded notify:failed")
	})
}
