package cost

import (
	"bufio"
	"embed"
	"fmt"
	"io"
	"strings"
	"time"
)

//go:generate go test -run ^TestSample$ -update .

// sampleFS holds the bill that is used when no file is named.
//
//go:embed bill.csv
var sampleFS embed.FS

const (
	sampleName = "bill.csv"
	sampleSeed = 7
	sampleRows = 500
)

// Sample is the built-in bill: what Generate writes for its seed and size. It is
// invented, one month in US dollars.
func Sample() []byte {
	data, err := sampleFS.ReadFile(sampleName)
	if err != nil {
		panic(fmt.Sprintf("cost: embedded bill: %v", err))
	}
	return data
}

// Generate writes a FOCUS 1.0 bill of an invented company: the same bytes for the
// same seed and number of rows, for ever. The scenes below come first, small
// usage fills up to the number of rows; with less than the scenes the bill ends early.
func Generate(w io.Writer, seed uint64, rows int) error {
	out := bufio.NewWriter(w)
	g := &generator{w: out, random: seed, left: rows}
	g.header()
	g.web()
	g.nonProduction()
	g.storage()
	g.network()
	g.platform()
	for g.left > 0 {
		g.filler()
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write generated bill: %w", err)
	}
	return nil
}

// generator is a bill in the making. Its randomness is its own: a library may
// change its sequence, a seed must not.
type generator struct {
	w      *bufio.Writer
	random uint64
	left   int
}

// next is SplitMix64.
func (g *generator) next() uint64 {
	g.random += 0x9e3779b97f4a7c15
	z := g.random
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// between is a whole number from low to high.
func (g *generator) between(low, high int64) int64 {
	return low + int64(g.next()%uint64(high-low+1))
}

// charge is one row to be.
type charge struct {
	provider, service, category string // category of the service
	resource, kind, region      string
	description, sku            string
	start                       time.Time
	hours                       int
	quantity                    Decimal // consumed
	unit                        string
	price                       Decimal // list price of a unit
	discount                    int64   // percent off the list price
	commitment, status          string  // of a committed charge
	chargeCategory              string  // default Usage
	environment, team           string  // tags
}

var columnsWritten = []string{
	"BilledCost", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeDescription",
	"ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountId", "CommitmentDiscountStatus", "ConsumedQuantity",
	"ConsumedUnit", "ContractedCost", "EffectiveCost", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit",
	"ProviderName", "RegionId", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "SkuId",
	"SubAccountName", "Tags",
}

func (g *generator) header() { g.line(columnsWritten) }

// line writes a record; text that needs it is quoted. Errors stay in the writer
// until it is flushed.
func (g *generator) line(fields []string) {
	for i, f := range fields {
		if strings.ContainsAny(f, "\",\n") {
			fields[i] = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
		}
	}
	_, _ = g.w.WriteString(strings.Join(fields, ",") + "\n")
}

// add writes a charge, unless the bill is full.
func (g *generator) add(c charge) {
	if g.left <= 0 {
		return
	}
	g.left--
	const places = 8
	listCost := c.price.Mul(c.quantity).Round(places)
	billed := listCost.Mul(newDecimal(100-c.discount, 2)).Round(places)
	category, pricing, tags := "Usage", "Standard", "NULL"
	if c.chargeCategory != "" {
		category = c.chargeCategory
	}
	if c.status != "" {
		pricing = "Committed"
	}
	if c.environment != "" {
		tags = fmt.Sprintf(`{"environment": %q, "team": %q}`, c.environment, c.team)
	}
	null := func(s string) string {
		if s == "" {
			return "NULL"
		}
		return s
	}
	quantity := c.quantity.String()
	unit := c.unit
	if c.status == "Unused" { // nothing was consumed
		quantity, unit = "NULL", ""
	}
	g.line([]string{
		billed.String(), "USD", "2025-07-01 00:00:00", "2025-06-01 00:00:00", category, c.description,
		c.start.Add(time.Duration(c.hours) * time.Hour).Format(time.DateTime), c.start.Format(time.DateTime),
		null(c.commitment), null(c.status), quantity, null(unit), billed.String(), billed.String(), listCost.String(),
		pricing, c.quantity.String(), null(c.unit), c.provider, c.region, null(c.resource), null(last(c.resource)), null(c.kind),
		c.category, c.service, c.sku, "Larkfield Outfitters", tags,
	})
}

const daysInMonth = 30

// day is the start of a day of the month, from 0.
func day(n int) time.Time { return time.Date(2025, time.June, 1+n, 0, 0, 0, 0, time.UTC) }

// daily writes one charge per day; vary may change it and leaves out the day with false.
func (g *generator) daily(c charge, vary func(day int, c *charge) bool) {
	for n := range daysInMonth {
		d := c
		d.start, d.hours = day(n), 24
		if vary == nil || vary(n, &d) {
			g.add(d)
		}
	}
}

// around is a quantity within a tenth of n thousandths.
func (g *generator) around(n int64) Decimal { return newDecimal(g.between(n*90/100, n*110/100), 3) }

// compute is a machine of Cirro Compute.
func compute(name, environment, team string, price Decimal) charge {
	return charge{
		provider: "Cirro", service: "Cirro Compute", category: "Compute", region: "north-1",
		resource: "crn:compute:north-1:instance/" + name, kind: "instance", description: "On-demand machine hours", sku: "CMP-M8",
		quantity: newDecimal(24, 0), unit: "Hours", price: price, environment: environment, team: team,
	}
}

// web is the heavy, steady load: on demand, and a commitment partly unused.
func (g *generator) web() {
	g.daily(compute("shop-web-1", "prod", "shop", newDecimal(1920, 3)), nil)
	g.daily(compute("shop-web-2", "prod", "shop", newDecimal(1920, 3)), nil)
	committed := compute("shop-web-3", "prod", "shop", newDecimal(1920, 3))
	committed.description, committed.discount = "Committed machine hours", 30
	committed.commitment, committed.status = "crn:commitment:plan-2025-a", "Used"
	g.daily(committed, func(n int, c *charge) bool {
		if n >= 11 && n <= 14 {
			c.status, c.resource, c.kind = "Unused", "", ""
			c.description, c.environment = "Committed machine hours, unused", ""
		}
		return true
	})
}

// nonProduction runs day and night, though nobody works at night.
func (g *generator) nonProduction() {
	g.daily(compute("dev-build-1", "dev", "platform", newDecimal(48, 2)), nil)
	g.daily(compute("staging-web-1", "staging", "shop", newDecimal(96, 2)), nil)
	runner := compute("test-runner-1", "test", "platform", newDecimal(24, 2))
	for hour := range 48 { // hourly, on a Friday and a Saturday
		runner.start, runner.hours, runner.quantity = day(5).Add(time.Duration(hour)*time.Hour), 1, newDecimal(1, 0)
		if hour == 27 {
			runner.quantity, runner.description = newDecimal(40, 0), "On-demand machine hours, 40 machines"
		} else {
			runner.description = "On-demand machine hours"
		}
		g.add(runner)
	}
}

// storage holds a disk nobody reads, and objects nobody reads.
func (g *generator) storage() {
	disk := charge{
		provider: "Cirro", service: "Cirro Block Storage", category: "Storage", region: "north-1", kind: "disk",
		description: "Provisioned capacity", sku: "BLK-SSD", unit: "GB-Months", price: newDecimal(12, 2), environment: "prod", team: "shop",
	}
	for _, d := range []struct {
		name     string
		capacity int64 // thousandths of GB-months per day
		reads    int64 // thousandths of a million operations per day
	}{{"shop-web-data", 33333, 41000}, {"orders-replica", 16667, 18500}, {"migration-2023", 66667, 0}} {
		disk.resource = "crn:block:north-1:disk/" + d.name
		disk.quantity = newDecimal(d.capacity, 3)
		g.daily(disk, nil)
		if d.reads > 0 {
			ops := disk
			ops.description, ops.sku, ops.unit, ops.price = "Read and write operations", "BLK-OPS", "Million operations", newDecimal(5, 2)
			g.daily(ops, func(n int, c *charge) bool {
				c.quantity = g.around(d.reads)
				return n%3 == 0 // billed every third day
			})
		}
	}
	bucket := charge{
		provider: "Cirro", service: "Cirro Object Storage", category: "Storage", region: "north-1", kind: "bucket",
		resource: "crn:object:::bucket/camera-archive", description: "Standard tier capacity", sku: "OBJ-STD", unit: "GB-Months",
		quantity: newDecimal(612400, 3), price: newDecimal(23, 3), team: "warehouse", environment: "prod",
	}
	g.daily(bucket, nil)
	bucket.resource, bucket.team = "crn:object:::bucket/shop-media", "shop"
	bucket.quantity = newDecimal(88000, 3)
	g.daily(bucket, nil)
	bucket.description, bucket.sku, bucket.unit, bucket.price = "Requests", "OBJ-REQ", "Thousand requests", newDecimal(4, 3)
	g.daily(bucket, func(n int, c *charge) bool {
		c.quantity = g.around(310000)
		return n%3 == 0
	})
}

// network has a day on which somebody copied everything.
func (g *generator) network() {
	traffic := charge{
		provider: "Cirro", service: "Cirro Network", category: "Networking", region: "north-1", kind: "gateway",
		resource: "crn:network:north-1:gateway/egress-1", description: "Data transfer out", sku: "NET-OUT", unit: "GB",
		price: newDecimal(85, 3), environment: "prod", team: "platform",
	}
	g.daily(traffic, func(n int, c *charge) bool {
		c.quantity = g.around(140000)
		if n == 18 {
			c.quantity = newDecimal(3180450, 3)
		}
		return true
	})
}

// platform is the other provider, and what is not usage.
func (g *generator) platform() {
	halcyon := func(service, category, kind, resource, unit string, price Decimal) charge {
		return charge{
			provider: "Halcyon", service: service, category: category, region: "eu-west", kind: kind,
			resource: "/accounts/larkfield/" + resource, description: service + ", " + unit, sku: "HAL-" + strings.ToUpper(kind[:3]),
			unit: unit, price: price, environment: "prod", team: "data",
		}
	}
	database := halcyon("Halcyon Managed Postgres", "Databases", "database server", "postgres/orders", "vCPU-Hours", newDecimal(11, 2))
	database.quantity = newDecimal(192, 0)
	g.daily(database, nil)
	calls := halcyon("Halcyon Functions", "Compute", "function", "functions/price-feed", "Million calls", newDecimal(20, 2))
	g.daily(calls, func(n int, c *charge) bool {
		c.quantity = g.around(2600)
		return n%2 == 0
	})
	logs := halcyon("Halcyon Logs", "Management and Governance", "log store", "logs/shop", "GB", newDecimal(50, 2))
	g.daily(logs, func(n int, c *charge) bool {
		c.quantity = g.around(9400)
		return n%2 == 1
	})
	support := halcyon("Halcyon Managed Postgres", "Databases", "database server", "postgres/legacy-crm", "vCPU-Hours", newDecimal(10, 2))
	support.description, support.sku, support.quantity = "Extended support for version 11", "HAL-EXT", newDecimal(48, 0)
	g.daily(support, func(n int, _ *charge) bool { return n%3 == 0 })
	credit := charge{
		provider: "Halcyon", service: "Halcyon Support", category: "Other", region: "eu-west", description: "Goodwill credit",
		sku: "HAL-CRD", start: day(19), hours: 1, quantity: newDecimal(1, 0), price: newDecimal(-2500, 2), chargeCategory: "Credit",
	}
	g.add(credit)
	tax := credit
	tax.description, tax.sku, tax.start, tax.price, tax.chargeCategory = "Sales tax", "HAL-TAX", day(29), newDecimal(4150, 2), "Tax"
	g.add(tax)
}

// filler is small usage of an hour here and there.
func (g *generator) filler() {
	n := g.between(1, 9999)
	g.add(charge{
		provider: "Cirro", service: "Cirro Queue", category: "Integration", region: "north-1", kind: "queue",
		resource: fmt.Sprintf("crn:queue:north-1:queue/events-%04d", n), description: "Messages", sku: "QUE-MSG",
		start: day(int(g.between(0, daysInMonth-1))).Add(time.Duration(g.between(0, 23)) * time.Hour), hours: 1,
		quantity: g.around(1000 * g.between(1, 40)), unit: "Thousand messages", price: newDecimal(4, 4), environment: "prod", team: "platform",
	})
}
