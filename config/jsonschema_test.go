package config_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/orpine-run/orpine/config"
)

func resolve(raw []byte) (*jsonschema.Resolved, error) {
	var s jsonschema.Schema
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	return s.Resolve(&jsonschema.ResolveOptions{ValidateDefaults: true})
}

func resolves(raw []byte) error {
	_, err := resolve(raw)
	return err
}

// instance reads YAML the way an editor does.
func instance(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestJSONSchemaAgreesWithTheChecker holds the files of testdata against both.
// The name of a bad file says who sees its faults: fields-… both, refs-… only the
// checker, syntax-… is no YAML an editor would get as far with.
func TestJSONSchemaAgreesWithTheChecker(t *testing.T) {
	schema, err := resolve(config.JSONSchema())
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range files(t, "good") {
		if err := schema.Validate(instance(t, data)); err != nil {
			t.Errorf("%s: the checker accepts it, the schema says %v", path, err)
		}
	}
	for path, data := range files(t, "bad") {
		switch kind, _, _ := strings.Cut(filepath.Base(path), "-"); kind {
		case "fields":
			if err := schema.Validate(instance(t, data)); err == nil {
				t.Errorf("%s: the checker refuses it, the schema accepts it", path)
			}
		case "refs":
			if err := schema.Validate(instance(t, data)); err != nil {
				t.Errorf("%s: its faults are not of form, the schema says %v", path, err)
			}
		case "syntax":
		default:
			t.Errorf("%s: the name must start with fields-, refs- or syntax-", path)
		}
	}
}
