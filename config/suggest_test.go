package config

import "testing"

func TestDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"model", "model", 0},
		{"mdoel", "model", 1}, // a swap is one edit
		{"modl", "model", 1},
		{"modeel", "model", 1},
		{"nodel", "model", 1},
		{"kitten", "sitting", 3},
		{"日本", "日木", 1},
	}
	for _, tt := range tests {
		t.Run(tt.a+"-"+tt.b, func(t *testing.T) {
			if got := distance(tt.a, tt.b); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if got := distance(tt.b, tt.a); got != tt.want {
				t.Errorf("the other way round: got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestDidYouMean(t *testing.T) {
	known := []string{"model", "memory", "tools"}
	tests := []struct{ name, want string }{
		{"mdoel", `did you mean "model"?`},
		{"Tools", `did you mean "tools"?`},
		{"tol", "known fields: model, memory, tools"},
		{"zebra", "known fields: model, memory, tools"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DidYouMean(tt.name, known, "known fields"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

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
			d, ok := parseDuration(tt.text)
			if got := d.String(); ok != (tt.want != "") || ok && got != tt.want {
				t.Errorf("got %s %t, want %q", got, ok, tt.want)
			}
		})
	}
}
