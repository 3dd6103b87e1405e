package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// The bounds of a connection, against those who open many and say little.
const (
	headerTime = 10 * time.Second
	bodyTime   = 5 * time.Minute
	idleTime   = 2 * time.Minute
	maxHeader  = 64 << 10 // bytes
)

// lastTime is how long requests may take that are under way when the server stops.
const lastTime = 5 * time.Second

// Serve answers on a listener until ctx ends: then it takes no more, ends the streams, which
// their clients go on with elsewhere, and lets what is under way come to its end. It closes
// the listener. Error: unavailable when it cannot go on.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	web := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(ln) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	s.Drop()
	err := web.Shutdown(last)
	if err != nil {
		err = web.Close()
	}
	if failure := <-failed; !errors.Is(failure, http.ErrServerClosed) {
		err = errors.Join(err, failure)
	}
	return err
}
