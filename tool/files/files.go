// Package files lets agents work on the files of one folder: read, list, search, write and edit
// them. What is outside of the folder cannot be reached, neither by .. nor through a link (see
// [os.Root]).
//
// A declaration of [Kind] is one of the tools; [Declare] makes those of a folder. It may not reach
// files in any other way. On the line request -> run -> step -> journal -> event -> client it
// stands inside a step, behind tool.Registry.Dispatch.
package files

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Kind is the kind of declaration that [Maker] understands.
const Kind = "files"

// The tools of a folder, behind the name that it has.
const (
	Read   = "read"
	List   = "list"
	Search = "search"
	Write  = "write"
	Edit   = "edit"
)

// maxFile is the longest file that is read, searched or written, in bytes.
const maxFile = 4 << 20

// config is the Config of a declaration.
type config struct {
	Folder string `json:"folder"` // absolute
	Do     string `json:"do"`     // Read, List, Search, Write or Edit
}

// Declare makes the declarations of the tools of a folder: NAME/read, NAME/list and NAME/search,
// and NAME/write and NAME/edit where it may be written to.
func Declare(name, folder string, write bool) []tool.Declaration {
	does := []string{Read, List, Search}
	if write {
		does = append(does, Write, Edit)
	}
	list := make([]tool.Declaration, len(does))
	for i, do := range does {
		data, err := json.Marshal(config{Folder: folder, Do: do})
		if err != nil {
			panic(err) // two texts marshal
		}
		list[i] = tool.Declaration{Name: name + "/" + do, Kind: Kind, Config: data}
	}
	return list
}

// Maker makes the tools of folders. The same folder is opened once, when it is first needed. What lies
// in one of the hidden directories is not seen, whatever folder holds it.
func Maker(hidden ...string) tool.Maker {
	var mu sync.Mutex
	folders := map[string]*folder{}
	return func(d tool.Declaration) (tool.Tool, error) {
		var c config
		if err := json.Unmarshal(d.Config, &c); err != nil {
			return nil, durable.Errorf(durable.CodeInvalid, "tool %s: %w", d.Name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		f := folders[c.Folder]
		if f == nil {
			f = &folder{path: c.Folder, hidden: hidden}
			folders[c.Folder] = f
		}
		return f.tool(d.Name, c.Do)
	}
}

// folder is one whose files are worked on.
type folder struct {
	path   string
	hidden []string

	mu   sync.Mutex
	root *root // nil until it is needed
}

// open returns the root of the folder. Error: unavailable when it is not there.
func (f *folder) open() (*root, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.root != nil {
		return f.root, nil
	}
	opened, err := openRoot(f.path, f.hidden)
	if err != nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "the folder of the files: %w", err)
	}
	f.root = opened
	return opened, nil
}

// tool makes one of the tools of the folder.
func (f *folder) tool(name, do string) (tool.Tool, error) {
	var t tool.Tool
	switch do {
	case Read:
		t = tool.Func(name, "Reads a text file, or some of its lines.", f.read, tool.Read)
	case List:
		t = tool.Func(name, "Lists the files of a folder, with their sizes in bytes.", f.list, tool.Read)
	case Search:
		t = tool.Func(name, "Finds the lines of files in which a text or a regular expression stands.", f.search, tool.Read)
	case Write:
		t = tool.Func(name, "Writes a file, in place of what it was. Folders are made as needed.", f.write, tool.Idempotent)
	case Edit:
		t = tool.Func(name, "Replaces a text in a file by another. The text must stand in it once.", f.edit, tool.Idempotent)
	default:
		return nil, durable.Errorf(durable.CodeInvalid, "tool %s: there is no %q: say %s, %s, %s, %s or %s", name, do, Read, List, Search, Write, Edit)
	}
	private := tool.Flow{Private: true}
	return tool.Ordered(t, tool.Orders{Flow: &private, Subject: &tool.Subject{Arg: "path", Kind: tool.PathSubject}})
}

// clean is a path in its shortest form; that of the folder itself is ".".
func clean(name string) string {
	if name == "" {
		return "."
	}
	return path.Clean(name)
}

// text reads a file. The error is one that a model understands.
func text(root *root, name string) (string, error) {
	if err := root.seen(clean(name)); err != nil {
		return "", err
	}
	// A pipe that nobody writes to would hold up who opens it.
	f, err := root.OpenFile(clean(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", plain(err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", plain(err)
	case root.hides(opened(f)): // it was put there meanwhile
		return "", notThere(name)
	case info.IsDir():
		return "", fmt.Errorf("%s is a folder", name)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no file, but a %s", name, info.Mode().Type())
	case info.Size() > maxFile:
		return "", fmt.Errorf("%s has %d bytes: up to %d are read; search it instead", name, info.Size(), maxFile)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", plain(err)
	case len(data) > maxFile:
		return "", fmt.Errorf("%s grew beyond %d bytes while it was read", name, maxFile)
	case binary(data):
		return "", fmt.Errorf("%s is no text: it has %d bytes, and some of them are no characters", name, len(data))
	}
	return string(data), nil
}

// binary reports whether data is no text.
func binary(data []byte) bool {
	return !utf8.Valid(data) || slices.Contains(data, 0)
}

// plain is an error without the words of the system that only say which call failed.
func plain(err error) error {
	var where string
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		where, err = pe.Path, pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no %s", where)
	case err.Error() == "path escapes from parent":
		return fmt.Errorf("%s leads out of the folder", where)
	}
	return fmt.Errorf("%s: %w", where, err)
}
