// Package bench measures the runtime where the user has it: on this machine, on this
// disk, with the programs and the durability asked for. Every figure comes with the
// floor that was measured in the same run, which is what the machine gives to plain
// code doing the same amount of work: a log of appended records, bare SQLite, the same
// agents without durability. A figure without its floor says more about the machine
// than about us.
//
// It is programs on the façade and may use of the product only what any user can. It
// speaks SQL, HTTP and to processes itself for what is not the product: the floors, the
// model that stands in for a real one, and the process that is killed. It may not read
// flags or the environment. On the line request -> run -> step -> journal -> event ->
// client it stands at both ends: it sends the requests, and its steps take the time.
package bench
