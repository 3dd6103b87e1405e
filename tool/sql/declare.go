package sql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Kind is the kind of the declarations this package makes and understands.
const Kind = "sql"

// Declared is a tool over CSV files as data.
type Declared struct {
	Name        string              `json:"name"`
	Description string              `json:"description,omitempty"`
	Query       string              `json:"query,omitempty"`  // empty: the agent writes the statement
	Tables      map[string]string   `json:"tables"`           // table -> path of its CSV file
	Schema      json.RawMessage     `json:"schema,omitempty"` // of the parameters of Query
	Options     durable.StepOptions `json:"options"`
}

// Declare makes a declaration that can be pinned to a run. It reads the first line
// of each file, so that the description can name the columns. Errors are those of [Open].
func Declare(d Declared) (tool.Declaration, error) {
	if d.Query == "" {
		columns, err := describeFiles(d.Tables)
		if err != nil {
			return tool.Declaration{}, fmt.Errorf("tool %s: %w", d.Name, err)
		}
		d.Description = strings.TrimSpace(d.Description + "\n" + columns)
	}
	config, err := json.Marshal(d)
	if err != nil {
		return tool.Declaration{}, fmt.Errorf("tool %s: %w", d.Name, err)
	}
	return tool.Declaration{Name: d.Name, Kind: Kind, Config: config}, nil
}

// Maker makes tools of declarations. The files are loaded when a tool is first
// called; tools over the same files share what was loaded.
func Maker() tool.Maker {
	shared := &library{open: map[string]*volume{}}
	return func(declaration tool.Declaration) (tool.Tool, error) {
		var d Declared
		if err := json.Unmarshal(declaration.Config, &d); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "tool %s: %w", declaration.Name, err)
		}
		d.Name = declaration.Name
		return newLazy(d, shared)
	}
}

// library keeps loaded databases by the files they hold, for as long as the process lives.
type library struct {
	mu   sync.Mutex
	open map[string]*volume
}

type volume struct {
	mu sync.Mutex
	db *DB
}

func (l *library) volume(tables map[string]string) *volume {
	key := fmt.Sprint(tables) // maps print in the order of their keys
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[key] == nil {
		l.open[key] = &volume{}
	}
	return l.open[key]
}

func (v *volume) load(ctx context.Context, tables map[string]string) (*DB, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.db == nil {
		db, err := Open(ctx, Config{Tables: tables})
		if err != nil {
			return nil, err
		}
		v.db = db
	}
	return v.db, nil
}

// lazy is a tool whose files are loaded by its first call.
type lazy struct {
	declared Declared
	spec     tool.Spec
	volume   *volume
}

func newLazy(d Declared, shared *library) (*lazy, error) {
	t := &lazy{declared: d, volume: shared.volume(d.Tables)}
	t.spec = tool.Spec{Name: d.Name, Description: d.Description, Schema: d.Schema, Options: d.Options}
	if t.spec.Options.Effect == "" {
		t.spec.Options.Effect = durable.Read
	}
	switch {
	case d.Query == "":
		t.spec.Schema = querySchema()
	case len(d.Schema) == 0:
		s, err := scan(d.Query)
		if err != nil {
			return nil, err
		}
		t.spec.Schema = stringsSchema(s.named)
	}
	return t, nil
}

// Spec implements tool.Tool.
func (t *lazy) Spec() tool.Spec { return t.spec }

// Call implements tool.Tool.
func (t *lazy) Call(ctx context.Context, args json.RawMessage) (tool.Result, error) {
	db, err := t.volume.load(ctx, t.declared.Tables)
	if err != nil {
		return tool.Result{}, err
	}
	ready, err := db.Tool(ToolConfig{Name: t.declared.Name, Query: t.declared.Query, Schema: t.declared.Schema})
	if err != nil {
		return tool.Result{}, err
	}
	return ready.Call(ctx, args)
}

// describeFiles reads the header of each file.
func describeFiles(tables map[string]string) (string, error) {
	var list []Table
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		header, err := headerOf(tables[name])
		if err != nil {
			return "", err
		}
		list = append(list, Table{Name: name, Columns: header})
	}
	return describe(list), nil
}

func headerOf(path string) ([]string, error) {
	f, _, err := openCSV(nil, path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	in, err := newReader(path, f)
	if err != nil {
		return nil, err
	}
	record, err := in.read()
	if errors.Is(err, io.EOF) {
		return nil, durable.Errorf(durable.CodeInvalid, "%s: the file is empty: want a header line and rows", path)
	}
	if err != nil {
		return nil, err
	}
	return record, checkHeader(path, record)
}
