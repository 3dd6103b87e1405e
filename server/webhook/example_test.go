package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/webhook"
)

// A receiver is told when a run is over.
func Example() {
	dir, err := os.MkdirTemp("", "orpine")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := tell(context.Background(), dir); err != nil {
		fmt.Println(err)
	}
	// Output: run.succeeded "Hello, Ann"
}

func tell(ctx context.Context, dir string) (err error) {
	told := make(chan webhook.Event)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		var e webhook.Event
		if err := json.NewDecoder(req.Body).Decode(&e); err == nil { // a real one verifies the signature first
			told <- e
		}
	}))
	defer receiver.Close()
	greet := durable.NewProgram("greet", func(_ durable.Context, name string) (string, error) { return "Hello, " + name, nil })
	hooks := webhook.New(webhook.Config{})
	r, err := orpine.Open(ctx, orpine.Config{Data: dir, Programs: []durable.Program{greet, hooks.Program()}, OnStatus: hooks.Changed})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := hooks.Start(ctx, r); err != nil {
		return err
	}
	defer hooks.Stop()
	if _, err := hooks.Register(ctx, client.Webhook{URL: receiver.URL}); err != nil {
		return err
	}
	if _, err := r.Start(ctx, durable.StartRequest{Program: "greet", Input: []byte(`"Ann"`)}); err != nil {
		return err
	}
	e := <-told
	fmt.Println(e.Type, string(e.Run.Output))
	return nil
}
