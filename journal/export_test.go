package journal_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/journal"
	"github.com/orpine-run/orpine/store"
)

var born = time.Date(2026, 3, 4, 5, 6, 7, 8000, time.UTC)

// family makes a run with everything an export must find: a definition, a thread of two
// nodes one of which has a content of its own, a long input, a child, a reference that
// leads nowhere. The child waits for an answer or has ended.
func family(t *testing.T, j *journal.Journal, finished bool) {
	t.Helper()
	definition := j.Stage([]byte(`{"model":"m"}`))
	content := j.Stage(bytes.Repeat([]byte("content "), 300))
	first := j.Stage(fmt.Appendf(nil, `{"messages":[{"content":%s}]}`, refJSON(content)))
	second := j.Stage(fmt.Appendf(nil, `{"prev":%s,"messages":[{"text":"two"}]}`, refJSON(first)))
	head := fmt.Sprintf(`{"thread":{"hash":%q,"bytes":%d,"messages":2},"file":{"hash":%q,"bytes":5}}`,
		second.Hash, second.Bytes, strings.Repeat("ab", 32))
	long := json.RawMessage(`"` + strings.Repeat("long ", 2000) + `"`)
	state := store.State{Status: durable.Running, Updated: born}
	parent := []*durable.Entry{
		{Kind: durable.EntryStarted, Name: "p", Input: long, Definition: definition.Hash, Time: born},
		{Kind: durable.EntryDone, Command: 0, Name: "s", Output: json.RawMessage(head), Time: born},
		{Kind: durable.EntryChild, Command: 1, Name: "kid", Child: "kid", Time: born},
	}
	child := []*durable.Entry{
		{Kind: durable.EntryStarted, Name: "q", Parent: "parent", Time: born},
		{Kind: durable.EntryAsked, Command: 0, Interrupt: &durable.Interrupt{ID: "ok", Prompt: "ok?"}, Time: born},
	}
	there := state
	if finished {
		child = append(child, &durable.Entry{Kind: durable.EntryEnded, Status: durable.Succeeded, Output: json.RawMessage(`1`), Time: born})
		parent = append(parent, &durable.Entry{Kind: durable.EntryChildDone, Command: 1, Child: "kid", Output: json.RawMessage(`1`), Time: born},
			&durable.Entry{Kind: durable.EntryEnded, Status: durable.Succeeded, Output: json.RawMessage(`2`), Time: born})
		state.Status, there.Status = durable.Succeeded, durable.Succeeded
	} else {
		state.Status, state.Waits = durable.Waiting, []durable.Wait{{Kind: durable.WaitChild, Command: 1, Child: "kid"}}
		there.Status, there.Waits = durable.Waiting, []durable.Wait{{Kind: durable.WaitAnswer, Interrupt: &durable.Interrupt{ID: "ok", Prompt: "ok?"}}}
	}
	rows := []store.Run{
		{ID: "parent", Name: "n", Program: "p", Definition: definition.Hash, Created: born, Queue: "q", Priority: 3, Share: "s", Tenant: "t", State: state},
		{ID: "kid", Program: "q", Parent: "parent", Command: 1, Created: born, State: there},
	}
	for i, c := range []*journal.Change{
		{Run: "parent", Create: &rows[0], Entries: parent, Blobs: []journal.Blob{definition, content, first, second}},
		{Run: "kid", Create: &rows[1], Entries: child},
	} {
		if err := add(t, j, c); err != nil {
			t.Fatal(i, err)
		}
	}
}

func refJSON(b journal.Blob) string { return fmt.Sprintf(`{"hash":%q,"bytes":%d}`, b.Hash, b.Bytes) }

func export(t *testing.T, j *journal.Journal, id durable.RunID) []byte {
	t.Helper()
	var file bytes.Buffer
	if _, err := j.Export(t.Context(), &file, journal.ExportConfig{Run: id, Build: "test", Now: born}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func imports(t *testing.T, j *journal.Journal, file []byte, cfg journal.ImportConfig) (journal.Imported, error) {
	t.Helper()
	if cfg.Now.IsZero() {
		cfg.Now = born.Add(time.Hour)
	}
	return j.Import(t.Context(), bytes.NewReader(file), cfg)
}

// sound requires that a store holds nothing that does not fit.
func sound(t *testing.T, j *journal.Journal) {
	t.Helper()
	_, err := j.Verify(t.Context(), journal.Verification{Problem: func(text string) { t.Error(text) }})
	if err != nil {
		t.Error(err)
	}
}

// TestExportImport: what comes out of an export is what went in, to the byte.
func TestExportImport(t *testing.T) {
	from, fromStore := open(t)
	family(t, from, true)
	file := export(t, from, "parent")
	to, toStore := open(t)
	got, err := imports(t, to, file, journal.ImportConfig{})
	want := journal.Imported{Run: "parent", Runs: []durable.RunID{"parent", "kid"}, Entries: 8, Blobs: 5}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("import: error %v, -want +got\n%s", err, diff)
	}
	for _, id := range got.Runs {
		a, errA := fromStore.Run(t.Context(), id)
		b, errB := toStore.Run(t.Context(), id)
		if diff := cmp.Diff(a, b, cmpopts.IgnoreFields(store.Run{}, "N")); diff != "" || errA != nil || errB != nil {
			t.Errorf("run %s: errors %v, %v, -want +got\n%s", id, errA, errB, diff)
		}
		before, errA := fromStore.Entries(t.Context(), id, -1, 100)
		after, errB := toStore.Entries(t.Context(), id, -1, 100)
		if diff := cmp.Diff(before, after); diff != "" || errA != nil || errB != nil {
			t.Errorf("entries of %s: errors %v, %v, -want +got\n%s", id, errA, errB, diff)
		}
	}
	sound(t, to)
	if again := export(t, to, "parent"); !bytes.Equal(again, file) {
		t.Errorf("an export of the import has %d bytes and differs from the first one (%d)", len(again), len(file))
	}
	if _, err := imports(t, to, file, journal.ImportConfig{}); !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "--as-new") {
		t.Errorf("a second import: got %v", err)
	}
	if _, err := from.Export(t.Context(), &bytes.Buffer{}, journal.ExportConfig{Run: "none"}); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("export of nothing: got %v", err)
	}
}

// TestImportUnfinished: what had not ended is blocked, its children too, and says why.
func TestImportUnfinished(t *testing.T) {
	from, _ := open(t)
	family(t, from, false)
	to, s := open(t)
	file := export(t, from, "parent")
	got, err := imports(t, to, file, journal.ImportConfig{})
	if err != nil || len(got.Unfinished) != 2 {
		t.Fatalf("got %+v, error %v", got, err)
	}
	for _, id := range got.Unfinished {
		r, err := to.Run(t.Context(), id)
		if err != nil || r.Status != durable.Blocked || r.Reason != "imported: orpine resume "+string(id)+" goes on with it" || r.Error == nil || len(r.Waits) > 0 {
			t.Errorf("run %s is %s: %q, error %v", id, r.Status, r.Reason, err)
		}
	}
	sound(t, to)
	// With new IDs all that name runs follow; a child alone loses its parent.
	n := 0
	fresh := func() durable.RunID { n++; return durable.RunID(fmt.Sprintf("new%d", n)) }
	if got, err = imports(t, to, file, journal.ImportConfig{NewID: fresh}); err != nil || got.Run != "new1" {
		t.Fatalf("got %+v, error %v", got, err)
	}
	kid, err := s.Run(t.Context(), "new2")
	entries, errEntries := to.All(t.Context(), "new1", 0)
	if err != nil || errEntries != nil || kid.Parent != "new1" || entries[2].Child != "new2" {
		t.Errorf("the child is %+v (error %v), the parent's entries are %+v (error %v)", kid, err, entries, errEntries)
	}
	sound(t, to)
	alone, s := open(t)
	if _, err := imports(t, alone, export(t, from, "kid"), journal.ImportConfig{}); err != nil {
		t.Fatal(err)
	}
	if kid, err := s.Run(t.Context(), "kid"); err != nil || kid.Parent != "" {
		t.Errorf("a child alone has the parent %q, error %v", kid.Parent, err)
	}
	sound(t, alone)
	_, err = from.Export(t.Context(), &bytes.Buffer{}, journal.ExportConfig{Run: "parent", Alone: true})
	if !errors.Is(err, durable.ErrConflict) || !strings.Contains(err.Error(), "waits for a child: export it with its children") {
		t.Errorf("a parent alone: got %v", err)
	}
}

// TestImportEveryBit: whichever bit of an export is flipped and wherever it is cut off,
// it is refused, and nothing is written.
func TestImportEveryBit(t *testing.T) {
	from, _ := open(t)
	family(t, from, true)
	file := export(t, from, "parent")
	to, s := open(t)
	refused := func(what string, file []byte) {
		t.Helper()
		_, err := imports(t, to, file, journal.ImportConfig{})
		if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), "export") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	for bit := range 8 * len(file) {
		file[bit/8] ^= 1 << (bit % 8)
		refused(fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), file)
		file[bit/8] ^= 1 << (bit % 8)
	}
	for size := range len(file) {
		refused(fmt.Sprintf("cut off after %d bytes", size), file[:size])
	}
	refused("with a byte more", append(slices.Clone(file), 0))
	if runs, err := s.List(t.Context(), durable.Filter{}); err != nil || len(runs) > 0 {
		t.Errorf("there are %d runs, error %v", len(runs), err)
	}
	if hashes, _, err := s.Hashes(t.Context(), 0, 10); err != nil || len(hashes) > 0 {
		t.Errorf("there are %d blobs, error %v", len(hashes), err)
	}
	t.Logf("%d bits, %d lengths", 8*len(file), len(file))
}

// part is a record of an export as it is in the file.
type part struct {
	line map[string]any
	body []byte
}

// take takes an export apart.
func take(t *testing.T, file []byte) []part {
	t.Helper()
	d, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	text, err := d.DecodeAll(file[bytes.IndexByte(file, '\n')+1:len(file)-73], nil)
	if err != nil {
		t.Fatal(err)
	}
	var parts []part
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		p := part{line: map[string]any{}}
		if err := json.Unmarshal(line, &p.line); err != nil {
			t.Fatal(err)
		}
		n, _ := p.line["bytes"].(float64)
		p.body, text = slices.Clone(rest[:int(n)]), rest[int(n):]
		parts = append(parts, p)
	}
	return parts
}

// forge puts an export together, with a sum that fits.
func forge(t testing.TB, parts []part) []byte {
	t.Helper()
	var text []byte
	for _, p := range parts {
		if lie, ok := p.line["bytes"].(string); ok { // a length that is not that of the body
			p.line["bytes"] = json.Number(lie)
		} else if len(p.body) > 0 {
			p.line["bytes"] = len(p.body)
		}
		line, err := json.Marshal(p.line)
		if err != nil {
			t.Fatal(err)
		}
		text = append(append(append(text, line...), '\n'), p.body...)
	}
	return seal(t, text)
}

func seal(t testing.TB, records []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil, zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	file := e.EncodeAll(records, []byte("orpine export 1\n"))
	return fmt.Appendf(file, "\nsha256 %x\n", sha256.Sum256(file))
}

func object(v any) map[string]any { m, _ := v.(map[string]any); return m }

func number(v any) float64 { n, _ := v.(float64); return n }

// TestImportForged: an export that was changed together with its sum is refused as well,
// and what is wrong is named.
func TestImportForged(t *testing.T) {
	from, _ := open(t)
	family(t, from, false)
	whole := export(t, from, "parent")
	kinds := func(parts []part) (k []string) {
		for _, p := range parts {
			k = append(k, fmt.Sprint(p.line["kind"]))
		}
		return k
	}
	want := "file run entry entry entry run entry entry blob blob absent blob blob blob end"
	if got := kinds(take(t, whole)); strings.Count(strings.Join(got, " "), "blob") != 5 || got[len(got)-1] != "end" || len(got) != 15 {
		t.Fatalf("an export has the records %v, want something like %s", got, want)
	}
	run := func(p part) map[string]any { return object(p.line["run"]) }
	last := func(parts []part) part { return parts[len(parts)-1] }
	less := func(parts []part, key string) { last(parts).line[key] = number(last(parts).line[key]) - 1 }
	find := func(parts []part, text string) int {
		return slices.IndexFunc(parts, func(p part) bool {
			return p.line["kind"] == "blob" && bytes.Contains(p.body, []byte(text))
		})
	}
	drop := func(text string) func([]part) []part {
		return func(p []part) []part { less(p, "blobs"); i := find(p, text); return slices.Delete(p, i, i+1) }
	}
	written := func(from, to string) func([]part) []part { // as if it had been written so
		return func(p []part) []part {
			var chain []byte
			for i, seq := 0, uint64(0); i < len(p); i++ {
				switch p[i].line["kind"] {
				case "run":
					chain, seq = make([]byte, 16), 0
				case "entry":
					p[i].body = []byte(strings.Replace(string(p[i].body), from, to, 1))
					sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64(chain, seq), p[i].body...))
					chain, seq = sum[:16:16], seq+1
					p[i].line["chain"] = hex.EncodeToString(chain)
				}
			}
			return p
		}
	}
	for name, c := range map[string]struct {
		change func([]part) []part
		want   string
	}{
		"written as it was":  {written(`"c":1`, `"c":1`), ""},
		"negative command":   {written(`"c":1`, `"c":-1`), "run parent: entry 2: there is no command -1"},
		"no question":        {written(`"q":{`, `"data":{`), "run kid: entry 1: it asks nothing"},
		"as it was":          {func(p []part) []part { return p }, ""},
		"definition missing": {drop(`{"model"`), "is missing, which "},
		"node missing":       {drop(`"two"`), "is missing, which entry 1 of run parent names"},
		"older node missing": {drop(`[{"content"`), "is missing, which blob "},
		"content missing":    {drop("content content"), "is missing, which blob "},
		"long input missing": {drop("long long"), "is missing, which entry 0 of run parent names"},
		"blob changed":       {func(p []part) []part { p[find(p, "long long")].body[3] = '!'; return p }, "is damaged: its content has another hash"},
		"blob twice":         {func(p []part) []part { return slices.Insert(p, len(p)-1, p[len(p)-2]) }, "comes twice"},
		"thread said absent": {func(p []part) []part {
			i := find(p, `"two"`)
			p[i].line, p[i].body = map[string]any{"kind": "absent", "hash": p[i].line["hash"]}, nil
			less(p, "blobs")
			return p
		}, "is missing, which entry 1"},
		"absent not said": {func(p []part) []part {
			return slices.DeleteFunc(p, func(p part) bool { return p.line["kind"] == "absent" })
		}, "which entry 1 of run parent seems to name"},
		"entry changed": {func(p []part) []part {
			p[3].body = bytes.Replace(p[3].body, []byte(`"n":"s"`), []byte(`"n":"S"`), 1)
			return p
		}, "run parent: entry 1 is damaged: its checksum does not match"},
		"chain changed":      {func(p []part) []part { p[3].line["chain"] = strings.Repeat("0", 32); return p }, "run parent: entry 1 is damaged"},
		"chain cut off":      {func(p []part) []part { p[3].line["chain"] = "00"; return p }, "entry 1: its chain is no checksum"},
		"entries swapped":    {func(p []part) []part { p[3], p[4] = p[4], p[3]; return p }, "entry 1 is missing"},
		"entry missing":      {func(p []part) []part { return slices.Delete(p, 3, 4) }, "entry 1 is missing"},
		"last entry missing": {func(p []part) []part { return slices.Delete(p, 4, 5) }, "run parent has 2 entries, it should have 3"},
		"entry behind blobs": {func(p []part) []part { return slices.Insert(p, len(p)-1, p[4]) }, "it is a entry behind the blobs"},
		"entry of no run":    {func(p []part) []part { return slices.Delete(p, 1, 2) }, "it is an entry of no run"},
		"run missing":        {func(p []part) []part { return slices.Delete(p, 5, 8) }, "it counts 2 runs"},
		"run twice":          {func(p []part) []part { run(p[5])["id"] = "parent"; return p }, "run parent comes twice"},
		"run without an ID":  {func(p []part) []part { run(p[5])["id"] = ""; return p }, "a run without an ID"},
		"status changed":     {func(p []part) []part { run(p[1])["status"] = "succeeded"; return p }, "run parent: status: it is succeeded, but the last entry (2) is child"},
		"status made up":     {func(p []part) []part { run(p[1])["status"] = "ready"; return p }, `there is no status "ready"`},
		"program changed":    {func(p []part) []part { run(p[1])["program"] = "x"; return p }, `program: it is "x", entry 0 started "p"`},
		"start changed":      {func(p []part) []part { run(p[1])["start"] = 1; return p }, "start: it is 1"},
		"segment changed":    {func(p []part) []part { run(p[1])["segment"] = 1; return p }, "segment: it is 1"},
		"waits gone":         {func(p []part) []part { delete(run(p[1]), "waits"); return p }, "waits: it waits for nothing"},
		"waits for another": {func(p []part) []part {
			run(p[1])["waits"] = []any{map[string]any{"kind": "child", "command": 0, "child": "kid"}}
			return p
		}, "command 0 (child ) is nothing that it can wait for"},
		"wakes":               {func(p []part) []part { run(p[1])["wake"] = "2026-01-01T00:00:00Z"; return p }, "wake: it is 2026-01-01T00:00:00Z, its timers say never"},
		"parent changed":      {func(p []part) []part { run(p[1])["id"] = "other"; run(p[5])["parent"] = "other"; return p }, `parent: it is other, entry 0 says "parent"`},
		"wrong counts":        {func(p []part) []part { less(p, "entries"); return p }, "it counts 2 runs, 4 entries"},
		"no end":              {func(p []part) []part { return p[:len(p)-1] }, `there is no record "end"`},
		"something behind":    {func(p []part) []part { return append(p, last(p)) }, "something follows the record"},
		"no first record":     {func(p []part) []part { return p[1:] }, "the first one, and no other, is a file"},
		"nothing":             {func(p []part) []part { return nil }, `there is no record "end"`},
		"a kind of its own":   {func(p []part) []part { p[2].line["kind"] = "note"; return p }, `there is no kind "note"`},
		"a key of its own":    {func(p []part) []part { p[2].line["colour"] = 1; return p }, `unknown field "colour"`},
		"longer than it is":   {func(p []part) []part { p[len(p)-1].line["bytes"] = "1000"; return p }, "it is cut off after 0 of 1000 bytes"},
		"longer than can be":  {func(p []part) []part { p[len(p)-1].line["bytes"] = "5000000000"; return p }, "it has 5000000000 bytes"},
		"shorter than can be": {func(p []part) []part { p[len(p)-1].line["bytes"] = "-1"; return p }, "it has -1 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			to, s := open(t)
			_, err := imports(t, to, forge(t, c.change(take(t, whole))), journal.ImportConfig{})
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			runs, errRuns := s.List(t.Context(), durable.Filter{})
			hashes, _, errBlobs := s.Hashes(t.Context(), 0, 10)
			if len(runs)+len(hashes) > 0 || errRuns != nil || errBlobs != nil {
				t.Errorf("written: %d runs, %d blobs; errors %v, %v", len(runs), len(hashes), errRuns, errBlobs)
			}
		})
	}
	for text, want := range map[string]string{
		"": "not an export", "SQLite format 3\x00": "not an export", "orpine export": "not an export", "orpine export x\n": "not an export",
		"orpine export 01\n": "not an export", "orpine export 0\n": "not an export", "orpine export ": "cut off after 14 bytes", "orpine export 1": "cut off after 15",
		"orpine export 1\n": "cut off after 16", "orpine export 2\nanything": "format 2, this build knows up to 1: use a newer orpine",
	} {
		to, _ := open(t)
		if _, err := imports(t, to, []byte(text), journal.ImportConfig{}); !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestExportDamaged: what is damaged is not exported, and named.
func TestExportDamaged(t *testing.T) {
	j, s := open(t)
	family(t, j, true)
	for name, c := range map[string]struct {
		damage func()
		want   string
	}{
		"entry": {func() {
			s.entry = func(e store.Entry) store.Entry {
				if e.Seq == 3 {
					e.Body[30] ^= 1
				}
				return e
			}
		}, "export run parent: run parent: entry 3 is damaged"},
		"blob": {func() { s.blob = func(b []byte) []byte { b[len(b)-1] ^= 1; return b } }, " is damaged"},
	} {
		s.entry, s.blob = nil, nil
		c.damage()
		fresh, err := journal.New(s) // it remembers no blobs
		if err != nil {
			t.Fatal(err)
		}
		_, err = fresh.Export(context.WithoutCancel(t.Context()), &bytes.Buffer{}, journal.ExportConfig{Run: "parent"})
		if !errors.Is(err, durable.ErrInternal) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

// FuzzImport: no file makes an import panic or leaves a run that does not fit. Records are
// packed and given a sum that fits, so that they are looked at.
func FuzzImport(f *testing.F) {
	seeds(f)
	j, _ := open(f)
	var n atomic.Int64
	fresh := func() durable.RunID { return durable.RunID(fmt.Sprintf("run%d", n.Add(1))) }
	f.Fuzz(func(t *testing.T, data []byte, records bool) {
		file := data
		if records {
			file = seal(t, data)
		}
		got, err := imports(t, j, file, journal.ImportConfig{NewID: fresh})
		if err != nil {
			if code := durable.CodeOf(err); code != durable.CodeInvalid {
				t.Errorf("refused with the code %s: %v", code, err)
			}
			return
		}
		for _, id := range got.Runs {
			export(t, j, id)
			entries, err := j.All(t.Context(), id, 0)
			if err != nil {
				t.Error(err)
			}
			for _, e := range entries { // what those who read them rely on
				if e.Command < 0 || (e.Kind == durable.EntryAsked && e.Interrupt == nil) {
					t.Errorf("run %s has the entry %+v", id, e)
				}
			}
			journal.Steps(entries, nil)
		}
	})
}

func seeds(f *testing.F) {
	f.Helper()
	for _, text := range []string{
		"", "orpine export 1\n", "orpine export 9\n",
		`{"kind":"file"}` + "\n" + `{"kind":"run","run":{"id":"a","program":"p","created":"2026-01-01T00:00:00Z","status":"running","updated":"2026-01-01T00:00:00Z"},"entries":1}` + "\n" +
			`{"kind":"entry","bytes":32,"chain":"58d4c8e1eb0d0aaf43ee25ef2d7d8a4a"}` + "\n" + `{"k":"started","t":1,"n":"program"}`,
		`{"kind":"file"}` + "\n" + `{"kind":"end"}` + "\n",
	} {
		f.Add([]byte(text), false)
		f.Add([]byte(text), true)
	}
}
