package examples_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orpine-run/orpine/config"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
	"github.com/orpine-run/orpine/workflow"
)

// shop is the world of the tables: each takes a minute to make. The month bad lacks a customer.
type shop struct {
	*world
	bad      atomic.Value // of string
	at, most atomic.Int32 // how many months are made at once, now and at most
}

func newShop(t *testing.T, f *config.File, bad string) *shop {
	s := &shop{}
	s.bad.Store(bad)
	table := takes(time.Minute, says(`{"row_count":3,"null_ids":0,"preview":["1,Ann"]}`))
	s.world = newWorld(t, f, map[string]hand{
		"load": table, "stage": table, "customers": table, "report": table, "publish": says("published"), "adhoc": says("7950"),
		"read_request": says(`{"start_date":"2018-01-01","end_date":"2018-03-31"}`),
		"run/month":    says("2018-06"),
		"monthly": func(ctx context.Context, n int, args map[string]any) (any, error) {
			s.most.Store(max(s.most.Load(), s.at.Add(1)))
			defer s.at.Add(-1)
			nulls := 0
			if args["month"] == s.bad.Load() {
				nulls = 1
			}
			return takes(time.Minute, says(fmt.Sprintf(`{"row_count":0,"null_ids":%d,"preview":[]}`, nulls)))(ctx, n, args)
		},
	})
	return s
}

// position is where a call stands in a list of them, -1 if nowhere.
func position(list []string, name, arg string) int {
	return slices.IndexFunc(list, func(call string) bool { return strings.HasPrefix(call, name+" ") && strings.Contains(call, arg) })
}

// TestSelect: +monthly_orders makes that and what it is made of, in an order in which each comes behind
// what it needs, and what needs nothing at once; nothing else is made.
func TestSelect(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	var s *shop
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		s = newShop(t, f, "")
		return orpinetest.Config{Tools: s.tools, AnyOrder: true}
	}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "etl"), `{"month":"2018-02"}`, "+monthly_orders")
		same(t, "output", output(t, e.Wait(id)), `{"null_ids":0,"preview":[],"row_count":0}`)
		same(t, "statuses", statuses(e, id), "raw_customers:succeeded raw_orders:succeeded raw_payments:succeeded"+
			" stg_customers:succeeded stg_orders:succeeded stg_payments:succeeded monthly_orders:succeeded customers_report:skipped approval:skipped published:skipped")
		same(t, "why not", step(t, e, id, "customers_report").Reason, "it was not selected")
		done := s.did("load", "stage", "monthly", "customers", "publish")
		same(t, "tables made", len(done), 7)
		for _, name := range []string{"customers", "orders", "payments"} {
			raw, stage := position(done, "load", name), position(done, "stage", name)
			if raw < 0 || stage < raw || position(done, "monthly", "2018-02") != 6 {
				t.Errorf("the order is %q", done)
			}
		}
		var assets []string
		for _, m := range e.Assets() {
			assets = append(assets, strings.TrimSuffix(m.Asset+" "+m.Partition, " ")+" of "+fmt.Sprint(m.Needs))
		}
		same(t, "lineage", strings.Join(assets, ", "), "monthly_orders 2018-02 of [stg_customers stg_orders stg_payments],"+
			" raw_customers of [], raw_orders of [], raw_payments of [], stg_customers of [raw_customers], stg_orders of [raw_orders], stg_payments of [raw_payments]")
		same(t, "metadata", string(e.Assets()[1].Metadata), `{"preview":["1,Ann"],"row_count":3}`)
	})
}

// TestAtOnce: three layers of a minute each take three minutes.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	orpinetest.Run(t, orpinetest.Config{Tools: newShop(t, f, "").tools}, func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		output(t, e.Wait(begin(t, e, flow(t, f, "etl"), `{"month":"2018-02"}`, "+monthly_orders")))
		same(t, "time", time.Since(began), 3*time.Minute)
	})
}

// TestCheck: a check that is missed marks the asset and stops what comes behind it, but not what stands
// beside it; one that only warns is recorded. The retry does not do again what succeeded.
func TestCheck(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	var s *shop
	orpinetest.CrashAfterEveryStep(t, func() orpinetest.Config {
		s = newShop(t, f, "2018-04")
		return orpinetest.Config{Tools: s.tools, AnyOrder: true}
	}, func(t *testing.T, e *orpinetest.Env) {
		id := begin(t, e, flow(t, f, "etl"), `{"month":"2018-04","publish":true}`)
		r := e.Wait(id)
		if r.Status != durable.Failed || r.Error.Reason != workflow.ReasonCheck || r.Error.Message != "step monthly_orders: asset monthly_orders does not pass missing_dimension_check" {
			t.Errorf("the run is %s: %+v", r.Status, r.Error)
		}
		want := []workflow.Checked{{Name: "missing_dimension_check"}, {Name: "some_orders", Warns: true}}
		same(t, "checks", step(t, e, id, "monthly_orders").Checks, want)
		same(t, "checks of the asset", e.Assets()[1].Checks, want)
		same(t, "beside and behind", []workflow.Status{step(t, e, id, "customers_report").Status, step(t, e, id, "approval").Status, step(t, e, id, "published").Status},
			[]workflow.Status{workflow.Succeeded, workflow.Skipped, workflow.Skipped})
		before := len(s.did("load", "stage", "customers"))

		s.bad.Store("")
		again := e.Retry(id, "")
		if err := e.Answer(again, "", "accept"); err != nil {
			t.Fatal(err)
		}
		output(t, e.Wait(again))
		same(t, "made again beside", len(s.did("load", "stage", "customers"))-before, 0)
		same(t, "published", s.did("publish"), []string{`publish {"month":"2018-04"}`})
		same(t, "check of the asset", e.Assets()[1].Checks[0].Passed, true)
	})
}

// TestGate: nothing is published unless a person says so.
func TestGate(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	for action, published := range map[string]int{"accept": 1, "reject": 0} {
		s := newShop(t, f, "")
		orpinetest.Run(t, orpinetest.Config{Tools: s.tools}, func(t *testing.T, e *orpinetest.Env) {
			id := begin(t, e, flow(t, f, "etl"), `{"month":"2018-02","publish":true}`)
			time.Sleep(24 * time.Hour)
			same(t, "status", step(t, e, id, "approval").Status, workflow.Waiting)
			same(t, "published before", len(s.did("publish")), 0)
			e.Crash()
			if err := e.Answer(id, "", action); err != nil {
				t.Fatal(err)
			}
			output(t, e.Wait(id))
			same(t, "published", len(s.did("publish")), published)
			same(t, "asset", slices.ContainsFunc(e.Assets(), func(m workflow.Materialization) bool { return m.Asset == "published" && m.Partition == "2018-02" }), published == 1)
		})
	}
}

// TestBackfill: six months, two at once; one fails, and only that one is tried again.
func TestBackfill(t *testing.T) {
	t.Parallel()
	f := load(t, "jaffle/jaffle.yaml")
	s := newShop(t, f, "2018-04")
	partitions, err := workflow.Partitions("2018-01..2018-06")
	if err != nil {
		t.Fatal(err)
	}
	d, err := workflow.Backfill(flow(t, f, "etl"), "month", 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	input, err := json.Marshal(map[string]any{"partitions": partitions})
	if err != nil {
		t.Fatal(err)
	}
	months := func(e *orpinetest.Env, id durable.RunID) (list []workflow.Status) {
		for _, m := range step(t, e, id, "partitions").Items {
			list = append(list, m.Status)
		}
		return list
	}
	orpinetest.Run(t, orpinetest.Config{Tools: s.tools}, func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		id := begin(t, e, d, string(input))
		time.Sleep(4 * time.Minute)
		same(t, "while it runs", months(e, id), []workflow.Status{"succeeded", "succeeded", "running", "running", "pending", "pending"})
		e.Crash()
		if r := e.Wait(id); r.Status != durable.Failed || !strings.Contains(r.Error.Message, "item 3: ") || strings.Contains(r.Error.Message, "item 2") {
			t.Errorf("the run is %s: %+v", r.Status, r.Error)
		}
		same(t, "months", months(e, id), []workflow.Status{"succeeded", "succeeded", "succeeded", "failed", "succeeded", "succeeded"})
		same(t, "at once", s.most.Load(), int32(2))
		if took := time.Since(began); took < 9*time.Minute || took > 11*time.Minute { // the kill lost a minute at most
			t.Errorf("three times two months took %s", took)
		}
		same(t, "assets", len(e.Assets()), 6+7)

		before, beside := len(s.did("monthly")), len(s.did("load", "stage", "customers"))
		s.bad.Store("")
		again := e.Retry(id, "")
		if r := e.Wait(again); r.Status != durable.Succeeded {
			t.Errorf("the retry is %s: %+v", r.Status, r.Error)
		}
		same(t, "months", months(e, again), []workflow.Status{"succeeded", "succeeded", "succeeded", "succeeded", "succeeded", "succeeded"})
		same(t, "made again", s.did("monthly")[before:], []string{`monthly {"month":"2018-04"}`})
		same(t, "made again beside", len(s.did("load", "stage", "customers"))-beside, 0)
	})
}
