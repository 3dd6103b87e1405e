package trigger_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/trigger"
)

// TestCheck: what is wrong with a definition is said before anything is started.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ name, on, more, want string }{
		{"good", `{"cron":{"expr":"0 9 * * *"}}`, `"timezone":"Europe/Berlin","catch_up":0,"jitter":60000000000`, ""},
		{"nothing", `{}`, ``, "exactly one of cron, every, at, event, webhook, files, run and poll is meant; it has none"},
		{"two", `{"every":60000000000,"event":{"names":["x"]}}`, ``, "it has every, event"},
		{"never", `{"cron":{"expr":"0 0 30 2 *"}}`, ``, "never fires"},
		{"never, another way", `{"cron":{"expr":"0 0 31 4,6,9,11 *"}}`, ``, "never fires"},
		{"six fields", `{"cron":{"expr":"0 0 9 * * *"}}`, ``, "leave out the seconds"},
		{"zone of the cron", `{"cron":{"expr":"@daily","tz":"Europe/Berlln"}}`, ``, "did you mean Europe/Berlin?"},
		{"zone", `{"every":60000000000}`, `"timezone":"Asia/Kolkatta"`, "did you mean Asia/Kolkata?"},
		{"too often", `{"every":1000000}`, ``, "on.every: 1ms is less than"},
		{"jitter over the interval", `{"every":60000000000}`, `"jitter":60000000000`, "must be less than the interval, 1m0s"},
		{"jitter over the gap", `{"cron":{"expr":"0,5 9 * * *"}}`, `"jitter":300000000000`, "which may be 5m0s"},
		{"jitter of no schedule", `{"event":{"names":["x"]}}`, `"jitter":1`, "only a schedule has one"},
		{"overlap", `{"every":60000000000}`, `"overlap":"replace"`, "it takes skip, queue, cancel or allow"},
		{"catch-up", `{"every":60000000000}`, `"catch_up":-1`, "0 catches up on nothing"},
		{"queue", `{"event":{"names":["x"]}}`, `"queue_max":-1`, "queue_max"},
		{"field", `{"every":60000000000}`, `"colour":"blue"`, `unknown field "colour"`},
		{"event without names", `{"event":{}}`, ``, "names says which events"},
		{"condition", `{"event":{"names":["x"],"if":"event.amount >"}}`, ``, "if: "},
		{"condition on a run", `{"event":{"names":["x"],"if":"run.id == ''"}}`, ``, "undeclared reference"},
		{"webhook", `{"webhook":{}}`, ``, "the name of the secret"},
		{"scheme", `{"webhook":{"secret":"s","scheme":"rsa"}}`, ``, "there are standard, github, stripe, slack"},
		{"files", `{"files":{"folder":"in","glob":"../*"}}`, ``, "must stay below the folder"},
		{"glob", `{"files":{"folder":"in","glob":"[a"}}`, ``, "cannot be read"},
		{"deep glob", `{"files":{"folder":"in","glob":"**/**/**/**/x"}}`, ``, "more than 3 times **"},
		{"run", `{"run":{}}`, ``, "both are missing"},
		{"run status", `{"run":{"name":"x","statuses":["running"]}}`, ``, "no end of a run"},
		{"poll", `{"poll":{}}`, ``, "config says what is asked"},
		{"template", `{"every":60000000000}`, `"start":{"program":"p","input":{"a":"${{ event.x }}"}}`, "start.input"},
		{"program", `{"every":60000000000}`, `"start":{}`, "program is missing"},
	} {
		more := c.more
		if !strings.Contains(more, `"start"`) {
			more = strings.Trim(more+`,"start":{"program":"p"}`, ",")
		}
		_, err := trigger.Decode(json.RawMessage(fmt.Sprintf(`{"name":"t","on":%s,%s}`, c.on, more)))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (!errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
	if _, err := trigger.Request(trigger.Definition{Name: "a b"}); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a name with a space: %v", err)
	}
}

// FuzzDecode: whatever is read can be written and read again, and asks for a run.
func FuzzDecode(f *testing.F) {
	for _, on := range []string{
		`{"cron":{"expr":"*/5 * * * *","tz":"UTC"}}`, `{"every":60000000000}`, `{"at":"2026-01-01T00:00:00Z"}`,
		`{"event":{"names":["a","b"],"if":"event.data.n > 1","collapse":true,"within":1,"all":true}}`, `{"webhook":{"secret":"s","scheme":"github"}}`,
		`{"files":{"folder":"in","glob":"**/*.csv"}}`, `{"run":{"program":"agent","statuses":["failed"]}}`, `{"poll":{"config":{"tool":"x"}}}`,
	} {
		f.Add([]byte(`{"name":"t","on":` + on + `,"start":{"program":"p","input":{"x":"${{ trigger.time }}"}},"overlap":"allow","catch_up":0}`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := trigger.Decode(data)
		if err != nil {
			if !errors.Is(err, durable.ErrInvalid) {
				t.Errorf("%v is not invalid", err)
			}
			return
		}
		req, err := trigger.Request(d)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := trigger.Decode(req.Definition); err != nil {
			t.Errorf("what was read cannot be read again: %v\n%s", err, req.Definition)
		}
		v := trigger.NewView("x", req.Definition)
		if err := v.See(&durable.Entry{Kind: durable.EntryStarted, Time: time.Unix(1_700_000_000, 0)}); err != nil {
			t.Error(err)
		}
		v.Next(time.Unix(1_800_000_000, 0))
	})
}
