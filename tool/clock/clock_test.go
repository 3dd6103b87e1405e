package clock_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/clock"
)

func TestClock(t *testing.T) {
	r, err := tool.NewRegistry(clock.New())
	if err != nil {
		t.Fatal(err)
	}
	if spec, ok := r.Spec("clock"); !ok || spec.Options.Effect != durable.Read || spec.Description == "" {
		t.Errorf("spec %+v", spec)
	}
	synctest.Test(t, func(t *testing.T) { // where it is midnight in London on 1 January 2000
		for _, c := range []struct {
			name, args, want string
			failed           bool
		}{
			{"no arguments", ``, `{"time":"2000-01-01T00:00:00Z","weekday":"Saturday","zone":"UTC"}`, false},
			{"a zone", `{"zone":"America/New_York"}`, `{"time":"1999-12-31T19:00:00-05:00","weekday":"Friday","zone":"America/New_York"}`, false},
			{"an unknown zone", `{"zone":"Mars/Olympus"}`, `time zone "Mars/Olympus" is not known`, true},
			{"a path", `{"zone":"../../etc/passwd"}`, "is not known", true},
			{"another field", `{"place":"Berlin"}`, "do not match", true},
		} {
			got, err := r.Dispatch(t.Context(), tool.Call{Name: "clock", Args: json.RawMessage(c.args)})
			if err != nil {
				t.Fatal(err)
			}
			if got.Error != c.failed || !strings.Contains(got.Content, c.want) {
				t.Errorf("%s: got %+v, want %s", c.name, got, c.want)
			}
		}
	})
}

func ExampleNew() {
	spec := clock.New().Spec()
	fmt.Println(spec.Name, spec.Options.Effect)
	// Output: clock read
}
