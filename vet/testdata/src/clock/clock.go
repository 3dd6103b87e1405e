package clock

import (
	"time"
	at "time"

	"github.com/orpine-run/orpine/durable"
)

func program(ctx durable.Context, _ int) (time.Duration, error) {
	began := time.Now()                 // want `time.Now tells another time on replay: use durable.Now and durable.Sleep`
	time.Sleep(time.Second)             // want `time.Sleep tells another time`
	<-time.After(time.Second)           // want `time.After tells` `a receive from a channel`
	_ = time.Until(began)               // want `time.Until tells`
	time.AfterFunc(1, func() {})        // want `time.AfterFunc tells`
	tick := time.NewTicker(1)           // want `time.NewTicker tells`
	tick.Stop()                         // want `time.Ticker.Stop tells`
	timer := time.NewTimer(time.Second) // want `time.NewTimer tells`
	timer.Reset(time.Second)            // want `time.Timer.Reset tells`
	now := at.Now                       // want `time.Now tells`
	_ = now
	_ = time.Tick(1) // want `time.Tick tells`
	_, _ = time.Parse(time.RFC3339, "")
	_ = durable.Now(ctx).Add(time.Hour).Sub(began)
	return time.Since(began), ctx.Timer(1).Get(ctx, nil) // want `time.Since tells`
}
