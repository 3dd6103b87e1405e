package tool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/durable"
)

// defaultTimeout bounds a call of a tool that does not say otherwise.
const defaultTimeout = 2 * time.Minute

// Registry holds the tools of a runtime by name. It does not change once made.
type Registry struct {
	tools map[string]entry
	wires map[string]string // name by wire name
}

type entry struct {
	tool   Tool
	spec   Spec
	schema *jsonschema.Resolved
	output *jsonschema.Resolved // nil = it may be anything
}

// NewRegistry makes a registry. Error: invalid for a name that is taken or that
// providers refuse, and for a schema that is not one of an object.
func NewRegistry(tools ...Tool) (*Registry, error) {
	r := newRegistry()
	for _, t := range tools {
		if err := r.add(t); err != nil {
			return nil, &durable.Error{Code: durable.CodeInvalid, Op: "register tool " + t.Spec().Name, Err: err}
		}
	}
	return r, nil
}

func newRegistry() *Registry { return &Registry{tools: map[string]entry{}, wires: map[string]string{}} }

func (r *Registry) add(t Tool) error {
	spec := t.Spec()
	if f, ok := t.(*goFunc); ok && f.err != nil {
		return fmt.Errorf("its argument type has no JSON Schema: %w", f.err)
	}
	if !nameRule().MatchString(spec.Name) {
		return errors.New("a name begins with a letter and has up to 64 letters, digits, _ and -, with another one behind a slash where it is one of several")
	}
	wire := WireName(spec.Name)
	if other, taken := r.wires[wire]; taken && other != spec.Name {
		return fmt.Errorf("models would know it as %s, like %s", wire, other)
	} else if taken {
		return errors.New("the name is taken")
	}
	if len(spec.Schema) == 0 {
		spec.Schema = json.RawMessage(`{"type":"object"}`)
	}
	var schema jsonschema.Schema
	if err := json.Unmarshal(spec.Schema, &schema); err != nil {
		return fmt.Errorf("its schema: %w", err)
	}
	if schema.Type != "object" {
		return errors.New("its schema must be that of an object")
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return fmt.Errorf("its schema: %w", err)
	}
	if spec.Subject.Arg == "" {
		spec.Subject.Arg = onlyText(&schema)
	}
	spec.Options = spec.Options.Or(durable.StepOptions{Effect: durable.Irreversible, Timeout: defaultTimeout})
	e := entry{tool: t, spec: spec, schema: resolved}
	if len(spec.Output) > 0 {
		if e.output, err = resolve(spec.Output); err != nil {
			return fmt.Errorf("its output schema: %w", err)
		}
	}
	r.tools[spec.Name], r.wires[wire] = e, spec.Name
	return nil
}

func resolve(text json.RawMessage) (*jsonschema.Resolved, error) {
	var schema jsonschema.Schema
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, err
	}
	return schema.Resolve(nil)
}

// onlyText is the only argument that a call must have, if it is a text.
func onlyText(schema *jsonschema.Schema) string {
	if len(schema.Required) != 1 {
		return ""
	}
	name := schema.Required[0]
	if p := schema.Properties[name]; p == nil || p.Type != "string" {
		return ""
	}
	return name
}

// Names lists all tools, sorted.
func (r *Registry) Names() []string { return slices.Sorted(maps.Keys(r.tools)) }

// Spec returns what a tool is; false when there is none by this name.
func (r *Registry) Spec(name string) (Spec, bool) {
	e, ok := r.tools[name]
	return e.spec, ok
}

// Specs lists what all tools are, sorted by name.
func (r *Registry) Specs() []Spec {
	specs := make([]Spec, 0, len(r.tools))
	for _, name := range r.Names() {
		specs = append(specs, r.tools[name].spec)
	}
	return specs
}

// NameOf returns the name of the tool that a model knows by its wire name; what it does not know
// is returned as it is.
func (r *Registry) NameOf(wire string) string {
	if name, ok := r.wires[wire]; ok {
		return name
	}
	return wire
}

// With returns a registry with more tools. Error: as for NewRegistry.
func (r *Registry) With(tools ...Tool) (*Registry, error) {
	more := &Registry{tools: maps.Clone(r.tools), wires: maps.Clone(r.wires)}
	for _, t := range tools {
		if err := more.add(t); err != nil {
			return nil, &durable.Error{Code: durable.CodeInvalid, Op: "register tool " + t.Spec().Name, Err: err}
		}
	}
	return more, nil
}

// Lacks reports whether a name or pattern finds no tool.
func (r *Registry) Lacks(pattern string) bool {
	for name := range r.tools {
		if Matches(pattern, name) {
			return false
		}
	}
	return true
}

// Only returns a registry of the tools that one of the patterns names; see Matches. Error: not_found for a pattern
// that matches nothing.
func (r *Registry) Only(patterns []string) (*Registry, error) {
	only := newRegistry()
	for _, p := range patterns {
		matched := false
		for name, e := range r.tools {
			if Matches(p, name) {
				only.tools[name], only.wires[WireName(name)], matched = e, name, true
			}
		}
		if !matched {
			return nil, durable.Errorf(durable.CodeNotFound, "no tool matches %q; there are: %s", p, orNone(r.Names()))
		}
	}
	return only, nil
}
