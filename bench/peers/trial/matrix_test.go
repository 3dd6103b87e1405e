package trial_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/bench/peers/trial"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name  string
		list  string
		short bool
		want  []trial.Load
	}{
		{"one size", "w1/64", false, []trial.Load{{workload.Steps, 64}}},
		{"all sizes", "w2", false, []trial.Load{{workload.Agent, 1}, {workload.Agent, 100}, {workload.Agent, 1000}}},
		{"fewer sizes", "w1", true, []trial.Load{{workload.Steps, 1}, {workload.Steps, 64}}},
		{"in the order given", "park/2000, w4", true, []trial.Load{{workload.Parked, 2000}, {workload.Cold, 1}}},
		{"everything", "", true, []trial.Load{
			{workload.Steps, 1},
			{workload.Steps, 64},
			{workload.Agent, 1},
			{workload.Agent, 100},
			{workload.Parked, 500},
			{workload.Cold, 1},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := trial.Parse(tt.list, tt.short)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	for _, list := range []string{"w9", "recover", "w1/0", "w1/many", "w1/", "park/100", "w1,,w2"} {
		if got, err := trial.Parse(list, false); err == nil {
			t.Errorf("%q was read as %v", list, got)
		}
	}
}
