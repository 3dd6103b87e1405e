package secret

import (
	"context"
	"regexp"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// Bounds of a value, in bytes. A shorter one stands in too many texts by chance to be taken
// out of them.
const (
	minBytes = 6
	maxBytes = 64 << 10
)

// Source is a place where secrets are kept.
type Source interface {
	// Lookup returns the value of a name; false when this source has none. It may read files.
	Lookup(ctx context.Context, name string) (value string, found bool, err error)
}

// Broker hands out the values of secrets. It is safe for concurrent use.
type Broker struct {
	sources []Source
	redact  *Redactor
}

// New makes a broker that asks the sources in this order.
func New(sources ...Source) *Broker {
	return &Broker{sources: sources, redact: &Redactor{}}
}

// Redactor returns what takes all values out again that this broker has handed out and
// will hand out.
func (b *Broker) Redactor() *Redactor { return b.redact }

const opening = "${secret:"

// maxShown is how much of a name that is none stands in an error, in bytes.
const maxShown = 40

var nameRule = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,127}$`) })

// Names lists the secrets that a text refers to, in the order of their first use, without
// looking any of them up. Error: invalid for a reference that cannot be read.
func Names(text string) ([]string, error) {
	var names []string
	seen := map[string]bool{}
	_, err := replace(text, func(name string) (string, error) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		return "", nil
	})
	return names, err
}

// Expand returns text with the values of all ${secret:NAME} in it. What a value holds is not
// expanded again. Errors: invalid for a reference that cannot be read or a value that is too
// short or too long to be guarded, not_found for a name that no source has, and those of the
// sources. No error holds a value.
func (b *Broker) Expand(ctx context.Context, text string) (string, error) {
	return replace(text, func(name string) (string, error) { return b.Value(ctx, name) })
}

// Value returns the value of one secret. Errors: as for [Broker.Expand].
func (b *Broker) Value(ctx context.Context, name string) (string, error) {
	if !nameRule().MatchString(name) {
		return "", durable.Errorf(durable.CodeInvalid, "%q is not the name of a secret: it begins with a letter or _ and has up to 128 letters, digits, _, . and -", tool.Clip(name, maxShown))
	}
	for _, s := range b.sources {
		value, found, err := s.Lookup(ctx, name)
		switch {
		case err != nil:
			return "", &durable.Error{Code: durable.CodeOf(err), Op: "secret " + name, Err: err}
		case !found:
			continue
		case len(value) < minBytes, len(value) > maxBytes:
			return "", durable.Errorf(durable.CodeInvalid, "secret %s has %d bytes; what is guarded has %d to %d", name, len(value), minBytes, maxBytes)
		}
		b.redact.Add(name, value)
		return value, nil
	}
	return "", durable.Errorf(durable.CodeNotFound, "there is no secret %s: set it in the store, allow it from the environment, or put a file of this name into the directory of secrets", name)
}

// replace puts what value returns in the place of each reference.
func replace(text string, value func(name string) (string, error)) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, opening)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !nameRule().MatchString(name) {
			return "", durable.Errorf(durable.CodeInvalid, "%q is not a reference to a secret; want ${secret:NAME}", opening+tool.Clip(name, maxShown))
		}
		v, err := value(name)
		if err != nil {
			return "", err
		}
		out.WriteString(v)
		text = after
	}
}
