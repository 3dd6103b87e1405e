package wasm_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/wasm"
)

// growing is a module that grows its table by a million elements until it cannot, and then
// traps: (table 1 funcref) (func (export "_start") (loop (br_if 0 (i32.ge_s (table.grow 0
// (ref.null func) (i32.const 1000000)) (i32.const 0)))) unreachable).
func growing(table ...byte) []byte {
	return module(table, []byte{0, 0x03, 0x40, 0xd0, 0x70, 0x41, 0xc0, 0x84, 0x3d, 0xfc, 0x0f, 0, 0x41, 0, 0x4e, 0x0d, 0, 0x0b, 0x00, 0x0b})
}

// recursive is one whose function calls itself for ever.
func recursive() []byte { return module([]byte{1, 0x70, 0, 1}, []byte{0, 0x10, 0, 0x0b}) }

func module(table, body []byte) []byte {
	out := []byte{0, 'a', 's', 'm', 1, 0, 0, 0}
	section := func(id byte, content ...byte) {
		out = append(append(out, id, byte(len(content))), content...)
	}
	section(1, 1, 0x60, 0, 0) // type: () -> ()
	section(3, 1, 0)          // function
	section(4, table...)
	section(7, append([]byte{1, 6}, "_start\x00\x00"...)...)
	section(10, append([]byte{1, byte(len(body))}, body...)...)
	return out
}

func TestHandMade(t *testing.T) {
	for _, c := range []struct {
		name   string
		module []byte
		says   string
	}{
		{"without a maximum", growing(1, 0x70, 0, 1), "unreachable"},
		{"with a large maximum", growing(1, 0x70, 1, 1, 0xff, 0xff, 0xff, 0xff, 0x0f), "unreachable"},
		{"large from the start", growing(1, 0x70, 0, 0xff, 0xff, 0xff, 0xff, 0x0f), "more than 4194304 elements"},
		{"many", growing(0xff, 0xff, 3, 0x70, 0, 1), "section 4"},
		{"of another kind", growing(1, 0x55, 0, 1), "not supported"},
		{"cut off", growing(1, 0x70), "not supported"},
		{"a type of a billion parameters", []byte("\x00asm\x01\x00\x00\x00\x01\x07\x01\x60\xe4\xff\x80\xff\x02"), "section 1"},
		{"a billion functions", []byte("\x00asm\x01\x00\x00\x00\x03\x05\xe4\xff\x80\xff\x02"), "section 3"},
		{"a billion locals", module([]byte{1, 0x70, 0, 1}, []byte{1, 0xff, 0xff, 0xff, 0xff, 3, 0x7f, 0x0b}), "section 10"},
		{"recursion without end", recursive(), "stack overflow"},
	} {
		path := filepath.Join(t.TempDir(), "table.wasm")
		if err := os.WriteFile(path, c.module, 0o600); err != nil {
			t.Fatal(err)
		}
		declaration, err := wasm.Declare("table", wasm.Declared{Module: path, Timeout: "20s"})
		if err != nil {
			t.Fatal(err)
		}
		made, err := shared.Make(declaration)
		if err != nil {
			t.Fatal(err)
		}
		r, err := tool.NewRegistry(made)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := r.Dispatch(t.Context(), tool.Call{Name: "table"})
		runtime.ReadMemStats(&after)
		if err != nil || !got.Error || !strings.Contains(got.Content, c.says) {
			t.Errorf("%s: got %+v, %v; want %q", c.name, got, err, c.says)
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 512<<20 {
			t.Errorf("%s: it took %d MB", c.name, taken>>20)
		}
	}
}

// FuzzModule runs whatever bytes there are: nothing may break out of its bounds or panic.
func FuzzModule(f *testing.F) {
	f.Add(growing(1, 0x70, 0, 1))
	f.Add(recursive())
	f.Add(growing(1, 0x70, 1, 1, 2))
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Add([]byte("\x00asm\x01\x00\x00\x00\x04\xff\xff\xff\xff\x0f"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		tools := wasm.New() // so that nothing compiled is kept
		defer func() {
			if err := tools.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		kept := blobs{}
		ref, err := kept.Put(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		config, err := json.Marshal(wasm.Declared{Blob: &ref, MemoryMB: 1, Timeout: "100ms", MaxBytes: 1000, Mounts: []wasm.Mount{{Dir: dir, At: "/d"}}})
		if err != nil {
			t.Fatal(err)
		}
		made, err := tools.Make(tool.Declaration{Name: "fuzz", Kind: wasm.Kind, Config: config})
		if err != nil {
			t.Fatal(err)
		}
		_, err = made.Call(durable.WithAttempt(t.Context(), &durable.Attempt{Blobs: kept}), nil)
		if err != nil && durable.CodeOf(err) != durable.CodeInvalid {
			t.Error(err)
		}
	})
}
