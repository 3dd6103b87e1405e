// Package mcp lets agents call the tools of MCP servers (Model Context Protocol, revision
// 2026-07-28 and those before it, over stdio and HTTP). A [Client] holds one supervised
// connection to each server; its [Client.Source] lists the tools of a server, and its
// [Client.Make] makes a tool of what was listed, without asking the server again.
//
// It may not start processes, it is given a function for that; it may not read the environment
// and keeps nothing on the disk. What a server says of itself, such as that a tool only reads,
// grants it nothing: what a tool may do is said where the server is declared. On the line
// request -> run -> step -> journal -> event -> client it stands inside a step: the tool step of
// an agent calls a tool, and a step lists the tools of a server.
//
// # Declaring a server
//
// The declaration of a server has the kind "mcp" and the config {"server": {...}}, whose fields
// are those of an entry of mcpServers in a .mcp.json, and ours: see [Server]. [ReadFile] makes
// declarations of such a file. A tool of a server has the same config and beside it
// {"tool": {...}}: see [Listed].
//
// # What becomes of a call that is cut short
//
// A call carries the idempotency key of its step in _meta, as orpine/idempotency-key. When the
// connection is lost before a call was sent, nothing has happened. When it is lost while the call
// is under way, a tool that reads or is idempotent fails as unavailable, and the engine calls it
// again with the same key; the step of an irreversible one is in doubt ([durable.InDoubt]).
package mcp
