package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/orpine-run/orpine/bench/peers/stat"
	"github.com/orpine-run/orpine/bench/peers/workload"
)

// column is one column of a table: the median of a figure over the repetitions.
type column struct {
	title    string
	figure   Figure
	decimals int
	spread   bool // lowest and highest beside the median
}

// sheet says how the rows of one workload are shown. The first column is what Orpine is
// held against the others by.
type sheet struct {
	kind    workload.Kind
	title   string
	less    bool // less is better
	columns []column
}

var sheets = []sheet{
	{workload.Steps, "w1: runs of 20 sequential steps, 1 KB each; CPU and disk by step", false, []column{
		{"steps/s", Rate, 0, true},
		{"p50 ms", P50, 2, false},
		{"p99 ms", P99, 2, false},
		{"CPU ms", CPU, 3, false},
		{"disk KB", Disk, 2, false},
		{"RSS MB", RSS, 0, false},
		{"errors", Errors, 0, false},
	}},
	{workload.Agent, "w2: agent loop, 6 model calls and 10 tool calls; CPU and disk by run", false, []column{
		{"runs/s", Rate, 1, true},
		{"p50 ms", P50, 1, false},
		{"p99 ms", P99, 1, false},
		{"over 145 ms", Overhead, 1, false},
		{"CPU ms", CPU, 2, false},
		{"disk KB", Disk, 1, false},
		{"RSS MB", RSS, 0, false},
		{"errors", Errors, 0, false},
	}},
	{workload.Parked, "park: runs that wait for a signal; resumed is from the signal to the next step; memory, disk and CPU by run", true, []column{
		{"resumed p50 ms", P50, 2, true},
		{"p99 ms", P99, 2, false},
		{"parked/s", Rate, 0, false},
		{"CPU ms", CPU, 3, false},
		{"disk KB", Disk, 2, false},
		{"RSS KB", RunRSS, 2, false},
		{"uncollected", RunRSSRaw, 2, false},
		{"RSS MB", RSS, 0, false},
		{"idle CPU %", IdleCPU, 1, false},
		{"errors", Errors, 0, false},
	}},
	{workload.Recover, "recover: the same runs after kill -9 of everything; first is from the start of the worker to the first resumption", true, []column{
		{"first s", FirstAfter, 2, true},
		{"server up s", ServerUp, 2, false},
		{"drain s", Drain, 2, false},
		{"drained/s", Rate, 0, false},
		{"RSS MB", RSS, 0, false},
		{"errors", Errors, 0, false},
	}},
	{workload.Cold, "w4: from the start of the process to the first step; total is with the server", true, []column{
		{"total ms", Total, 0, true}, {"first step ms", FirstStep, 0, false}, {"server up s", ServerUp, 2, false}, {"installed MB", Binary, 0, false},
	}},
}

// Tables writes a table for every workload that has rows, and under it how ours compares
// with the best of the engines marked so. Engines come in the order given.
func Tables(w io.Writer, engines []Engine, ours string, rows []Row) error {
	for _, s := range sheets {
		of := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Workload != s.kind })
		if len(of) == 0 {
			continue
		}
		if err := s.write(w, engines, ours, of); err != nil {
			return err
		}
	}
	return settings(w, engines)
}

// size is a part of a table that can be compared: so many runs, such a store.
type size struct {
	runs  int
	store string
}

func (s sheet) write(w io.Writer, engines []Engine, ours string, rows []Row) error {
	fmt.Fprintf(w, "\n%s\n\n", s.title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := []string{"runs", "engine"}
	for _, c := range s.columns {
		head = append(head, c.title)
		if c.spread {
			head = append(head, "lowest-highest")
		}
	}
	line(t, head)
	measured := slices.DeleteFunc(slices.Clone(rows), func(r Row) bool { return r.Skipped != "" })
	var verdicts []string
	for _, z := range sizesOf(measured) {
		var best string
		var bestValue, mine float64
		for _, e := range engines {
			of := z.of(measured, e.Name)
			if len(of) == 0 {
				continue
			}
			line(t, append([]string{z.String(), e.Name}, s.cells(of)...))
			value := spreadOf(of, s.columns[0].figure).Median
			switch {
			case e.Name == ours:
				mine = value
			case e.Compared && value > 0 && (best == "" || (value < bestValue) == s.less):
				best, bestValue = e.Name, value
			}
		}
		if best != "" && mine > 0 {
			verdicts = append(verdicts, fmt.Sprintf("  %s: %s / %s = %.2f", z, ours, best, mine/bestValue))
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	s.verdicts(w, ours, verdicts)
	notes(w, rows)
	return nil
}

func (s sheet) verdicts(w io.Writer, ours string, verdicts []string) {
	if len(verdicts) == 0 {
		return
	}
	better := "more is better"
	if s.less {
		better = "less is better"
	}
	fmt.Fprintf(w, "\n%s against the best durable peer, %s, %s:\n%s\n", ours, s.columns[0].title, better, strings.Join(verdicts, "\n"))
}

// notes says what was not measured, and why, and which errors there were.
func notes(w io.Writer, rows []Row) {
	var all []string
	note := func(what string, r Row, why string) {
		if n := fmt.Sprintf("%s: %s at %d: %s", what, r.Engine, r.Runs, why); why != "" && !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	for _, r := range rows {
		note("not measured", r, r.Skipped)
		note("errors", r, r.Trouble)
	}
	if len(all) > 0 {
		fmt.Fprintf(w, "\n%s\n", strings.Join(all, "\n"))
	}
}

// cells are the figures of one engine at one size.
func (s sheet) cells(rows []Row) []string {
	var cells []string
	for _, c := range s.columns {
		v := spreadOf(rows, c.figure)
		if v == (stat.Spread{}) && !has(rows, c.figure) {
			cells = append(cells, "-")
		} else {
			cells = append(cells, number(v.Median, c.decimals))
		}
		if c.spread {
			cells = append(cells, number(v.Low, c.decimals)+"-"+number(v.High, c.decimals))
		}
	}
	return cells
}

func spreadOf(rows []Row, f Figure) stat.Spread {
	var v []float64
	for _, r := range rows {
		if x, ok := r.Figures[f]; ok {
			v = append(v, x)
		}
	}
	return stat.Of(v)
}

func has(rows []Row, f Figure) bool {
	return slices.ContainsFunc(rows, func(r Row) bool { _, ok := r.Figures[f]; return ok })
}

func number(v float64, decimals int) string { return strconv.FormatFloat(v, 'f', decimals, 64) }

func line(w io.Writer, cells []string) { fmt.Fprintln(w, strings.Join(cells, "\t")+"\t") }

// sizesOf are the sizes in the rows, small ones first.
func sizesOf(rows []Row) []size {
	var all []size
	for _, r := range rows {
		if z := (size{r.Runs, r.Case}); !slices.Contains(all, z) {
			all = append(all, z)
		}
	}
	slices.SortStableFunc(all, func(a, b size) int { return a.runs - b.runs })
	return all
}

// of are the rows of an engine at this size.
func (z size) of(rows []Row, engine string) []Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r Row) bool {
		return r.Engine != engine || r.Runs != z.runs || r.Case != z.store
	})
}

func (z size) String() string {
	if z.store != "" {
		return z.store
	}
	return strconv.Itoa(z.runs)
}

// settings writes a line for each engine: what it is and what makes its steps durable.
func settings(w io.Writer, engines []Engine) error {
	fmt.Fprint(w, "\nsettings\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range engines {
		version := e.Version
		if version == "" {
			version = "-"
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", e.Name, version, e.Setting)
	}
	return t.Flush()
}
