package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	_ "net/http/pprof" //nolint:gosec // this program listens on loopback only
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server"
)

// piece is the data of a delta: when it was emitted, in nanoseconds of Unix time.
type piece struct {
	At   int64  `json:"at"`
	Text string `json:"text"`
}

// serveCrowd serves programs that many clients look at, until it is killed. It prints its
// address. Beside the API there are POST /direct, which starts runs without it, and /debug/pprof.
func serveCrowd(ctx context.Context, data, addr string) error {
	rt, err := orpine.Open(ctx, orpine.Config{Data: data, Programs: crowdPrograms(), KeepDeltas: true})
	if err != nil {
		return err
	}
	s, err := server.New(ctx, server.Config{Runtime: rt})
	if err != nil {
		return errors.Join(err, rt.Close())
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return errors.Join(err, rt.Close())
	}
	fmt.Printf("http://%s\n", ln.Addr())
	mux := http.NewServeMux()
	mux.Handle("/", s)
	mux.Handle("/debug/pprof/", http.DefaultServeMux)
	mux.HandleFunc("POST /direct", func(w http.ResponseWriter, r *http.Request) { direct(w, r, rt) })
	web := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	return web.Serve(ln)
}

// crowdPrograms are one that streams from a signal on, one that asks, and one that does nothing.
func crowdPrograms() []durable.Program {
	type beat struct {
		Rate int `json:"rate"` // deltas a second
		N    int `json:"n"`    // how many
	}
	flow := durable.NewFunc("flow", durable.StepOptions{}, func(ctx context.Context, in beat) (int, error) {
		at := durable.AttemptOf(ctx)
		tick := time.Now()
		for i := range in.N {
			tick = tick.Add(time.Second / time.Duration(in.Rate))
			select {
			case <-time.After(time.Until(tick)):
			case <-ctx.Done():
				return i, ctx.Err()
			}
			data, err := json.Marshal(piece{time.Now().UnixNano(), "some words, as"})
			if err != nil {
				return i, err
			}
			at.Emit("text", data)
		}
		return in.N, nil
	})
	return []durable.Program{
		durable.NewProgram("flow", func(ctx durable.Context, in beat) (int, error) {
			if err := ctx.Inbox("go").Receive(ctx, nil); err != nil {
				return 0, err
			}
			return durable.Do(ctx, flow, in)
		}, flow.StepFunc),
		durable.NewProgram("ask", func(ctx durable.Context, _ int) (string, error) {
			var said string
			err := ctx.Ask(durable.Interrupt{ID: "q", Prompt: "well?"}).Get(ctx, &said)
			return said, err
		}),
		durable.NewProgram("nothing", func(_ durable.Context, n int) (int, error) { return n, nil }),
	}
}

// direct starts n runs, at at once, without the API, and answers how long each took in
// nanoseconds.
func direct(w http.ResponseWriter, r *http.Request, rt *orpine.Runtime) {
	n, errN := strconv.Atoi(r.URL.Query().Get("n"))
	at, errAt := strconv.Atoi(r.URL.Query().Get("at"))
	if errN != nil || errAt != nil || at < 1 {
		http.Error(w, "say n and at", http.StatusBadRequest)
		return
	}
	took := make([]int64, n)
	var fault error
	var mu sync.Mutex
	var all sync.WaitGroup
	for first := range at {
		all.Go(func() {
			for i := first; i < n; i += at {
				began := time.Now()
				_, err := rt.Start(r.Context(), durable.StartRequest{Program: "nothing", Input: json.RawMessage("1")})
				took[i] = int64(time.Since(began))
				if err != nil {
					mu.Lock()
					fault = err
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	if fault != nil {
		http.Error(w, fault.Error(), http.StatusInternalServerError)
		return
	}
	_ = json.NewEncoder(w).Encode(took) // whoever asked may be gone
}

// heard is what a crowd of clients has heard of a run.
type heard struct {
	Clients int       `json:"clients"`
	Deltas  int       `json:"deltas"` // all of them
	Least   int       `json:"least"`  // that one client had
	Most    int       `json:"most"`
	Ms      []float64 `json:"ms"` // delay from emission to arrival: p50, p99, the longest
}

// hearCrowd opens n streams of a run and reads them to their end. It prints "ready" when all
// are there, then what they have heard.
func hearCrowd(ctx context.Context, addr, run string, n int) error {
	delays := make([][]int32, n) // in microseconds
	faults := make([]error, n)
	var there, all sync.WaitGroup
	there.Add(n)
	for i := range n {
		all.Go(func() { delays[i], faults[i] = hear(ctx, addr, run, &there) })
	}
	there.Wait()
	fmt.Println("ready")
	all.Wait()
	h := heard{Clients: n, Least: len(delays[0])}
	var every []int32
	for _, d := range delays {
		every = append(every, d...)
		h.Least, h.Most = min(h.Least, len(d)), max(h.Most, len(d))
	}
	if h.Deltas = len(every); h.Deltas > 0 {
		slices.Sort(every)
		for _, q := range []float64{0.5, 0.99, 1} {
			h.Ms = append(h.Ms, float64(every[int(q*float64(len(every)-1))])/1000)
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(h); err != nil {
		return err
	}
	return errors.Join(faults...)
}

// hear reads one stream and returns the delay of each delta. It reads the bytes itself: the
// clients must not take more of the machine than they have to.
func hear(ctx context.Context, addr, run string, there *sync.WaitGroup) (delays []int32, err error) {
	arrived := sync.OnceFunc(there.Done)
	defer arrived()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close() //nolint:errcheck // it was only read
	if _, err := fmt.Fprintf(conn, "GET /v1/runs/%s/events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", run); err != nil {
		return nil, err
	}
	in := bufio.NewReaderSize(conn, 4<<10)
	if status, err := in.ReadString('\n'); err != nil || !strings.Contains(status, " 200 ") {
		return nil, errors.Join(err, fmt.Errorf("the server answered %q", status))
	}
	const mark = `"data":{"at":`
	now := time.Now()
	for {
		empty := in.Buffered() == 0
		line, err := in.ReadSlice('\n')
		if empty {
			now = time.Now() // what is in the buffer came with it
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return delays, err
		}
		if _, rest, ok := bytes.Cut(line, []byte(mark)); ok {
			text, _, _ := bytes.Cut(rest, []byte(","))
			at, err := strconv.ParseInt(string(text), 10, 64)
			if err != nil {
				return delays, err
			}
			delays = append(delays, int32((now.UnixNano()-at)/1000)) //nolint:gosec // a delay of half an hour would be longer than the test
		} else if bytes.HasPrefix(line, []byte("data: ")) {
			arrived() // behind its first event a client has all that comes
		}
		if err != nil {
			return delays, nil
		}
	}
}
