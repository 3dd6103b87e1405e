package journal

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/orpine-run/orpine/durable"
)

// eachRef calls found with the hash of every reference to a blob in a JSON text: of
// every object that has a hash and bytes, as durable.Ref is written, and nothing else but
// messages, as the head of a thread has. What is not JSON has none.
//
// A tool may return an object of that shape for reasons of its own, so a reference that
// is found in a value may lead nowhere. It is sure where it belongs to messages: then
// what it names is a part of a thread.
func eachRef(text []byte, found func(hash string, sure bool)) {
	if !bytes.Contains(text, []byte(`"hash"`)) {
		return
	}
	var v any
	if json.Unmarshal(text, &v) == nil {
		walkRefs(v, false, found)
	}
}

func walkRefs(v any, sure bool, found func(hash string, sure bool)) {
	switch v := v.(type) {
	case []any:
		for _, part := range v {
			walkRefs(part, sure, found)
		}
	case map[string]any:
		_, messages := v["messages"]
		sure = sure || messages
		if hash, ok := refOf(v); ok {
			found(hash, sure)
			return
		}
		for _, key := range slices.Sorted(maps.Keys(v)) { // an export is the same every time
			walkRefs(v[key], sure, found)
		}
	}
}

func refOf(v map[string]any) (string, bool) {
	hash, isText := v["hash"].(string)
	size, isNumber := v["bytes"].(float64)
	if !isText || !isNumber || size < 0 || size != math.Trunc(size) || !isHash(hash) {
		return "", false
	}
	for key := range v {
		if key != "hash" && key != "bytes" && key != "messages" {
			return "", false
		}
	}
	return hash, true
}

// isHash reports whether s can be the name of a blob.
func isHash(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == 32 && hex.EncodeToString(raw) == s
}

// named calls found with the hash of every blob that an entry itself names.
func named(e *durable.Entry, found func(field, hash string)) {
	if e.InputRef != nil {
		found("input", e.InputRef.Hash)
	}
	if e.OutputRef != nil {
		found("output", e.OutputRef.Hash)
	}
	if e.Definition != "" {
		found("definition", e.Definition)
	}
}

// within calls found with the hash of every reference in the values of an entry.
func within(e *durable.Entry, found func(hash string, sure bool)) {
	eachRef(e.Input, found)
	eachRef(e.Output, found)
	if e.Interrupt != nil {
		eachRef(e.Interrupt.Value, found)
	}
}
