package script_test

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "build guest.wasm.zst anew")

// What is embedded is what tool/script/guest is built to by the version of Go in
// guest.version. After a change of the guest or of its modules: go test ./tool/script -run
// TestGuest -update.
func TestGuest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "guest.wasm")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", path, "./guest")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly", "GOEXPERIMENT=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	built, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("guest.wasm.zst", w.EncodeAll(built, nil), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("guest.version", []byte(runtime.Version()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	version, err := os.ReadFile("guest.version")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(string(version)) != runtime.Version() {
		t.Skipf("what is embedded was built by %s, and this is %s", bytes.TrimSpace(version), runtime.Version())
	}
	packed, err := os.ReadFile("guest.wasm.zst")
	if err != nil {
		t.Fatal(err)
	}
	r, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	embedded, err := r.DecodeAll(packed, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(embedded, built) {
		t.Error("guest.wasm.zst is not what ./guest is built to: go test ./tool/script -run TestGuest -update")
	}
}
