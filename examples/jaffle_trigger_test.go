package examples_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
	"github.com/orpine-run/orpine/workflow"
)

// served is a runtime with some triggers of a file, as orpine serve has it. It is opened again and
// again over one data directory.
type served struct {
	*orpine.Runtime
	t        *testing.T
	triggers map[string]durable.RunID
}

func serve(t *testing.T, data string, f *config.File, s *shop, names ...string) *served {
	t.Helper()
	r, err := orpine.Open(t.Context(), orpine.Config{Data: data, Tools: s.tools, Triggers: trigger.Config{Folder: trigger.OpenFolder}})
	if err != nil {
		t.Fatal(err)
	}
	v := &served{r, t, map[string]durable.RunID{}}
	for _, name := range names {
		d, target, err := f.Trigger(name)
		if err != nil {
			t.Fatal(err)
		}
		d.Start.Name = target
		d.Start.Input, err = json.Marshal(workflow.Input{Input: d.Start.Input})
		if err == nil {
			d.Start.Definition, err = json.Marshal(flow(t, f, target))
		}
		if err == nil {
			v.triggers[name], err = r.SetTrigger(t.Context(), "", d)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return v
}

// started are the runs that a trigger has started, oldest first, each as its name and its status.
func (v *served) started(name string) (list []string) {
	v.t.Helper()
	runs, err := v.List(v.t.Context(), durable.Filter{Parent: v.triggers[name], Oldest: true})
	if err != nil {
		v.t.Fatal(err)
	}
	for _, run := range runs {
		list = append(list, fmt.Sprintf("%s %s", run.Name, run.Status))
	}
	return list
}

func (v *served) close() {
	v.t.Helper()
	if err := v.Close(); err != nil {
		v.t.Error(err)
	}
}

// TestRequests: each file that appears starts one run, with what stands in it, also across processes.
func TestRequests(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	data, folder := t.TempDir(), t.TempDir()
	f.Triggers["requests"].On.Files.Folder = folder
	put := func(name string) {
		if err := os.WriteFile(filepath.Join(folder, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("before.json") // it is there already, and starts nothing
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, f, "")
		for _, one := range []struct {
			put  string
			want []string
		}{
			{"", nil},
			{"a.json", []string{"request succeeded"}},
			{"notes.txt", []string{"request succeeded"}},
			{"b.json", []string{"request succeeded", "request succeeded"}},
		} {
			v := serve(t, data, f, s, "requests")
			time.Sleep(5 * time.Second)
			if one.put != "" {
				put(one.put)
			}
			time.Sleep(5 * time.Second)
			same(t, "after "+one.put, v.started("requests"), one.want)
			v.close()
		}
		same(t, "requests read", s.did("read_request"), []string{`read_request {"file":"a.json"}`, `read_request {"file":"b.json"}`})
		same(t, "answered", s.did("adhoc"), []string{`adhoc {"end":"2018-03-31","start":"2018-01-01"}`, `adhoc {"end":"2018-03-31","start":"2018-01-01"}`})
	})
}

// TestRefresh: what is made of a month is made anew once for each time the month is, and not when it
// misses its check.
func TestRefresh(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t, f, "2018-04")
		for i, month := range []string{"2018-02", "2018-03", "2018-04"} {
			v := serve(t, data, f, s, "refresh")
			id, err := v.StartWorkflow(t.Context(), flow(t, f, "etl"), workflow.Input{Input: json.RawMessage(`{"month":"` + month + `"}`)})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Wait(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			same(t, "reports after "+month, len(v.started("refresh")), min(i+1, 2))
			v.close()
		}
		same(t, "reports", len(s.did("report")), 2)
	})
}

// TestNightly: at two in the morning in Berlin the month is made, and what is made of it.
func TestNightly(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	data := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // it is midnight in London, on 1 January 2000
		s := newShop(t, f, "")
		v := serve(t, data, f, s, "nightly", "refresh")
		defer v.close()
		time.Sleep(50 * time.Hour)
		same(t, "nights", v.started("nightly"), []string{"nightly succeeded", "nightly succeeded", "nightly succeeded"})
		same(t, "times", s.did("run/month"), []string{`run/month {"x0":"2000-01-01T01:00:00Z"}`, `run/month {"x0":"2000-01-02T01:00:00Z"}`, `run/month {"x0":"2000-01-03T01:00:00Z"}`})
		same(t, "months", s.did("monthly"), []string{`monthly {"month":"2018-06"}`, `monthly {"month":"2018-06"}`, `monthly {"month":"2018-06"}`})
		same(t, "reports", len(v.started("refresh")), 3)
	})
}
