package command

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// template is a text with places for arguments and secrets.
type template []part

type part struct {
	kind partKind
	text string // as it is, or the name
}

type partKind int

const (
	plainPart partKind = iota
	argPart
	secretPart
)

func (t template) has(k partKind) bool {
	return slices.ContainsFunc(t, func(p part) bool { return p.kind == k })
}

// parseTemplate reads a text with ${args.NAME} and ${secret:NAME}; $${ stands for ${.
func parseTemplate(text string) (template, error) {
	if strings.ContainsRune(text, 0) {
		return nil, fmt.Errorf("%q has a zero byte", text)
	}
	var t template
	plain := func(s string) {
		if s == "" {
			return
		}
		if n := len(t); n > 0 && t[n-1].kind == plainPart {
			t[n-1].text += s
			return
		}
		t = append(t, part{plainPart, s})
	}
	for {
		before, after, found := strings.Cut(text, "${")
		if !found {
			plain(text)
			return t, nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			plain(escaped + "${")
			text = after
			continue
		}
		plain(before)
		name, rest, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("${%s has no end; write $${ for the characters themselves", after)
		}
		if arg, ok := strings.CutPrefix(name, "args."); ok && named(arg) {
			t = append(t, part{argPart, arg})
		} else if secret, ok := strings.CutPrefix(name, "secret:"); ok && named(secret) {
			t = append(t, part{secretPart, secret})
		} else {
			return nil, fmt.Errorf("${%s} is neither ${args.NAME} nor ${secret:NAME}; write $${ for the characters themselves", name)
		}
		text = rest
	}
}

func named(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == ""
}

// fill puts arguments and secrets into their places. Whole is whether the text is one place
// whose argument is not there.
func (t template) fill(args map[string]any, secret func(name string) (string, error)) (text string, missing bool, err error) {
	var b strings.Builder
	for _, p := range t {
		switch p.kind {
		case plainPart:
			b.WriteString(p.text)
		case argPart:
			value, ok := args[p.text]
			if !ok || value == nil {
				missing = len(t) == 1
				continue
			}
			b.WriteString(plainValue(value))
		case secretPart:
			value, err := secret(p.text)
			if err != nil {
				return "", false, err
			}
			b.WriteString(value)
		}
	}
	return b.String(), missing, nil
}

// first is the argument with whose text the whole begins; "" = it begins with something else.
func (t template) first(args map[string]any) string {
	for _, p := range t {
		if p.kind != argPart {
			return ""
		}
		switch value := args[p.text].(type) {
		case nil:
		case string:
			if value != "" {
				return p.text
			}
		default:
			return ""
		}
	}
	return ""
}

// plainValue is an argument as a program reads it: a string as it is, all else as JSON.
func plainValue(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v) // it was decoded from JSON
	}
	return string(data)
}

// arguments fills the command line. What a model wrote stays within its element; it begins one
// with a dash only where the program cannot take it for an option, or where that is allowed.
func (t *commandTool) arguments(args map[string]any) ([]string, error) {
	var argv []string
	plain := t.declared.Dashes
	for i, part := range t.argv {
		text, missing, err := part.fill(args, nil)
		if err != nil {
			return nil, err
		}
		if missing {
			continue
		}
		if strings.ContainsRune(text, 0) {
			return nil, fmt.Errorf("argument %s has a zero byte, which no argument of a process can have", t.declared.Command[i])
		}
		if !plain && strings.HasPrefix(text, "-") {
			if name := part.first(args); name != "" {
				return nil, fmt.Errorf("argument %s may not begin with a dash: %q would be taken for an option", name, text)
			}
		}
		if text == "--" && !part.has(argPart) {
			plain = true
		}
		argv = append(argv, text)
	}
	return argv, nil
}

// stringsSchema is the schema of a command whose arguments are strings.
func stringsSchema(argv []template, stdin template) json.RawMessage {
	properties := map[string]any{}
	required := []string{}
	for _, t := range append(slices.Clone(argv), stdin) {
		for _, p := range t {
			if _, there := properties[p.text]; p.kind == argPart && !there {
				properties[p.text] = map[string]any{"type": "string"}
				required = append(required, p.text)
			}
		}
	}
	schema := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		schema["required"] = required
	}
	data, err := json.Marshal(schema)
	if err != nil {
		return json.RawMessage(`{"type":"object"}`) // strings can always be encoded
	}
	return data
}
