package cost

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
)

// Kind names a rule. Reports and feedback use the word.
type Kind string

// The rules, in the order in which they take rows of the bill: a row that rests
// under one recommendation is not used by a later rule, so no saving counts twice.
const (
	KindIdle             Kind = "idle"              // resources nobody uses
	KindExtendedSupport  Kind = "extended_support"  // fees for old versions
	KindCommitmentUnused Kind = "commitment_unused" // commitments without usage
	KindOutlier          Kind = "outlier"           // days far above a resource's median
	KindSchedule         Kind = "schedule"          // non-production outside working hours
	KindStorageTier      Kind = "storage_tier"      // data in a dearer tier than it needs
	KindCommitment       Kind = "commitment"        // steady on-demand usage
)

// Recommendation is one proposal. All its figures come from the bill.
type Recommendation struct {
	ID            string   `json:"id"` // R1 is the largest saving
	Kind          Kind     `json:"kind"`
	ResourceID    string   `json:"resource_id"` // "*" = all resources of the service
	Service       string   `json:"service"`
	Provider      string   `json:"provider"`
	MonthlySaving Decimal  `json:"monthly_saving"`
	Cost          Decimal  `json:"cost"` // billed by the rows it rests on, in the period of the bill
	Rows          int64    `json:"rows"` // how many these are
	Title         string   `json:"title"`
	Why           string   `json:"why"`
	Note          string   `json:"note"` // the facts and the arithmetic, by the rule
	Evidence      Evidence `json:"evidence"`
}

// Candidates is what the rules found.
type Candidates struct {
	Currency        string           `json:"currency"`
	TotalBilled     Decimal          `json:"total_billed"`
	Items           []Recommendation `json:"items"`            // the largest saving first
	ProjectedSaving Decimal          `json:"projected_saving"` // per month, never above the total billed
	Capped          bool             `json:"capped,omitempty"` // the cap was needed: credits make the total small
	Unlisted        int64            `json:"unlisted"`         // smaller findings, neither listed nor counted
	Rules           []RuleUsed       `json:"rules"`
	Scale           Scale            `json:"scale"`
}

// RuleUsed is a rule as it was asked: its statement can be run again.
type RuleUsed struct {
	Kind    Kind           `json:"kind"`
	Assumes string         `json:"assumes"`
	SQL     string         `json:"sql"`
	Params  map[string]any `json:"params"`
	Found   int64          `json:"found"`
}

// Scale says how a saving in the bill became one per month. Up to 31 days it is
// taken as it is: nothing is extrapolated beyond what was billed. A longer bill
// is divided down to 30.4375 days.
type Scale struct {
	Days   int64  `json:"days"`   // covered by the bill
	Factor string `json:"factor"` // in words of arithmetic
}

const (
	topPerRule   = 8
	longestMonth = 31
	leastShare   = "10000" // a saving below 1/10,000 of the bill is not worth a line
)

// finding is a row of a rule's statement.
type finding struct {
	resource, service, provider string
	cost, saving                Decimal
	rows                        int64
	extra                       string // what the rule adds: a day, a quantity
	detail                      string
}

// taken collects what earlier rules rest on.
type taken struct{ resources, days []string }

// Candidates runs the rules over the bill.
func (b *Bill) Candidates(ctx context.Context) (Candidates, error) {
	c := Candidates{
		Currency: b.info.Currency, TotalBilled: b.info.Currencies[0].Billed, Items: []Recommendation{},
		Scale: Scale{Days: b.info.Days, Factor: "1"},
	}
	if c.Scale.Days > longestMonth {
		c.Scale.Factor = fmt.Sprintf("30.4375 / %d", c.Scale.Days)
	}
	var took taken
	for _, r := range rules() {
		used := RuleUsed{Kind: r.kind, Assumes: r.assumes, SQL: r.sql, Params: b.params(map[string]any{
			"taken": list(took.resources), "taken_days": list(took.days),
		})}
		found, err := b.apply(ctx, r, &used)
		if err != nil {
			return Candidates{}, fmt.Errorf("rule %s: %w", r.kind, err)
		}
		for _, f := range found {
			item, err := b.recommend(ctx, r, f, took)
			if err != nil {
				return Candidates{}, fmt.Errorf("rule %s: %w", r.kind, err)
			}
			if r.takes != nil {
				r.takes(&took, f)
			}
			c.Items = append(c.Items, item)
		}
		c.Unlisted += used.Found - int64(len(found))
		c.Rules = append(c.Rules, used)
	}
	slices.SortStableFunc(c.Items, func(x, y Recommendation) int {
		return cmp.Or(y.MonthlySaving.Cmp(x.MonthlySaving), cmp.Compare(x.Kind, y.Kind), cmp.Compare(x.ResourceID, y.ResourceID))
	})
	for i := range c.Items {
		c.Items[i].ID = "R" + strconv.Itoa(i+1)
	}
	c.project()
	return c, nil
}

// project sums the savings. They rest on different rows, so they add up; credits
// can still make the whole bill smaller than the rows, hence the cap.
func (c *Candidates) project() {
	c.ProjectedSaving, c.Capped = Decimal{}, false
	for _, r := range c.Items {
		c.ProjectedSaving = c.ProjectedSaving.Add(r.MonthlySaving)
	}
	most := c.TotalBilled
	if most.Sign() < 0 {
		most = Decimal{}
	}
	if c.ProjectedSaving.Cmp(most) > 0 {
		c.ProjectedSaving, c.Capped = most, true
	}
}

// apply runs the statement of a rule and returns its largest findings.
func (b *Bill) apply(ctx context.Context, r rule, used *RuleUsed) ([]finding, error) {
	rows, err := b.rows(ctx, fmt.Sprintf(`
SELECT resource_id, service, provider, cost, saving, rows, extra, detail, count(*) OVER (),
  decimal_cmp(decimal_mul(saving, '%s'), '%s') >= 0
FROM (%s) WHERE decimal_cmp(saving, '0') > 0 ORDER BY saving COLLATE decimal DESC, resource_id, service, extra LIMIT %d`,
		leastShare, b.info.Currencies[0].Billed, r.sql, topPerRule), used.Params)
	if err != nil {
		return nil, err
	}
	var found []finding
	for rows.next() {
		f := finding{
			resource: rows.text(), service: rows.text(), provider: rows.text(), cost: rows.decimal(),
			saving: rows.decimal(), rows: rows.int(), extra: rows.text(), detail: rows.text(),
		}
		used.Found = rows.int()
		if rows.int() == 1 {
			found = append(found, f)
		}
	}
	return found, nil
}

// recommend makes a recommendation of a finding.
func (b *Bill) recommend(ctx context.Context, r rule, f finding, took taken) (Recommendation, error) {
	saving := f.saving
	if saving.Cmp(f.cost) > 0 { // no rule can claim more than its rows cost
		saving = f.cost
	}
	saving = b.monthly(saving)
	item := Recommendation{
		Kind: r.kind, ResourceID: f.resource, Service: f.service, Provider: f.provider,
		MonthlySaving: saving, Cost: f.cost, Rows: f.rows,
	}
	item.Title, item.Note = r.words(f, b.info.Currency)
	item.Why = item.Note
	var err error
	item.Evidence, err = b.evidence(ctx, r.where(f, took))
	return item, err
}

// monthly scales a saving in the bill to a month, cut off at the decimals the
// bill itself uses.
func (b *Bill) monthly(saving Decimal) Decimal {
	places := max(2, b.info.Currencies[0].Billed.Scale())
	if b.info.Days > longestMonth {
		month := newDecimal(304375, 4)
		scaled, err := saving.Mul(month).Div(newDecimal(b.info.Days, 0), places)
		if err == nil {
			return scaled
		}
	}
	return saving.Cut(places)
}
