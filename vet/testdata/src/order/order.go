package order

import (
	"maps"
	"slices"
	"sort"

	"github.com/orpine-run/orpine/durable"
)

func program(ctx durable.Context, m map[string]int) ([]string, error) {
	for k := range m { // want `the order of a map is another each time`
		ctx.Step(k)
	}
	for range m {
		ctx.Step("as many as there are")
	}
	//orpine:ordered the steps have no order
	for k := range m {
		ctx.Step(k)
	}
	var names, others, third []string
	for k := range m {
		names = append(names, k)
	}
	slices.Sort(names)
	for k, v := range m {
		if v == 0 {
			continue
		}
		others = append(others, k)
	}
	sort.Strings(others)
	for k := range m { // want `the order of a map`
		third = append(third, k)
	}
	copied, sum, mean, last := map[string]int{}, 0, 0.0, ""
	for k, v := range m {
		copied[k] = v
		sum += v
		delete(m, k)
	}
	for _, v := range m { // want `the order of a map`
		mean += float64(v) / 3
	}
	for k := range m { // want `the order of a map`
		last = k
	}
	for k, v := range m { // want `the order of a map`
		copied[k] = draw(v)
	}
	_ = slices.Sorted(maps.Keys(m))
	_ = slices.Collect(maps.Keys(m)) // want `maps.Keys has another order each time`
	for k := range maps.Keys(m) {    // want `maps.Keys has another order`
		ctx.Step(k)
	}
	_ = maps.Collect(maps.All(m))
	for _, name := range names {
		ctx.Step(name)
	}
	_, _ = mean, last
	return names, nil
}

func draw(n int) int { return n }
