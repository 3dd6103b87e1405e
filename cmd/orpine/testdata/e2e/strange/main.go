// Command strange is an MCP server over standard input and output that does what servers should not.
// It is built by the tests and used by nobody else. It stands outside of the line request -> run ->
// step -> journal -> event -> client: the world that a tool calls.
//
//	strange serve        answers, and each of its tools does one thing wrong
//	strange silent       reads and never answers
//	strange noise        writes what is no message, without end
//	strange gone         ends at once, and says why
//
// More arguments are ignored: they make a process that can be found by them. What it is told to give
// up it notes in the file given-up of its working directory.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	mode := ""
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "serve":
		serve()
	case "silent":
		_, _ = io.Copy(io.Discard, os.Stdin)
	case "noise":
		for {
			if _, err := fmt.Println(strings.Repeat("this is no message ", 100)); err != nil {
				return
			}
		}
	default:
		fmt.Fprintln(os.Stderr, "strange: the licence has expired")
		os.Exit(3)
	}
}

const tools = `{"tools":[
 {"name":"wait","description":"Never answers.","inputSchema":{"type":"object"}},
 {"name":"die","description":"Ends in the middle of a call.","inputSchema":{"type":"object"}},
 {"name":"garbage","description":"Answers with what is no message.","inputSchema":{"type":"object"}},
 {"name":"flood","description":"Writes without end.","inputSchema":{"type":"object"}},
 {"name":"typed","description":"Returns another type than it declares.","inputSchema":{"type":"object"},"outputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}},
 {"name":"utf8","description":"Returns what is no UTF-8.","inputSchema":{"type":"object"}},
 {"name":"huge","description":"Returns 10 MB.","inputSchema":{"type":"object"}},
 {"name":"wrong","description":"Answers with an error.","inputSchema":{"type":"object"}},
 {"name":"strict","description":"Wants a number.","inputSchema":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}},
 {"name":"crooked","description":"Has a schema that is none.","inputSchema":{"type":"object","properties":{"a":{"type":"nonsense","pattern":"("}}}}]}`

// serve answers one message after the other.
func serve() {
	answer := func(id json.RawMessage, kind, body string) {
		fmt.Printf(`{"jsonrpc":"2.0","id":%s,"%s":%s}`+"\n", id, kind, body)
	}
	text := func(id json.RawMessage, s string) {
		answer(id, "result", `{"content":[{"type":"text","text":"`+s+`"}]}`)
	}
	for dec := json.NewDecoder(os.Stdin); ; {
		var m struct {
			ID     json.RawMessage
			Method string
			Params struct{ Name string }
		}
		if dec.Decode(&m) != nil {
			return
		}
		switch strings.TrimSpace(m.Method + " " + m.Params.Name) {
		case "initialize":
			answer(m.ID, "result", `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"strange","version":"0"}}`)
		case "tools/list":
			answer(m.ID, "result", strings.ReplaceAll(tools, "\n", ""))
		case "notifications/cancelled":
			_ = os.WriteFile("given-up", []byte("yes"), 0o600) // who looks for it says what is wrong
		case "notifications/initialized", "tools/call wait":
		case "tools/call die":
			fmt.Fprintln(os.Stderr, "strange: out of memory")
			os.Exit(4)
		case "tools/call garbage":
			fmt.Println("panic: nil map\n{\"half\": ")
			os.Exit(0)
		case "tools/call flood":
			for {
				if _, err := fmt.Print(strings.Repeat("x", 1<<16)); err != nil {
					return
				}
			}
		case "tools/call typed":
			answer(m.ID, "result", `{"content":[],"structuredContent":{"n":"seven"}}`)
		case "tools/call utf8":
			text(m.ID, "caf\xe9 \xff\xfe end")
		case "tools/call huge":
			text(m.ID, strings.Repeat("0123456789abcde ", 10<<20/16))
		case "tools/call wrong":
			answer(m.ID, "error", `{"code":-32602,"message":"there is no such customer"}`)
		case "tools/call strict":
			text(m.ID, "it was called")
		default:
			answer(m.ID, "error", `{"code":-32601,"message":"what?"}`)
		}
	}
}
