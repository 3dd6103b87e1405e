// Package report holds what was measured: rows as they are written to results.jsonl,
// and the tables made of them.
//
// It takes no measurements. It stands beyond the end of the line request -> run -> step ->
// journal -> event -> client, with the reader.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/orpine-run/orpine/bench/peers/workload"
)

// Figure names a figure of a row. The names are the format of results.jsonl; the twin
// of the worker in JavaScript writes them too.
type Figure string

// The figures. "Each" is a step for w1 and a run for all others.
const (
	Rate       Figure = "per_s"         // steps (w1), runs (w2), parked or drained runs a second
	Count      Figure = "count"         // how many of them
	Errors     Figure = "errors"        // runs or calls that failed
	Seconds    Figure = "seconds"       // how long the window was
	P50        Figure = "p50_ms"        // w1: step to step; w2: run; park: signal to resumption
	P99        Figure = "p99_ms"        // of the same
	Overhead   Figure = "overhead_ms"   // w2: p50 less what the world takes
	CPU        Figure = "cpu_ms"        // processor time of worker and servers, each
	Disk       Figure = "disk_kb"       // growth of the files, each
	RSS        Figure = "rss_mb"        // memory of worker and servers at the end
	ServerRSS  Figure = "rss_server_mb" // the servers' part of it
	RunRSS     Figure = "rss_kb"        // park: growth of memory by a parked run, settled and collected
	RunRSSRaw  Figure = "rss_raw_kb"    // the same before the collection
	IdleCPU    Figure = "idle_cpu_pct"  // park: processor time with all parked, percent of one core
	ServerUp   Figure = "server_up_s"   // recover, w4: start of the server until it answers
	FirstAfter Figure = "first_s"       // recover: start of the worker until the first run is resumed
	Drain      Figure = "drain_s"       // recover: from there until all are done
	FirstAt    Figure = "first_at_ms"   // w4, worker to runner only: when the first step began, Unix time
	FirstStep  Figure = "first_ms"      // w4: start of the worker until its first step begins
	Total      Figure = "total_ms"      // w4: the same, from the start of the server
	Binary     Figure = "binary_mb"     // w4: size of what must be installed
)

// Row is one measurement of one engine.
type Row struct {
	Time     time.Time          `json:"time"`
	Engine   string             `json:"engine"`
	Version  string             `json:"version,omitempty"`
	Setting  string             `json:"setting,omitempty"` // what makes a step's result durable
	Workload workload.Kind      `json:"workload"`
	Case     string             `json:"case,omitempty"` // w4: fresh or warm store
	Runs     int                `json:"runs"`           // at once; park and recover: parked
	Rep      int                `json:"rep"`            // counted from 1
	Load     float64            `json:"load"`           // of the machine, while it was measured
	Figures  map[Figure]float64 `json:"figures,omitempty"`
	Skipped  string             `json:"skipped,omitempty"` // why there are no figures
	Trouble  string             `json:"trouble,omitempty"` // the last the worker said, if there were errors
}

// Parse reads a row from a line.
func Parse(line []byte) (Row, error) {
	var r Row
	if err := json.Unmarshal(line, &r); err != nil {
		return Row{}, fmt.Errorf("read a row: %w", err)
	}
	if r.Workload == "" {
		return Row{}, fmt.Errorf("read a row: no workload in %q", line)
	}
	return r, nil
}

// Write writes a row as a line.
func (r Row) Write(w io.Writer) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write a row: %w", err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
