package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/orpine-run/orpine/durable"
)

var update = flag.Bool("update", false, "rewrite the golden files; testdata/wire.golden is a file format, so say why in the commit")

// wireOf is an entry in the stored form, made the slow and obvious way.
func wireOf(e *durable.Entry) wire {
	micros := func(t time.Time) int64 {
		if t.IsZero() {
			return 0
		}
		return t.UnixMicro()
	}
	w := wire{
		Kind: e.Kind, Time: e.Time.UnixMicro(), Command: e.Command, Name: e.Name, Func: e.Func, Attempt: e.Attempt,
		Effect: e.Effect, Started: micros(e.Started), Until: micros(e.Until), Epoch: e.Epoch, InputHash: e.InputHash,
		Child: e.Child, Parent: e.Parent, Definition: e.Definition, By: e.By, Status: e.Status, Reason: e.Reason, Segment: e.Segment,
		After: e.After, Carry: e.Carry, Interrupt: e.Interrupt, Error: e.Error, InputRef: e.InputRef, OutputRef: e.OutputRef,
		Input: e.Input, Output: e.Output,
	}
	if w.InputRef != nil {
		w.Input = nil
	}
	if w.OutputRef != nil {
		w.Output = nil
	}
	return w
}

// maker makes random entries. A field is empty about every third time.
type maker struct{ *rand.Rand }

func (m maker) empty() bool { return m.IntN(3) == 0 }

func (m maker) text() string {
	pieces := []string{
		"", "plain", `quo"te`, `back\slash`, "<b>&amp;</b>", "<", ">", "&", `"`, `\`, "\x7f", "tab\tnew\nline\r\b\f", "\x00\x01\x1f\x7f", "\xff\xfe", "half \xe2\x82",
		"ümläut", "日本語", "🙂", "\u2028\u2029", "\ufffd", "~", " ", strings.Repeat("long ", 300),
	}
	var b strings.Builder
	for range m.IntN(4) {
		b.WriteString(pieces[m.IntN(len(pieces))])
	}
	return b.String()
}

func (m maker) int() int64 {
	edges := []int64{0, 1, -1, 9, 10, math.MaxInt64, math.MinInt64, math.MaxInt32, 1 << 53, -(1 << 53) - 1}
	if m.empty() {
		return edges[m.IntN(len(edges))]
	}
	return m.Int64() - m.Int64()
}

func (m maker) time() time.Time {
	if m.empty() {
		return time.Time{}
	}
	return time.UnixMicro(m.Int64N(1<<53) - 1<<52 + 1).UTC() // 1884 to 2055; the moment 0 is not kept apart from none
}

// value is JSON as encoding/json writes it: only then are both encoders equal to the byte.
func (m maker) value() json.RawMessage {
	if m.empty() {
		return nil
	}
	var v any
	switch m.IntN(6) {
	case 0:
		v = m.text()
	case 1:
		v = m.int()
	case 2:
		v = map[string]any{m.text(): m.text(), "n": nil, "f": m.Float64()}
	case 3:
		v = []any{m.text(), true, m.int()}
	case 4:
		v = nil
	default:
		v = map[string]any{}
	}
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

func (m maker) ref() *durable.Ref {
	if !m.empty() {
		return nil
	}
	return &durable.Ref{Hash: m.text(), Bytes: int(m.int())}
}

var kinds = []durable.EntryKind{
	durable.EntryStarted, durable.EntryClaimed, durable.EntryIntent, durable.EntryAttempt, durable.EntryDone, durable.EntryTimer,
	durable.EntryFired, durable.EntrySignal, durable.EntryAsked, durable.EntryAnswered, durable.EntryChild, durable.EntryChildDone,
	durable.EntryCancel, durable.EntryContinued, durable.EntryBlocked, durable.EntryUnblocked, durable.EntryEnded, durable.EntryForked,
}

func (m maker) entry() *durable.Entry {
	e := &durable.Entry{
		Kind: kinds[m.IntN(len(kinds))], Time: m.time(), Command: int(m.int()), Name: m.text(), Func: m.text(), Attempt: int(m.int()),
		Effect: durable.Effect(m.text()), Started: m.time(), Until: m.time(), Epoch: m.int(), InputHash: m.text(),
		Input: m.value(), InputRef: m.ref(), Output: m.value(), OutputRef: m.ref(), Child: durable.RunID(m.text()),
		Parent: durable.RunID(m.text()), Definition: m.text(), Status: durable.Status(m.text()), Reason: m.text(),
		After: m.int(), Segment: int(m.int()),
	}
	if m.empty() {
		e.Error = &durable.Failure{Code: durable.Code(m.text()), Reason: m.text(), Message: m.text()}
	}
	if m.empty() {
		e.Interrupt = &durable.Interrupt{ID: m.text(), Kind: m.text(), Prompt: m.text(), Value: m.value()}
		for range m.IntN(3) {
			e.Interrupt.Options = append(e.Interrupt.Options, m.text())
		}
	}
	for range m.IntN(4) {
		e.Carry = append(e.Carry, m.int())
	}
	return e
}

// TestEncodeIsJSON holds the encoder that is written by hand equal to encoding/json,
// byte for byte, and decode to be its inverse. What JSON cannot carry, bytes that are
// not UTF-8, comes back as encoding/json brings it back.
func TestEncodeIsJSON(t *testing.T) {
	m := maker{rand.New(rand.NewPCG(1, 2))}
	for i := range 4_000 {
		e := m.entry()
		got, err := textOf(e)
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		w := wireOf(e)
		want, err := json.Marshal(w)
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if len(w.Input) > 0 && w.OutputRef != nil {
			got, want := fields(t, got), fields(t, want) // encode puts all of the input before all of the output
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("entry %d: -want +got\n%s", i, diff)
			}
		} else if !bytes.Equal(got, want) {
			t.Fatalf("entry %d\n got %s\nwant %s", i, got, want)
		}
		back, err := parse(7, got)
		if err != nil {
			t.Fatalf("entry %d: %v\n%s", i, err, got)
		}
		if diff := cmp.Diff(carried(t, e), back, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("entry %d: -sent +came back\n%s", i, diff)
		}
	}
}

// fields are the fields of a JSON object, each with its bytes as they are.
func fields(t *testing.T, data []byte) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// carried is what of an entry a journal can carry: values that have a ref are blobs,
// and text is UTF-8.
func carried(t *testing.T, e *durable.Entry) durable.Entry {
	t.Helper()
	c := *e
	if c.InputRef != nil {
		c.Input = nil
	}
	if c.OutputRef != nil {
		c.Output = nil
	}
	data, err := json.Marshal(c) // the public form has the same strings under longer names
	if err != nil {
		t.Fatal(err)
	}
	var back durable.Entry
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	back.Seq = 7
	return back
}

// TestValuesAreKept: a value that encoding/json would write differently is not touched.
func TestValuesAreKept(t *testing.T) {
	for _, value := range []string{`{ "b" : 1 , "a":2.0e1 }`, "[\n  1,\n\t2\n]", `"<&>"`, `"\/\u00e9"`, `123456789012345678901234567890`, `null`, `""`} {
		e := &durable.Entry{Kind: durable.EntryDone, Input: json.RawMessage(value), Output: json.RawMessage(value)}
		data, err := textOf(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parse(0, data)
		if err != nil {
			t.Fatal(err)
		}
		if string(back.Input) != value || string(back.Output) != value {
			t.Errorf("sent %q, got %q and %q", value, back.Input, back.Output)
		}
	}
}

// textOf is what encode makes of an entry, without the room for its form and chain.
func textOf(e *durable.Entry) ([]byte, error) {
	body, err := encode(e)
	return body[1+chainSize:], err
}

func parse(seq int64, text []byte) (durable.Entry, error) {
	var e durable.Entry
	err := decode(seq, text, &e)
	return e, err
}

func TestEncodeRefuses(t *testing.T) {
	e := &durable.Entry{Kind: durable.EntryAsked, Interrupt: &durable.Interrupt{Value: json.RawMessage(`{`)}}
	if data, err := textOf(e); err == nil || !strings.Contains(err.Error(), `"q"`) {
		t.Errorf("a question about what is not JSON was encoded as %s, error %v", data, err)
	}
}

// examples are one entry of each kind as an engine writes them.
func examples() []durable.Entry {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	failure := &durable.Failure{Code: durable.CodeUnavailable, Message: "the other side is busy"}
	ask := &durable.Interrupt{ID: "0.3", Kind: "question", Prompt: "Pay <now>?", Value: raw(`{"sum":12}`), Options: []string{"yes", "no"}}
	ref := &durable.Ref{Hash: strings.Repeat("ab", 32), Bytes: 9000}
	return []durable.Entry{
		{Kind: durable.EntryStarted, Name: "p", Input: raw(`{"a":1}`), InputHash: "015abd7f5cc57a2d", Parent: "0pqrstuv0pqrstuv", Definition: ref.Hash, Epoch: 1},
		{Kind: durable.EntryClaimed, Epoch: 2},
		{Kind: durable.EntryIntent, Command: 1, Name: "mail", Func: "send", Attempt: 1, Effect: durable.Irreversible, Started: at, Input: raw(`"x"`), InputHash: "8bf45e9c1ae56f3c", Epoch: 2},
		{Kind: durable.EntryAttempt, Command: 2, Name: "fetch", Attempt: 1, Effect: durable.Read, Started: at, Until: at.Add(time.Second), Error: failure, Epoch: 2},
		{Kind: durable.EntryDone, Name: "fetch", Attempt: 2, Effect: durable.Idempotent, Started: at, InputRef: ref, OutputRef: ref, Epoch: 2},
		{Kind: durable.EntryDone, Command: 3, Name: "say", Output: raw(`"\u003chello\u003e"`), Effect: durable.Read, Attempt: 1, Started: at},
		{Kind: durable.EntryDone, Command: 4, Name: "pay", Attempt: 1, Error: &durable.Failure{Code: durable.CodeDenied, Reason: "budget", Message: "no\tmoney \"left\""}},
		{Kind: durable.EntryTimer, Command: 5, Name: "timer", Until: at.Add(30 * 24 * time.Hour), InputHash: "aa"},
		{Kind: durable.EntryFired, Command: 5, Name: "timer"},
		{Kind: durable.EntrySignal, Name: "word", Input: raw(`["日本語",null]`)},
		{Kind: durable.EntryAsked, Command: 6, Name: "question", Interrupt: ask},
		{Kind: durable.EntryAnswered, Command: 6, Name: "0.3", Output: raw(`"yes"`)},
		{Kind: durable.EntryChild, Command: 7, Name: "kid", Func: "child", Child: "0abcdefg0abcdefg"},
		{Kind: durable.EntryChildDone, Command: 7, Name: "kid", Child: "0abcdefg0abcdefg", Output: raw(`null`)},
		{Kind: durable.EntryCancel, Reason: "line one\nline <two> & ümläut"},
		{Kind: durable.EntryContinued, Segment: 2, After: 14, Carry: []int64{9, 12}, Input: raw(`{}`), InputHash: "44136fa355b3678a"},
		{Kind: durable.EntryBlocked, Reason: "replay mismatch"},
		{Kind: durable.EntryUnblocked, Epoch: 3},
		{Kind: durable.EntryEnded, Status: durable.Succeeded, Output: raw(`[1,2]`)},
		{Kind: durable.EntryEnded, Status: durable.Failed, Error: failure},
		{Kind: durable.EntryForked, Child: "0abcdefg0abcdefg", Segment: 2, Command: 3, Name: "pay", Definition: ref.Hash, Reason: "fork of 0abcdefg0abcdefg at step 2.3 pay", Epoch: 3},
		{Kind: durable.EntryDone, Command: 3, Name: "pay", InputHash: durable.AnyInput, Output: raw(`"set"`), Reason: "set when the run was forked"},
	}
}

// TestWireGolden pins the stored form. Journals of every release are read with it.
func TestWireGolden(t *testing.T) {
	path := filepath.Join("testdata", "wire.golden")
	at := time.Date(2026, 3, 1, 12, 0, 1, 0, time.UTC)
	entries := examples()
	var b bytes.Buffer
	for i := range entries {
		entries[i].Seq, entries[i].Time = int64(i), at.Add(time.Duration(i)*time.Millisecond)
		line, err := textOf(&entries[i])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", line)
	}
	if *update {
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), b.String()); diff != "" {
		t.Errorf("the stored form has changed: -want +got\n%s", diff)
	}
	for i, line := range bytes.Split(bytes.TrimSpace(golden), []byte("\n")) {
		got, err := parse(int64(i), line)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(entries[i], got); diff != "" {
			t.Errorf("line %d: -want +got\n%s", i+1, diff)
		}
	}
}

func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "wire.golden"))
	if err != nil {
		f.Fatal(err)
	}
	for line := range bytes.SplitSeq(bytes.TrimSpace(golden), []byte("\n")) {
		f.Add(line)
		f.Add(line[:len(line)/2])
	}
	for _, s := range []string{"", "{", "null", "[]", `{"k":1}`, `{"k":"done","t":1e99}`, `{"q":{"value":"<"}}`, `{"cy":[]}`, "{\"n\":\"\xff\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := parse(31, body)
		if err != nil {
			if !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), "entry 31") {
				t.Errorf("the error does not name what is damaged: %v", err)
			}
			return
		}
		if e.Seq != 31 {
			t.Errorf("seq is %d", e.Seq)
		}
		if quoted, err := json.Marshal(e.Kind); err != nil || string(quoted) != `"`+string(e.Kind)+`"` {
			return // not a kind that an encoder of ours ever wrote
		}
		if e.InputRef != nil {
			e.Input = nil
		}
		if e.OutputRef != nil {
			e.Output = nil
		}
		if len(e.Carry) == 0 {
			e.Carry = nil
		}
		if e.Interrupt != nil && len(e.Interrupt.Options) == 0 {
			e.Interrupt.Options = nil
		}
		again, err := textOf(&e)
		if err != nil {
			t.Fatalf("what was decoded cannot be encoded: %v", err)
		}
		back, err := parse(31, again)
		if err != nil {
			t.Fatalf("what was encoded cannot be decoded: %v\n%s", err, again)
		}
		sameJSON := cmp.Comparer(func(a, b json.RawMessage) bool { return bytes.Equal(canonical(a), canonical(b)) })
		if diff := cmp.Diff(e, back, sameJSON); diff != "" {
			t.Errorf("-first +second\n%s", diff)
		}
	})
}

// canonical is a value as encoding/json writes it inside of another.
func canonical(v json.RawMessage) []byte {
	if len(v) == 0 {
		return nil
	}
	data, err := json.Marshal(v)
	if err != nil {
		return v
	}
	return data
}

// BenchmarkEncode guards the cost of one 1 KB step entry on the commit path: under 2 µs.
func BenchmarkEncode(b *testing.B) {
	e := benchEntry()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := textOf(e); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDecode guards the cost of replaying one 1 KB step entry: under 20 µs.
func BenchmarkDecode(b *testing.B) {
	data, err := textOf(benchEntry())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parse(1, data); err != nil {
			b.Fatal(err)
		}
	}
}

func benchEntry() *durable.Entry {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	value := json.RawMessage(`{"text":"` + strings.Repeat("0123456789", 100) + `"}`)
	return &durable.Entry{
		Kind: durable.EntryDone, Time: at, Command: 12, Name: "fetch", Attempt: 1, Effect: durable.Read, Started: at, Epoch: 3,
		InputHash: "8bf45e9c1ae56f3c", Input: json.RawMessage(`{"n":12}`), Output: value,
	}
}
