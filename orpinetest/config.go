package orpinetest

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/script"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/workflow"
)

// Stub stands for a step function; see [StubOf].
type Stub func(ctx context.Context, input json.RawMessage) (json.RawMessage, error)

// StubOf makes a stub of a function with types, those of the step function it stands for.
func StubOf[I, O any](fn func(ctx context.Context, in I) (O, error)) Stub {
	return durable.NewFunc("stub", durable.StepOptions{}, fn).Call
}

// Config says what is tested. The programs of agents and workflows are always there.
type Config struct {
	Programs []durable.Program
	Stubs    map[string]Stub // by the name of the step function; the others are called themselves
	Tools    []tool.Tool     // what agents may be given

	// Script is what models named script/… answer: a file, or where it has more than one line
	// the YAML itself. "" = there are none.
	Script    string
	Providers map[string]model.Provider // further models by the name before the slash

	Limits map[string]orpine.Limit
	Queues map[string]orpine.Queue

	// Update lets Golden write what it otherwise compares with; mostly the -update flag of a test.
	Update bool
	// AnyOrder is for programs in which the order of steps depends on which of several is
	// ready first: CrashAfterEveryStep then wants the same steps, in any order.
	AnyOrder bool
}

// programs makes what the engine drives: the programs with stubs, each call of a step counted.
func (cfg *Config) programs(t *testing.T, c *calls, k *kept) []durable.Program {
	t.Helper()
	providers := map[string]model.Provider{}
	maps.Copy(providers, cfg.Providers)
	if cfg.Script != "" {
		player := cfg.player(t)
		providers["script"] = func(name string) (model.Model, error) { return player.Model(name), nil }
	}
	all, err := orpine.Programs(orpine.Config{Programs: cfg.Programs, Providers: providers, Tools: cfg.Tools})
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]Stub{}
	maps.Copy(left, cfg.Stubs)
	var known []string
	wrapped := make([]durable.Program, len(all))
	for i, p := range all {
		if flows, ok := p.(*workflow.Walks); ok {
			p = k.keeping(flows)
		}
		w := &program{Program: p}
		for _, f := range p.Steps() {
			known = append(known, f.Name)
			if stub := left[f.Name]; stub != nil {
				f = durable.StepFunc{Name: f.Name, Options: f.Options, Call: stub, Reconcile: f.Reconcile}
				delete(left, f.Name)
			}
			w.steps = append(w.steps, c.count(f))
		}
		wrapped[i] = w
	}
	for name := range left {
		t.Fatalf("there is a stub for the step function %q, and no program has one; there are %s", name, strings.Join(known, ", "))
	}
	return wrapped
}

func (cfg *Config) player(t *testing.T) *script.Player {
	t.Helper()
	parse := script.Load
	if strings.Contains(cfg.Script, "\n") {
		parse = func(yaml string) (*script.Script, error) { return script.Parse("script", []byte(yaml)) }
	}
	s, err := parse(cfg.Script)
	if err != nil {
		t.Fatal(err)
	}
	return s.Player()
}

// program is a program with other step functions.
type program struct {
	durable.Program
	steps []durable.StepFunc
}

// Steps implements durable.Program.
func (p *program) Steps() []durable.StepFunc { return p.steps }
