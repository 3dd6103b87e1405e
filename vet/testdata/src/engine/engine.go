// Package engine implements Context, so what takes one is no program.
package engine

import (
	"time"

	"github.com/orpine-run/orpine/durable"
)

type scope struct{ c chan int }

func (s *scope) Step(string) durable.Future                            { return nil }
func (s *scope) Timer(time.Duration) durable.Future                    { return nil }
func (s *scope) Go(string, func(durable.Context) error) durable.Future { return nil }

type future struct{}

func (future) Get(ctx durable.Context, _ any) error {
	<-time.After(time.Second)
	return nil
}
