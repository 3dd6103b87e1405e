// Package event feeds watchers: committed entries in order with a cursor, and
// deltas, the streamed pieces that are never stored. Watchers that join late get
// the entries they missed from the journal and then go on live, without a gap and
// without a repeat.
//
// On the line request -> run -> step -> journal -> event -> client it stands behind the
// commit: an event is a pure function of a committed entry. It never writes, and a slow
// watcher never slows a run: it re-reads from the journal.
//
// What is new in a run is in its tail, once for all watchers; a watcher is a position in
// it. The order of a run's stream is fixed when things arrive: a delta comes behind the
// entries that were committed before it, and before those committed after it. So whoever goes
// on with the cursor of an item, in the same epoch, gets the items that it would have got
// without a break.
//
// Deltas are best effort. A tail is bounded, and the oldest deltas go first. If some of a
// step's attempt under way are gone before a watcher has read them, it gets a delta of kind
// reset for that step, and then what there is of it; so does who watches an attempt that
// nobody watched when it began. Entries are never lost and never out of order. A watcher
// that begins at -1 has seen nothing, and does not get the deltas of attempts that have
// ended by then: their entries say it all. Another epoch means that the process died: the
// engine begins the attempts that were cut short again, each with a reset.
package event
