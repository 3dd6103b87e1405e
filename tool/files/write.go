package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

type writeArgs struct {
	Path    string `json:"path" jsonschema:"the file, from the folder"`
	Content string `json:"content" jsonschema:"all of what it is to hold"`
}

func (f *folder) write(ctx context.Context, in writeArgs) (string, error) {
	root, err := f.open()
	if err != nil {
		return "", err
	}
	if err := put(ctx, root, in.Path, in.Content); err != nil {
		return "", err
	}
	return fmt.Sprintf("wrote %d bytes to %s", len(in.Content), clean(in.Path)), nil
}

type editArgs struct {
	Path string `json:"path" jsonschema:"the file, from the folder"`
	Old  string `json:"old" jsonschema:"the text to replace, with enough around it that it stands in the file once"`
	New  string `json:"new" jsonschema:"what stands there then"`
}

// edit replaces a text. Where the new one stands in place of the old already, as after a step that
// is done again, there is nothing to do.
func (f *folder) edit(ctx context.Context, in editArgs) (string, error) {
	root, err := f.open()
	if err != nil {
		return "", err
	}
	was, err := text(root, in.Path)
	if err != nil {
		return "", err
	}
	switch n := strings.Count(was, in.Old); {
	case in.Old == "":
		return "", errors.New("old is empty: write the file instead")
	case in.Old == in.New:
		return "", errors.New("old and new are the same")
	case n == 0 && in.New != "" && strings.Count(was, in.New) == 1:
		return clean(in.Path) + " says so already", nil
	case n == 0:
		return "", fmt.Errorf("old does not stand in %s: read it again, every character counts", in.Path)
	case n > 1:
		return "", fmt.Errorf("old stands in %s %d times: take more of what is around it", in.Path, n)
	}
	if err := put(ctx, root, in.Path, strings.Replace(was, in.Old, in.New, 1)); err != nil {
		return "", err
	}
	return "changed " + clean(in.Path), nil
}

// put writes a file so that others see the old one or the new one, and nothing between.
func put(ctx context.Context, root *root, name, content string) error {
	name = clean(name)
	if err := root.seen(name); err != nil {
		return err
	}
	if len(content) > maxFile {
		return fmt.Errorf("%d bytes are too many: up to %d are written", len(content), maxFile)
	}
	mode := fs.FileMode(0o644)
	switch info, err := root.Stat(name); {
	case err == nil && info.IsDir():
		return fmt.Errorf("%s is a folder", name)
	case err == nil && !info.Mode().IsRegular():
		return fmt.Errorf("%s is no file, but a %s", name, info.Mode().Type())
	case err == nil:
		mode = info.Mode().Perm()
	case !errors.Is(err, fs.ErrNotExist):
		return plain(err)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return plain(err)
	}
	beside := name + ".orpine-" + marker(ctx)
	if err := root.WriteFile(beside, []byte(content), mode); err != nil {
		return errors.Join(plain(err), remove(root, beside))
	}
	if err := root.Rename(beside, name); err != nil {
		return errors.Join(plain(err), remove(root, beside))
	}
	return nil
}

// marker tells the file that an attempt writes from those of others, so that an attempt that is
// made again writes over what it left behind.
func marker(ctx context.Context) string {
	key := "none"
	if a := durable.AttemptOf(ctx); a != nil {
		key = a.Key
	}
	return durable.RefOf([]byte(key)).Hash[:12]
}

func remove(root *root, name string) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return plain(err)
	}
	return nil
}
