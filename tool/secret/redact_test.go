package secret_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/secret"
)

// canaries are values that every encoding treats in its own way.
var canaries = map[string]string{
	"PLAIN":  "hunter2",
	"TOKEN":  "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
	"SYMBOL": `p@ss "w\rd"/<&>+?=%41 end`,
	"BINARY": "\x00\xff\xfe\x80key\x01\x02",
	"UMLAUT": "Schlüssel-🔑-密钥",
	"LINES":  "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END KEY-----\n",
	"LONG":   strings.Repeat("0123456789abcdefghij-", 60),
}

// encodings are the ways in which a value is found; around is text of its neighbours.
var encodings = map[string]func(value string) string{
	"plain":           func(v string) string { return v },
	"base64":          func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
	"base64 raw":      func(v string) string { return base64.RawStdEncoding.EncodeToString([]byte(v)) },
	"base64 url":      func(v string) string { return base64.URLEncoding.EncodeToString([]byte(v)) },
	"base64 url raw":  func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) },
	"hex":             func(v string) string { return hex.EncodeToString([]byte(v)) },
	"HEX":             func(v string) string { return strings.ToUpper(hex.EncodeToString([]byte(v))) },
	"query":           url.QueryEscape,
	"path":            url.PathEscape,
	"percent lower":   func(v string) string { return lowerHex(url.QueryEscape(v)) },
	"percent all":     func(v string) string { return "%" + strings.Join(pairs(hex.EncodeToString([]byte(v))), "%") },
	"json ascii":      asciiJSON,
	"query of base64": func(v string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(v))) },
}

func jsonText(v string) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b[1 : len(b)-1])
}

func asciiJSON(v string) string {
	var b strings.Builder
	for _, r := range v {
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func pairs(s string) []string {
	var list []string
	for ; len(s) > 0; s = s[2:] {
		list = append(list, s[:2])
	}
	return list
}

func lowerHex(s string) string {
	parts := strings.Split(s, "%")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToLower(p[:2]) + p[2:]
	}
	return strings.Join(parts, "%")
}

func utf8Only(encoding, name string) bool {
	return strings.HasPrefix(encoding, "json") && name == "BINARY"
}

// forms are all encodings of a canary, with JSON in the depths that are promised.
func forms(value string) map[string]string {
	all := map[string]string{}
	for name, encode := range encodings {
		all[name] = encode(value)
	}
	all["json"] = jsonText(value)
	all["json slash"] = strings.ReplaceAll(jsonText(value), "/", `\/`)
	all["json in json"] = jsonText(jsonText(value))
	all["query in json"] = jsonText(url.QueryEscape(value))
	all["json in query"] = url.QueryEscape(jsonText(value))
	for ahead := range 3 { // among other bytes in one base64 text
		for behind := range 3 {
			around := strings.Repeat("a", ahead) + value + strings.Repeat("z", behind)
			all[fmt.Sprintf("base64 at %d-%d", ahead, behind)] = base64.StdEncoding.EncodeToString([]byte(around))
			all[fmt.Sprintf("base64 url at %d-%d", ahead, behind)] = base64.RawURLEncoding.EncodeToString([]byte(around))
		}
	}
	return all
}

func canaryBroker(t testing.TB) *secret.Broker {
	t.Helper()
	var names []string
	for name := range canaries {
		names = append(names, name)
	}
	b := secret.New(secret.Environment(func(name string) (string, bool) { v, ok := canaries[name]; return v, ok }, names...))
	for name, want := range canaries {
		if got, err := b.Expand(t.Context(), "${secret:"+name+"}"); err != nil || got != want {
			t.Fatalf("%s: got %q, %v", name, got, err)
		}
	}
	return b
}

// Every canary in every encoding goes through the door of tools, in a result and in an
// error, at once and in pieces, and does not come out of it.
func TestCanaries(t *testing.T) {
	redact := canaryBroker(t).Redactor()
	type in struct {
		Fail bool `json:"fail"`
	}
	var said string // arguments are JSON, which not every canary fits into
	echo := redact.Tool(tool.Func("echo", "Says it again.", func(_ context.Context, i in) (string, error) {
		if i.Fail {
			return "", errors.New("cannot do " + said)
		}
		return said, nil
	}))
	tools, err := tool.NewRegistry(echo)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for name, value := range canaries {
		for encoding, form := range forms(value) {
			if utf8Only(encoding, name) || name == "BINARY" && strings.Contains(encoding, "json") {
				continue // JSON cannot hold it
			}
			count++
			said = "before: " + form + " :after"
			for _, fail := range []bool{false, true} {
				args, err := json.Marshal(in{Fail: fail})
				if err != nil {
					t.Fatal(err)
				}
				result, err := tools.Dispatch(t.Context(), tool.Call{Name: "echo", Args: args})
				if err != nil {
					t.Fatal(err)
				}
				if want := "before: [secret:" + name + "] :after"; !strings.HasSuffix(result.Content, want) && !coversAlignment(encoding, result.Content, name) {
					t.Errorf("%s as %s: got %q, want %q", name, encoding, result.Content, want)
				}
			}
			for _, size := range []int{1, 2, 3, 7, 64} {
				s := redact.NewStream()
				var out strings.Builder
				for rest := said; rest != ""; {
					n := min(size, len(rest))
					out.WriteString(s.Next(rest[:n]))
					rest = rest[n:]
				}
				out.WriteString(s.End())
				if out.String() != redact.Text(said) {
					t.Errorf("%s as %s in pieces of %d: got %q, want %q", name, encoding, size, out.String(), redact.Text(said))
				}
			}
		}
	}
	t.Logf("%d canaries in their encodings", count)
}

// coversAlignment accepts letters of the neighbours in one base64 text: at most two before
// and some behind, none of which holds a bit of the value.
func coversAlignment(encoding, got, name string) bool {
	if !strings.Contains(encoding, " at ") {
		return false
	}
	_, got, _ = strings.Cut(got, "before: ")
	before, after, found := strings.Cut(got, "[secret:"+name+"]")
	after = strings.TrimSuffix(after, " :after")
	return found && len(before) <= 2 && len(after) <= 5 && (before == "" || strings.HasPrefix("YWE=", before)) && !strings.Contains(after, "[")
}

// Against an oracle: whatever a stream is cut into, it says what the whole text says.
func TestStreamIsText(t *testing.T) {
	redact := canaryBroker(t).Redactor()
	rnd := rand.New(rand.NewPCG(1, 2))
	bits := []string{" ", "a", "Z", "\\", "%", "+", "\\u00", "%4", "hunter", "hunter2", `\\`, `"`, "=", "\n"}
	for _, value := range canaries {
		for _, form := range forms(value) {
			bits = append(bits, form, form[:len(form)/2], form[len(form)/2:])
		}
	}
	for range 800 {
		var text strings.Builder
		for range 1 + rnd.IntN(8) {
			text.WriteString(bits[rnd.IntN(len(bits))])
		}
		s := redact.NewStream()
		var out strings.Builder
		for rest := text.String(); rest != ""; {
			n := 1 + rnd.IntN(min(20, len(rest)))
			out.WriteString(s.Next(rest[:n]))
			rest = rest[n:]
		}
		out.WriteString(s.End())
		whole := redact.Text(text.String())
		if out.String() != whole {
			t.Fatalf("%q: a stream says %q, the text %q", text.String(), out.String(), whole)
		}
		for name, value := range canaries {
			if strings.Contains(whole, value) {
				t.Fatalf("%q: %s is left in %q", text.String(), name, whole)
			}
		}
	}
}

func TestRedactKeepsTheRest(t *testing.T) {
	redact := canaryBroker(t).Redactor()
	for _, text := range []string{
		"", "hunter", "hunter3", "hunter 2", `{"a":"b\nc","d":"%41"}`, "aHVudGVy", "100% sure, 2+2=4", `C:\new\table`, "é\u2028", "%", "%4", `\`, `\u00`,
		strings.Repeat("ghp_", 100), "Schlüssel-", "\xff\xfe",
	} {
		if got := redact.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
		s := redact.NewStream()
		if got := s.Next(text) + s.End(); got != text {
			t.Errorf("in a stream %q became %q", text, got)
		}
	}
	var none secret.Redactor
	none.Add("SHORT", "12345")
	if got := none.Text("12345 hunter2"); got != "12345 hunter2" {
		t.Errorf("a redactor that knows nothing: %q", got)
	}
}

func TestJSONStaysJSON(t *testing.T) {
	var r secret.Redactor
	r.Add("A", "new key")
	r.Add("B", `back\slash\`)
	for _, value := range []string{"a\new key", "the new key", `back\slash\`, `x back\slash\ y`, "\n\\new key\\"} {
		doc, err := json.Marshal(map[string]string{"k": value})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Text(string(doc)); !json.Valid([]byte(got)) || strings.Contains(got, "new key") || strings.Contains(got, "slash") {
			t.Errorf("%s became %s", doc, got)
		}
	}
}

// A stream learns of a value while it goes on.
func TestLateSecret(t *testing.T) {
	var r secret.Redactor
	s := r.NewStream()
	got := s.Next("one ")
	r.Add("LATE", "open sesame")
	got += s.Next("open ses")
	r.Add("OTHER", "something else")
	got += s.Next("ame two") + s.End()
	if got != "one [secret:LATE] two" {
		t.Errorf("got %q", got)
	}
}

func TestToolErrorsAndDeltas(t *testing.T) {
	redact := canaryBroker(t).Redactor()
	for _, c := range []struct {
		name string
		err  error
		same bool // it is returned as it is
		want durable.Code
	}{
		{"with the value", &durable.Error{Code: durable.CodeUnavailable, Err: errors.New("no route to hunter2"), RetryAfter: time.Second, Reason: "hunter2"}, false, durable.CodeUnavailable},
		{"in time", fmt.Errorf("hunter2: %w", context.DeadlineExceeded), false, durable.CodeUnavailable},
		{"canceled", fmt.Errorf("hunter2: %w", context.Canceled), false, durable.CodeCanceled},
		{"without it", durable.Errorf(durable.CodeDenied, "no"), true, durable.CodeDenied},
	} {
		got := redact.Error(c.err)
		if strings.Contains(fmt.Sprintf("%v %+v", got, durable.FailureOf(got)), "hunter2") || durable.CodeOf(got) != c.want || (got == c.err) != c.same { //nolint:errorlint // the very same
			t.Errorf("%s: got %v", c.name, got)
		}
		if e, ok := errors.AsType[*durable.Error](got); ok && c.name == "with the value" && e.RetryAfter != time.Second {
			t.Errorf("%s: it forgets how long to wait", c.name)
		}
	}
	var shown []string
	ctx := durable.WithAttempt(t.Context(), &durable.Attempt{Emit: func(kind string, data json.RawMessage) { shown = append(shown, kind+" "+string(data)) }})
	talks := redact.Tool(tool.Func("talks", "It shows what it does.", func(ctx context.Context, _ struct{}) (string, error) {
		emit := durable.AttemptOf(ctx).Emit
		for _, d := range []string{`"my password is hun"`, `"ter2, really"`, `{"password":"hunter2"}`} {
			emit("text", json.RawMessage(d))
		}
		return "done", nil
	}))
	if _, err := talks.Call(ctx, json.RawMessage(`{}`)); err != nil {
		t.Fatal(err)
	}
	all := strings.Join(shown, "\n")
	if strings.Contains(all, "hunter2") || strings.Contains(all, "ter2") || !strings.Contains(all, `{"password":"[secret:PLAIN]"}`) {
		t.Errorf("shown:\n%s", all)
	}
}

func FuzzRedact(f *testing.F) {
	for _, s := range []string{"hunter2", "aHVudGVyMg==", "%68unter2", `h\u0075nter2`, "hun", `\\hunter2\`, "+%41"} {
		f.Add(s, uint8(3))
	}
	redact := canaryBroker(f).Redactor()
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		whole := redact.Text(text)
		if strings.Contains(whole, "hunter2") {
			t.Errorf("%q: the value is left in %q", text, whole)
		}
		s, n := redact.NewStream(), int(size%16)+1
		var out strings.Builder
		for rest := text; rest != ""; rest = rest[min(n, len(rest)):] {
			out.WriteString(s.Next(rest[:min(n, len(rest))]))
		}
		if got := out.String() + s.End(); got != whole {
			t.Errorf("%q: a stream says %q, the text %q", text, got, whole)
		}
	})
}

// The number this guards: some tens of milliseconds a megabyte, whatever the number of secrets.
func BenchmarkRedact(b *testing.B) {
	for _, secrets := range []int{1, 100} {
		var r secret.Redactor
		rnd := rand.New(rand.NewPCG(1, 2))
		for i := range secrets {
			r.Add(fmt.Sprint("S", i), fmt.Sprintf("%x-%x %d", rnd.Uint64(), rnd.Uint64(), i))
		}
		for name, line := range map[string]string{
			"text": "The quick brown fox jumps over the lazy dog, 12345 times a day, and never tires of it.\n",
			"json": `{"id":12345,"text":"The \"quick\" brown fox\njumps over","url":"https:\/\/example.org\/a%20b"},`,
		} {
			text := strings.Repeat(line, 1<<20/len(line))
			b.Run(fmt.Sprintf("%s/%d", name, secrets), func(b *testing.B) {
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					_ = r.Text(text)
				}
			})
		}
	}
}
