// Package workflow walks graphs of work: nodes that run an agent, call a tool, ask a person, wait,
// or run another workflow, in order or as soon as what they need is there. It is one program that
// walks a [Definition], which is pinned to the run; [Compile] checks one, and [Progress] says how far
// a run has come.
//
// It knows durable.Context and, of agents, what they are called with and by what hands they call
// tools; it does not know that an engine, a store or a journal exists. Everything in it but the step
// functions may be replayed, so the order of what it does follows the definition, never a map.
//
// On the line request -> run -> step -> journal -> event -> client it is a program.
package workflow
