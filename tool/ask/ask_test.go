package ask_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/ask"
)

func TestAsk(t *testing.T) {
	r, err := tool.NewRegistry(ask.New())
	if err != nil {
		t.Fatal(err)
	}
	question := tool.Call{Name: ask.Name, Args: json.RawMessage(`{"question":"Which?","options":["a","b"]}`)}
	got, err := r.Dispatch(t.Context(), question)
	if want := (tool.Result{Asks: []tool.Question{{Name: "question", Prompt: "Which?", Options: []string{"a", "b"}}}}); err != nil || !cmp.Equal(got, want) {
		t.Errorf("it asks %+v, %v", got, err)
	}
	for _, c := range []struct {
		answers tool.Answers
		want    tool.Result
	}{
		{tool.Answers{Given: map[string]json.RawMessage{"question": json.RawMessage(`"b"`)}}, tool.Result{Content: "b"}},
		{tool.Answers{Given: map[string]json.RawMessage{"question": json.RawMessage(`{"x":1}`)}}, tool.Result{Content: `{"x":1}`}},
		{tool.Answers{Declined: []string{"question"}}, tool.Result{Content: "nobody answered", Error: true}},
	} {
		if got, err := r.Dispatch(tool.WithAnswers(t.Context(), c.answers), question); err != nil || !cmp.Equal(got, c.want) {
			t.Errorf("%+v: %+v, %v; want %+v", c.answers, got, err, c.want)
		}
	}
	if got, err := r.Dispatch(t.Context(), tool.Call{Name: ask.Name, Args: json.RawMessage(`{"question":" "}`)}); err != nil || !got.Error {
		t.Errorf("an empty question: %+v, %v", got, err)
	}
}

func ExampleNew() {
	r, err := tool.NewRegistry(ask.New())
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(r.Names())
	// Output: [ask_human]
}
