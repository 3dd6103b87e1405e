package tool_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// specOf is a tool whose calls are about one argument.
func specOf(name, arg string, kind tool.SubjectKind) tool.Spec {
	return tool.Spec{Name: name, Subject: tool.Subject{Arg: arg, Kind: kind}}
}

func TestRulings(t *testing.T) {
	shell, read := specOf("shell", "command", tool.LineSubject), specOf("files/read", "path", tool.PathSubject)
	fetch, pay := specOf("http_fetch", "url", tool.URLSubject), specOf("pay", "", "")
	keeper := tool.Policy{
		Allow: []string{"files/read", "shell(git log*)", "shell(git status)", "shell(go test*)", `pay if args.amount <= 100.0 && agent == "teller"`},
		Ask:   []string{"files/write_*", "shell(curl *)"},
		Deny:  []string{"shell(rm *)", "shell(git push*)", "files/read(secret/*)", "http_fetch if args.url.contains('internal')"},
	}
	for _, c := range []struct {
		name   string
		policy tool.Policy
		spec   tool.Spec
		args   string
		want   tool.Verdict
		rule   string
	}{
		{"no rules", tool.Policy{}, shell, `{}`, tool.Allow, "no rules"},
		{"a default", tool.Policy{Default: tool.Deny}, shell, `{}`, tool.Deny, "default deny"},
		{"no rule fits", keeper, specOf("other", "", ""), `{}`, tool.Ask, "no rule fits"},
		{"a name", keeper, specOf("files/write_all", "path", tool.PathSubject), `{"path":"a"}`, tool.Ask, "ask files/write_*"},
		{"a path", keeper, read, `{"path":"a.txt"}`, tool.Allow, "allow files/read"},
		{"a path that goes round", keeper, read, `{"path":"a/../secret/b"}`, tool.Deny, "deny files/read(secret/*)"},
		{"a command", keeper, shell, `{"command":"git log -3"}`, tool.Allow, "allow shell(git log*)"},
		{"two commands", keeper, shell, `{"command":"git log; go test ./..."}`, tool.Allow, "shell(git log*) and shell(go test*)"},
		{"one of two is not allowed", keeper, shell, `{"command":"git log && make"}`, tool.Ask, "no rule fits"},
		{"one of two is denied", keeper, shell, `{"command":"git log | rm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"denied behind a line break", keeper, shell, `{"command":"git log\nrm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"denied in other clothes", keeper, shell, `{"command":"X=1 sudo rm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"allowed, but not as somebody else", keeper, shell, `{"command":"sudo git log"}`, tool.Ask, "no rule fits"},
		{"a substitution", keeper, shell, `{"command":"git log $(rm -rf /)"}`, tool.Ask, "cannot be told"},
		{"a substitution in quotes", keeper, shell, "{\"command\":\"git log \\\"`rm x`\\\"\"}", tool.Ask, "cannot be told"},
		{"a redirection", keeper, shell, `{"command":"git log > /etc/passwd"}`, tool.Ask, "cannot be told"},
		{"quotes hide what ends a command", keeper, shell, `{"command":"git log 'a;b'"}`, tool.Allow, "allow shell(git log*)"},
		{"a quote that is left open", keeper, shell, `{"command":"git log 'a"}`, tool.Ask, "cannot be told"},
		{"two spaces", keeper, shell, `{"command":"git  push"}`, tool.Deny, "deny shell(git push*)"},
		{"a tab", keeper, shell, `{"command":"git\tpush"}`, tool.Deny, "deny shell(git push*)"},
		{"quotes within", keeper, shell, `{"command":"r'm' -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"a backslash within", keeper, shell, `{"command":"r\\m -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"a line that goes on", keeper, shell, `{"command":"git pu\\\nsh"}`, tool.Deny, "deny shell(git push*)"},
		{"the path of a program", keeper, shell, `{"command":"/bin/rm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"options in front", keeper, shell, `{"command":"time -p rm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"a number in front", keeper, shell, `{"command":"timeout 5 nice -n 3 /bin/rm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"a variable with a space", keeper, shell, `{"command":"X='a b' rm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"a long way behind", keeper, shell, `{"command":"env` + strings.Repeat(" env", 100_000) + ` rm -rf /"}`, tool.Ask, "cannot be told"},
		{"in a block", keeper, shell, `{"command":"if true; then rm -rf /; fi"}`, tool.Deny, "deny shell(rm *)"},
		{"a shell in a shell", keeper, shell, `{"command":"sh -c 'rm -rf /'"}`, tool.Deny, "deny shell(rm *)"},
		{"a script in quotes", keeper, shell, `{"command":"sh -c 'true; rm -rf /'"}`, tool.Ask, "cannot be told"},
		{"a script that is piped", keeper, shell, `{"command":"git log | sh"}`, tool.Ask, "cannot be told"},
		{"a pattern of programs", keeper, shell, `{"command":"/bin/r? -rf /"}`, tool.Ask, "cannot be told"},
		{"bytes by number", keeper, shell, `{"command":"$'\\x72m' -rf /"}`, tool.Ask, "cannot be told"},
		{"a document", keeper, shell, `{"command":"sh <<E\nrm -rf /\nE"}`, tool.Deny, "deny shell(rm *)"},
		{"a comment", keeper, shell, `{"command":"git log # rm"}`, tool.Ask, "cannot be told"},
		{"both outputs", keeper, shell, `{"command":"git log &>/etc/passwd"}`, tool.Ask, "cannot be told"},
		{"lines of another system", keeper, shell, `{"command":"git status\r\nrm -rf /"}`, tool.Deny, "deny shell(rm *)"},
		{"a space that is none", keeper, shell, `{"command":"\u00a0git status"}`, tool.Ask, "no rule fits"},
		{"an empty word", keeper, shell, `{"command":"'' rm"}`, tool.Ask, "no rule fits"},
		{"it only speaks of it", keeper, shell, `{"command":"git log --grep 'rm -rf'"}`, tool.Allow, "allow shell(git log*)"},
		{"files by a pattern", tool.Policy{Allow: []string{"shell(ls *)"}}, shell, `{"command":"ls *.go"}`, tool.Allow, "allow shell(ls *)"},
		{"what cannot be told is not more than the default", tool.Policy{Deny: []string{"shell(rm *)"}, Default: tool.Deny}, shell, `{"command":"$(x)"}`, tool.Deny, "default deny"},
		{"asked about", keeper, shell, `{"command":"git log; curl x"}`, tool.Ask, "ask shell(curl *)"},
		{"no argument", keeper, shell, `{}`, tool.Ask, "no rule fits"},
		{"a condition", keeper, pay, `{"amount":50}`, tool.Allow, "allow pay if"},
		{"a condition that is not so", keeper, pay, `{"amount":500}`, tool.Ask, "no rule fits"},
		{"a condition that fails allows nothing", keeper, pay, `{}`, tool.Ask, "no rule fits"},
		{"a condition that denies", keeper, fetch, `{"url":"http://internal/"}`, tool.Deny, "deny http_fetch if"},
		{"a condition that fails denies", keeper, fetch, `{}`, tool.Deny, "deny http_fetch if"},
		{"a host in capitals", tool.Policy{Allow: []string{"http_fetch(https://docs.example.com/*)"}}, fetch, `{"url":"https://DOCS.example.com/a"}`, tool.Allow, "docs"},
		{"a user in front of another host", tool.Policy{Allow: []string{"http_fetch(https://docs.example.com/*)"}}, fetch, `{"url":"https://docs.example.com/@evil"}`, tool.Allow, "docs"},
		{"a star stays in the host", tool.Policy{Allow: []string{"http_fetch(https://*.example.com/*)"}}, fetch, `{"url":"https://evil.test/a.example.com/"}`, tool.Ask, "no rule fits"},
		{"nor in the query", tool.Policy{Allow: []string{"http_fetch(https://*.example.com/*)"}}, fetch, `{"url":"https://evil.test?a.example.com/"}`, tool.Ask, "no rule fits"},
		{"below a host", tool.Policy{Allow: []string{"http_fetch(https://*.example.com/*)"}}, fetch, `{"url":"https://a.Example.com?q=1"}`, tool.Allow, "example.com"},
		{"any host", tool.Policy{Allow: []string{"http_fetch(https://*)"}}, fetch, `{"url":"https://a.test/b/c"}`, tool.Allow, "https://*"},
		{"no path", tool.Policy{Allow: []string{"http_fetch(https://a.test)"}}, fetch, `{"url":"https://a.test/b"}`, tool.Ask, "no rule fits"},
		{"out of a path", tool.Policy{Allow: []string{"http_fetch(https://a.test/v1/*)"}}, fetch, `{"url":"https://a.test/v1/../admin"}`, tool.Ask, "no rule fits"},
		{"out of a path with encoded dots", tool.Policy{Allow: []string{"http_fetch(https://a.test/v1/*)"}}, fetch, `{"url":"https://a.test/v1/%2e%2e/admin"}`, tool.Ask, "no rule fits"},
		{"out of a path with an encoded slash", tool.Policy{Allow: []string{"http_fetch(https://a.test/v1/*)"}}, fetch, `{"url":"https://a.test/v1/..%2fadmin"}`, tool.Ask, "no rule fits"},
		{"an encoded letter", tool.Policy{Deny: []string{"http_fetch(https://a.test/admin*)"}}, fetch, `{"url":"https://a.test/adm%69n"}`, tool.Deny, "deny"},
		{"a usual port", tool.Policy{Deny: []string{"http_fetch(https://a.test/*)"}}, fetch, `{"url":"https://a.test:443/x"}`, tool.Deny, "deny"},
		{"a dot behind a host", tool.Policy{Deny: []string{"http_fetch(https://a.test/*)"}}, fetch, `{"url":"https://a.test./x"}`, tool.Deny, "deny"},
		{"a space in front", tool.Policy{Deny: []string{"http_fetch(https://a.test/*)"}, Default: tool.Allow}, fetch, `{"url":" https://a.test/x"}`, tool.Deny, "deny"},
		{"wide letters", tool.Policy{Deny: []string{"http_fetch(https://a.test/*)"}, Default: tool.Allow}, fetch, `{"url":"https://ａ.test/x"}`, tool.Ask, "cannot be told"},
		{"wide letters are not allowed", tool.Policy{Allow: []string{"http_fetch(*)"}}, fetch, `{"url":"https://ａ.test/x"}`, tool.Ask, "no rule fits"},
		{"a folder itself", tool.Policy{Deny: []string{"files/read(secret/*)"}, Default: tool.Allow}, read, `{"path":"./secret/"}`, tool.Deny, "deny"},
		{"another host", tool.Policy{Allow: []string{"http_fetch(https://docs.example.com/*)"}}, fetch, `{"url":"https://docs.example.com@evil.example/"}`, tool.Ask, "no rule fits"},
		{"for this only", tool.Policy{Only: []string{"shell(go test*)", "shell(git diff*)"}}, shell, `{"command":"go test ./... && git diff"}`, tool.Allow, "no rules"},
		{"for nothing else", tool.Policy{Only: []string{"shell(go test*)"}}, shell, `{"command":"go vet"}`, tool.Deny, "only shell(go test*)"},
		{"other tools are not meant", tool.Policy{Only: []string{"shell(go test*)"}}, read, `{}`, tool.Allow, "no rules"},
		{"all tools", tool.Policy{Deny: []string{"*"}}, read, `{}`, tool.Deny, "deny *"},
	} {
		j, err := tool.NewJudge(c.policy)
		if err != nil {
			t.Fatal(err)
		}
		got := j.Rule(tool.Case{Agent: "teller", Tool: c.spec, Args: json.RawMessage(c.args)})
		if got.Verdict != c.want || !strings.Contains(got.Rule, c.rule) {
			t.Errorf("%s: %+v, want %s by %q", c.name, got, c.want, c.rule)
		}
	}
}

// TestSeveralPolicies: the strictest counts, and one of a tenant counts for that tenant only.
func TestSeveralPolicies(t *testing.T) {
	j, err := tool.NewJudge(tool.Policy{Allow: []string{"*"}}, tool.Policy{Ask: []string{"pay"}, Default: tool.Allow}, tool.Policy{Deny: []string{"pay"}, Tenant: "acme", Default: tool.Allow})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tenant, tool string
		want         tool.Ruling
	}{
		{"", "look", tool.Ruling{Verdict: tool.Allow, Rule: "default allow", Policy: 1}},
		{"", "pay", tool.Ruling{Verdict: tool.Ask, Rule: "ask pay", Policy: 1}},
		{"acme", "pay", tool.Ruling{Verdict: tool.Deny, Rule: "deny pay", Policy: 2}},
	} {
		if got := j.Rule(tool.Case{Tenant: c.tenant, Tool: tool.Spec{Name: c.tool}}); got != c.want {
			t.Errorf("%s of %q: %+v, want %+v", c.tool, c.tenant, got, c.want)
		}
	}
	if nobody, err := tool.NewJudge(); err != nil || nobody.Rule(tool.Case{}).Verdict != tool.Allow {
		t.Error("without policies a call is not made")
	}
}

func TestBadRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "a rule is empty",
		"[":                   "no name of a tool",
		"(x)":                 "no name of a tool",
		"shell(git":           "a ) is missing",
		"shell()":             "nothing between the brackets",
		"shell then":          "behind the name may stand",
		"pay if":              "behind the name may stand",
		"pay if args.x ==":    "its condition: at column",
		"pay if argument > 1": "undeclared reference to 'argument'",
	} {
		err := tool.Policy{Allow: []string{text}}.Check()
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want invalid with %q", text, err, want)
		}
	}
	if err := (tool.Policy{Default: "maybe"}).Check(); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("a default that is none: %v", err)
	}
}

func TestReview(t *testing.T) {
	specs := []tool.Spec{
		specOf("files/read", "path", tool.PathSubject), specOf("files/write", "path", tool.PathSubject), specOf("shell", "command", tool.LineSubject), specOf("pay", "", ""),
	}
	p := tool.Policy{
		Deny:  []string{"files/write", "shell(rm *)"},
		Ask:   []string{"files/*", "pay(x)", "mcp/delete_*"},
		Allow: []string{"files/read", "shell(git log*)", "shell(git log -1)", "nothing", "shell(rm -rf *)", "pay if args.x == 1", "mcp/*"},
	}
	found, err := p.Review(specs, []string{"mcp/*"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.Text)
	}
	want := []string{
		"ask pay(x) never fits: no argument of pay is what its rules are about; write pay if args.… instead",
		"allow files/read never counts: files/* beats it",
		"allow shell(git log -1) changes nothing: shell(git log*) says so already",
		"allow nothing names no tool that there is: files/read, files/write, shell, pay",
		"allow shell(rm -rf *) never counts: shell(rm *) beats it",
		"the tool files/write may never be called (deny files/write): take it out of tools, or change the rule",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if found, err = (tool.Policy{Default: tool.Deny, Allow: []string{"pay"}}).Review(specs[2:], nil); err != nil || len(found) != 1 || !strings.Contains(found[0].Text, "shell may never be called (default deny)") {
		t.Errorf("a default that denies: %+v, %v", found, err)
	}
}

func TestWireName(t *testing.T) {
	for name, want := range map[string]string{
		"clock": "clock", "files/read": "files__read", "s/a.b": "s__a_b_", strings.Repeat("a", 64) + "/b": strings.Repeat("a", 55) + "_",
	} {
		got := tool.WireName(name)
		if !strings.HasPrefix(got, want) || len(got) > 64 || strings.ContainsAny(got, "/.") {
			t.Errorf("%s is %s on the wire, want %s…", name, got, want)
		}
	}
	if tool.WireName("s/a.b") == tool.WireName("s/a_b") {
		t.Error("two names become one")
	}
}

// TestOnlyText: without a subject of its own a tool has that of its only argument.
func TestOnlyText(t *testing.T) {
	one := tool.Func("one", "", func(context.Context, struct {
		City string `json:"city"`
		Days int    `json:"days,omitempty"`
	},
	) (string, error) {
		return "", nil
	})
	two := tool.Func("two", "", func(context.Context, leg) (string, error) { return "", nil })
	r, err := tool.NewRegistry(one, two)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"one": "city", "two": ""} {
		if spec, _ := r.Spec(name); spec.Subject.Arg != want {
			t.Errorf("%s is about %q, want %q", name, spec.Subject.Arg, want)
		}
	}
}

func FuzzRule(f *testing.F) {
	for _, seed := range []string{"shell(git log*)", "files/*", "pay if args.x > 1", "a(b) if true", "x(y) if z) if w", "[a-", "*"} {
		f.Add(seed, `git log; "a" $(b)`)
	}
	f.Add("shell(https://*.a.test/*)", "https://b.a.test/x/%2e%2e/y?z")
	f.Add("shell(a/*)", "a/../b")
	f.Fuzz(func(t *testing.T, rule, line string) {
		args, err := json.Marshal(map[string]string{"command": line})
		if err != nil {
			return
		}
		denied, err := tool.NewJudge(tool.Policy{Deny: []string{rule}, Default: tool.Allow})
		if err != nil {
			return
		}
		allowed, err := tool.NewJudge(tool.Policy{Allow: []string{rule}, Default: tool.Deny})
		if err != nil {
			t.Fatalf("%q can deny, and cannot allow: %v", rule, err)
		}
		for _, kind := range []tool.SubjectKind{tool.TextSubject, tool.PathSubject, tool.URLSubject, tool.LineSubject} {
			c := tool.Case{Tool: specOf("shell", "command", kind), Args: args}
			if a, d := allowed.Rule(c), denied.Rule(c); a.Verdict == tool.Allow && d.Verdict == tool.Allow {
				t.Errorf("%q allows %s %q, and does not deny it", rule, kind, line)
			}
		}
	})
}

func BenchmarkRule(b *testing.B) {
	j, err := tool.NewJudge(tool.Policy{
		Allow: []string{"files/read_*", "files/list_*", "shell(git log*)", "shell(go test*)", `pay if args.amount <= 100.0`}, Ask: []string{"files/write_*"}, Deny: []string{"shell(rm *)", "shell(git push*)"}, Default: tool.Ask,
	})
	if err != nil {
		b.Fatal(err)
	}
	for name, c := range map[string]tool.Case{
		"name":      {Tool: tool.Spec{Name: "files/read_file"}, Args: json.RawMessage(`{"path":"a"}`)},
		"line":      {Tool: specOf("shell", "command", tool.LineSubject), Args: json.RawMessage(`{"command":"git log -3 | go test ./..."}`)},
		"condition": {Tool: tool.Spec{Name: "pay"}, Args: json.RawMessage(`{"amount":50}`)},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				j.Rule(c)
			}
		})
	}
}
