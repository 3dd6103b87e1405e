package tool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/durable"
)

// defaultTimeout bounds a call of a tool that does not say otherwise.
const defaultTimeout = 2 * time.Minute

// Registry holds the tools of a runtime by name. It does not change once made.
type Registry struct {
	tools map[string]entry
}

type entry struct {
	tool   Tool
	spec   Spec
	schema *jsonschema.Resolved
}

// nameRule is what every provider accepts as the name of a function.
var nameRule = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`) })

// NewRegistry makes a registry. Error: invalid for a name that is taken or that
// providers refuse, and for a schema that is not one of an object.
func NewRegistry(tools ...Tool) (*Registry, error) {
	r := &Registry{tools: map[string]entry{}}
	for _, t := range tools {
		if err := r.add(t); err != nil {
			return nil, &durable.Error{Code: durable.CodeInvalid, Op: "register tool " + t.Spec().Name, Err: err}
		}
	}
	return r, nil
}

func (r *Registry) add(t Tool) error {
	spec := t.Spec()
	if f, ok := t.(*goFunc); ok && f.err != nil {
		return fmt.Errorf("its argument type has no JSON Schema: %w", f.err)
	}
	if !nameRule().MatchString(spec.Name) {
		return errors.New("a name begins with a letter and has up to 64 letters, digits, _ and -")
	}
	if _, taken := r.tools[spec.Name]; taken {
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
	spec.Options = spec.Options.Or(durable.StepOptions{Effect: durable.Irreversible, Timeout: defaultTimeout})
	r.tools[spec.Name] = entry{tool: t, spec: spec, schema: resolved}
	return nil
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

// Only returns a registry of the tools that one of the patterns names. A pattern is
// a name or has * for any part of one (path.Match). Error: not_found for a pattern
// that matches nothing.
func (r *Registry) Only(patterns []string) (*Registry, error) {
	only := &Registry{tools: map[string]entry{}}
	for _, p := range patterns {
		matched := false
		for name, e := range r.tools {
			if Matches(p, name) {
				only.tools[name], matched = e, true
			}
		}
		if !matched {
			return nil, durable.Errorf(durable.CodeNotFound, "no tool matches %q; there are: %s", p, orNone(r.Names()))
		}
	}
	return only, nil
}

// Matches reports whether a pattern names a tool. A malformed pattern names none.
func Matches(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}
