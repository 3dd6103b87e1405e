package reach

import (
	"slices"
	"time"

	"github.com/orpine-run/orpine/durable"
)

type loop struct{ ctx durable.Context }

func program(ctx durable.Context, n int) (int, error) {
	l := &loop{ctx}
	list := []int{n}
	slices.SortFunc(list, byClock)
	local := func() int { return time.Now().Day() } // want `time.Now tells`
	return l.run(n) + local() + generic(n), nil
}

func (l *loop) run(n int) int {
	if n == 0 {
		return deep()
	}
	return l.run(n - 1)
}

func deep() int { return time.Now().Day() } // want `time.Now tells another time on replay: use durable.Now and durable.Sleep \(deep is called by a program\)`

func byClock(a, b int) int { return time.Now().Day() } // want `byClock is called by a program`

func generic[T any](v T) int { return time.Now().Day() } // want `generic is called by a program`

func never() int { return time.Now().Day() }

// variadic is a program with more parameters.
func variadic(name string, ctx durable.Context) { time.Sleep(1) } // want `time.Sleep tells`

// its is a method that is a program.
func (l *loop) its(ctx durable.Context) { time.Sleep(1) } // want `time.Sleep tells`
