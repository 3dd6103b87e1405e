package secret

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// Environment is a source of the variables with these very names, and no others. lookup is
// os.LookupEnv in a program.
func Environment(lookup func(name string) (string, bool), allowed ...string) Source {
	return environment{lookup, slices.Clone(allowed)}
}

type environment struct {
	lookup  func(string) (string, bool)
	allowed []string
}

// Lookup implements Source.
func (e environment) Lookup(_ context.Context, name string) (string, bool, error) {
	if !slices.Contains(e.allowed, name) {
		return "", false, nil
	}
	value, found := e.lookup(name)
	return value, found && value != "", nil
}

// Directory is a source with one file a secret: its name is that of the secret, its content
// the value, without the end of its last line. Symbolic links may not lead out of the
// directory. A file that others than its owner and group can read, or others than its owner
// can write, is denied.
func Directory(path string) Source { return directory(path) }

type directory string

// Lookup implements Source.
func (d directory) Lookup(_ context.Context, name string) (string, bool, error) {
	root, err := os.OpenRoot(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, durable.Errorf(durable.CodeUnavailable, "open the directory of secrets: %w", err)
	}
	defer root.Close() //nolint:errcheck // it was only read
	data, err := readGuarded(root.Open, name, 0o027)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	return value, true, nil
}

// readGuarded reads a regular file that has none of the forbidden bits of its mode.
func readGuarded(open func(string) (*os.File, error), name string, forbidden fs.FileMode) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case !mode.IsRegular():
		return nil, durable.Errorf(durable.CodeInvalid, "%s is not a regular file", name)
	case mode.Perm()&forbidden != 0:
		return nil, durable.Errorf(durable.CodeDenied, "%s has the mode %04o, so others can get at it: chmod 600 it", name, mode.Perm())
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+3)) // and the end of a line
	if err != nil {
		return nil, durable.Errorf(durable.CodeUnavailable, "read %s: %w", name, err)
	}
	return data, nil
}
