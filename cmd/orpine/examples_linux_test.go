package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// TestJaffleServed serves the example jaffle, and kills it again and again: when a file has just appeared,
// when a run has begun for it, and when a month was made. Each file and each month starts one run.
func TestJaffleServed(t *testing.T) {
	if testing.Short() {
		t.Skip("it serves for some seconds")
	}
	needsJail(t)
	t.Parallel()
	p := newPlace(t)
	if err := os.CopyFS(p.path("shop"), os.DirFS("../../examples/jaffle")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("shop", "jaffle.yaml")
	data, err := os.ReadFile(p.path(file))
	if err != nil {
		t.Fatal(err)
	}
	// All files count, so that it does not matter when it first looks.
	p.write(file, strings.Replace(string(data), `glob: "*.json"`, `glob: "*.json", existing: true`, 1))
	serve := func() *process {
		ready := make(chan bool, 1)
		pr := p.start(func(_ *process, line string) {
			if strings.HasPrefix(line, "http://") {
				ready <- true
			}
		}, nil, "serve", "--addr", "127.0.0.1:0", "--file", file)
		t.Cleanup(pr.kill)
		select {
		case <-ready:
		case <-time.After(30 * time.Second):
			t.Fatalf("it does not serve: %s", pr.err.String())
		}
		return pr
	}
	// named are the runs of a name, by their status.
	named := func(name string) map[durable.Status]int {
		var runs []durable.Run
		p.decode(&runs, "ps", "--all", "-o", "json")
		n := map[durable.Status]int{}
		for _, r := range runs {
			if r.Name == name {
				n[r.Status]++
			}
		}
		return n
	}
	kill := func(pr *process) {
		pr.kill()
		if o := pr.wait(); !o.killed {
			t.Errorf("it was not killed: exit code %d, %s", o.code, o.err)
		}
	}

	pr := serve()
	within(t, 30*time.Second, "the file that was there has a run", func() bool { return named("request")[durable.Succeeded] == 1 })
	for i, until := range []func() bool{
		func() bool { return true }, // at once
		func() bool { return len(named("request")) > 1 || named("request")[durable.Succeeded] == 3 },
		func() bool { return named("request")[durable.Succeeded] == 4 },
	} {
		p.write(filepath.Join("shop", "requests", fmt.Sprintf("%d.json", i)), fmt.Sprintf(`{"start_date":"2018-0%d-01","end_date":"2018-06-30"}`, i+1))
		within(t, 30*time.Second, "there is a run for the file before", until)
		kill(pr)
		pr = serve()
	}
	within(t, 30*time.Second, "each file has a run", func() bool { return named("request")[durable.Succeeded] == 4 })

	p.ok("run", file+"#etl", "--select", "+monthly_orders", "month=2018-02")
	kill(pr)
	pr = serve()
	within(t, 30*time.Second, "what is made of a month was made", func() bool { return named("report")[durable.Succeeded] == 1 })
	// Two looks later, and over another kill, nothing has been started again.
	p.write(filepath.Join("shop", "requests", "last.json"), `{"start_date":"2018-05-01","end_date":"2018-06-30"}`)
	within(t, 30*time.Second, "the last file has a run", func() bool { return named("request")[durable.Succeeded] == 5 })
	kill(pr)
	for name, want := range map[string]int{"request": 5, "adhoc_request": 5, "report": 1, "etl": 1} {
		if got := named(name); got[durable.Succeeded] != want || len(got) != 1 {
			t.Errorf("%d runs of %s were wanted, there are %v", want, name, got)
		}
	}
	answers, err := filepath.Glob(p.path("shop", "out", "adhoc-*"))
	if err != nil || len(answers) != 5 {
		t.Errorf("the requests came to %q, %v", answers, err)
	}
}
