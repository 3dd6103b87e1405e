package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"github.com/orpine-run/orpine/tool"
)

// Bounds of what is listed and found.
const (
	maxListed = 1000
	maxFound  = 200
	maxLine   = 300 // bytes of a line that is shown
	maxVisits = 100_000
)

type readArgs struct {
	Path  string `json:"path" jsonschema:"the file, from the folder"`
	From  int    `json:"from,omitempty" jsonschema:"the first line, from 1; default the first"`
	Lines int    `json:"lines,omitempty" jsonschema:"how many lines; default all"`
}

func (f *folder) read(_ context.Context, in readArgs) (string, error) {
	root, err := f.open()
	if err != nil {
		return "", err
	}
	all, err := text(root, in.Path)
	if err != nil || in.From <= 1 && in.Lines <= 0 {
		return all, err
	}
	lines := strings.SplitAfter(all, "\n")
	from := max(in.From, 1)
	if from > len(lines) {
		return "", fmt.Errorf("%s has %d lines", in.Path, len(lines))
	}
	lines = lines[from-1:]
	if in.Lines > 0 {
		lines = lines[:min(in.Lines, len(lines))]
	}
	return strings.Join(lines, ""), nil
}

type listArgs struct {
	Path  string `json:"path,omitempty" jsonschema:"the folder, from the folder; default itself"`
	Depth int    `json:"depth,omitempty" jsonschema:"how deep; default 1, what stands in it"`
}

func (f *folder) list(ctx context.Context, in listArgs) (string, error) {
	root, err := f.open()
	if err != nil {
		return "", err
	}
	top := clean(in.Path)
	var b strings.Builder
	n := 0
	err = walk(ctx, root, top, max(in.Depth, 1), func(name string, d fs.DirEntry) error {
		if n++; n > maxListed {
			return fs.SkipAll
		}
		if d.IsDir() {
			fmt.Fprintf(&b, "%s/\n", name)
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // it was removed meanwhile
		}
		fmt.Fprintf(&b, "%s %d\n", name, info.Size())
		return nil
	})
	if err != nil {
		return "", err
	}
	if n > maxListed {
		fmt.Fprintf(&b, "[There is more: these are %d. List a folder beneath.]\n", maxListed)
	}
	if n == 0 {
		return "It is empty.", nil
	}
	return b.String(), nil
}

// walk visits what stands in a folder, in the order of the names. What is hidden in .git is not.
func walk(ctx context.Context, root *root, top string, depth int, visit func(name string, d fs.DirEntry) error) error {
	visits := 0
	if err := root.seen(top); err != nil {
		return err
	}
	err := fs.WalkDir(root.FS(), top, func(name string, d fs.DirEntry, err error) error {
		visits++
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil && name == top:
			return plain(err)
		case err != nil || name == top:
			return nil //nolint:nilerr // one that cannot be read hides no other
		case d.IsDir() && root.seen(name) != nil:
			return fs.SkipDir
		case visits > maxVisits:
			return fmt.Errorf("there are more than %d files: name a folder beneath", maxVisits)
		}
		if err := visit(name, d); err != nil {
			return err
		}
		below := strings.Count(strings.TrimPrefix(name, top+"/"), "/") + 1
		if d.IsDir() && (d.Name() == ".git" || depth > 0 && below >= depth) {
			return fs.SkipDir
		}
		return nil
	})
	if errors.Is(err, fs.SkipAll) {
		return nil
	}
	return err
}

type searchArgs struct {
	Text   string `json:"text" jsonschema:"what is looked for"`
	Regexp bool   `json:"regexp,omitempty" jsonschema:"text is a regular expression (RE2)"`
	Path   string `json:"path,omitempty" jsonschema:"a folder or a file, from the folder; default all"`
	Files  string `json:"files,omitempty" jsonschema:"only files whose name matches, such as *.go"`
}

func (f *folder) search(ctx context.Context, in searchArgs) (string, error) {
	root, err := f.open()
	if err != nil {
		return "", err
	}
	pattern := in.Text
	if !in.Regexp {
		pattern = regexp.QuoteMeta(pattern)
	}
	want, err := regexp.Compile(pattern)
	if err != nil {
		return "", err
	}
	if in.Text == "" {
		return "", errors.New("text is empty")
	}
	if _, err := path.Match(in.Files, ""); err != nil {
		return "", fmt.Errorf("files %q is no pattern of names", in.Files)
	}
	s := &search{root: root, want: want}
	top := clean(in.Path)
	if info, err := root.Stat(top); err != nil {
		return "", plain(err)
	} else if !info.IsDir() {
		s.file(top)
		return s.found(), nil
	}
	err = walk(ctx, root, top, 0, func(name string, d fs.DirEntry) error {
		if ok, _ := path.Match(in.Files, d.Name()); !d.Type().IsRegular() || in.Files != "" && !ok {
			return nil
		}
		s.file(name)
		if s.n > maxFound {
			return fs.SkipAll
		}
		return nil
	})
	return s.found(), err
}

// search goes through files.
type search struct {
	root *root
	want *regexp.Regexp
	b    strings.Builder
	n    int
}

// file looks through one. What cannot be read, or is no text, is passed over.
func (s *search) file(name string) {
	all, err := text(s.root, name)
	if err != nil || !s.want.MatchString(all) {
		return
	}
	number := 0
	for line := range strings.Lines(all) {
		number++
		if !s.want.MatchString(line) {
			continue
		}
		if s.n++; s.n > maxFound {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		fmt.Fprintf(&s.b, "%s:%d: %s\n", name, number, tool.Clip(line, maxLine))
	}
}

func (s *search) found() string {
	switch {
	case s.n == 0:
		return "Nothing was found."
	case s.n > maxFound:
		fmt.Fprintf(&s.b, "[There is more: these are %d lines. Look for something rarer, or in one folder.]\n", maxFound)
	}
	return s.b.String()
}
