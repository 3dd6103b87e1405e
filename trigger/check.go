package trigger

import (
	"encoding/json"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/expr"
)

// Bounds of a definition.
const (
	minEvery  = time.Second
	minLook   = 100 * time.Millisecond
	maxEvents = 100     // names of one trigger
	maxQueue  = 10_000  // starts that wait
	maxInput  = 1 << 20 // bytes of Start.Input
	maxDeep   = 3       // times ** in a glob
	gapsSeen  = 50      // due times between which the shortest gap is looked for
)

var nameRule = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`) })

// Check says what is wrong with a definition: first in what it is, then in what it waits for, then in
// what it starts. Error: invalid, with the field and how to mend it.
func (d *Definition) Check() error {
	if err := d.check(); err != nil {
		return durable.Errorf(durable.CodeInvalid, "trigger %s: %w", d.Name, err)
	}
	return nil
}

func (d *Definition) check() error {
	switch {
	case !nameRule().MatchString(d.Name):
		return invalid("name: %q must be letters, digits, _, - and ., up to 128", d.Name)
	case !slices.Contains([]Overlap{"", Skip, Queue, Cancel, Allow}, d.Overlap):
		return invalid("overlap: %q is none; it takes skip, queue, cancel or allow", d.Overlap)
	case d.QueueMax < 0 || d.QueueMax > maxQueue:
		return invalid("queue_max: %d is not within 0 to %d", d.QueueMax, maxQueue)
	case d.CatchUp != nil && *d.CatchUp < 0:
		return invalid("catch_up: %s is negative; 0 catches up on nothing", *d.CatchUp)
	case d.Jitter < 0:
		return invalid("jitter: %s is negative", d.Jitter)
	case d.Jitter > 0 && !d.On.timed():
		return invalid("jitter: only a schedule has one")
	}
	if _, err := zoneOf(d.Timezone); err != nil {
		return invalid("timezone: %w", err)
	}
	if err := d.On.check(d); err != nil {
		return err
	}
	_, err := newSpaces().compile(d)
	return err
}

func invalid(format string, args ...any) error {
	return durable.Errorf(durable.CodeInvalid, format, args...)
}

// check looks at what a trigger waits for.
func (o *On) check(d *Definition) error {
	var has []string
	for _, one := range []struct {
		name string
		is   bool
	}{
		{"cron", o.Cron != nil},
		{"every", o.Every != 0},
		{"at", !o.At.IsZero()},
		{"event", o.Event != nil},
		{"webhook", o.Webhook != nil},
		{"files", o.Files != nil},
		{"run", o.Run != nil},
		{"poll", o.Poll != nil},
	} {
		if one.is {
			has = append(has, one.name)
		}
	}
	if len(has) != 1 {
		return invalid("on: exactly one of cron, every, at, event, webhook, files, run and poll is meant; it has %s", orNone(has))
	}
	if every := o.every(); every != 0 && every < minLook {
		return invalid("on.%s.every: %s is less than %s", has[0], every, minLook)
	}
	switch {
	case o.timed():
		return o.checkTime(d)
	case o.Event != nil:
		return o.Event.check()
	case o.Webhook != nil:
		return o.Webhook.check()
	case o.Files != nil:
		return o.Files.check()
	case o.Run != nil:
		return o.Run.check()
	}
	if !json.Valid(o.Poll.Config) {
		return invalid("on.poll: config says what is asked; it is missing")
	}
	return nil
}

func (o *On) checkTime(d *Definition) error {
	if o.Every != 0 && o.Every < minEvery {
		return invalid("on.every: %s is less than %s", o.Every, minEvery)
	}
	times, err := newTimes(d, time.Time{})
	if err != nil {
		return err
	}
	if o.Cron == nil {
		if o.Every != 0 && d.Jitter >= o.Every {
			return invalid("jitter: %s must be less than the interval, %s", d.Jitter, o.Every)
		}
		return nil
	}
	// The answer does not depend on when it is asked: some years hold every kind of day.
	last, ok := times.next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if !ok {
		return invalid("on.cron: %q never fires: no day within %d years is the day, month and day of week that it names", o.Cron.Expr, maxYears)
	}
	for range gapsSeen {
		next, ok := times.next(last)
		if !ok {
			return nil
		}
		if gap := next.Sub(last); d.Jitter >= gap {
			return invalid("jitter: %s must be less than the time between two due times, which may be %s", d.Jitter, gap)
		}
		last = next
	}
	return nil
}

func (e *Event) check() error {
	switch {
	case len(e.Names) == 0:
		return invalid("on.event: names says which events; it is missing")
	case len(e.Names) > maxEvents:
		return invalid("on.event: it has %d names, and %d are possible", len(e.Names), maxEvents)
	case slices.Contains(e.Names, ""):
		return invalid("on.event: a name is empty")
	case e.Within < 0:
		return invalid("on.event.within: %s is negative", e.Within)
	}
	return nil
}

func (w *Webhook) check() error {
	if w.Secret == "" {
		return invalid("on.webhook: secret is the name of the secret that requests are signed with; it is missing")
	}
	if !slices.Contains(schemes(), w.scheme()) {
		return invalid("on.webhook.scheme: %q is none; there are %s", w.Scheme, orNone(schemes()))
	}
	return nil
}

func (f *Files) check() error {
	switch {
	case f.Folder == "":
		return invalid("on.files: folder is missing")
	case f.Glob == "":
		return invalid("on.files: glob says which files; it is missing, as in **/*.csv")
	case path.IsAbs(f.Glob) || slices.Contains(strings.Split(f.Glob, "/"), ".."):
		return invalid("on.files.glob: %q must stay below the folder", f.Glob)
	}
	if strings.Count(f.Glob, "**") > maxDeep {
		return invalid("on.files.glob: %q has more than %d times **", f.Glob, maxDeep)
	}
	for part := range strings.SplitSeq(f.Glob, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return invalid("on.files.glob: %q cannot be read: %w", f.Glob, err)
		}
	}
	return nil
}

func (r *RunEnd) check() error {
	if i := slices.IndexFunc(r.Statuses, func(s durable.Status) bool { return !s.Final() }); i >= 0 {
		return invalid("on.run.statuses: %q is no end of a run; there are succeeded, failed, canceled and killed", r.Statuses[i])
	}
	if r.Program == "" && r.Name == "" {
		return invalid("on.run: program or name says which runs; both are missing")
	}
	return nil
}

// words are what of a definition is computed.
type words struct {
	name, input *expr.Template
	condition   *expr.Expression // nil = always
}

// spaces are the variables that the expressions of a definition may use.
type spaces struct{ trigger, event *expr.Space }

func newSpaces() spaces {
	return spaces{trigger: expr.NewSpace("trigger"), event: expr.NewSpace("event")}
}

// compile reads the expressions of a definition.
func (in spaces) compile(d *Definition) (*words, error) {
	if d.Start.Program == "" {
		return nil, invalid("start: program is missing")
	}
	if len(d.Start.Input) > maxInput {
		return nil, invalid("start.input: it has %d bytes, and %d are possible", len(d.Start.Input), maxInput)
	}
	w := &words{}
	var err error
	if w.name, err = in.trigger.Text(d.Start.Name); err != nil {
		return nil, invalid("start.name: %w", err)
	}
	if len(d.Start.Input) > 0 {
		if w.input, err = in.trigger.Template(d.Start.Input); err != nil {
			return nil, invalid("start.input: %w", err)
		}
	}
	condition := ""
	switch {
	case d.On.Event != nil:
		condition = d.On.Event.If
	case d.On.Webhook != nil:
		condition = d.On.Webhook.If
	}
	if condition != "" {
		if w.condition, err = in.event.Condition(condition); err != nil {
			return nil, invalid("if: %w", err)
		}
	}
	return w, nil
}

func orNone[T ~string](list []T) string {
	if len(list) == 0 {
		return "none"
	}
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}
