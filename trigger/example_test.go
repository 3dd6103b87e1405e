package trigger_test

import (
	"fmt"
	"time"

	"github.com/orpine-run/orpine/trigger"
)

// A schedule by the clock of Berlin, over the night in which half past two does not exist.
func ExampleClock_Next() {
	clock, err := trigger.NewClock(trigger.Cron{Expr: "30 2 * * *", TZ: "Europe/Berlin"})
	if err != nil {
		fmt.Println(err)
		return
	}
	at := time.Date(2026, 3, 27, 12, 0, 0, 0, time.UTC)
	for range 3 {
		at, _ = clock.Next(at)
		fmt.Println(at)
	}
	// Output:
	// 2026-03-28 01:30:00 +0000 UTC
	// 2026-03-29 01:00:00 +0000 UTC
	// 2026-03-30 00:30:00 +0000 UTC
}
