package trigger

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

const (
	maxFiles     = 10_000 // that a glob may match
	maxNewFiles  = 100    // that one look may find; the rest is found by the next ones
	fileKeyBytes = 9      // of a hash
	fileKeySize  = fileKeyBytes * 4 / 3
)

// OpenFolder opens a folder of this machine for [Config].Folder. Links that lead out of it are not
// followed. Errors: not_found, denied, invalid for what is no folder.
func OpenFolder(_ context.Context, name string) (fs.FS, func() error, error) {
	root, err := os.OpenRoot(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, durable.Errorf(durable.CodeNotFound, "there is no folder %s", name)
	case errors.Is(err, fs.ErrPermission):
		return nil, nil, durable.Errorf(durable.CodeDenied, "the folder %s may not be read", name)
	case err != nil:
		return nil, nil, durable.Errorf(durable.CodeInvalid, "open the folder: %w", err)
	}
	return root.FS(), root.Close, nil
}

// fileCursor is what is known of the files of a folder, each as a short hash of its path, size and
// time of change. It is a blob, of which the state of a trigger holds the name.
type fileCursor struct {
	Known string `json:"known"` // that have been found; those that are gone are forgotten
	Maybe string `json:"maybe"` // that were new at the last look
}

// fileWatch looks at the files of a folder.
type fileWatch struct {
	files  *Files
	fs     fs.FS
	done   func() error
	known  map[string]bool
	maybe  map[string]bool
	first  bool   // nothing is known yet
	loaded []byte // the cursor as it was
	cursor json.RawMessage
}

func (p *program) openFiles(ctx context.Context, f *Files, cursor json.RawMessage) (*fileWatch, error) {
	if p.cfg.Folder == nil {
		return nil, lacks("look for files for a trigger")
	}
	w := &fileWatch{files: f, first: len(cursor) == 0, cursor: cursor}
	var c fileCursor
	if !w.first {
		var ref durable.Ref
		if err := json.Unmarshal(cursor, &ref); err != nil {
			return nil, durable.Errorf(durable.CodeInternal, "cursor of a trigger: %w", err)
		}
		var err error
		if w.loaded, err = durable.AttemptOf(ctx).Blobs.Get(ctx, ref); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(w.loaded, &c); err != nil {
			return nil, durable.Errorf(durable.CodeInternal, "cursor of a trigger: %w", err)
		}
	}
	w.known, w.maybe = setOf(c.Known), setOf(c.Maybe)
	var err error
	w.fs, w.done, err = p.cfg.Folder(ctx, f.Folder)
	return w, err
}

func (w *fileWatch) close() { _ = w.done() } // it was only read

func setOf(text string) map[string]bool {
	set := map[string]bool{}
	for len(text) >= fileKeySize {
		set[text[:fileKeySize]] = true
		text = text[fileKeySize:]
	}
	return set
}

// textOf is a set in one text, the same for the same set.
func textOf(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), "") }

// look finds the files that are new and were the same at the last look.
func (w *fileWatch) look() ([]File, error) {
	all, err := w.list()
	if err != nil {
		return nil, err
	}
	known, maybe := make(map[string]bool, len(all)), map[string]bool{}
	var found []File
	for _, f := range all {
		switch key := f.short(); {
		case w.known[key], w.first && !w.files.Existing:
			known[key] = true
		case w.maybe[key] && len(found) < maxNewFiles:
			known[key] = true
			found = append(found, f)
		default:
			maybe[key] = true
		}
	}
	w.known, w.maybe, w.first = known, maybe, false
	return found, nil
}

// short is a hash of the key of a file.
func (f *File) short() string {
	sum := sha256.Sum256([]byte(f.key()))
	return base64.RawURLEncoding.EncodeToString(sum[:fileKeyBytes])
}

// list lists the files that match, in the order of their paths.
func (w *fileWatch) list() ([]File, error) {
	glob := strings.Split(w.files.Glob, "/")
	deep := len(glob)
	if strings.Contains(w.files.Glob, "**") {
		deep = 0
	}
	var all []File
	err := fs.WalkDir(w.fs, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name != ".":
			return nil // it is gone since its folder was read
		case err != nil:
			return err
		case d.IsDir():
			if deep > 0 && name != "." && strings.Count(name, "/")+1 >= deep {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() || !matches(glob, strings.Split(name, "/")):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(all) == maxFiles {
			return invalid("the glob %s matches more than %d files: make it narrower, or move away what is done", w.files.Glob, maxFiles)
		}
		all = append(all, File{Path: name, Size: info.Size(), Changed: info.ModTime().UTC()})
		return nil
	})
	if err != nil && durable.CodeOf(err) != durable.CodeInvalid {
		return nil, durable.Errorf(durable.CodeUnavailable, "look into the folder %s: %w", w.files.Folder, err)
	}
	return all, err
}

// matches reports whether a path, part by part, is one that a glob means; ** stands for any number
// of parts.
func matches(glob, name []string) bool {
	for len(glob) > 0 {
		if glob[0] == "**" {
			for i := range len(name) + 1 {
				if matches(glob[1:], name[i:]) {
					return true
				}
			}
			return false
		}
		if len(name) == 0 {
			return false
		}
		if ok, err := path.Match(glob[0], name[0]); !ok || err != nil {
			return false
		}
		glob, name = glob[1:], name[1:]
	}
	return len(name) == 0
}

// save stores what is known by now and returns the cursor that names it.
func (w *fileWatch) save(ctx context.Context) (json.RawMessage, error) {
	data, err := json.Marshal(fileCursor{textOf(w.known), textOf(w.maybe)})
	if err != nil || string(data) == string(w.loaded) {
		return w.cursor, err
	}
	ref, err := durable.AttemptOf(ctx).Blobs.Put(ctx, data)
	if err != nil {
		return nil, err
	}
	return json.Marshal(ref)
}
