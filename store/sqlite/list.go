package sqlite

import (
	"context"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// conditions are what a query asks of the rows it returns.
type conditions struct {
	where []string
	args  []any
}

func (c *conditions) add(where string, args ...any) {
	c.where, c.args = append(c.where, where), append(c.args, args...)
}

// text narrows a column, unless value is empty. Only with the second comparison does
// SQLite see that an index without empty values will do.
func (c *conditions) text(column, value string) {
	if value != "" {
		c.add(column+" = ? AND "+column+" <> ''", value)
	}
}

func (c *conditions) String() string {
	if len(c.where) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.where, " AND ")
}

// matching is what a filter asks, without the status and the page.
func matching(f *durable.Filter) *conditions {
	c := &conditions{}
	c.text("program", f.Program)
	c.text("tenant", f.Tenant)
	c.text("name", f.Name)
	c.text("parent", string(f.Parent))
	c.text("base", string(f.Base))
	if f.Roots {
		c.add("parent = ''")
	}
	if f.Search != "" {
		const at = `, lower(?))`
		c.add(`(instr(lower(name)`+at+` OR instr(lower(program)`+at+` OR instr(lower(reason)`+at+` OR instr(lower(id)`+at+` = 1)`,
			f.Search, f.Search, f.Search, f.Search)
	}
	if !f.Since.IsZero() {
		c.add("created >= ?", f.Since.UnixMicro())
	}
	if !f.Until.IsZero() {
		c.add("created < ?", f.Until.UnixMicro())
	}
	return c
}

// List implements store.Runs.
func (s *Store) List(ctx context.Context, f durable.Filter) ([]store.Run, error) {
	c := matching(&f)
	if len(f.Statuses) > 0 {
		statuses := make([]any, len(f.Statuses))
		for i, status := range f.Statuses {
			statuses[i] = string(status)
		}
		c.add("status IN ("+strings.Repeat(", ?", len(statuses))[2:]+")", statuses...)
	}
	if f.Before > 0 {
		c.add("n < ?", f.Before)
	}
	if f.After > 0 {
		c.add("n > ?", f.After)
	}
	order := " ORDER BY n DESC"
	if f.Oldest {
		order = " ORDER BY n"
	}
	if f.Limit == 0 {
		f.Limit = 100
	}
	rows, err := s.read.QueryContext(ctx, `SELECT n, `+runColumns+` FROM run`+c.String()+order+` LIMIT ?`, append(c.args, f.Limit)...)
	if err != nil {
		return nil, wrap(err, "list runs")
	}
	return collect(rows, scanRun)
}

// Count implements store.Runs.
func (s *Store) Count(ctx context.Context, f durable.Filter) (map[durable.Status]int64, error) {
	c := matching(&f)
	rows, err := s.read.QueryContext(ctx, `SELECT status, count(*) FROM run`+c.String()+` GROUP BY status`, c.args...)
	if err != nil {
		return nil, wrap(err, "count runs")
	}
	counts := map[durable.Status]int64{}
	_, err = collect(rows, func(scan func(...any) error) (struct{}, error) {
		var status durable.Status
		var n int64
		err := scan(&status, &n)
		counts[status] = n
		return struct{}{}, err
	})
	if err != nil {
		return nil, wrap(err, "count runs")
	}
	return counts, nil
}
