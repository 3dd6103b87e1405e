// Package clock is a tool that tells an agent the time. A model does not know what
// day it is; a run that waited a week knows even less.
//
// On the line request -> run -> step -> journal -> event -> client it stands inside a
// step. It may not be asked by program code, whose time comes from the journal.
package clock

import (
	"context"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

type input struct {
	Zone string `json:"zone,omitempty" jsonschema:"IANA time zone such as Europe/Berlin; UTC when absent"`
}

type output struct {
	Time    string `json:"time"` // RFC 3339
	Weekday string `json:"weekday"`
	Zone    string `json:"zone"`
}

// New returns the tool clock, effect read.
func New() tool.Tool {
	return tool.Func("clock", "The current date, time and weekday in a time zone.", func(_ context.Context, in input) (output, error) {
		zone, err := time.LoadLocation(in.Zone)
		if err != nil {
			return output{}, durable.Errorf(durable.CodeInvalid, "time zone %q is not known; use a name such as Europe/Berlin", in.Zone)
		}
		now := time.Now().In(zone)
		return output{Time: now.Format(time.RFC3339), Weekday: now.Weekday().String(), Zone: zone.String()}, nil
	}, tool.Read)
}
