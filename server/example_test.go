package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// A runtime is mounted in a server of one's own, beside other things; a client starts a run
// and watches it to its end.
func Example() {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := mounted(context.Background(), dir); err != nil {
		fmt.Println(err)
	}
	// Output:
	// started
	// done
	// ended
	// succeeded "hello world"
}

func mounted(ctx context.Context, dir string) (err error) {
	greet := durable.NewFunc("greet", durable.StepOptions{}, func(_ context.Context, name string) (string, error) { return "hello " + name, nil })
	program := durable.NewProgram("greeter", func(ctx durable.Context, name string) (string, error) { return durable.Do(ctx, greet, name) }, greet.StepFunc)
	rt, err := orpine.Open(ctx, orpine.Config{Data: dir, Programs: []durable.Program{program}, KeepDeltas: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()
	s, err := server.New(ctx, server.Config{Runtime: rt})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	mux := http.NewServeMux()
	mux.Handle("/v1/", s)
	web := httptest.NewServer(mux)
	defer web.Close()
	c, err := client.New(client.Config{URL: web.URL})
	if err != nil {
		return err
	}
	run, err := c.Start(ctx, client.StartRun{Program: "greeter", Input: []byte(`"world"`)})
	if err != nil {
		return err
	}
	for item, err := range c.Watch(ctx, run.ID, client.Watch{}) {
		if err != nil {
			return err
		}
		if item.Event != nil {
			fmt.Println(item.Event.Kind)
		}
	}
	run, err = c.Get(ctx, run.ID)
	fmt.Println(run.Status, string(run.Output))
	return err
}
