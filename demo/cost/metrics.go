package cost

import (
	"context"
	"fmt"
	"slices"
)

// topResources and unitsShown bound what Metrics lists; totals are of everything.
const (
	topResources = 20
	unitsShown   = 3
	sharePlaces  = 6
)

// Metrics is usage and cost per service and resource, in the main currency.
type Metrics struct {
	Currency       string     `json:"currency"`
	Rows           int64      `json:"rows"`
	TotalBilled    Decimal    `json:"total_billed"`
	TotalEffective Decimal    `json:"total_effective"`
	Services       []Service  `json:"services"`  // all, the dearest first
	Resources      []Resource `json:"resources"` // the dearest
	ResourceCount  int64      `json:"resource_count"`
	Others         []Currency `json:"others,omitempty"` // the other currencies with their services
}

// Service is the cost of one service.
type Service struct {
	Name      string  `json:"name"`
	Provider  string  `json:"provider"`
	Billed    Decimal `json:"billed"`
	Effective Decimal `json:"effective"`
	Share     Decimal `json:"share"` // of the total billed in its currency: 0.25 is a quarter
	Rows      int64   `json:"rows"`
	Usage     []Usage `json:"usage,omitempty"` // the dearest units
}

// Resource is usage and cost of one resource.
type Resource struct {
	ID        string  `json:"resource_id"`
	Service   string  `json:"service"`
	Provider  string  `json:"provider"`
	Billed    Decimal `json:"billed"`
	Effective Decimal `json:"effective"`
	Share     Decimal `json:"share"`
	Rows      int64   `json:"rows"`
	Days      int64   `json:"days"` // days with a charge
	Usage     []Usage `json:"usage,omitempty"`
}

// Usage is how much of a unit was consumed and what it cost.
type Usage struct {
	Unit     string  `json:"unit"`
	Quantity Decimal `json:"quantity"`
	Billed   Decimal `json:"billed"`
}

// share is part of total, rounded to six places; 0 of nothing.
func share(part, total Decimal) Decimal {
	q, err := part.Div(total, sharePlaces+2)
	if err != nil {
		return Decimal{}
	}
	return q.Round(sharePlaces)
}

// Metrics sums usage and cost per service and resource.
func (b *Bill) Metrics(ctx context.Context) (Metrics, error) {
	main := b.info.Currencies[0]
	m := Metrics{
		Currency: main.Currency, Rows: main.Rows, TotalBilled: main.Billed, TotalEffective: main.Effective,
	}
	for i, c := range b.info.Currencies {
		services, err := b.services(ctx, c)
		if err != nil {
			return Metrics{}, fmt.Errorf("sum services in %s: %w", c.Currency, err)
		}
		if i == 0 {
			m.Services = services
			continue
		}
		c.Services = services
		m.Others = append(m.Others, c)
	}
	usage, err := b.rows(ctx, `
SELECT ServiceName, ProviderName, coalesce(ConsumedUnit, ''), decimal_sum(ConsumedQuantity), decimal_sum(BilledCost) AS billed
FROM bill WHERE BillingCurrency = :currency AND ConsumedQuantity IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY billed COLLATE decimal DESC, 3`, b.params(nil))
	if err != nil {
		return Metrics{}, fmt.Errorf("sum usage of services: %w", err)
	}
	for usage.next() {
		name, provider, u := usage.text(), usage.text(), Usage{usage.text(), usage.decimal(), usage.decimal()}
		i := slices.IndexFunc(m.Services, func(s Service) bool { return s.Name == name && s.Provider == provider })
		if i >= 0 && len(m.Services[i].Usage) < unitsShown {
			m.Services[i].Usage = append(m.Services[i].Usage, u)
		}
	}
	return m, b.resources(ctx, &m)
}

func (b *Bill) services(ctx context.Context, c Currency) ([]Service, error) {
	rows, err := b.rows(ctx, `
SELECT ServiceName, ProviderName, decimal_sum(BilledCost) AS billed, decimal_sum(EffectiveCost), count(*)
FROM bill WHERE BillingCurrency = :currency
GROUP BY 1, 2 ORDER BY billed COLLATE decimal DESC, 1, 2`, map[string]any{"currency": c.Currency})
	if err != nil {
		return nil, err
	}
	var services []Service
	for rows.next() {
		s := Service{
			Name: rows.text(), Provider: rows.text(), Billed: rows.decimal(), Effective: rows.decimal(), Rows: rows.int(),
		}
		s.Share = share(s.Billed, c.Billed)
		services = append(services, s)
	}
	return services, nil
}

func (b *Bill) resources(ctx context.Context, m *Metrics) error {
	rows, err := b.rows(ctx, `
SELECT ResourceId, ServiceName, ProviderName, decimal_sum(BilledCost) AS billed, decimal_sum(EffectiveCost), count(*),
  count(DISTINCT substr(ChargePeriodStart, 1, 10)), count(*) OVER ()
FROM bill WHERE BillingCurrency = :currency AND ResourceId IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY billed COLLATE decimal DESC, 1, 2 LIMIT :top`, b.params(map[string]any{"top": topResources}))
	if err != nil {
		return fmt.Errorf("sum resources: %w", err)
	}
	var ids []string
	for rows.next() {
		r := Resource{
			ID: rows.text(), Service: rows.text(), Provider: rows.text(), Billed: rows.decimal(),
			Effective: rows.decimal(), Rows: rows.int(), Days: rows.int(),
		}
		r.Share = share(r.Billed, m.TotalBilled)
		m.ResourceCount = rows.int()
		m.Resources = append(m.Resources, r)
		ids = append(ids, r.ID)
	}
	usage, err := b.rows(ctx, `
SELECT ResourceId, ServiceName, coalesce(ConsumedUnit, ''), decimal_sum(ConsumedQuantity), decimal_sum(BilledCost) AS billed
FROM bill WHERE BillingCurrency = :currency AND ConsumedQuantity IS NOT NULL AND ResourceId IN (SELECT value FROM json_each(:ids))
GROUP BY 1, 2, 3 ORDER BY billed COLLATE decimal DESC, 3`, b.params(map[string]any{"ids": list(ids)}))
	if err != nil {
		return fmt.Errorf("sum usage of resources: %w", err)
	}
	for usage.next() {
		id, service, u := usage.text(), usage.text(), Usage{usage.text(), usage.decimal(), usage.decimal()}
		i := slices.IndexFunc(m.Resources, func(r Resource) bool { return r.ID == id && r.Service == service })
		if i >= 0 && len(m.Resources[i].Usage) < unitsShown {
			m.Resources[i].Usage = append(m.Resources[i].Usage, u)
		}
	}
	return nil
}

// Hotspots are the resources that cost most, in the main currency.
type Hotspots struct {
	Currency     string    `json:"currency"`
	TotalBilled  Decimal   `json:"total_billed"`
	Items        []Hotspot `json:"items"`
	ListedBilled Decimal   `json:"listed_billed"` // what the items come to
	Resources    int64     `json:"resources"`     // how many there are in all
	Unattributed Decimal   `json:"unattributed"`  // billed without a resource
}

// Hotspot is one of the dearest resources.
type Hotspot struct {
	ResourceID string  `json:"resource_id"`
	Service    string  `json:"service"`
	Provider   string  `json:"provider"`
	Billed     Decimal `json:"billed"`
	Share      Decimal `json:"share"`
	Rows       int64   `json:"rows"`
}

// topHotspots bounds Hotspots.
const topHotspots = 10

// Hotspots finds the resources that cost most.
func (b *Bill) Hotspots(ctx context.Context) (Hotspots, error) {
	h := Hotspots{Currency: b.info.Currency, TotalBilled: b.info.Currencies[0].Billed}
	rows, err := b.rows(ctx, `
SELECT ResourceId, ServiceName, ProviderName, decimal_sum(BilledCost) AS billed, count(*), count(*) OVER ()
FROM bill WHERE BillingCurrency = :currency AND ResourceId IS NOT NULL
GROUP BY 1, 2, 3 ORDER BY billed COLLATE decimal DESC, 1, 2 LIMIT :top`, b.params(map[string]any{"top": topHotspots}))
	if err != nil {
		return Hotspots{}, fmt.Errorf("find hotspots: %w", err)
	}
	for rows.next() {
		s := Hotspot{
			ResourceID: rows.text(), Service: rows.text(), Provider: rows.text(), Billed: rows.decimal(), Rows: rows.int(),
		}
		h.Resources = rows.int()
		if s.Billed.Sign() <= 0 {
			continue
		}
		s.Share = share(s.Billed, h.TotalBilled)
		h.ListedBilled = h.ListedBilled.Add(s.Billed)
		h.Items = append(h.Items, s)
	}
	rows, err = b.rows(ctx, `
SELECT coalesce(decimal_sum(BilledCost), '0') FROM bill WHERE BillingCurrency = :currency AND ResourceId IS NULL`, b.params(nil))
	if err != nil {
		return Hotspots{}, fmt.Errorf("sum what has no resource: %w", err)
	}
	rows.next()
	h.Unattributed = rows.decimal()
	return h, nil
}
