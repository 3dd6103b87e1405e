package peer

import (
	"github.com/orpine-run/orpine/bench/peers/report"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

const orpine = "github.com/orpine-run/orpine"

// Ours is the name of the engine that the others are held against.
const Ours = "orpine"

const (
	noSignals = "the free edition has no signals"
	notKept   = "nothing outlives the process"
	inPG      = "Postgres with its defaults: fsync=on, synchronous_commit=on"
	inSQLite  = "SQLite in WAL mode, synchronous=FULL"
)

// All returns every engine, Orpine first and what bounds it last.
func All() []*Peer {
	dbos := goProgram{name: "dbos", module: "github.com/dbos-inc/dbos-transact-golang", title: "DBOS Transact for Go"}
	river := goProgram{name: "river", module: "github.com/riverqueue/river", title: "River"}
	cannotPark := map[workload.Kind]string{workload.Parked: noSignals, workload.Recover: noSignals}
	compared := func(name, setting string, p program, b backend, lacks map[workload.Kind]string) *Peer {
		return &Peer{Engine: report.Engine{Name: name, Setting: setting, Compared: true}, program: p, backend: b, Lacks: lacks}
	}
	return []*Peer{
		{
			Engine:  report.Engine{Name: Ours, Setting: inSQLite + " (the default); every commit carries what is queued"},
			program: goProgram{name: "orpine", module: orpine}, backend: files{},
		},
		compared("dbos-sqlite", inSQLite+" (its default is NORMAL); a transaction a step", dbos, files{}, nil),
		compared("dbos-pg", inPG+"; a transaction a step", dbos, &postgres{}, nil),
		compared("river-sqlite", inSQLite+"; the step and its result in a transaction", river, files{}, cannotPark),
		compared("river-pg", inPG+"; the step and its result in a transaction, 32 connections", river, &postgres{}, cannotPark),
		compared("restate", "one node with its defaults: replicated loglet, fsync of the RocksDB WAL on",
			goProgram{name: "restate", module: "github.com/restatedev/sdk-go", title: "SDK for Go"}, &restate{}, nil),
		compared("temporal", "development server over a file: SQLite in WAL mode, synchronous=FULL; ordinary activities",
			goProgram{name: "temporal", module: "go.temporal.io/sdk", title: "SDK for Go"}, &temporal{}, nil),
		compared("langgraph-sqlite", inSQLite+`; durability "sync", a superstep a step`, langGraph{}, files{}, nil),
		compared("langgraph-pg", inPG+`; durability "sync", a superstep a step`, langGraph{}, &postgres{}, nil),
		{
			Engine:  report.Engine{Name: "floor", Setting: inSQLite + "; a table of rows, group commit, nothing else"},
			program: goProgram{name: "floor", module: "modernc.org/sqlite", title: "modernc.org/sqlite"}, backend: files{},
		},
		{
			Engine:  report.Engine{Name: "bare", Setting: "none: in memory"},
			program: goProgram{name: "bare"}, backend: files{},
			Lacks: map[workload.Kind]string{workload.Recover: notKept},
		},
	}
}
