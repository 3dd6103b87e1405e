package script

import (
	"github.com/goccy/go-yaml/ast"

	"github.com/orpine-run/orpine/model"
	"github.com/orpine-run/orpine/model/wire"
)

// defaultChunk is the characters of a streamed piece when the script gives none.
const defaultChunk = 16

// codes are the words an error may be sorted under.
func codes() []string {
	return []string{"invalid", "denied", "not_found", "exhausted", "unavailable", "internal"}
}

func (r *reader) failure(n ast.Node) (*failure, error) {
	f := &failure{}
	err := r.fields(n, "error",
		field{"status", func(n ast.Node) (err error) { f.status, err = r.int(n, "status", 400, 599); return err }},
		field{"code", func(n ast.Node) (err error) { f.code, err = r.word(n, "code", codes()...); return err }},
		field{"retry_after", func(n ast.Node) (err error) { f.retryAfter, err = r.duration(n, "retry_after"); return err }},
		field{"message", func(n ast.Node) (err error) { f.message, err = r.text(n, "message"); return err }},
		field{"times", func(n ast.Node) (err error) { f.times, err = r.int(n, "times", 1, 1<<30); return err }},
	)
	if err != nil {
		return nil, err
	}
	switch {
	case f.status == 0 && f.code == "":
		return nil, r.errorf(n, "an error needs status: such as 429, or code:")
	case f.code == "":
		f.code = wire.CodeOf(f.status)
	}
	return f, nil
}

func (r *reader) reply(n ast.Node, sc scope) (*reply, error) {
	p := &reply{chunk: defaultChunk, cut: -1}
	stops := []string{string(model.StopEnd), string(model.StopCalls), string(model.StopLength), string(model.StopRefusal)}
	err := r.fields(n, "reply",
		field{"text", func(n ast.Node) (err error) { p.text, err = r.template(n, "text", sc); return err }},
		field{"json", func(n ast.Node) error {
			v, err := r.value(n, "json", sc, 0)
			p.json = &v
			return err
		}},
		field{"reasoning", func(n ast.Node) (err error) { p.reasoning, err = r.template(n, "reasoning", sc); return err }},
		field{"calls", func(n ast.Node) error { return r.calls(n, p, sc) }},
		field{"usage", func(n ast.Node) (err error) { p.usage, err = r.usage(n); return err }},
		field{"stop", func(n ast.Node) error {
			word, err := r.word(n, "stop", stops...)
			p.stop = model.Stop(word)
			return err
		}},
		field{"delay", func(n ast.Node) (err error) { p.delay, err = r.duration(n, "delay"); return err }},
		field{"chunk", func(n ast.Node) (err error) { p.chunk, err = r.int(n, "chunk", 1, 1<<20); return err }},
		field{"cut", func(n ast.Node) (err error) { p.cut, err = r.int(n, "cut", 0, 1<<30); return err }},
		field{"garbage", func(n ast.Node) (err error) { p.garbage, err = r.bool(n, "garbage"); return err }},
		field{"hang", func(n ast.Node) (err error) { p.hang, err = r.bool(n, "hang"); return err }},
	)
	if err != nil {
		return nil, err
	}
	faults := 0
	for _, set := range []bool{p.cut >= 0, p.garbage, p.hang} {
		if set {
			faults++
		}
	}
	switch {
	case faults > 1:
		return nil, r.errorf(n, "cut, garbage and hang exclude each other")
	case p.json != nil && p.text != nil:
		return nil, r.errorf(n, "a reply has text: or json:, not both")
	case p.text == nil && p.json == nil && p.reasoning == nil && len(p.calls) == 0 && faults == 0 && p.stop == "":
		return nil, r.errorf(n, "the reply says nothing; give it text:, json: or calls:")
	}
	return p, nil
}

func (r *reader) calls(n ast.Node, p *reply, sc scope) error {
	items, err := r.sequence(n, "calls")
	if err != nil {
		return err
	}
	for _, item := range items {
		var c call
		err := r.fields(item, "a call",
			field{"name", func(n ast.Node) (err error) { c.name, err = r.text(n, "name"); return err }},
			field{"args", func(n ast.Node) error {
				v, err := r.value(n, "args", sc, 0)
				if err == nil && v.shape != 'o' {
					err = r.errorf(n, "args is a mapping of fields, not %s; use malformed: for other bytes", kind(n))
				}
				c.args = &v
				return err
			}},
			field{"malformed", func(n ast.Node) (err error) {
				c.broken = true
				c.malformed, err = r.template(n, "malformed", sc)
				if err == nil && len(c.malformed) == 0 {
					err = r.errorf(n, "malformed is empty; empty arguments count as {}")
				}
				return err
			}},
		)
		switch {
		case err != nil:
			return err
		case c.name == "":
			return r.errorf(item, "a call needs the name of its tool")
		case c.args != nil && c.broken:
			return r.errorf(item, "a call has args: or malformed:, not both")
		}
		p.calls = append(p.calls, c)
	}
	return nil
}

func (r *reader) usage(n ast.Node) (*model.Usage, error) {
	u := &model.Usage{}
	count := func(name string, to *int) field {
		return field{name, func(n ast.Node) (err error) { *to, err = r.int(n, name, 0, 1<<40); return err }}
	}
	err := r.fields(n, "usage", count("input", &u.Input), count("output", &u.Output),
		count("cache_read", &u.CacheRead), count("cache_write", &u.CacheWrite))
	if err == nil && u.CacheRead+u.CacheWrite > u.Input {
		err = r.errorf(n, "input counts the cached tokens too, so it is not smaller than they are")
	}
	return u, err
}
