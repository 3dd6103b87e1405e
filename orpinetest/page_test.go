package orpinetest_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/orpinetest"
)

// What follows, to the next line of dashes, stands in docs/go-workflows.md.

// ---
type order struct {
	Item string `json:"item"`
}

var (
	reserve = durable.NewFunc("reserve", durable.StepOptions{}, func(context.Context, string) (int, error) { return 0, nil })
	release = durable.NewFunc("release", durable.StepOptions{}, func(context.Context, string) (int, error) { return 0, nil })
	ship    = durable.NewFunc("ship", durable.StepOptions{Effect: durable.Irreversible}, func(context.Context, string) (string, error) { return "", nil })
)

// shop reserves an item, asks whether to ship it, for a week at most, and gives it back if not.
var shop = durable.NewProgram("shop", func(ctx durable.Context, o order) (string, error) {
	saga := durable.NewSaga(ctx)
	if _, err := durable.Do(ctx, reserve, o.Item); err != nil {
		return "", err
	}
	saga.Add("reserve", func(ctx durable.Context) error {
		_, err := durable.Do(ctx, release, o.Item)
		return err
	})
	yes, err := durable.Ask[bool](ctx, durable.Interrupt{
		Prompt: "Ship " + o.Item + "?", Within: 7 * 24 * time.Hour, Default: []byte(`false`),
	})
	if err != nil {
		return "", saga.Compensate(err)
	}
	if !yes {
		return "", saga.Compensate(durable.Errorf(durable.CodeDenied, "nobody said yes"))
	}
	number, err := durable.Do(ctx, ship, o.Item)
	return number, saga.Compensate(err)
}, reserve.StepFunc, release.StepFunc, ship.StepFunc)

// shopConfig is the program, and a warehouse in the place of the real one.
func shopConfig() orpinetest.Config {
	return orpinetest.Config{
		Programs: []durable.Program{shop},
		Stubs: map[string]orpinetest.Stub{
			"reserve": orpinetest.StubOf(func(context.Context, string) (int, error) { return 1, nil }),
			"release": orpinetest.StubOf(func(context.Context, string) (int, error) { return 0, nil }),
			"ship":    orpinetest.StubOf(func(context.Context, string) (string, error) { return "parcel 7", nil }),
		},
	}
}

func TestShipped(t *testing.T) {
	orpinetest.CrashAfterEveryStep(t, shopConfig, func(t *testing.T, e *orpinetest.Env) {
		id := e.Start("shop", order{"lamp"})
		if err := e.Answer(id, "", true); err != nil {
			t.Fatal(err)
		}
		if got := orpinetest.Output[string](e, e.Wait(id)); got != "parcel 7" {
			t.Errorf("got %q", got)
		}
	})
}

func TestNobodySaysYes(t *testing.T) {
	orpinetest.CrashAfterEveryStep(t, shopConfig, func(t *testing.T, e *orpinetest.Env) {
		began := time.Now()
		r := e.Run("shop", order{"lamp"})
		if r.Error == nil || r.Error.Message != "nobody said yes; compensated reserve" || time.Since(began) != 7*24*time.Hour {
			t.Errorf("the run is %s with %v after %s", r.Status, r.Error, time.Since(began))
		}
		if e.Calls("ship") != 0 {
			t.Error("it was shipped")
		}
	})
}

// ---

// TestPage: the page shows this code as it is.
func TestPage(t *testing.T) {
	source, err := os.ReadFile("page_test.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/go-workflows.md")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(source), "// ---\n")
	program, tests, ok := strings.Cut(parts[1], "// shopConfig is")
	if !ok || len(parts) < 3 {
		t.Fatal("there is no code between the dashes")
	}
	for _, code := range []string{program, "// shopConfig is" + tests} {
		if !strings.Contains(string(page), "```go\n"+strings.TrimSpace(code)+"\n```") {
			t.Errorf("docs/go-workflows.md does not show\n%s", code)
		}
	}
}
