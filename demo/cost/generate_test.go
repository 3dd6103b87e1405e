package cost_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/orpine-run/orpine/demo/cost"
)

var update = flag.Bool("update", false, "rewrite bill.csv and testdata")

func TestSample(t *testing.T) {
	var b bytes.Buffer
	if err := cost.Generate(&b, 7, 500); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("bill.csv", b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(b.Bytes(), cost.Sample()) {
		t.Error("bill.csv is not what Generate writes: run go generate ./demo/cost")
	}
	if n := len(cost.Sample()); n > 200<<10 {
		t.Errorf("bill.csv is %d bytes, want at most 200 KB", n)
	}
}

func TestGenerateIsSeeded(t *testing.T) {
	bills := map[string]string{}
	for _, tt := range []struct {
		name string
		seed uint64
		rows int
	}{{"a", 1, 900}, {"same", 1, 900}, {"other seed", 2, 900}, {"short", 1, 10}} {
		var b bytes.Buffer
		if err := cost.Generate(&b, tt.seed, tt.rows); err != nil {
			t.Fatal(err)
		}
		if got := bytes.Count(b.Bytes(), []byte("\n")) - 1; got != tt.rows {
			t.Errorf("%s: %d rows, want %d", tt.name, got, tt.rows)
		}
		bills[tt.name] = b.String()
	}
	if bills["a"] != bills["same"] || bills["a"] == bills["other seed"] {
		t.Error("the seed does not decide the bill")
	}
}
