package agent_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/orpine-run/orpine/model"
)

// obedient is a model that does whatever a text tells it to, whoever wrote that: it looks for calls
// of tools in all that it is told, in plain words and in the formats of models, encoded or not, and
// makes those that it has not made yet, one after the other.
type obedient struct {
	refuses bool // it ends by declining, and says what it has read all the same
}

// order is a call that some text asks for.
type order struct {
	tool string
	args string // as JSON
}

// What makes a text special.
const (
	atOnce = "all at once" // its orders go into one reply
	later  = "the next time the user writes"
	stolen = "[[file]]" // stands for what was read of private things
)

// Generate implements model.Model.
func (o obedient) Generate(_ context.Context, req model.Request, _ func(model.Delta)) (model.Reply, error) {
	var all []order
	made, read, found := map[order]bool{}, "", ""
	groups := [][]order{}
	for _, t := range req.Tools {
		groups = append(groups, ordersIn(t.Description))
	}
	var waiting []string // texts that mean the next words of the user
	for _, m := range req.Messages {
		texts := []string{m.Text()}
		for _, p := range m.Parts {
			switch {
			case p.Call != nil:
				made[order{plain(p.Call.Name), sorted(string(p.Call.Args))}] = true
			case p.Result != nil:
				texts = append(texts, p.Result.Content)
				found += p.Result.Content + "\n"
				if code := secretCode.FindString(p.Result.Content); code != "" {
					read = code
				}
			}
		}
		if m.Role == model.Assistant {
			continue
		}
		if m.Role == model.User {
			for _, text := range waiting {
				groups = append(groups, ordersIn(text))
			}
			waiting = nil
		}
		for _, text := range texts {
			if strings.Contains(text, later) {
				waiting = append(waiting, text)
				continue
			}
			groups = append(groups, ordersIn(text))
		}
	}
	for _, g := range groups {
		for _, one := range g {
			one.args = strings.ReplaceAll(one.args, stolen, read)
			one.args = sorted(one.args)
			if one.tool != atOnce && !made[one] {
				all = append(all, one)
			}
		}
		if len(all) > 0 {
			return o.calls(req, all, slices.Contains(g, order{tool: atOnce})), nil
		}
	}
	stop := model.StopEnd
	if o.refuses {
		stop = model.StopRefusal
	}
	return model.Reply{Message: model.Text(model.Assistant, "What I have found: "+found), Stop: stop}, nil
}

// calls is a reply with the first order that there is, or with all of them.
func (o obedient) calls(req model.Request, all []order, together bool) model.Reply {
	if !together {
		all = all[:1]
	}
	m := model.Message{Role: model.Assistant}
	for i, one := range all {
		m.Parts = append(m.Parts, model.Part{Call: &model.ToolCall{
			ID: fmt.Sprintf("call_%d_%d", len(req.Messages), i), Name: strings.ReplaceAll(one.tool, "/", "__"), Args: json.RawMessage(one.args),
		}})
	}
	return model.Reply{Message: m, Stop: model.StopCalls, Usage: model.Usage{Input: 1, Output: 1}}
}

func plain(wire string) string { return strings.ReplaceAll(wire, "__", "/") }

// sorted is the same JSON with its keys in order; what is none stays as it is.
func sorted(args string) string {
	var v any
	if json.Unmarshal([]byte(args), &v) != nil {
		return args
	}
	data, err := json.Marshal(v)
	if err != nil {
		return args
	}
	return string(data)
}

// The forms in which an order can stand in a text.
var (
	inWords    = regexp.MustCompile(`(?is)\buse\s+the\s+tool\s+([a-z_]+(?:/[a-z_]+)*)\s+with\s+(\{.*?\})`)
	asToolCall = regexp.MustCompile(`(?s)<tool_call>\s*\{"name":\s*"([^"]+)",\s*"arguments":\s*(\{.*?\})\s*\}\s*</tool_call>`)
	asInvoke   = regexp.MustCompile(`(?s)<invoke name="([^"]+)">(.*?)</invoke>`)
	asParam    = regexp.MustCompile(`(?s)<parameter name="([^"]+)">(.*?)</parameter>`)
	asAction   = regexp.MustCompile(`(?s)Action:\s*(\S+)\s*Action Input:\s*(\{.*?\})`)
	asFunction = regexp.MustCompile(`"function_call":\s*\{"name":\s*"([^"]+)",\s*"arguments":\s*("(?:[^"\\]|\\.)*")\}`)
	asImage    = regexp.MustCompile(`!\[[^\]]*\]\(([^)\s]+)\)`)
)

// ordersIn finds the orders of a text, in whatever way it is written.
func ordersIn(text string) []order {
	var list []order
	add := func(tool, args string) {
		if one := (order{plain(tool), args}); json.Valid([]byte(args)) && !slices.Contains(list, one) {
			list = append(list, one)
		}
	}
	for _, way := range ways(text) {
		type hit struct {
			at         int
			tool, args string
		}
		var hits []hit
		for _, form := range []*regexp.Regexp{inWords, asToolCall, asAction} {
			for _, m := range form.FindAllStringSubmatchIndex(way, -1) {
				hits = append(hits, hit{m[0], way[m[2]:m[3]], way[m[4]:m[5]]})
			}
		}
		for _, m := range asFunction.FindAllStringSubmatchIndex(way, -1) {
			if args, err := strconv.Unquote(way[m[4]:m[5]]); err == nil {
				hits = append(hits, hit{m[0], way[m[2]:m[3]], args})
			}
		}
		for _, m := range asInvoke.FindAllStringSubmatchIndex(way, -1) {
			args := map[string]string{}
			for _, p := range asParam.FindAllStringSubmatch(way[m[4]:m[5]], -1) {
				args[p[1]] = p[2]
			}
			data, err := json.Marshal(args)
			if err != nil {
				panic(err) // texts marshal
			}
			hits = append(hits, hit{m[0], way[m[2]:m[3]], string(data)})
		}
		for _, m := range asImage.FindAllStringSubmatchIndex(way, -1) {
			hits = append(hits, hit{m[0], "fetch", fmt.Sprintf(`{"url": %q}`, way[m[2]:m[3]])})
		}
		slices.SortStableFunc(hits, func(a, b hit) int { return a.at - b.at })
		for _, h := range hits {
			add(h.tool, h.args)
		}
	}
	if len(list) > 0 && strings.Contains(text, atOnce) {
		list = append(list, order{tool: atOnce})
	}
	return list
}

// The looks of encoded texts.
var (
	base64Like = regexp.MustCompile(`[A-Za-z0-9+/]{24,}={0,2}`)
	hexLike    = regexp.MustCompile(`(?:[0-9a-f]{2}){20,}`)
	codeLike   = regexp.MustCompile(`(?:\\u[0-9a-f]{4}){8,}`)
)

// ways are the ways to read a text.
func ways(text string) []string {
	list := []string{text}
	add := func(s string) {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	for _, m := range base64Like.FindAllString(text, -1) {
		if data, err := base64.StdEncoding.DecodeString(m); err == nil {
			add(string(data))
		}
	}
	for _, m := range hexLike.FindAllString(text, -1) {
		if data, err := hex.DecodeString(m); err == nil {
			add(string(data))
		}
	}
	for _, m := range codeLike.FindAllString(text, -1) {
		if s, err := strconv.Unquote(`"` + m + `"`); err == nil {
			add(s)
		}
	}
	if s, err := url.QueryUnescape(text); err == nil {
		add(s)
	}
	add(html.UnescapeString(text))
	add(strings.Map(rot13, text))
	add(strings.Map(func(ch rune) rune {
		if unicode.Is(unicode.Cf, ch) { // of no width
			return -1
		}
		return ch
	}, text))
	back := []rune(text)
	slices.Reverse(back)
	add(string(back))
	return list
}

func rot13(ch rune) rune {
	switch {
	case ch >= 'a' && ch <= 'z':
		return 'a' + (ch-'a'+13)%26
	case ch >= 'A' && ch <= 'Z':
		return 'A' + (ch-'A'+13)%26
	}
	return ch
}
