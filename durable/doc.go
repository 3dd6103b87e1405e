// Package durable holds the words of the runtime: what a run is, what a program
// may ask for, what the journal records. It is standard library only and does
// nothing by itself.
//
// On the line request -> run -> step -> journal -> event -> client it stands
// beneath every room: programs are written against [Context], engines implement
// [Engine], and everything that is shown to a person is a [Run], a [Step], an
// [Entry] or an [Event].
//
// A [Program] is ordinary straight-line Go over [Context]. It may be stopped at
// any command and started again from its journal, so it must be deterministic:
// time, randomness, I/O and concurrency go through the Context. Context is not a
// context.Context on purpose: no I/O library accepts it.
//
// What is promised, and no more: a step's result is recorded once; a step's
// execution happens at least once and carries an idempotency key that is stable
// over retries; an irreversible step writes its intent first and, when a crash
// falls between intent and result, is shown as in doubt and never repeated
// silently.
package durable
