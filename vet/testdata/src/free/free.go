// Package free does what only steps may do, in steps and beside programs.
package free

import (
	"context"
	"math/rand/v2"
	"os"
	"time"

	"github.com/orpine-run/orpine/durable"
)

var started = time.Now()

func programs() durable.Program {
	began := time.Now()
	step := durable.NewFunc("now", func(ctx context.Context, _ int) (time.Time, error) {
		time.Sleep(time.Second)
		go fetch(ctx)
		return time.Now(), nil
	})
	return durable.NewProgram("p", func(ctx durable.Context, in int) (time.Time, error) {
		inner := durable.NewFunc("inner", func(context.Context, int) (int, error) { return rand.IntN(3), nil })
		other := durable.NewFunc("other", fetched)
		if _, err := durable.Do(ctx, inner, in); err != nil {
			return began, err
		}
		if _, err := durable.Do(ctx, other, in); err != nil {
			return started, err
		}
		return durable.Do(ctx, step, in)
	})
}

func fetch(ctx context.Context) { os.ReadFile("x") }

func fetched(ctx context.Context, n int) (int, error) { return n, os.Remove("x") }

func notAProgram() { go func() { time.Sleep(1) }() }
