package durable_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// Two coroutines at once, each with a result.
func ExampleGo() {
	look := durable.NewFunc("look", durable.StepOptions{Effect: durable.Read}, func(_ context.Context, where string) (int, error) {
		return len(where), nil
	})
	program := durable.NewProgram("both", func(ctx durable.Context, _ int) (int, error) {
		cellar := durable.Go(ctx, "cellar", func(ctx durable.Context) (int, error) { return durable.Do(ctx, look, "cellar") })
		attic := durable.Go(ctx, "attic", func(ctx durable.Context) (int, error) { return durable.Do(ctx, look, "attic") })
		a, errA := cellar.Await(ctx)
		b, errB := attic.Await(ctx)
		return a + b, errors.Join(errA, errB)
	}, look.StepFunc)
	run, err := runOnce(context.Background(), program, `0`)
	fmt.Println(string(run.Output), err)
	// Output: 11 <nil>
}

// Every page is fetched, two at a time; the results are in the order of the pages.
func ExampleEach() {
	fetch := durable.NewFunc("fetch", durable.StepOptions{Effect: durable.Read}, func(_ context.Context, page string) (string, error) {
		return strings.ToUpper(page), nil
	})
	program := durable.NewProgram("pages", func(ctx durable.Context, pages []string) ([]string, error) {
		return durable.Each(ctx, pages, 2, func(ctx durable.Context, _ int, page string) (string, error) {
			return durable.Do(ctx, fetch, page)
		})
	}, fetch.StepFunc)
	run, err := runOnce(context.Background(), program, `["a","b","c"]`)
	fmt.Println(string(run.Output), err)
	// Output: ["A","B","C"] <nil>
}

// A question whose answer has a type. Nobody is there to answer this one within its time.
func ExampleAsk() {
	type verdict struct {
		Approved bool   `json:"approved"`
		Note     string `json:"note,omitempty"`
	}
	program := durable.NewProgram("ask", func(ctx durable.Context, _ int) (verdict, error) {
		return durable.Ask[verdict](ctx, durable.Interrupt{
			Prompt: "Pay the invoice?", Within: 1, Default: []byte(`{"approved":false,"note":"nobody was there"}`),
		})
	})
	run, err := runOnce(context.Background(), program, `0`)
	fmt.Println(string(run.Output), err)
	// Output: {"approved":false,"note":"nobody was there"} <nil>
}

// What was booked is canceled when the next step fails, the latest first.
func ExampleSaga() {
	book := durable.NewFunc("book", durable.StepOptions{}, func(_ context.Context, what string) (string, error) {
		if what == "car" {
			return "", durable.Errorf(durable.CodeNotFound, "there is no car left")
		}
		return "booked " + what, nil
	})
	cancel := durable.NewFunc("cancel", durable.StepOptions{}, func(_ context.Context, what string) (string, error) {
		return "canceled " + what, nil
	})
	program := durable.NewProgram("trip", func(ctx durable.Context, parts []string) (string, error) {
		saga := durable.NewSaga(ctx)
		for _, part := range parts {
			if _, err := durable.Do(ctx, book, part); err != nil {
				return "", saga.Compensate(err)
			}
			saga.Add(part, func(ctx durable.Context) error {
				_, err := durable.Do(ctx, cancel, part)
				return err
			})
		}
		return "booked", nil
	}, book.StepFunc, cancel.StepFunc)
	run, err := runOnce(context.Background(), program, `["flight","hotel","car"]`)
	fmt.Println(run.Status, run.Error, err)
	// Output: failed there is no car left; compensated hotel; compensated flight <nil>
}
