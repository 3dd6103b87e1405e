package http

import (
	"context"
	"errors"
	"io"
	"maps"
	nethttp "net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
	"github.com/orpine-run/orpine/tool/guard"
)

// request is what a template or an operation makes of its arguments; secrets are not in it.
type request struct {
	method string
	url    *url.URL
	header nethttp.Header
	body   string
	keyed  bool // it carries the idempotency key of its step
}

// send makes the request and turns the answer into a result.
func (t *Tools) send(ctx context.Context, r request, auth *Auth, limit int64) (tool.Result, error) {
	req, err := nethttp.NewRequestWithContext(ctx, r.method, r.url.String(), strings.NewReader(r.body))
	if err != nil {
		return tool.Result{}, durable.Errorf(durable.CodeInvalid, "the request cannot be made")
	}
	if r.body == "" {
		req.Body, req.GetBody, req.ContentLength = nil, nil, 0
	}
	maps.Copy(req.Header, r.header)
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", t.cfg.Agent)
	}
	if a := durable.AttemptOf(ctx); a != nil && r.keyed && a.Key != "" {
		req.Header.Set("Idempotency-Key", a.Key)
	}
	if err := auth.apply(ctx, req, t.cfg.Expand); err != nil {
		return tool.Result{}, err
	}
	resp, err := t.client.Do(req)
	if err != nil {
		return tool.Result{}, t.failure(ctx, r, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	return t.answer(ctx, resp, limit)
}

// failure is the error of a request that got no answer. Its text holds no URL: a key may
// stand in it.
func (t *Tools) failure(ctx context.Context, r request, err error) error {
	timedOut := errors.Is(err, context.DeadlineExceeded)
	err = guard.Cause(err)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e, ok := errors.AsType[*durable.Error](err); ok && e.Code != durable.CodeUnavailable {
		return &durable.Error{Code: e.Code, Err: errors.New(t.cfg.Redact(e.Error()))}
	}
	what := t.cfg.Redact(err.Error())
	if timedOut {
		what = "there was no answer in time"
	}
	if effectOf(r.method) == durable.Irreversible {
		what += "; whether the request was carried out is not known"
	}
	return durable.Errorf(durable.CodeUnavailable, "%s %s: %s", r.method, r.url.Host, what)
}

// readSome reads at most limit bytes and says whether there was more.
func readSome(body io.Reader, limit int64) ([]byte, bool, error) {
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if int64(len(data)) > limit {
		return data[:limit], true, nil
	}
	return data, false, err
}

// checkHeaders refuses headers that are not the author's to set, or hold a secret.
func checkHeaders(headers map[string]string) error {
	for name, value := range headers {
		if err := checkHeader(name, value); err != nil {
			return err
		}
		if strings.Contains(value, "${secret:") {
			return durable.Errorf(durable.CodeInvalid, "header %s holds a secret: put it under auth", name)
		}
	}
	return nil
}

// reservedHeaders belong to the transport, or to this package.
func reservedHeaders() []string {
	return []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer", "Proxy-Authorization", "Idempotency-Key", "Expect"}
}

func checkHeader(name, value string) error {
	if name == "" || strings.ContainsFunc(name, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	}) {
		return durable.Errorf(durable.CodeInvalid, "%q is not the name of a header", tool.Clip(name, 60))
	}
	if slices.Contains(reservedHeaders(), nethttp.CanonicalHeaderKey(name)) {
		return durable.Errorf(durable.CodeInvalid, "the header %s is not for a tool to set", name)
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return durable.Errorf(durable.CodeInvalid, "the value of the header %s has a control character", name)
	}
	return nil
}

// parseBase reads a URL that requests are made under.
func parseBase(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return nil, durable.Errorf(durable.CodeInvalid, "%q is not an http or https URL", tool.Clip(text, 120))
	case u.User != nil:
		return nil, durable.Errorf(durable.CodeInvalid, "a URL may not hold a password: put it under auth")
	case strings.Contains(text, "${secret:"):
		return nil, durable.Errorf(durable.CodeInvalid, "a URL may not hold a secret: put it under auth")
	}
	return u, nil
}
