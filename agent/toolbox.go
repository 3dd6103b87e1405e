package agent

import (
	"slices"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// toolbox makes the registry of the tools a definition names: those every agent
// may have and those the definition declares. It is used by replayed code, so it
// does no I/O; the same definition always gives the same registry.
type toolbox struct {
	tools  []tool.Tool
	makers map[string]tool.Maker

	mu   sync.Mutex
	made map[string]*tool.Registry // by the hash of the definition
}

func (b *toolbox) of(d Definition, hash string) (*tool.Registry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r, ok := b.made[hash]; ok {
		return r, nil
	}
	all := slices.Clone(b.tools)
	for _, declared := range d.Declared {
		maker, ok := b.makers[declared.Kind]
		if !ok {
			return nil, durable.Errorf(durable.CodeInvalid, "tool %s of agent %s: this build makes no tools of kind %q", declared.Name, d.Name, declared.Kind)
		}
		t, err := maker(declared)
		if err != nil {
			return nil, &durable.Error{Code: durable.CodeOf(err), Op: "tool " + declared.Name, Err: err}
		}
		all = append(all, t)
	}
	r, err := tool.NewRegistry(all...)
	if err != nil {
		return nil, err
	}
	if r, err = r.Only(d.Tools); err != nil {
		return nil, &durable.Error{Code: durable.CodeInvalid, Op: "agent " + d.Name, Err: err}
	}
	b.made[hash] = r
	return r, nil
}
