// Package proc starts and ends the processes of the benchmark and reads what processes
// cost: processor time, memory, bytes on the disk. What it starts it ends by id, whole
// trees at once; it touches no process it was not told of.
//
// It reads /proc and so needs Linux. It stands beside the line request -> run -> step ->
// journal -> event -> client: it sees engines from outside only.
package proc
