package keeps

import "github.com/orpine-run/orpine/durable"

var (
	kept  durable.Context
	house struct{ ctx durable.Context }
	many  = map[string]durable.Context{}
)

type loop struct{ ctx durable.Context }

func program(ctx durable.Context, _ int) (int, error) {
	kept = ctx      // want `a Context must not be kept past its end, and package variable kept keeps it`
	house.ctx = ctx // want `package variable house keeps it`
	many["a"] = ctx // want `package variable many keeps it`
	l := loop{ctx}
	l.ctx = ctx
	return 0, nil
}
