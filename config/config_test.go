package config_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/workflow"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// variables are those the files under testdata may use.
func variables(name string) (string, bool) {
	v, ok := map[string]string{"TURNS": "30", "MANY": "many", "EMPTY": ""}[name]
	return v, ok
}

func golden(t *testing.T, path string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func files(t *testing.T, folder string) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	out := map[string][]byte{}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(p, ".yaml")] = data
	}
	return out
}

func TestGoodFiles(t *testing.T) {
	for path, data := range files(t, "good") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := config.Parse("conf/"+filepath.Base(path)+".yaml", data, variables)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(f, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, path+".golden", append(got, '\n'))
		})
	}
}

func TestBadFiles(t *testing.T) {
	for path, data := range files(t, "bad") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := config.Parse("orpine.yaml", data, variables)
			if err == nil {
				t.Fatalf("accepted: %+v", f)
			}
			if !errors.Is(err, durable.ErrInvalid) || durable.CodeOf(err) != durable.CodeInvalid {
				t.Errorf("got code %s, want invalid", durable.CodeOf(err))
			}
			golden(t, path+".golden", []byte(err.Error()+"\n"))
		})
	}
}

func TestAgentNamesKeepTheOrderOfTheFile(t *testing.T) {
	data := "agents:\n  zoe: { model: openai/x }\n  adam: { model: openai/x }\n  mia: { model: openai/x }\n"
	f, err := config.Parse("orpine.yaml", []byte(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"zoe", "adam", "mia"}, f.AgentNames()); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	f.AgentNames()[0] = "changed"
	if f.AgentNames()[0] != "zoe" {
		t.Error("a caller can change the names")
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, data string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := "agents:\n  a: { model: script/talk.yaml, tools: [q] }\ntools:\n  q: { csv: { t: sub/t.csv } }\n"
	t.Run("paths are absolute", func(t *testing.T) {
		path := write("mine.yaml", good)
		t.Chdir(dir)
		f, err := config.Load(filepath.Base(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		// The folder may be reached through a link, so only the form is compared.
		model := strings.TrimPrefix(f.Agents["a"].Model, "script/")
		csv := f.Tools["q"].CSV["t"]
		if !filepath.IsAbs(model) || filepath.Base(model) != "talk.yaml" || !filepath.IsAbs(csv) || !strings.HasSuffix(csv, filepath.Join("sub", "t.csv")) {
			t.Errorf("got model %q and csv %q, want absolute paths", model, csv)
		}
		if f.Name != "mine" {
			t.Errorf("got name %q, want mine", f.Name)
		}
		if want := durable.Read; f.Tools["q"].Options().Effect != want {
			t.Errorf("got effect %q, want %q", f.Tools["q"].Options().Effect, want)
		}
	})
	failures := []struct {
		name, path string
		want       durable.Code
		says       string
	}{
		{"missing", filepath.Join(dir, "none.yaml"), durable.CodeNotFound, "read " + filepath.Join(dir, "none.yaml")},
		{"folder", dir, durable.CodeInvalid, "read " + dir},
		{"too large", write("large.yaml", good+"#"+strings.Repeat("x", 1<<20)), durable.CodeInvalid, "larger than 1 MB"},
	}
	for _, tt := range failures {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Load(tt.path, nil)
			if durable.CodeOf(err) != tt.want || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %s %v, want %s naming %q", durable.CodeOf(err), err, tt.want, tt.says)
			}
		})
	}
}

// TestPlaces says that each problem points at the very text it is about.
func TestPlaces(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"block key", "agents:\n  a:\n    model: openai/x\n    <bad>bugdet: {}\n", "agents.a.bugdet"},
		{"flow key", "agents: { a: { model: openai/x, <bad>bugdet: {} } }\n", "agents.a.bugdet"},
		{"quoted key", "agents:\n  a:\n    model: openai/x\n    <bad>\"bugdet\": {}\n", "agents.a.bugdet"},
		{"value after a block", "agents:\n  a:\n    instructions: |\n      x\n\n      y\n    model: <bad>nope/x\n", "agents.a.model"},
		{"value after folded text", "agents:\n  a:\n    instructions: one\n      two\n      three\n    model: <bad>nope/x\n", "agents.a.model"},
		{"list item", "agents:\n  a:\n    model: openai/x\n    tools:\n      - clock\n      - <bad>clok\n", "agents.a.tools[1]"},
		{"block value of the wrong kind", "agents:\n  a:\n    <bad>model:\n      - x\n", "agents.a.model"},
		{"empty value", "agents:\n  a:\n    <bad>model:\n", "agents.a.model"},
		{"missing field", "agents:\n  x: { model: openai/x }\n  <bad>a:\n    tools: []\n", "agents.a.model"},
		{"in an alias", "agents:\n  a: &a { model: <bad>nope/x }\n  b: *a\n", "agents.a.model"},
		{"a variable in a block", "agents:\n  a:\n    model: openai/x\n    instructions: |\n      one\n      two <bad>${X} three\n", "agents.a.instructions"},
		{"windows line ends", "agents:\r\n  a:\r\n    instructions: |\r\n      x\r\n    model: <bad>nope/x\r\n", "agents.a.model"},
		{"old mac line ends", "agents:\r  a:\r    model: <bad>nope/x\r", "agents.a.model"},
		{"wide characters", "agents:\n  a: { description: \"日本語\", model: <bad>nope/x }\n", "agents.a.model"},
		{"after remarks", "# one\n\nagents: # two\n  # three\n  a: # four\n    model: <bad>nope/x # five\n", "agents.a.model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before, after, _ := strings.Cut(tt.data, "<bad>")
			lines := strings.FieldsFunc(strings.ReplaceAll(before, "\r\n", "\n")+"|", func(r rune) bool { return false })[0]
			lines = strings.ReplaceAll(lines, "\r", "\n")
			wantLine := strings.Count(lines, "\n") + 1
			wantColumn := len([]rune(lines[strings.LastIndex(lines, "\n")+1:]))
			_, err := config.Parse("orpine.yaml", []byte(before+after), nil)
			e, ok := errors.AsType[*config.Error](err)
			if !ok || len(e.Problems) != 1 {
				t.Fatalf("got %v, want one problem", err)
			}
			if p := e.Problems[0]; p.Line != wantLine || p.Column != wantColumn || p.Path != tt.want {
				t.Errorf("got %d:%d %s, want %d:%d %s\n%v", p.Line, p.Column, p.Path, wantLine, wantColumn, tt.want, err)
			}
		})
	}
}

func TestManyProblemsAreAllKept(t *testing.T) {
	var b strings.Builder
	b.WriteString("agents:\n  a:\n    model: openai/x\n")
	for i := range 150 {
		b.WriteString("    x" + strings.Repeat("y", i) + ": 1\n")
	}
	_, err := config.Parse("orpine.yaml", []byte(b.String()), nil)
	e, ok := errors.AsType[*config.Error](err)
	if !ok || len(e.Problems) != 150 {
		t.Fatalf("got %v, want 150 problems", err)
	}
	if !strings.HasSuffix(err.Error(), "\nand 50 more problems") {
		t.Errorf("the text ends with %q", err.Error()[len(err.Error())-60:])
	}
}

func TestHostileFilesAreRefusedQuickly(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"keys", strings.Repeat("k: 1\n", 200_000), "more than 30000"},
		{"brackets", strings.Repeat("[", 1<<19), "nested deeper"},
		{"braces", strings.Repeat("{a: ", 1<<17), "nested deeper"},
		{"dashes", strings.Repeat("- ", 20_000) + "x", "nested deeper"},
		{"one long line", "agents: { a: { model: openai/x, " + strings.Repeat("x: 1, ", 5000) + "} }", "duplicate key"},
		{"larger than a megabyte", strings.Repeat("#", 1<<20+1), "larger than 1 MB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("orpine.yaml", []byte(tt.data), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %.200v, want %q", err, tt.want)
			}
			if len(err.Error()) > 1<<17 {
				t.Errorf("the text of the error has %d bytes", len(err.Error()))
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, folder := range []string{"good", "bad"} {
		paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, p := range paths {
			data, err := os.ReadFile(p)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("orpine.yaml", data, variables)
		if err == nil {
			if len(file.AgentNames())+len(file.WorkflowNames()) == 0 || len(file.AgentNames()) != len(file.Agents) {
				t.Errorf("accepted with agents %v and names %v", file.Agents, file.AgentNames())
			}
			for _, name := range file.WorkflowNames() {
				d, err := file.Workflow(name)
				if err == nil {
					err = workflow.Compile(d)
				}
				if err != nil {
					t.Errorf("accepted, and workflow %s cannot be walked: %v", name, err)
				}
			}
			for _, name := range file.TriggerNames() {
				if d, _, err := file.Trigger(name); err != nil || d.Check() != nil {
					t.Errorf("accepted, and trigger %s cannot be: %v, %v", name, err, d.Check())
				}
			}
			return
		}
		e, ok := errors.AsType[*config.Error](err)
		if !ok || len(e.Problems) == 0 {
			t.Fatalf("got %T %v, want *config.Error with problems", err, err)
		}
		text := bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
		text = bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
		lines := strings.Split(string(text), "\n")
		for _, p := range e.Problems {
			if p.Line < 1 || p.Line > len(lines) || p.Column < 1 || p.Column > len([]rune(lines[p.Line-1]))+1 {
				t.Errorf("problem outside the file of %d lines: %+v", len(lines), p)
			}
			if p.Message == "" || p.File != "orpine.yaml" {
				t.Errorf("incomplete problem %+v", p)
			}
		}
		if !slices.IsSortedFunc(e.Problems, func(a, b config.Problem) int {
			return (a.Line-b.Line)*(1<<21) + a.Column - b.Column
		}) {
			t.Errorf("problems out of order:\n%v", err)
		}
	})
}

// TestReferenceParses holds the examples of docs/config.md to what they say.
func TestReferenceParses(t *testing.T) {
	doc, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(doc), "```yaml\n")[1:]
	if len(blocks) == 0 {
		t.Fatal("docs/config.md has no example")
	}
	for i, block := range blocks {
		text, _, _ := strings.Cut(block, "```")
		if _, err := config.Parse("docs/config.md", []byte(text), nil); err != nil {
			t.Errorf("example %d:\n%v", i+1, err)
		}
	}
}
