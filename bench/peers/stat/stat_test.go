package stat_test

import (
	"testing"

	"github.com/orpine-run/orpine/bench/peers/stat"
)

func TestPercentile(t *testing.T) {
	hundred := make([]float64, 101)
	for i := range hundred {
		hundred[i] = float64(i)
	}
	for _, tt := range []struct {
		name   string
		sorted []float64
		p      float64
		want   float64
	}{
		{"none", nil, .5, 0},
		{"one", []float64{7}, .99, 7},
		{"median", hundred, .5, 50},
		{"p99", hundred, .99, 99},
		{"lowest", hundred, 0, 0},
		{"highest", hundred, 1, 100},
		{"rank from below", []float64{1, 2, 3, 4}, .5, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := stat.Percentile(tt.sorted, tt.p); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOf(t *testing.T) {
	for _, tt := range []struct {
		name   string
		values []float64
		want   stat.Spread
	}{
		{"none", nil, stat.Spread{}},
		{"one", []float64{3}, stat.Spread{Median: 3, Low: 3, High: 3}},
		{"odd", []float64{9, 1, 4}, stat.Spread{Median: 4, Low: 1, High: 9}},
		{"even", []float64{4, 1, 2, 9}, stat.Spread{Median: 3, Low: 1, High: 9}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := stat.Of(tt.values); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}
