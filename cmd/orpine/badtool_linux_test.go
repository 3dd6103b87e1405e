package main_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestBadServer runs an agent on an MCP server that does one thing wrong after the other: each is
// something that the model reads, or an end of the run that says what to do.
func TestBadServer(t *testing.T) {
	t.Parallel()
	needsJail(t)
	for _, c := range []struct {
		tool, effect string
		code         int
		says         string // the answer, or the error
	}{
		{"typed", "read", 0, "its result does not match the schema that the server declares: "},
		{"utf8", "read", 0, "it says caf� �� end"},
		{"huge", "read", 0, "Read on with read_result"},
		{"wrong", "read", 0, "the server answered with an error (-32602): there is no such customer"},
		{"strict", "read", 0, `the arguments of strange/strict do not match its schema`},
		{"crooked", "read", 0, `there is no tool "strange/crooked"; the tools are:`},
		{"die", "read", 0, `the call failed: MCP server strange: it ended: it ended with code 4`},
		{"garbage", "read", 0, `its standard output, which is for MCP messages only, began with "panic: nil map"`},
		{"flood", "read", 0, "the call failed: MCP server strange: "},
		{"wait", "read", 0, "the call failed: strange/wait timed out after 1s"},
		{"die", "irreversible", 5, "orpine resolve "},
		{"garbage", "irreversible", 5, "orpine resolve "},
		{"flood", "irreversible", 5, "orpine resolve "},
		{"wait", "irreversible", 5, "orpine resolve "},
		{"typed", "irreversible", 0, "the call was made, but its result does not match"},
	} {
		t.Run(c.tool+" "+c.effect, func(t *testing.T) {
			t.Parallel()
			m := mark()
			p := strangePlace(t, m)
			p.change("agent.yaml", "timeout: 5s", `timeout: 1s, effects: { "*": `+c.effect+` }`)
			from := time.Now()
			o := p.run("run", "agent.yaml", c.tool)
			if text := o.out + o.err; o.code != c.code || !strings.Contains(text, c.says) {
				t.Errorf("exit code %d, want %d and %q\n%.2000s", o.code, c.code, c.says, text)
			}
			if logs := p.ok("logs", "@last", "-o", "jsonl"); c.code == 0 && !strings.Contains(logs, "strange/"+c.tool) {
				t.Errorf("the call is not in the journal: %.2000s", logs)
			}
			const longest = 15 * time.Second
			if took := time.Since(from); took > longest {
				t.Errorf("it took %s", took)
			}
			gone(t, m)
		})
	}
}

// TestBadStart runs an agent whose MCP server does not come up: the run fails and says why.
func TestBadStart(t *testing.T) {
	t.Parallel()
	needsJail(t)
	bin, err := strangeBinary()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, with, says string }{
		{"it ends", "args: [serve", "args: [expired", `its last words on stderr: "strange: the licence has expired"`},
		{"it makes noise", "args: [serve", "args: [noise", `its standard output, which is for MCP messages only, began with "this is no message`},
		{"there is no command", "command: " + bin, "command: no-such-program", "install it on this machine under /usr, or name its path and add that to read_only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := mark()
			p := strangePlace(t, m)
			p.change("agent.yaml", c.old, c.with)
			o := p.run("run", "agent.yaml", "strict")
			if o.code != 1 || !strings.Contains(o.err, c.says) || o.out != "" {
				t.Errorf("exit code %d, want 1 and %q\n%s%s", o.code, c.says, o.out, o.err)
			}
			if show := p.ok("show", "@last"); !strings.Contains(show, "strange") {
				t.Errorf("orpine show does not say why: %s", show)
			}
			gone(t, m)
		})
	}
}

// TestBadCommand runs an agent on commands and files that go wrong.
func TestBadCommand(t *testing.T) {
	t.Parallel()
	needsJail(t)
	p := newPlace(t)
	p.write("agent.yaml", `
agents:
  caller: { model: script/script.yaml, tools: [missing, huge, binary, latin, fails, picky, files/*] }
tools:
  missing: { run: [no-such-program, --help], effect: read }
  huge: { run: [sh, -c, "head -c 10000000 /dev/zero | tr '\\0' a"], effect: read }
  binary: { run: [head, -c, "5000", /dev/urandom], effect: read }
  latin: { run: [printf, 'caf\351 au lait, and some more text that can be read'], effect: read }
  fails: { run: [sh, -c, "echo no such branch >&2; exit 3"], effect: read }
  picky: { run: [echo, "{n}"], input: { n: integer }, effect: read }
  files: { files: . }
`)
	if err := os.WriteFile(p.path("big.txt"), bytes.Repeat([]byte("0123456789"), 1_000_000), 0o600); err != nil {
		t.Fatal(err)
	}
	p.write("noise.bin", "\x00\xff\xfe\x01\x80")
	cases := []struct{ name, call, says string }{
		{"missing", "{name: missing}", "command no-such-program cannot be executed (no such file or directory); looked in /"},
		{"huge", "{name: huge}", "Read on with read_result"},
		{"binary", "{name: binary}", "[binary output, 5000 bytes, not shown]"},
		{"latin", "{name: latin}", "it says caf� au lait"},
		{"fails", "{name: fails}", "The command ended with exit code 3.\nError output:\nno such branch"},
		{"misfit", `{name: picky, args: {n: "seven"}}`, "the arguments of picky do not match its schema"},
		{"more", "{name: picky, args: {n: 7, m: 8}}", `unexpected additional properties ["m"]`},
		{"nobody", "{name: hammer}", `there is no tool "hammer"; the tools are: binary, `},
		{"bigfile", "{name: files/read, args: {path: big.txt}}", "big.txt has 10000000 bytes: up to "},
		{"noise", "{name: files/read, args: {path: noise.bin}}", "noise.bin is no text"},
		{"outside", "{name: files/read, args: {path: ../../../etc/passwd}}", "leads out of the folder"},
	}
	rules := "rules:\n  - when: {turn: 2}\n    reply: {text: \"it says ${result}\"}\n"
	for _, c := range cases {
		rules += fmt.Sprintf("  - when: {last_user: ^%s$}\n    reply: {calls: [%s]}\n", c.name, c.call)
	}
	p.write("script.yaml", rules)
	for _, c := range cases {
		o := p.run("run", "agent.yaml", c.name)
		if o.code != 0 || !strings.Contains(o.out, c.says) {
			t.Errorf("%s: exit code %d, want %q\n%.1000s%.1000s", c.name, o.code, c.says, o.out, o.err)
		}
		const most = 64 << 10
		if len(o.out) > most {
			t.Errorf("%s: the model was told %d bytes", c.name, len(o.out))
		}
	}
}

// TestBadSchema: a tool whose schema is none is refused with its place, before a run begins.
func TestBadSchema(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	for schema, want := range map[string]string{
		"type: 17":                  "not a JSON Schema: ",
		"type: object, required: 5": "not a JSON Schema: ",
		"type: string":              "arguments must be of type object",
		`type: object, properties: { a: { pattern: "(" } }`:                              "not a JSON Schema: ",
		`type: object, properties: { a: { anyOf: [{ type: string }, { type: text }] } }`: `not a JSON Schema: type "text" is none; `,
		`type: object, properties: { a: { type: sting } }`:                               `not a JSON Schema: type "sting" is none; did you mean "string"?`,
	} {
		p.write("agent.yaml", "agents:\n  caller: { model: builtin/outline, tools: [x] }\ntools:\n  x: { run: [echo], input: { schema: { "+schema+" } } }\n")
		for _, args := range [][]string{{"check", "agent.yaml"}, {"run", "agent.yaml", "hi"}} {
			if o := p.run(args...); o.code != 2 || !strings.Contains(o.out+o.err, "agent.yaml:4:38: tools.x.input.schema: "+want) {
				t.Errorf("orpine %s of %s: exit code %d\n%s%s", args[0], schema, o.code, o.out, o.err)
			}
		}
	}
}

// change replaces a text in a file of the place.
func (p *place) change(name, old, with string) {
	p.t.Helper()
	data, err := os.ReadFile(p.path(name))
	if err != nil {
		p.t.Fatal(err)
	}
	if !strings.Contains(string(data), old) {
		p.t.Fatalf("%s does not hold %q", name, old)
	}
	p.write(name, strings.ReplaceAll(string(data), old, with))
}
