package outside

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

func program(ctx durable.Context, in io.Reader, f *os.File, db *sql.DB, l *slog.Logger, c *http.Client) (string, error) {
	data, err := os.ReadFile("x") // want `os.ReadFile reaches the world outside of the program, on each replay again: do it in a step`
	if os.IsNotExist(err) {
		return os.Getenv("HOME"), nil // want `os.Getenv reaches`
	}
	_ = os.Args                                 // want `os.Args reaches`
	f.Write(data)                               // want `os.File.Write reaches`
	db.Query("select 1")                        // want `sql.DB.Query reaches`
	l.Info("x")                                 // want `slog.Logger.Info writes on each replay`
	l = l.With("a", 1)                          //
	slog.Info("x")                              // want `slog.Info writes`
	log.Println("x")                            // want `log.Println writes`
	fmt.Println("x")                            // want `fmt.Println writes`
	fmt.Fprintln(os.Stderr, "x")                // want `os.Stderr reaches`
	c.Get("http://example.com")                 // want `http.Client.Get reaches`
	http.Get("http://example.com")              // want `http.Get reaches`
	_ = http.StatusText(http.StatusOK)          //
	net.Dial("tcp", ":80")                      // want `net.Dial reaches`
	net.LookupHost("example.com")               // want `net.LookupHost reaches`
	_ = net.ParseIP("::1")                      //
	exec.Command("ls").Run()                    // want `exec.Command reaches` `exec.Cmd.Run reaches`
	filepath.Glob("*")                          // want `filepath.Glob reaches`
	_ = filepath.Join("a", "b")                 //
	_ = runtime.NumCPU()                        // want `runtime.NumCPU reaches`
	io.ReadAll(in)                              // want `io.ReadAll reaches`
	io.ReadAll(strings.NewReader("x"))          //
	io.Copy(new(bytes.Buffer), in)              // want `io.Copy reaches`
	io.Copy(new(bytes.Buffer), &bytes.Buffer{}) //
	_ = context.Background()                    // want `context.Background is for what does I/O`
	return fmt.Sprintf("%d", len(data)), nil
}
