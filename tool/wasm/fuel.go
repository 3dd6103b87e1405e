package wasm

import (
	"context"
	"sync/atomic"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// fuel is how many functions a module may still call.
type fuel struct {
	left  atomic.Int64
	empty func()
}

type fuelKey struct{}

func withFuel(ctx context.Context, calls int64, empty func()) context.Context {
	f := &fuel{empty: empty}
	f.left.Store(calls)
	return context.WithValue(ctx, fuelKey{}, f)
}

// withCounting makes a module that is compiled under ctx count its calls.
func withCounting(ctx context.Context) context.Context {
	count := experimental.FunctionListenerFunc(func(ctx context.Context, _ api.Module, _ api.FunctionDefinition, _ []uint64, _ experimental.StackIterator) {
		if f, ok := ctx.Value(fuelKey{}).(*fuel); ok && f.left.Add(-1) == 0 {
			f.empty()
		}
	})
	return experimental.WithFunctionListenerFactory(ctx, experimental.FunctionListenerFactoryFunc(func(api.FunctionDefinition) experimental.FunctionListener { return count }))
}
