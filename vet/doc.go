// Package vet finds in programs what a replay would not repeat: clocks, random numbers, input and
// output, goroutines and channels, and the order of a map. A program goes again through what is
// recorded, so each of these makes it leave its journal, and its run is blocked.
//
// It looks at every function that takes a durable.Context, at the function literals in it, and at the
// functions of the same package that it calls or hands on. A function that takes a context.Context
// is a step, or belongs to one, and is free. Functions of other packages are judged by name, from a list
// of those of the standard library; nothing is known of the rest. A package that implements
// durable.Context itself is an engine and is not looked at.
//
// What is right all the same gets a comment on its line or the line above: //orpine:ordered on a range
// over a map whose order does not matter, and
//
//	//orpine:allow REASON
//
// on anything else; in the doc comment of a function it stands for all of it. It imports nothing of the runtime and is linked by cmd/orpinevet alone. On the line request -> run ->
// step -> journal -> event -> client it stands before the beginning: it reads the source of programs.
package vet
