package access_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/server/access"
)

func create(tb testing.TB, t *access.Tokens, n client.NewToken) client.Token {
	tb.Helper()
	k, err := t.Create(tb.Context(), n)
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestTokenLetsIn(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir)
	tokens := access.NewTokens(r)
	if found, err := tokens.Any(t.Context()); found || err != nil {
		t.Errorf("Any of no tokens = %v, %v", found, err)
	}
	k := create(t, tokens, client.NewToken{Name: "ci", Scopes: []string{"runs:*", "blobs:read", "runs:*"}, Tenant: "acme"})
	if !strings.HasPrefix(k.Secret, "orp_") || len(k.Secret) != 56 || strings.ToLower(k.Secret) != k.Secret {
		t.Errorf("the secret has the form of %q", k.Secret)
	}
	sum := sha256.Sum256([]byte(k.Secret))
	kept := only(t, r, "token")
	if kept.Key != hex.EncodeToString(sum[:]) || k.ID != kept.Key[:12] {
		t.Errorf("token %s is kept under %s", k.ID, kept.Key)
	}
	if secret := strings.TrimPrefix(k.Secret, "orp_"); strings.Contains(string(kept.Data), secret) {
		t.Errorf("the secret is stored: %s", kept.Data)
	}
	if got := k.Expires.Sub(k.Created); got != 90*24*time.Hour {
		t.Errorf("it is good for %s, want 90 days", got)
	}

	shut(t, r)
	tokens = access.NewTokens(open(t, dir)) // another process
	who, err := tokens.Authenticate(t.Context(), k.Secret)
	if err != nil {
		t.Fatal(err)
	}
	want := access.Identity{ID: k.ID, Name: "ci", Tenant: "acme", Scopes: []string{"runs:*", "blobs:read"}}
	if diff := cmp.Diff(want, who); diff != "" {
		t.Error(diff)
	}
	list, err := tokens.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k.Secret = ""
	if diff := cmp.Diff([]client.Token{k}, list); diff != "" {
		t.Error(diff)
	}
	if found, err := tokens.Any(t.Context()); !found || err != nil {
		t.Errorf("Any = %v, %v", found, err)
	}
}

func TestTokenRefused(t *testing.T) {
	tokens := access.NewTokens(open(t, t.TempDir()))
	all := []string{"*"}
	for _, c := range []struct {
		name string
		ask  client.NewToken
		want string // in the text of the error; "" = it is made
	}{
		{"all", client.NewToken{Name: "a", Scopes: all}, ""},
		{"tokens and audit", client.NewToken{Name: "a", Scopes: []string{"tokens:*", "audit:read", "agents:*"}}, ""},
		{"all of a tenant", client.NewToken{Name: "a", Scopes: all, Tenant: "acme"}, ""},
		{"five years", client.NewToken{Name: "a", Scopes: all, TTL: "43800h"}, ""},
		{"no name", client.NewToken{Scopes: all}, "needs a name"},
		{"two lines", client.NewToken{Name: "a\nb", Scopes: all}, "needs a name"},
		{"long name", client.NewToken{Name: strings.Repeat("ä", 201), Scopes: all}, "needs a name"},
		{"local", client.NewToken{Name: "local", Scopes: all}, "cannot be named local"},
		{"broken tenant", client.NewToken{Name: "a", Scopes: all, Tenant: "\xff"}, `tenant "\xff" is no name`},
		{"no scopes", client.NewToken{Name: "a"}, "needs a scope"},
		{"noun", client.NewToken{Name: "a", Scopes: []string{"runs"}}, `unknown scope "runs"; did you mean "runs:*"?`},
		{"typo", client.NewToken{Name: "a", Scopes: []string{"runs:read", "run:wirte"}}, `unknown scope "run:wirte"; did you mean "runs:write"?`},
		{"not there", client.NewToken{Name: "a", Scopes: []string{"blobs:write"}}, `unknown scope "blobs:write"; there are runs:read`},
		{"far off", client.NewToken{Name: "a", Scopes: []string{"administrator"}}, `unknown scope "administrator"; there are runs:read, runs:write,`},
		{"empty scope", client.NewToken{Name: "a", Scopes: []string{""}}, `unknown scope ""; there are`},
		{"bare colon", client.NewToken{Name: "a", Scopes: []string{":*"}}, `unknown scope ":*"`},
		{"half a wildcard", client.NewToken{Name: "a", Scopes: []string{"ru*"}}, `unknown scope "ru*"; there are`},
		{"very long", client.NewToken{Name: "a", Scopes: []string{strings.Repeat("runs:read", 1e5)}}, `unknown scope "runs:read`},
		{"tenant with tokens", client.NewToken{Name: "a", Scopes: []string{"tokens:write"}, Tenant: "acme"}, "tokens:write reaches more than one tenant"},
		{"tenant with all tokens", client.NewToken{Name: "a", Scopes: []string{"tokens:*"}, Tenant: "acme"}, "cannot have tokens:*"},
		{"tenant with audit", client.NewToken{Name: "a", Scopes: []string{"runs:read", "audit:read"}, Tenant: "acme"}, "audit:read reaches more than one tenant"},
		{"tenant with agents", client.NewToken{Name: "a", Scopes: []string{"agents:*"}, Tenant: "acme"}, "agents:write reaches more than one tenant"},
		{"no time", client.NewToken{Name: "a", Scopes: all, TTL: "0s"}, `ttl "0s"`},
		{"days", client.NewToken{Name: "a", Scopes: all, TTL: "90d"}, "write hours such as 24h, at most 43800h"},
		{"too long", client.NewToken{Name: "a", Scopes: all, TTL: "43800h1s"}, "at most 43800h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := tokens.Create(t.Context(), c.ask)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, durable.ErrInvalid) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 500 {
				t.Errorf("Create = %v; want invalid with %q", err, c.want)
			}
		})
	}
}

func TestMay(t *testing.T) {
	for _, c := range []struct {
		name string
		who  access.Identity
		want string // the scopes it has
	}{
		{"nobody", access.Identity{}, ""},
		{"one", access.Identity{Scopes: []string{"runs:read"}}, "runs:read"},
		{"noun", access.Identity{Scopes: []string{"runs:*", "tokens:*"}}, "runs:read runs:write tokens:write"},
		{"odd", access.Identity{Scopes: []string{"", "run*", "runs", ":*", "runs:", "**"}}, ""},
		{"tenant", access.Identity{Scopes: []string{"*"}, Tenant: "acme"}, "runs:read runs:write threads:read threads:write approvals:read " +
			"approvals:write agents:read webhooks:read webhooks:write blobs:read tools:read"},
		{"tenant by name", access.Identity{Scopes: []string{"tokens:write", "audit:*", "agents:write", "tools:read"}, Tenant: "acme"}, "tools:read"},
		{"local", access.Local(), strings.Join(access.Scopes(), " ")},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range access.Scopes() {
				if c.who.May(s) {
					got = append(got, s)
				}
			}
			if diff := cmp.Diff(strings.Fields(c.want), got); diff != "" && len(got)+len(c.want) > 0 {
				t.Error(diff)
			}
			for _, s := range []string{"", "*", "runs:*", "runs:delete"} {
				if c.who.May(s) {
					t.Errorf("May(%q), which is no scope", s)
				}
			}
		})
	}
}

// denied is the one text of all refusals.
func denied(t *testing.T, tokens *access.Tokens, secret string) string {
	t.Helper()
	who, err := tokens.Authenticate(t.Context(), secret)
	if !errors.Is(err, durable.ErrDenied) || who.Name != "" {
		t.Fatalf("Authenticate = %+v, %v; want denied", who, err)
	}
	return err.Error()
}

func TestRevoke(t *testing.T) {
	tokens := access.NewTokens(open(t, t.TempDir()))
	k := create(t, tokens, client.NewToken{Name: "a", Scopes: []string{"*"}})
	other := create(t, tokens, client.NewToken{Name: "b", Scopes: []string{"*"}})
	for _, id := range []string{"", k.ID[:11], k.ID + "0", strings.Repeat("%", 12), k.Secret} {
		if err := tokens.Revoke(t.Context(), id); !errors.Is(err, durable.ErrNotFound) {
			t.Errorf("Revoke(%q) = %v", id, err)
		}
	}
	if _, err := tokens.Authenticate(t.Context(), k.Secret); err != nil {
		t.Fatal(err)
	}
	if err := tokens.Revoke(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	text := denied(t, tokens, k.Secret)
	for name, secret := range map[string]string{
		"empty": "", "no prefix": other.Secret[4:], "unknown": "orp_" + strings.Repeat("a", 52), "short": other.Secret[:55],
		"long": other.Secret + "a", "capitals": strings.ToUpper(other.Secret), "another prefix": "pro_" + other.Secret[4:], "its ID": other.ID,
	} {
		if got := denied(t, tokens, secret); got != text {
			t.Errorf("%s: %q; one that was revoked: %q", name, got, text)
		}
	}
	if err := tokens.Revoke(t.Context(), k.ID); !errors.Is(err, durable.ErrNotFound) {
		t.Errorf("revoke again: %v", err)
	}
	if _, err := tokens.Authenticate(t.Context(), other.Secret); err != nil {
		t.Error(err)
	}
}

// Who was let in while a token was revoked is refused once Revoke has returned.
func TestRevokeHoldsAtOnce(t *testing.T) {
	tokens := access.NewTokens(open(t, t.TempDir()))
	for range 20 {
		k := create(t, tokens, client.NewToken{Name: "a", Scopes: []string{"*"}})
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for {
					if _, err := tokens.Authenticate(t.Context(), k.Secret); err != nil {
						return
					}
				}
			})
		}
		if err := tokens.Revoke(t.Context(), k.ID); err != nil {
			t.Fatal(err)
		}
		denied(t, tokens, k.Secret)
		all.Wait()
	}
}

func TestExpiry(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		tokens := access.NewTokens(open(t, dir))
		short := create(t, tokens, client.NewToken{Name: "a", Scopes: []string{"*"}, TTL: "1h"})
		long := create(t, tokens, client.NewToken{Name: "b", Scopes: []string{"*"}})
		for _, c := range []struct {
			wait time.Duration
			good []bool // short and long
		}{
			{0, []bool{true, true}},
			{time.Hour - time.Nanosecond, []bool{true, true}},
			{time.Nanosecond, []bool{false, true}},
			{90*24*time.Hour - time.Hour - time.Nanosecond, []bool{false, true}},
			{time.Nanosecond, []bool{false, false}},
		} {
			time.Sleep(c.wait)
			for i, k := range []client.Token{short, long} {
				if !c.good[i] {
					if got, want := denied(t, tokens, k.Secret), denied(t, tokens, "x"); got != want {
						t.Errorf("expired: %q; malformed: %q", got, want)
					}
				} else if _, err := tokens.Authenticate(t.Context(), k.Secret); err != nil {
					t.Errorf("%s at %s: %v", k.Name, time.Now(), err)
				}
			}
			if found, err := tokens.Any(t.Context()); found != (c.good[0] || c.good[1]) || err != nil {
				t.Errorf("Any = %v, %v", found, err)
			}
		}
		if list, err := tokens.List(t.Context()); len(list) != 2 || err != nil {
			t.Errorf("List = %v, %v; want those that have expired too", list, err)
		}
	})
}

// A damaged token lets nobody in, opens the door to nobody, and can be got rid of.
func TestDamagedToken(t *testing.T) {
	r := open(t, t.TempDir())
	tokens := access.NewTokens(r)
	for name, data := range map[string]string{"no JSON": "{", "empty": "", "of another": `{"id":"000000000000","scopes":["*"],"expires":"2999-01-01T00:00:00Z"}`} {
		t.Run(name, func(t *testing.T) {
			k := create(t, tokens, client.NewToken{Name: "a", Scopes: []string{"*"}})
			put(t, r, "token", only(t, r, "token").Key, []byte(data))
			if who, err := tokens.Authenticate(t.Context(), k.Secret); !errors.Is(err, durable.ErrInternal) || who.Name != "" {
				t.Errorf("Authenticate = %+v, %v", who, err)
			}
			if found, err := tokens.Any(t.Context()); !found || err != nil {
				t.Errorf("Any = %v, %v", found, err)
			}
			list, err := tokens.List(t.Context())
			if err != nil || len(list) != 1 || list[0].ID != k.ID || list[0].Name != "(damaged)" || len(list[0].Scopes) > 0 {
				t.Errorf("List = %+v, %v", list, err)
			}
			if err := tokens.Revoke(t.Context(), k.ID); err != nil {
				t.Error(err)
			}
		})
	}
}

// Lists go on behind a page.
func TestManyTokens(t *testing.T) {
	r := open(t, t.TempDir())
	tokens := access.NewTokens(r)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 130 {
				if _, err := tokens.Create(t.Context(), client.NewToken{Name: "a", Scopes: []string{"*"}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	list, err := tokens.List(t.Context())
	ids := map[string]bool{}
	for _, k := range list {
		ids[k.ID] = true
	}
	if err != nil || len(ids) != 1040 {
		t.Errorf("%d tokens, %v; want 1040", len(ids), err)
	}
}

func FuzzAuthenticate(f *testing.F) {
	tokens := access.NewTokens(open(f, f.TempDir()))
	k := create(f, tokens, client.NewToken{Name: "a", Scopes: []string{"*"}})
	for _, seed := range []string{"", "orp_", k.Secret, k.Secret + "\n", k.ID, "orp_" + strings.Repeat("%", 52), strings.Repeat("\x00", 56)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		who, err := tokens.Authenticate(t.Context(), secret)
		if secret == k.Secret {
			if err != nil || who.Name != "a" {
				t.Errorf("the secret itself: %+v, %v", who, err)
			}
		} else if !errors.Is(err, durable.ErrDenied) || who.Name != "" {
			t.Errorf("%q: %+v, %v", secret, who, err)
		}
	})
}

func BenchmarkAuthenticate(b *testing.B) {
	tokens := access.NewTokens(open(b, b.TempDir()))
	k := create(b, tokens, client.NewToken{Name: "a", Scopes: []string{"*"}})
	for b.Loop() {
		if _, err := tokens.Authenticate(b.Context(), k.Secret); err != nil {
			b.Fatal(err)
		}
	}
}
