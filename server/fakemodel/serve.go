package fakemodel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Serve serves h on ln until ctx ends, then waits a moment for open requests,
// which see their context end, and closes. It owns ln. The end of ctx is not an
// error.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	const grace = 2 * time.Second
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve the scripted model: %w", err)
	case <-ctx.Done():
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := srv.Shutdown(bounded)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	<-served //nolint:errcheck // it is http.ErrServerClosed by now
	if err != nil {
		return fmt.Errorf("stop the scripted model: %w", err)
	}
	return nil
}
