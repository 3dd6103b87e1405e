package examples_test

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/workflow"
)

// compiling is the world of the builds.
func compiling(t *testing.T, f *config.File) *world {
	return newWorld(t, f, map[string]hand{"compile": says("built")})
}

// changed is a workflow whose steps do the same with the same inputs, and are written in another way.
func changed(d *workflow.Definition) *workflow.Definition {
	for i := range d.Body.Nodes {
		n := &d.Body.Nodes[i]
		n.With = bytes.Replace(n.With, []byte("input.source }}"), []byte("input.source + '' }}"), 1)
	}
	return d
}

// TestCache: what is kept is used as long as what tells it apart is the same, and its time is not up.
func TestCache(t *testing.T) {
	t.Parallel()
	f := load(t, "cached-build/build.yaml")
	w := compiling(t, f)
	orpinetest.Run(t, orpinetest.Config{Tools: w.tools}, func(t *testing.T, e *orpinetest.Env) {
		for _, one := range []struct {
			name, input string
			after       time.Duration
			code        bool // it has changed
			want        [4]workflow.Status
		}{
			{"at first", `{}`, 0, false, [4]workflow.Status{"succeeded", "succeeded", "succeeded", "succeeded"}},
			{"again", `{}`, 59 * time.Minute, false, [4]workflow.Status{"cached", "cached", "cached", "succeeded"}},
			{"an hour later", `{}`, 2 * time.Minute, false, [4]workflow.Status{"succeeded", "cached", "cached", "succeeded"}},
			{"other inputs", `{"source":"dev"}`, 0, false, [4]workflow.Status{"succeeded", "succeeded", "cached", "succeeded"}},
			{"other code", `{}`, 0, true, [4]workflow.Status{"succeeded", "cached", "succeeded", "succeeded"}},
			{"other code again", `{}`, 0, true, [4]workflow.Status{"cached", "cached", "cached", "succeeded"}},
			{"the code before", `{}`, 0, false, [4]workflow.Status{"cached", "cached", "cached", "succeeded"}},
		} {
			time.Sleep(one.after)
			d := flow(t, f, "build")
			if one.code {
				d = changed(d)
			}
			before := len(w.did("compile"))
			id := begin(t, e, d, one.input)
			same(t, one.name, output(t, e.Wait(id)), `{"by_both":"built","by_code":"built","by_inputs":"built","not_kept":"built"}`)
			same(t, one.name, statuses(e, id), fmt.Sprintf("by_both:%s by_inputs:%s by_code:%s not_kept:%s", one.want[0], one.want[1], one.want[2], one.want[3]))
			built := 0
			for _, s := range one.want {
				if s == workflow.Succeeded {
					built++
				}
			}
			same(t, one.name+": builds", len(w.did("compile"))-before, built)
		}
	})
}

// TestCacheCrashes: what is kept is kept once, and used, wherever a process dies.
func TestCacheCrashes(t *testing.T) {
	t.Parallel()
	f := load(t, "cached-build/build.yaml")
	var w *world
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		w = compiling(t, f)
		return orpinetest.Config{Tools: w.tools}
	}, func(t *testing.T, e *orpinetest.Env) {
		for range 2 {
			output(t, e.Wait(begin(t, e, flow(t, f, "build"), `{}`)))
		}
		same(t, "builds", len(w.did("compile")), 5)
	})
}

// publishing is a world with files, of which delete_file is another hand where one is given.
func publishing(t *testing.T, f *config.File, files map[string]string, remove hand) *world {
	if remove == nil {
		remove = removing(files)
	}
	return newWorld(t, f, map[string]hand{
		"write_file": func(_ context.Context, _ int, args map[string]any) (any, error) {
			files[fmt.Sprint(args["name"])] = fmt.Sprint(args["text"])
			return "", nil
		},
		"delete_file": remove,
		"quality_test": func(_ context.Context, _ int, args map[string]any) (any, error) {
			if n := len(strings.Fields(files[fmt.Sprint(args["name"])])); n < 3 {
				return nil, durable.Errorf(durable.CodeInternal, "it has %d words", n)
			}
			return "", nil
		},
	})
}

func removing(files map[string]string) hand {
	return func(_ context.Context, _ int, args map[string]any) (any, error) {
		delete(files, fmt.Sprint(args["name"]))
		return "", nil
	}
}

// TestTransaction: a file that does not pass is deleted again, and the step that wrote it says so.
func TestTransaction(t *testing.T) {
	t.Parallel()
	f := load(t, "cached-build/build.yaml")
	for _, one := range []struct {
		text, want string
		files      []string
	}{
		{"too short", "write_file:compensated quality_test:failed", nil},
		{"not at all short", "write_file:succeeded quality_test:succeeded", []string{"page.txt"}},
	} {
		var w *world
		var files map[string]string
		orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
			files = map[string]string{}
			w = publishing(t, f, files, nil)
			return orpinetest.Config{Tools: w.tools}
		}, func(t *testing.T, e *orpinetest.Env) {
			id := begin(t, e, flow(t, f, "publish"), fmt.Sprintf(`{"text":%q}`, one.text))
			r := e.Wait(id)
			same(t, "statuses", statuses(e, id), one.want)
			same(t, "files", slices.Collect(maps.Keys(files)), one.files)
			same(t, "written", len(w.did("write_file")), 1)
			same(t, "deleted", len(w.did("delete_file")), 1-len(one.files))
			if want := "step quality_test: it has 2 words; compensated write_file"; one.files == nil && (r.Status != durable.Failed || r.Error.Message != want) {
				t.Errorf("the run is %s: %+v", r.Status, r.Error)
			}
		})
	}
}

// TestKilledBeforeRollback: a kill between the failure and the deletion, and the file is deleted.
func TestKilledBeforeRollback(t *testing.T) {
	t.Parallel()
	f := load(t, "cached-build/build.yaml")
	files, reached := map[string]string{}, make(chan bool, 1)
	w := publishing(t, f, files, dies(reached, removing(files)))
	orpinetest.Run(t, orpinetest.Config{Tools: w.tools}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "publish"), `{"text":"too short"}`)
		for len(reached) == 0 {
			time.Sleep(time.Millisecond)
		}
		same(t, "files before the kill", len(files), 1)
		same(t, "statuses before the kill", statuses(e, id), "write_file:succeeded quality_test:failed")
		kill(e, reached)
		e.Wait(id)
		same(t, "processes", e.Lives(), 2)
		same(t, "statuses", statuses(e, id), "write_file:compensated quality_test:failed")
		same(t, "files", len(files), 0)
		same(t, "calls", w.did("write_file", "delete_file"), []string{`write_file {"name":"page.txt","text":"too short"}`, `delete_file {"name":"page.txt"}`})
	})
}
