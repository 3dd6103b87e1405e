package access

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/orpine-run/orpine/client"
	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/store"
)

// tokenKind is the kind of the records of tokens. The key of one is the hash of its secret
// in hexadecimal; its data is the token without the secret.
const tokenKind = "token"

// What a secret looks like: the prefix lets a search for lost secrets find it.
const (
	secretPrefix = "orp_"
	secretBytes  = 32
	secretLen    = len(secretPrefix) + (secretBytes*8+4)/5
)

// Bounds of a token.
const (
	idLen      = 12 // in hexadecimal digits
	nameMax    = 200
	defaultTTL = 90 * 24 * time.Hour
	maxTTL     = 5 * 365 * 24 * time.Hour
)

// localName is who reaches a server without a token.
const localName = "local"

// errDenied is the same whatever is wrong, so that nobody learns which tokens there were.
var errDenied = durable.Errorf(durable.CodeDenied,
	"this token is not good here: it is unknown, has expired or was revoked; ask whoever runs the server for another one")

// Identity is who asks.
type Identity struct {
	ID     string   // of the token; "" for the local one
	Name   string   // what it does is recorded under this name
	Tenant string   // the only tenant whose runs it reaches; "" = all
	Scopes []string // what it may do; see May
}

// Local is whoever reaches the socket in the data directory, or a server on the loopback
// that has no tokens: it may do everything.
func Local() Identity { return Identity{Name: localName, Scopes: []string{everything}} }

// May reports whether this identity may do what needs a scope, which is one of Scopes: for
// any other text nobody may. One with a tenant never has tokens:write, audit:read and
// agents:write, which reach more than one tenant, not even by *.
func (i Identity) May(scope string) bool {
	if !slices.Contains(scopes[:], scope) || i.Tenant != "" && beyond(scope) {
		return false
	}
	return slices.ContainsFunc(i.Scopes, func(has string) bool { return covers(has, scope) })
}

// Tokens are the keys to a server. It is safe for concurrent use, and remembers nothing: a
// token that is revoked or expires is refused from that moment on.
type Tokens struct{ records Records }

// NewTokens keeps tokens among the records of a runtime.
func NewTokens(r Records) *Tokens { return &Tokens{records: r} }

// Create makes a token and returns it with its secret, which is stored nowhere: who loses it
// makes another. It is good for 90 days unless the TTL says otherwise, and for five years at
// most. A token of a tenant can be given * but none of the scopes that reach more than one
// tenant; see Identity.May. Error: invalid.
func (t *Tokens) Create(ctx context.Context, n client.NewToken) (client.Token, error) {
	return t.create(ctx, n, newSecret())
}

// Once is Create for a request with an idempotency key. The first one makes the token; sent again
// it gets that token without its secret, which is shown once. Errors: those of Keys.Once;
// conflict when the token was never made, or was revoked since.
func (t *Tokens) Once(ctx context.Context, keys *Keys, key string, n client.NewToken) (client.Token, error) {
	if _, err := checkToken(n); err != nil {
		return client.Token{}, err
	}
	request, err := json.Marshal(n)
	if err != nil {
		return client.Token{}, err
	}
	secret := newSecret()
	id, first, err := keys.Once(ctx, "", "create-token", key, request, func() string { return hashOf(secret)[:idLen] })
	if err != nil {
		return client.Token{}, err
	}
	if first {
		return t.create(ctx, n, secret)
	}
	var made client.Token
	err = t.each(ctx, func(k client.Token, fault error) bool {
		if k.ID == id && fault == nil {
			made = k
		}
		return made.ID == ""
	})
	if err == nil && made.ID == "" {
		err = durable.Errorf(durable.CodeConflict, "the token of this idempotency key is not there: it was revoked, or the process died before it was made; take another key")
	}
	return made, err
}

func newSecret() string {
	raw := make([]byte, secretBytes)
	_, _ = rand.Read(raw) // it never fails
	return secretPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(raw))
}

func (t *Tokens) create(ctx context.Context, n client.NewToken, secret string) (client.Token, error) {
	ttl, err := checkToken(n)
	if err != nil {
		return client.Token{}, err
	}
	key, now := hashOf(secret), time.Now().UTC().Truncate(time.Microsecond)
	made := client.Token{ID: key[:idLen], Name: n.Name, Tenant: n.Tenant, Created: now, Expires: now.Add(ttl)}
	for _, s := range n.Scopes {
		if !slices.Contains(made.Scopes, s) {
			made.Scopes = append(made.Scopes, s)
		}
	}
	data, err := json.Marshal(made)
	if err != nil {
		return client.Token{}, err
	}
	if err := t.records.Write(ctx, store.RecordChange{Kind: tokenKind, Key: key, Data: data}); err != nil {
		return client.Token{}, err
	}
	made.Secret = secret
	return made, nil
}

// checkToken refuses a token that cannot be, and says how long one is good for.
func checkToken(n client.NewToken) (ttl time.Duration, err error) {
	switch {
	case n.Name == "" || !plain(n.Name):
		return 0, durable.Errorf(durable.CodeInvalid, "a token needs a name of 1 to %d characters on one line, not %.80q: it says who uses it", nameMax, n.Name)
	case n.Name == localName:
		return 0, durable.Errorf(durable.CodeInvalid, "a token cannot be named %s: so is whoever comes without one; take another name", localName)
	case !plain(n.Tenant):
		return 0, durable.Errorf(durable.CodeInvalid, "tenant %.80q is no name of at most %d characters on one line", n.Tenant, nameMax)
	}
	if err := checkScopes(n.Scopes, n.Tenant); err != nil {
		return 0, err
	}
	if n.TTL == "" {
		return defaultTTL, nil
	}
	ttl, err = time.ParseDuration(n.TTL)
	if err != nil || ttl <= 0 || ttl > maxTTL {
		return 0, durable.Errorf(durable.CodeInvalid, "ttl %.80q is not how long a token can be good for: write hours such as 24h, at most %.0fh (five years)", n.TTL, maxTTL.Hours())
	}
	return ttl, nil
}

// plain reports whether a text can stand in one line of a log.
func plain(s string) bool {
	return utf8.ValidString(s) && utf8.RuneCountInString(s) <= nameMax && !strings.ContainsFunc(s, unicode.IsControl)
}

// List returns all tokens without their secrets, also those that have expired, ordered by ID.
// One whose record is damaged has the name "(damaged)" and can only be revoked.
func (t *Tokens) List(ctx context.Context) ([]client.Token, error) {
	all := []client.Token{}
	err := t.each(ctx, func(k client.Token, fault error) bool {
		if fault != nil {
			k.Name = "(damaged)"
		}
		all = append(all, k)
		return true
	})
	return all, err
}

// Any reports whether there is a token that has not expired. One that is damaged counts as
// one: nobody gets in because it is.
func (t *Tokens) Any(ctx context.Context) (bool, error) {
	found := false
	err := t.each(ctx, func(k client.Token, fault error) bool {
		found = fault != nil || good(k)
		return !found
	})
	return found, err
}

// each reads the tokens until yield has enough.
func (t *Tokens) each(ctx context.Context, yield func(k client.Token, fault error) bool) error {
	for f := (store.RecordFilter{Limit: pageSize}); ; {
		page, err := t.records.Records(ctx, tokenKind, f)
		if err != nil {
			return err
		}
		for _, r := range page {
			if !yield(tokenOf(r)) {
				return nil
			}
		}
		if len(page) < f.Limit {
			return nil
		}
		f.After = page[len(page)-1].Key
	}
}

// tokenOf reads a token from its record. One that cannot be read has an ID and a fault.
func tokenOf(r store.Record) (k client.Token, fault error) {
	if fault = r.Fault; fault == nil {
		fault = json.Unmarshal(r.Data, &k)
	}
	id := r.Key[:min(idLen, len(r.Key))]
	if fault == nil && k.ID != id {
		fault = errors.New("its ID is not that of its key")
	}
	if fault != nil {
		return client.Token{ID: id, Scopes: []string{}}, durable.Errorf(durable.CodeInternal, "token %s is damaged: %w; revoke it and make another", id, fault)
	}
	return k, nil
}

// good reports whether a token has not expired.
func good(k client.Token) bool { return time.Now().Before(k.Expires) }

// Revoke deletes a token: it is refused from then on. Error: not_found.
func (t *Tokens) Revoke(ctx context.Context, id string) error {
	unknown := durable.Errorf(durable.CodeNotFound, "no token has the ID %.80q; an ID is %d hexadecimal digits, and the list of tokens has all of them", id, idLen)
	if len(id) != idLen {
		return unknown
	}
	found, err := t.records.Records(ctx, tokenKind, store.RecordFilter{Prefix: id})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return unknown
	}
	changes := make([]store.RecordChange, len(found))
	for i, r := range found {
		changes[i] = store.RecordChange{Kind: tokenKind, Key: r.Key, Expect: store.AnyVersion}
	}
	return t.records.Write(ctx, changes...)
}

// Authenticate says who comes with a secret. Errors: denied, always with the same text,
// for one that is malformed, unknown, expired or revoked; internal when its record is damaged.
func (t *Tokens) Authenticate(ctx context.Context, secret string) (Identity, error) {
	if len(secret) != secretLen || !strings.HasPrefix(secret, secretPrefix) {
		return Identity{}, errDenied
	}
	key := hashOf(secret)
	r, err := t.records.Record(ctx, tokenKind, key)
	if errors.Is(err, durable.ErrNotFound) {
		return Identity{}, errDenied
	}
	if err != nil {
		return Identity{}, err
	}
	// How long the store looks for a hash tells nothing of another: who tries secrets
	// cannot choose their hashes. What it found is compared without a hint all the same.
	if subtle.ConstantTimeCompare([]byte(r.Key), []byte(key)) != 1 {
		return Identity{}, errDenied
	}
	k, err := tokenOf(r)
	if err != nil {
		return Identity{}, err
	}
	if !good(k) {
		return Identity{}, errDenied
	}
	return Identity{ID: k.ID, Name: k.Name, Tenant: k.Tenant, Scopes: k.Scopes}, nil
}

// hashOf is the hexadecimal SHA-256 of a text.
func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
