// Package wrong is a program that looks at the clock.
package wrong

import (
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Program is not deterministic.
func Program(_ durable.Context, _ int) (time.Time, error) {
	return time.Now(), nil
}
