// Package wasm makes tools of WebAssembly modules: WASI preview 1 commands, run inside this
// process by wazero, without a way to anything that is not handed to them.
//
// A declaration of the kind "wasm" is
//
//	{"module": "tools/count.wasm", "sha256": "9f86…",
//	 "description": "Counts words.", "schema": {"type": "object", …},
//	 "args": ["--json"], "mounts": [{"dir": "data", "at": "/data"}],
//	 "memory_mb": 64, "timeout": "30s", "max_calls": 100000000, "max_bytes": 1048576}
//
// The module reads its arguments, a JSON object, from its standard input and writes its
// result to its standard output. An exit code other than 0 is a tool error with what it wrote
// to standard error. Instead of module, blob names a value of the run: {"hash": …, "bytes": …}.
// With sha256 another file in its place is refused.
//
// # What bounds a module
//
// Memory: memory_mb (default 64) of linear memory, and 4 million elements of tables; a call
// has its own. Time: timeout (default 30 seconds) of wall clock; a module is stopped in the
// middle of a loop, and when the step is canceled. Fuel: wazero counts no instructions.
// max_calls bounds the calls of functions instead, which makes every call slower; a loop that
// calls nothing is bounded by its time alone. Output: max_bytes (default 1 MB) each of
// standard output and standard error; a module that writes more is stopped. Open files: 64.
//
// Files: the directories in mounts, read-only, through os.Root, so that neither .. nor a
// symbolic link leads out of them; only regular files and directories can be opened. There is
// no network, no environment but ORPINE_IDEMPOTENCY_KEY, the idempotency key of the step, and no other
// process. Clocks and random numbers are real; with "pure": true the clock stands still and the
// random numbers are made of the idempotency key, so that the same call ends the same.
//
// It may not start processes or write files. On the line request -> run -> step -> journal ->
// event -> client it stands inside a step, beneath the dispatch of tools.
package wasm
