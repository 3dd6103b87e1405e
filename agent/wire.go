package agent

import (
	"slices"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/tool"
)

// onWire is a conversation in which tools have the names that models know them by.
func onWire(messages []model.Message) []model.Message {
	wired := slices.Clone(messages)
	for i, m := range wired {
		if slices.ContainsFunc(m.Parts, func(p model.Part) bool { return tool.WireName(nameIn(p)) != nameIn(p) }) {
			wired[i].Parts = partsOnWire(m.Parts)
		}
	}
	return wired
}

// nameIn is the name of the tool that a part is about, if it is about one.
func nameIn(p model.Part) string {
	switch {
	case p.Call != nil:
		return p.Call.Name
	case p.Result != nil:
		return p.Result.Name
	}
	return ""
}

func partsOnWire(parts []model.Part) []model.Part {
	wired := slices.Clone(parts)
	for i := range wired {
		if c := wired[i].Call; c != nil {
			call := *c
			call.Name = tool.WireName(call.Name)
			wired[i].Call = &call
		}
		if r := wired[i].Result; r != nil {
			result := *r
			result.Name = tool.WireName(result.Name)
			wired[i].Result = &result
		}
	}
	return wired
}
