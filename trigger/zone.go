package trigger

import (
	_ "embed"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/suggest"
)

// zoneNames are the names of the IANA database, one a line, to say what was meant.
//
//go:embed zones.txt
var zoneNames string

// maxZone is the length of a name that is looked for among the others.
const maxZone = 64

// zoneOf finds a time zone; "" = UTC. Error: invalid. "Local" is no zone: what it means is not the
// same everywhere.
func zoneOf(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	zone, err := time.LoadLocation(name)
	if err == nil && name != "Local" {
		return zone, nil
	}
	if len(name) > maxZone {
		return nil, durable.Errorf(durable.CodeInvalid, "a time zone has a name of up to %d letters, not %d", maxZone, len(name))
	}
	if near := nearest(name, strings.Fields(zoneNames)); near != "" {
		return nil, durable.Errorf(durable.CodeInvalid, "there is no time zone %q; did you mean %s?", name, near)
	}
	return nil, durable.Errorf(durable.CodeInvalid, "there is no time zone %q; it takes a name of the IANA database, such as Europe/Berlin or UTC", name)
}

// nearest is the name that is most like another: the same but for the case of letters, the same
// city, or with a few letters changed. "" = none is.
func nearest(name string, known []string) string {
	lower := strings.ToLower(strings.ReplaceAll(name, " ", "_"))
	best, least := "", len(lower)/3+1
	for _, k := range known {
		there := strings.ToLower(k)
		if there == lower || len(lower) > 3 && strings.HasSuffix(there, "/"+lower) {
			return k
		}
		if d := suggest.Distance(lower, there); d < least {
			best, least = k, d
		}
	}
	return best
}
