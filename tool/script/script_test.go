package script_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/script"
)

var shared = script.New() // compiling an interpreter takes a while

func TestMain(m *testing.M) {
	code := m.Run()
	if err := shared.Close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func call(t testing.TB, config script.Declared, code, input string) (tool.Result, error) {
	t.Helper()
	data, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	made, err := shared.Make(tool.Declaration{Name: config.Language, Kind: script.Kind, Config: data})
	if err != nil {
		t.Fatal(err)
	}
	r, err := tool.NewRegistry(made)
	if err != nil {
		t.Fatal(err)
	}
	args := map[string]any{"code": code}
	if input != "" {
		args["input"] = json.RawMessage(input)
	}
	if data, err = json.Marshal(args); err != nil {
		t.Fatal(err)
	}
	ctx := durable.WithAttempt(t.Context(), &durable.Attempt{Key: "run/0/1"})
	return r.Dispatch(ctx, tool.Call{Name: config.Language, Args: data})
}

func TestResults(t *testing.T) {
	for _, c := range []struct{ language, name, code, input, want string }{
		{"starlark", "a value", "1 + 2", "", "3"},
		{"starlark", "a text", `"a" + "é"`, "", "aé"},
		{"starlark", "a structure", `{"a": [1, None, True]}`, "", `{"a":[1,null,true]}`},
		{"starlark", "a variable", "result = 1\nresult = result + 1\nx = 5", "", "2"},
		{"starlark", "nothing", "x = 1", "", ""},
		{"starlark", "printed", "print(1, 'a')\nprint(2)\n3", "", "1 a\n2\n3"},
		{"starlark", "input", `[x["n"] * 2 for x in input["list"]]`, `{"list":[{"n":1},{"n":2.5}]}`, "[2,5.0]"},
		{"starlark", "functions", "def f(n):\n  return 1 if n < 2 else n * f(n - 1)\nf(20)", "", "2432902008176640000"},
		{"starlark", "modules", `json.decode('{"a":1}')["a"] + math.floor(1.5)`, "", "2"},
		{"starlark", "a set", `set([1, 2])`, "", "[1,2]"},
		{"javascript", "a value", "1 + 2", "", "3"},
		{"javascript", "a text", `"a" + "é\u2028"`, "", "aé\u2028"},
		{"javascript", "a structure", `({a: [1, null, true]})`, "", `{"a":[1,null,true]}`},
		{"javascript", "nothing", "let x = 1", "", ""},
		{"javascript", "printed", "console.log(1, 'a', {b: 2}); print(2); 3", "", "1 a {\"b\":2}\n2\n3"},
		{"javascript", "input", `input.list.map(x => x.n * 2)`, `{"list":[{"n":1},{"n":2.5}]}`, "[2,5]"},
		{"javascript", "a big number", `2n ** 70n`, "", `"1180591620717411303424"`},
		{"javascript", "a promise", `(async () => { await null; return await Promise.all([1, 2]) })()`, "", "[1,2]"},
		{"javascript", "the clock stands still", `Date.now() + new Date(86400000).toISOString() + new Date(0).getHours()`, "", "01970-01-02T00:00:00.000Z0"},
		{"javascript", "a symbol", `Symbol("x")`, "", "Symbol(x)"},
		{"javascript", "a new language", `Object.groupBy([1, 2, 3], n => n % 2 ? "odd" : "even").odd.at(-1)`, "", "3"},
	} {
		got, err := call(t, script.Declared{Language: c.language}, c.code, c.input)
		if err != nil || got.Error || got.Content != c.want {
			t.Errorf("%s, %s: got %+v, %v; want %q", c.language, c.name, got, err, c.want)
		}
	}
}

// Whatever a script does, it ends, and with an error that says why.
func TestBounds(t *testing.T) {
	long := script.Declared{Timeout: "700ms", Steps: 1 << 40}
	for _, c := range []struct {
		language, name string
		config         script.Declared
		code, says     string
	}{
		{"starlark", "a loop", script.Declared{}, "while True: pass", "more than 1000000 steps"},
		{"starlark", "a loop by time", long, "while True: pass", "ran longer"},
		{"starlark", "a list", long, "[0] * (1 << 29)", "memory"},
		{"starlark", "a text", long, "x = 'a' * (1 << 20)\nwhile True: x += x", "memory"},
		{"starlark", "a number", long, "x = 3\nwhile True: x = x * x", "|memory|longer"},
		{"starlark", "a builtin", long, "list(range(1 << 40))", "memory"},
		{"starlark", "the text of itself", long, "a = []\nfor i in range(60): a = [a, a]\nstr(a)", "|memory|longer"},
		{"starlark", "a hash without end", long, "t = ()\nfor i in range(60): t = (t, t)\n{t: 1}", "|longer|memory"},
		{"starlark", "a comparison without end", long, "a = [0] * 1000\nfor i in range(8): a = [a] * 1000\nb = [0] * 1000\nfor i in range(8): b = [b] * 1000\na == b", "|longer|memory"},
		{"starlark", "recursion", long, "def f(n):\n  return f(n + 1) + 1\nf(0)", "|deeply|memory|longer"},
		{"starlark", "output", long, "while True: print('x' * 10000)", "|memory|longer|may"},
		{"starlark", "load", script.Declared{}, "load('os', 'x')", "nothing to load"},
		{"starlark", "import", script.Declared{}, "import os", "got import"},
		{"starlark", "open", script.Declared{}, "open('/etc/passwd')", "undefined: open"},
		{"starlark", "an error", script.Declared{}, "def f():\n  fail('no good')\nf()", "no good"},
		{"javascript", "a loop", script.Declared{Steps: 1000}, "while (true);", "more than 1000 steps"},
		{"javascript", "a loop that catches", script.Declared{Steps: 1000}, "while (true) { try { while (true); } catch {} finally { continue } }", "more than 1000 steps"},
		{"javascript", "a loop by time", long, "while (true);", "ran longer"},
		{"javascript", "a builtin", long, "Array.prototype.indexOf.call({length: 2**53-1}, 1)", "ran longer"},
		{"javascript", "a pattern", long, `/(a+)+b/.test("a".repeat(60))`, "ran longer"},
		{"javascript", "a list", long, "new Array(1e9).fill(0)", "|memory|longer"},
		{"javascript", "a text", long, "let x = 'a'; for (;;) x += x", "too long"},
		{"javascript", "many texts", long, "let x = []; for (let i = 0; ; i++) x.push(('a' + i).repeat(1 << 20))", "|memory|longer"},
		{"javascript", "a buffer", long, "let x = []; for (;;) x.push(new Uint8Array(1 << 20).fill(1))", "memory|ran longer"},
		{"javascript", "recursion", long, "function f(n) { return f(n + 1) + 1 }; f(0)", "stack"},
		{"javascript", "a deep pattern", long, `new RegExp("(".repeat(50000))`, "|stack|SyntaxError|memory"},
		{"javascript", "a deep document", long, `JSON.parse("[".repeat(1e6))`, "|stack|Syntax"},
		{"javascript", "output", long, "for (;;) console.log('x'.repeat(10000))", "|memory|longer|too long"},
		{"javascript", "promises without end", long, "(async () => { for (;;) await null })()", "|longer|steps"},
		{"javascript", "a promise that waits", script.Declared{}, "new Promise(() => {})", "never comes"},
		{"javascript", "a promise that fails", script.Declared{}, "(async () => { throw new TypeError('no good') })()", "TypeError: no good"},
		{"javascript", "an import", script.Declared{}, "import fs from 'fs'", "SyntaxError"},
		{"javascript", "a dynamic import", script.Declared{}, "import('fs')", "import()"},
		{"javascript", "require", script.Declared{}, "require('fs')", "'require' is not defined"},
		{"javascript", "std", script.Declared{}, "std.open('/etc/passwd')", "'std' is not defined"},
		{"javascript", "fetch", script.Declared{}, "fetch('http://localhost')", "'fetch' is not defined"},
		{"javascript", "an error", script.Declared{}, "function f() { throw new Error('no good') }\nf()", "Error: no good"},
		{"javascript", "a thrown object", script.Declared{}, "throw {a: 1}", `thrown: {"a":1}`},
		{"javascript", "a broken report", script.Declared{}, "Object.prototype.toJSON = () => { throw 1 }; String.prototype.toString = null; throw {a: 1}", "thrown"},
	} {
		c.config.Language = c.language
		start := time.Now()
		got, err := call(t, c.config, c.code, "")
		took := time.Since(start)
		if err != nil || !got.Error || !one(got.Content, c.says) || len(got.Content) > 80_000 {
			t.Errorf("%s, %s: got %.300s, %v; want %q", c.language, c.name, got.Content, err, c.says)
		}
		if took > 60*time.Second {
			t.Errorf("%s, %s: it took %v", c.language, c.name, took)
		}
		t.Logf("%s, %s: %v: %.70q", c.language, c.name, took.Round(time.Millisecond), got.Content)
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapInuse > 600<<20 {
		t.Errorf("%d MB are left behind", after.HeapInuse>>20)
	}
}

// one reports whether a text holds says, or one of its parts between bars.
func one(text, says string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(says, "|"), "|") {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// The same call ends the same, and another key another way.
func TestRepeatable(t *testing.T) {
	const code = "[Math.random(), Math.random(), Date.now(), new Date().getTime()]"
	first, err := call(t, script.Declared{Language: "javascript"}, code, "")
	if err != nil {
		t.Fatal(err)
	}
	again, err := call(t, script.Declared{Language: "javascript"}, code, "")
	if err != nil || again.Content != first.Content || !strings.HasSuffix(first.Content, ",0,0]") {
		t.Errorf("got %s and %s, %v", first.Content, again.Content, err)
	}
	made, err := shared.Make(tool.Declaration{Name: "js", Kind: script.Kind, Config: json.RawMessage(`{"language":"javascript"}`)})
	if err != nil {
		t.Fatal(err)
	}
	args, err := json.Marshal(map[string]string{"code": code})
	if err != nil {
		t.Fatal(err)
	}
	other, err := made.Call(durable.WithAttempt(t.Context(), &durable.Attempt{Key: "run/0/2"}), args)
	if err != nil || other.Content == first.Content {
		t.Errorf("another step has the same random numbers: %s, %v", other.Content, err)
	}
}

// A script leaves nothing behind for the next.
func TestApart(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for _, c := range []script.Declared{{Language: "javascript"}, {Language: "starlark"}} {
				code := fmt.Sprintf("result = %d\nresult", i)
				if c.Language == "javascript" {
					code = fmt.Sprintf("globalThis.x = (globalThis.x ?? 0) + %d; Array.prototype.y = 1; x", i)
				}
				if got, err := call(t, c, code, ""); err != nil || got.Content != fmt.Sprint(i) {
					t.Errorf("%s: got %+v, %v", c.Language, got, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestCanceled(t *testing.T) {
	for _, language := range []string{"starlark", "javascript"} {
		made, err := shared.Make(tool.Declaration{Name: "x", Kind: script.Kind, Config: json.RawMessage(`{"language":"` + language + `","steps":1000000000000}`)})
		if err != nil {
			t.Fatal(err)
		}
		code := map[string]string{"starlark": "while True: pass", "javascript": "while (true);"}[language]
		if _, err := made.Call(t.Context(), json.RawMessage(`{"code":"1"}`)); err != nil { // it is compiled
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err = made.Call(ctx, json.RawMessage(`{"code":"`+code+`"}`))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", language, err)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, config := range []string{`{}`, `{"language":"python"}`, `{"language":"starlark","memory_mb":1}`, `{"language":"starlark","memory_mb":100000}`, `{"language":"starlark","timeout":"soon"}`, `{"language":"starlark","steps":-1}`, `{"language":"starlark","files":true}`} {
		if _, err := shared.Make(tool.Declaration{Name: "x", Kind: script.Kind, Config: json.RawMessage(config)}); !errors.Is(err, durable.ErrInvalid) {
			t.Errorf("%s: %v", config, err)
		}
	}
	if got, err := call(t, script.Declared{Language: "starlark"}, strings.Repeat("#", 300<<10), ""); err != nil || !got.Error || !strings.Contains(got.Content, "more than") {
		t.Errorf("a long script: %+v, %v", got, err)
	}
}

func FuzzJavaScript(f *testing.F) {
	for _, s := range []string{"1", "while(1);", "throw null", "globalThis.__report = 1", "(", "import('x')", "new Proxy({}, {get() { throw 1 }})", "Promise.reject()", "\x00", "eval('1')"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, code string) {
		if _, err := call(t, script.Declared{Language: "javascript", Timeout: "500ms", Steps: 100, MemoryMB: 32}, code, ""); err != nil {
			t.Errorf("%q: %v", code, err)
		}
	})
}

func BenchmarkCall(b *testing.B) {
	for _, language := range []string{"starlark", "javascript"} {
		b.Run(language, func(b *testing.B) {
			for range 2 {
				if _, err := call(b, script.Declared{Language: language}, "1 + 1", ""); err != nil { // it is compiled once
					b.Fatal(err)
				}
			}
			for b.Loop() {
				if got, err := call(b, script.Declared{Language: language}, "1 + 1", ""); err != nil || got.Content != "2" {
					b.Fatal(got, err)
				}
			}
		})
	}
}
