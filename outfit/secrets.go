package outfit

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/orpine-run/orpine/durable"
	"github.com/orpine-run/orpine/tool/secret"
)

// The variables that say where secrets come from.
const (
	SecretsVar    = "ORPINE_SECRETS"     //nolint:gosec // names of variables that may be used as secrets, with , between them
	SecretsDirVar = "ORPINE_SECRETS_DIR" //nolint:gosec // a directory with one file a secret
	SecretKeyVar  = "ORPINE_SECRET_KEY"  //nolint:gosec // the key of the store in the data directory
)

// keyFile is the key of the store of secrets, beside it, where no variable has one.
const keyFile = "secret.key"

// sources are where secrets come from, in the order in which they are asked.
func (o *Outfit) sources() []secret.Source {
	var list []secret.Source
	if text, ok := o.cfg.Env(SecretsVar); ok {
		names := strings.FieldsFunc(text, func(ch rune) bool { return ch == ',' || ch == ' ' })
		list = append(list, secret.Environment(o.cfg.Env, names...))
	}
	if dir, ok := o.cfg.Env(SecretsDirVar); ok && dir != "" {
		list = append(list, secret.Directory(dir))
	}
	return append(list, o.vault)
}

// variable looks up a variable of the environment for a declaration. The key of the store is none of
// theirs, and what has the name of a secret is taken out of what tools return, like one.
func (o *Outfit) variable(name string) (string, bool) {
	if name == SecretKeyVar {
		return "", false
	}
	value, ok := o.cfg.Env(name)
	if ok && slices.ContainsFunc([]string{"TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL"}, func(word string) bool {
		return strings.Contains(strings.ToUpper(name), word)
	}) {
		o.broker.Redactor().Add(name, value)
	}
	return value, ok
}

// vault is the store of secrets in the data directory, opened when it is first needed: most data
// directories have none.
type vault struct {
	data string
	env  func(string) (string, bool)

	mu    sync.Mutex
	store *secret.Store
}

// open opens the store; nil when there is no key, and none is to be made.
func (v *vault) open(anew bool) (*secret.Store, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.store != nil {
		return v.store, nil
	}
	key, err := v.key(anew)
	if errors.Is(err, durable.ErrNotFound) {
		return nil, nil //nolint:nilnil // without a key there is nothing in it
	}
	if err != nil {
		return nil, err
	}
	v.store, err = secret.OpenStore(filepath.Join(v.data, secret.StoreFile), key)
	return v.store, err
}

func (v *vault) key(anew bool) (secret.Key, error) {
	if text, ok := v.env(SecretKeyVar); ok && text != "" {
		return secret.KeyOf(text)
	}
	path := filepath.Join(v.data, keyFile)
	key, err := secret.KeyFile(path)
	if anew && errors.Is(err, durable.ErrNotFound) {
		return secret.MakeKeyFile(path)
	}
	return key, err
}

// Lookup implements secret.Source.
func (v *vault) Lookup(ctx context.Context, name string) (string, bool, error) {
	s, err := v.open(false)
	if s == nil || err != nil {
		return "", false, err
	}
	return s.Lookup(ctx, name)
}

// SetSecret keeps a secret in the store of the data directory, which gets a key if it has none.
func (o *Outfit) SetSecret(name, value string) error {
	s, err := o.vault.open(true)
	if err != nil {
		return err
	}
	return s.Set(name, value)
}

// DeleteSecret forgets one. Error: not_found.
func (o *Outfit) DeleteSecret(name string) error {
	s, err := o.vault.open(false)
	if err == nil && s == nil {
		err = durable.Errorf(durable.CodeNotFound, "there is no secret %s: the data directory keeps none", name)
	}
	if err != nil {
		return err
	}
	return s.Delete(name)
}

// Secrets lists the names of those in the store.
func (o *Outfit) Secrets() ([]string, error) {
	s, err := o.vault.open(false)
	if s == nil || err != nil {
		return nil, err
	}
	return s.Names()
}

// Secret returns the value of a secret, for who checks what others have signed with it. Errors: those
// of secret.Broker.Value.
func (o *Outfit) Secret(ctx context.Context, name string) (string, error) {
	return o.broker.Value(ctx, name)
}
