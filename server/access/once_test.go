package access_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
	"github.com/orpine-run/orpine/store"
)

// ids makes an ID of its own for every call.
func ids() func() string {
	var n atomic.Int64
	return func() string { return fmt.Sprint("id", n.Add(1)) }
}

func TestOnce(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	keys, next := access.NewKeys(r), ids()
	long := strings.Repeat("~", 255)
	for _, c := range []struct {
		name, tenant, route, key, request string
		id                                string // "" = conflict
		first                             bool
	}{
		{"first", "acme", "POST /v1/runs", "k", "one", "id1", true},
		{"again", "acme", "POST /v1/runs", "k", "one", "id1", false},
		{"another request", "acme", "POST /v1/runs", "k", "two", "", false},
		{"another tenant", "", "POST /v1/runs", "k", "one", "id2", true},
		{"another route", "acme", "POST /v1/threads", "k", "one", "id3", true},
		{"another key", "acme", "POST /v1/runs", "K", "one", "id4", true},
		{"odd names", "a/b", "c", "d", "one", "id5", true},
		{"odd names, cut elsewhere", "a", "b/c", "d", "one", "id6", true},
		{"odd names, escaped", "a%2Fb", "c", "d", "one", "id7", true},
		{"empty request", "acme", "r", " ", "", "id8", true},
		{"empty request again", "acme", "r", " ", "", "id8", false},
		{"long key", "acme", "r", long, "one", "id9", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, first, err := keys.Once(t.Context(), c.tenant, c.route, c.key, []byte(c.request), next)
			if c.id == "" {
				if !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "the key was used for another request") {
					t.Errorf("Once = %s, %v; want conflict", id, err)
				}
			} else if id != c.id || first != c.first || err != nil {
				t.Errorf("Once = %s, %v, %v; want %s, %v", id, first, err, c.id, c.first)
			}
		})
	}
	for _, key := range []string{"", "a\nb", "\x7f", "é", "\xff", long + "~"} {
		if _, _, err := keys.Once(t.Context(), "", "r", key, nil, next); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("key %q: %v; want invalid", key, err)
		}
	}
	shut(t, r)

	keys = access.NewKeys(open(t, dir)) // another process
	if id, first, err := keys.Once(t.Context(), "acme", "POST /v1/runs", "k", []byte("one"), next); id != "id1" || first || err != nil {
		t.Errorf("Once, later = %s, %v, %v; want id1", id, first, err)
	}
}

// Of many first calls at once one is first, and all get its ID.
func TestOnceTogether(t *testing.T) {
	keys, next := access.NewKeys(open(t, t.TempDir())), ids()
	for round := range 20 {
		var all sync.WaitGroup
		var mu sync.Mutex
		got, firsts := map[string]int{}, 0
		for range 16 {
			all.Go(func() {
				id, first, err := keys.Once(t.Context(), "", "r", fmt.Sprint(round), []byte("x"), next)
				mu.Lock()
				defer mu.Unlock()
				if got[id]++; err != nil {
					t.Error(err)
				}
				if first {
					firsts++
				}
			})
		}
		all.Wait()
		if len(got) != 1 || firsts != 1 {
			t.Errorf("%d were first, IDs %v; want one", firsts, got)
		}
	}
}

// A key is forgotten after 24 hours, also when nobody asks for it again.
func TestOnceForgets(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := open(t, dir)
		keys, next := access.NewKeys(r), ids()
		ask := func(key, request string) (string, bool, error) {
			return keys.Once(t.Context(), "", "r", key, []byte(request), next)
		}
		const many = 60
		for i := range many {
			if _, _, err := ask(fmt.Sprint("old", i), "x"); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(24*time.Hour - time.Millisecond)
		if id, first, err := ask("old0", "x"); id != "id1" || first || err != nil {
			t.Errorf("before its time: %s, %v, %v; want id1", id, first, err)
		}
		time.Sleep(time.Millisecond)
		if id, first, err := ask("old0", "y"); id != "id61" || !first || err != nil {
			t.Errorf("behind its time: %s, %v, %v; want a new one", id, first, err)
		}
		if id, first, err := ask("old0", "y"); id != "id61" || first || err != nil {
			t.Errorf("and again: %s, %v, %v", id, first, err)
		}
		before := count(t, r)
		for i := range 10 {
			if _, _, err := ask(fmt.Sprint("new", i), "x"); err != nil {
				t.Fatal(err)
			}
			left := count(t, r)
			if before-left > 17 {
				t.Errorf("one call forgot %d keys: its work is not bounded", before-left)
			}
			before = left
		}
		if got := count(t, r); got != 11 {
			t.Errorf("%d keys are left, want the 11 that are new", got)
		}
	})
}

// count is how many keys are kept.
func count(t *testing.T, r access.Records) int {
	t.Helper()
	all, err := r.Records(t.Context(), "once", store.RecordFilter{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// A write that fails is the caller's to see; one that landed all the same is found later.
func TestOnceWhenAWriteFails(t *testing.T) {
	f := &faulty{Runtime: open(t, t.TempDir())}
	keys, next := access.NewKeys(f), ids()
	ask := func() (string, bool, error) {
		return keys.Once(context.WithoutCancel(t.Context()), "", "r", "k", []byte("x"), next)
	}
	f.before.Store(true)
	if _, first, err := ask(); first || !errors.Is(err, errDisk) {
		t.Errorf("Once = %v, %v; want the error of the write", first, err)
	}
	f.before.Store(false)
	f.after.Store(true)
	if _, first, err := ask(); first || !errors.Is(err, errDisk) {
		t.Errorf("Once = %v, %v; want the error of the write", first, err)
	}
	if id, first, err := ask(); id != "id2" || first || err != nil {
		t.Errorf("Once = %s, %v, %v; want the ID that landed", id, first, err)
	}
	put(t, f.Runtime, "once", only(t, f, "once").Key, []byte("{"))
	if id, _, err := ask(); !errors.Is(err, durable.ErrInternal) {
		t.Errorf("a damaged key: %s, %v; want internal", id, err)
	}
}
