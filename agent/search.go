package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// The tools that an agent has of itself, once it needs them.
const (
	findTools  = "find_tools"
	readResult = "read_result"
)

// defaultToolTokens is how much the tools of sources may take up of a request before the model is
// told of those only that it looks up. A token is counted as four bytes.
const defaultToolTokens = 10_000

const tokenBytes = 4

// hide leaves the tools of sources out of what the model is told, when they take up too much, and
// gives it a tool to look them up.
func (k *kit) hide(most int) error {
	size := 0
	for _, s := range k.Specs() {
		if k.found[s.Name] {
			size += len(s.Name) + len(s.Description) + len(s.Schema)
		}
	}
	if size <= cmp.Or(most, defaultToolTokens)*tokenBytes {
		return nil
	}
	k.hides = true
	type query struct {
		Query string `json:"query" jsonschema:"words of what it is to do, such as: list issues"`
	}
	doc := fmt.Sprintf("There are %d more tools than you are told of. Finds those that fit; after that you can call them.", len(k.found))
	all := k.Registry
	finder := tool.Func(findTools, doc, func(_ context.Context, q query) (tool.Result, error) { return k.search(all, q.Query), nil }, tool.Read)
	var err error
	k.Registry, err = all.With(finder)
	return err
}

// shown are the tools that the model is told of, when it has looked up some.
func (k *kit) shown(found []string) []tool.Spec {
	return slices.DeleteFunc(k.Specs(), func(s tool.Spec) bool {
		hidden := k.hides && k.found[s.Name] || s.Name == readResult
		return hidden && !slices.Contains(found, s.Name)
	})
}

// findMost is how many tools a search finds.
const findMost = 10

// search finds the tools that have most of the words of a query, those in the name counting more.
func (k *kit) search(all *tool.Registry, query string) tool.Result {
	type hit struct {
		spec  tool.Spec
		score int
	}
	var hits []hit
	words := tool.Words(query)
	for _, s := range all.Specs() {
		if !k.found[s.Name] {
			continue
		}
		h := hit{spec: s}
		name, doc := tool.Words(s.Name), tool.Words(s.Description)
		for _, w := range words {
			const isName, inName, inDoc = 4, 2, 1
			switch {
			case slices.Contains(name, w):
				h.score += isName
			case slices.ContainsFunc(name, func(n string) bool { return strings.HasPrefix(n, w) }):
				h.score += inName
			}
			if slices.Contains(doc, w) {
				h.score += inDoc
			}
		}
		if h.score > 0 {
			hits = append(hits, h)
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return b.score - a.score }) // by name where that is the same
	hits = hits[:min(len(hits), findMost)]
	if len(hits) == 0 {
		return tool.Result{Content: fmt.Sprintf("No tool has one of the words of %q. Try other words.", query), Error: true}
	}
	var out tool.Result
	var b strings.Builder
	for _, h := range hits {
		out.Found = append(out.Found, h.spec.Name)
		fmt.Fprintf(&b, "%s: %s\n", tool.WireName(h.spec.Name), firstLine(h.spec.Description))
	}
	out.Content = b.String()
	return out
}

func firstLine(text string) string {
	const most = 200
	line, _, _ := strings.Cut(text, "\n")
	return tool.Clip(line, most)
}

// Bounds of what a model is told of a result, in bytes.
const (
	previewMin  = 32 << 10 // longer ones are told in part
	previewSize = 8 << 10
	pieceMax    = 16 << 10 // of a long one, at once
)

// preview is what is told of a long result, of which the whole is kept.
func preview(content string, ref durable.Ref) string {
	head := strings.ToValidUTF8(content[:previewSize], "")
	return fmt.Sprintf("%s\n[This is the beginning of %d bytes. Read on with %s: {\"result\": %q, \"from\": %d}]", head, ref.Bytes, readResult, ref.Hash, len(head))
}

// resultReader is the tool that reads on in a long result.
func resultReader() tool.Tool {
	type piece struct {
		Result string `json:"result" jsonschema:"the hash that the beginning of the result names"`
		From   int    `json:"from,omitempty" jsonschema:"where to read on, in bytes"`
		Find   string `json:"find,omitempty" jsonschema:"go on at the next place where this text stands"`
	}
	doc := "Reads on in a long result of a tool, of which you were told the beginning."
	return tool.Func(readResult, doc, func(ctx context.Context, p piece) (string, error) {
		attempt := durable.AttemptOf(ctx)
		if attempt == nil {
			return "", durable.Errorf(durable.CodeInternal, "results are read in a step")
		}
		data, err := attempt.Blobs.Get(ctx, durable.Ref{Hash: p.Result})
		if err != nil {
			return "", err
		}
		if p.From < 0 || p.From > len(data) {
			return "", fmt.Errorf("it has %d bytes: from is 0 to %d", len(data), len(data))
		}
		text := string(data[p.From:])
		if p.Find != "" {
			i := strings.Index(text, p.Find)
			if i < 0 {
				return "", fmt.Errorf("%q does not stand behind byte %d", p.Find, p.From)
			}
			p.From, text = p.From+i, text[i:]
		}
		for len(text) > 0 && !utf8.RuneStart(text[0]) {
			p.From, text = p.From+1, text[1:]
		}
		if len(text) <= pieceMax {
			return text, nil
		}
		head := strings.ToValidUTF8(text[:pieceMax], "")
		next, err := json.Marshal(piece{Result: p.Result, From: p.From + len(head)})
		return fmt.Sprintf("%s\n[Read on with %s]", head, next), err
	}, tool.Read)
}
