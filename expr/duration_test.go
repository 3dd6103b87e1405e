package expr_test

import (
	"testing"

	"github.com/orpine-run/orpine/expr"
)

func TestDurations(t *testing.T) {
	tests := []struct {
		text string
		want string
	}{
		{"15m", "15m0s"},
		{"1h30m", "1h30m0s"},
		{"3d", "72h0m0s"},
		{"1d1.5h", "25h30m0s"},
		{"36525d", "876600h0m0s"},
		{"0s", ""},
		{"", ""},
		{"-1s", ""},
		{"1", ""},
		{"1w", ""},
		{"1h1d", ""},
		{"36525d1s", ""},
		{"99999999999999999999h", ""},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			d, ok := expr.ParseDuration(tt.text)
			if got := d.String(); ok != (tt.want != "") || ok && got != tt.want {
				t.Errorf("got %s %t, want %q", got, ok, tt.want)
			}
		})
	}
}
