package sql

import (
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// maxDigits bounds the text of one number and its exponent, so that a value such
// as 1e999999999 costs nothing.
const maxDigits = 1000

// Decimal is an exact decimal number. It remembers how many decimals it was
// written with: 1.50 plus 1.5 is 3.00. The zero value is 0. A Decimal is a value:
// no method changes its receiver.
type Decimal struct {
	coef  *big.Int // nil is 0
	scale int      // decimals, never negative
}

var (
	errNotNumber = errors.New("not a decimal number")
	errDivide    = errors.New("division by zero")
)

// NewDecimal makes coef / 10^scale: NewDecimal(150, 2) is 1.50.
func NewDecimal(coef int64, scale int) Decimal {
	return Decimal{coef: big.NewInt(coef), scale: max(scale, 0)}
}

// ParseDecimal reads a number as bills write it: an optional sign, digits with at
// most one point, an optional exponent. Separators of thousands, currency signs,
// blanks, NaN and infinities are refused.
func ParseDecimal(s string) (Decimal, error) {
	var d Decimal
	err := d.parse(s)
	return d, err
}

// parse is ParseDecimal into a Decimal that owns its coefficient, which is reused.
func (d *Decimal) parse(s string) error {
	if len(s) > maxDigits {
		return fmt.Errorf("%w: %d characters", errNotNumber, len(s))
	}
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		var err error
		if exponent, err = parseExponent(s[i+1:]); err != nil {
			return fmt.Errorf("%w: %q", err, s)
		}
		mantissa = s[:i]
	}
	negative := false
	if mantissa != "" && (mantissa[0] == '-' || mantissa[0] == '+') {
		negative = mantissa[0] == '-'
		mantissa = mantissa[1:]
	}
	whole, frac, _ := strings.Cut(mantissa, ".")
	if whole+frac == "" || !digits(whole) || !digits(frac) {
		return fmt.Errorf("%w: %q", errNotNumber, s)
	}
	if d.coef == nil {
		d.coef = new(big.Int)
	}
	if all := len(whole) + len(frac); all <= 18 { // fits an int64, the usual case
		var n int64
		for i := range all {
			c := at(whole, frac, i)
			n = 10*n + int64(c-'0')
		}
		d.coef.SetInt64(n)
	} else {
		d.coef.SetString(whole+frac, 10)
	}
	if negative {
		d.coef.Neg(d.coef)
	}
	d.scale = len(frac) - exponent
	if d.scale < 0 {
		d.coef.Mul(d.coef, pow10(-d.scale))
		d.scale = 0
	}
	return nil
}

func at(whole, frac string, i int) byte {
	if i < len(whole) {
		return whole[i]
	}
	return frac[i-len(whole)]
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func parseExponent(s string) (int, error) {
	sign := 1
	if s != "" && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = -1
		}
		s = s[1:]
	}
	if s == "" || len(s) > 4 || !digits(s) {
		return 0, errNotNumber
	}
	n := 0
	for i := range len(s) {
		n = 10*n + int(s[i]-'0')
	}
	if n > maxDigits {
		return 0, errNotNumber
	}
	return sign * n, nil
}

func pow10(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

func (d Decimal) int() *big.Int {
	if d.coef == nil {
		return new(big.Int)
	}
	return d.coef
}

// at returns the coefficient of d at a scale that is not smaller than its own.
func (d Decimal) at(scale int) *big.Int {
	if scale == d.scale {
		return d.int()
	}
	return new(big.Int).Mul(d.int(), pow10(scale-d.scale))
}

// Scale is how many decimals the number is written with.
func (d Decimal) Scale() int { return d.scale }

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int { return d.int().Sign() }

// Add returns d + e.
func (d Decimal) Add(e Decimal) Decimal {
	scale := max(d.scale, e.scale)
	return Decimal{new(big.Int).Add(d.at(scale), e.at(scale)), scale}
}

// Sub returns d - e.
func (d Decimal) Sub(e Decimal) Decimal {
	scale := max(d.scale, e.scale)
	return Decimal{new(big.Int).Sub(d.at(scale), e.at(scale)), scale}
}

// Mul returns d times e with all decimals of both.
func (d Decimal) Mul(e Decimal) Decimal {
	return Decimal{new(big.Int).Mul(d.int(), e.int()), d.scale + e.scale}
}

// Div returns d / e cut off after so many places, towards zero, so that a share
// of a sum is never more than the sum. Dividing by zero is an error.
func (d Decimal) Div(e Decimal, places int) (Decimal, error) {
	if e.Sign() == 0 {
		return Decimal{}, errDivide
	}
	if places < 0 || places > maxDigits {
		return Decimal{}, fmt.Errorf("%d places: want 0 to %d", places, maxDigits)
	}
	scale := max(d.scale, e.scale)
	n := new(big.Int).Mul(d.at(scale), pow10(places))
	return Decimal{n.Quo(n, e.at(scale)), places}, nil
}

// Cut returns d with at most so many places, towards zero.
func (d Decimal) Cut(places int) Decimal {
	if places < 0 || places >= d.scale {
		return d
	}
	return Decimal{new(big.Int).Quo(d.int(), pow10(d.scale-places)), places}
}

// Round returns d with exactly so many places, halves away from zero.
func (d Decimal) Round(places int) Decimal {
	places = max(places, 0)
	if places >= d.scale {
		return Decimal{d.at(places), places}
	}
	unit := pow10(d.scale - places)
	half := new(big.Int).Quo(unit, big.NewInt(2))
	if d.Sign() < 0 {
		half.Neg(half)
	}
	n := new(big.Int).Add(d.int(), half)
	return Decimal{n.Quo(n, unit), places}
}

// Cmp compares by value: 1.50 equals 1.5.
func (d Decimal) Cmp(e Decimal) int {
	scale := max(d.scale, e.scale)
	return d.at(scale).Cmp(e.at(scale))
}

// Equal reports whether both are the same number.
func (d Decimal) Equal(e Decimal) bool { return d.Cmp(e) == 0 }

// Float returns the nearest float64; for drawing, never for adding up.
func (d Decimal) Float() float64 {
	f, _ := new(big.Rat).SetFrac(d.int(), pow10(d.scale)).Float64()
	return f
}

// String writes the number in plain notation with its own decimals: no exponent,
// no plus sign, no leading zeros, no minus before zero.
func (d Decimal) String() string {
	s := new(big.Int).Abs(d.int()).String()
	if d.scale > 0 {
		if pad := d.scale + 1 - len(s); pad > 0 {
			s = strings.Repeat("0", pad) + s
		}
		s = s[:len(s)-d.scale] + "." + s[len(s)-d.scale:]
	}
	if d.Sign() < 0 {
		s = "-" + s
	}
	return s
}

// MarshalJSON writes the number as a plain JSON number.
func (d Decimal) MarshalJSON() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalJSON reads a JSON number, or a string that holds one; null changes nothing.
func (d *Decimal) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		return nil
	}
	v, err := ParseDecimal(strings.Trim(string(data), `"`))
	if err != nil {
		return err
	}
	*d = v
	return nil
}
