// Package memory is the tools by which agents keep facts beyond a conversation: save, find and
// forget. A fact is of one tenant and one space, such as the name of an agent.
//
// It knows no store: where facts are kept is handed to it. It finds by the words of a fact, not by
// its meaning. On the line request -> run -> step -> journal -> event -> client it
// stands inside a step, behind tool.Registry.Dispatch.
package memory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Kind is the kind of declaration that [Maker] understands.
const Kind = "memory"

// Bounds of what is kept.
const (
	maxFacts = 10_000 // of one space
	maxText  = 4000   // bytes of one fact
	maxFound = 20
)

// Shelf is where facts are kept; a runtime is one.
type Shelf interface {
	// Facts returns those of a tenant and a space.
	Facts(ctx context.Context, tenant, space string) ([]Fact, error)
	// SaveFact keeps one in place of the one with its key.
	SaveFact(ctx context.Context, tenant, space string, f Fact) error
	// ForgetFact forgets the one with a key, if there is one.
	ForgetFact(ctx context.Context, tenant, space, key string) error
}

// Fact is what is kept.
type Fact struct {
	Key  string        `json:"key"`
	Text string        `json:"text"`
	Run  durable.RunID `json:"run,omitempty"` // in which it was kept
	Time time.Time     `json:"time"`
	// Untrusted says that the agent that kept it had read words of strangers: it may be theirs.
	Untrusted bool `json:"untrusted,omitempty"`
}

// config is the Config of a declaration.
type config struct {
	Space string `json:"space"`
	Do    string `json:"do"`
}

// Declare makes the declarations of the tools of a space: NAME/save, NAME/find and NAME/forget.
func Declare(name, space string) []tool.Declaration {
	var list []tool.Declaration
	for _, do := range []string{"save", "find", "forget"} {
		data, err := json.Marshal(config{space, do})
		if err != nil {
			panic(err) // two texts marshal
		}
		list = append(list, tool.Declaration{Name: name + "/" + do, Kind: Kind, Config: data})
	}
	return list
}

// Maker makes the tools of spaces. The shelf is asked for at each call, because tools are made
// before the runtime that keeps the facts is open; nil = it is not.
func Maker(shelf func() Shelf) tool.Maker {
	return func(d tool.Declaration) (tool.Tool, error) {
		var c config
		if err := json.Unmarshal(d.Config, &c); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "tool %s: %w", d.Name, err)
		}
		s := &space{name: c.Space, shelf: shelf}
		var t tool.Tool
		switch c.Do {
		case "save":
			t = tool.Func(d.Name, "Keeps a fact for later conversations, under a key. The same key again replaces it.", s.save, tool.Idempotent)
		case "find":
			t = tool.Func(d.Name, "Finds the facts that were kept, by their words. Without a query: the last ones.", s.find, tool.Read)
		case "forget":
			t = tool.Func(d.Name, "Forgets the fact that was kept under a key.", s.forget, tool.Idempotent)
		default:
			return nil, durable.Errorf(durable.CodeInvalid, "tool %s: there is no %q: say save, find or forget", d.Name, c.Do)
		}
		private := tool.Flow{Private: true}
		return tool.Ordered(t, tool.Orders{Flow: &private})
	}
}

// space is some of the facts.
type space struct {
	name  string
	shelf func() Shelf
}

func (s *space) open() (Shelf, error) {
	if r := s.shelf(); r != nil {
		return r, nil
	}
	return nil, durable.Errorf(durable.CodeUnavailable, "the store is not open yet")
}

// tenantOf is whose run a call is made in.
func tenantOf(ctx context.Context) string {
	if a := durable.AttemptOf(ctx); a != nil {
		return a.Tenant
	}
	return ""
}

// keyOf refuses what is no key.
func keyOf(key string) (string, error) {
	const longest = 200
	if key = strings.TrimSpace(key); key == "" || len(key) > longest {
		return "", fmt.Errorf("a key has 1 to %d bytes", longest)
	}
	return key, nil
}

type saveArgs struct {
	Key  string `json:"key" jsonschema:"a short name of the fact, such as: customer 17 prefers mail"`
	Text string `json:"text" jsonschema:"the fact, in a sentence or two"`
}

func (s *space) save(ctx context.Context, in saveArgs) (string, error) {
	key, err := keyOf(in.Key)
	if err != nil {
		return "", err
	}
	if in.Text == "" || len(in.Text) > maxText {
		return "", fmt.Errorf("a fact has 1 to %d bytes: say it shorter, or keep several", maxText)
	}
	shelf, err := s.open()
	if err != nil {
		return "", err
	}
	all, err := shelf.Facts(ctx, tenantOf(ctx), s.name)
	if err != nil {
		return "", err
	}
	if len(all) >= maxFacts && !slices.ContainsFunc(all, func(f Fact) bool { return f.Key == key }) {
		return "", fmt.Errorf("%d facts are kept, and no more can be: forget some", len(all))
	}
	fact := Fact{Key: key, Text: in.Text, Time: time.Now().UTC(), Untrusted: tool.UntrustedOf(ctx)}
	if a := durable.AttemptOf(ctx); a != nil {
		fact.Run = a.Run
	}
	return "kept " + key, shelf.SaveFact(ctx, tenantOf(ctx), s.name, fact)
}

type findArgs struct {
	Query string `json:"query,omitempty" jsonschema:"words of what is looked for"`
}

func (s *space) find(ctx context.Context, in findArgs) (tool.Result, error) {
	var out tool.Result
	shelf, err := s.open()
	if err != nil {
		return out, err
	}
	all, err := shelf.Facts(ctx, tenantOf(ctx), s.name)
	if err != nil {
		return out, err
	}
	words := tool.Words(in.Query)
	score := func(f Fact) int {
		own := tool.Words(f.Key + " " + f.Text)
		n := 0
		for _, w := range words {
			if slices.ContainsFunc(own, func(o string) bool { return strings.HasPrefix(o, w) }) {
				n++
			}
		}
		return n
	}
	if len(words) > 0 {
		all = slices.DeleteFunc(all, func(f Fact) bool { return score(f) == 0 })
	}
	slices.SortStableFunc(all, func(a, b Fact) int { return cmp.Or(score(b)-score(a), b.Time.Compare(a.Time)) })
	if len(all) == 0 {
		out.Content = "Nothing of that is known."
		return out, nil
	}
	var b strings.Builder
	for _, f := range all[:min(len(all), maxFound)] {
		fmt.Fprintf(&b, "%s: %s (%s)\n", f.Key, f.Text, f.Time.Format(time.DateOnly))
		out.Untrusted = out.Untrusted || f.Untrusted
	}
	out.Content = b.String()
	return out, nil
}

type forgetArgs struct {
	Key string `json:"key" jsonschema:"the key under which it was kept"`
}

func (s *space) forget(ctx context.Context, in forgetArgs) (string, error) {
	key, err := keyOf(in.Key)
	if err != nil {
		return "", err
	}
	shelf, err := s.open()
	if err != nil {
		return "", err
	}
	return "nothing is kept under " + key, shelf.ForgetFact(ctx, tenantOf(ctx), s.name, key)
}
