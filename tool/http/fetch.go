package http

import (
	"context"
	nethttp "net/http"
	"net/url"
	"strings"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool"
)

// FetchName is the name of the tool that Fetch makes.
const FetchName = "http_fetch"

type fetchInput struct {
	URL string `json:"url" jsonschema:"the http or https URL to read"`
}

// Fetch returns the tool http_fetch, effect read: it reads a URL and returns its text. Of a
// page of HTML that is what a person would read; JSON and other texts are returned as they
// are, and of anything else what it is. A redirect to another host is told and not followed, as
// policies speak of the host that was asked for. What it returns is untrusted, and what it is told
// leaves the house.
func (t *Tools) Fetch() tool.Tool {
	f := tool.Func(FetchName, "Reads a page or a file of the web by its URL and returns its text.", t.fetch, tool.Read, tool.Timeout(2*t.cfg.Timeout))
	return fetcher{f}
}

type fetcher struct{ tool.Tool }

// Spec implements tool.Tool.
func (f fetcher) Spec() tool.Spec {
	spec := f.Tool.Spec()
	spec.Flow = tool.Flow{Untrusted: true, Egress: true}
	return spec
}

func (t *Tools) fetch(ctx context.Context, in fetchInput) (string, error) {
	u, err := url.Parse(strings.TrimSpace(in.URL))
	if err != nil {
		return "", durable.Errorf(durable.CodeInvalid, "%q is not a URL", tool.Clip(in.URL, 120))
	}
	if err := t.cfg.Guard.Check(u); err != nil {
		return "", err
	}
	u.Fragment = ""
	req, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodGet, u.String(), nil)
	if err != nil {
		return "", durable.Errorf(durable.CodeInvalid, "%q is not a URL", tool.Clip(in.URL, 120))
	}
	req.Header.Set("Accept", "text/html, text/plain;q=0.9, application/json;q=0.9, */*;q=0.5")
	req.Header.Set("User-Agent", t.cfg.Agent)
	resp, err := t.homely().Do(req)
	if err != nil {
		return "", t.failure(ctx, request{method: nethttp.MethodGet, url: u}, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	if to, err := resp.Location(); err == nil && resp.StatusCode/100 == 3 {
		return "", durable.Errorf(durable.CodeInvalid, "it has moved to another host: fetch %s", tool.Clip(to.String(), 2000))
	}
	if resp.StatusCode/100 != 2 || !isHTML(resp.Header.Get("Content-Type")) {
		result, err := t.answer(ctx, resp, t.cfg.MaxBytes)
		if err == nil && result.Error {
			err = durable.Errorf(durable.CodeInvalid, "%s", result.Content)
		}
		return result.Content, err
	}
	page, err := t.text(ctx, resp, t.cfg.MaxBytes, "")
	if err != nil {
		return "", err
	}
	return readable(page, resp.Request.URL), nil
}

// homely is a client that follows redirects within a host.
func (t *Tools) homely() *nethttp.Client {
	client := *t.client
	client.CheckRedirect = func(next *nethttp.Request, via []*nethttp.Request) error {
		if !sameHost(via[0].URL, next.URL) {
			return nethttp.ErrUseLastResponse
		}
		return t.client.CheckRedirect(next, via)
	}
	return &client
}

// sameHost reports whether a URL is on the host of another, or is the same made secure.
func sameHost(from, to *url.URL) bool {
	usual := func(u *url.URL) bool {
		port := u.Port()
		return port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443"
	}
	same := from.Port() == to.Port() && from.Scheme == to.Scheme
	secured := to.Scheme == "https" || from.Scheme == to.Scheme
	return strings.EqualFold(from.Hostname(), to.Hostname()) && (same || usual(from) && usual(to) && secured)
}

func isHTML(contentType string) bool {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	kind = strings.TrimSpace(kind)
	return kind == "text/html" || kind == "application/xhtml+xml"
}
