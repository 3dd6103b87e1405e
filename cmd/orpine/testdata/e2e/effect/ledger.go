package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// linger is how long the ledger takes before and after it writes a payment down, so
// that kills fall into these moments too.
const linger = 3 * time.Millisecond

// ledger writes payments down, one line with its key each, as often as it is asked to.
type ledger struct {
	file *os.File

	mu     sync.Mutex
	lines  int
	first  map[string]int  // key -> number of its first line
	closed map[string]bool // key#attempt
}

// serveLedger serves a ledger until its input ends. It prints its address, then what
// it is asked for and what it has written.
func serveLedger(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l := &ledger{file: file, first: map[string]int{}, closed: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pay", l.pay)
	mux.HandleFunc("POST /write", l.write)
	mux.HandleFunc("POST /close", l.close)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		_ = srv.Close() // whoever asked is gone
	}()
	fmt.Printf("http://%s\n", ln.Addr())
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, file.Close())
	}
	return file.Close()
}

func (l *ledger) pay(w http.ResponseWriter, r *http.Request) {
	key, attempt := r.URL.Query().Get("key"), r.URL.Query().Get("attempt")
	fmt.Println("asked", key)
	<-time.After(linger) // not for r.Context: who has asked may die, and is paid for all the same
	number, err := l.append(key, attempt, key, false)
	if err != nil {
		http.Error(w, err.Error(), http.StatusGone)
		return
	}
	fmt.Println("written", key)
	<-time.After(linger)
	fmt.Fprintf(w, `{"number":%d}`, number)
}

// write writes down what it is sent; with once a key that it has is not written again.
func (l *ledger) write(w http.ResponseWriter, r *http.Request) {
	const most = 1 << 20
	query := r.URL.Query()
	line, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	<-time.After(linger) // as in pay
	number, err := l.append(query.Get("key"), query.Get("attempt"), string(line), query.Get("once") == "true")
	if err != nil {
		http.Error(w, err.Error(), http.StatusGone)
		return
	}
	<-time.After(linger)
	fmt.Fprintf(w, `{"number":%d}`, number)
}

// append writes a line and tells its number; with once that of the line that the key has.
func (l *ledger) append(key, attempt, line string, once bool) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if once && l.first[key] > 0 {
		return l.first[key], nil
	}
	if l.closed[key+"#"+attempt] {
		return 0, fmt.Errorf("the account %s is closed", key)
	}
	if _, err := fmt.Fprintln(l.file, line); err != nil {
		return 0, err
	}
	l.lines++
	if l.first[key] == 0 {
		l.first[key] = l.lines
	}
	return l.lines, nil
}

// close tells the number of a payment, 0 if there is none, and refuses this attempt of it
// from now on: the request of a process that was killed may still be on its way.
func (l *ledger) close(w http.ResponseWriter, r *http.Request) {
	key, attempt := r.URL.Query().Get("key"), r.URL.Query().Get("attempt")
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed[key+"#"+attempt] = true
	fmt.Fprintf(w, `{"number":%d}`, l.first[key])
}
