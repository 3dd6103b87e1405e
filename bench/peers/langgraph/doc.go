// Package langgraph carries the worker of LangGraph for JavaScript, which runs in Node
// beside the packages it needs: the runner writes it there. It may not do anything else.
//
// On the line request -> run -> step -> journal -> event -> client a thread of its graph
// is the run and a superstep the step.
package langgraph

import _ "embed" // of the worker

// Worker is the worker, a module of JavaScript.
//
//go:embed worker.mjs
var Worker []byte
