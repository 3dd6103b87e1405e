package agent

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// toolbox makes the tools of a definition: those every agent may have, those the definition
// declares and those its sources were found to have. It is used by replayed code, so it does no
// I/O; the same definition and the same finds always give the same tools.
type toolbox struct {
	tools   []tool.Tool
	makers  map[string]tool.Maker
	sources map[string]tool.Source

	mu   sync.Mutex
	made map[string]*kit // by the hashes of the definition and of the finds
}

// kit is what an agent has to work with.
type kit struct {
	*tool.Registry
	judge  *tool.Judge
	agents map[string]Definition // those it may put something to, by the name of the tool
	found  map[string]bool       // the tools that came from sources
	open   []string              // patterns of the tools that sources may have
	hides  bool                  // the model is told of those only that it looks up
}

// kitsMax is how many kits are kept.
const kitsMax = 1024

// of makes the kit of a definition whose sources were found to have these tools.
//
//orpine:allow runs share the kits; which one this is depends on the definition and the finds alone
func (b *toolbox) of(d Definition, hash string, finds *Finds) (*kit, error) {
	key := hash
	if finds != nil {
		key += " " + finds.Ref.Hash
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if k, ok := b.made[key]; ok {
		return k, nil
	}
	k, err := b.gather(d, finds, true)
	if err != nil {
		return nil, err
	}
	if len(b.made) >= kitsMax {
		clear(b.made) // whoever needs one makes it again
	}
	b.made[key] = k
	return k, nil
}

// has returns a kit that was made before.
func (b *toolbox) has(hash string, finds durable.Ref) (*kit, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k, ok := b.made[hash+" "+finds.Hash]
	return k, ok
}

// gather makes a kit. Strictly, a name or pattern that finds no tool is an error; else it may
// mean one of a source that was not asked.
func (b *toolbox) gather(d Definition, finds *Finds, strict bool) (*kit, error) {
	k := &kit{agents: map[string]Definition{}, found: map[string]bool{}}
	all := slices.Clone(b.tools)
	for _, declared := range d.Declared {
		if b.sources[declared.Kind] != nil {
			k.open = append(k.open, declared.Name+"/*")
			continue // it stands for those that were found
		}
		t, err := b.tool(declared)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	all, wanted := append(all, resultReader()), append(slices.Clone(d.Tools), readResult)
	for _, sub := range d.Agents {
		t := asTool(sub)
		k.agents[t.Spec().Name] = sub
		all, wanted = append(all, t), append(wanted, t.Spec().Name)
	}
	if finds != nil {
		for _, declared := range finds.Tools {
			t, err := b.tool(declared)
			if err != nil {
				return nil, err
			}
			k.found[declared.Name] = true
			all = append(all, t)
		}
	}
	r, err := tool.NewRegistry(all...)
	if err != nil {
		return nil, err
	}
	if !strict {
		wanted = slices.DeleteFunc(wanted, func(p string) bool { return r.Lacks(p) })
	}
	if k.Registry, err = r.Only(wanted); err != nil {
		return nil, &durable.Error{Code: durable.CodeInvalid, Op: "agent " + d.Name, Err: err}
	}
	if err := k.hide(d.ToolTokens); err != nil {
		return nil, err
	}
	k.judge, err = tool.NewJudge(d.policies()...)
	return k, err
}

// wires are the wire names of all tools that an agent may have but for those of its sources.
func (b *toolbox) wires(d Definition) map[string]bool {
	taken := map[string]bool{readResult: true, findTools: true}
	for _, t := range b.tools {
		taken[tool.WireName(t.Spec().Name)] = true
	}
	for _, declared := range d.Declared {
		taken[tool.WireName(declared.Name)] = true
	}
	for _, sub := range d.Agents {
		taken[tool.WireName(agentsPrefix+sub.Name)] = true
	}
	return taken
}

// tool makes a tool of a declaration.
func (b *toolbox) tool(d tool.Declaration) (tool.Tool, error) {
	maker, ok := b.makers[d.Kind]
	if !ok {
		return nil, durable.Errorf(durable.CodeInvalid, "tool %s: this build makes no tools of kind %q", d.Name, d.Kind)
	}
	t, err := maker(d)
	if err == nil && d.Orders != nil {
		t, err = tool.Ordered(t, *d.Orders)
	}
	if err != nil {
		return nil, &durable.Error{Code: durable.CodeOf(err), Op: "tool " + d.Name, Err: err}
	}
	return t, nil
}

// asks reports whether a definition has sources, which must be asked for their tools.
func (b *toolbox) asks(d Definition) bool {
	return slices.ContainsFunc(d.Declared, func(t tool.Declaration) bool { return b.sources[t.Kind] != nil })
}

// of returns what was found of a tool; false when it is not one of these.
func (f *Finds) of(name string) (tool.Declaration, bool) {
	if f == nil {
		return tool.Declaration{}, false
	}
	i := slices.IndexFunc(f.Tools, func(d tool.Declaration) bool { return d.Name == name })
	if i < 0 {
		return tool.Declaration{}, false
	}
	return f.Tools[i], true
}

// readFinds takes up finds that were kept.
func readFinds(data []byte) (*Finds, error) {
	f := &Finds{Ref: durable.RefOf(data)}
	if err := json.Unmarshal(data, &f.Tools); err != nil {
		return nil, durable.Errorf(durable.CodeInternal, "the tools that were found: %w", err)
	}
	return f, nil
}
