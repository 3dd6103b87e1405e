// Package script lets an agent run small scripts that can compute and nothing else: the tools
// starlark and javascript.
//
// A declaration of the kind "script" is
//
//	{"language": "starlark", "memory_mb": 64, "timeout": "30s", "steps": 1000000, "max_bytes": 65536}
//
// The arguments of the tool are code, and input, any JSON, which the script finds in the
// variable input. Its result is what the script printed, and then its value: that of its last
// expression, or of the variable result in Starlark. A string is told as it is, all else as
// JSON.
//
// # What bounds a script
//
// Both languages run inside of WebAssembly, each call in a memory of its own, so that memory
// and time are bounded from outside and no matter what a script makes its interpreter do.
// (An interpreter in this process cannot be: go.starlark.net has no bound of memory, and
// modernc.org/quickjs v0.27.0 does not hear its interrupt inside of
// Array.prototype.indexOf.call({length: 2**53-1}).) Steps are those of the interpreter of
// Starlark; for JavaScript a step is about ten thousand of its own. There are no files, no
// network, no modules, no clock (it stands still) and no random numbers but those made of the
// idempotency key of the step: the same call ends the same.
//
// Starlark is go.starlark.net, built from tool/script/guest for wasip1. It starts in some
// 30 ms and takes some microseconds a step: a tool for logic, not for crunching. JavaScript is
// QuickJS, built by the project quickjs-emscripten (npm @jitl/quickjs-wasmfile-release-sync
// 0.32.0, MIT licence). The first call of a process compiles the interpreter, which takes some
// seconds for Starlark.
//
// The tools have the effect read. It may not do I/O. On the line request -> run -> step ->
// journal -> event -> client it stands inside a step, beneath the dispatch of tools.
package script
