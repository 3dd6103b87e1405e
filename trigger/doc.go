// Package trigger starts runs when it is time or something has happened: a schedule, an event, a
// webhook, a new file, the end of another run, something that a poll has found.
//
// A trigger is a run of the program that [New] makes, as a thread is a run. It lives as long as the
// trigger, parks on a durable timer or for a signal, starts what it starts as a child that outlives
// it, and goes on in a new segment, so that its journal stays short. So the engine sees to it that no
// due time is lost or served twice, and nothing here writes to a store.
//
// The package decides when and whether; it may not open a connection, keep a clock of its own or know
// what it starts. What it must ask of the world (how a run is, what a folder holds) are step functions
// that [Config] gives it. On the line request -> run -> step -> journal -> event -> client it stands
// where a run begins: it is a program, and it makes requests.
package trigger
