package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/orpine-run/orpine/client"
)

type auditCmd struct {
	Verify bool `help:"Hold the whole log against its hashes instead; code 3 when it does not fit."`
	Last   int  `short:"n" help:"How many lines at most, the last ones." default:"50" placeholder:"N"`
}

// Help implements kong.HelpProvider.
func (auditCmd) Help() string {
	return `Prints who asked a server on this data directory for what, and what was refused at the door. Each line
carries the hash of the one before it. Only what would change something, or was refused, is
noted.

Examples:
  orpine audit -n 20
  orpine audit --verify`
}

// Run prints the log of audit, or verifies it.
func (c *auditCmd) Run(ctx context.Context, a *app) error {
	return a.desk(ctx, func(r remote) error {
		if c.Verify {
			return c.verify(ctx, a, r)
		}
		lines, err := c.last(ctx, r)
		if err != nil {
			return err
		}
		l := listing{head: []string{"N", "TIME", "WHO", "TENANT", "METHOD", "PATH", "REFUSED", "FROM", "HASH"}, wide: 2}
		for _, line := range lines {
			n := strconv.FormatInt(line.N, 10)
			l.rows = append(l.rows, []string{
				n, line.Time.Local().Format(time.DateTime), orDash(line.Who), orDash(line.Tenant), line.Method, line.Path, orDash(line.Code), orDash(line.From), line.Hash,
			})
			l.names = append(l.names, n)
			l.values = append(l.values, line)
		}
		return a.print(l)
	})
}

// last reads through the log, of which it keeps the last lines.
func (c *auditCmd) last(ctx context.Context, r remote) ([]client.AuditLine, error) {
	var kept []client.AuditLine
	for after := int64(0); ; {
		const page = 1000
		lines, err := r.Audit(ctx, after, page)
		if err != nil {
			return nil, err
		}
		kept = append(kept, lines...)
		kept = kept[max(0, len(kept)-max(c.Last, 0)):]
		if len(lines) < page {
			return kept, nil
		}
		after = lines[len(lines)-1].N
	}
}

func (c *auditCmd) verify(ctx context.Context, a *app, r remote) error {
	report, err := r.VerifyAudit(ctx)
	if err != nil {
		return err
	}
	verdict := "ok, " + report.Hash
	if report.Bad > 0 {
		verdict = fmt.Sprintf("line %d does not fit: %s", report.Bad, report.Fault)
	}
	line := counted(report.Lines, "line") + ": " + verdict
	err = a.print(listing{single: true, rows: [][]string{{line}}, names: []string{report.Hash}, values: []any{report}})
	if err == nil && report.Bad > 0 {
		err = environmentError{fmt.Errorf("the log of audit was changed or is damaged from line %d on", report.Bad)}
	}
	return err
}
