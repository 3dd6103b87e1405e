package todo_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/todo"
)

func TestTodo(t *testing.T) {
	r, err := tool.NewRegistry(todo.New())
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	ctx := durable.WithAttempt(t.Context(), &durable.Attempt{Emit: func(kind string, data json.RawMessage) { seen = append(seen, kind+string(data)) }})
	for _, c := range []struct {
		args, want string
		refused    bool
	}{
		{`{"items":[]}`, "0 of 0 are done.", false},
		{`{"items":[{"text":"a","status":"done"},{"text":"b","status":"open"},{"text":"c","status":"doing"}]}`, "1 of 3 are done. Next: c", false},
		{`{"items":[{"text":"a","status":"never"}]}`, "do not match its schema", true},
	} {
		got, err := r.Dispatch(ctx, tool.Call{Name: todo.Name, Args: json.RawMessage(c.args)})
		if err != nil || got.Error != c.refused || !strings.Contains(got.Content, c.want) {
			t.Errorf("%s: %+v, %v; want %q", c.args, got, err, c.want)
		}
	}
	if len(seen) != 2 || seen[1] != `todo[{"text":"a","status":"done"},{"text":"b","status":"open"},{"text":"c","status":"doing"}]` {
		t.Errorf("watchers saw %q", seen)
	}
}

func ExampleNew() {
	r, err := tool.NewRegistry(todo.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Names())
	// Output: [todo]
}
