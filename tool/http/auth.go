package http

import (
	"context"
	"maps"
	nethttp "net/http"
	"slices"
	"strings"

	"github.com/orpine-run/orpine/durable"
)

// Auth says how a request proves who it is from; one of its fields is set. Tokens, passwords
// and values hold references such as ${secret:NAME}, never a secret itself, for a declaration
// is journaled.
type Auth struct {
	Bearer string            `json:"bearer,omitempty"`
	Basic  *Basic            `json:"basic,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Query  map[string]string `json:"query,omitempty"`
}

// Basic is a user with a password, RFC 7617.
type Basic struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

func (a *Auth) check() error {
	if a == nil {
		return nil
	}
	ways, texts := 0, []string{}
	if a.Bearer != "" {
		ways, texts = ways+1, append(texts, a.Bearer)
	}
	if a.Basic != nil {
		ways, texts = ways+1, append(texts, a.Basic.Password)
	}
	for _, m := range []map[string]string{a.Header, a.Query} {
		if len(m) > 0 {
			ways, texts = ways+1, slices.AppendSeq(texts, maps.Values(m))
		}
	}
	if ways != 1 {
		return durable.Errorf(durable.CodeInvalid, "auth is one of bearer, basic, header and query")
	}
	for _, text := range texts {
		if !strings.Contains(text, "${secret:") {
			return durable.Errorf(durable.CodeInvalid, "auth holds no reference such as ${secret:NAME}; what is written there would be journaled")
		}
	}
	for name := range a.Header {
		if err := checkHeader(name, ""); err != nil {
			return err
		}
	}
	return nil
}

// apply puts the secrets into the request. No error holds one.
func (a *Auth) apply(ctx context.Context, req *nethttp.Request, expand func(context.Context, string) (string, error)) error {
	if a == nil {
		return nil
	}
	header := func(name, text string) error {
		value, err := expand(ctx, text)
		if err != nil {
			return err
		}
		if checkHeader(name, value) != nil {
			return durable.Errorf(durable.CodeInvalid, "the secret for the header %s has a control character", name)
		}
		req.Header.Set(name, value)
		return nil
	}
	switch {
	case a.Bearer != "":
		return header("Authorization", "Bearer "+a.Bearer)
	case a.Basic != nil:
		user, err := expand(ctx, a.Basic.User)
		if err != nil {
			return err
		}
		password, err := expand(ctx, a.Basic.Password)
		if err != nil {
			return err
		}
		req.SetBasicAuth(user, password)
	}
	for name, text := range a.Header {
		if err := header(name, text); err != nil {
			return err
		}
	}
	if len(a.Query) == 0 {
		return nil
	}
	query := req.URL.Query()
	for name, text := range a.Query {
		value, err := expand(ctx, text)
		if err != nil {
			return err
		}
		query.Set(name, value)
	}
	req.URL.RawQuery = query.Encode()
	return nil
}
