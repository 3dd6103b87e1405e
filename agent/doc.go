// Package agent is the loop of an agent: a model step, the tool steps it asks for at
// once, the next model step, until there is an answer. It is one program that walks
// a [Definition], which is pinned to the run.
//
// It knows durable.Context only: it does not know that an engine, a store or a
// journal exists, and everything in it but the step functions may be replayed. Every
// model call and every tool call is a journaled step. An entry holds the name of a
// thread ([memory.Head]), never the conversation, so the journal grows with new
// content only.
//
// On the line request -> run -> step -> journal -> event -> client it is a program.
package agent
