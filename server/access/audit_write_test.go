package access_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// faulty is a runtime of which writes can be made to fail, and that counts who is in a hurry.
type faulty struct {
	*orpine.Runtime
	before  atomic.Bool // fail before the write lands
	after   atomic.Bool // fail behind it
	hurries atomic.Int32
}

var errDisk = errors.New("the disk is gone")

func (f *faulty) Write(ctx context.Context, changes ...store.RecordChange) error {
	if f.before.Load() {
		return errDisk
	}
	err := f.Runtime.Write(ctx, changes...)
	if f.after.Load() {
		return errors.Join(err, errDisk)
	}
	return err
}

func (f *faulty) WriteLater(changes func() []store.RecordChange, done func(error)) {
	switch {
	case f.before.Load():
		go done(errDisk)
	case f.after.Load():
		f.Runtime.WriteLater(changes, func(err error) { done(errors.Join(err, errDisk)) })
	default:
		f.Runtime.WriteLater(changes, done)
	}
}

func (f *faulty) Hurry() {
	f.hurries.Add(1)
	f.Runtime.Hurry()
}

// A line goes along with what is committed next; where that is nothing, who waits for it hurries it.
func TestAuditGoesAlong(t *testing.T) {
	f := &faulty{Runtime: open(t, t.TempDir())}
	a := audit(t, f)
	along, err := a.Note(full("along"))
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, "other", "key", []byte("x"))
	if lines, err := a.Lines(t.Context(), 0, 10); err != nil || len(lines) != 1 || lines[0].Path != "along" {
		t.Errorf("behind another commit there are %v, %v", lines, err)
	}
	alone, err := a.Note(full("alone"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(alone.Wait(t.Context()), along.Wait(t.Context())); err != nil {
		t.Error(err)
	}
	if n := f.hurries.Load(); n > 2 {
		t.Errorf("two lines were hurried %d times", n)
	}
	fits(t, a, 2)
}

// Lines stand in the order of the calls; who does not wait for one loses nothing.
func TestAuditOrder(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		f := &faulty{Runtime: open(t, dir)}
		a := audit(t, f)
		var all sync.WaitGroup
		for i := range 100 {
			all.Go(func() {
				if err := a.Append(t.Context(), full(fmt.Sprint(i))); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // so that the order of the calls is known
		}
		all.Wait()
		if _, err := a.Note(full("gone")); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		lines, err := a.Lines(t.Context(), 0, 101)
		if err != nil || len(lines) != 101 || lines[100].Path != "gone" {
			t.Fatalf("%d lines, %v", len(lines), err)
		}
		for i, l := range lines[:100] {
			if l.Path != fmt.Sprint(i) {
				t.Errorf("line %d is of caller %s", i, l.Path)
			}
		}
		fits(t, a, 101)
	})
}

func TestAuditStopsWhenAWriteFails(t *testing.T) {
	for name, landed := range map[string]int64{"before it lands": 0, "behind it": 1} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := open(t, dir)
			f := &faulty{Runtime: r}
			a := audit(t, f)
			note(t, a, "/one")
			f.before.Store(landed == 0)
			f.after.Store(landed == 1)
			if err := a.Append(t.Context(), full("/two")); !errors.Is(err, errDisk) || !errors.Is(err, durable.ErrUnavailable) {
				t.Errorf("Append = %v; want unavailable", err)
			}
			f.before.Store(false)
			f.after.Store(false)
			if err := a.Append(t.Context(), full("/three")); !errors.Is(err, durable.ErrUnavailable) {
				t.Errorf("Append behind a failure = %v; want unavailable", err)
			}
			fits(t, a, 1+landed)
			if err := a.Close(); !errors.Is(err, errDisk) {
				t.Errorf("Close = %v; want why it stopped", err)
			}
			shut(t, r)

			a = audit(t, open(t, dir))
			if err := a.Damaged(); err != nil {
				t.Error(err)
			}
			note(t, a, "/four")
			fits(t, a, 2+landed)
		})
	}
}
