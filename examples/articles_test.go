package examples_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/workflow"
)

// TestArticles: the second page answers 503 twice, so it is waited for 2 s and 5 s, in which it is
// seen to be tried again; the others are fetched once, and the file is written once.
func TestArticles(t *testing.T) {
	t.Parallel()
	f := load(t, "articles-etl/articles.yaml")
	var w *world
	config := func() orpinetest.Config {
		w = newWorld(t, f, map[string]hand{
			"fetch_page": func(_ context.Context, n int, args map[string]any) (any, error) {
				if args["page"] == 2.0 && n < 3 {
					return nil, durable.Errorf(durable.CodeUnavailable, "503 Service Unavailable")
				}
				return fmt.Sprintf(`{"articles":[{"id":%v}]}`, args["page"]), nil
			},
			"to_table": func(_ context.Context, _ int, args map[string]any) (any, error) {
				return fmt.Sprint("id of ", args["pages"]), nil
			},
			"save_csv": says("out/articles.csv"),
		})
		return orpinetest.Config{Tools: w.tools, AnyOrder: true}
	}
	orpinetest.CrashAfterEveryStep(t, config, func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		id := begin(t, e, flow(t, f, "articles"), `{}`)
		for _, look := range []struct {
			after, until time.Duration
			attempt      int
		}{{time.Second, 2 * time.Second, 1}, {4 * time.Second, 7 * time.Second, 2}} {
			time.Sleep(time.Until(began.Add(look.after)))
			at := step(t, e, id, "fetch_page")
			same(t, "pages", len(at.Items), 3)
			same(t, "page 1", at.Items[0].Status, workflow.Succeeded)
			same(t, "page 2", at.Items[1].Status, workflow.Retrying)
			same(t, "attempt at page 2", at.Items[1].Attempt, look.attempt)
			same(t, "next attempt at page 2", at.Items[1].Until.Sub(began), look.until)
			same(t, "page 3", at.Items[2].Status, workflow.Succeeded)
		}
		same(t, "output", output(t, e.Wait(id)), `"out/articles.csv"`)
		same(t, "time", time.Since(began), 7*time.Second)
		same(t, "attempts at page 2", step(t, e, id, "fetch_page").Items[1].Attempt, 3)
		same(t, "statuses", statuses(e, id), "fetch_page:succeeded to_table:succeeded save_csv:succeeded")
		same(t, "pages fetched", len(w.did("fetch_page")), 3)
		for page, tries := range map[int]int{1: 1, 2: 3, 3: 1} {
			same(t, fmt.Sprint("calls for page ", page), w.tries(fmt.Sprintf(`fetch_page {"page":%d}`, page)), tries)
		}
		same(t, "files written", w.did("save_csv"), []string{`save_csv {"csv":"id of [map[articles:[map[id:1]]] map[articles:[map[id:2]]] map[articles:[map[id:3]]]]"}`})
	})
}
