package expr_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/expr"
)

func variables(t testing.TB, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCondition(t *testing.T) {
	space := expr.NewSpace("args", "agent")
	for _, c := range []struct {
		text, args string
		want       bool
	}{
		{`args.url.startsWith("https://docs.")`, `{"args":{"url":"https://docs.example.com"},"agent":"a"}`, true},
		{`args.url.startsWith("https://docs.")`, `{"args":{"url":"http://docs.example.com"},"agent":"a"}`, false},
		{`args.amount < 100.0 && agent == "teller"`, `{"args":{"amount":50},"agent":"teller"}`, true},
		{`args.amount < 100`, `{"args":{"amount":50.5},"agent":"teller"}`, true},
		{`has(args.path) && !args.path.matches("\\.env$")`, `{"args":{},"agent":"a"}`, false},
		{`args.tags.exists(t, t == "x")`, `{"args":{"tags":["y","x"]},"agent":"a"}`, true},
	} {
		x, err := space.Condition(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got, err := x.True(variables(t, c.args)); err != nil || got != c.want {
			t.Errorf("%s of %s = %v, %v; want %v", c.text, c.args, got, err, c.want)
		}
	}
}

func TestBadExpressions(t *testing.T) {
	space := expr.NewSpace("args")
	for text, want := range map[string]string{
		``:                        "missing",
		`args.x ==`:               "at column 10: Syntax error",
		`arg.x == 1`:              "undeclared reference to 'arg' (did you mean 'args'?)",
		`"text"`:                  `not true or false, but string`,
		strings.Repeat("(", 3000): "recursion limit",
		`args.x == 1 || ` + strings.Repeat("x", 5000): "at most 4000 bytes",
		`now() == 1`: "undeclared reference to 'now'",
	} {
		if _, err := space.Condition(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
}

// TestDear: an expression that would take long is given up, and one that fails says why.
func TestDear(t *testing.T) {
	space := expr.NewSpace("args")
	x, err := space.Condition(`args.l.all(a, args.l.all(b, args.l.all(c, a + b + c >= 0)))`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"args": map[string]any{"l": make([]int, 1000)}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.True(variables(t, string(list))); err == nil || !strings.Contains(err.Error(), "cost") {
		t.Errorf("a billion additions: %v", err)
	}
	if x, err = space.Condition(`args.missing == 1`); err != nil {
		t.Fatal(err)
	}
	if _, err := x.True(variables(t, `{"args":{}}`)); err == nil || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("a field that is not there: %v", err)
	}
	if x, err = space.Condition(`args.text`); err != nil {
		t.Fatal(err)
	}
	if _, err := x.True(variables(t, `{"args":{"text":"yes"}}`)); err == nil {
		t.Error("a text is taken for true")
	}
}

func FuzzCompile(f *testing.F) {
	space := expr.NewSpace("args")
	for _, seed := range []string{`args.x == 1`, `args.url.startsWith("a")`, `[1,2].all(x, x > 0)`, `(((`, `"\u0000"`, `args["a"].b[0]`} {
		f.Add(seed)
	}
	vars := variables(f, `{"args":{"x":1,"url":"abc","l":[1,2,3]}}`)
	f.Fuzz(func(t *testing.T, text string) {
		x, err := space.Compile(text)
		if err != nil {
			return
		}
		one, err := x.Value(vars)
		two, again := x.Value(vars)
		if (err == nil) != (again == nil) || fmt.Sprint(one) != fmt.Sprint(two) {
			t.Errorf("%q is %v, %v and then %v, %v", text, one, err, two, again)
		}
	})
}

func BenchmarkTrue(b *testing.B) {
	x, err := expr.NewSpace("args").Condition(`args.url.startsWith("https://docs.")`)
	if err != nil {
		b.Fatal(err)
	}
	vars := variables(b, `{"args":{"url":"https://docs.example.com"}}`)
	for b.Loop() {
		if _, err := x.True(vars); err != nil {
			b.Fatal(err)
		}
	}
}

// A condition over the arguments of a call.
func ExampleSpace_Condition() {
	x, err := expr.NewSpace("args").Condition(`args.amount <= 100.0`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(x.True(map[string]any{"args": map[string]any{"amount": 250.0}}))
	// Output: false <nil>
}
