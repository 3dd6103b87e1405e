package outline

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// object is a JSON object that remembers the order of its keys. Values are nil,
// bool, string, json.Number, []any and *object.
type object struct {
	keys   []string
	fields map[string]any
}

func (o *object) get(key string) (any, bool) {
	if o == nil {
		return nil, false
	}
	v, ok := o.fields[key]
	return v, ok
}

func (o *object) set(key string, v any) {
	if _, ok := o.fields[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.fields[key] = v
}

// text is the field as a text when it is a scalar, else empty.
func (o *object) text(key string) string {
	v, _ := o.get(key)
	return plain(v)
}

func (o *object) object(key string) *object {
	v, _ := o.get(key)
	sub, _ := v.(*object)
	return sub
}

func newObject() *object { return &object{fields: map[string]any{}} }

// decode reads one JSON value.
func decode(data []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := decodeNext(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return v, nil
}

func decodeNext(dec *json.Decoder) (any, error) {
	t, err := dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch t {
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			v, err := decodeNext(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = dec.Token()
		return list, err
	case json.Delim('{'):
		o := newObject()
		for dec.More() {
			k, err := dec.Token()
			if err != nil {
				return nil, err
			}
			key, ok := k.(string)
			if !ok {
				return nil, fmt.Errorf("key %v is not a string", k)
			}
			v, err := decodeNext(dec)
			if err != nil {
				return nil, err
			}
			o.set(key, v)
		}
		_, err = dec.Token()
		return o, err
	}
	return t, nil
}

// encode writes a value as JSON in the order of its keys, with a space behind
// colons and commas so that it streams in words.
func encode(v any) string {
	var b strings.Builder
	write(&b, v)
	return b.String()
}

func write(b *strings.Builder, v any) {
	switch v := v.(type) {
	case *object:
		b.WriteByte('{')
		for i, key := range v.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, key)
			b.WriteString(": ")
			write(b, v.fields[key])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, e := range v {
			if i > 0 {
				b.WriteString(", ")
			}
			write(b, e)
		}
		b.WriteByte(']')
	default: // scalars always encode
		var buf bytes.Buffer
		enc := json.NewEncoder(&buf)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			panic(err)
		}
		b.WriteString(strings.TrimSuffix(buf.String(), "\n"))
	}
}

// plain says a scalar as text; lists and objects have none.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return fmt.Sprint(v)
	}
	return ""
}

// same compares two JSON values; numbers by what they are, not how they are written.
func same(a, b any) bool {
	x, aNumber := a.(json.Number)
	y, bNumber := b.(json.Number)
	if aNumber && bNumber {
		f, err1 := x.Float64()
		g, err2 := y.Float64()
		return err1 == nil && err2 == nil && f == g
	}
	return encode(a) == encode(b)
}
