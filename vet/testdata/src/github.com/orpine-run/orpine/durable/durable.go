// Package durable is as much of the real one as the tests need.
package durable

import (
	"context"
	"time"
)

type Future interface {
	Get(ctx Context, out any) error
}

type Context interface {
	Step(name string) Future
	Timer(d time.Duration) Future
	Go(name string, fn func(Context) error) Future
}

type Func[I, O any] struct{ Name string }

func NewFunc[I, O any](name string, fn func(ctx context.Context, in I) (O, error)) Func[I, O] {
	return Func[I, O]{name}
}

type Program struct{}

func NewProgram[I, O any](name string, fn func(ctx Context, in I) (O, error)) Program {
	return Program{}
}

func Do[I, O any](ctx Context, fn Func[I, O], in I) (O, error) {
	_ = time.Now() // want `time.Now tells another time on replay`
	var out O
	return out, ctx.Step(fn.Name).Get(ctx, &out)
}

func Now(ctx Context) time.Time { return time.Time{} }
