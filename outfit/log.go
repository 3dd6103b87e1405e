package outfit

import (
	"context"
	"log/slog"
)

// quiet takes secrets out of what is logged: servers say what they were told, also when they die.
type quiet struct {
	slog.Handler
	redact func(string) string
}

// hushed is a log without secrets; nil when there is none.
func hushed(log *slog.Logger, redact func(string) string) *slog.Logger {
	if log == nil {
		return nil
	}
	return slog.New(quiet{log.Handler(), redact})
}

// Handle implements slog.Handler.
func (q quiet) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time, r.Level, q.redact(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(q.attr(a))
		return true
	})
	return q.Handler.Handle(ctx, clean)
}

// attr keeps what cannot hold a text as it is.
func (q quiet) attr(a slog.Attr) slog.Attr {
	a.Value = a.Value.Resolve()
	switch a.Value.Kind() {
	case slog.KindString, slog.KindAny:
		text := a.Value.String()
		if clean := q.redact(text); clean != text {
			a.Value = slog.StringValue(clean)
		}
	case slog.KindGroup:
		parts := make([]slog.Attr, len(a.Value.Group()))
		for i, part := range a.Value.Group() {
			parts[i] = q.attr(part)
		}
		a.Value = slog.GroupValue(parts...)
	case slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindInt64, slog.KindTime, slog.KindUint64, slog.KindLogValuer:
	}
	return a
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = q.attr(a)
	}
	return quiet{q.Handler.WithAttrs(clean), q.redact}
}

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name), q.redact} }
