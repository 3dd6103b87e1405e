package fakemodel

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/orpine-run/orpine/model/script"
)

// noise is what garbage looks like on the wire: no JSON, no UTF-8, no end.
const noise = "data: {\"gar\x00\xff\xfe<bage\n\n"

// player sends one outcome, with its faults, to one client.
type player struct {
	w   http.ResponseWriter
	r   *http.Request
	out script.Outcome
}

// stream sends the deltas as server-sent events.
func (p player) stream(s streamer) {
	p.w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	p.w.Header().Set("Cache-Control", "no-store")
	p.w.WriteHeader(http.StatusOK)
	p.send(s.begin())
	for _, d := range p.out.Deltas {
		p.pause()
		p.send(s.delta(d))
	}
	switch p.out.Fault {
	case script.FaultCut:
		p.abort()
	case script.FaultGarbage:
		p.raw([]byte(noise))
		return
	case script.FaultHang:
		p.hang()
	case script.FaultNone:
	}
	p.send(s.end())
}

// whole sends the reply as one JSON body.
func (p player) whole(body any) {
	for range p.out.Deltas {
		p.pause()
	}
	data, err := json.Marshal(body)
	if err != nil {
		http.Error(p.w, err.Error(), http.StatusInternalServerError)
		return
	}
	p.w.Header().Set("Content-Type", "application/json")
	switch p.out.Fault {
	case script.FaultCut:
		p.w.Header().Set("Content-Length", strconv.Itoa(len(data)))
		p.raw(data[:len(data)/2])
		p.abort()
	case script.FaultGarbage:
		data = []byte(noise)
	case script.FaultHang:
		p.hang()
	case script.FaultNone:
	}
	p.raw(data)
}

// abort breaks the connection: what was sent so far arrives, its end never does.
func (p player) abort() { panic(http.ErrAbortHandler) }

func (p player) pause() {
	if wait(p.r.Context(), p.out.Delay) != nil {
		p.abort()
	}
}

func (p player) hang() {
	<-p.r.Context().Done()
	p.abort()
}

func (p player) send(events []event) {
	var b bytes.Buffer
	for _, e := range events {
		if e.name != "" {
			fmt.Fprintf(&b, "event: %s\n", e.name)
		}
		text, ok := e.data.(string)
		if !ok {
			data, err := json.Marshal(e.data)
			if err != nil { // the wires hold plain values only
				panic(err)
			}
			text = string(data)
		}
		fmt.Fprintf(&b, "data: %s\n\n", text)
	}
	p.raw(b.Bytes())
}

// raw writes and flushes; a client that left ends the handler.
func (p player) raw(data []byte) {
	if _, err := p.w.Write(data); err != nil {
		p.abort()
	}
	if err := http.NewResponseController(p.w).Flush(); err != nil {
		p.abort()
	}
}
