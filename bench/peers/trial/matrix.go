package trial

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orpine-run/orpine/bench/peers/workload"
)

// sizes are the runs at once of each workload, and the parked runs, when none are named.
var sizes = []size{
	{workload.Steps, []int{1, 64, 256, 1000}, []int{1, 64}},
	{workload.Agent, []int{1, 100, 1000}, []int{1, 100}},
	{workload.Parked, []int{10000}, []int{500}},
	{workload.Cold, []int{1}, []int{1}},
}

type size struct {
	kind        workload.Kind
	full, short []int
}

// Parse reads a list of loads such as "w1,w2/100,park/2000". A workload without a number
// stands for all its sizes, fewer and smaller ones if short; an empty list for all
// workloads.
func Parse(list string, short bool) ([]Load, error) {
	if list == "" {
		var names []string
		for _, s := range sizes {
			names = append(names, string(s.kind))
		}
		list = strings.Join(names, ",")
	}
	var loads []Load
	for item := range strings.SplitSeq(list, ",") {
		name, number, sized := strings.Cut(strings.TrimSpace(item), "/")
		i := slices.IndexFunc(sizes, func(s size) bool { return string(s.kind) == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no workload %q; there are w1, w2, park (with recover) and w4", name)
		}
		if !sized {
			all := sizes[i].full
			if short {
				all = sizes[i].short
			}
			for _, n := range all {
				loads = append(loads, Load{sizes[i].kind, n})
			}
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q: %q is no number of runs", item, number)
		}
		if sizes[i].kind == workload.Parked && n <= workload.Resumed {
			return nil, fmt.Errorf("%q: the first %d runs are resumed one by one, so more must be parked", item, workload.Resumed)
		}
		loads = append(loads, Load{sizes[i].kind, n})
	}
	return loads, nil
}
