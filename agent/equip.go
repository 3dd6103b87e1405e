package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

type findInput struct {
	Definition durable.Ref `json:"definition"`
}

// Finds are the tools that the sources of a definition had when they were asked.
type Finds struct {
	Tools []tool.Declaration `json:"tools"` // by name
	Ref   durable.Ref        `json:"ref"`   // of Tools as JSON, for the steps
	// Left names the tools that cannot be used, and why.
	Left []string `json:"left,omitempty"`
}

// find asks the sources of a definition for their tools.
func (s *steps) find(ctx context.Context, in findInput) (Finds, error) {
	var out Finds
	attempt := durable.AttemptOf(ctx)
	d, err := s.definition(ctx, attempt, in.Definition)
	if err != nil {
		return out, err
	}
	taken := s.box.wires(d)
	for _, declared := range d.Declared {
		source := s.box.sources[declared.Kind]
		if source == nil {
			continue
		}
		there, err := source(ctx, declared)
		if err != nil {
			_, err = s.clean(tool.Result{}, fmt.Errorf("the tools of %s: %w", declared.Name, err))
			return out, err
		}
		for _, one := range there {
			if err := s.usable(declared.Name, one, taken); err != nil {
				_, err = s.clean(tool.Result{}, err)
				out.Left = append(out.Left, fmt.Sprintf("%s: %v", one.Name, err))
				continue
			}
			taken[tool.WireName(one.Name)] = true
			out.Tools = append(out.Tools, one)
		}
	}
	slices.SortFunc(out.Tools, func(a, b tool.Declaration) int { return cmp.Compare(a.Name, b.Name) })
	data, err := json.Marshal(out.Tools)
	if err != nil {
		return out, err
	}
	out.Ref, err = attempt.Blobs.Put(ctx, data)
	return out, err
}

// usable refuses a tool that no agent could be given, so that one of many does not keep an agent
// from working. Taken are the wire names of those that there are.
func (s *steps) usable(source string, d tool.Declaration, taken map[string]bool) error {
	if !strings.HasPrefix(d.Name, source+"/") {
		return durable.Errorf(durable.CodeInvalid, "its name does not begin with %s/", source)
	}
	if wire := tool.WireName(d.Name); taken[wire] {
		return durable.Errorf(durable.CodeInvalid, "models know another tool as %s", wire)
	}
	if s.redact != nil && s.redact(string(d.Config)) != string(d.Config) {
		return durable.Errorf(durable.CodeInvalid, "a secret stands in what its source says of it")
	}
	t, err := s.box.tool(d)
	if err == nil {
		_, err = tool.NewRegistry(t)
	}
	return err
}

// equip makes the tools of the segment. Sources are asked once for each, so that what they
// have may change while an agent works for days, but never within what is replayed.
func (l *loop) equip() error {
	if l.box.asks(l.definition) {
		out, err := durable.StartAs(l.ctx, "tools", l.find, findInput{Definition: l.ref}).Await(l.ctx)
		if err != nil {
			return err
		}
		l.finds = &out
	}
	var err error
	if l.tools, err = l.box.of(l.definition, l.ref.Hash, l.finds); err != nil {
		return durable.Block(err)
	}
	//orpine:ordered one of them is enough
	for name := range l.tools.found { // the model is told of them in the words of their source
		if spec, ok := l.tools.Spec(name); ok && spec.Flow.Untrusted {
			l.Seen.Untrusted = true
		}
	}
	return nil
}

// ref names the finds for a step; nil when there are none.
func (f *Finds) ref() *durable.Ref {
	if f == nil {
		return nil
	}
	return &f.Ref
}

// kit makes the tools of an agent for a step.
func (s *steps) kit(ctx context.Context, attempt *durable.Attempt, d Definition, hash string, ref *durable.Ref) (*kit, error) {
	if ref == nil {
		return s.box.of(d, hash, nil)
	}
	if k, ok := s.box.has(hash, *ref); ok {
		return k, nil
	}
	data, err := attempt.Blobs.Get(ctx, *ref)
	if err != nil {
		return nil, fmt.Errorf("read the tools that were found: %w", err)
	}
	found, err := readFinds(data)
	if err != nil {
		return nil, err
	}
	return s.box.of(d, hash, found)
}
