package main_test

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/demo/cost"
)

// sum is what a part of a bill comes to, in units of the last of decimals.
type sum struct {
	rows              int
	billed, effective big.Int
}

// decimals is more than any bill here has.
const decimals = 20

func (s *sum) add(billed, effective *big.Int) {
	s.rows++
	s.billed.Add(&s.billed, billed)
	s.effective.Add(&s.effective, effective)
}

// parse reads a cost such as -0.25 in units of the last of decimals.
func parse(t *testing.T, text string, into *big.Int) {
	t.Helper()
	whole, places, _ := strings.Cut(text, ".")
	if len(places) > decimals {
		t.Fatalf("cost %q has too many decimals for this test", text)
	}
	if _, ok := into.SetString(whole+places+strings.Repeat("0", decimals-len(places)), 10); !ok {
		t.Fatalf("cost %q", text)
	}
}

// rat is the amount itself.
func rat(units *big.Int) *big.Rat {
	return new(big.Rat).SetFrac(units, new(big.Int).Exp(big.NewInt(10), big.NewInt(decimals), nil))
}

// group is what a bill is summed by: a currency and, where they are set, a resource,
// a service and its provider.
type group struct{ currency, resource, service, provider string }

// sums are the sums of a bill, added up here, by nothing that the command uses.
type sums map[group]*sum

func (s sums) of(g group) *sum {
	if known := s[g]; known != nil {
		return known
	}
	// A row is one string; a key must not keep all of it.
	g = group{strings.Clone(g.currency), strings.Clone(g.resource), strings.Clone(g.service), strings.Clone(g.provider)}
	s[g] = &sum{}
	return s[g]
}

// sumBill adds up a bill in FOCUS columns.
func sumBill(t *testing.T, bill io.Reader) sums {
	t.Helper()
	r := csv.NewReader(bill)
	r.ReuseRecord = true
	head, err := r.Read()
	if err != nil {
		t.Fatal(err)
	}
	column := map[string]int{}
	for i, name := range head {
		column[strings.TrimPrefix(name, "\ufeff")] = i
	}
	for _, name := range []string{"BillingCurrency", "BilledCost", "EffectiveCost", "ServiceName", "ProviderName", "ResourceId"} {
		if _, ok := column[name]; !ok {
			t.Fatalf("the bill has no column %s", name)
		}
	}
	s := sums{}
	var billed, effective big.Int
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return s
		}
		if err != nil {
			t.Fatal(err)
		}
		field := func(name string) string { return row[column[name]] }
		parse(t, field("BilledCost"), &billed)
		parse(t, field("EffectiveCost"), &effective)
		g := group{currency: field("BillingCurrency")}
		s.of(g).add(&billed, &effective)
		g.service, g.provider = field("ServiceName"), field("ProviderName")
		s.of(g).add(&billed, &effective)
		if g.resource = field("ResourceId"); g.resource != "" && g.resource != "NULL" {
			s.of(g).add(&billed, &effective)
		}
	}
}

// mainCurrency is the one with most rows.
func (s sums) mainCurrency() string {
	best := group{}
	for g, sum := range s {
		if g.service == "" && (best.currency == "" || sum.rows > s[best].rows) {
			best = g
		}
	}
	return best.currency
}

// figuresOf are the parts of report.json that are held against the sums. Numbers
// stay as they are written.
type figuresOf struct {
	Currency       string
	Rows           int
	TotalBilled    json.Number `json:"total_billed"`
	TotalEffective json.Number `json:"total_effective"`
	Services       []serviceFigures
	Hotspots       []struct {
		ResourceID        string `json:"resource_id"`
		Service, Provider string
		Billed            json.Number
		Rows              int
	}
	Currencies []struct {
		Currency          string
		Rows              int
		Billed, Effective json.Number
		Services          []serviceFigures
	}
}

type serviceFigures struct {
	Name, Provider    string
	Billed, Effective json.Number
	Share             json.Number
	Rows              int
}

func (p *place) figures() figuresOf {
	p.t.Helper()
	data, err := os.ReadFile(p.path("OUT", "report.json"))
	if err != nil {
		p.t.Fatal(err)
	}
	var f figuresOf
	if err := json.Unmarshal(data, &f); err != nil {
		p.t.Fatal(err)
	}
	return f
}

// exactly compares a number of the report with a sum, to the last digit.
func exactly(t *testing.T, what string, got json.Number, want *big.Int) {
	t.Helper()
	var r big.Rat
	if _, ok := r.SetString(got.String()); !ok {
		t.Errorf("%s is %q, not a number", what, got)
	} else if r.Cmp(rat(want)) != 0 {
		t.Errorf("%s is %s, want %s", what, got, rat(want).FloatString(decimals))
	}
}

// checkFigures holds report.json against the sums of its bill.
func checkFigures(t *testing.T, got figuresOf, want sums) {
	t.Helper()
	total := want[group{currency: got.Currency}]
	if total == nil || got.Currency != want.mainCurrency() {
		t.Fatalf("the report is in %q, want %q", got.Currency, want.mainCurrency())
	}
	if got.Rows != total.rows {
		t.Errorf("%d rows, want %d", got.Rows, total.rows)
	}
	exactly(t, "total_billed", got.TotalBilled, &total.billed)
	exactly(t, "total_effective", got.TotalEffective, &total.effective)
	checkServices(t, got.Currency, got.Services, want)
	checkHotspots(t, got, want)
}

func checkServices(t *testing.T, currency string, got []serviceFigures, want sums) {
	t.Helper()
	services := 0
	for g := range want {
		if g.currency == currency && g.service != "" && g.resource == "" {
			services++
		}
	}
	if len(got) != services {
		t.Errorf("%d services in %s, want %d", len(got), currency, services)
	}
	seen := map[group]bool{}
	for i, s := range got {
		g := group{currency: currency, service: s.Name, provider: s.Provider}
		sum := want[g]
		if sum == nil || seen[g] {
			t.Errorf("service %v is not in the bill, or twice in the report", g)
			continue
		}
		seen[g] = true
		exactly(t, s.Name+" billed", s.Billed, &sum.billed)
		exactly(t, s.Name+" effective", s.Effective, &sum.effective)
		if s.Rows != sum.rows {
			t.Errorf("%s has %d rows, want %d", s.Name, s.Rows, sum.rows)
		}
		if i > 0 {
			before := got[i-1]
			if want[group{currency: currency, service: before.Name, provider: before.Provider}].billed.Cmp(&sum.billed) < 0 {
				t.Errorf("%s stands behind %s, which costs less", s.Name, before.Name)
			}
		}
	}
}

// checkHotspots wants the ten dearest resources, the dearest first.
func checkHotspots(t *testing.T, got figuresOf, want sums) {
	t.Helper()
	var dearest []group
	for g, s := range want {
		if g.currency == got.Currency && g.resource != "" && s.billed.Sign() > 0 {
			dearest = append(dearest, g)
		}
	}
	slices.SortFunc(dearest, func(a, b group) int {
		return cmp.Or(want[b].billed.Cmp(&want[a].billed), cmp.Compare(a.resource, b.resource), cmp.Compare(a.service, b.service))
	})
	dearest = dearest[:min(len(dearest), 10)]
	if len(got.Hotspots) != len(dearest) {
		t.Fatalf("%d hotspots, want %d", len(got.Hotspots), len(dearest))
	}
	for i, h := range got.Hotspots {
		if g := (group{got.Currency, h.ResourceID, h.Service, h.Provider}); g != dearest[i] {
			t.Errorf("hotspot %d is %v, want %v", i, g, dearest[i])
			continue
		}
		exactly(t, "hotspot "+h.ResourceID, h.Billed, &want[dearest[i]].billed)
		if h.Rows != want[dearest[i]].rows {
			t.Errorf("hotspot %s has %d rows, want %d", h.ResourceID, h.Rows, want[dearest[i]].rows)
		}
	}
}

// TestFigures holds every figure of the report against sums made here; and with a
// model that says quite other things, the figures are the same.
func TestFigures(t *testing.T) {
	t.Parallel()
	f := serveFake(t, "testdata/e2e/words.yaml")
	for _, name := range []string{"focus sample", "built-in"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			csv, bill := "", string(cost.Sample())
			if name == "focus sample" {
				if csv = focusSample(); csv == "" {
					t.Skip("no shared/data/focus_sample.csv beside this checkout or above it")
				}
				data, err := os.ReadFile(csv)
				if err != nil {
					t.Fatal(err)
				}
				bill = string(data)
			}
			want := sumBill(t, strings.NewReader(bill))
			plain := newPlace(t)
			plain.ok(append(accepting(demoArgs(csv)), "--model", "builtin/outline")...)
			checkFigures(t, plain.figures(), want)

			worded := newPlace(t, f.env()...)
			worded.ok(append(accepting(demoArgs(csv)), "--model", "openai/words-1")...)
			checkFigures(t, worded.figures(), want)
			checkWords(t, plain.report(), worded.report())
		})
	}
}

// checkWords compares two reports on one bill: other words, the same figures.
func checkWords(t *testing.T, plain, worded map[string]any) {
	t.Helper()
	if plain["summary"] == worded["summary"] || !strings.Contains(fmt.Sprint(worded["summary"]), "other words") {
		t.Errorf("the summary is %q, want that of the model", worded["summary"])
	}
	titles := func(report map[string]any) (list []string) {
		for _, r := range items(report, "recommendations") {
			list = append(list, fmt.Sprint(r["title"]))
			delete(r, "title")
			delete(r, "why")
			delete(r, "worded_by")
		}
		return list
	}
	before, after := titles(plain), titles(worded)
	if len(before) < 2 || len(after) != len(before) {
		t.Fatalf("%d and %d recommendations, want the same and more than one", len(before), len(after))
	}
	if after[0] != "Do the first thing first" || strings.Contains(strings.Join(after, " "), "999999") {
		t.Errorf("titles are %q, want the model's first, and no figure of its own", after)
	}
	if diff := gocmp.Diff(figures(plain, "summary", "worded_by"), figures(worded, "summary", "worded_by")); diff != "" {
		t.Errorf("with another model the report differs in more than words (-outline +model):\n%s", diff)
	}
}

func items(report map[string]any, key string) []map[string]any {
	var list []map[string]any
	all, _ := report[key].([]any)
	for _, v := range all {
		if m, ok := v.(map[string]any); ok {
			list = append(list, m)
		}
	}
	return list
}

// TestFiguresOfCurrencies gives the demonstration a bill in three currencies: each is
// summed for itself and none is added to another.
func TestFiguresOfCurrencies(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	bill := inCurrencies(string(cost.Sample()), "USD", "EUR", "USD", "EUR", "USD", "CHF")
	p.ok(accepting(demoArgs(p.write("bill.csv", bill)))...)
	want := sumBill(t, strings.NewReader(bill))
	got := p.figures()
	checkFigures(t, got, want)
	var names []string
	for _, c := range got.Currencies {
		names = append(names, c.Currency)
		sum := want[group{currency: c.Currency}]
		if sum == nil {
			t.Errorf("currency %q is not in the bill", c.Currency)
			continue
		}
		exactly(t, "billed in "+c.Currency, c.Billed, &sum.billed)
		exactly(t, "effective in "+c.Currency, c.Effective, &sum.effective)
		if c.Rows != sum.rows {
			t.Errorf("%d rows in %s, want %d", c.Rows, c.Currency, sum.rows)
		}
		checkServices(t, c.Currency, c.Services, want)
	}
	if want := []string{"USD", "EUR", "CHF"}; !slices.Equal(names, want) { // most rows first
		t.Errorf("currencies are %v, want %v", names, want)
	}
	everything := new(big.Int)
	for g, s := range want {
		if g.service == "" {
			everything.Add(everything, &s.billed)
		}
	}
	data, err := os.ReadFile(p.path("OUT", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	for text, in := range map[string]string{fmt.Sprint(p.report()): "report.json", string(data): "report.md"} {
		if sum := rat(everything).FloatString(2); strings.Contains(text, sum) {
			t.Errorf("%s has %s, the sum over all currencies", in, sum)
		}
	}
}

// inCurrencies writes a bill in dollars anew with these currencies in turn.
func inCurrencies(bill string, currencies ...string) string {
	var b strings.Builder
	i := 0
	for line := range strings.Lines(bill) {
		b.WriteString(strings.Replace(line, "USD", currencies[i%len(currencies)], 1))
		i++
	}
	return b.String()
}

// TestFiguresOfBigBill gives the demonstration a bill of 200 MB: its figures are exact
// and its memory stays bounded.
func TestFiguresOfBigBill(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a bill of 200 MB is for the long form")
	}
	const (
		size = 200 << 20
		rss  = 400 << 10 // in KB, as getrusage counts on Linux
	)
	p := newPlace(t)
	path := p.path("bill.csv")
	rows := size / (len(cost.Sample()) / 500)
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(cost.Generate(file, 11, rows), file.Close()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	o := p.run(accepting(demoArgs(path))...)
	if o.code != 0 {
		t.Fatalf("orpine demo cost on %d MB: exit code %d\n%s", info.Size()>>20, o.code, o.err)
	}
	t.Logf("%d MB, %d rows: %d MB of memory at most, %.1f s of CPU", info.Size()>>20, rows, o.usage.Maxrss>>10,
		float64(o.usage.Utime.Nano()+o.usage.Stime.Nano())/1e9)
	if info.Size() < size*9/10 {
		t.Errorf("the bill has %d MB, want about 200", info.Size()>>20)
	}
	if o.usage.Maxrss > rss {
		t.Errorf("the process took %d MB of memory, want at most %d", o.usage.Maxrss>>10, rss>>10)
	}
	bill, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer bill.Close() //nolint:errcheck // it was only read
	checkFigures(t, p.figures(), sumBill(t, bill))
}
