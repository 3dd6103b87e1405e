package cost

import (
	"context"
	"fmt"
	"strings"
)

// A day or hour is an anomaly when its usage cost is above
// median + max(deviations x 1.4826 x MAD, half the median), by at least one
// hundredth of all usage. 1.4826 makes the median absolute deviation (MAD)
// comparable to a standard deviation.
const (
	madFactor     = "4.4478" // 3 x 1.4826
	medianFactor  = "0.5"
	excessFactor  = "0.01"
	leastDays     = 7  // fewer say nothing about what is usual
	leastHours    = 24 // the same for hours
	topAnomalies  = 5
	evidenceShown = 5
	daysListed    = 366
)

// Logs is the cost over time and what stands out in it, in the main currency.
type Logs struct {
	Currency  string    `json:"currency"`
	Day       Usual     `json:"day"`
	Hour      Usual     `json:"hour"` // of charges of one hour or less
	Days      []Point   `json:"days"` // usage cost per day, the last 366
	Anomalies []Anomaly `json:"anomalies"`
}

// Usual is what is usual for a day or an hour.
type Usual struct {
	Count     int64   `json:"count"`
	Median    Decimal `json:"median"`
	MAD       Decimal `json:"mad"`
	Threshold Decimal `json:"threshold"` // above it is an anomaly
}

// Point is the usage cost of a day.
type Point struct {
	Day    string  `json:"day"`
	Billed Decimal `json:"billed"`
	Rows   int64   `json:"rows"`
}

// Anomaly is a day or an hour that cost unusually much.
type Anomaly struct {
	Kind     string   `json:"kind"` // day or hour
	At       string   `json:"at"`   // 2024-09-18 or 2024-09-18 22
	Billed   Decimal  `json:"billed"`
	Median   Decimal  `json:"median"`
	Excess   Decimal  `json:"excess"` // above the median
	Evidence Evidence `json:"evidence"`
}

// usageRows are the charges for usage, which is what has a rhythm; credits,
// taxes and purchases have none.
const usageRows = `BillingCurrency = :currency AND coalesce(ChargeCategory, 'Usage') = 'Usage'`

const shortRows = ` AND (julianday(ChargePeriodEnd) - julianday(ChargePeriodStart)) * 24 < 1.001`

// Logs finds the days and hours that cost unusually much.
func (b *Bill) Logs(ctx context.Context) (Logs, error) {
	l := Logs{Currency: b.info.Currency, Anomalies: []Anomaly{}}
	rows, err := b.rows(ctx, `
SELECT substr(ChargePeriodStart, 1, 10) AS day, decimal_sum(BilledCost), count(*)
FROM bill WHERE `+usageRows+` GROUP BY day ORDER BY day DESC LIMIT :top`, b.params(map[string]any{"top": daysListed}))
	if err != nil {
		return Logs{}, fmt.Errorf("sum days: %w", err)
	}
	for rows.next() {
		l.Days = append(l.Days, Point{rows.text(), rows.decimal(), rows.int()})
	}
	for i, j := 0, len(l.Days)-1; i < j; i, j = i+1, j-1 {
		l.Days[i], l.Days[j] = l.Days[j], l.Days[i]
	}
	if l.Day, err = b.anomalies(ctx, &l, "day", 10, "", leastDays); err != nil {
		return Logs{}, err
	}
	l.Hour, err = b.anomalies(ctx, &l, "hour", 13, shortRows, leastHours)
	return l, err
}

// anomalies adds what stands out among the buckets of so many letters of the
// start of a charge.
func (b *Bill) anomalies(ctx context.Context, l *Logs, kind string, letters int, where string, least int64) (Usual, error) {
	buckets := fmt.Sprintf(`
WITH bucket AS MATERIALIZED (SELECT replace(substr(ChargePeriodStart, 1, %d), 'T', ' ') AS at, decimal_sum(BilledCost) AS billed
  FROM bill WHERE %s%s GROUP BY at),
middle AS MATERIALIZED (SELECT count(*) AS n, coalesce(decimal_median(billed), '0') AS median, coalesce(decimal_sum(billed), '0') AS total FROM bucket),
usual AS MATERIALIZED (SELECT n, median, total, (SELECT coalesce(decimal_median(decimal_abs(decimal_sub(billed, median))), '0') FROM bucket) AS mad FROM middle),
edge AS MATERIALIZED (SELECT *, decimal_add(median, decimal_max(decimal_max(decimal_mul(mad, '%s'), decimal_mul(decimal_abs(median), '%s')),
  decimal_mul(decimal_abs(total), '%s'))) AS threshold FROM usual)`, letters, usageRows, where, madFactor, medianFactor, excessFactor)
	rows, err := b.rows(ctx, buckets+` SELECT n, median, mad, threshold FROM edge`, b.params(nil))
	if err != nil {
		return Usual{}, fmt.Errorf("find the usual %s: %w", kind, err)
	}
	rows.next()
	u := Usual{rows.int(), rows.decimal(), rows.decimal(), rows.decimal()}
	if u.Count < least {
		return u, nil
	}
	rows, err = b.rows(ctx, buckets+`
SELECT at, billed, median, decimal_sub(billed, median) FROM bucket, edge
WHERE decimal_cmp(billed, threshold) > 0 ORDER BY billed COLLATE decimal DESC, at LIMIT :top`, b.params(map[string]any{"top": topAnomalies}))
	if err != nil {
		return Usual{}, fmt.Errorf("find anomalies by %s: %w", kind, err)
	}
	for rows.next() {
		a := Anomaly{Kind: kind, At: rows.text(), Billed: rows.decimal(), Median: rows.decimal(), Excess: rows.decimal()}
		where := fmt.Sprintf(`replace(substr(ChargePeriodStart, 1, %d), 'T', ' ') = %s AND coalesce(ChargeCategory, 'Usage') = 'Usage'%s`,
			letters, literal(a.At), where)
		if a.Evidence, err = b.evidence(ctx, where); err != nil {
			return Usual{}, err
		}
		l.Anomalies = append(l.Anomalies, a)
	}
	return u, nil
}

// Evidence is a statement anyone can run over the bill and what it returned.
type Evidence struct {
	SQL      string     `json:"sql"`
	Columns  []string   `json:"columns"`
	Rows     [][]string `json:"rows"`      // the dearest, in the words of the bill; "" is NULL
	RowCount int64      `json:"row_count"` // how many rows of the bill match
}

// evidence looks up the dearest rows of the bill behind a condition.
func (b *Bill) evidence(ctx context.Context, where string) (Evidence, error) {
	where = "BillingCurrency = " + literal(b.info.Currency) + " AND " + where
	e := Evidence{SQL: fmt.Sprintf("SELECT _rowid_ AS line, ChargePeriodStart AS charge_start, ServiceName AS service, ResourceId AS resource_id, "+
		"ConsumedQuantity AS quantity, ConsumedUnit AS unit, BilledCost AS billed FROM bill WHERE %s "+
		"ORDER BY BilledCost COLLATE decimal DESC, _rowid_ LIMIT %d", where, evidenceShown)}
	r, err := b.db.Query(ctx, e.SQL, nil)
	if err != nil {
		return Evidence{}, fmt.Errorf("look up evidence: %w", err)
	}
	e.Columns = r.Columns
	for _, row := range r.Rows {
		texts := make([]string, len(row))
		for i, v := range row {
			if v != nil {
				texts[i] = fmt.Sprint(v)
			}
		}
		e.Rows = append(e.Rows, texts)
	}
	count, err := b.rows(ctx, "SELECT count(*) FROM bill WHERE "+where, nil)
	if err != nil {
		return Evidence{}, fmt.Errorf("count evidence: %w", err)
	}
	count.next()
	e.RowCount = count.int()
	return e, nil
}

// literal writes a text as SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
