package sql

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"modernc.org/sqlite"
)

// newDriver builds the driver value that carries this package's functions. It is
// built once because the driver keeps what is registered on it for as long as
// the process lives: one per database would leak. It is never changed after, and
// nothing is registered globally.
var newDriver = sync.OnceValues(func() (*sqlite.Driver, error) {
	d := &sqlite.Driver{}
	var errs []error
	scalar := func(name string, args int32, fn func(a []driver.Value) (driver.Value, error)) {
		errs = append(errs, d.RegisterFunction(name, &sqlite.FunctionImpl{
			NArgs: args, Deterministic: true,
			Scalar: func(_ *sqlite.FunctionContext, a []driver.Value) (driver.Value, error) {
				if slices.Contains(a, nil) {
					return nil, nil //nolint:nilnil // NULL in, NULL out
				}
				return fn(a)
			},
		}))
	}
	binary := func(name string, op func(a, b Decimal) (driver.Value, error)) {
		scalar(name, 2, func(v []driver.Value) (driver.Value, error) {
			a, err := toDecimal(name, v[0])
			if err != nil {
				return nil, err
			}
			b, err := toDecimal(name, v[1])
			if err != nil {
				return nil, err
			}
			return op(a, b)
		})
	}
	binary("decimal_add", func(a, b Decimal) (driver.Value, error) { return a.Add(b).String(), nil })
	binary("decimal_sub", func(a, b Decimal) (driver.Value, error) { return a.Sub(b).String(), nil })
	binary("decimal_mul", func(a, b Decimal) (driver.Value, error) { return a.Mul(b).String(), nil })
	binary("decimal_cmp", func(a, b Decimal) (driver.Value, error) { return int64(a.Cmp(b)), nil })
	binary("decimal_min", func(a, b Decimal) (driver.Value, error) {
		if a.Cmp(b) <= 0 {
			return a.String(), nil
		}
		return b.String(), nil
	})
	binary("decimal_max", func(a, b Decimal) (driver.Value, error) {
		if a.Cmp(b) >= 0 {
			return a.String(), nil
		}
		return b.String(), nil
	})
	scalar("decimal_abs", 1, func(v []driver.Value) (driver.Value, error) {
		a, err := toDecimal("decimal_abs", v[0])
		if a.Sign() < 0 {
			a = Decimal{}.Sub(a)
		}
		return a.String(), err
	})
	scalar("decimal_div", 3, divide)
	errs = append(errs,
		d.RegisterFunction("decimal_sum", &sqlite.FunctionImpl{
			NArgs: 1, Deterministic: true,
			MakeAggregate: func(sqlite.FunctionContext) (sqlite.AggregateFunction, error) { return &sum{}, nil },
		}),
		d.RegisterFunction("decimal_median", &sqlite.FunctionImpl{
			NArgs: 1, Deterministic: true,
			MakeAggregate: func(sqlite.FunctionContext) (sqlite.AggregateFunction, error) { return &median{}, nil },
		}),
		d.RegisterCollationUtf8("decimal", collate),
	)
	return d, errors.Join(errs...)
})

func divide(v []driver.Value) (driver.Value, error) {
	a, err := toDecimal("decimal_div", v[0])
	if err != nil {
		return nil, err
	}
	b, err := toDecimal("decimal_div", v[1])
	if err != nil {
		return nil, err
	}
	places, ok := v[2].(int64)
	if !ok {
		return nil, fmt.Errorf("decimal_div: the third argument is the number of places, an integer")
	}
	q, err := a.Div(b, int(places))
	if err != nil {
		return nil, fmt.Errorf("decimal_div: %w", err)
	}
	return q.String(), nil
}

// toDecimal reads an argument of a function. It allocates a fresh number, so the
// result may be kept.
func toDecimal(fn string, v driver.Value) (Decimal, error) {
	var d Decimal
	err := d.set(fn, v)
	return d, err
}

// set reads an argument of a function into d.
func (d *Decimal) set(fn string, v driver.Value) error {
	var err error
	switch v := v.(type) {
	case string:
		err = d.parse(v)
	case []byte:
		err = d.parse(string(v))
	case int64:
		err = d.parse(strconv.FormatInt(v, 10))
	case float64:
		err = d.parse(strconv.FormatFloat(v, 'f', -1, 64))
	default:
		err = fmt.Errorf("%w: %v", errNotNumber, v)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", fn, err)
	}
	return nil
}

// sum is decimal_sum: exact, order-independent, NULL over no values as SUM is.
type sum struct {
	total, value Decimal
	n            int
}

func (s *sum) Step(_ *sqlite.FunctionContext, args []driver.Value) error {
	if args[0] == nil {
		return nil
	}
	if err := s.value.set("decimal_sum", args[0]); err != nil {
		return err
	}
	s.n++
	if s.total.coef != nil && s.total.scale == s.value.scale {
		s.total.coef.Add(s.total.coef, s.value.coef) // in place: this runs once per row
		return nil
	}
	s.total = s.total.Add(s.value)
	return nil
}

func (s *sum) WindowInverse(_ *sqlite.FunctionContext, args []driver.Value) error {
	if args[0] == nil {
		return nil
	}
	if err := s.value.set("decimal_sum", args[0]); err != nil {
		return err
	}
	s.n--
	s.total = s.total.Sub(s.value)
	return nil
}

func (s *sum) WindowValue(*sqlite.FunctionContext) (driver.Value, error) {
	if s.n == 0 {
		return nil, nil //nolint:nilnil // SQL NULL
	}
	return s.total.String(), nil
}

func (*sum) Final(*sqlite.FunctionContext) {}

// median is decimal_median: the middle value, or the exact mean of the two in the
// middle. It keeps its values, so it is for groups and not for whole tables.
type median struct{ values []Decimal }

// maxMedian bounds what one median keeps.
const maxMedian = 1 << 20

func (m *median) Step(_ *sqlite.FunctionContext, args []driver.Value) error {
	if args[0] == nil {
		return nil
	}
	if len(m.values) == maxMedian {
		return fmt.Errorf("decimal_median: more than %d values: group them first", maxMedian)
	}
	d, err := toDecimal("decimal_median", args[0])
	m.values = append(m.values, d)
	return err
}

func (*median) WindowInverse(*sqlite.FunctionContext, []driver.Value) error {
	return errors.New("decimal_median: not a window function")
}

func (m *median) WindowValue(*sqlite.FunctionContext) (driver.Value, error) {
	if len(m.values) == 0 {
		return nil, nil //nolint:nilnil // SQL NULL
	}
	slices.SortFunc(m.values, Decimal.Cmp)
	n := len(m.values)
	if n%2 == 1 {
		return m.values[n/2].String(), nil
	}
	return m.values[n/2-1].Add(m.values[n/2]).Mul(NewDecimal(5, 1)).String(), nil
}

func (*median) Final(*sqlite.FunctionContext) {}

// collate orders text by its value as a number; what is no number comes last, in
// the order of its bytes.
func collate(a, b string) int {
	x, xerr := ParseDecimal(a)
	y, yerr := ParseDecimal(b)
	switch {
	case xerr == nil && yerr == nil:
		return x.Cmp(y)
	case xerr == nil:
		return -1
	case yerr == nil:
		return 1
	}
	return strings.Compare(a, b)
}

// connector opens the nameless database of a driver value.
type connector struct{ driver *sqlite.Driver }

// dsn has an empty path, which is SQLite's name for a private database that lives
// in its page cache and spills to an unlinked file. A double-quoted name that is
// no column is an error rather than a string, so typing errors show.
const dsn = "file:?_dqs=0"

// Connect implements driver.Connector.
func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(dsn) }

// Driver implements driver.Connector.
func (c connector) Driver() driver.Driver { return c.driver }
