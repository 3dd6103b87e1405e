// Package transport carries messages to MCP servers: over the pipes of a process, and in HTTP
// requests. What the SDK does not tell of a request it notes: how far it got, which decides whether
// a call may be made again.
//
// It knows nothing of tools and calls, and starts no process. On the line request -> run -> step ->
// journal -> event -> client it stands beneath tool/mcp, inside a step.
package transport
