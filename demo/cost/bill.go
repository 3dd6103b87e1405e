package cost

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/sql"
)

// Decimal is an exact amount; in JSON it is a plain number with its own decimals.
type Decimal = sql.Decimal

// Progress says how far the loading of a bill is.
type Progress = sql.Progress

// table is what the bill is called in SQL.
const table = "bill"

// Bill is a loaded bill. Its methods are safe for concurrent use.
type Bill struct {
	db   *sql.DB
	info Info
}

// Info says what a bill is; it is small enough for a journal.
type Info struct {
	Name          string     `json:"name"`   // of the file, without its folder
	Path          string     `json:"path"`   // as given; empty for the built-in sample
	SHA256        string     `json:"sha256"` // of the file: a later step sees that it changed
	Bytes         int64      `json:"bytes"`
	Rows          int64      `json:"rows"`     // of all currencies
	Currency      string     `json:"currency"` // the one with most rows
	Period        Period     `json:"period"`   // of the charges in Currency
	BillingPeriod Period     `json:"billing_period"`
	Days          int64      `json:"days"` // from the first to the last day with a charge in Currency
	Currencies    []Currency `json:"currencies"`
	Missing       []string   `json:"missing,omitempty"` // optional columns the file lacks
}

// Period is a stretch of time in the words of the bill; End is exclusive.
type Period struct {
	Start string `json:"start"`
	End   string `json:"end"`
}

// Currency is what the bill holds in one currency. Amounts of two currencies are
// never added up.
type Currency struct {
	Currency  string    `json:"currency"`
	Rows      int64     `json:"rows"`
	Billed    Decimal   `json:"billed"`
	Effective Decimal   `json:"effective"`
	Services  []Service `json:"services,omitempty"`
}

// schema is what a bill has to hold: the columns of FOCUS 1.0 that are used.
func schema() sql.Schema {
	return sql.Schema{
		Required: []string{
			"BilledCost", "EffectiveCost", "BillingCurrency", "ServiceName", "ProviderName", "ResourceId",
			"ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd",
		},
		Optional: []string{
			"ListCost", "ContractedCost", "ConsumedQuantity", "ConsumedUnit", "PricingCategory", "PricingQuantity",
			"PricingUnit", "ChargeCategory", "ChargeDescription", "ServiceCategory", "ResourceType", "ResourceName",
			"RegionId", "CommitmentDiscountStatus", "CommitmentDiscountId", "SubAccountName", "Tags", "SkuId",
		},
		Decimal: []string{
			"BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ConsumedQuantity", "PricingQuantity",
		},
		Time: []string{"ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd"},
		NotNull: []string{
			"BilledCost", "EffectiveCost", "BillingCurrency", "ServiceName", "ProviderName",
			"ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd",
		},
	}
}

// LoadBill streams the CSV at path into a private database; an empty path is the
// built-in sample. Memory does not grow with the file. progress may be nil. The
// caller closes the bill. Errors are those of [sql.Open].
func LoadBill(ctx context.Context, path string, progress func(Progress)) (*Bill, error) {
	cfg := sql.Config{
		Tables:     map[string]string{table: path},
		Schemas:    map[string]sql.Schema{table: schema()},
		MaxRows:    50_000,
		MaxBytes:   32 << 20,
		Timeout:    15 * time.Minute, // our own statements, over a bill of any size
		CacheBytes: 32 << 20,
		Progress:   progress,
	}
	if path == "" {
		cfg.Tables[table] = sampleName
		cfg.FS = fs.FS(sampleFS)
	}
	db, err := sql.Open(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("load bill: %w", err)
	}
	b := &Bill{db: db}
	if err := b.describe(ctx, path); err != nil {
		return nil, closing(err, db)
	}
	return b, nil
}

func closing(err error, db *sql.DB) error {
	if cerr := db.Close(); cerr != nil {
		return fmt.Errorf("%w (and close the bill: %w)", err, cerr)
	}
	return err
}

func (b *Bill) describe(ctx context.Context, path string) error {
	t := b.db.Tables()[0]
	b.info = Info{
		Name: filepath.Base(t.Path), Path: path, SHA256: t.SHA256, Bytes: t.Bytes, Rows: t.Rows, Missing: t.Missing,
	}
	rows, err := b.rows(ctx, `
SELECT BillingCurrency, count(*), decimal_sum(BilledCost), decimal_sum(EffectiveCost)
FROM bill GROUP BY BillingCurrency ORDER BY count(*) DESC, BillingCurrency`, nil)
	if err != nil {
		return err
	}
	for rows.next() {
		b.info.Currencies = append(b.info.Currencies, Currency{
			Currency: rows.text(), Rows: rows.int(), Billed: rows.decimal(), Effective: rows.decimal(),
		})
	}
	b.info.Currency = b.info.Currencies[0].Currency
	rows, err = b.rows(ctx, `
SELECT min(ChargePeriodStart), max(ChargePeriodEnd), min(BillingPeriodStart), max(BillingPeriodEnd),
  CAST(julianday(max(substr(ChargePeriodStart, 1, 10))) - julianday(min(substr(ChargePeriodStart, 1, 10))) AS INTEGER) + 1
FROM bill WHERE BillingCurrency = :currency`, b.params(nil))
	if err != nil {
		return err
	}
	rows.next()
	b.info.Period = Period{rows.text(), rows.text()}
	b.info.BillingPeriod = Period{rows.text(), rows.text()}
	b.info.Days = rows.int()
	return nil
}

// Info says what the bill is.
func (b *Bill) Info() Info { return b.info }

// Close frees the bill. It is safe to call twice.
func (b *Bill) Close() error { return b.db.Close() }

// Tool is the read-only SQL tool over the table bill for an agent.
func (b *Bill) Tool(name string) (tool.Tool, error) {
	return b.db.Tool(sql.ToolConfig{
		Name: name, Description: "The cloud bill in FOCUS 1.0 columns, one row per charge.",
		MaxRows: 100, MaxBytes: 32 << 10, Timeout: 30 * time.Second,
	})
}

// params adds the main currency to the parameters of a statement.
func (b *Bill) params(more map[string]any) map[string]any {
	p := map[string]any{"currency": b.info.Currency}
	maps.Copy(p, more)
	return p
}

// rows runs one of our own statements.
func (b *Bill) rows(ctx context.Context, query string, params map[string]any) (*cursor, error) {
	r, err := b.db.Query(ctx, query, params)
	if err != nil {
		return nil, fmt.Errorf("ask the bill: %w", err)
	}
	if r.Truncated {
		return nil, durable.Errorf(durable.CodeInvalid,
			"ask the bill: more than %d groups in %s: split the bill", len(r.Rows), b.info.Name)
	}
	return &cursor{rows: r.Rows, row: -1}, nil
}

// cursor reads the values of a result in order. The statements are ours, so a
// value of another type than asked for is NULL and reads as zero.
type cursor struct {
	rows     [][]any
	row, col int
}

func (c *cursor) next() bool {
	c.row++
	c.col = 0
	return c.row < len(c.rows)
}

func (c *cursor) value() any {
	if c.row >= len(c.rows) {
		return nil
	}
	v := c.rows[c.row][c.col]
	c.col++
	return v
}

func (c *cursor) text() string {
	s, _ := c.value().(string)
	return s
}

func (c *cursor) int() int64 {
	n, _ := c.value().(int64)
	return n
}

func (c *cursor) decimal() Decimal {
	d, _ := sql.ParseDecimal(c.text())
	return d
}

// list writes texts as the JSON array a statement reads with json_each.
func list(texts []string) string {
	if texts == nil {
		texts = []string{}
	}
	data, err := json.Marshal(texts)
	if err != nil {
		panic(fmt.Sprintf("cost: list of texts: %v", err))
	}
	return string(data)
}
