package cost

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Change is what feedback did.
type Change struct {
	Action string `json:"action"` // accepted, dropped, kept or note
	ID     string `json:"id,omitempty"`
	Title  string `json:"title,omitempty"`
	Text   string `json:"text"` // why, or the words that were not understood
}

// The actions of a [Change].
const (
	Accepted = "accepted"
	Dropped  = "dropped"
	Kept     = "kept"
	Noted    = "note"
)

var (
	acceptWords = expression(`(?i)^\s*(accept(ed)?|ok(ay)?|yes|approved?|looks good|lgtm)?\s*[.!]*\s*$`)
	clauses     = expression(`(?i)[;\n]+|\.(?:\s+|$)|,?\s+but\s+|,\s*(?:and\s+)?(?:then\s+)?(?P<verb>drop|remove|without|exclude|skip|no|only|keep)\s+`)
	dropVerb    = expression(`(?i)^(?:please\s+)?(?:drop|remove|without|exclude|skip|no|not|leave out)\s+(.+)$`)
	onlyVerb    = expression(`(?i)^(?:please\s+)?(?:only|keep only|just)\s+(.+)$`)
	keepVerb    = expression(`(?i)^(?:please\s+)?keep\s+(.+)$`)
	separators  = expression(`(?i)\s*(?:,|\band\b|\bor\b|&|\+)\s*`)
	idWord      = expression(`(?i)^R\d+$`)
	fillers     = expression(`(?i)\b(the|all|any|recommendations?|proposals?|ideas?|savings?|stuff|things?|for|of|on|in)\b`)
)

// expression is a regular expression that is compiled when it is first used: whoever starts
// this program for something else does not wait for it.
func expression(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// kindWords are the words people use for a kind, beside the kind itself.
var kindWords = []struct {
	kind  Kind
	words []string
}{
	{KindIdle, []string{"idle", "unused resource", "unused resources"}},
	{KindExtendedSupport, []string{"extended support", "support", "upgrade", "upgrades"}},
	{KindCommitmentUnused, []string{"commitment unused", "unused commitment", "unused commitments"}},
	{KindOutlier, []string{"outlier", "outliers", "anomaly", "anomalies"}},
	{KindSchedule, []string{"schedule", "schedules", "non-production", "nonproduction", "dev", "working hours"}},
	{KindStorageTier, []string{"storage tier", "storage", "tiering", "archive"}},
	{KindCommitment, []string{"commitment", "commitments", "savings plan", "savings plans", "reservation", "reservations"}},
}

// Revise changes the recommendations as a person says. "accept" (accepted, ok,
// yes, nothing at all) keeps everything. Otherwise the feedback is read clause by
// clause: "drop X" (also remove, without, exclude, skip, no) takes X out, "only X"
// takes out everything else, "keep X" holds X against both. X is an id, a kind, or
// part of the name of a service or resource; several are joined with commas or
// "and". What is not understood changes nothing and becomes a note, in its own
// words. The ids of what stays do not change; savings are added up anew.
func Revise(c Candidates, feedback string) (Candidates, []Change) {
	if acceptWords().MatchString(feedback) {
		return c, []Change{{Action: Accepted, Text: "Accepted as proposed."}}
	}
	drop, keep := map[string]string{}, map[string]bool{}
	var notes []Change
	note := func(text string) { notes = append(notes, Change{Action: Noted, Text: clean(text, whyLimit)}) }
	for _, clause := range split(feedback) {
		switch {
		case onlyVerb().MatchString(clause):
			kept, unknown := match(c, onlyVerb().FindStringSubmatch(clause)[1])
			if len(kept) == 0 {
				note(clause)
				continue
			}
			for _, r := range c.Items {
				if !kept[r.ID] {
					drop[r.ID] = clause
				}
			}
			unknownNote(note, unknown, clause)
		case dropVerb().MatchString(clause):
			gone, unknown := match(c, dropVerb().FindStringSubmatch(clause)[1])
			for id := range gone {
				drop[id] = clause
			}
			unknownNote(note, unknown, clause)
		case keepVerb().MatchString(clause):
			held, unknown := match(c, keepVerb().FindStringSubmatch(clause)[1])
			for id := range held {
				keep[id] = true
			}
			unknownNote(note, unknown, clause)
		case !acceptWords().MatchString(clause):
			note(clause)
		}
	}
	kept := c
	kept.Items = []Recommendation{}
	var changes []Change
	for _, r := range c.Items {
		clause, gone := drop[r.ID]
		switch {
		case gone && keep[r.ID]:
			changes = append(changes, Change{Kept, r.ID, r.Title, "You asked to keep it."})
			kept.Items = append(kept.Items, r)
		case gone:
			changes = append(changes, Change{Dropped, r.ID, r.Title, fmt.Sprintf("You said: %s", clean(clause, whyLimit))})
		default:
			kept.Items = append(kept.Items, r)
		}
	}
	kept.project()
	return kept, append(changes, notes...)
}

func unknownNote(note func(string), unknown []string, clause string) {
	if len(unknown) > 0 {
		note(fmt.Sprintf("%s (in: %s)", strings.Join(unknown, ", "), clause))
	}
}

// split cuts feedback into clauses; a verb after a comma begins a new one.
func split(feedback string) []string {
	var parts []string
	from := 0
	for _, m := range clauses().FindAllStringSubmatchIndex(feedback, -1) {
		parts = append(parts, feedback[from:m[0]])
		from = m[1]
		if m[2] >= 0 { // the verb belongs to the next clause
			from = m[2]
		}
	}
	parts = append(parts, feedback[from:])
	var trimmed []string
	for _, p := range parts {
		if p = strings.Trim(p, " \t\r.,!"); p != "" {
			trimmed = append(trimmed, p)
		}
	}
	return trimmed
}

// match finds the recommendations a list of names means, and the names it does
// not know.
func match(c Candidates, names string) (ids map[string]bool, unknown []string) {
	ids = map[string]bool{}
	for _, name := range append([]string{names}, separators().Split(names, -1)...) {
		found := lookup(c, name)
		for _, id := range found {
			ids[id] = true
		}
		if len(found) > 0 && name == names { // the whole is one name, such as "Search and Maps"
			return ids, nil
		}
		if name != names && len(found) == 0 && strings.TrimSpace(name) != "" {
			unknown = append(unknown, name)
		}
	}
	if len(ids) == 0 && len(unknown) == 0 {
		unknown = []string{names}
	}
	return ids, unknown
}

// lookup finds what one name means: first an id, then a kind, then part of the
// name of a service or resource.
func lookup(c Candidates, name string) []string {
	name = strings.ToLower(strings.Trim(name, " \t'\".!"))
	var ids []string
	collect := func(same func(r Recommendation) bool) []string {
		for _, r := range c.Items {
			if same(r) {
				ids = append(ids, r.ID)
			}
		}
		return ids
	}
	if idWord().MatchString(name) {
		return collect(func(r Recommendation) bool { return strings.EqualFold(r.ID, name) })
	}
	bare := strings.Join(strings.Fields(fillers().ReplaceAllString(name, " ")), " ")
	if kind, ok := kindOf(name, bare); ok {
		return collect(func(r Recommendation) bool { return r.Kind == kind })
	}
	if len(bare) < 3 {
		return nil
	}
	return collect(func(r Recommendation) bool {
		return strings.Contains(strings.ToLower(r.Service), bare) || strings.Contains(strings.ToLower(r.ResourceID), bare) ||
			strings.EqualFold(r.Provider, bare)
	})
}

func kindOf(names ...string) (Kind, bool) {
	for _, k := range kindWords {
		for _, name := range names {
			if name == string(k.kind) || slices.Contains(k.words, name) {
				return k.kind, true
			}
		}
	}
	return "", false
}
