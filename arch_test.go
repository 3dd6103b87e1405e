package orpine_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/orpine-run/orpine"

// floors lists every room, ground floor first. A package may import only rooms on
// floors beneath its own. A new package is one line here.
var floors = [][]string{
	{"durable", "model", "expr", "sandbox", "suggest", "vet"}, // the words, standard library only; the door to expressions; what starts processes; what was meant; what reads the source of programs
	{"store", "tool", "client"},                               // what is durable; what agents can call; how others talk to a server
	{"memory", "journal", "event"},                            // threads; record and replay; the feed
	{"agent", "engine", "trigger"},                            // the loop; what drives runs; what starts them
	{"workflow"},                                              // the graph, whose nodes run agents
	{"config"},                                                // YAML -> definitions
	{"."},                                                     // the façade: wiring
	{"server", "demo", "bench", "outfit", "orpinetest"}, // HTTP doors; programs built on the façade; how fast it is; tools for agents of files; tests of programs
	{"cmd/orpine", "cmd/orpinevet", "examples"},         // flags, environment, exit codes; programs to learn from
}

// onlyBelow is the closed import list of the rooms whose walls matter most.
var onlyBelow = map[string][]string{
	"durable": {},
	"model":   {},
	"agent":   {"durable", "model", "tool", "memory"},
	"memory":  {"durable", "model"},
	"journal": {"durable", "store"},
	"event":   {"durable"},
	"engine":  {"durable", "store", "journal", "event"},
	"trigger": {"durable", "expr", "suggest"},
	// Its journal is Temporal's, so it needs no room of ours but the words.
	"engine/temporal": {"durable"},
	"expr":            {},
	"vet":             {},
	"tool":            {"durable", "expr", "sandbox", "suggest"},
	"client":          {"durable", "model"},
	"workflow":        {"durable", "agent", "model", "tool", "expr", "suggest"},
	"config":          {"durable", "agent", "tool", "workflow", "trigger", "expr", "suggest"},
	// Who may come in is decided without knowing what there is inside.
	"server/access": {"durable", "store", "client", "config", "suggest"},
}

// outside says which rooms alone may use a third-party or heavy package, or any
// package beneath it.
var outside = map[string][]string{
	"net/http":                      {"server", "client", "model", "tool", "bench"},
	"database/sql":                  {"store", "tool", "bench"},
	"modernc.org/sqlite":            {"store", "tool", "bench"},
	"os/exec":                       {"cmd/orpine", "bench"},
	"go.temporal.io":                {"engine"},
	"github.com/danielgtaylor/huma": {"server"},
	"golang.org/x/tools":            {"vet", "cmd/orpinevet"},
}

// mustNotLink keeps heavy or test-only code out of what a library user links: these
// packages and all beneath them.
var mustNotLink = map[string][]string{
	".":               {"testing", "net/http", "google.golang.org/grpc", "go.temporal.io", "github.com/alecthomas/kong"},
	"agent":           {"database/sql", "net/http", "google.golang.org/grpc", "go.temporal.io"},
	"durable":         {"net/http", "database/sql"},
	"client":          {"database/sql", "modernc.org/sqlite", "google.golang.org/grpc", "github.com/danielgtaylor/huma"},
	"engine/embedded": {"google.golang.org/grpc", "go.temporal.io"},
	"store/sqlite":    {"google.golang.org/grpc", "go.temporal.io"},
	"cmd/orpine":      {"google.golang.org/grpc", "go.temporal.io", "golang.org/x/tools"},
}

type listed struct {
	ImportPath string
	Imports    []string
	Doc        string
}

func list(t *testing.T) []listed {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Doc", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func TestImportsGoDown(t *testing.T) {
	floor := map[string]int{}
	for i, names := range floors {
		for _, n := range names {
			floor[n] = i
		}
	}
	for _, p := range list(t) {
		from := rel(p.ImportPath)
		home := room(from, floor)
		at, ok := floor[home]
		if !ok {
			t.Errorf("%s belongs to no floor; name it in floors or move it", from)
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", from)
		}
		for _, path := range p.Imports {
			for heavy, rooms := range outside {
				if beneath(path, heavy) && !slices.Contains(rooms, home) {
					t.Errorf("%s imports %s; only %v may", from, path, rooms)
				}
			}
			if path != module && !strings.HasPrefix(path, module+"/") {
				continue
			}
			checkInside(t, floor, from, rel(path), at)
		}
	}
}

// checkInside holds one import of ours against the floors.
func checkInside(t *testing.T, floor map[string]int, from, to string, at int) {
	t.Helper()
	home, there := room(from, floor), room(to, floor)
	if home == there {
		// An adapter may import its seam; a seam may not import its adapters, and no
		// adapter a sibling. The test suites of a seam stand beside it.
		if to != there && !sameRoom[from+" -> "+to] {
			t.Errorf("%s imports its sibling %s", from, to)
		}
		return
	}
	for _, who := range []string{home, from} {
		if allowed, ok := onlyBelow[who]; ok && !slices.Contains(allowed, there) {
			t.Errorf("%s imports %s; %s may import only %v", from, to, who, allowed)
		}
	}
	if floor[there] >= at {
		t.Errorf("%s (floor %d) imports %s (floor %d); imports go down", from, at, to, floor[there])
	}
	if to != there && at < floor["."] {
		t.Errorf("%s imports the adapter %s; only the façade and what stands above it may", from, to)
	}
}

// sameRoom names the edges inside a room that are meant.
var sameRoom = map[string]bool{
	"server -> server/access":        true, // the guard of its door
	"server -> server/stream":        true, // what it sends to who watches a run
	"server -> server/mcp":           true, // one more door to what it does
	"server -> server/catalog":       true, // what it knows by name
	"server -> server/hook":          true, // what is sent to triggers from outside
	"model/openai -> model/wire":     true, // what the HTTP formats have in common
	"model/anthropic -> model/wire":  true,
	"model/script -> model/wire":     true,
	"tool/http -> tool/guard":        true, // every connection of its tools
	"tool/script -> tool/wasm":       true, // what its interpreters run in
	"tool/mcp -> tool/mcp/login":     true, // how remote servers are told who asks
	"tool/mcp -> tool/mcp/transport": true, // what carries its messages
}

func TestLinked(t *testing.T) {
	for pkg, banned := range mustNotLink {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "./"+pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		for dep := range strings.FieldsSeq(string(out)) {
			if slices.ContainsFunc(banned, func(heavy string) bool { return beneath(dep, heavy) }) {
				t.Errorf("%s links %s", pkg, dep)
			}
		}
	}
}

// beneath reports whether path is that package or module, or inside it.
func beneath(path, of string) bool { return path == of || strings.HasPrefix(path, of+"/") }

func rel(path string) string {
	if path == module {
		return "."
	}
	return strings.TrimPrefix(path, module+"/")
}

// room maps an adapter such as store/sqlite to its room, store.
func room(p string, floor map[string]int) string {
	if _, ok := floor[p]; ok {
		return p
	}
	first, _, _ := strings.Cut(p, "/")
	return first
}
