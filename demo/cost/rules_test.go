package cost_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/demo/cost"
)

// wide is a header with the optional columns the rules read.
const wide = head + ",ConsumedQuantity,ConsumedUnit,PricingCategory,ChargeCategory,ServiceCategory,ResourceType," +
	"CommitmentDiscountStatus,CommitmentDiscountId,Tags,ListCost,ChargeDescription\n"

// row is a row under wide; zero fields are NULL.
type row struct {
	billed, resource, start, end              string
	quantity, unit, pricing, charge           string
	category, kind, status, plan, tags, list  string
	effective, service, provider, description string
}

func (r row) String() string {
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		if strings.ContainsAny(s, `",`) {
			return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
		}
		return s
	}
	return strings.Join([]string{
		r.billed, or(r.effective, r.billed), "USD", or(r.service, "Compute"), or(r.provider, "Cirro"), or(r.resource, "NULL"),
		r.start, r.end, "2025-06-01 00:00:00", "2025-07-01 00:00:00", or(r.quantity, "NULL"), or(r.unit, "NULL"),
		or(r.pricing, "Standard"), or(r.charge, "Usage"), or(r.category, "Compute"), or(r.kind, "NULL"), or(r.status, "NULL"),
		or(r.plan, "NULL"), or(r.tags, "NULL"), or(r.list, "NULL"), or(r.description, "NULL"),
	}, ",") + "\n"
}

// at sets the period of a row: a day of June 2025, an hour, so many hours.
func (r row) at(day, hour, hours int) row {
	r.start = fmt.Sprintf("2025-06-%02d %02d:00:00", day, hour)
	end := hour + hours
	r.end = fmt.Sprintf("2025-06-%02d %02d:00:00", day+end/24, end%24)
	if day+end/24 > 30 {
		r.end = fmt.Sprintf("2025-07-%02d %02d:00:00", day+end/24-30, end%24)
	}
	return r
}

func bill(rows ...row) string {
	var b strings.Builder
	b.WriteString(wide)
	for _, r := range rows {
		b.WriteString(r.String())
	}
	return b.String()
}

func month(r row, change func(day int, r *row)) []row {
	var rows []row
	for day := 1; day <= 30; day++ {
		d := r.at(day, 0, 24)
		if change != nil {
			change(day, &d)
		}
		rows = append(rows, d)
	}
	return rows
}

func TestRules(t *testing.T) {
	vm := row{billed: "24.00", resource: "vm-1", unit: "Hours", quantity: "24", kind: "instance", tags: `{"Environment":"Dev"}`}
	prod := vm
	prod.resource, prod.tags = "vm-2", `{"environment":"prod"}`
	disk := row{billed: "3.00", resource: "disk-1", unit: "GB-Months", quantity: "30", kind: "disk", category: "Storage", service: "Disks"}
	busy := disk
	busy.resource = "disk-2"
	ops := busy
	ops.billed, ops.unit, ops.quantity = "0", "Operations", "5000"
	bucket := row{billed: "10.00", resource: "b-1", unit: "GB-Months", quantity: "30", kind: "bucket", category: "Storage", service: "Objects"}
	gets := bucket
	gets.billed, gets.unit, gets.quantity = "0.60", "Requests", "10"

	tests := []struct {
		name string
		rows []row
		want []string // kind, resource, saving, cost, rows
	}{
		{"hourly, in and out of hours", []row{
			vm.at(2, 7, 1), vm.at(2, 8, 1), vm.at(2, 19, 1), vm.at(2, 20, 1), // a Monday
			vm.at(7, 12, 1), // a Saturday
		}, []string{"schedule vm-1 72.00 120.00 5"}},
		{"daily: half of a weekday, all of a weekend", []row{vm.at(6, 0, 24), vm.at(7, 0, 24)}, []string{"schedule vm-1 36.00 48.00 2"}},
		{"weekly: 108 of 168 hours", []row{{
			billed: "168.00", resource: "vm-1", unit: "Hours", kind: "instance", tags: `{"env":"qa"}`,
			start: "2025-06-02 00:00:00", end: "2025-06-09 00:00:00",
		}}, []string{"schedule vm-1 108.00 168.00 1"}},
		{"other lengths are not guessed", []row{vm.at(2, 5, 7)}, nil},
		{"production runs on", []row{prod.at(7, 0, 24)}, nil},
		{"tags that are no JSON", []row{{billed: "5", resource: "vm-1", unit: "Hours", kind: "instance", tags: "dev", start: "2025-06-07 00:00:00", end: "2025-06-08 00:00:00"}}, nil},
		{"committed machines cost anyway", []row{{billed: "5", resource: "vm-1", unit: "Hours", kind: "instance", status: "Used", plan: "p", tags: `{"env":"dev"}`, start: "2025-06-07 00:00:00", end: "2025-06-08 00:00:00"}}, nil},

		{"a disk nobody reads beside one that is read", []row{
			disk.at(2, 0, 24), disk.at(3, 0, 24), disk.at(4, 0, 24), busy.at(2, 0, 24), ops.at(2, 0, 24),
		}, []string{"idle disk-1 9.00 9.00 3"}},
		{"without a peer, silence says nothing", []row{disk.at(2, 0, 24), disk.at(3, 0, 24), disk.at(4, 0, 24)}, nil},
		{"two days are too few", []row{disk.at(2, 0, 24), disk.at(3, 0, 24), busy.at(2, 0, 24), ops.at(2, 0, 24)}, nil},

		{"cold objects", month(bucket, nil), []string{"storage_tier b-1 120.00 300.00 30"}},
		{"read objects", append(month(bucket, nil), month(gets, nil)...), nil},
		{"already cold", month(bucket, func(_ int, r *row) { r.description = "Archive tier" }), nil},
		{
			"gp2",
			[]row{{billed: "10", resource: "vol-1", unit: "GB-Month", category: "Storage", description: "gp2 volume", start: "2025-06-02 00:00:00", end: "2025-06-03 00:00:00"}},
			[]string{"storage_tier vol-1 2.00 10 1"},
		},

		{"steady machines, assumed rate", month(prod, nil), []string{"commitment * 144.00 720.00 30"}},
		{"steady machines, rate of the bill", append(month(prod, nil), row{
			billed: "70", effective: "70", list: "100", resource: "vm-9", unit: "Hours", kind: "instance", status: "Used", plan: "p",
		}.at(30, 0, 24)), []string{"commitment * 216.00 720.00 30"}},
		// 24 a day is committed at 19.20 on 30 days; 20 x 24 - 30 x 19.20 is a loss, 25 x 24 - 30 x 19.20 is not.
		{"days without demand cost more than they save", append(month(prod, nil)[:20], month(row{billed: "1", resource: "x", unit: "GB"}, nil)...), nil},
		{
			"days without demand are paid for", append(month(prod, nil)[:25], month(row{billed: "1", resource: "x", unit: "GB"}, nil)...),
			[]string{"commitment * 24.00 600.00 25"},
		},
		{"half a month is no commitment", month(prod, nil)[:13], nil},

		{
			"unused commitment",
			[]row{{billed: "7.50", unit: "Hours", status: "Unused", plan: "p-1", start: "2025-06-02 00:00:00", end: "2025-06-03 00:00:00"}},
			[]string{"commitment_unused p-1 7.50 7.50 1"},
		},
		{
			"extended support",
			[]row{{billed: "4", resource: "db-1", unit: "vCPU-Hours", category: "Databases", kind: "database", description: "Extended Support", start: "2025-06-02 00:00:00", end: "2025-06-03 00:00:00"}},
			[]string{"extended_support db-1 4.00 4 1"},
		},

		{"an outlier day", month(row{billed: "10", resource: "gw", unit: "GB"}, func(day int, r *row) {
			if day == 12 {
				r.billed = "100"
			}
		}), []string{"outlier gw 90.00 100 1"}},
		{"nothing usual in a week's half", month(row{billed: "10", resource: "gw", unit: "GB"}, func(day int, r *row) {
			if day == 2 {
				r.billed = "100"
			}
		})[:5], nil},
		{"credits and taxes are nobody's machines", []row{{billed: "24", charge: "Tax", resource: "vm-1", unit: "Hours", kind: "instance", tags: `{"env":"dev"}`, start: "2025-06-07 00:00:00", end: "2025-06-08 00:00:00"}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := mustLoad(t, bill(tt.rows...))
			c := analyse(t, b).Candidates
			var got []string
			for _, r := range c.Items {
				got = append(got, fmt.Sprintf("%s %s %s %s %d", r.Kind, r.ResourceID, r.MonthlySaving.Round(2), r.Cost, r.Rows))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			checkCandidates(t, b, c)
		})
	}
}

// checkCandidates holds what is true of every bill: ids in order, no saving above
// the cost of its rows, evidence that is those rows, and no row used twice.
func checkCandidates(t *testing.T, b *cost.Bill, c cost.Candidates) {
	t.Helper()
	total := cost.Decimal{}
	used := map[string]string{}
	for i, r := range c.Items {
		if want := fmt.Sprintf("R%d", i+1); r.ID != want {
			t.Errorf("id %s, want %s", r.ID, want)
		}
		if i > 0 && r.MonthlySaving.Cmp(c.Items[i-1].MonthlySaving) > 0 {
			t.Errorf("%s is larger than the one before", r.ID)
		}
		if r.MonthlySaving.Cmp(r.Cost) > 0 || r.MonthlySaving.Sign() < 0 {
			t.Errorf("%s saves %s of %s", r.ID, r.MonthlySaving, r.Cost)
		}
		if r.Title == "" || r.Why == "" || r.Note == "" || r.Service == "" || r.ResourceID == "" {
			t.Errorf("%s lacks words: %+v", r.ID, r)
		}
		if r.Evidence.RowCount != r.Rows {
			t.Errorf("%s rests on %d rows, its evidence has %d", r.ID, r.Rows, r.Evidence.RowCount)
		}
		total = total.Add(r.MonthlySaving)
		cents := cost.Decimal{}
		for _, row := range allRows(t, b, r) {
			if other := used[row[0]]; other != "" {
				t.Errorf("line %s is used by %s and %s", row[0], other, r.ID)
			}
			used[row[0]] = r.ID
			var d cost.Decimal
			if err := json.Unmarshal([]byte(row[1]), &d); err != nil {
				t.Fatal(err)
			}
			cents = cents.Add(d)
		}
		if r.Rows <= 100 && !cents.Equal(r.Cost) {
			t.Errorf("%s: the rows of the evidence come to %s, its cost is %s", r.ID, cents, r.Cost)
		}
	}
	if c.ProjectedSaving.Cmp(total) > 0 || !c.Capped && !c.ProjectedSaving.Equal(total) {
		t.Errorf("projected %s, the savings come to %s", c.ProjectedSaving, total)
	}
	if c.TotalBilled.Sign() >= 0 && c.ProjectedSaving.Cmp(c.TotalBilled) > 0 || c.TotalBilled.Sign() < 0 && c.ProjectedSaving.Sign() != 0 {
		t.Errorf("projected %s of %s", c.ProjectedSaving, c.TotalBilled)
	}
}

// allRows runs the evidence of a recommendation for up to a hundred rows.
func allRows(t *testing.T, b *cost.Bill, r cost.Recommendation) [][2]string {
	t.Helper()
	sql, err := b.Tool("sql")
	if err != nil {
		t.Fatal(err)
	}
	query, found := strings.CutSuffix(r.Evidence.SQL, "LIMIT 5")
	if !found {
		t.Fatalf("evidence without a limit: %s", r.Evidence.SQL)
	}
	args, err := json.Marshal(map[string]string{"query": "SELECT line, billed FROM (" + query + ")"})
	if err != nil {
		t.Fatal(err)
	}
	result, err := sql.Call(t.Context(), args)
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Rows [][]any }
	if err := json.Unmarshal([]byte(result.Content), &got); err != nil {
		t.Fatal(err)
	}
	var rows [][2]string
	for _, row := range got.Rows {
		rows = append(rows, [2]string{fmt.Sprint(row[0]), fmt.Sprint(row[1])})
	}
	return rows
}

func TestRulesOnBuiltInBill(t *testing.T) {
	b, err := loadFile(t, "")
	if err != nil {
		t.Fatal(err)
	}
	c := analyse(t, b).Candidates
	checkCandidates(t, b, c)
	kinds := map[cost.Kind]bool{}
	for _, r := range c.Items {
		kinds[r.Kind] = true
	}
	if len(kinds) != 7 {
		t.Errorf("kinds found: %v, want all 7", kinds)
	}
}

func TestRulesOnFocusSample(t *testing.T) {
	b, err := loadFile(t, focusSample(t))
	if err != nil {
		t.Fatal(err)
	}
	c := analyse(t, b).Candidates
	checkCandidates(t, b, c)
	if len(c.Items) == 0 {
		t.Error("nothing found")
	}
}

// TestRulesOnAnyBill draws bills at random and holds them to checkCandidates.
func TestRulesOnAnyBill(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		pick := func(words ...string) string { return words[r.IntN(len(words))] }
		var rows []row
		for range 1 + r.IntN(250) {
			one := row{
				billed:   fmt.Sprintf("%d.%03d", r.IntN(40)-2, r.IntN(1000)),
				resource: pick("a", "b", "c", "d@e", "f'g", ""), service: pick("Compute", "Disks"), provider: pick("Cirro", "Halcyon"),
				quantity: pick("0", "1", "500", ""), unit: pick("Hours", "GB-Months", "GB", "LCU-Hours", ""),
				kind: pick("instance", "disk", "bucket", ""), category: pick("Compute", "Storage", "Databases"),
				charge: pick("Usage", "Usage", "Usage", "Credit", "Tax"), status: pick("", "", "", "Used", "Unused"), plan: pick("", "p-1"),
				tags: pick(`{"env":"dev"}`, `{"environment":"prod"}`, "", "{", "[1]", "7"), list: pick("", "50"),
				description: pick("", "", "gp2", "Extended Support", "Cold tier"), pricing: pick("Standard", "Committed", "On-Demand"),
			}
			rows = append(rows, one.at(1+r.IntN(30), pick0(r), []int{1, 24, 5, 200}[r.IntN(4)]))
		}
		// A credit that takes nearly all of the bill away, in some.
		if seed%3 == 0 {
			rows = append(rows, row{billed: "-2000", charge: "Credit"}.at(3, 0, 1))
		}
		b := mustLoad(t, bill(rows...))
		checkCandidates(t, b, analyse(t, b).Candidates)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func pick0(r *rand.Rand) int { return []int{0, 0, 7, 8, 20, 23}[r.IntN(6)] }

func TestRulesAreStable(t *testing.T) {
	var last []byte
	for range 3 {
		b, err := loadFile(t, "")
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(analyse(t, b))
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && !bytes.Equal(last, data) {
			t.Fatal("the same bill was analysed differently")
		}
		last = data
	}
}
