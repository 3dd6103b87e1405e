package durable

import (
	"errors"
	"fmt"
)

// Go starts a deterministic coroutine with a result; Await its promise before the program
// returns. The coroutine uses the context it is given, not the one it was started from. The
// result stays in memory: a replay lets the coroutine come to it again.
func Go[T any](ctx Context, name string, fn func(Context) (T, error)) Promise[T] {
	r := &routine[T]{}
	r.Future = ctx.Go(name, func(ctx Context) (err error) {
		r.value, err = fn(ctx)
		return err
	})
	return Promise[T]{r}
}

// routine is the end of a coroutine, and what it came to.
type routine[T any] struct {
	Future
	value T
}

// Get implements Future.
func (r *routine[T]) Get(ctx Context, out any) error {
	err := r.Future.Get(ctx, nil)
	if !r.Ready() || out == nil {
		return err // the wait was canceled, not the coroutine
	}
	if v, ok := out.(*T); ok {
		*v = r.value
		return err
	}
	if err != nil {
		return err
	}
	data, err := encode(r.value)
	if err != nil {
		return err
	}
	return Decode(data, out)
}

// mostTold is how many failures the error of Each names.
const mostTold = 10

// Each calls fn for every item, at most atOnce of them at once (0 = all), each in a coroutine
// of its own turn, and returns the results in the order of the items. An item that fails does
// not stop the others: what they cost may be spent already. The error joins the failures in the order of
// the items and has the code of the first; the results of the others are there beside it. After a
// cancel every command fails, so what is left ends soon; Each waits for that. fn may not Continue.
func Each[I, O any](ctx Context, items []I, atOnce int, fn func(ctx Context, i int, item I) (O, error)) ([]O, error) {
	results, failures := make([]O, len(items)), make([]error, len(items))
	if atOnce <= 0 || atOnce > len(items) {
		atOnce = len(items)
	}
	next := 0
	crew := make([]Future, atOnce)
	for n := range crew {
		crew[n] = ctx.Go(fmt.Sprintf("each %d", n), func(ctx Context) error {
			for next < len(items) {
				i := next
				next++
				results[i], failures[i] = fn(ctx, i, items[i])
			}
			return nil
		})
	}
	for _, f := range crew {
		// Under Shield, because a coroutine may have to clean up after a cancel.
		if err := f.Get(ctx.Shield(), nil); err != nil {
			return results, err
		}
	}
	return results, joinItems(failures)
}

// joinItems makes one error of those of the items, nil if there is none.
func joinItems(failures []error) error {
	var told []error
	var first error
	left := 0
	for i, err := range failures {
		switch {
		case err == nil:
			continue
		case len(told) == mostTold:
			left++
			continue
		case first == nil:
			first = err
		}
		told = append(told, fmt.Errorf("item %d: %w", i, err))
	}
	if first == nil {
		return nil
	}
	if left > 0 {
		told = append(told, fmt.Errorf("and %d items more", left))
	}
	return &Error{Code: CodeOf(first), Reason: reasonOf(first), Err: errors.Join(told...)}
}

// reasonOf is a program's own word for an error, "" without one.
func reasonOf(err error) string { return FailureOf(err).Reason }

// Ask puts a question and waits for the answer. Where the interrupt has no Schema it gets that of
// T, see [SchemaOf], so an engine accepts no answer that T cannot hold. Errors: invalid for a
// T without a schema, exhausted when nobody answered in time and there is no default.
func Ask[T any](ctx Context, i Interrupt) (T, error) {
	if i.Schema == nil {
		schema, err := SchemaOf[T]()
		if err != nil {
			var none T
			return none, &Error{Code: CodeInvalid, Op: fmt.Sprintf("ask %q", i.Prompt), Err: err}
		}
		i.Schema = schema
	}
	return Promise[T]{ctx.Ask(i)}.Await(ctx)
}
