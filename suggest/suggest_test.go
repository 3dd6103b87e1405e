package suggest

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
			if got := Distance(tt.a, tt.b); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if got := Distance(tt.b, tt.a); got != tt.want {
				t.Errorf("the other way round: got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestName(t *testing.T) {
	known := []string{"model", "memory", "tools"}
	tests := []struct{ name, want string }{
		{"mdoel", `did you mean "model"?`},
		{"Tools", `did you mean "tools"?`},
		{"tol", "known fields: model, memory, tools"},
		{"zebra", "known fields: model, memory, tools"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Name(tt.name, known, "known fields"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
