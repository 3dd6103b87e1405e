// Package mcp offers the agents and workflows of a server to MCP clients: each is a tool, over streamable HTTP
// and stdio, in the revision 2026-07-28 of the protocol and those before it. A call starts a run
// and follows it; what the run asks of a person is asked of the client's user.
//
// It decides nothing and reaches no runtime: it speaks to the API of a server with the token of
// whoever calls, so a token may do here what it may do there. On the line request -> run -> step
// -> journal -> event -> client it is a client that serves others.
package mcp
