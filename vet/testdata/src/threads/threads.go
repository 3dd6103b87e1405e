package threads

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/orpine-run/orpine/durable"
)

var mu sync.Mutex

func program(ctx durable.Context, in chan int) (int, error) {
	go func() {}()      // want `a goroutine runs in no order that a replay repeats: use ctx.Go, durable.Go or durable.Each`
	c := make(chan int) // want `a channel is not recorded`
	c <- 1              // want `a send on a channel is not recorded`
	v := <-in           // want `a receive from a channel is not recorded`
	for range in {      // want `a receive from a channel`
	}
	select { // want `select is not recorded: use ctx.Select`
	case <-in:
	default:
	}
	close(c)          // want `a channel is not recorded`
	mu.Lock()         // want `sync.Mutex.Lock waits for something that is not recorded`
	defer mu.Unlock() // want `sync.Mutex.Unlock`
	var n atomic.Int64
	n.Add(1)  // want `atomic.Int64.Add`
	io.Pipe() // want `io.Pipe waits`
	list := make([]int, 3)
	done := ctx.Go("beside", func(ctx durable.Context) error {
		go println(1) // want `a goroutine runs`
		return nil
	})
	return v + len(list), done.Get(ctx, nil)
}
