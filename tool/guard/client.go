package guard

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/orpine-run/orpine/durable"
)

// Transport returns a round tripper whose every request is checked and whose every
// connection is dialed by the guard, such as for webhook.Config. It does not follow
// redirects itself; a client over it that does is checked again at each hop.
func (g *Guard) Transport() http.RoundTripper {
	return &transport{guard: g, next: &http.Transport{
		Proxy:                  nil, // one of the environment would resolve names behind the guard's back
		DialContext:            g.Dial,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        time.Minute,
		TLSHandshakeTimeout:    10 * time.Second,
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 256 << 10,
	}}
}

type transport struct {
	guard *Guard
	next  *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.guard.Check(r.URL); err != nil {
		if r.Body != nil {
			_ = r.Body.Close() // as the contract of a RoundTripper asks
		}
		return nil, err
	}
	return t.next.RoundTrip(r)
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach the connections.
func (t *transport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// Client returns a client over a transport of its own that follows as many redirects as the
// guard allows. timeout bounds a whole request with its body; 0 = the context of the request
// alone does. Where a redirect leaves the origin, only headers that say what is accepted go
// along, and no body: such a redirect is denied. No hop sends a Referer. What it returns as
// an error is a *url.Error whose text holds the URL: [Cause] takes it off.
func (g *Guard) Client(timeout time.Duration) *http.Client {
	return &http.Client{Transport: g.Transport(), Timeout: timeout, CheckRedirect: g.redirect}
}

func (g *Guard) redirect(next *http.Request, via []*http.Request) error {
	if len(via) > max(g.redirects, 0) {
		return durable.Errorf(durable.CodeDenied, "it redirects more than %d times", max(g.redirects, 0))
	}
	next.Header.Del("Referer") // the URL before may hold a key
	left := false              // once away from the origin, nothing comes back to it
	for _, r := range append(slices.Clone(via[1:]), next) {
		left = left || origin(r.URL) != origin(via[0].URL)
	}
	if !left {
		return nil
	}
	if next.Body != nil && next.Body != http.NoBody {
		return durable.Errorf(durable.CodeDenied, "it redirects a request with a body to another host")
	}
	for name := range next.Header {
		if !slices.Contains([]string{"Accept", "Accept-Language", "Accept-Encoding", "User-Agent"}, name) {
			next.Header.Del(name)
		}
	}
	return nil
}

func origin(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return u.Scheme + "://" + strings.ToLower(u.Hostname()) + ":" + port
}

// Cause is what went wrong in an error of a client, without the URL, in which a key may stand.
func Cause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}
