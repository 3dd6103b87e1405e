// Command fakemodel is the model of the agent workload: it answers every request with
// the same words after the same time. It is a process of its own, so that it is not
// counted with any engine.
//
// On the line request -> run -> step -> journal -> event -> client it is what a model
// step calls.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/orpine-run/orpine/bench/peers/workload"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:0", "address to listen on; printed when it listens")
	flag.Parse()
	if err := serve(*addr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	handler, err := workload.FakeModel()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr) //nolint:noctx // listens until the process is killed
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(os.Stdout, "http://%s\n", l.Addr()); err != nil {
		return err
	}
	return http.Serve(l, handler) //nolint:gosec // loopback, and every request takes 20 ms
}
