package agent

import (
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// FlowOff is the Flow of a definition whose calls are not looked at for where what the agent has
// read could go.
const FlowOff = "off"

// Seen is what kinds of things an agent has read: it counts from then on, in the whole
// conversation.
type Seen struct {
	Untrusted bool `json:"untrusted,omitempty"` // words of strangers, who may have told it what to do
	Private   bool `json:"private,omitempty"`   // what is not for everybody
}

func (s *Seen) add(o Seen) {
	s.Untrusted = s.Untrusted || o.Untrusted
	s.Private = s.Private || o.Private
}

func (s *Seen) read(f tool.Flow) { s.add(Seen{f.Untrusted, f.Private}) }

// leak says why a person must decide on a call that the policies allow, as far as what the agent
// has read is concerned; "" = nobody need. Who has read the words of a stranger may be doing what
// that one wants: then nothing is done that cannot be undone, and once it has read what is private
// as well, nothing is sent out.
func (l *loop) leak(spec tool.Spec) string {
	switch {
	case l.definition.Flow == FlowOff || !l.Seen.Untrusted:
		return ""
	case spec.Options.Effect == durable.Irreversible:
		return "the agent has read what strangers wrote, and the call cannot be undone"
	case spec.Flow.Egress && l.Seen.Private:
		return "the agent has read what strangers wrote and what is private, and the call could carry it out"
	}
	return ""
}
