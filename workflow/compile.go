package workflow

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// Bounds of a definition.
const (
	maxNodes     = 20_000
	maxItems     = 10_000 // of a for_each
	maxRounds    = 10_000 // of a loop
	defaultBacks = 10     // of a switch
)

// idPattern is what a node may be called.
var idPattern = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`) })

// space is what the expressions of a workflow may use.
var space = sync.OnceValue(func() *expr.Space {
	return expr.NewSpace("input", "steps", "state", "run", "item", "index", "round", "output", "event")
})

// Problem is one fault of a definition, at a path such as steps.study.needs[0], or steps[2].if in an
// ordered body.
type Problem struct {
	Path    string
	Message string
	Hint    string // how to mend it
}

// graph is a compiled definition.
type graph struct {
	def    *Definition
	body   *body
	nodes  map[string]*node // all, also those in loops
	order  []*node          // all, in the order of the definition
	output *expr.Template   // nil = none is given
}

// body is a compiled Body.
type body struct {
	ordered bool
	nodes   []*node
	in      *node // the loop it stands in; nil = the workflow
}

// node is a compiled Node.
type node struct {
	*Node

	verb   string
	path   string
	body   *body
	index  int // in the body
	needs  []int
	feeds  []int // the nodes that need it
	called bool  // it runs only if a goto says so

	cond, each   *expr.Expression
	prompt, with *expr.Template
	save, set    []entry
	key          *expr.Template
	show         *expr.Template
	ask          *expr.Template
	until        *expr.Expression // of a loop
	out          *expr.Expression // of a loop
	eventIf      *expr.Expression
	moment       *expr.Template // of a wait
	cases        []*expr.Expression
	partition    *expr.Template
	metadata     *expr.Template
	checks       []*expr.Expression
	inner        *body
	undo         *node
}

// entry is a template of a value for a key of the state.
type entry struct {
	key   string
	value *expr.Template
}

// compiler reads a definition, and keeps what is wrong with it.
type compiler struct {
	graph    *graph
	problems []Problem
	texts    map[string]*expr.Expression // compiled before: many nodes say the same
}

// compile checks all of a definition but the shapes of values.
func compile(d *Definition) (*graph, []Problem) {
	c := &compiler{graph: &graph{def: d, nodes: map[string]*node{}}, texts: map[string]*expr.Expression{}}
	c.graph.body = c.body(&d.Body, nil, "steps")
	for key, k := range sorted(d.State) {
		if !k.Merge.known() {
			c.add("state."+key+".merge", fmt.Sprintf("there is no merge %q", k.Merge), "use one of "+strings.Join(merges(), ", "))
		}
	}
	if len(d.Output) > 0 {
		c.graph.output = c.template(d.Output, "output")
	}
	return c.graph, c.problems
}

// Compile checks a definition, without what [Check] finds out beyond that. Error: invalid, the first
// problem.
func Compile(d *Definition) error {
	_, problems := compile(d)
	return problemsError(d.Name, problems)
}

func problemsError(name string, problems []Problem) error {
	if len(problems) == 0 {
		return nil
	}
	p := problems[0]
	text := p.Path + ": " + p.Message
	if p.Hint != "" {
		text += "; " + p.Hint
	}
	if more := len(problems) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return durable.Errorf(durable.CodeInvalid, "workflow %s: %s", name, text)
}

func (c *compiler) add(path, message, hint string) {
	c.problems = append(c.problems, Problem{Path: path, Message: message, Hint: hint})
}

// body compiles some nodes.
func (c *compiler) body(b *Body, in *node, path string) *body {
	out := &body{ordered: b.Ordered, in: in}
	if len(b.Nodes) == 0 {
		c.add(path, "there are no steps", "add one")
	}
	for i := range b.Nodes {
		n := &node{Node: &b.Nodes[i], body: out, index: i}
		n.path = path + "." + n.ID
		if b.Ordered {
			n.path = fmt.Sprintf("%s[%d]", path, i)
		}
		switch known := c.graph.nodes[n.ID]; {
		case len(c.graph.nodes) >= maxNodes:
			c.add(path, fmt.Sprintf("there are more than %d steps", maxNodes), "put some into a workflow of their own")
			return out
		case !idPattern().MatchString(n.ID):
			c.add(n.path, fmt.Sprintf("%q cannot be the id of a step", n.ID), "use up to 64 letters, digits, _ and -, and start with a letter")
		case known != nil:
			c.add(n.path, fmt.Sprintf("there is another step %s (%s)", n.ID, known.path), "give it another id: ids are those of the whole workflow, also within loops")
		case n.ID == GotoEnd:
			c.add(n.path, "a step cannot be called end", "goto: end ends the steps")
		default:
			c.graph.nodes[n.ID] = n
		}
		c.graph.order = append(c.graph.order, n)
		out.nodes = append(out.nodes, n)
	}
	c.link(out)
	for _, n := range out.nodes {
		c.node(n)
	}
	return out
}

// link resolves what the nodes of a body need, and refuses circles.
func (c *compiler) link(b *body) {
	at := map[string]int{}
	for i, n := range b.nodes {
		at[n.ID] = i
	}
	for i, n := range b.nodes {
		if b.ordered && len(n.Needs) > 0 {
			c.add(n.path+".needs", "the steps of a list run in order and need nothing", "write steps as a map for a graph: steps: { "+n.ID+": { needs: … } }")
			continue
		}
		for k, name := range n.Needs {
			path := fmt.Sprintf("%s.needs[%d]", n.path, k)
			j, ok := at[name]
			switch {
			case name == n.ID:
				c.add(path, "a step cannot need itself", "")
			case !ok:
				c.add(path, fmt.Sprintf("unknown step %q", name), hint(name, names(b.nodes)))
			case slices.Contains(n.needs, j):
				c.add(path, fmt.Sprintf("%s is named twice", name), "")
			default:
				n.needs = append(n.needs, j)
				b.nodes[j].feeds = append(b.nodes[j].feeds, i)
			}
		}
		if n.Join.Count > len(n.Needs) {
			c.add(n.path+".join", fmt.Sprintf("%d of the %d steps it needs will never be done", n.Join.Count, len(n.Needs)), "")
		}
		if rules := []string{"", JoinAll, JoinAny, JoinDone, JoinFirst}; !slices.Contains(rules, n.Join.Rule) {
			c.add(n.path+".join", fmt.Sprintf("there is no join %q", n.Join.Rule), "use all, any, done, first or a number")
		}
	}
	if circle := b.circle(); circle != nil {
		c.add(circle[0].path, "a circle: "+strings.Join(names(append(circle, circle[0])), " needs "), "take one needs out, or repeat steps with loop")
	}
}

// circle finds nodes that need each other; nil when there are none.
func (b *body) circle() []*node {
	waits := make([]int, len(b.nodes))
	var ready []int
	for i, n := range b.nodes {
		if waits[i] = len(n.needs); waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	done := 0
	for ; done < len(ready); done++ {
		for _, j := range b.nodes[ready[done]].feeds {
			if waits[j]--; waits[j] == 0 {
				ready = append(ready, j)
			}
		}
	}
	if done == len(b.nodes) {
		return nil
	}
	// From any node that is left, going on to a need that is left comes round.
	at := slices.IndexFunc(waits, func(w int) bool { return w > 0 })
	var walk []*node
	for seen := map[int]int{}; ; {
		if from, ok := seen[at]; ok {
			return walk[from:]
		}
		seen[at] = len(walk)
		n := b.nodes[at]
		walk = append(walk, n)
		at = n.needs[slices.IndexFunc(n.needs, func(j int) bool { return waits[j] > 0 })]
	}
}

// node compiles what is said about one node.
func (c *compiler) node(n *node) {
	c.verbOf(n)
	n.cond = c.condition(n.If, n.path+".if")
	if n.ForEach != "" {
		n.each = c.expression(n.ForEach, n.path+".for_each")
		if slices.Contains([]string{VerbLoop, VerbSwitch, VerbPlan}, n.verb) {
			c.add(n.path+".for_each", "a "+n.verb+" runs once", "put it into a workflow, and run that for each item")
		}
	}
	if n.OnError.Goto != "" {
		c.target(n, n.OnError.Goto, n.path+".on_error.goto")
	}
	n.save = c.entries(n.Save, n.path+".save")
	n.set = c.entries(n.Set, n.path+".set")
	if k := n.Cache; k != nil {
		for i, by := range k.By {
			if by != "inputs" && by != "code" {
				c.add(fmt.Sprintf("%s.cache.by[%d]", n.path, i), fmt.Sprintf("%q tells no output from another", by), "use inputs and code")
			}
		}
		n.key = c.text(k.Key, n.path+".cache.key")
		if slices.Contains([]string{VerbHuman, VerbWait, VerbSwitch, VerbLoop, VerbSet}, n.verb) {
			c.add(n.path+".cache", "what a "+n.verb+" comes to is not kept", "remove it")
		}
	}
	if a := n.Asset; a != nil {
		n.partition = c.text(a.Partition, n.path+".asset.partition")
		n.metadata = c.template(a.Metadata, n.path+".asset.metadata")
		for i, check := range a.Checks {
			n.checks = append(n.checks, c.condition(check.That, fmt.Sprintf("%s.asset.checks[%d].that", n.path, i)))
		}
	}
	if n.Compensate != nil {
		n.undo = &node{Node: n.Compensate, path: n.path + ".compensate", body: n.body, index: n.index}
		n.undo.ID = n.ID + "-undo"
		c.verbOf(n.undo)
		n.undo.cond = c.condition(n.undo.If, n.undo.path+".if")
		if v := n.undo.verb; v != "" && v != VerbTool && v != VerbAgent && v != VerbWorkflow && v != VerbHuman {
			c.add(n.undo.path, "a "+v+" undoes nothing", "use tool, run, agent, workflow or human")
		}
	}
}

// verbOf compiles the verb of a node.
func (c *compiler) verbOf(n *node) {
	verbs := n.Verbs()
	if len(verbs) != 1 {
		message, hint := "a step without a verb", "add one of agent, tool, run, workflow, human, wait, set, loop, switch"
		if len(verbs) > 1 {
			message, hint = "a step has one verb, not "+strings.Join(verbs, " and "), "make two steps of it"
		}
		c.add(n.path, message, hint)
		return
	}
	n.verb = verbs[0]
	switch n.verb {
	case VerbAgent:
		c.known(n.Agent, n.path+".agent", "agent", slices.Collect(keys(c.graph.def.Agents)))
		if n.prompt = c.text(n.Prompt, n.path+".prompt"); n.Prompt == "" {
			c.add(n.path+".prompt", "an agent needs a prompt", "add prompt: what it is to do")
		}
	case VerbTool:
		n.with = c.template(n.With, n.path+".with")
	case VerbWorkflow:
		c.known(n.Workflow, n.path+".workflow", "workflow", slices.Collect(keys(c.graph.def.Workflows)))
		n.with = c.template(n.With, n.path+".with")
	case VerbHuman:
		n.ask, n.show = c.text(n.Human.Ask, n.path+".human.ask"), c.template(n.Human.Show, n.path+".human.show")
	case VerbWait:
		c.wait(n)
	case VerbSet:
	case VerbLoop:
		c.loop(n)
	case VerbSwitch:
		c.routes(n)
	case VerbPlan:
		c.known(n.Plan.Planner, n.path+".plan.planner", "agent", slices.Collect(keys(c.graph.def.Agents)))
		n.prompt = c.text(n.Plan.Goal, n.path+".plan.goal")
	}
}

func (c *compiler) known(name, path, what string, list []string) {
	if !slices.Contains(list, name) {
		c.add(path, fmt.Sprintf("unknown %s %q", what, name), hint(name, list))
	}
}

func (c *compiler) wait(n *node) {
	w := n.Wait
	set := 0
	for _, text := range []string{w.For, w.Until, w.Event} {
		if text != "" {
			set++
		}
	}
	if set != 1 {
		c.add(n.path+".wait", "it waits for one thing", "write a duration such as 10m, until: a time, or event: a name")
	}
	switch {
	case w.For != "":
		n.moment = c.text(w.For, n.path+".wait")
	case w.Until != "":
		n.moment = c.text(w.Until, n.path+".wait.until")
	}
	n.eventIf = c.condition(w.If, n.path+".wait.if")
}

func (c *compiler) loop(n *node) {
	l := n.Loop
	switch {
	case l.Max <= 0:
		c.add(n.path+".loop", "a loop has a max", "add max: how many rounds there are at most")
	case l.Max > maxRounds:
		c.add(n.path+".loop.max", fmt.Sprintf("a loop has at most %d rounds", maxRounds), "")
	}
	n.inner = c.body(&l.Body, n, n.path+".loop.steps")
	n.until = c.condition(l.Until, n.path+".loop.until")
	if l.Output != "" {
		n.out = c.expression(l.Output, n.path+".loop.output")
	}
}

func (c *compiler) routes(n *node) {
	for i, one := range n.Switch.Cases {
		path := fmt.Sprintf("%s.switch[%d]", n.path, i)
		n.cases = append(n.cases, c.condition(one.If, path+".if"))
		c.target(n, one.Goto, path+".goto")
		if one.If == "" && i < len(n.Switch.Cases)-1 {
			c.add(path, "it always holds: no case behind it is ever looked at", "put it last, or add if")
		}
	}
	if len(n.Switch.Cases) == 0 {
		c.add(n.path+".switch", "there is no case", "add { if: …, goto: STEP }")
	}
}

// target checks where a goto of a node leads: in an ordered body anywhere, in a graph to a node that
// needs this one.
func (c *compiler) target(n *node, name, path string) {
	if name == GotoEnd && n.body.ordered {
		return
	}
	i := slices.IndexFunc(n.body.nodes, func(o *node) bool { return o.ID == name })
	switch {
	case i < 0:
		c.add(path, fmt.Sprintf("unknown step %q", name), hint(name, names(n.body.nodes)))
	case n.body.ordered:
	case !slices.Contains(n.body.nodes[i].needs, n.index):
		c.add(path, fmt.Sprintf("%s does not need %s, so it does not wait for it", name, n.ID), "add "+n.ID+" to its needs; to go back to a step, use loop, or a list")
	default:
		n.body.nodes[i].called = true
	}
}

// expression compiles what may stand in ${{ }}, or as it is.
func (c *compiler) expression(text, path string) *expr.Expression {
	source := bare(text)
	if x, ok := c.texts[source]; ok {
		return x
	}
	x, err := space().Compile(source)
	if err != nil {
		c.add(path, err.Error(), "")
		return nil
	}
	c.texts[source] = x
	return x
}

// bare is an expression without ${{ }} around it.
func bare(text string) string {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "${{"); ok {
		if inner, ok := strings.CutSuffix(inner, "}}"); ok && !strings.Contains(inner, "${{") {
			return strings.TrimSpace(inner)
		}
	}
	return text
}

// condition is expression for one that may be left out.
func (c *compiler) condition(text, path string) *expr.Expression {
	if text == "" {
		return nil
	}
	return c.expression(text, path)
}

func (c *compiler) template(value json.RawMessage, path string) *expr.Template {
	if len(value) == 0 {
		return nil
	}
	t, err := space().Template(value)
	if err != nil {
		c.add(path, err.Error(), "")
	}
	return t
}

func (c *compiler) text(text, path string) *expr.Template {
	if text == "" {
		return nil
	}
	t, err := space().Text(text)
	if err != nil {
		c.add(path, err.Error(), "")
	}
	return t
}

func (c *compiler) entries(values Values, path string) []entry {
	var list []entry
	for key, value := range sorted(values) {
		if _, ok := c.graph.def.State[key]; !ok {
			c.add(path+"."+key, fmt.Sprintf("there is no state %q", key), suggestState(key, c.graph.def.State))
		}
		list = append(list, entry{key, c.template(value, path+"."+key)})
	}
	return list
}
