package cost

import (
	"fmt"
	"strings"

	"github.com/orpine-run/orpine/tool/sql"
)

// newDecimal makes coef / 10^scale.
func newDecimal(coef int64, scale int) Decimal { return sql.NewDecimal(coef, scale) }

// rule is one way to save. Its statement returns resource_id, service, provider,
// cost, saving, rows, extra and detail; see docs/cost-rules.md for the arithmetic.
type rule struct {
	kind    Kind
	assumes string
	sql     string
	words   func(f finding, currency string) (title, note string)
	where   func(f finding, t taken) string // the rows of the bill a finding rests on
	takes   func(*taken, finding)           // nil: the rows are disjoint from those of every later rule
}

// What the rules assume. They are list-price differences and calendars, not
// figures of the bill, and every report repeats them.
const (
	coldRate    = "0.40" // an infrequent-access tier is about 45% cheaper per GB; 40% leaves room for retrieval
	gp3Rate     = "0.20" // list price of gp3 against gp2
	assumedRate = "0.20" // a cautious one-year commitment
	barelyShare = "100"  // barely used: less than 1/100 of the median of its peers

	anyResource = "*"   // in place of a resource: all of a service
	tierGP2     = "gp2" // what the storage rule found
)

// usage is the first part of every rule: the usage of the main currency that no
// earlier rule rests on.
const usage = `usage AS (
  SELECT *, _rowid_ AS line, substr(ChargePeriodStart, 1, 10) AS day
  FROM bill
  WHERE BillingCurrency = :currency AND ` + using + `
    AND ` + ordinary + `
    AND coalesce(ResourceId, '') NOT IN (SELECT value FROM json_each(:taken))
    AND coalesce(ResourceId, '') || '@' || substr(ChargePeriodStart, 1, 10) NOT IN (SELECT value FROM json_each(:taken_days)))`

// The conditions below are in the columns of the bill, so that rules and the
// evidence behind their findings use the same.
const (
	paid  = `decimal_cmp(BilledCost, '0') > 0`
	using = `coalesce(ChargeCategory, 'Usage') = 'Usage'`

	// ordinary leaves out what has rules of its own.
	ordinary = `coalesce(CommitmentDiscountStatus, '') <> 'Unused' AND coalesce(ChargeDescription, '') NOT LIKE '%extended support%'`

	// machine are the metered hours of things that can be stopped, or committed to.
	machine = paid + ` AND CommitmentDiscountId IS NULL AND CommitmentDiscountStatus IS NULL
    AND ServiceCategory IN ('Compute', 'Databases') AND ConsumedUnit LIKE '%hour%'
    AND (ResourceType LIKE '%instance%' OR ResourceType LIKE '%virtual machine%' OR ResourceType LIKE '%server%'
      OR ResourceType LIKE '%database%' OR ResourceType LIKE '%node%')
    AND coalesce(ChargeDescription, '') NOT LIKE '%extended support%'`

	// onDemand is machine time at the list price.
	onDemand = machine + ` AND coalesce(PricingCategory, 'Standard') IN ('Standard', 'On-Demand', 'On Demand')`

	// objects is storage whose data is kept for its own sake, used or not.
	objects = `(coalesce(ResourceType, '') LIKE '%bucket%' OR coalesce(ResourceType, '') LIKE '%storage account%'
      OR coalesce(ResourceType, '') LIKE '%container%' OR coalesce(ResourceType, '') LIKE '%file%')`

	// capacity is what is paid for having a thing, used or not.
	capacity = `(coalesce(ConsumedUnit, '') LIKE '%month%' OR coalesce(ConsumedUnit, '') LIKE '%hour%' AND ConsumedUnit NOT LIKE '%lcu%')`

	// stored is capacity of storage.
	stored = paid + ` AND ConsumedUnit LIKE '%month%'`

	// environment is what a row is tagged as.
	environment = `(SELECT lower(trim(value)) FROM json_each(CASE WHEN json_valid(Tags) THEN Tags ELSE '{}' END)
      WHERE lower(trim(key)) IN ('environment', 'env', 'stage') ORDER BY key LIMIT 1)`
)

const idleSQL = `
WITH ` + usage + `,
resource AS (SELECT ResourceId, ServiceName, ProviderName, max(lower(coalesce(ResourceType, ''))) AS type,
    coalesce(decimal_sum(CASE WHEN ` + capacity + ` AND ` + paid + ` THEN BilledCost END), '0') AS cost,
    sum(` + capacity + ` AND ` + paid + `) AS rows, count(DISTINCT CASE WHEN ` + capacity + ` AND ` + paid + ` THEN day END) AS days,
    sum(NOT ` + capacity + ` AND ConsumedQuantity IS NULL) AS unknown,
    coalesce(decimal_sum(CASE WHEN NOT ` + capacity + ` THEN ConsumedQuantity END), '0') AS used
  FROM usage WHERE ResourceId IS NOT NULL AND NOT ` + objects + ` GROUP BY 1, 2, 3),
peers AS (SELECT ServiceName, ProviderName, type, decimal_median(used) AS typical, count(*) AS peers
  FROM resource WHERE decimal_cmp(used, '0') > 0 GROUP BY 1, 2, 3)
SELECT r.ResourceId AS resource_id, r.ServiceName AS service, r.ProviderName AS provider, r.cost AS cost, r.cost AS saving,
  r.rows AS rows, CAST(r.days AS TEXT) AS extra, r.used AS detail
FROM resource r JOIN peers p ON p.ServiceName = r.ServiceName AND p.ProviderName = r.ProviderName AND p.type = r.type
WHERE r.unknown = 0 AND r.days >= 3 AND decimal_cmp(decimal_mul(r.used, '` + barelyShare + `'), p.typical) < 0`

const supportSQL = `
SELECT coalesce(ResourceId, '*') AS resource_id, ServiceName AS service, ProviderName AS provider,
  decimal_sum(BilledCost) AS cost, decimal_sum(BilledCost) AS saving, count(*) AS rows, '' AS extra, '' AS detail
FROM bill
WHERE BillingCurrency = :currency AND ` + using + ` AND decimal_cmp(BilledCost, '0') > 0
  AND coalesce(CommitmentDiscountStatus, '') <> 'Unused' AND ChargeDescription LIKE '%extended support%'
GROUP BY 1, 2, 3`

const unusedSQL = `
SELECT coalesce(CommitmentDiscountId, '*') AS resource_id, ServiceName AS service, ProviderName AS provider,
  decimal_sum(BilledCost) AS cost, decimal_sum(BilledCost) AS saving, count(*) AS rows,
  CAST(count(DISTINCT substr(ChargePeriodStart, 1, 10)) AS TEXT) AS extra, '' AS detail
FROM bill
WHERE BillingCurrency = :currency AND ` + using + ` AND decimal_cmp(BilledCost, '0') > 0
  AND CommitmentDiscountStatus = 'Unused'
GROUP BY 1, 2, 3`

const outlierSQL = `
WITH ` + usage + `,
daily AS (SELECT ResourceId, ServiceName, ProviderName, day, decimal_sum(BilledCost) AS billed, count(*) AS rows
  FROM usage WHERE ResourceId IS NOT NULL AND ` + paid + ` GROUP BY 1, 2, 3, 4),
middle AS (SELECT ResourceId, ServiceName, ProviderName, decimal_median(billed) AS median
  FROM daily GROUP BY 1, 2, 3 HAVING count(*) >= 7),
spread AS (SELECT m.*, decimal_median(decimal_abs(decimal_sub(d.billed, m.median))) AS mad
  FROM middle m JOIN daily d USING (ResourceId, ServiceName, ProviderName) GROUP BY 1, 2, 3, 4)
SELECT d.ResourceId AS resource_id, d.ServiceName AS service, d.ProviderName AS provider, d.billed AS cost,
  decimal_sub(d.billed, s.median) AS saving, d.rows AS rows, d.day AS extra, s.median AS detail
FROM daily d JOIN spread s USING (ResourceId, ServiceName, ProviderName)
WHERE decimal_cmp(d.billed, decimal_add(s.median, decimal_max(decimal_mul(s.mad, '` + madFactor + `'), s.median))) > 0`

const scheduleSQL = `
WITH ` + usage + `,
timed AS (SELECT *, (julianday(ChargePeriodEnd) - julianday(ChargePeriodStart)) * 24 AS hours,
    CAST(substr(ChargePeriodStart, 12, 2) AS INTEGER) AS hour, CAST(strftime('%w', day) AS INTEGER) IN (0, 6) AS weekend,
    ` + environment + ` AS environment
  FROM usage WHERE ResourceId IS NOT NULL AND ` + machine + `),
off AS (SELECT *, CASE
    WHEN hours < 1.001 THEN CASE WHEN weekend OR hour < 8 OR hour >= 20 THEN BilledCost ELSE '0' END
    WHEN hours BETWEEN 23.999 AND 24.001 AND hour = 0 THEN CASE WHEN weekend THEN BilledCost ELSE decimal_mul(BilledCost, '0.5') END
    WHEN hours > 167.999 THEN decimal_div(decimal_mul(BilledCost, '9'), '14', 12)
    ELSE '0' END AS saved
  FROM timed
  WHERE environment IN ('dev', 'development', 'test', 'testing', 'qa', 'uat', 'staging', 'stage', 'sandbox', 'nonprod', 'non-prod'))
SELECT ResourceId AS resource_id, ServiceName AS service, ProviderName AS provider, decimal_sum(BilledCost) AS cost,
  decimal_sum(saved) AS saving, count(*) AS rows, environment AS extra, '' AS detail
FROM off GROUP BY 1, 2, 3, environment`

const storageSQL = `
WITH ` + usage + `,
old AS (SELECT ResourceId, ServiceName, ProviderName, decimal_sum(BilledCost) AS cost, count(*) AS rows, 'gp2' AS tier,
    decimal_mul(decimal_sum(BilledCost), '` + gp3Rate + `') AS saving
  FROM usage WHERE ResourceId IS NOT NULL AND NOT ` + objects + ` AND ` + stored + ` AND ChargeDescription LIKE '%gp2%' GROUP BY 1, 2, 3),
resource AS (SELECT ResourceId, ServiceName, ProviderName,
    coalesce(decimal_sum(CASE WHEN ` + stored + ` THEN BilledCost END), '0') AS cost,
    coalesce(decimal_sum(CASE WHEN ` + paid + ` AND coalesce(ConsumedUnit, '') NOT LIKE '%month%' THEN BilledCost END), '0') AS access,
    sum(coalesce(` + stored + `, 0)) AS rows, count(DISTINCT CASE WHEN ` + stored + ` THEN day END) AS days,
    sum(lower(coalesce(ChargeDescription, '') || coalesce(SkuId, '')) GLOB '*infrequent*' OR lower(coalesce(ChargeDescription, '')) GLOB '*archive*'
      OR lower(coalesce(ChargeDescription, '')) GLOB '*cool*' OR lower(coalesce(ChargeDescription, '')) GLOB '*cold*'
      OR lower(coalesce(ChargeDescription, '')) GLOB '*glacier*') AS already
  FROM usage WHERE ResourceId IS NOT NULL AND ServiceCategory = 'Storage' AND ` + objects + ` GROUP BY 1, 2, 3),
cold AS (SELECT ResourceId, ServiceName, ProviderName, cost, rows, 'cold' AS tier, decimal_mul(cost, '` + coldRate + `') AS saving
  FROM resource WHERE already = 0 AND days >= 14 AND decimal_cmp(decimal_mul(access, '20'), cost) < 0)
SELECT ResourceId AS resource_id, ServiceName AS service, ProviderName AS provider, cost, saving, rows, tier AS extra, '' AS detail
FROM (SELECT * FROM old UNION ALL SELECT * FROM cold)`

const commitmentSQL = `
WITH ` + usage + `,
day AS (SELECT DISTINCT substr(ChargePeriodStart, 1, 10) AS day FROM bill
  WHERE BillingCurrency = :currency AND ` + using + `),
demand AS (SELECT ServiceName, ProviderName, day, decimal_sum(BilledCost) AS billed, count(*) AS rows
  FROM usage WHERE ` + onDemand + ` GROUP BY 1, 2, 3),
service AS (SELECT ServiceName, ProviderName, decimal_sum(billed) AS cost, sum(rows) AS rows FROM demand GROUP BY 1, 2),
filled AS (SELECT s.ServiceName, s.ProviderName, day.day, coalesce(d.billed, '0') AS billed
  FROM service s CROSS JOIN day LEFT JOIN demand d ON d.ServiceName = s.ServiceName AND d.ProviderName = s.ProviderName AND d.day = day.day),
base AS (SELECT ServiceName, ProviderName, decimal_median(billed) AS base, count(*) AS days FROM filled GROUP BY 1, 2),
seen AS (SELECT ProviderName, decimal_div(decimal_sub(decimal_sum(ListCost), decimal_sum(EffectiveCost)), decimal_sum(ListCost), 4) AS rate
  FROM usage WHERE CommitmentDiscountStatus = 'Used' AND decimal_cmp(ListCost, '0') > 0 AND decimal_cmp(EffectiveCost, '0') > 0 GROUP BY 1),
rated AS (SELECT b.*, CASE WHEN decimal_cmp(rate, '0.05') >= 0 AND decimal_cmp(rate, '0.60') <= 0 THEN rate ELSE '` + assumedRate + `' END AS rate,
    CASE WHEN decimal_cmp(rate, '0.05') >= 0 AND decimal_cmp(rate, '0.60') <= 0 THEN 'seen' ELSE 'assumed' END AS source
  FROM base b LEFT JOIN seen USING (ProviderName) WHERE days >= 14)
SELECT '*' AS resource_id, r.ServiceName AS service, r.ProviderName AS provider, s.cost AS cost,
  decimal_sum(decimal_sub(decimal_min(f.billed, r.base), decimal_mul(r.base, decimal_sub('1', r.rate)))) AS saving,
  s.rows AS rows, r.rate || ' ' || r.source AS extra, r.base AS detail
FROM rated r JOIN service s USING (ServiceName, ProviderName) JOIN filled f USING (ServiceName, ProviderName)
GROUP BY r.ServiceName, r.ProviderName, s.cost, s.rows, r.rate, r.source, r.base`

// rules are all rules in the order in which they take rows.
func rules() []rule {
	resource := func(t *taken, f finding) { t.resources = append(t.resources, f.resource) }
	day := func(t *taken, f finding) { t.days = append(t.days, f.resource+"@"+f.extra) }
	return []rule{
		{
			kind: KindIdle, sql: idleSQL, words: idleWords, where: ofIdle, takes: resource,
			assumes: "A resource is idle when at least three days of its capacity are paid for and its activity (requests, data, operations) is " +
				"below 1% of the median of resources of the same service and type in this bill. Removing it saves its capacity charges.",
		},
		{
			kind: KindExtendedSupport, sql: supportSQL, words: supportWords, where: ofSupport,
			assumes: "Charges whose description says extended support end when the version is upgraded.",
		},
		{
			kind: KindCommitmentUnused, sql: unusedSQL, words: unusedWords, where: ofUnused,
			assumes: "Rows the bill marks as unused commitment are saved when the commitment is right-sized, at its renewal at the latest.",
		},
		{
			kind: KindOutlier, sql: outlierSQL, words: outlierWords, where: ofDay, takes: day,
			assumes: "A resource with at least seven days of cost has an outlier where a day is above its median by 4.4478 times the median " +
				"absolute deviation and by at least the median itself. The saving is the part above the median, had it not happened.",
		},
		{
			kind: KindSchedule, sql: scheduleSQL, words: scheduleWords, where: ofSchedule, takes: resource,
			assumes: "Machines tagged as non-production are needed Monday to Friday from 08:00 to 20:00 UTC. Of hourly charges those outside count, " +
				"of daily ones half of a weekday and all of a weekend day, of weekly and longer ones 108 of 168 hours.",
		},
		{
			kind: KindStorageTier, sql: storageSQL, words: storageWords, where: ofStorage, takes: resource,
			assumes: "Object storage seen on at least 14 days whose access costs less than a twentieth of its capacity saves 40% of the capacity " +
				"in an infrequent-access tier. gp2 volumes save 20% as gp3, by list price.",
		},
		{
			kind: KindCommitment, sql: commitmentSQL, words: commitmentWords, where: ofFleet,
			assumes: "A commitment to the median day of a service's on-demand machines is paid on every day, used or not. The discount is the one of " +
				"committed usage of the same provider in this bill (list against effective, if between 5% and 60%), otherwise 20%.",
		},
	}
}

// except are the days of a resource that an earlier rule took.
func (t taken) except(resource string) string {
	var days []string
	for _, d := range t.days {
		if day, ok := strings.CutPrefix(d, resource+"@"); ok {
			days = append(days, literal(day))
		}
	}
	if days == nil {
		return ""
	}
	return " AND substr(ChargePeriodStart, 1, 10) NOT IN (" + strings.Join(days, ", ") + ")"
}

func ofResource(f finding, t taken) string {
	return "ResourceId = " + literal(f.resource) + " AND ServiceName = " + literal(f.service) +
		" AND ProviderName = " + literal(f.provider) + " AND " + using + t.except(f.resource)
}

func ofIdle(f finding, t taken) string {
	return ofResource(f, t) + " AND NOT " + objects + " AND " + capacity + " AND " + paid + " AND " + ordinary
}

func ofDay(f finding, _ taken) string {
	return ofResource(f, taken{}) + " AND substr(ChargePeriodStart, 1, 10) = " + literal(f.extra) + " AND " + paid + " AND " + ordinary
}

func ofSchedule(f finding, t taken) string {
	return ofResource(f, t) + " AND " + machine + " AND " + environment + " = " + literal(f.extra)
}

func ofStorage(f finding, t taken) string {
	where := ofResource(f, t) + " AND " + stored
	where += " AND " + ordinary
	if f.extra == tierGP2 {
		return where + " AND NOT " + objects + " AND ChargeDescription LIKE '%gp2%'"
	}
	return where + " AND ServiceCategory = 'Storage' AND " + objects
}

// ofService are the rows of a service that name the resource in a column; "*" are
// those that name none.
func ofService(f finding, column string) string {
	where := "ServiceName = " + literal(f.service) + " AND ProviderName = " + literal(f.provider) + " AND " + using + " AND " + paid
	if f.resource == anyResource {
		return where + " AND " + column + " IS NULL"
	}
	return where + " AND " + column + " = " + literal(f.resource)
}

func ofSupport(f finding, _ taken) string {
	return ofService(f, "ResourceId") +
		" AND ChargeDescription LIKE '%extended support%' AND coalesce(CommitmentDiscountStatus, '') <> 'Unused'"
}

func ofUnused(f finding, _ taken) string {
	return ofService(f, "CommitmentDiscountId") + " AND CommitmentDiscountStatus = 'Unused'"
}

func ofFleet(f finding, t taken) string {
	where := "ServiceName = " + literal(f.service) + " AND ProviderName = " + literal(f.provider) + " AND " + using + " AND " + onDemand
	if len(t.resources) > 0 {
		where += " AND coalesce(ResourceId, '') NOT IN (" + strings.Join(mapped(t.resources, literal), ", ") + ")"
	}
	if len(t.days) > 0 {
		where += " AND coalesce(ResourceId, '') || '@' || substr(ChargePeriodStart, 1, 10) NOT IN (" + strings.Join(mapped(t.days, literal), ", ") + ")"
	}
	return where
}

// money writes an amount for a reader: two decimals, or the first two that are
// not zero where it is small.
func money(d Decimal, currency string) string {
	places := 2
	for places < d.Scale() && d.Round(places).Sign() == 0 && d.Sign() != 0 {
		places += 2
	}
	return d.Round(places).String() + " " + currency
}

// count writes a number of things.
func count(n int64, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// percent writes a rate such as 0.2996 as 30%.
func percent(rate string) string {
	d, err := sql.ParseDecimal(rate)
	if err != nil {
		return rate
	}
	return d.Mul(newDecimal(100, 0)).Round(0).String() + "%"
}

func idleWords(f finding, currency string) (title, note string) {
	return "Remove the unused " + last(f.resource), fmt.Sprintf(
		"Capacity was paid for on %s days (%s) with an activity of %s, below 1%% of what comparable resources of %s show.",
		f.extra, money(f.cost, currency), f.detail, f.service)
}

func supportWords(f finding, currency string) (title, note string) {
	return "Upgrade " + last(f.resource) + " to a supported version", fmt.Sprintf(
		"Extended support of an old version was billed with %s in %s; the fee ends with the upgrade.", money(f.cost, currency), count(f.rows, "row"))
}

func unusedWords(f finding, currency string) (title, note string) {
	return "Right-size the commitment " + last(f.resource), fmt.Sprintf(
		"Over %s days, %s was paid for committed usage that nobody used; renew it smaller or move other usage under it.", f.extra, money(f.cost, currency))
}

func outlierWords(f finding, currency string) (title, note string) {
	median, err := sql.ParseDecimal(f.detail)
	if err != nil {
		median = Decimal{}
	}
	return "Find out what " + last(f.resource) + " did on " + f.extra, fmt.Sprintf(
		"The day cost %s, its median day %s; the difference is avoidable if the cause does not come back.",
		money(f.cost, currency), money(median, currency))
}

func scheduleWords(f finding, currency string) (title, note string) {
	return "Stop " + last(f.resource) + " outside working hours", fmt.Sprintf(
		"It is tagged %s and cost %s; %s of that fell outside Monday to Friday, 08:00 to 20:00 UTC.",
		f.extra, money(f.cost, currency), money(f.saving, currency))
}

func storageWords(f finding, currency string) (title, note string) {
	if f.extra == tierGP2 {
		return "Move " + last(f.resource) + " from gp2 to gp3", fmt.Sprintf(
			"The volume cost %s as gp2; gp3 is %s cheaper by list price for the same capacity.", money(f.cost, currency), percent(gp3Rate))
	}
	return "Move " + last(f.resource) + " to an infrequent-access tier", fmt.Sprintf(
		"Its capacity cost %s and it was hardly read; the tier below saves about %s of that after retrieval.", money(f.cost, currency), percent(coldRate))
}

func commitmentWords(f finding, currency string) (title, note string) {
	rate, source, _ := strings.Cut(f.extra, " ")
	base, err := sql.ParseDecimal(f.detail)
	if err != nil {
		base = Decimal{}
	}
	from := "assumed, as this bill shows no committed usage to learn it from"
	if source == "seen" {
		from = "the difference of list and effective cost of committed usage in this bill"
	}
	return "Commit to the steady part of " + f.service, fmt.Sprintf(
		"On-demand machines cost %s; half of all days cost %s or more. Committing to that much saves %s (%s), less what unused days waste.",
		money(f.cost, currency), money(base, currency), percent(rate), from)
}

// last is the end of a long resource id, which is where its name is.
func last(id string) string {
	id = strings.TrimRight(id, "/")
	if i := strings.LastIndexAny(id, "/:"); i >= 0 && i < len(id)-1 {
		id = id[i+1:]
	}
	if r := []rune(id); len(r) > 40 {
		id = "…" + string(r[len(r)-39:])
	}
	return id
}
