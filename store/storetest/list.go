package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

func list(t *testing.T, open Open) {
	s := open(t)
	for _, id := range []string{"a", "b", "c"} {
		c := create(id)
		if id == "b" {
			c.Create.Program, c.Create.Parent = "q", "a"
		}
		mustCommit(t, s, c)
	}
	mustCommit(t, s, &store.Change{Run: "c", State: &store.State{Status: durable.Succeeded, Updated: epoch}})
	for _, c := range []struct {
		name   string
		filter durable.Filter
		want   []string
	}{
		{"all", durable.Filter{}, []string{"c", "b", "a"}},
		{"limit", durable.Filter{Limit: 2}, []string{"c", "b"}},
		{"program", durable.Filter{Program: "q"}, []string{"b"}},
		{"parent", durable.Filter{Parent: "a"}, []string{"b"}},
		{"roots", durable.Filter{Roots: true}, []string{"c", "a"}},
		{"behind b", durable.Filter{Before: nOf(t, s, "b")}, []string{"a"}},
		{"status", durable.Filter{Statuses: []durable.Status{durable.Running, durable.Failed}}, []string{"b", "a"}},
	} {
		got, err := s.List(t.Context(), c.filter)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.name, ids(got), c.want)
	}
}

func nOf(t *testing.T, s store.Store, id durable.RunID) int64 {
	t.Helper()
	r, err := s.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return r.N
}

func find(t *testing.T, open Open) {
	s := open(t)
	for _, id := range []string{"abc1", "abc2", "abd3"} {
		mustCommit(t, s, create(id))
	}
	for _, c := range []struct {
		ref  string
		want []durable.RunID
	}{
		{"abc1", []durable.RunID{"abc1"}},
		{"abc", []durable.RunID{"abc2", "abc1"}},
		{"n-abd3", []durable.RunID{"abd3"}},
		{"bc", nil},
		{"%", nil},
	} {
		got, err := s.Find(t.Context(), c.ref, 10)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.ref, got, c.want)
	}
}

// pick returns one of a few values, so that many runs have the same.
func pick[T any](rng *rand.Rand, values ...T) T { return values[rng.IntN(len(values))] }

// manyRuns fills a store and returns what is in it, oldest first.
func manyRuns(t *testing.T, s store.Store, rng *rand.Rand, n int) []store.Run {
	t.Helper()
	changes := make([]*store.Change, n)
	for i := range changes {
		id := fmt.Sprintf("%c%03d", "abA_%"[rng.IntN(5)], i)
		r := newRun(id)
		r.Name = pick(rng, "", "Daily Report", "daily", "50%_off", `back\slash`, "Übung")
		r.Program, r.Tenant = pick(rng, "agent", "Cost"), pick(rng, "", "", "acme", "ACME")
		r.Parent, r.Base = pick(rng, "", "", durable.RunID("p1"), "p2"), pick(rng, "", "", durable.RunID("b1"))
		r.Created = epoch.Add(time.Duration(rng.IntN(5)) * time.Microsecond)
		r.Status, r.Reason = pick(rng, durable.Running, durable.Waiting, durable.Failed), pick(rng, "", "", "the AGENT said no", "b")
		changes[i] = &store.Change{Run: r.ID, Create: r}
	}
	mustCommit(t, s, changes...)
	runs, err := s.List(t.Context(), durable.Filter{Limit: n + 1, Oldest: true})
	if err != nil || len(runs) != n {
		t.Fatalf("%d runs, error %v", len(runs), err)
	}
	for i, r := range runs {
		if r.ID != changes[i].Run {
			t.Fatalf("the run at %d is %s, want %s", i, r.ID, changes[i].Run)
		}
	}
	return runs
}

// matches says what a filter means.
func matches(f *durable.Filter, r *store.Run) bool {
	word, has := strings.ToLower(f.Search), func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(f.Search)) }
	return (len(f.Statuses) == 0 || slices.Contains(f.Statuses, r.Status)) &&
		(f.Program == "" || r.Program == f.Program) && (f.Tenant == "" || r.Tenant == f.Tenant) && (f.Name == "" || r.Name == f.Name) &&
		(f.Parent == "" || r.Parent == f.Parent) && (f.Base == "" || r.Base == f.Base) && (!f.Roots || r.Parent == "") &&
		(has(r.Name) || has(r.Program) || has(r.Reason) || strings.HasPrefix(strings.ToLower(string(r.ID)), word)) &&
		(f.Since.IsZero() || !r.Created.Before(f.Since)) && (f.Until.IsZero() || r.Created.Before(f.Until)) &&
		(f.Before == 0 || r.N < f.Before) && (f.After == 0 || r.N > f.After)
}

// filters puts every field of a filter alone and in combinations, reads all pages, and
// holds them and the counts against what a filter means.
func filters(t *testing.T, open Open) {
	s, rng := open(t), rand.New(rand.NewPCG(4, 2)) //nolint:gosec // the same each time
	runs := manyRuns(t, s, rng, 300)
	statuses := func() []durable.Status {
		return []durable.Status{pick(rng, durable.Running, durable.Killed), durable.Failed}
	}
	moment := func() time.Time { return epoch.Add(time.Duration(rng.IntN(5)) * time.Microsecond) }
	narrow := []func(f *durable.Filter){
		func(f *durable.Filter) { f.Statuses = statuses() },
		func(f *durable.Filter) { f.Program = pick(rng, "agent", "Cost", "cost") },
		func(f *durable.Filter) { f.Tenant = pick(rng, "acme", "ACME", "none") },
		func(f *durable.Filter) { f.Name = pick(rng, "daily", "Daily Report", "50%_off", "dail", "%") },
		func(f *durable.Filter) { f.Parent = pick(rng, durable.RunID("p1"), "p") },
		func(f *durable.Filter) { f.Base = pick(rng, durable.RunID("b1"), "b") },
		func(f *durable.Filter) { f.Roots = true },
		func(f *durable.Filter) {
			f.Search = pick(rng, "daily", "AGENT", "b", "_", "%", `\`, "a0", "A01", "0%_O", "' OR 1", "bung", strings.Repeat("x", 100_000))
		},
		func(f *durable.Filter) { f.Since = moment() },
		func(f *durable.Filter) { f.Until = moment() },
		func(f *durable.Filter) { f.Before = runs[rng.IntN(len(runs))].N },
		func(f *durable.Filter) { f.After = runs[rng.IntN(len(runs))].N },
		func(f *durable.Filter) { f.Oldest = true },
	}
	found := 0
	for i := range 400 {
		f := durable.Filter{Limit: pick(rng, 3, 7, 50, 1000)}
		if i < 10*len(narrow) {
			narrow[i%len(narrow)](&f)
		} else {
			for range 1 + rng.IntN(4) {
				narrow[rng.IntN(len(narrow))](&f)
			}
		}
		found += holdsFilter(t, s, runs, f)
	}
	if found < 10_000 {
		t.Errorf("all filters together find %d runs: they are too narrow to say anything", found)
	}
}

// holdsFilter returns how many runs match.
func holdsFilter(t *testing.T, s store.Store, runs []store.Run, f durable.Filter) int {
	t.Helper()
	want, counts := []string(nil), map[durable.Status]int64{}
	all := f
	all.Statuses, all.Before, all.After = nil, 0, 0
	for i := range runs {
		if matches(&f, &runs[i]) {
			want = append(want, string(runs[i].ID))
		}
		if matches(&all, &runs[i]) {
			counts[runs[i].Status]++
		}
	}
	if !f.Oldest {
		slices.Reverse(want)
	}
	var got []string
	for page := f; ; {
		list, err := s.List(t.Context(), page)
		if err != nil {
			t.Fatalf("%+v: %v", page, err)
		}
		got = append(got, ids(list)...)
		if len(list) < page.Limit {
			break
		}
		turn(&page, list[len(list)-1].N)
	}
	what := fmt.Sprintf("%+v", f)
	equal(t, what[:min(len(what), 500)], got, want)
	count, err := s.Count(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "count of "+what[:min(len(what), 500)], count, counts)
	return len(want)
}

// turn makes a filter one for the page behind the run with this N.
func turn(f *durable.Filter, n int64) {
	if f.Oldest {
		f.After = n
	} else {
		f.Before = n
	}
}

// pages reads 2,500 runs, every other of which matches, in pages of 7, while others are
// added that match too: each of the first comes once. Newest first none of the new ones
// comes; oldest first all of them do, at the end.
func pages(t *testing.T, open Open) {
	const n, size = 2500, 7
	s, added := open(t), 0
	var first []*store.Change
	add := func(id string, matches bool) *store.Change {
		r := newRun(id)
		if matches {
			r.Tenant, r.Name = "acme", "Some Report"
		}
		return &store.Change{Run: r.ID, Create: r}
	}
	for i := range n {
		first = append(first, add(fmt.Sprintf("r%04d", i), i%2 == 0))
	}
	mustCommit(t, s, first...)
	for _, oldest := range []bool{false, true} {
		was := added
		var got, want []string
		for i := 0; i < n; i += 2 {
			want = append(want, string(first[i].Run))
		}
		for i := range was {
			want = append(want, fmt.Sprintf("x%04d", i))
		}
		for f := (durable.Filter{Tenant: "acme", Search: "report", Limit: size, Oldest: oldest}); ; {
			page, err := s.List(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ids(page)...)
			if len(page) < size {
				break
			}
			turn(&f, page[size-1].N)
			if added < was+200 {
				mustCommit(t, s, add(fmt.Sprintf("x%04d", added), true))
				added++
			}
		}
		if oldest {
			for i := was; i < added; i++ {
				want = append(want, fmt.Sprintf("x%04d", i))
			}
		} else {
			slices.Reverse(want)
		}
		if added == was {
			t.Error("nothing was added meanwhile")
		}
		equal(t, fmt.Sprintf("oldest first %t", oldest), got, want)
	}
}
