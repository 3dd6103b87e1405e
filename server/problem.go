package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/catalog"
	"github.com/orpine-run/orpine/suggest"
)

// statusOf is the HTTP status of a code.
func statusOf(code durable.Code) int {
	switch code {
	case durable.CodeInvalid:
		return http.StatusBadRequest
	case durable.CodeNotFound:
		return http.StatusNotFound
	case durable.CodeConflict, durable.CodeCanceled:
		return http.StatusConflict
	case durable.CodeDenied:
		return http.StatusForbidden
	case durable.CodeExhausted:
		return http.StatusTooManyRequests
	case durable.CodeUnavailable:
		return http.StatusServiceUnavailable
	case durable.CodeInternal:
	}
	return http.StatusInternalServerError
}

// codeOf is the code of an HTTP status that the framework chose.
func codeOf(status int) durable.Code {
	switch status {
	case http.StatusNotFound, http.StatusGone:
		return durable.CodeNotFound
	case http.StatusConflict, http.StatusPreconditionFailed:
		return durable.CodeConflict
	case http.StatusUnauthorized, http.StatusForbidden:
		return durable.CodeDenied
	case http.StatusTooManyRequests:
		return durable.CodeExhausted
	case http.StatusServiceUnavailable, http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return durable.CodeUnavailable
	}
	if status >= http.StatusInternalServerError {
		return durable.CodeInternal
	}
	return durable.CodeInvalid
}

// problem is what a client is told of an error. What is inside the server stays there, under
// the ID of the request in its log.
type problem struct {
	client.Problem
}

// GetStatus implements huma.StatusError.
func (p *problem) GetStatus() int { return p.Status }

// Error implements error.
func (p *problem) Error() string { return p.Detail }

// ContentType implements huma.ContentTypeFilter.
func (*problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError: what may pass is worth another try.
func (p *problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	return h
}

// problemOf turns an error of the façade into what the client is told.
func (s *Server) problemOf(ctx context.Context, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		p.Request = requestID(ctx)
		return p
	}
	if c, ok := errors.AsType[*catalog.Changed](err); ok {
		err = problemWith(http.StatusPreconditionFailed, durable.CodeConflict, "%s: its ETag is %s now", c.Error(), etag(c.Version))
		return s.problemOf(ctx, err)
	}
	code := durable.CodeOf(err)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		code = durable.CodeUnavailable
	}
	status := statusOf(code)
	p := &problem{Problem: client.Problem{Title: http.StatusText(status), Status: status, Detail: err.Error(), Code: code, Request: requestID(ctx)}}
	if f, ok := errors.AsType[*durable.Failure](err); ok {
		p.Reason = f.Reason
	}
	if code == durable.CodeInternal {
		s.log.ErrorContext(ctx, "a request failed", slog.String("request", p.Request), slog.Any("error", err))
		p.Detail = "something is wrong inside the server; its log has the details under this request"
	}
	return p
}

// refuse writes a problem where no handler of the framework does.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := s.problemOf(r.Context(), err)
	w.Header().Set("Content-Type", "application/problem+json")
	maps.Copy(w.Header(), p.GetHeaders())
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p.Problem) // a client that left needs no answer
}

// problemWith is a problem with a status of HTTP that no code of ours has alone.
func problemWith(status int, code durable.Code, format string, args ...any) *problem {
	return &problem{Problem: client.Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: fmt.Sprintf(format, args...)}}
}

// unauthorized is what one is told who may come back with a token.
func unauthorized(detail string) *problem {
	return problemWith(http.StatusUnauthorized, durable.CodeDenied, "%s", detail)
}

// mend turns the problems of the framework, which are about the form of a request, into ours.
func mend(ctx huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	p := &problem{Problem: client.Problem{Title: m.Title, Status: m.Status, Detail: m.Detail, Code: codeOf(m.Status), Request: requestID(ctx.Context())}}
	if p.Code == durable.CodeInternal {
		p.Detail = "something is wrong inside the server"
		return p, nil
	}
	for _, e := range m.Errors {
		f := client.Fault{Message: e.Message, Location: e.Location}
		if known := knownAt(ctx.Operation(), e.Location); e.Message == "unexpected property" && len(known) > 0 {
			name := e.Location[strings.LastIndex(e.Location, ".")+1:]
			f.Message, f.Hint = "unknown field "+name, suggest.Name(name, known, "known fields")
		}
		p.Errors = append(p.Errors, f)
	}
	if len(p.Errors) > 0 {
		p.Detail = strings.TrimSpace(p.Detail + ": " + told(p.Errors[0]))
	}
	return p, nil
}

func told(f client.Fault) string {
	text := f.Message
	if f.Location != "" {
		text = f.Location + ": " + text
	}
	if f.Hint != "" {
		text += "; " + f.Hint
	}
	return text
}
