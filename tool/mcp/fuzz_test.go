package mcp_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"github.com/orpine-run/orpine/tool/mcp"
)

// canned is a process that says what it was made with and ends.
type canned struct {
	out  io.Reader
	over chan struct{}
	once sync.Once
}

func (c *canned) Stdin() io.WriteCloser { return discard{} }
func (c *canned) Stdout() io.Reader     { return c }
func (c *canned) Stderr() io.Reader     { return bytes.NewReader(nil) }
func (c *canned) Kill()                 { c.once.Do(func() { close(c.over) }) }
func (c *canned) Wait() error           { <-c.over; return errors.New("it was canned") }
func (c *canned) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err != nil {
		c.Kill()
	}
	return n, err
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Close() error                { return nil }

// FuzzOutput: whatever a server writes, listing its tools comes to an end, and what it lists can
// be made.
func FuzzOutput(f *testing.F) {
	hello := `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"what?"}}` + "\n" +
		`{"jsonrpc":"2.0","id":2,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}}` + "\n"
	f.Add([]byte(hello + `{"jsonrpc":"2.0","id":3,"result":{"tools":[{"name":"a.b","description":"d","inputSchema":{"type":"object","properties":{"x":{"type":"string"}}}}]}}` + "\n"))
	f.Add([]byte(hello + `{"jsonrpc":"2.0","id":3,"result":{"tools":[null,{"name":"","inputSchema":5}],"nextCursor":"x"}}` + "\n"))
	f.Add([]byte(hello + `{"jsonrpc":"2.0","id":9,"method":"elicitation/create","params":{"message":"?"}}` + "\n" + `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":[]}}` + "\n"))
	f.Add([]byte(hello + `{"jsonrpc":"2.0","id":9,"method":"elicitation/create"}` + "\n" + `{"jsonrpc":"2.0","method":"notifications/elicitation/complete"}` + "\n"))
	f.Add([]byte(`{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"capabilities":{}}}` + "\n"))
	f.Add([]byte("hello\n[]\n{}\n{\"jsonrpc\":\"2.0\"}\nnull\n\xff\x00\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := mcp.New(mcp.Config{Spawn: func(context.Context, mcp.Stdio) (mcp.Process, error) {
			return &canned{out: bytes.NewReader(data), over: make(chan struct{})}, nil
		}})
		d, err := mcp.Declare("fuzz", mcp.Server{Command: "x"})
		if err != nil {
			t.Fatal(err)
		}
		list, err := c.Source(t.Context(), d)
		if err == nil {
			for _, d := range list {
				if _, err := c.Make(d); err != nil {
					t.Errorf("%s: %v", d.Name, err)
				}
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
