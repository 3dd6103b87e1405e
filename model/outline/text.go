package outline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/orpine-run/orpine/model"
)

const (
	maxBullets = 40
	maxBullet  = 240 // characters
)

// list is the third rule: the sentences under the header, one bullet each.
func list(last string, results []model.ToolResult) string {
	var bullets []string
	for _, r := range results {
		label := r.Name + ": "
		if r.Error {
			label = r.Name + " did not work: "
		}
		for _, s := range sentences(r.Content) {
			bullets = append(bullets, label+s)
		}
	}
	if len(results) == 0 {
		bullets = sentences(last)
	}
	if len(bullets) == 0 {
		bullets = []string{"(nothing was said)"}
	}
	if more := len(bullets) - maxBullets; more > 0 {
		bullets = append(bullets[:maxBullets:maxBullets], fmt.Sprintf("(%d more)", more))
	}
	var b strings.Builder
	b.WriteString(Header)
	for _, s := range bullets {
		b.WriteString("\n- " + shorten(s, maxBullet))
	}
	return b.String()
}

// sentences splits text at line ends and behind . ! ? followed by white space,
// and behind their full-width forms. JSON stays in one piece.
func sentences(text string) []string {
	if trimmed := strings.TrimSpace(text); json.Valid([]byte(trimmed)) && trimmed != "" {
		return []string{strings.Join(strings.Fields(trimmed), " ")}
	}
	var out []string
	keep := func(s string) {
		if s = strings.TrimSpace(strings.TrimLeft(s, "-*# \t")); s != "" && strings.Trim(s, "`") != "" {
			out = append(out, s)
		}
	}
	for line := range strings.Lines(text) {
		begin := 0
		for i, r := range line {
			end := i + utf8.RuneLen(r)
			next, _ := utf8.DecodeRuneInString(line[min(end, len(line)):])
			switch {
			case strings.ContainsRune(".!?", r) && unicode.IsSpace(next), strings.ContainsRune("。！？", r):
				keep(line[begin:end])
				begin = end
			}
		}
		keep(line[begin:])
	}
	return out
}

func shorten(s string, longest int) string {
	if r := []rune(s); len(r) > longest {
		return string(r[:longest-1]) + "…"
	}
	return s
}

// pieces splits text behind each run of white space, so that the pieces joined
// are the text again.
func pieces(text string) []string {
	var out []string
	begin, space := 0, false
	for i, r := range text {
		if s := unicode.IsSpace(r); s != space {
			if space {
				out = append(out, text[begin:i])
				begin = i
			}
			space = s
		}
	}
	if begin < len(text) {
		out = append(out, text[begin:])
	}
	return out
}

// count is the number of words of a message.
func count(m model.Message) int {
	n := 0
	for _, p := range m.Parts {
		n += len(strings.Fields(p.Text))
		if p.Call != nil {
			n += 1 + len(strings.Fields(string(p.Call.Args)))
		}
		if p.Result != nil {
			n += len(strings.Fields(p.Result.Content))
		}
	}
	return n
}

// title names an item: "<kind in words>: <service>", or what it has of the two.
func title(item *object, fallback string) string {
	var parts []string
	for _, key := range []string{"kind", "service"} {
		if s := item.text(key); s != "" {
			parts = append(parts, s)
		}
	}
	if len(parts) == 0 {
		for _, key := range []string{"name", "title", "id"} {
			if s := item.text(key); s != "" {
				return s
			}
		}
		return fallback
	}
	parts[0] = capital(spaced(parts[0]))
	return strings.Join(parts, ": ")
}

// describe is one sentence that lists the fields of an item as they are.
func describe(item *object) string {
	currency := item.text("currency")
	var said []string
	for _, key := range item.keys {
		value := plain(item.fields[key])
		_, number := item.fields[key].(json.Number)
		switch {
		case key == "id", value == "", key == "currency" && currency != "" && item.money():
			continue
		case key == "kind":
			value = spaced(value)
		case number && currency != "" && isMoney(key):
			value += " " + currency
		}
		said = append(said, spaced(key)+": "+value)
	}
	if len(said) == 0 {
		return "Nothing more is known."
	}
	return capital(strings.TrimRight(strings.Join(said, "; "), ".")) + "."
}

// summary counts the items by kind; it computes nothing else.
func summary(items []*object) string {
	if len(items) == 0 {
		return "There are no items."
	}
	noun := "items"
	if len(items) == 1 {
		noun = "item"
	}
	said := fmt.Sprintf("%d %s", len(items), noun)
	if kinds := tally(items, "kind"); len(kinds) > 0 {
		said += ": " + strings.Join(kinds, ", ")
	}
	var places []string
	for _, item := range items {
		if s := item.text("service"); s != "" && !slices.Contains(places, s) {
			places = append(places, s)
		}
	}
	if len(places) > 0 {
		said += " (" + strings.Join(places, ", ") + ")"
	}
	return said + "."
}

// tally counts the values of a field in the order in which they first appear.
func tally(items []*object, key string) []string {
	var order []string
	counts := map[string]int{}
	for _, item := range items {
		s := spaced(item.text(key))
		if s == "" {
			continue
		}
		if counts[s] == 0 {
			order = append(order, s)
		}
		counts[s]++
	}
	out := make([]string, len(order))
	for i, s := range order {
		out[i] = fmt.Sprintf("%d %s", counts[s], s)
	}
	return out
}

// money reports whether the item has an amount that its currency belongs to.
func (o *object) money() bool {
	for _, key := range o.keys {
		if _, number := o.fields[key].(json.Number); number && isMoney(key) {
			return true
		}
	}
	return false
}

func isMoney(key string) bool {
	for _, word := range []string{"saving", "cost", "price", "amount", "spend"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return false
}

func spaced(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '_' || r == '-' || unicode.IsSpace(r) }), " ")
}

func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
