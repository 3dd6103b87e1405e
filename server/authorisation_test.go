package server_test

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/orpine-run/orpine"
	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/server"
	"github.com/orpine-run/orpine/server/access"
)

var update = flag.Bool("update", false, "rewrite docs/authorisation.md")

// matrix is the table of docs/authorisation.md: every route, and what it takes.
func matrix(routes []server.Route) []byte {
	var b bytes.Buffer
	b.WriteString(`# Authorisation

Made from the table of routes by ` + "`go test ./server -run TestAuthorisation -update`" + `. A route that has no scope cannot be
registered, and what is not registered is not served. ` + "`signature`" + ` takes no token: what is sent is signed. A token is good for the scopes it was made with: a scope, ` + "`NOUN:*`" + `, or
` + "`*`" + ` for all of them; one of a tenant also only for what is of that tenant, and never for the scopes marked with †. A request
to the socket in the data directory, or to a server on loopback for which no token was ever made, may do everything.

| method | path | scope | does |
|---|---|---|---|
`)
	for _, r := range routes {
		scope := "`" + r.Scope + "`"
		if slices.Contains([]string{access.TokensWrite, access.AuditRead, access.AgentsWrite}, r.Scope) {
			scope += " †"
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", r.Method, r.Path, scope, r.Summary)
	}
	return b.Bytes()
}

// TestAuthorisation asks for every route without a token, with one that is good for
// everything else, and with one that is good for nothing else.
func TestAuthorisation(t *testing.T) {
	s := open(t, server.Config{Strict: true, Fresh: func() orpine.Config { return orpine.Config{} }})
	routes := s.s.Routes()
	const path = "../docs/authorisation.md"
	if *update {
		if err := os.WriteFile(path, matrix(routes), 0o644); err != nil { //nolint:gosec // a document
			t.Fatal(err)
		}
	}
	if was, err := os.ReadFile(path); err != nil || !bytes.Equal(was, matrix(routes)) {
		t.Errorf("%s is not what the routes are (error %v): run with -update, and look at what changed", path, err)
	}
	secrets := map[string]string{}
	secret := func(scopes []string) string {
		name := strings.Join(scopes, " ")
		if secrets[name] == "" {
			token, err := s.s.CreateToken(t.Context(), client.NewToken{Name: "probe", Scopes: scopes})
			if err != nil {
				t.Fatal(err)
			}
			secrets[name] = token.Secret
		}
		return secrets[name]
	}
	hole := regexp.MustCompile(`\{[a-z]+\}`)
	for _, r := range routes {
		ask := func(header ...string) int {
			status, _, _ := s.raw(r.Method, hole.ReplaceAllString(r.Path, strings.Repeat("0", 64)), nil, header...)
			return status
		}
		bearer := func(scopes []string) []string { return []string{"Authorization", "Bearer " + secret(scopes)} }
		if r.Scope == server.Public {
			if status := ask(); status >= http.StatusBadRequest {
				t.Errorf("%s %s is public, and answers %d", r.Method, r.Path, status)
			}
			continue
		}
		if r.Scope == server.Signed { // no token opens it, not even one for everything
			for _, header := range [][]string{nil, bearer([]string{"*"})} {
				if status := ask(header...); status != http.StatusUnauthorized {
					t.Errorf("%s %s without a signature: %d", r.Method, r.Path, status)
				}
			}
			continue
		}
		others := slices.DeleteFunc(access.Scopes(), func(s string) bool { return s == r.Scope })
		if status := ask(); status != http.StatusUnauthorized {
			t.Errorf("%s %s without a token: %d", r.Method, r.Path, status)
		}
		if status := ask(bearer(others)...); status != http.StatusForbidden {
			t.Errorf("%s %s with every other scope: %d", r.Method, r.Path, status)
		}
		if status := ask(bearer([]string{r.Scope})...); status == http.StatusUnauthorized || status == http.StatusForbidden || status >= http.StatusInternalServerError {
			t.Errorf("%s %s with %s: %d", r.Method, r.Path, r.Scope, status)
		}
	}
}
