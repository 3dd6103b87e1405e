// Package sql is a tool that answers read-only SQL over CSV files: [Open] streams
// the files into a private SQLite database, [DB.Query] asks it, and [DB.Tool]
// hands it to an agent.
//
// The database has no name and no file another process could open; SQLite keeps
// what does not fit its page cache in an unlinked temporary file, so a large CSV
// needs disk and not memory, and nothing is left behind even by a kill. Values
// stay the text they are in the file, so no decimal is lost: the functions
// decimal_sum, decimal_add and their siblings calculate exactly.
//
// It may not write anything a caller could see: a query passes a check of its
// text, an authorizer and SQLite's own query_only, each of which alone refuses
// everything but reading. On the line request -> run -> step -> journal -> event
// -> client it stands inside a step, beneath the dispatch of tools; it knows
// nothing of runs or agents.
package sql
