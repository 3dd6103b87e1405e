// Package embedded drives runs inside this process over a store.
//
// A run in motion is a live. It has no goroutine of its own: whoever has news for it turns
// it, one at a time. Its exec holds the program as a coroutine together with the commands it
// has issued. The circle is always the same, whether the journal is being replayed or written:
//
//	apply one entry -> resume the program until it is blocked -> issue its new
//	commands -> append what they come to, and apply that too
//
// What was appended in a turn is one commit at its end; what leaves the process (a step with
// an effect, an event, an answer to a caller) waits for that. Because entries are applied one at a time in journal order, a replay sees
// exactly what the first pass saw. A run that waits with nothing in flight is
// unwound and leaves memory; a signal, an answer, a child or the clock brings it
// back.
//
// On the line request -> run -> step -> journal -> event -> client this is the room
// that claims a run and calls its program. It alone changes the status of a run. It
// knows durable.Program and does not know what an agent is.
package embedded
