package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
)

// listing is an answer that can be printed in every format: rows for people, values
// for programs.
type listing struct {
	title  string // a line above the table
	head   []string
	wide   int        // how many of the last columns only -o wide shows
	rows   [][]string // one per value
	names  []string   // what -o name prints
	values []any
	single bool // one value, not a list of them
}

func (a *app) print(l listing) error { return a.printTo(a.stdout, l) }

func (a *app) printTo(out io.Writer, l listing) error {
	switch a.flags.Output {
	case "json":
		return printJSON(out, l)
	case "jsonl":
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		for _, v := range l.values {
			if err := enc.Encode(v); err != nil {
				return err
			}
		}
		return nil
	case "yaml":
		return printYAML(out, l)
	case "name":
		for _, n := range l.names {
			fmt.Fprintln(out, n)
		}
		return nil
	}
	cut := 0
	if a.flags.Output != "wide" {
		cut = l.wide
	}
	if l.title != "" {
		fmt.Fprintln(out, l.title)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if len(l.head) > 0 {
		fmt.Fprintln(w, strings.Join(l.head[:len(l.head)-cut], "\t"))
	}
	for _, row := range l.rows {
		fmt.Fprintln(w, strings.Join(row[:len(row)-cut], "\t"))
	}
	return w.Flush()
}

// value is what the JSON and YAML formats print.
func (l listing) value() any {
	if l.single && len(l.values) == 1 {
		return l.values[0]
	}
	if l.values == nil {
		return []any{}
	}
	return l.values
}

func printJSON(out io.Writer, l listing) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(l.value())
}

func printYAML(w io.Writer, l listing) error {
	data, err := json.Marshal(l.value()) // the JSON names and forms, in YAML
	if err != nil {
		return err
	}
	out, err := yaml.JSONToYAML(data)
	if err != nil {
		return err
	}
	_, err = w.Write(out)
	return err
}

// closing closes what was opened and joins its error to another.
func closing(err error, c io.Closer) error { return errors.Join(err, c.Close()) }

// age is how long ago a moment was, in the largest unit that tells.
func age(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return span(time.Since(t))
}

// span is a duration in the largest unit that tells.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < day:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%02dh", int(d/day), int(d.Hours())%24)
}

// oneLine makes text fit a table cell.
func oneLine(s string, most int) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
