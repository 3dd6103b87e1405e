package wasm

import (
	"encoding/binary"

	"github.com/orpine-run/orpine/durable"
)

// What the format allows and this process could not bear: each element of a table and each
// local takes 8 bytes or more of it, which the bound of a module's memory does not count.
const (
	maxElements = 4 << 20 // of all tables together
	maxTables   = 1000
	maxLocals   = 50_000 // of a function, as in browsers
)

// The sections of a module that matter here, by their IDs in the core specification.
const (
	customSection  = 0
	typeSection    = 1
	importSection  = 2
	tableSection   = 4
	exportSection  = 7
	elementSection = 9
	codeSection    = 10
	dataSection    = 11
)

// bound returns the module with a maximum for each of its tables, so that table.grow ends
// somewhere, and without custom sections, which hold names only. It refuses a module that
// announces more than it has: the compiler makes room for what is announced, so a module of
// twenty bytes could take all memory there is. Error: invalid.
func bound(module []byte) ([]byte, error) {
	r := &reader{rest: module}
	out := append([]byte{}, r.take(8)...) // the header
	for len(r.rest) > 0 && !r.bad {
		id := r.byte()
		content := &reader{rest: r.take(r.number())}
		if id == customSection {
			continue
		}
		section := content.rest
		checkSection(id, content)
		if content.bad {
			return nil, durable.Errorf(durable.CodeInvalid, "section %d of the module is damaged, too large, or of a kind that is not supported", id)
		}
		if id == tableSection {
			var err error
			if section, err = boundTables(section); err != nil {
				return nil, err
			}
		}
		out = append(out, id)
		out = binary.AppendUvarint(out, uint64(len(section)))
		out = append(out, section...)
	}
	if r.bad {
		return nil, durable.Errorf(durable.CodeInvalid, "the module is cut off")
	}
	return out, nil
}

// checkSection reads what the compiler would make room for.
func checkSection(id byte, r *reader) {
	switch id {
	case typeSection:
		r.each(func() {
			r.expect(0x60)
			r.each(r.valueType)
			r.each(r.valueType)
		})
	case importSection:
		r.each(func() {
			r.take(r.number())
			r.take(r.number())
			switch r.byte() {
			case 0: // a function
				r.number()
			default: // WASI offers nothing else
				r.bad = true
			}
		})
	case exportSection:
		r.each(func() {
			r.take(r.number())
			r.byte()
			r.number()
		})
	case elementSection:
		r.each(r.element)
	case codeSection:
		r.each(func() {
			body := &reader{rest: r.take(r.number())}
			total := 0
			body.each(func() {
				total += body.number()
				body.valueType()
				body.bad = body.bad || total > maxLocals
			})
			r.bad = r.bad || body.bad
		})
	case dataSection:
		r.each(func() {
			switch r.number() {
			case 0:
				r.expression()
			case 1:
			case 2:
				r.number()
				r.expression()
			default:
				r.bad = true
			}
			r.take(r.number())
		})
	default: // a start, a number, or items of a few bytes each
		if count := r.number(); count > len(r.rest) && id != 8 && id != 12 {
			r.bad = true
		}
	}
}

// boundTables rewrites a section: a count, then for each table its type, a flag and one or
// two limits.
func boundTables(section []byte) ([]byte, error) {
	r := &reader{rest: section}
	count := r.number()
	if r.bad || count > maxTables {
		return nil, durable.Errorf(durable.CodeInvalid, "the module has %d tables; at most %d are allowed", count, maxTables)
	}
	out := binary.AppendUvarint(nil, uint64(count)) //nolint:gosec // it is not negative
	total := 0
	for range count {
		kind, flag := r.byte(), r.byte()
		least := r.number()
		most := max(maxElements/count, least)
		if flag == 1 {
			most = min(most, max(r.number(), least))
		}
		if r.bad || flag > 1 || kind != 0x70 && kind != 0x6f {
			return nil, durable.Errorf(durable.CodeInvalid, "the module has a table of a kind that is not supported")
		}
		if total += most; total > 2*maxElements {
			return nil, durable.Errorf(durable.CodeInvalid, "the tables of the module have more than %d elements", maxElements)
		}
		out = append(out, kind, 1)
		out = binary.AppendUvarint(binary.AppendUvarint(out, uint64(least)), uint64(most)) //nolint:gosec // neither is negative
	}
	return out, nil
}

// reader reads the binary format; bad is set where it ends too early.
type reader struct {
	rest []byte
	bad  bool
}

// number reads an unsigned LEB128 of 32 bits.
func (r *reader) number() int {
	v, n := binary.Uvarint(r.rest[:min(len(r.rest), 5)])
	if n <= 0 || v > 1<<32-1 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return int(v) //nolint:gosec // of 32 bits
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) expect(b byte) { r.bad = r.byte() != b || r.bad }

// each reads a vector, whose items have a byte at least.
func (r *reader) each(item func()) {
	count := r.number()
	if count > len(r.rest) {
		r.bad = true
	}
	for ; count > 0 && !r.bad; count-- {
		item()
	}
}

func (r *reader) valueType() {
	switch r.byte() {
	case 0x7f, 0x7e, 0x7d, 0x7c, 0x7b, 0x70, 0x6f:
	default:
		r.bad = true
	}
}

// expression reads a constant one.
func (r *reader) expression() {
	for !r.bad {
		switch r.byte() {
		case 0x0b: // end
			return
		case 0x41, 0x42: // i32.const, i64.const
			for r.byte()&0x80 != 0 {
			}
		case 0x43:
			r.take(4)
		case 0x44:
			r.take(8)
		case 0x23, 0xd2: // global.get, ref.func
			r.number()
		case 0xd0: // ref.null
			r.byte()
		case 0xfd: // v128.const
			r.byte()
			r.take(16)
		case 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e: // sums
		default:
			r.bad = true
		}
	}
}

// element reads an element segment; the three bits of its flag say what it has.
func (r *reader) element() {
	flag := r.number()
	passive, explicit, expressions := flag&1 != 0, flag&2 != 0, flag&4 != 0
	if !passive && explicit {
		r.number() // the table
	}
	if !passive {
		r.expression()
	}
	if passive || explicit {
		r.byte() // what it has
	}
	if expressions {
		r.each(r.expression)
	} else {
		r.each(func() { r.number() })
	}
	r.bad = r.bad || flag > 7
}
