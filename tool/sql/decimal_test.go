package sql_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/orpine-run/orpine/tool/sql"
)

func TestDecimal(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"0", "0"},
		{"-0.00", "0.00"},
		{"+1.50", "1.50"},
		{"007", "7"},
		{".5", "0.5"},
		{"5.", "5"},
		{"1E-7", "0.0000001"},
		{"1.25e2", "125"},
		{"1.25e1", "12.5"},
		{"-2.61370000000", "-2.61370000000"},
		{"123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"},
		{"", "?"},
		{".", "?"},
		{"-", "?"},
		{"1e", "?"},
		{"1e9999", "?"},
		{"1,5", "?"},
		{" 1", "?"},
		{"0x1", "?"},
		{"NaN", "?"},
		{"1.2.3", "?"},
		{"--1", "?"},
		{strings.Repeat("1", 1001), "?"},
	} {
		d, err := sql.ParseDecimal(tt.in)
		got := d.String()
		if err != nil {
			got = "?"
		}
		if got != tt.want {
			t.Errorf("%q: got %s, want %s (%v)", tt.in, got, tt.want, err)
		}
	}
	for _, tt := range []struct {
		in         string
		places     int
		round, cut string
	}{
		{"1.2345", 2, "1.23", "1.23"}, {"1.235", 2, "1.24", "1.23"}, {"-1.235", 2, "-1.24", "-1.23"}, {"1.2", 3, "1.200", "1.2"}, {"0.995", 2, "1.00", "0.99"},
	} {
		d, err := sql.ParseDecimal(tt.in)
		if err != nil || d.Round(tt.places).String() != tt.round || d.Cut(tt.places).String() != tt.cut {
			t.Errorf("%s: got %s and %s (%v), want %s and %s", tt.in, d.Round(tt.places), d.Cut(tt.places), err, tt.round, tt.cut)
		}
	}
	var zero sql.Decimal
	if got := zero.Add(sql.NewDecimal(150, 2)).Sub(zero); got.String() != "1.50" || zero.Sign() != 0 || zero.String() != "0" {
		t.Errorf("zero value: %s", got)
	}
	var v struct{ A, B sql.Decimal }
	if err := json.Unmarshal([]byte(`{"A":0.00000080000,"B":"1.50"}`), &v); err != nil {
		t.Fatal(err)
	}
	if data, err := json.Marshal(v); err != nil || string(data) != `{"A":0.00000080000,"B":1.50}` {
		t.Errorf("JSON: %s, %v", data, err)
	}
}

func FuzzDecimal(f *testing.F) {
	for _, s := range []string{"1.5", "-0.00", "1e-7", "12345678901234567890.1", "", "+.5e+3"} {
		f.Add(s, "0.25")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, err := sql.ParseDecimal(a)
		if err != nil {
			return
		}
		y, err := sql.ParseDecimal(b)
		if err != nil {
			return
		}
		rat := func(d sql.Decimal) *big.Rat {
			r, ok := new(big.Rat).SetString(d.String())
			if !ok {
				t.Fatalf("%s is no plain number", d)
			}
			return r
		}
		if r, ok := new(big.Rat).SetString(a); !ok || r.Cmp(rat(x)) != 0 {
			t.Errorf("%q was read as %s", a, x)
		}
		if new(big.Rat).Add(rat(x), rat(y)).Cmp(rat(x.Add(y))) != 0 || new(big.Rat).Mul(rat(x), rat(y)).Cmp(rat(x.Mul(y))) != 0 {
			t.Errorf("%s and %s: sum %s, product %s", x, y, x.Add(y), x.Mul(y))
		}
		again, err := sql.ParseDecimal(x.String())
		if len(x.String()) <= 1000 && (err != nil || again.String() != x.String()) {
			t.Errorf("%s read again is %s, %v", x, again, err)
		}
	})
}
