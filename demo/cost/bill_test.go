package cost_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/demo/cost"
	"github.com/orpine-run/orpine/durable"
)

const head = "BilledCost,EffectiveCost,BillingCurrency,ServiceName,ProviderName,ResourceId," +
	"ChargePeriodStart,ChargePeriodEnd,BillingPeriodStart,BillingPeriodEnd"

// line is a row under head.
func line(billed, currency, service, resource, start string) string {
	return fmt.Sprintf("%s,%s,%s,%s,Cirro,%s,%s,2025-07-01 00:00:00,2025-06-01 00:00:00,2025-07-01 00:00:00\n",
		billed, billed, currency, service, resource, start)
}

// load writes a bill to a file and loads it.
func load(t *testing.T, text string) (*cost.Bill, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bill.csv")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return loadFile(t, path)
}

func loadFile(t *testing.T, path string) (*cost.Bill, error) {
	t.Helper()
	b, err := cost.LoadBill(t.Context(), path, nil)
	if err == nil {
		t.Cleanup(func() {
			if err := b.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	return b, err
}

func mustLoad(t *testing.T, text string) *cost.Bill {
	t.Helper()
	b, err := load(t, text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// analyse is everything a report is made of, through JSON as a journal keeps it.
func analyse(t *testing.T, b *cost.Bill) cost.Input {
	t.Helper()
	in := cost.Input{}
	step(t, &in.Info, func(context.Context) (cost.Info, error) { return b.Info(), nil })
	step(t, &in.Metrics, b.Metrics)
	step(t, &in.Logs, b.Logs)
	step(t, &in.Hotspots, b.Hotspots)
	step(t, &in.Candidates, b.Candidates)
	return in
}

func step[T any](t *testing.T, out *T, fn func(context.Context) (T, error)) {
	t.Helper()
	v, err := fn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 200<<10 {
		t.Errorf("%T is %d bytes of JSON, too large for a journal", v, len(data))
	}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatal(err)
	}
	if again, err := json.Marshal(out); err != nil || !bytes.Equal(again, data) {
		t.Errorf("%T changes on its way through JSON: %v\n%s\n%s", v, err, data, again)
	}
}

// independent are sums made without anything of this package.
type independent struct {
	rows              int
	billed, effective *big.Rat
	services          map[[2]string]*big.Rat
	resources         map[[2]string]*big.Rat
}

func sums(t *testing.T, data []byte, currency string) independent {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := func(r []string, name string) string { return r[slices.Index(records[0], name)] }
	s := independent{billed: new(big.Rat), effective: new(big.Rat), services: map[[2]string]*big.Rat{}, resources: map[[2]string]*big.Rat{}}
	add := func(m map[[2]string]*big.Rat, a, b string, v *big.Rat) {
		k := [2]string{a, b}
		if m[k] == nil {
			m[k] = new(big.Rat)
		}
		m[k].Add(m[k], v)
	}
	for _, r := range records[1:] {
		if column(r, "BillingCurrency") != currency {
			continue
		}
		billed, ok := new(big.Rat).SetString(column(r, "BilledCost"))
		effective, ok2 := new(big.Rat).SetString(column(r, "EffectiveCost"))
		if !ok || !ok2 {
			t.Fatalf("no numbers in %v", r)
		}
		s.rows++
		s.billed.Add(s.billed, billed)
		s.effective.Add(s.effective, effective)
		add(s.services, column(r, "ServiceName"), column(r, "ProviderName"), billed)
		if id := column(r, "ResourceId"); id != "NULL" && id != "" {
			add(s.resources, id, column(r, "ServiceName"), billed)
		}
	}
	return s
}

func rat(t *testing.T, d cost.Decimal) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(d.String())
	if !ok {
		t.Fatalf("%s is no number", d)
	}
	return r
}

// focusSample finds the shared sample beside the checkout.
func focusSample(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(dir, "shared", "data", "focus_sample.csv")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Skip("shared/data/focus_sample.csv is not beside the checkout")
		}
		dir = parent
	}
}

func TestSumsAreExact(t *testing.T) {
	check := func(t *testing.T, b *cost.Bill, data []byte) {
		t.Helper()
		in := analyse(t, b)
		r := cost.BuildReport(in)
		want := sums(t, data, r.Currency)
		if int(r.Rows) != want.rows || rat(t, r.TotalBilled).Cmp(want.billed) != 0 || rat(t, r.TotalEffective).Cmp(want.effective) != 0 {
			t.Errorf("got %d rows, %s billed, %s effective; want %d, %s, %s", r.Rows, r.TotalBilled, r.TotalEffective,
				want.rows, want.billed.FloatString(12), want.effective.FloatString(12))
		}
		if len(r.Services) != len(want.services) {
			t.Errorf("%d services, want %d", len(r.Services), len(want.services))
		}
		total := cost.Decimal{}
		for i, s := range r.Services {
			total = total.Add(s.Billed)
			if w := want.services[[2]string{s.Name, s.Provider}]; w == nil || rat(t, s.Billed).Cmp(w) != 0 {
				t.Errorf("service %s: got %s, want %v", s.Name, s.Billed, w)
			}
			if i > 0 && s.Billed.Cmp(r.Services[i-1].Billed) > 0 {
				t.Errorf("service %s is out of order", s.Name)
			}
		}
		if !total.Equal(r.TotalBilled) {
			t.Errorf("services come to %s, the total is %s", total, r.TotalBilled)
		}
		for _, h := range r.Hotspots {
			if w := want.resources[[2]string{h.ResourceID, h.Service}]; w == nil || rat(t, h.Billed).Cmp(w) != 0 {
				t.Errorf("hotspot %s: got %s, want %v", h.ResourceID, h.Billed, w)
			}
		}
		days := cost.Decimal{}
		for _, d := range r.Days {
			days = days.Add(d.Billed)
		}
		if days.Sign() <= 0 || len(r.Days) < 28 {
			t.Errorf("%d days come to %s", len(r.Days), days)
		}
	}
	t.Run("built-in", func(t *testing.T) {
		b, err := loadFile(t, "")
		if err != nil {
			t.Fatal(err)
		}
		check(t, b, cost.Sample())
	})
	t.Run("focus sample", func(t *testing.T) {
		path := focusSample(t)
		b, err := loadFile(t, path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		check(t, b, data)
		if got := b.Info().Currencies[0].Billed.String(); got != "20.52022672899" {
			t.Errorf("billed %s, want 20.52022672899 in the bill's own decimals", got)
		}
	})
}

func TestInfo(t *testing.T) {
	b, err := loadFile(t, "")
	if err != nil {
		t.Fatal(err)
	}
	got := b.Info()
	if len(got.SHA256) != 64 || got.Bytes != int64(len(cost.Sample())) {
		t.Errorf("sha %s, %d bytes", got.SHA256, got.Bytes)
	}
	want := cost.Info{
		Name: "bill.csv", SHA256: got.SHA256, Bytes: got.Bytes, Rows: 500, Currency: "USD",
		Period:        cost.Period{Start: "2025-06-01 00:00:00", End: "2025-07-01 00:00:00"},
		BillingPeriod: cost.Period{Start: "2025-06-01 00:00:00", End: "2025-07-01 00:00:00"},
		Days:          30, Currencies: got.Currencies,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("info (-want +got):\n%s", diff)
	}
}

func TestLoadBillRefuses(t *testing.T) {
	good := line("1.50", "USD", "Compute", "vm-1", "2025-06-03 00:00:00")
	tests := []struct {
		name, text, want string
	}{
		{"empty", "", "the file is empty"},
		{"header only", head + "\n", "a header and no rows"},
		{"binary", "\x00\x01\x02", "NUL byte"},
		{"ragged", head + "\n" + good + "1,2\n", "bill.csv:3: expected 10 fields as in the header, has 2"},
		{"missing columns", "BilledCosts,ServiceName\n1,x\n", `missing columns: BilledCost (did you mean "BilledCosts"?), EffectiveCost, BillingCurrency, ProviderName, ResourceId, ChargePeriodStart`},
		{"cost is text", head + "\n" + good + line("twelve", "USD", "Compute", "vm-1", "2025-06-03 00:00:00"), `bill.csv:3:1: column BilledCost holds "twelve": want a number`},
		{"cost is NULL", head + "\n" + line("NULL", "USD", "Compute", "vm-1", "2025-06-03 00:00:00"), "bill.csv:2:1: column BilledCost has no value"},
		{"no currency", head + "\n" + line("1", "", "Compute", "vm-1", "2025-06-03 00:00:00"), "column BillingCurrency has no value"},
		{"no time", head + "\n" + line("1", "USD", "Compute", "vm-1", "June"), `column ChargePeriodStart holds "June"`},
		{"semicolons", strings.ReplaceAll(head+"\n"+good, ",", ";"), "separated by semicolons"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.text)
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant invalid: ...%s...", err, tt.want)
			}
		})
	}
	if _, err := loadFile(t, filepath.Join(t.TempDir(), "none.csv")); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("missing file: got %v", err)
	}
	if _, err := loadFile(t, t.TempDir()); !errors.Is(err, durable.ErrInvalid) {
		t.Errorf("directory: got %v", err)
	}
}

func TestOneRow(t *testing.T) {
	for _, amount := range []string{"1.50", "0", "-3.25", "0.00000000001"} {
		b := mustLoad(t, head+"\n"+line(amount, "EUR", "Compute", "NULL", "2025-06-03 00:00:00"))
		r := cost.BuildReport(analyse(t, b))
		if r.Currency != "EUR" || r.Rows != 1 || r.TotalBilled.String() != amount || len(r.Services) != 1 ||
			len(r.Hotspots) != 0 || len(r.Recommendations) != 0 || len(r.Anomalies) != 0 || r.ProjectedSaving.Sign() != 0 {
			t.Errorf("%s: got %+v", amount, r)
		}
		if md := r.Markdown(); !strings.Contains(md, "Nothing to recommend") || !strings.HasPrefix(r.SVG(), "<svg") {
			t.Errorf("%s: report\n%s", amount, md)
		}
	}
}

func TestCurrenciesAreNotAddedUp(t *testing.T) {
	text := head + "\n" + line("10.10", "USD", "Compute", "vm-1", "2025-06-03 00:00:00") +
		line("7", "EUR", "Compute", "vm-2", "2025-06-04 00:00:00") +
		line("0.90", "USD", "Storage", "d-1", "2025-06-05T00:00:00Z") +
		line("1000", "JPY", "Compute", "vm-3", "2025-06-06 00:00:00")
	in := analyse(t, mustLoad(t, text))
	r := cost.BuildReport(in)
	if r.Currency != "USD" || r.Rows != 2 || r.TotalBilled.String() != "11.00" || r.Bill.Rows != 4 {
		t.Errorf("main currency: %s, %d rows, %s billed, %d rows in all", r.Currency, r.Rows, r.TotalBilled, r.Bill.Rows)
	}
	var got []string
	for _, c := range r.Currencies {
		text := fmt.Sprintf("%s %d %s %s", c.Currency, c.Rows, c.Billed, c.Effective)
		for _, s := range c.Services {
			text += fmt.Sprintf(" %s=%s", s.Name, s.Billed)
		}
		got = append(got, text)
	}
	want := []string{"USD 2 11.00 11.00 Compute=10.10 Storage=0.90", "EUR 1 7 7 Compute=7", "JPY 1 1000 1000 Compute=1000"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("currencies (-want +got):\n%s", diff)
	}
	for _, h := range r.Hotspots {
		if h.ResourceID != "vm-1" && h.ResourceID != "d-1" {
			t.Errorf("hotspot of another currency: %+v", h)
		}
	}
	if md := r.Markdown(); !strings.Contains(md, "in 3 currencies. They are not added up") || !strings.Contains(md, "1,000.00 JPY") {
		t.Errorf("the report does not say so:\n%s", md)
	}
}

func TestLongBillIsScaledDown(t *testing.T) {
	var b strings.Builder
	b.WriteString(head + ",ChargeDescription,ConsumedUnit\n")
	for _, start := range []string{"2025-01-01 00:00:00", "2025-06-29 00:00:00"} { // 180 days
		b.WriteString(strings.TrimSuffix(line("90", "USD", "Database", "db-1", start), "\n") + ",Extended Support,Hours\n")
	}
	c := analyse(t, mustLoad(t, b.String())).Candidates
	if len(c.Items) != 1 || c.Items[0].Cost.String() != "180" || c.Items[0].MonthlySaving.String() != "30.43" || c.Scale.Days != 180 {
		t.Errorf("got %+v", c)
	}
}

func TestTool(t *testing.T) {
	b, err := loadFile(t, "")
	if err != nil {
		t.Fatal(err)
	}
	sql, err := b.Tool("sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range analyse(t, b).Candidates.Items {
		args, err := json.Marshal(map[string]string{"query": r.Evidence.SQL})
		if err != nil {
			t.Fatal(err)
		}
		got, err := sql.Call(t.Context(), args)
		if err != nil || !strings.Contains(got.Content, r.Evidence.Rows[0][6]) {
			t.Errorf("%s: %s, %v", r.ID, got.Content, err)
		}
	}
	if _, err := sql.Call(t.Context(), json.RawMessage(`{"query":"DELETE FROM bill"}`)); !errors.Is(err, durable.ErrDenied) {
		t.Errorf("delete: got %v", err)
	}
}
