package local_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/server/local"
)

// knock asks through the door of a directory.
func knock(t *testing.T, dir string) (string, error) {
	t.Helper()
	d, err := local.Dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close() //nolint:errcheck // it was only read
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.Dial(ctx) }}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://local/v1/runs", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	data, err := io.ReadAll(resp.Body)
	return resp.Status + " " + string(data), err
}

func open(t *testing.T, dir string, handler func() (http.Handler, error)) *local.Door {
	t.Helper()
	door, err := local.Open(t.Context(), dir, handler)
	if err != nil {
		t.Fatal(err)
	}
	return door
}

// TestDoor: requests arrive however deep the directory is; the handler is made once, when
// somebody knocks; what a process that died has left behind is replaced.
func TestDoor(t *testing.T) {
	deep := filepath.Join(t.TempDir(), strings.Repeat("long-", 30), "dir") // longer than a socket path may be
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(deep, "door.sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := knock(t, deep); err == nil {
		t.Error("nobody is behind the door, and somebody answers")
	}
	made := 0
	door := open(t, deep, func() (http.Handler, error) {
		made++
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }), nil
	})
	if made != 0 {
		t.Error("the handler was made before anybody knocked")
	}
	for range 2 {
		if got, err := knock(t, deep); err != nil || got != "200 OK /v1/runs" {
			t.Errorf("got %q, error %v", got, err)
		}
	}
	if made != 1 {
		t.Errorf("the handler was made %d times", made)
	}
	if err := door.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(deep, "door.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestNoHandler: a door whose handler cannot be made says why.
func TestNoHandler(t *testing.T) {
	dir := t.TempDir()
	door := open(t, dir, func() (http.Handler, error) { return nil, errors.New("no room") })
	if got, err := knock(t, dir); err != nil || !strings.HasPrefix(got, "503") || !strings.Contains(got, "no room") {
		t.Errorf("got %q, error %v", got, err)
	}
	if err := door.Close(); err != nil {
		t.Error(err)
	}
}

// TestCloseOnWaiting: who still waits for an answer when the door is closed is cut off after a
// while, and that is no error.
func TestCloseOnWaiting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	came := make(chan struct{})
	door := open(t, dir, func() (http.Handler, error) {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(came)
			<-r.Context().Done()
		}), nil
	})
	answered := make(chan error, 1)
	go func() {
		_, err := knock(t, dir)
		answered <- err
	}()
	<-came
	if err := door.Close(); err != nil {
		t.Errorf("got %v", err)
	}
	if err := <-answered; err == nil {
		t.Error("who waited got an answer")
	}
}
